//! Lists and maps inside one value: `a;b`, `k1:v1,k2:v2`, or YAML's `[a, b]` and `{k1: v1}`.
//!
//! An element that holds a separator is quoted with `'` or `"`, and a quote inside is doubled.

use std::collections::BTreeMap;

use super::yaml;

/// Reads a list, or `None` when its quotes or brackets do not close.
pub(super) fn parse_list(text: &str) -> Option<Vec<String>> {
    let text = text.trim();
    if text.starts_with('[') {
        return yaml::parse_flow_list(text);
    }
    let mut elements = Vec::new();
    for part in split(text, ';')? {
        let element = unquote(part.trim())?;
        if !element.is_empty() {
            elements.push(element);
        }
    }
    Some(elements)
}

/// Reads a map, or `None` when an entry has no `:` or its quotes or brackets do not close.
pub(super) fn parse_map(text: &str) -> Option<BTreeMap<String, String>> {
    let text = text.trim();
    if text.starts_with('{') {
        return yaml::parse_flow_map(text);
    }
    let mut entries = BTreeMap::new();
    for part in split(text, ',')?.into_iter().filter(|part| !part.trim().is_empty()) {
        let colon = split(part, ':')?.first()?.len();
        let (key, value) = (part.get(..colon)?, part.get(colon + 1..)?);
        entries.insert(unquote(key.trim())?, unquote(value.trim())?);
    }
    Some(entries)
}

/// Writes a list so that [`parse_list`] reads the same elements.
pub(super) fn render_list<S: AsRef<str>>(elements: impl IntoIterator<Item = S>) -> String {
    let quoted: Vec<_> = elements.into_iter().map(|element| quote(element.as_ref())).collect();
    quoted.join(";")
}

/// Writes a map as the value of a setting that is one.
pub fn render_map(entries: &BTreeMap<String, String>) -> String {
    let quoted: Vec<_> = entries.iter().map(|(key, value)| format!("{}:{}", quote(key), quote(value))).collect();
    quoted.join(",")
}

/// Splits at a separator that stands outside quotes.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut open) = (Vec::new(), 0, None);
    for (index, c) in text.char_indices() {
        match open {
            Some(quote) if c == quote => open = None,
            Some(_) => {}
            None if c == '\'' || c == '"' => open = Some(c),
            None if c == separator => {
                parts.push(&text[start..index]);
                start = index + c.len_utf8();
            }
            None => {}
        }
    }
    parts.push(&text[start..]);
    open.is_none().then_some(parts)
}

fn unquote(text: &str) -> Option<String> {
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
        return Some(text.to_owned());
    };
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    let doubled = String::from_iter([quote, quote]);
    // A lone quote inside means that text follows the closing quote.
    match inner.replace(&doubled, "").contains(quote) {
        true => None,
        false => Some(inner.replace(&doubled, &String::from(quote))),
    }
}

fn quote(text: &str) -> String {
    let plain = !text.is_empty()
        && text.trim() == text
        && !text.starts_with(['[', '{'])
        && !text.contains([';', ',', ':', '\'', '"']);
    match plain {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn separators_inside_quotes_do_not_separate() {
        assert_eq!(parse_list("a; 'b;c' ;\"d\"\"e\"").unwrap(), ["a", "b;c", "d\"e"]);
        assert_eq!(parse_list("[a, 'b, c']").unwrap(), ["a", "b, c"]);
        assert_eq!(parse_list("'a").as_deref(), None);
        assert_eq!(parse_list("'a'b'").as_deref(), None);
        let map = parse_map("k1:v1, 'k:2':a:b").unwrap();
        assert_eq!(
            map.into_iter().collect::<Vec<_>>(),
            [("k1".to_owned(), "v1".to_owned()), ("k:2".to_owned(), "a:b".to_owned())]
        );
        assert_eq!(parse_map("{a: 1}").unwrap()["a"], "1");
        assert_eq!(parse_map("novalue"), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            list in prop::collection::vec("[a;'\":, \\[]{1,6}", 0..5),
            map in prop::collection::btree_map("[a;'\":, {]{1,6}", "[a;'\":, ]{0,6}", 0..5),
        ) {
            prop_assert_eq!(parse_list(&render_list(&list)), Some(list));
            prop_assert_eq!(parse_map(&render_map(&map)), Some(map));
        }

        #[test]
        fn no_text_panics(text in "[\\[{]?\\PC*") {
            let _ = (parse_list(&text), parse_map(&text));
        }
    }
}

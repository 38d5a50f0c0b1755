//! `config.yaml` as a flat list of settings that know their line.
//!
//! Built on the events of `saphyr-parser`, because those carry positions; a parser that hands out values only could
//! not tell an operator where a wrong one stands.
//!
//! Keys may be nested, dotted, or both at once (`taskmanager.memory: {process: {size: 1g}}`). A sequence of
//! scalars becomes a list value. Refused, with the line: several documents, aliases, merge keys, sequences
//! with anything but scalars inside, keys without a value, and the same flat key twice.

use std::collections::BTreeMap;
use std::path::Path;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::problem::ConfigError;
use super::setting::{Origin, Setting};
use super::structured;

/// Nesting beyond this is refused, so that a hostile file cannot exhaust the stack.
const DEPTH_MAX: usize = 32;

/// Reads the text of a configuration file; `file` is what messages call it.
pub(super) fn parse(text: &str, file: &Path) -> Result<Vec<Setting>, Vec<ConfigError>> {
    let mut settings = Vec::new();
    let mut errors = Vec::new();
    let at = |line| Origin::File { file: file.into(), line };
    match flatten(text) {
        Ok(entries) => {
            let mut first_lines: BTreeMap<String, usize> = BTreeMap::new();
            for Entry { key, value, line } in entries {
                match first_lines.get(&key) {
                    Some(&first) => errors.push(ConfigError::Duplicate { key, first: at(first), second: at(line) }),
                    None => {
                        first_lines.insert(key.clone(), line);
                        settings.push(Setting { key, value, origin: at(line) });
                    }
                }
            }
        }
        Err(Fault { line, reason }) => errors.push(ConfigError::Syntax { origin: at(line), reason }),
    }
    if errors.is_empty() { Ok(settings) } else { Err(errors) }
}

/// Reads `[a, b]`; `None` when it is not one list of scalars.
pub(super) fn parse_flow_list(text: &str) -> Option<Vec<String>> {
    let mut reader = Reader::start(text).ok()?;
    let list = match reader.next().ok()? {
        (Event::SequenceStart(..), _) => reader.scalars().ok()?,
        _ => return None,
    };
    reader.finish().ok()?;
    Some(list)
}

/// Reads `{a: 1, b: 2}`; `None` when it is not one map without repeated keys.
pub(super) fn parse_flow_map(text: &str) -> Option<BTreeMap<String, String>> {
    let entries = flatten(text).ok()?;
    let expected = entries.len();
    let map: BTreeMap<_, _> = entries.into_iter().map(|entry| (entry.key, entry.value)).collect();
    (map.len() == expected).then_some(map)
}

struct Entry {
    key: String,
    value: String,
    line: usize,
}

struct Fault {
    line: usize,
    reason: String,
}

impl Fault {
    fn new(span: Span, reason: impl Into<String>) -> Self {
        Self { line: span.start.line(), reason: reason.into() }
    }
}

impl From<ScanError> for Fault {
    fn from(error: ScanError) -> Self {
        Self { line: error.marker().line(), reason: error.info().to_owned() }
    }
}

fn flatten(text: &str) -> Result<Vec<Entry>, Fault> {
    let mut entries = Vec::new();
    let mut reader = Reader::start(text)?;
    match reader.next()? {
        (Event::StreamEnd, _) => return Ok(entries),
        (Event::MappingStart(..), _) => reader.mapping("", 0, &mut entries)?,
        (Event::Scalar(text, style, ..), _) if is_null(&text, style) => {}
        (_, span) => return Err(Fault::new(span, "expected `key: value` lines")),
    }
    reader.finish()?;
    Ok(entries)
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
}

impl<'a> Reader<'a> {
    fn start(text: &'a str) -> Result<Self, Fault> {
        Ok(Self { parser: Parser::new_from_str(text) })
    }

    /// The next event that carries content.
    fn next(&mut self) -> Result<(Event<'a>, Span), Fault> {
        loop {
            match self.parser.next_event() {
                Some(Ok((Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _))) => {}
                Some(Ok((Event::Alias(_), span))) => {
                    return Err(Fault::new(span, "aliases are not supported here: write the value again"));
                }
                Some(Ok(event)) => return Ok(event),
                Some(Err(error)) => return Err(error.into()),
                None => return Ok((Event::StreamEnd, Span::default())),
            }
        }
    }

    fn finish(&mut self) -> Result<(), Fault> {
        loop {
            match self.next()? {
                (Event::DocumentEnd, _) => {}
                (Event::StreamEnd, _) => return Ok(()),
                (_, span) => return Err(Fault::new(span, "a second document is not supported here")),
            }
        }
    }

    fn mapping(&mut self, prefix: &str, depth: usize, entries: &mut Vec<Entry>) -> Result<(), Fault> {
        loop {
            let (key, key_span) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(()),
                (Event::Scalar(key, ..), span) => (key, span),
                (_, span) => return Err(Fault::new(span, "a key must be a plain text")),
            };
            if key.is_empty() || key == "<<" {
                return Err(Fault::new(key_span, format!("`{key}` cannot be a key")));
            }
            let key = if prefix.is_empty() { key.into_owned() } else { format!("{prefix}.{key}") };
            let line = key_span.start.line();
            match self.next()? {
                (Event::MappingStart(..), span) if depth + 1 >= DEPTH_MAX => {
                    return Err(Fault::new(span, "keys are nested too deeply"));
                }
                (Event::MappingStart(..), _) => self.mapping(&key, depth + 1, entries)?,
                (Event::SequenceStart(..), _) => {
                    let value = structured::render_list(self.scalars()?);
                    entries.push(Entry { key, value, line });
                }
                (Event::Scalar(text, style, ..), span) if is_null(&text, style) => {
                    return Err(Fault::new(span, format!("`{key}` has no value")));
                }
                (Event::Scalar(text, ..), _) => {
                    entries.push(Entry { key, value: text.into_owned(), line });
                }
                (_, span) => return Err(Fault::new(span, format!("`{key}` has no usable value"))),
            }
        }
    }

    fn scalars(&mut self) -> Result<Vec<String>, Fault> {
        let mut scalars = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(scalars),
                (Event::Scalar(text, ..), _) => scalars.push(text.into_owned()),
                (_, span) => return Err(Fault::new(span, "a list may hold plain values only")),
            }
        }
    }
}

fn is_null(text: &str, style: ScalarStyle) -> bool {
    style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> String {
        let show = |setting: Setting| format!("{}={} @{}\n", setting.key, setting.value, setting.origin);
        match parse(text, Path::new("c.yaml")) {
            Ok(settings) => settings.into_iter().map(show).collect(),
            Err(errors) => errors.into_iter().map(|error| format!("{error}\n")).collect(),
        }
    }

    #[test]
    fn nested_and_dotted_keys_become_flat_and_keep_their_lines() {
        let text = "# cluster\nrest:\n  port: 8081\n  bind: {address: localhost}\n\
                    taskmanager.memory:\n  process.size: 1g\nio.tmp.dirs: [/a, /b]\nenv:\n  list:\n  - x\n  - y\n";
        assert_eq!(
            read(text),
            "rest.port=8081 @c.yaml:3\nrest.bind.address=localhost @c.yaml:4\n\
             taskmanager.memory.process.size=1g @c.yaml:6\nio.tmp.dirs=/a;/b @c.yaml:7\nenv.list=x;y @c.yaml:9\n"
        );
    }

    #[test]
    fn an_empty_file_sets_nothing() {
        assert_eq!(read(""), "");
        assert_eq!(read("# only comments\n\n---\n"), "");
    }

    #[test]
    fn a_key_set_twice_names_both_lines() {
        assert_eq!(
            read("rest.port: 1\nrest:\n  port: 2\n"),
            "`rest.port` is set twice: c.yaml:1 and c.yaml:3; keep one of them\n"
        );
    }

    #[test]
    fn what_is_no_setting_names_its_line() {
        for (text, expected) in [
            ("just text", "c.yaml:1: expected `key: value` lines\n"),
            ("a: 1\nb:\n", "`b` has no value\n"),
            ("a: &x 1\nb: *x\n", "c.yaml:2: aliases are not supported here: write the value again\n"),
            ("a:\n  - b: 1\n", "c.yaml:2: a list may hold plain values only\n"),
            ("a: 1\n---\nb: 2\n", "c.yaml:3: a second document is not supported here\n"),
            ("a: 1\n b: [\n", "c.yaml:2: "),
        ] {
            let shown = read(text);
            assert!(shown.contains(expected), "{text:?} gave {shown:?}");
        }
        assert_eq!(read(&"{a: ".repeat(40)), "c.yaml:1: keys are nested too deeply\n");
        assert!(read(&"{a: ".repeat(200_000)).starts_with("c.yaml:1: "));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a: \\-\\[\\]{}&*!'\"\n#~|>%@]{0,60}") {
            read(&text);
        }
    }
}

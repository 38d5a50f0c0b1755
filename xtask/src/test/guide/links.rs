//! What a document links to, and where it can be linked to.

use std::collections::BTreeSet;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// A link or an image of a document.
#[derive(Debug, PartialEq, Eq)]
pub struct Link {
    /// As it is written.
    pub target: String,
    /// Counted from 1.
    pub line: usize,
}

/// All links of a document.
pub fn of(text: &str) -> Vec<Link> {
    let events = Parser::new_ext(text, options()).into_offset_iter();
    events
        .filter_map(|(event, place)| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                Some(Link { target: dest_url.into_string(), line: 1 + text[..place.start].matches('\n').count() })
            }
            _ => None,
        })
        .collect()
}

/// The anchors of a document's headings, as GitHub and mdBook make them.
pub fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut heading: Option<String> = None;
    for event in Parser::new_ext(text, options()) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(part) | Event::Code(part) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&part);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let anchor = anchor(&heading.take().unwrap_or_default());
                let repeated = (1..).map(|times| format!("{anchor}-{times}"));
                let free = std::iter::once(anchor.clone()).chain(repeated).find(|anchor| !anchors.contains(anchor));
                anchors.extend(free);
            }
            _ => {}
        }
    }
    anchors
}

fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|sign| sign.is_alphanumeric() || matches!(sign, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|sign| if sign == ' ' { '-' } else { sign }).collect()
}

fn options() -> Options {
    Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_in_text_and_tables_and_not_in_code() {
        let text = "# A\n[b](b.md#c) `[no](x)`\n\n| a |\n|---|\n| ![d](d.png) |\n\n```\n[no](x)\n```\n";
        let found: Vec<_> = of(text).into_iter().map(|link| (link.target, link.line)).collect();
        assert_eq!(found, [("b.md#c".to_owned(), 2), ("d.png".to_owned(), 6)]);
    }

    #[test]
    fn headings_are_anchors() {
        let found = anchors("# What `run` does, and why\n## Same\n## Same\n");
        let expected = ["what-run-does-and-why", "same", "same-1"].map(str::to_owned);
        assert_eq!(found, BTreeSet::from(expected));
    }
}

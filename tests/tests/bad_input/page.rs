//! The table of docs/bad-input.md.
//!
//! A row is `` | `name` | case | message | end | ``. The message is one code span per line, joined by `<br>`; `…` stands
//! for any text.

use std::sync::OnceLock;

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/bad-input.md"));

/// One row.
pub struct Row {
    pub name: String,
    message: String,
    end: String,
}

/// What a person sees.
pub struct Seen {
    /// The message, with placeholders.
    pub message: String,
    /// `exit 1`, `HTTP 404`.
    pub end: String,
}

/// All rows, in the page's order.
pub fn rows() -> &'static [Row] {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    ROWS.get_or_init(|| PAGE.lines().filter_map(row).collect())
}

fn row(line: &str) -> Option<Row> {
    let cells: Vec<&str> = line.strip_prefix("| `")?.strip_suffix(" |")?.split(" | ").collect();
    let [name, _, message, end] = cells.as_slice() else { panic!("a row has four cells: {line}") };
    let name = name.strip_suffix('`').expect("a name is a code span").to_owned();
    Some(Row { name, message: code(message), end: (*end).to_owned() })
}

/// The text of a cell's code spans, one line each.
fn code(cell: &str) -> String {
    let spans = cell.split("<br>").map(|span| {
        let fence = span.len() - span.trim_start_matches('`').len();
        let fences = "`".repeat(fence);
        let text = span.strip_prefix(&fences).and_then(|span| span.strip_suffix(&fences)).expect("a code span");
        // One space keeps the backticks of the text and those of the fence apart.
        if fence > 1 { text.strip_prefix(' ').and_then(|text| text.strip_suffix(' ')).unwrap_or(text) } else { text }
    });
    spans.collect::<Vec<_>>().join("\n")
}

/// Asserts that the page's row says what was seen.
pub fn agrees(name: &str, seen: &Seen) {
    let row = rows().iter().find(|row| row.name == name);
    let row = row.unwrap_or_else(|| panic!("docs/bad-input.md has no row for\n{}", line(name, seen)));
    assert!(
        matches(&row.message, &seen.message) && row.end == seen.end,
        "docs/bad-input.md says\n{}\n{}\nand this was seen\n{}\n{}\nwhich is the row\n{}",
        row.message,
        row.end,
        seen.message,
        seen.end,
        line(name, seen)
    );
}

/// The row that would be right.
fn line(name: &str, seen: &Seen) -> String {
    let span = |line: &str| match line.contains('`') {
        true => format!("`` {line} ``"),
        false => format!("`{line}`"),
    };
    let message = seen.message.lines().map(span).collect::<Vec<_>>().join("<br>");
    format!("| `{name}` | … | {message} | {} |", seen.end)
}

/// Whether `text` is `pattern`, in which `…` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

/// `text` with `HOST:PORT`, `HOST`, `JOB` for ids and `FINGERPRINT` for longer hexadecimal numbers.
pub fn placeholders(text: &str) -> String {
    const HOST: &str = "127.0.0.1";
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix(HOST) {
            out.push_str("HOST");
            let port = after.strip_prefix(':').map(|port| port.trim_start_matches(|c: char| c.is_ascii_digit()));
            rest = after;
            if let Some(port) = port.filter(|port| port.len() + 1 < after.len()) {
                out.push_str(":PORT");
                rest = port;
            }
        } else if first.is_ascii_alphanumeric() {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            let word = &rest[..end];
            let is_hex = word.bytes().all(|byte| byte.is_ascii_hexdigit());
            out.push_str(match word.len() {
                32 if is_hex => "JOB",
                33.. if is_hex => "FINGERPRINT",
                _ => word,
            });
            rest = &rest[end..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

#[test]
fn dots_stand_for_anything() {
    assert!(matches("a … c … e", "a b c d e"));
    assert!(matches("plain", "plain"));
    assert!(!matches("plain", "plain text"));
    assert!(!matches("a … c", "a b d"));
    assert!(matches("…", "whatever\nfollows"));
}

#[test]
fn what_differs_from_run_to_run_becomes_a_placeholder() {
    let text = "job 00000000000000000000000000000000 on 127.0.0.1 at 127.0.0.1:8081/x: 0abc";
    assert_eq!(placeholders(text), "job JOB on HOST at HOST:PORT/x: 0abc");
}

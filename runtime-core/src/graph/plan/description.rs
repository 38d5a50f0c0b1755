//! A vertex's chain as a tree of names, in the HTML that the dashboard shows.
//!
//! ```text
//!  Source: A
//!  +- B
//!     :- C
//!     +- D
//! ```

use crate::graph::JobVertex;

/// One line per operator, each ended by `<br/>`.
pub(super) fn of(vertex: &JobVertex) -> String {
    let mut text = String::new();
    if let Some(head) = vertex.operators.first() {
        push_line(&mut text, "", &head.name);
        push_children(&mut text, vertex, 0, "");
    }
    text
}

fn push_children(text: &mut String, vertex: &JobVertex, parent: usize, indent: &str) {
    let is_child = |index: &usize| vertex.operators[*index].input.is_some_and(|input| input.operator == parent);
    // Children come after their parent, so the recursion ends also for a graph that was never validated.
    let children: Vec<usize> = (parent + 1..vertex.operators.len()).filter(is_child).collect();
    for (position, &child) in children.iter().enumerate() {
        let is_last = position + 1 == children.len();
        let (branch, below) = if is_last { ("+- ", "   ") } else { (":- ", ":  ") };
        push_line(text, &format!("{indent}{branch}"), &vertex.operators[child].name);
        push_children(text, vertex, child, &format!("{indent}{below}"));
    }
}

/// The name is the user's and the dashboard shows it as HTML, so it is escaped.
fn push_line(text: &mut String, prefix: &str, name: &str) {
    text.push_str(prefix);
    for character in name.chars() {
        match character {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\n' => text.push_str("<br/>"),
            _ => text.push(character),
        }
    }
    text.push_str("<br/>");
}

//! What is wrong with a script, and where.

use std::fmt;

use datafusion_sql::sqlparser::tokenizer::{Location, Span};

/// A place in the text of a script, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The character in its line.
    pub column: u64,
}

impl Place {
    /// The place of a token; none for a token that is nowhere.
    pub(crate) fn of(location: Location) -> Option<Self> {
        (location.line > 0).then_some(Self { line: location.line, column: location.column })
    }

    /// Where a part of the text begins.
    pub(crate) fn start(span: Span) -> Option<Self> {
        Self::of(span.start)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a script is not run, and the place in it that is to blame, as far as that is known.
#[derive(Debug, thiserror::Error)]
pub struct SqlError {
    /// Where.
    pub place: Option<Place>,
    /// Why.
    #[source]
    pub cause: Cause,
}

/// What can be wrong.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The text is not SQL.
    #[error("{message}")]
    Syntax {
        /// What was expected and what was found.
        message: String,
    },
    /// It is SQL that Flink runs and Pelton does not.
    #[error("{what} is not supported{}", because(.why))]
    NotSupported {
        /// What.
        what: String,
        /// Why, or what to do instead; may be empty.
        why: &'static str,
    },
    /// Nothing has this name.
    #[error("there is no {kind} `{name}`{}", did_you_mean(.nearest))]
    Unknown {
        /// What was looked for: a table, a column, a function, an option.
        kind: &'static str,
        /// Its name.
        name: String,
        /// A name that somebody has.
        nearest: Option<String>,
    },
    /// Something has this name already.
    #[error("the {kind} `{name}` is there already")]
    Exists {
        /// What has it.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A table's definition, or an option of it, does not make sense.
    #[error("table `{table}`: {message}")]
    Table {
        /// The table.
        table: String,
        /// What is wrong, and what was expected.
        message: String,
    },
    /// A query's columns are not those of the table that it is inserted into.
    #[error("the query does not fit table `{table}`: {message}")]
    Sink {
        /// The table.
        table: String,
        /// Which columns differ.
        message: String,
    },
    /// The arguments of a window do not make sense.
    #[error("{function}: {message}")]
    Window {
        /// The window's function.
        function: String,
        /// What is wrong.
        message: String,
    },
    /// The script as a whole is not a job.
    #[error("{0}")]
    Script(&'static str),
    /// A table cannot be written what a query gives: rows that change or delete earlier ones.
    #[error(
        "Table sink 'default_catalog.default_database.{table}' doesn't support consuming {changes} which is produced by node \
         {node}"
    )]
    Changes {
        /// The table.
        table: String,
        /// Which changes.
        changes: &'static str,
        /// The operator that they come from.
        node: String,
    },
    /// A query has no meaning, or none that the planner knows.
    #[error("{message}")]
    Plan {
        /// What the planner says.
        message: String,
    },
    /// A `SET` that the configuration refuses.
    #[error("{message}")]
    Configuration {
        /// What it says.
        message: String,
    },
}

impl SqlError {
    pub(crate) fn at(place: Option<Place>, cause: Cause) -> Self {
        Self { place, cause }
    }

    pub(crate) fn not_supported(place: Option<Place>, what: impl Into<String>, why: &'static str) -> Self {
        Self::at(place, Cause::NotSupported { what: what.into(), why })
    }

    pub(crate) fn table(place: Option<Place>, table: &str, message: impl Into<String>) -> Self {
        Self::at(place, Cause::Table { table: table.to_owned(), message: message.into() })
    }

    pub(crate) fn window(place: Option<Place>, function: &str, message: String) -> Self {
        Self::at(place, Cause::Window { function: function.to_owned(), message })
    }

    pub(crate) fn unknown<'a>(
        place: Option<Place>,
        kind: &'static str,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let nearest = nearest(name, known).map(ToOwned::to_owned);
        Self::at(place, Cause::Unknown { kind, name: name.to_owned(), nearest })
    }

    /// The same error at `place`, if it has none of its own.
    pub(crate) fn or_at(self, place: Option<Place>) -> Self {
        Self { place: self.place.or(place), ..self }
    }

    /// The error with the line of `script` that it is about, and a mark below the place.
    pub fn explain(&self, script: &str) -> String {
        let Some(place) = self.place else { return self.to_string() };
        let line = usize::try_from(place.line).ok().and_then(|line| script.lines().nth(line.checked_sub(1)?));
        let Some(line) = line else { return self.to_string() };
        let before = line.chars().take(place.column.saturating_sub(1) as usize);
        // What is before the mark is as wide as what is before the place: tabs stay tabs.
        let indent: String = before.map(|character| if character == '\t' { '\t' } else { ' ' }).collect();
        let number = place.line.to_string();
        let margin = " ".repeat(number.len());
        format!("{self}\n {margin} |\n {number} | {line}\n {margin} | {indent}^")
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some(place) => write!(f, "{place}: {}", self.cause),
            None => write!(f, "{}", self.cause),
        }
    }
}

fn because(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(": {why}") }
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"))
}

/// The known name that somebody who wrote `name` probably meant.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let distance = |known: &str| strsim::damerau_levenshtein(&name, &known.to_lowercase());
    let nearest = known.into_iter().map(|known| (distance(known), known)).min_by_key(|(distance, _)| *distance)?;
    (nearest.0 <= (name.chars().count() / 3).max(1)).then_some(nearest.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_its_line_and_a_mark_below_the_place() {
        let place = Some(Place { line: 2, column: 9 });
        let error = SqlError::unknown(place, "column", "prise", ["price", "auction"]);
        assert_eq!(
            error.explain("-- a comment\n\tSELECT prise\nFROM bid"),
            "line 2, column 9: there is no column `prise`; did you mean `price`?\n   |\n 2 | \tSELECT prise\n   | \t       ^"
        );
        assert_eq!(error.explain("one line"), "line 2, column 9: there is no column `prise`; did you mean `price`?");
    }

    #[test]
    fn names_that_are_far_from_all_have_no_suggestion() {
        assert_eq!(nearest("Price", ["price", "auction"]), Some("price"));
        assert_eq!(nearest("pirce", ["price", "auction"]), Some("price"));
        assert_eq!(nearest("bidder", ["price", "auction"]), None);
        assert_eq!(nearest("x", []), None);
    }
}

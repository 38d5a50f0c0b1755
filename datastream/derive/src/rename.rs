//! `rename_all`: spelling the words of a name in another case.

use syn::{Error, LitStr, Result};

#[derive(Clone, Copy)]
pub enum Case {
    Lower,
    Upper,
    Pascal,
    Camel,
    Snake,
    ScreamingSnake,
    Kebab,
    ScreamingKebab,
}

const CASES: [(&str, Case); 8] = [
    ("lowercase", Case::Lower),
    ("UPPERCASE", Case::Upper),
    ("PascalCase", Case::Pascal),
    ("camelCase", Case::Camel),
    ("snake_case", Case::Snake),
    ("SCREAMING_SNAKE_CASE", Case::ScreamingSnake),
    ("kebab-case", Case::Kebab),
    ("SCREAMING-KEBAB-CASE", Case::ScreamingKebab),
];

impl Case {
    pub fn parse(text: &LitStr) -> Result<Self> {
        let wanted = text.value();
        match CASES.iter().find(|(name, _)| *name == wanted) {
            Some((_, case)) => Ok(*case),
            None => {
                let known: Vec<_> = CASES.iter().map(|(name, _)| format!("`{name}`")).collect();
                Err(Error::new_spanned(text, format!("unknown case, there are {}", known.join(", "))))
            }
        }
    }

    /// Spells a `snake_case` or `PascalCase` name in this case.
    pub fn apply(self, name: &str) -> String {
        let words = words(name);
        match self {
            Self::Lower => words.concat(),
            Self::Upper => words.concat().to_uppercase(),
            Self::Pascal => words.iter().map(|word| capitalized(word)).collect(),
            Self::Camel => {
                let rest = words.iter().skip(1).map(|word| capitalized(word));
                words.iter().take(1).cloned().chain(rest).collect()
            }
            Self::Snake => words.join("_"),
            Self::ScreamingSnake => words.join("_").to_uppercase(),
            Self::Kebab => words.join("-"),
            Self::ScreamingKebab => words.join("-").to_uppercase(),
        }
    }
}

/// The words of a name in lower case. A word starts after `_`, at an upper-case letter after a
/// lower-case letter or digit, and at the last upper-case letter before a lower-case one.
fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| letters[at]);
        let after = letters.get(at + 1);
        let starts_word = letter.is_uppercase()
            && before.is_some_and(|before| !before.is_uppercase() || after.is_some_and(|after| after.is_lowercase()));
        if *letter == '_' || starts_word {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| *letter != '_') {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_spells_fields_and_variants() {
        let spelled = |name: &str| CASES.map(|(_, case)| case.apply(name));
        let hour = ["timehour", "TIMEHOUR", "TimeHour", "timeHour", "time_hour", "TIME_HOUR", "time-hour", "TIME-HOUR"];
        assert_eq!(spelled("time_hour"), hour);
        assert_eq!(spelled("TimeHour"), hour);
    }

    #[test]
    fn abbreviations_and_digits_stay_within_their_word() {
        assert_eq!(Case::Snake.apply("HTTPServer2Go"), "http_server2_go");
        assert_eq!(Case::Camel.apply("_f0__x"), "f0X");
    }
}

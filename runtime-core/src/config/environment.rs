//! Settings from environment variables: `PELTON_…`, one key each, and the lines of `FLINK_PROPERTIES`.
//!
//! The environment is a map handed in, never the process's own. Empty variables count as not set.

use std::collections::BTreeMap;

use super::known_keys;
use super::problem::{ConfigError, ConfigWarning};
use super::setting::{Origin, Setting};

/// The environment variables of a process.
pub type Environment = BTreeMap<String, String>;

const PREFIX: &str = "PELTON_";
const FLINK_PROPERTIES: &str = "FLINK_PROPERTIES";

/// The settings of the `PELTON_` variables.
///
/// A variable that names no key may be anybody's, say one that Kubernetes makes for a service called
/// `pelton`. So it is worth a warning only when it looks like a mistyped key.
pub(super) fn variables(environment: &Environment, warnings: &mut Vec<ConfigWarning>) -> Vec<Setting> {
    let mut settings = Vec::new();
    for (variable, value) in environment.iter().filter(|(_, value)| !value.is_empty()) {
        let Some(name) = variable.strip_prefix(PREFIX) else { continue };
        let variable = variable.clone();
        match known_keys::key_of_variable(name) {
            Some(key) if name.ends_with("_PORT") && value.contains("://") => {
                warnings.push(ConfigWarning::ServiceLink { variable, key });
            }
            Some(key) => settings.push(Setting {
                key: key.to_owned(),
                value: value.clone(),
                origin: Origin::Environment { variable },
            }),
            None => {
                if let Some(nearest) = nearest_variable(name) {
                    warnings.push(ConfigWarning::UnknownVariable { variable, nearest });
                }
            }
        }
    }
    settings
}

fn nearest_variable(name: &str) -> Option<String> {
    const TYPO: f64 = 0.85;
    super::options::all()
        .map(|option| known_keys::variable_of(option.key()))
        .map(|candidate| (strsim::normalized_damerau_levenshtein(name, &candidate), candidate))
        .filter(|(score, _)| *score >= TYPO)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| format!("{PREFIX}{candidate}"))
}

/// The settings of `FLINK_PROPERTIES`: one `key: value` per line, with `$NAME` and `${NAME}` replaced by
/// environment variables, as the entry point of Flink's images does.
pub(super) fn flink_properties(environment: &Environment, errors: &mut Vec<ConfigError>) -> Vec<Setting> {
    let mut settings: Vec<Setting> = Vec::new();
    let text = environment.get(FLINK_PROPERTIES).map_or("", String::as_str);
    for (index, line) in text.lines().enumerate() {
        let (line, origin) = (line.trim(), Origin::FlinkProperties { line: index + 1 });
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((key, value)) = line.split_once(':') else {
            errors.push(ConfigError::Syntax { origin, reason: "expected `key: value`".to_owned() });
            continue;
        };
        let key = key.trim().to_owned();
        if let Some(earlier) = settings.iter().find(|earlier| earlier.key == key) {
            errors.push(ConfigError::Duplicate { key, first: earlier.origin.clone(), second: origin });
            continue;
        }
        let expanded = expand(value.trim(), environment);
        // Nothing is no value, as in YAML; empty text has quotes.
        if !expanded.is_empty() {
            settings.push(Setting { key, value: unquoted(&expanded).to_owned(), origin });
        }
    }
    settings
}

fn unquoted(value: &str) -> &str {
    let inside = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inside('"').or_else(|| inside('\'')).unwrap_or(value)
}

/// The value with what its variables hold, which is nothing for those that are not set.
fn expand(value: &str, environment: &Environment) -> String {
    let mut expanded = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(dollar) = rest.find('$') {
        let (before, after) = (&rest[..dollar], &rest[dollar + 1..]);
        expanded.push_str(before);
        let (name, tail) = variable_name(after);
        if name.is_empty() {
            expanded.push('$');
        } else {
            expanded.push_str(environment.get(name).map_or("", String::as_str));
        }
        rest = tail;
    }
    expanded.push_str(rest);
    expanded
}

/// The name after a dollar sign, empty if there is none, and what follows it.
fn variable_name(text: &str) -> (&str, &str) {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name_in = |text: &str| match text.chars().next() {
        Some(first) if first.is_ascii_digit() => 0,
        _ => text.find(|c| !is_part(c)).unwrap_or(text.len()),
    };
    if let Some(braced) = text.strip_prefix('{') {
        let end = name_in(braced);
        return match braced[end..].strip_prefix('}') {
            Some(tail) => (&braced[..end], tail),
            None => ("", text),
        };
    }
    text.split_at(name_in(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn properties(lines: &str) -> (Vec<String>, Vec<String>) {
        let mut errors = Vec::new();
        let environment = environment(&[("FLINK_PROPERTIES", lines), ("HOST", "jm.example")]);
        let settings = flink_properties(&environment, &mut errors);
        let show = |setting: &Setting| format!("{}={}", setting.key, setting.value);
        (settings.iter().map(show).collect(), errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn flink_properties_are_lines_with_variables() {
        let (settings, errors) =
            properties("\n  jobmanager.rpc.address: ${HOST}\n  # slots\n  a: $HOST:1 $ $1 ${x\n  b: \"10 s\"\n");
        assert_eq!(settings, ["jobmanager.rpc.address=jm.example", "a=jm.example:1 $ $1 ${x", "b=10 s"]);
        assert!(errors.is_empty(), "{errors:?}");
    }

    #[test]
    fn a_wrong_line_of_flink_properties_is_named() {
        let (settings, errors) = properties("a: 1\nb\na: 2");
        assert_eq!(settings, ["a=1"]);
        let place = "of the environment variable FLINK_PROPERTIES";
        assert_eq!(
            errors,
            [
                format!("line 2 {place}: expected `key: value`"),
                format!("`a` is set twice: line 1 {place} and line 3 {place}; keep one of them"),
            ]
        );
    }

    #[test]
    fn a_variable_that_is_not_set_is_nothing_in_flink_properties() {
        let (settings, errors) = properties("a: x${NOBODY}y\nb: $NOBODY\nc: \"$NOBODY\"\nd:\n");
        assert_eq!(settings, ["a=xy", "c="]);
        assert!(errors.is_empty(), "{errors:?}");
    }

    #[test]
    fn a_variable_sets_the_key_it_is_named_after() {
        let mut warnings = Vec::new();
        let found = variables(
            &environment(&[
                ("PELTON_TASKMANAGER_NUMBEROFTASKSLOTS", "4"),
                ("PELTON_REST_BIND_PORT", ""),
                ("PELTON_REST_PORT", "tcp://10.0.0.7:8081"),
                ("PELTON_SERVICE_HOST", "10.0.0.7"),
                ("PELTON_SLOT_REQUEST_TIMEOT", "1 s"),
                ("REST_PORT", "1"),
            ]),
            &mut warnings,
        );
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].key.as_str(), found[0].value.as_str()), ("taskmanager.numberOfTaskSlots", "4"));
        let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(
            warnings,
            [
                "environment variable PELTON_REST_PORT looks like one of Kubernetes' links to a service, \
                 so it does not set `rest.port`",
                "environment variable PELTON_SLOT_REQUEST_TIMEOT sets no key, \
                 did you mean `PELTON_SLOT_REQUEST_TIMEOUT`?",
            ]
        );
    }
}

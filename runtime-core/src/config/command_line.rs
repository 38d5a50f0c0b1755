//! `-Dkey=value`, as every binary takes it.

use super::problem::ConfigError;

/// Splits what follows `-D`. Without `=` the value is `true`, as in Flink.
pub fn dynamic_property(text: &str) -> Result<(String, String), ConfigError> {
    let (key, value) = text.split_once('=').unwrap_or((text, "true"));
    match key.trim() {
        "" => Err(ConfigError::NoKey { text: text.to_owned() }),
        key => Ok((key.to_owned(), value.trim().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_is_split_at_its_first_equals_sign() {
        let split = |text| dynamic_property(text).unwrap();
        assert_eq!(split("a.b=c=d"), ("a.b".to_owned(), "c=d".to_owned()));
        assert_eq!(split("web.cancel.enable"), ("web.cancel.enable".to_owned(), "true".to_owned()));
        assert_eq!(split("a="), ("a".to_owned(), String::new()));
        assert_eq!(dynamic_property("=1").unwrap_err().to_string(), "`-D=1` names no key, expected `-Dkey=value`");
    }
}

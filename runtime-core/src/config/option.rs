//! What one key is: its type, default, meaning and older names.

use super::value::OptionValue;

/// A key that Pelton acts on.
///
/// Options are made by the tables in [`options`](super::options) only, whose test reads every default. So
/// a value taken from a [`Configuration`](super::Configuration) always exists and always has its type.
pub struct ConfigOption<T: 'static> {
    pub(super) key: &'static str,
    pub(super) default: Option<&'static str>,
    pub(super) shown_default: Option<&'static str>,
    pub(super) fallback_keys: &'static [&'static str],
    pub(super) meaning: &'static str,
    pub(super) must: Option<Must<T>>,
}

/// A rule beyond the type, with its words: "expected <type>, <words>".
pub(super) type Must<T> = (fn(&T) -> bool, &'static str);

impl<T: OptionValue> ConfigOption<T> {
    /// The key.
    pub const fn key(&self) -> &'static str {
        self.key
    }

    /// Reads a text as this option's value, or `None` when it breaks the type or the rule.
    pub(super) fn parse(&self, text: &str) -> Option<T> {
        let value = T::parse(text)?;
        match self.must {
            Some((rule, _)) => rule(&value).then_some(value),
            None => Some(value),
        }
    }
}

/// An option whose type does not matter: what tables, validation and documentation need.
pub trait AnyOption: Sync {
    /// The key.
    fn key(&self) -> &'static str;
    /// The type's name.
    fn type_name(&self) -> &'static str;
    /// The text of the default, if it has one.
    fn default(&self) -> Option<&'static str>;
    /// The default as the documentation shows it.
    fn shown_default(&self) -> &'static str;
    /// What the key does.
    fn meaning(&self) -> &'static str;
    /// Keys that are read, in this order, when the key itself is not set.
    fn fallback_keys(&self) -> &'static [&'static str];
    /// The form a value must have.
    fn expected(&self) -> String;
    /// Whether a text is a value of this option.
    fn accepts(&self, text: &str) -> bool;
    /// Whether an absent setting has a meaning.
    fn may_be_absent(&self) -> bool;
}

impl<T: OptionValue> AnyOption for ConfigOption<T> {
    fn key(&self) -> &'static str {
        self.key
    }

    fn type_name(&self) -> &'static str {
        T::TYPE
    }

    fn default(&self) -> Option<&'static str> {
        self.default
    }

    fn shown_default(&self) -> &'static str {
        self.shown_default.or(self.default).unwrap_or("(none)")
    }

    fn meaning(&self) -> &'static str {
        self.meaning.trim()
    }

    fn fallback_keys(&self) -> &'static [&'static str] {
        self.fallback_keys
    }

    fn expected(&self) -> String {
        match self.must {
            Some((_, words)) => format!("{}, {words}", T::expected()),
            None => T::expected(),
        }
    }

    fn accepts(&self, text: &str) -> bool {
        self.parse(text).is_some()
    }

    fn may_be_absent(&self) -> bool {
        T::absent().is_some()
    }
}

/// One area of the configuration.
pub struct Section {
    /// The heading.
    pub title: &'static str,
    /// The options, in the order of the page.
    pub options: &'static [&'static dyn AnyOption],
}

/// Declares the options of one area and its [`Section`].
///
/// The comment above an option is its meaning, in rustdoc and on the documentation page alike:
///
/// ```text
/// /// Port of the door.
/// DOOR_PORT: u16 = "door.port", default "80", fallback ["gate.port"], must (|port| *port != 0, "not 0");
/// ```
///
/// `shown "…"` is what the page prints as default where the true one is computed.
macro_rules! options {
    (
        $title:literal;
        $(
            $(#[doc = $meaning:literal])+
            $name:ident: $type:ty = $key:literal
                $(, default $default:literal)?
                $(, shown $shown:literal)?
                $(, fallback [$($fallback:literal),+])?
                $(, must ($rule:expr, $words:literal))?;
        )+
    ) => {
        $(
            $(#[doc = $meaning])+
            pub static $name: $crate::config::option::ConfigOption<$type> =
                $crate::config::option::ConfigOption {
                    key: $key,
                    default: $crate::config::option::optional!($($default)?),
                    shown_default: $crate::config::option::optional!($($shown)?),
                    fallback_keys: &[$($($fallback),+)?],
                    meaning: concat!($($meaning),+),
                    must: $crate::config::option::optional!($(($rule, $words))?),
                };
        )+

        /// The options of this file.
        pub static SECTION: $crate::config::option::Section = $crate::config::option::Section {
            title: $title,
            options: &[$(&$name),+],
        };
    };
}

macro_rules! optional {
    () => {
        None
    };
    ($value:expr) => {
        Some($value)
    };
}

pub(super) use {optional, options};

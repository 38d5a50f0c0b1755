//! Accumulators of types of the user's own.
//!
//! The JobManager has none of the user's code, so it cannot merge them: it keeps what each subtask has come to, as JSON, and
//! the program merges when it asks for the result.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Accumulator, AccumulatorValue};

/// What adds values up in a way of its own.
///
/// ```
/// use std::collections::BTreeSet;
/// use pelton_runtime_core::accumulator::CustomAccumulator;
/// use serde::{Deserialize, Serialize};
///
/// /// The different words, of which there are few.
/// #[derive(Default, Serialize, Deserialize)]
/// struct Words(BTreeSet<String>);
///
/// impl CustomAccumulator for Words {
///     type Value = String;
///     type Result = usize;
///
///     fn add(&mut self, word: String) {
///         self.0.insert(word);
///     }
///
///     fn merge(&mut self, other: Self) {
///         self.0.extend(other.0);
///     }
///
///     fn result(&self) -> usize {
///         self.0.len()
///     }
/// }
/// ```
pub trait CustomAccumulator: Default + Serialize + DeserializeOwned + Send + 'static {
    /// What is added.
    type Value;
    /// What it comes to.
    type Result;

    /// Takes a value in.
    fn add(&mut self, value: Self::Value);

    /// Takes in what another subtask has come to.
    fn merge(&mut self, other: Self);

    /// What it has come to.
    fn result(&self) -> Self::Result;
}

/// The handle to which a function adds. All of it becomes JSON twice a second, so it is meant for little.
#[derive(Debug, Default)]
pub struct Custom<A>(Arc<Mutex<A>>);

impl<A> Clone for Custom<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A: CustomAccumulator> Custom<A> {
    /// Takes a value in.
    pub fn add(&self, value: A::Value) {
        self.0.lock().add(value);
    }
}

impl<A: CustomAccumulator> Accumulator for Custom<A> {
    fn value(&self) -> AccumulatorValue {
        let kind = std::any::type_name::<A>().to_owned();
        match serde_json::to_string(&*self.0.lock()) {
            Ok(part) => AccumulatorValue::Custom { kind, parts: vec![part] },
            Err(error) => AccumulatorValue::Failed(format!("a `{}` has no JSON form: {error}", short_name(&kind))),
        }
    }
}

impl AccumulatorValue {
    /// What an accumulator of the type `A` has come to, of all subtasks; none when it is of another type.
    ///
    /// # Errors
    ///
    /// When what a subtask has come to is not an `A`.
    pub fn as_custom<A: CustomAccumulator>(&self) -> Option<Result<A::Result, serde_json::Error>> {
        let Self::Custom { kind, parts } = self else { return None };
        if kind != std::any::type_name::<A>() {
            return None;
        }
        let merged = parts.iter().try_fold(A::default(), |mut merged, part| {
            merged.merge(serde_json::from_str(part)?);
            Ok(merged)
        });
        Some(merged.map(|merged| merged.result()))
    }
}

/// A type's name without the paths of modules.
pub(super) fn short_name(full: &str) -> String {
    let mut short = String::new();
    let mut segment = String::new();
    for letter in full.chars() {
        match letter {
            ':' => segment.clear(),
            letter if letter.is_alphanumeric() || letter == '_' => segment.push(letter),
            other => {
                short.push_str(&std::mem::take(&mut segment));
                short.push(other);
            }
        }
    }
    short + &segment
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::Deserialize;

    use super::*;

    #[derive(Default, Serialize, Deserialize)]
    struct Words(BTreeSet<String>);

    impl CustomAccumulator for Words {
        type Value = &'static str;
        type Result = usize;

        fn add(&mut self, word: &'static str) {
            self.0.insert(word.to_owned());
        }

        fn merge(&mut self, other: Self) {
            self.0.extend(other.0);
        }

        fn result(&self) -> usize {
            self.0.len()
        }
    }

    #[derive(Default, Serialize, Deserialize)]
    struct Pairs(std::collections::BTreeMap<(u8, u8), u8>);

    impl CustomAccumulator for Pairs {
        type Value = ();
        type Result = ();
        fn add(&mut self, (): ()) {
            self.0.insert((1, 2), 3);
        }
        fn merge(&mut self, _other: Self) {}
        fn result(&self) {}
    }

    #[test]
    fn the_program_merges_what_subtasks_have_come_to() {
        let (first, second) = (Custom::<Words>::default(), Custom::<Words>::default());
        ["a", "b", "a"].into_iter().for_each(|word| first.add(word));
        ["b", "c"].into_iter().for_each(|word| second.add(word));
        let mut value = first.value();
        value.merge(&second.value()).unwrap();
        assert_eq!(value.type_name(), "Words");
        assert_eq!(value.to_string(), r#"[["a","b"], ["b","c"]]"#);
        assert_eq!(value.as_custom::<Words>().unwrap().unwrap(), 3);
        assert!(value.as_custom::<Pairs>().is_none());
    }

    #[test]
    fn what_has_no_json_form_is_said_in_place_of_its_value() {
        let pairs = Custom::<Pairs>::default();
        pairs.add(());
        let value = pairs.value();
        assert_eq!(value.type_name(), "FailedAccumulator");
        assert!(value.to_string().starts_with("a `Pairs` has no JSON form"), "{value}");
    }

    /// Another accumulator of that name.
    mod other {
        use super::*;

        #[derive(Default, Serialize, Deserialize)]
        pub(super) struct Words(u64);

        impl CustomAccumulator for Words {
            type Value = u64;
            type Result = u64;
            fn add(&mut self, words: u64) {
                self.0 += words;
            }
            fn merge(&mut self, other: Self) {
                self.0 += other.0;
            }
            fn result(&self) -> u64 {
                self.0
            }
        }
    }

    #[test]
    fn types_of_one_name_in_two_modules_are_two() {
        let (words, counts) = (Custom::<Words>::default(), Custom::<other::Words>::default());
        counts.add(3);
        assert!(counts.value().as_custom::<Words>().is_none());
        assert_eq!(counts.value().as_custom::<other::Words>().unwrap().unwrap(), 3);
        let error = words.value().merge(&counts.value()).unwrap_err().to_string();
        assert!(error.contains("tests::Words and") && error.ends_with("tests::other::Words"), "{error}");
    }

    #[test]
    fn names_are_without_paths() {
        assert_eq!(short_name("a::b::Set<alloc::string::String>"), "Set<String>");
        assert_eq!(short_name("Words"), "Words");
    }
}

//! What the derive macro's attributes do, and records that grew since their batch was written.

use super::{batch, check_reads};
use crate::record::Record;

#[derive(Debug, Clone, PartialEq, Record)]
struct Before {
    id: i64,
}

#[derive(Debug, Clone, PartialEq, Record)]
struct After {
    id: i64,
    #[record(default)]
    name: String,
    #[record(default)]
    score: Option<f64>,
    #[record(default)]
    level: Level,
    #[record(default)]
    history: Vec<Level>,
}

#[derive(Debug, Clone, PartialEq, Record)]
enum Level {
    Beginner { lessons: u8 },
    Expert,
}

#[test]
fn a_field_with_a_default_may_lack_its_column() {
    let expected =
        |id| After { id, name: String::new(), score: None, level: Level::Beginner { lessons: 0 }, history: vec![] };
    check_reads(&batch(&[Before { id: 1 }, Before { id: 2 }]), &[expected(1), expected(2)]);
    assert_eq!(After::scratch(), expected(0));
}

#[test]
fn a_field_with_a_default_uses_the_column_that_is_there() {
    let record = After {
        id: 1,
        name: "ann".into(),
        score: Some(0.5),
        level: Level::Expert,
        history: vec![Level::Beginner { lessons: 3 }],
    };
    check_reads(&batch(std::slice::from_ref(&record)), &[record]);
}

mod elsewhere {
    use crate::record::Record;

    #[derive(Debug, Clone, PartialEq, Record)]
    pub struct Visible {
        pub shown: i64,
        hidden: i64,
    }

    pub fn visible() -> Visible {
        assert_eq!(Visible::hidden.name(), "hidden");
        Visible { shown: 1, hidden: 2 }
    }
}

#[test]
fn a_column_is_as_visible_as_its_field() {
    assert_eq!(*elsewhere::Visible::shown.get(&elsewhere::visible()), 1);
}

#[test]
fn records_whose_names_hide_the_preludes_compile() {
    #![allow(dead_code)]
    mod hostile {
        type Option = ();
        type Vec = ();
        type String = ();
        struct Some;
        trait Clone {}
        #[derive(::core::clone::Clone, ::core::fmt::Debug, PartialEq, pelton::Record)]
        pub struct Result {
            pub columns: i64,
            pub builder: bool,
        }
        #[derive(::core::clone::Clone, ::core::fmt::Debug, PartialEq, pelton::Record)]
        pub enum Reading {
            Some { row: i64, value: u8, code: u16, codes: u16 },
            None,
        }
        #[derive(::core::clone::Clone, ::core::fmt::Debug, PartialEq, pelton::Record)]
        pub struct Reader {
            pub builder: Builder,
        }
        #[derive(::core::clone::Clone, ::core::fmt::Debug, PartialEq, pelton::Record)]
        pub enum Builder {
            Columns(u8),
        }
    }
    use hostile::{Builder, Reader, Reading, Result};
    super::check(&[(Result { columns: 1, builder: true }, Reading::Some { row: 1, value: 2, code: 3, codes: 4 })]);
    super::check(&[Reading::None]);
    super::check(&[Reader { builder: Builder::Columns(1) }]);
}

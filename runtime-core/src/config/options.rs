//! Every key that Pelton acts on, one file per area.
//!
//! A key belongs here from the day something honours it, not earlier: a Flink key that is missing here is
//! answered with a warning, which is the truth, while a key that is read and ignored would be a lie.

use super::option::{AnyOption, Section};

pub mod blob;
pub mod checkpointing;
pub mod cluster;
pub mod env;
pub mod execution;
pub mod heartbeat;
pub mod io;
pub mod jobmanager;
pub mod log;
pub mod memory;
pub mod pipeline;
pub mod rest;
pub mod restart_strategy;
pub mod rocksdb;
pub mod s3;
pub mod sink;
pub mod slot;
pub mod state_recovery;
pub mod task;
pub mod taskmanager;
pub mod web;

/// All areas, in the order of the documentation page.
pub static SECTIONS: [&Section; 21] = [
    &jobmanager::SECTION,
    &taskmanager::SECTION,
    &memory::SECTION,
    &rest::SECTION,
    &web::SECTION,
    &slot::SECTION,
    &heartbeat::SECTION,
    &task::SECTION,
    &cluster::SECTION,
    &blob::SECTION,
    &io::SECTION,
    &env::SECTION,
    &log::SECTION,
    &pipeline::SECTION,
    &execution::SECTION,
    &checkpointing::SECTION,
    &state_recovery::SECTION,
    &rocksdb::SECTION,
    &restart_strategy::SECTION,
    &sink::SECTION,
    &s3::SECTION,
];

/// All options, in the order of the documentation page.
pub fn all() -> impl Iterator<Item = &'static dyn AnyOption> {
    SECTIONS.iter().flat_map(|section| section.options).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::known_keys;
    use std::collections::BTreeSet;

    #[test]
    fn every_option_has_a_value_when_nothing_is_set() {
        for option in all() {
            match option.default() {
                Some(default) => assert!(option.accepts(default), "{} = {default}", option.key()),
                None => assert!(option.may_be_absent(), "{}", option.key()),
            }
        }
    }

    #[test]
    fn keys_are_unique_and_are_flinks_or_our_own() {
        let mut seen = BTreeSet::new();
        for option in all() {
            assert!(seen.insert(option.key()), "{} is declared twice", option.key());
            // Those of Flink's file systems are in no list of its core.
            let of_plugin = option.key().starts_with("s3.");
            assert!(
                of_plugin || option.key().starts_with("pelton.") || known_keys::is_exact_flink_key(option.key()),
                "Flink has no {}",
                option.key()
            );
            for old in option.fallback_keys() {
                assert!(of_plugin || known_keys::is_exact_flink_key(old), "Flink has no {old}");
            }
        }
    }
}

//! The expected sizes come from a real Flink 2.2 with `jvm-metaspace.size` (256 MiB) taken off the process.

use super::*;
use crate::config::{ConfigErrors, Configuration};

fn configuration(settings: &[(&str, &str)]) -> Result<Configuration, ConfigErrors> {
    Configuration::from_map(
        settings
            .iter()
            .map(|(key, value)| {
                let short = key.starts_with("taskmanager.");
                let key = if short { (*key).to_owned() } else { format!("taskmanager.memory.{key}") };
                (key, (*value).to_owned())
            })
            .collect(),
    )
}

fn derive(settings: &[(&str, &str)]) -> MemoryBudget {
    MemoryBudget::derive(&configuration(settings).unwrap()).unwrap()
}

/// `[process, flink, task heap, managed, network, overhead]`
fn bytes(settings: &[(&str, &str)]) -> [u64; 6] {
    let budget = derive(settings);
    [budget.total_process, budget.total_flink, budget.task_heap, budget.managed, budget.network, budget.overhead]
        .map(ByteSize::as_bytes)
}

const METASPACE: u64 = 256 << 20;

#[test]
fn flink_size_is_divided_as_flink_does() {
    let process = 1_811_939_328 - METASPACE;
    let expected = [process, 1_342_177_280, 402_653_174, 536_870_920, 134_217_730, 201_326_592];
    assert_eq!(bytes(&[("flink.size", "1280m")]), expected);
    assert_eq!(bytes(&[("process.size", "1472m")]), expected);
    let large = bytes(&[("flink.size", "15837691904")]);
    assert_eq!(large[1..5], [15_837_691_904, 7_650_410_378, 6_335_076_856, 1_583_769_214]);
    assert_eq!(large[5], 1 << 30);
}

#[test]
fn fractions_and_bounds_of_the_network_count() {
    let settings = [
        ("flink.size", "3597035104"),
        ("managed.fraction", "0.2"),
        ("network.fraction", "0.2"),
        ("network.max", "256m"),
    ];
    assert_eq!(bytes(&settings)[2..5], [2_340_757_161, 719_407_031, 268_435_456]);
    let off_heap = [("flink.size", "1664299824"), ("task.off-heap.size", "256m")];
    assert_eq!(bytes(&off_heap)[2..5], [295_278_989, 665_719_939, 166_429_984]);
}

#[test]
fn task_and_managed_size_determine_the_whole() {
    let fine = [("task.heap.size", "1g"), ("managed.size", "512m")];
    assert_eq!(bytes(&fine)[1..5], [2_087_831_327, 1_073_741_824, 536_870_912, 208_783_135]);
    let whole = [("task.heap.size", "1g"), ("managed.size", "512m"), ("flink.size", "2g"), ("process.size", "2304m")];
    assert_eq!(bytes(&whole), [2304 << 20, 2 << 30, 1 << 30, 512 << 20, 256 << 20, 256 << 20]);
}

#[test]
fn the_task_size_alone_leaves_the_rest_to_the_network() {
    let settings = [("flink.size", "2g"), ("task.heap.size", "512m"), ("managed.fraction", "0.25")];
    assert_eq!(bytes(&settings)[2..5], [512 << 20, 512 << 20, 768 << 20]);
}

#[test]
fn nothing_set_means_the_size_that_flink_ships() {
    assert_eq!(derive(&[]).total_process, ByteSize::from_mib(1728));
}

#[test]
fn slots_share_evenly() {
    let budget = derive(&[("flink.size", "3597035104"), ("taskmanager.numberOfTaskSlots", "4")]);
    assert_eq!(
        budget.per_slot(),
        SlotMemory {
            task: ByteSize::from_bytes(1_530_082_070 / 4),
            managed: ByteSize::from_bytes(1_438_814_063 / 4),
            network: ByteSize::from_bytes(359_703_515 / 4),
        }
    );
    assert_eq!(budget.framework(), ByteSize::from_mib(256));
}

#[test]
fn sizes_that_do_not_fit_are_refused_with_the_sum() {
    let refused = |settings: &[(&str, &str)]| configuration(settings).unwrap_err().to_string();
    for (settings, expected) in [
        (
            &[("process.size", "100m")][..],
            "`taskmanager.memory.process.size` (100 mb) is too small for `taskmanager.memory.jvm-overhead.*` (192 mb)",
        ),
        (
            &[("process.size", "1g"), ("managed.size", "900m")],
            "what the overhead leaves (832 mb) is too small for framework (128 mb and 128 mb), task (0 bytes and \
             0 bytes) and managed memory (900 mb) and network memory (87241524 bytes)",
        ),
        (
            &[("network.min", "2g"), ("network.max", "1g")],
            "`taskmanager.memory.network.min` (2 gb) is more than `taskmanager.memory.network.max` (1 gb)",
        ),
        (
            &[("flink.size", "1g"), ("process.size", "4g")],
            "the other settings leave 3 gb for `taskmanager.memory.jvm-overhead.*`, which must be between 192 mb and 1 gb",
        ),
        (
            &[("task.heap.size", "9223372036854775807"), ("managed.size", "9223372036854775807")],
            "`taskmanager.memory.flink.size` (9223372036854775807 bytes) is too small for",
        ),
    ] {
        let message = refused(settings);
        assert!(message.contains(expected), "{message}");
    }
}

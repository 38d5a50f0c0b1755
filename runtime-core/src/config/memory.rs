//! Divides a TaskManager's memory the way Flink does, for processes without a JVM.
//!
//! ```text
//!  process.size ─┬─ overhead       what no budget governs: code, stacks, the allocator's reserve
//!                └─ flink.size ─┬─ framework   supervisor's and workers' own structures
//!                               ├─ task        operators, user code and the batches they hold
//!                               ├─ managed     state, sorting, caches ─┐ split evenly
//!                               └─ network     data between tasks     ─┘ among the slots
//! ```
//!
//! The process of the name is the supervisor with all of its workers. Flink's formulas apply, with one
//! difference: there is no metaspace, so what Flink sets aside for it goes to tasks, managed memory and network.
//! A setting in `jvm-metaspace.size` is answered with a warning. Heap and off-heap are kept apart only because
//! REST answers and Flink's keys do so.
//!
//! Given most precisely wins: task heap and managed size together, else `flink.size`, else `process.size`, else
//! 1728 MiB as in Flink's shipped file. Whatever else is given must then fit.

use std::fmt;
use std::ops::RangeInclusive;

use super::byte_size::ByteSize;
use super::configuration::Configuration;
use super::options::{memory, taskmanager};

/// What is used when nothing is set: the size in the configuration file that Flink ships.
const DEFAULT_PROCESS_SIZE: ByteSize = ByteSize::from_mib(1728);

/// How much memory each purpose has, for one TaskManager with all of its workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBudget {
    /// Everything: the number that an operator sets as the container's limit.
    pub total_process: ByteSize,
    /// Everything without the overhead.
    pub total_flink: ByteSize,
    /// First part of the framework's memory.
    pub framework_heap: ByteSize,
    /// Second part of the framework's memory.
    pub framework_off_heap: ByteSize,
    /// First part of the tasks' memory.
    pub task_heap: ByteSize,
    /// Second part of the tasks' memory.
    pub task_off_heap: ByteSize,
    /// For state, sorting and caches.
    pub managed: ByteSize,
    /// For data between tasks.
    pub network: ByteSize,
    /// For what no budget governs.
    pub overhead: ByteSize,
    slots: u32,
}

/// The share of one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotMemory {
    /// For operators, user code and the batches they hold.
    pub task: ByteSize,
    /// For state, sorting and caches.
    pub managed: ByteSize,
    /// For data between tasks.
    pub network: ByteSize,
}

/// Memory sizes that are impossible together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryConflict {
    /// The parts are larger than the whole.
    #[error("{whole_key} ({whole}) is too small for {parts}")]
    DoesNotFit {
        /// What is divided.
        whole_key: &'static str,
        /// Its size.
        whole: ByteSize,
        /// What has to fit, with sizes.
        parts: String,
    },
    /// What other settings leave for a part is outside of the part's bounds.
    #[error("the other settings leave {left} for `{key}.*`, which must be between {least} and {most}")]
    OutOfBounds {
        /// The part's keys, without `.min` and the like.
        key: &'static str,
        /// What is left.
        left: ByteSize,
        /// The lower bound.
        least: ByteSize,
        /// The upper bound.
        most: ByteSize,
    },
    /// A lower bound above the upper one.
    #[error("`{key}.min` ({least}) is more than `{key}.max` ({most})")]
    EmptyBounds {
        /// The part's keys, without `.min` and `.max`.
        key: &'static str,
        /// The lower bound.
        least: ByteSize,
        /// The upper bound.
        most: ByteSize,
    },
}

const NETWORK: &str = "taskmanager.memory.network";
const OVERHEAD: &str = "taskmanager.memory.jvm-overhead";
const PROCESS_KEY: &str = "`taskmanager.memory.process.size`";
const FLINK_KEY: &str = "`taskmanager.memory.flink.size`";

impl MemoryBudget {
    /// Computes the budget that a configuration asks for.
    pub fn derive(configuration: &Configuration) -> Result<Self, MemoryConflict> {
        let task_heap = configuration.get(&memory::TASK_HEAP_SIZE);
        let managed = configuration.get(&memory::MANAGED_SIZE);
        let flink = configuration.get(&memory::FLINK_SIZE);
        let process = configuration.get(&memory::PROCESS_SIZE);
        let network = Share::network(configuration)?;
        let overhead = Share::overhead(configuration)?;
        match (task_heap, managed, flink) {
            (Some(task_heap), Some(managed), _) => {
                let parts = Parts::new(configuration, task_heap, managed);
                let network = match flink {
                    Some(flink) => network.rest(flink, parts.sum()?, FLINK_KEY, &parts)?,
                    None => network.of_rest(parts.sum()?),
                };
                let flink = sum([parts.sum()?, network], FLINK_KEY)?;
                Self::around(configuration, parts, network, flink, process, &overhead)
            }
            (_, _, Some(flink)) => {
                let (parts, network) = divide(configuration, flink, FLINK_KEY, &network)?;
                Self::around(configuration, parts, network, flink, process, &overhead)
            }
            _ => {
                let process = process.unwrap_or(DEFAULT_PROCESS_SIZE);
                let overhead_size = overhead.of_whole(process);
                let flink = process.checked_sub(overhead_size).ok_or_else(|| MemoryConflict::DoesNotFit {
                    whole_key: PROCESS_KEY,
                    whole: process,
                    parts: format!("`{OVERHEAD}.*` ({overhead_size})"),
                })?;
                let (parts, network) = divide(configuration, flink, "what the overhead leaves", &network)?;
                Ok(Self::of(configuration, parts, network, flink, process, overhead_size))
            }
        }
    }

    /// Puts the overhead around what Flink's memory turned out to be.
    fn around(
        configuration: &Configuration,
        parts: Parts,
        network: ByteSize,
        flink: ByteSize,
        process: Option<ByteSize>,
        overhead: &Share,
    ) -> Result<Self, MemoryConflict> {
        let overhead = match process {
            Some(process) => overhead.rest(process, flink, PROCESS_KEY, &format!("{FLINK_KEY} ({flink})"))?,
            None => overhead.of_rest(flink),
        };
        let process = sum([flink, overhead], PROCESS_KEY)?;
        Ok(Self::of(configuration, parts, network, flink, process, overhead))
    }

    fn of(
        configuration: &Configuration,
        parts: Parts,
        network: ByteSize,
        total_flink: ByteSize,
        total_process: ByteSize,
        overhead: ByteSize,
    ) -> Self {
        let Parts { framework_heap, framework_off_heap, task_heap, task_off_heap, managed } = parts;
        let slots = configuration.get(&taskmanager::NUMBER_OF_TASK_SLOTS);
        Self {
            total_process,
            total_flink,
            framework_heap,
            framework_off_heap,
            task_heap,
            task_off_heap,
            managed,
            network,
            overhead,
            slots,
        }
    }

    /// Memory of the supervisor's and the workers' own structures.
    pub fn framework(&self) -> ByteSize {
        ByteSize::from_bytes(self.framework_heap.as_bytes() + self.framework_off_heap.as_bytes())
    }

    /// Memory for operators, user code and the batches they hold.
    pub fn task(&self) -> ByteSize {
        ByteSize::from_bytes(self.task_heap.as_bytes() + self.task_off_heap.as_bytes())
    }

    /// The share of each slot.
    pub fn per_slot(&self) -> SlotMemory {
        let share = |size: ByteSize| ByteSize::from_bytes(size.as_bytes() / u64::from(self.slots));
        SlotMemory { task: share(self.task()), managed: share(self.managed), network: share(self.network) }
    }
}

/// All of Flink's memory but the network's.
struct Parts {
    framework_heap: ByteSize,
    framework_off_heap: ByteSize,
    task_heap: ByteSize,
    task_off_heap: ByteSize,
    managed: ByteSize,
}

impl Parts {
    fn new(configuration: &Configuration, task_heap: ByteSize, managed: ByteSize) -> Self {
        Self {
            framework_heap: configuration.get(&memory::FRAMEWORK_HEAP_SIZE),
            framework_off_heap: configuration.get(&memory::FRAMEWORK_OFF_HEAP_SIZE),
            task_heap,
            task_off_heap: configuration.get(&memory::TASK_OFF_HEAP_SIZE),
            managed,
        }
    }

    fn sum(&self) -> Result<ByteSize, MemoryConflict> {
        let Self { framework_heap, framework_off_heap, task_heap, task_off_heap, managed } = *self;
        sum([framework_heap, framework_off_heap, task_heap, task_off_heap, managed], FLINK_KEY)
    }
}

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "framework ({} and {}), task ({} and {}) and managed memory ({})",
            self.framework_heap, self.framework_off_heap, self.task_heap, self.task_off_heap, self.managed
        )
    }
}

/// Divides Flink's memory: managed and network by setting or fraction, the rest to the tasks, or, when the tasks'
/// memory is given, the rest to the network.
fn divide(
    configuration: &Configuration,
    flink: ByteSize,
    flink_name: &'static str,
    network: &Share,
) -> Result<(Parts, ByteSize), MemoryConflict> {
    let fraction = configuration.get(&memory::MANAGED_FRACTION).as_f64();
    let managed = configuration.get(&memory::MANAGED_SIZE).unwrap_or_else(|| flink.scaled(fraction));
    if let Some(task_heap) = configuration.get(&memory::TASK_HEAP_SIZE) {
        let parts = Parts::new(configuration, task_heap, managed);
        let network = network.rest(flink, parts.sum()?, flink_name, &parts)?;
        return Ok((parts, network));
    }
    let mut parts = Parts::new(configuration, ByteSize::ZERO, managed);
    let network = network.of_whole(flink);
    let taken = sum([parts.sum()?, network], FLINK_KEY)?;
    parts.task_heap = flink.checked_sub(taken).ok_or_else(|| MemoryConflict::DoesNotFit {
        whole_key: flink_name,
        whole: flink,
        parts: format!("{parts} and network memory ({network})"),
    })?;
    Ok((parts, network))
}

/// A part that is a fraction of a whole, within bounds.
struct Share {
    key: &'static str,
    fraction: f64,
    bounds: RangeInclusive<ByteSize>,
}

impl Share {
    fn network(configuration: &Configuration) -> Result<Self, MemoryConflict> {
        let most = configuration.get(&memory::NETWORK_MAX).unwrap_or(ByteSize::MAX);
        let fraction = configuration.get(&memory::NETWORK_FRACTION).as_f64();
        Self::new(NETWORK, fraction, configuration.get(&memory::NETWORK_MIN), most)
    }

    fn overhead(configuration: &Configuration) -> Result<Self, MemoryConflict> {
        let fraction = configuration.get(&memory::OVERHEAD_FRACTION).as_f64();
        let least = configuration.get(&memory::OVERHEAD_MIN);
        Self::new(OVERHEAD, fraction, least, configuration.get(&memory::OVERHEAD_MAX))
    }

    fn new(key: &'static str, fraction: f64, least: ByteSize, most: ByteSize) -> Result<Self, MemoryConflict> {
        match least <= most {
            true => Ok(Self { key, fraction, bounds: least..=most }),
            false => Err(MemoryConflict::EmptyBounds { key, least, most }),
        }
    }

    /// The part, when the whole is known.
    fn of_whole(&self, whole: ByteSize) -> ByteSize {
        whole.scaled(self.fraction).clamp(*self.bounds.start(), *self.bounds.end())
    }

    /// The part, when all the others are known.
    fn of_rest(&self, others: ByteSize) -> ByteSize {
        let factor = self.fraction / (1.0 - self.fraction);
        others.scaled(factor).clamp(*self.bounds.start(), *self.bounds.end())
    }

    /// What the others leave of the whole, which the bounds must allow.
    fn rest(
        &self,
        whole: ByteSize,
        others: ByteSize,
        whole_key: &'static str,
        parts: &impl fmt::Display,
    ) -> Result<ByteSize, MemoryConflict> {
        let left = whole.checked_sub(others).ok_or_else(|| MemoryConflict::DoesNotFit {
            whole_key,
            whole,
            parts: parts.to_string(),
        })?;
        match self.bounds.contains(&left) {
            true => Ok(left),
            false => Err(MemoryConflict::OutOfBounds {
                key: self.key,
                left,
                least: *self.bounds.start(),
                most: *self.bounds.end(),
            }),
        }
    }
}

fn sum<const N: usize>(sizes: [ByteSize; N], whole_key: &'static str) -> Result<ByteSize, MemoryConflict> {
    sizes.into_iter().try_fold(ByteSize::ZERO, ByteSize::checked_add).filter(|sum| *sum <= ByteSize::MAX).ok_or_else(
        || MemoryConflict::DoesNotFit {
            whole_key,
            whole: ByteSize::MAX,
            parts: sizes.map(|size| size.to_string()).join(" + "),
        },
    )
}

#[cfg(test)]
mod tests;

//! Which operators share slots, and what such a slot must have.

use pelton_runtime_core::config::ByteSize;
use pelton_runtime_core::graph::slot_resources::SlotResources;

/// A group of operators whose subtasks share slots. A name alone is one, too.
///
/// What it asks for is held against what a slot has: the share of its TaskManager, whose memory and cores are divided by the number
/// of its slots. Slots are not cut to size: a job whose group asks for more than a slot has fails with both figures
/// when its tasks are to start there.
///
/// ```
/// use pelton::stream::SlotSharingGroup;
/// use pelton::testing::mini_cluster;
///
/// # fn main() -> Result<(), pelton::ExecuteError> {
/// let group = SlotSharingGroup::new_builder("models").set_cpu_cores(0.1).set_task_heap_memory_mb(16).build();
/// let numbers = mini_cluster(1).from_sequence(1, 3).map(|n| n * 2).slot_sharing_group(group);
/// assert_eq!(numbers.execute_and_collect("groups")?.collect::<Result<Vec<_>, _>>()?, [2, 4, 6]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SlotSharingGroup {
    name: String,
    resources: Option<SlotResources>,
}

impl SlotSharingGroup {
    /// A group that is to ask for something.
    pub fn new_builder(name: impl Into<String>) -> SlotSharingGroupBuilder {
        SlotSharingGroupBuilder { name: name.into(), resources: SlotResources::default() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn into_parts(self) -> (String, Option<SlotResources>) {
        (self.name, self.resources)
    }
}

impl From<&str> for SlotSharingGroup {
    fn from(name: &str) -> Self {
        name.to_owned().into()
    }
}

impl From<&String> for SlotSharingGroup {
    fn from(name: &String) -> Self {
        name.clone().into()
    }
}

impl From<String> for SlotSharingGroup {
    fn from(name: String) -> Self {
        Self { name, resources: None }
    }
}

/// Says what a group asks for.
#[derive(Debug, Clone)]
#[must_use = "`build` makes the group"]
pub struct SlotSharingGroupBuilder {
    name: String,
    resources: SlotResources,
}

impl SlotSharingGroupBuilder {
    /// Cores, or parts of one.
    ///
    /// # Panics
    ///
    /// When they are no number above 0.
    #[track_caller]
    pub fn set_cpu_cores(mut self, cores: f64) -> Self {
        assert!(cores > 0.0 && cores.is_finite(), "a slot has CPU cores, not {cores} of them");
        self.resources.cpu_cores = Some(cores);
        self
    }

    /// Memory for operators, your code and the records they hold, in MiB. There is no heap that a garbage collector manages:
    /// the name is Flink's.
    pub fn set_task_heap_memory_mb(mut self, mib: u32) -> Self {
        self.resources.task_memory = Some(ByteSize::from_bytes(u64::from(mib) << 20));
        self
    }

    /// Memory for state and caches, in MiB.
    pub fn set_managed_memory_mb(mut self, mib: u32) -> Self {
        self.resources.managed_memory = Some(ByteSize::from_bytes(u64::from(mib) << 20));
        self
    }

    /// The group.
    pub fn build(self) -> SlotSharingGroup {
        let resources = Some(self.resources).filter(|resources| *resources != SlotResources::default());
        SlotSharingGroup { name: self.name, resources }
    }
}

#[cfg(test)]
mod tests {
    use pelton_runtime_core::config::ByteSize;

    use super::SlotSharingGroup;
    use crate::testing::mini_cluster;

    #[test]
    fn a_group_that_asks_for_more_than_a_slot_has_fails_the_job_with_both_figures() {
        let env = mini_cluster(1);
        let huge = SlotSharingGroup::new_builder("huge").set_task_heap_memory_mb(1 << 30).build();
        env.from_sequence(1, 3).slot_sharing_group(huge).discard();
        let said = env.execute("huge").unwrap_err().to_string();
        assert!(said.contains("the slot sharing group `huge` asks for 1024 tb of task memory in a slot"), "{said}");
        let found = said.split("and a slot of this TaskManager has ").nth(1).expect("it says what there is");
        let found = found.split(':').next().expect("and goes on");
        let bytes: ByteSize = found.parse().expect("a figure");
        assert!(bytes > ByteSize::from_bytes(1 << 20) && bytes < ByteSize::from_bytes(1 << 50), "{found}");
    }

    #[test]
    fn so_does_one_that_asks_for_more_cores() {
        let env = mini_cluster(1);
        let busy = SlotSharingGroup::new_builder("busy").set_cpu_cores(1e6).build();
        env.from_sequence(1, 3).slot_sharing_group(busy).discard();
        let said = env.execute("busy").unwrap_err().to_string();
        assert!(said.contains("`busy` asks for 1000000 of CPU cores in a slot, and a slot of this"), "{said}");
    }

    #[test]
    fn one_group_asks_for_one_thing() {
        let group = |mib| SlotSharingGroup::new_builder("g").set_managed_memory_mb(mib).build();
        let env = mini_cluster(1);
        env.from_sequence(1, 3).slot_sharing_group(group(1)).map(|n| *n).slot_sharing_group(group(2)).discard();
        let said = env.program("g").unwrap_err().to_string();
        assert!(said.contains("the slot sharing group `g` is given two different sets of resources"), "{said}");
    }
}

//! What a slot must have for the tasks of a slot sharing group.

use std::fmt;

use crate::config::ByteSize;

/// What a group asks of each of its slots; nothing where nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SlotResources {
    /// Cores, or parts of one.
    pub cpu_cores: Option<f64>,
    /// Memory for operators, the user's code and the batches they hold.
    pub task_memory: Option<ByteSize>,
    /// Memory for state and caches.
    pub managed_memory: Option<ByteSize>,
}

/// A slot has less than a group asks for.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "the slot sharing group `{group}` asks for {asked} of {what} in a slot, and a slot of this TaskManager has {found}: \
     start TaskManagers with more of it ({keys}), or with fewer slots (`taskmanager.numberOfTaskSlots`)"
)]
pub struct SlotTooSmall {
    /// The group.
    pub group: String,
    /// What there is too little of.
    pub what: &'static str,
    /// What is asked for.
    pub asked: String,
    /// What there is.
    pub found: String,
    /// What would change it.
    pub keys: &'static str,
}

impl SlotResources {
    /// Whether a slot that has `slot` is enough for a group.
    ///
    /// # Errors
    ///
    /// What there is too little of.
    pub fn fit(&self, group: &str, slot: &Self) -> Result<(), SlotTooSmall> {
        let short = |what, asked: &dyn fmt::Display, found: &dyn fmt::Display, keys| {
            let (group, asked, found) = (group.to_owned(), asked.to_string(), found.to_string());
            Err(SlotTooSmall { group, what, asked, found, keys })
        };
        if let (Some(asked), Some(found)) = (self.cpu_cores, slot.cpu_cores)
            && asked > found
        {
            return short("CPU cores", &asked, &found, "hosts with more cores");
        }
        if let (Some(asked), Some(found)) = (self.task_memory, slot.task_memory)
            && asked > found
        {
            return short("task memory", &asked, &found, "`taskmanager.memory.process.size`");
        }
        if let (Some(asked), Some(found)) = (self.managed_memory, slot.managed_memory)
            && asked > found
        {
            return short("managed memory", &asked, &found, "`taskmanager.memory.managed.size`");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_enough_when_it_has_what_is_asked_for() {
        let mib = |mib: u64| Some(ByteSize::from_bytes(mib << 20));
        let slot = SlotResources { cpu_cores: Some(0.5), task_memory: mib(64), managed_memory: mib(32) };
        assert_eq!(SlotResources::default().fit("g", &slot), Ok(()));
        assert_eq!(slot.fit("g", &slot), Ok(()));
        let hungry = SlotResources { task_memory: mib(65), ..slot };
        let said = hungry.fit("g", &slot).unwrap_err().to_string();
        assert!(said.starts_with("the slot sharing group `g` asks for") && said.contains("of task memory"), "{said}");
        let busy = SlotResources { cpu_cores: Some(1.0), ..SlotResources::default() };
        assert!(busy.fit("g", &slot).unwrap_err().to_string().contains("1 of CPU cores in a slot"));
        assert_eq!(busy.fit("g", &SlotResources::default()), Ok(()), "what is not known is not refused");
    }
}

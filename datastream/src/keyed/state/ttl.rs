//! Time-to-live of state.

use std::time::Duration;

use pelton_runtime_core::state::Ttl;

use crate::keyed::windows::millis;

use super::Reading;

/// How long state lives after its last use, by the wall clock. Elements of a list and entries of a map expire one by
/// one.
///
/// What has expired is dropped by and by while records come, and before every checkpoint, so nothing needs to be
/// configured for memory to be freed. State that was written without a time-to-live counts as used when the job that has
/// one looks at it first.
///
/// ```
/// use std::time::Duration;
///
/// use pelton::keyed::{StateTtlConfig, UpdateType, ValueState};
///
/// let day = StateTtlConfig::new(Duration::from_secs(86_400)).update_type(UpdateType::OnReadAndWrite);
/// let last_seen = ValueState::<i64>::new("last-seen").with_ttl(day);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateTtlConfig {
    time_to_live: Duration,
    update_type: UpdateType,
    visibility: StateVisibility,
}

/// What counts as a use of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UpdateType {
    /// Writing it.
    #[default]
    OnCreateAndWrite,
    /// Writing and reading it.
    OnReadAndWrite,
}

/// Whether state may be seen after it has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StateVisibility {
    /// Never.
    #[default]
    NeverReturnExpired,
    /// As long as it has not been dropped yet.
    ReturnExpiredIfNotCleanedUp,
}

impl StateTtlConfig {
    /// State lives this long after it was written, and is not seen any more then.
    ///
    /// # Panics
    ///
    /// When the time is below a millisecond.
    #[track_caller]
    pub fn new(time_to_live: Duration) -> Self {
        assert!(
            time_to_live.as_millis() > 0,
            "the time-to-live of state must be at least a millisecond, but is {time_to_live:?}"
        );
        Self { time_to_live, update_type: UpdateType::default(), visibility: StateVisibility::default() }
    }

    /// What counts as a use.
    #[must_use]
    pub fn update_type(self, update_type: UpdateType) -> Self {
        Self { update_type, ..self }
    }

    /// Whether expired state may be seen.
    #[must_use]
    pub fn state_visibility(self, visibility: StateVisibility) -> Self {
        Self { visibility, ..self }
    }

    pub(super) fn ttl(self) -> Ttl {
        Ttl { millis: millis(self.time_to_live) }
    }

    pub(super) fn reading(self) -> Reading {
        Reading {
            touches: self.update_type == UpdateType::OnReadAndWrite,
            sees_expired: self.visibility == StateVisibility::ReturnExpiredIfNotCleanedUp,
        }
    }
}

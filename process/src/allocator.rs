//! jemalloc, told to give idle memory back.
//!
//! A library must not choose the allocator of the program that links it, so every binary says it itself:
//!
//! ```ignore
//! #[global_allocator]
//! static ALLOCATOR: pelton_process::allocator::Jemalloc = pelton_process::allocator::Jemalloc;
//! ```

use tikv_jemalloc_ctl::{epoch, raw};
pub use tikv_jemallocator::Jemalloc;

/// How long freed pages stay with the process before the kernel gets them back. jemalloc's own is ten times that.
const DECAY_MS: isize = 1000;

/// jemalloc refused a setting.
#[derive(Debug, thiserror::Error)]
#[error("the allocator refused `{setting}`: {reason}")]
pub struct AllocatorError {
    setting: &'static str,
    reason: String,
}

/// Makes freed memory return to the kernel after a second, also while nothing is allocated.
///
/// # Errors
///
/// When jemalloc is not what this process allocates with, or was built without these settings.
pub fn return_idle_memory() -> Result<(), AllocatorError> {
    let failed = |setting| move |error: tikv_jemalloc_ctl::Error| AllocatorError { setting, reason: error.to_string() };
    // SAFETY: both settings are `ssize_t`, as jemalloc's manual says.
    unsafe {
        raw::write(b"arenas.dirty_decay_ms\0", DECAY_MS).map_err(failed("arenas.dirty_decay_ms"))?;
        raw::write(b"arenas.muzzy_decay_ms\0", 0_isize).map_err(failed("arenas.muzzy_decay_ms"))?;
        // Arenas that exist already keep what they were born with; the first one does.
        raw::write(b"arena.0.dirty_decay_ms\0", DECAY_MS).map_err(failed("arena.0.dirty_decay_ms"))?;
        raw::write(b"arena.0.muzzy_decay_ms\0", 0_isize).map_err(failed("arena.0.muzzy_decay_ms"))?;
    }
    tikv_jemalloc_ctl::background_thread::write(true).map_err(failed("background_thread"))?;
    epoch::advance().map_err(failed("epoch")).map(drop)
}

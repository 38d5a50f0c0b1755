//! The memory that the caches of one worker may hold together.
//!
//! Every operator instance that caches state has an equal share of it. A share is all that an instance may hold, also
//! while others hold less: an instance that has no records to process cannot give anything back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What all caches of a worker may hold.
#[derive(Debug)]
pub struct CacheBudget {
    bytes: usize,
    shares: AtomicUsize,
}

impl CacheBudget {
    /// A budget of so many bytes, which nobody has a share of yet.
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { bytes, shares: AtomicUsize::new(0) })
    }

    /// A share, until it is dropped.
    pub fn join(self: &Arc<Self>) -> CacheShare {
        self.shares.fetch_add(1, Ordering::Relaxed);
        CacheShare(self.clone())
    }
}

/// One cache's part of the budget.
#[derive(Debug)]
pub struct CacheShare(Arc<CacheBudget>);

impl CacheShare {
    /// What the cache may hold at this moment.
    pub fn bytes(&self) -> usize {
        self.0.bytes / self.0.shares.load(Ordering::Relaxed).max(1)
    }
}

impl Drop for CacheShare {
    fn drop(&mut self) {
        self.0.shares.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_equal_and_return_to_those_who_stay() {
        let budget = CacheBudget::new(900);
        let (one, two, three) = (budget.join(), budget.join(), budget.join());
        assert_eq!([one.bytes(), two.bytes(), three.bytes()], [300; 3]);
        drop(two);
        assert_eq!(one.bytes(), 450);
    }
}

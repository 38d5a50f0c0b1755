//! Parts of plans that occur more than once, and are run once.

use std::cell::RefCell;
use std::collections::HashMap;

use datafusion_expr::LogicalPlan;

use super::needs::Need;
use super::stream::Stream;

/// The streams that plans have become.
#[derive(Default)]
pub(super) struct Shared {
    streams: RefCell<HashMap<(LogicalPlan, Vec<Need>), Stream>>,
}

impl Shared {
    pub(super) fn get(&self, plan: &LogicalPlan, needs: &[Need]) -> Option<Stream> {
        // A key is cloned to be looked for; plans are few and small.
        self.streams.borrow().get(&(plan.clone(), needs.to_vec())).cloned()
    }

    pub(super) fn put(&self, plan: &LogicalPlan, needs: Vec<Need>, stream: &Stream) {
        self.streams.borrow_mut().insert((plan.clone(), needs), stream.clone());
    }
}

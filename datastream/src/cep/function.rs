//! What programs do with matches.

use pelton_runtime_core::time::EpochMillis;
use pelton_runtime_core::window::TimeDomain;

use crate::keyed::FunctionResult;
use crate::record::{Record, ToRecord};
use crate::stream::{Collector, OutputTag, SideOutputWriter};

use super::found::Match;

/// Sees every match, and every partial match whose time is over.
///
/// ```
/// use pelton::cep::{Match, MatchContext, PatternProcessFunction};
/// use pelton::keyed::FunctionResult;
/// use pelton::stream::{Collector, OutputTag};
///
/// /// Orders (id, what happened) that were paid, and beside them those that were not in time.
/// #[derive(Clone)]
/// struct Paid {
///     unpaid: OutputTag<i64>,
/// }
///
/// impl PatternProcessFunction for Paid {
///     type In = (i64, String);
///     type Out = i64;
///
///     fn process_match(
///         &mut self,
///         found: &Match<'_, (i64, String)>,
///         _ctx: &mut MatchContext<'_>,
///         out: &mut Collector<'_, i64>,
///     ) -> FunctionResult {
///         out.collect(found.first("ordered").0);
///         Ok(())
///     }
///
///     fn process_timed_out_match(
///         &mut self,
///         partial: &Match<'_, (i64, String)>,
///         ctx: &mut MatchContext<'_>,
///     ) -> FunctionResult {
///         ctx.output(&self.unpaid, partial.first("ordered").0);
///         Ok(())
///     }
/// }
/// # let _ = Paid { unpaid: OutputTag::new("unpaid") };
/// ```
pub trait PatternProcessFunction: Clone + Send + Sync + 'static {
    /// The events' type.
    type In: Record;
    /// The results' type.
    type Out: Record;

    /// Sees a match. Results carry the time at which it was decided: that of the event that completed it, of what ended
    /// an earlier beginning that it [waited](super::AfterMatchSkipStrategy) for, or the end of its own time.
    ///
    /// # Errors
    ///
    /// What makes the job fail.
    fn process_match(
        &mut self,
        found: &Match<'_, Self::In>,
        ctx: &mut MatchContext<'_>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult;

    /// Sees a partial match that had not come to an end [`within`](super::Pattern::within) its time, also one that could
    /// have gone on after it had been shown as a match; what comes of it goes to
    /// side outputs.
    ///
    /// # Errors
    ///
    /// What makes the job fail.
    fn process_timed_out_match(
        &mut self,
        _partial: &Match<'_, Self::In>,
        _ctx: &mut MatchContext<'_>,
    ) -> FunctionResult {
        Ok(())
    }
}

/// What a function may ask and do while it sees a match.
pub struct MatchContext<'a> {
    /// In the clock that the pattern is matched by.
    pub(super) time: EpochMillis,
    pub(super) domain: TimeDomain,
    pub(super) processing_time: EpochMillis,
    pub(super) side_outputs: &'a mut SideOutputWriter,
}

impl MatchContext<'_> {
    /// The event time at which the match was decided: that of an event, or the end of some match's time. None with
    /// processing time.
    pub fn timestamp(&self) -> Option<EpochMillis> {
        (self.domain == TimeDomain::EventTime).then_some(self.time)
    }

    /// The wall clock.
    pub fn current_processing_time(&self) -> EpochMillis {
        self.processing_time
    }

    /// Emits a record to a side output, with the match's time.
    pub fn output<U: Record>(&mut self, tag: &OutputTag<U>, record: impl ToRecord<U>) {
        let timestamp = self.timestamp();
        self.side_outputs.output(tag, record, timestamp);
    }
}

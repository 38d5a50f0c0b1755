//! Enumerators with a mind of their own: which splits there are, and which reader gets them, is an [`Assigner`]'s business.
//!
//! ```text
//!  reader asks ─────► assigner.requested ─┐           ┌─► splits assigned to each reader ══► as it has room
//!  a call returns ──► assigner.found ─────┼─► desk ───┤
//!  a restart ───────► assigner.given_back ┘           └─► calls ─► thread
//! ```
//!
//! An assigner is called by its task, so it never blocks: it gives a [`Desk`] calls that may, which a thread makes one after
//! the other.
//!
//! Invariants: a split that was assigned waits here until its reader asks, and then leaves; a checkpoint has those that
//! wait beside the assigner's own state, and after a restart the assigner gets them back, as readers may be others by then.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, OperatorTable, Redistribution, RestoredState};
use pelton_runtime_core::env::{Env, Stopped};
use pelton_runtime_core::operator::{OperatorError, OperatorResult, OperatorRuntime, refuse_state};
use pelton_runtime_core::source::splits::SplitEnumerator;
use pelton_runtime_core::time::EpochMillis;

use super::{AssignSource, AssignerOf};
use crate::handover::{Received, Receiver, Sender, handover};

/// The tables' names in snapshots.
const ASSIGNER: &str = "assigner";
const ASSIGNED: &str = "assigned";

/// Finds splits of type `S` and assigns them to readers. What it finds out by calls is of type `F`.
pub trait Assigner<S, F>: Send {
    /// Called once, before everything else but [`given_back`](Self::given_back).
    ///
    /// # Errors
    ///
    /// When it cannot begin.
    fn start(&mut self, desk: &mut Desk<S, F>) -> OperatorResult;

    /// Called once for each reader of this attempt, after [`start`](Self::start).
    ///
    /// # Errors
    ///
    /// What makes the job fail; so of all others.
    fn reader_added(&mut self, reader: u32, desk: &mut Desk<S, F>) -> OperatorResult;

    /// A reader has room and nothing is assigned to it. Not called again before it has got a split.
    ///
    /// # Errors
    ///
    /// What makes the job fail.
    fn requested(&mut self, reader: u32, desk: &mut Desk<S, F>) -> OperatorResult;

    /// What one of its calls has come to.
    ///
    /// # Errors
    ///
    /// What makes the job fail.
    fn found(&mut self, found: F, desk: &mut Desk<S, F>) -> OperatorResult;

    /// Splits that were assigned and had not left for their reader at the checkpoint that the job was restarted from. Called
    /// first, if there are any.
    ///
    /// # Errors
    ///
    /// What makes the job fail.
    fn given_back(&mut self, splits: Vec<S>, desk: &mut Desk<S, F>) -> OperatorResult;

    /// What it must know after a restart, as rows; splits that it has assigned are not among it.
    ///
    /// # Errors
    ///
    /// When there is no saying.
    fn snapshot(&mut self) -> OperatorResult<RecordBatch>;

    /// Called once at the end.
    fn close(&mut self) {}
}

/// What an assigner may do.
pub struct Desk<S, F> {
    /// The splits of each reader that have not left.
    pub(super) assigned: Vec<VecDeque<S>>,
    /// How many were assigned so far.
    total: u64,
    no_more: bool,
    calls: Vec<Call<F>>,
    now: EpochMillis,
}

struct Call<F> {
    due: EpochMillis,
    call: BoxedCall<F>,
}

type BoxedCall<F> = Box<dyn FnOnce() -> OperatorResult<F> + Send>;

impl<S, F> Desk<S, F> {
    pub(super) fn new(now: EpochMillis) -> Self {
        Self { assigned: Vec::new(), total: 0, no_more: false, calls: Vec::new(), now }
    }

    /// How many readers there are.
    pub fn readers(&self) -> u32 {
        // A job's parallelism has 32 bits.
        self.assigned.len() as u32
    }

    /// Assigns a split to a reader, which gets it as soon as it has room.
    ///
    /// # Errors
    ///
    /// When there is no such reader, or there were to be no more splits.
    pub fn assign(&mut self, split: S, reader: u32) -> OperatorResult {
        if self.no_more {
            return Err(OperatorError::data("a split was assigned after it was said that there are no more"));
        }
        let readers = self.readers();
        let refuse = || OperatorError::data(format!("a split was assigned to reader {reader} of {readers}"));
        self.assigned.get_mut(reader as usize).ok_or_else(refuse)?.push_back(split);
        self.total += 1;
        Ok(())
    }

    /// There will be no splits but those that were assigned: readers end when they have read theirs.
    pub fn no_more_splits(&mut self) {
        self.no_more = true;
    }

    /// Has `call`, which may block, made on a thread, not before `after` has passed. Calls are made one after the other.
    pub fn call(&mut self, after: Duration, call: impl FnOnce() -> OperatorResult<F> + Send + 'static) {
        let after = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        self.calls.push(Call { due: self.now.saturating_add(after), call: Box::new(call) });
    }
}

/// What makes calls.
struct Caller<F> {
    to_make: Sender<BoxedCall<F>>,
    made: Receiver<OperatorResult<F>>,
}

impl<F: Send + 'static> Caller<F> {
    fn start(runtime: &OperatorRuntime) -> OperatorResult<Self> {
        let (to_make, calls) = handover(1);
        let (answers, made) = handover(1);
        made.wake_on_items(runtime.waker.clone());
        let env = runtime.env.clone();
        runtime
            .env
            .spawn_thread("split-assigner", move || make(&env, &calls, &answers))
            .map_err(|source| OperatorError::external("cannot start a thread to find splits", source))?;
        Ok(Self { to_make, made })
    }
}

/// Makes calls until nobody asks for any.
fn make<F>(env: &Env, calls: &Receiver<BoxedCall<F>>, answers: &Sender<OperatorResult<F>>) {
    while let Some(call) = calls.recv_blocking(env) {
        if answers.send_blocking(env, call(), 1).is_err() {
            return;
        }
    }
}

/// Drives an assigner.
pub(super) struct AssigningTask<S: AssignSource> {
    source: Arc<S>,
    runtime: OperatorRuntime,
    /// From its start.
    assigner: Option<AssignerOf<S>>,
    desk: Desk<S::Split, S::Found>,
    /// Whether the assigner knows that a reader waits.
    asked: Vec<bool>,
    caller: Option<Caller<S::Found>>,
    saved: Option<RecordBatch>,
    given_back: Vec<S::Split>,
}

impl<S: AssignSource> AssigningTask<S> {
    pub(super) fn new(source: Arc<S>, runtime: OperatorRuntime) -> Self {
        Self {
            source,
            desk: Desk::new(runtime.env.wall_clock()),
            runtime,
            assigner: None,
            asked: Vec::new(),
            caller: None,
            saved: None,
            given_back: Vec::new(),
        }
    }

    /// Has the assigner do something, and makes the calls that it asks for and that are due.
    fn with<T>(
        &mut self,
        act: impl FnOnce(&mut AssignerOf<S>, &mut Desk<S::Split, S::Found>) -> OperatorResult<T>,
    ) -> OperatorResult<T> {
        let assigner = self.assigner.as_mut().ok_or_else(not_started)?;
        let answer = act(assigner, &mut self.desk)?;
        self.make_due_calls()?;
        Ok(answer)
    }

    fn make_due_calls(&mut self) -> OperatorResult {
        let now = self.desk.now;
        let mut calls = std::mem::take(&mut self.desk.calls);
        calls.sort_by_key(|call| call.due);
        self.desk.calls = calls.split_off(calls.partition_point(|call| call.due <= now));
        for Call { call, .. } in calls {
            let caller = match &mut self.caller {
                Some(caller) => caller,
                none => none.insert(Caller::start(&self.runtime)?),
            };
            // A thread that is gone says so when its answers are looked for.
            let _ = caller.to_make.push(call, 1);
        }
        Ok(())
    }
}

impl<S: AssignSource> SplitEnumerator for AssigningTask<S> {
    fn restore(&mut self, mut state: RestoredState) -> OperatorResult {
        for batch in state.take_operator(ASSIGNED) {
            self.given_back.extend(self.source.decode(&batch)?);
        }
        self.saved = state.take_operator(ASSIGNER).pop();
        refuse_state(&state)
    }

    fn start(&mut self, readers: u32, _: &OperatorRuntime) -> OperatorResult {
        self.desk.assigned.resize_with(readers as usize, VecDeque::new);
        self.asked.resize(readers as usize, false);
        self.assigner = Some(self.source.assigner(self.saved.take().as_ref())?);
        let given_back = std::mem::take(&mut self.given_back);
        self.with(|assigner, desk| {
            // Before it may say that there are no more.
            if !given_back.is_empty() {
                assigner.given_back(given_back, desk)?;
            }
            assigner.start(desk)?;
            (0..readers).try_for_each(|reader| assigner.reader_added(reader, desk))
        })
    }

    fn discover(&mut self, now: EpochMillis) -> OperatorResult<Option<EpochMillis>> {
        self.desk.now = now;
        while let Some(caller) = &self.caller {
            match caller.made.try_recv() {
                Received::Item(found) => {
                    let found = found?;
                    self.with(|assigner, desk| assigner.found(found, desk))?;
                }
                Received::Empty => break,
                Received::End => return Err(OperatorError::external("finding splits ended early", Stopped)),
            }
        }
        self.make_due_calls()?;
        Ok(self.desk.calls.first().map(|call| call.due))
    }

    fn next_split(&mut self, reader: u32) -> OperatorResult<Option<RecordBatch>> {
        let index = reader as usize;
        if self.desk.assigned[index].is_empty() && !self.asked[index] && !self.desk.no_more {
            self.asked[index] = true;
            let before = self.desk.total;
            self.with(|assigner, desk| assigner.requested(reader, desk))?;
            // A reader that was asked before this one may have got a split, and a call may have got its time.
            if self.desk.total > before || !self.desk.calls.is_empty() {
                self.runtime.waker.wake();
            }
        }
        let Some(split) = self.desk.assigned[index].pop_front() else { return Ok(None) };
        self.asked[index] = false;
        self.source.encode(&[split]).map(Some)
    }

    fn is_exhausted(&self) -> bool {
        self.desk.no_more && self.desk.assigned.iter().all(VecDeque::is_empty)
    }

    fn snapshot(&mut self) -> OperatorResult<OperatorSnapshot> {
        let assigned: Vec<_> = self.desk.assigned.iter().flatten().cloned().collect();
        let tables = [
            (ASSIGNER, self.assigner.as_mut().ok_or_else(not_started)?.snapshot()?),
            (ASSIGNED, self.source.encode(&assigned)?),
        ];
        let table = |(name, rows): (&str, RecordBatch)| OperatorTable {
            name: name.to_owned(),
            redistribution: Redistribution::Union,
            rows,
        };
        Ok(OperatorSnapshot { operator: tables.map(table).into(), ..OperatorSnapshot::default() })
    }

    fn close(&mut self) {
        self.caller = None;
        if let Some(assigner) = &mut self.assigner {
            assigner.close();
        }
    }
}

fn not_started() -> OperatorError {
    OperatorError::data("who assigns splits was not started")
}

//! What the closures of a job have in common.

/// May be shared by the subtasks of an operator, which are threads of their own, for as long as the job runs: what is
/// captured is `Send`, `Sync` and owned. Everything is that is so; there is nothing to implement.
#[diagnostic::on_unimplemented(
    message = "this closure cannot be shared by the subtasks of an operator, which are threads of their own",
    label = "it captures what belongs to one thread",
    note = "capture what is `Send` and `Sync`: an `Arc` in place of an `Rc`, a `Mutex` or an atomic number in place of a \
            `RefCell` or `Cell`; what cannot be shared is made in `open` of a `ProcessFunction`"
)]
pub trait Parallel: Send + Sync + 'static {}

// Otherwise the compiler would speak of the type that is not `Send`, and not of what to do.
#[diagnostic::do_not_recommend]
impl<F: Send + Sync + 'static> Parallel for F {}

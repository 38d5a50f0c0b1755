//! Requests on their way, off the task's thread.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt;
use parking_lot::Mutex;
use pelton_runtime_core::env::{AbortOnDrop, Env};
use pelton_runtime_core::operator::{OperatorRuntime, TaskWaker};

use crate::keyed::{FunctionError, FunctionResult};

use super::{AsyncFunction, AsyncOptions};

/// What a request came to, and the number of its record.
type Answer<U> = (u64, FunctionResult<Vec<U>>);

/// Starts requests and collects their answers. Bounded by whoever starts them.
pub(super) struct Requests<F: AsyncFunction> {
    function: Arc<F>,
    options: AsyncOptions<F::Out>,
    answers: Arc<Answers<F::Out>>,
    env: Env,
    waker: TaskWaker,
}

struct Answers<U> {
    list: Mutex<Vec<Answer<U>>>,
    /// The list is not empty; looked at without its lock.
    any: AtomicBool,
}

impl<F: AsyncFunction> Requests<F> {
    pub(super) fn new(function: F, options: AsyncOptions<F::Out>, runtime: &OperatorRuntime) -> Self {
        Self {
            function: Arc::new(function),
            options,
            answers: Arc::new(Answers { list: Mutex::new(Vec::new()), any: AtomicBool::new(false) }),
            env: runtime.env.clone(),
            waker: runtime.waker.clone(),
        }
    }

    /// The function, before there are requests.
    pub(super) fn function_mut(&mut self) -> Option<&mut F> {
        Arc::get_mut(&mut self.function)
    }

    /// Asks about a record. Dropping what is answered gives up the request.
    pub(super) fn start(&self, number: u64, input: F::In) -> AbortOnDrop {
        let (function, options, env) = (self.function.clone(), self.options.clone(), self.env.clone());
        let (answers, waker) = (self.answers.clone(), self.waker.clone());
        let request = async move {
            let answer = AssertUnwindSafe(ask(function.as_ref(), &options, &env, input)).catch_unwind().await;
            let answer = answer.unwrap_or_else(|panic| Err(panicked(panic.as_ref())));
            answers.list.lock().push((number, answer));
            answers.any.store(true, Ordering::Release);
            waker.wake();
        };
        self.env.spawn("async-function", request).abort_on_drop()
    }

    /// Whether there are answers.
    pub(super) fn any_answers(&self) -> bool {
        self.answers.any.load(Ordering::Acquire)
    }

    /// The answers that have come, in the order in which they came.
    pub(super) fn take_answers(&self) -> Vec<Answer<F::Out>> {
        let mut list = self.answers.list.lock();
        self.answers.any.store(false, Ordering::Release);
        std::mem::take(&mut *list)
    }
}

async fn ask<F: AsyncFunction>(
    function: &F,
    options: &AsyncOptions<F::Out>,
    env: &Env,
    input: F::In,
) -> FunctionResult<Vec<F::Out>> {
    let attempts = async {
        let mut made = 1;
        loop {
            let result = function.invoke(input.clone()).await;
            match options.retry.as_ref().and_then(|retry| retry.pause(made, &result)) {
                Some(pause) => env.sleep(pause).await,
                None => return result,
            }
            made += 1;
        }
    };
    match env.timeout(options.timeout, attempts).await {
        Ok(result) => result,
        Err(_) => function.timeout(input.clone()),
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> FunctionError {
    let message = panic.downcast_ref::<&str>().map(ToString::to_string);
    let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("an asynchronous function panicked: {}", message.as_deref().unwrap_or("no message")).into()
}

//! Closures over two streams as functions of them.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::keyed::{FunctionResult, ProcessContext};
use crate::record::Record;
use crate::stream::Collector;

use super::{CoProcessFunction, Named};

/// One result per record.
pub(super) struct Maps<A, B, U, F, G> {
    functions: Arc<(F, G)>,
    types: Named<(A, B, U)>,
}

/// Any number of results per record.
pub(super) struct FlatMaps<A, B, U, F, G> {
    functions: Arc<(F, G)>,
    types: Named<(A, B, U)>,
}

macro_rules! closures {
    ($name:ident) => {
        impl<A, B, U, F, G> $name<A, B, U, F, G> {
            pub(super) fn new(first: F, second: G) -> Self {
                Self { functions: Arc::new((first, second)), types: PhantomData }
            }
        }

        impl<A, B, U, F, G> Clone for $name<A, B, U, F, G> {
            fn clone(&self) -> Self {
                Self { functions: self.functions.clone(), types: PhantomData }
            }
        }
    };
}

closures!(Maps);
closures!(FlatMaps);

impl<A, B, U, F, G> CoProcessFunction for Maps<A, B, U, F, G>
where
    A: Record,
    B: Record,
    U: Record,
    F: Fn(&A) -> U + Send + Sync + 'static,
    G: Fn(&B) -> U + Send + Sync + 'static,
{
    type In1 = A;
    type In2 = B;
    type Out = U;

    fn process_element1(
        &mut self,
        value: &A,
        _ctx: &mut ProcessContext<'_>,
        out: &mut Collector<'_, U>,
    ) -> FunctionResult {
        out.collect((self.functions.0)(value));
        Ok(())
    }

    fn process_element2(
        &mut self,
        value: &B,
        _ctx: &mut ProcessContext<'_>,
        out: &mut Collector<'_, U>,
    ) -> FunctionResult {
        out.collect((self.functions.1)(value));
        Ok(())
    }
}

impl<A, B, U, F, G> CoProcessFunction for FlatMaps<A, B, U, F, G>
where
    A: Record,
    B: Record,
    U: Record,
    F: Fn(&A, &mut Collector<'_, U>) + Send + Sync + 'static,
    G: Fn(&B, &mut Collector<'_, U>) + Send + Sync + 'static,
{
    type In1 = A;
    type In2 = B;
    type Out = U;

    fn process_element1(
        &mut self,
        value: &A,
        _ctx: &mut ProcessContext<'_>,
        out: &mut Collector<'_, U>,
    ) -> FunctionResult {
        (self.functions.0)(value, out);
        Ok(())
    }

    fn process_element2(
        &mut self,
        value: &B,
        _ctx: &mut ProcessContext<'_>,
        out: &mut Collector<'_, U>,
    ) -> FunctionResult {
        (self.functions.1)(value, out);
        Ok(())
    }
}

//! State of a key, as functions hold it: named handles that are registered in `open` and work on the key of the context.
//!
//! A handle is a name and, once registered, the place of its column. Values are records, so that snapshots can hold
//! them as columns. A key whose states are all empty, and which has no timers, is forgotten.
//!
//! With a [`StateTtlConfig`] the column is one whose content expires; which of the two it is was decided when the handle
//! was made, and costs a branch.

mod aggregating;
mod list;
mod map;
mod reducing;
mod ttl;
mod value;

use std::sync::Arc;

use pelton_runtime_core::state::{KeyedStateBackend, StateColumn, StateError, StateId, Ttl};

use crate::operator_state::OperatorStates;

pub use aggregating::AggregatingState;
pub use list::ListState;
pub use map::MapState;
pub use reducing::ReducingState;
pub use ttl::{StateTtlConfig, StateVisibility, UpdateType};
pub use value::ValueState;

/// A state that can be registered: of keys, or [of the operator](crate::operator_state).
pub trait State {
    /// Registers the state and remembers its place.
    ///
    /// # Errors
    ///
    /// When the name is taken, or the state is of keys where there are none.
    fn register(&mut self, states: &mut States<'_>) -> Result<(), StateError>;
}

/// Where the states of one function are registered.
pub struct States<'a> {
    /// Absent for a function that sees no keys.
    pub(crate) keyed: Option<&'a mut KeyedStateBackend>,
    pub(crate) operator: &'a mut OperatorStates,
}

/// A state's name and place; `C` is its column, `E` the one whose content expires.
struct Handle<C, E> {
    name: Arc<str>,
    ttl: Option<StateTtlConfig>,
    place: Option<Place<C, E>>,
}

/// Where a state is.
enum Place<C, E> {
    Lasting(StateId<C>),
    Expiring(StateId<E>, Reading),
}

/// What reading a state that expires means.
#[derive(Clone, Copy)]
struct Reading {
    /// It is a use.
    touches: bool,
    /// It sees what has expired, as long as it is there.
    sees_expired: bool,
}

impl<C: StateColumn, E: StateColumn> Handle<C, E> {
    fn new(name: &str) -> Self {
        Self { name: name.into(), ttl: None, place: None }
    }

    fn register(
        &mut self,
        states: &mut States<'_>,
        lasting: impl Fn() -> C + Send + 'static,
        expiring: impl Fn(Ttl) -> E + Send + 'static,
    ) -> Result<(), StateError> {
        let Some(backend) = &mut states.keyed else {
            return Err(StateError::NoKeys { name: self.name.to_string() });
        };
        self.place = Some(match self.ttl {
            None => Place::Lasting(backend.register(&self.name, lasting)?),
            Some(config) => {
                let ttl = config.ttl();
                Place::Expiring(backend.register(&self.name, move || expiring(ttl))?, config.reading())
            }
        });
        Ok(())
    }

    #[inline]
    fn place(&self) -> Result<Place<C, E>, StateError> {
        self.place.ok_or_else(|| StateError::NotRegistered { name: self.name.to_string() })
    }
}

impl<C, E> Clone for Place<C, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C, E> Copy for Place<C, E> {}

impl<C, E> Clone for Handle<C, E> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), ttl: self.ttl, place: self.place }
    }
}

impl<C, E> std::fmt::Debug for Handle<C, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

//! Sequences of events that a machine of states allows, and faulty ones: in those something happens that the state does not
//! allow.
//!
//! ```text
//!            ┌─ a ──► W ── b ──► Y ── e ──┐
//!  Initial ──┤                   ▲        ├──► Z ── g ──► the end
//!            └─ c ──► X ── b ────┘        │
//!                     └─────── d ─────────┘
//! ```

use pelton::record::Record;

/// What happens to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Record)]
#[expect(non_camel_case_types, reason = "events have small letters and states have capitals")]
pub enum EventType {
    /// Begins.
    a,
    /// Goes on.
    b,
    /// Begins in another way.
    c,
    /// Goes on in another way.
    d,
    /// Nears the end.
    e,
    /// Is never allowed.
    f,
    /// Ends.
    g,
}

/// Something that happened to an address.
#[derive(Debug, Clone, Record)]
pub struct Event {
    /// The address.
    pub source_address: i64,
    /// What happened.
    pub event_type: EventType,
}

/// Where the machine of an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Record)]
pub enum State {
    /// Nothing has happened.
    Initial,
    /// After `a`.
    W,
    /// After `c`.
    X,
    /// After `b`.
    Y,
    /// Before the end.
    Z,
    /// After the end.
    Terminal,
}

impl State {
    /// The state after an event; none when the event is not allowed here.
    pub fn transition(self, event: EventType) -> Option<Self> {
        use EventType::{a, b, c, d, e, g};
        match (self, event) {
            (Self::Initial, a) => Some(Self::W),
            (Self::Initial, c) => Some(Self::X),
            (Self::W | Self::X, b) => Some(Self::Y),
            (Self::X, d) | (Self::Y, e) => Some(Self::Z),
            (Self::Z, g) => Some(Self::Terminal),
            _ => None,
        }
    }
}

/// All events.
pub const EVENT_TYPES: [EventType; 7] = {
    use EventType::{a, b, c, d, e, f, g};
    [a, b, c, d, e, f, g]
};

/// Addresses that things happen to. Each has its sequences of events one after the other.
const ADDRESSES: u64 = 1000;

/// The address of sequence `number`, as the number that it is in IPv4.
pub fn address(number: u64) -> i64 {
    // An odd factor makes different addresses of different numbers.
    i64::from(((number % ADDRESSES) as u32).wrapping_mul(0x9e37_79b1))
}

/// An address as people write it.
pub fn dotted(address: i64) -> String {
    std::net::Ipv4Addr::from_bits(address as u32).to_string()
}

/// The events of sequence `number` at one address, in their order. Some sequences have a fault, an event that is not
/// allowed where it comes: `fault_rate` of them, by their number alone.
pub fn sequence(number: u64, fault_rate: f64) -> Vec<EventType> {
    use EventType::{a, b, c, d, e, g};
    let random = splitmix(number);
    let mut events = match random % 5 {
        0..3 => vec![a, b, e, g],
        3 => vec![c, b, e, g],
        _ => vec![c, d, g],
    };
    if (random >> 11) as f64 / (1u64 << 53) as f64 <= fault_rate {
        let at = (random >> 3) as usize % events.len();
        let state = events[..at].iter().fold(State::Initial, |state, event| state.transition(*event).unwrap_or(state));
        let refused: Vec<_> = EVENT_TYPES.into_iter().filter(|event| state.transition(*event).is_none()).collect();
        events.insert(at, refused[splitmix(random) as usize % refused.len()]);
    }
    events
}

/// The splitmix64 generator at its `number`th step.
fn splitmix(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

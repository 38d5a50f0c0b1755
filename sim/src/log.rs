//! What the simulated processes log, as lines of the trace.

use std::fmt;
use std::sync::Once;

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::simulator::Simulator;

/// The simulation that runs in this process; there is one at a time.
static RUNNING: Mutex<Option<Simulator>> = Mutex::new(None);

/// Sends what is logged from now on to `simulator`'s trace, or nowhere.
pub(crate) fn log_to(simulator: Option<Simulator>) {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let subscriber = tracing_subscriber::registry().with(ToTrace);
        // Whoever installed another one before wants to see the log there.
        let _ = tracing::subscriber::set_global_default(subscriber);
    });
    *RUNNING.lock() = simulator;
}

struct ToTrace;

impl<S: Subscriber> Layer<S> for ToTrace {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO || !metadata.target().starts_with("pelton") {
            return;
        }
        let Some(simulator) = RUNNING.lock().clone() else { return };
        let mut text = Text(String::new());
        event.record(&mut text);
        simulator.note(format_args!("  {} {}", metadata.level(), text.0));
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        use fmt::Write;
        let outcome = match field.name() {
            "message" => write!(self.0, "{value:?} "),
            name => write!(self.0, "{name}={value:?} "),
        };
        outcome.expect("a string takes everything");
    }
}

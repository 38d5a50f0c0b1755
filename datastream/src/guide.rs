//! The user's guide, whose code is compiled and run with the documentation's.

macro_rules! pages {
    ($($page:ident = $file:literal),* $(,)?) => {
        $(#[doc = include_str!(concat!("../../docs/", $file))] mod $page {})*
    };
}

pages! {
    async_io = "async-io.md",
    concepts = "concepts.md",
    datastream = "datastream.md",
    event_time = "event-time.md",
    joins = "joins.md",
    packaging = "packaging.md",
    patterns = "patterns.md",
    sources_and_sinks = "sources-and-sinks.md",
    state = "state.md",
    testing = "testing.md",
    windows = "windows.md",
}

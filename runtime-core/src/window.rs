//! Windows
mod time_window;
pub use time_window::TimeWindow;

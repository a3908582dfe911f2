//! The console: what was asked and answered, and the line commands are typed on.

mod log;

pub use log::{Entry, Log};

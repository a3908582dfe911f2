//! The console: what was asked and answered, and the line commands are typed on.
//!
//! Rule: "Acting" of the interface guide, "One command table" of the operating guide.

pub mod complete;
mod line;
mod log;
pub mod recall;

pub use line::{CommandLine, Typed};
pub use log::{Entry, Log};

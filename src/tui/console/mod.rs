//! The console: what was asked and answered, and the line commands are typed on.
//!
//! Rule: "Acting" of the interface guide, "One command table" of the operating guide.

mod answer_log;
mod command_line;
pub mod completion;
pub mod input_history;

pub use answer_log::{Entry, Log};
pub use command_line::{CommandLine, Typed};

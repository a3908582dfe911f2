//! The console: what was asked and answered, and the line commands are typed on.
//!
//! Rule: "Operator actions", "Command table".

mod answer_log;
mod command_line;
pub mod completion;
pub mod input_history;

pub use answer_log::{AnswerLog, Entry};
pub use command_line::{CommandLine, LineInput};

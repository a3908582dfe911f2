//! The console: the input line and the log of answers. Rule: "Operator actions", "Command table".

mod answer_log;
mod command_line;
pub mod completion;
pub mod input_history;

pub use answer_log::{AnswerLog, Entry};
pub use command_line::{CommandLine, KnownShard, LineInput};

//! Runs of the program in a home folder, without the environment of the developer.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The program under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_townlet");

/// The program with these arguments in a home folder, which is also the user's. Output is captured, input is empty.
pub(crate) fn command<'a>(home: &Path, args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(BINARY);
    command.args(args).current_dir(home).env_clear().env("HOME", home);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command line, split at spaces, to its end.
pub(crate) fn townlet(home: &Path, line: &str) -> Output {
    command(home, line.split_whitespace()).output().expect("the program starts")
}

/// Runs a command line that must succeed and print one JSON value.
#[track_caller]
pub(crate) fn json(home: &Path, line: &str) -> Value {
    let output = townlet(home, line);
    assert_eq!(output.status.code(), Some(0), "townlet {line}\n{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON value")
}

/// Output as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

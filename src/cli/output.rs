//! Input and output of the subcommands: text, tables and JSON on standard output, and files named by the user.
//!
//! A closed standard output is no error. Everything passes [`print()`] or [`print_error`], which leave out access tokens and escape
//! control and invisible characters, so that none reaches a terminal or a file. Text from outside that must stay on one line, or whose width counts,
//! goes through [`columns`] or `townlet_wire::escape` before.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Read as _, Write};
use std::num::NonZero;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use anyhow::{Context, Result, anyhow, ensure};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer as _};
use serde_json::Value;

use super::{EXIT_CHECK_FAILED, EXIT_INTERRUPTED};
pub(super) use townlet_tui::answer_table::columns;
use townlet_tui::capabilities;
use townlet_tui::format::thousands;
use townlet_wire::{Status, escape, escape_output, redact_tokens};

/// Prints a line to standard error, as `eprintln!`, but ignores write errors such as a closed pipe.
macro_rules! stderr {
    ($($text:tt)*) => {
        $crate::cli::output::print_error(&format!($($text)*))
    };
}
pub(super) use stderr;

/// Prints a line to standard error; write errors are ignored.
pub(super) fn print_error(line: &str) {
    townlet_shard::note_output("err", line);
    let line = escape_output(&redact_tokens(line)).into_owned();
    drop(writeln!(io::stderr(), "{}", for_terminal(&line, io::stderr().is_terminal())));
}

/// The context of an error that kept a command from writing its result after it had run: what could not be written.
/// Such an error is not bad input, and has an exit status of its own.
#[derive(Clone, Debug)]
pub(super) struct OutputLost(String);

impl OutputLost {
    /// The loss of a file.
    pub(super) fn file(path: &Path) -> Self {
        Self(path.display().to_string())
    }
}

impl std::fmt::Display for OutputLost {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: cannot be written. The command ran; only this output is missing or incomplete.", self.0)
    }
}

/// Whether the reader of standard output has closed it.
static STDOUT_CLOSED: AtomicBool = AtomicBool::new(false);

/// Fails without a terminal; `alternative` says what to run instead.
pub(super) fn require_terminal(alternative: &str) -> Result<()> {
    let terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
    ensure!(terminal, "the interface requires a terminal; {alternative}");
    Ok(())
}

/// A flag that these signals set, in place of their default effect.
pub(super) fn signal_flag(signals: &[i32]) -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in signals {
        signal_hook::flag::register(*signal, Arc::clone(&flag)).context("cannot handle signals")?;
    }
    Ok(flag)
}

/// Lets an interrupt end the program at once, for commands that have nothing to save.
pub(super) fn exit_at_once_on_interrupt() -> Result<()> {
    let always = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_shutdown(signal_hook::consts::SIGINT, i32::from(EXIT_INTERRUPTED), always)
        .context("cannot register a signal handler")?;
    Ok(())
}

/// The requested number of threads, or one per core.
pub(super) fn worker_threads(requested: Option<NonZero<usize>>) -> NonZero<usize> {
    requested.unwrap_or_else(|| std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN))
}

/// Writes to standard output. After the reader closed it, as `| head` does, output is dropped and the command continues, so
/// that its exit status is right.
pub(super) fn print(text: &str) -> Result<()> {
    if !stdout_closed() {
        townlet_shard::note_output("out", text);
    }
    write_stdout(&escape_output(&redact_tokens(text)))
}

/// Prints a chart: in ASCII where the locale has nothing else, also into a file.
pub(super) fn chart(text: &str) -> Result<()> {
    if capabilities::is_ascii_only() { print(&capabilities::in_ascii(text)) } else { print(text) }
}

/// Prints a new token, which everything else leaves out.
pub(super) fn secret(token: &str) -> Result<()> {
    write_stdout(&format!("{}\n", escape_output(token)))
}

fn write_stdout(text: &str) -> Result<()> {
    if stdout_closed() {
        return Ok(());
    }
    let text = &*for_terminal(text, io::stdout().is_terminal());
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            STDOUT_CLOSED.store(true, Ordering::Relaxed);
            Ok(())
        }
        written => written.context(OutputLost("standard output".to_owned())),
    }
}

/// Text as a terminal can show it; files and pipes get UTF-8 always.
fn for_terminal(text: &str, terminal: bool) -> Cow<'_, str> {
    static ASCII_ONLY: LazyLock<bool> = LazyLock::new(capabilities::is_ascii_only);
    if terminal && *ASCII_ONLY { Cow::Owned(capabilities::in_ascii(text)) } else { Cow::Borrowed(text) }
}

/// Whether the reader of standard output has closed it, which ends endless commands.
pub(super) fn stdout_closed() -> bool {
    STDOUT_CLOSED.load(Ordering::Relaxed)
}

/// Prints a line of a service that must go on without a reader: on standard error when standard output cannot be written.
pub(super) fn notice(text: &str) {
    if let Err(error) = line(text) {
        stderr!("{text}\n{error:#}");
    }
}

pub(super) fn line(text: &str) -> Result<()> {
    print(&format!("{text}\n"))
}

pub(super) fn json(value: &Value) -> Result<()> {
    parts_of_json(value)
}

/// Prints a value as JSON, part by part.
pub(super) fn parts_of_json(value: &impl Serialize) -> Result<()> {
    let mut out = JsonPrinter::default();
    let written = serde_json::to_writer_pretty(&mut out, value);
    out.end(written.context("JSON"))
}

/// Prints a JSON array of rows as `rows` adds them.
pub(super) fn json_array(rows: impl FnOnce(&mut dyn FnMut(&Value) -> Result<()>) -> Result<()>) -> Result<()> {
    let mut out = JsonPrinter::default();
    let mut serializer = serde_json::Serializer::pretty(&mut out);
    let mut list = serializer.serialize_seq(None).context("JSON")?;
    let added = rows(&mut |row| list.serialize_element(row).context("JSON"));
    let written = added.and_then(|()| SerializeSeq::end(list).context("JSON"));
    out.end(written)
}

/// Prints indented JSON in pieces of whole lines: a secret, or a character that must not be shown, stands within a line.
#[derive(Default)]
struct JsonPrinter {
    text: Vec<u8>,
    failed: Option<anyhow::Error>,
}

impl JsonPrinter {
    /// Bytes from which on lines are printed.
    const PIECE: usize = 64 * 1024;

    fn print(&mut self, length: usize) -> Result<()> {
        let piece: Vec<u8> = self.text.drain(..length).collect();
        print(&String::from_utf8(piece).context("JSON")?)
    }

    /// Prints the rest and a newline. The error of an earlier piece is the cause of that of the serializer.
    fn end(mut self, written: Result<()>) -> Result<()> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        written?;
        self.text.push(b'\n');
        self.print(self.text.len())
    }
}

impl Write for JsonPrinter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        if self.text.len() >= Self::PIECE
            && let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n')
        {
            let after = bytes.len() - end - 1;
            self.print(self.text.len() - after).map_err(|error| {
                let why = io::Error::other(error.to_string());
                self.failed = Some(error);
                why
            })?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The error for a file that cannot be read.
pub(super) fn read_error(path: &Path, error: &io::Error) -> anyhow::Error {
    let name = escape(&path.display().to_string());
    match error.kind() {
        io::ErrorKind::NotFound => anyhow!("{name}: no such file or folder."),
        io::ErrorKind::IsADirectory => anyhow!("{name}: is a folder, expected a file."),
        io::ErrorKind::InvalidData => anyhow!("{name}: not UTF-8 text."),
        _ => anyhow!("{name}: {error}."),
    }
}

/// Fails unless `path` names a new file in an existing folder.
pub(super) fn require_new_file(path: &Path) -> Result<()> {
    let name = escape(&path.display().to_string());
    ensure!(path.symlink_metadata().is_err(), "{name}: already exists and is not overwritten. Name a new file.");
    let folder = townlet_files::folder_of(path);
    ensure!(folder.is_dir(), "{name}: the folder does not exist.");
    Ok(())
}

/// Fails unless the folder of `--home` exists.
pub(super) fn require_home(path: &Path) -> Result<()> {
    ensure!(path.is_dir(), "--home {}: no such folder.", escape(&path.display().to_string()));
    Ok(())
}

/// The sign before an answer: a dry run is never taken for the command itself.
pub(super) const fn status_sign(status: Status) -> &'static str {
    match status {
        Status::Ok => "✓",
        Status::Error => "✗",
        Status::DryRun => "≈ dry run:",
    }
}

/// Fails if the folder of `--home` cannot be used by a command that makes a new home, or resumes something in an old one.
pub(super) fn require_usable_home(path: &Path, resumes: bool) -> Result<()> {
    if resumes {
        return require_home(path);
    }
    ensure!(!path.exists() || path.is_dir(), "--home {}: not a folder.", escape(&path.display().to_string()));
    Ok(())
}

/// Reads a file of at most `limit` bytes.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = townlet_files::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    let size = read.map_err(|error| read_error(path, &error))?;
    let name = escape(&path.display().to_string());
    ensure!(size as u64 <= limit, "{name}: larger than the limit of {}.", self::bytes(limit));
    Ok(bytes)
}

/// Reads a text file of at most `limit` bytes, without a byte order mark.
pub(super) fn read_text(path: &Path, limit: u64) -> Result<String> {
    townlet_files::decode_text(read(path, limit)?).map_err(|error| read_error(path, &error))
}

/// A size with a unit.
pub(super) fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{:.1} KiB", count as f64 / 1024.0),
        _ => format!("{:.1} MiB", count as f64 / 1_048_576.0),
    }
}

/// A progress bar on standard error, unless `hidden` or standard error is not a terminal.
pub(super) fn progress_bar(length: u64, hidden: bool, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if hidden || !io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        _ = write!(out, "{}/s", thousands(state.per_sec().round() as u64));
    };
    bar.set_style(style.with_key("per_sec", rate));
    bar
}

/// Prints the results of named checks, as lines or as one JSON object.
pub(super) struct CheckReport {
    json: bool,
    name_width: usize,
    rows: Vec<Value>,
    failed: Vec<&'static str>,
}

impl CheckReport {
    /// An empty report with the width of the column of names.
    pub(super) const fn new(json: bool, name_width: usize) -> Self {
        Self { json, name_width, rows: Vec::new(), failed: Vec::new() }
    }

    /// Adds a result. Prints it at once, unless the output is JSON.
    pub(super) fn add(&mut self, name: &'static str, passed: bool, text: &str, row: Value) -> Result<()> {
        self.rows.push(row);
        if !passed {
            self.failed.push(name);
        }
        if self.json {
            return Ok(());
        }
        line(&format!("{} {name:<width$} {}", if passed { '✓' } else { '✗' }, escape(text), width = self.name_width))
    }

    /// Prints the summary with `subject` appended, or `document` with the rows under `key`. Returns the exit status.
    pub(super) fn finish(self, subject: &str, mut document: Value, key: &str) -> Result<ExitCode> {
        let (all, failed) = (self.rows.len(), self.failed.len());
        if self.json {
            document["passed"] = (failed == 0).into();
            document[key] = self.rows.into();
            json(&document)?;
        } else if failed == 0 {
            line(&format!("all {all} checks passed{subject}"))?;
        } else {
            line(&format!("{failed} of {all} checks failed: {}{subject}", self.failed.join(", ")))?;
        }
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_CHECK_FAILED) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_over_the_limit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "abc").unwrap();
        assert_eq!(read_text(&file, 3).unwrap(), "abc");
        assert!(read_text(&file, 2).unwrap_err().to_string().contains("limit of 2 B"));
        std::fs::write(&file, [0xff]).unwrap();
        assert!(read_text(&file, 3).unwrap_err().to_string().contains("UTF-8"));
        assert!(read(folder.path(), 3).unwrap_err().to_string().contains("folder"));
    }

    #[test]
    fn sizes_are_readable() {
        assert_eq!([bytes(0), bytes(1023), bytes(1536), bytes(3 << 20)], ["0 B", "1023 B", "1.5 KiB", "3.0 MiB"]);
    }
}

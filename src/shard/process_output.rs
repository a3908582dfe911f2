//! What the process of a shard prints: its standard output and standard error, copied to a file of the run for incident bundles.
//!
//! The program's own printing and panic messages are copied; a screen is not. Rule: "Incidents".

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use townlet_wire::{escape, redact_tokens};

use crate::log::append;

/// Lines kept until there is a run to keep them for.
const MAX_EARLIER: usize = 200;

/// One per process, as its standard streams are.
static COPY: Mutex<Copy> = Mutex::new(Copy { file: None, earlier: VecDeque::new() });

struct Copy {
    file: Option<PathBuf>,
    earlier: VecDeque<String>,
}

impl Copy {
    fn keep(&mut self, file: PathBuf) {
        self.file = Some(file);
        for line in std::mem::take(&mut self.earlier) {
            self.add(line);
        }
    }

    fn note(&mut self, stream: &str, text: &str) {
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        let text = redact_tokens(text);
        let lost = if self.file.is_none() { text.lines().count().saturating_sub(MAX_EARLIER) } else { 0 };
        text.lines().skip(lost).for_each(|line| self.add(format!("{now}  {stream}  {}", escape(line))));
    }

    fn add(&mut self, line: String) {
        if let Some(file) = &self.file {
            // A copy that cannot be written must not stop the program.
            drop(append(file, &line));
            return;
        }
        if self.earlier.len() == MAX_EARLIER {
            self.earlier.pop_front();
        }
        self.earlier.push_back(line);
    }
}

/// Copies to this file from now on, what was printed before included.
pub fn keep_output(file: PathBuf) {
    COPY.lock().unwrap_or_else(PoisonError::into_inner).keep(file);
}

/// Notes what the process prints to `stream`: `out` or `err`.
pub fn note_output(stream: &str, text: &str) {
    COPY.lock().unwrap_or_else(PoisonError::into_inner).note(stream, text);
}

/// Notes a panic message, unless the copy is in use: the panic may come from there.
pub(crate) fn note_panic(text: &str) {
    if let Ok(mut copy) = COPY.try_lock() {
        copy.note("err", text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_copied_in_order_and_those_before_the_run_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("output/run.log");
        let mut copy = Copy { file: None, earlier: VecDeque::new() };
        (0..MAX_EARLIER + 5).for_each(|number| copy.add(format!("early {number}")));
        copy.keep(file.clone());
        copy.note("out", "the token twn_ab12_00ffee11");
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[0]), (MAX_EARLIER + 1, "early 5"));
        assert!(lines[MAX_EARLIER].ends_with("  out  the token (redacted)"), "{text}");
    }
}

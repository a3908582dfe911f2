//! What happens on the client's side while a command has no answer: what is said, and whether to leave without the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::cli::output;

/// How often it is looked whether to leave.
pub(super) const POLL: Duration = Duration::from_millis(50);

/// Attends to a command that has no answer yet.
pub(super) trait Attendant {
    /// Says why there is no answer yet.
    fn say(&mut self, line: &str);
    /// Whether to leave without the answer.
    fn leaves(&mut self) -> bool;

    /// Waits, unless it leaves. Returns whether it leaves.
    fn wait(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        loop {
            if self.leaves() {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            std::thread::sleep(left.min(POLL));
        }
    }
}

/// Signals that ask the program to end. They end it at once, except while somebody attends to them.
pub(super) struct Interrupts {
    raised: Arc<AtomicBool>,
    at_once: Arc<AtomicBool>,
}

impl Interrupts {
    /// Watches these signals from now on.
    pub(super) fn watch(signals: &[i32]) -> Result<Self> {
        let at_once = Arc::new(AtomicBool::new(true));
        for signal in signals {
            signal_hook::flag::register_conditional_default(*signal, Arc::clone(&at_once))
                .context("cannot handle signals")?;
        }
        Ok(Self { raised: output::signal_flag(signals)?, at_once })
    }

    /// Whether one came while somebody attended.
    pub(super) fn raised(&self) -> bool {
        self.raised.load(Ordering::SeqCst)
    }

    /// Attends to signals until the value is dropped.
    pub(super) fn attend(&self) -> Attended<'_> {
        self.at_once.store(false, Ordering::SeqCst);
        Attended(self)
    }
}

/// Signals are attended to.
pub(super) struct Attended<'a>(&'a Interrupts);

impl Drop for Attended<'_> {
    fn drop(&mut self) {
        self.0.at_once.store(true, Ordering::SeqCst);
    }
}

/// Of a single command or a script: speaks on standard error, and leaves on a signal.
impl Attendant for Attended<'_> {
    fn say(&mut self, line: &str) {
        output::stderr!("{line}");
    }

    fn leaves(&mut self) -> bool {
        self.0.raised()
    }
}

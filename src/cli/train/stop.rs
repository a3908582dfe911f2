//! When a training stops before its schedule ends: signals and `--minutes`.
//!
//! Both are asked for at every tick and every few hundred decisions, so that the work stops within a second at any setting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::super::{EXIT_INTERRUPTED, output};

const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// The requests to stop.
pub(super) struct StopRequest {
    interrupted: Arc<AtomicBool>,
    /// Whether a signal ends the program at once, because there is nothing to save yet.
    at_once: Arc<AtomicBool>,
    begun: Instant,
    limit: Option<Duration>,
}

impl StopRequest {
    /// Watches signals and the clock from now on. Until [`Self::begin_work`], a signal ends the program at once.
    pub(super) fn watch(minutes: Option<f64>) -> Result<Self> {
        let at_once = Arc::new(AtomicBool::new(true));
        for signal in SIGNALS {
            let (status, condition) = (i32::from(EXIT_INTERRUPTED), Arc::clone(&at_once));
            signal_hook::flag::register_conditional_shutdown(signal, status, condition)
                .context("cannot handle signals")?;
        }
        let limit = minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0));
        Ok(Self { interrupted: output::signal_flag(&SIGNALS)?, at_once, begun: Instant::now(), limit })
    }

    /// From now on a signal only requests a stop.
    pub(super) fn begin_work(&self) {
        self.at_once.store(false, Ordering::Relaxed);
    }

    /// Does what takes a while and leaves nothing to save, such as making thousands of towns: a signal meanwhile ends the program
    /// at once, as before [`Self::begin_work`].
    pub(super) fn at_once_during<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = self.at_once.swap(true, Ordering::Relaxed);
        let done = work();
        self.at_once.store(before, Ordering::Relaxed);
        done
    }

    /// The beginning of the program.
    pub(super) fn begun(&self) -> Instant {
        self.begun
    }

    /// Why to stop, if there is a reason.
    pub(super) fn reason(&self) -> Option<&'static str> {
        if self.interrupted.load(Ordering::Relaxed) {
            Some(super::INTERRUPTED)
        } else if self.until_limit() == Some(Duration::ZERO) {
            Some("time limit reached")
        } else {
            None
        }
    }

    /// The time that `--minutes` leaves.
    pub(super) fn until_limit(&self) -> Option<Duration> {
        self.limit.map(|limit| limit.saturating_sub(self.begun.elapsed()))
    }
}

//! The sealing of a live log: when a seal is due, and the steps of one. The order of the steps is explained in `seal_key`.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::chain::Chain;
use super::record::Record;
use super::seal::{Cause, Seal};
use super::seal_key::SealKey;

/// How long the writer waits for a sealing of another run of the home, while it serves and when it starts or stops.
const SHORT_PATIENCE: Duration = Duration::from_millis(200);
const LONG_PATIENCE: Duration = Duration::from_secs(2);
/// Wait after a failed sealing.
const RETRY: Duration = Duration::from_secs(5);

/// Whether a log is sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sealing {
    /// The home has no sealing key.
    #[default]
    Unsealed,
    /// The log is sealed, with a key of this id.
    Sealed(String),
    /// There is a sealing key, and it could not be used: why.
    Failed(String),
}

/// Seals one log.
#[derive(Default)]
pub(crate) struct Sealer {
    /// The key file; `None` if the log has none.
    path: Option<PathBuf>,
    interval: Duration,
    run_id: String,
    /// The last line that is sealed, seals included.
    sealed: u64,
    /// The last line that was there when the log was opened.
    found: u64,
    /// The segment of the last seal.
    segment: u32,
    /// When the oldest line without a seal was written.
    since: Option<Instant>,
    /// When a failed sealing is tried again.
    retry_at: Option<Instant>,
    pub(crate) state: Sealing,
}

impl Sealer {
    /// The sealer of a run that was opened with `found` lines, those up to `sealed` with a seal.
    pub(crate) fn new(path: Option<PathBuf>, interval: Duration, run_id: &str, sealed: u64, found: u64) -> Self {
        Self { path, interval, run_id: run_id.to_owned(), sealed, found, ..Self::default() }
    }

    /// Notes that lines were written.
    pub(crate) fn wrote(&mut self, chain: &Chain) {
        if self.path.is_some() && chain.end().seq > self.sealed {
            self.since.get_or_insert_with(Instant::now);
        }
    }

    /// How long until a seal is due, if there are lines without one.
    pub(crate) fn until_due(&self, chain: &Chain) -> Option<Duration> {
        let since = self.since?;
        if let Some(retry_at) = self.retry_at {
            return Some(retry_at.saturating_duration_since(Instant::now()));
        }
        if self.cause(chain) == Cause::Rotation && self.state != Sealing::Unsealed {
            return Some(Duration::ZERO);
        }
        Some(self.interval.saturating_sub(since.elapsed()))
    }

    /// Why a live log is sealed now.
    pub(crate) fn cause(&self, chain: &Chain) -> Cause {
        if chain.segment() == self.segment { Cause::Interval } else { Cause::Rotation }
    }

    /// Seals the log up to its end. Returns the lines that were written; an error is one of the log. Trouble with the key is kept
    /// in [`Self::state`], and the log goes on without a seal.
    pub(crate) fn seal(&mut self, chain: &mut Chain, cause: Cause) -> io::Result<Vec<Record>> {
        let mut written = Vec::new();
        let done = self.try_seal(chain, cause, &mut written);
        self.retry_at = None;
        match done {
            Ok(Some(key_id)) => (self.state, self.since) = (Sealing::Sealed(key_id), None),
            // Looked for again after the next interval.
            Ok(None) => (self.state, self.since) = (Sealing::Unsealed, None),
            Err(Trouble::Key(why)) => {
                self.state = Sealing::Failed(why);
                self.retry_at = Some(Instant::now() + RETRY);
            }
            Err(Trouble::Log(error)) => {
                self.retry_at = Some(Instant::now() + RETRY);
                return Err(error);
            }
        }
        Ok(written)
    }

    fn try_seal(
        &mut self,
        chain: &mut Chain,
        cause: Cause,
        written: &mut Vec<Record>,
    ) -> Result<Option<String>, Trouble> {
        let Some(path) = &self.path else { return Ok(None) };
        let live = matches!(cause, Cause::Interval | Cause::Rotation);
        let Some(mut key) = SealKey::open(path, if live { SHORT_PATIENCE } else { LONG_PATIENCE })? else {
            return Ok(None);
        };
        // Seals of a crash, of this run or of another one.
        for seal in key.pending() {
            let line = chain.append_seal(seal)?;
            if seal.run_id == self.run_id {
                let end = if line.seq == seal.seq + 1 { line.seq } else { seal.seq };
                self.sealed = self.sealed.max(end);
            }
            written.push(line);
        }
        chain.sync()?;
        let left_open = cause == Cause::Start && self.sealed < self.found;
        let cause = if left_open { Cause::LeftOpen } else { cause };
        let (at, end) = (chain.time(), chain.end());
        let seal = Seal {
            key_id: String::new(),
            number: 0,
            run_id: self.run_id.clone(),
            from: (self.sealed + 1).min(end.seq),
            seq: end.seq,
            hash: end.hash.clone(),
            at,
            cause,
            mac: String::new(),
        };
        let seal = key.seal(seal)?;
        written.push(chain.append_seal(&seal)?);
        chain.sync()?;
        (self.sealed, self.segment) = (chain.end().seq, chain.segment());
        key.written()?;
        Ok(Some(key.key_id().to_owned()))
    }
}

enum Trouble {
    Key(String),
    Log(io::Error),
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Self::Key(why)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Log(error)
    }
}

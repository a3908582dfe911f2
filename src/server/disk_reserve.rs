//! The free disk space that is kept for the audit records of admins: below it, commands without a token are refused.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a measurement counts.
const MAX_AGE: Duration = Duration::from_secs(1);

pub(super) struct DiskReserve {
    folder: PathBuf,
    bytes: u64,
    measured: Mutex<Option<(Instant, bool)>>,
}

impl DiskReserve {
    /// Keeps so many bytes on the disk of a folder.
    pub(super) fn new(folder: PathBuf, bytes: u64) -> Self {
        Self { folder, bytes, measured: Mutex::new(None) }
    }

    /// Why a command without a token is refused, if it is. Measured once a second at most.
    pub(super) fn refusal(&self) -> Option<String> {
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        let low = match *measured {
            Some((at, low)) if at.elapsed() < MAX_AGE => low,
            _ => {
                // A disk whose free space is unknown counts as one with room.
                let low = townlet_files::free_bytes(&self.folder).is_some_and(|free| free < self.bytes);
                *measured = Some((Instant::now(), low));
                low
            }
        };
        low.then(|| {
            let size = match self.bytes {
                bytes @ ..1_048_576 => format!("{bytes} bytes"),
                bytes => format!("{} MiB", bytes.div_ceil(1_048_576)),
            };
            format!("less than {size} are free on the disk of the audit log")
        })
    }
}

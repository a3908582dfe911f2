//! The segment that is being written: its file, and what is done when somebody else changes it.
//!
//! Before a command is acknowledged the file under the segment's name must be the one that is written, with all of its bytes. A
//! file that was removed, renamed or replaced still has its bytes, which the open descriptor reads: they are checked by their
//! checksum and written again under the name. The bytes of a truncated file are gone. A journal needs no copy of them in memory,
//! because the next segment begins with the town, which has every command that was applied: the writer asks for that segment and
//! acknowledges once it is durable. Rule: "Files that change under the program".

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use townlet_files::{Disturbance, Identity, Placement, put_back, set_aside};

use super::SegmentEnd;

pub(super) struct OpenSegment {
    path: Arc<Path>,
    pub(super) file: File,
    identity: Identity,
}

/// What became of a segment that was disturbed.
pub(super) struct Restored {
    /// Whether it stands under its name again, complete.
    pub(super) whole: bool,
    /// What happened and what was done, a sentence without its full stop.
    pub(super) what: String,
}

impl OpenSegment {
    /// Opens a segment to append.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).open(path)?;
        Ok(Self { path: path.into(), identity: Identity::of(&file)?, file })
    }

    /// Where the entries up to `end` stand.
    pub(super) fn placement(&self, end: &SegmentEnd) -> Placement {
        Placement::new(Arc::clone(&self.path), self.identity, end.bytes)
    }

    /// What happened to the file; `None` if it holds the segment up to `end`.
    pub(super) fn disturbance(&self, end: &SegmentEnd) -> io::Result<Option<Disturbance>> {
        self.identity.disturbance(&self.path, end.bytes)
    }

    /// Writes the segment again under its name, durably, if its bytes can still be read. What stands under the name is renamed
    /// and kept, so that no reader takes it for the segment.
    pub(super) fn restore(&mut self, disturbance: Disturbance, end: &SegmentEnd) -> io::Result<Restored> {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let whole = self.checksum(end.bytes)? == Some(end.checksum);
        let aside = set_aside(&self.path)?;
        if whole {
            self.file.seek(SeekFrom::Start(0))?;
            self.file = put_back(&self.path, &mut (&self.file).take(end.bytes), |_| Ok(()))?;
            self.identity = Identity::of(&self.file)?;
        }
        let done = if whole { "it was written again" } else { "a new segment starts from the town" };
        let aside = aside.map_or_else(String::new, |aside| format!("; what stood there is {}", name(&aside)));
        Ok(Restored { whole, what: format!("{} {disturbance}; {done}{aside}", name(&self.path)) })
    }

    /// CRC-32 of the first bytes; `None` if there are fewer.
    fn checksum(&mut self, bytes: u64) -> io::Result<Option<u32>> {
        self.file.seek(SeekFrom::Start(0))?;
        let (mut hasher, mut left, mut buffer) = (crc32fast::Hasher::new(), bytes, vec![0; 64 * 1024]);
        while left > 0 {
            let most = buffer.len().min(left as usize);
            let read = self.file.read(&mut buffer[..most])?;
            if read == 0 {
                return Ok(None);
            }
            hasher.update(&buffer[..read]);
            left -= read as u64;
        }
        Ok(Some(hasher.finalize()))
    }
}

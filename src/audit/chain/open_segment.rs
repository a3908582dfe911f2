//! The open segment: its file, with a copy of its content in memory, so that a live log survives what happens to the file.
//!
//! Before lines are acknowledged the file under the segment's name must be the one that is written, with all of its bytes. If it
//! is not, because somebody removed, renamed, truncated or replaced it or its folder, the segment is written again under its own
//! name from memory, and the next segment begins with a `rotate` line that says so.
//!
//! The lines are written again where they were, byte for byte, and not into the next segment. The chain stays linear that way:
//! sequence numbers never go back, and no reader needs a rule for lines that stand twice. Seals and checkpoints over these lines
//! stay valid, and recovery after a crash reads the log like any other. The whole open segment is in memory and not only the lines
//! since the last check, because a removed or truncated file takes the checked lines along. Its size is bounded by
//! [`Options::segment_bytes`](crate::Options::segment_bytes) and one commit. Closed segments are not in memory: a missing
//! one is reported, and only a copy brings it back.
//!
//! What stood in place of the segment is renamed and kept, unless it is a part of the segment. Rule: "Files that change under the
//! program".

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use townlet_files::{Disturbance, Identity, Placement, put_back, set_aside};

pub(super) struct OpenSegment {
    path: Arc<Path>,
    file: File,
    identity: Identity,
    /// The complete lines written so far.
    content: Vec<u8>,
}

impl OpenSegment {
    /// Opens a segment to append after its first `bytes` bytes.
    pub(super) fn open(path: PathBuf, bytes: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).open(&path)?;
        let mut content = Vec::new();
        (&file).take(bytes).read_to_end(&mut content)?;
        Self::of(path, file, content)
    }

    /// A new segment, in whose file `content` has been written.
    pub(super) fn of(path: PathBuf, file: File, content: Vec<u8>) -> io::Result<Self> {
        let identity = Identity::of(&file)?;
        Ok(Self { path: path.into(), file, identity, content })
    }

    pub(super) const fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Keeps lines that were written completely.
    pub(super) fn keep(&mut self, lines: &[u8]) {
        self.content.extend_from_slice(lines);
    }

    /// Drops everything after the first `bytes` bytes, which a failure left.
    pub(super) fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        self.content.truncate(bytes as usize);
        // A file that somebody else has truncated is not extended by zeros.
        if self.file.metadata()?.len() > bytes { self.file.set_len(bytes) } else { Ok(()) }
    }

    /// Where the lines stand that were written so far.
    pub(super) fn placement(&self) -> Placement {
        Placement::new(Arc::clone(&self.path), self.identity, self.content.len() as u64)
    }

    /// What happened to the file; `None` if it holds the segment.
    pub(super) fn disturbance(&self) -> io::Result<Option<Disturbance>> {
        self.identity.disturbance(&self.path, self.content.len() as u64)
    }

    /// Writes the segment again, durably, under its name. `before` runs before it has that name. Returns where the file was put
    /// that stood there.
    pub(super) fn write_again(
        &mut self,
        disturbance: Disturbance,
        before: impl FnOnce(&File) -> io::Result<()>,
    ) -> io::Result<Option<PathBuf>> {
        // A truncated file has a part of the segment and the lines that were appended to it since.
        let is_truncated = matches!(disturbance, Disturbance::Truncated { .. });
        let aside = if is_truncated || self.is_part_of_segment()? { None } else { set_aside(&self.path)? };
        self.file = put_back(&self.path, &mut self.content.as_slice(), before)?;
        self.identity = Identity::of(&self.file)?;
        Ok(aside)
    }

    /// Whether the file under the name holds nothing but the beginning of this segment.
    fn is_part_of_segment(&self) -> io::Result<bool> {
        let is_shorter = |path: &Path| {
            path.symlink_metadata().is_ok_and(|found| found.is_file() && found.len() <= self.content.len() as u64)
        };
        Ok(is_shorter(&self.path) && self.content.starts_with(&townlet_files::read(&self.path)?))
    }

    /// Number of its lines.
    pub(super) fn lines(&self) -> usize {
        self.content.split_inclusive(|byte| *byte == b'\n').count()
    }
}

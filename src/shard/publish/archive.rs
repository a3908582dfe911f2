//! The archive of the raw stream, written while subscribers get merged messages: `logs/telemetry/<run>-NNNN.jsonl.zst`.
//!
//! Each period has one file, which starts with a full state. A file that cannot be written is given up and reported, and a new one
//! starts when possible. A file without messages is removed. Rule: "Telemetry".

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fail::fail_point;
use serde::Serialize;

use crate::incident::WINDOW_LOG;
use townlet_wire::sse::MAX_EVENT;
use townlet_wire::{Envelope, Mirror};

/// zstd level; low, because the publisher has other work.
const LEVEL: i32 = 3;
/// Time before a new file is tried after a failure.
const RETRY: Duration = Duration::from_secs(1);
/// Longest line read, in bytes: as for a message of a stream, with its line feed.
const LONGEST: u64 = MAX_EVENT as u64 + 1;

struct OpenFile {
    path: PathBuf,
    out: zstd::stream::write::Encoder<'static, File>,
    started: bool,
}

pub(super) struct Archive {
    /// `None` if archives are turned off.
    folder: Option<PathBuf>,
    run_id: String,
    open: Option<OpenFile>,
    /// Why the last file could not be written.
    pub(super) trouble: Option<String>,
    tried: Duration,
}

impl Archive {
    pub(super) fn new(folder: Option<PathBuf>, run_id: &str) -> Self {
        Self { folder, run_id: run_id.into(), open: None, trouble: None, tried: Duration::ZERO }
    }

    /// Sets the folder of new files; `None` closes the current file.
    pub(super) fn set_folder(&mut self, folder: Option<PathBuf>) {
        self.folder = folder;
        if self.folder.is_none() {
            self.close();
        }
    }

    /// Name of the file being written.
    pub(super) fn file(&self) -> Option<String> {
        let name = self.open.as_ref()?.path.file_name()?;
        Some(name.to_string_lossy().into_owned())
    }

    /// Whether a file should be opened now.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.folder.is_some() && self.open.is_none() && now >= self.tried + RETRY
    }

    pub(super) fn open(&mut self, now: Duration) {
        self.tried = now;
        let Some(folder) = &self.folder else { return };
        match create(folder, &self.run_id) {
            Ok(open) => (self.open, self.trouble) = (Some(open), None),
            Err(error) => self.trouble = Some(format!("{}: {error}", folder.display())),
        }
    }

    pub(super) fn write(&mut self, line: &str) {
        let Some(OpenFile { path, out, started }) = &mut self.open else { return };
        // Flushed, so that a crash loses no message that was sent.
        let written = point("archive_write")
            .and_then(|()| out.write_all(line.as_bytes()))
            .and_then(|()| out.write_all(b"\n"))
            .and_then(|()| out.flush());
        match written {
            Ok(()) => *started = true,
            Err(error) => {
                self.trouble = Some(format!("{}: {error}", path.display()));
                if !*started {
                    // Otherwise a full disk would collect an empty file every second.
                    drop(std::fs::remove_file(&*path));
                }
                self.open = None;
            }
        }
    }

    pub(super) fn close(&mut self) {
        if let Some(OpenFile { path, out, .. }) = self.open.take() {
            let closed = out.finish().and_then(|file| file.sync_all());
            self.trouble = closed.err().map(|error| format!("{}: {error}", path.display()));
        }
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        self.close();
    }
}

fn point(name: &'static str) -> io::Result<()> {
    fail_point!(name, |_| Err(io::Error::other(format!("fail point {name}"))));
    // Without the feature the name has no other use.
    let _ = name;
    Ok(())
}

fn create(folder: &Path, run_id: &str) -> io::Result<OpenFile> {
    point("archive_open")?;
    std::fs::create_dir_all(folder)?;
    for number in 1..10_000 {
        let path = folder.join(format!("{run_id}-{number:04}.jsonl.zst"));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => {
                let mut out = zstd::stream::write::Encoder::new(file, LEVEL)?;
                out.include_checksum(true)?;
                return Ok(OpenFile { path, out, started: false });
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        "the run already has 9,999 archives, the maximum; move some of them to another folder",
    ))
}

/// The content of an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// Number of valid, consecutive messages.
    pub messages: u64,
    /// Number of messages whose digest was checked.
    pub checked: u64,
    /// Ticks of the first and the last message.
    pub ticks: Option<(u64, u64)>,
    /// Where and why reading stopped; `None` if the archive is intact.
    pub damage: Option<String>,
}

/// Reads an archive and checks that every message fits the state before it.
pub fn verify(path: &Path) -> io::Result<Contents> {
    let mut contents = Contents::default();
    let mut mirror = Mirror::default();
    let damage = lines(path, |line| {
        let number = contents.messages + 1;
        let message = Envelope::measured(line).map_err(|why| format!("message {number}: {why}"))?;
        let (tick, proven) = (message.0.tick, message.0.digest.is_some());
        mirror.take_measured(message, line.len()).map_err(|why| format!("message {number}: {why}"))?;
        contents.messages = number;
        contents.checked += u64::from(proven);
        contents.ticks = Some((contents.ticks.map_or(tick, |ticks| ticks.0), tick));
        Ok(())
    })?;
    contents.damage = damage.or_else(|| (contents.messages == 0).then(|| "it holds no message".to_owned()));
    Ok(contents)
}

/// Passes each line of an archive to `each`. Returns the error of `each` or of the decompression, if any.
pub fn lines(path: &Path, mut each: impl FnMut(&str) -> Result<(), String>) -> io::Result<Option<String>> {
    let file = townlet_files::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
    }
    let mut unpacked = zstd::stream::read::Decoder::new(file)?;
    unpacked.window_log_max(WINDOW_LOG)?;
    let mut unpacked = BufReader::new(unpacked);
    let mut line = String::new();
    for number in 1_u64.. {
        line.clear();
        let mut bounded = io::Read::take(&mut unpacked, LONGEST);
        match bounded.read_line(&mut line) {
            Ok(0) => return Ok(None),
            Ok(_) if !line.ends_with('\n') => return Ok(Some(format!("message {number}: it is cut off"))),
            Ok(_) => {}
            Err(error) => return Ok(Some(format!("message {number}: {error}"))),
        }
        if let Err(why) = each(line.trim_end()) {
            return Ok(Some(why));
        }
    }
    Ok(None)
}

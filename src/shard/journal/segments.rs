//! The segments of a run, read as one journal. Finds missing, swapped and damaged ones and names them. Rule: "Journal".

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Contents, FrameReader, Header, JournalError, PreviousEnd, SegmentPlace, failed, parse, read};
use crate::home::{Home, journal_tick};

const PUT_BACK: &str = "put back a copy";

/// Segments of one run that follow each other, oldest first.
pub struct Segments {
    files: Vec<(PathBuf, SegmentPlace)>,
    run_id: String,
    /// Bytes of the only segment, if it is not a file.
    bytes: Option<Arc<Vec<u8>>>,
}

impl Segments {
    /// All segments of a run. The error names a segment that is missing between others, is damaged or is of another run.
    pub fn of_run(home: &Home, run_id: &str) -> Result<Self, JournalError> {
        Self::open(&home.journal_files(run_id))
    }

    /// The newest segments of a run, back to one that begins before `tick`; the newest alone if no tick is given.
    pub(crate) fn since(home: &Home, run_id: &str, tick: Option<u64>) -> Result<Self, JournalError> {
        let files = home.journal_files(run_id);
        let begins_before =
            |file: &&PathBuf| FrameReader::open(file).map_or(true, |it| Some(it.header.place.tick) < tick);
        let last = files.len().saturating_sub(1);
        let first =
            if tick.is_none() { last } else { files.iter().rposition(|file| begins_before(&file)).unwrap_or(0) };
        Self::open(&files[first..])
    }

    /// These files, oldest first.
    pub fn open(files: &[PathBuf]) -> Result<Self, JournalError> {
        let mut segments = Self { files: Vec::new(), run_id: String::new(), bytes: None };
        for file in files {
            let header = FrameReader::open(file)?.header;
            check_name(file, &header)?;
            if let Some((before, place)) = segments.files.last() {
                check_order((before, place), (file, &header.place))?;
            } else {
                segments.run_id.clone_from(&header.run_id);
            }
            if header.run_id != segments.run_id {
                let why = format!("it is of run {}, the segments before it are of {}", header.run_id, segments.run_id);
                return Err(failed(file, &why));
            }
            segments.files.push((file.clone(), header.place));
        }
        Ok(segments)
    }

    /// A single segment that is not a file of its own; `name` stands for it in messages.
    pub fn of_bytes(name: &Path, bytes: Vec<u8>) -> Result<Self, JournalError> {
        let bytes = Arc::new(bytes);
        let header = parse(name, Arc::clone(&bytes))?.header;
        Ok(Self { files: vec![(name.to_owned(), header.place)], run_id: header.run_id, bytes: Some(bytes) })
    }

    /// The run.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Number of segments.
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// The file of each segment.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(path, _)| path.as_path())
    }

    /// The first tick of a segment.
    pub(crate) fn first_tick(&self, index: usize) -> u64 {
        self.files[index].1.tick
    }

    /// The last segment that begins at or before a tick; the first one if none does.
    pub(crate) fn last_from(&self, tick: u64) -> usize {
        self.files.partition_point(|(_, place)| place.tick <= tick).saturating_sub(1)
    }

    /// The segment with the entry that leads to a tick; the first one if none does.
    pub(crate) fn leading_to(&self, tick: u64) -> usize {
        self.files.partition_point(|(_, place)| place.tick < tick).saturating_sub(1)
    }

    /// The header of a segment, without a check of the rest.
    pub(crate) fn header(&self, index: usize) -> Result<Header, JournalError> {
        match &self.bytes {
            Some(_) => Ok(self.read(index)?.header),
            None => Ok(FrameReader::open(&self.files[index].0)?.header),
        }
    }

    /// Reads a segment by its index. It must end as the one after it says; only the last may have a torn end, and one whose
    /// end could not be written.
    pub fn read(&self, index: usize) -> Result<Contents, JournalError> {
        let (path, place) = &self.files[index];
        let contents = match &self.bytes {
            Some(bytes) => parse(path, Arc::clone(bytes))?,
            None => read(path)?,
        };
        let Some((next, after)) = self.files.get(index + 1) else { return Ok(contents) };
        let PreviousEnd::Complete { bytes, checksum } = after.previous else { return Ok(contents) };
        if (contents.end.bytes, contents.end.checksum, contents.torn) == (bytes, checksum, 0) {
            return Ok(contents);
        }
        let found = contents.end.bytes + contents.torn;
        let what = if found == bytes {
            format!("its {bytes} bytes are not those that {} follows", next.display())
        } else {
            format!("it has {found} bytes, and {} follows {bytes} bytes", next.display())
        };
        Err(failed(path, &format!("segment {} is damaged or was replaced: {what}; {PUT_BACK} of it", place.sequence)))
    }

    /// All segments in order; ends after the first error.
    pub fn iter(&self) -> impl Iterator<Item = Result<(PathBuf, Contents), JournalError>> {
        (0..self.count()).map(|index| Ok((self.files[index].0.clone(), self.read(index)?)))
    }

    /// Whether segments before the first one are missing that retention has kept.
    pub(crate) fn lacks_beginning(&self) -> bool {
        let ends = self.files.first().zip(self.files.last());
        ends.is_some_and(|((_, first), (_, last))| first.sequence > last.oldest.max(1))
    }

    /// A sentence about the segments before the first one, if the journal does not begin with the run.
    pub fn beginning(&self) -> Option<String> {
        let ((_, first), (_, last)) = (self.files.first()?, self.files.last()?);
        if first.sequence <= 1 {
            return None;
        }
        let (before, missing) = (first.sequence - 1, last.oldest.max(1));
        let why = if missing >= first.sequence {
            "earlier segments were removed by retention".to_owned()
        } else if missing == before {
            format!("segment {before} is missing")
        } else {
            format!("segments {missing} to {before} are missing")
        };
        Some(format!("the run begins at tick {}; {why}.", first.tick))
    }
}

/// Checks that a file with the name of a segment holds that one.
fn check_name(path: &Path, header: &Header) -> Result<(), JournalError> {
    let named = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(&header.run_id));
    let (SegmentPlace { sequence, tick, .. }, name) = (&header.place, journal_tick(path).filter(|_| named));
    if name.is_none_or(|name| name >= *tick) {
        return Ok(());
    }
    let why = format!("it holds segment {sequence} of the run, from tick {tick} on; files were swapped or renamed");
    Err(failed(path, &why))
}

/// Checks that a segment follows another.
fn check_order(before: (&Path, &SegmentPlace), next: (&Path, &SegmentPlace)) -> Result<(), JournalError> {
    let ((before, earlier), (path, place)) = (before, next);
    let (expected, found) = (earlier.sequence + 1, place.sequence);
    if found == expected {
        return Ok(());
    }
    let why = if found < expected {
        format!(
            "it is segment {found}, and {}, which stands before it, is segment {}",
            before.display(),
            earlier.sequence
        )
    } else if found == expected + 1 {
        format!("segment {expected} of the run is missing between {} and this one; {PUT_BACK} of it", before.display())
    } else {
        let missing = format!("segments {expected} to {} of the run are missing", found - 1);
        format!("{missing} between {} and this one; {PUT_BACK} of them", before.display())
    };
    Err(failed(path, &why))
}

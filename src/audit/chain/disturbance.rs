//! What the chain does when its files were changed by somebody else: it writes the open segment and the head again, and begins a
//! segment whose first line says what happened. Rule: "Files that change under the program".

use std::io;
use std::path::Path;

use townlet_files::Disturbance;

use super::{Chain, SegmentState};
use crate::log_files::{head_name, segment_name};

/// Bytes of a note after which nothing is added.
const MOST_NOTED: usize = 600;
/// How often a segment is written again before its writing counts as failed.
const ATTEMPTS: u32 = 3;

impl Chain {
    /// Whether something happened to the open segment, so that [`Chain::sync`] has to write it again before anything is
    /// acknowledged.
    pub(crate) fn is_disturbed(&self) -> io::Result<bool> {
        Ok(self.segment.disturbance()?.is_some())
    }

    /// Whether something happened that the next segment has to say.
    pub(crate) fn has_disturbance(&self) -> bool {
        self.disturbance.is_some()
    }

    /// What happened since this was last asked, as a sentence.
    pub(crate) fn take_report(&mut self) -> Option<String> {
        self.report.take()
    }

    /// Looks for changes while nothing is written: to the open segment, the head and, with `closed`, to the closed segments.
    pub(crate) fn check(&mut self, closed: bool) -> io::Result<()> {
        if self.segment_state != SegmentState::Open {
            return Ok(());
        }
        if self.is_disturbed()? {
            self.sync_file()?;
        }
        self.note_changed_head()?;
        if closed || self.disturbance.is_some() {
            self.note_missing_segments();
        }
        self.begin_disturbed_segment()
    }

    /// Makes sure that the open segment stands under its name; writes it again if it does not.
    pub(super) fn keep_in_place(&mut self) -> io::Result<()> {
        for _ in 0..ATTEMPTS {
            let Some(disturbance) = self.segment.disturbance()? else { return Ok(()) };
            self.write_again(disturbance)?;
        }
        match self.segment.disturbance()? {
            None => Ok(()),
            Some(disturbance) => Err(io::Error::other(format!("the segment {disturbance}, again and again"))),
        }
    }

    fn write_again(&mut self, disturbance: Disturbance) -> io::Result<()> {
        // The run's lock is held on its first segment.
        let mut lock = None;
        let is_first = self.number == 1;
        let aside = self.segment.write_again(disturbance, |file| {
            if is_first {
                lock = Some(file.try_clone()?);
                file.try_lock()?;
            }
            Ok(())
        });
        let again = match self.segment.lines() {
            1 => "its line was written again".to_owned(),
            lines => format!("its {lines} lines were written again"),
        };
        let done = match &aside {
            Ok(None) => again,
            Ok(Some(aside)) => format!("{again}; the previous content was moved to {}", name(aside)),
            Err(why) => format!("it cannot be written again: {why}"),
        };
        self.note(&format!("{} {disturbance}; {done}", self.file_name()));
        self.note_changed_head()?;
        aside?;
        if let Some(lock) = lock {
            self.lock = lock;
        }
        Ok(())
    }

    /// Begins the segment that says what happened, if anything did. It waits for a line of the open segment, so that somebody who
    /// removes it again and again does not fill the folder.
    pub(crate) fn begin_disturbed_segment(&mut self) -> io::Result<()> {
        let has_lines = self.number == 1 || self.end.seq > self.first_seq;
        if self.disturbance.is_none() || !has_lines {
            return Ok(());
        }
        self.segment_state = SegmentState::Closed;
        self.rotate("disturbed")
    }

    /// Notes a head that was changed; the next segment's head takes its place.
    pub(super) fn note_changed_head(&mut self) -> io::Result<()> {
        let Some((identity, bytes)) = self.head_file else { return Ok(()) };
        let name = head_name(&self.options.run_id);
        if let Some(disturbance) = identity.disturbance(&self.options.dir.join(&name), bytes)? {
            self.head_file = None;
            self.note(&format!("{name} {disturbance}; it was written again"));
        }
        Ok(())
    }

    /// A closed segment is not in memory. It is reported once while it is missing.
    fn note_missing_segments(&mut self) {
        for number in 1..self.number {
            let file = segment_name(&self.options.run_id, number);
            if self.options.dir.join(&file).symlink_metadata().is_ok() {
                self.missing.remove(&number);
            } else if self.missing.insert(number) {
                self.note(&format!("{file} {}; put back a copy of it", Disturbance::Missing));
            }
        }
    }

    fn note(&mut self, what: &str) {
        for noted in [&mut self.disturbance, &mut self.report] {
            match noted {
                // A folder that was replaced can take many segments along, and a full disk is tried again every second.
                Some(known) if known.len() > MOST_NOTED || known.contains(what) => {}
                Some(known) => *known = format!("{known}; {what}"),
                None => *noted = Some(what.to_owned()),
            }
        }
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

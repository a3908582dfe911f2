//! The past of a run: rebuilds the town at any tick from its journal and its keyframes. Read-only.
//!
//! [`History::seek`] starts from the latest of these before the tick: a moment that was looked at, a keyframe, the start of a
//! segment. It plays the journal from there and compares every digest on the way. No policy runs, because the journal holds the
//! chosen options. Rules: "Journal", "Keyframes".

mod cache;
mod keyframe;
mod keyframe_store;
mod live;
mod marks;
mod moment;
#[cfg(test)]
mod tests;
mod thinning;

pub(crate) use keyframe::Capture;
pub use keyframe::is_keyframe;
pub(crate) use keyframe::read_agreeing;
pub(crate) use keyframe_store::{KeyframeStore, KeyframeWriter, list};
pub(crate) use live::LiveHistory;
pub use live::PastError;
pub use marks::{MarkCursor, MarkSelection};
pub(crate) use marks::{MarkStore, MarkWriter, select};
pub use moment::Moment;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use townlet_town::Rules;

use super::home::Home;
use super::journal::{Contents, Segments};
use super::recovery::JournalReplayer;
use cache::MomentCache;
use keyframe::Keyframe;
use moment::Played;

/// Holds a flag while the disk thread has a job, and lets it go also when the job panics or is never done.
struct Busy(Arc<AtomicBool>);

impl Busy {
    fn begin(flag: &Arc<AtomicBool>) -> Self {
        flag.store(true, Ordering::Release);
        Self(Arc::clone(flag))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Ticks that are played faster than a keyframe is read.
const KEYFRAME_COST: u64 = 2_000;
/// Ticks that are played before the tick that is looked at, so that an observer sees what happened before it.
const FEED_TICKS: u64 = 1_000;
/// How far before a tick moments are kept when it was far away, so that the way back from it is short.
const STOPS_BEFORE: [u64; 4] = [25_600, 3_200, 400, 50];
/// Sentences about files that are kept until somebody takes them.
const MAX_NOTES: usize = 100;

/// A run that can be looked at. One segment is in memory, and a bounded number of moments.
pub struct History {
    segments: Segments,
    /// Tick and file of each keyframe, oldest first.
    keyframes: Vec<(u64, PathBuf)>,
    /// Keyframes that are not used again.
    passed_over: BTreeSet<PathBuf>,
    /// The segment that was read last, and its index.
    read: (usize, Arc<Contents>),
    current: Moment,
    cache: MomentCache,
    first: u64,
    end: u64,
    notes: Vec<String>,
    /// When the present seek stops, at the latest.
    deadline: Option<Instant>,
}

/// Why a tick was not reached.
#[derive(Debug)]
pub(crate) enum SeekError {
    /// The time was over. The next seek goes on from there.
    Unfinished {
        /// The tick that was reached.
        reached: u64,
    },
    /// A file is damaged or missing, or town and journal differ. A sentence without full stop.
    Failed(String),
}

impl From<String> for SeekError {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl History {
    /// Opens a run at its beginning. Of the segments only the last one is read whole. The error names the missing or damaged file.
    pub fn open(home: &Home, segments: Segments) -> Result<Self, String> {
        let last = segments.count().checked_sub(1).ok_or("there is no journal")?;
        let newest = segments.read(last).map_err(|why| why.to_string())?;
        let keyframes = list(&home.keyframes(segments.run_id()));
        let begun = start_of_segment(&segments, 0, None)?;
        let (first, end) = (begun.tick(), newest.last_tick().max(begun.tick()));
        let mut cache = MomentCache::new(moment::memory(begun.town().state()));
        cache.keep(begun.clone());
        let read = (last, Arc::new(newest));
        let (passed_over, notes, deadline) = (BTreeSet::new(), Vec::new(), None);
        Ok(Self { segments, keyframes, passed_over, read, current: begun, cache, first, end, notes, deadline })
    }

    /// The run id.
    pub fn run_id(&self) -> &str {
        self.segments.run_id()
    }

    /// The first and last tick that can be rebuilt.
    pub const fn ticks(&self) -> (u64, u64) {
        (self.first, self.end)
    }

    /// The moment that was looked at last.
    pub const fn current(&self) -> &Moment {
        &self.current
    }

    /// Takes sentences for the operator, without full stop: keyframes that were passed over, and why.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// The town at a tick, clamped to the run, with the commands of that tick applied. If entries before it are missing, the first
    /// town after the gap. The error names a damaged segment, or says where journal and town disagree; the moment before it stays
    /// the current one.
    pub fn seek(&mut self, tick: u64) -> Result<&Moment, String> {
        self.seek_until(tick, None).map_err(|error| match error {
            SeekError::Failed(why) => why,
            SeekError::Unfinished { reached } => format!("only tick {reached} was reached"),
        })
    }

    /// As [`Self::seek`], but stops at a time. What it has reached by then is kept.
    pub(crate) fn seek_until(&mut self, tick: u64, deadline: Option<Instant>) -> Result<&Moment, SeekError> {
        self.deadline = deadline;
        let tick = tick.clamp(self.first, self.end);
        let (wanted, nearest) =
            [FEED_TICKS, 0].map(|before| self.segments.last_from(tick.saturating_sub(before))).into();
        let moment = match self.rebuild(tick, wanted) {
            // A damaged segment before it costs the events before it, not the town.
            Err(SeekError::Failed(why)) if wanted < nearest => {
                self.note(why);
                self.rebuild(tick, nearest)?
            }
            rebuilt => rebuilt?,
        };
        self.cache.keep(moment.clone());
        self.current = moment;
        Ok(&self.current)
    }

    /// The town at a tick, from the start of this segment or from what is after that.
    fn rebuild(&mut self, tick: u64, segment: usize) -> Result<Moment, SeekError> {
        let mut moment = self.start(tick, segment)?;
        let far = STOPS_BEFORE.map(|before| tick.saturating_sub(before));
        for stop in far.into_iter().filter(|stop| *stop > moment.tick()).collect::<Vec<_>>() {
            self.play(&mut moment, stop)?;
            self.cache.keep(moment.clone());
        }
        self.play(&mut moment, tick)?;
        Ok(moment)
    }

    /// The latest moment not after a tick that is known without the journal before it.
    fn start(&mut self, tick: u64, segment: usize) -> Result<Moment, String> {
        let base = self.segments.first_tick(segment);
        let cached = self.cache.before(tick).filter(|moment| moment.tick() >= base);
        let known = cached.as_ref().map_or(base, |moment| moment.tick().saturating_add(KEYFRAME_COST));
        if let Some(moment) = self.keyframe(known.saturating_add(1), tick)? {
            return Ok(moment);
        }
        cached.map_or_else(|| start_of_segment(&self.segments, segment, Some(self.current.town().rules())), Ok)
    }

    /// Takes up what was written to the files of a running shard since. If its oldest segments are gone, the run is opened again,
    /// and returns true.
    pub(crate) fn refresh(&mut self, home: &Home) -> Result<bool, String> {
        if self.segments.follow(home).map_err(|why| why.to_string())? {
            let segments = Segments::of_run(home, self.run_id()).map_err(|why| why.to_string())?;
            *self = Self::open(home, segments)?;
            return Ok(true);
        }
        let last = self.segments.count().saturating_sub(1);
        let newest = self.segments.read(last).map_err(|why| why.to_string())?;
        self.end = newest.last_tick().max(self.end);
        self.read = (last, Arc::new(newest));
        self.keyframes = list(&home.keyframes(self.segments.run_id()));
        self.keyframes.retain(|(_, path)| !self.passed_over.contains(path));
        Ok(false)
    }

    fn note(&mut self, sentence: String) {
        if self.notes.len() < MAX_NOTES && !self.notes.contains(&sentence) {
            self.notes.push(sentence);
        }
    }

    /// The latest keyframe of these ticks that agrees with the journal. Others are passed over for good.
    fn keyframe(&mut self, from: u64, to: u64) -> Result<Option<Moment>, String> {
        loop {
            let Some(place) = self.keyframes.partition_point(|(tick, _)| *tick <= to).checked_sub(1) else {
                return Ok(None);
            };
            let (tick, path) = self.keyframes[place].clone();
            if tick < from {
                return Ok(None);
            }
            match self.read_keyframe(tick, &path)? {
                Ok(moment) => return Ok(Some(moment)),
                Err(why) => {
                    self.keyframes.remove(place);
                    self.passed_over.insert(path.clone());
                    self.note(format!("{}: {why}. It was passed over", path.display()));
                }
            }
        }
    }

    /// A keyframe, if it agrees with the journal; else why it does not. The outer error is one of the journal.
    fn read_keyframe(&mut self, tick: u64, path: &Path) -> Result<Result<Moment, String>, String> {
        let index = self.segments.leading_to(tick);
        let (_, segment) = self.segment(index)?;
        let read = read_agreeing(path, tick, &segment, Some(self.current.town().rules()));
        Ok(read.map(|(Keyframe { policy, feed, town, .. }, next)| {
            let player = JournalReplayer::from_town(town);
            Moment { player, feed, policy, next: (index, next), begun: index }
        }))
    }

    /// Plays the journal up to a tick.
    fn play(&mut self, moment: &mut Moment, tick: u64) -> Result<(), SeekError> {
        loop {
            let (path, segment) = self.segment(moment.next.0)?;
            let said = |why: String| format!("{path}: {why}");
            if moment.begun < moment.next.0 {
                moment.player.begin_segment(&segment.header).map_err(said)?;
                moment.begun = moment.next.0;
                moment.policy.clone_from(&segment.header.policy);
            }
            match moment.play(&segment, tick, self.deadline).map_err(said)? {
                // The last segment may grow.
                Played::Finished if moment.next.0 + 1 < self.segments.count() => moment.next = (moment.next.0 + 1, 0),
                Played::Finished | Played::Reached => return Ok(()),
                Played::Stopped => {
                    self.cache.keep(moment.clone());
                    return Err(SeekError::Unfinished { reached: moment.tick() });
                }
            }
        }
    }

    /// A segment and its path.
    fn segment(&mut self, index: usize) -> Result<(String, Arc<Contents>), String> {
        if self.read.0 != index {
            let contents = self.segments.read(index).map_err(|why| why.to_string())?;
            self.read = (index, Arc::new(contents));
        }
        let path = self.segments.paths().nth(index).unwrap_or(Path::new(""));
        Ok((path.display().to_string(), Arc::clone(&self.read.1)))
    }
}

/// The town at the start of a segment, with these rules if its sources are the same.
fn start_of_segment(segments: &Segments, index: usize, rules: Option<&Arc<Rules>>) -> Result<Moment, String> {
    let header = segments.header(index).map_err(|why| why.to_string())?;
    let path = segments.paths().nth(index).unwrap_or(Path::new("")).display();
    let player = JournalReplayer::from_header_with(&header, rules).map_err(|why| format!("{path}: {why}"))?;
    Ok(Moment::at_start(index, &header, player))
}

//! The past of a run: rebuilds the town at any tick from its journal and its keyframes. Read-only.
//!
//! [`History::seek`] starts from the latest of these before the tick: a moment that was looked at, a keyframe, the start of a
//! segment. It plays the journal from there and compares every digest on the way. No policy runs, because the journal holds the
//! chosen options. Rules: "Journal", "Keyframes".

mod cache;
mod keyframe;
mod keyframe_store;
mod moment;
#[cfg(test)]
mod tests;
mod thinning;

pub(crate) use keyframe::Capture;
pub use keyframe::is_keyframe;
pub(crate) use keyframe_store::{KeyframeStore, KeyframeWriter};
pub use moment::Moment;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use townlet_town::Rules;

use super::home::Home;
use super::journal::{Contents, Segments};
use super::recovery::JournalReplayer;
use cache::MomentCache;
use keyframe::Keyframe;

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
    /// The segment that was read last, and its index.
    read: (usize, Arc<Contents>),
    current: Moment,
    cache: MomentCache,
    first: u64,
    end: u64,
    notes: Vec<String>,
}

impl History {
    /// Opens a run at its beginning. Of the segments only the last one is read whole. The error names the missing or damaged file.
    pub fn open(home: &Home, segments: Segments) -> Result<Self, String> {
        let last = segments.count().checked_sub(1).ok_or("there is no journal")?;
        let newest = segments.read(last).map_err(|why| why.to_string())?;
        let keyframes = keyframe_store::list(&home.keyframes(segments.run_id()));
        let begun = start_of_segment(&segments, 0, None)?;
        let (first, end) = (begun.tick(), newest.last_tick().max(begun.tick()));
        let mut cache = MomentCache::new(moment::memory(begun.town().state()));
        cache.keep(begun.clone());
        let read = (last, Arc::new(newest));
        Ok(Self { segments, keyframes, read, current: begun, cache, first, end, notes: Vec::new() })
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
        let tick = tick.clamp(self.first, self.end);
        let (wanted, nearest) =
            [FEED_TICKS, 0].map(|before| self.segments.last_from(tick.saturating_sub(before))).into();
        let moment = match self.rebuild(tick, wanted) {
            // A damaged segment before it costs the events before it, not the town.
            Err(why) if wanted < nearest => {
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
    fn rebuild(&mut self, tick: u64, segment: usize) -> Result<Moment, String> {
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
                    self.note(format!("{}: {why}. It was passed over", path.display()));
                }
            }
        }
    }

    /// A keyframe, if it agrees with the journal; else why it does not. The outer error is one of the journal.
    fn read_keyframe(&mut self, tick: u64, path: &Path) -> Result<Result<Moment, String>, String> {
        let index = self.segments.leading_to(tick);
        let (_, segment) = self.segment(index)?;
        let Some((digest, next)) = segment.entries.digest_at(tick) else {
            return Ok(Err("the journal does not lead to its tick".into()));
        };
        let Keyframe { run_id, policy, feed, town } = match Keyframe::read(path, Some(self.current.town().rules())) {
            Ok(keyframe) => keyframe,
            Err(why) => return Ok(Err(why)),
        };
        let found = town.digest();
        Ok(if run_id != segment.header.run_id {
            Err(format!("it is of run {run_id}"))
        } else if town.tick() != tick {
            Err(format!("it holds tick {}", town.tick()))
        } else if digest.as_ref() != Some(&found) {
            Err(format!("its digest is {found}, the journal says {}", digest.unwrap_or_else(|| "none".into())))
        } else if segment.sources_at(next) != town.rules().sources {
            Err("its configuration is not the one that the journal says".into())
        } else {
            let player = JournalReplayer::from_town(town);
            Ok(Moment { player, feed, policy, next: (index, next), begun: index })
        })
    }

    /// Plays the journal up to a tick.
    fn play(&mut self, moment: &mut Moment, tick: u64) -> Result<(), String> {
        loop {
            let (path, segment) = self.segment(moment.next.0)?;
            let said = |why: String| format!("{path}: {why}");
            if moment.begun < moment.next.0 {
                moment.player.begin_segment(&segment.header).map_err(said)?;
                moment.begun = moment.next.0;
                moment.policy.clone_from(&segment.header.policy);
            }
            let ended = moment.play(&segment, tick).map_err(said)?;
            // The last segment may grow.
            if !ended || moment.next.0 + 1 == self.segments.count() {
                return Ok(());
            }
            moment.next = (moment.next.0 + 1, 0);
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

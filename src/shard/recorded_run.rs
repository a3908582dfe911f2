//! A past run: replays its journal to any tick, forwards and backwards, and shows what an observer would have seen.
//!
//! No policy runs, because the journal holds the chosen options. Training, promotion and health of the shard are not in the
//! journal and are not shown. Rule: "Journal".

use std::path::Path;
use std::sync::Arc;

use townlet_town::Town;

use super::home::Home;
use super::journal::{Contents, Entry, Segments};
use super::privacy::PrivacyFilter;
use super::recovery::JournalReplayer;
use super::telemetry::{self, EventFeed, ShardStatus};
use townlet_wire::telemetry::{AuditRow, AuditTail, Health, Policy, Transport};
use townlet_wire::{Snapshot, count};

/// Maximum number of keyframes, from which seeking backwards starts.
const MAX_KEYFRAMES: u64 = 64;
/// Minimum ticks between keyframes; replaying this many takes an unnoticeable time.
const MIN_KEYFRAME_DISTANCE: u64 = 2_000;
const TAIL: usize = 200;

/// A position in the run: the town there and the next entry.
#[derive(Clone)]
struct Cursor {
    player: JournalReplayer,
    /// Index of the segment, and the byte at which the entry begins in it; 0 before the first.
    next: (usize, usize),
    /// The last segment that was begun.
    begun: usize,
    feed: EventFeed,
    policy: String,
}

/// A run replayed from its journal. One segment is in memory.
pub struct RecordedRun {
    segments: Segments,
    /// The segment that was read last, and its index.
    read: (usize, Arc<Contents>),
    shard: String,
    /// Audit records with their file names, by tick.
    rows: Vec<(String, AuditRow)>,
    /// State of the audit log: `ok`, or what is wrong with its files.
    audit_state: String,
    names: PrivacyFilter,
    current: Cursor,
    /// Oldest first; the first is the start of the journal.
    keyframes: Vec<Cursor>,
    end: u64,
}

impl RecordedRun {
    /// Opens the journal of one run, and its audit log in `home`. The error names the missing or damaged file.
    pub fn open(home: &Home, segments: Segments) -> Result<Self, String> {
        let count = segments.count();
        let newest =
            segments.read(count.checked_sub(1).ok_or("there is no journal")?).map_err(|why| why.to_string())?;
        let end = newest.entries.iter().filter_map(|entry| ends_at(&entry)).last().unwrap_or(newest.header.place.tick);
        let first = if count == 1 { newest } else { segments.read(0).map_err(|why| why.to_string())? };
        let header = &first.header;
        let path = segments.paths().next().unwrap_or(Path::new("")).display();
        let mut player = JournalReplayer::from_header(header).map_err(|why| format!("{path}: {why}"))?;
        let mut feed = EventFeed::default();
        record_events(&mut feed, &player.town);
        player.town.clear_events();
        let hidden = player.town.rules().config.telemetry.privacy.enabled;
        // Opening creates a missing key, so it is only done if names were hidden.
        let names = if hidden { PrivacyFilter::open(home, &header.shard, true)? } else { PrivacyFilter::default() };
        let (rows, audit_state) = audit_log(&home.console(), &header.run_id);
        let end = end.max(player.town.tick());
        let current = Cursor { player, next: (0, 0), begun: 0, feed, policy: header.policy.clone() };
        let (shard, keyframes) = (header.shard.clone(), vec![current.clone()]);
        Ok(Self { segments, read: (0, Arc::new(first)), shard, rows, audit_state, names, current, keyframes, end })
    }

    /// The run id.
    pub fn run_id(&self) -> &str {
        self.segments.run_id()
    }

    /// The first, current and last tick.
    pub fn ticks(&self) -> (u64, u64, u64) {
        (self.keyframes[0].player.town.tick(), self.current.player.town.tick(), self.end)
    }

    /// The town at the current tick.
    pub const fn town(&self) -> &Town {
        &self.current.player.town
    }

    /// The policy that chose there, as far as it is known.
    pub fn policy(&self) -> &str {
        &self.current.policy
    }

    /// Milliseconds a tick took at 1×.
    pub fn tick_ms(&self) -> u64 {
        self.current.player.town.rules().config.time.tick_ms.into()
    }

    /// Moves to a tick, clamped to the run. If entries before it are missing, moves to the first town after the gap. After an
    /// error the position is before the disagreement.
    pub fn seek(&mut self, tick: u64) -> Result<(), String> {
        let (first, now, last) = self.ticks();
        let tick = tick.clamp(first, last);
        if tick < now {
            let before = |keyframe: &Cursor| keyframe.player.town.tick() <= tick;
            self.current = self.keyframes[self.keyframes.iter().rposition(before).unwrap_or_default()].clone();
        }
        self.play_forward(tick)
    }

    fn play_forward(&mut self, tick: u64) -> Result<(), String> {
        let distance = ((self.end - self.keyframes[0].player.town.tick()) / MAX_KEYFRAMES).max(MIN_KEYFRAME_DISTANCE);
        while self.current.next.0 < self.segments.count() {
            let (path, read) = self.segment(self.current.next.0)?;
            let Cursor { player, next, begun, feed, policy } = &mut self.current;
            if *begun < next.0 {
                player.begin_segment(&read.header).map_err(|why| format!("{path}: {why}"))?;
                *begun = next.0;
            }
            let Some((entry, after)) = read.entries.at(next.1.max(read.entries.begin())) else {
                *next = (next.0 + 1, 0);
                continue;
            };
            if starts_at(&entry).is_some_and(|start| start > tick) {
                break;
            }
            if let Entry::Policy { to, .. } = &entry {
                policy.clone_from(to);
            }
            player
                .apply_until(&entry, tick, |town| record_events(feed, town))
                .map_err(|why| format!("{path}: {why}"))?;
            if ends_at(&entry).is_some_and(|end| end > player.town.tick()) {
                break;
            }
            next.1 = after;
            let newest = self.keyframes.last().map_or(0, |keyframe| keyframe.player.town.tick());
            if self.current.player.town.tick() >= newest + distance {
                self.keyframes.push(self.current.clone());
            }
        }
        Ok(())
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

    /// What an observer would have seen; `speed` is the playback speed.
    pub fn view(&self, speed: &str) -> Snapshot {
        let town = &self.current.player.town;
        let kind = if self.current.policy == super::policies::SCRIPTED { "scripted" } else { "network" };
        let status = ShardStatus {
            shard: self.shard.clone(),
            run_id: self.segments.run_id().to_owned(),
            policy: Policy { id: self.current.policy.clone(), kind: kind.into(), ..Policy::default() },
            speed: speed.into(),
            feed: self.current.feed.clone(),
            health: Health { status: "ok".into(), audit_ok: true, journal_tick: self.end, ..Health::default() },
            transport: Transport { mode: "full".into(), ..Transport::default() },
            names: self.names.clone(),
            ..ShardStatus::default()
        };
        let known = &self.rows[..self.rows.partition_point(|(_, row)| row.tick <= town.tick())];
        let (file, last) = known.last().cloned().unwrap_or_default();
        let records = known[known.len().saturating_sub(TAIL)..].iter().map(|(_, row)| row.clone()).collect();
        telemetry::snapshot(
            town.rules(),
            town.state(),
            None,
            &status,
            AuditTail { records, state: self.audit_state.clone(), file, seq: last.seq, head: last.hash },
        )
    }

    /// The digest of the current town.
    pub fn digest(&self) -> String {
        self.current.player.town.digest()
    }
}

/// Records the town's events and queue length.
fn record_events(feed: &mut EventFeed, town: &Town) {
    for event in town.events() {
        feed.record(town.rules(), event);
    }
    feed.record_queue_length(town.state().employment.queue.len() as u64);
}

/// The tick the town must have reached before an entry has an effect.
const fn starts_at(entry: &Entry) -> Option<u64> {
    match entry {
        // Running a tick leads past its start.
        Entry::Ticks { from, .. } => Some(*from + 1),
        Entry::Command { tick, .. } | Entry::Reload { tick, .. } | Entry::Policy { tick, .. } => Some(*tick),
    }
}

/// The tick after an entry's ticks, if it has any.
const fn ends_at(entry: &Entry) -> Option<u64> {
    if let Entry::Ticks { to, .. } = entry { Some(*to) } else { None }
}

/// The audit records of a run, as far as they can be read, and the state of its log.
fn audit_log(folder: &Path, run_id: &str) -> (Vec<(String, AuditRow)>, String) {
    let (mut rows, mut damaged) = (Vec::new(), 0);
    let read = townlet_audit::run_records(folder, run_id, |file, _, _, record| {
        match record {
            Ok(record) => rows.push((file.to_owned(), record.row())),
            Err(_) => damaged += 1,
        }
        Ok(())
    });
    // A refusal may follow a record of a slightly later tick.
    rows.sort_by_key(|(_, row)| row.tick);
    let state = match (read, damaged) {
        (Err(why), _) => format!("the audit log cannot be read to its end: {why}"),
        (Ok(()), 1) => "1 line of the audit log is damaged and left out".into(),
        (Ok(()), 2..) => format!("{} of the audit log are damaged and left out", count(damaged, "line")),
        (Ok(()), 0) if rows.is_empty() => "the run has no audit log here".into(),
        (Ok(()), 0) => "ok".into(),
    };
    (rows, state)
}

//! A past run to look at: its journal played to any tick, forwards and back, and what an observer would have seen there.
//!
//! Reads files and changes none. No policy is asked: the options are in the journal. What the shard around the town was busy
//! with (its training, its promotion, its health) is in no journal and not told. Rule: "Journal".

use std::path::{Path, PathBuf};

use townlet_town::Town;

use super::home::Home;
use super::journal::{self, Contents, Entry};
use super::privacy::PrivacyFilter;
use super::recovery::JournalReplayer;
use super::telemetry::{self, ShardStatus, Story};
use townlet_wire::Snapshot;
use townlet_wire::telemetry::{AuditRow, AuditTail, Health, Policy, Transport};

/// Towns kept on the way, from which one goes back: so many over the whole run.
const MARKS: u64 = 64;
/// Fewest ticks between two of them: playing these takes no time that anybody feels.
const APART: u64 = 2_000;
/// Records of the audit log that a view carries.
const TAIL: usize = 200;

/// A town on its way, and which entry is next.
#[derive(Clone)]
struct Place {
    player: JournalReplayer,
    /// File, and entry in it.
    next: (usize, usize),
    story: Story,
    policy: String,
}

/// A run played from its journal.
pub struct RecordedRun {
    files: Vec<(PathBuf, Contents)>,
    /// Records of the audit log with the names of their files, by tick.
    rows: Vec<(String, AuditRow)>,
    names: PrivacyFilter,
    now: Place,
    /// Oldest first; the first is where the journal begins.
    marks: Vec<Place>,
    end: u64,
}

impl RecordedRun {
    /// Of these journal files of one run, oldest first; its audit log is looked for in `home`.
    ///
    /// # Errors
    /// What is missing or damaged, by file.
    pub fn open(home: &Home, files: &[PathBuf]) -> Result<Self, String> {
        let read = |file: &PathBuf| journal::read(file).map(|it| (file.clone(), it)).map_err(|why| why.to_string());
        let files: Vec<(PathBuf, Contents)> = files.iter().map(read).collect::<Result<_, _>>()?;
        let (path, first) = files.first().ok_or("there is no journal")?;
        let header = &first.header;
        let mut player = JournalReplayer::from_header(header).map_err(|why| format!("{}: {why}", path.display()))?;
        let mut story = Story::default();
        tell(&mut story, &player.town);
        player.town.clear_events();
        let ends = files.iter().filter_map(|(_, read)| read.entries.iter().rev().find_map(ends_at)).max();
        let hidden = player.town.rules().config.telemetry.privacy.enabled;
        // A key is only read where names were hidden: nothing is made in somebody's home for a look.
        let names = if hidden { PrivacyFilter::open(home, &header.shard, true)? } else { PrivacyFilter::default() };
        let rows = rows(&home.console(), &header.run_id).unwrap_or_default();
        let end = ends.unwrap_or_default().max(player.town.tick());
        let now = Place { player, next: (0, 0), story, policy: header.policy.clone() };
        Ok(Self { rows, names, marks: vec![now.clone()], now, end, files })
    }

    /// The run.
    pub fn run_id(&self) -> &str {
        &self.files[0].1.header.run_id
    }

    /// The first tick there is, the one that is looked at, and the last.
    pub fn ticks(&self) -> (u64, u64, u64) {
        (self.marks[0].player.town.tick(), self.now.player.town.tick(), self.end)
    }

    /// Milliseconds a tick took at 1×.
    pub fn tick_ms(&self) -> u64 {
        self.now.player.town.rules().config.time.tick_ms.into()
    }

    /// Goes to a tick, or to the nearest there is. Where a stretch is in no journal, the town after it stands for it.
    ///
    /// # Errors
    /// Where and how the journal and the town disagree; then it stands before that.
    pub fn go_to(&mut self, tick: u64) -> Result<(), String> {
        let (first, now, last) = self.ticks();
        let tick = tick.clamp(first, last);
        if tick < now {
            let mark = self.marks.iter().rposition(|mark| mark.player.town.tick() <= tick).unwrap_or_default();
            self.now = self.marks[mark].clone();
        }
        self.forward(tick)
    }

    fn forward(&mut self, tick: u64) -> Result<(), String> {
        let apart = ((self.end - self.marks[0].player.town.tick()) / MARKS).max(APART);
        while let Some((file, read)) = self.files.get(self.now.next.0) {
            let Place { player, next, story, policy } = &mut self.now;
            if *next == (next.0, 0) && next.0 > 0 {
                player.begin(&read.header).map_err(|why| format!("{}: {why}", file.display()))?;
            }
            let Some(entry) = read.entries.get(next.1) else {
                *next = (next.0 + 1, 0);
                continue;
            };
            if starts_at(entry).is_some_and(|start| start > tick) {
                break;
            }
            if let Entry::Policy { to, .. } = entry {
                policy.clone_from(to);
            }
            player
                .apply_until(entry, tick, |town| tell(story, town))
                .map_err(|why| format!("{}: {why}", file.display()))?;
            if ends_at(entry).is_some_and(|end| end > player.town.tick()) {
                break;
            }
            next.1 += 1;
            let newest = self.marks.last().map_or(0, |mark| mark.player.town.tick());
            if self.now.player.town.tick() >= newest + apart {
                self.marks.push(self.now.clone());
            }
        }
        Ok(())
    }

    /// What an observer would have seen; `speed` is how it is played.
    pub fn view(&self, speed: &str) -> Snapshot {
        let header = &self.files[0].1.header;
        let town = &self.now.player.town;
        let kind = if self.now.policy == super::policies::SCRIPTED { "scripted" } else { "network" };
        let status = ShardStatus {
            shard: header.shard.clone(),
            run_id: header.run_id.clone(),
            policy: Policy { id: self.now.policy.clone(), kind: kind.into(), hash: String::new() },
            speed: speed.into(),
            story: self.now.story.clone(),
            health: Health { status: "ok".into(), audit_ok: true, journal_tick: self.end, ..Health::default() },
            transport: Transport { mode: "full".into(), ..Transport::default() },
            names: self.names.clone(),
            ..ShardStatus::default()
        };
        let known = &self.rows[..self.rows.partition_point(|(_, row)| row.tick <= town.tick())];
        let (file, last) = known.last().cloned().unwrap_or_default();
        let records = known[known.len().saturating_sub(TAIL)..].iter().map(|(_, row)| row.clone()).collect();
        telemetry::snapshot(
            town,
            &status,
            AuditTail { records, state: "ok".into(), file, seq: last.seq, head: last.hash },
        )
    }

    /// The digest of the town that is looked at.
    pub fn digest(&self) -> String {
        self.now.player.town.digest()
    }
}

/// What happened in a tick, or by what was done between two.
fn tell(story: &mut Story, town: &Town) {
    for event in town.events() {
        story.tell(town.rules(), event);
    }
    story.queue(town.state().employment.queue.len() as u64);
}

/// The tick an entry needs the town to be at, when it does something to it.
const fn starts_at(entry: &Entry) -> Option<u64> {
    match entry {
        // A tick is run to get beyond where it starts.
        Entry::Ticks { from, .. } => Some(*from + 1),
        Entry::Command { tick, .. } | Entry::Reload { tick, .. } | Entry::Policy { tick, .. } => Some(*tick),
    }
}

/// The tick the town is at behind it, when it has ticks.
const fn ends_at(entry: &Entry) -> Option<u64> {
    if let Entry::Ticks { to, .. } = entry { Some(*to) } else { None }
}

/// What the audit log of a run holds, as far as it can be read.
fn rows(folder: &Path, run_id: &str) -> std::io::Result<Vec<(String, AuditRow)>> {
    let mut rows = Vec::new();
    townlet_audit::records(folder, |file, _, record| {
        let ours = record.ok().filter(|record| record.run_id == run_id);
        rows.extend(ours.map(|record| (file.to_owned(), record.row())));
        Ok(())
    })?;
    // A refusal may stand behind a record of a later tick, by a moment.
    rows.sort_by_key(|(_, row)| row.tick);
    Ok(rows)
}

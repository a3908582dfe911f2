//! The comparison on the way: claims of the log and snapshots against the town at their tick.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use townlet_audit::{Record, Stage, run_records};
use townlet_town::Town;

use super::claims::{Claim, Claimed, Key, LogFacts, Window, key, label, read_log, read_window};
use super::{CrossCheck, MAX_FINDINGS, SnapshotDigests, snapshot_digests};
use crate::journal::Segments;
use crate::journalled_command::{JournalledCommand, LastDigest};

const NOT_IN_JOURNAL: &str = "commands in ticks that the journal does not hold";
const DIGESTS_NOT_IN_JOURNAL: &str = "digests of ticks that the journal does not hold";
const TAKEN_BACK: &str = "digests of ticks that a crash took back";

/// The town at the present tick: digests of the town and of its texts, before, between and after the commands there.
#[derive(Default)]
struct Here {
    /// Nothing before the first town of the journal.
    tick: Option<u64>,
    digests: Vec<String>,
    texts: Vec<String>,
}

/// A command of the journal that the log did not hold when it was read.
struct Unlogged {
    command: JournalledCommand,
    path: PathBuf,
}

pub(super) struct Comparison {
    pub(super) found: CrossCheck,
    folder: PathBuf,
    log: LogFacts,
    window: Window,
    snapshots: SnapshotDigests,
    here: Here,
    pub(super) last: LastDigest,
    /// Ticks that the journal does not hold, with both ends.
    uncovered: Vec<[u64; 2]>,
    unlogged: BTreeMap<Key, Unlogged>,
    /// Claims whose digests the town does not have at their tick.
    other_digests: Vec<Claim>,
    window_bytes: usize,
}

impl Comparison {
    /// Reads the log. Lines of at most `window_bytes` are in memory.
    pub(super) fn begin(folder: &Path, run_id: &str, window_bytes: usize) -> io::Result<Self> {
        let mut found = CrossCheck { run_id: run_id.to_owned(), ..CrossCheck::default() };
        let (log, window) = read_log(folder, run_id, window_bytes, &mut found)?;
        Ok(Self {
            found,
            folder: folder.to_owned(),
            log,
            window,
            snapshots: SnapshotDigests::new(),
            here: Here::default(),
            last: LastDigest::default(),
            uncovered: Vec::new(),
            unlogged: BTreeMap::new(),
            other_digests: Vec::new(),
            window_bytes,
        })
    }

    /// The last tick of the log.
    pub(super) const fn last_tick(&self) -> u64 {
        self.log.last_tick
    }

    /// The last tick whose claims are in memory.
    pub(super) const fn last_covered_tick(&self) -> u64 {
        self.window.horizon - 1
    }

    /// The journal says nothing about these ticks.
    pub(super) fn uncover(&mut self, from: u64, to: u64) {
        self.uncovered.push([from, to]);
    }

    /// A file of the journal that cannot be read; `why` begins with its path.
    pub(super) fn unreadable(&mut self, path: &Path, why: &str) {
        let path = path.display().to_string();
        let why = why.strip_prefix(&format!("{path}: ")).unwrap_or(why);
        self.found.disagree(path, 0, format!("{}; nothing after it was compared.", why.trim_end_matches('.')));
        self.uncover(self.here.tick.unwrap_or_default(), u64::MAX);
    }

    pub(super) fn take_snapshots(&mut self, folder: &Path) {
        self.snapshots = snapshot_digests(folder, &mut self.found);
    }

    /// The first town of the journal.
    pub(super) fn begin_at(&mut self, town: &Town, segments: &Segments) -> io::Result<()> {
        self.found.ticks = [town.tick(); 2];
        if let Some(beginning) = segments.beginning() {
            let path = segments.paths().next().unwrap_or(Path::new("")).display().to_string();
            if segments.lacks_beginning() {
                self.found.disagree(path, 0, beginning);
            } else {
                self.found.notes.push(format!("{beginning} The town there is taken as it stands in {path}."));
            }
            self.uncover(0, town.tick());
        }
        self.arrive_later(town)
    }

    /// The town has reached a tick that may be beyond the window.
    fn arrive_later(&mut self, town: &Town) -> io::Result<()> {
        while self.window.horizon <= town.tick() {
            self.next_window(self.window.horizon)?;
        }
        self.arrive(town);
        Ok(())
    }

    /// The next segment begins with a later town, because entries before it are missing.
    pub(super) fn skip_to(
        &mut self,
        town: &Town,
        from: u64,
        path: &Path,
        sequence: u64,
        complete: bool,
    ) -> io::Result<()> {
        let (path, to) = (path.display().to_string(), town.tick());
        if complete {
            let why = format!("segment {sequence} begins with another town than the segment before it ends with.");
            self.found.disagree(path, 0, why);
        } else {
            self.found.notes.push(format!(
                "ticks {from} to {to} are not covered: entries there are missing from the journal, and {path} continues from a \
                 saved town."
            ));
        }
        self.uncover(from, to);
        self.arrive_later(town)
    }

    /// The town has reached another tick.
    pub(super) fn arrive(&mut self, town: &Town) {
        self.leave();
        self.here = Here { tick: Some(town.tick()), ..Here::default() };
        self.found.ticks[1] = town.tick();
        if self.window.asks(town.tick()) || self.snapshots.contains_key(&town.tick()) {
            self.note(town);
        }
    }

    fn note(&mut self, town: &Town) {
        self.here.digests.push(self.last.of(town));
        self.here.texts.push(town.rules().texts_digest.clone());
    }

    /// Everything of the present tick is known: compares the claims that nothing changed, and the snapshots.
    fn leave(&mut self) {
        let Some(tick) = self.here.tick else { return };
        let there = (tick, 0)..=(tick, u64::MAX);
        let unchanged: Vec<(u64, u64)> = self
            .window
            .claims
            .range(there)
            .filter(|(_, claim)| claim.claimed == Claimed::Unchanged)
            .map(|(at, _)| *at)
            .collect();
        for at in unchanged {
            let Some(claim) = self.window.claims.remove(&at) else { continue };
            self.compare_unchanged(claim);
        }
        for (path, digest, texts) in self.snapshots.remove(&tick).unwrap_or_default() {
            if self.here.digests.contains(&digest) && self.here.texts.contains(&texts) {
                self.found.snapshots += 1;
            } else if self.is_uncovered(tick) {
                self.found.not_covered("snapshots of ticks that the journal does not hold");
            } else {
                let message = format!("it is not the town of tick {tick}; it was replaced or changed.");
                self.found.disagree(path.display().to_string(), 0, message);
            }
        }
    }

    fn compare_unchanged(&mut self, claim: Claim) {
        let record = &claim.record;
        let Some(before) = &record.digest_before else {
            // What a restart completed has no digests.
            if record.stage == Stage::Outcome {
                self.found.disagree(claim.file, claim.line, format!("{}: it has no digests.", label(record)));
            }
            return;
        };
        if record.digest_after.as_ref() != Some(before) {
            let message = format!("{}: it changes no town, and its digests differ.", label(record));
            self.found.disagree(claim.file, claim.line, message);
        } else if self.here.digests.contains(before) {
            self.found.digests += 2;
        } else if self.is_uncovered(record.tick) {
            self.found.not_covered(DIGESTS_NOT_IN_JOURNAL);
        } else if self.other_digests.len() < MAX_FINDINGS {
            self.other_digests.push(claim);
        } else {
            self.found.more_findings += 1;
        }
    }

    fn is_uncovered(&self, tick: u64) -> bool {
        self.uncovered.iter().any(|[from, to]| (*from..=*to).contains(&tick))
    }

    /// Compares a command of the journal, which the town has carried out.
    pub(super) fn command(&mut self, command: &JournalledCommand, town: &Town, path: &Path) {
        if let Some((before, after)) = &command.digests {
            self.here.digests.extend([before.clone(), after.clone()]);
            self.here.texts.push(town.rules().texts_digest.clone());
        }
        let plan = &town.rules().plan;
        let key = (command.id.issuer.clone(), command.id.cmd_id.clone());
        let Some(claim) = self.window.keys.remove(&key).and_then(|at| self.window.claims.get_mut(&at)) else {
            return self.unlogged(command, key, town, path);
        };
        claim.matched = true;
        let mut found = match claim.claimed {
            Claimed::Uncertain => command.other_change(&claim.record, plan).into_iter().collect(),
            Claimed::Applied | Claimed::Unchanged => command.disagreements(&claim.record, plan),
        };
        let config_id = &town.rules().config.config_id;
        if claim.record.config_id != *config_id {
            found.push(format!("its `config_id` is `{}`, the town's `{config_id}`", claim.record.config_id));
        }
        if found.is_empty() {
            self.found.commands += 1;
            // Those of a command that changed nothing are compared at the end of its tick.
            self.found.digests +=
                if claim.claimed == Claimed::Applied && claim.record.digest_before.is_some() { 2 } else { 0 };
        } else {
            let message = format!("{}: {}.", label(&claim.record), found.join("; "));
            self.found.disagree(claim.file.clone(), claim.line, message);
        }
    }

    /// A command without an outcome in the log. Its intent may stand at the log's end, as after a crash.
    fn unlogged(&mut self, command: &JournalledCommand, key: Key, town: &Town, path: &Path) {
        if let Some(open) = self.log.open.get(&key) {
            match command.other_change(&open.record, &town.rules().plan) {
                Some(why) => {
                    self.found.disagree(open.file.clone(), open.line, format!("{}: {why}.", label(&open.record)));
                }
                None => self.found.notes.push(format!(
                    "{}:{}: {} was applied and has no outcome yet.",
                    open.file,
                    open.line,
                    label(&open.record)
                )),
            }
        } else if self.unlogged.len() < MAX_FINDINGS {
            self.unlogged.insert(key, Unlogged { command: command.clone(), path: path.to_owned() });
        } else {
            self.found.more_findings += 1;
        }
    }

    /// Continues with the claims of later ticks.
    pub(super) fn next_window(&mut self, from: u64) -> io::Result<()> {
        self.leave();
        self.end_window();
        self.window = read_window(&self.folder, &self.found.run_id, self.window_bytes, from)?;
        Ok(())
    }

    /// Claims that no command of the journal and no tick of the town has answered.
    fn end_window(&mut self) {
        for claim in std::mem::take(&mut self.window.claims).into_values().filter(|claim| !claim.matched) {
            let tick = claim.record.tick;
            match claim.claimed {
                Claimed::Uncertain => {
                    self.found.not_covered("commands whose outcome says that a log could not be written");
                }
                Claimed::Applied if self.is_uncovered(tick) => self.found.not_covered(NOT_IN_JOURNAL),
                Claimed::Applied => {
                    let message = format!(
                        "{}: the audit log says that it was done at tick {tick}, and the journal does not hold it.",
                        label(&claim.record)
                    );
                    self.found.disagree(claim.file, claim.line, message);
                }
                Claimed::Unchanged => self.found.not_covered(DIGESTS_NOT_IN_JOURNAL),
            }
        }
    }

    pub(super) fn finish(mut self) -> io::Result<CrossCheck> {
        self.leave();
        while self.window.horizon < u64::MAX {
            let from = self.window.horizon;
            self.next_window(from)?;
        }
        self.end_window();
        for _ in std::mem::take(&mut self.snapshots).into_values().flatten() {
            self.found.not_covered("snapshots of ticks that the journal does not hold");
        }
        self.look_again()?;
        for unlogged in std::mem::take(&mut self.unlogged).into_values() {
            let id = &unlogged.command.id;
            let message = format!(
                "`{}` of {} ({}) was applied before tick {}, and the audit log does not hold it.",
                id.cmd_id,
                id.issuer,
                unlogged.command.described(),
                id.tick
            );
            self.found.disagree(unlogged.path.display().to_string(), 0, message);
        }
        for claim in std::mem::take(&mut self.other_digests) {
            let message =
                format!("{}: the town has another digest at tick {}.", label(&claim.record), claim.record.tick);
            self.found.disagree(claim.file, claim.line, message);
        }
        Ok(self.found)
    }

    /// Reads the log once more for what disagrees so far. The shard may run: a command may have been logged since. And a crash may
    /// have taken ticks back: then a later record has an earlier tick.
    fn look_again(&mut self) -> io::Result<()> {
        if self.unlogged.is_empty() && self.other_digests.is_empty() {
            return Ok(());
        }
        let (unlogged, other, last) = (&mut self.unlogged, &mut self.other_digests, self.log.last_seq);
        let mut taken_back = 0;
        let mut look = |record: &Record| {
            if record.seq > last {
                unlogged.remove(&key(record));
            }
            let before = other.len();
            other.retain(|claim| record.seq <= claim.record.seq || record.tick >= claim.record.tick);
            taken_back += before - other.len();
        };
        run_records(&self.folder, &self.found.run_id, |_, _, _, record| {
            record.iter().for_each(&mut look);
            Ok(())
        })?;
        for _ in 0..taken_back {
            self.found.not_covered(TAKEN_BACK);
        }
        Ok(())
    }
}

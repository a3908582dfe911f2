//! What the checks between runs need of a run: the hash and place of every line, its beginning and its seals.

use crate::record::{GENESIS, Record, Stage};
use crate::run_start::Begin;
use crate::seal::{Cause, Seal, unhex};

/// A seal and the line it stands in.
pub(crate) struct SealLine {
    pub(crate) seal: Seal,
    pub(crate) file: String,
    pub(crate) line: u64,
    /// Whether it seals the line before it, so that every byte of its own line follows from the seal and that line.
    pub(crate) in_place: bool,
}

/// The facts of one run.
#[derive(Default)]
pub(crate) struct RunFacts {
    /// Hashes of the lines, by sequence number from 1. They end where a number is missing.
    hashes: Vec<[u8; 32]>,
    /// The first sequence number of every segment, and its name.
    files: Vec<(u64, String)>,
    pub(crate) begin: Option<Begin>,
    pub(crate) seals: Vec<SealLine>,
    /// Whether any line tells of a command. The log itself writes the others.
    pub(crate) has_commands: bool,
    /// The first line behind an orderly stop that no start seal precedes.
    pub(crate) after_stop: Option<u64>,
    stopped: bool,
    /// `config_id` and tick of the last line.
    last: (String, u64),
}

impl RunFacts {
    pub(crate) fn add(&mut self, record: &Record, file: &str, line: u64) {
        if self.files.last().is_none_or(|(_, name)| name != file) {
            self.files.push((record.seq + 1 - line.min(record.seq), file.to_owned()));
        }
        if record.seq == self.hashes.len() as u64 + 1
            && let Some(hash) = unhex(&record.hash).and_then(|hash| hash.try_into().ok())
        {
            self.hashes.push(hash);
        }
        self.has_commands |= matches!(record.stage, Stage::Intent | Stage::Outcome | Stage::Rejected | Stage::Abort)
            || !record.cmd_id.is_empty();
        self.last = (record.config_id.clone(), record.tick);
        let seal = self.seals.last().filter(|it| record.stage == Stage::Seal && it.in_place).map(|it| it.seal.cause);
        match (record.stage, seal) {
            (_, Some(Cause::Stop)) => self.stopped = true,
            (_, Some(Cause::Start | Cause::LeftOpen)) => self.stopped = false,
            // What opening a log writes before its first seal.
            (Stage::Seal | Stage::Rotate, _) => {}
            (Stage::Recovered, _) if record.cmd_id.is_empty() => {}
            _ if self.stopped => {
                self.after_stop.get_or_insert(record.seq);
                self.stopped = false;
            }
            _ => {}
        }
    }

    /// Whether a seal's line is what the log writes behind the line that it seals.
    pub(crate) fn is_in_place(&self, seal: &Seal, record: &Record) -> bool {
        let own = Record::own(Stage::Seal, &self.last.0, self.last.1, seal.args());
        let own = Record {
            v: record.v,
            seq: seal.seq + 1,
            ts: seal.at.clone(),
            shard: record.shard.clone(),
            run_id: seal.run_id.clone(),
            prev: seal.hash.clone(),
            hash: record.hash.clone(),
            ..own
        };
        own == *record
    }

    /// The number of lines that follow each other.
    pub(crate) fn end(&self) -> u64 {
        self.hashes.len() as u64
    }

    /// Whether the line has this hash; `None` if there is no such line. Line 0 is the beginning.
    pub(crate) fn has(&self, seq: u64, hash: &str) -> Option<bool> {
        if seq == 0 {
            return Some(hash == GENESIS);
        }
        let found = self.hashes.get(usize::try_from(seq - 1).ok()?)?;
        Some(unhex(hash).is_some_and(|hash| hash == found))
    }

    /// File and line of a sequence number; of the line after the end, for a number beyond it.
    pub(crate) fn place(&self, seq: u64) -> (String, u64) {
        let seq = seq.clamp(1, self.end() + 1);
        let file = self.files.iter().rev().find(|(first, _)| *first <= seq).or(self.files.first());
        file.map_or_else(|| (String::new(), 0), |(first, name)| (name.clone(), seq + 1 - (*first).min(seq)))
    }
}

//! What somebody can do who has the home folder and the source: every line, hash, head and link between runs is computed again.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use townlet_audit::{GENESIS, Log, Options, Record, RunStart, Stage, VERSION};
use townlet_shard::Home;
use townlet_wire::sha256;

/// Bytes of `,"hash":"<64 hex>"}`.
const HASH_TAIL: usize = 9 + 64 + 2;

/// More segments than a run of these tests has.
const MAX_SEGMENTS: usize = 1_000;

/// A home in the attacker's hands.
pub(crate) struct Stolen(pub(crate) PathBuf);

/// A run's records, by segment.
pub(crate) type Segments = Vec<Vec<Record>>;

impl Stolen {
    pub(crate) fn home(&self) -> Home {
        Home::new(&self.0)
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.home().console()
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.home().seal_key()
    }

    /// The runs, oldest first.
    pub(crate) fn runs(&self) -> Vec<String> {
        self.home().all_runs()
    }

    pub(crate) fn segment(&self, run: &str, number: usize) -> PathBuf {
        self.logs().join(format!("{run}-{number:04}.jsonl"))
    }

    /// The files of a run's segments.
    pub(crate) fn segments(&self, run: &str) -> Vec<PathBuf> {
        (1..=MAX_SEGMENTS).map(|number| self.segment(run, number)).take_while(|file| file.exists()).collect()
    }

    pub(crate) fn head(&self, run: &str) -> PathBuf {
        self.logs().join(format!("{run}.head"))
    }

    pub(crate) fn read(&self, run: &str) -> Segments {
        let files = self.segments(run);
        files
            .into_iter()
            .map(|file| {
                let bytes = std::fs::read(file).expect("a segment");
                let lines = bytes.split_inclusive(|byte| *byte == b'\n');
                lines.map(|line| Record::parse(line).expect("a good line")).collect()
            })
            .collect()
    }

    /// Writes a run with every number, link and hash computed again, and a head that names its end. Later runs that name it name
    /// the new lines.
    pub(crate) fn write(&self, run: &str, segments: Segments) {
        let hashes = self.write_run(run, segments);
        self.follow(run, |after| {
            let seq = after["seq"].as_u64().unwrap_or(0).min(hashes.len() as u64 - 1);
            (after["seq"], after["hash"]) = (seq.into(), hashes[seq as usize].clone().into());
        });
    }

    /// The same without the later runs. Returns the hashes by the numbers of the lines.
    pub(crate) fn write_run(&self, run: &str, mut segments: Segments) -> Vec<String> {
        self.remove(run);
        segments.retain(|segment| !segment.is_empty());
        let (mut seq, mut hash) = (0, GENESIS.to_owned());
        let mut hashes = vec![hash.clone()];
        for (number, segment) in segments.iter_mut().enumerate() {
            let mut text = String::new();
            for record in segment {
                seq += 1;
                record.seq = seq;
                record.prev.clone_from(&hash);
                run.clone_into(&mut record.run_id);
                let line = record.line();
                record.hash = sha256(&line.as_bytes()[..line.len() - HASH_TAIL - 1]);
                hash.clone_from(&record.hash);
                hashes.push(hash.clone());
                text.push_str(&record.line());
            }
            std::fs::write(self.segment(run, number + 1), text).expect("written");
        }
        let file = format!("{run}-{:04}.jsonl", segments.len().max(1));
        let head =
            format!("{{\"v\":{VERSION},\"run_id\":\"{run}\",\"file\":\"{file}\",\"seq\":{seq},\"hash\":\"{hash}\"}}\n");
        std::fs::write(self.head(run), head).expect("written");
        hashes
    }

    /// Changes how a later run names this one.
    pub(crate) fn follow(&self, run: &str, edit: impl Fn(&mut Value)) {
        for later in self.runs().into_iter().filter(|it| it != run) {
            let mut segments = self.read(&later);
            let Some(first) = segments.first_mut().and_then(|segment| segment.first_mut()) else { continue };
            let after = &mut first.args["after"];
            if first.stage == Stage::Begin && after["run_id"] == run {
                let before = after.clone();
                edit(after);
                if *after != before {
                    self.write(&later, segments);
                }
            }
        }
    }

    /// Reads a run, changes it and writes it.
    pub(crate) fn edit(&self, run: &str, edit: impl FnOnce(&mut Segments)) {
        let mut segments = self.read(run);
        edit(&mut segments);
        self.write(run, segments);
    }

    /// Changes the record of a run that tells of an outcome.
    pub(crate) fn edit_outcome(&self, edit: impl FnOnce(&mut Record)) {
        let run = self.runs().remove(0);
        self.edit(&run, |segments| {
            let outcome = segments[0].iter_mut().find(|record| is_applied(record)).expect("an outcome");
            edit(outcome);
        });
    }

    /// Removes a run's files.
    pub(crate) fn remove(&self, run: &str) {
        for file in self.segments(run) {
            std::fs::remove_file(file).expect("removed");
        }
        drop(std::fs::remove_file(self.head(run)));
    }

    /// Writes the records of a run again through the program's own log, with whatever sealing key the home has now.
    pub(crate) fn write_through_log(&self, run: &str, records: Vec<Record>) {
        self.remove(run);
        let records: Vec<Record> =
            records.into_iter().filter(|it| it.stage != Stage::Seal && it.stage != Stage::Rotate).collect();
        let first = records.first().map_or_else(|| "2026-01-01T00:00:00.000Z".to_owned(), |record| record.ts.clone());
        let time: Arc<Mutex<String>> = Arc::new(Mutex::new(first));
        let clock = Arc::clone(&time);
        let shard = records[0].shard.clone();
        let begin = records.first().filter(|record| record.stage == Stage::Begin);
        let start = begin.map(|record| RunStart {
            number: record.args["number"].as_u64(),
            after: record.args["after"]["run_id"].as_str().map(str::to_owned),
            config_id: record.config_id.clone(),
        });
        let options = Options {
            start,
            seal_key: Some(self.key_file()),
            clock: Box::new(move || clock.lock().expect("a time").parse().expect("a time")),
            ..Options::new(self.logs(), run, shard)
        };
        let log = Log::open(options).expect("the log opens").log;
        let count = records.len();
        // The log writes the first line by itself.
        for (number, record) in records.into_iter().enumerate().filter(|(_, record)| record.stage != Stage::Begin) {
            time.lock().expect("a time").clone_from(&record.ts);
            log.append_and_wait(record, true).expect("written");
            if number == count / 2 {
                log.seal().expect("sealed");
            }
        }
    }

    /// Changes the sealing key's file.
    pub(crate) fn edit_key(&self, edit: impl FnOnce(&mut Value)) {
        let text = std::fs::read_to_string(self.key_file()).expect("the key");
        let mut key: Value = serde_json::from_str(&text).expect("the key");
        edit(&mut key);
        // The permissions stay.
        std::fs::write(self.key_file(), format!("{key}\n")).expect("written");
    }
}

/// Whether a record tells of a command that was applied.
pub(crate) fn is_applied(record: &Record) -> bool {
    record.stage == Stage::Outcome && record.digest_before != record.digest_after
}

/// The records of a run without its segments.
pub(crate) fn flat(segments: Segments) -> Vec<Record> {
    segments.into_iter().flatten().collect()
}

/// A later time in the form of the log.
pub(crate) fn shifted(ts: &str, seconds: i64) -> String {
    let time: jiff::Timestamp = ts.parse().expect("a time");
    format!("{:.3}", time + jiff::SignedDuration::from_secs(seconds))
}

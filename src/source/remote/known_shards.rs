//! What this user has seen of the audit logs of shards: their keys and the last line of each run, as ssh keeps host keys.
//!
//! A shard that shows another history, a shorter one or another key is reported; what was seen first is then kept until the user
//! forgets it. A shard that was never seen is trusted once.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::{Client, ClientError, Shared};
use crate::SourceEvent;
use townlet_audit::{Checkpoint, PublicKey};
use townlet_wire::escape;

/// Runs remembered of a shard; the oldest go first.
const MAX_RUNS: usize = 16;
/// Shards remembered.
const MAX_SHARDS: usize = 1_000;
/// Largest file read, in bytes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;
/// How often a connected screen looks again.
const INTERVAL: Duration = Duration::from_secs(10);
/// How often it looks whether it is connected.
const UNTIL_LIVE: Duration = Duration::from_millis(250);

/// A contradiction between what was seen of a shard's audit log and what it shows now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryAlarm {
    /// The shard's address.
    pub url: String,
    /// What happened, in one sentence.
    pub what: String,
    /// What was seen.
    pub seen: String,
    /// What is there now.
    pub now: String,
}

impl HistoryAlarm {
    /// What to do.
    pub fn advice(&self) -> String {
        format!(
            "Trust nothing of this log before the difference is explained: run `townlet audit verify --key` on the machine and look \
             for a copy of the log. If the change is yours, run `townlet audit forget {}`.",
            self.url
        )
    }
}

impl fmt::Display for HistoryAlarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, what, seen, now } = self;
        write!(
            f,
            "{}: {}\n  seen: {}\n  now:  {}\n  {}",
            escape(url),
            escape(what),
            escape(seen),
            escape(now),
            self.advice()
        )
    }
}

/// What is remembered of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownShard {
    /// Its public key.
    pub key: String,
    /// The newest line seen of each run, oldest run first.
    pub runs: Vec<KnownLine>,
}

/// A line of an audit log that was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownLine {
    /// The run.
    pub run_id: String,
    /// The line's number.
    pub seq: u64,
    /// Its hash in hex.
    pub hash: String,
}

/// The file of known shards.
#[derive(Clone, Debug)]
pub struct KnownShards {
    path: PathBuf,
}

type Shards = BTreeMap<String, KnownShard>;

impl KnownShards {
    /// The file, which need not exist.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Every known shard by address. The error names the file.
    pub fn load(&self) -> Result<Shards, String> {
        let mut text = String::new();
        let opened = townlet_files::open_own(&self.path, OpenOptions::new().read(true));
        match opened.and_then(|file| io::Read::read_to_string(&mut io::Read::take(file, MAX_BYTES), &mut text)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Shards::new()),
            Err(error) => return Err(self.say(&error)),
            Ok(_) => {}
        }
        serde_json::from_str(&text).map_err(|error| {
            format!(
                "{}: {error}. Remove the file to start again; shards are then trusted once more.",
                self.path.display()
            )
        })
    }

    /// Forgets a shard; returns whether it was known.
    pub fn forget(&self, url: &str) -> Result<bool, String> {
        let mut known = false;
        self.change(|shards| known = shards.remove(url).is_some())?;
        Ok(known)
    }

    fn change(&self, edit: impl FnOnce(&mut Shards)) -> Result<(), String> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(|error| self.say(&error))?;
        let lock = self.path.with_extension("lock");
        let held = townlet_files::open_own(&lock, OpenOptions::new().write(true).create(true).truncate(false));
        held.and_then(|held| held.lock().map(|()| held)).map_err(|error| self.say(&error)).and_then(|_held| {
            let mut shards = self.load()?;
            edit(&mut shards);
            let text = serde_json::to_string_pretty(&shards).map_err(|error| error.to_string())?;
            townlet_files::write_atomically(&self.path, format!("{text}\n").as_bytes())
                .map_err(|error| self.say(&error))
        })
    }

    fn say(&self, error: &io::Error) -> String {
        format!("{}: {error}", self.path.display())
    }

    /// Remembers a line, unless it is older than the one known of its run.
    fn remember(&self, url: &str, key: &PublicKey, line: &Checkpoint) -> Result<(), String> {
        self.change(|shards| {
            if !shards.contains_key(url) && shards.len() >= MAX_SHARDS {
                return;
            }
            let shard = shards.entry(url.to_owned()).or_default();
            shard.key = key.to_string();
            let known = shard.runs.iter().find(|run| run.run_id == line.run_id).map_or(0, |run| run.seq);
            if line.seq >= known {
                shard.runs.retain(|run| run.run_id != line.run_id);
                let Checkpoint { run_id, seq, hash, .. } = line.clone();
                shard.runs.push(KnownLine { run_id, seq, hash });
                let old = shard.runs.len().saturating_sub(MAX_RUNS);
                shard.runs.drain(..old);
            }
        })
    }

    /// Holds what the shard shows now to what was seen, and remembers its newest line if nothing contradicts. An unreachable shard
    /// contradicts nothing. The error says why nothing can be remembered.
    pub async fn check(&self, client: &Client) -> Result<Vec<HistoryAlarm>, String> {
        let url = client.url();
        let known = self.load()?.remove(url);
        let alarm = |what: &str, seen: &str, now: &str| {
            let (url, what, seen, now) = (url.to_owned(), what.to_owned(), seen.to_owned(), now.to_owned());
            Ok(vec![HistoryAlarm { url, what, seen, now }])
        };
        let (note, key) = match (client.checkpoint(None).await, &known) {
            (Ok(found), _) => found,
            (Err(ClientError::Refused(error)), Some(known)) if error.code == "E_NOT_FOUND" => {
                let what = "this shard gives no checkpoints of its audit log any more.";
                return alarm(what, &format!("the key {}", known.key), &error.message);
            }
            (Err(_), _) => return Ok(Vec::new()),
        };
        if let Some(known) = known.as_ref().filter(|known| known.key != key) {
            return alarm(
                "THE KEY OF THIS SHARD HAS CHANGED: it is another shard, or somebody poses as it.",
                &known.key,
                &key,
            );
        }
        let opened = PublicKey::parse(&key).and_then(|key| Ok((key.open(&note)?, key)));
        let (line, key) = match opened {
            Ok(opened) => opened,
            Err(why) => return alarm("a checkpoint of this shard is not valid.", &key, &why),
        };
        let mut alarms = Vec::new();
        for run in known.iter().flat_map(|known| &known.runs).filter(|run| run.seq > 0) {
            alarms.extend(contradiction(client, &key, run, &line).await);
        }
        if alarms.is_empty() {
            self.remember(url, &key, &line)?;
        }
        Ok(alarms)
    }
}

/// What a shard shows now of a line that was seen, if it is something else. `newest` is its newest line.
async fn contradiction(
    client: &Client,
    key: &PublicKey,
    known: &KnownLine,
    newest: &Checkpoint,
) -> Option<HistoryAlarm> {
    let KnownLine { run_id, seq, hash } = known;
    let alarm = |what: String, now: String| {
        let seen = format!("line {seq} of run {run_id} with hash {hash}");
        Some(HistoryAlarm { url: client.url().to_owned(), what, seen, now })
    };
    let shortened =
        || format!("THE AUDIT LOG OF THIS SHARD WAS SHORTENED: line {seq} of run {run_id} was seen and is gone.");
    if newest.run_id == *run_id && newest.seq < *seq {
        return alarm(shortened(), format!("the run ends at line {}", newest.seq));
    }
    let found = match client.checkpoint(Some((run_id, *seq))).await {
        Ok((note, _)) => key.open(&note),
        Err(ClientError::Refused(error)) if error.code == "E_NOT_FOUND" => return alarm(shortened(), error.message),
        Err(ClientError::Refused(error)) if error.code == "E_IO" => {
            return alarm(format!("line {seq} of run {run_id} can no longer be read."), error.message);
        }
        Err(_) => return None,
    };
    match found {
        Ok(line) if (&line.run_id, line.seq, &line.hash) == (run_id, *seq, hash) => None,
        Ok(line) => alarm(
            format!(
                "THE AUDIT LOG OF THIS SHARD WAS REWRITTEN: line {seq} of run {run_id}, or a line before it, is another one."
            ),
            format!("line {} of run {} with hash {}", line.seq, line.run_id, line.hash),
        ),
        Err(why) => alarm(format!("the checkpoint of line {seq} of run {run_id} is not valid."), why),
    }
}

/// Looks again and again while the shard is connected, and publishes what it finds.
pub(super) async fn watch(shared: &Arc<Shared>, known: Option<&KnownShards>) {
    let Some(known) = known else { return std::future::pending().await };
    let mut before = Vec::new();
    loop {
        while !shared.with(|info| info.live) {
            sleep(UNTIL_LIVE).await;
        }
        let alarms = match known.check(&shared.client()).await {
            Ok(alarms) => alarms.iter().map(|alarm| format!("{} {}", alarm.what, alarm.advice())).collect(),
            Err(why) => vec![format!("the checkpoints of this shard cannot be remembered: {why}")],
        };
        if alarms != before {
            shared.emit(SourceEvent::History(alarms.clone()));
            before = alarms;
        }
        sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(run: u64, seq: u64) -> Checkpoint {
        Checkpoint { shard: "a".into(), run_id: format!("run-{run}"), seq, hash: format!("{seq:064x}") }
    }

    #[test]
    fn the_newest_line_of_each_run_is_kept_within_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let known = KnownShards::at(folder.path().join("state/known_shards.json"));
        let path = folder.path().join("key");
        let key = townlet_audit::CheckpointKey::open(&path, "a").unwrap().public();
        assert_eq!(known.load(), Ok(Shards::new()));
        for (run, seq) in [(1, 5), (1, 9), (1, 7), (2, 1)] {
            known.remember("http://a", &key, &line(run, seq)).unwrap();
        }
        let seen = |known: &KnownShards| {
            let runs = known.load().unwrap().remove("http://a").unwrap_or_default().runs;
            runs.into_iter().map(|run| (run.run_id, run.seq)).collect::<Vec<_>>()
        };
        assert_eq!(seen(&known), [("run-1".to_owned(), 9), ("run-2".to_owned(), 1)]);
        for run in 3..40 {
            known.remember("http://a", &key, &line(run, 1)).unwrap();
        }
        assert_eq!((seen(&known).len(), seen(&known)[0].0.as_str()), (MAX_RUNS, "run-24"));
        assert_eq!((known.forget("http://a"), known.forget("http://a")), (Ok(true), Ok(false)));
        std::fs::write(folder.path().join("state/known_shards.json"), "{").unwrap();
        assert!(known.load().unwrap_err().contains("known_shards.json: "));
    }
}

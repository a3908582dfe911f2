//! What this user has seen of the audit logs of shards: their keys and the last line of each run, as ssh keeps host keys.
//!
//! A shard is known by its address and its name. One that shows another history, a shorter one or another key is reported; what
//! was seen first is then kept until the user forgets it. A shard that was never seen is trusted once; whether it may take the
//! place of another one at its address, [`ExpectedShard`] says. Rule: "Known shards".

use std::collections::BTreeMap;
use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::{Client, ClientError, HistoryState, Shared};
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

/// Which shard a client expects at an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ExpectedShard {
    /// Any. Another one than before is only said, because shards of one machine take turns on its ports.
    #[default]
    Any,
    /// One that was seen there before, once one was. Always so beyond this machine.
    Known,
    /// The one of this name.
    Named(String),
}

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
    /// What to do.
    pub advice: String,
}

impl HistoryAlarm {
    /// What happened and what to do, on one line.
    pub fn sentence(&self) -> String {
        format!("{} {}", self.what, self.advice)
    }
}

impl fmt::Display for HistoryAlarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [url, what, seen, now, advice] =
            [&self.url, &self.what, &self.seen, &self.now, &self.advice].map(|it| escape(it));
        write!(f, "{url}: {what}\n  seen: {seen}\n  now:  {now}\n  {advice}")
    }
}

/// What a look at a shard has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryCheck {
    /// What contradicts what was seen earlier.
    pub alarms: Vec<HistoryAlarm>,
    /// Name of the shard that answers; `None` when it shows no valid checkpoint.
    pub shard: Option<String>,
    /// Name of the shard that answered there last, if any did.
    pub before: Option<String>,
}

impl HistoryCheck {
    /// `http://127.0.0.1:7420 now serves shard b (it was shard a).`, if that is so and no alarm.
    pub fn note(&self, url: &str) -> Option<String> {
        let (now, before) = (self.shard.as_ref()?, self.before.as_ref()?);
        let changed = self.alarms.is_empty() && now != before;
        changed.then(|| escape(&format!("{url} now serves shard {now} (it was shard {before}).")))
    }
}

/// What is remembered of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownShard {
    /// Its public key, which begins with its name.
    pub key: String,
    /// The newest line seen of each run, oldest run first.
    pub runs: Vec<KnownLine>,
}

impl KnownShard {
    /// The shard's name.
    pub fn name(&self) -> &str {
        shard_of(&self.key)
    }
}

/// The name in a public key; empty when the text is none.
fn shard_of(key: &str) -> &str {
    key.strip_prefix("townlet/").and_then(|key| key.split('+').next()).unwrap_or_default()
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

/// The shards of each address; the one that answered last is the last.
type Shards = BTreeMap<String, Vec<KnownShard>>;

/// An address as the file has it: files of earlier versions know one shard there.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Several(Vec<KnownShard>),
    One(KnownShard),
}

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
        let stored: BTreeMap<String, Stored> = serde_json::from_str(&text).map_err(|error| {
            format!(
                "{}: {error}. Remove the file to start again; shards are then trusted once more.",
                self.path.display()
            )
        })?;
        let shards = stored.into_iter().map(|(url, stored)| match stored {
            Stored::Several(shards) => (url, shards),
            Stored::One(shard) => (url, vec![shard]),
        });
        Ok(shards.collect())
    }

    /// Forgets the shard of this name at an address, or every shard there; returns the names of those that were known.
    pub fn forget(&self, url: &str, name: Option<&str>) -> Result<Vec<String>, String> {
        let mut forgotten = Vec::new();
        self.change(|shards| {
            let mut left = shards.remove(url).unwrap_or_default();
            let gone = left.extract_if(.., |shard| name.is_none_or(|name| shard.name() == name));
            forgotten.extend(gone.map(|shard| shard.name().to_owned()));
            if !left.is_empty() {
                shards.insert(url.to_owned(), left);
            }
            Ok(())
        })?;
        Ok(forgotten)
    }

    fn change(&self, edit: impl FnOnce(&mut Shards) -> Result<(), String>) -> Result<(), String> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(|error| self.say(&error))?;
        let lock = self.path.with_extension("lock");
        let held = townlet_files::open_own(&lock, OpenOptions::new().write(true).create(true).truncate(false));
        held.and_then(|held| held.lock().map(|()| held)).map_err(|error| self.say(&error)).and_then(|_held| {
            let mut shards = self.load()?;
            edit(&mut shards)?;
            let text = serde_json::to_string_pretty(&shards).map_err(|error| error.to_string())?;
            townlet_files::write_atomically(&self.path, format!("{text}\n").as_bytes())
                .map_err(|error| self.say(&error))
        })
    }

    fn say(&self, error: &io::Error) -> String {
        format!("{}: {error}", self.path.display())
    }

    /// Remembers a line, unless it is older than the one known of its run, and that its shard answered last.
    fn remember(&self, url: &str, key: &PublicKey, line: &Checkpoint) -> Result<(), String> {
        self.change(|shards| {
            let total: usize = shards.values().map(Vec::len).sum();
            let here = shards.entry(url.to_owned()).or_default();
            let at = here.iter().position(|shard| shard.name() == key.shard());
            if at.is_none() && total >= MAX_SHARDS {
                return Err(format!("{}: it holds {MAX_SHARDS} shards. Forget some.", self.path.display()));
            }
            let mut shard = at.map_or_else(KnownShard::default, |at| here.remove(at));
            shard.key = key.to_string();
            let known = shard.runs.iter().find(|run| run.run_id == line.run_id).map_or(0, |run| run.seq);
            if line.seq >= known {
                shard.runs.retain(|run| run.run_id != line.run_id);
                let Checkpoint { run_id, seq, hash, .. } = line.clone();
                shard.runs.push(KnownLine { run_id, seq, hash });
                let old = shard.runs.len().saturating_sub(MAX_RUNS);
                shard.runs.drain(..old);
            }
            here.push(shard);
            Ok(())
        })
    }

    /// Holds what the shard shows now to what was seen, and remembers its newest line if nothing contradicts. An unreachable shard
    /// contradicts nothing. The error says why nothing can be remembered.
    pub async fn check(&self, client: &Client) -> Result<HistoryCheck, String> {
        let url = client.url();
        let here = self.load()?.remove(url).unwrap_or_default();
        let last = here.last();
        let mut check = HistoryCheck { before: last.map(|shard| shard.name().to_owned()), ..HistoryCheck::default() };
        let (note, key) = match (client.checkpoint(None).await, last) {
            (Ok(found), _) => found,
            (Err(ClientError::Refused(error)), Some(last)) if error.code == "E_NOT_FOUND" => {
                let what = "this shard gives no checkpoints of its audit log any more.";
                let seen = format!("the key {}", last.key);
                check.alarms.push(alarm(url, what, &seen, &error.message, unexplained(url, last.name())));
                return Ok(check);
            }
            (Err(_), _) => return Ok(check),
        };
        let (line, key) = match PublicKey::parse(&key).and_then(|key| Ok((key.open(&note)?, key))) {
            Ok(opened) => opened,
            Err(why) => {
                let name = check.before.clone().unwrap_or_default();
                let what = "a checkpoint of this shard is not valid.";
                check.alarms.push(alarm(url, what, &key, &why, unexplained(url, &name)));
                return Ok(check);
            }
        };
        let name = key.shard();
        check.shard = Some(name.to_owned());
        let known = here.iter().find(|shard| shard.name() == name);
        if let Some(other) = other_shard(client, &key, known, last) {
            check.alarms.push(other);
            return Ok(check);
        }
        for run in known.iter().flat_map(|known| &known.runs).filter(|run| run.seq > 0) {
            check.alarms.extend(contradiction(client, &key, run, &line).await);
        }
        if check.alarms.is_empty() {
            self.remember(url, &key, &line)?;
        }
        Ok(check)
    }
}

fn alarm(url: &str, what: &str, seen: &str, now: &str, advice: String) -> HistoryAlarm {
    let [url, what, seen, now] = [url, what, seen, now].map(str::to_owned);
    HistoryAlarm { url, what, seen, now, advice }
}

/// The command that forgets a shard.
fn forget(url: &str, name: &str) -> String {
    format!("`townlet audit forget {url} {name}`")
}

/// What to do about a history that should not have changed.
fn unexplained(url: &str, name: &str) -> String {
    format!(
        "If the change is yours, run {}. Otherwise trust nothing of this log before `townlet audit verify --key` on the machine, \
         or a copy of the log, explains the difference.",
        forget(url, name)
    )
}

/// Whether it is another shard than the client expects. `known`: the shard of this name at the address; `last`: the one that
/// answered there last.
fn other_shard(
    client: &Client,
    key: &PublicKey,
    known: Option<&KnownShard>,
    last: Option<&KnownShard>,
) -> Option<HistoryAlarm> {
    let (url, name, now) = (client.url(), key.shard(), key.to_string());
    let found = |what: String, seen: &str, advice| Some(alarm(url, &what, seen, &now, advice));
    match (client.expected(), known, last) {
        (ExpectedShard::Named(wanted), ..) if !key.is_of(wanted) => found(
            format!("SHARD {name} ANSWERS HERE, and shard {wanted} was asked for."),
            &format!("`shard: {wanted}` in the user configuration"),
            "Start the right one there, or correct `url` or `shard` of this entry.".into(),
        ),
        (_, Some(known), _) if known.key != now => found(
            format!("THE KEY OF SHARD {name} HAS CHANGED: this is a new shard of that name, or somebody poses as it."),
            &known.key,
            format!(
                "If you began it anew or in another home folder, run {} and connect again. Otherwise send nothing to it.",
                forget(url, name)
            ),
        ),
        (ExpectedShard::Known, None, Some(last)) => found(
            format!("ANOTHER SHARD ANSWERS HERE: shard {name}, and it was shard {}.", last.name()),
            &last.key,
            format!(
                "If it has taken its place on purpose, run {} and connect again. Otherwise send nothing to it.",
                forget(url, last.name())
            ),
        ),
        _ => None,
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
        Some(alarm(client.url(), &what, &seen, &now, unexplained(client.url(), key.shard())))
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
pub(super) async fn watch(shared: &Arc<Shared>) {
    let Some(known) = &shared.known else { return std::future::pending().await };
    let (mut alarms_before, mut shard_before) = (Vec::new(), None);
    loop {
        while !shared.with(|info| info.live) {
            sleep(UNTIL_LIVE).await;
        }
        let client = shared.client();
        let mut found = HistoryState::Consistent;
        let alarms = match known.check(&client).await {
            Ok(mut check) => {
                // Another client may have seen and remembered the shard first.
                check.before = shard_before.take().or(check.before);
                if let Some(note) = check.note(client.url()) {
                    shared.emit(SourceEvent::Notice(note));
                }
                shard_before = check.shard.or(check.before);
                if let Some(HistoryAlarm { what, advice, .. }) = check.alarms.first().cloned() {
                    found = HistoryState::Contradicted { what, advice };
                }
                check.alarms.iter().map(HistoryAlarm::sentence).collect()
            }
            Err(why) => vec![format!("the checkpoints of this shard cannot be remembered: {why}")],
        };
        // A connection that was lost meanwhile is another one.
        shared.with(|info| info.history = if info.live { found } else { HistoryState::Unchecked });
        if alarms != alarms_before {
            shared.emit(SourceEvent::History(alarms.clone()));
            alarms_before = alarms;
        }
        // After a new connection it looks at once.
        let next = Instant::now() + INTERVAL;
        while Instant::now() < next && shared.with(|info| info.history != HistoryState::Unchecked) {
            sleep(UNTIL_LIVE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use townlet_audit::CheckpointKey;

    fn line(run: u64, seq: u64) -> Checkpoint {
        Checkpoint { shard: "a".into(), run_id: format!("run-{run}"), seq, hash: format!("{seq:064x}") }
    }

    fn key(folder: &Path, shard: &str) -> PublicKey {
        CheckpointKey::open(&folder.join(format!("{shard}-key")), shard).unwrap().public()
    }

    #[test]
    fn the_newest_line_of_each_run_is_kept_within_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let known = KnownShards::at(folder.path().join("state/known_shards.json"));
        let key = key(folder.path(), "a");
        assert_eq!(known.load(), Ok(Shards::new()));
        for (run, seq) in [(1, 5), (1, 9), (1, 7), (2, 1)] {
            known.remember("http://a", &key, &line(run, seq)).unwrap();
        }
        let seen = |known: &KnownShards| {
            let shards = known.load().unwrap().remove("http://a").unwrap_or_default();
            let runs = shards.into_iter().flat_map(|shard| shard.runs);
            runs.map(|run| (run.run_id, run.seq)).collect::<Vec<_>>()
        };
        assert_eq!(seen(&known), [("run-1".to_owned(), 9), ("run-2".to_owned(), 1)]);
        for run in 3..40 {
            known.remember("http://a", &key, &line(run, 1)).unwrap();
        }
        assert_eq!((seen(&known).len(), seen(&known)[0].0.as_str()), (MAX_RUNS, "run-24"));
        let forget = || known.forget("http://a", None);
        assert_eq!((forget(), forget()), (Ok(vec!["a".to_owned()]), Ok(Vec::new())));
        std::fs::write(folder.path().join("state/known_shards.json"), "{").unwrap();
        assert!(known.load().unwrap_err().contains("known_shards.json: "));
    }

    #[test]
    fn shards_of_one_address_stand_side_by_side_and_the_last_one_is_last() {
        let folder = tempfile::tempdir().unwrap();
        let known = KnownShards::at(folder.path().join("known_shards.json"));
        let names = || {
            let here = known.load().unwrap().remove("http://x").unwrap_or_default();
            here.iter().map(|shard| shard.name().to_owned()).collect::<Vec<_>>()
        };
        for shard in ["a", "b", "c", "a"] {
            known.remember("http://x", &key(folder.path(), shard), &line(1, 1)).unwrap();
        }
        assert_eq!(names(), ["b", "c", "a"]);
        assert_eq!(known.forget("http://x", Some("c")), Ok(vec!["c".to_owned()]));
        assert_eq!(known.forget("http://x", Some("c")), Ok(Vec::new()));
        assert_eq!(names(), ["b", "a"]);
        assert_eq!(known.forget("http://x", None), Ok(vec!["b".to_owned(), "a".to_owned()]));
        assert_eq!(known.load(), Ok(Shards::new()));
    }

    #[test]
    fn a_file_with_one_shard_for_each_address_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let known = KnownShards::at(folder.path().join("known_shards.json"));
        let before =
            r#"{"http://x": {"key": "townlet/a+00000000+AAAA", "runs": [{"run_id": "r", "seq": 3, "hash": "00"}]}}"#;
        std::fs::write(folder.path().join("known_shards.json"), before).unwrap();
        let shards = known.load().unwrap().remove("http://x").unwrap();
        assert_eq!((shards.len(), shards[0].name(), shards[0].runs[0].seq), (1, "a", 3));
    }

    #[test]
    fn no_more_shards_are_remembered_than_the_file_may_hold() {
        let folder = tempfile::tempdir().unwrap();
        let known = KnownShards::at(folder.path().join("known_shards.json"));
        let shard = |name: usize| KnownShard { key: format!("townlet/{name}+0+0"), runs: Vec::new() };
        let many = [("http://x".to_owned(), (0..MAX_SHARDS).map(shard).collect::<Vec<_>>())];
        std::fs::write(folder.path().join("known_shards.json"), serde_json::json!(Shards::from(many)).to_string())
            .unwrap();
        let refused = known.remember("http://y", &key(folder.path(), "a"), &line(1, 1)).unwrap_err();
        assert!(refused.contains("Forget some."), "{refused}");
    }

    #[test]
    fn what_is_expected_decides_about_another_shard() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|shard| key(folder.path(), shard));
        let seen = |key: &PublicKey| KnownShard { key: key.to_string(), runs: Vec::new() };
        let named = |name: &str| ExpectedShard::Named(name.into());
        let elsewhere = tempfile::tempdir().unwrap();
        let new_a = key(elsewhere.path(), "a");
        for (url, expected, now, known, words) in [
            ("http://127.0.0.1:1", ExpectedShard::Any, &a, vec![], None),
            ("http://127.0.0.1:1", ExpectedShard::Any, &b, vec![&a], None),
            ("http://127.0.0.1:1", ExpectedShard::Any, &a, vec![&a, &b], None),
            ("http://127.0.0.1:1", ExpectedShard::Any, &new_a, vec![&a, &b], Some("THE KEY OF SHARD a HAS CHANGED")),
            ("http://127.0.0.1:1", ExpectedShard::Known, &b, vec![&a], Some("shard b, and it was shard a.")),
            ("http://127.0.0.1:1", ExpectedShard::Known, &b, vec![&b, &a], None),
            ("http://127.0.0.1:1", named("a"), &a, vec![&b], None),
            ("http://127.0.0.1:1", named("a"), &b, vec![&a, &b], Some("shard a was asked for")),
            ("https://towns.example", ExpectedShard::Any, &b, vec![&a], Some("shard b, and it was shard a.")),
            ("https://towns.example", ExpectedShard::Any, &b, vec![], None),
        ] {
            let target = crate::remote::Target { url: url.into(), expected, ..Default::default() };
            let client = Client::new(&target).unwrap();
            let known: Vec<_> = known.into_iter().map(seen).collect();
            let same = known.iter().find(|shard| shard.name() == now.shard());
            let found = other_shard(&client, now, same, known.last()).map(|alarm| alarm.to_string());
            assert_eq!(found.is_some(), words.is_some(), "{url} {found:?}");
            assert!(found.unwrap_or_default().contains(words.unwrap_or_default()));
        }
    }

    /// A narrow screen cuts the end.
    #[test]
    fn the_command_that_accepts_a_change_comes_before_all_other_advice() {
        let accepts = "If the change is yours, run `townlet audit forget http://x a`.";
        assert!(unexplained("http://x", "a").starts_with(accepts));
    }

    #[test]
    fn another_shard_is_told_in_one_line() {
        let shard = |name: &str| Some(name.to_owned());
        let check = HistoryCheck { alarms: Vec::new(), shard: shard("b"), before: shard("a") };
        let note = "http://127.0.0.1:7420 now serves shard b (it was shard a).";
        assert_eq!(check.note("http://127.0.0.1:7420").as_deref(), Some(note));
        for silent in [
            HistoryCheck { before: shard("b"), ..check.clone() },
            HistoryCheck { before: None, ..check.clone() },
            HistoryCheck { shard: None, ..check.clone() },
            HistoryCheck { alarms: vec![alarm("x", "", "", "", String::new())], ..check },
        ] {
            assert_eq!(silent.note("http://127.0.0.1:7420"), None);
        }
    }
}

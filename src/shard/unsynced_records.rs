//! Audit records that nobody waits for: refusals, reads and changes of pace. Those of anonymous peers are kept by sample beyond a
//! rate; those of changes of pace are kept while the log cannot be written.
//!
//! In each interval the first records of a peer are written as they are, shortened; all others are counted, and one record of
//! the peer names the first and the last of them. Both the peers and the lines of an interval are bounded. Rule: "Audit log".

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use townlet_audit::{Log, Record, Stage};
use townlet_wire::count;
use townlet_wire::{Role, Session, Status, escape};

use super::engine::Message;
use super::request_queue::Level;
use super::submission::{ANONYMOUS, HTTP_TRANSPORT, is_id};

/// Time after which counts become records.
const INTERVAL: Duration = Duration::from_secs(10);
/// Records of all anonymous peers together that are written as they are in an interval.
const MAX_LINES: u32 = 64;
/// Peers with a count of their own; all others share one.
const MAX_PEERS: usize = 32;
/// Records that wait for a log that cannot be written, at most.
const MAX_KEPT: usize = 1_000;
/// Longest text of an anonymous request that a record keeps, in characters.
const MAX_TEXT: usize = 100;

/// Writes records that nobody waits for. Clones share the counts.
#[derive(Clone)]
pub(super) struct UnsyncedRecords {
    /// Ends with the town's thread, so that a stopped shard has closed its log.
    log: Weak<Log>,
    sender: Sender<Message>,
    sample: Arc<Mutex<AnonymousSample>>,
    /// Records that the log did not take, oldest first.
    kept: Arc<Mutex<VecDeque<Record>>>,
}

impl UnsyncedRecords {
    /// `lines` records of an anonymous peer are written as they are in ten seconds.
    pub(super) fn new(log: &Arc<Log>, sender: Sender<Message>, lines: u32) -> Self {
        let sample = Arc::new(Mutex::new(AnonymousSample::new(lines)));
        Self { log: Arc::downgrade(log), sender, sample, kept: Arc::default() }
    }

    fn sample(&self) -> MutexGuard<'_, AnonymousSample> {
        lock(&self.sample)
    }

    /// Writes the record of a request of this level, or counts it.
    pub(super) fn write(&self, level: Option<Level>, record: Record) {
        if level == Some(Level::Anonymous) {
            let now = Instant::now();
            let records = {
                let mut sample = self.sample();
                let mut records = sample.ended(now);
                records.extend(sample.take(record, now));
                records
            };
            for record in records {
                self.append(record);
            }
        } else {
            self.append(record);
        }
    }

    /// Writes the record of something that was done; it is kept while the log cannot be written.
    pub(super) fn write_or_keep(&self, record: Record) {
        let mut kept = lock(&self.kept);
        if !kept.is_empty() {
            // Behind those that came before it.
            return kept.push_back(record);
        }
        drop(kept);
        self.append_or_keep(record);
    }

    /// Writes the kept records again. Those that the log still does not take stay kept, in their order.
    pub(super) fn write_kept(&self) {
        let records = std::mem::take(&mut *lock(&self.kept));
        for record in records {
            self.append_or_keep(record);
        }
    }

    /// Whether no further record can be kept.
    pub(super) fn is_full(&self) -> bool {
        lock(&self.kept).len() >= MAX_KEPT
    }

    fn append_or_keep(&self, record: Record) {
        let Some(log) = self.log.upgrade() else { return };
        let (sender, kept, again) = (self.sender.clone(), Arc::clone(&self.kept), record.clone());
        log.append(record, false, move |written| {
            if written.is_err() {
                lock(&kept).push_back(again);
            }
            drop(sender.send(Message::AuditWritten));
        });
    }

    /// Writes what was counted in an interval that has ended.
    pub(super) fn write_ended(&self) {
        let records = self.sample().ended(Instant::now());
        for record in records {
            self.append(record);
        }
    }

    /// Writes what was counted so far. Nothing follows.
    pub(super) fn finish(&self) {
        let records = self.sample().summaries();
        for record in records {
            self.append(record);
        }
    }

    /// Observers see the record once it is written, also while the town is paused.
    fn append(&self, record: Record) {
        let Some(log) = self.log.upgrade() else { return };
        let sender = self.sender.clone();
        // The loop may have ended meanwhile; then nobody looks.
        log.append(record, false, move |_| drop(sender.send(Message::AuditWritten)));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What anonymous peers did in the current interval.
struct AnonymousSample {
    lines_per_peer: u32,
    began: Option<Instant>,
    lines: u32,
    peers: BTreeMap<String, Peer>,
}

#[derive(Default)]
struct Peer {
    lines: u32,
    counted: Option<Counted>,
}

/// Requests that have no record of their own.
struct Counted {
    refusals: u64,
    reads: u64,
    first: Value,
    last: Record,
}

impl AnonymousSample {
    fn new(lines_per_peer: u32) -> Self {
        Self { lines_per_peer, began: None, lines: 0, peers: BTreeMap::new() }
    }

    /// The record to write, shortened; `None` when it is counted.
    fn take(&mut self, mut record: Record, now: Instant) -> Option<Record> {
        self.began.get_or_insert(now);
        let known = self.peers.len() < MAX_PEERS || self.peers.contains_key(&record.issuer);
        let key = if known { record.issuer.clone() } else { format!("{ANONYMOUS}others") };
        let peer = self.peers.entry(key).or_default();
        shorten(&mut record);
        if peer.lines < self.lines_per_peer && self.lines < MAX_LINES {
            (peer.lines, self.lines) = (peer.lines + 1, self.lines + 1);
            return Some(record);
        }
        let refused = u64::from(record.stage == Stage::Rejected);
        if let Some(counted) = &mut peer.counted {
            counted.refusals += refused;
            counted.reads += 1 - refused;
            counted.last = record;
        } else {
            let first = request(&record);
            peer.counted = Some(Counted { refusals: refused, reads: 1 - refused, first, last: record });
        }
        None
    }

    /// The summaries of the interval, if it has ended.
    fn ended(&mut self, now: Instant) -> Vec<Record> {
        if self.began.is_some_and(|began| now.saturating_duration_since(began) >= INTERVAL) {
            self.summaries()
        } else {
            Vec::new()
        }
    }

    /// The summaries of the interval; the next one begins with the next request.
    fn summaries(&mut self) -> Vec<Record> {
        (self.began, self.lines) = (None, 0);
        std::mem::take(&mut self.peers)
            .into_iter()
            .filter_map(|(issuer, peer)| Some(summary(issuer, peer.counted?)))
            .collect()
    }
}

/// One record for all requests that were counted.
fn summary(issuer: String, counted: Counted) -> Record {
    let Counted { refusals, reads, first, last } = counted;
    let session = Session { issuer, role: Role::Viewer, transport: HTTP_TRANSPORT.into(), owner: false };
    let args = json!({ "refusals": refusals, "reads": reads, "first": first, "last": request(&last) });
    let summary = format!(
        "{} and {} of {} in {} s; the first and the last are kept.",
        count(refusals, "refusal"),
        count(reads, "read"),
        session.issuer,
        INTERVAL.as_secs()
    );
    Record {
        config_id: last.config_id,
        tick: last.tick,
        stage: Stage::Rejected,
        status: Some(Status::Error),
        result: Some(json!({ "summary": summary })),
        ..Record::of(&session, "", "?", args)
    }
}

/// A request in a summary.
fn request(record: &Record) -> Value {
    json!({
        "cmd_id": record.cmd_id,
        "command": record.command,
        "args": record.args,
        "error": record.error.as_ref().map(|error| error.code.clone()),
    })
}

/// Shortens what the sender has chosen, so that a record has a bounded size. Arguments that are too long become one text.
fn shorten(record: &mut Record) {
    if !is_id(&record.cmd_id) {
        record.cmd_id = clip(&record.cmd_id);
    }
    record.reason = record.reason.as_deref().map(clip);
    if let Some(error) = &mut record.error {
        (error.message, error.hint) = (clip(&error.message), clip(&error.hint));
    }
    let args = record.args.to_string();
    if escape(&args).len() > MAX_TEXT {
        record.args = match record.args["line"].as_str() {
            Some(line) => json!({ "line": clip(line), "bytes": line.len() }),
            None => json!({ "line": clip(&args), "bytes": args.len() }),
        };
    }
    if let Some(summary) = record.result.as_ref().and_then(|result| result["summary"].as_str()) {
        record.result = Some(json!({ "summary": clip(summary) }));
    }
}

/// The beginning of a text, in at most [`MAX_TEXT`] bytes of its escaped form.
fn clip(text: &str) -> String {
    let text = escape(text);
    if text.len() <= MAX_TEXT {
        return text;
    }
    let end = text.floor_char_boundary(MAX_TEXT);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use townlet_wire::ErrorBody;

    use super::*;

    /// Largest line of an anonymous request, in bytes. The documentation states it.
    const MAX_LINE: usize = 1_536;

    fn refusal(peer: &str, line: &str) -> Record {
        let session = Session {
            issuer: format!("{ANONYMOUS}{peer}"),
            role: Role::Viewer,
            transport: HTTP_TRANSPORT.into(),
            owner: false,
        };
        let error = ErrorBody::new("E_UNKNOWN_COMMAND", format!("there is no command `{line}`."), "`help` lists them.");
        Record {
            stage: Stage::Rejected,
            status: Some(Status::Error),
            error: Some(error),
            ..Record::of(&session, "c".repeat(128), "?", json!({ "line": line }))
        }
    }

    #[test]
    fn beyond_the_rate_a_peer_has_one_record_with_the_first_and_the_last_request() {
        let mut sample = AnonymousSample::new(3);
        let now = Instant::now();
        let written: Vec<Record> =
            (0..1_207).filter_map(|number| sample.take(refusal("10.0.0.1", &format!("x{number}")), now)).collect();
        assert_eq!(written.len(), 3);
        assert!(sample.ended(now + INTERVAL / 2).is_empty(), "the interval goes on");
        let ended = sample.ended(now + INTERVAL);
        assert_eq!(ended.len(), 1);
        assert_eq!((ended[0].issuer.as_str(), &ended[0].args["refusals"]), ("http:10.0.0.1", &json!(1_204)));
        assert_eq!(
            (&ended[0].args["first"]["args"]["line"], &ended[0].args["last"]["args"]["line"]),
            (&json!("x3"), &json!("x1206"))
        );
        assert!(sample.take(refusal("10.0.0.1", "y"), now + INTERVAL).is_some(), "the next interval has room again");
        assert!(sample.ended(now + 2 * INTERVAL).is_empty(), "nothing was counted in it");
    }

    #[test]
    fn lines_peers_and_bytes_of_an_interval_are_bounded() {
        let mut sample = AnonymousSample::new(1_000);
        let now = Instant::now();
        let long = "\u{1b}\u{10ffff}".repeat(100);
        let mut records = Vec::new();
        for number in 0..3_000 {
            records.extend(sample.take(refusal(&format!("10.0.{}.{}", number / 250, number % 250), &long), now));
        }
        assert_eq!(records.len(), MAX_LINES as usize);
        records.extend(sample.ended(now + INTERVAL));
        assert!(records.len() <= MAX_LINES as usize + MAX_PEERS + 1, "{}", records.len());
        let counted: u64 = records.iter().filter_map(|record| record.args["refusals"].as_u64()).sum();
        assert_eq!(counted, 3_000 - u64::from(MAX_LINES), "every request is counted");
        for mut record in records {
            // What the log adds by itself, at its longest.
            (record.shard, record.config_id) = ("s".repeat(40), "c".repeat(40));
            (record.run_id, record.ts) = ("r".repeat(64), "2026-11-27T00:00:00.000Z".into());
            (record.seq, record.tick) = (u64::MAX, u64::MAX);
            assert!(record.line().len() <= MAX_LINE, "{}: {}", record.line().len(), record.line());
        }
    }
}

//! Backpressure with a simulated clock: which messages subscribers get, mode changes, counters and archives.

use std::sync::Arc;
use std::time::Duration;

use super::Deferred;
use super::archive::{self, Archive};
use super::hub::{Frame, Hub, Mode};
use super::queue::{EncodedMessage, Stream, StreamItem, queue};
use townlet_town::config::Backpressure;
use townlet_wire::telemetry::{Event, Transport};
use townlet_wire::{Envelope, Mirror, Position, SCHEMA_VERSION, Snapshot};

const FRAME: Duration = Duration::from_millis(50);

struct Town {
    hub: Hub,
    now: Duration,
    tick: u64,
    home: tempfile::TempDir,
}

fn limits() -> Backpressure {
    Backpressure {
        backlog_threshold: 30,
        recover_below: 8,
        aggregate_every_ms: 1_000,
        subscriber_buffer: 20,
        max_messages_per_second: 20,
        archive: true,
    }
}

impl Town {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let limits = limits();
        let hub = Hub::new(7, limits, Archive::new(Some(home.path().into()), "run"));
        Self { hub, now: Duration::ZERO, tick: 0, home }
    }

    fn join(&mut self, resume: Option<Position>) -> Reader {
        let (theirs, stream) = queue(|| {});
        self.hub.subscribe(self.now, theirs, resume);
        Reader { stream, mirror: Mirror::default(), kinds: Vec::new(), events: 0, ended: None }
    }

    fn state(&self) -> Snapshot {
        let events = (self.tick.saturating_sub(3)..self.tick).map(event).collect();
        Snapshot { schema_version: SCHEMA_VERSION.into(), tick: self.tick, events, ..Snapshot::default() }
    }

    /// Five ticks and a frame, of whose five events the state holds the newest three.
    fn frame(&mut self, renamed: bool) {
        self.now += FRAME;
        let events = (self.tick..self.tick + 5).map(event).collect();
        self.tick += 5;
        let view = Arc::new(self.state());
        self.hub.frame(self.now, Frame { view, events, narrations: Vec::new(), renamed, lost: 0 });
    }

    fn frames(&mut self, count: u32, readers: &mut [&mut Reader]) {
        for _ in 0..count {
            self.frame(false);
            for reader in readers.iter_mut() {
                reader.read();
            }
        }
    }

    fn report(&self) -> Transport {
        self.hub.report()
    }
}

fn event(tick: u64) -> Event {
    Event { event: "chat_done".into(), tick, fields: std::collections::BTreeMap::default() }
}

struct Reader {
    stream: Stream,
    mirror: Mirror,
    kinds: Vec<&'static str>,
    events: u64,
    ended: Option<String>,
}

impl Reader {
    fn read(&mut self) {
        loop {
            match self.stream.try_next() {
                StreamItem::Message(message) => {
                    let envelope = Envelope::from_json(&message.text).unwrap();
                    assert_eq!(envelope.position(), message.position);
                    if let townlet_wire::Body::Diff(diff) | townlet_wire::Body::Aggregate(diff) = &envelope.body {
                        self.events += diff.events.as_ref().map_or(0, |tail| tail.append.len() as u64);
                    }
                    self.mirror.take(envelope).unwrap();
                    self.kinds.push(message.kind);
                }
                StreamItem::Nothing => return,
                StreamItem::Ended(why) => {
                    self.ended = Some(why);
                    return;
                }
            }
        }
    }

    fn count(&self, kind: &str) -> usize {
        self.kinds.iter().filter(|it| **it == kind).count()
    }
}

#[test]
fn a_snapshot_comes_first_and_every_event_after_it() {
    let mut town = Town::new();
    let mut reader = town.join(None);
    town.frames(41, &mut [&mut reader]);
    assert_eq!((reader.kinds[0], reader.count("diff")), ("snapshot", 40));
    assert_eq!(reader.events, 200, "a state holds three events, and all were carried");
    assert_eq!(reader.mirror.state(), Some(&town.state()));
    let others = [town.join(None), town.join(None)];
    let [StreamItem::Message(one), StreamItem::Message(other)] = others.map(|reader| reader.stream.try_next()) else {
        panic!("a state comes at once");
    };
    assert!(Arc::ptr_eq(&one, &other), "a state is encoded once for all who come");
    town.hub.on_timer(town.now);
    assert_eq!(town.report(), Transport { subscribers: 1, mode: "full".into(), ..Transport::default() });
}

#[test]
fn a_subscriber_that_falls_behind_is_degraded_and_counted() {
    let mut town = Town::new();
    let (mut quick, mut slow) = (town.join(None), town.join(None));
    town.frames(21, &mut [&mut quick]);
    assert_eq!(town.report().behind, 1, "its queue is full: aggregated");
    town.frames(20, &mut [&mut quick]);
    let report = town.report();
    assert_eq!((report.resynced, report.dropped, report.queue_length), (1, 20, 1), "a new snapshot, in place of 20");
    town.frames(250, &mut [&mut quick]);
    let report = town.report();
    assert_eq!((report.disconnected, report.dropped, report.subscribers), (1, 21, 1));
    slow.read();
    assert_eq!((slow.kinds.len(), slow.ended.as_deref()), (0, Some("nothing was read for 10 seconds")));
    assert_eq!((quick.count("diff"), quick.count("aggregate")), (290, 0), "who reads is not touched");
}

#[test]
fn a_subscriber_that_reads_again_recovers_without_losing_events() {
    let mut town = Town::new();
    let mut reader = town.join(None);
    town.frames(1, &mut [&mut reader]);
    town.frames(22, &mut []);
    reader.read();
    town.frames(60, &mut [&mut reader]);
    assert_eq!((reader.count("snapshot"), reader.count("aggregate"), reader.count("resync")), (1, 1, 0));
    assert_eq!((reader.events, town.report().behind), (82 * 5, 0));
    assert_eq!(reader.mirror.state(), Some(&town.state()));
}

#[test]
fn reading_a_resync_leads_back_to_full_mode() {
    let mut town = Town::new();
    let mut reader = town.join(None);
    town.frames(60, &mut []);
    reader.read();
    assert_eq!(reader.kinds, ["resync"]);
    town.frames(40, &mut [&mut reader]);
    assert_eq!((town.report().behind, reader.mirror.state()), (0, Some(&town.state())));
    assert!(reader.count("diff") > 10, "{:?}", reader.kinds);
}

#[test]
fn a_backlog_is_merged_and_archived_until_it_is_gone() {
    let mut town = Town::new();
    let mut quick = town.join(None);
    let stalled: Vec<Reader> = (0..4).map(|_| town.join(None)).collect();
    town.frames(12, &mut [&mut quick]);
    let report = town.report();
    assert_eq!((report.mode.as_str(), report.archive.as_deref()), ("aggregate", Some("run-0001.jsonl.zst")));
    let before = quick.kinds.len();
    town.frames(40, &mut [&mut quick]);
    assert_eq!(quick.kinds[before..].iter().filter(|kind| **kind == "aggregate").count(), 2, "one a second");
    town.frames(60, &mut [&mut quick]);
    let report = town.report();
    assert_eq!((report.mode.as_str(), report.archive), ("full", None), "the stalled ones have one snapshot each");
    town.frames(1, &mut [&mut quick]);
    assert_eq!(quick.mirror.state(), Some(&town.state()));
    assert_eq!(quick.events, 112 * 5, "merged, not lost");
    drop(stalled);
    let found = archive::verify(&town.home.path().join("run-0001.jsonl.zst")).unwrap();
    assert_eq!(found.damage, None);
    assert!(found.messages > 40 && found.checked > 4, "{found:?}");
}

#[test]
fn an_operator_can_turn_merging_on_and_off() {
    let mut town = Town::new();
    let mut reader = town.join(None);
    town.frames(5, &mut [&mut reader]);
    town.hub.set_mode(town.now, Mode::Aggregate);
    town.frames(45, &mut [&mut reader]);
    assert_eq!((town.report().mode.as_str(), reader.count("diff"), reader.count("aggregate")), ("aggregate", 4, 2));
    town.hub.set_mode(town.now, Mode::Auto);
    reader.read();
    assert_eq!((town.report().mode.as_str(), reader.mirror.state()), ("full", Some(&town.state())));
}

#[test]
fn changed_names_reach_all_subscribers_and_no_older_message_does() {
    let mut town = Town::new();
    let (mut one, mut other) = (town.join(None), town.join(None));
    town.frames(10, &mut [&mut one]);
    town.frame(true);
    one.read();
    other.read();
    assert_eq!((one.kinds.last(), other.kinds.as_slice()), (Some(&"resync"), ["resync"].as_slice()));
    let back = one.mirror.position().map(|it| Position { seq: it.seq - 1, ..it });
    let mut third = town.join(back);
    third.read();
    assert_eq!(third.kinds, ["resync"], "messages with the old names are not kept");
}

#[test]
fn a_reconnecting_subscriber_gets_the_missed_messages_or_a_new_state() {
    let mut town = Town::new();
    let (mut stays, mut goes) = (town.join(None), town.join(None));
    town.frames(10, &mut [&mut stays, &mut goes]);
    let Reader { mirror, stream, .. } = goes;
    drop(stream);
    town.frames(8, &mut [&mut stays]);
    let mut back = town.join(mirror.position());
    back.mirror = mirror.clone();
    back.read();
    assert_eq!((back.kinds.len(), back.mirror.state()), (8, Some(&town.state())));
    town.frames(60, &mut [&mut stays]);
    let mut late = town.join(mirror.position());
    late.mirror = mirror;
    late.read();
    assert_eq!((late.kinds.as_slice(), late.mirror.state()), (["aggregate"].as_slice(), Some(&town.state())));
    for position in [Position { epoch: 6, seq: 10 }, Position { epoch: 7, seq: 10_000 }] {
        let mut lost = town.join(Some(position));
        lost.read();
        assert_eq!(lost.kinds, ["resync"]);
    }
}

#[test]
fn a_quiet_stream_sends_heartbeats() {
    let mut town = Town::new();
    let mut reader = town.join(None);
    town.frames(2, &mut [&mut reader]);
    for _ in 0..50 {
        town.now += FRAME;
        town.hub.on_timer(town.now);
        reader.read();
    }
    assert_eq!(reader.count("heartbeat"), 2);
    assert_eq!(reader.mirror.state(), Some(&town.state()));
}

#[test]
fn the_end_follows_all_messages() {
    let mut town = Town::new();
    let mut reader = town.join(None);
    town.frames(3, &mut []);
    town.hub.end("the shard has stopped");
    reader.read();
    assert_eq!((reader.kinds.len(), reader.ended.as_deref()), (3, Some("the shard has stopped")));
}

/// An archive of some thirty messages.
fn archived() -> (Town, std::path::PathBuf, Reader) {
    let mut town = Town::new();
    let mut reader = town.join(None);
    town.frames(2, &mut [&mut reader]);
    town.hub.set_mode(town.now, Mode::Aggregate);
    town.frames(30, &mut [&mut reader]);
    town.hub.set_mode(town.now, Mode::Full);
    let path = town.home.path().join("run-0001.jsonl.zst");
    (town, path, reader)
}

#[test]
fn an_archive_can_be_read_and_damage_is_located() {
    let (_town, path, _) = archived();
    let whole = archive::verify(&path).unwrap();
    assert_eq!((whole.messages, whole.ticks, whole.damage), (31, Some((10, 160)), None));
    let bytes = std::fs::read(&path).unwrap();
    for at in (0..bytes.len()).step_by(13) {
        std::fs::write(&path, &bytes[..at]).unwrap();
        let found = archive::verify(&path).unwrap();
        assert!(found.damage.is_some(), "cut at {at}: {found:?}");
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        std::fs::write(&path, &flipped).unwrap();
        let found = archive::verify(&path).unwrap();
        // Some bits of a packed block say nothing; what is read is held to be the same then.
        let same = || zstd::decode_all(flipped.as_slice()).ok() == zstd::decode_all(bytes.as_slice()).ok();
        assert!(found.damage.is_some() || same(), "flipped at {at}: {found:?}");
    }
    // A message taken out of the middle leaves a file that unpacks, and a gap.
    let mut lines = Vec::new();
    std::fs::write(&path, &bytes).unwrap();
    archive::lines(&path, |line| {
        lines.push(line.to_owned());
        Ok(())
    })
    .unwrap();
    lines.remove(7);
    let packed = zstd::encode_all((lines.join("\n") + "\n").as_bytes(), 1).unwrap();
    std::fs::write(&path, packed).unwrap();
    let why = archive::verify(&path).unwrap().damage.unwrap();
    assert!(why.starts_with("message 8: messages are missing"), "{why}");
}

#[test]
fn an_archive_that_cannot_be_written_is_reported_and_blocks_nothing() {
    let mut town = Town::new();
    let blocked = town.home.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    let limits = limits();
    town.hub = Hub::new(7, limits, Archive::new(Some(blocked), "run"));
    let mut reader = town.join(None);
    town.hub.set_mode(town.now, Mode::Aggregate);
    town.frames(40, &mut [&mut reader]);
    assert!(town.report().last_error.is_some());
    assert!(reader.count("aggregate") > 0);
}

#[test]
fn waiting_messages_are_bounded_in_bytes() {
    let (theirs, _stream) = queue(|| {});
    assert!(theirs.has_room(1, 0), "one message may always wait");
    theirs.push(Arc::new(EncodedMessage::new(Position { epoch: 1, seq: 1 }, "diff", "0123456789".into())));
    assert!(theirs.has_room(2, 11));
    assert!(!theirs.has_room(2, 10) && !theirs.has_room(1, 11));
}

#[test]
fn a_publisher_that_has_crashed_is_not_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let telemetry = townlet_town::Sources::default_town(&[]).unwrap().config.telemetry;
    let crash = |_| panic!("the report of this test");
    let publisher = super::Publisher::start(
        std::time::Instant::now(),
        &telemetry,
        home.path().into(),
        "run",
        Arc::new(|_| ()),
        crash,
    );
    // A new subscriber is reported.
    let (request, _stream) = super::stream(super::Start::Everything(None), || {});
    publisher.subscribe(request);
    // Nobody is told when a thread ends.
    let late = std::time::Instant::now() + Duration::from_mins(1);
    let (_sender, nothing) = std::sync::mpsc::channel::<()>();
    while !publisher.thread.as_ref().unwrap().is_finished() {
        assert!(std::time::Instant::now() < late, "the thread goes on");
        assert!(nothing.recv_timeout(Duration::from_millis(5)).is_err());
    }
    let (view, events, narrations) = (Arc::default(), Vec::new(), Vec::new());
    publisher.stream(Frame { view, events, narrations, renamed: false, lost: 0 });
    assert!(publisher.is_free(), "the town would publish nothing any more");
    let (sender, done) = std::sync::mpsc::channel();
    publisher.defer(Deferred::new(move || sender.send(()).expect("the test waits")));
    assert_eq!(done.try_recv(), Ok(()), "a command would never be answered");
}

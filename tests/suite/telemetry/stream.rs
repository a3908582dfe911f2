//! The stream of a running town: snapshot and diffs give its state through commands, lost connections and resumes.

use townlet_learn::prng::Prng;
use townlet_shard::publish::{Stream, StreamItem};
use townlet_shard::start;
use townlet_wire::{Body, Envelope, Mirror, Request};

use crate::kit::{TIMEOUT, TestShard, default_sources, options, temp_home};

struct Reader {
    stream: Stream,
    mirror: Mirror,
    kinds: Vec<&'static str>,
    digests: u64,
    /// Tick and name of every event in the stream.
    events: Vec<(u64, String)>,
}

impl Reader {
    fn join(live: &TestShard, mirror: Mirror) -> Self {
        let stream = live.shard.stream(mirror.position(), || {});
        Self { stream, mirror, kinds: Vec::new(), digests: 0, events: Vec::new() }
    }

    /// Reads until the state is at this tick.
    fn read_to(&mut self, tick: u64) {
        while self.mirror.state().is_none_or(|state| state.tick < tick) {
            match self.stream.next(TIMEOUT) {
                StreamItem::Message(message) => {
                    let envelope = Envelope::from_json(&message.text).unwrap();
                    self.digests += u64::from(envelope.digest.is_some());
                    if let Body::Diff(diff) | Body::Aggregate(diff) = &envelope.body {
                        let events = diff.events.iter().flat_map(|tail| &tail.append);
                        self.events.extend(events.map(|event| (event.tick, event.event.clone())));
                    }
                    self.kinds.push(message.kind);
                    self.mirror.take(envelope).unwrap();
                }
                other => panic!("the stream is behind and says {other:?}"),
            }
        }
    }
}

#[test]
fn snapshot_and_diffs_equal_the_state_for_ten_thousand_ticks() {
    let home = temp_home();
    let quick = [
        ("telemetry.backpressure.aggregate_every_ms", "50"),
        ("telemetry.backpressure.max_messages_per_second", "200"),
    ];
    let live = TestShard::from_handle(
        start(default_sources(&quick), 7, options(home.path(), true)).expect("the shard starts"),
    );
    let lines = [
        "employment_exit request ada",
        "employment_exit approve ada",
        "employment_exit defer ada",
        "spawn",
        "price meal 0.5",
        "price meal 0.4",
        "blackout on",
        "blackout off",
        "set_exit_cap 5",
        "setneed ben hunger 0.2",
        "teleport cleo park",
        "kill dov",
        "set_feature queue_fairness off",
        "force_chat ben cleo",
        "privacy on",
        "privacy off",
        "telemetry_mode aggregate",
        "telemetry_mode auto",
        "no such thing",
        "narration off",
        "narration on",
    ];
    let (mut prng, mut tick) = (Prng::from_state(11), 0);
    let mut reader = Reader::join(&live, Mirror::default());
    let (mut kinds, mut digests, mut resumes) = (Vec::new(), 0, 0);
    while tick < 10_000 {
        for _ in 0..prng.below(3) {
            live.ask(live.admin, Request::line(lines[prng.below(lines.len())]));
        }
        let ticks = 1 + prng.below(150) as u64;
        live.run(ticks);
        tick += ticks;
        reader.read_to(tick);
        if prng.below(8) == 0 {
            // The connection is lost, the town runs on, and the reader resumes from its position.
            let Reader { mirror, kinds: read, digests: checked, .. } = reader;
            kinds.extend(read);
            digests += checked;
            resumes += 1;
            let ticks = prng.below(100) as u64;
            live.run(ticks);
            tick += ticks;
            reader = Reader::join(&live, mirror);
        }
    }
    live.expect_ok("telemetry_mode full");
    live.expect_ok("privacy off");
    live.run(1);
    reader.read_to(live.view().tick);
    kinds.extend(reader.kinds);
    digests += reader.digests;
    let (state, mut view) = (reader.mirror.state().unwrap(), live.view());
    // Values of the wall clock and of the stream itself may be newer in the view.
    (view.clock, view.health, view.transport) = (state.clock.clone(), state.health.clone(), state.transport.clone());
    (view.audit, view.alerts) = (state.audit.clone(), state.alerts.clone());
    assert_eq!((state.tick, &state.jobs, &state.agents), (view.tick, &view.jobs, &view.agents));
    assert_eq!(*state, view);
    let count = |kind: &str| kinds.iter().filter(|it| **it == kind).count();
    println!("{} messages, {digests} digests, {resumes} resumes, {} resyncs", kinds.len(), count("resync"));
    assert!(digests > 5 && resumes > 3 && count("diff") > 50 && count("resync") > 0);
}

#[test]
fn stream_carries_every_event_at_full_speed() {
    let home = temp_home();
    let live = TestShard::new(home.path());
    let mut reader = Reader::join(&live, Mirror::default());
    reader.read_to(0);
    let before = live.view();
    live.run(9_000);
    reader.read_to(before.tick + 9_000);
    let view = live.view();
    let quiet = ["affordance_done", "ghost_step", "exit_queue_peak"];
    let count = |of: &std::collections::BTreeMap<String, u64>| {
        of.iter().filter(|(name, _)| !quiet.contains(&name.as_str())).map(|(_, times)| times).sum::<u64>()
    };
    let happened = count(&view.counters) - count(&before.counters);
    assert_eq!(reader.events.len() as u64, happened);
    assert!(happened > 200, "more than a state holds: {happened}");
    assert!(reader.events.is_sorted_by_key(|event| event.0));
}

#[test]
fn privacy_takes_effect_with_the_next_message() {
    let home = temp_home();
    let live = TestShard::new(home.path());
    let mut reader = Reader::join(&live, Mirror::default());
    live.run(300);
    reader.read_to(300);
    live.expect_ok("privacy on");
    live.run(1);
    reader.read_to(301);
    assert!(reader.kinds.contains(&"resync"));
    let text = serde_json::to_string(reader.mirror.state().unwrap()).unwrap();
    assert!(!text.contains("Ada") && !text.contains("\"ada\""), "no name is left");
}

#[test]
fn stalled_readers_do_not_hold_up_the_town() {
    let home = temp_home();
    let live = TestShard::new(home.path());
    let stalled: Vec<Stream> = (0..40).map(|_| live.shard.stream(None, || {})).collect();
    let mut reader = Reader::join(&live, Mirror::default());
    live.run(20_000);
    reader.read_to(20_000);
    assert_eq!(reader.mirror.state().unwrap().tick, 20_000);
    assert!(stalled.iter().all(|stream| !matches!(stream.try_next(), StreamItem::Ended(_))));
    assert!(live.shard.stop().is_ok());
    let last = std::iter::repeat_with(|| reader.stream.next(TIMEOUT)).find(|next| matches!(next, StreamItem::Ended(_)));
    assert_eq!(last, Some(StreamItem::Ended(townlet_wire::sse::STOPPING.into())));
}

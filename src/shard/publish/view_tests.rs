//! Subscribers that say what they look at, with a simulated clock: which rows they get and how often.

use std::sync::Arc;
use std::time::Duration;

use super::archive::Archive;
use super::hub::{Frame, Hub};
use super::queue::{Stream, StreamItem, queue};
use super::viewer::StreamView;
use townlet_town::config::Backpressure;
use townlet_wire::service::{Area, Focus};
use townlet_wire::telemetry::Agent;
use townlet_wire::{Mirror, SCHEMA_VERSION, Snapshot};

const FRAME: Duration = Duration::from_millis(50);
const RESIDENTS: u64 = 1_000;

/// A town whose residents all change in every frame.
struct Town {
    hub: Hub,
    now: Duration,
    tick: u64,
}

struct Reader {
    stream: Stream,
    mirror: Mirror,
    kinds: Vec<&'static str>,
    digests: usize,
}

impl Town {
    fn new() -> Self {
        let limits = Backpressure {
            backlog_threshold: 30,
            recover_below: 8,
            aggregate_every_ms: 1_000,
            subscriber_buffer: 20,
            max_messages_per_second: 20,
            archive: false,
        };
        Self { hub: Hub::new(7, limits, Archive::new(None, "run")), now: Duration::ZERO, tick: 0 }
    }

    fn join(&mut self, view: &StreamView) -> Reader {
        let (theirs, stream) = queue(|| {});
        self.hub.subscribe_view(self.now, theirs, view.clone());
        Reader { stream, mirror: Mirror::default(), kinds: Vec::new(), digests: 0 }
    }

    fn state(&self) -> Snapshot {
        let agent = |number| Agent { id: format!("r{number}"), x: number, groceries: self.tick, ..Agent::default() };
        let agents = (0..RESIDENTS).map(agent).collect();
        Snapshot { schema_version: SCHEMA_VERSION.into(), tick: self.tick, agents, ..Snapshot::default() }
    }

    fn frame(&mut self, renamed: bool) {
        self.now += FRAME;
        self.tick += 1;
        let (view, events, narrations) = (Arc::new(self.state()), Vec::new(), Vec::new());
        self.hub.frame(self.now, Frame { view, events, narrations, renamed, lost: 0 });
    }

    fn frames(&mut self, count: u32, reader: &mut Reader) {
        for _ in 0..count {
            self.frame(false);
            reader.read();
        }
    }

    /// The timer of a town in which nothing happens.
    fn timers(&mut self, count: u32, reader: &mut Reader) {
        for _ in 0..count {
            self.now += FRAME;
            self.hub.on_timer(self.now);
            reader.read();
        }
    }
}

impl Reader {
    fn read(&mut self) {
        while let StreamItem::Message(message) = self.stream.try_next() {
            self.mirror.read(&message.text).unwrap();
            self.kinds.push(message.kind);
            self.digests += usize::from(message.text.contains("\"digest\":"));
        }
    }

    fn state(&self) -> &Snapshot {
        self.mirror.state().unwrap()
    }

    /// The tick of the row of a resident.
    fn tick_of(&self, number: usize) -> u64 {
        self.state().agents[number].groceries
    }

    fn messages(&self) -> usize {
        self.kinds.iter().filter(|kind| **kind != "heartbeat").count()
    }
}

fn focus(ids: &[&str]) -> Focus {
    Focus { residents: ids.iter().map(|id| (*id).to_owned()).collect(), ..Focus::default() }
}

#[test]
fn rows_in_focus_are_new_and_the_others_follow_in_turn() {
    let mut town = Town::new();
    let view = StreamView::all(20).of(focus(&["r150"]));
    let mut reader = town.join(&view);
    town.frames(1, &mut reader);
    assert_eq!((reader.kinds.as_slice(), reader.state()), (&["snapshot"][..], &town.state()));
    for _ in 0..120 {
        town.frames(1, &mut reader);
        assert_eq!(reader.tick_of(150), town.tick);
        let old = reader.state().agents.iter().filter(|agent| agent.groceries < town.tick).count();
        assert!(old > 700, "{old} rows are older: few are sent");
    }
    let oldest = reader.state().agents.iter().map(|agent| agent.groceries).min().unwrap();
    assert!((2..=4).contains(&(town.tick - oldest)), "four messages have everybody: {oldest} at {}", town.tick);
    view.look_at(Focus { area: Some(Area { x: 610, y: 0, width: 2, height: 1 }), ..focus(&["r607"]) });
    town.frames(1, &mut reader);
    assert_eq!([607, 610, 611].map(|number| reader.tick_of(number)), [town.tick; 3]);
    assert!([608, 612, 150].into_iter().all(|number| reader.tick_of(number) < town.tick), "their turn has not come");
    assert!(reader.kinds[1..].iter().all(|kind| *kind == "diff"), "{:?}", reader.kinds);
}

#[test]
fn a_town_at_rest_is_sent_to_its_end_and_no_further() {
    let mut town = Town::new();
    let view = StreamView::all(20).of(focus(&[]));
    let mut reader = town.join(&view);
    town.frames(30, &mut reader);
    assert_ne!(reader.state(), &town.state());
    town.timers(101, &mut reader);
    assert_eq!(reader.state(), &town.state());
    let before = reader.messages();
    town.timers(100, &mut reader);
    assert_eq!(reader.messages(), before);
    assert!(reader.kinds.iter().filter(|kind| **kind == "heartbeat").count() >= 4, "{:?}", reader.kinds);
}

#[test]
fn messages_come_at_the_rate_asked_for_and_carry_all_between() {
    let mut town = Town::new();
    let mut reader = town.join(&StreamView::all(4));
    assert_eq!(town.hub.interval(), Duration::from_millis(250));
    town.frames(81, &mut reader);
    assert!((16..=18).contains(&reader.messages()), "four a second: {:?}", reader.kinds);
    town.timers(5, &mut reader);
    assert_eq!(reader.state(), &town.state(), "all residents, since no focus was given");
    let before = reader.messages();
    town.timers(20, &mut reader);
    assert_eq!(reader.messages(), before);
    let (everything, _stream) = queue(|| {});
    town.hub.subscribe(town.now, everything, None);
    assert_eq!(town.hub.interval(), Duration::ZERO, "a subscriber of everything wants every state");
}

#[test]
fn a_slow_reader_gets_fewer_messages_and_one_that_stops_is_disconnected() {
    let mut town = Town::new();
    let view = StreamView::all(20).of(focus(&["r0"]));
    let mut reader = town.join(&view);
    town.frames(1, &mut reader);
    for _ in 0..100 {
        town.frame(false);
    }
    reader.read();
    assert_eq!((reader.messages(), reader.tick_of(0)), (2, 2), "one waited");
    town.frames(1, &mut reader);
    assert_eq!((reader.tick_of(0), reader.kinds[2]), (town.tick, "aggregate"));
    for _ in 0..220 {
        town.frame(false);
    }
    let StreamItem::Ended(why) = reader.stream.try_next() else { panic!("it was disconnected") };
    assert_eq!(why, "nothing was read for 10 seconds");
    assert_eq!((town.hub.report().disconnected, town.hub.report().subscribers), (1, 0));
}

#[test]
fn the_whole_state_has_a_digest_and_other_names_start_over() {
    let mut town = Town::new();
    let mut reader = town.join(&StreamView::all(20).of(focus(&["r3"])));
    town.frames(130, &mut reader);
    assert_eq!(reader.digests, 1, "of the whole state; the mirror checks it");
    town.frame(true);
    reader.read();
    assert_eq!((reader.kinds.last(), reader.state()), (Some(&"resync"), &town.state()));
    town.frames(1, &mut reader);
    assert_eq!((reader.kinds.last(), reader.tick_of(3)), (Some(&"diff"), town.tick));
}

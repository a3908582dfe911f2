//! What diffs and the stream promise: snapshot + diffs = state, in any grouping, and that a reader notices what is missing.

use std::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::json;

use super::command_line::parse;
use super::field_change::{Change, Entries, Rows, Tail};
use super::stream::{Body, Envelope, Lost, Mirror, Position, digest, max_memory};
use super::telemetry::{
    Agent, Alert, AuditRow, Event, Job, MaskBit, Narration, Need, Objective, ObjectiveTerm, Queue, Tie, TopOption,
    Trait, Window,
};
use super::{ArgKind, ArgSpec, CommandSpec, Diff, Effect, Request, Role, SCHEMA_VERSION, Snapshot};

fn id() -> impl Strategy<Value = String> {
    "[a-e]"
}

fn event() -> impl Strategy<Value = Event> {
    (id(), 0..4_u64, id()).prop_map(|(event, tick, other)| {
        let fields = [("other".to_owned(), json!(other)), ("args".to_owned(), json!({ "b": tick, "a": null }))].into();
        Event { event, tick, fields }
    })
}

/// Small states of few names, so that rows come, go, change places and are named twice.
fn state() -> impl Strategy<Value = Snapshot> {
    let rows = (
        vec((id(), 0..3_u64).prop_map(|(id, x)| Agent { id, x, ..Agent::default() }), 0..5),
        vec((id(), id()).prop_map(|(name, message)| Alert { name, message, ..Alert::default() }), 0..3),
        vec((id(), id(), -2..2_i8).prop_map(tie), 0..5),
        vec((id(), 0..3_u64).prop_map(|(object, ghost_steps)| Queue { object, ghost_steps, ..Queue::default() }), 0..4),
        vec((0..5_u64).prop_map(|number| Window { number, ..Window::default() }), 0..4),
        vec((0..5_u64).prop_map(|seq| AuditRow { seq, args: json!({"b": 1, "a": 2}), ..AuditRow::default() }), 0..4),
    );
    let rest = (
        0..5_u64,
        btree_map(id(), (0..3_u64).prop_map(|meals_cooked| Job { meals_cooked, ..Job::default() }), 0..4),
        btree_map(id(), 0.0..2.0_f64, 0..4),
        vec(event(), 0..5),
        vec((id(), 0..3_u64).prop_map(|(text, tick)| Narration { tick, text, ..Narration::default() }), 0..4),
        proptest::option::of(0.0..1.0_f64),
    );
    (rows, rest).prop_map(|(rows, (tick, jobs, prices, events, narrations, attendance))| {
        let mut state = Snapshot { tick, jobs, prices, narrations, events, ..Snapshot::default() };
        state.schema_version = SCHEMA_VERSION.into();
        state.employment.attendance = attendance;
        (state.agents, state.alerts, state.relationships.ties) = (rows.0, rows.1, rows.2);
        (state.conflict.queues, state.stability.windows, state.audit.records) = (rows.3, rows.4, rows.5);
        state
    })
}

fn tie((agent, other, trust): (String, String, i8)) -> Tie {
    Tie { agent, other, trust: f64::from(trust) / 2.0, ..Tie::default() }
}

fn through_json(diff: &Diff) -> Diff {
    serde_json::from_str(&serde_json::to_string(diff).unwrap()).unwrap()
}

fn applied(state: &Snapshot, diff: &Diff) -> Snapshot {
    let mut state = state.clone();
    through_json(diff).apply(&mut state).unwrap();
    state
}

proptest! {
    #[test]
    fn a_snapshot_and_its_diffs_are_the_state(states in vec(state(), 2..6)) {
        let diffs: Vec<Diff> = states.windows(2).map(|two| Diff::between(&two[0], &two[1])).collect();
        let mut kept = states[0].clone();
        let mut all = Diff::default();
        for (diff, to) in diffs.iter().zip(&states[1..]) {
            through_json(diff).apply(&mut kept).unwrap();
            prop_assert_eq!(&kept, to);
            all = all.then(diff.clone()).unwrap();
            prop_assert_eq!(&applied(&states[0], &all), to);
        }
        prop_assert!(Diff::between(&kept, &kept).is_empty());
    }

    #[test]
    fn diffs_join_in_any_grouping(states in vec(state(), 4)) {
        let diff = |at: usize| Diff::between(&states[at], &states[at + 1]);
        let left = diff(0).then(diff(1)).unwrap().then(diff(2)).unwrap();
        let right = diff(0).then(diff(1).then(diff(2)).unwrap()).unwrap();
        prop_assert_eq!(applied(&states[0], &left), applied(&states[0], &right));
        prop_assert_eq!(left, right);
    }

    #[test]
    fn what_a_list_no_longer_holds_is_carried_all_the_same(
        from in vec(event(), 0..4), added in vec(event(), 0..9), kept in 0..4_usize,
    ) {
        let all: Vec<Event> = from.iter().chain(&added).cloned().collect();
        let to = all[all.len().saturating_sub(kept.max(1))..].to_vec();
        if let Some(change) = Tail::carrying(&from, added.clone(), &to) {
            prop_assert_eq!(&change.append, &added);
            let mut list = from;
            change.apply(&mut list).unwrap();
            prop_assert_eq!(list, to);
        }
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in vec(any::<u8>(), 0..200), line in "\\PC{0,80}", state in state()) {
        drop(Envelope::from_json(&String::from_utf8_lossy(&bytes)));
        drop(serde_json::from_slice::<Request>(&bytes));
        drop(line.parse::<Position>());
        for line in [line.clone(), String::from_utf8_lossy(&bytes).into_owned(), format!("setneed {line}")] {
            // What is read is read again in its normal form, as a retry is.
            if let Ok(parsed) = parse(&specs(), &line) {
                let normal = parsed.normalised();
                prop_assert_eq!(parse(&specs(), &normal).map(|parsed| parsed.normalised()), Ok(normal));
            }
        }
        // A message with a byte changed is refused or read, never a panic.
        let mut text = serde_json::to_vec(&message(1, 0, Body::Snapshot(Arc::new(state)))).unwrap();
        for (at, byte) in bytes.iter().enumerate() {
            let place = (at * 97 + usize::from(*byte) * 31) % text.len();
            text[place] = *byte;
        }
        if let Ok(message) = Envelope::from_json(&String::from_utf8_lossy(&text)) {
            drop(Mirror::default().take(message));
        }
    }
}

fn specs() -> Vec<CommandSpec> {
    let arg = |name: &str, kind, flag: bool| ArgSpec { name: name.into(), kind, required: !flag, flag };
    let kinds = [
        arg("agent", ArgKind::Agent, false),
        arg("value", ArgKind::Decimal { min: 0.0, max: 1.0 }, false),
        arg("reason", ArgKind::Text, true),
    ];
    vec![CommandSpec {
        name: "setneed".into(),
        args: kinds.into(),
        role: Role::Admin,
        effect: Effect::Town,
        mutating: true,
        destructive: false,
        help: String::new(),
    }]
}

fn message(seq: u64, prev_seq: u64, body: Body) -> Envelope {
    Envelope {
        sent_ms: 0,
        schema_version: SCHEMA_VERSION.into(),
        config_id: "town".into(),
        shard: "harbour".into(),
        epoch: 7,
        seq,
        prev_seq,
        tick: seq,
        body,
        digest: None,
        reason: None,
    }
}

fn at_tick(tick: u64) -> Snapshot {
    Snapshot { tick, schema_version: SCHEMA_VERSION.into(), ..Snapshot::default() }
}

fn step(from: u64, to: u64) -> Body {
    Body::Diff(Box::new(Diff::between(&at_tick(from), &at_tick(to))))
}

#[test]
fn a_reader_notices_what_is_missing() {
    let mut mirror = Mirror::default();
    assert_eq!(mirror.take(message(2, 1, step(1, 2))), Err(Lost::Unstarted("diff")));
    assert_eq!(mirror.take(message(1, 0, Body::Snapshot(Arc::new(at_tick(1))))), Ok(true));
    assert_eq!(mirror.take(message(2, 1, step(1, 2))), Ok(true));
    assert_eq!(mirror.take(message(2, 2, Body::Heartbeat)), Ok(false));
    assert_eq!(mirror.state(), Some(&at_tick(2)));
    assert_eq!(mirror.position().unwrap().to_string(), "7:2");
    assert_eq!("7:2".parse(), Ok(Position { epoch: 7, seq: 2 }));
    let before = mirror.clone();
    assert_eq!(mirror.take(message(4, 3, step(3, 4))), Err(Lost::Gap { follows: 3, read: 2 }));
    assert_eq!(mirror.state(), None, "what is wrong is not shown");
    mirror = before.clone();
    assert_eq!(mirror.take(Envelope { epoch: 8, ..message(3, 2, step(2, 3)) }), Err(Lost::Epoch { came: 8, read: 7 }));
    mirror = before;
    assert_eq!(mirror.take(message(9, 0, Body::Resync(Arc::new(at_tick(9))))), Ok(true));
    let expected = Some(digest(&at_tick(11)));
    let wrong = Envelope { digest: expected.clone(), ..message(10, 9, step(9, 10)) };
    assert!(matches!(mirror.clone().take(wrong.clone()), Err(Lost::Digest { seq: 10, .. })));
    let newer = Envelope { schema_version: "0.2.1".into(), ..wrong };
    assert_eq!(mirror.clone().take(newer), Ok(true), "a newer state has blocks that are not known here");
    assert_eq!(mirror.take(Envelope { digest: expected, ..message(10, 9, step(9, 11)) }), Ok(true));
}

#[test]
fn a_diff_for_another_state_is_refused_with_its_place() {
    let mut state = Snapshot::default();
    let order = json!({ "conflict": { "queues": { "order": ["a"] } } });
    let why = serde_json::from_value::<Diff>(order).unwrap().apply(&mut state).unwrap_err();
    assert_eq!(why.to_string(), "conflict.queues: the order names 1 rows of 0");
    let cut = json!({ "events": { "append": [], "cut": 3 } });
    let why = serde_json::from_value::<Diff>(cut).unwrap().apply(&mut state).unwrap_err();
    assert_eq!(why.place, "events");
}

#[test]
fn a_value_that_becomes_unknown_is_told() {
    let mut known = Snapshot::default();
    known.employment.attendance = Some(0.5);
    let diff = Diff::between(&known, &Snapshot::default());
    assert_eq!(serde_json::to_value(&diff).unwrap(), json!({ "employment": { "attendance": null } }));
    assert_eq!(applied(&known, &diff), Snapshot::default());
}

#[test]
fn rows_are_told_by_key_and_nothing_else_is() {
    let agent = |id: &str, x| Agent { id: id.into(), x, ..Agent::default() };
    let (from, to) = (vec![agent("a", 1), agent("b", 1), agent("c", 1)], vec![agent("a", 1), agent("c", 2)]);
    let Some(Rows::Some(rows)) = Rows::between(&from, &to) else { panic!("rows are known by their keys") };
    assert_eq!((rows.upsert, rows.order), (vec![agent("c", 2)], None));
    assert_eq!(rows.remove, ["b".to_owned()].into());
    let prices = |value| [("meal".to_owned(), value)].into();
    assert_eq!(Entries::between(&prices(0.4), &prices(0.4)), None);
}

#[test]
fn the_digest_is_of_the_state_and_not_of_the_order_of_keys() {
    let with = |args| {
        let mut state = Snapshot::default();
        state.audit.records = vec![AuditRow { args, ..AuditRow::default() }];
        digest(&state)
    };
    assert_eq!(with(json!({ "a": 1, "b": [2] })), with(json!({ "b": [2], "a": 1 })));
    assert_ne!(with(json!({ "a": 1 })), with(json!({ "a": 2 })));
}

/// A stream message with this payload.
fn raw(seq: u64, kind: &str, payload: &str) -> String {
    let prev_seq = seq - 1;
    format!(
        r#"{{"schema_version":"{SCHEMA_VERSION}","config_id":"","shard":"","epoch":1,"seq":{seq},"prev_seq":{prev_seq},"tick":1,"kind":"{kind}","payload":{payload}}}"#
    )
}

#[test]
fn a_message_of_empty_rows_is_refused_before_it_takes_memory() {
    let mut state = serde_json::to_value(at_tick(1)).unwrap();
    let rows = |count: usize| serde_json::Value::Array(vec![serde_json::json!({}); count]);
    state["agents"] = rows(1_000);
    let mut mirror = Mirror::default();
    assert_eq!(mirror.read(&raw(1, "snapshot", &state.to_string())), Ok(true));
    state["agents"] = rows(1_000_000);
    let mut refused = |kind: &str, payload: &str| {
        let message = raw(2, kind, payload);
        let most = max_memory(message.len());
        let why = Lost::Unreadable(format!("its content takes more than {most} bytes of memory"));
        assert_eq!(mirror.read(&message), Err(why));
        assert!(mirror.state().is_none());
    };
    refused("snapshot", &state.to_string());
    refused("diff", &format!("{{\"agents\":{}}}", rows(1_000_000)));
}

#[test]
fn a_state_that_grows_without_end_is_given_up() {
    let mut mirror = Mirror::default();
    let whole = raw(1, "snapshot", &at_tick(1).to_json());
    assert_eq!(mirror.read(&whole), Ok(true));
    let event = r#"{"event":"meal","tick":1}"#;
    let diff = |cut: usize| format!(r#"{{"events":{{"append":[{}],"cut":{cut}}}}}"#, vec![event; 10_000].join(","));
    // Cut as fast as it grows, it goes on without end.
    let before = mirror.state().unwrap().events.len();
    assert_eq!(mirror.read(&raw(2, "diff", &diff(before))), Ok(true));
    for seq in 3..40 {
        assert_eq!(mirror.read(&raw(seq, "diff", &diff(10_000))), Ok(true), "message {seq}");
    }
    let grown = (40..120).find_map(|seq| mirror.read(&raw(seq, "diff", &diff(0))).err());
    let most = max_memory(whole.len() + raw(40, "diff", &diff(0)).len());
    assert!(grown.is_some_and(|why| matches!(why, Lost::TooLarge { most: found } if found.abs_diff(most) < 10)));
    assert!(mirror.state().is_none());
}

#[test]
fn a_large_town_is_read() {
    let agent = Agent {
        id: "resident-1234".into(),
        name: "Resident of a long name".into(),
        place: "home_1234".into(),
        home: "home_1234".into(),
        activity: "sleep at home at bed_1234, 196 ticks left".into(),
        needs: vec![Need { name: "hunger".into(), ..Need::default() }; 3],
        mask: vec![
            MaskBit { option: "socialise".into(), reason: "closed at this hour".into(), ..MaskBit::default() };
            9
        ],
        top_options: vec![TopOption { option: "socialise".into(), ..TopOption::default() }; 3],
        personality: vec![Trait { name: "forgiveness".into(), ..Trait::default() }; 3],
        objective: Some(Objective {
            terms: vec![ObjectiveTerm { name: "self-sufficiency".into(), ..ObjectiveTerm::default() }; 8],
            ..Objective::default()
        }),
        ..Agent::default()
    };
    let mut state = at_tick(1);
    state.agents = (0..7_000).map(|number| Agent { id: format!("resident-{number}"), ..agent.clone() }).collect();
    state.jobs = state.agents.iter().map(|agent| (agent.id.clone(), Job::default())).collect();
    let tie =
        |number: usize| Tie { agent: format!("resident-{}", number / 6), other: format!("{number}"), ..Tie::default() };
    state.relationships.ties = (0..12_000).map(tie).collect();
    let text = raw(1, "snapshot", &state.to_json());
    // What one message and the state take is more than what the state alone may take.
    assert!(text.len() > 14_000_000 && text.len() < crate::sse::MAX_EVENT, "{}", text.len());
    let mut mirror = Mirror::default();
    assert_eq!(mirror.read(&text), Ok(true));
    // Every resident changes in every message.
    let agents = format!("{{\"agents\":{}}}", serde_json::to_string(&state.agents).unwrap());
    for seq in 2..4 {
        assert_eq!(mirror.read(&raw(seq, "diff", &agents)), Ok(true));
    }
    assert_eq!(mirror.state(), Some(&state));
}

#[test]
fn whole_numbers_may_have_a_fraction_of_zero() {
    let read = |number: &str| {
        let request = format!(r#"{{ "command": "kpi", "expires_ms": {number} }}"#);
        let question = format!(r#"{{ "alternatives": ["kill ada"], "samples": {number}, "days": null }}"#);
        let request = serde_json::from_str::<Request>(&request).ok().map(|request| request.expires_ms);
        let question = serde_json::from_str::<crate::whatif::WhatIfRequest>(&question).ok();
        (request, question.map(|question| (question.samples, question.days)))
    };
    for number in ["5007", "5007.0", "5.007e3"] {
        assert_eq!(read(number), (Some(Some(5_007)), Some((Some(5_007), None))), "{number}");
    }
    assert_eq!(read("null"), (Some(None), Some((None, None))));
    for number in ["-1", "1.5", "\"7\"", "true"] {
        assert_eq!(read(number), (None, None), "{number}");
    }
    assert_eq!(read("5000000000").1, None, "samples have 32 bits");
}

//! Cases of the commands about perturbations, meetings, reload, narration and privacy.

use townlet_wire::Snapshot;
use townlet_wire::telemetry::Perturbation;

use super::town_commands::{AGAIN, BAD, Case, NONE, case, count, text, with};
use crate::kit::{TestShard, default_sources, options, temp_home};

/// The cases, in the order of the table.
pub(crate) static CASES: &[Case] = &[
    case("perturbation_queue", &[], "perturbation_queue", &[], queue),
    case(
        "perturbation_trigger",
        &[],
        "perturbation_trigger price_spike",
        &[
            ("perturbation_trigger", BAD),
            ("perturbation_trigger price_spik", NONE),
            ("perturbation_trigger price_spike --duration 0", BAD),
            ("perturbation_trigger price_spike --magnitude 11", BAD),
        ],
        trigger,
    ),
    case(
        "perturbation_cancel",
        &["perturbation_trigger blackout"],
        "perturbation_cancel blackout",
        &[("perturbation_cancel", BAD), ("perturbation_cancel blakout", NONE), ("perturbation_cancel outage", AGAIN)],
        cancel,
    ),
    case("perturbations", &[], "perturbations on", &[("perturbations", BAD), ("perturbations maybe", BAD)], switch),
    case(
        "arrange_meet",
        &[],
        "arrange_meet ada ben park",
        &[
            ("arrange_meet ada ben", BAD),
            ("arrange_meet nobody ben park", NONE),
            ("arrange_meet ada nobody park", NONE),
            ("arrange_meet ada ben prak", NONE),
        ],
        arrange_meet,
    ),
    Case {
        live: TestShard::with_edited_file,
        ..case("reload_config", &[], "reload_config", &[("reload_config now", BAD)], reload)
    },
    case(
        "narration",
        &[],
        "narration off",
        &[("narration", BAD), ("narration loud", BAD), ("narration limit", BAD), ("narration on 3", BAD)],
        narration,
    ),
    case("privacy", &[], "privacy on", &[("privacy", BAD), ("privacy maybe", BAD)], privacy),
];

fn active(view: &Snapshot, kind: &str) -> Option<Perturbation> {
    view.perturbations.iter().find(|it| it.kind == kind && it.state == "active").cloned()
}

fn queue() {
    with(|live| {
        let result = live.result("perturbation_queue");
        assert_eq!(
            (text(&result, "summary"), result["enabled"].as_bool()),
            ("0 active, 0 expected today, 0 cooling down; automatic starts are off.", Some(false))
        );
        live.expect_ok("perturbation_trigger price_spike");
        let result = live.result("perturbation_queue");
        assert_eq!(result["perturbations"], serde_json::to_value(live.view().perturbations).unwrap());
        assert!(text(&result, "summary").starts_with("1 active"), "{result}");
    });
}

fn trigger() {
    with(|live| {
        let price = || live.view().prices["meal"];
        let before = price();
        live.expect_ok("perturbation_trigger price_spike --duration 40 --magnitude 2");
        let spike = active(&live.view(), "price_spike").expect("it is under way");
        assert_eq!(spike.ends_tick, Some(40));
        assert!((price() - 2.0 * before).abs() < 1e-9, "{} of {before}", price());
        assert_eq!(live.refused("perturbation_trigger price_spike"), AGAIN);
        live.run(41);
        assert_eq!((active(&live.view(), "price_spike"), price().to_bits()), (None, before.to_bits()));
    });
}

fn cancel() {
    with(|live| {
        live.expect_ok("perturbation_trigger blackout --duration 500");
        assert!(!live.view().utilities["power"]);
        live.expect_ok("perturbation_cancel blackout");
        assert!(live.view().utilities["power"] && active(&live.view(), "blackout").is_none());
        assert_eq!(live.refused("perturbation_cancel blackout"), AGAIN);
    });
}

/// Perturbations start by themselves only when switched on.
fn switch() {
    for (switch, comes) in [("on", true), ("off", false)] {
        with(|live| {
            live.expect_ok(&format!("perturbations {switch}"));
            assert_eq!(live.result("perturbation_queue")["enabled"].as_bool(), Some(comes));
            let mut came = false;
            for _ in 0..100 {
                live.run(100);
                came |= live.view().perturbations.iter().any(|it| it.state == "active");
            }
            assert_eq!(came, comes, "perturbations {switch}, in ten days");
        });
    }
}

fn arrange_meet() {
    with(|live| {
        live.expect_ok("teleport ada home_1");
        live.expect_ok("teleport ben home_4");
        live.expect_ok("arrange_meet ada ben park");
        assert_eq!(live.refused("arrange_meet ada ada park"), BAD);
        for _ in 0..300 {
            live.run(1);
            let place = |id: &str| live.agent(id).expect("nobody left").place;
            if (place("ada"), place("ben")) == ("park".into(), "park".into()) {
                return;
            }
        }
        panic!("they never met");
    });
}

fn reload() {
    let home = temp_home();
    let live = TestShard::with_edited_file(home.path());
    let target = |view: &Snapshot| view.kpis.iter().find(|kpi| kpi.name == "attendance").expect("a row").threshold;
    let before = live.view();
    let result = live.result("reload_config");
    let now = live.view();
    assert!(text(&result, "summary").contains("kpis.attendance 0.8 -> 0.5"), "{result}");
    assert_eq!((target(&before), target(&now)), (Some(0.8), Some(0.5)));
    assert_ne!(before.texts_digest, now.texts_digest);
}

fn narration() {
    with(|live| {
        let story_length = |live: &TestShard| live.view().narrations.len();
        live.expect_ok("narration off");
        let before = story_length(live);
        live.expect_ok("employment_exit request ada");
        live.run(1_500);
        assert_eq!(story_length(live), before, "{:?}", live.view().narrations);
        live.expect_ok("narration on");
        live.run(1_500);
        assert!(story_length(live) > before);
    });
    with(|live| {
        live.expect_ok("narration limit 0");
        live.run(1_500);
        let urgent = live.view().narrations.iter().all(|it| it.priority == "high" || it.tick == 0);
        assert!(urgent, "{:?}", live.view().narrations);
    });
}

fn privacy() {
    let home = temp_home();
    let live = TestShard::from_handle(
        townlet_shard::start(default_sources(&[]), 7, options(home.path(), true)).expect("it starts"),
    );
    live.run(20);
    live.expect_ok("privacy on");
    let view = live.view();
    assert!(view.agents.iter().all(|agent| agent.id != "ada" && agent.name != "Ada"));
    let hidden = view.agents[0].id.clone();
    live.expect_ok(&format!("setmoney {hidden} 9"));
    assert_eq!(live.view().jobs[&hidden].wallet.to_bits(), 9.0_f64.to_bits());
    live.expect_ok("privacy off");
    assert!(live.agent("ada").is_some());
    assert_eq!(count(&live.view(), "resident_left"), 0);
}

#[test]
fn an_event_lasts_as_long_as_a_screen_says_before_it_starts() {
    let home = temp_home();
    let live = TestShard::new(home.path());
    let (mut seen, mut longer_than_drawn) = (std::collections::BTreeSet::new(), 0);
    for _ in 0..60 {
        live.run(41);
        let events = live.view().perturbation_events.events;
        for event in events {
            // A meeting needs two residents with time.
            if live.line(&format!("perturbation_trigger {}", event.name)).error.is_some() {
                continue;
            }
            let view = live.view();
            let active = view.perturbations.iter().find(|it| it.name == event.name && it.state == "active");
            let lasts = active.and_then(|it| it.ends_tick).expect("it is active") - view.tick;
            let bounds = event.least_ticks..=event.most_ticks;
            assert!(bounds.contains(&lasts), "{} lasts {lasts}, said {bounds:?}", event.name);
            longer_than_drawn += u32::from(event.kind == "arranged_meet" && lasts > LONGEST_MEETING);
            seen.insert(event.kind.clone());
            live.expect_ok(&format!("perturbation_cancel {}", event.name));
        }
    }
    assert_eq!(seen.len(), 4, "every kind: {seen:?}");
    assert!(longer_than_drawn > 0, "a walk made a meeting longer than the file says");
}

/// Of the default perturbation file, without the walk.
const LONGEST_MEETING: u64 = 60;

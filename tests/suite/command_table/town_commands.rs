//! Cases of the commands that read the town or act on one resident, object or price; the type of a case.

use std::path::Path;

use serde_json::Value;
use townlet_shard::specs;
use townlet_wire::Snapshot;

use super::exit_commands;
use crate::kit::{TestShard, temp_home};

/// The tests of one row.
pub(crate) struct Case {
    /// Name of the row.
    pub(crate) name: &'static str,
    /// Command lines to run first.
    pub(crate) before: &'static [&'static str],
    /// A valid line after that.
    pub(crate) line: &'static str,
    /// Invalid lines, each with its error code.
    pub(crate) wrong: &'static [(&'static str, &'static str)],
    /// Runs the command and checks answer and state.
    pub(crate) holds: fn(),
    /// Makes the shard that it needs.
    pub(crate) live: fn(&Path) -> TestShard,
}

pub(crate) const fn case(
    name: &'static str,
    before: &'static [&'static str],
    line: &'static str,
    wrong: &'static [(&'static str, &'static str)],
    holds: fn(),
) -> Case {
    Case { name, before, line, wrong, holds, live: TestShard::new }
}

pub(crate) const BAD: &str = "E_INVALID_ARG";
pub(crate) const NONE: &str = "E_NOT_FOUND";
pub(crate) const AGAIN: &str = "E_CONFLICT";

/// The cases, in the order of the table.
pub(crate) static CASES: &[Case] = &[
    case("help", &[], "help", &[("help emplyment_status", NONE)], help),
    case("telemetry_snapshot", &[], "telemetry_snapshot", &[], telemetry_snapshot),
    case("health_status", &[], "health_status", &[], health_status),
    case("kpi", &[], "kpi", &[], kpi),
    case("employment_status", &[], "employment_status", &[], exit_commands::employment_status),
    case("employment_exit review", &[], "employment_exit review", &[], exit_commands::exit_review),
    case(
        "employment_exit request",
        &[],
        "employment_exit request ada",
        &[("employment_exit request", BAD), ("employment_exit request adda", NONE), ("employment_exit", BAD)],
        exit_commands::exit_request,
    ),
    case(
        "employment_exit approve",
        &["employment_exit request ada"],
        "employment_exit approve ada",
        &[
            ("employment_exit approve", BAD),
            ("employment_exit approve nobody", NONE),
            ("employment_exit approve ben", NONE),
        ],
        exit_commands::exit_approve,
    ),
    case(
        "employment_exit defer",
        &["employment_exit request ada"],
        "employment_exit defer ada",
        &[("employment_exit defer", BAD), ("employment_exit defer nobody", NONE), ("employment_exit defer ben", NONE)],
        exit_commands::exit_defer,
    ),
    case(
        "queue_inspect",
        &[],
        "queue_inspect shower_1",
        &[("queue_inspect", BAD), ("queue_inspect showr_1", NONE)],
        queue_inspect,
    ),
    case("debug queues", &[], "debug queues", &[("debug", BAD)], debug_queues),
    case("affordance_status", &[], "affordance_status", &[], affordance_status),
    case("explain", &[], "explain ada", &[("explain", BAD), ("explain nobody", NONE)], explain),
    case("spawn", &[], "spawn", &[], spawn),
    case(
        "teleport",
        &[],
        "teleport ada park",
        &[("teleport ada", BAD), ("teleport nobody park", NONE), ("teleport ada prak", NONE)],
        teleport,
    ),
    case(
        "setneed",
        &[],
        "setneed ada hunger 0.25",
        &[
            ("setneed ada hunger", BAD),
            ("setneed ada thirst 0.5", BAD),
            ("setneed ada hunger 1.5", BAD),
            ("setneed ada hunger nan", BAD),
            ("setneed nobody hunger 0.5", NONE),
        ],
        setneed,
    ),
    case(
        "setmoney",
        &[],
        "setmoney ada 12.5",
        &[("setmoney ada", BAD), ("setmoney ada -1", BAD), ("setmoney ada inf", BAD), ("setmoney nobody 1", NONE)],
        setmoney,
    ),
    case(
        "possess",
        &[],
        "possess ada wait",
        &[("possess", BAD), ("possess ada fly", BAD), ("possess nobody", NONE)],
        possess,
    ),
    case(
        "release",
        &["possess ada wait"],
        "release ada",
        &[("release", BAD), ("release nobody", NONE), ("release ben", AGAIN)],
        release,
    ),
    case("kill", &[], "kill ada", &[("kill", BAD), ("kill nobody", NONE)], kill),
    case(
        "price",
        &[],
        "price meal 0.9",
        &[("price meal", BAD), ("price gold 1", BAD), ("price meal -1", BAD), ("price meal 101", BAD)],
        price,
    ),
    case(
        "blackout",
        &[],
        "blackout on",
        &[("blackout", BAD), ("blackout maybe", BAD), ("blackout off", AGAIN)],
        blackout,
    ),
    case("outage", &[], "outage on", &[("outage", BAD), ("outage maybe", BAD), ("outage off", AGAIN)], outage),
    case(
        "toggle_mortality",
        &[],
        "toggle_mortality off",
        &[("toggle_mortality", BAD), ("toggle_mortality x", BAD)],
        mortality,
    ),
    case(
        "set_exit_cap",
        &[],
        "set_exit_cap 5",
        &[("set_exit_cap", BAD), ("set_exit_cap -1", BAD), ("set_exit_cap 1001", BAD), ("set_exit_cap 2.5", BAD)],
        exit_commands::set_exit_cap,
    ),
    case(
        "set_spawn_delay",
        &[],
        "set_spawn_delay 50 50",
        &[("set_spawn_delay 5", BAD), ("set_spawn_delay 9 5", BAD), ("set_spawn_delay 0 100001", BAD)],
        set_spawn_delay,
    ),
    case(
        "set_feature",
        &[],
        "set_feature queue_fairness off",
        &[("set_feature queue_fairness", BAD), ("set_feature gravity off", BAD)],
        set_feature,
    ),
];

/// Runs a test on a new town.
pub(crate) fn with(test: impl FnOnce(&TestShard)) {
    let home = temp_home();
    test(&TestShard::new(home.path()));
}

pub(crate) fn count(view: &Snapshot, event: &str) -> usize {
    view.events.iter().filter(|it| it.event == event).count()
}

pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn help() {
    with(|live| {
        let listed = live.result("help")["commands"].as_array().unwrap().len();
        assert_eq!(listed, specs().len());
        let family = live.result("help employment_exit");
        assert_eq!(family["commands"].as_array().unwrap().len(), 4, "{family}");
        for spec in specs() {
            let one = live.result(&format!("help \"{}\"", spec.name));
            assert!(text(&one, "summary").contains(&spec.usage()) && text(&one, "summary").contains(&spec.help));
        }
    });
}

fn telemetry_snapshot() {
    with(|live| {
        for _ in 0..2 {
            live.run(30);
            live.expect_ok("employment_exit request ada");
            let result: Snapshot = serde_json::from_value(live.result("telemetry_snapshot")).unwrap();
            let view = live.view();
            assert_eq!((result.tick, &result.schema_version), (view.tick, &view.schema_version));
            assert_eq!((&result.agents, &result.jobs), (&view.agents, &view.jobs));
            assert_eq!((&result.employment, &result.conflict), (&view.employment, &view.conflict));
            assert_eq!((&result.kpis, &result.events, &result.map), (&view.kpis, &view.events, &view.map));
            assert_eq!(result.transport.mode, "full", "nobody has to listen for it to be said");
            live.expect_ok("employment_exit defer ada");
        }
    });
}

fn health_status() {
    with(|live| {
        let first = live.result("health_status");
        assert_eq!((text(&first, "run_id"), text(&first, "digest")), (&*live.shard.run_id, &*live.digest()));
        assert_eq!((text(&first["health"], "status"), first["health"]["journal_tick"].as_u64()), ("ok", Some(0)));
        live.run(200);
        let later = live.result("health_status");
        assert_eq!((text(&later, "digest"), later["health"]["journal_tick"].as_u64()), (&*live.digest(), Some(200)));
    });
}

fn kpi() {
    with(|live| {
        let first = live.result("kpi");
        live.run(1_200);
        let later = live.result("kpi");
        assert_ne!(first["kpis"], later["kpis"]);
        assert_eq!(later["kpis"], serde_json::to_value(live.view().kpis).unwrap());
        assert_ne!(text(&first, "summary"), text(&later, "summary"));
    });
}

/// Runs until an object is in use; its id.
fn run_until_object_in_use(live: &TestShard) -> String {
    for _ in 0..500 {
        live.run(1);
        if let Some(queue) = live.view().conflict.queues.iter().find(|queue| !queue.users.is_empty()) {
            return queue.object.clone();
        }
    }
    panic!("in 500 ticks nobody used anything");
}

fn queue_inspect() {
    with(|live| {
        let free = live.result("queue_inspect shower_1");
        assert!(text(&free, "summary").starts_with("shower_1: 0 using"));
        let object = run_until_object_in_use(live);
        let result = live.result(&format!("queue_inspect {object}"));
        let view = live.view();
        let queue = view.conflict.queues.iter().find(|queue| queue.object == object).unwrap();
        assert_eq!(result["queue"], serde_json::to_value(queue).unwrap());
        assert!(!result["queue"]["users"].as_array().unwrap().is_empty());
    });
}

fn debug_queues() {
    with(|live| {
        assert!(text(&live.result("debug queues"), "summary").starts_with("0 in use, 0 waiting"));
        let queues = || live.view().conflict.queues;
        let shown =
            || queues().iter().any(|it| !it.waiting.is_empty()) && queues().iter().any(|it| !it.cooldowns.is_empty());
        for _ in 0..2_000 {
            if shown() {
                break;
            }
            live.run(1);
        }
        assert!(shown(), "in 2,000 ticks nobody waited while another cooled down");
        let result = live.result("debug queues");
        assert!(!text(&result, "summary").starts_with("0 in use") && text(&result, "summary").contains("fairness on"));
        assert_eq!(result["disorder"], serde_json::json!([]));
        let view = live.view();
        let entries = result["entries"].as_array().unwrap();
        for queue in &view.conflict.queues {
            let of: Vec<&Value> = entries.iter().filter(|row| row["object"] == queue.object.as_str()).collect();
            let held =
                |row: &&Value| !text(row, "state").starts_with("cools") && !text(row, "state").starts_with("waits");
            let names: Vec<&Value> = of.iter().copied().filter(held).map(|row| &row["resident"]).collect();
            assert_eq!(names, queue.users.iter().map(|user| user.agent.as_str()).collect::<Vec<_>>());
            for row in &of {
                let since = row["since"].as_u64();
                let cooling = text(row, "state").starts_with("cools down");
                assert!(cooling == since.is_none() && since.is_none_or(|since| since <= view.tick), "{row}");
            }
            let waits = of.iter().filter(|row| text(row, "state").starts_with("waits for"));
            let waits: Vec<u64> = waits.map(|row| view.tick - row["since"].as_u64().unwrap()).collect();
            assert_eq!(waits, queue.waiting.iter().map(|waiter| waiter.waited).collect::<Vec<_>>());
            let cools = of.iter().filter(|row| text(row, "state") == "cools down");
            let cools: Vec<u64> = cools.map(|row| row["until"].as_u64().unwrap()).collect();
            assert_eq!(cools, queue.cooldowns.iter().map(|it| it.until_tick).collect::<Vec<_>>());
        }
        let uses = entries.iter().find(|row| text(row, "state").starts_with("uses ")).expect("an object in use");
        assert!(uses["until"].as_u64().unwrap() > view.tick && uses["since"].as_u64().unwrap() <= view.tick, "{uses}");
        live.expect_ok("set_feature queue_fairness off");
        assert!(text(&live.result("debug queues"), "summary").contains("fairness off"));
    });
}

fn affordance_status() {
    with(|live| {
        let dark = |result: &Value| {
            let rows = result["affordances"].as_array().unwrap().clone();
            rows.iter().filter(|row| text(row, "why_not").contains("power")).count()
        };
        assert_eq!(dark(&live.result("affordance_status")), 0);
        live.expect_ok("blackout on");
        let result = live.result("affordance_status");
        assert!(dark(&result) > 0, "{result}");
    });
}

fn explain() {
    with(|live| {
        live.run(20);
        let result = live.result("explain Ada");
        let seen = live.agent("ada").unwrap();
        assert_eq!((text(&result, "id"), text(&result, "option")), ("ada", &*seen.option));
        assert_eq!(result["mask"], serde_json::to_value(&seen.mask).unwrap());
        assert!(text(&result, "summary").contains("driven by scripted"), "{result}");
        live.expect_ok("possess ada wait");
        assert!(text(&live.result("explain ada"), "summary").contains("driven by an operator"));
    });
}

#[test]
fn explain_shows_the_terms_of_the_objective_today() {
    with(|live| {
        // A resident who only waits misses its shift, which begins at tick 333 and ends at 666.
        live.expect_ok("possess ada wait");
        live.run(700);
        let result = live.result("explain ada");
        let objective = &result["objective"];
        let terms = objective["terms"].as_array().expect("the terms");
        let term = |name: &str| terms.iter().find(|term| term["name"] == name).expect(name);
        let names: Vec<&str> = terms.iter().map(|term| text(term, "name")).collect();
        assert_eq!(names, ["needs", "attendance", "wages", "trust", "starvation", "exit", "low_needs"]);
        let scored = terms.iter().filter(|term| term["scored"] == true);
        let sum: f64 = scored.map(|term| term["value"].as_f64().expect("a number")).sum();
        assert!((objective["total"].as_f64().expect("a number") - sum).abs() < 1e-5, "{objective}");
        assert_eq!((&term("low_needs")["scored"], &term("attendance")["value"]), (&Value::from(false), &0.0.into()));
        // Needs would give 0.4 a day if they were full, a shift 0.2.
        let needs = ["value", "lost"].map(|key| term("needs")[key].as_f64().expect("a number"));
        assert!((needs[0] - needs[1] - 0.4 * 0.7).abs() < 1e-5, "{needs:?}");
        assert!((term("attendance")["lost"].as_f64().expect("a number") + 0.2).abs() < 0.05, "{objective}");
        let summary = text(&result, "summary").replace('−', "-");
        let shown = |name: &str, value: &Value| format!("{name} {:+.3}", value.as_f64().expect("a number"));
        assert!(summary.contains(&format!("Today: {}", shown("needs", &term("needs")["value"]))), "{summary}");
        assert!(summary.contains(&shown("late", &term("attendance")["lost"])), "{summary}");
    });
}

fn spawn() {
    with(|live| {
        let (before, arrivals) = (live.view().agents.len(), count(&live.view(), "resident_arrived"));
        live.expect_ok("spawn");
        assert_eq!((live.view().agents.len(), count(&live.view(), "resident_arrived")), (before + 1, arrivals + 1));
        while live.view().agents.len() < 64 {
            live.expect_ok("spawn");
        }
        assert_eq!(live.refused("spawn"), AGAIN);
    });
}

fn teleport() {
    with(|live| {
        for place in ["park", "cafe"] {
            assert_ne!(live.agent("ada").unwrap().place, place);
            live.expect_ok(&format!("teleport ada {place}"));
            assert_eq!(live.agent("ada").unwrap().place, place);
        }
        let view = live.view();
        let object = view.map.objects.iter().find(|object| object.id == "shower_1").unwrap();
        live.expect_ok("teleport ada shower_1");
        let seen = live.agent("ada").unwrap();
        assert_eq!((seen.x, seen.y), (object.x, object.y));
    });
}

fn setneed() {
    with(|live| {
        for (need, value) in [("hunger", 0.25), ("hygiene", 0.0), ("energy", 1.0)] {
            live.expect_ok(&format!("setneed ada {need} {value}"));
            let seen = live.agent("ada").unwrap().needs;
            assert_eq!(seen.iter().find(|it| it.name == need).unwrap().value.to_bits(), f64::to_bits(value), "{need}");
        }
    });
}

fn setmoney() {
    with(|live| {
        live.expect_ok("setmoney ada 12.5");
        assert_eq!(live.view().jobs["ada"].wallet.to_bits(), 12.5_f64.to_bits());
    });
}

fn possess() {
    with(|live| {
        assert!(!live.agent("ada").unwrap().possessed);
        live.expect_ok("possess ada wait");
        live.run(100);
        let seen = live.agent("ada").unwrap();
        assert!(seen.possessed && seen.option == "wait", "{seen:?}");
    });
}

fn release() {
    with(|live| {
        live.expect_ok("possess ada wait");
        live.expect_ok("release ada");
        assert!(!live.agent("ada").unwrap().possessed);
        live.expect_ok("setneed ada hunger 0.2");
        live.run(200);
        assert_ne!(live.agent("ada").unwrap().option, "wait", "the policy drives again");
    });
}

fn kill() {
    with(|live| {
        live.expect_ok("kill ada");
        let view = live.view();
        let left = view.events.iter().find(|event| event.event == "resident_left").expect("it is recorded");
        assert_eq!((left.fields["agent"].as_str(), live.agent("ada")), (Some("ada"), None));
        assert_eq!(live.refused("kill ada"), NONE);
    });
}

fn price() {
    with(|live| {
        for (item, value) in [("meal", 0.9), ("groceries", 0.0)] {
            assert_ne!(live.view().prices[item].to_bits(), f64::to_bits(value));
            live.expect_ok(&format!("price {item} {value}"));
            assert_eq!(live.view().prices[item].to_bits(), f64::to_bits(value));
        }
    });
}

fn shock(kind: &str, utility: &str) {
    with(|live| {
        let stands = |view: &Snapshot| view.alerts.iter().any(|alert| alert.name == kind);
        for (switch, works) in [("on", false), ("off", true)] {
            live.expect_ok(&format!("{kind} {switch}"));
            let view = live.view();
            assert_eq!((view.utilities[utility], stands(&view)), (works, !works), "{kind} {switch}");
            assert_eq!(view.perturbations.iter().any(|it| it.kind == kind), !works);
            assert_eq!(live.refused(&format!("{kind} {switch}")), AGAIN);
            live.run(3);
        }
    });
}

fn blackout() {
    shock("blackout", "power");
}

fn outage() {
    shock("outage", "water");
}

fn mortality() {
    for (switch, lives) in [("off", true), ("on", false)] {
        with(|live| {
            live.expect_ok("toggle_mortality off");
            live.expect_ok(&format!("toggle_mortality {switch}"));
            live.expect_ok("setneed ada hunger 0");
            live.expect_ok("possess ada wait");
            live.run(60);
            assert_eq!(live.agent("ada").is_some(), lives, "mortality {switch}");
        });
    }
}

fn set_spawn_delay() {
    with(|live| {
        live.expect_ok("set_spawn_delay 50 50");
        live.expect_ok("kill ada");
        live.run(45);
        assert_eq!(live.view().agents.len(), 7);
        live.run(10);
        assert_eq!(live.view().agents.len(), 8);
    });
}

fn set_feature() {
    with(|live| {
        for (switch, on) in [("off", false), ("on", true)] {
            live.expect_ok(&format!("set_feature queue_fairness {switch}"));
            assert_eq!(live.view().conflict.queue_fairness, on);
        }
    });
}

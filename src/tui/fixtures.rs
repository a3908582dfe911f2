//! A town by hand for the screen tests: day 4 of the harbour, three residents waiting to be let go.
//!
//! Every snapshot passes through JSON before it is drawn, as a remote one would, so that local and remote screens cannot
//! drift apart.

use serde_json::json;

use super::history::History;
use crate::source::{Hello, Link};
use crate::wire::telemetry::{
    Agent, Alert, AuditRow, AuditTail, Check, Clock, Conflict, Employment, Event, ExitEntry, Health, Job, Kpi, Map,
    MapObject, MapPlace, MaskBit, Narration, Need, Perturbation, Policy, Promotion, Queue, QueueCooldown, QueueUser,
    QueueWaiter, Relationships, Rewards, Shift, Stability, Store, Tie, TopOption, Transport, Window,
};
use crate::wire::{
    Answer, ArgKind, ArgSpec, CommandSpec, Effect, ErrorBody, Role, SCHEMA_VERSION, Session, Snapshot, Status,
};

/// The eight residents: name, job, place, x, y, hunger, hygiene, energy, option.
type Row = (&'static str, &'static str, &'static str, u64, u64, [f64; 3], &'static str);

const RESIDENTS: [Row; 8] = [
    ("Ada", "barista", "cafe", 21, 5, [0.62, 0.48, 0.71], "socialise"),
    ("Ben", "grocer", "home_1", 4, 3, [0.35, 0.18, 0.55], "wash"),
    ("Cleo", "clerk", "home_1", 5, 4, [0.81, 0.22, 0.64], "wash"),
    ("Dov", "clerk", "office", 13, 9, [0.55, 0.70, 0.40], "work"),
    ("Eva", "grocer", "grocer", 20, 10, [0.74, 0.66, 0.59], "work"),
    ("Finn", "barista", "cafe", 22, 4, [0.44, 0.52, 0.80], "work"),
    ("Gwen", "", "park", 12, 13, [0.12, 0.61, 0.33], "go_home"),
    ("Hugo", "clerk", "office", 14, 8, [0.68, 0.59, 0.47], "work"),
];

/// The harbour on day 4 at 09:38, through JSON.
pub(crate) fn snapshot() -> Snapshot {
    through_json(&Snapshot {
        schema_version: SCHEMA_VERSION.into(),
        config_id: "town-v1".into(),
        shard: "harbour".into(),
        run_id: "run-1".into(),
        tick: 3_402,
        day: 4,
        clock: Clock {
            ticks_per_day: 1_000,
            tick_of_day: 402,
            tick_ms: 250,
            speed: "10x".into(),
            ticks_per_second: 39.8,
        },
        observation_variant: "hybrid".into(),
        policy: Policy { id: "rel-7f3a".into(), kind: "network".into(), hash: "7f3a".into() },
        jobs: RESIDENTS.iter().map(|row| (row.0.to_lowercase(), job(row))).collect(),
        economy: [("fridge_1", "fridge", "meals", 6), ("shelf_1", "shelf", "groceries", 14)]
            .map(|(id, kind, item, count)| {
                (id.into(), Store { kind: kind.into(), stock: [(item.into(), count)].into() })
            })
            .into(),
        prices: [("meal".into(), 0.4), ("ingredients".into(), 0.15)].into(),
        utilities: [("power".into(), true), ("water".into(), true)].into(),
        employment: employment(),
        conflict: conflict(),
        relationships: Relationships { stage: "B".into(), ties: ties() },
        stability: stability(),
        perturbations: vec![Perturbation {
            kind: "price_spike".into(),
            name: "spring_prices".into(),
            state: "active".into(),
            started_tick: 3_310,
            ends_tick: Some(3_520),
            detail: "meals cost 1.4×".into(),
        }],
        rewards: Rewards {
            breakdown: [("homeostasis".into(), -0.012), ("wages".into(), 0.03)].into(),
            total: 0.018,
            reward_clip_events: 3,
        },
        narrations: narrations(),
        events: events(),
        kpis: kpis(),
        alerts: vec![Alert {
            name: "exit_cap_reached".into(),
            severity: "warning".into(),
            since_tick: 3_396,
            message: "exit cap reached: 3 wait for review".into(),
            hint: "Approve or defer them in Employment.".into(),
        }],
        transport: Transport { queue_length: 0, dropped: 0, mode: "full".into(), last_error: None },
        health: Health {
            status: "ok".into(),
            problems: Vec::new(),
            uptime_seconds: 340,
            last_snapshot_tick: Some(3_000),
            journal_tick: 3_400,
            audit_ok: true,
        },
        agents: RESIDENTS.iter().map(agent).collect(),
        map: map(),
        audit: audit(),
        promotion: Promotion { state: "evaluating".into(), candidate: Some("sh-91c0".into()) },
    })
}

/// A snapshot before anything has happened: every list empty.
pub(crate) fn bare() -> Snapshot {
    through_json(&Snapshot {
        schema_version: SCHEMA_VERSION.into(),
        config_id: "town-v1".into(),
        shard: "harbour".into(),
        run_id: "run-1".into(),
        day: 1,
        clock: Clock { ticks_per_day: 1_000, speed: "paused".into(), tick_ms: 250, ..Clock::default() },
        observation_variant: "hybrid".into(),
        policy: Policy { id: "scripted".into(), kind: "scripted".into(), hash: String::new() },
        employment: Employment { daily_exit_cap: 2, queue_limit: 8, review_window: 1_440, ..Employment::default() },
        stability: Stability { window_ticks: 1_000, window: 1, required_passes: 2, ..Stability::default() },
        transport: Transport { mode: "full".into(), ..Transport::default() },
        health: Health { status: "ok".into(), audit_ok: true, ..Health::default() },
        ..Snapshot::default()
    })
}

fn through_json(view: &Snapshot) -> Snapshot {
    let text = serde_json::to_string(view).expect("a snapshot can be written");
    let read: Snapshot = serde_json::from_str(&text).expect("and read");
    assert_eq!(*view, read, "the wire loses something");
    read
}

/// What three days before [`snapshot`] looked like, in its sparklines.
pub(crate) fn history() -> History {
    let mut history = History::default();
    let mut view = snapshot();
    let now = view.tick;
    for step in 0..40_u64 {
        let wave = (step * 7 % 11) as f64 / 11.0;
        view.tick = now - (40 - step) * 21;
        view.employment.attendance = Some(0.70 + 0.005 * step as f64);
        view.employment.late_today = step * 3 % 5;
        view.employment.absent_7d = step / 8;
        view.employment.pending_count = step / 13;
        for check in &mut view.stability.checks {
            check.value = check.value.map(|_| check.threshold * (0.2 + 0.5 * wave));
        }
        for need in view.agents.iter_mut().flat_map(|agent| &mut agent.needs) {
            need.value = 0.3 + 0.6 * wave;
        }
        history.record(&view);
    }
    history.record(&snapshot());
    history
}

fn job(&(name, job, _, _, _, _, option): &Row) -> Job {
    let (attendance_ratio, absent_shifts_7d, tenure_days) = match name {
        "Ada" => (0.71, 3, 4.0),
        "Ben" => (0.64, 3, 2.5),
        "Cleo" => (0.52, 4, 3.0),
        _ => (1.0, 0, 3.0),
    };
    let employed = !job.is_empty();
    Job {
        job_id: job.into(),
        on_shift: option == "work",
        wallet: 4.25,
        lateness_counter: u64::from(absent_shifts_7d > 0),
        wages_earned: 11.5,
        wages_withheld: 0.7,
        meals_cooked: 3,
        meals_consumed: 9,
        basket_cost: 1.8,
        shift_state: if !employed {
            "none"
        } else if option == "work" {
            "on_time"
        } else {
            "absent"
        }
        .into(),
        attendance_ratio: if employed { attendance_ratio } else { 0.0 },
        late_ticks_today: if name == "Ada" { 12 } else { 0 },
        absent_shifts_7d,
        exit_pending: absent_shifts_7d > 0,
        tenure_days: if employed { tenure_days } else { 0.0 },
    }
}

fn employment() -> Employment {
    let entry = |agent: &str, enqueued_tick, reason: &str| ExitEntry {
        agent: agent.into(),
        reason: reason.into(),
        enqueued_tick,
        releases_at_tick: enqueued_tick + 1_440,
        approved: false,
    };
    Employment {
        pending: vec!["ada".into(), "ben".into(), "cleo".into()],
        pending_count: 3,
        exits_today: 2,
        daily_exit_cap: 2,
        queue_limit: 8,
        review_window: 1_440,
        queue: vec![
            entry("ada", 3_312, "3 absent shifts in 7 days"),
            entry("ben", 3_369, "3 absent shifts in 7 days"),
            entry("cleo", 3_399, "4 absent shifts in 7 days"),
        ],
        max_absent_shifts: 3,
        attendance: Some(0.91),
        late_today: 4,
        absent_7d: 5,
    }
}

fn conflict() -> Conflict {
    let queue =
        |object: &str, kind: &str, place: &str, users: &[(&str, &str, Option<u64>)], waiting: &[(&str, u64)]| Queue {
            object: object.into(),
            kind: kind.into(),
            place: place.into(),
            capacity: 1,
            users: users
                .iter()
                .map(|(agent, affordance, remaining)| QueueUser {
                    agent: (*agent).into(),
                    affordance: (*affordance).into(),
                    remaining: *remaining,
                })
                .collect(),
            waiting: waiting
                .iter()
                .map(|(agent, waited)| QueueWaiter { agent: (*agent).into(), waited: *waited })
                .collect(),
            longest_wait: waiting.iter().map(|(_, waited)| *waited).max().unwrap_or(0),
            cooldowns: Vec::new(),
            ghost_steps: 0,
            working: true,
        };
    let mut shower = queue("shower_1", "shower", "home_1", &[("ben", "wash", Some(12))], &[("cleo", 18), ("dov", 4)]);
    shower.cooldowns = vec![QueueCooldown { agent: "eva".into(), until_tick: 3_440 }];
    let mut till = queue("till_1", "till", "grocer", &[("eva", "work", Some(3))], &[]);
    till.ghost_steps = 2;
    let mut stove = queue("stove_2", "stove", "home_2", &[], &[]);
    stove.working = false;
    Conflict { queues: vec![shower, till, stove], ghost_steps: 2, blocked_steps: 31, queue_fairness: true }
}

fn check(name: &str, value: Option<f64>, limit: &str, threshold: f64, unit: &str, samples: (u64, u64)) -> Check {
    Check {
        name: name.into(),
        value,
        limit: limit.into(),
        threshold,
        verdict: match value {
            None => "not_enough_data",
            Some(value) if value > threshold => "breach",
            Some(_) => "ok",
        }
        .into(),
        samples: samples.0,
        samples_required: samples.1,
        unit: unit.into(),
    }
}

fn stability() -> Stability {
    let checks = vec![
        check("lateness", Some(0.8), "≤ 2 × baseline", 2.0, "ratio", (31, 10)),
        check("starvation", Some(0.0), "= 0", 0.0, "count", (402, 1)),
        check("option_switching", Some(0.12), "≤ 25 %", 0.25, "share", (96, 10)),
        check("reward_variance", None, "≤ 0.25", 0.25, "variance", (14, 20)),
        check("queue_fairness", Some(6.0), "≤ 5 failures", 5.0, "count", (40, 1)),
    ];
    let window = |number: u64, verdict: &str| {
        let mut checks = checks.clone();
        for check in &mut checks {
            match verdict {
                "green" => check.verdict = "ok".into(),
                "inconclusive" => check.verdict = "not_enough_data".into(),
                _ => {}
            }
        }
        Window { number, end_tick: number * 1_000, verdict: verdict.into(), checks }
    };
    Stability {
        window_ticks: 1_000,
        window_progress: 402,
        window: 4,
        windows: vec![window(1, "inconclusive"), window(2, "red"), window(3, "green")],
        checks: checks.clone(),
        streak: 1,
        required_passes: 2,
    }
}

fn narrations() -> Vec<Narration> {
    [
        (3_326, "work", "Ada came 12 minutes late to the café", "normal"),
        (3_368, "utility", "power is back after 34 minutes", "high"),
        (3_396, "queue_conflict", "Cleo blocked Ben at the shower; rivalry 0.41", "normal"),
        (3_400, "social", "Finn and Hugo had a good talk in the park", "low"),
    ]
    .map(|(tick, category, text, priority)| Narration {
        tick,
        category: category.into(),
        text: text.into(),
        priority: priority.into(),
    })
    .into()
}

fn events() -> Vec<Event> {
    let event = |event: &str, tick, fields: &[(&str, serde_json::Value)]| Event {
        event: event.into(),
        tick,
        fields: fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
    };
    vec![
        event("shift_absent", 1_360, &[("agent", json!("ada")), ("job", json!("barista"))]),
        event("shift_absent", 2_360, &[("agent", json!("ada")), ("job", json!("barista"))]),
        event("employment_exit_pending", 3_312, &[("agent", json!("ada")), ("reason", json!("absences"))]),
        event(
            "queue_blocked",
            3_396,
            &[("agent", json!("ben")), ("other", json!("cleo")), ("object", json!("shower_1"))],
        ),
    ]
}

fn kpis() -> Vec<Kpi> {
    let kpi = |name: &str, title: &str, value: Option<f64>, unit: &str, target: &str, verdict: &str| Kpi {
        name: name.into(),
        title: title.into(),
        value,
        unit: unit.into(),
        target: target.into(),
        verdict: verdict.into(),
        samples: 8,
        samples_required: 4,
        charter: true,
    };
    vec![
        kpi("self_sufficiency", "self-sufficiency", Some(0.88), "ratio", "≥ 70 %", "met"),
        kpi("tenure", "tenure", Some(2.4), "days", "≥ 3 days", "missed"),
        kpi("relationship_coverage", "relationship coverage", None, "ratio", "≥ 60 %", "not_enough_data"),
    ]
}

fn agent(&(name, job, place, x, y, needs, option): &Row) -> Agent {
    let need = |name: &str, value| Need { name: name.into(), value, critical: 0.15 };
    Agent {
        id: name.to_lowercase(),
        name: name.into(),
        x,
        y,
        place: place.into(),
        home: "home_1".into(),
        arrived_tick: if name == "Gwen" { 3_100 } else { 0 },
        needs: vec![need("hunger", needs[0]), need("hygiene", needs[1]), need("energy", needs[2])],
        option: option.into(),
        option_since: 3_390,
        activity: match option {
            "wash" if name == "Cleo" => "waiting for shower_1, 1st in line",
            "wash" => "using shower_1, 12 ticks left",
            "work" => "working",
            "socialise" => "talking to Finn",
            _ => "walking home",
        }
        .into(),
        target: (option == "wash").then(|| "shower_1".into()),
        mask: vec![
            MaskBit { option: "wait".into(), allowed: true, reason: String::new() },
            MaskBit { option: "eat".into(), allowed: false, reason: "no money".into() },
            MaskBit { option: option.into(), allowed: true, reason: String::new() },
            MaskBit { option: "work".into(), allowed: option == "work", reason: "shift over".into() },
        ],
        top_options: [(option, 0.71), ("wait", 0.2), ("go_home", 0.09)]
            .map(|(option, probability)| TopOption { option: option.into(), probability })
            .into(),
        value: Some(1.42),
        possessed: name == "Hugo",
        shift: (!job.is_empty()).then(|| Shift {
            start: 360,
            end: 660,
            arrived: (option == "work").then_some(355),
            worked: 40,
            history: ["on_time", "late", "absent"].map(String::from).into(),
        }),
        groceries: 1,
        rent_owed_days: 0,
    }
}

fn ties() -> Vec<Tie> {
    let tie = |agent: &str, other: &str, trust, familiarity, rivalry| Tie {
        agent: agent.into(),
        other: other.into(),
        trust,
        familiarity,
        rivalry,
    };
    vec![tie("ada", "finn", 0.55, 0.62, 0.0), tie("ben", "cleo", -0.2, 0.3, 0.41), tie("cleo", "ben", -0.1, 0.3, 0.38)]
}

fn map() -> Map {
    let rows = [
        "##############################",
        "#......#....................##",
        "#.b..b.#.....======.########.#",
        "#......+.....======.#......#.#",
        "#.w..s.#.....======.#.t..v.#.#",
        "#......#.....======.+......#.#",
        "########.....======.########.#",
        "#...........#######..........#",
        "#...........#.k..k#.########.#",
        "#...........#.....+.#.c..h.#.#",
        "#...........#######.#......#.#",
        "#..........................+.#",
        "#..TTTTTTTTTT.......########.#",
        "#..TTTTTTTTTT................#",
        "#..TTTTTTTTTT................#",
        "##############################",
    ];
    let place = |name: &str, kind: &str, x, y, width, height| MapPlace {
        name: name.into(),
        kind: kind.into(),
        x,
        y,
        width,
        height,
    };
    let object = |id: &str, kind: &str, place: &str, x, y| MapObject {
        id: id.into(),
        kind: kind.into(),
        place: place.into(),
        x,
        y,
    };
    Map {
        revision: 1,
        width: 30,
        height: 16,
        rows: rows.map(String::from).into(),
        places: vec![
            place("home_1", "home", 1, 1, 6, 5),
            place("cafe", "cafe", 21, 3, 6, 3),
            place("office", "office", 13, 8, 5, 2),
            place("grocer", "grocer", 21, 9, 6, 2),
            place("park", "park", 3, 12, 10, 3),
        ],
        objects: vec![
            object("bed_1", "bed", "home_1", 2, 2),
            object("shower_1", "shower", "home_1", 2, 4),
            object("stove_2", "stove", "home_1", 5, 4),
            object("table_1", "table", "cafe", 22, 4),
            object("till_1", "till", "grocer", 22, 9),
        ],
    }
}

fn audit() -> AuditTail {
    let line = |seq: u64, stage: &str, status: &str, error: &str, command: &str| AuditRow {
        seq,
        ts: format!("2026-03-01T09:38:{seq:02}Z"),
        cmd_id: format!("01920000-0000-7000-8000-0000000000{:02}", seq / 2),
        issuer: "tui:operator".into(),
        role: if error.is_empty() { "admin" } else { "viewer" }.into(),
        transport: "local".into(),
        command: command.into(),
        args: json!({"agent": "ada"}),
        reason: Some("moved away".into()),
        stage: stage.into(),
        status: status.into(),
        error: error.into(),
        tick: 3_390 + seq,
        digest_before: "aa".into(),
        digest_after: "bb".into(),
        hash: format!("{seq:064x}"),
    };
    AuditTail {
        records: vec![
            line(1, "rejected", "error", "E_FORBIDDEN viewers look", "employment_exit approve"),
            line(2, "intent", "", "", "employment_exit defer"),
            line(3, "outcome", "ok", "", "employment_exit defer"),
        ],
        state: "ok".into(),
        file: "logs/console/run-1-0001.jsonl".into(),
        seq: 3,
        head: "00ff".into(),
    }
}

/// A command table with one of everything the screens use.
pub(crate) fn commands() -> Vec<CommandSpec> {
    let arg = |name: &str, kind, required, flag| ArgSpec { name: name.into(), kind, required, flag };
    let agent = || arg("agent", ArgKind::Agent, true, false);
    let reason = || arg("reason", ArgKind::Text, false, true);
    let row = |name: &str, args, role, effect, destructive, help: &str| CommandSpec {
        name: name.into(),
        args,
        role,
        effect,
        mutating: effect != Effect::Read,
        destructive,
        help: help.into(),
    };
    let choice = |words: &[&str]| ArgKind::Choice(words.iter().map(|word| (*word).to_owned()).collect());
    let (viewer, admin) = (Role::Viewer, Role::Admin);
    vec![
        row(
            "help",
            vec![arg("command", ArgKind::Command, false, false)],
            viewer,
            Effect::Read,
            false,
            "lists the commands, or explains one",
        ),
        row("employment_status", vec![], viewer, Effect::Read, false, "employment KPIs and the exit queue"),
        row("employment_exit review", vec![], viewer, Effect::Read, false, "the exit queue"),
        row(
            "employment_exit approve",
            vec![agent(), reason()],
            admin,
            Effect::Town,
            true,
            "the resident leaves on the next tick",
        ),
        row(
            "employment_exit defer",
            vec![agent(), reason()],
            admin,
            Effect::Town,
            false,
            "clears the entry and forgives absences",
        ),
        row(
            "queue_inspect",
            vec![arg("object", ArgKind::Object, true, false)],
            viewer,
            Effect::Read,
            false,
            "one object's queue",
        ),
        row("explain", vec![agent()], viewer, Effect::Read, false, "what a resident does and why"),
        row(
            "teleport",
            vec![agent(), arg("place", ArgKind::Place, true, false)],
            admin,
            Effect::Town,
            false,
            "puts a resident somewhere",
        ),
        row("kill", vec![agent(), reason()], admin, Effect::Town, true, "a resident collapses at once"),
        row(
            "blackout",
            vec![arg("switch", choice(&["on", "off"]), true, false)],
            admin,
            Effect::Town,
            false,
            "switches the power",
        ),
        row("pause", vec![], admin, Effect::Pace, false, "stops the clock"),
        row("resume", vec![], admin, Effect::Pace, false, "lets the clock run"),
        row(
            "step",
            vec![arg("ticks", ArgKind::Integer { min: 1, max: 1_000 }, false, false)],
            admin,
            Effect::Pace,
            false,
            "one tick, or some",
        ),
        row(
            "speed",
            vec![arg("speed", choice(&["1x", "10x", "100x", "max"]), true, false)],
            admin,
            Effect::Pace,
            false,
            "sets the speed",
        ),
        row("escalate", vec![reason()], viewer, Effect::Shard, false, "becomes admin; audited"),
        row("viewer", vec![], viewer, Effect::Shard, false, "gives the admin role back"),
    ]
}

/// A session on a local town that it owns.
pub(crate) fn session(role: Role) -> Session {
    Session { issuer: "tui:operator".into(), role, transport: "local".into(), owner: true }
}

/// What a local source says first.
pub(crate) fn hello(role: Role) -> Hello {
    Hello {
        commands: commands(),
        session: session(role),
        link: Link::Local,
        wants_token: false,
        facts: [
            ("townlet", "0.1.0"),
            ("audit", "logs/console/run-1-0001.jsonl"),
            ("snapshots", "snapshots/auto/run-1"),
        ]
        .map(|(label, value)| (label.to_owned(), value.to_owned()))
        .into(),
    }
}

/// The answer to a command that was done at 3,402.
pub(crate) fn done(cmd_id: &str, command: &str, summary: &str) -> Answer {
    Answer {
        cmd_id: cmd_id.into(),
        command: command.into(),
        status: Status::Ok,
        tick: 3_402,
        result: Some(json!({ "summary": summary })),
        error: None,
        replayed: false,
        audit: "logs/console/run-1-0001.jsonl:4".into(),
    }
}

/// The answer to a command that a viewer may not run.
pub(crate) fn refused(cmd_id: &str, command: &str) -> Answer {
    Answer {
        status: Status::Error,
        result: None,
        error: Some(ErrorBody {
            code: "E_FORBIDDEN".into(),
            message: "viewers look and change nothing.".into(),
            hint: "`escalate` first.".into(),
        }),
        ..done(cmd_id, command, "")
    }
}

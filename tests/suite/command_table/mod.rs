//! Every row of the command table, every pane and every KPI works on a live town.
//!
//! A row without a case here fails by name. Rules: "Command table", "Extension tables".

mod exit_commands;
mod perturbation_commands;
mod promotion_commands;
mod relationship_commands;
mod shard_commands;
mod town_commands;
mod whatif_commands;

use std::collections::{BTreeMap, BTreeSet};

use crate::kit::{TestShard, backlog_sources, options, refusal, temp_home, test_session};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use town_commands::Case;
use townlet_shard::specs;
use townlet_town::kpi::KPIS;
use townlet_tui::audit_lines::AuditLines;
use townlet_tui::console::AnswerLog;
use townlet_tui::indexed_snapshot::IndexedSnapshot;
use townlet_tui::layouts::Layouts;
use townlet_tui::metric_history::MetricHistory;
use townlet_tui::pane::{Context, PANES};
use townlet_tui::screenshot;
use townlet_tui::theme::Theme;
use townlet_wire::{Answer, CommandSpec, Effect, Request, Role, Snapshot, Status};

/// The cases of all rows, in the order of the table.
fn cases() -> impl Iterator<Item = &'static Case> {
    [
        town_commands::CASES,
        perturbation_commands::CASES,
        shard_commands::CASES,
        relationship_commands::CASES,
        promotion_commands::CASES,
    ]
    .into_iter()
    .flatten()
}

fn spec(name: &str) -> CommandSpec {
    specs().into_iter().find(|spec| spec.name == name).expect("the row exists")
}

#[test]
fn every_row_has_one_entry() {
    let rows: Vec<String> = specs().into_iter().map(|spec| spec.name).collect();
    let entries: Vec<&str> = cases().map(|case| case.name).collect();
    assert_eq!(rows, entries);
    assert_eq!(entries.iter().collect::<BTreeSet<_>>().len(), entries.len());
}

#[test]
fn every_command_has_its_documented_effect() {
    for case in cases() {
        println!("row: {}", case.name);
        (case.holds)();
    }
}

#[test]
fn viewers_cannot_change_anything() {
    let home = temp_home();
    let live = TestShard::with_training(home.path());
    for case in cases() {
        for line in case.before {
            live.expect_ok(line);
        }
        let (before, state) = (live.digest(), live.view());
        let answer = live.ask(live.viewer, Request::line(case.line));
        if spec(case.name).role == Role::Admin {
            assert_eq!(refusal(&answer), "E_FORBIDDEN", "{}", case.line);
            assert!(answer.error.unwrap().hint.contains("escalate"));
        } else if !["escalate", "whatif_cancel"].contains(&case.name) {
            assert_eq!(answer.status, Status::Ok, "{answer:?}");
        }
        live.ask(live.viewer, Request::line("viewer"));
        let now = live.view();
        assert_eq!((live.digest(), &now.clock.speed), (before, &state.clock.speed), "{}", case.line);
        assert_eq!(now.employment, state.employment, "{}", case.line);
        if case.before.first().is_some_and(|line| line.starts_with("employment_exit")) {
            live.expect_ok("employment_exit defer ada");
        }
    }
}

#[test]
fn only_the_owner_controls_the_speed() {
    let home = temp_home();
    let live = TestShard::new(home.path());
    let owner = live.shard.open(test_session("test:owner", Role::Viewer, true), |_| {});
    for case in cases() {
        let row = spec(case.name);
        let answer = live.ask(owner, Request { dry_run: true, ..Request::line(case.line) });
        let may = row.role == Role::Viewer || row.effect == Effect::Pace;
        let forbidden = answer.error.as_ref().is_some_and(|error| error.code == "E_FORBIDDEN");
        assert_eq!(forbidden, !may, "{}: {answer:?}", case.name);
    }
}

#[test]
fn dry_run_changes_nothing() {
    for case in cases() {
        let home = temp_home();
        let live = (case.live)(home.path());
        for line in case.before {
            live.expect_ok(line);
        }
        let (before, logged) = (live.view(), live.view().audit.seq);
        let digest = live.digest();
        let answer = live.ask(live.admin, Request { dry_run: true, ..Request::line(case.line) });
        assert_eq!((answer.status, &answer.error), (Status::DryRun, &None), "{}", case.line);
        assert!(!answer.summary().is_empty() && answer.audit.is_empty());
        let after = live.view();
        assert_eq!((live.digest(), after.audit.seq), (digest, logged), "{}", case.line);
        assert_eq!((after.clock, after.events), (before.clock, before.events), "{}", case.line);
        assert_eq!(live.line("setmoney ada 4").status, Status::Ok, "{}: the session is what it was", case.line);
    }
}

#[test]
fn invalid_lines_are_refused_with_a_hint() {
    for case in cases() {
        let home = temp_home();
        let live = (case.live)(home.path());
        for line in case.before {
            live.expect_ok(line);
        }
        let before = live.digest();
        let surplus = format!("{} far too many words", case.line);
        let unknown = format!("{} --colour red", case.name);
        for (line, code) in
            case.wrong.iter().copied().chain([(&*surplus, "E_INVALID_ARG"), (&*unknown, "E_INVALID_ARG")])
        {
            println!("line: {line}");
            for dry_run in [false, true] {
                let answer = live.ask(live.admin, Request { dry_run, ..Request::line(line) });
                assert_eq!(refusal(&answer), code, "`{line}`, dry run {dry_run}: {answer:?}");
            }
        }
        assert_eq!(live.digest(), before, "{}", case.name);
    }
}

/// Commands on a live town, and what its pane must show after them and not before.
struct Shown {
    title: &'static str,
    lines: &'static [&'static str],
    ticks: u64,
    /// Changes the state in ways that none of the commands can.
    around: fn(&mut Snapshot),
    words: fn(&Snapshot) -> Vec<String>,
}

fn name(view: &Snapshot, id: &str) -> String {
    view.agents.iter().find(|agent| agent.id == id).map(|agent| agent.name.clone()).expect("they live here")
}

static SHOWN: &[Shown] = &[
    Shown {
        title: "Employment",
        lines: &["employment_exit request hugo"],
        ticks: 0,
        around: |_| (),
        words: |view| vec![name(view, &view.employment.pending[0])],
    },
    Shown {
        title: "Stability",
        lines: &[],
        ticks: 1_040,
        around: |_| (),
        words: |view| vec![format!("{} of", view.stability.window_progress)],
    },
    Shown {
        title: "Queues",
        lines: &[],
        ticks: 300,
        around: |_| (),
        words: |view| {
            let users = view.conflict.queues.iter().flat_map(|queue| &queue.users);
            let names: Vec<String> = users.take(1).map(|user| name(view, &user.agent)).collect();
            assert!(!names.is_empty(), "somebody uses something");
            names
        },
    },
    Shown {
        title: "Alerts and events",
        lines: &["outage on"],
        ticks: 0,
        around: |_| (),
        words: |_| vec!["water is off".into()],
    },
    Shown {
        title: "Console",
        lines: &["price meal 0.75"],
        ticks: 0,
        around: |_| (),
        words: |view| vec![format!("meal costs {}", view.prices["meal"])],
    },
    Shown { title: "Map", lines: &["blackout on"], ticks: 0, around: |_| (), words: |_| vec!["OFF".into()] },
    Shown {
        title: "Residents",
        lines: &["spawn"],
        ticks: 0,
        around: |_| (),
        words: |view| {
            vec![view.agents.iter().max_by_key(|agent| agent.arrived_tick).map(|it| it.name.clone()).unwrap()]
        },
    },
    Shown {
        title: "Training",
        lines: &[],
        ticks: 0,
        around: |view| {
            view.learning.state = "diverged".into();
            view.learning.detail = "the gradient is not a number".into();
        },
        words: |_| vec!["✗ diverged".into(), "the gradient is not a number".into()],
    },
    Shown {
        title: "Candidate",
        lines: &[],
        ticks: 1_040,
        around: |_| (),
        words: |view| vec![format!("at {} of", view.stability.window_progress)],
    },
    Shown {
        title: "Metrics",
        lines: &["spawn"],
        ticks: 0,
        around: |_| (),
        words: |view| vec![format!("{:25} {:>14}", "residents", view.agents.len())],
    },
    Shown {
        title: "Audit log",
        lines: &["set_exit_cap 9"],
        ticks: 0,
        around: |_| (),
        words: |_| vec!["set_exit_cap".into()],
    },
    Shown {
        title: "Perturbations",
        lines: &["perturbation_trigger price_spike --duration 90"],
        ticks: 0,
        around: |_| (),
        words: |_| vec!["1 active".into(), "ends in 2 h 09 m · tick 90".into()],
    },
    Shown {
        title: "Goods",
        lines: &["price groceries 0.77", "outage on"],
        ticks: 0,
        around: |_| (),
        words: |_| vec!["0.77 meals".into(), "OFF ✗ showers stop".into()],
    },
];

fn picture(title: &str, live: &TestShard, around: fn(&mut Snapshot), answers: &[Answer]) -> String {
    let row = PANES.iter().find(|row| row.title == title).expect("the pane exists");
    // As a remote screen receives it.
    let mut view: Snapshot = serde_json::from_slice(&serde_json::to_vec(&live.view()).unwrap()).unwrap();
    around(&mut view);
    let view = IndexedSnapshot::from(view);
    let (mut history, mut log) = (MetricHistory::default(), AnswerLog::default());
    history.record(&view);
    for answer in answers {
        log.push(answer.clone(), Role::Admin);
    }
    let (session, commands) = (test_session("test:admin", Role::Admin, true), specs());
    let theme = Theme::named("dark", true).expect("there is a dark theme");
    let layouts = Layouts::default();
    let cx = Context {
        view: &view,
        connected: true,
        past: None,
        history: &history,
        audit: &AuditLines::default(),
        session: &session,
        commands: &commands,
        log: &log,
        zone: &jiff::tz::TimeZone::UTC,
        theme: &theme,
        focused: true,
        filter: "",
        unconfirmed: &[],
        layouts: &layouts,
    };
    let mut terminal = Terminal::new(TestBackend::new(140, 56)).unwrap();
    let mut pane = (row.new)();
    terminal.draw(|frame| pane.draw(frame, frame.area(), &cx)).unwrap();
    screenshot::text(terminal.backend().buffer())
}

#[test]
fn every_pane_shows_live_state() {
    let titles: Vec<&str> = PANES.iter().map(|row| row.title).collect();
    assert_eq!(titles, SHOWN.iter().map(|shown| shown.title).collect::<Vec<_>>());
    for shown in SHOWN {
        let home = temp_home();
        let live = TestShard::new(home.path());
        let before = picture(shown.title, &live, |_| (), &[]);
        let answers: Vec<Answer> = shown.lines.iter().map(|line| live.expect_ok(line)).collect();
        live.run(shown.ticks);
        let after = picture(shown.title, &live, shown.around, &answers);
        for words in (shown.words)(&live.view()) {
            assert!(!before.contains(&words), "{}: `{words}` was there before\n{before}", shown.title);
            assert!(after.contains(&words), "{}: `{words}` is not on\n{after}", shown.title);
        }
    }
}

/// Keeps the grocer away for the first ten ticks of the shift. The town is at the start of a day.
fn make_worker_late(live: &TestShard) {
    let view = live.view();
    let (worker, _) = view.jobs.iter().find(|(_, job)| job.job_id == "grocer").expect("somebody is grocer");
    let shop = view.map.places.iter().find(|place| place.kind == "grocer").expect("there is a shop");
    live.expect_ok(&format!("setneed {worker} hunger 1"));
    live.run(150);
    live.expect_ok(&format!("possess {worker} wait"));
    live.run(40);
    live.expect_ok(&format!("teleport {worker} {}", shop.name));
    live.expect_ok(&format!("possess {worker} work"));
    live.run(10);
    assert_eq!(live.view().jobs[worker].shift_state, "late");
    live.expect_ok(&format!("release {worker}"));
}

#[test]
fn every_kpi_is_measured() {
    let home = temp_home();
    let shard = townlet_shard::start(backlog_sources(&[]), 7, options(home.path(), true)).expect("the shard starts");
    let live = TestShard::from_handle(shard);
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut verdicts = BTreeMap::new();
    let mut measure = |live: &TestShard| {
        let view = live.view();
        assert_eq!(view.kpis.iter().map(|kpi| &*kpi.name).collect::<Vec<_>>(), KPIS.each_ref().map(|row| row.name));
        for kpi in view.kpis {
            assert_eq!(kpi.value.is_none(), kpi.verdict == "not_enough_data", "{kpi:?}");
            assert_eq!(kpi.value.is_none(), kpi.samples < kpi.samples_required, "{kpi:?}");
            values.entry(kpi.name.clone()).or_default().extend(kpi.value.map(|value| value.to_string()));
            verdicts.insert(kpi.name, kpi.verdict);
        }
    };
    measure(&live);
    for _ in 0..5 {
        live.run(1_000);
        measure(&live);
    }
    make_worker_late(&live);
    let agents = live.view().agents;
    live.expect_ok("toggle_mortality off");
    live.expect_ok(&format!("setneed {} hunger 0", agents[0].id));
    live.expect_ok(&format!("possess {} wait", agents[0].id));
    for agent in &agents[1..4] {
        live.expect_ok(&format!("kill {}", agent.id));
    }
    // So that at least one tie exists to measure.
    live.expect_ok(&format!("set_rel {} {} trust 0.5", agents[4].id, agents[5].id));
    live.run(500);
    measure(&live);
    for row in &KPIS {
        let (verdict, values) = (&*verdicts[row.name], &values[row.name]);
        assert_ne!(verdict, "not_enough_data", "{}", row.name);
        assert!(values.len() > 1, "{} is {values:?} whatever happens", row.name);
    }
}

//! Nothing is listed that does not work: every row of the command table, every pane and every KPI on a live town.
//!
//! A row that is added without an entry here fails by name. Rule: "Command table", "Extension tables".

#[path = "../live/mod.rs"]
mod live;
mod pace;
mod promotion;
mod rows;
mod shocks;
mod ties;

use std::collections::{BTreeMap, BTreeSet};

use live::{Live, home, options, refusal, somebody, sources};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use rows::Case;
use townlet_shard::specs;
use townlet_town::kpi::KPIS;
use townlet_tui::console::AnswerLog;
use townlet_tui::metric_history::MetricHistory;
use townlet_tui::pane::{Context, PANES};
use townlet_tui::screenshot;
use townlet_tui::theme::Theme;
use townlet_wire::{Answer, CommandSpec, Effect, Request, Role, Snapshot, Status};

/// An entry for every row, in the order of the table.
fn cases() -> impl Iterator<Item = &'static Case> {
    [rows::CASES, shocks::CASES, pace::CASES, ties::CASES, promotion::CASES].into_iter().flatten()
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
fn every_row_does_what_it_says() {
    for case in cases() {
        println!("row: {}", case.name);
        (case.holds)();
    }
}

#[test]
fn viewers_look_and_change_nothing() {
    let home = home();
    let live = Live::training(home.path());
    for case in cases() {
        for line in case.before {
            live.done(line);
        }
        let (before, state) = (live.digest(), live.view());
        let answer = live.ask(live.viewer, Request::line(case.line));
        if spec(case.name).role == Role::Admin {
            assert_eq!(refusal(&answer), "E_FORBIDDEN", "{}", case.line);
            assert!(answer.error.unwrap().hint.contains("escalate"));
        } else if case.name != "escalate" {
            assert_eq!(answer.status, Status::Ok, "{answer:?}");
        }
        live.ask(live.viewer, Request::line("viewer"));
        let now = live.view();
        assert_eq!((live.digest(), &now.clock.speed), (before, &state.clock.speed), "{}", case.line);
        assert_eq!(now.employment, state.employment, "{}", case.line);
        if case.before.first().is_some_and(|line| line.starts_with("employment_exit")) {
            live.done("employment_exit defer ada");
        }
    }
}

#[test]
fn the_pace_belongs_to_the_owner() {
    let home = home();
    let live = Live::held(home.path());
    let owner = live.shard.open(somebody("test:owner", Role::Viewer, true), |_| {});
    for case in cases() {
        let row = spec(case.name);
        let answer = live.ask(owner, Request { dry_run: true, ..Request::line(case.line) });
        let may = row.role == Role::Viewer || row.effect == Effect::Pace;
        let forbidden = answer.error.as_ref().is_some_and(|error| error.code == "E_FORBIDDEN");
        assert_eq!(forbidden, !may, "{}: {answer:?}", case.name);
    }
}

#[test]
fn a_dry_run_says_what_would_happen_and_does_nothing() {
    for case in cases() {
        let home = home();
        let live = (case.live)(home.path());
        for line in case.before {
            live.done(line);
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
fn wrong_lines_are_refused_with_what_would_be_right() {
    for case in cases() {
        let home = home();
        let live = (case.live)(home.path());
        for line in case.before {
            live.done(line);
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

/// What is done to a live town, and what its pane must show then and not before.
struct Shown {
    title: &'static str,
    lines: &'static [&'static str],
    ticks: u64,
    /// What stands around the town and no command of these brings about.
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
        title: "Alerts and story",
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
        words: |view| vec![format!("after {} of", view.stability.window_progress)],
    },
    Shown {
        title: "Metrics",
        lines: &["spawn"],
        ticks: 0,
        around: |_| (),
        words: |view| vec![format!("{:25}{:>14}", "residents", view.agents.len())],
    },
    Shown {
        title: "Audit log",
        lines: &["set_exit_cap 9"],
        ticks: 0,
        around: |_| (),
        words: |_| vec!["set_exit_cap".into()],
    },
    Shown {
        title: "Shocks",
        lines: &["perturbation_trigger price_spike --duration 90"],
        ticks: 0,
        around: |_| (),
        words: |_| vec!["1 under way".into(), "ends in 2 h 09 m · tick 90".into()],
    },
    Shown {
        title: "Goods",
        lines: &["price groceries 0.77", "outage on"],
        ticks: 0,
        around: |_| (),
        words: |_| vec!["0.77 meals".into(), "OFF ✗ showers stop".into()],
    },
];

fn picture(title: &str, live: &Live, around: fn(&mut Snapshot), answers: &[Answer]) -> String {
    let row = PANES.iter().find(|row| row.title == title).expect("the pane exists");
    // As a remote screen would have it.
    let mut view: Snapshot = serde_json::from_slice(&serde_json::to_vec(&live.view()).unwrap()).unwrap();
    around(&mut view);
    let (mut history, mut log) = (MetricHistory::default(), AnswerLog::default());
    history.record(&view);
    for answer in answers {
        log.push(answer.clone(), Role::Admin);
    }
    let (session, commands) = (somebody("test:admin", Role::Admin, true), specs());
    let theme = Theme::named("dark", true).expect("there is a dark theme");
    let cx = Context {
        view: &view,
        history: &history,
        session: &session,
        commands: &commands,
        log: &log,
        theme: &theme,
        focused: true,
        filter: "",
    };
    let mut terminal = Terminal::new(TestBackend::new(140, 56)).unwrap();
    let mut pane = (row.new)();
    terminal.draw(|frame| pane.draw(frame, frame.area(), &cx)).unwrap();
    screenshot::text(terminal.backend().buffer())
}

#[test]
fn every_pane_shows_what_only_the_live_town_knows() {
    let titles: Vec<&str> = PANES.iter().map(|row| row.title).collect();
    assert_eq!(titles, SHOWN.iter().map(|shown| shown.title).collect::<Vec<_>>());
    for shown in SHOWN {
        let home = home();
        let live = Live::held(home.path());
        let before = picture(shown.title, &live, |_| (), &[]);
        let answers: Vec<Answer> = shown.lines.iter().map(|line| live.done(line)).collect();
        live.run(shown.ticks);
        let after = picture(shown.title, &live, shown.around, &answers);
        for words in (shown.words)(&live.view()) {
            assert!(!before.contains(&words), "{}: `{words}` was there before\n{before}", shown.title);
            assert!(after.contains(&words), "{}: `{words}` is not on\n{after}", shown.title);
        }
    }
}

/// Keeps a grocer away for the first ten ticks of the shift. The town stands at the start of a day.
fn make_worker_late(live: &Live) {
    let view = live.view();
    let (worker, _) = view.jobs.iter().find(|(_, job)| job.job_id == "grocer").expect("somebody is grocer");
    let shop = view.map.places.iter().find(|place| place.kind == "grocer").expect("there is a shop");
    live.done(&format!("setneed {worker} hunger 1"));
    live.run(150);
    live.done(&format!("possess {worker} wait"));
    live.run(40);
    live.done(&format!("teleport {worker} {}", shop.name));
    live.done(&format!("possess {worker} work"));
    live.run(10);
    assert_eq!(live.view().jobs[worker].shift_state, "late");
    live.done(&format!("release {worker}"));
}

#[test]
fn every_kpi_is_measured_on_a_living_town() {
    let home = home();
    let shard = townlet_shard::start(sources(true, &[]), 7, options(home.path(), true)).expect("the shard starts");
    let live = Live::around(shard);
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut verdicts = BTreeMap::new();
    let mut look = |live: &Live| {
        let view = live.view();
        assert_eq!(view.kpis.iter().map(|kpi| &*kpi.name).collect::<Vec<_>>(), KPIS.each_ref().map(|row| row.name));
        for kpi in view.kpis {
            assert_eq!(kpi.value.is_none(), kpi.verdict == "not_enough_data", "{kpi:?}");
            assert_eq!(kpi.value.is_none(), kpi.samples < kpi.samples_required, "{kpi:?}");
            values.entry(kpi.name.clone()).or_default().extend(kpi.value.map(|value| value.to_string()));
            verdicts.insert(kpi.name, kpi.verdict);
        }
        view.relationships.ties.is_empty()
    };
    look(&live);
    for _ in 0..5 {
        live.run(1_000);
        look(&live);
    }
    make_worker_late(&live);
    let agents = live.view().agents;
    live.done("toggle_mortality off");
    live.done(&format!("setneed {} hunger 0", agents[0].id));
    live.done(&format!("possess {} wait", agents[0].id));
    for agent in &agents[1..4] {
        live.done(&format!("kill {}", agent.id));
    }
    live.run(500);
    let no_ties = look(&live);
    for row in &KPIS {
        let (verdict, values) = (&*verdicts[row.name], &values[row.name]);
        if row.name == "relationship_coverage" && no_ties {
            assert_eq!((verdict, values.len()), ("not_enough_data", 0), "a share of nothing is no number");
            continue;
        }
        assert_ne!(verdict, "not_enough_data", "{}", row.name);
        assert!(values.len() > 1, "{} is {values:?} whatever happens", row.name);
    }
}

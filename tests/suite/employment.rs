//! The rules of employment exits, one test per rule as `docs/EMPLOYMENT_DOCS_TEST_CHECKLIST.md` lists them, and the backlog
//! scenario.
//!
//! Drives the town itself, without a shard, so that the rules hold for every operator, local or remote.

use std::sync::Arc;

use crate::kit::sources;
use townlet_learn::Scripted;
use townlet_town::state::ShiftState;
use townlet_town::{
    AgentId, Command, Decider, Event, EventKind, OptionKind, Policy, ResidentId, Rules, Sources, Town, employment, kpi,
};

/// The scenario with a backlog of exits.
const BACKLOG: &str = "scenarios/employment_backlog.yaml";

/// A perturbation file without perturbations.
const NO_PERTURBATIONS: &str = "max_concurrent_events: 1\nglobal_cooldown_ticks: 0\nper_agent_cooldown_ticks: 0\n\
grace_window_ticks: 0\nwindow_ticks: 1000\nmax_events_per_window: 1\nevents: {}\n";

/// Settings under which residents leave only because of work, after one absence.
const STRICT: &[(&str, &str)] = &[
    ("lifecycle.mortality", "off"),
    ("economy.rent_per_day", "0"),
    ("employment.max_absent_shifts", "1"),
    ("lifecycle.exit_cooldown_ticks", "0"),
];

/// Never goes to work.
struct Idle;

impl Policy for Idle {
    fn decide(&mut self, _town: &Town, deciders: &[Decider], choices: &mut Vec<OptionKind>) {
        choices.extend(deciders.iter().map(|_| OptionKind::Wait));
    }
}

/// A file of `configs/` with these settings, in which no perturbation starts.
fn rules(name: &str, flags: &[&[(&str, &str)]]) -> Arc<Rules> {
    let perturbations = ("none.yaml".into(), NO_PERTURBATIONS.into());
    let sources = Sources { perturbations, ..sources(name, &flags.concat()) };
    Arc::new(Rules::new(sources).expect("the town can be made"))
}

/// A default town under [`STRICT`] and `flags`.
fn town(flags: &[(&str, &str)]) -> Town {
    Town::new(rules("default.yaml", &[STRICT, flags]), 7)
}

/// Steps through this tick while nobody goes to work; the events on the way.
fn idle_through(town: &mut Town, tick: u64) -> Vec<Event> {
    let mut events = town.events().to_vec();
    town.clear_events();
    while town.tick() <= tick {
        town.step(&mut Idle);
        events.extend(town.events());
        town.clear_events();
    }
    events
}

fn request(town: &mut Town, who: u32) {
    town.apply(&Command::ExitRequest { who: ResidentId(who) }).expect("nobody is queued twice");
}

fn queue(town: &Town) -> Vec<u32> {
    let state = town.state();
    state.employment.queue.iter().map(|entry| state.agents.resident[entry.agent].0).collect()
}

fn lives_here(town: &Town, who: u32) -> bool {
    let agents = &town.state().agents;
    agents.present.iter().any(|agent| agents.resident[*agent] == ResidentId(who))
}

fn slot(town: &Town, who: u32) -> AgentId {
    let agents = &town.state().agents;
    *agents.present.iter().find(|agent| agents.resident[**agent] == ResidentId(who)).expect("they live here")
}

/// Employment exits: tick, resident, and whether an operator approved it.
fn processed(events: &[Event]) -> Vec<(u64, u32, bool)> {
    let exit = |event: &Event| match event.kind {
        EventKind::EmploymentExitProcessed { who, manual, .. } => Some((event.tick, who.0, manual)),
        _ => None,
    };
    events.iter().filter_map(exit).collect()
}

/// New entries of the exit queue: tick, resident, and whether an operator requested it.
fn pending(events: &[Event]) -> Vec<(u64, u32, bool)> {
    let entry = |event: &Event| match event.kind {
        EventKind::EmploymentExitPending { who, requested } => Some((event.tick, who.0, requested)),
        _ => None,
    };
    events.iter().filter_map(entry).collect()
}

// The four jobs of the default town go to the first four residents in the order of their names: Ada is the barista from
// tick 260, Ben the clerk from 400, Cleo the grocer from 180, Dov the trainer from 520. Absence is certain 30 ticks later.

#[test]
fn exit_is_immediate_below_the_cap() {
    let mut town = town(&[("world.population", "4")]);
    let events = idle_through(&mut town, 210);
    assert_eq!(processed(&events), [(210, 2, false)]);
    assert_eq!(pending(&events), []);
    assert!(!lives_here(&town, 2));
    assert_eq!(town.state().employment.exits_today, 1);
}

#[test]
fn resident_joins_the_queue_at_the_cap() {
    let mut town = town(&[("world.population", "4")]);
    let events = idle_through(&mut town, 550);
    assert_eq!(processed(&events), [(210, 2, false), (290, 0, false)]);
    assert_eq!(pending(&events), [(430, 1, false), (550, 3, false)]);
    assert_eq!(queue(&town), [1, 3]);
}

#[test]
fn resident_joins_the_queue_when_it_is_not_empty() {
    let mut town = town(&[("world.population", "4")]);
    request(&mut town, 3);
    let events = idle_through(&mut town, 210);
    assert_eq!(processed(&events), []);
    assert_eq!(queue(&town), [3, 2]);
}

#[test]
fn resident_joins_the_queue_within_the_exit_cooldown() {
    let mut town = town(&[("lifecycle.exit_cooldown_ticks", "120"), ("world.population", "4")]);
    let events = idle_through(&mut town, 290);
    assert_eq!(processed(&events), [(210, 2, false)]);
    assert_eq!(queue(&town), [0]);
}

#[test]
fn fewer_absences_than_the_limit_do_not_count() {
    let mut town = town(&[("world.population", "4"), ("employment.max_absent_shifts", "2")]);
    let events = idle_through(&mut town, 999);
    assert_eq!((processed(&events), pending(&events)), (vec![], vec![]));
    let events = idle_through(&mut town, 1_210);
    assert_eq!(processed(&events), [(1_210, 2, false)]);
}

#[test]
fn approved_resident_leaves_on_the_next_tick() {
    // An exhausted cap, a recent exit and a blackout do not hold back an approved exit.
    let mut town = town(&[("lifecycle.exit_cooldown_ticks", "400"), ("employment.daily_exit_cap", "0")]);
    request(&mut town, 5);
    town.apply(&Command::Kill { who: ResidentId(0) }).unwrap();
    town.apply(&Command::Perturb { kind: 0, on: true }).unwrap();
    let events = idle_through(&mut town, 50);
    assert_eq!(processed(&events), []);

    let approve = Command::ExitApprove { who: ResidentId(5) };
    let promised = town.preview(&approve).unwrap();
    assert!(promised.ends_with("on the next tick. That makes 1 exit today and exceeds the cap of 0."), "{promised}");
    assert_eq!(town.apply(&approve).unwrap(), promised);
    let said = EventKind::EmploymentExitManualRequest { who: ResidentId(5) };
    assert!(town.events().iter().any(|event| event.kind == said));
    assert!(lives_here(&town, 5), "the exit belongs to the next tick");
    let twice = town.apply(&Command::ExitApprove { who: ResidentId(5) }).unwrap_err();
    assert_eq!(twice.code, "E_CONFLICT");
    let events = idle_through(&mut town, 51);
    assert_eq!(processed(&events), [(51, 5, true)]);
    assert!(!lives_here(&town, 5));
    assert_eq!(town.state().employment.exits_today, 1);
}

#[test]
fn approved_exits_count_towards_the_daily_cap() {
    let mut town = town(&[("world.population", "4"), ("employment.daily_exit_cap", "1")]);
    request(&mut town, 0);
    let said = town.apply(&Command::ExitApprove { who: ResidentId(0) }).unwrap();
    assert!(said.ends_with("on the next tick."), "the cap is kept: {said}");
    let events = idle_through(&mut town, 210);
    assert_eq!(processed(&events), [(0, 0, true)]);
    assert_eq!(queue(&town), [2], "the day's one exit was the operator's");
    let events = idle_through(&mut town, 1_000);
    assert_eq!(processed(&events), []);
    assert_eq!(town.state().employment.exits_today, 0, "a new day has a new cap");
}

#[test]
fn approving_an_unknown_resident_is_not_found() {
    let mut town = town(&[]);
    let before = town.digest();
    for who in [3, 999] {
        let approve = town.apply(&Command::ExitApprove { who: ResidentId(who) }).unwrap_err();
        let defer = town.apply(&Command::ExitDefer { who: ResidentId(who) }).unwrap_err();
        assert_eq!((approve.code, defer.code), ("E_NOT_FOUND", "E_NOT_FOUND"));
    }
    assert_eq!(town.apply(&Command::ExitRequest { who: ResidentId(999) }).unwrap_err().code, "E_NOT_FOUND");
    assert_eq!(town.digest(), before);
}

#[test]
fn deferring_clears_absences() {
    let mut town = town(&[("world.population", "4"), ("employment.daily_exit_cap", "0")]);
    idle_through(&mut town, 210);
    assert_eq!(queue(&town), [2]);
    let cleo = slot(&town, 2);
    assert_eq!(town.state().agents.absent_shifts(cleo), 1);

    town.apply(&Command::ExitDefer { who: ResidentId(2) }).unwrap();
    assert!(town.events().iter().any(|event| event.kind == EventKind::EmploymentExitDeferred { who: ResidentId(2) }));
    assert_eq!(queue(&town), [] as [u32; 0]);
    assert_eq!(town.state().agents.absent_shifts(cleo), 0);
    let events = idle_through(&mut town, 280);
    assert_eq!(pending(&events), [], "what is forgiven does not come back");
    let events = idle_through(&mut town, 1_210);
    assert!(pending(&events).contains(&(1_210, 2, false)), "a new absence counts again");
}

#[test]
fn entries_older_than_the_review_window_leave() {
    let window = [("employment.exit_review_window", "100"), ("employment.enforce_job_loop", "false")];
    let mut left_alone = town(&window);
    request(&mut left_alone, 4);
    assert_eq!(processed(&idle_through(&mut left_alone, 100)), []);
    assert_eq!(processed(&idle_through(&mut left_alone, 101)), [(101, 4, false)]);

    let mut capped = town(&window);
    request(&mut capped, 4);
    request(&mut capped, 6);
    capped.apply(&Command::ExitCap(0)).unwrap();
    assert_eq!(processed(&idle_through(&mut capped, 150)), [], "the cap comes first");
    capped.apply(&Command::ExitDefer { who: ResidentId(6) }).unwrap();
    capped.apply(&Command::ExitCap(2)).unwrap();
    assert_eq!(processed(&idle_through(&mut capped, 400)), [(151, 4, false)], "unless deferred");
    assert!(lives_here(&capped, 6));
}

#[test]
fn exits_happen_when_they_are_expected() {
    for (cap, all_causes, gap) in [("2", "2", "120"), ("1", "4", "0"), ("2", "2", "0"), ("3", "3", "300")] {
        let mut town = town(&[
            ("employment.exit_review_window", "400"),
            ("employment.enforce_job_loop", "false"),
            ("employment.daily_exit_cap", cap),
            ("lifecycle.max_exits_per_day", all_causes),
            ("lifecycle.exit_cooldown_ticks", gap),
        ]);
        let expected = |town: &Town| {
            let ticks = employment::expected_exits(town.rules(), town.state());
            queue(town).into_iter().zip(ticks).collect::<Vec<_>>()
        };
        let mut left = Vec::new();
        let mut live = |town: &mut Town, ticks: u64| {
            for _ in 0..ticks {
                town.step(&mut Scripted);
                left.extend(processed(town.events()).into_iter().map(|(tick, who, _)| (who, Some(tick))));
                town.clear_events();
            }
        };
        live(&mut town, 700);
        for who in [3, 0, 5, 1, 6, 2] {
            request(&mut town, who);
            live(&mut town, 30);
        }
        town.apply(&Command::ExitApprove { who: ResidentId(5) }).unwrap();
        let first = expected(&town);
        assert!(first.iter().all(|(_, tick)| tick.is_some()), "{first:?}");
        while !queue(&town).is_empty() && town.tick() < 10_000 {
            let still = expected(&town);
            assert!(still.iter().all(|one| first.contains(one)), "{still:?} at {}, first {first:?}", town.tick());
            live(&mut town, 37);
        }
        left.sort_by_key(|(who, _)| first.iter().position(|(other, _)| other == who));
        assert_eq!(left, first, "cap {cap}, all causes {all_causes}, gap {gap}");
        request(&mut town, 4);
        town.apply(&Command::ExitCap(0)).unwrap();
        assert_eq!(expected(&town), [(4, None)]);
        town.apply(&Command::ExitCap(1)).unwrap();
        assert!(expected(&town)[0].1.is_some());
        town.apply(&Command::Perturb { kind: 1, on: true }).unwrap();
        town.step(&mut Scripted);
        assert_eq!(expected(&town), [(4, None)], "an outage suspends exits");
    }
}

#[test]
fn outage_holds_back_exits_that_were_not_approved() {
    let mut town = town(&[("employment.exit_review_window", "100"), ("employment.enforce_job_loop", "false")]);
    request(&mut town, 4);
    town.apply(&Command::Perturb { kind: 1, on: true }).unwrap();
    assert_eq!(processed(&idle_through(&mut town, 199)), []);
    town.apply(&Command::Perturb { kind: 1, on: false }).unwrap();
    // The last tick of the outage was 199; the grace period of 60 ticks begins there.
    assert_eq!(processed(&idle_through(&mut town, 400)), [(259, 4, false)]);
}

#[test]
fn overflow_alert_lasts_as_long_as_the_overflow() {
    let limit = [("employment.exit_queue_limit", "2"), ("employment.enforce_job_loop", "false")];
    let mut town = town(&limit);
    let overflows = |town: &Town| employment::overflows(town.rules(), town.state());
    request(&mut town, 0);
    request(&mut town, 1);
    assert!(!overflows(&town), "at the limit is not over it");
    for who in 2..8 {
        request(&mut town, who);
        assert!(overflows(&town));
    }
    assert_eq!(queue(&town), [0, 1, 2, 3, 4, 5, 6, 7], "a full queue loses nobody");
    for tick in 0..300 {
        idle_through(&mut town, tick);
        assert!(overflows(&town), "the alert stands while the backlog does");
    }
    for who in 0..6 {
        assert!(overflows(&town));
        town.apply(&Command::ExitApprove { who: ResidentId(who) }).unwrap();
        let tick = town.tick();
        idle_through(&mut town, tick);
    }
    assert_eq!(queue(&town), [6, 7]);
    assert!(!overflows(&town));
}

#[test]
fn resident_is_queued_once() {
    let mut town = town(&[("world.population", "4"), ("employment.daily_exit_cap", "0")]);
    request(&mut town, 2);
    assert_eq!(town.apply(&Command::ExitRequest { who: ResidentId(2) }).unwrap_err().code, "E_CONFLICT");
    let events = idle_through(&mut town, 1_300);
    assert_eq!(town.state().agents.absent_shifts(slot(&town, 2)), 2, "two absences while waiting");
    assert_eq!(queue(&town).iter().filter(|who| **who == 2).count(), 1);
    assert_eq!(pending(&events).iter().filter(|entry| entry.1 == 2).count(), 1);
}

#[test]
fn leaving_for_another_reason_removes_the_entry() {
    let mut town = town(&[]);
    request(&mut town, 1);
    request(&mut town, 2);
    town.apply(&Command::Kill { who: ResidentId(1) }).unwrap();
    assert_eq!(queue(&town), [2]);
    assert_eq!(town.state().employment.exits_today, 0, "it was no employment exit");
    assert_eq!(town.apply(&Command::ExitApprove { who: ResidentId(1) }).unwrap_err().code, "E_NOT_FOUND");
}

/// Totals of eight days of the scenario.
struct Outcome {
    absences: u32,
    worked: u32,
    capped: bool,
    longest: usize,
    overflowed: bool,
    starved: u32,
    exits: usize,
    waited: usize,
}

fn backlog(seed: u64, flags: &[(&str, &str)]) -> Outcome {
    let mut town = Town::new(rules(BACKLOG, &[flags]), seed);
    let mut outcome = Outcome {
        absences: 0,
        worked: 0,
        capped: false,
        longest: 0,
        overflowed: false,
        starved: 0,
        exits: 0,
        waited: 0,
    };
    for _ in 0..8_000 {
        town.step(&mut Scripted);
        for event in town.events() {
            match event.kind {
                EventKind::ShiftAbsent { .. } => outcome.absences += 1,
                EventKind::ShiftOnTime { .. } | EventKind::ShiftLate { .. } => outcome.worked += 1,
                EventKind::Starving { .. } => outcome.starved += 1,
                EventKind::EmploymentExitProcessed { .. } => outcome.exits += 1,
                _ => {}
            }
        }
        town.clear_events();
        let state = town.state();
        outcome.capped |= state.employment.exits_today >= state.live_settings.daily_exit_cap;
        outcome.longest = outcome.longest.max(state.employment.queue.len());
        outcome.overflowed |= employment::overflows(town.rules(), state);
        outcome.waited += state.employment.queue.len();
    }
    outcome
}

#[test]
fn backlog_scenario_overflows_on_every_seed() {
    for seed in 0..12 {
        let outcome = backlog(seed, &[]);
        assert!(outcome.overflowed && outcome.longest > 4, "seed {seed}: at most {} waited", outcome.longest);
        assert!(outcome.capped, "seed {seed}: the daily cap was never reached");
        assert!(outcome.absences >= 20 && outcome.exits >= 4, "seed {seed}: {} absences", outcome.absences);
        assert!(
            outcome.worked > outcome.absences,
            "seed {seed}: most shifts are worked, {} of {}",
            outcome.worked,
            outcome.absences
        );
        assert_eq!(outcome.starved, 0, "seed {seed}");
    }
}

#[test]
fn nearer_job_shrinks_the_backlog() {
    for seed in 0..6 {
        let far = backlog(seed, &[]);
        let nearer = backlog(seed, &[("jobs.clerk.location", "[33, 11]")]);
        assert!(nearer.absences * 3 < far.absences * 2, "seed {seed}: {} of {}", nearer.absences, far.absences);
        assert!(nearer.waited * 2 < far.waited, "seed {seed}: {} of {}", nearer.waited, far.waited);
        assert!(!nearer.overflowed, "seed {seed}: {} waited", nearer.longest);
    }
}

#[test]
fn attendance_is_lower_for_far_jobs() {
    let mut town = Town::new(rules(BACKLOG, &[]), 7);
    for _ in 0..3_000 {
        town.step(&mut Scripted);
        town.clear_events();
    }
    let state = town.state();
    let outcomes = |name: &str| {
        let agents = &state.agents;
        let (job, _) = town.rules().jobs().find(|(_, job)| job.name == name).unwrap();
        let holders = agents.present.iter().filter(|agent| agents.job[**agent] == Some(job));
        let past: Vec<ShiftState> =
            holders.flat_map(|agent| agents.past[*agent]).flatten().map(|shift| shift.outcome).collect();
        past.iter().filter(|outcome| **outcome == ShiftState::Absent).count() * 100 / past.len()
    };
    assert!(outcomes("clerk") > 60 && outcomes("grocer") < 20);
    let attendance = kpi::read(town.rules(), state).find(|reading| reading.row.name == "attendance").unwrap();
    assert_eq!(attendance.verdict, kpi::Verdict::Missed);
}

//! The state machine under what may happen in any order, crashes included; and what is written of it.
//!
//! A model beside it counts windows and hashes for itself and is never asked the machine's own questions.

use proptest::prelude::*;

use super::rollout_log;
use super::state_machine::{BETTER, ConfigFingerprint, Event, Machine, NOT_BETTER, Origin, RUNNING, Restored, Stage};
use townlet_learn::evaluate::promotion_test::PromotionTest;
use townlet_learn::evaluate::safety_gate::{SafetyPlan, Tally};
use townlet_learn::evaluate::sequential_test::Plan;
use townlet_wire::learning::{Evidence, SafetyCheck};

const REQUIRED: u64 = 2;
const NAMES: [&str; 5] = ["scripted", "a", "b", "c", "d"];

fn origin() -> Origin {
    Origin {
        tick: 7,
        ts: "2026-01-01T00:00:00.000Z".into(),
        run: "run".into(),
        issuer: "test".into(),
        cmd_id: "id".into(),
    }
}

fn fingerprint(config: u8) -> ConfigFingerprint {
    ConfigFingerprint { config: config.to_string(), layout: "layout".into() }
}

/// Evidence with a verdict on the scores and one on safety.
fn judged(machine: &Machine, [score, safety]: [&str; 2], name: Option<&str>) -> Evidence {
    let candidate = name.or(machine.candidate()).unwrap_or_default().to_owned();
    let row = SafetyCheck {
        title: "starvation events".into(),
        verdict: safety.into(),
        pairs: 9,
        pairs_needed: 357,
        ..SafetyCheck::default()
    };
    let release = machine.release.clone();
    Evidence { candidate, release, verdict: score.into(), pairs: 9, safety: vec![row], ..Evidence::default() }
}

fn evidence(machine: &Machine, verdict: &str, name: Option<&str>) -> Evidence {
    judged(machine, [verdict, if verdict == BETTER { "passed" } else { RUNNING }], name)
}

fn machine() -> Machine {
    Machine::new("scripted", fingerprint(0), REQUIRED)
}

#[track_caller]
fn taken(machine: &mut Machine, events: &[Event]) {
    for event in events {
        machine.apply(event.clone(), &origin()).unwrap_or_else(|why| panic!("{event:?}: {why:?}"));
    }
}

fn named(name: &str) -> String {
    name.to_owned()
}

/// A machine whose candidate `a` may be promoted.
fn eligible() -> Machine {
    let mut machine = machine();
    taken(&mut machine, &[Event::Offered(named("a")), Event::Window(Some(true)), Event::Window(None)]);
    let better = evidence(&machine, BETTER, None);
    let judged = Event::Evidence(machine.evaluations, better, None);
    taken(&mut machine, &[judged, Event::Window(Some(true))]);
    assert_eq!(machine.stage, Stage::Eligible);
    machine
}

#[test]
fn the_whole_way_of_a_release_that_holds() {
    let mut machine = eligible();
    assert!(machine.blockers(Some("a")).is_empty());
    taken(&mut machine, &[Event::Promote(named("a"), String::new())]);
    assert_eq!(
        (machine.stage, machine.release.as_str()),
        (Stage::Promoting, "scripted"),
        "not before the pointer is flipped"
    );
    taken(&mut machine, &[Event::Activated, Event::Window(Some(true)), Event::Window(None)]);
    assert_eq!(
        (machine.stage, machine.release.as_str(), machine.previous.as_deref()),
        (Stage::Canary, "a", Some("scripted"))
    );
    taken(&mut machine, &[Event::Window(Some(true))]);
    assert_eq!(machine.stage, Stage::Stable);
    let way: Vec<&str> = machine.steps.iter().map(|step| step.to.word()).collect();
    assert_eq!(way, ["evaluating", "eligible", "promoting", "canary", "stable"]);
}

#[test]
fn every_blocker_is_named() {
    let mut machine = machine();
    assert_eq!(
        machine.apply(Event::Promote(named("a"), String::new()), &origin()),
        Err(vec!["there is no candidate".into()])
    );
    taken(&mut machine, &[Event::Offered(named("a")), Event::Window(Some(true))]);
    let blockers = machine.apply(Event::Promote(named("b"), String::new()), &origin()).unwrap_err().join("; ");
    for part in ["`b` is not the candidate", "`a`", "1 of 2 consecutive green windows", "not yet shown to be better"] {
        assert!(blockers.contains(part), "{part}: {blockers}");
    }
}

#[test]
fn a_candidate_that_scores_higher_waits_for_the_safety_gate() {
    let mut machine = machine();
    taken(&mut machine, &[Event::Offered(named("a")), Event::Window(Some(true)), Event::Window(Some(true))]);
    let undecided = judged(&machine, [BETTER, RUNNING], None);
    let evaluation = machine.evaluations;
    taken(&mut machine, &[Event::Evidence(evaluation, undecided, None)]);
    assert_eq!(machine.stage, Stage::Evaluating);
    assert!(machine.open_evaluation().is_some(), "more pairs are needed");
    assert_eq!(machine.blockers(Some("a")), ["starvation events: needs 357 more pairs"]);
    let unsafe_or_undecided = [("failed", "failed, worse in 0"), ("undecided", "not shown to be safe in 9 pairs")];
    for (verdict, words) in unsafe_or_undecided {
        let mut machine = machine.clone();
        let refused = judged(&machine, [BETTER, verdict], None);
        taken(&mut machine, &[Event::Evidence(evaluation, refused, None)]);
        let why = &machine.steps.last().expect("it is recorded").why;
        assert_eq!((machine.stage, machine.candidate()), (Stage::Idle, None));
        assert!(why.contains("`a` is refused: starvation events: ") && why.contains(words), "{why}");
    }
    let passed = judged(&machine, [BETTER, "passed"], None);
    taken(&mut machine, &[Event::Evidence(evaluation, passed, None)]);
    assert_eq!(machine.stage, Stage::Eligible);
}

#[test]
fn a_restart_continues_the_test_unless_the_town_has_changed() {
    let mut machine = machine();
    taken(&mut machine, &[Event::Offered(named("a"))]);
    let mut test = PromotionTest::new(Plan::default(), SafetyPlan::default());
    let mut earlier = None;
    for _ in 0..5 {
        test.add_pair(Some(0.125), [(Tally::default(), Tally::default()); 2]);
        let running = evidence(&machine, RUNNING, None);
        let found = Event::Evidence(machine.evaluations, running, Some(Box::new(test.clone())));
        taken(&mut machine, std::slice::from_ref(&found));
        earlier.get_or_insert(found);
    }
    // A thread that was replaced may report late.
    taken(&mut machine, &[earlier.expect("five were sent")]);
    assert_eq!(machine.test.as_ref(), Some(&test));
    let evaluation = machine.evaluations;
    let mut machine: Machine = serde_json::from_str(&serde_json::to_string(&machine).unwrap()).unwrap();
    machine.open("scripted", &fingerprint(0), REQUIRED, &origin());
    assert_eq!((machine.test.as_ref(), machine.evaluations), (Some(&test), evaluation));
    assert!(machine.open_evaluation().is_some());
    machine.open("scripted", &fingerprint(1), REQUIRED, &origin());
    assert_eq!((machine.test.as_ref(), machine.evaluations), (None, evaluation + 1));
}

#[test]
fn a_red_window_takes_eligibility_away() {
    let mut machine = eligible();
    taken(&mut machine, &[Event::Window(Some(false))]);
    assert_eq!((machine.stage, machine.green), (Stage::Evaluating, 0));
    taken(&mut machine, &[Event::Window(Some(true)), Event::Window(Some(true))]);
    assert_eq!(machine.stage, Stage::Eligible, "the evidence is still in");
}

#[test]
fn the_candidate_is_frozen_and_the_newest_waits() {
    let mut machine = machine();
    taken(&mut machine, &[Event::Offered(named("a")), Event::Offered(named("b")), Event::Offered(named("c"))]);
    assert_eq!((machine.candidate(), machine.waiting.as_deref()), (Some("a"), Some("c")));
    let worse = evidence(&machine, NOT_BETTER, None);
    let judged = Event::Evidence(machine.evaluations, worse, None);
    taken(&mut machine, &[judged]);
    assert_eq!((machine.candidate(), machine.waiting.as_deref()), (Some("c"), None));
    taken(&mut machine, &[Event::Offered(named("a"))]);
    assert_eq!(machine.waiting.as_deref(), None, "who was refused does not come again by itself");
    taken(&mut machine, &[Event::Nominated(named("a"))]);
    assert_eq!(machine.candidate(), Some("a"), "an operator may name them again");
}

#[test]
fn evidence_about_somebody_else_says_nothing() {
    let mut machine = machine();
    taken(&mut machine, &[Event::Offered(named("a")), Event::Window(Some(true)), Event::Window(Some(true))]);
    let other = evidence(&machine, BETTER, Some("b"));
    let judged = Event::Evidence(machine.evaluations, other, None);
    taken(&mut machine, &[judged]);
    assert_eq!((machine.stage, machine.evidence.as_ref()), (Stage::Evaluating, None));
}

#[test]
fn evidence_from_other_ground_says_nothing() {
    for verdict in [BETTER, NOT_BETTER] {
        let mut machine = machine();
        taken(&mut machine, &[Event::Offered(named("a"))]);
        let late = Event::Evidence(machine.evaluations, evidence(&machine, verdict, None), None);
        machine.open("scripted", &fingerprint(1), REQUIRED, &origin());
        taken(&mut machine, &[late, Event::Window(Some(true)), Event::Window(Some(true))]);
        assert_eq!((machine.stage, machine.evidence.as_ref()), (Stage::Evaluating, None), "{verdict}");
    }
}

#[test]
fn a_swap_passes_over_the_gates_and_a_rollback_goes_back() {
    let mut machine = machine();
    taken(&mut machine, &[Event::Swap(named("d"), named("drill")), Event::Activated]);
    assert_eq!((machine.stage, machine.release.as_str()), (Stage::Canary, "d"));
    taken(&mut machine, &[Event::Window(Some(false))]);
    assert!(machine.is_red());
    taken(&mut machine, &[Event::Rollback(Restored::Previous, named("it starves them"))]);
    assert_eq!(
        (machine.stage, machine.release.as_str(), machine.previous.as_deref()),
        (Stage::RolledBack, "scripted", None)
    );
    assert!(
        machine.apply(Event::Rollback(Restored::Previous, String::new()), &origin()).is_err(),
        "there is nothing before it"
    );
    assert!(machine.apply(Event::Swap(named("scripted"), String::new()), &origin()).is_err(), "it is the release");
}

#[test]
fn a_rollback_that_names_its_release_restores_that_one_or_nothing() {
    let mut machine = machine();
    taken(&mut machine, &[Event::Swap(named("a"), String::new()), Event::Activated]);
    let rollback = |to: Restored| Event::Rollback(to, String::new());
    let expects = |name: &str| rollback(Restored::Expected(named(name)));
    let refused = |machine: &mut Machine, name| machine.apply(expects(name), &origin()).unwrap_err().join("; ");
    assert_eq!(refused(&mut machine, "b"), "the release before `a` is `scripted`, not `b`");
    assert_eq!(refused(&mut machine, "a"), "`a` drives the town already");
    assert_eq!(machine.release, "a");
    let mut other = machine.clone();
    taken(&mut machine, &[expects("scripted")]);
    assert_eq!((machine.stage, machine.release.as_str()), (Stage::RolledBack, "scripted"));
    assert_eq!(refused(&mut machine, "a"), "there is no release before `scripted`");
    // Another operator has gone back in another way meanwhile: the same rollback would undo that.
    taken(&mut other, &[Event::Swap(named("scripted"), String::new()), Event::Activated]);
    assert_eq!(refused(&mut other, "scripted"), "`scripted` drives the town already");
    assert_eq!((other.release.as_str(), other.previous.as_deref()), ("scripted", Some("a")));
}

#[test]
fn a_swap_that_breaks_off_leaves_the_canary_on_trial() {
    let mut machine = machine();
    taken(&mut machine, &[Event::Swap(named("a"), String::new()), Event::Activated]);
    taken(&mut machine, &[Event::Swap(named("b"), String::new()), Event::ActivationFailed("the disk is full".into())]);
    assert_eq!(
        (machine.stage, machine.release.as_str(), machine.previous.as_deref()),
        (Stage::Canary, "a", Some("scripted"))
    );
}

#[test]
fn what_is_held_moves_only_when_it_is_let_go() {
    let mut machine = eligible();
    taken(&mut machine, &[Event::Hold(true, "a fair".into()), Event::Window(Some(true)), Event::Offered(named("c"))]);
    assert_eq!((machine.stage, machine.candidate(), machine.evidence.is_none()), (Stage::Held, None, true));
    assert!(machine.apply(Event::Promote(named("a"), String::new()), &origin()).is_err());
    taken(&mut machine, &[Event::Hold(false, String::new())]);
    assert_eq!((machine.stage, machine.candidate(), machine.green), (Stage::Evaluating, Some("c"), 0));
    assert_eq!(machine.steps.last().map(|step| step.why.as_str()), Some("evaluating `c`: it was waiting"));
}

#[test]
fn rows_are_written_once_whatever_a_crash_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ops/rollouts.md");
    let mut machine = eligible();
    taken(&mut machine, &[Event::Promote(named("a"), named("Friday's release")), Event::Activated]);
    let write = |machine: &Machine, steps: &[super::state_machine::Step]| {
        rollout_log::append(&path, "harbour", steps, &machine.fingerprint, machine.evidence.as_ref()).unwrap();
        std::fs::read_to_string(&path).unwrap().lines().filter(|line| line.starts_with("| harbour")).count()
    };
    assert_eq!(write(&machine, &machine.steps), 1, "the promotion alone is a change of the release");
    taken(&mut machine, &[Event::Rollback(Restored::Previous, "a|b\n".into())]);
    assert_eq!(write(&machine, &machine.steps), 2);
    assert_eq!(write(&machine, &machine.steps), 2, "none is written twice");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("| harbour | 1 |") && text.contains("| harbour | 2 |"), "numbers have no gaps: {text}");
    for part in [
        "promotion",
        "`scripted` → `a`",
        "canary: `a` drives the town in place of `scripted`: Friday's release |",
        "better",
        "starvation events: passed after 9 pairs",
        "rollback",
        "`a` → `scripted`",
        "rolled_back: back to `scripted` from `a`: a\\|b\\u{a} |",
        "| id |",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

/// What may happen, drawn by chance.
#[derive(Clone, Debug)]
enum Draw {
    Window(Option<bool>),
    Offer(usize),
    Nominate(usize),
    Verdict([&'static str; 2], Option<usize>),
    Promote(usize),
    PromoteCandidate,
    Swap(usize),
    Flip(bool),
    Rollback(Option<usize>),
    Hold(bool),
    Crash { fingerprint: u8, configured: usize, written: bool },
}

fn draw() -> impl Strategy<Value = Draw> {
    let name = 0..NAMES.len();
    prop_oneof![
        6 => prop_oneof![4 => Just(Some(true)), 1 => Just(Some(false)), 1 => Just(None)].prop_map(Draw::Window),
        3 => name.clone().prop_map(Draw::Offer),
        1 => name.clone().prop_map(Draw::Nominate),
        4 => (
            prop_oneof![4 => Just(BETTER), 1 => Just(NOT_BETTER), 1 => Just(RUNNING)],
            prop_oneof![6 => Just("passed"), 1 => Just("failed"), 1 => Just("undecided"), 2 => Just(RUNNING)],
            prop_oneof![4 => Just(None), 1 => name.clone().prop_map(Some)],
        )
            .prop_map(|(score, safety, about)| Draw::Verdict([score, safety], about)),
        1 => name.clone().prop_map(Draw::Promote),
        4 => Just(Draw::PromoteCandidate),
        1 => name.clone().prop_map(Draw::Swap),
        3 => any::<bool>().prop_map(Draw::Flip),
        1 => prop_oneof![Just(None), name.clone().prop_map(Some)].prop_map(Draw::Rollback),
        1 => any::<bool>().prop_map(Draw::Hold),
        2 => (0..8_u8, 0..8_usize, any::<bool>()).prop_map(|(fingerprint, configured, written)| Draw::Crash {
            // Mostly the same fingerprint and configuration as before.
            fingerprint: u8::from(fingerprint == 0),
            configured: usize::from(configured == 0),
            written,
        }),
    ]
}

/// What is counted beside the machine: which policies the disk and the town follow, and what speaks for the candidate.
struct Model {
    machine: Machine,
    /// The file's bytes.
    disk: String,
    /// The policy that drives the town.
    driver: String,
    fingerprint: ConfigFingerprint,
    /// What the evaluation now under way is about, with the green windows and the verdict since it began.
    about: (Option<String>, String, ConfigFingerprint),
    greens: u64,
    better: bool,
    /// The same as of the last write.
    kept: ((Option<String>, String, ConfigFingerprint), u64, bool),
    written: bool,
}

impl Model {
    fn new() -> Self {
        let machine = machine();
        let about = (None, named("scripted"), fingerprint(0));
        let disk = serde_json::to_string(&machine).unwrap();
        let kept = (about.clone(), 0, false);
        let (driver, fingerprint, greens) = (named("scripted"), fingerprint(0), 0);
        Self { machine, disk, driver, fingerprint, about, greens, better: false, kept, written: false }
    }

    fn write(&mut self) {
        self.disk = serde_json::to_string(&self.machine).unwrap();
        self.written = true;
    }

    /// Whatever the evaluation is about has changed: nothing that was counted counts.
    fn follow(&mut self) {
        let judged = self.machine.candidate().map(str::to_owned);
        let timestamp = (judged, self.machine.release.clone(), self.fingerprint.clone());
        if timestamp != self.about {
            (self.about, self.greens, self.better) = (timestamp, 0, false);
        }
    }

    fn happens(&mut self, draw: &Draw) {
        let name = |place: usize| NAMES[place].to_owned();
        let before = self.machine.evaluations;
        match draw {
            Draw::Window(green) => {
                match green {
                    Some(true) => self.greens += 1,
                    Some(false) => self.greens = 0,
                    None => {}
                }
                self.machine.apply(Event::Window(*green), &origin()).unwrap();
                self.write();
            }
            Draw::Offer(place) => {
                self.machine.apply(Event::Offered(name(*place)), &origin()).unwrap();
                self.write();
            }
            Draw::Nominate(place) => {
                let done = self.machine.apply(Event::Nominated(name(*place)), &origin());
                if done.is_ok() {
                    (self.greens, self.better) = (0, false);
                    self.write();
                }
            }
            Draw::Verdict(verdicts, about) => {
                let it = judged(&self.machine, *verdicts, about.map(|place| NAMES[place]));
                let counts = self.machine.candidate() == Some(&it.candidate) && self.machine.stage == Stage::Evaluating;
                self.better |= counts && *verdicts == [BETTER, "passed"];
                let evaluation = self.machine.evaluations;
                self.machine.apply(Event::Evidence(evaluation, it, None), &origin()).unwrap();
                self.write();
            }
            Draw::Promote(place) => self.promote(name(*place)),
            Draw::PromoteCandidate => self.promote(self.machine.candidate().unwrap_or("nobody").to_owned()),
            Draw::Swap(place) => {
                if self.machine.apply(Event::Swap(name(*place), String::new()), &origin()).is_ok() {
                    self.write();
                }
            }
            Draw::Flip(true) if self.machine.stage == Stage::Promoting => {
                self.machine.apply(Event::Activated, &origin()).unwrap();
                self.write();
                self.driver = self.machine.release.clone();
            }
            Draw::Flip(_) => self.machine.apply(Event::ActivationFailed("the disk".into()), &origin()).unwrap(),
            Draw::Rollback(to) => {
                if self
                    .machine
                    .apply(
                        Event::Rollback(
                            to.map_or(Restored::Previous, |to| Restored::Snapshot(name(to))),
                            String::new(),
                        ),
                        &origin(),
                    )
                    .is_ok()
                {
                    self.driver = self.machine.release.clone();
                    // Whether the file follows before the next crash is chance.
                    if self.greens.is_multiple_of(2) {
                        self.write();
                    }
                }
            }
            Draw::Hold(on) => {
                if self.machine.apply(Event::Hold(*on, String::new()), &origin()).is_ok() {
                    (self.greens, self.better) = (0, false);
                    self.write();
                }
            }
            Draw::Crash { fingerprint: config, configured, written } => {
                self.crash(*config, NAMES[*configured], *written);
            }
        }
        // Judged anew is counted anew, also when it is the same candidate; a restart loses pairs and no window.
        if self.machine.evaluations != before && !matches!(draw, Draw::Crash { .. }) {
            (self.greens, self.better) = (0, false);
        }
        self.follow();
        if std::mem::take(&mut self.written) {
            self.kept = (self.about.clone(), self.greens, self.better);
        }
    }

    fn promote(&mut self, name: String) {
        let counted = (self.greens >= REQUIRED, self.better);
        let bound = self.about.clone();
        if self.machine.apply(Event::Promote(name.clone(), String::new()), &origin()).is_ok() {
            assert_eq!(counted, (true, true), "promoted with {} green windows, better: {}", self.greens, self.better);
            assert_eq!(bound, (Some(name), self.machine.release.clone(), self.fingerprint.clone()));
            self.write();
        }
    }

    /// The process dies; a pointer that was about to be flipped was, or was not.
    fn crash(&mut self, config: u8, configured: &str, written: bool) {
        if written && self.machine.stage == Stage::Promoting {
            let mut flipped = self.machine.clone();
            flipped.apply(Event::Activated, &origin()).unwrap();
            self.disk = serde_json::to_string(&flipped).unwrap();
        }
        // What was not written yet is as if it had never been.
        (self.about, self.greens, self.better) = self.kept.clone();
        self.machine = serde_json::from_str(&self.disk).unwrap();
        self.fingerprint = fingerprint(config);
        self.machine.open(configured, &self.fingerprint, REQUIRED, &origin());
        self.write();
        self.driver = self.machine.release.clone();
    }

    fn check(&self) {
        let disk: Machine = serde_json::from_str(&self.disk).unwrap();
        let (machine, stage) = (&self.machine, self.machine.stage);
        assert_eq!(self.driver, machine.release.as_str(), "one policy drives the town, and it is the release");
        assert!(disk.stage != Stage::Canary || disk.previous.is_some(), "a canary has a release before it");
        assert_ne!(machine.candidate(), Some(machine.release.as_str()), "the release is not judged against itself");
        assert_eq!(machine.target().is_some(), stage == Stage::Promoting);
        if stage == Stage::Eligible {
            assert!(self.greens >= REQUIRED && self.better, "eligible with {} and {}", self.greens, self.better);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_thousand_ways_that_it_may_go(draws in prop::collection::vec(draw(), 1..60)) {
        let mut model = Model::new();
        for draw in &draws {
            model.happens(draw);
            model.check();
        }
    }
}

//! Evaluation: deterministic records, pairing by seed, the invariant monitor, and the tests of a candidate.

mod promotion_test;
mod sequential;

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use townlet_learn::Scripted;
use townlet_learn::evaluate::invariant_monitor::InvariantMonitor;
use townlet_learn::evaluate::{Record, SIGNS, Span, differences, evaluate};
use townlet_town::affordances::{Access, Affordance};
use townlet_town::fixed_point::Micro;
use townlet_town::ids::ObjectId;
use townlet_town::kpi::KPIS;
use townlet_town::plan::ObjectKind;
use townlet_town::state::{Activity, Waiter};
use townlet_town::{Decider, OptionKind, Policy, Rules, State, Town};

use crate::default_rules;

/// A policy that always waits.
struct Idle;

impl Policy for Idle {
    fn decide(&mut self, _: &Town, deciders: &[Decider], choices: &mut Vec<OptionKind>) {
        choices.extend(deciders.iter().map(|_| OptionKind::Wait));
    }
}

const SPAN: Span = Span { seed: 40, seeds: 5, days: 2 };

fn scripted(rules: &Arc<Rules>, threads: usize, span: Span) -> Vec<Record> {
    evaluate(rules, span, crate::threads(threads), |_| Scripted, || ())
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let rules = default_rules(&[]);
    let message = AtomicUsize::new(0);
    let done = || _ = message.fetch_add(1, Ordering::Relaxed);
    let one = evaluate(&rules, SPAN, NonZero::<usize>::MIN, |_| Scripted, done);
    assert_eq!((message.into_inner(), one.len()), (5, 5));
    let many = scripted(&rules, 4, SPAN);
    for (one, many) in one.iter().zip(&many) {
        assert_eq!((one.seed, &one.digest, one.score()), (many.seed, &many.digest, many.score()));
        let figures =
            |record: &Record| (0..KPIS.len()).map(|index| record.kpi(index).map(f64::to_bits)).collect::<Vec<_>>();
        assert_eq!(figures(one), figures(many));
    }
    assert!(one.windows(2).all(|pair| pair[0].seed + 1 == pair[1].seed && pair[0].digest != pair[1].digest));
}

#[test]
fn a_record_matches_a_town_stepped_by_hand() {
    let rules = default_rules(&[]);
    let record = &scripted(&rules, 1, Span { seed: 7, seeds: 1, days: 2 })[0];
    let mut town = Town::new(Arc::clone(&rules), 7);
    let mut waits = 0;
    for _ in 0..2 {
        for _ in 0..rules.day_length() {
            town.step(&mut Scripted);
            town.clear_events();
        }
        waits += u64::from(town.state().days.days[0].waits);
    }
    assert_eq!((&record.digest, record.total(SIGNS[0].count)), (&town.digest(), waits));
    let last = townlet_town::score::last(&rules, town.state());
    assert_eq!((record.days.len(), record.days[1].score), (2, last));
    assert_eq!((&record.money, &record.deadlock), (&None, &None));
}

#[test]
fn policies_are_paired_by_seed() {
    let rules = default_rules(&[("lifecycle.mortality", "off"), ("economy.rent_per_day", "0")]);
    let alive = scripted(&rules, 2, SPAN);
    let mut idle = evaluate(&rules, SPAN, NonZero::<usize>::MIN, |_| Idle, || ());
    let expected: Vec<f64> =
        alive.iter().zip(&idle).map(|(ours, theirs)| ours.score().unwrap() - theirs.score().unwrap()).collect();
    assert!(expected.iter().all(|difference| *difference > 0.1), "{expected:?}");
    idle.reverse();
    assert_eq!(differences(&alive, &idle), expected, "in any order");
    idle.retain(|record| record.seed != 40);
    assert_eq!(differences(&alive, &idle), expected[1..], "only the seeds of both");
    assert!(differences(&alive, &alive).iter().all(|difference| *difference == 0.0));
}

/// The monitor of a town whose state was changed behind its back.
fn seen(edit: impl Fn(&mut State)) -> InvariantMonitor {
    let rules = default_rules(&[]);
    let mut town = Town::new(Arc::clone(&rules), 7);
    let mut monitor = InvariantMonitor::new(&town);
    let mut live = |town: &mut Town, until: u64| {
        while town.tick() < until {
            town.step(&mut Scripted);
            monitor.check(town);
            town.clear_events();
        }
    };
    live(&mut town, 2_345);
    let mut state = town.state().clone();
    edit(&mut state);
    let mut town = Town::resume(rules, state).expect("the edited state is valid");
    live(&mut town, 4_000);
    monitor
}

#[test]
fn an_untouched_town_has_no_violation() {
    let monitor = seen(|_| ());
    assert_eq!((monitor.money, monitor.deadlock), (None, None));
}

#[test]
fn unexplained_money_is_found_even_when_the_accounts_agree() {
    let monitor = seen(|state| {
        let agent = state.agents.present[2];
        state.agents.wallet[agent] += Micro(1);
        state.economy.outside -= Micro(1);
    });
    let violation = monitor.money.expect("it is seen");
    assert_eq!(violation.tick, 2_346);
    assert!(violation.what.contains("holds"), "{}", violation.what);
    let monitor = seen(|state| state.economy.outside += Micro(1));
    assert!(monitor.money.is_some_and(|violation| violation.what.contains("the outside world")));
}

#[test]
fn a_stuck_queue_is_found() {
    let rules = default_rules(&[]);
    // The shower in the gym, which is open to everyone.
    let public = |what: &Affordance| what.object == ObjectKind::Shower && what.access == Access::Public;
    let id = rules.affordances.iter().position(public).expect("the gym has a shower");
    let affordance = townlet_town::ids::AffordanceId(id as u16);
    let choices = &rules.choices[OptionKind::Wash.index()];
    let object = choices.iter().find(|choice| choice.1 == affordance).expect("there is a shower").0;
    // One resident uses it forever and one waits.
    let monitor = seen(move |state| stand(state, object, affordance));
    let violation = monitor.deadlock.expect("it is seen");
    assert!(violation.what.contains("nothing moves"), "{}", violation.what);
    assert!(violation.tick > 2_500, "not at once: {}", violation.tick);
}

fn stand(state: &mut State, object: ObjectId, affordance: townlet_town::ids::AffordanceId) {
    let idle = |agent: &townlet_town::AgentId| state.agents.activity[*agent] == Activity::Idle;
    let mut free = state.agents.present.iter().copied().filter(idle);
    let (user, waiter) = (free.next().expect("an idle resident"), free.next().expect("a second one"));
    state.agents.activity[user] = Activity::Using(object, affordance, 1_000_000);
    state.agents.activity[waiter] = Activity::Waiting(object, affordance);
    for agent in [user, waiter] {
        state.agents.option[agent] = OptionKind::Wash;
        state.agents.possessed[agent] = true;
    }
    state.objects[object].uses = vec![user];
    state.objects[object].queue = vec![Waiter { agent: waiter, affordance, since: state.tick }];
}

#[test]
fn money_is_conserved_with_rent_debts_and_exits() {
    let rules = default_rules(&[("economy.rent_per_day", "6")]);
    let records = scripted(&rules, 2, Span { seed: 1, seeds: 4, days: 8 });
    assert!(records.iter().all(|record| record.total(|day| day.involuntary_exits) > 0), "there were evictions");
    for record in records {
        assert_eq!((record.money, record.deadlock), (None, None), "seed {}", record.seed);
    }
}

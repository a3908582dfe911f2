//! Evaluation: the same records whatever the threads, pairs on the same seeds, a watch that sees what goes wrong, and a
//! sequential test that errs as rarely as it says.

mod sequential;

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use townlet_learn::Scripted;
use townlet_learn::evaluate::invariant_monitor::Watch;
use townlet_learn::evaluate::{Record, SIGNS, Span, differences, evaluate};
use townlet_town::affordances::{Access, Affordance};
use townlet_town::config::{DEFAULT_PERTURBATIONS, Layers, load};
use townlet_town::fixed_point::Micro;
use townlet_town::ids::{ObjectId, PlaceId};
use townlet_town::kpi::KPIS;
use townlet_town::plan::ObjectKind;
use townlet_town::state::{Activity, Waiter};
use townlet_town::{Decider, OptionKind, Policy, Rules, Sources, State, Town};

fn rules(flags: &[(&str, &str)]) -> Arc<Rules> {
    let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let sources = Sources {
        config: load(&Layers { flags, ..Layers::default() }).expect("the settings hold").config,
        plan: ("default.txt".into(), include_str!("../../../../configs/towns/default.txt").into()),
        affordances: ("affordances.yaml".into(), include_str!("../../../../configs/affordances.yaml").into()),
        perturbations: ("perturbations.yaml".into(), DEFAULT_PERTURBATIONS.into()),
    };
    Arc::new(Rules::new(sources).expect("the town can be made"))
}

/// Nobody does anything.
struct Idle;

impl Policy for Idle {
    fn decide(&mut self, _: &Town, deciders: &[Decider], choices: &mut Vec<OptionKind>) {
        choices.extend(deciders.iter().map(|_| OptionKind::Wait));
    }
}

const SPAN: Span = Span { seed: 40, seeds: 5, days: 2 };

fn scripted(rules: &Arc<Rules>, threads: usize, span: Span) -> Vec<Record> {
    evaluate(rules, span, NonZero::new(threads).unwrap(), |_| Scripted, || ())
}

#[test]
fn threads_make_no_difference() {
    let rules = rules(&[]);
    let told = AtomicUsize::new(0);
    let done = || _ = told.fetch_add(1, Ordering::Relaxed);
    let one = evaluate(&rules, SPAN, NonZero::<usize>::MIN, |_| Scripted, done);
    assert_eq!((told.into_inner(), one.len()), (5, 5));
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
fn a_record_is_of_the_town_that_a_hand_would_step() {
    let rules = rules(&[]);
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
    let rules = rules(&[("lifecycle.mortality", "off"), ("economy.rent_per_day", "0")]);
    let alive = scripted(&rules, 2, SPAN);
    let mut idle = evaluate(&rules, SPAN, NonZero::<usize>::MIN, |_| Idle, || ());
    let expected: Vec<f64> =
        alive.iter().zip(&idle).map(|(ours, theirs)| ours.score().unwrap() - theirs.score().unwrap()).collect();
    assert!(expected.iter().all(|difference| *difference > 0.1), "{expected:?}");
    idle.reverse();
    assert_eq!(differences(&alive, &idle), expected, "whatever their order");
    idle.retain(|record| record.seed != 40);
    assert_eq!(differences(&alive, &idle), expected[1..], "only seeds that both have");
    assert!(differences(&alive, &alive).iter().all(|difference| *difference == 0.0));
}

/// A town at some tick, its watch, and what the watch says once the state was changed behind the town's back.
fn seen(edit: impl Fn(&mut State)) -> Watch {
    let rules = rules(&[]);
    let mut town = Town::new(Arc::clone(&rules), 7);
    let mut watch = Watch::new(&town);
    let mut live = |town: &mut Town, until: u64| {
        while town.tick() < until {
            town.step(&mut Scripted);
            watch.look(town);
            town.clear_events();
        }
    };
    live(&mut town, 2_345);
    let mut state = town.state().clone();
    edit(&mut state);
    let mut town = Town::resume(rules, state).expect("the edited state is in order");
    live(&mut town, 4_000);
    watch
}

#[test]
fn a_town_left_alone_has_no_fault() {
    let watch = seen(|_| ());
    assert_eq!((watch.money, watch.deadlock), (None, None));
}

#[test]
fn a_millionth_from_nowhere_is_seen_even_when_the_towns_own_books_agree() {
    let watch = seen(|state| {
        let agent = state.agents.present[2];
        state.agents.wallet[agent] += Micro(1);
        state.economy.outside -= Micro(1);
    });
    let fault = watch.money.expect("it is seen");
    assert_eq!(fault.tick, 2_346);
    assert!(fault.what.contains("holds"), "{}", fault.what);
    let watch = seen(|state| state.economy.outside += Micro(1));
    assert!(watch.money.is_some_and(|fault| fault.what.contains("the outside world")));
}

#[test]
fn a_queue_in_which_nothing_moves_is_seen() {
    let rules = rules(&[]);
    // The one in the gym, which is open to everybody.
    let public = |what: &Affordance| what.object == ObjectKind::Shower && what.access == Access::Public;
    let id = rules.affordances.iter().position(public).expect("one can wash at the gym");
    let affordance = townlet_town::ids::AffordanceId(id as u16);
    let choices = &rules.choices_at[PlaceId(0)][OptionKind::Wash.index()];
    let object = choices.iter().find(|choice| choice.1 == affordance).expect("there is a shower").0;
    // Somebody uses it for ever and somebody waits.
    let watch = seen(move |state| stand(state, object, affordance));
    let fault = watch.deadlock.expect("it is seen");
    assert!(fault.what.contains("nothing moves"), "{}", fault.what);
    assert!(fault.tick > 2_500, "not at once: {}", fault.tick);
}

fn stand(state: &mut State, object: ObjectId, affordance: townlet_town::ids::AffordanceId) {
    let idle = |agent: &townlet_town::AgentId| state.agents.activity[*agent] == Activity::Idle;
    let mut free = state.agents.present.iter().copied().filter(idle);
    let (user, waiter) = (free.next().expect("somebody is idle"), free.next().expect("and somebody else"));
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
fn the_ledger_holds_while_rent_is_owed_and_people_come_and_go() {
    let rules = rules(&[("economy.rent_per_day", "6")]);
    let records = scripted(&rules, 2, Span { seed: 1, seeds: 4, days: 8 });
    assert!(records.iter().all(|record| record.total(|day| day.involuntary_exits) > 0), "nobody was evicted");
    for record in records {
        assert_eq!((record.money, record.deadlock), (None, None), "seed {}", record.seed);
    }
}

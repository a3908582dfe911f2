//! Rollouts match a naive loop over the same towns.

use std::collections::BTreeMap;
use std::sync::Arc;

use allocation_counter::measure;
use townlet_learn::network::{ActorCritic, Forward, Normalizer, Output};
use townlet_learn::ppo::Batch;
use townlet_learn::rollout::decision_buffer::{DecisionBuffer, Successor};
use townlet_learn::rollout::training_rewards::TrainingRewards;
use townlet_learn::rollout::{BehaviorPolicy, Rollout};
use townlet_learn::{ReplayPolicy, seeds, train};
use townlet_town::observations::{Layout, layout};
use townlet_town::options::OPTIONS;
use townlet_town::{AgentId, ResidentId, Rules, Town};

use super::rules;
use crate::threads;

const SEED: u64 = 11;

fn network(rules: &Rules) -> Forward {
    let shape = train::shape(rules);
    Forward::new(shape, &ActorCritic::new(shape, SEED).weights())
}

/// A rollout before it is gathered.
fn collect_rollout(rules: &Arc<Rules>, behavior_policy: BehaviorPolicy) -> Rollout {
    let forward = network(rules);
    let mut rollout = Rollout::new(rules, SEED, &forward);
    rollout.collect(&forward, &Normalizer::new(forward.shape().observation), behavior_policy, threads(2), &|| true);
    rollout
}

/// One resident in the naive loop: each tick's reward, and the ticks of their decisions.
#[derive(Default)]
struct Naive {
    rewards: Vec<f64>,
    decided: Vec<(usize, usize)>,
    left: bool,
}

/// Replays a replica's first town with its chosen options and records everything.
fn replay_naively(
    rules: &Arc<Rules>,
    replica: u32,
    ticks: u64,
    decisions: &DecisionBuffer,
) -> BTreeMap<ResidentId, Naive> {
    let mut town = Town::new(Arc::clone(rules), seeds::training(SEED, replica, 0));
    let mut recorded = ReplayPolicy::default();
    recorded.extend(decisions.actions.iter().map(|action| OPTIONS[*action as usize].0));
    let mut lives: BTreeMap<ResidentId, Naive> = BTreeMap::new();
    let mut rewards = TrainingRewards::new(rules, town.state());
    let mut at = 0;
    for _ in 0..ticks {
        town.step(&mut recorded);
        let who_had: BTreeMap<AgentId, ResidentId> =
            town.departures().iter().map(|gone| (gone.agent, gone.who)).collect();
        for (agent, _) in town.decisions() {
            let who = who_had.get(&agent).copied().unwrap_or(town.state().agents.resident[agent]);
            let life = lives.entry(who).or_default();
            life.decided.push((life.rewards.len(), at));
            at += 1;
        }
        rewards.tick(&town, |_, who, left, reward| {
            let life = lives.entry(who).or_default();
            life.rewards.push(reward);
            life.left |= left;
        });
    }
    assert_eq!((recorded.missing(), at), (0, decisions.len()), "the same decisions were asked for");
    lives
}

fn near(found: f32, wanted: f64) -> bool {
    (f64::from(found) - wanted).abs() <= 1e-5 * wanted.abs().max(1.0)
}

#[test]
fn rewards_discounts_and_ends_match_a_naive_loop() {
    // Long enough for exits and arrivals, without a horizon.
    let flags = [
        ("training.rollout_ticks", "2500"),
        ("training.horizon_days", "1000"),
        ("training.replicas", "3"),
        ("embedding_allocator.max_slots", "8"),
    ];
    let rules = rules(&flags);
    let gamma = rules.config.ppo.gamma.to_f64();
    let rollout = collect_rollout(&rules, BehaviorPolicy::Network);
    let (mut exits, mut sums) = (0, 0);
    for (replica, decisions) in rollout.decisions().enumerate() {
        let lives = replay_naively(&rules, replica as u32, 2_500, decisions);
        for life in lives.values() {
            for (place, (tick, at)) in life.decided.iter().enumerate() {
                let next = life.decided.get(place + 1);
                let end = next.map_or(life.rewards.len(), |next| next.0);
                let worth: f64 = (*tick..end).map(|it| gamma.powi((it - tick) as i32) * life.rewards[it]).sum();
                let handed_on = gamma.powi((end - tick) as i32);
                match (next, life.left) {
                    (Some((_, next)), _) => {
                        assert_eq!(decisions.successors[*at], Successor::Decision(*next as u32));
                        assert!(near(decisions.rewards[*at], worth), "{} {worth}", decisions.rewards[*at]);
                        assert!(near(decisions.discounts[*at], handed_on));
                        sums += 1;
                    }
                    (None, true) => {
                        assert_eq!(decisions.successors[*at], Successor::Terminated);
                        assert!(near(decisions.rewards[*at], worth), "{} {worth}", decisions.rewards[*at]);
                        assert!(decisions.discounts[*at].abs() < f32::EPSILON, "an exit has no successor");
                        exits += 1;
                    }
                    (None, false) => assert_eq!(decisions.successors[*at], Successor::Open),
                }
                assert_eq!(decisions.continues_episode[*at], place > 0, "an episode starts with its resident");
            }
        }
    }
    assert!(exits > 5 && sums > 1_000, "{exits} exits, {sums} sums");
}

/// The network's values of the states of all residents present.
fn worth(town: &Town, layout: &Layout, forward: &mut Forward) -> Vec<f32> {
    let mut rows = vec![0.0; town.state().agents.present.len() * layout.width];
    layout.observe_all(town, &mut rows);
    let mut out = Output::default();
    forward.run(&rows, &mut out);
    out.values
}

#[test]
fn the_horizon_truncates_with_the_value_of_the_last_state() {
    let rules =
        rules(&[("training.replicas", "1"), ("training.horizon_days", "1"), ("training.rollout_ticks", "1000")]);
    let rollout = collect_rollout(&rules, BehaviorPolicy::Network);
    let decisions = rollout.decisions().next().expect("a replica");
    let mut town = Town::new(Arc::clone(&rules), seeds::training(SEED, 0, 0));
    let mut recorded = ReplayPolicy::default();
    recorded.extend(decisions.actions.iter().map(|action| OPTIONS[*action as usize].0));
    (0..1_000).for_each(|_| town.step(&mut recorded));
    let values = worth(&town, layout(rules.config.features.systems.observations), &mut network(&rules));
    let cut: Vec<f32> = decisions
        .successors
        .iter()
        .filter_map(|then| match then {
            Successor::Truncated(value) => Some(*value),
            _ => None,
        })
        .collect();
    let sorted = |mut values: Vec<f32>| {
        values.sort_by(f32::total_cmp);
        values
    };
    assert_eq!(sorted(cut), sorted(values), "exactly the residents present");
    assert!(!decisions.successors.contains(&Successor::Open), "nothing is open at the horizon");
}

#[test]
fn choices_respect_the_mask_and_the_scripted_policy_is_followed_exactly() {
    let rules = rules(&[]);
    for behavior_policy in [BehaviorPolicy::Network, BehaviorPolicy::Scripted] {
        let mut rollout = collect_rollout(&rules, behavior_policy);
        for decisions in rollout.decisions() {
            assert!(
                decisions.actions.iter().zip(&decisions.action_masks).all(|(action, mask)| mask >> action & 1 == 1)
            );
        }
        let (mut batch, mut scale) = (Batch::default(), Normalizer::new(train::shape(&rules).observation));
        let tally = rollout.gather(&mut batch, &mut scale, &|| true).expect("nothing interrupts it");
        assert_eq!((tally.invalid, scale.count() > 0.0), (0, true));
        assert!(tally.decisions > 100 && batch.len() as u64 <= tally.decisions);
        if matches!(behavior_policy, BehaviorPolicy::Scripted) {
            let mut town = Town::new(Arc::clone(&rules), seeds::training(SEED, 4, 0));
            let mut chosen = Vec::new();
            for _ in 0..200 {
                town.step(&mut townlet_learn::Scripted);
                chosen.extend(town.decisions().map(|(_, option)| option.index() as u8));
            }
            let again = collect_rollout(&rules, behavior_policy);
            assert_eq!(again.decisions().nth(4).expect("five").actions, chosen);
        }
    }
}

#[test]
fn two_rollouts_equal_one_of_twice_the_length() {
    // Open decisions continue in the next batch: no reward is lost and none is counted twice.
    let sums = |ticks: &str, rounds: usize| {
        let rules = rules(&[("training.rollout_ticks", ticks), ("training.horizon_days", "1000")]);
        let forward = network(&rules);
        let mut rollout = Rollout::new(&rules, SEED, &forward);
        let scale = Normalizer::new(forward.shape().observation);
        let mut rewards: Vec<(u8, u32)> = Vec::new();
        for _ in 0..rounds {
            rollout.collect(&forward, &scale, BehaviorPolicy::Network, threads(1), &|| true);
            for decisions in rollout.decisions() {
                let closed = (0..decisions.len()).filter(|at| decisions.successors[*at] != Successor::Open);
                rewards.extend(closed.map(|at| (decisions.actions[at], decisions.rewards[at].to_bits())));
            }
            rollout.gather(&mut Batch::default(), &mut scale.empty(), &|| true).expect("nothing interrupts it");
        }
        rewards.sort_unstable();
        rewards
    };
    let (long, short) = (sums("600", 1), sums("200", 3));
    assert!(long.len() > 300);
    assert_eq!(long, short);
}

#[test]
fn the_ticks_of_a_rollout_allocate_nothing() {
    let rules = rules(&[("training.horizon_days", "1000"), ("training.rollout_ticks", "300")]);
    let forward = network(&rules);
    let mut rollout = Rollout::new(&rules, SEED, &forward);
    let (mut batch, scale) = (Batch::default(), Normalizer::new(forward.shape().observation));
    let mut asked = Vec::new();
    for _ in 0..9 {
        let counted = measure(|| {
            rollout.collect(&forward, &scale, BehaviorPolicy::Network, threads(1), &|| true);
        });
        asked.push(counted.count_total);
        rollout.gather(&mut batch, &mut scale.empty(), &|| true).expect("nothing interrupts it");
    }
    // The rest is allocated once per rollout, day or exit: far less than once per tick.
    let most = asked[6..].iter().max().expect("three");
    assert!(*most < 60, "{asked:?}");
}

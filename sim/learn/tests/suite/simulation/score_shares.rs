//! The training objective: the residents' shares of a day add up to its town score, in random towns with exits and arrivals.
//! Rule: "Training objective".

use std::collections::BTreeMap;
use std::sync::Arc;

use townlet_learn::Scripted;
use townlet_learn::rollout::training_rewards::{MeanShift, ScoreShare, TrainingRewards};
use townlet_town::state::State;
use townlet_town::{ResidentId, Rules, Town, score};

use super::prng::Prng;
use super::random_rules;
use super::test_policies::{CheckedPolicy, TEST_POLICIES};
use crate::default_rules;

/// The score rounds each of its terms down to a millionth, and then their sum: 0.4 · 4/3 + 0.2 · 4 + 0.5 + 1 millionths at most.
const ROUNDING: f64 = 3e-6;

/// Shares of a day, summed over residents.
#[derive(Default)]
struct DayShares {
    /// 0.2 · trust at the beginning, summed over residents.
    trust_before: f64,
    sum: ScoreShare,
    exits: u32,
    arrivals: u32,
}

impl DayShares {
    fn at_the_start_of_a_day(state: &State) -> Self {
        let trust = |agent: &_| score::trust(&state.agents.ties[*agent]).to_f64();
        Self { trust_before: 0.2 * state.agents.present.iter().map(trust).sum::<f64>(), ..Self::default() }
    }

    /// Adds the tick that the town has just run.
    fn add(&mut self, town: &Town, rewards: &mut TrainingRewards) {
        let mut add = |share: ScoreShare| {
            self.sum.needs += share.needs;
            self.sum.attendance += share.attendance;
            self.sum.wages += share.wages;
            self.sum.trust += share.trust;
            self.sum.starvation += share.starvation;
            self.sum.exit += share.exit;
        };
        for gone in town.departures() {
            self.exits += 1;
            add(rewards.departure(gone.agent, gone.who, &gone.reward, gone.involuntary));
        }
        let agents = &town.state().agents;
        for agent in agents.present.iter().copied() {
            self.arrivals += u32::from(agents.arrived[agent] + 1 == town.tick());
            add(rewards.resident(town, agent));
        }
    }

    /// The score that the shares add up to: each term is a mean over those it counts.
    fn score(&self, rules: &Rules, state: &State) -> f64 {
        let (day, shift) = (&state.score.last, MeanShift::of(rules));
        let residents = day.resident_ticks as f64 / rules.day_length() as f64;
        let shifts = day.scheduled_ticks as f64 / shift.ticks;
        let paid_shifts = day.scheduled_wages.to_f64() / shift.wages;
        let at_the_end = f64::from(day.residents.max(1));
        let mean = |sum: f64, count: f64| if count > 0.0 { sum / count } else { 0.0 };
        mean(self.sum.needs + self.sum.starvation + self.sum.exit, residents)
            + mean(self.sum.attendance, shifts)
            + mean(self.sum.wages, paid_shifts)
            + (self.trust_before + self.sum.trust) / at_the_end
    }
}

#[test]
fn shares_of_a_day_add_up_to_its_score() {
    let (mut days, mut exits, mut arrivals) = (0, 0, 0);
    for seed in 0..24 {
        let mut prng = Prng::new(seed);
        let (rules, settings) = random_rules::rules(&mut prng);
        let mut town = Town::new(Arc::clone(&rules), seed);
        let mut policy = CheckedPolicy::new(TEST_POLICIES[seed as usize % TEST_POLICIES.len()]);
        let mut rewards = TrainingRewards::new(&rules, town.state());
        let mut shares = DayShares::at_the_start_of_a_day(town.state());
        while town.tick() < 4_000.max(2 * rules.day_length()) {
            town.clear_events();
            town.step(&mut policy);
            shares.add(&town, &mut rewards);
            if rules.tick_of_day(town.tick()) != 0 {
                continue;
            }
            if let Some(terms) = score::last(&rules, town.state()) {
                let (sum, score) = (shares.score(&rules, town.state()), terms.total.to_f64());
                let day = town.tick() / rules.day_length();
                assert!((sum - score).abs() < ROUNDING, "seed {seed} day {day}: {sum} and {terms:?}\n{settings}");
                (days, exits, arrivals) = (days + 1, exits + shares.exits, arrivals + shares.arrivals);
            }
            shares = DayShares::at_the_start_of_a_day(town.state());
        }
    }
    assert!(days > 50 && exits > 50 && arrivals > 50, "{days} days, {exits} exits, {arrivals} arrivals");
}

/// The terms of a share, in a fixed order.
fn terms(share: ScoreShare) -> [f64; 7] {
    let ScoreShare { needs, attendance, wages, trust, starvation, exit, low_needs } = share;
    [needs, attendance, wages, trust, starvation, exit, low_needs]
}

#[test]
fn the_share_of_a_day_is_the_sum_of_its_ticks() {
    let (mut compared, mut arrivals, mut starved) = (0, 0, 0);
    for seed in 0..12 {
        let mut prng = Prng::new(seed);
        let (rules, settings) = random_rules::rules(&mut prng);
        let mut town = Town::new(Arc::clone(&rules), seed);
        let mut policy = CheckedPolicy::new(TEST_POLICIES[seed as usize % TEST_POLICIES.len()]);
        let mut rewards = TrainingRewards::new(&rules, town.state());
        let mut sums: BTreeMap<ResidentId, [f64; 7]> = BTreeMap::new();
        while town.tick() < 2_500.max(rules.day_length() + 100) {
            town.clear_events();
            town.step(&mut policy);
            for gone in town.departures() {
                rewards.departure(gone.agent, gone.who, &gone.reward, gone.involuntary);
                sums.remove(&gone.who);
            }
            let state = town.state();
            for agent in state.agents.present.iter().copied() {
                let tick = terms(rewards.resident(&town, agent));
                let sum = sums.entry(state.agents.resident[agent]).or_default();
                sum.iter_mut().zip(tick).for_each(|(sum, term)| *sum += term);
            }
            if rules.tick_of_day(town.tick()) == 0 {
                sums.clear();
            }
            for agent in state.agents.present.iter().copied() {
                let who = state.agents.resident[agent];
                let (today, lost) =
                    (ScoreShare::today(&rules, state, agent), ScoreShare::lost_today(&rules, state, agent));
                let sum = sums.get(&who).copied().unwrap_or_default();
                let same = terms(today).iter().zip(sum).all(|(today, sum)| (today - sum).abs() < 1e-9);
                assert!(same, "seed {seed} tick {}: {today:?} and {sum:?}\n{settings}", town.tick());
                let possible = 0.4 * f64::from(state.agents.score_day[agent].ticks) / rules.day_length() as f64;
                assert!((today.needs - lost.needs - possible).abs() < 1e-9, "{today:?} {lost:?}");
                compared += 1;
                arrivals += u32::from(state.agents.arrived[agent] + 1 == town.tick());
                starved += u32::from(today.starvation < 0.0);
            }
        }
    }
    assert!(compared > 50_000 && arrivals > 50 && starved > 50, "{compared} {arrivals} {starved}");
}

/// Runs the default town with the scripted policy; returns the rewards of each day without an exit with its score and the score
/// of the trust it began with, all per resident.
fn days_of_the_default_town(flags: &[(&str, &str)]) -> Vec<[f64; 3]> {
    let rules = default_rules(flags);
    let mut days = Vec::new();
    for seed in 1..=3 {
        let mut town = Town::new(Arc::clone(&rules), seed);
        let mut rewards = TrainingRewards::new(&rules, town.state());
        for _ in 0..4 {
            let before = DayShares::at_the_start_of_a_day(town.state()).trust_before;
            let (mut sum, mut left) = (0.0, false);
            for _ in 0..rules.day_length() {
                town.clear_events();
                town.step(&mut Scripted);
                rewards.tick(&town, |_, _, gone, reward| {
                    sum += reward / rewards_per_point(&rules, &town);
                    left |= gone;
                });
            }
            let residents = f64::from(rules.config.world.population);
            let score = score::last(&rules, town.state()).expect("shifts started").total.to_f64();
            if !left {
                days.push([sum / residents, score, before / residents]);
            }
        }
    }
    days
}

fn rewards_per_point(rules: &Rules, town: &Town) -> f64 {
    TrainingRewards::new(rules, town.state()).scale()
}

/// Every factor 1, and no price for what the score does not see.
const PLAIN: [(&str, &str); 6] = [
    ("training.needs_weight", "1"),
    ("training.attendance_weight", "1"),
    ("training.trust_weight", "1"),
    ("training.starvation_weight", "1"),
    ("training.exit_weight", "1"),
    ("training.low_needs_weight", "0"),
];

#[test]
fn on_a_day_without_exits_the_mean_reward_is_the_score() {
    let days = days_of_the_default_town(&PLAIN);
    assert!(days.len() >= 10, "{} days", days.len());
    for [sum, score, before] in days {
        assert!((sum + before - score).abs() < ROUNDING, "{sum} and {before} make {score}");
    }
}

#[test]
fn the_weight_of_trust_multiplies_its_change() {
    let flags = PLAIN.map(|(key, value)| (key, if key == "training.trust_weight" { "3" } else { value }));
    let (plain, weighed) = (days_of_the_default_town(&PLAIN), days_of_the_default_town(&flags));
    let mut changed = 0;
    for (plain, weighed) in plain.windows(2).zip(weighed.windows(2)) {
        let ([[_, _, before], [_, _, after]], [[_, _, _], _]) = (plain, weighed) else { continue };
        let extra = weighed[0][0] - plain[0][0];
        // The days of one town follow each other; the next town begins without trust.
        if *after > 0.0 {
            assert!((extra - 2.0 * (after - before)).abs() < 1e-9, "{extra} for {before} to {after}");
            changed += 1;
        }
    }
    assert!(changed >= 6, "{changed} days");
}

#[test]
fn configured_rewards_do_not_depend_on_the_past() {
    let rewards = |clip: &str| {
        let clip = [("training.objective", "configured"), ("rewards.clip.clip_per_episode", clip)];
        let rules = default_rules(&clip);
        let mut town = Town::new(Arc::clone(&rules), 5);
        let mut rewards = TrainingRewards::new(&rules, town.state());
        let mut all = Vec::new();
        for _ in 0..3_000 {
            town.clear_events();
            town.step(&mut Scripted);
            rewards.tick(&town, |_, who, _, reward| all.push((who, reward.to_bits())));
        }
        (all, town.state().rewards.clip_events)
    };
    let ((tight, clips), (wide, _)) = (rewards("1"), rewards("200"));
    assert!(clips > 1_000, "the limit of an episode binds: {clips}");
    assert_eq!(tight, wide);
}

//! Learns each probe environment and compares with the known answer.

use townlet_learn::ppo::Settings;

use super::probe_envs::{Chosen, Constant, Delayed, Endless, Fitting, Masked, Seen, Slow, Tenants};
use super::trainer::{Environment, Plan, Trainer};

fn plan(updates: usize) -> Plan {
    let settings = Settings {
        learning_rate: 5e-3,
        gamma: 0.9,
        minibatch_size: 64,
        clip_vloss: None,
        ent_coef: 0.001,
        ..Settings::default()
    };
    Plan { slots: 8, horizon: 16, updates, hidden: [16, 16], settings }
}

fn trained<E: Environment>(world: &E, updates: usize) -> Trainer<E> {
    let mut trainer = Trainer::new(world, plan(updates), 7);
    trainer.train();
    assert_eq!(trainer.invalid, 0);
    trainer
}

#[track_caller]
fn near(found: f32, wanted: f32, most: f32) {
    assert!((found - wanted).abs() <= most, "{found}, expected {wanted} ± {most}");
}

#[test]
fn the_value_of_a_constant_reward_is_learned() {
    near(trained(&Constant, 100).ask(&[0.0], 1).0, 1.0, 0.02);
}

#[test]
fn the_value_depends_on_the_observation() {
    let trainer = trained(&Seen(0.0), 100);
    near(trainer.ask(&[1.0], 1).0, 1.0, 0.05);
    near(trainer.ask(&[-1.0], 1).0, -1.0, 0.05);
}

#[test]
fn a_later_reward_is_discounted() {
    let trainer = trained(&Delayed(false), 150);
    near(trainer.ask(&[1.0], 1).0, 1.0, 0.03);
    near(trainer.ask(&[0.0], 1).0, 0.9, 0.03);
}

#[test]
fn the_better_option_is_chosen() {
    let (value, distribution) = trained(&Chosen, 100).ask(&[0.0], 0b11);
    assert!(distribution[1] > 0.95, "{distribution:?}");
    // The value is that of the current policy.
    near(value, distribution[1] - distribution[0], 0.05);
}

#[test]
fn the_option_that_matches_the_observation_is_chosen() {
    let trainer = trained(&Fitting(0.0), 100);
    for (seen, option) in [(1.0, 1), (-1.0, 0)] {
        let (value, distribution) = trainer.ask(&[seen], 0b11);
        assert!(distribution[option] > 0.97, "{seen}: {distribution:?}");
        near(value, 1.0, 0.1);
    }
}

#[test]
fn truncation_bootstraps_and_termination_does_not() {
    let truncated = trained(&Endless { truncated: true, taken: 0 }, 300).ask(&[1.0], 1).0;
    // 1 / (1 − 0.9).
    near(truncated, 10.0, 0.3);
    let terminated = trained(&Endless { truncated: false, taken: 0 }, 300).ask(&[1.0], 1).0;
    // Between one step and ten, at the mean of the λ-returns.
    assert!((3.0..7.5).contains(&terminated), "{terminated}");
}

#[test]
fn rewards_do_not_leak_into_the_next_resident_of_a_slot() {
    let trainer = trained(&Tenants { rich: true, taken: 0 }, 200);
    for (taken, left) in [(0.0, 3), (1.0 / 3.0, 2), (2.0 / 3.0, 1)] {
        near(trainer.ask(&[-1.0, taken], 1).0, 0.0, 0.06);
        near(trainer.ask(&[1.0, taken], 1).0, (0..left).map(|tick| 0.9_f32.powi(tick)).sum(), 0.12);
    }
}

#[test]
fn the_best_allowed_option_is_chosen() {
    let trainer = trained(&Masked(0), 250);
    let mut observation = [0.0; 6];
    let mut right = 0;
    let masks: Vec<u16> = (1..64).filter(|mask: &u16| mask.count_ones() == 3).collect();
    for mask in &masks {
        Masked::see(*mask, &mut observation);
        let distribution = trainer.ask(&observation, *mask).1;
        let forbidden = distribution.iter().enumerate().filter(|(option, _)| mask >> option & 1 == 0);
        assert!(forbidden.map(|(_, prob)| *prob).all(|prob| prob == 0.0), "{mask:b}: {distribution:?}");
        let best = 15 - mask.leading_zeros() as usize;
        right += usize::from(distribution[best] > 0.9);
    }
    assert!(right == masks.len(), "{right} of {}", masks.len());
}

#[test]
fn longer_options_are_discounted_by_their_ticks() {
    let (value, distribution) = trained(&Slow(0), 300).ask(&[1.0], 0b11);
    // 1 per tick forever is worth 10; 3 · 0.9⁴ every five ticks only 4.8.
    assert!(distribution[0] > 0.9, "{distribution:?}");
    near(value, 10.0, 0.5);
}

//! Each small world with the answer worked out beforehand.

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
    assert!((found - wanted).abs() <= most, "{found} and not {wanted} ± {most}");
}

#[test]
fn a_constant_reward_is_expected() {
    near(trained(&Constant, 100).ask(&[0.0], 1).0, 1.0, 0.02);
}

#[test]
fn a_reward_is_told_by_what_is_seen() {
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
    // What is expected is what the policy as it is would get.
    near(value, distribution[1] - distribution[0], 0.05);
}

#[test]
fn the_option_that_fits_what_is_seen_is_chosen() {
    let trainer = trained(&Fitting(0.0), 100);
    for (seen, option) in [(1.0, 1), (-1.0, 0)] {
        let (value, distribution) = trainer.ask(&[seen], 0b11);
        assert!(distribution[option] > 0.97, "{seen}: {distribution:?}");
        near(value, 1.0, 0.1);
    }
}

#[test]
fn what_is_truncated_would_have_gone_on_and_what_is_terminated_would_not() {
    let truncated = trained(&Endless { truncated: true, taken: 0 }, 300).ask(&[1.0], 1).0;
    // 1 / (1 − 0.9), for ever.
    near(truncated, 10.0, 0.3);
    let terminated = trained(&Endless { truncated: false, taken: 0 }, 300).ask(&[1.0], 1).0;
    // Between one step and ten of them, and what the mean of λ-returns settles at.
    assert!((3.0..7.5).contains(&terminated), "{terminated}");
}

#[test]
fn nothing_of_a_resident_reaches_the_next_of_the_slot() {
    let trainer = trained(&Tenants { rich: true, taken: 0 }, 200);
    for (taken, left) in [(0.0, 3), (1.0 / 3.0, 2), (2.0 / 3.0, 1)] {
        near(trainer.ask(&[-1.0, taken], 1).0, 0.0, 0.06);
        near(trainer.ask(&[1.0, taken], 1).0, (0..left).map(|tick| 0.9_f32.powi(tick)).sum(), 0.12);
    }
}

#[test]
fn the_best_of_what_is_allowed_is_chosen_and_nothing_else() {
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
fn options_that_take_longer_are_discounted_by_their_ticks() {
    let (value, distribution) = trained(&Slow(0), 300).ask(&[1.0], 0b11);
    // 1 each tick for ever is worth 10; 3 · 0.9⁴ every five ticks only 4.8.
    assert!(distribution[0] > 0.9, "{distribution:?}");
    near(value, 10.0, 0.5);
}

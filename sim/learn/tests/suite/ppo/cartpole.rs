//! CartPole-v1, with the constants and Euler steps of Gymnasium (Barto, Sutton and Anderson 1983).
//!
//! `TOWNLET_SOAK=1` trains ten seeds to the end.

use townlet_learn::ppo::Settings;

use super::trainer::{Environment, Plan, Prng, Step, Trainer};

#[derive(Clone, Default)]
pub(crate) struct CartPole {
    position: f64,
    speed: f64,
    angle: f64,
    turn: f64,
    taken: u32,
}

const GRAVITY: f64 = 9.8;
const POLE_MASS: f64 = 0.1;
const TOTAL_MASS: f64 = 1.1;
const HALF_LENGTH: f64 = 0.5;
const FORCE: f64 = 10.0;
const SECONDS: f64 = 0.02;
const MOST_ANGLE: f64 = 12.0 * std::f64::consts::PI / 180.0;
const MOST_POSITION: f64 = 2.4;
const MOST_STEPS: u32 = 500;

impl CartPole {
    fn see(&self, observation: &mut [f32]) {
        observation.copy_from_slice(&[self.position, self.speed, self.angle, self.turn].map(|value| value as f32));
    }
}

impl Environment for CartPole {
    const WIDTH: usize = 4;
    const OPTIONS: usize = 2;

    fn reset(&mut self, prng: &mut Prng, observation: &mut [f32]) -> u16 {
        let mut start = || f64::from(prng.unit()) * 0.1 - 0.05;
        *self = Self { position: start(), speed: start(), angle: start(), turn: start(), taken: 0 };
        self.see(observation);
        0b11
    }

    fn step(&mut self, action: usize, _: &mut Prng, observation: &mut [f32]) -> Step {
        let force = if action == 1 { FORCE } else { -FORCE };
        let (sin, cos) = self.angle.sin_cos();
        let push = (force + POLE_MASS * HALF_LENGTH * self.turn * self.turn * sin) / TOTAL_MASS;
        let turning = (GRAVITY * sin - cos * push) / (HALF_LENGTH * (4.0 / 3.0 - POLE_MASS * cos * cos / TOTAL_MASS));
        let moving = push - POLE_MASS * HALF_LENGTH * turning * cos / TOTAL_MASS;
        self.position += SECONDS * self.speed;
        self.speed += SECONDS * moving;
        self.angle += SECONDS * self.turn;
        self.turn += SECONDS * turning;
        self.taken += 1;
        self.see(observation);
        let terminated = self.position.abs() > MOST_POSITION || self.angle.abs() > MOST_ANGLE;
        let truncated = !terminated && self.taken == MOST_STEPS;
        Step { rewards: vec![1.0], terminated, truncated, mask: 0b11 }
    }
}

const STEPS: usize = 500_000;

fn plan() -> Plan {
    let settings = Settings {
        learning_rate: 1e-3,
        update_epochs: 10,
        minibatch_size: 256,
        gamma: 0.99,
        gae_lambda: 0.95,
        ent_coef: 0.0,
        clip_vloss: None,
        ..Settings::default()
    };
    let (slots, horizon) = (8, 128);
    Plan { slots, horizon, updates: STEPS / (slots * horizon), hidden: [64, 64], settings }
}

fn last_hundred(trainer: &Trainer<CartPole>) -> f32 {
    let last = &trainer.returns[trainer.returns.len().saturating_sub(100)..];
    last.iter().sum::<f32>() / last.len().max(1) as f32
}

#[test]
fn forty_thousand_steps_balance_the_pole_for_longer() {
    let mut trainer = Trainer::new(&CartPole::default(), plan(), 1);
    for update in 0..40 {
        trainer.round(f64::from(update) / plan().updates as f64);
    }
    let reached = last_hundred(&trainer);
    assert!(reached > 100.0, "{reached}; a random policy reaches about 22");
}

#[test]
fn ten_seeds_balance_the_pole() {
    if !crate::is_soak() {
        return;
    }
    let mut solved = 0;
    println!("| seed | steps to 475 over 100 episodes | last 100 episodes | greedy, 100 episodes |\n|---|---|---|---|");
    for seed in 0..10 {
        let mut trainer = Trainer::new(&CartPole::default(), plan(), seed);
        let mut first = None;
        for update in 0..plan().updates {
            trainer.round(update as f64 / plan().updates as f64);
            if first.is_none() && trainer.returns.len() >= 100 && last_hundred(&trainer) >= 475.0 {
                first = Some(trainer.steps);
            }
        }
        let (last, greedy) = (last_hundred(&trainer), trainer.evaluate(&CartPole::default(), 1_000 + seed, 100));
        println!("| {seed} | {} | {last:.1} | {greedy:.1} |", first.map_or("-".into(), |steps| steps.to_string()));
        solved += usize::from(first.is_some() && greedy >= 475.0);
    }
    assert!(solved >= 9, "{solved} of 10 seeds");
}

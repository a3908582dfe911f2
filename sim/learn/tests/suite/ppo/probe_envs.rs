//! Probe environments: the right answers are known, and each isolates one part of the algorithm.

use super::trainer::{Environment, Prng, Step};

const BOTH: u16 = 0b11;

fn end(reward: f32, mask: u16) -> Step {
    Step { rewards: vec![reward], terminated: true, truncated: false, mask }
}

fn go_on(reward: f32, mask: u16) -> Step {
    Step { rewards: vec![reward], terminated: false, truncated: false, mask }
}

fn sign(prng: &mut Prng) -> f32 {
    if prng.unit() < 0.5 { -1.0 } else { 1.0 }
}

/// One option, one step, reward 1.
#[derive(Clone)]
pub(crate) struct Constant;

impl Environment for Constant {
    const WIDTH: usize = 1;
    const OPTIONS: usize = 1;
    fn reset(&mut self, _: &mut Prng, observation: &mut [f32]) -> u16 {
        observation[0] = 0.0;
        1
    }
    fn step(&mut self, _: usize, _: &mut Prng, _: &mut [f32]) -> Step {
        end(1.0, 1)
    }
}

/// One option, one step; the reward is the observation.
#[derive(Clone)]
pub(crate) struct Seen(pub(crate) f32);

impl Environment for Seen {
    const WIDTH: usize = 1;
    const OPTIONS: usize = 1;
    fn reset(&mut self, prng: &mut Prng, observation: &mut [f32]) -> u16 {
        self.0 = sign(prng);
        observation[0] = self.0;
        1
    }
    fn step(&mut self, _: usize, _: &mut Prng, _: &mut [f32]) -> Step {
        end(self.0, 1)
    }
}

/// Two steps; only the second has a reward, 1.
#[derive(Clone)]
pub(crate) struct Delayed(pub(crate) bool);

impl Environment for Delayed {
    const WIDTH: usize = 1;
    const OPTIONS: usize = 1;
    fn reset(&mut self, _: &mut Prng, observation: &mut [f32]) -> u16 {
        (self.0, observation[0]) = (false, 0.0);
        1
    }
    fn step(&mut self, _: usize, _: &mut Prng, observation: &mut [f32]) -> Step {
        if self.0 {
            return end(1.0, 1);
        }
        (self.0, observation[0]) = (true, 1.0);
        go_on(0.0, 1)
    }
}

/// Two options; the second has reward 1, the first −1.
#[derive(Clone)]
pub(crate) struct Chosen;

impl Environment for Chosen {
    const WIDTH: usize = 1;
    const OPTIONS: usize = 2;
    fn reset(&mut self, _: &mut Prng, observation: &mut [f32]) -> u16 {
        observation[0] = 0.0;
        BOTH
    }
    fn step(&mut self, action: usize, _: &mut Prng, _: &mut [f32]) -> Step {
        end(if action == 1 { 1.0 } else { -1.0 }, BOTH)
    }
}

/// Two options; the one that matches the observation has reward 1.
#[derive(Clone)]
pub(crate) struct Fitting(pub(crate) f32);

impl Environment for Fitting {
    const WIDTH: usize = 1;
    const OPTIONS: usize = 2;
    fn reset(&mut self, prng: &mut Prng, observation: &mut [f32]) -> u16 {
        self.0 = sign(prng);
        observation[0] = self.0;
        BOTH
    }
    fn step(&mut self, action: usize, _: &mut Prng, _: &mut [f32]) -> Step {
        end(if (action == 1) == (self.0 > 0.0) { 1.0 } else { -1.0 }, BOTH)
    }
}

/// A reward of 1 at every step; terminated or truncated after ten. The observation is constant.
#[derive(Clone)]
pub(crate) struct Endless {
    pub(crate) truncated: bool,
    pub(crate) taken: usize,
}

impl Environment for Endless {
    const WIDTH: usize = 1;
    const OPTIONS: usize = 1;
    fn reset(&mut self, _: &mut Prng, observation: &mut [f32]) -> u16 {
        (self.taken, observation[0]) = (0, 1.0);
        1
    }
    fn step(&mut self, _: usize, _: &mut Prng, _: &mut [f32]) -> Step {
        self.taken += 1;
        let over = self.taken == 10;
        Step { rewards: vec![1.0], terminated: over && !self.truncated, truncated: over && self.truncated, mask: 1 }
    }
}

/// Residents alternate between no reward and 1 per step. Each stays for three steps and observes which kind it is.
#[derive(Clone)]
pub(crate) struct Tenants {
    pub(crate) rich: bool,
    pub(crate) taken: usize,
}

impl Environment for Tenants {
    const WIDTH: usize = 2;
    const OPTIONS: usize = 1;
    fn reset(&mut self, _: &mut Prng, observation: &mut [f32]) -> u16 {
        (self.rich, self.taken) = (!self.rich, 0);
        observation.copy_from_slice(&[if self.rich { 1.0 } else { -1.0 }, 0.0]);
        1
    }
    fn step(&mut self, _: usize, _: &mut Prng, observation: &mut [f32]) -> Step {
        self.taken += 1;
        observation[1] = self.taken as f32 / 3.0;
        let reward = if self.rich { 1.0 } else { 0.0 };
        if self.taken == 3 { end(reward, 1) } else { go_on(reward, 1) }
    }
}

/// Six options with rewards 0 to 5; a changing half of them is allowed, and the observation shows which.
#[derive(Clone)]
pub(crate) struct Masked(pub(crate) u16);

impl Masked {
    pub(crate) fn see(mask: u16, observation: &mut [f32]) {
        observation.iter_mut().enumerate().for_each(|(option, seen)| *seen = f32::from(mask >> option & 1));
    }
}

impl Environment for Masked {
    const WIDTH: usize = 6;
    const OPTIONS: usize = 6;
    fn reset(&mut self, prng: &mut Prng, observation: &mut [f32]) -> u16 {
        self.0 = 1 << (prng.unit() * 6.0) as u16;
        while self.0.count_ones() < 3 {
            self.0 |= 1 << (prng.unit() * 6.0) as u16;
        }
        Self::see(self.0, observation);
        self.0
    }
    fn step(&mut self, action: usize, _: &mut Prng, _: &mut [f32]) -> Step {
        let allowed = self.0 >> action & 1 == 1;
        end(if allowed { action as f32 } else { 100.0 }, self.0)
    }
}

/// Two options: one gives 1 after a tick, the other 3 after five ticks; truncated after twenty ticks. An algorithm that
/// ignores durations prefers the second.
#[derive(Clone)]
pub(crate) struct Slow(pub(crate) usize);

impl Environment for Slow {
    const WIDTH: usize = 1;
    const OPTIONS: usize = 2;
    fn reset(&mut self, _: &mut Prng, observation: &mut [f32]) -> u16 {
        (self.0, observation[0]) = (0, 1.0);
        BOTH
    }
    fn step(&mut self, action: usize, _: &mut Prng, _: &mut [f32]) -> Step {
        let rewards = if action == 0 { vec![1.0] } else { vec![0.0, 0.0, 0.0, 0.0, 3.0] };
        self.0 += rewards.len();
        Step { rewards, terminated: false, truncated: self.0 >= 20, mask: BOTH }
    }
}

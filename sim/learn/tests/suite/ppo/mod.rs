//! Whether PPO learns: worlds so small that the right answer is known, CartPole, and the promises of the learner.

mod cartpole;
mod learner;
mod probe_envs;
mod probes;
mod trainer;
mod trajectory;

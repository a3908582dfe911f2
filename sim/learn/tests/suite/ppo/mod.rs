//! PPO on small environments with known answers and on CartPole, and properties of the learner.

mod cartpole;
mod learner;
mod probe_envs;
mod probes;
mod trainer;
mod trajectory;

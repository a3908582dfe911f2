//! One training environment: a town that is reset at its horizon, with its decisions and counters.
//!
//! Each reset uses another seed. The first horizons are staggered, so that every update covers all times of day.
//! Rule: "Decision process".

use std::fmt::Formatter;
use std::sync::Arc;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use townlet_town::kpi::{self, KPIS};
use townlet_town::{Micro, Refusal, Rules, State, Town};

use super::decision_buffer::{DecisionBuffer, Episode};
use super::training_rewards::TrainingRewards;
use crate::drawn_towns::TownSource;
use crate::network::Normalizer;
use crate::seeds;

/// Counters since the last update.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RolloutStats {
    /// Finished episodes.
    pub episodes: Vec<Episode>,
    /// KPIs at the end of each day, in the order of their table; `None` without enough samples.
    pub days: Vec<Vec<Option<f64>>>,
    /// KPIs at each horizon.
    pub horizons: Vec<Vec<Option<f64>>>,
    /// Ticks, summed over residents.
    pub resident_ticks: u64,
    /// Decisions made.
    pub decisions: u64,
    /// Decisions that the mask forbade.
    pub invalid: u64,
}

/// A replica of the town with its decisions and counters.
#[derive(Clone, Debug)]
pub(super) struct Env {
    pub(super) town: Town,
    pub(super) decisions: DecisionBuffer,
    pub(super) stats: RolloutStats,
    /// Statistics of the observations since the last update, unscaled.
    pub(super) seen: Normalizer,
    rewards: TrainingRewards,
    towns: TownSource,
    replica: u32,
    run: u64,
    resets: u64,
    /// The tick at which the town is reset.
    horizon: u64,
}

/// An environment between two updates.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EnvState {
    state: State,
    decisions: DecisionBuffer,
    resets: u64,
    horizon: u64,
}

/// The state of an environment in a file. It is decoded when the environment continues, so that the states of a file take no
/// more memory than the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedEnv(Vec<u8>);

impl EncodedEnv {
    /// Encodes a state.
    pub fn new(state: &EnvState) -> Self {
        Self(postcard::to_stdvec(state).expect("plain values"))
    }

    /// Decodes the state within `most` bytes of memory.
    ///
    /// # Errors
    /// Why it cannot be read, as a clause.
    pub fn decode(&self, most: usize) -> Result<EnvState, String> {
        let mut input = postcard::Deserializer::from_bytes(&self.0);
        let state = townlet_bounded::deserialize(&mut input, most).map_err(|error| error.to_string())?;
        match input.finalize() {
            Ok([]) => Ok(state),
            _ => Err("bytes follow the state of a town".into()),
        }
    }
}

impl Serialize for EncodedEnv {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for EncodedEnv {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_byte_buf(Bytes).map(Self)
    }
}

/// Reads bytes in one piece. The entries of a `Vec<u8>` would be read one by one, into twice the memory.
struct Bytes;

impl Visitor<'_> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }
}

impl Env {
    /// Replica `replica` of `replicas`, at its first tick.
    pub(super) fn new(towns: &TownSource, run: u64, replica: u32, replicas: u32, width: usize) -> Self {
        let seed = seeds::training(run, replica, 0);
        let rules = towns.rules(seed, 0);
        let whole = whole_horizon(&rules);
        let gamma = rules.config.ppo.gamma.to_f64();
        let town = Town::new(Arc::clone(&rules), seed);
        let slots = town.state().agents.tile.len();
        Self {
            rewards: TrainingRewards::new(&rules, town.state()),
            towns: towns.clone(),
            town,
            decisions: DecisionBuffer::new(slots, width, gamma),
            stats: RolloutStats::default(),
            seen: Normalizer::new(width),
            replica,
            run,
            resets: 0,
            horizon: (whole * u64::from(replica + 1)).div_ceil(u64::from(replicas)),
        }
    }

    /// Whether the town has reached its horizon.
    pub(super) fn is_done(&self) -> bool {
        self.town.tick() >= self.horizon
    }

    /// Records the latest tick: rewards, exits, and KPIs at the end of a day.
    pub(super) fn after_tick(&mut self) {
        let scale = self.rewards.scale();
        self.rewards.tick(&self.town, |agent, who, left, reward| {
            self.decisions.reward(agent, who, reward);
            if left {
                self.stats.episodes.extend(self.decisions.terminate(agent, who).map(|episode| episode.scaled(scale)));
            }
        });
        self.stats.resident_ticks += self.town.state().agents.present.len() as u64;
        if self.town.rules().tick_of_day(self.town.tick()) == 0 {
            self.stats.days.push(kpis(&self.town));
        }
    }

    /// Truncates every episode, with the value of each present resident, and starts a town with the next seed.
    pub(super) fn reset(&mut self, values: &[f32]) {
        for (agent, value) in self.town.state().agents.present.iter().zip(values) {
            let episode = self.decisions.truncate(*agent, *value);
            self.stats.episodes.extend(episode.map(|episode| episode.scaled(self.rewards.scale())));
        }
        self.stats.horizons.push(kpis(&self.town));
        self.resets += 1;
        let seed = seeds::training(self.run, self.replica, self.resets);
        let rules = self.towns.rules(seed, self.resets);
        self.horizon = whole_horizon(&rules);
        self.town = Town::new(rules, seed);
        self.rewards = TrainingRewards::new(self.town.rules(), self.town.state());
    }

    /// Applies other rules to the running town.
    pub(super) fn reload(&mut self, towns: &TownSource) -> Result<(), Refusal> {
        self.town.reload(&towns.rules(self.town.state().seed, self.resets))?;
        self.towns = towns.clone();
        self.town.clear_events();
        self.rewards = TrainingRewards::new(self.town.rules(), self.town.state());
        Ok(())
    }

    /// The state for a checkpoint; valid between two updates.
    pub(super) fn state(&self) -> EnvState {
        EnvState {
            state: self.town.state().clone(),
            decisions: self.decisions.clone(),
            resets: self.resets,
            horizon: self.horizon,
        }
    }

    /// Continues from a saved state.
    pub(super) fn restore(&mut self, state: EnvState) -> Result<(), String> {
        let rules = self.towns.rules(state.state.seed, state.resets);
        if state.decisions.width() != self.decisions.width() {
            return Err("its decisions have another observation layout".into());
        }
        let town = Town::resume(rules, state.state)?;
        if !state.decisions.fits(town.state().agents.tile.len()) {
            return Err("its decisions do not fit its town".into());
        }
        self.town = town;
        self.rewards = TrainingRewards::new(self.town.rules(), self.town.state());
        (self.decisions, self.resets, self.horizon) = (state.decisions, state.resets, state.horizon);
        (self.stats, self.seen) = (RolloutStats::default(), self.seen.empty());
        Ok(())
    }
}

fn whole_horizon(rules: &Rules) -> u64 {
    u64::from(rules.config.training.horizon_days) * rules.day_length()
}

fn kpis(town: &Town) -> Vec<Option<f64>> {
    let mut values = Vec::with_capacity(KPIS.len());
    values.extend(kpi::read(town.rules(), town.state()).map(|reading| reading.value.map(Micro::to_f64)));
    values
}

#[cfg(test)]
mod tests {
    use townlet_town::Sources;

    use super::*;

    #[test]
    fn a_state_continues_only_with_the_decisions_of_its_town() {
        let rules = Arc::new(Rules::new(Sources::default_town(&[]).unwrap()).unwrap());
        let mut env = Env::new(&TownSource::new(&rules, 7), 7, 0, 1, 3);
        let saved = EncodedEnv::new(&env.state());
        let state = || saved.decode(usize::MAX).unwrap();
        assert_eq!(env.restore(state()), Ok(()));
        let slots = env.town.state().agents.tile.len();
        let other = |slots, width| EnvState { decisions: DecisionBuffer::new(slots, width, 0.9), ..state() };
        assert_eq!(env.restore(other(slots + 1, 3)).unwrap_err(), "its decisions do not fit its town");
        assert_eq!(env.restore(other(slots, 4)).unwrap_err(), "its decisions have another observation layout");
        let mut torn = state();
        torn.decisions.actions.push(0);
        assert_eq!(env.restore(torn).unwrap_err(), "its decisions do not fit its town");
        let refused = saved.decode(1_000).unwrap_err();
        assert!(refused.contains("takes more than 1000 bytes of memory"), "{refused}");
    }
}

//! History of what each resident and each object has one of: levels of needs, numbers of waiters. One table for each half hour,
//! keyed by a hash of the resident or object, so that a snapshot is recorded by keeping its table.

use std::collections::VecDeque;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use townlet_wire::telemetry::{Agent, Queue};

/// Needs kept for a resident: a shard that invents names must not fill the memory of its observers.
const MAX_NEEDS: usize = 16;

/// Values of many residents or objects at one time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Levels {
    /// In ascending order.
    keys: Arc<[u64]>,
    /// Names of the values that each of them has.
    names: Arc<[String]>,
    /// As many for each key as there are names; NaN where a value is unknown.
    values: Arc<[f32]>,
}

/// The key of a resident. Another one who has the id later has another key.
fn key_of_resident(agent: &Agent) -> u64 {
    hash(&(&agent.id, agent.arrived_tick))
}

/// A hash that is the same for equal values in this process.
pub(crate) fn hash(of: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

impl Levels {
    /// Rows of key and values in any order.
    fn new(names: Vec<String>, keys: impl Iterator<Item = u64>, values: &[f32]) -> Self {
        let mut order: Vec<(u64, usize)> = keys.zip(0..).collect();
        order.sort_unstable();
        let row = |at: usize| &values[at * names.len()..(at + 1) * names.len()];
        Self {
            keys: order.iter().map(|(key, _)| *key).collect(),
            values: order.iter().flat_map(|(_, at)| row(*at)).copied().collect(),
            names: names.into(),
        }
    }

    /// The needs of residents.
    pub(crate) fn of_needs(agents: &[Agent]) -> Self {
        let mut names: Vec<String> = Vec::new();
        // All residents have the same needs in the same order, as a rule.
        let at = |names: &[String], place: usize, name: &str| {
            if names.get(place).is_some_and(|known| known == name) {
                return Some(place);
            }
            names.iter().position(|known| known == name)
        };
        for agent in agents {
            for (place, need) in agent.needs.iter().enumerate().take(MAX_NEEDS) {
                if at(&names, place, &need.name).is_none() && names.len() < MAX_NEEDS {
                    names.push(need.name.clone());
                }
            }
        }
        let mut values = vec![f32::NAN; names.len() * agents.len()];
        for (row, agent) in agents.iter().enumerate() {
            for (place, need) in agent.needs.iter().enumerate() {
                if let Some(place) = at(&names, place, &need.name) {
                    values[row * names.len() + place] = need.value as f32;
                }
            }
        }
        Self::new(names, agents.iter().map(key_of_resident), &values)
    }

    /// Numbers of those who wait at objects.
    pub(crate) fn of_queues(queues: &[Queue]) -> Self {
        let values: Vec<f32> = queues.iter().map(|queue| queue.waiting.len() as f32).collect();
        Self::new(vec![String::new()], queues.iter().map(|queue| hash(&queue.object)), &values)
    }

    fn value(&self, key: u64, name: &str) -> Option<f64> {
        let column = self.names.iter().position(|known| known == name)?;
        let row = self.keys.binary_search(&key).ok()?;
        Some(f64::from(self.values[row * self.names.len() + column])).filter(|value| !value.is_nan())
    }
}

/// The levels at the end of each of the last half hours.
#[derive(Clone, Debug)]
pub(crate) struct LevelHistory {
    /// Half hour and levels, oldest first.
    levels: VecDeque<(u64, Levels)>,
    /// Half hours that are kept.
    most: usize,
}

impl LevelHistory {
    pub(crate) const fn of(most: usize) -> Self {
        Self { levels: VecDeque::new(), most }
    }

    /// Records the levels of a half hour in place of earlier ones of it.
    pub(crate) fn record(&mut self, slot: u64, levels: &Levels) {
        let mut levels = levels.clone();
        if self.levels.back().is_some_and(|newest| newest.0 == slot) {
            self.levels.pop_back();
        }
        // While nobody comes or leaves, all half hours share one list of keys.
        if let Some((_, before)) = self.levels.back().filter(|(_, before)| before.keys == levels.keys) {
            levels.keys = Arc::clone(&before.keys);
        }
        self.levels.push_back((slot, levels));
        if self.levels.len() > self.most {
            self.levels.pop_front();
        }
    }

    /// Removes the levels from a half hour on.
    pub(crate) fn truncate(&mut self, slot: u64) {
        self.levels.retain(|(known, _)| *known < slot);
    }

    /// The levels of a resident's need with their half hours, oldest first. Half hours in which it was unknown are left out.
    pub(crate) fn need(&self, agent: &Agent, need: &str) -> Vec<(u64, f64)> {
        self.samples(key_of_resident(agent), need)
    }

    /// The numbers of those who waited at an object with their half hours, oldest first.
    pub(crate) fn waiting(&self, object: &str) -> Vec<(u64, f64)> {
        self.samples(hash(object), "")
    }

    fn samples(&self, key: u64, name: &str) -> Vec<(u64, f64)> {
        self.levels.iter().filter_map(|(slot, levels)| Some((*slot, levels.value(key, name)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use townlet_wire::telemetry::Need;

    fn agent(id: &str, needs: &[(&str, f64)]) -> Agent {
        let need = |(name, value): &(&str, f64)| Need { name: (*name).into(), value: *value, critical: 0.1 };
        Agent { id: id.into(), needs: needs.iter().map(need).collect(), ..Agent::default() }
    }

    fn recorded(slots: &[Vec<Agent>]) -> LevelHistory {
        let mut history = LevelHistory::of(4);
        for (slot, agents) in (0..).zip(slots) {
            history.record(slot, &Levels::of_needs(agents));
        }
        history
    }

    #[test]
    fn each_resident_has_a_history_whatever_its_place_in_the_list() {
        let (ada, ben) = (agent("ada", &[("hunger", 0.5), ("energy", 0.25)]), agent("ben", &[("hunger", 0.75)]));
        let later = agent("ada", &[("energy", 1.0), ("hunger", 0.0)]);
        let history = recorded(&[vec![ada.clone(), ben.clone()], vec![ben.clone(), later]]);
        assert_eq!(history.need(&ada, "hunger"), [(0, 0.5), (1, 0.0)]);
        assert_eq!(history.need(&ada, "energy"), [(0, 0.25), (1, 1.0)]);
        assert_eq!(history.need(&ben, "hunger"), [(0, 0.75), (1, 0.75)]);
        assert!(history.need(&ben, "energy").is_empty() && history.need(&ben, "thirst").is_empty());
    }

    #[test]
    fn a_resident_who_comes_back_begins_again_and_the_others_go_on() {
        let (ada, ben) = (agent("ada", &[("hunger", 0.5)]), agent("ben", &[("hunger", 0.75)]));
        let again = Agent { arrived_tick: 90, ..agent("ada", &[("hunger", 0.25)]) };
        let history = recorded(&[vec![ada.clone(), ben.clone()], vec![ben.clone()], vec![ben.clone(), again.clone()]]);
        assert_eq!(history.need(&again, "hunger"), [(2, 0.25)]);
        assert_eq!(history.need(&ben, "hunger"), [(0, 0.75), (1, 0.75), (2, 0.75)]);
        let history = recorded(&[vec![ada.clone()], vec![ben], vec![], vec![], vec![]]);
        assert!(history.need(&ada, "hunger").is_empty(), "its half hour is no longer kept");
    }

    #[test]
    fn half_hours_without_needs_are_left_out() {
        let with = |value| vec![agent("ada", &[("hunger", value)]), agent("ben", &[])];
        let history = recorded(&[with(0.5), vec![agent("ada", &[])], with(0.25)]);
        assert_eq!(history.need(&agent("ada", &[]), "hunger"), [(0, 0.5), (2, 0.25)]);
        assert!(history.need(&agent("ben", &[]), "hunger").is_empty());
    }

    #[test]
    fn half_hours_share_the_keys_while_nobody_comes_or_leaves() {
        let town = || vec![agent("ada", &[("hunger", 0.5)]), agent("ben", &[])];
        let history = recorded(&[town(), town(), vec![agent("ben", &[])]]);
        let keys: Vec<*const u64> = history.levels.iter().map(|(_, levels)| levels.keys.as_ptr()).collect();
        assert!(keys[0] == keys[1] && keys[1] != keys[2]);
    }

    #[test]
    fn invented_names_are_bounded() {
        let agents: Vec<Agent> = (0..99).map(|at| agent(&format!("a{at}"), &[(&format!("n{at}"), 0.5)])).collect();
        let levels = Levels::of_needs(&agents);
        assert_eq!((levels.names.len(), levels.values.len()), (MAX_NEEDS, MAX_NEEDS * 99));
        assert_eq!(LevelHistory { levels: [(0, levels)].into(), most: 4 }.need(&agents[3], "n3"), [(0, 0.5)]);
    }

    #[test]
    fn the_newest_view_of_a_half_hour_counts() {
        let queue = |waiting: usize| Queue {
            object: "till_1".into(),
            waiting: vec![townlet_wire::telemetry::QueueWaiter::default(); waiting],
            ..Queue::default()
        };
        let mut history = LevelHistory::of(2);
        for (slot, waiting) in [(0, 1), (0, 2), (1, 3), (7, 4), (7, 5)] {
            history.record(slot, &Levels::of_queues(&[queue(waiting)]));
        }
        assert_eq!(history.waiting("till_1"), [(1, 3.0), (7, 5.0)]);
        assert!(history.waiting("till_2").is_empty());
    }
}

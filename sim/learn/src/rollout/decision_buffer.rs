//! DecisionBuffer in columns: what was seen, allowed and chosen, what came of it, and which decision followed.
//!
//! Owns the semi-Markov bookkeeping of one town and nothing of how a choice is made. A decision is *open* until its
//! resident's next one, their exit, or the horizon; it is worth `Σ γⁱ·rewardᵢ` over its `k` ticks and hands on at `γᵏ`. Rule:
//! "Decision process".

use serde::{Deserialize, Serialize};
use townlet_town::ids::Key;
use townlet_town::options::Mask;
use townlet_town::{AgentId, ResidentId};

/// What follows a decision.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Successor {
    /// Nothing yet.
    Open,
    /// The same resident's decision at this place.
    Decision(u32),
    /// Their exit: nothing is handed on.
    Terminated,
    /// The horizon: worth the value of what they saw there.
    Truncated(f32),
}

/// A decision as it is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewDecision<'a> {
    /// Whose slot.
    pub agent: AgentId,
    /// Whose decision.
    pub who: ResidentId,
    /// What they saw, as the layout says.
    pub observation: &'a [f32],
    /// What they might choose.
    pub mask: Mask,
    /// What they chose, as its place in the mask.
    pub action: u8,
    /// Its log-probability under the policy that chose.
    pub log_prob: f32,
    /// What that policy expected from there on.
    pub value: f32,
}

/// An episode that has ended: a resident's life in a town, as far as they decided in it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// Undiscounted sum of rewards.
    pub total: f64,
    /// Ticks since the first decision.
    pub ticks: u64,
    /// Whether they left; else the horizon came.
    pub terminated: bool,
}

/// A resident's open decision and the episode it belongs to.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct OpenDecision {
    at: u32,
    who: ResidentId,
    reward: f64,
    discount: f64,
    total: f64,
    ticks: u64,
}

/// The decisions of one town in the order in which they were taken.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DecisionBuffer {
    width: usize,
    gamma: f64,
    /// What was seen, one row a decision.
    pub observations: Vec<f32>,
    /// What was allowed.
    pub masks: Vec<u16>,
    /// What was chosen.
    pub actions: Vec<u8>,
    /// Log-probabilities when it was chosen.
    pub log_probs: Vec<f32>,
    /// Values when it was chosen.
    pub values: Vec<f32>,
    /// Discounted sum of the rewards until what follows; 0 while open.
    pub rewards: Vec<f32>,
    /// γᵏ for what follows; 0 when that is an exit.
    pub discounts: Vec<f32>,
    /// What follows.
    pub successors: Vec<Successor>,
    /// Whether a decision of the same episode stands before.
    pub continues_episode: Vec<bool>,
    agents: Vec<AgentId>,
    open: Vec<Option<OpenDecision>>,
}

impl DecisionBuffer {
    /// None yet. `slots` of the town, values a row, discount of a tick.
    pub fn new(slots: usize, width: usize, gamma: f64) -> Self {
        Self {
            width,
            gamma,
            observations: Vec::new(),
            masks: Vec::new(),
            actions: Vec::new(),
            log_probs: Vec::new(),
            values: Vec::new(),
            rewards: Vec::new(),
            discounts: Vec::new(),
            successors: Vec::new(),
            continues_episode: Vec::new(),
            agents: Vec::new(),
            open: vec![None; slots],
        }
    }

    /// Values a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// How many there are, open ones included.
    pub fn len(&self) -> usize {
        self.successors.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.successors.is_empty()
    }

    /// What was seen at a decision.
    pub fn observation(&self, at: usize) -> &[f32] {
        &self.observations[at * self.width..(at + 1) * self.width]
    }

    /// Opens a decision and closes the same resident's previous one. Whoever had the slot before is nobody's past.
    pub fn push(&mut self, decision: &NewDecision<'_>) {
        let at = self.successors.len() as u32;
        let previous = self.open[decision.agent.at()].take();
        let mut open = OpenDecision { at, who: decision.who, reward: 0.0, discount: 1.0, total: 0.0, ticks: 0 };
        let mut follows = false;
        if let Some(previous) = previous {
            if previous.who == decision.who {
                self.close(&previous, previous.discount, Successor::Decision(at));
                (open.total, open.ticks, follows) = (previous.total, previous.ticks, true);
            } else {
                self.close(&previous, 0.0, Successor::Terminated);
            }
        }
        self.observations.extend_from_slice(decision.observation);
        self.masks.push(decision.mask.0);
        self.actions.push(decision.action);
        self.log_probs.push(decision.log_prob);
        self.values.push(decision.value);
        self.rewards.push(0.0);
        self.discounts.push(0.0);
        self.successors.push(Successor::Open);
        self.continues_episode.push(follows);
        self.agents.push(decision.agent);
        self.open[decision.agent.at()] = Some(open);
    }

    /// A tick's reward for a resident; of no account before their first decision.
    pub fn reward(&mut self, agent: AgentId, who: ResidentId, reward: f64) {
        if let Some(open) = self.open[agent.at()].as_mut().filter(|open| open.who == who) {
            open.reward += open.discount * reward;
            open.discount *= self.gamma;
            open.total += reward;
            open.ticks += 1;
        }
    }

    /// A resident has left. Their episode, when they ever decided.
    pub fn terminate(&mut self, agent: AgentId, who: ResidentId) -> Option<Episode> {
        let open = self.open[agent.at()].take_if(|open| open.who == who)?;
        self.close(&open, 0.0, Successor::Terminated);
        Some(Episode { total: open.total, ticks: open.ticks, terminated: true })
    }

    /// The horizon has come for a resident, and what they see now is worth `value`.
    pub fn truncate(&mut self, agent: AgentId, value: f32) -> Option<Episode> {
        let open = self.open[agent.at()].take()?;
        self.close(&open, open.discount, Successor::Truncated(value));
        Some(Episode { total: open.total, ticks: open.ticks, terminated: false })
    }

    fn close(&mut self, open: &OpenDecision, discount: f64, successor: Successor) {
        let at = open.at as usize;
        self.rewards[at] = open.reward as f32;
        self.discounts[at] = discount as f32;
        self.successors[at] = successor;
    }

    /// Forgets what is closed; the open ones stand first now and go on. They keep the log-probability and the value of the
    /// policy that chose.
    pub fn retain_open(&mut self) {
        let mut kept = 0;
        for at in 0..self.len() {
            if self.successors[at] != Successor::Open {
                continue;
            }
            self.observations.copy_within(at * self.width..(at + 1) * self.width, kept * self.width);
            self.masks[kept] = self.masks[at];
            self.actions[kept] = self.actions[at];
            self.log_probs[kept] = self.log_probs[at];
            self.values[kept] = self.values[at];
            self.agents[kept] = self.agents[at];
            if let Some(open) = &mut self.open[self.agents[at].at()] {
                open.at = kept as u32;
            }
            kept += 1;
        }
        self.observations.truncate(kept * self.width);
        self.masks.truncate(kept);
        self.actions.truncate(kept);
        self.log_probs.truncate(kept);
        self.values.truncate(kept);
        self.agents.truncate(kept);
        self.rewards.truncate(kept);
        self.rewards.fill(0.0);
        self.discounts.truncate(kept);
        self.discounts.fill(0.0);
        self.successors.truncate(kept);
        self.successors.fill(Successor::Open);
        self.continues_episode.truncate(kept);
        self.continues_episode.fill(false);
    }
}

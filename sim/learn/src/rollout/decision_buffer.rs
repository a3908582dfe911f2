//! The decisions of one town, column by column, with their rewards and successors (semi-Markov).
//!
//! A decision is open until its resident's next decision, exit or the horizon. Its return over its `k` ticks is
//! `Σ γⁱ·rewardᵢ`, and its successor's value is discounted by `γᵏ`. Rule: "Decision process".

use serde::{Deserialize, Serialize};
use townlet_town::ids::Key;
use townlet_town::options::Mask;
use townlet_town::{AgentId, ResidentId};

/// What follows a decision.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Successor {
    /// Not known yet.
    Open,
    /// The same resident's next decision, by index.
    Decision(u32),
    /// The resident left: the successor's value is 0.
    Terminated,
    /// The horizon was reached in a state of this value.
    Truncated(f32),
}

/// A decision as it is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewDecision<'a> {
    /// The resident's slot.
    pub agent: AgentId,
    /// The resident.
    pub who: ResidentId,
    /// The observation, as the layout says.
    pub observation: &'a [f32],
    /// The action mask.
    pub action_mask: Mask,
    /// The chosen option, as its bit in the mask.
    pub action: u8,
    /// Its log-probability under the policy that chose.
    pub log_prob: f32,
    /// The value that this policy estimated.
    pub value: f32,
}

/// A finished episode: from a resident's first decision to their exit or the horizon.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// Undiscounted sum of rewards.
    pub total: f64,
    /// Ticks since the first decision.
    pub ticks: u64,
    /// Whether the resident left; otherwise the horizon truncated the episode.
    pub terminated: bool,
}

impl Episode {
    /// The episode with its total in points, of which each is `rewards` rewards.
    #[must_use]
    pub fn scaled(self, rewards: f64) -> Self {
        Self { total: self.total / rewards, ..self }
    }
}

/// A resident's open decision and running episode.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct OpenDecision {
    at: u32,
    who: ResidentId,
    reward: f64,
    discount: f64,
    total: f64,
    ticks: u64,
}

/// The decisions of one town in the order in which they were made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DecisionBuffer {
    width: usize,
    gamma: f64,
    /// Observations, one row per decision.
    pub observations: Vec<f32>,
    /// Action masks.
    pub action_masks: Vec<u16>,
    /// Chosen options.
    pub actions: Vec<u8>,
    /// Log-probabilities under the policy that chose.
    pub log_probs: Vec<f32>,
    /// Values under the policy that chose.
    pub values: Vec<f32>,
    /// Discounted sum of rewards up to the successor; 0 while open.
    pub rewards: Vec<f32>,
    /// `γᵏ` for the successor's value; 0 after an exit.
    pub discounts: Vec<f32>,
    /// Successors.
    pub successors: Vec<Successor>,
    /// Whether an earlier decision of the same episode is in the buffer.
    pub continues_episode: Vec<bool>,
    agents: Vec<AgentId>,
    open: Vec<Option<OpenDecision>>,
}

impl DecisionBuffer {
    /// An empty buffer for a town with `slots` slots, observations of `width` values and a discount per tick.
    pub fn new(slots: usize, width: usize, gamma: f64) -> Self {
        Self {
            width,
            gamma,
            observations: Vec::new(),
            action_masks: Vec::new(),
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

    /// Values per observation.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of decisions, including open ones.
    pub fn len(&self) -> usize {
        self.successors.len()
    }

    /// Whether there are no decisions.
    pub fn is_empty(&self) -> bool {
        self.successors.is_empty()
    }

    /// Whether every column has a value for each decision, and the open decisions are those of a town with `slots` slots.
    pub fn fits(&self, slots: usize) -> bool {
        let decisions = self.len();
        let columns = [
            self.action_masks.len(),
            self.actions.len(),
            self.log_probs.len(),
            self.values.len(),
            self.rewards.len(),
            self.discounts.len(),
            self.continues_episode.len(),
            self.agents.len(),
        ];
        columns.iter().all(|length| *length == decisions)
            && decisions.checked_mul(self.width) == Some(self.observations.len())
            && self.open.len() == slots
            && self.agents.iter().all(|agent| agent.at() < slots)
            && self.open.iter().flatten().all(|open| (open.at as usize) < decisions)
    }

    /// The observation of a decision.
    pub fn observation(&self, at: usize) -> &[f32] {
        &self.observations[at * self.width..(at + 1) * self.width]
    }

    /// Opens a decision and closes the same resident's previous one. A previous resident of the slot counts as terminated.
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
        self.action_masks.push(decision.action_mask.0);
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

    /// Adds a tick's reward. Ignored before the resident's first decision.
    pub fn reward(&mut self, agent: AgentId, who: ResidentId, reward: f64) {
        if let Some(open) = self.open[agent.at()].as_mut().filter(|open| open.who == who) {
            open.reward += open.discount * reward;
            open.discount *= self.gamma;
            open.total += reward;
            open.ticks += 1;
        }
    }

    /// Closes a resident's episode at their exit; `None` when they never made a decision.
    pub fn terminate(&mut self, agent: AgentId, who: ResidentId) -> Option<Episode> {
        let open = self.open[agent.at()].take_if(|open| open.who == who)?;
        self.close(&open, 0.0, Successor::Terminated);
        Some(Episode { total: open.total, ticks: open.ticks, terminated: true })
    }

    /// Closes a resident's episode at the horizon, in a state of this `value`.
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

    /// Drops closed decisions and moves the open ones to the front. They keep the log-probability and value of the policy
    /// that chose.
    pub fn retain_open(&mut self) {
        let mut kept = 0;
        for at in 0..self.len() {
            if self.successors[at] != Successor::Open {
                continue;
            }
            self.observations.copy_within(at * self.width..(at + 1) * self.width, kept * self.width);
            self.action_masks[kept] = self.action_masks[at];
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
        self.action_masks.truncate(kept);
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

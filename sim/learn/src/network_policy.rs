//! The policy that runs a trained network.
//!
//! The same checkpoint, town and [`Choice`] give the same options. Rule: "Network policy".

use townlet_town::ids::Key;
use townlet_town::observations::Layout;
use townlet_town::options::OPTIONS;
use townlet_town::state::State;
use townlet_town::{AgentId, Decider, OptionKind, Policy, ResidentId, Rules, Town};

use crate::checkpoint::{Checkpoint, CheckpointError, RangeCheck};
use crate::network::{Forward, MaskedCategorical, Normalizer, Output};
use crate::rollout::uniform;

/// How an option is chosen from the network's probabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The most probable option.
    Greedy,
    /// An option drawn by its probability, from the town's random numbers.
    #[default]
    Sampled,
}

/// What the network computed at a resident's latest decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LastDecision {
    /// The three most probable options, most probable first; masked options have probability 0.
    pub top: [(OptionKind, f32); 3],
    /// The network's value estimate.
    pub value: f32,
}

/// The latest decision of each resident, by slot.
#[derive(Clone, Debug)]
pub struct LatestDecisions(Vec<Option<(ResidentId, LastDecision)>>);

impl LatestDecisions {
    /// The latest decision of the resident in a slot; `None` before their first.
    pub fn of(&self, state: &State, agent: AgentId) -> Option<LastDecision> {
        let (who, decision) = (*self.0.get(agent.at())?)?;
        (who == state.agents.resident[agent]).then_some(decision)
    }
}

/// Chooses options with the network of a checkpoint.
#[derive(Clone)]
pub struct NetworkPolicy {
    id: String,
    range: RangeCheck,
    trained_range: Option<String>,
    choice: Choice,
    layout: &'static Layout,
    forward: Forward,
    normalizer: Normalizer,
    rows: Vec<f32>,
    out: Output,
    decisions: LatestDecisions,
}

impl NetworkPolicy {
    /// A policy for towns with these rules.
    ///
    /// # Errors
    /// The mismatch between checkpoint and rules; see [`Checkpoint::fits`].
    pub fn new(checkpoint: &Checkpoint, rules: &Rules, choice: Choice) -> Result<Self, CheckpointError> {
        checkpoint.fits(rules)?;
        Self::with_own_layout(checkpoint, rules, choice)
    }

    /// A policy that sees its own observation layout, whatever that of the configuration. The town is the same.
    ///
    /// # Errors
    /// A layout that this build does not have; see [`Checkpoint::layout`].
    pub fn with_own_layout(checkpoint: &Checkpoint, rules: &Rules, choice: Choice) -> Result<Self, CheckpointError> {
        let layout = checkpoint.layout()?;
        let slots = townlet_town::lifecycle::slots(rules);
        Ok(Self {
            id: checkpoint.id.clone(),
            range: checkpoint.range_check(rules),
            trained_range: checkpoint.meta.towns.as_ref().map(ToString::to_string),
            choice,
            layout,
            forward: checkpoint.forward(),
            normalizer: checkpoint.normalizer.clone(),
            rows: Vec::new(),
            out: Output::default(),
            decisions: LatestDecisions(vec![None; slots]),
        })
    }

    /// The checkpoint's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Says of a running town whether it lies inside the range of towns that the policy was trained on.
    pub const fn range(&self) -> &RangeCheck {
        &self.range
    }

    /// The range of towns that the policy was trained on, in words; `None` when the checkpoint does not say.
    pub fn trained_range(&self) -> Option<&str> {
        self.trained_range.as_deref()
    }

    /// The latest decision of each resident.
    pub fn decisions(&self) -> &LatestDecisions {
        &self.decisions
    }
}

impl Policy for NetworkPolicy {
    fn decide(&mut self, town: &Town, deciders: &[Decider], choices: &mut Vec<OptionKind>) {
        let width = self.layout.width;
        self.rows.clear();
        self.rows.resize(deciders.len() * width, 0.0);
        self.layout.observe_each(town, deciders.iter().map(|decider| decider.agent), &mut self.rows);
        self.rows.chunks_exact_mut(width).for_each(|row| self.normalizer.scale(row));
        self.forward.run(&self.rows, &mut self.out);
        let logits = self.out.logits.chunks_exact(OPTIONS.len());
        for ((decider, logits), value) in deciders.iter().zip(logits).zip(&self.out.values) {
            let distribution = MaskedCategorical::new(logits, decider.mask.0);
            let who = town.state().agents.resident[decider.agent];
            let option = match self.choice {
                Choice::Greedy => distribution.greedy(),
                Choice::Sampled => distribution.sample(uniform(town.state().seed, town.tick(), who)),
            };
            self.decisions.0[decider.agent.at()] = Some((who, LastDecision { top: top(&distribution), value: *value }));
            choices.push(OPTIONS[option].0);
        }
    }
}

fn top(distribution: &MaskedCategorical) -> [(OptionKind, f32); 3] {
    let mut all = OPTIONS.map(|(option, _)| (option, distribution.prob(option.index())));
    // The sort is stable: of equals, the first.
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    [all[0], all[1], all[2]]
}

//! Policies of the simulation tests. Each checks that it was asked for the right residents with the right masks.

use townlet_learn::Scripted;
use townlet_town::counter_rng::{Purpose, Stream, below};
use townlet_town::masks::{mask, reasons};
use townlet_town::options::{Mask, OPTIONS};
use townlet_town::{AgentId, Decider, OptionKind, Policy, Town};

/// How options are chosen. All are stateless, so a copy of the town chooses the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TestPolicy {
    /// The scripted baseline.
    Scripted,
    /// Any option the mask allows.
    Random,
    /// Any option at all; a masked one must become `wait`.
    Unmasked,
}

pub(crate) const TEST_POLICIES: [TestPolicy; 3] = [TestPolicy::Scripted, TestPolicy::Random, TestPolicy::Unmasked];

/// A policy with the latest deciders and the first error found in them.
pub(crate) struct CheckedPolicy {
    pub(crate) test_policy: TestPolicy,
    pub(crate) deciders: Vec<Decider>,
    pub(crate) wrong: Option<String>,
}

impl CheckedPolicy {
    pub(crate) fn new(test_policy: TestPolicy) -> Self {
        Self { test_policy, deciders: Vec::new(), wrong: None }
    }
}

impl Policy for CheckedPolicy {
    fn decide(&mut self, town: &Town, deciders: &[Decider], choices: &mut Vec<OptionKind>) {
        self.deciders.clear();
        self.deciders.extend_from_slice(deciders);
        self.wrong = wrong(town, deciders);
        match self.test_policy {
            TestPolicy::Scripted => Scripted.decide(town, deciders, choices),
            TestPolicy::Random => choices.extend(deciders.iter().map(|it| any(town, it.agent, it.mask))),
            TestPolicy::Unmasked => choices.extend(deciders.iter().map(|it| any(town, it.agent, Mask(u16::MAX)))),
        }
    }
}

fn any(town: &Town, agent: AgentId, mask: Mask) -> OptionKind {
    let allowed = || OPTIONS.iter().map(|row| row.0).filter(|option| mask.allows(*option));
    let (seed, tick, who) = (town.state().seed, town.tick(), u32::from(agent.0));
    let pick = below(seed, Stream::Policy, tick, who, Purpose::Probe, allowed().count() as u32);
    allowed().nth(pick as usize).unwrap_or_default()
}

/// Every due resident decides once with the current mask, and nobody else does.
fn wrong(town: &Town, deciders: &[Decider]) -> Option<String> {
    let (rules, state) = (town.rules(), town.state());
    let agents = &state.agents;
    for agent in agents.present.iter().copied() {
        let name = agents.resident[agent].0;
        let mut asked = deciders.iter().filter(|decider| decider.agent == agent);
        let due = agents.ended[agent] || agents.decide[agent] || state.tick >= agents.commit_until[agent];
        match asked.next() {
            Some(_) if agents.possessed[agent] => return Some(format!("resident {name} is possessed and decides")),
            Some(decider) => {
                let why = reasons(rules, state, agent);
                let bits = (0..OPTIONS.len()).fold(0, |bits, option| bits | u16::from(why[option].is_none()) << option);
                if decider.mask != mask(rules, state, agent) || decider.mask.0 != bits {
                    return Some(format!("resident {name} has the mask {:?} instead of {bits:b}", decider.mask));
                }
                if asked.next().is_some() {
                    return Some(format!("resident {name} decides twice"));
                }
            }
            None if due && !agents.possessed[agent] => return Some(format!("resident {name} is due and not asked")),
            None => {}
        }
    }
    let gone = deciders.iter().find(|decider| !agents.is_present(decider.agent));
    gone.map(|decider| format!("slot {} decides and is empty", decider.agent.0))
}

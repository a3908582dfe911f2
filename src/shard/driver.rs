//! The policy that drives a shard's residents: the scripted one, or a trained network. Rule: "Network policy".

use townlet_learn::checkpoint::RangeCheck;
use townlet_learn::{LatestDecisions, NetworkPolicy, Scripted};
use townlet_town::{Decider, OptionKind, Policy, Town};

use townlet_wire::telemetry;

/// A policy of either kind.
#[derive(Clone, Default)]
pub enum Driver {
    /// Thresholds of the configuration.
    #[default]
    Scripted,
    /// A checkpoint's network.
    Network(Box<NetworkPolicy>),
}

impl Driver {
    /// `scripted`, or the checkpoint's id.
    pub fn id(&self) -> &str {
        match self {
            Self::Scripted => "scripted",
            Self::Network(policy) => policy.id(),
        }
    }

    /// As telemetry shows it, without what [`Self::range`] says of the town. The id of a checkpoint is the beginning of its hash.
    pub(super) fn policy(&self) -> telemetry::Policy {
        let (kind, hash, trained_range) = match self {
            Self::Scripted => ("scripted", "", None),
            Self::Network(policy) => ("network", policy.id(), policy.trained_range().map(str::to_owned)),
        };
        let (id, outside_range) = (self.id().into(), None);
        telemetry::Policy { id, kind: kind.into(), hash: hash.into(), outside_range, trained_range }
    }

    /// Says whether a town lies inside the range that it was trained on; the scripted policy has none.
    pub(super) fn range(&self) -> RangeCheck {
        match self {
            Self::Scripted => RangeCheck::default(),
            Self::Network(policy) => policy.range().clone(),
        }
    }

    /// A sentence about a town outside that range; empty inside.
    pub(super) fn range_warning(&self, town: &Town) -> String {
        let outside = self.range().reason_outside(town.rules(), town.state());
        outside.map_or_else(String::new, |why| {
            format!(" This town is outside the range that {} was trained on: {why}.", self.id())
        })
    }

    /// What a network weighed at each resident's latest decision.
    pub(super) fn decisions(&self) -> Option<&LatestDecisions> {
        match self {
            Self::Scripted => None,
            Self::Network(policy) => Some(policy.decisions()),
        }
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id())
    }
}

impl Policy for Driver {
    fn decide(&mut self, town: &Town, deciders: &[Decider], choices: &mut Vec<OptionKind>) {
        match self {
            Self::Scripted => Scripted.decide(town, deciders, choices),
            Self::Network(policy) => policy.decide(town, deciders, choices),
        }
    }
}

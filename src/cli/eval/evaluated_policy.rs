//! The policies that can be evaluated, by name.

use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use townlet_learn::checkpoint::Checkpoint;
use townlet_learn::evaluate::{Record, Span, evaluate};
use townlet_learn::{Choice, NetworkPolicy, Scripted};
use townlet_town::Rules;

use townlet_shard::policies::PolicyCatalog;

#[derive(Clone, Debug)]
pub(super) enum EvaluatedPolicy {
    Scripted,
    /// A checkpoint, and how options are chosen.
    Network(Arc<Checkpoint>, Choice),
}

impl EvaluatedPolicy {
    /// The policy of a name: `scripted`, `shipped`, or a checkpoint's id.
    pub(super) fn named(flag: &str, name: &str, choice: Choice, home: &Path, rules: &Rules) -> Result<Self> {
        if name == "scripted" {
            return Ok(Self::Scripted);
        }
        let policies = PolicyCatalog::of(home, &rules.config.policy);
        let checkpoint = policies.checkpoint(name).with_context(|| flag.to_owned())?;
        checkpoint
            .fits(rules)
            .with_context(|| format!("{flag}: `{name}` cannot drive this town; `scripted` drives any."))?;
        Ok(Self::Network(Arc::new(checkpoint), choice))
    }

    /// Why the town lies outside the range that the policy was trained on.
    pub(super) fn reason_outside(&self, rules: &Rules) -> Option<String> {
        match self {
            Self::Scripted => None,
            Self::Network(checkpoint, _) => checkpoint.reason_outside(rules),
        }
    }

    /// The same policy with the other choice; `None` for the scripted one.
    pub(super) fn other_choice(&self) -> Option<Self> {
        match self {
            Self::Scripted => None,
            Self::Network(checkpoint, Choice::Greedy) => Some(Self::Network(Arc::clone(checkpoint), Choice::Sampled)),
            Self::Network(checkpoint, Choice::Sampled) => Some(Self::Network(Arc::clone(checkpoint), Choice::Greedy)),
        }
    }

    /// The title in reports; `name` is as requested.
    pub(super) fn title(&self, name: &str) -> String {
        match self {
            Self::Scripted => name.to_owned(),
            Self::Network(checkpoint, choice) => {
                let choice = if *choice == Choice::Greedy { "greedy" } else { "sampled" };
                let id = if checkpoint.id == name { String::new() } else { format!(" {}", checkpoint.id) };
                format!("{name}{id} {choice}")
            }
        }
    }

    /// Runs the policy over the span's towns; `done` is called after each town.
    pub(super) fn evaluate(
        &self,
        rules: &Arc<Rules>,
        span: Span,
        threads: NonZero<usize>,
        done: impl Fn() + Sync,
    ) -> Vec<Record> {
        match self {
            Self::Scripted => evaluate(rules, span, threads, |_| Scripted, done),
            Self::Network(checkpoint, choice) => {
                let policy = |_| NetworkPolicy::new(checkpoint, rules, *choice).expect("it fits: `named` asked");
                evaluate(rules, span, threads, policy, done)
            }
        }
    }
}

//! Who can be evaluated, by name.
//!
//! A new kind of policy is a variant, a way to name it and an arm of [`EvaluatedPolicy::evaluate`]. Knows nothing of reports.

use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use townlet_learn::checkpoint::Checkpoint;
use townlet_learn::evaluate::{Record, Span, evaluate};
use townlet_learn::{Choice, NetworkPolicy, Scripted};
use townlet_town::Rules;

use townlet_shard::policies::PolicyCatalog;

/// Whoever drives the towns of an evaluation.
#[derive(Clone, Debug)]
pub(super) enum EvaluatedPolicy {
    /// The scripted baseline.
    Scripted,
    /// A checkpoint, and how it chooses.
    Network(Arc<Checkpoint>, Choice),
}

impl EvaluatedPolicy {
    /// The policy of a name: `scripted`, `shipped`, or a checkpoint's id.
    ///
    /// # Errors
    /// When there is none, with where it was looked for; when it is not made for such towns.
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

    /// The other way to choose; `None` of whoever has only one.
    pub(super) fn other_choice(&self) -> Option<Self> {
        match self {
            Self::Scripted => None,
            Self::Network(checkpoint, Choice::Greedy) => Some(Self::Network(Arc::clone(checkpoint), Choice::Sampled)),
            Self::Network(checkpoint, Choice::Sampled) => Some(Self::Network(Arc::clone(checkpoint), Choice::Greedy)),
        }
    }

    /// As reports call it; `name` is what was asked for.
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

    /// Runs it over the span's towns; `done` is told of each that is finished.
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

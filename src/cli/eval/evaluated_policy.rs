//! The policies that can be evaluated, by name.

use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use townlet_learn::checkpoint::Checkpoint;
use townlet_learn::evaluate::{Record, Span, evaluate};
use townlet_learn::{Choice, NetworkPolicy, Scripted};
use townlet_town::Rules;
use townlet_town::config::Policy;

use townlet_shard::policies::{PolicyCatalog, SCRIPTED};

/// A policy as it was requested.
#[derive(Clone, Debug)]
pub(super) struct EvaluatedPolicy {
    name: String,
    /// The network and how options are chosen; `None` for the scripted policy, which has no choice.
    network: Option<(Arc<Checkpoint>, Choice)>,
}

impl EvaluatedPolicy {
    /// The policy of a name: `scripted`, `shipped`, or a checkpoint's id. A network sees its own observation layout, whatever
    /// that of the configuration.
    pub(super) fn named(flag: &str, name: &str, choice: Choice, home: &Path, folders: &Policy) -> Result<Self> {
        if name == SCRIPTED {
            return Ok(Self { name: name.into(), network: None });
        }
        let checkpoint = PolicyCatalog::of(home, folders).checkpoint(name).with_context(|| flag.to_owned())?;
        checkpoint.layout().with_context(|| format!("{flag}: this build cannot run `{name}`."))?;
        Ok(Self { name: name.into(), network: Some((Arc::new(checkpoint), choice)) })
    }

    /// Whether it is a trained network.
    pub(super) const fn is_network(&self) -> bool {
        self.network.is_some()
    }

    /// Why the town lies outside the range that the policy was trained on.
    pub(super) fn reason_outside(&self, rules: &Rules) -> Option<String> {
        self.network.as_ref().and_then(|(checkpoint, _)| checkpoint.reason_outside(rules))
    }

    /// The same policy with the other choice; `None` for the scripted one.
    pub(super) fn other_choice(&self) -> Option<Self> {
        let (checkpoint, choice) = self.network.as_ref()?;
        let other = if *choice == Choice::Greedy { Choice::Sampled } else { Choice::Greedy };
        Some(Self { name: self.name.clone(), network: Some((Arc::clone(checkpoint), other)) })
    }

    /// `greedy` or `sampled`; `None` for the scripted policy.
    pub(super) fn choice(&self) -> Option<&'static str> {
        self.network.as_ref().map(|(_, choice)| if *choice == Choice::Greedy { "greedy" } else { "sampled" })
    }

    /// The checkpoint's id, or `scripted`.
    pub(super) fn id(&self) -> &str {
        self.network.as_ref().map_or(self.name.as_str(), |(checkpoint, _)| &checkpoint.id)
    }

    /// The title in reports: the name as requested, the checkpoint's id and the choice.
    pub(super) fn title(&self) -> String {
        let id = if self.id() == self.name { String::new() } else { format!(" {}", self.id()) };
        let choice = self.choice().map_or_else(String::new, |choice| format!(" {choice}"));
        format!("{}{id}{choice}", self.name)
    }

    /// Runs the policy over the span's towns; `done` is called after each town.
    pub(super) fn evaluate(
        &self,
        rules: &Arc<Rules>,
        span: Span,
        threads: NonZero<usize>,
        done: impl Fn() + Sync,
    ) -> Vec<Record> {
        match &self.network {
            None => evaluate(rules, span, threads, |_| Scripted, done),
            Some((checkpoint, choice)) => {
                let policy = |_| {
                    NetworkPolicy::with_own_layout(checkpoint, rules, *choice).expect("`named` asked for the layout")
                };
                evaluate(rules, span, threads, policy, done)
            }
        }
    }
}

//! Who can be evaluated, by name.
//!
//! A new kind of policy is a variant, a way to name it and an arm of [`Entrant::evaluate`]. Knows nothing of reports.

use std::num::NonZero;
use std::sync::Arc;

use anyhow::{Result, bail};
use townlet_learn::Scripted;
use townlet_learn::evaluate::{Record, Span, evaluate};
use townlet_town::Rules;

/// Whoever drives the towns of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entrant {
    /// The scripted baseline.
    Scripted,
}

/// Names that are always there. `shipped` is the scripted policy until a trained one is shipped.
const NAMES: [(&str, Entrant); 2] = [("scripted", Entrant::Scripted), ("shipped", Entrant::Scripted)];

impl Entrant {
    /// The policy of a name.
    ///
    /// # Errors
    /// When there is none, with the names there are.
    pub(super) fn named(flag: &str, name: &str) -> Result<Self> {
        let Some((_, entrant)) = NAMES.iter().find(|row| row.0 == name) else {
            let names: Vec<String> = NAMES.iter().map(|row| format!("`{}`", row.0)).collect();
            bail!("{flag}: there is no policy `{name}`. There are: {}.", names.join(", "));
        };
        Ok(*entrant)
    }

    /// Runs it over the span's towns; `done` is told of each that is finished.
    pub(super) fn evaluate(
        self,
        rules: &Arc<Rules>,
        span: Span,
        threads: NonZero<usize>,
        done: impl Fn() + Sync,
    ) -> Vec<Record> {
        match self {
            Self::Scripted => evaluate(rules, span, threads, |_| Scripted, done),
        }
    }
}

//! A batch of decisions, column by column.

use super::Diverged;
use crate::network::Shape;
use crate::network::matmul::vectorized;
use crate::parallel::ShouldContinue;

/// Values checked between two questions whether to continue.
const CHECKED: usize = 1 << 22;

/// Columns of decisions, each with one entry per decision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Observations, decisions × width, scaled as the network received them.
    pub observations: Vec<f32>,
    /// The chosen option.
    pub actions: Vec<u8>,
    /// The allowed options, one bit each.
    pub action_masks: Vec<u16>,
    /// Log-probability of the chosen option under the policy that chose.
    pub log_probs: Vec<f32>,
    /// Value estimate of the policy that chose.
    pub values: Vec<f32>,
    /// Advantages (GAE).
    pub advantages: Vec<f32>,
    /// Targets of the value: advantage plus value.
    pub returns: Vec<f32>,
}

impl Batch {
    /// Number of decisions.
    pub fn len(&self) -> usize {
        self.actions.len()
    }

    /// Whether there are no decisions.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// Makes room for this many decisions of observations of this width, and for no more.
    pub(crate) fn reserve(&mut self, decisions: usize, width: usize) {
        let more = decisions.saturating_sub(self.len());
        self.observations.reserve_exact(more * width);
        self.actions.reserve_exact(more);
        self.action_masks.reserve_exact(more);
        self.log_probs.reserve_exact(more);
        self.values.reserve_exact(more);
        self.advantages.reserve_exact(more);
        self.returns.reserve_exact(more);
    }

    /// Removes all decisions and keeps the allocations.
    pub fn clear(&mut self) {
        self.observations.clear();
        self.actions.clear();
        self.action_masks.clear();
        self.log_probs.clear();
        self.values.clear();
        self.advantages.clear();
        self.returns.clear();
    }

    /// Checks that every value is finite. Asks `should_continue` now and then and returns `false` when it said no.
    ///
    /// # Panics
    /// When columns differ in length or a choice was masked, which is a bug of the caller.
    pub(super) fn check(
        &self,
        shape: &Shape,
        update: u64,
        should_continue: ShouldContinue<'_>,
    ) -> Result<bool, Diverged> {
        let count = self.len();
        assert_eq!(self.observations.len(), count * shape.observation, "one observation per decision");
        assert_eq!(self.action_masks.len(), count, "one mask per decision");
        for (place, (action, mask)) in self.actions.iter().zip(&self.action_masks).enumerate() {
            let known = usize::from(*action) < shape.options;
            assert!(known && mask >> action & 1 == 1, "decision {place}: option {action} is not in mask {mask:#b}");
        }
        let columns: [(&'static str, &[f32]); 5] = [
            ("observations", &self.observations),
            ("log_probs", &self.log_probs),
            ("values", &self.values),
            ("advantages", &self.advantages),
            ("returns", &self.returns),
        ];
        for (column, values) in columns {
            let width = if column == "observations" { shape.observation } else { 1 };
            assert_eq!(values.len(), count * width, "one entry per decision in `{column}`");
            for (chunk, part) in values.chunks(CHECKED).enumerate() {
                if !should_continue() {
                    return Ok(false);
                }
                let broken = || part.iter().position(|value| !value.is_finite());
                if let Some(place) = (!all_finite(part)).then(broken).flatten() {
                    let (value, place) = (part[place], (chunk * CHECKED + place) / width);
                    return Err(Diverged::Batch { column, value, place, update });
                }
            }
        }
        Ok(true)
    }
}

/// Whether every value is finite. Has no early exit, so that it runs in vectors.
fn all_finite(values: &[f32]) -> bool {
    vectorized(|| values.iter().fold(true, |finite, value| finite & value.is_finite()))
}

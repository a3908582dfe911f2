//! A batch: what was decided since the last update, column by column.

use super::Diverged;
use crate::network::Shape;

/// Columns of decisions; every column has one entry a decision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Decisions × width of an observation, scaled as the network saw them.
    pub observations: Vec<f32>,
    /// The option chosen.
    pub actions: Vec<u8>,
    /// What could be chosen, one bit an option.
    pub action_masks: Vec<u16>,
    /// Natural logarithm of the chosen option's probability at the time.
    pub log_probs: Vec<f32>,
    /// What the network expected at the time.
    pub values: Vec<f32>,
    /// How much better it went than expected.
    pub advantages: Vec<f32>,
    /// What the value should have been.
    pub returns: Vec<f32>,
}

impl Batch {
    /// Number of decisions.
    pub fn len(&self) -> usize {
        self.actions.len()
    }

    /// Whether nothing was decided.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// Forgets all decisions and keeps the room.
    pub fn clear(&mut self) {
        self.observations.clear();
        self.actions.clear();
        self.action_masks.clear();
        self.log_probs.clear();
        self.values.clear();
        self.advantages.clear();
        self.returns.clear();
    }

    /// That every column has an entry a decision, every choice was allowed, and every number is finite.
    ///
    /// # Panics
    /// When columns do not fit each other or a choice was not allowed: whoever filled the batch is wrong.
    pub(super) fn check(&self, shape: &Shape, update: u64) -> Result<(), Diverged> {
        let count = self.len();
        assert_eq!(self.observations.len(), count * shape.observation, "one observation a decision");
        assert_eq!(self.action_masks.len(), count, "one mask a decision");
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
            assert_eq!(values.len(), count * width, "one entry a decision in `{column}`");
            if let Some(place) = values.iter().position(|value| !value.is_finite()) {
                return Err(Diverged::Batch { column, value: values[place], place: place / width, update });
            }
        }
        Ok(())
    }
}

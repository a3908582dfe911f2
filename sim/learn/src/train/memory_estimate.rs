//! The memory that a training needs, estimated from its settings before anything is allocated. Rule: "Memory of a training".

use std::fmt;

use townlet_town::Rules;
use townlet_town::config::TrainingTowns;
use townlet_town::observations::layout;

use super::shape;
use crate::drawn_towns::{KEPT, POPULATION};
use crate::rollout::ENVS_PER_BATCH;

/// Decisions per resident-tick, rounded up: random and trained policies make 0.07.
const DECISIONS_PER_RESIDENT_TICK: f64 = 0.1;
/// Bytes of a decision besides its observation: in the buffer of its town, and in the batch with its place in a shuffle.
const BUFFER_BYTES: u64 = 34;
const BATCH_BYTES: u64 = 19 + 2 * 8;
/// A buffer grows by doubling, so up to half of it is unused.
const GROWTH: u64 = 2;
/// Bytes of a town per slot and of the rules of a drawn one, rounded up from measurements.
const TOWN_BYTES_PER_SLOT: u64 = 1_280;
const DRAWN_RULES_BYTES: u64 = 1024 * 1024;
/// Copies of a town's state: running, before the update, and twice in a checkpoint that is written.
const TOWN_COPIES: u64 = 4;
/// Copies of the weights: with two moments in the learner, before the update and in it, gradients, and a checkpoint.
const WEIGHT_COPIES: u64 = 16;

/// The sum of what a training needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryEstimate {
    terms: Vec<Term>,
}

/// A product of the sum.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    what: &'static str,
    product: String,
    bytes: u64,
}

impl MemoryEstimate {
    /// The estimate for a training with these rules.
    pub fn of(rules: &Rules) -> Self {
        let (config, training) = (&rules.config, &rules.config.training);
        let drawn = training.towns == TrainingTowns::Drawn;
        let residents = u64::from(if drawn { *POPULATION.end() } else { config.world.population });
        let (towns, ticks) = (u64::from(training.replicas), u64::from(training.rollout_ticks));
        let width = layout(config.features.systems.observations).width as u64;
        let decision = GROWTH * (4 * width + BUFFER_BYTES) + 4 * width + BATCH_BYTES;
        let decisions = (towns * ticks * residents) as f64 * DECISIONS_PER_RESIDENT_TICK;
        let town = u64::from(config.embedding_allocator.max_slots) * TOWN_BYTES_PER_SLOT;
        let weights = shape(rules).weights() as u64;
        let networks = WEIGHT_COPIES + towns.div_ceil(ENVS_PER_BATCH as u64);
        let mut terms = vec![
            Term {
                what: "decisions",
                product: format!(
                    "{towns} towns × {ticks} ticks × {residents} residents × {DECISIONS_PER_RESIDENT_TICK} decisions × \
                     {decision} bytes ({width} values each)"
                ),
                bytes: (decisions * decision as f64) as u64,
            },
            Term {
                what: "towns",
                product: format!("{towns} towns × {TOWN_COPIES} copies × {town} bytes"),
                bytes: towns * TOWN_COPIES * town,
            },
            Term {
                what: "networks",
                product: format!("{networks} copies × {weights} weights × 4 bytes"),
                bytes: networks * weights * 4,
            },
        ];
        if drawn {
            // A replica may still live in a town that is no longer kept.
            let kept = u64::from(training.drawn_towns).min(KEPT as u64 + u64::from(training.replicas));
            let plans = kept + u64::from(training.evaluation.towns);
            let product = format!("{plans} drawn towns × {DRAWN_RULES_BYTES} bytes");
            terms.push(Term { what: "plans", product, bytes: plans * DRAWN_RULES_BYTES });
        }
        Self { terms }
    }

    /// The whole sum in bytes.
    pub fn total(&self) -> u64 {
        self.terms.iter().map(|term| term.bytes).sum()
    }

    /// Whether `available` bytes are enough.
    ///
    /// # Errors
    /// The sum and what to do, when they are not.
    pub fn check(&self, available: u64) -> Result<(), NotEnoughMemory> {
        if self.total() <= available { Ok(()) } else { Err(NotEnoughMemory { estimate: self.clone(), available }) }
    }
}

/// A training needs more memory than there is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the training needs about {} of memory, and {} are available.\n{estimate}\
     Reduce `training.replicas`, `training.rollout_ticks` or `training.hidden_units`.",
    size(estimate.total()),
    size(*available)
)]
pub struct NotEnoughMemory {
    estimate: MemoryEstimate,
    available: u64,
}

impl fmt::Display for MemoryEstimate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Term { what, product, bytes } in &self.terms {
            writeln!(out, "  {what}: {product} = {}", size(*bytes))?;
        }
        Ok(())
    }
}

fn size(bytes: u64) -> String {
    const MIB: f64 = 1_048_576.0;
    let mib = bytes as f64 / MIB;
    if mib < 1024.0 { format!("{mib:.1} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

#[cfg(test)]
mod tests {
    use townlet_town::Sources;

    use super::*;

    fn estimate(settings: &[(&str, &str)]) -> MemoryEstimate {
        let sources = Sources::default_town(settings).expect("the settings hold");
        MemoryEstimate::of(&Rules::new(sources).expect("a town"))
    }

    #[test]
    fn the_sum_grows_with_each_setting_and_is_written_out() {
        let default = estimate(&[]);
        for (key, value) in [
            ("training.replicas", "128"),
            ("training.rollout_ticks", "512"),
            ("training.hidden_units", "256"),
            ("training.towns", "drawn"),
            ("world.population", "9"),
            ("features.systems.observations", "full"),
        ] {
            assert!(estimate(&[(key, value)]).total() > default.total(), "{key}");
        }
        let huge = estimate(&[("training.replicas", "4096"), ("training.rollout_ticks", "100000")]);
        let refused = huge.check(8 << 30).expect_err("more than eight gibibytes").to_string();
        assert!(
            refused.starts_with("the training needs about ") && refused.contains("8.0 GiB are available"),
            "{refused}"
        );
        for part in ["4096 towns × 100000 ticks × 8 residents", "networks: ", "training.rollout_ticks"] {
            assert!(refused.contains(part), "{part} is not in {refused}");
        }
        let [drawn, more] = ["20", "30"]
            .map(|towns| estimate(&[("training.towns", "drawn"), ("training.evaluation.towns", towns)]).total());
        assert_eq!(more - drawn, 10 << 20, "each held-out town that is drawn has rules of its own");
        assert_eq!(huge.check(huge.total()), Ok(()));
        assert!(huge.check(huge.total() - 1).is_err());
    }
}

//! The figures of an update that are drawn, one row each, by the names of the training's own log.
//!
//! Knows what a figure is called and where it stands in a row of the wire. Rule: "Training log".

use townlet_wire::telemetry::{Learning, LearningRow};

/// A figure that every update has.
pub(crate) struct Curve {
    /// As in `logs/training/<run>.jsonl`.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// As [`crate::text::figure`] reads it.
    pub(crate) unit: &'static str,
    pub(crate) value: fn(&LearningRow) -> Option<f64>,
}

const fn curve(
    name: &'static str,
    title: &'static str,
    unit: &'static str,
    value: fn(&LearningRow) -> Option<f64>,
) -> Curve {
    Curve { name, title, unit, value }
}

/// What the training is for, then how it learns, then what it costs.
pub(crate) static CURVES: [Curve; 12] = [
    curve("return_per_day", "return a day", "", |row| row.return_per_day),
    curve("town_score", "town score", "score", |row| row.town_score),
    curve("episodic_return", "return a life", "", |row| row.episodic_return),
    curve("policy_loss", "policy loss", "", |row| Some(row.policy_loss)),
    curve("value_loss", "value loss", "", |row| Some(row.value_loss)),
    curve("entropy", "entropy", "nats", |row| Some(row.entropy)),
    curve("approx_kl", "approximate KL", "nats", |row| Some(row.approx_kl)),
    curve("clip_frac", "clip fraction", "ratio", |row| Some(row.clip_frac)),
    curve("explained_variance", "explained variance", "", |row| row.explained_variance),
    curve("grad_norm", "gradient norm", "", |row| Some(row.grad_norm)),
    curve("learning_rate", "learning rate", "", |row| Some(row.learning_rate)),
    curve("steps_per_second", "steps a second", "", |row| Some(row.steps_per_second)),
];

impl Curve {
    /// Its points by resident-ticks learned from; updates that do not have it are left out.
    pub(crate) fn points(&self, learning: &Learning) -> Vec<(f64, f64)> {
        let known = |row: &LearningRow| Some((row.steps as f64, (self.value)(row)?));
        learning.history.iter().filter_map(known).filter(|point| point.1.is_finite()).collect()
    }
}

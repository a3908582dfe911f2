//! Table of the training metrics with a chart. Rule: "Training log".

use townlet_wire::telemetry::{Learning, LearningRow};

pub(crate) struct TrainingMetric {
    /// Name in `logs/training/<run>.jsonl`.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// As [`crate::text::figure`] reads it.
    pub(crate) unit: &'static str,
    pub(crate) value: fn(&LearningRow) -> Option<f64>,
}

const fn metric(
    name: &'static str,
    title: &'static str,
    unit: &'static str,
    value: fn(&LearningRow) -> Option<f64>,
) -> TrainingMetric {
    TrainingMetric { name, title, unit, value }
}

/// Results first, then learning progress, then speed.
pub(crate) static TRAINING_METRICS: [TrainingMetric; 12] = [
    metric("return_per_day", "return per day", "", |row| row.return_per_day),
    metric("town_score", "town score", "score", |row| row.town_score),
    metric("episodic_return", "episodic return", "", |row| row.episodic_return),
    metric("policy_loss", "policy loss", "", |row| Some(row.policy_loss)),
    metric("value_loss", "value loss", "", |row| Some(row.value_loss)),
    metric("entropy", "entropy", "nats", |row| Some(row.entropy)),
    metric("approx_kl", "approximate KL", "nats", |row| Some(row.approx_kl)),
    metric("clip_frac", "clip fraction", "ratio", |row| Some(row.clip_frac)),
    metric("explained_variance", "explained variance", "", |row| row.explained_variance),
    metric("grad_norm", "gradient norm", "", |row| Some(row.grad_norm)),
    metric("learning_rate", "learning rate", "", |row| Some(row.learning_rate)),
    metric("steps_per_second", "steps per second", "", |row| Some(row.steps_per_second)),
];

impl TrainingMetric {
    /// Values by resident-ticks; updates without the metric are left out.
    pub(crate) fn points(&self, learning: &Learning) -> Vec<(f64, f64)> {
        let known = |row: &LearningRow| Some((row.steps as f64, (self.value)(row)?));
        learning.history.iter().filter_map(known).filter(|point| point.1.is_finite()).collect()
    }
}

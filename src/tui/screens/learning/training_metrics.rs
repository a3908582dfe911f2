//! Table of the training metrics with a chart. Rule: "Training log".

use townlet_wire::telemetry::{HeldOutEvaluation, Learning, LearningRow};

pub(crate) struct TrainingMetric {
    /// Name in `logs/training/<run>.jsonl`.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// As [`crate::format::figure`] reads it.
    pub(crate) unit: &'static str,
    pub(crate) series: Series,
}

/// Where the values come from.
pub(crate) enum Series {
    /// The updates.
    Updates(fn(&LearningRow) -> Option<f64>),
    /// The evaluations on held-out towns.
    HeldOut(fn(&HeldOutEvaluation) -> Option<f64>),
}

const fn metric(
    name: &'static str,
    title: &'static str,
    unit: &'static str,
    value: fn(&LearningRow) -> Option<f64>,
) -> TrainingMetric {
    TrainingMetric { name, title, unit, series: Series::Updates(value) }
}

const fn held_out(
    name: &'static str,
    title: &'static str,
    unit: &'static str,
    value: fn(&HeldOutEvaluation) -> Option<f64>,
) -> TrainingMetric {
    TrainingMetric { name, title, unit, series: Series::HeldOut(value) }
}

/// The return and the score on held-out towns, by which a training is judged.
pub(crate) const RETURN: &str = "return_per_day";
pub(crate) const HELD_OUT_SCORE: &str = "held_out_score";

/// Results first, then learning progress, then speed.
pub(crate) static TRAINING_METRICS: [TrainingMetric; 15] = [
    metric(RETURN, "return per day", "", |row| row.return_per_day),
    held_out(HELD_OUT_SCORE, "held-out score", "score", |evaluation| evaluation.score),
    metric("town_score", "town score", "score", |row| row.town_score),
    metric("episodic_return", "episodic return", "", |row| row.episodic_return),
    held_out("starvation_rate", "starved per 1,000 d", "", |evaluation| Some(evaluation.starvation.rate)),
    held_out("involuntary_exit_rate", "exits per 1,000 d", "", |evaluation| Some(evaluation.involuntary_exits.rate)),
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
    /// Values by resident-ticks; updates and evaluations without the metric are left out.
    pub(crate) fn points(&self, learning: &Learning) -> Vec<(f64, f64)> {
        let known =
            |(steps, value): (u64, Option<f64>)| Some((steps as f64, value?)).filter(|point| point.1.is_finite());
        match self.series {
            Series::Updates(value) => {
                learning.history.iter().filter_map(|row| known((row.steps, value(row)))).collect()
            }
            Series::HeldOut(value) => {
                learning.evaluations.iter().filter_map(|row| known((row.steps, value(row)))).collect()
            }
        }
    }

    /// The value of the newest update or evaluation.
    pub(crate) fn newest(&self, learning: &Learning) -> Option<f64> {
        match self.series {
            Series::Updates(value) => learning.history.last().and_then(value),
            Series::HeldOut(value) => learning.evaluations.last().and_then(value),
        }
    }

    /// What a chart without values says.
    pub(crate) fn missing(&self, learning: &Learning) -> String {
        match (&self.series, learning.next_evaluation_steps) {
            (Series::Updates(_), _) => "no value yet".to_owned(),
            (Series::HeldOut(_), Some(steps)) => {
                format!("no evaluation yet, next at {} steps", crate::format::short(steps as f64))
            }
            (Series::HeldOut(_), None) => "no evaluation, and none is planned".to_owned(),
        }
    }
}

//! Tests of the gradient against finite differences in `f64` and against plain dfdx.

use dfdx::prelude::{AsArray, Backward};

use super::backprop::PackedNetwork;
use super::minibatch::{Gradients, Part};
use super::objective::Targets;
use super::reference::columns;
use super::{Settings, reference};
use crate::network::{ActorCritic, Shape, Weights};
use crate::prng::Prng;

const SHAPE: Shape = Shape { observation: 6, hidden: [11, 9], options: 5 };

/// Random weights, large enough that the options differ.
fn weights(prng: &mut Prng, shape: Shape) -> Weights {
    let mut weights = Weights::zeros(&shape);
    for column in &mut weights.tensors {
        column.values.iter_mut().for_each(|value| *value = (prng.normal() * 0.5) as f32);
    }
    weights
}

/// Decisions whose ratios and values lie on all sides of the clipping ranges.
fn part(prng: &mut Prng, weights: &Weights, shape: Shape, count: usize) -> Part {
    let mut part = Part::default();
    let targets = &mut part.targets;
    for place in 0..count {
        let row: Vec<f32> = (0..shape.observation).map(|_| prng.normal() as f32).collect();
        let (logits, value) = naive_forward(weights, &wide(weights), &row);
        let mask = (0b1_0110_u16 << (place % 3)) & ((1 << shape.options) - 1);
        let mask = if place % 4 == 0 { (1 << shape.options) - 1 } else { mask };
        let allowed: Vec<usize> = (0..shape.options).filter(|option| mask >> option & 1 == 1).collect();
        let action = allowed[place % allowed.len()];
        let log_prob = naive_odds(&logits, mask)[action];
        part.observations.extend(row);
        targets.actions.push(action as u8);
        targets.action_masks.push(mask);
        targets.log_probs.push((log_prob + prng.normal() * 0.3) as f32);
        targets.advantages.push(prng.normal() as f32);
        targets.values.push((value + prng.normal() * 0.3) as f32);
        targets.returns.push((value + prng.normal()) as f32);
    }
    targets.share = 1.0 / count as f32;
    part
}

/// The gradient as an update computes it.
fn gradients(weights: &Weights, shape: Shape, mut part: Part, settings: &Settings) -> Gradients {
    let mut net = PackedNetwork::new(shape);
    net.load(weights);
    part.differentiate(&net, settings);
    part.gradients
}

fn wide(weights: &Weights) -> Vec<Vec<f64>> {
    weights.tensors.iter().map(|column| column.values.iter().map(|value| f64::from(*value)).collect()).collect()
}

fn naive_forward(weights: &Weights, columns: &[Vec<f64>], row: &[f32]) -> (Vec<f64>, f64) {
    let dense = |layer: usize, input: &[f64], relu: bool| -> Vec<f64> {
        let outputs = weights.tensors[2 * layer].shape[0];
        (0..outputs)
            .map(|output| {
                let line = &columns[2 * layer][output * input.len()..][..input.len()];
                let sum: f64 = line.iter().zip(input).map(|(a, b)| a * b).sum::<f64>() + columns[2 * layer + 1][output];
                if relu { sum.max(0.0) } else { sum }
            })
            .collect()
    };
    let row: Vec<f64> = row.iter().map(|value| f64::from(*value)).collect();
    let trunk = dense(1, &dense(0, &row, true), true);
    (dense(2, &trunk, false), dense(3, &trunk, false)[0])
}

fn naive_odds(logits: &[f64], mask: u16) -> Vec<f64> {
    let sum: f64 =
        logits.iter().enumerate().filter(|(option, _)| mask >> option & 1 == 1).map(|(_, logit)| logit.exp()).sum();
    logits.iter().map(|logit| logit - sum.ln()).collect()
}

/// The loss by its definition, in `f64`.
fn naive_loss(weights: &Weights, columns: &[Vec<f64>], part: &Part, settings: &Settings) -> f64 {
    let (Targets { share, .. }, width) = (&part.targets, weights.tensors[0].shape[1]);
    let [clip, vf, ent] = [settings.clip_coef, settings.vf_coef, settings.ent_coef].map(f64::from);
    let mut loss = 0.0;
    for (place, row) in part.observations.chunks_exact(width).enumerate() {
        let [old, advantage, before, wanted] = [
            part.targets.log_probs[place],
            part.targets.advantages[place],
            part.targets.values[place],
            part.targets.returns[place],
        ]
        .map(f64::from);
        let mask = part.targets.action_masks[place];
        let (logits, value) = naive_forward(weights, columns, row);
        let distribution = naive_odds(&logits, mask);
        let ratio = (distribution[usize::from(part.targets.actions[place])] - old).exp();
        let policy = (-advantage * ratio).max(-advantage * ratio.clamp(1.0 - clip, 1.0 + clip));
        let allowed = (0..logits.len()).filter(|option| mask >> option & 1 == 1);
        let entropy: f64 = -allowed.map(|option| distribution[option].exp() * distribution[option]).sum::<f64>();
        let error = match settings.clip_vloss.map(f64::from) {
            None => (value - wanted).powi(2),
            Some(limit) => {
                (value - wanted).powi(2).max((before + (value - before).clamp(-limit, limit) - wanted).powi(2))
            }
        };
        loss += f64::from(*share) * (policy - ent * entropy + vf * 0.5 * error);
    }
    loss
}

fn settings() -> [Settings; 3] {
    let usual = Settings { ent_coef: 0.07, ..Settings::default() };
    [usual, Settings { clip_vloss: None, ..usual }, Settings { clip_coef: 0.05, clip_vloss: Some(0.05), ..usual }]
}

#[test]
fn the_gradient_matches_finite_differences() {
    let mut prng = Prng::new([11, 0, 0]);
    for settings in settings() {
        let weights = weights(&mut prng, SHAPE);
        let part = part(&mut prng, &weights, SHAPE, 40);
        let gradients = gradients(&weights, SHAPE, part.clone(), &settings);
        let mut exact = wide(&weights);
        let loss = naive_loss(&weights, &exact, &part, &settings);
        assert!((f64::from(gradients.terms.loss) - loss).abs() < 1e-5, "{} and not {loss}", gradients.terms.loss);
        assert!(
            gradients.terms.clip_frac > 0.1 && gradients.terms.clip_frac < 0.99,
            "both sides of the clip are there"
        );
        for column in 0..exact.len() {
            for place in 0..exact[column].len() {
                let (kept, step) = (exact[column][place], 1e-6);
                exact[column][place] = kept + step;
                let above = naive_loss(&weights, &exact, &part, &settings);
                exact[column][place] = kept - step;
                let below = naive_loss(&weights, &exact, &part, &settings);
                exact[column][place] = kept;
                let wanted = (above - below) / (2.0 * step);
                let found = f64::from(gradients.gradient[column][place]);
                let name = &weights.tensors[column].name;
                assert!(
                    (found - wanted).abs() < 2e-5 + 1e-4 * wanted.abs(),
                    "{name} {place}: {found} and not {wanted}"
                );
            }
        }
    }
}

#[test]
fn the_gradient_matches_plain_dfdx() {
    let mut prng = Prng::new([12, 0, 0]);
    for (shape, count) in [(SHAPE, 33), (Shape::standard(70, 9), 128), (Shape::standard(432, 9), 50), (SHAPE, 300)] {
        for settings in settings() {
            let weights = weights(&mut prng, shape);
            // Scaled like a trained network; otherwise every ratio would be clipped.
            let mut weights = weights;
            weights.tensors.iter_mut().for_each(|column| {
                let scale = 2.0 / (*column.shape.last().unwrap_or(&1) as f32).sqrt();
                column.values.iter_mut().for_each(|value| *value *= scale);
            });
            let part = part(&mut prng, &weights, shape, count);
            let model = ActorCritic::from_weights(shape, &weights).expect("random weights are valid");
            let loss = reference::loss(&model, &part.observations, &part.targets, &settings);
            let wanted_loss = loss.array();
            let wanted = columns(&model, loss.backward()).expect("memory lasts");
            let gradients = gradients(&weights, shape, part, &settings);
            assert!((gradients.terms.loss - wanted_loss).abs() < 1e-4 * (1.0 + wanted_loss.abs()));
            for ((column, found), wanted) in weights.tensors.iter().zip(&gradients.gradient).zip(&wanted) {
                for (place, (found, wanted)) in found.iter().zip(wanted).enumerate() {
                    let allowed = 1e-5 + 1e-3 * wanted.abs();
                    assert!((found - wanted).abs() < allowed, "{} {place}: {found} and not {wanted}", column.name);
                }
            }
        }
    }
}

#[test]
fn masked_logits_get_no_gradient() {
    let mut prng = Prng::new([13, 0, 0]);
    let weights = weights(&mut prng, SHAPE);
    let mut part = part(&mut prng, &weights, SHAPE, 30);
    for (place, mask) in part.targets.action_masks.iter_mut().enumerate() {
        *mask = 0b01101;
        part.targets.actions[place] = [0, 2, 3][place % 3];
    }
    let gradients = gradients(&weights, SHAPE, part, &settings()[0]);
    let (weight, bias) = (&gradients.gradient[4], &gradients.gradient[5]);
    for option in 0..SHAPE.options {
        let line = &weight[option * SHAPE.hidden[1]..][..SHAPE.hidden[1]];
        let idle = line.iter().all(|value| *value == 0.0) && bias[option] == 0.0;
        assert_eq!(idle, [1, 4].contains(&option), "option {option}: {line:?} {}", bias[option]);
    }
}

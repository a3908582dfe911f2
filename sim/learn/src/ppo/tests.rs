//! Tests of the gradient against finite differences in `f64`, and of the update against stock dfdx.

use dfdx::prelude::*;

use super::gradient_workers::GradientWorkers;
use super::objective::LossTerms;
use super::{Batch, Learner, LearnerState, Settings};
use crate::network::{ActorCritic, Matrix, Shape, Vector, Weights, stock_operations};
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

/// The same scaled like a trained network; otherwise every ratio would be clipped.
fn scaled_weights(prng: &mut Prng, shape: Shape) -> Weights {
    let mut weights = weights(prng, shape);
    for column in &mut weights.tensors {
        let scale = 2.0 / (*column.shape.last().unwrap_or(&1) as f32).sqrt();
        column.values.iter_mut().for_each(|value| *value *= scale);
    }
    weights
}

/// Decisions whose ratios and values lie on all sides of the clipping ranges.
fn batch(prng: &mut Prng, weights: &Weights, shape: Shape, count: usize) -> Batch {
    let mut batch = Batch::default();
    let all = (1 << shape.options) - 1;
    for place in 0..count {
        let row: Vec<f32> = (0..shape.observation).map(|_| prng.normal() as f32).collect();
        let (logits, value) = naive_forward(weights, &wide(weights), &row);
        let mask = if place % 4 == 0 { all } else { (0b1_0110_u16 << (place % 3)) & all };
        let allowed: Vec<usize> = (0..shape.options).filter(|option| mask >> option & 1 == 1).collect();
        let action = allowed[place % allowed.len()];
        let log_prob = naive_odds(&logits, mask)[action];
        batch.observations.extend(row);
        batch.actions.push(action as u8);
        batch.action_masks.push(mask);
        batch.log_probs.push((log_prob + prng.normal() * 0.3) as f32);
        batch.advantages.push(prng.normal() as f32);
        batch.values.push((value + prng.normal() * 0.3) as f32);
        batch.returns.push((value + prng.normal()) as f32);
    }
    batch
}

fn agent(shape: Shape, weights: &Weights) -> ActorCritic {
    ActorCritic::from_weights(shape, weights).expect("random weights are valid")
}

/// The gradient of each tensor over the whole batch, as an update computes it.
fn gradient(weights: &Weights, shape: Shape, batch: &Batch, settings: &Settings) -> (Vec<Vec<f32>>, LossTerms) {
    let agent = agent(shape, weights);
    let places: Vec<usize> = (0..batch.len()).collect();
    let workers = GradientWorkers::new(settings, batch, &|| true);
    let (mut gradients, terms) = workers.backward(&agent, &places).expect("nothing stops it");
    (columns(&agent, &mut gradients), terms)
}

fn columns(agent: &ActorCritic, gradients: &mut Gradients<f32, Cpu>) -> Vec<Vec<f32>> {
    let mut columns = Vec::new();
    agent.for_each_gradient(gradients, |_, gradient| columns.push(gradient.to_vec()));
    columns
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
fn naive_loss(weights: &Weights, columns: &[Vec<f64>], batch: &Batch, settings: &Settings) -> f64 {
    let width = weights.tensors[0].shape[1];
    let [clip, vf, ent] = [settings.clip_coef, settings.vf_coef, settings.ent_coef].map(f64::from);
    let mut loss = 0.0;
    for (place, row) in batch.observations.chunks_exact(width).enumerate() {
        let [old, advantage, before, wanted] =
            [batch.log_probs[place], batch.advantages[place], batch.values[place], batch.returns[place]].map(f64::from);
        let mask = batch.action_masks[place];
        let (logits, value) = naive_forward(weights, columns, row);
        let distribution = naive_odds(&logits, mask);
        let ratio = (distribution[usize::from(batch.actions[place])] - old).exp();
        let policy = (-advantage * ratio).max(-advantage * ratio.clamp(1.0 - clip, 1.0 + clip));
        let allowed = (0..logits.len()).filter(|option| mask >> option & 1 == 1);
        let entropy: f64 = -allowed.map(|option| distribution[option].exp() * distribution[option]).sum::<f64>();
        let error = match settings.clip_vloss.map(f64::from) {
            None => (value - wanted).powi(2),
            Some(limit) => {
                (value - wanted).powi(2).max((before + (value - before).clamp(-limit, limit) - wanted).powi(2))
            }
        };
        loss += policy - ent * entropy + vf * 0.5 * error;
    }
    loss / batch.len() as f64
}

fn settings() -> [Settings; 3] {
    let usual = Settings { ent_coef: 0.07, norm_adv: false, ..Settings::default() };
    [usual, Settings { clip_vloss: None, ..usual }, Settings { clip_coef: 0.05, clip_vloss: Some(0.05), ..usual }]
}

#[test]
fn the_gradient_matches_finite_differences() {
    let mut prng = Prng::new([11, 0, 0]);
    for settings in settings() {
        let weights = weights(&mut prng, SHAPE);
        let batch = batch(&mut prng, &weights, SHAPE, 40);
        let (gradient, terms) = gradient(&weights, SHAPE, &batch, &settings);
        let mut exact = wide(&weights);
        let loss = naive_loss(&weights, &exact, &batch, &settings);
        assert!((f64::from(terms.loss) - loss).abs() < 1e-5, "{} and not {loss}", terms.loss);
        assert!(terms.clip_frac > 0.1 && terms.clip_frac < 0.99, "both sides of the clip are there");
        for column in 0..exact.len() {
            for place in 0..exact[column].len() {
                let (kept, step) = (exact[column][place], 1e-6);
                exact[column][place] = kept + step;
                let above = naive_loss(&weights, &exact, &batch, &settings);
                exact[column][place] = kept - step;
                let below = naive_loss(&weights, &exact, &batch, &settings);
                exact[column][place] = kept;
                let wanted = (above - below) / (2.0 * step);
                let found = f64::from(gradient[column][place]);
                let name = &weights.tensors[column].name;
                assert!(
                    (found - wanted).abs() < 2e-5 + 1e-4 * wanted.abs(),
                    "{name} {place}: {found} and not {wanted}"
                );
            }
        }
    }
}

/// The loss of the whole batch in stock operations of dfdx.
fn stock_loss(agent: &ActorCritic, batch: &Batch, settings: &Settings) -> Tensor<Rank0, f32, Cpu, OwnedTape<f32, Cpu>> {
    let device = Cpu::default();
    let (count, shape) = (batch.len(), agent.shape());
    let column = |values: &[f32]| -> Vector { device.tensor_from_vec(values.to_vec(), (count,)) };
    let rows: Matrix = device.tensor_from_vec(batch.observations.clone(), (count, shape.observation));
    let (logits, values) = stock_operations::forward(agent, rows.leaky_traced());
    let (log_probs, entropy) = stock_operations::log_prob_and_entropy(logits, &batch.action_masks, &batch.actions);
    let ratio = (log_probs - column(&batch.log_probs)).exp();
    let advantages = column(&batch.advantages);
    let clipped = ratio.with_empty_tape().clamp(1.0 - settings.clip_coef, 1.0 + settings.clip_coef);
    let policy = (-(ratio * advantages.clone())).maximum(-(clipped * advantages)).mean::<Rank0, _>();
    let values = values.reshape_like(&(count,));
    let (before, wanted) = (column(&batch.values), column(&batch.returns));
    let error = match settings.clip_vloss {
        None => (values - wanted).square(),
        Some(limit) => {
            let moved = (values.with_empty_tape() - before.clone()).clamp(-limit, limit);
            (values - wanted.clone()).square().maximum((moved + before - wanted).square())
        }
    };
    policy - entropy.mean::<Rank0, _>() * settings.ent_coef + error.mean::<Rank0, _>() * (0.5 * settings.vf_coef)
}

#[test]
fn the_gradient_matches_stock_dfdx() {
    let mut prng = Prng::new([12, 0, 0]);
    for (shape, count) in [(SHAPE, 33), (Shape::standard(70, 9), 128), (Shape::standard(432, 9), 50), (SHAPE, 300)] {
        for settings in settings() {
            let weights = scaled_weights(&mut prng, shape);
            let batch = batch(&mut prng, &weights, shape, count);
            let agent = agent(shape, &weights);
            let loss = stock_loss(&agent, &batch, &settings);
            let wanted_loss = loss.array();
            let wanted = columns(&agent, &mut loss.backward());
            let (gradient, terms) = gradient(&weights, shape, &batch, &settings);
            assert!((terms.loss - wanted_loss).abs() < 1e-4 * (1.0 + wanted_loss.abs()));
            for ((column, found), wanted) in weights.tensors.iter().zip(&gradient).zip(&wanted) {
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
    let mut batch = batch(&mut prng, &weights, SHAPE, 30);
    for (place, mask) in batch.action_masks.iter_mut().enumerate() {
        *mask = 0b01101;
        batch.actions[place] = [0, 2, 3][place % 3];
    }
    let (gradient, _) = gradient(&weights, SHAPE, &batch, &settings()[0]);
    let (weight, bias) = (&gradient[4], &gradient[5]);
    for option in 0..SHAPE.options {
        let line = &weight[option * SHAPE.hidden[1]..][..SHAPE.hidden[1]];
        let idle = line.iter().all(|value| *value == 0.0) && bias[option] == 0.0;
        assert_eq!(idle, [1, 4].contains(&option), "option {option}: {line:?} {}", bias[option]);
    }
}

/// Settings of an update whose one minibatch is the whole batch.
fn whole(count: usize) -> Settings {
    Settings { minibatch_size: count, update_epochs: 3, norm_adv: false, ..Settings::default() }
}

#[test]
fn an_update_is_the_one_of_stock_dfdx() {
    let mut prng = Prng::new([14, 0, 0]);
    let start = scaled_weights(&mut prng, SHAPE);
    let batch = batch(&mut prng, &start, SHAPE, 64);
    // So tight that Adam's ε shows whether gradients are clipped: otherwise their scale changes no step.
    let settings = Settings { max_grad_norm: 0.001, ..whole(64) };
    let mut learner = Learner::new(SHAPE, settings, 1);
    let zeros = Weights::zeros(&SHAPE);
    let state = LearnerState {
        weights: start.clone(),
        first_moments: zeros.clone(),
        second_moments: zeros,
        steps: 0,
        updates: 0,
    };
    learner.restore(state).expect("random weights are valid");
    learner.update(&batch, 0.0).expect("it does not diverge");

    let mut agent = agent(SHAPE, &start);
    let config = AdamConfig { lr: f64::from(settings.learning_rate), eps: 1e-5, ..AdamConfig::default() };
    let (mut first, mut second) = (Gradients::leaky(), Gradients::leaky());
    for step in 1..=3 {
        let mut gradients = stock_loss(&agent, &batch, &settings).backward();
        let squares = columns(&agent, &mut gradients).concat().into_iter().map(|value| f64::from(value).powi(2));
        let scale = (0.001 / (squares.sum::<f64>().sqrt() + 1e-6)).min(1.0) as f32;
        agent.for_each_gradient(&mut gradients, |_, gradient| gradient.iter_mut().for_each(|value| *value *= scale));
        for layer in agent.layers_mut() {
            stock_step(&config, step, &mut layer.weight, [&mut first, &mut second], &mut gradients);
            stock_step(&config, step, &mut layer.bias, [&mut first, &mut second], &mut gradients);
        }
    }
    let wanted = agent.weights();
    assert_ne!(learner.weights(), &start);
    for (found, wanted) in learner.weights().tensors.iter().zip(&wanted.tensors) {
        for (place, (value, wanted)) in found.values.iter().zip(&wanted.values).enumerate() {
            assert!((value - wanted).abs() < 2e-6, "{} {place}: {value} and not {wanted}", found.name);
        }
    }
}

fn stock_step<S: dfdx::shapes::Shape>(
    config: &AdamConfig,
    step: i32,
    tensor: &mut Tensor<S, f32, Cpu>,
    [first, second]: [&mut Gradients<f32, Cpu>; 2],
    gradients: &mut Gradients<f32, Cpu>,
) {
    let (first, second) = (first.get_or_alloc_mut(tensor), second.get_or_alloc_mut(tensor));
    let gradient = gradients.get_or_alloc_mut(tensor).expect("memory for a gradient");
    let [first, second] = [first, second].map(|moments| moments.expect("memory for a moment"));
    config.try_update(step, tensor, first, second, gradient).expect("the kernel on a CPU cannot fail");
}

/// Fails when the gradients no longer come from dfdx's tape: each layer counts the times that the tape runs it backward.
#[test]
fn an_update_runs_on_the_tape_of_dfdx() {
    let mut prng = Prng::new([15, 0, 0]);
    let weights = scaled_weights(&mut prng, SHAPE);
    let batch = batch(&mut prng, &weights, SHAPE, 60);
    let mut learner = Learner::new(SHAPE, Settings { minibatch_size: 20, ..whole(60) }, 1);
    learner.set_threads(std::num::NonZero::<usize>::MIN);
    let before = stock_operations::backward_runs();
    learner.update(&batch, 0.0).expect("it does not diverge");
    let (products, parts, minibatches, epochs) = (3, 2, 3, 3);
    assert_eq!(stock_operations::backward_runs() - before, products * parts * minibatches * epochs);
}

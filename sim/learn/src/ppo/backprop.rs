//! Forward and backward pass of the network: from observations to the gradient of every weight.
//!
//! Processes a fixed number of rows at a time, so that everything stays in the core's cache, and allocates nothing after the
//! first minibatch. Tests compare the gradient with plain dfdx in `reference`.

use super::Settings;
use super::minibatch::Gradients;
use super::objective::{LossTerms, Targets, differentiate};
use crate::network::matmul::{Epilogue, Lhs, PackedMatrix, add_rows, multiply};
use crate::network::{Shape, Weights};

/// Rows per pass.
const ROWS: usize = 128;

/// Weights packed for both directions. The last layer is both heads: the options, then the value.
#[derive(Clone, Debug)]
pub(super) struct PackedNetwork {
    shape: Shape,
    layers: [Layer; 3],
}

#[derive(Clone, Debug, Default)]
struct Layer {
    there: PackedMatrix,
    back: PackedMatrix,
    bias: Vec<f32>,
    weight: Vec<f32>,
}

/// Buffers of a pass.
#[derive(Clone, Debug, Default)]
pub(super) struct Scratch {
    first: Vec<f32>,
    second: Vec<f32>,
    heads: Vec<f32>,
    by_first: Vec<f32>,
    by_second: Vec<f32>,
    by_heads: [Vec<f32>; 2],
    panels: PackedMatrix,
}

impl PackedNetwork {
    /// A network of this shape, without weights until [`PackedNetwork::load`].
    pub(super) fn new(shape: Shape) -> Self {
        Self { shape, layers: Default::default() }
    }

    /// Packs these weights.
    pub(super) fn load(&mut self, weights: &Weights) {
        let inputs = [self.shape.observation, self.shape.hidden[0], self.shape.hidden[1]];
        let columns = &weights.tensors;
        for (place, (layer, inputs)) in self.layers.iter_mut().zip(inputs).enumerate() {
            // The last layer is both heads.
            let columns = if place == 2 { &columns[4..] } else { &columns[2 * place..][..2] };
            layer.weight.clear();
            layer.bias.clear();
            for pair in columns.chunks_exact(2) {
                layer.weight.extend_from_slice(&pair[0].values);
                layer.bias.extend_from_slice(&pair[1].values);
            }
            layer.there.pack_transposed(&layer.weight, inputs, layer.bias.len());
            // The first layer needs no gradient of its input.
            if place > 0 {
                layer.back.pack(&layer.weight, layer.bias.len(), inputs);
            }
        }
    }
}

/// Writes the gradient of the objective over these decisions into `gradients`.
pub(super) fn learn(
    net: &PackedNetwork,
    observations: &[f32],
    targets: &Targets,
    settings: &Settings,
    scratch: &mut Scratch,
    gradients: &mut Gradients,
) {
    let Shape { observation, options, .. } = net.shape;
    gradients.clear(&net.shape);
    let (weight, bias) = ((options + 1) * net.shape.hidden[1], options + 1);
    for (sums, length) in scratch.by_heads.iter_mut().zip([weight, bias]) {
        sums.clear();
        sums.resize(length, 0.0);
    }
    let mut terms = LossTerms::default();
    for (chunk, observations) in observations.chunks(ROWS * observation).enumerate() {
        scratch.forward(net, observations);
        terms = differentiate(&mut scratch.heads, options, chunk * ROWS, targets, settings, terms);
        scratch.backward(net, observations, &mut gradients.gradient);
    }
    gradients.terms = terms.close(settings);
    let (policy, value) = scratch.by_heads[0].split_at(options * net.shape.hidden[1]);
    gradients.gradient[4].copy_from_slice(policy);
    gradients.gradient[5].copy_from_slice(&scratch.by_heads[1][..options]);
    gradients.gradient[6].copy_from_slice(value);
    gradients.gradient[7].copy_from_slice(&scratch.by_heads[1][options..]);
}

impl Scratch {
    fn forward(&mut self, net: &PackedNetwork, observations: &[f32]) {
        let rows = observations.len() / net.shape.observation;
        let [fc1, fc2, heads] = &net.layers;
        self.first.resize(rows * net.shape.hidden[0], 0.0);
        self.second.resize(rows * net.shape.hidden[1], 0.0);
        self.heads.resize(rows * heads.bias.len(), 0.0);
        multiply(Lhs::Rows(observations), &fc1.there, &mut self.first, Epilogue::BiasRelu(&fc1.bias));
        multiply(Lhs::Rows(&self.first), &fc2.there, &mut self.second, Epilogue::BiasRelu(&fc2.bias));
        multiply(Lhs::Rows(&self.second), &heads.there, &mut self.heads, Epilogue::Bias(&heads.bias));
    }

    fn backward(&mut self, net: &PackedNetwork, observations: &[f32], gradient: &mut [Vec<f32>]) {
        let Shape { observation, hidden: [first, second], .. } = net.shape;
        let rows = observations.len() / observation;
        let [_, fc2, heads] = &net.layers;
        self.by_second.resize(self.second.len(), 0.0);
        self.by_first.resize(self.first.len(), 0.0);
        let [by_weight, by_bias] = &mut self.by_heads;
        add_rows(&self.heads, by_bias);
        self.panels.pack(&self.second, rows, second);
        multiply(Lhs::Columns(&self.heads), &self.panels, by_weight, Epilogue::Add);
        multiply(Lhs::Rows(&self.heads), &heads.back, &mut self.by_second, Epilogue::Where(&self.second));
        add_rows(&self.by_second, &mut gradient[3]);
        self.panels.pack(&self.first, rows, first);
        multiply(Lhs::Columns(&self.by_second), &self.panels, &mut gradient[2], Epilogue::Add);
        multiply(Lhs::Rows(&self.by_second), &fc2.back, &mut self.by_first, Epilogue::Where(&self.first));
        add_rows(&self.by_first, &mut gradient[1]);
        self.panels.pack(observations, rows, observation);
        multiply(Lhs::Columns(&self.by_first), &self.panels, &mut gradient[0], Epilogue::Add);
    }
}

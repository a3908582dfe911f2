//! Inference without dfdx: rows of observations in, logits and values out.
//!
//! A row's result does not depend on the other rows: each sum runs over the inputs in their order.
//! Rule: "Performance targets".

use super::matmul::{Epilogue, Lhs, PackedMatrix, multiply};
use super::{Shape, Weights};

/// A network prepared for inference, with its buffers.
#[derive(Clone, Debug)]
pub struct Forward {
    shape: Shape,
    hidden: [Layer; 2],
    /// Both heads as one layer: the options, then the value.
    heads: Layer,
    scratch: [Vec<f32>; 3],
}

#[derive(Clone, Debug)]
struct Layer {
    weights: PackedMatrix,
    bias: Vec<f32>,
}

/// Logits and values of several rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// Rows × options.
    pub logits: Vec<f32>,
    /// One per row.
    pub values: Vec<f32>,
}

impl Layer {
    /// Several layers with the same inputs as one; their outputs are concatenated.
    fn of(weights: &Weights, names: &[&str], inputs: usize) -> Self {
        let (mut matrix, mut bias) = (Vec::new(), Vec::new());
        for name in names {
            matrix.extend_from_slice(weights.values(&format!("{name}.weight")));
            bias.extend_from_slice(weights.values(&format!("{name}.bias")));
        }
        Self { weights: PackedMatrix::of_transposed(&matrix, inputs, bias.len()), bias }
    }
}

impl Forward {
    /// Prepares weights of this shape. Weights from outside must have passed [`Weights::read`].
    pub fn new(shape: Shape, weights: &Weights) -> Self {
        let [first, second] = shape.hidden;
        let hidden = [Layer::of(weights, &["fc1"], shape.observation), Layer::of(weights, &["fc2"], first)];
        Self { shape, hidden, heads: Layer::of(weights, &["policy", "value"], second), scratch: Default::default() }
    }

    /// The sizes of the network.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Runs all rows of `observations` and overwrites `out`.
    pub fn run(&mut self, observations: &[f32], out: &mut Output) {
        let rows = observations.len() / self.shape.observation;
        assert_eq!(observations.len(), rows * self.shape.observation, "whole rows");
        let [first, second, heads] = &mut self.scratch;
        first.resize(rows * self.shape.hidden[0], 0.0);
        second.resize(rows * self.shape.hidden[1], 0.0);
        heads.resize(rows * (self.shape.options + 1), 0.0);
        let [fc1, fc2] = &self.hidden;
        multiply(Lhs::Sparse(observations), &fc1.weights, first, Epilogue::BiasRelu(&fc1.bias));
        multiply(Lhs::Rows(first), &fc2.weights, second, Epilogue::BiasRelu(&fc2.bias));
        multiply(Lhs::Rows(second), &self.heads.weights, heads, Epilogue::Bias(&self.heads.bias));
        out.logits.clear();
        out.values.clear();
        for row in heads.chunks_exact(self.shape.options + 1) {
            out.logits.extend_from_slice(&row[..self.shape.options]);
            out.values.push(row[self.shape.options]);
        }
    }
}

//! Running the network forward: rows of observations in, logits and values out. What residents are driven by.
//!
//! No tape and no dfdx here; a test holds it equal to dfdx. A row's result never depends on the rows beside it: each sum
//! runs over the inputs in their order. Rule: "Speed".

use super::{Shape, Weights};

/// A network ready to run, and room for its layers.
#[derive(Clone, Debug)]
pub struct Forward {
    shape: Shape,
    weights: Weights,
}

/// What came out, one entry a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// Rows × options.
    pub logits: Vec<f32>,
    /// One a row.
    pub values: Vec<f32>,
}

impl Forward {
    /// Prepares weights that were checked.
    pub fn new(shape: Shape, weights: &Weights) -> Self {
        Self { shape, weights: weights.clone() }
    }

    /// The sizes of the network.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Runs the rows in `observations`, one after the other, and writes over `out`. Room is kept from call to call.
    pub fn run(&mut self, observations: &[f32], out: &mut Output) {
        let rows = observations.len() / self.shape.observation;
        assert_eq!(observations.len(), rows * self.shape.observation, "whole rows");
        out.logits.clear();
        out.values.clear();
        let dense = |name: &str, input: &[f32], relu: bool| -> Vec<f32> {
            let weight = self.weights.column(&format!("{name}.weight")).expect("checked weights");
            let bias = self.weights.column(&format!("{name}.bias")).expect("checked weights");
            let dots = weight.values.chunks_exact(input.len()).zip(&bias.values).map(|(row, bias)| {
                let sum = row.iter().zip(input).map(|(weight, value)| weight * value).sum::<f32>() + bias;
                if relu { sum.max(0.0) } else { sum }
            });
            dots.collect()
        };
        for row in observations.chunks_exact(self.shape.observation) {
            let trunk = dense("fc2", &dense("fc1", row, true), true);
            out.logits.extend(dense("policy", &trunk, false));
            out.values.extend(dense("value", &trunk, false));
        }
    }
}

//! A dense layer of run-time size, with its activation, as one operation on dfdx's tape.
//!
//! Stock dfdx needs a product, a broadcast, a sum and a ReLU for it, each with a result of its own. Tests hold this
//! operation to those.

use std::sync::Arc;

use dfdx::prelude::*;

use super::matmul::{Epilogue, Lhs, PackedMatrix, multiply, vectorized};

/// A matrix of dfdx with run-time sizes.
pub(crate) type Matrix<T = NoneTape> = Tensor<(usize, usize), f32, Cpu, T>;
/// A vector of dfdx with a run-time size.
pub(crate) type Vector<T = NoneTape> = Tensor<(usize,), f32, Cpu, T>;

/// A matrix with its values beside it, because dfdx lends a tensor's values only as a copy.
#[derive(Clone, Debug)]
pub(crate) struct Activations<T = NoneTape> {
    pub(crate) matrix: Matrix<T>,
    /// In row-major order.
    values: Arc<Vec<f32>>,
}

/// Where dfdx keeps the values of a tensor or of a gradient.
pub(crate) type Buffer = <Cpu as Storage<f32>>::Vec;

/// One layer: `y = x · weightᵀ + bias`.
#[derive(Clone, Debug)]
pub struct Dense {
    /// Outputs × inputs.
    pub weight: Matrix,
    /// One per output.
    pub bias: Vector,
}

/// What follows the sum of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    Identity,
    Relu,
}

/// What the input of a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// Data, which needs no gradient.
    Data,
    /// The output of another operation.
    Computed,
}

/// The weights of a layer, packed once for all products with them.
#[derive(Clone, Debug)]
pub(crate) struct PackedWeights {
    /// Inputs × outputs.
    forward: PackedMatrix,
    /// Outputs × inputs, for the gradient of the input; none when that is data.
    backward: Option<PackedMatrix>,
}

impl PackedWeights {
    fn new(weight: &Matrix, input: Input) -> Self {
        let ((outputs, inputs), values) = (*weight.shape(), matrix_values(weight));
        let backward = (input == Input::Computed).then(|| PackedMatrix::of(&values, outputs, inputs));
        Self { forward: PackedMatrix::of_transposed(&values, inputs, outputs), backward }
    }
}

impl<T> From<Matrix<T>> for Activations<T> {
    fn from(matrix: Matrix<T>) -> Self {
        let values = Arc::new(matrix_values(&matrix));
        Self { matrix, values }
    }
}

impl Dense {
    /// Packs the weights for [`Self::run`].
    pub(crate) fn packed(&self, input: Input) -> Arc<PackedWeights> {
        Arc::new(PackedWeights::new(&self.weight, input))
    }

    /// Runs the layer on rows of inputs, with its packed weights.
    pub(crate) fn run<T: Tape<f32, Cpu>>(
        &self,
        packed: &Arc<PackedWeights>,
        input: Activations<T>,
        activation: Activation,
    ) -> Activations<T> {
        dense(input, self.weight.retaped(), Arc::clone(packed), self.bias.retaped(), activation)
    }

    /// Two layers with the same inputs as one; their outputs stand side by side.
    pub(crate) fn run_both<T: Tape<f32, Cpu>>(&self, other: &Self, input: Activations<T>) -> Activations<T> {
        let weight = (self.weight.retaped::<T>(), other.weight.retaped::<T>()).concat_along(Axis::<0>);
        let bias = (self.bias.retaped::<T>(), other.bias.retaped::<T>()).concat_along(Axis::<0>);
        let (weight, tape) = weight.split_tape();
        let packed = Arc::new(PackedWeights::new(&weight, Input::Computed));
        dense(input, weight.put_tape(tape), packed, bias, Activation::Identity)
    }
}

/// The operation. Backward, it adds to the gradients of weight and bias, and to that of the input unless that is data.
fn dense<T: Tape<f32, Cpu>>(
    Activations { matrix: input, values: input_values }: Activations<T>,
    weight: Matrix<T>,
    packed: Arc<PackedWeights>,
    bias: Vector<T>,
    activation: Activation,
) -> Activations<T> {
    let ((input, tape), (weight, of_weight), (bias, of_bias)) =
        (input.split_tape(), weight.split_tape(), bias.split_tape());
    let mut tape = tape.merge(of_weight).merge(of_bias);
    let ((rows, inputs), outputs) = (*input.shape(), bias.shape().0);
    let (mut out, bias_values) = (vec![0.0; rows * outputs], vector_values(&bias));
    let epilogue = match activation {
        Activation::Identity => Epilogue::Bias(&bias_values),
        Activation::Relu => Epilogue::BiasRelu(&bias_values),
    };
    multiply(Lhs::Rows(&input_values), &packed.forward, &mut out, epilogue);
    let (output, values) = (input.device().tensor_from_vec(out.clone(), (rows, outputs)), Arc::new(out));
    if T::OWNS_TAPE {
        let output_values = Arc::clone(&values);
        let (output, input, weight, bias) = (output.ghost(), input.ghost(), weight.ghost(), bias.ghost());
        tape.add_backward_op(move |gradients| {
            #[cfg(test)]
            tests::BACKWARD_RUNS.set(tests::BACKWARD_RUNS.get() + 1);
            let mut by_output = std::mem::take(&mut **gradients.get_or_alloc_mut(&output)?);
            if activation == Activation::Relu {
                clear_inactive(&mut by_output, &output_values);
            }
            add_rows(&by_output, gradients.get_or_alloc_mut(&bias)?);
            let inputs = PackedMatrix::of(&input_values, rows, inputs);
            multiply(Lhs::Columns(&by_output), &inputs, gradients.get_or_alloc_mut(&weight)?, Epilogue::Add);
            if let Some(weights) = &packed.backward {
                multiply(Lhs::Rows(&by_output), weights, gradients.get_or_alloc_mut(&input)?, Epilogue::Add);
            }
            Ok(())
        });
    }
    Activations { matrix: output.put_tape(tape), values }
}

/// The values of a matrix in row-major order.
pub(crate) fn matrix_values<T>(matrix: &Matrix<T>) -> Vec<f32> {
    let (rows, columns) = *matrix.shape();
    let mut values = vec![0.0; rows * columns];
    matrix.copy_into(&mut values);
    values
}

/// The values of a vector.
pub(crate) fn vector_values<T>(vector: &Vector<T>) -> Vec<f32> {
    let mut values = vec![0.0; vector.shape().0];
    vector.copy_into(&mut values);
    values
}

/// Clears the gradient of outputs that ReLU set to zero.
fn clear_inactive(gradient: &mut [f32], outputs: &[f32]) {
    let outputs = &outputs[..gradient.len()];
    vectorized(move || {
        for place in 0..gradient.len() {
            gradient[place] = if outputs[place] > 0.0 { gradient[place] } else { 0.0 };
        }
    });
}

/// Adds the rows of a matrix to `sums`, row by row.
fn add_rows(matrix: &[f32], sums: &mut [f32]) {
    let columns = sums.len();
    vectorized(move || {
        for row in 0..matrix.len() / columns {
            let row = &matrix[row * columns..][..columns];
            for column in 0..columns {
                sums[column] += row[column];
            }
        }
    });
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::prng::Prng;

    thread_local! {
        /// Backward passes of layers that the tape has run on this thread.
        pub(crate) static BACKWARD_RUNS: Cell<usize> = const { Cell::new(0) };
    }

    /// The layer in stock operations.
    pub(crate) fn stock<T: Tape<f32, Cpu>>(layer: &Dense, input: Matrix<T>, activation: Activation) -> Matrix<T> {
        let product = input.matmul(layer.weight.clone().permute::<_, Axes2<1, 0>>());
        let shape = *product.shape();
        let sum = product + layer.bias.retaped::<T>().broadcast_like::<(usize, usize), Axis<0>>(&shape);
        if activation == Activation::Relu { sum.relu() } else { sum }
    }

    fn close(what: &str, found: &[f32], wanted: &[f32]) {
        assert_eq!(found.len(), wanted.len());
        for (place, (found, wanted)) in found.iter().zip(wanted).enumerate() {
            assert!((found - wanted).abs() <= 1e-5 + 1e-4 * wanted.abs(), "{what} {place}: {found} and not {wanted}");
        }
    }

    #[test]
    fn the_operation_matches_stock_operations() {
        let mut prng = Prng::new([31, 0, 0]);
        let device = Cpu::default();
        for (rows, inputs, outputs) in [(1, 1, 1), (5, 3, 17), (37, 70, 128), (300, 12, 9), (129, 128, 1)] {
            for activation in [Activation::Relu, Activation::Identity] {
                let mut matrix = |rows: usize, columns: usize| -> Matrix {
                    let values = (0..rows * columns).map(|_| (prng.normal() / (columns as f64).sqrt()) as f32);
                    device.tensor_from_vec(values.collect(), (rows, columns))
                };
                let (input, weight, by_output) = (matrix(rows, inputs), matrix(outputs, inputs), matrix(rows, outputs));
                let bias = matrix(1, outputs).reshape_like(&(outputs,));
                let layer = Dense { weight, bias };
                let packed = layer.packed(Input::Computed);
                let found = layer.run(&packed, input.leaky_trace().into(), activation).matrix;
                let wanted = stock(&layer, input.leaky_trace(), activation);
                close("output", &found.as_vec(), &wanted.as_vec());
                // Twice, so that the input's gradient has two sources.
                let sum = |output: Matrix<OwnedTape<f32, Cpu>>, again: Matrix<OwnedTape<f32, Cpu>>| {
                    ((output + again) * by_output.clone()).sum::<Rank0, _>().backward()
                };
                let found = sum(found, layer.run(&packed, input.retaped().into(), activation).matrix);
                let wanted = sum(wanted, stock(&layer, input.retaped(), activation));
                close("weight", &found.get(&layer.weight).as_vec(), &wanted.get(&layer.weight).as_vec());
                close("bias", &found.get(&layer.bias).as_vec(), &wanted.get(&layer.bias).as_vec());
                close("input", &found.get(&input).as_vec(), &wanted.get(&input).as_vec());
                let data = layer.run(&layer.packed(Input::Data), input.leaky_trace().into(), activation).matrix;
                let mut data = data.sum::<Rank0, _>().backward();
                let idle = data.get_or_alloc_mut(&input).expect("memory for a gradient").iter().all(|it| *it == 0.0);
                assert!(idle, "data gets no gradient");
            }
        }
    }

    #[test]
    fn two_layers_as_one_match_both() {
        let mut prng = Prng::new([33, 0, 0]);
        let device = Cpu::default();
        let mut matrix = |rows: usize, columns: usize| -> Matrix {
            device.tensor_from_vec((0..rows * columns).map(|_| prng.normal() as f32).collect(), (rows, columns))
        };
        let (input, by_left, by_right) = (matrix(21, 8), matrix(21, 5), matrix(21, 1));
        let [left, right] = [5, 1]
            .map(|outputs| Dense { weight: matrix(outputs, 8), bias: matrix(1, outputs).reshape_like(&(outputs,)) });
        let found = left.run_both(&right, input.leaky_trace().into()).matrix;
        let by_both = (by_left.clone(), by_right.clone()).concat_along(Axis::<1>);
        let apart = [&left, &right].map(|layer| stock(layer, input.leaky_trace(), Activation::Identity));
        for (row, both) in found.as_vec().chunks_exact(6).enumerate() {
            let wanted = apart.each_ref().map(Tensor::as_vec);
            close("output", both, &[&wanted[0][row * 5..][..5], &wanted[1][row..][..1]].concat());
        }
        let found = (found * by_both).sum::<Rank0, _>().backward();
        let [of_left, of_right] = apart;
        let wanted = ((of_left * by_left).sum::<Rank0, _>() + (of_right * by_right).sum::<Rank0, _>()).backward();
        for layer in [&left, &right] {
            close("weight", &found.get(&layer.weight).as_vec(), &wanted.get(&layer.weight).as_vec());
            close("bias", &found.get(&layer.bias).as_vec(), &wanted.get(&layer.bias).as_vec());
        }
        close("input", &found.get(&input).as_vec(), &wanted.get(&input).as_vec());
    }
}

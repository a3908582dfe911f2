//! The baseline of the PPO benchmark: only the matrix products of an update, as dfdx computes them with `gemm` on one
//! thread. Rule: "Performance targets".

use dfdx::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::network::Shape;

type Matrix = Tensor<(usize, usize), f32, Cpu>;

/// The products of one minibatch, with matrices of ones. Like dfdx, each call allocates its result.
pub struct GemmBaseline {
    products: Vec<(Matrix, Matrix)>,
    alone: ThreadPool,
}

impl GemmBaseline {
    /// For a network of this shape and `rows` decisions: three products forward and five backward.
    ///
    /// # Panics
    /// When no thread can be started.
    pub fn new(shape: Shape, rows: usize) -> Self {
        let device = Cpu::default();
        let ones = |rows: usize, columns: usize| -> Matrix { device.ones_like(&(rows, columns)) };
        let turned = |rows: usize, columns: usize| -> Matrix { ones(columns, rows).permute::<_, Axes2<1, 0>>() };
        let Shape { observation, hidden: [first, second], options } = shape;
        let layers = [(observation, first), (first, second), (second, options + 1)];
        let mut products = Vec::new();
        for (place, (inputs, outputs)) in layers.into_iter().enumerate() {
            products.push((ones(rows, inputs), turned(inputs, outputs)));
            products.push((turned(outputs, rows), ones(rows, inputs)));
            if place > 0 {
                products.push((ones(rows, outputs), ones(outputs, inputs)));
            }
        }
        let alone = ThreadPoolBuilder::new().num_threads(1).build().expect("a thread can be started");
        Self { products, alone }
    }

    /// Computes all products and returns the sum of one entry of each, so that none is optimized away.
    pub fn run(&self) -> f32 {
        let product = |(left, right): &(Matrix, Matrix)| left.clone().matmul(right.clone())[[0, 0]];
        self.alone.install(|| self.products.iter().map(product).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_products_are_computed() {
        let shape = Shape { observation: 3, hidden: [5, 7], options: 1 };
        // Inner dimensions: forward 3 + 5 + 7, by weights three times the rows, backward 7 + 2.
        assert_eq!(GemmBaseline::new(shape, 11).run().to_bits(), 57.0_f32.to_bits());
    }
}

//! What an update is measured against: its matrix products alone, as plain calls of dfdx, whose kernel is `gemm`; by one
//! thread, although dfdx would use them all.
//!
//! Used by the benchmarks only. Rule: "Performance targets".

use dfdx::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::network::Shape;

type Matrix = Tensor<(usize, usize), f32, Cpu>;

/// The products of one minibatch, with matrices of ones; each call also makes room for its result, as dfdx does.
pub struct GemmBaseline {
    products: Vec<(Matrix, Matrix)>,
    alone: ThreadPool,
}

impl GemmBaseline {
    /// For a network of this shape and that many decisions: three products there and five back.
    ///
    /// # Panics
    /// When the system has no thread to give.
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
        let alone = ThreadPoolBuilder::new().num_threads(1).build().expect("a thread can be had");
        Self { products, alone }
    }

    /// Multiplies all of them; the sum of one entry of each, so that nothing is left out.
    pub fn run(&self) -> f32 {
        let product = |(left, right): &(Matrix, Matrix)| left.clone().matmul(right.clone())[[0, 0]];
        self.alone.install(|| self.products.iter().map(product).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_product_is_there() {
        let shape = Shape { observation: 3, hidden: [5, 7], options: 1 };
        // Inner dimensions: there 3 + 5 + 7, by weights three times the rows, back 7 + 2.
        assert_eq!(GemmBaseline::new(shape, 11).run().to_bits(), 57.0_f32.to_bits());
    }
}

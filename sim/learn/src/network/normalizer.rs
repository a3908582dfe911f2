//! Observation normalization: running mean and variance of every value.
//!
//! Statistics are `f64` and merged in a fixed order, so the same rows give the same scale. Rows are scaled by the statistics
//! of the last [`Normalizer::apply_statistics`], rounded to `f32` as in a checkpoint, so training and a loaded policy agree to the bit.
//! Welford 1962; Chan, Golub and LeVeque 1979 for the merge.

use super::{NamedTensor, WeightsError};

/// Scaled values are clipped to ± this.
const CLIP: f32 = 10.0;
/// Added to a variance, so that a constant value is not divided by zero.
const EPSILON: f32 = 1e-8;

/// Running mean and variance of each value of an observation.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalizer {
    count: f64,
    mean: Vec<f64>,
    /// Sums of squared deviations from the mean.
    squares: Vec<f64>,
    frozen: bool,
    /// The applied scale: mean and reciprocal deviation.
    shift: Vec<f32>,
    scale: Vec<f32>,
}

impl Normalizer {
    /// No rows yet: mean 0 and variance 1.
    pub fn new(width: usize) -> Self {
        let (zeros, ones) = (vec![0.0; width], vec![1.0; width]);
        Self { count: 0.0, mean: zeros.clone(), squares: zeros, frozen: false, shift: vec![0.0; width], scale: ones }
    }

    /// Values per row.
    pub fn width(&self) -> usize {
        self.mean.len()
    }

    /// Rows counted.
    pub fn count(&self) -> f64 {
        self.count
    }

    /// Counts a row. The applied scale changes only at [`Normalizer::apply_statistics`]; a frozen normalizer counts nothing.
    pub fn observe(&mut self, row: &[f32]) {
        assert_eq!(row.len(), self.width(), "a row is as wide as the layout");
        if self.frozen {
            return;
        }
        self.count += 1.0;
        for ((mean, squares), value) in self.mean.iter_mut().zip(&mut self.squares).zip(row) {
            let apart = f64::from(*value) - *mean;
            *mean += apart / self.count;
            *squares += apart * (f64::from(*value) - *mean);
        }
    }

    /// Merges another normalizer's statistics. The order of merges affects rounding.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(other.width(), self.width(), "both have the same layout");
        if self.frozen || other.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            // Copied without rounding.
            (self.count, self.mean, self.squares) = (other.count, other.mean.clone(), other.squares.clone());
            return;
        }
        let total = self.count + other.count;
        for place in 0..self.mean.len() {
            let apart = other.mean[place] - self.mean[place];
            self.mean[place] += apart * other.count / total;
            self.squares[place] += other.squares[place] + apart * apart * self.count * other.count / total;
        }
        self.count = total;
    }

    #[must_use]
    /// An empty normalizer of the same width, for a worker to fill and the owner to merge.
    pub fn empty(&self) -> Self {
        Self { frozen: self.frozen, ..Self::new(self.width()) }
    }

    /// Applies the statistics counted so far.
    pub fn apply_statistics(&mut self) {
        if self.count > 0.0 {
            for place in 0..self.mean.len() {
                self.shift[place] = self.mean[place] as f32;
                let variance = (self.squares[place] / self.count) as f32;
                self.scale[place] = 1.0 / (variance + EPSILON).sqrt();
            }
        }
    }

    /// Stops counting.
    pub fn freeze(&mut self) {
        self.frozen = true;
    }

    /// Whether it has stopped counting.
    pub fn frozen(&self) -> bool {
        self.frozen
    }

    /// Scales a row in place: each value to within ±10.
    pub fn scale(&self, row: &mut [f32]) {
        assert_eq!(row.len(), self.width(), "a row is as wide as the layout");
        for ((value, shift), scale) in row.iter_mut().zip(&self.shift).zip(&self.scale) {
            *value = ((*value - shift) * scale).clamp(-CLIP, CLIP);
        }
    }

    /// Tensors for a checkpoint: `obs.mean` and `obs.var` (one value per observation value) and `obs.count`.
    pub fn tensors(&self) -> Vec<NamedTensor> {
        let tensor =
            |name: &str, values: Vec<f32>| NamedTensor { name: name.into(), shape: vec![values.len()], values };
        let variance = |squares: &f64| if self.count > 0.0 { (squares / self.count) as f32 } else { 1.0 };
        vec![
            tensor("obs.mean", self.mean.iter().map(|mean| *mean as f32).collect()),
            tensor("obs.var", self.squares.iter().map(variance).collect()),
            tensor("obs.count", vec![self.count as f32]),
        ]
    }

    /// Reads the tensors of a checkpoint, frozen, to run a policy. To continue training, use [`Normalizer::restore`].
    ///
    /// # Errors
    /// A tensor that is missing, of another width, not finite or negative, by name.
    pub fn read(width: usize, tensors: &[NamedTensor]) -> Result<Self, WeightsError> {
        let find = |name: &str, length: usize| {
            let tensor = tensors.iter().find(|tensor| tensor.name == name);
            let tensor = tensor.ok_or_else(|| WeightsError::Missing { name: name.into() })?;
            tensor.check()?;
            if tensor.shape != [length] {
                let (name, found) = (name.into(), tensor.shape.clone());
                return Err(WeightsError::Shape { name, found, wanted: vec![length] });
            }
            Ok(tensor)
        };
        let (mean, variance) = (find("obs.mean", width)?, find("obs.var", width)?);
        let count = f64::from(find("obs.count", 1)?.values[0]);
        if let Some(place) = variance.values.iter().position(|value| *value < 0.0) {
            let value = variance.values[place].to_string();
            return Err(WeightsError::Negative { name: variance.name.clone(), place, value });
        }
        if count < 0.0 {
            return Err(WeightsError::Negative { name: "obs.count".into(), place: 0, value: count.to_string() });
        }
        let mean_of = mean.values.iter().map(|mean| f64::from(*mean)).collect();
        let squares = variance.values.iter().map(|variance| f64::from(*variance) * count).collect();
        let mut read = Self::restore(count, mean_of, squares);
        read.shift.clone_from(&mean.values);
        // Not computed from the squares, so that the bits are those of the training.
        for (scale, variance) in read.scale.iter_mut().zip(&variance.values) {
            *scale = 1.0 / (variance + EPSILON).sqrt();
        }
        read.freeze();
        Ok(read)
    }

    /// The exact statistics for [`Normalizer::restore`]: rows, means and sums of squared deviations.
    pub fn state(&self) -> (f64, &[f64], &[f64]) {
        (self.count, &self.mean, &self.squares)
    }

    /// A settled normalizer with these statistics.
    pub fn restore(count: f64, mean: Vec<f64>, squares: Vec<f64>) -> Self {
        assert_eq!(mean.len(), squares.len(), "one mean and one square per value");
        let mut restored = Self { count, squares, ..Self::new(mean.len()) };
        restored.mean = mean;
        restored.apply_statistics();
        restored
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Prng;

    fn rows(count: usize) -> Vec<[f32; 3]> {
        let mut prng = Prng::new([3, 1, 4]);
        (0..count).map(|_| [prng.normal() as f32 * 3.0 + 100.0, prng.normal() as f32 * 0.01, 7.0]).collect()
    }

    fn counted(rows: &[[f32; 3]]) -> Normalizer {
        let mut normalizer = Normalizer::new(3);
        for row in rows {
            normalizer.observe(row);
        }
        normalizer.apply_statistics();
        normalizer
    }

    #[test]
    fn a_scaled_value_has_mean_0_and_deviation_1() {
        let rows = rows(2_000);
        let normalizer = counted(&rows);
        let mut scaled = rows.clone();
        for row in &mut scaled {
            normalizer.scale(row);
        }
        for place in 0..2 {
            let mean = scaled.iter().map(|row| f64::from(row[place])).sum::<f64>() / 2_000.0;
            let squares = scaled.iter().map(|row| f64::from(row[place]).powi(2)).sum::<f64>() / 2_000.0;
            assert!(mean.abs() < 1e-2 && (squares - 1.0).abs() < 1e-2, "{place}: {mean} {squares}");
        }
        assert!(scaled.iter().all(|row| row[2] == 0.0), "a constant value becomes 0");
        let mut far = [1e9, -1e9, 8.0];
        normalizer.scale(&mut far);
        assert!(far.iter().all(|value| value.abs() == CLIP), "{far:?}");
    }

    #[test]
    fn merging_adds_up_both_statistics() {
        let rows = rows(1_000);
        let (whole, mut merged) = (counted(&rows), counted(&rows[..300]));
        merged.merge(&counted(&rows[300..]));
        merged.merge(&Normalizer::new(3));
        merged.apply_statistics();
        assert!((merged.count() - whole.count()).abs() < 1e-9);
        for place in 0..3 {
            assert!((merged.mean[place] - whole.mean[place]).abs() < 1e-9);
            assert!((merged.squares[place] - whole.squares[place]).abs() < 1e-6);
        }
        let mut alone = Normalizer::new(3);
        alone.merge(&whole);
        assert_eq!(alone.state(), whole.state());
    }

    #[test]
    fn the_scale_changes_only_when_settled_and_not_frozen() {
        let rows = rows(50);
        let mut normalizer = Normalizer::new(3);
        let mut row = rows[0];
        for row in &rows {
            normalizer.observe(row);
        }
        normalizer.scale(&mut row);
        assert_eq!(row[1].to_bits(), (rows[0][1]).to_bits());
        normalizer.apply_statistics();
        normalizer.freeze();
        let before = normalizer.clone();
        normalizer.observe(&[0.0, 0.0, 0.0]);
        normalizer.merge(&counted(&rows));
        normalizer.apply_statistics();
        assert_eq!(normalizer, before);
        assert!(normalizer.empty().frozen());
    }

    #[test]
    fn loaded_and_restored_normalizers_scale_to_the_same_bits() {
        let rows = rows(999);
        let normalizer = counted(&rows);
        let loaded = Normalizer::read(3, &normalizer.tensors()).expect("its own tensors");
        let (mut a, mut b) = (rows[5], rows[5]);
        normalizer.scale(&mut a);
        loaded.scale(&mut b);
        assert_eq!(a.map(f32::to_bits), b.map(f32::to_bits));
        let (count, mean, squares) = normalizer.state();
        assert_eq!(Normalizer::restore(count, mean.to_vec(), squares.to_vec()), normalizer);
        let fresh = Normalizer::new(3);
        let loaded = Normalizer::read(3, &fresh.tensors()).expect("its own tensors");
        let (mut a, mut b) = (rows[5], rows[5]);
        fresh.scale(&mut a);
        loaded.scale(&mut b);
        assert_eq!(a.map(f32::to_bits), b.map(f32::to_bits));
    }

    #[test]
    fn invalid_tensors_are_refused_by_name() {
        let good = counted(&rows(10)).tensors();
        let refused = |change: &dyn Fn(&mut Vec<NamedTensor>)| {
            let mut tensors = good.clone();
            change(&mut tensors);
            Normalizer::read(3, &tensors).expect_err("changed tensors are refused").to_string()
        };
        assert_eq!(refused(&|tensors| drop(tensors.remove(1))), "`obs.var` is missing");
        let negative = refused(&|tensors| tensors[1].values[2] = -1.0);
        assert_eq!(negative, "`obs.var` holds -1 at place 2; it must not be negative");
        let infinite = refused(&|tensors| tensors[0].values[0] = f32::INFINITY);
        assert!(infinite.starts_with("`obs.mean` holds inf at place 0"), "{infinite}");
        let narrow = Normalizer::read(4, &good).expect_err("another width").to_string();
        assert_eq!(narrow, "`obs.mean` has the shape [3]; this network needs [4]");
    }
}

//! The answer: each figure as the town goes on and with an alternative, and the interval of the difference.

use crate::evaluate::stats::{mean, mean_interval};
use crate::whatif::figures::{Better, FIGURES, Figure, Future};

/// Whether a difference can be told from none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The alternative is better.
    Better,
    /// The alternative is worse.
    Worse,
    /// There is a difference, which is neither better nor worse.
    Different,
    /// The interval holds 0, or there are too few samples for one.
    Same,
}

/// A figure as the town goes on and with an alternative, over the samples in which both have a value.
#[derive(Clone, Copy)]
pub struct Comparison {
    /// The figure.
    pub figure: &'static Figure,
    /// Samples.
    pub samples: usize,
    /// Mean as the town goes on.
    pub nothing: f64,
    /// Mean with the alternative.
    pub with: f64,
    /// Mean of the differences within samples: the alternative minus nothing.
    pub difference: f64,
    /// Ends of the 95 % interval of the mean difference; `None` with fewer than two samples.
    pub interval: Option<(f64, f64)>,
    /// What the interval says.
    pub verdict: Verdict,
}

impl Comparison {
    /// Compares a figure over samples; `None` when it has a value on both sides in none of them.
    fn of(figure: &'static Figure, futures: impl Iterator<Item = [Option<f64>; 2]>) -> Option<Self> {
        let pairs: Vec<[f64; 2]> = futures.filter_map(|[nothing, with]| Some([nothing?, with?])).collect();
        let [nothing, with] = [0, 1].map(|side| pairs.iter().map(|pair: &[f64; 2]| pair[side]).collect::<Vec<f64>>());
        let differences: Vec<f64> = pairs.iter().map(|[nothing, with]| with - nothing).collect();
        if pairs.is_empty() {
            return None;
        }
        let interval = mean_interval(&differences);
        let verdict = match (interval, figure.better) {
            (Some((low, _)), Better::More) if low > 0.0 => Verdict::Better,
            (Some((_, high)), Better::Less) if high < 0.0 => Verdict::Better,
            (Some((low, high)), Better::Neither) if low > 0.0 || high < 0.0 => Verdict::Different,
            (Some((low, high)), _) if low > 0.0 || high < 0.0 => Verdict::Worse,
            _ => Verdict::Same,
        };
        Some(Self {
            figure,
            samples: pairs.len(),
            nothing: mean(&nothing),
            with: mean(&with),
            difference: mean(&differences),
            interval,
            verdict,
        })
    }
}

/// The comparisons of one alternative, in the order of [`FIGURES`]. Figures without data are left out.
#[derive(Clone)]
pub struct Answer {
    /// A row for each figure.
    pub rows: Vec<Comparison>,
}

impl Answer {
    /// The answer about an alternative, counted from 1, from the futures of the samples that have ended, in any order of threads but
    /// by sample.
    pub fn of(samples: &[impl AsRef<[Future]>], alternative: usize) -> Self {
        let row = |figure: &'static Figure| {
            let values = |futures: &[Future]| [0, alternative].map(|at| (figure.value)(&futures[at]));
            Comparison::of(figure, samples.iter().map(|futures| values(futures.as_ref())))
        };
        Self { rows: FIGURES.iter().filter_map(row).collect() }
    }
}

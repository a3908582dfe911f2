//! Stands in for `townlet_learn::evaluate::sequential` until that is there: a normal-mixture interval over the pairs.
//!
//! Rule: "Stability, promotion, rollback".

#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    alpha: f64,
    max_pairs: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self { alpha: 0.025, max_pairs: 64 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Undecided,
    Better,
    NotBetter,
}

#[derive(Clone, Debug)]
pub(super) struct Sequential {
    plan: Plan,
    taken: Vec<f64>,
}

impl Sequential {
    pub(super) fn new(plan: Plan) -> Self {
        Self { plan, taken: Vec::new() }
    }
    pub(super) fn take(&mut self, difference: f64) {
        self.taken.push(difference);
    }
    pub(super) fn pairs(&self) -> usize {
        self.taken.len()
    }
    pub(super) fn max_pairs(&self) -> usize {
        self.plan.max_pairs
    }
    pub(super) fn mean(&self) -> f64 {
        self.taken.iter().sum::<f64>() / self.taken.len().max(1) as f64
    }
    pub(super) fn interval(&self) -> Option<(f64, f64)> {
        let count = self.taken.len() as f64;
        if count < 5.0 {
            return None;
        }
        let mean = self.mean();
        let variance = self.taken.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let rate = 0.1;
        let scaled = count * rate + 1.0;
        let half =
            (variance.max(1e-8) * scaled / (count * count * rate) * (scaled / self.plan.alpha.powi(2)).ln()).sqrt();
        Some((mean - half, mean + half))
    }
    pub(super) fn verdict(&self) -> Verdict {
        match self.interval() {
            Some((low, _)) if low > 0.0 => Verdict::Better,
            Some((_, high)) if high < 0.005 => Verdict::NotBetter,
            _ if self.pairs() >= self.plan.max_pairs => Verdict::NotBetter,
            _ => Verdict::Undecided,
        }
    }
}

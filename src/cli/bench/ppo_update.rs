//! Learning alone: the update of PPO and the network run forward, beside plain matrix products of the same size.
//!
//! Everything is measured in turn, round by round, and the medians are compared, so that all suffer alike from a busy
//! machine. No town: decisions are made of nothing in particular, as their values do not change the time.

use std::num::NonZero;
use std::time::Instant;

use anyhow::{Result, anyhow};
use townlet_learn::network::{Forward, Output, Shape};
use townlet_learn::ppo::{Batch, GemmBaseline, Learner, Settings};

use super::timing::median;
use super::{Row, Target};

/// Decisions of a batch.
const DECISIONS: usize = 16_384;
/// Rounds of which the median counts.
const ROUNDS: usize = 7;
/// Decisions of a gradient step.
const MINIBATCHES: [usize; 3] = [256, 1_024, 4_096];
/// Share of the plain products' speed that must be reached, in percent.
const SHARE: f64 = 85.0;

/// One size of minibatch: learners with one thread and two, and what they took, in samples a second.
struct Size {
    rows: usize,
    learners: [Learner; 2],
    gemm_baseline: GemmBaseline,
    speeds: [Vec<f64>; 3],
}

/// The rows of learning.
///
/// # Errors
/// When the update explodes, which would be a mistake of ours.
pub(super) fn speed() -> Result<Vec<Row>> {
    let shape = Shape::standard(128, 9);
    let batch = batch(shape);
    let mut sizes: Vec<Size> = MINIBATCHES.iter().map(|rows| size(shape, *rows)).collect();
    let (mut forward, mut out, mut inference) =
        (Forward::new(shape, sizes[0].learners[0].weights()), Output::default(), Vec::new());
    for _ in 0..ROUNDS {
        for size in &mut sizes {
            for (learner, speeds) in size.learners.iter_mut().zip(&mut size.speeds) {
                let stats = learner.update(&batch, 0.0).map_err(|error| anyhow!("{error}"))?;
                speeds.push(stats.samples_per_second);
            }
            let begun = Instant::now();
            for _ in 0..DECISIONS / size.rows {
                std::hint::black_box(size.gemm_baseline.run());
            }
            size.speeds[2].push(DECISIONS as f64 / begun.elapsed().as_secs_f64());
        }
        let begun = Instant::now();
        for rows in batch.observations.chunks(256 * shape.observation) {
            forward.run(std::hint::black_box(rows), &mut out);
        }
        inference.push(DECISIONS as f64 / begun.elapsed().as_secs_f64());
    }
    let mut rows = Vec::new();
    for Size { rows: count, mut speeds, .. } in sizes {
        let [one, two, plain] = speeds.each_mut().map(|speeds| median(speeds));
        let name = |what: &str| format!("PPO update, minibatch {count}, {what}");
        let note = "128 → 128 → 128 ReLU, 9 options; gathering, clipping and Adam included";
        rows.push(Row::new(&name("1 thread"), one, "samples/s", Target::None, note));
        rows.push(Row::new(&name("2 threads"), two, "samples/s", Target::None, ""));
        let target = if count == MINIBATCHES[0] { Target::AtLeast(SHARE) } else { Target::None };
        let note = "one thread, as a share of the speed of its products alone, done by dfdx with gemm";
        rows.push(Row::new(&name("of plain products"), 100.0 * one / plain, "%", target, note));
    }
    let note = "one thread, 256 rows at a time";
    rows.push(Row::new("network run forward", median(&mut inference), "rows/s", Target::None, note));
    Ok(rows)
}

fn size(shape: Shape, rows: usize) -> Size {
    let settings = Settings { minibatch_size: rows, update_epochs: 1, ..Settings::default() };
    let learners = [1, 2].map(|threads| {
        let mut learner = Learner::new(shape, settings, 1);
        learner.set_threads(NonZero::new(threads).unwrap_or(NonZero::<usize>::MIN));
        learner
    });
    Size { rows, learners, gemm_baseline: GemmBaseline::new(shape, rows), speeds: Default::default() }
}

fn batch(shape: Shape) -> Batch {
    let numbers = |count: usize, step: f32| (0..count).map(move |place| (place as f32 * step).sin());
    Batch {
        observations: numbers(DECISIONS * shape.observation, 0.37).collect(),
        actions: (0..DECISIONS).map(|place| (place * 7 % shape.options) as u8).collect(),
        action_masks: vec![(1 << shape.options) - 1; DECISIONS],
        log_probs: numbers(DECISIONS, 0.11).map(|value| value * 0.1 - 2.2).collect(),
        values: numbers(DECISIONS, 0.23).collect(),
        advantages: numbers(DECISIONS, 0.53).collect(),
        returns: numbers(DECISIONS, 0.71).collect(),
    }
}

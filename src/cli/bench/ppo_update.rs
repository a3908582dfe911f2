//! The speed of the PPO update and of inference.
//!
//! Measurements alternate, so that a busy machine affects all alike. The batch is synthetic, since its values do not affect
//! the time.

use std::num::NonZero;
use std::time::Instant;

use anyhow::{Result, anyhow};
use townlet_learn::network::{Forward, Output, Shape};
use townlet_learn::ppo::{Batch, Learner, Settings};

use super::timing::median;
use super::{Row, Target};

/// Decisions per batch.
const DECISIONS: usize = 16_384;
/// Rounds per median.
const ROUNDS: usize = 7;
/// Decisions per gradient step.
const MINIBATCHES: [usize; 3] = [256, 1_024, 4_096];

/// A minibatch size: learners with one and two threads, and their samples per second.
struct Size {
    rows: usize,
    learners: [Learner; 2],
    speeds: [Vec<f64>; 2],
}

/// The rows of the update and of inference.
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
        }
        let begun = Instant::now();
        for rows in batch.observations.chunks(256 * shape.observation) {
            forward.run(std::hint::black_box(rows), &mut out);
        }
        inference.push(DECISIONS as f64 / begun.elapsed().as_secs_f64());
    }
    let mut rows = Vec::new();
    for Size { rows: count, mut speeds, .. } in sizes {
        let [one, two] = speeds.each_mut().map(|speeds| median(speeds));
        let name = |what: &str| format!("PPO update, minibatch {count}, {what}");
        let note = "128 → 128 → 128 ReLU, 9 options; includes gathering, clipping and Adam";
        rows.push(Row::new(&name("1 thread"), one, "samples/s", Target::None, note));
        rows.push(Row::new(&name("2 threads"), two, "samples/s", Target::None, ""));
    }
    let note = "one thread, 256 rows at a time";
    rows.push(Row::new("network inference", median(&mut inference), "rows/s", Target::None, note));
    Ok(rows)
}

fn size(shape: Shape, rows: usize) -> Size {
    let settings = Settings { minibatch_size: rows, update_epochs: 1, ..Settings::default() };
    let learners = [1, 2].map(|threads| {
        let mut learner = Learner::new(shape, settings, 1);
        learner.set_threads(NonZero::new(threads).unwrap_or(NonZero::<usize>::MIN));
        learner
    });
    Size { rows, learners, speeds: Default::default() }
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

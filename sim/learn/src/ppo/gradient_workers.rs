//! The gradients of a minibatch: each part on a tape of its own, on this thread or on this and a second one.
//!
//! Parts are always added in the same order, so the number of threads changes no bit.

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::Scope;

use dfdx::prelude::{Backward, Cpu, Gradients};

use super::minibatch::{Part, split};
use super::objective::{LossTerms, loss};
use super::{Batch, Settings};
use crate::network::ActorCritic;
use crate::network::matmul::vectorized;
use crate::parallel::ShouldContinue;

/// Polls before a thread blocks: longer than the time between two minibatches.
const SPINS: u32 = 4_000;
/// Weights times decisions below which the hand-over costs more than it saves.
const MIN_PARALLEL_WORK: usize = 2_000_000;

/// A freed block of this size makes glibc keep freed memory for the next tape. Otherwise it returns the memory of each tape to the
/// kernel, and a fifth of the time of an update is spent on page faults. The threshold is twice the largest block with a mapping of
/// its own that was freed so far (`M_MMAP_THRESHOLD` in mallopt(3)); a tape takes about 2 MiB.
const KEPT_MEMORY: usize = 8 << 20;

/// Rows per tape: few enough that everything stays in the core's cache.
const ROWS: usize = 256;

/// Gradients by tensor, and the terms of the loss that they are of.
pub(super) type Backpropagated = (Gradients<f32, Cpu>, LossTerms);

/// The workers of one update.
pub(super) struct GradientWorkers<'a> {
    settings: &'a Settings,
    batch: &'a Batch,
    should_continue: ShouldContinue<'a>,
    device: Cpu,
    other: Option<Other>,
}

/// The channels to and from the second thread.
struct Other {
    send: Sender<(ActorCritic, Part)>,
    receive: Receiver<Option<Backpropagated>>,
}

impl<'a> GradientWorkers<'a> {
    /// Only this thread.
    pub(super) fn new(settings: &'a Settings, batch: &'a Batch, should_continue: ShouldContinue<'a>) -> Self {
        drop(std::hint::black_box(Vec::<u8>::with_capacity(KEPT_MEMORY)));
        Self { settings, batch, should_continue, device: Cpu::default(), other: None }
    }

    /// This thread and a second one, which ends when the workers are dropped.
    pub(super) fn shared<'scope>(
        settings: &'a Settings,
        batch: &'a Batch,
        should_continue: ShouldContinue<'a>,
        scope: &'scope Scope<'scope, '_>,
    ) -> Self
    where
        'a: 'scope,
    {
        let (send, parts) = channel::<(ActorCritic, Part)>();
        let (answer, receive) = channel();
        scope.spawn(move || {
            let device = Cpu::default();
            while let Some((agent, part)) = wait(&parts) {
                let gradients = backward(&agent, &part, (batch, settings), &device, should_continue);
                // Dropped before the answer, so that the weights can be changed in place.
                drop(agent);
                if answer.send(gradients).is_err() {
                    break;
                }
            }
        });
        Self { other: Some(Other { send, receive }), ..Self::new(settings, batch, should_continue) }
    }

    /// The gradients over the decisions of the batch at `places`; `None` when interrupted.
    pub(super) fn backward(&self, agent: &ActorCritic, places: &[usize]) -> Option<Backpropagated> {
        let [first, second] = split(self.batch, places, self.settings.norm_adv);
        let inputs = (self.batch, self.settings);
        let run = |part: &Part| backward(agent, part, inputs, &self.device, self.should_continue);
        let (first, second) = match &self.other {
            Some(Other { send, receive }) if agent.shape().weights() * places.len() >= MIN_PARALLEL_WORK => {
                send.send((agent.clone(), second)).expect("the other thread receives parts");
                (run(&first), wait(receive).expect("the other thread answers each part"))
            }
            _ => (run(&first), run(&second)),
        };
        let ((mut sum, terms), (mut other, other_terms)) = first.zip(second)?;
        let mut addends = Vec::new();
        agent.for_each_gradient(&mut other, |_, gradient| addends.push(std::mem::take(&mut **gradient)));
        agent.for_each_gradient(&mut sum, |place, sum| {
            let addends = &addends[place];
            let sum = &mut sum[..addends.len()];
            vectorized(|| {
                for place in 0..addends.len() {
                    sum[place] += addends[place];
                }
            });
        });
        Some((sum, terms.and(other_terms)))
    }
}

/// The gradients of one part; `None` when interrupted.
fn backward(
    agent: &ActorCritic,
    part: &Part,
    (batch, settings): (&Batch, &Settings),
    device: &Cpu,
    should_continue: ShouldContinue<'_>,
) -> Option<Backpropagated> {
    let (agent, mut gradients, mut terms) = (agent.packed(), Gradients::leaky(), LossTerms::default());
    for rows in part.gather(batch, ROWS, device) {
        if !should_continue() {
            return None;
        }
        let (loss, of_rows) = loss(&agent, rows, gradients, settings);
        gradients = loss.backward();
        terms = terms.and(of_rows);
    }
    Some((gradients, terms))
}

/// The next message; `None` when the channel is closed.
fn wait<T>(from: &Receiver<T>) -> Option<T> {
    for _ in 0..SPINS {
        match from.try_recv() {
            Ok(found) => return Some(found),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => std::hint::spin_loop(),
        }
    }
    from.recv().ok()
}

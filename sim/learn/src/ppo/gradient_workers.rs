//! Computes the gradient of a minibatch on this thread, or on this and a second one.
//!
//! Buffers travel between the threads and back, so nothing is allocated. The two parts are always summed in the same order.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::Scope;

use super::backprop::PackedNetwork;
use super::minibatch::{Gradients, Part, deal};
use super::{Batch, Settings};
use crate::network::{Shape, Weights};

/// Polls before a thread blocks: longer than the time between two minibatches.
const SPINS: u32 = 4_000;
/// Weights times decisions below which the hand-over costs more than it saves.
const MIN_PARALLEL_WORK: usize = 2_000_000;

/// The workers of one update.
pub(super) struct GradientWorkers<'a> {
    settings: &'a Settings,
    batch: &'a Batch,
    net: Arc<PackedNetwork>,
    first: Part,
    /// The second part; while the other thread has it, an empty one stands here.
    second: Box<Part>,
    other: Option<Other>,
}

/// The channels to and from the second thread.
struct Other {
    send: Sender<(Arc<PackedNetwork>, Box<Part>)>,
    receive: Receiver<Box<Part>>,
}

impl<'a> GradientWorkers<'a> {
    /// Only this thread.
    pub(super) fn new(shape: Shape, settings: &'a Settings, batch: &'a Batch) -> Self {
        let net = Arc::new(PackedNetwork::new(shape));
        Self { settings, batch, net, first: Part::default(), second: Box::default(), other: None }
    }

    /// This thread and a second one, which ends when the workers are dropped.
    pub(super) fn shared<'scope>(
        shape: Shape,
        settings: &'a Settings,
        batch: &'a Batch,
        scope: &'scope Scope<'scope, '_>,
    ) -> Self
    where
        'a: 'scope,
    {
        let (send, parts) = channel::<(Arc<PackedNetwork>, Box<Part>)>();
        let (answer, receive) = channel();
        scope.spawn(move || {
            while let Some((net, mut part)) = wait(&parts) {
                part.learn(batch, &net, settings);
                // Dropped before the answer, so that the network can be changed in place.
                drop(net);
                if answer.send(part).is_err() {
                    break;
                }
            }
        });
        Self { other: Some(Other { send, receive }), ..Self::new(shape, settings, batch) }
    }

    /// The gradient over the decisions of the batch at `places`.
    pub(super) fn gradients(&mut self, weights: &Weights, places: &[usize]) -> &Gradients {
        Arc::make_mut(&mut self.net).load(weights);
        deal(self.batch, places, self.settings, [&mut self.first, &mut self.second]);
        let size: usize = weights.tensors.iter().map(|column| column.values.len()).sum();
        match &self.other {
            Some(Other { send, receive }) if size * places.len() >= MIN_PARALLEL_WORK => {
                let second = std::mem::take(&mut self.second);
                send.send((Arc::clone(&self.net), second)).expect("the other thread receives parts");
                self.first.learn(self.batch, &self.net, self.settings);
                self.second = wait(receive).expect("the other thread answers each part");
            }
            _ => {
                self.first.learn(self.batch, &self.net, self.settings);
                self.second.learn(self.batch, &self.net, self.settings);
            }
        }
        self.first.gradients.add(&self.second.gradients);
        &self.first.gradients
    }
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

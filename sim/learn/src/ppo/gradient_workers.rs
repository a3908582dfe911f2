//! Where the gradient of a minibatch is worked out: on this thread, or with a second one beside it.
//!
//! Owns the hand-over between the two. What is sent comes back to be sent again, so that nothing is allocated. The sum is
//! always first part, then second, whoever finished first.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::Scope;

use super::backprop::PackedNetwork;
use super::minibatch::{Gradients, Part, deal};
use super::{Batch, Settings};
use crate::network::{Shape, Weights};

/// How often a thread looks for work before it lets itself be woken: longer than the time between two minibatches.
const SPINS: u32 = 4_000;
/// Weights times decisions below which a hand-over takes longer than it saves.
const MIN_PARALLEL_WORK: usize = 2_000_000;

/// A workers for one update.
pub(super) struct GradientWorkers<'a> {
    settings: &'a Settings,
    batch: &'a Batch,
    net: Arc<PackedNetwork>,
    first: Part,
    /// Not here only while the other thread has it.
    second: Box<Part>,
    other: Option<Other>,
}

/// A second thread: where parts are sent, and come back from.
struct Other {
    send: Sender<(Arc<PackedNetwork>, Box<Part>)>,
    receive: Receiver<Box<Part>>,
}

impl<'a> GradientWorkers<'a> {
    /// For this thread alone.
    pub(super) fn new(shape: Shape, settings: &'a Settings, batch: &'a Batch) -> Self {
        let net = Arc::new(PackedNetwork::new(shape));
        Self { settings, batch, net, first: Part::default(), second: Box::default(), other: None }
    }

    /// With a second thread, which ends with the workers.
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
                // Before the answer, so that the network is nobody else's when it is changed.
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
        let size: usize = weights.columns.iter().map(|column| column.values.len()).sum();
        match &self.other {
            Some(Other { send, receive }) if size * places.len() >= MIN_PARALLEL_WORK => {
                let second = std::mem::take(&mut self.second);
                send.send((Arc::clone(&self.net), second)).expect("the other thread waits for parts");
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

/// The next that comes; `None` when nothing will.
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

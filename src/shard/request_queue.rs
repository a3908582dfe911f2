//! Requests on their way to the town's thread, by level: those of admins first, and a bounded number of each level.
//!
//! The model is the priority and fairness of the Kubernetes API server. Rule: "HTTP service".

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use townlet_wire::Role;

/// The precedence of a request over the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A request with an admin token.
    Admin,
    /// A request with a viewer token.
    Viewer,
    /// A request without a token.
    Anonymous,
}

impl Level {
    /// Every level, the first served first.
    pub const ALL: [Self; 3] = [Self::Admin, Self::Viewer, Self::Anonymous];

    /// The level of a request with a token of this role.
    pub const fn of_token(role: Role) -> Self {
        match role {
            Role::Admin => Self::Admin,
            Role::Viewer => Self::Viewer,
        }
    }

    /// The name in metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Viewer => "viewer",
            Self::Anonymous => "anonymous",
        }
    }

    /// Requests that may wait for the town's thread.
    const fn capacity(self) -> usize {
        match self {
            Self::Admin => 1_024,
            Self::Viewer => 256,
            Self::Anonymous => 64,
        }
    }
}

/// The queue. Requests of this process's own sessions, which have no level, come before all others and are not limited: their
/// senders wait for answers.
pub(super) struct RequestQueue<T>(Mutex<Queues<T>>);

struct Queues<T> {
    waiting: [VecDeque<T>; 4],
    closed: bool,
}

impl<T> RequestQueue<T> {
    /// The queue, and the end from which the town's thread takes.
    pub(super) fn new() -> (Arc<Self>, RequestReceiver<T>) {
        let waiting = std::array::from_fn(|_| VecDeque::new());
        let queue = Arc::new(Self(Mutex::new(Queues { waiting, closed: false })));
        (Arc::clone(&queue), RequestReceiver(queue))
    }

    fn lock(&self) -> MutexGuard<'_, Queues<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a request; returns it when its level has no room. Once nobody takes requests any more, it is dropped.
    pub(super) fn push(&self, level: Option<Level>, request: T) -> Result<(), T> {
        let (place, capacity) = level.map_or((0, usize::MAX), |level| (1 + level as usize, level.capacity()));
        let mut queues = self.lock();
        if queues.waiting[place].len() >= capacity {
            return Err(request);
        }
        if !queues.closed {
            queues.waiting[place].push_back(request);
        }
        Ok(())
    }
}

/// Takes requests. Dropping it drops those that wait, so that their senders see that nobody answers.
pub(super) struct RequestReceiver<T>(Arc<RequestQueue<T>>);

impl<T> RequestReceiver<T> {
    /// The next request: the oldest of the first level that has one.
    pub(super) fn pop(&self) -> Option<T> {
        self.0.lock().waiting.iter_mut().find_map(VecDeque::pop_front)
    }
}

impl<T> Drop for RequestReceiver<T> {
    fn drop(&mut self) {
        let mut queues = self.0.lock();
        queues.closed = true;
        let waiting = queues.waiting.each_mut().map(std::mem::take);
        // Dropping a request calls its sender, which must not find the queue locked.
        drop(queues);
        drop(waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admins_come_first_and_strangers_cannot_take_their_room() {
        let (queue, receiver) = RequestQueue::new();
        let stranger = |_: &_| queue.push(Some(Level::Anonymous), "stranger").is_ok();
        assert_eq!((0..10_000).take_while(stranger).count(), Level::Anonymous.capacity());
        for (level, name) in [(Some(Level::Viewer), "viewer"), (Some(Level::Admin), "admin"), (None, "local")] {
            assert_eq!(queue.push(level, name), Ok(()));
        }
        let order: Vec<&str> = (0..4).filter_map(|_| receiver.pop()).collect();
        assert_eq!(order, ["local", "admin", "viewer", "stranger"]);
    }

    #[test]
    fn requests_are_dropped_when_nobody_takes_them() {
        let (queue, receiver) = RequestQueue::new();
        let request = Arc::new(());
        assert_eq!(queue.push(None, Arc::clone(&request)), Ok(()));
        assert_eq!(Arc::strong_count(&request), 2);
        drop(receiver);
        assert_eq!(Arc::strong_count(&request), 1);
        assert_eq!(queue.push(None, Arc::clone(&request)), Ok(()));
        assert_eq!(Arc::strong_count(&request), 1);
    }
}

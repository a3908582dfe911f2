//! A compact index over the objects, derived from `objects`: which have a queue or cooldowns, and how many users each has.
//! The tick reads it instead of every object's state.

use crate::ids::{Column, Key, ObjectId};
use crate::memory::HeapBytes as _;
use crate::state::ObjectState;

/// Busy objects and users per object.
#[derive(Clone, Debug)]
pub(crate) struct QueueIndex {
    /// One bit per object, set while it has a queue or cooldowns. A stale bit is cleared when the object is next served.
    busy: Vec<u64>,
    users: Column<ObjectId, u8>,
    /// Tick before which a busy object without a queue does not change: its first cooldown ends then.
    due: Column<ObjectId, u64>,
}

impl QueueIndex {
    /// The index of a state.
    pub(crate) fn new(objects: &Column<ObjectId, ObjectState>) -> Self {
        let users = objects.iter().map(|object| object.uses.len() as u8).collect::<Vec<_>>().into();
        let due = Column::filled(objects.len(), 0);
        let mut index = Self { busy: vec![0; objects.len().div_ceil(64)], users, due };
        for (object, state) in objects.iter().enumerate() {
            if !state.is_quiet() {
                index.mark_busy(ObjectId(object as u16));
            }
        }
        index
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.busy.heap_bytes() + self.users.heap_bytes() + self.due.heap_bytes()
    }

    /// Residents who hold or use an object.
    pub(crate) fn users(&self, object: ObjectId) -> u8 {
        self.users[object]
    }

    pub(crate) fn set_users(&mut self, object: ObjectId, users: usize) {
        self.users[object] = users as u8;
    }

    /// Whether an object may have a queue or cooldowns. Without the bit it has none.
    pub(crate) fn is_busy(&self, object: ObjectId) -> bool {
        self.busy[object.at() / 64] & (1 << (object.at() % 64)) != 0
    }

    /// Tick at which a busy object must be served next.
    pub(crate) fn due(&self, object: ObjectId) -> u64 {
        self.due[object]
    }

    /// Marks an object that must be served on every tick.
    pub(crate) fn mark_busy(&mut self, object: ObjectId) {
        self.due[object] = 0;
        self.busy[object.at() / 64] |= 1 << (object.at() % 64);
    }

    /// Takes over what a served object still has: queue, cooldowns or nothing.
    pub(crate) fn set_served(&mut self, object: ObjectId, state: &ObjectState) {
        if state.is_quiet() {
            self.busy[object.at() / 64] &= !(1 << (object.at() % 64));
        } else if state.queue.is_empty() {
            self.due[object] = state.cooldowns.iter().map(|cooldown| cooldown.until).min().unwrap_or(0);
        }
    }

    /// Words of the bit set; object `n` is bit `n % 64` of word `n / 64`.
    pub(crate) fn busy(&self) -> &[u64] {
        &self.busy
    }
}

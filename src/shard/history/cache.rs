//! Moments that were looked at, so that a neighbouring tick and a drag are fast. Its memory is bounded.

use super::moment::Moment;

/// Most bytes of all moments.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// Moments that are kept whatever they take: that looked at, and two before it.
const MIN_MOMENTS: usize = 3;
const MAX_MOMENTS: usize = 64;

/// The moments used last.
pub(super) struct MomentCache {
    /// Used last at the end.
    moments: Vec<Moment>,
    most: usize,
}

impl MomentCache {
    /// A cache of moments that take so many bytes.
    pub(super) fn new(moment_bytes: usize) -> Self {
        let most = (MAX_BYTES / moment_bytes.max(1)).clamp(MIN_MOMENTS, MAX_MOMENTS);
        Self { moments: Vec::new(), most }
    }

    /// The latest moment not after a tick.
    pub(super) fn before(&mut self, tick: u64) -> Option<Moment> {
        let not_after = self.moments.iter().enumerate().filter(|(_, moment)| moment.tick() <= tick);
        let place = not_after.max_by_key(|(_, moment)| moment.tick())?.0;
        let found = self.moments.remove(place);
        self.moments.push(found.clone());
        Some(found)
    }

    /// Keeps a moment, in place of one at the same tick, and drops the one that was not used for longest if there are too many.
    pub(super) fn keep(&mut self, moment: Moment) {
        self.moments.retain(|other| other.tick() != moment.tick());
        if self.moments.len() >= self.most {
            self.moments.remove(0);
        }
        self.moments.push(moment);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.moments.len()
    }
}

//! A moment of a run: the town at a tick, and what an observer saw beside it.

use townlet_town::{State, Town};

use crate::journal::{Contents, Entry, Header};
use crate::recovery::JournalReplayer;
use crate::telemetry::EventFeed;

/// Bytes that a moment takes beside its town: events and sentences, most of them shared with other moments.
const FEED_BYTES: usize = 64 * 1024;
/// Bytes of memory for a byte of an encoded state, whose numbers are packed.
const BYTES_PER_ENCODED: usize = 4;

/// The town at a tick of a run, with the commands of that tick applied.
#[derive(Clone)]
pub struct Moment {
    pub(super) player: JournalReplayer,
    pub(super) feed: EventFeed,
    pub(super) policy: String,
    /// The next entry: index of the segment, and the byte at which the entry begins in it; 0 before the first.
    pub(super) next: (usize, usize),
    /// The segment that was begun last.
    pub(super) begun: usize,
}

impl Moment {
    /// The town at the start of a segment, of which this is the index.
    pub(super) fn at_start(index: usize, header: &Header, player: JournalReplayer) -> Self {
        let mut feed = EventFeed::default();
        feed.record_events(&player.town);
        let mut moment = Self { player, feed, policy: header.policy.clone(), next: (index, 0), begun: index };
        moment.player.town.clear_events();
        moment
    }

    /// The town. Its rules are those in force at this tick.
    pub const fn town(&self) -> &Town {
        &self.player.town
    }

    /// The tick.
    pub fn tick(&self) -> u64 {
        self.player.town.tick()
    }

    /// The policy that chose, as far as it is known.
    pub fn policy(&self) -> &str {
        &self.policy
    }

    pub(crate) const fn feed(&self) -> &EventFeed {
        &self.feed
    }

    /// Applies the rest of a segment up to a tick. Returns whether the segment ends before it.
    pub(super) fn play(&mut self, segment: &Contents, tick: u64) -> Result<bool, String> {
        loop {
            let Some((entry, after)) = segment.entries.at(self.next.1.max(segment.entries.begin())) else {
                return Ok(true);
            };
            if starts_at(&entry) > tick {
                return Ok(false);
            }
            if let Entry::Policy { to, .. } = &entry {
                self.policy.clone_from(to);
            }
            let Self { player, feed, .. } = self;
            player.apply_until(&entry, tick, |town| feed.record_events(town))?;
            if matches!(entry, Entry::Ticks { to, .. } if to > player.town.tick()) {
                return Ok(false);
            }
            self.next.1 = after;
        }
    }
}

/// An estimate of the memory that a moment takes, in bytes.
pub(super) fn memory(state: &State) -> usize {
    let encoded = postcard::to_stdvec(state).expect("the state is plain data");
    encoded.len() * BYTES_PER_ENCODED + FEED_BYTES
}

/// The tick that the town must reach before an entry has an effect.
const fn starts_at(entry: &Entry) -> u64 {
    match entry {
        // Running a tick leads past its start.
        Entry::Ticks { from, .. } => from.saturating_add(1),
        Entry::Command { tick, .. } | Entry::Reload { tick, .. } | Entry::Policy { tick, .. } => *tick,
    }
}

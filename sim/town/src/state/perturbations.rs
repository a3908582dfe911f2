//! Active and pending perturbations.

use serde::{Deserialize, Serialize};

use crate::fixed_point::Micro;
use crate::ids::{PlaceId, ResidentId};

/// An active perturbation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivePerturbation {
    /// Row of the perturbations table.
    pub kind: u8,
    /// Its event of the perturbation file; `None` when an operator began it directly.
    pub event: Option<u16>,
    /// Tick of the start.
    pub started: u64,
    /// Tick of the end; `None` while it is open-ended.
    pub ends: Option<u64>,
    /// Factor on prices; 1 unless it is a price spike.
    pub magnitude: Micro,
    /// Affected goods: bit `n` for row `n` of the price list.
    pub items: u8,
    /// Participants and place of an arranged meeting.
    pub meeting: Option<Meeting>,
}

/// Two residents and their meeting place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meeting {
    /// The participants.
    pub who: [ResidentId; 2],
    /// The place.
    pub place: PlaceId,
    /// Whether they have sat there together.
    pub met: bool,
}

/// An event drawn for today that has not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingPerturbation {
    /// Event of the perturbation file.
    pub event: u16,
    /// Earliest tick of the start. The limits may delay it; at the end of the day it is dropped.
    pub at: u64,
}

/// Active and pending perturbations, and the history that the limits need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Perturbations {
    /// Active perturbations in the order of their start.
    pub active: Vec<ActivePerturbation>,
    /// Events drawn for today that have not begun.
    pub pending: Vec<PendingPerturbation>,
    /// Last start of each event of the file.
    pub last_of: Vec<Option<u64>>,
    /// Last start of any event of the file.
    pub last: Option<u64>,
    /// Starts in the current window.
    pub recent: Vec<u64>,
}

impl Perturbations {
    /// Whether a kind is active.
    pub fn is_active(&self, kind: u8) -> bool {
        self.active.iter().any(|active| active.kind == kind)
    }

    /// Whether an event of the file is active.
    pub fn is_event_active(&self, event: u16) -> bool {
        self.active.iter().any(|active| active.event == Some(event))
    }

    /// The place of the resident's arranged meeting, until it is over.
    pub(crate) fn meeting_place(&self, resident: ResidentId) -> Option<PlaceId> {
        let mut meetings = self.active.iter().filter_map(|active| active.meeting);
        meetings.find(|meeting| meeting.who.contains(&resident)).map(|meeting| meeting.place)
    }
}

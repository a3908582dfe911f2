//! Ties: directed relationships between residents.

use serde::{Deserialize, Serialize};

use crate::fixed_point::Micro;
use crate::ids::AgentId;

/// Most ties a resident can have; `conflict.rivalry.max_edges` may lower it.
pub const CAPACITY: usize = 6;

/// The aspects of a tie.
pub const ASPECTS: [&str; 3] = ["trust", "familiarity", "rivalry"];

/// The attitude of one resident to another. Each value is in [−1, 1].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tie {
    /// The other resident.
    pub other: AgentId,
    /// Trust.
    pub trust: Micro,
    /// Familiarity.
    pub familiarity: Micro,
    /// Rivalry.
    pub rivalry: Micro,
    /// Meals shared today that counted.
    pub meals_today: u32,
}

impl Tie {
    const fn to(other: AgentId) -> Self {
        Self { other, trust: Micro::ZERO, familiarity: Micro::ZERO, rivalry: Micro::ZERO, meals_today: 0 }
    }

    /// The weakest tie is dropped first.
    fn strength(&self) -> i64 {
        self.trust.0.abs() + self.familiarity.0.abs() + self.rivalry.0.abs()
    }

    /// The value of an aspect, by its place in [`ASPECTS`].
    pub fn aspect(&mut self, aspect: u8) -> Option<&mut Micro> {
        [&mut self.trust, &mut self.familiarity, &mut self.rivalry].into_iter().nth(aspect as usize)
    }
}

/// The ties of a resident, in no particular order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ties([Option<Tie>; CAPACITY]);

impl Ties {
    /// All ties.
    pub fn iter(&self) -> impl Iterator<Item = &Tie> {
        self.0.iter().flatten()
    }

    /// All ties with their places.
    pub(crate) fn places(&self) -> impl Iterator<Item = (u8, &Tie)> {
        (0..).zip(&self.0).filter_map(|(place, tie)| Some((place, tie.as_ref()?)))
    }

    /// The tie at a place.
    pub(crate) fn at(&self, place: u8) -> Option<&Tie> {
        self.0.get(place as usize)?.as_ref()
    }

    /// All ties.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Tie> {
        self.0.iter_mut().flatten()
    }

    /// The tie to a resident; zero in every aspect when there is none.
    pub fn to(&self, other: AgentId) -> Tie {
        self.iter().find(|tie| tie.other == other).copied().unwrap_or(Tie::to(other))
    }

    /// The tie to a resident, created when there is none. With `capacity` other ties the weakest is replaced.
    pub(crate) fn entry(&mut self, other: AgentId, capacity: usize) -> &mut Tie {
        let places = &self.0[..capacity];
        let known = places.iter().position(|tie| tie.is_some_and(|tie| tie.other == other));
        let free = || places.iter().position(Option::is_none);
        let weakest = || (0..capacity).min_by_key(|place| places[*place].map_or(0, |tie| tie.strength()));
        let place = known.or_else(free).or_else(weakest).unwrap_or_default();
        let tie = &mut self.0[place];
        if known.is_none() {
            *tie = Some(Tie::to(other));
        }
        tie.get_or_insert(Tie::to(other))
    }

    /// Drops the ties that `gone` selects.
    pub(crate) fn forget(&mut self, mut gone: impl FnMut(&Tie) -> bool) {
        for tie in &mut self.0 {
            if tie.as_ref().is_some_and(&mut gone) {
                *tie = None;
            }
        }
    }
}

//! Who stands where, by tile.
//!
//! Follows from `agents.tile` and is kept beside the state, never in it: counts for those who walk, bits for those who
//! look around. Knows nobody by name.

use crate::ids::{Column, Tile};
use crate::observations::TileMask;
use crate::plan::Plan;

/// People by tile.
#[derive(Clone, Debug)]
pub(crate) struct Occupancy {
    people: Column<Tile, u16>,
    taken: TileMask,
}

impl Occupancy {
    /// An empty town.
    pub(crate) fn new(plan: &Plan) -> Self {
        let people = Column::filled((plan.width * plan.height) as usize, 0);
        Self { people, taken: TileMask::new(plan.width, plan.height) }
    }

    /// How many stand there.
    pub(crate) fn on(&self, tile: Tile) -> u16 {
        self.people[tile]
    }

    /// Somebody comes to stand there.
    pub(crate) fn enter(&mut self, tile: Tile) {
        self.people[tile] += 1;
        self.taken.set(tile);
    }

    /// Somebody stands there no more.
    pub(crate) fn leave(&mut self, tile: Tile) {
        self.people[tile] = self.people[tile].saturating_sub(1);
        if self.people[tile] == 0 {
            self.taken.clear(tile);
        }
    }

    /// Which tiles of the window around a column and row somebody stands on.
    pub(crate) fn around(&self, at: (usize, usize)) -> u128 {
        self.taken.around(at)
    }
}

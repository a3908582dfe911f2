//! Residents per tile, derived from `agents.tile`: counts for movement and bits for observations.

use crate::ids::{Column, Tile};
use crate::memory::HeapBytes as _;
use crate::plan::Plan;
use crate::tile_mask::TileMask;

/// Number of residents on every tile.
#[derive(Clone, Debug)]
pub(crate) struct Occupancy {
    residents: Column<Tile, u16>,
    occupied: TileMask,
}

impl Occupancy {
    /// An empty map.
    pub(crate) fn new(plan: &Plan) -> Self {
        let residents = Column::filled((plan.width * plan.height) as usize, 0);
        Self { residents, occupied: TileMask::new(plan.width, plan.height) }
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.residents.heap_bytes() + self.occupied.heap_bytes()
    }

    /// Residents on a tile.
    pub(crate) fn on(&self, tile: Tile) -> u16 {
        self.residents[tile]
    }

    /// Adds a resident.
    pub(crate) fn enter(&mut self, tile: Tile) {
        self.residents[tile] += 1;
        self.occupied.set(tile);
    }

    /// Removes a resident.
    pub(crate) fn leave(&mut self, tile: Tile) {
        self.residents[tile] = self.residents[tile].saturating_sub(1);
        if self.residents[tile] == 0 {
            self.occupied.clear(tile);
        }
    }

    /// The occupied tiles in the window around a column and row.
    pub(crate) fn window(&self, at: (usize, usize)) -> u128 {
        self.occupied.window(at)
    }
}

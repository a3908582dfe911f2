//! Who stands where, by tile.
//!
//! Follows from `agents.tile` and is kept beside the state, never in it. Counts for those who walk, and a bit a tile, so
//! that a look around is eleven short reads however the town is drawn and whoever is in it. Knows nobody by name.

use crate::ids::{Column, Tile};
use crate::observations::{REACH, SIDE};
use crate::plan::Plan;

/// Bits before the first tile's row, so that a look past the edge begins inside.
const MARGIN: usize = REACH;

/// People by tile.
#[derive(Clone, Debug)]
pub(crate) struct Crowd {
    people: Column<Tile, u16>,
    /// A bit a tile, row by row; [`REACH`] empty rows above and below.
    taken: Vec<u8>,
    width: usize,
}

impl Crowd {
    /// An empty town.
    pub(crate) fn new(plan: &Plan) -> Self {
        let (width, height) = (plan.width as usize, plan.height as usize);
        let bits = MARGIN + width * (height + 2 * REACH);
        Self { people: Column::filled(width * height, 0), taken: vec![0; bits / 8 + size_of::<u64>()], width }
    }

    /// How many stand there.
    pub(crate) fn on(&self, tile: Tile) -> u16 {
        self.people[tile]
    }

    /// Somebody comes to stand there.
    pub(crate) fn enter(&mut self, tile: Tile) {
        self.people[tile] += 1;
        let bit = self.bit(tile);
        self.taken[bit / 8] |= 1 << (bit % 8);
    }

    /// Somebody stands there no more.
    pub(crate) fn leave(&mut self, tile: Tile) {
        self.people[tile] = self.people[tile].saturating_sub(1);
        if self.people[tile] == 0 {
            let bit = self.bit(tile);
            self.taken[bit / 8] &= !(1 << (bit % 8));
        }
    }

    const fn bit(&self, tile: Tile) -> usize {
        MARGIN + REACH * self.width + tile.0 as usize
    }

    /// Which tiles of the window around a column and row somebody stands on, bit by bit as the window is laid out.
    pub(crate) fn around(&self, (x, y): (usize, usize)) -> u128 {
        // A row of bits runs on into the next; what lies past the edge is cut off.
        let whole = (1_u64 << SIDE) - 1;
        let inside = (whole << REACH.saturating_sub(x)) & (whole >> (x + REACH + 1).saturating_sub(self.width));
        let first = MARGIN + y * self.width + x - REACH;
        let mut window = 0;
        for row in 0..SIDE {
            let bit = first + row * self.width;
            let bytes = self.taken[bit / 8..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            window |= u128::from(bytes >> (bit % 8) & inside) << (row * SIDE);
        }
        window
    }
}

//! One bit a tile, and the window around a tile cut out of it.
//!
//! Even a large town's plane stays close to the core, whoever looks from wherever, and a window is eleven short reads.

use crate::ids::Tile;
use crate::observations::{VIEW_RADIUS, VIEW_SIDE};

/// A bit a tile, row by row. Each row begins with a byte of its own and ends with [`VIEW_RADIUS`] empty bits; as many empty rows lie
/// above and below: a look past the edge sees nothing, and every row of a window is shifted alike.
#[derive(Clone, Debug)]
pub(crate) struct TileMask {
    bits: Vec<u8>,
    width: u32,
    /// Bytes a row.
    stride: usize,
}

impl TileMask {
    /// All bits 0.
    pub(crate) fn new(width: u32, height: u32) -> Self {
        let stride = (width as usize + VIEW_RADIUS).div_ceil(8);
        let bytes = stride * (height as usize + 2 * VIEW_RADIUS) + size_of::<u32>();
        Self { bits: vec![0; bytes], width, stride }
    }

    /// Sets a tile's bit.
    pub(crate) fn set(&mut self, tile: Tile) {
        let (byte, bit) = self.place(tile);
        self.bits[byte] |= bit;
    }

    /// Clears a tile's bit.
    pub(crate) fn clear(&mut self, tile: Tile) {
        let (byte, bit) = self.place(tile);
        self.bits[byte] &= !bit;
    }

    fn place(&self, tile: Tile) -> (usize, u8) {
        let (x, y) = ((tile.0 % self.width) as usize + VIEW_RADIUS, (tile.0 / self.width) as usize + VIEW_RADIUS);
        (y * self.stride + x / 8, 1 << (x % 8))
    }

    /// The window around a column and row, bit by bit as windows are laid out; 0 outside the town.
    #[inline]
    pub(crate) fn around(&self, (x, y): (usize, usize)) -> u128 {
        let mut first = y * self.stride + x / 8;
        let mut window = 0;
        for row in 0..VIEW_SIDE {
            let bytes = self.bits[first..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
            window |= u128::from(bytes >> (x % 8) & ((1 << VIEW_SIDE) - 1)) << (row * VIEW_SIDE);
            first += self.stride;
        }
        window
    }
}

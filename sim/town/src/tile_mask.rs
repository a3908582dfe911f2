//! One bit per tile, and the window of bits around a tile. Also defines the size of that window, which is the map a
//! resident observes.

use crate::ids::Tile;
use crate::memory::HeapBytes as _;

/// Tiles a resident sees in each direction.
pub const VIEW_RADIUS: usize = 5;
/// Tiles along an edge of the observed map.
pub const VIEW_SIDE: usize = 2 * VIEW_RADIUS + 1;
/// Tiles of the observed map.
pub const VIEW_TILES: usize = VIEW_SIDE * VIEW_SIDE;

/// One bit per tile, row by row. Each row starts at a byte and ends with [`VIEW_RADIUS`] empty bits, and as many empty rows
/// surround the map. So a window at the edge needs no special case, and all rows of a window have the same shift.
#[derive(Clone, Debug)]
pub(crate) struct TileMask {
    bits: Vec<u8>,
    width: u32,
    /// Bytes per row.
    stride: usize,
}

impl TileMask {
    /// All bits 0.
    pub(crate) fn new(width: u32, height: u32) -> Self {
        let stride = (width as usize + VIEW_RADIUS).div_ceil(8);
        let bytes = stride * (height as usize + 2 * VIEW_RADIUS) + size_of::<u32>();
        Self { bits: vec![0; bytes], width, stride }
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.bits.heap_bytes()
    }

    /// Sets a tile's bit.
    pub(crate) fn set(&mut self, tile: Tile) {
        let (byte, bit) = self.position(tile);
        self.bits[byte] |= bit;
    }

    /// Clears a tile's bit.
    pub(crate) fn clear(&mut self, tile: Tile) {
        let (byte, bit) = self.position(tile);
        self.bits[byte] &= !bit;
    }

    fn position(&self, tile: Tile) -> (usize, u8) {
        let (x, y) = ((tile.0 % self.width) as usize + VIEW_RADIUS, (tile.0 / self.width) as usize + VIEW_RADIUS);
        (y * self.stride + x / 8, 1 << (x % 8))
    }

    /// The window around a column and row, row by row; bits outside the map are 0.
    #[inline]
    pub(crate) fn window(&self, (x, y): (usize, usize)) -> u128 {
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

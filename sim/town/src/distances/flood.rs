//! Breadth-first search over walkable tiles, with memory that is used again from search to search.

use crate::distances::area::Area;
use crate::distances::heading::{Heading, SIDE_BITS};
use crate::ids::Tile;
use crate::plan::Plan;

/// The cells of a search: the tiles of an area in reading order, with walls around them. The walls make checks for
/// the edge of the plan unnecessary.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    area: Area,
    /// Cells in a row.
    stride: u32,
    /// Tiles in a row of the plan.
    width: u32,
}

impl Grid {
    /// The cell of a tile of the area.
    fn cell(self, plan: &Plan, tile: Tile) -> u32 {
        let (x, y) = plan.at(tile);
        (y - self.area.top + 1) * self.stride + x - self.area.left + 1
    }

    /// The tile of a cell inside the area.
    pub(super) const fn tile(self, cell: u32) -> Tile {
        let (x, y) = (cell % self.stride - 1 + self.area.left, cell / self.stride - 1 + self.area.top);
        Tile(y * self.width + x)
    }
}

/// A cell that is outside the area or not walkable.
const WALL: u32 = u32::MAX;

/// The tiles around goals, in the order of their steps.
pub(crate) struct Flood<'a> {
    plan: &'a Plan,
    grid: Grid,
    /// Steps and one more, and below them a bit for each side that is nearer to the goals; 0 for tiles that were not reached.
    cells: Vec<u32>,
    reached: Vec<u32>,
}

impl<'a> Flood<'a> {
    /// A search that has not begun.
    pub(crate) fn new(plan: &'a Plan) -> Self {
        Self::within(plan, Area::whole(plan))
    }

    /// A search in a part of the plan, as if there were walls around it.
    pub(super) fn within(plan: &'a Plan, area: Area) -> Self {
        let columns = area.right - area.left + 1;
        let grid = Grid { area, stride: columns + 2, width: plan.width };
        let mut cells = vec![WALL; (grid.stride * (area.bottom - area.top + 3)) as usize];
        for (y, row) in (area.top..=area.bottom).zip(cells.chunks_exact_mut(grid.stride as usize).skip(1)) {
            for (x, cell) in (area.left..=area.right).zip(&mut row[1..]) {
                if plan.walkable[Tile(y * plan.width + x)] {
                    *cell = 0;
                }
            }
        }
        Self { plan, grid, cells, reached: Vec::new() }
    }

    /// The plan searched.
    pub(super) const fn plan(&self) -> &'a Plan {
        self.plan
    }

    /// The cells of the search.
    pub(super) const fn grid(&self) -> Grid {
        self.grid
    }

    /// Reaches every tile.
    pub(crate) fn run(&mut self, goals: &[Tile]) {
        self.run_while(goals, |_, _| true);
    }

    /// Visits tiles in the order of their steps until `goes_on` refuses one, which gets the cell and its steps. Every tile with
    /// at most as many steps as the refused one is reached.
    pub(super) fn run_while(&mut self, goals: &[Tile], mut goes_on: impl FnMut(u32, u32) -> bool) {
        for cell in self.reached.drain(..) {
            self.cells[cell as usize] = 0;
        }
        for goal in goals {
            let cell = self.grid.cell(self.plan, *goal);
            if self.cells[cell as usize] == 0 {
                self.cells[cell as usize] = 1 << SIDE_BITS;
                self.reached.push(cell);
            }
        }
        let stride = self.grid.stride;
        let mut visited = 0;
        while let Some(cell) = self.reached.get(visited).copied() {
            visited += 1;
            let steps = self.cells[cell as usize] >> SIDE_BITS;
            if !goes_on(cell, steps - 1) {
                return;
            }
            // North, east, south, west, with the bit of the opposite side.
            for (ahead, back) in
                [(cell - stride, 0b0100), (cell + 1, 0b1000), (cell + stride, 0b0001), (cell - 1, 0b0010)]
            {
                let next = &mut self.cells[ahead as usize];
                if *next == 0 {
                    *next = (steps + 1) << SIDE_BITS | back;
                    self.reached.push(ahead);
                } else if *next >> SIDE_BITS == steps + 1 {
                    *next |= back;
                }
            }
        }
    }

    /// What is known of a tile; `None` when it was not reached.
    fn found(&self, tile: Tile) -> Option<u32> {
        let cell = self.cells[self.grid.cell(self.plan, tile) as usize];
        (cell != 0 && cell != WALL).then_some(cell)
    }

    /// Steps from a tile to the goals; `None` when it was not reached.
    pub(super) fn steps(&self, tile: Tile) -> Option<u16> {
        Some((self.found(tile)? >> SIDE_BITS) as u16 - 1)
    }

    /// Steps from the farthest tile reached.
    pub(super) fn longest(&self) -> u16 {
        self.reached.last().map_or(0, |cell| (self.cells[*cell as usize] >> SIDE_BITS) as u16 - 1)
    }

    /// The way from a tile to the goals.
    pub(crate) fn heading(&self, tile: Tile) -> Heading {
        let Some(cell) = self.found(tile) else { return Heading::NONE };
        Heading::new((cell >> SIDE_BITS) as u16 - 1, (cell & ((1 << SIDE_BITS) - 1)) as u16)
    }
}

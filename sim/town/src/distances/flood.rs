//! Breadth-first search over walkable tiles, with memory that is used again from search to search.

use crate::distances::heading::Heading;
use crate::ids::{Column, Tile};
use crate::plan::Plan;

/// The tiles around goals, in the order of their steps.
pub(crate) struct Flood<'a> {
    plan: &'a Plan,
    /// Steps and one more; 0 for tiles that were not reached. Memory of zeros is only touched where a search goes.
    steps: Column<Tile, u16>,
    reached: Vec<Tile>,
}

impl<'a> Flood<'a> {
    /// A search that has not begun.
    pub(crate) fn new(plan: &'a Plan) -> Self {
        Self { plan, steps: Column::filled((plan.width * plan.height) as usize, 0), reached: Vec::new() }
    }

    /// The plan searched.
    pub(super) const fn plan(&self) -> &'a Plan {
        self.plan
    }

    /// Reaches every tile.
    pub(crate) fn run(&mut self, goals: &[Tile]) {
        self.run_while(goals, |_, _| true);
    }

    /// Visits tiles in the order of their steps until `goes_on` refuses one, which gets the tile and its steps. Every tile with
    /// at most as many steps as the refused one is reached.
    pub(super) fn run_while(&mut self, goals: &[Tile], mut goes_on: impl FnMut(Tile, u16) -> bool) {
        for tile in self.reached.drain(..) {
            self.steps[tile] = 0;
        }
        for goal in goals {
            if self.steps[*goal] == 0 {
                self.steps[*goal] = 1;
                self.reached.push(*goal);
            }
        }
        let mut visited = 0;
        while let Some(tile) = self.reached.get(visited).copied() {
            visited += 1;
            let steps = self.steps[tile];
            if !goes_on(tile, steps - 1) {
                return;
            }
            for neighbour in self.plan.neighbours(tile).into_iter().flatten() {
                if self.plan.walkable[neighbour] && self.steps[neighbour] == 0 {
                    self.steps[neighbour] = steps + 1;
                    self.reached.push(neighbour);
                }
            }
        }
    }

    /// Steps from a tile to the goals; `None` when it was not reached.
    pub(super) fn steps(&self, tile: Tile) -> Option<u16> {
        self.steps[tile].checked_sub(1)
    }

    /// Steps from the farthest tile reached.
    pub(super) fn longest(&self) -> u16 {
        self.reached.last().and_then(|tile| self.steps(*tile)).unwrap_or(0)
    }

    /// The way from a tile to the goals.
    pub(crate) fn heading(&self, tile: Tile) -> Heading {
        let here = self.steps[tile];
        if here == 0 {
            return Heading::NONE;
        }
        let nearer = |ahead: Tile| (1..here).contains(&self.steps[ahead]);
        let mut sides = 0;
        for (side, ahead) in self.plan.neighbours(tile).into_iter().enumerate() {
            sides |= u16::from(ahead.is_some_and(nearer)) << side;
        }
        Heading::new(here - 1, sides)
    }
}

//! Ways through the plan: one distance field a destination, computed once.
//!
//! A resident walks by stepping to a neighbour one nearer. Knows the plan only.

use std::collections::VecDeque;

use crate::ids::{Column, Tile};
use crate::plan::Plan;

/// Steps to a destination, by tile.
pub type Field = Column<Tile, u16>;

/// Out of reach.
pub const FAR: u16 = u16::MAX;

/// Steps from every tile to the nearest of `goals`, around walls; [`FAR`] where there is no way.
pub fn field(plan: &Plan, goals: &[Tile]) -> Field {
    let mut field = Column::filled((plan.width * plan.height) as usize, FAR);
    let mut front: VecDeque<Tile> = VecDeque::new();
    for goal in goals {
        field[*goal] = 0;
        front.push_back(*goal);
    }
    while let Some(tile) = front.pop_front() {
        let next = field[tile] + 1;
        for neighbour in neighbours(plan, tile).into_iter().flatten() {
            if plan.walkable[neighbour] && field[neighbour] == FAR {
                field[neighbour] = next;
                front.push_back(neighbour);
            }
        }
    }
    field
}

/// The four tiles beside one, north, east, south, west, where the map has them.
pub fn neighbours(plan: &Plan, tile: Tile) -> [Option<Tile>; 4] {
    let (x, y) = plan.at(tile);
    [
        y.checked_sub(1).map(|_| Tile(tile.0 - plan.width)),
        (x + 1 < plan.width).then(|| Tile(tile.0 + 1)),
        (y + 1 < plan.height).then(|| Tile(tile.0 + plan.width)),
        x.checked_sub(1).map(|_| Tile(tile.0 - 1)),
    ]
}

//! Rectangles of tiles.

use crate::ids::Tile;
use crate::plan::Plan;

/// A rectangle of tiles, its edges included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) right: u32,
    pub(super) bottom: u32,
}

impl Area {
    /// All tiles of a plan.
    pub(super) const fn whole(plan: &Plan) -> Self {
        Self { left: 0, top: 0, right: plan.width - 1, bottom: plan.height - 1 }
    }

    /// The smallest rectangle that contains these tiles.
    pub(super) fn of(plan: &Plan, tiles: &[Tile]) -> Self {
        let at = || tiles.iter().map(|tile| plan.at(*tile));
        let (columns, rows) = (|| at().map(|at| at.0), || at().map(|at| at.1));
        let corner = |least: Option<u32>| least.unwrap_or(0);
        Self {
            left: corner(columns().min()),
            top: corner(rows().min()),
            right: corner(columns().max()),
            bottom: corner(rows().max()),
        }
    }

    /// The rectangle with this many more tiles on each side, as far as they are on the plan.
    pub(super) fn grown(self, plan: &Plan, by: u32) -> Self {
        Self {
            left: self.left.saturating_sub(by),
            top: self.top.saturating_sub(by),
            right: self.right.saturating_add(by).min(plan.width - 1),
            bottom: self.bottom.saturating_add(by).min(plan.height - 1),
        }
    }

    /// Steps from a column and row to the rectangle if there were no walls: a lower bound for the real steps.
    pub(super) fn distance(self, (x, y): (u32, u32)) -> u32 {
        let outside = |from: u32, at: u32, to: u32| from.saturating_sub(at) + at.saturating_sub(to);
        outside(self.left, x, self.right) + outside(self.top, y, self.bottom)
    }
}

//! Distance fields over street tiles, computed when they are first asked for and no farther than they are asked.

use std::sync::OnceLock;

use crate::distances::area::Area;
use crate::distances::flood::Flood;
use crate::distances::heading::Heading;
use crate::distances::rooms::{PackedSpot, Spot};
use crate::ids::{Column, Tile};
use crate::memory::HeapBytes as _;
use crate::plan::Plan;

/// Steps up to which a field is computed, one after the other.
const REACHES: [u32; 3] = [64, 160, 400];
/// Windows of a field: one for each reach, and the whole plan.
const WINDOWS: usize = REACHES.len() + 1;

/// The reaches that are worth a window of their own in a plan, and no limit at last.
pub(super) fn reaches(plan: &Plan) -> Vec<u32> {
    let tiles = plan.width * plan.height;
    // Within r steps are 2 × r² tiles.
    let partial = REACHES.into_iter().filter(|reach| 2 * reach * reach <= tiles / 2);
    partial.chain([u32::MAX]).collect()
}

/// The ways from street tiles to the nearest of some goals.
#[derive(Debug)]
pub(super) struct Field {
    goals: Vec<Tile>,
    pub(super) area: Area,
    windows: [OnceLock<Window>; WINDOWS],
}

impl Field {
    pub(super) fn new(plan: &Plan, goals: &[Tile]) -> Self {
        Self { goals: goals.to_vec(), area: Area::of(plan, goals), windows: Default::default() }
    }

    /// The way from a street tile with its number and position.
    pub(super) fn heading(&self, town: &Streets<'_>, number: u32, at: (u32, u32)) -> Heading {
        let apart = self.area.distance(at);
        for (window, reach) in self.windows.iter().zip(town.reaches) {
            if apart <= *reach {
                let window = window.get_or_init(|| Window::new(town, &self.goals, self.area, *reach));
                let heading = window.heading(number, at.1);
                if heading != Heading::NONE {
                    return heading;
                }
            }
        }
        Heading::NONE
    }

    /// Bytes of its windows so far.
    pub(super) fn heap_bytes(&self) -> usize {
        let windows = self.windows.iter().filter_map(OnceLock::get);
        let windows = windows.map(|window| window.rows.heap_bytes() + window.headings.heap_bytes());
        self.goals.heap_bytes() + windows.sum::<usize>()
    }

    /// Computes the ways from all street tiles.
    pub(super) fn complete(&self, town: &Streets<'_>) {
        let whole = &self.windows[town.reaches.len() - 1];
        whole.get_or_init(|| Window::new(town, &self.goals, self.area, u32::MAX));
    }
}

/// A plan with its streets.
pub(super) struct Streets<'a> {
    pub(super) plan: &'a Plan,
    pub(super) spots: &'a Column<Tile, PackedSpot>,
    pub(super) reaches: &'a [u32],
}

/// The ways from the street tiles within some steps of the goals, without walls counted. Street tiles are numbered in reading
/// order, so those of a row of the window follow each other.
#[derive(Debug)]
struct Window {
    top: u32,
    /// For each row, what is added to the number of a street tile to get its index.
    rows: Box<[u32]>,
    headings: Box<[Heading]>,
}

impl Window {
    fn new(town: &Streets<'_>, goals: &[Tile], area: Area, reach: u32) -> Self {
        let plan = town.plan;
        let Area { top, bottom, .. } = area.grown(plan, reach);
        let mut flood = Flood::within(plan, area.grown(plan, reach));
        flood.run_while(goals, |_, steps| steps < reach);
        let (mut rows, mut headings) = (Vec::new(), Vec::new());
        for y in top..=bottom {
            let spare = reach - (area.top.saturating_sub(y) + y.saturating_sub(area.bottom));
            let Area { left, right, .. } = area.grown(plan, spare);
            let mut first = None;
            for tile in (left..=right).map(|x| Tile(y * plan.width + x)) {
                if let Spot::Street(number) = town.spots[tile].unpack() {
                    first.get_or_insert((headings.len() as u32).wrapping_sub(number));
                    headings.push(flood.heading(tile));
                }
            }
            rows.push(first.unwrap_or(0));
        }
        Self { top, rows: rows.into(), headings: headings.into() }
    }

    fn heading(&self, number: u32, y: u32) -> Heading {
        let index = number.wrapping_add(self.rows[(y - self.top) as usize]);
        self.headings[index as usize]
    }
}

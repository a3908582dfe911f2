//! Draws a town plan: homes, park, grocer, café, office and gym in blocks between roads.
//!
//! The blocks form a square, a rectangle or a row and are shuffled; sizes, doors and furniture are drawn. Ways to work, to food
//! and to friends, and what residents share, therefore differ from plan to plan.

use std::fmt::Write as _;

use townlet_town::plan::PlaceKind;

use crate::prng::Prng;

/// Homes of a drawn plan.
const HOMES: [usize; 6] = [1, 1, 2, 3, 4, 4];
/// Blocks of a map as columns and rows; most maps are square. Each has room for all places.
const BLOCKS: [[usize; 2]; 6] = [[3, 3], [3, 3], [3, 3], [3, 3], [5, 2], [9, 1]];
/// Side of a block, in tiles.
const BLOCK: usize = 14;
/// From the left edge of a block to that of the next: the block and a road.
const PITCH: usize = BLOCK + 2;
/// Smallest and largest outer side of a building, in tiles; the block keeps a margin around it.
const BUILDING: (usize, usize) = (8, 12);
/// Beds that share a stove or a shower.
const BEDS_PER_STOVE: [usize; 4] = [3, 5, 8, 16];

/// A plan for [`townlet_town::plan::Plan::parse`].
#[derive(Clone, Debug)]
pub struct DrawnPlan {
    /// Legend and map.
    pub text: String,
    /// Width and height of the map, in tiles.
    pub size: [u32; 2],
}

/// An area of the map, in tiles.
#[derive(Clone, Copy)]
pub(super) struct Area {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

/// A map that is being drawn.
pub(super) struct Drawing {
    /// Blocks in a row.
    columns: usize,
    tiles: Vec<Vec<char>>,
    legend: String,
}

/// A plan for this many residents, with a bed for each of them.
pub fn draw_plan(prng: &mut Prng, population: usize) -> DrawnPlan {
    let [columns, rows] = BLOCKS[prng.below(BLOCKS.len())];
    let mut drawing = Drawing::with_roads(columns, rows);
    let mut blocks: Vec<usize> = (0..columns * rows).collect();
    prng.shuffle(&mut blocks);
    let mut blocks = blocks.into_iter();
    let mut block = || blocks.next().expect("a block for each place");
    let spare_beds = prng.below(population / 2 + 1);
    let (beds, homes) = (population + spare_beds, HOMES[prng.below(HOMES.len())]);
    let per_stove = BEDS_PER_STOVE[prng.below(BEDS_PER_STOVE.len())];
    for home in 0..homes {
        let own_beds = (beds * (home + 1) / homes) - (beds * home / homes);
        let shared = own_beds.div_ceil(per_stove).max(1);
        let table = "T".repeat(prng.below(2));
        let furniture = format!("{}f{}{}{table}", "b".repeat(own_beds), "s".repeat(shared), "w".repeat(shared));
        drawing.building(prng, block(), PlaceKind::Home, home + 1, &furniture);
    }
    let share = |each: usize, least: usize| least.max(population.div_ceil(each));
    let some = |prng: &mut Prng, most: usize| 1 + prng.below(most);
    let (shelves, tills) = (some(prng, share(8, 3)), some(prng, share(16, 1)));
    drawing.building(prng, block(), PlaceKind::Grocer, 1, &format!("{}{}", "h".repeat(shelves), "t".repeat(tills)));
    let (tills, tables) = (some(prng, share(5, 2)), some(prng, share(8, 3)));
    drawing.building(prng, block(), PlaceKind::Cafe, 1, &format!("{}{}", "t".repeat(tills), "T".repeat(tables)));
    drawing.building(prng, block(), PlaceKind::Office, 1, &"d".repeat(share(4, 4)));
    let showers = prng.below(share(8, 2) + 1);
    drawing.building(prng, block(), PlaceKind::Gym, 1, &format!("T{}", "w".repeat(showers)));
    let tables = some(prng, share(6, 4));
    drawing.park(prng, block(), 1, &"T".repeat(tables));
    drawing.finish()
}

impl Drawing {
    pub(super) fn with_roads(columns: usize, rows: usize) -> Self {
        let (width, height) = (columns * PITCH, rows * PITCH);
        let is_road = |at: usize| at.is_multiple_of(PITCH) || at % PITCH == PITCH - 1;
        let tile = |x: usize, y: usize| match () {
            () if x == 0 || y == 0 || x == width - 1 || y == height - 1 => '#',
            () if is_road(x) || is_road(y) => ':',
            () => '"',
        };
        let tiles = (0..height).map(|y| (0..width).map(|x| tile(x, y)).collect()).collect();
        Self { columns, tiles, legend: String::new() }
    }

    /// The left and top edge of a block inside its margin of one tile.
    fn corner(&self, block: usize) -> [usize; 2] {
        [block % self.columns, block / self.columns].map(|at| at * PITCH + 2)
    }

    /// Adds a place to the legend.
    fn place(&mut self, kind: PlaceKind, number: usize, area: Area) {
        let name = kind.name();
        let Area { left, top, width, height } = area;
        let _ = writeln!(self.legend, "place {name}_{number} {name} {left} {top} {width} {height}");
    }

    /// Draws walls, one or two doors and furniture, and names the inside, which it returns.
    pub(super) fn building(
        &mut self,
        prng: &mut Prng,
        block: usize,
        kind: PlaceKind,
        number: usize,
        furniture: &str,
    ) -> Area {
        // A fifth of the floor stays free of furniture.
        let roomy = |side: &usize| (side - 2).pow(2) * 4 >= furniture.len() * 5;
        let least = (BUILDING.0..BUILDING.1).find(roomy).unwrap_or(BUILDING.1);
        let side = |prng: &mut Prng| least + prng.below(BUILDING.1 - least + 1);
        let (width, height) = (side(prng), side(prng));
        let [left, top] = self.corner(block);
        let (left, top) = (left + prng.below(BLOCK - width - 1), top + prng.below(BLOCK - height - 1));
        for y in top..top + height {
            for x in left..left + width {
                let is_wall = x == left || y == top || x == left + width - 1 || y == top + height - 1;
                self.tiles[y][x] = if is_wall { '#' } else { '.' };
            }
        }
        for _ in 0..=prng.below(2) {
            let along = |prng: &mut Prng, length: usize| 1 + prng.below(length - 2);
            let (x, y) = match prng.below(4) {
                0 => (left + along(prng, width), top),
                1 => (left + along(prng, width), top + height - 1),
                2 => (left, top + along(prng, height)),
                _ => (left + width - 1, top + along(prng, height)),
            };
            self.tiles[y][x] = '+';
        }
        let inside = Area { left: left + 1, top: top + 1, width: width - 2, height: height - 2 };
        self.furnish(prng, inside, furniture);
        self.place(kind, number, inside);
        inside
    }

    /// Tiles of an area without furniture as column and row, in reading order.
    pub(super) fn free_tiles(&self, area: Area) -> Vec<[u32; 2]> {
        let rows = area.top..area.top + area.height;
        let tiles = rows.flat_map(|y| (area.left..area.left + area.width).map(move |x| [x, y]));
        tiles.filter(|[x, y]| self.tiles[*y][*x] == '.').map(|at| at.map(|at| at as u32)).collect()
    }

    pub(super) fn park(&mut self, prng: &mut Prng, block: usize, number: usize, furniture: &str) {
        let [left, top] = self.corner(block);
        let area = Area { left, top, width: BLOCK - 2, height: BLOCK - 2 };
        self.furnish(prng, area, furniture);
        self.place(PlaceKind::Park, number, area);
    }

    /// Puts each object on a tile of its own.
    fn furnish(&mut self, prng: &mut Prng, area: Area, furniture: &str) {
        let mut free: Vec<usize> = (0..area.width * area.height).collect();
        prng.shuffle(&mut free);
        for (mark, tile) in furniture.chars().zip(free) {
            self.tiles[area.top + tile / area.width][area.left + tile % area.width] = mark;
        }
    }

    pub(super) fn finish(self) -> DrawnPlan {
        let rows = self.tiles.iter().map(|row| row.iter().collect::<String>() + "\n");
        let text = format!("{}map\n{}", self.legend, rows.collect::<String>());
        DrawnPlan { text, size: [self.tiles[0].len() as u32, self.tiles.len() as u32] }
    }
}

#[cfg(test)]
mod tests {
    use townlet_town::plan::{ObjectKind, Plan};

    use super::*;

    fn drawn(seed: u64, population: usize) -> (Plan, String) {
        let DrawnPlan { text, size: [width, height] } = draw_plan(&mut Prng::new([seed, 0, 0]), population);
        let plan = Plan::parse("drawn", &text, (width, height)).unwrap_or_else(|why| panic!("{why}\n{text}"));
        (plan, text)
    }

    #[test]
    fn a_drawn_plan_is_valid_has_a_bed_for_each_resident_and_differs_from_others() {
        let mut seen = std::collections::BTreeSet::new();
        for (seed, population) in (0..400).zip((4..=32).cycle()) {
            let (plan, text) = drawn(seed, population);
            let count = |kind| plan.objects.iter().filter(|object| object.kind == kind).count();
            assert!(count(ObjectKind::Bed) >= population, "{text}");
            assert!(HOMES.contains(&count(ObjectKind::Fridge)), "{text}");
            assert!([ObjectKind::Till, ObjectKind::Shelf, ObjectKind::Table].iter().all(|kind| count(*kind) > 0));
            assert!(seen.insert(text), "seed {seed} repeats a plan");
        }
    }

    #[test]
    fn ways_differ_from_plan_to_plan() {
        let steps = |seed| {
            let (plan, _) = drawn(seed, 8);
            let tile = |kind| {
                let (id, _) = plan.places().find(|(_, place)| place.kind == kind).unwrap();
                plan.floor_of(id).next().unwrap()
            };
            plan.distances(&[tile(PlaceKind::Cafe)])[tile(PlaceKind::Home)]
        };
        let drawn: Vec<u16> = (0..50).map(steps).collect();
        let (nearest, farthest) = (drawn.iter().min().unwrap(), drawn.iter().max().unwrap());
        assert!(*nearest < 30 && *farthest > 90, "{nearest} to {farthest} steps from home to the café");
    }
}

//! Draws a town plan: four homes, park, grocer, café, office and gym on a grid of nine blocks between roads.
//!
//! The blocks are shuffled, and sizes, doors and furniture are drawn, so ways to work, to food and to friends differ from
//! plan to plan.

use std::fmt::Write as _;

use townlet_town::plan::PlaceKind;

use crate::prng::Prng;

/// Side of the map, in tiles.
pub const SIDE: usize = 48;
/// Homes of a drawn plan.
const HOMES: usize = 4;
/// Blocks per side of the map.
const BLOCKS: usize = 3;
/// Side of a block, in tiles.
const BLOCK: usize = 14;
/// From the left edge of a block to that of the next: the block and a road.
const PITCH: usize = BLOCK + 2;
/// Smallest and largest outer side of a building, in tiles; the block keeps a margin around it.
const BUILDING: (usize, usize) = (8, 12);

/// An area of the map, in tiles.
#[derive(Clone, Copy)]
struct Area {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

/// A map that is being drawn.
struct Drawing {
    tiles: [[char; SIDE]; SIDE],
    legend: String,
}

/// The text of a plan for this many residents, for [`townlet_town::plan::Plan::parse`] with a map of [`SIDE`] × [`SIDE`].
/// It has a bed for each of them.
pub fn draw_plan(prng: &mut Prng, population: usize) -> String {
    let mut drawing = Drawing::with_roads();
    let mut blocks: Vec<usize> = (0..BLOCKS * BLOCKS).collect();
    prng.shuffle(&mut blocks);
    let spare_beds = prng.below(population / 2 + 1);
    let beds = population + spare_beds;
    for (home, block) in blocks[..HOMES].iter().enumerate() {
        let own_beds = (beds * (home + 1) / HOMES) - (beds * home / HOMES);
        let busy = 1 + own_beds / 5;
        let furniture = format!("{}f{}{}T", "b".repeat(own_beds), "s".repeat(busy), "w".repeat(busy));
        drawing.building(prng, *block, PlaceKind::Home, home + 1, &furniture);
    }
    let share = |each: usize, least: usize| least.max(population.div_ceil(each));
    let furniture = format!("{}{}", "h".repeat(share(8, 2)), "t".repeat(share(16, 1)));
    drawing.building(prng, blocks[HOMES], PlaceKind::Grocer, 1, &furniture);
    let furniture = format!("{}{}", "t".repeat(share(5, 2)), "T".repeat(share(8, 2)));
    drawing.building(prng, blocks[HOMES + 1], PlaceKind::Cafe, 1, &furniture);
    drawing.building(prng, blocks[HOMES + 2], PlaceKind::Office, 1, &"d".repeat(share(4, 4)));
    drawing.building(prng, blocks[HOMES + 3], PlaceKind::Gym, 1, &format!("T{}", "w".repeat(share(8, 2))));
    drawing.park(prng, blocks[HOMES + 4], &"T".repeat(share(6, 3)));
    drawing.text()
}

/// The left and top edge of a block inside its margin of one tile.
fn corner(block: usize) -> [usize; 2] {
    [block % BLOCKS, block / BLOCKS].map(|at| at * PITCH + 2)
}

impl Drawing {
    fn with_roads() -> Self {
        let is_edge = |at: usize| at == 0 || at == SIDE - 1;
        let is_road = |at: usize| at.is_multiple_of(PITCH) || at % PITCH == PITCH - 1;
        let tile = |x: usize, y: usize| match () {
            () if is_edge(x) || is_edge(y) => '#',
            () if is_road(x) || is_road(y) => ':',
            () => '"',
        };
        let tiles = std::array::from_fn(|y| std::array::from_fn(|x| tile(x, y)));
        Self { tiles, legend: String::new() }
    }

    /// Adds a place to the legend.
    fn place(&mut self, kind: PlaceKind, number: usize, area: Area) {
        let name = kind.name();
        let Area { left, top, width, height } = area;
        let _ = writeln!(self.legend, "place {name}_{number} {name} {left} {top} {width} {height}");
    }

    /// Draws walls, one or two doors and furniture, and names the inside.
    fn building(&mut self, prng: &mut Prng, block: usize, kind: PlaceKind, number: usize, furniture: &str) {
        let side = |prng: &mut Prng| BUILDING.0 + prng.below(BUILDING.1 - BUILDING.0 + 1);
        let (width, height) = (side(prng), side(prng));
        let [left, top] = corner(block);
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
    }

    fn park(&mut self, prng: &mut Prng, block: usize, furniture: &str) {
        let [left, top] = corner(block);
        let area = Area { left, top, width: BLOCK - 2, height: BLOCK - 2 };
        self.furnish(prng, area, furniture);
        self.place(PlaceKind::Park, 1, area);
    }

    /// Puts each object on a tile of its own.
    fn furnish(&mut self, prng: &mut Prng, area: Area, furniture: &str) {
        let mut free: Vec<usize> = (0..area.width * area.height).collect();
        prng.shuffle(&mut free);
        for (mark, tile) in furniture.chars().zip(free) {
            self.tiles[area.top + tile / area.width][area.left + tile % area.width] = mark;
        }
    }

    fn text(&self) -> String {
        let rows = self.tiles.iter().map(|row| row.iter().collect::<String>() + "\n");
        format!("{}map\n{}", self.legend, rows.collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use townlet_town::plan::{ObjectKind, Plan};

    use super::*;

    #[test]
    fn a_drawn_plan_is_valid_has_a_bed_for_each_resident_and_differs_from_others() {
        let mut seen = std::collections::BTreeSet::new();
        for (seed, population) in (0..400).zip((4..=32).cycle()) {
            let text = draw_plan(&mut Prng::new([seed, 0, 0]), population);
            let plan =
                Plan::parse("drawn", &text, (SIDE as u32, SIDE as u32)).unwrap_or_else(|why| panic!("{why}\n{text}"));
            let count = |kind| plan.objects.iter().filter(|object| object.kind == kind).count();
            assert!(count(ObjectKind::Bed) >= population, "{text}");
            assert_eq!(count(ObjectKind::Fridge), HOMES);
            assert!(seen.insert(text), "seed {seed} repeats a plan");
        }
    }

    #[test]
    fn ways_differ_from_plan_to_plan() {
        let steps = |seed| {
            let text = draw_plan(&mut Prng::new([seed, 0, 0]), 8);
            let plan = Plan::parse("drawn", &text, (SIDE as u32, SIDE as u32)).unwrap();
            let tile = |kind| {
                let (id, _) = plan.places().find(|(_, place)| place.kind == kind).unwrap();
                plan.floor_of(id).next().unwrap()
            };
            plan.distances(&[tile(PlaceKind::Cafe)])[tile(PlaceKind::Home)]
        };
        let drawn: Vec<u16> = (0..50).map(steps).collect();
        let (nearest, farthest) = (drawn.iter().min().unwrap(), drawn.iter().max().unwrap());
        assert!(*nearest < 30 && *farthest > 60, "{nearest} to {farthest} steps from home to the café");
    }
}

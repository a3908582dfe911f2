//! Draws a large town: districts of homes around shops, work and a park, so that residents find in their own district what they need.
//!
//! Homes and jobs are listed district by district in turn. Residents are given homes and jobs in the order of these lists, so they
//! work in the district in which they live.

use std::ops::RangeInclusive;

use townlet_town::plan::PlaceKind;

use super::plan::{Drawing, DrawnPlan};
use crate::prng::Prng;

/// Residents of a drawn city.
pub const CITY_RESIDENTS: RangeInclusive<u32> = 1..=20_000;
/// Most residents of a home.
const RESIDENTS_PER_HOME: usize = 16;
/// Most homes of a district: with the sites and the park they fill three rows of three blocks.
const HOMES: usize = 4;
/// Kinds of furniture, each with the number of residents who share a piece of it. A plan has at most 60,000 pieces, so no more than
/// three for each of 20,000 residents.
type Furniture = &'static [(&'static str, usize)];
const HOME: Furniture = &[("b", 1), ("f", 4), ("s", 4), ("w", 4), ("T", 16)];
const PARK: Furniture = &[("T", 8)];
/// Sites of a district. Residents eat at about the same time, so a café has a till for every three.
const SITES: [(PlaceKind, Furniture); 4] = [
    (PlaceKind::Grocer, &[("h", 6), ("t", 8)]),
    (PlaceKind::Cafe, &[("t", 3), ("T", 6)]),
    (PlaceKind::Office, &[("d", 8)]),
    (PlaceKind::Gym, &[("w", 16), ("T", 64)]),
];
/// Separates these draws from others with the same seed.
const CITY: u64 = 0x6369_7479;

/// A drawn city.
#[derive(Clone, Debug)]
pub struct DrawnCity {
    /// Its plan.
    pub plan: DrawnPlan,
    /// The workplace of each site, in the order of the jobs: the kind of the site, and a tile in it as column and row.
    pub workplaces: Vec<(PlaceKind, [u32; 2])>,
}

/// The name of the plan of a city in a configuration, such as `drawn/10000-7.txt` for 10,000 residents and seed 7.
pub fn city_plan_name(residents: u32, seed: u64) -> String {
    format!("drawn/{residents}-{seed}.txt")
}

/// Residents and seed of a name from [`city_plan_name`]; `None` for any other name.
pub fn city_of_plan_name(name: &str) -> Option<(u32, u64)> {
    let (residents, seed) = name.strip_prefix("drawn/")?.strip_suffix(".txt")?.split_once('-')?;
    let (residents, seed) = (residents.parse().ok()?, seed.parse().ok()?);
    let known = CITY_RESIDENTS.contains(&residents) && city_plan_name(residents, seed) == name;
    known.then_some((residents, seed))
}

/// The city for this many residents and a seed, with a bed for each resident. Only [`CITY_RESIDENTS`] fit a plan.
pub fn draw_city(residents: u32, seed: u64) -> DrawnCity {
    let mut prng = Prng::new([u64::from(residents), seed, CITY]);
    let residents = residents as usize;
    let districts = residents.div_ceil(RESIDENTS_PER_HOME * HOMES).max(1);
    let homes = residents.div_ceil(RESIDENTS_PER_HOME * districts).max(1);
    let beds = residents.div_ceil(homes * districts).max(1);
    let furniture = |kinds: Furniture, residents: usize| -> String {
        kinds.iter().map(|(piece, share)| piece.repeat(residents.div_ceil(*share))).collect()
    };
    // Districts, and the blocks in each of them, are as square as possible.
    let square = |count: usize| {
        let columns = (1..=count).find(|side| side * side >= count).unwrap_or(1);
        [columns, count.div_ceil(columns)]
    };
    let [across, down] = square(districts);
    let [columns, rows] = square(homes + SITES.len() + 1);
    let mut drawing = Drawing::with_roads(across * columns, down * rows);
    let mut blocks: Vec<Vec<usize>> = (0..districts)
        .map(|district| {
            let (left, top) = (district % across * columns, district / across * rows);
            let block = |at: usize| (top + at / columns) * across * columns + left + at % columns;
            let mut blocks: Vec<usize> = (0..columns * rows).map(block).collect();
            prng.shuffle(&mut blocks);
            blocks
        })
        .collect();
    let mut free = |district: usize| blocks[district].pop().expect("a block for each place");
    for number in 0..homes * districts {
        drawing.building(&mut prng, free(number % districts), PlaceKind::Home, number + 1, &furniture(HOME, beds));
    }
    let mut sites = Vec::new();
    for (kind, kinds) in SITES {
        let furniture = furniture(kinds, beds * homes);
        for district in 0..districts {
            let inside = drawing.building(&mut prng, free(district), kind, district + 1, &furniture);
            sites.push((kind, drawing.free_tiles(inside)));
        }
    }
    for district in 0..districts {
        drawing.park(&mut prng, free(district), district + 1, &furniture(PARK, beds * homes));
    }
    let workplaces = sites.iter().map(|(kind, free)| (*kind, free[free.len() / 2])).collect();
    DrawnCity { plan: drawing.finish(), workplaces }
}

#[cfg(test)]
mod tests {
    use townlet_town::plan::{ObjectKind, Plan};

    use super::*;

    fn plan(residents: u32, seed: u64) -> (Plan, DrawnCity) {
        let city = draw_city(residents, seed);
        let [width, height] = city.plan.size;
        let plan =
            Plan::parse("city", &city.plan.text, (width, height)).unwrap_or_else(|why| panic!("{residents}: {why}"));
        (plan, city)
    }

    #[test]
    fn a_city_of_any_size_is_valid_and_has_a_bed_for_each_resident() {
        for (seed, residents) in [1, 16, 17, 64, 65, 1_000, 3_333, 20_000].into_iter().enumerate() {
            let (plan, city) = plan(residents, seed as u64);
            let beds = plan.objects.iter().filter(|object| object.kind == ObjectKind::Bed).count();
            assert!(beds >= residents as usize && beds < residents as usize * 17 / 16 + 4, "{beds}");
            for (kind, [x, y]) in city.workplaces {
                let tile = plan.tile(x, y).expect("a tile of the plan");
                let place = plan.place_of[tile].expect("a place");
                assert!(plan.walkable[tile] && plan.places[place].kind == kind);
                assert!(!plan.objects.iter().any(|object| object.tile == tile), "a workplace is free of furniture");
            }
        }
    }

    #[test]
    fn homes_and_workplaces_with_the_same_place_in_their_lists_are_near() {
        let (plan, city) = plan(1_000, 3);
        let homes: Vec<_> = plan.places().filter(|(_, place)| place.kind == PlaceKind::Home).collect();
        let longest = (0..1_000).map(|resident| {
            let (_, [x, y]) = city.workplaces[resident % city.workplaces.len()];
            let home = homes[resident % homes.len()].1;
            home.x.abs_diff(x) + home.y.abs_diff(y)
        });
        assert!(longest.max() < Some(96), "in one district");
    }

    #[test]
    fn a_city_depends_on_residents_and_seed_alone() {
        let text = |residents, seed| draw_city(residents, seed).plan.text;
        assert_eq!(text(200, 1), text(200, 1));
        assert_ne!(text(200, 1), text(200, 2));
        assert_eq!(city_of_plan_name(&city_plan_name(20_000, u64::MAX)), Some((20_000, u64::MAX)));
        for name in
            ["drawn/7.txt", "drawn/0-1.txt", "drawn/20001-1.txt", "drawn/10-01.txt", "drawn/+10-1.txt", "10-1.txt"]
        {
            assert_eq!(city_of_plan_name(name), None, "{name}");
        }
    }
}

//! The ways of shipped and of random plans, compared for every tile with a search from each destination.

use std::fmt::Write as _;

use super::*;
use crate::config::DEFAULT_PERTURBATIONS;
use crate::distances::Heading;
use crate::plan::{DistanceField, UNREACHABLE};

/// Side of a random plan, in tiles.
const SIDE: u32 = 14;
const RANDOM_PLANS: u64 = 600;

fn rules(plan: &str, [width, height]: [u32; 2]) -> Result<Rules, RulesError> {
    let size = format!("[{width}, {height}]");
    let sources = Sources::default_town(&[("world.grid_size", &size)]).expect("valid settings");
    let without = Sources { plan: ("plan.txt".into(), plan.to_owned()), ..sources }.without_perturbations();
    Rules::new(without)
}

/// Pseudo-random numbers below a limit.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(limit)) as u32
    }
}

/// A plan of walls, rooms and objects at random. Places overlap and border on each other, have any number of gates, and are cut in
/// pieces by walls.
fn random_plan(seed: u64) -> String {
    let mut numbers = Numbers(seed);
    let inner = SIDE - 2;
    let mut tiles = vec![vec!['#'; SIDE as usize]; SIDE as usize];
    let walls = 2 + numbers.below(20);
    for row in &mut tiles[1..=inner as usize] {
        for tile in &mut row[1..=inner as usize] {
            *tile = if numbers.below(100) < walls { '#' } else { '.' };
        }
    }
    let mut legend = String::new();
    let mut areas = Vec::new();
    for (index, kind) in ["home", "home", "grocer", "cafe", "office", "park", "gym", "home"].iter().enumerate() {
        let (width, height) = (2 + numbers.below(5), 2 + numbers.below(5));
        let (left, top) = (1 + numbers.below(inner - width), 1 + numbers.below(inner - height));
        writeln!(legend, "place {kind}_{index} {kind} {left} {top} {width} {height}").expect("a text takes it");
        areas.push([left, top, width, height]);
        // Half of the places have walls and a door or two, as buildings do.
        if numbers.below(2) == 0 {
            for x in left - 1..=left + width {
                for y in top - 1..=top + height {
                    let edge = x + 1 == left || y + 1 == top || x == left + width || y == top + height;
                    tiles[y as usize][x as usize] = if edge { '#' } else { '.' };
                }
            }
            for _ in 0..=numbers.below(2) {
                tiles[(top + numbers.below(height)) as usize][left as usize - 1] = '+';
                tiles[top as usize - 1][(left + numbers.below(width)) as usize] = '+';
            }
        }
    }
    for [left, top, width, height] in areas {
        for mark in ["b", "f", "s", "w", "t", "d", "T", "h"] {
            if numbers.below(2) == 0 {
                let (x, y) = (left + numbers.below(width), top + numbers.below(height));
                tiles[y as usize][x as usize] = mark.chars().next().expect("a mark");
            }
        }
    }
    for edge in 0..SIDE as usize {
        for (x, y) in [(edge, 0), (edge, SIDE as usize - 1), (0, edge), (SIDE as usize - 1, edge)] {
            tiles[y][x] = '#';
        }
    }
    keep_largest_part(&mut tiles);
    let rows: Vec<String> = tiles.into_iter().map(|row| row.into_iter().collect()).collect();
    format!("{legend}map\n{}\n", rows.join("\n"))
}

/// Makes walls of all tiles that are not connected to the most others.
fn keep_largest_part(tiles: &mut [Vec<char>]) {
    let side = tiles.len();
    let mut part_of = vec![vec![0; side]; side];
    let mut sizes = vec![0];
    for start in 0..side * side {
        let (x, y) = (start % side, start / side);
        if tiles[y][x] == '#' || part_of[y][x] != 0 {
            continue;
        }
        let part = sizes.len();
        sizes.push(0);
        let mut open = vec![(x, y)];
        part_of[y][x] = part;
        while let Some((x, y)) = open.pop() {
            sizes[part] += 1;
            for (x, y) in [(x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)] {
                if tiles[y][x] != '#' && part_of[y][x] == 0 {
                    part_of[y][x] = part;
                    open.push((x, y));
                }
            }
        }
    }
    let largest = (1..sizes.len()).max_by_key(|part| sizes[*part]).unwrap_or(0);
    for (row, parts) in tiles.iter_mut().zip(part_of) {
        for (tile, part) in row.iter_mut().zip(parts) {
            if part != largest {
                *tile = '#';
            }
        }
    }
}

/// The sides of a tile that are nearer by a field, as bits.
fn nearer_sides(plan: &Plan, field: &DistanceField, tile: Tile) -> u32 {
    let ahead = plan.neighbours(tile).into_iter().enumerate();
    let nearer = ahead.filter(|(_, ahead)| ahead.is_some_and(|ahead| field[ahead] < field[tile]));
    nearer.fold(0, |sides, (side, _)| sides | 1 << side)
}

fn tiles(plan: &Plan) -> impl Iterator<Item = Tile> {
    (0..plan.width * plan.height).map(Tile)
}

fn check(rules: &Rules, what: &str, goals: &[Tile], way: impl Fn(Tile) -> Heading) {
    let plan = &rules.plan;
    let field = plan.distances(goals);
    for tile in tiles(plan).filter(|tile| plan.walkable[*tile]) {
        let found = way(tile);
        let expected = (field[tile], nearer_sides(plan, &field, tile));
        let sides = found.sides().fold(0, |sides, side| sides | 1 << side);
        assert_eq!((found.steps(), sides), expected, "{what} from {:?}", plan.at(tile));
    }
    let wall = tiles(plan).find(|tile| !plan.walkable[*tile]).expect("a plan has walls");
    assert_eq!((way(wall).steps(), way(wall).sides().count()), (UNREACHABLE, 0), "{what} from a wall");
}

/// Compares the ways to every n-th object and place, and to all sites.
fn check_ways(rules: &Rules, n: usize) {
    let plan = &rules.plan;
    for (object, it) in plan.objects().step_by(n) {
        check(rules, &it.name, &[it.tile], |tile| rules.way_to_object(object, tile));
    }
    for (place, it) in plan.places().step_by(n) {
        let floor: Vec<Tile> = plan.floor_of(place).collect();
        check(rules, &it.name, &floor, |tile| rules.way_to_place(place, tile));
    }
    for (job, it) in rules.jobs() {
        let location = rules.config.jobs[&it.name].location.and_then(|[x, y]| plan.tile(x, y));
        let goals = location.map_or_else(|| plan.floor_of(it.place.expect("a place")).collect(), |tile| vec![tile]);
        check(rules, &it.name, &goals, |tile| rules.way_to_site(job, tile));
        for tile in tiles(plan) {
            for limit in [0, 2, 24] {
                let near = rules.way_to_site(job, tile).steps() <= limit;
                assert_eq!(rules.is_near_site(job, tile, limit), near, "{limit} steps from {}", it.name);
            }
        }
    }
}

/// Compares the routes of every n-th home with the steps and the first nearer side of a search over all that its residents may use.
fn check_routes(rules: &Rules, n: usize) {
    let plan = &rules.plan;
    for home in rules.homes.iter().copied().step_by(n) {
        let may_use = |place: PlaceId| place == home || plan.places[place].kind != PlaceKind::Home;
        let objects = static_features::KINDS.map(|kind| {
            let open = plan.objects.iter().filter(|object| object.kind == kind && may_use(object.place));
            open.map(|object| object.tile).collect::<Vec<Tile>>()
        });
        let goals = [vec![plan.floor_of(home).collect()], objects.to_vec()].concat();
        let fields: Vec<DistanceField> = goals.iter().map(|goals| plan.distances(goals)).collect();
        for tile in tiles(plan).filter(|tile| plan.walkable[*tile]) {
            let routes = rules.static_features.routes(plan, &rules.distances, home, tile);
            for (target, (route, field)) in routes.iter().zip(&fields).enumerate() {
                let sides = nearer_sides(plan, field, tile);
                let side = if sides == 0 { 0 } else { sides.trailing_zeros() as u16 + 1 };
                let expected = if goals[target].is_empty() { Route::NONE } else { Route::new(field[tile], side) };
                let name = &plan.places[home].name;
                assert_eq!(*route, expected, "{} of {name} from {:?}", TARGETS[target], plan.at(tile));
            }
        }
    }
}

#[test]
fn ways_are_those_of_a_search_in_every_shipped_plan() {
    let shipped = [
        (include_str!("../../../../configs/towns/default.txt"), [48, 48]),
        (include_str!("../../../../configs/towns/crowded.txt"), [48, 20]),
        (include_str!("../../../../configs/towns/backlog.txt"), [136, 24]),
    ];
    for (text, size) in shipped {
        let rules = rules(text, size).expect("a shipped plan");
        check_ways(&rules, 1);
        check_routes(&rules, 1);
    }
}

#[test]
fn ways_are_those_of_a_search_in_the_plan_for_a_thousand() {
    let rules = rules(include_str!("../../../../configs/towns/stress.txt"), [320, 240]).expect("a shipped plan");
    check_ways(&rules, 1);
    check_routes(&rules, 16);
}

#[test]
fn ways_are_those_of_a_search_in_random_plans() {
    let (mut valid, mut rooms, mut open) = (0, 0, 0);
    for seed in 0..RANDOM_PLANS {
        let text = random_plan(seed);
        let Ok(rules) = rules(&text, [SIDE, SIDE]) else { continue };
        valid += 1;
        let rooms_here = rules.floors.iter().filter(|floor| floor.is_in_room()).count();
        (rooms, open) = (rooms + rooms_here, open + rules.floors.len() - rooms_here);
        let checked = std::panic::catch_unwind(|| {
            check_ways(&rules, 1);
            check_routes(&rules, 1);
        });
        assert!(checked.is_ok(), "seed {seed}:\n{text}");
    }
    assert!(valid > 60 && rooms > 60 && open > 60, "{valid} plans with {rooms} rooms and {open} open places");
}

#[test]
fn the_longest_walk_to_places_is_that_of_a_search_from_each() {
    let (text, perturbations) = (include_str!("../../../../configs/towns/stress.txt"), DEFAULT_PERTURBATIONS);
    let sources = rules(text, [320, 240]).expect("a shipped plan").sources;
    let rules = Rules::new(Sources { perturbations: ("p".into(), perturbations.into()), ..sources }).expect("a town");
    let longest = |place: &PlaceId| {
        let field = rules.plan.distances(&rules.plan.floor_of(*place).collect::<Vec<Tile>>());
        field.iter().copied().filter(|steps| *steps != UNREACHABLE).max().unwrap_or(0)
    };
    let meetings = rules.perturbation_events.iter().filter(|event| event.kind == ARRANGED_MEET);
    let mut seen = 0;
    for event in meetings {
        seen += event.places.len();
        assert_eq!(event.places.iter().map(longest).max().map(u64::from), Some(event.longest_walk), "{}", event.name);
    }
    assert!(seen > 8, "{seen} places of meetings");
}

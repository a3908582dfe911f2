//! What of a view is the same at every tick: the ground, the things near a tile, the way to the nearest of each kind.
//!
//! Worked out once with the rules and shared by every replica. Knows the plan only. Rule: "Observations".

use crate::ids::{Column, JobId, ObjectId, PlaceId, Tile};
use crate::observations::{TileMask, VIEW_RADIUS, VIEW_SIDE};
use crate::pathfinding::{self, FAR, Field, neighbours};
use crate::plan::{ObjectKind, PlaceKind, Plan};

/// What a resident can be on the way to, in the order of the rows `ways` and `steps`; the job comes last.
pub const TARGETS: [&str; 9] = ["home", "bed", "fridge", "stove", "shower", "till", "table", "shelf", "job"];

/// Kinds of objects among them, after `home`.
const KINDS: [ObjectKind; 7] = [
    ObjectKind::Bed,
    ObjectKind::Fridge,
    ObjectKind::Stove,
    ObjectKind::Shower,
    ObjectKind::Till,
    ObjectKind::Table,
    ObjectKind::Shelf,
];

/// Targets of a home: itself and every kind of object.
pub(crate) const HOME_TARGETS: usize = 1 + KINDS.len();

/// Steps to a target and the first of them, in one word: steps × 8 + direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way(u16);

/// Most steps a way can tell apart.
const MOST_STEPS: u16 = u16::MAX >> 3;

impl Way {
    /// Nowhere.
    pub(crate) const NONE: Self = Self(MOST_STEPS << 3);

    fn at(plan: &Plan, field: &Field, tile: Tile) -> Self {
        if field[tile] == FAR {
            return Self::NONE;
        }
        let nearer = |ahead: &Option<Tile>| ahead.is_some_and(|ahead| field[ahead] < field[tile]);
        let direction = neighbours(plan, tile).iter().position(nearer).map_or(0, |side| side as u16 + 1);
        Self(field[tile].min(MOST_STEPS) << 3 | direction)
    }

    /// Steps left.
    pub(crate) const fn steps(self) -> u16 {
        self.0 >> 3
    }

    /// Which way the next one goes: east and south are positive; nothing when there, or when there is no way.
    pub(crate) const fn direction(self) -> [f32; 2] {
        const SIDES: [[f32; 2]; 8] =
            [[0.0, 0.0], [0.0, -1.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]];
        SIDES[(self.0 & 7) as usize]
    }
}

/// An object in the window around a tile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Near {
    pub(crate) object: ObjectId,
    /// Where in the window.
    pub(crate) at: u8,
    /// Food, care or company, in the order of the rows.
    pub(crate) kind: u8,
    /// How many may use it.
    pub(crate) capacity: u8,
    /// The home whose people alone may use it, or [`PUBLIC`].
    home: PlaceId,
}

/// The home of what stands in none; a plan has fewer places.
const PUBLIC: PlaceId = PlaceId(u16::MAX);

impl Near {
    fn new(plan: &Plan, object: ObjectId, at: usize) -> Self {
        use ObjectKind::{Bed, Desk, Fridge, Shelf, Shower, Stove, Table, Till};
        let it = &plan.objects[object];
        let kind = match it.kind {
            Fridge | Stove | Till | Shelf => 0,
            Bed | Shower => 1,
            Table | Desk => 2,
        };
        let home = if plan.places[it.place].kind == PlaceKind::Home { it.place } else { PUBLIC };
        Self { object, at: at as u8, kind, capacity: it.kind.capacity() as u8, home }
    }

    /// 1 for somebody who may use it, else 0.
    pub(crate) fn is_open(self, home: PlaceId) -> f32 {
        f32::from(u8::from(self.home == PUBLIC || self.home == home))
    }
}

/// Everything of a view that never changes.
#[derive(Debug)]
pub(crate) struct StaticFeatures {
    /// Where one can walk, around each tile.
    ground: Column<Tile, u128>,
    near: Vec<Near>,
    /// Where in `near` a tile's objects begin; one more entry than there are tiles.
    starts: Vec<u32>,
    /// By home and tile; empty for places that are not homes.
    homes: Column<PlaceId, Vec<[Way; HOME_TARGETS]>>,
    jobs: Column<JobId, Vec<Way>>,
}

impl StaticFeatures {
    pub(crate) fn new<'a>(
        plan: &Plan,
        place_fields: &Column<PlaceId, Field>,
        jobs: impl Iterator<Item = &'a Field>,
    ) -> Self {
        let tiles = || (0..plan.width * plan.height).map(Tile);
        let (near, starts) = near(plan);
        let public: Vec<Option<Field>> = KINDS.iter().map(|kind| nearest(plan, *kind, None)).collect();
        let homes = plan.places().map(|(home, place)| {
            if place.kind != PlaceKind::Home {
                return Vec::new();
            }
            let own: Vec<Option<Field>> = KINDS.iter().map(|kind| nearest(plan, *kind, Some(home))).collect();
            let of_kind = |kind: usize| own[kind].as_ref().or(public[kind].as_ref());
            let ways = |tile| {
                std::array::from_fn(|target| match target {
                    0 => Way::at(plan, &place_fields[home], tile),
                    _ => of_kind(target - 1).map_or(Way::NONE, |field| Way::at(plan, field, tile)),
                })
            };
            tiles().map(ways).collect()
        });
        let jobs = jobs.map(|field| tiles().map(|tile| Way::at(plan, field, tile)).collect());
        Self {
            ground: ground(plan),
            near,
            starts,
            homes: homes.collect::<Vec<_>>().into(),
            jobs: jobs.collect::<Vec<_>>().into(),
        }
    }

    /// Where one can walk in the window around a tile.
    pub(crate) fn ground(&self, tile: Tile) -> u128 {
        self.ground[tile]
    }

    /// Objects in the window around a tile, in order of the plan.
    pub(crate) fn near(&self, tile: Tile) -> &[Near] {
        let at = tile.0 as usize;
        &self.near[self.starts[at] as usize..self.starts[at + 1] as usize]
    }

    /// The ways of somebody who lives there, in the order of [`TARGETS`].
    pub(crate) fn ways(&self, home: PlaceId, tile: Tile) -> &[Way; HOME_TARGETS] {
        &self.homes[home][tile.0 as usize]
    }

    /// The way to a job's site.
    pub(crate) fn way_to_work(&self, job: JobId, tile: Tile) -> Way {
        self.jobs[job][tile.0 as usize]
    }
}

/// Steps to the nearest object of a kind that stands in no home, or in `home`; `None` when `home` adds none, or there is none.
fn nearest(plan: &Plan, kind: ObjectKind, home: Option<PlaceId>) -> Option<Field> {
    let all = || plan.objects().map(|(_, object)| object).filter(|object| object.kind == kind);
    let open = |place: PlaceId| plan.places[place].kind != PlaceKind::Home;
    if home.is_some() && !all().any(|object| Some(object.place) == home) {
        return None;
    }
    let goals: Vec<Tile> =
        all().filter(|object| open(object.place) || Some(object.place) == home).map(|object| object.tile).collect();
    (!goals.is_empty()).then(|| pathfinding::field(plan, &goals))
}

/// Where one can walk in the window around each tile.
fn ground(plan: &Plan) -> Column<Tile, u128> {
    let tiles = || (0..plan.width * plan.height).map(Tile);
    let mut ground = TileMask::new(plan.width, plan.height);
    tiles().filter(|tile| plan.walkable[*tile]).for_each(|tile| ground.set(tile));
    let around = |tile| {
        let (x, y) = plan.at(tile);
        ground.around((x as usize, y as usize))
    };
    tiles().map(around).collect::<Vec<_>>().into()
}

fn near(plan: &Plan) -> (Vec<Near>, Vec<u32>) {
    let reach = VIEW_RADIUS as u32;
    let mut by_tile: Vec<Vec<Near>> = vec![Vec::new(); (plan.width * plan.height) as usize];
    for (object, it) in plan.objects() {
        let (x, y) = plan.at(it.tile);
        for row in y.saturating_sub(reach)..(y + reach + 1).min(plan.height) {
            for column in x.saturating_sub(reach)..(x + reach + 1).min(plan.width) {
                let at = (y + reach - row) as usize * VIEW_SIDE + (x + reach - column) as usize;
                by_tile[(row * plan.width + column) as usize].push(Near::new(plan, object, at));
            }
        }
    }
    let starts = std::iter::once(0).chain(by_tile.iter().scan(0, |end, near| {
        *end += near.len() as u32;
        Some(*end)
    }));
    let starts = starts.collect();
    (by_tile.into_iter().flatten().collect(), starts)
}

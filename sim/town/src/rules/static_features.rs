//! The constant part of observations, by tile: walkable tiles, nearby objects, and routes to the nearest object of each kind.
//! Rule: "Observations".

use crate::ids::{Column, JobId, ObjectId, PlaceId, Tile};
use crate::plan::{DistanceField, ObjectKind, PlaceKind, Plan, UNREACHABLE};
use crate::tile_mask::{TileMask, VIEW_RADIUS, VIEW_SIDE};

/// Destinations of routes, in the order of the features `ways` and `steps`. The job comes last.
pub const TARGETS: [&str; 9] = ["home", "bed", "fridge", "stove", "shower", "till", "table", "shelf", "job"];

/// The object kinds among them, after `home`.
const KINDS: [ObjectKind; 7] = [
    ObjectKind::Bed,
    ObjectKind::Fridge,
    ObjectKind::Stove,
    ObjectKind::Shower,
    ObjectKind::Till,
    ObjectKind::Table,
    ObjectKind::Shelf,
];

/// Destinations that depend on the home: itself and every object kind.
pub(crate) const HOME_TARGETS: usize = 1 + KINDS.len();

/// Steps to a destination and the direction of the first one, packed as steps × 8 + direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route(u16);

/// Most steps a route can hold.
const MAX_STEPS: u16 = u16::MAX >> 3;

impl Route {
    /// No route.
    pub(crate) const NONE: Self = Self(MAX_STEPS << 3);

    fn at(plan: &Plan, field: &DistanceField, tile: Tile) -> Self {
        if field[tile] == UNREACHABLE {
            return Self::NONE;
        }
        let nearer = |ahead: &Option<Tile>| ahead.is_some_and(|ahead| field[ahead] < field[tile]);
        let direction = plan.neighbours(tile).iter().position(nearer).map_or(0, |side| side as u16 + 1);
        Self(field[tile].min(MAX_STEPS) << 3 | direction)
    }

    /// Steps left.
    pub(crate) const fn steps(self) -> u16 {
        self.0 >> 3
    }

    /// Direction of the next step as [east, south], each −1, 0 or 1; zeros at the destination and without a route.
    pub(crate) const fn direction(self) -> [f32; 2] {
        const SIDES: [[f32; 2]; 8] =
            [[0.0, 0.0], [0.0, -1.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]];
        SIDES[(self.0 & 7) as usize]
    }
}

/// An object in the window around a tile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NearObject {
    pub(crate) object: ObjectId,
    /// Position in the window.
    pub(crate) at: u8,
    /// Group of the object: food, care or company.
    pub(crate) kind: u8,
    /// Capacity.
    pub(crate) capacity: u8,
    /// The home whose residents may use it, or [`PUBLIC`].
    home: PlaceId,
}

/// Marks an object outside homes; a plan has fewer places.
const PUBLIC: PlaceId = PlaceId(u16::MAX);

impl NearObject {
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

    /// 1 when the residents of `home` may use it, else 0.
    pub(crate) fn is_open(self, home: PlaceId) -> f32 {
        f32::from(u8::from(self.home == PUBLIC || self.home == home))
    }
}

/// The constant features of a plan.
#[derive(Debug)]
pub(crate) struct StaticFeatures {
    /// Walkable tiles in the window around each tile.
    walkable: Column<Tile, u128>,
    near: Vec<NearObject>,
    /// Index in `near` of each tile's first object, with one more entry at the end.
    starts: Vec<u32>,
    /// Routes by home and tile; empty for places that are not homes.
    homes: Column<PlaceId, Vec<[Route; HOME_TARGETS]>>,
    jobs: Column<JobId, Vec<Route>>,
    /// Tills and tables outside homes.
    pub(crate) tills: Vec<ObjectId>,
    pub(crate) tables: Vec<ObjectId>,
    /// Beds of the plan.
    pub(crate) beds: usize,
    /// Objects of each place, by kind.
    shared: Column<PlaceId, [Vec<ObjectId>; SHARED_KINDS.len()]>,
}

/// Kinds of objects that residents of a home share and wait for.
pub(crate) const SHARED_KINDS: [ObjectKind; 4] =
    [ObjectKind::Bed, ObjectKind::Fridge, ObjectKind::Stove, ObjectKind::Shower];

impl StaticFeatures {
    pub(crate) fn new<'a>(
        plan: &Plan,
        place_fields: &Column<PlaceId, DistanceField>,
        jobs: impl Iterator<Item = &'a DistanceField>,
    ) -> Self {
        let tiles = || (0..plan.width * plan.height).map(Tile);
        let (near, starts) = near(plan);
        let public: Vec<Option<DistanceField>> = KINDS.iter().map(|kind| nearest(plan, *kind, None)).collect();
        let homes = plan.places().map(|(home, place)| {
            if place.kind != PlaceKind::Home {
                return Vec::new();
            }
            let own: Vec<Option<DistanceField>> = KINDS.iter().map(|kind| nearest(plan, *kind, Some(home))).collect();
            let of_kind = |kind: usize| own[kind].as_ref().or(public[kind].as_ref());
            let ways = |tile| {
                std::array::from_fn(|target| match target {
                    0 => Route::at(plan, &place_fields[home], tile),
                    _ => of_kind(target - 1).map_or(Route::NONE, |field| Route::at(plan, field, tile)),
                })
            };
            tiles().map(ways).collect()
        });
        let jobs = jobs.map(|field| tiles().map(|tile| Route::at(plan, field, tile)).collect());
        let of_kind = |kind: ObjectKind| plan.objects().filter(move |(_, object)| object.kind == kind);
        let public = |kind: ObjectKind| {
            let outside = |place: PlaceId| plan.places[place].kind != PlaceKind::Home;
            of_kind(kind).filter(|(_, object)| outside(object.place)).map(|(id, _)| id).collect()
        };
        let shared = plan.places().map(|(place, _)| {
            let here = |kind| of_kind(kind).filter(|(_, object)| object.place == place).map(|(id, _)| id).collect();
            SHARED_KINDS.map(here)
        });
        Self {
            tills: public(ObjectKind::Till),
            tables: public(ObjectKind::Table),
            beds: of_kind(ObjectKind::Bed).count(),
            shared: shared.collect::<Vec<_>>().into(),
            walkable: walkable(plan),
            near,
            starts,
            homes: homes.collect::<Vec<_>>().into(),
            jobs: jobs.collect::<Vec<_>>().into(),
        }
    }

    /// Walkable tiles in the window around a tile.
    pub(crate) fn walkable(&self, tile: Tile) -> u128 {
        self.walkable[tile]
    }

    /// Objects in the window around a tile, in plan order.
    pub(crate) fn near(&self, tile: Tile) -> &[NearObject] {
        let at = tile.0 as usize;
        &self.near[self.starts[at] as usize..self.starts[at + 1] as usize]
    }

    /// Routes from a tile for the residents of a home, in the order of [`TARGETS`].
    pub(crate) fn routes(&self, home: PlaceId, tile: Tile) -> &[Route; HOME_TARGETS] {
        &self.homes[home][tile.0 as usize]
    }

    /// Objects of a place of the kinds in [`SHARED_KINDS`].
    pub(crate) fn shared(&self, place: PlaceId) -> &[Vec<ObjectId>; SHARED_KINDS.len()] {
        &self.shared[place]
    }

    /// The route from a tile to a job's site.
    pub(crate) fn route_to_work(&self, job: JobId, tile: Tile) -> Route {
        self.jobs[job][tile.0 as usize]
    }
}

/// Steps to the nearest object of a kind that is public or in `home`; `None` when there is none, or `home` adds none.
fn nearest(plan: &Plan, kind: ObjectKind, home: Option<PlaceId>) -> Option<DistanceField> {
    let all = || plan.objects().map(|(_, object)| object).filter(|object| object.kind == kind);
    let open = |place: PlaceId| plan.places[place].kind != PlaceKind::Home;
    if home.is_some() && !all().any(|object| Some(object.place) == home) {
        return None;
    }
    let goals: Vec<Tile> =
        all().filter(|object| open(object.place) || Some(object.place) == home).map(|object| object.tile).collect();
    (!goals.is_empty()).then(|| plan.distances(&goals))
}

/// Walkable tiles in the window around each tile.
fn walkable(plan: &Plan) -> Column<Tile, u128> {
    let tiles = || (0..plan.width * plan.height).map(Tile);
    let mut walkable = TileMask::new(plan.width, plan.height);
    tiles().filter(|tile| plan.walkable[*tile]).for_each(|tile| walkable.set(tile));
    let around = |tile| {
        let (x, y) = plan.at(tile);
        walkable.window((x as usize, y as usize))
    };
    tiles().map(around).collect::<Vec<_>>().into()
}

fn near(plan: &Plan) -> (Vec<NearObject>, Vec<u32>) {
    let reach = VIEW_RADIUS as u32;
    let mut by_tile: Vec<Vec<NearObject>> = vec![Vec::new(); (plan.width * plan.height) as usize];
    for (object, it) in plan.objects() {
        let (x, y) = plan.at(it.tile);
        for row in y.saturating_sub(reach)..(y + reach + 1).min(plan.height) {
            for column in x.saturating_sub(reach)..(x + reach + 1).min(plan.width) {
                let at = (y + reach - row) as usize * VIEW_SIDE + (x + reach - column) as usize;
                by_tile[(row * plan.width + column) as usize].push(NearObject::new(plan, object, at));
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

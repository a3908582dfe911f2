//! The constant part of observations, by tile: walkable tiles, nearby objects, and routes to the nearest object of each kind.
//! Rule: "Observations".

use crate::distances::{Destination, DestinationGroup, Distances, DistancesBuilder, GroupHeadings, Heading};
use crate::ids::{Column, ObjectId, PlaceId, Tile};
use crate::memory::{HeapBytes as _, Table, nested};
use crate::plan::{OBJECT_KINDS, ObjectKind, PlaceKind, Plan};
use crate::tile_mask::{TileMask, VIEW_RADIUS, VIEW_SIDE};

/// Destinations of routes, in the order of the features `ways` and `steps`. The job comes last.
pub const TARGETS: [&str; 9] = ["home", "bed", "fridge", "stove", "shower", "till", "table", "shelf", "job"];

/// The object kinds among them, after `home`.
pub(super) const KINDS: [ObjectKind; 7] = [
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

    /// From steps and a direction: 0 for none, then north, east, south, west.
    pub(super) const fn new(steps: u16, direction: u16) -> Self {
        Self(steps << 3 | direction)
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

impl From<Heading> for Route {
    fn from(heading: Heading) -> Self {
        if heading == Heading::NONE {
            return Self::NONE;
        }
        Self::new(heading.steps(), heading.first_side())
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
    homes: Column<PlaceId, HomeRoutes>,
    /// Routes of all homes, by the rows of their rooms.
    rows: Vec<[Route; HOME_TARGETS]>,
    /// The ways from every tile to the nearest object of each kind outside homes.
    public: Column<Tile, [Heading; HOME_TARGETS]>,
    /// Tills and tables outside homes.
    pub(crate) tills: Vec<ObjectId>,
    pub(crate) tables: Vec<ObjectId>,
    /// Beds of the plan.
    pub(crate) beds: usize,
}

/// The routes of the residents of a home.
#[derive(Debug)]
struct HomeRoutes {
    /// The home and its objects.
    own: DestinationGroup<HOME_TARGETS>,
    /// Its first row in [`StaticFeatures::rows`].
    row: u32,
}

/// Kinds of objects that residents of a home share and wait for.
pub(crate) const SHARED_KINDS: [ObjectKind; 4] =
    [ObjectKind::Bed, ObjectKind::Fridge, ObjectKind::Stove, ObjectKind::Shower];

/// Objects of a place by kind.
type ObjectsByKind = [Vec<ObjectId>; OBJECT_KINDS.len()];

/// The destinations of every home: its floor, and the nearest of its objects of each kind.
pub(super) struct HomeDestinations(Column<PlaceId, [Option<Destination>; HOME_TARGETS]>);

impl HomeDestinations {
    pub(super) fn new(
        plan: &Plan,
        floors: &Column<PlaceId, Destination>,
        objects_in: &Column<PlaceId, ObjectsByKind>,
        distances: &mut DistancesBuilder<'_>,
    ) -> Self {
        let of_place = plan.places().map(|(id, place)| {
            let mut destinations = [None; HOME_TARGETS];
            if place.kind == PlaceKind::Home {
                destinations[0] = Some(floors[id]);
                for (kind, destination) in KINDS.iter().zip(&mut destinations[1..]) {
                    let tiles = objects_in[id][*kind as usize].iter().map(|object| plan.objects[*object].tile);
                    let tiles: Vec<Tile> = tiles.collect();
                    *destination = (!tiles.is_empty()).then(|| distances.add(&tiles));
                }
            }
            destinations
        });
        Self(of_place.collect::<Vec<_>>().into())
    }
}

/// The ways from every tile to the nearest object of each of [`KINDS`] outside homes.
pub(super) fn public_headings(
    plan: &Plan,
    distances: &mut DistancesBuilder<'_>,
) -> Column<Tile, [Heading; HOME_TARGETS]> {
    let flood = distances.flood();
    let mut public = Column::filled((plan.width * plan.height) as usize, [Heading::NONE; HOME_TARGETS]);
    for (at, kind) in KINDS.iter().enumerate() {
        let goals: Vec<Tile> = public_objects(plan, *kind).map(|object| plan.objects[object].tile).collect();
        if !goals.is_empty() {
            flood.run(&goals);
            for tile in (0..plan.width * plan.height).map(Tile) {
                public[tile][at + 1] = flood.heading(tile);
            }
        }
    }
    public
}

/// Objects of a kind outside homes, in plan order.
fn public_objects(plan: &Plan, kind: ObjectKind) -> impl Iterator<Item = ObjectId> {
    let outside = |place: PlaceId| plan.places[place].kind != PlaceKind::Home;
    plan.objects().filter(move |(_, object)| object.kind == kind && outside(object.place)).map(|(id, _)| id)
}

impl StaticFeatures {
    pub(super) fn new(
        plan: &Plan,
        distances: &Distances,
        homes: &HomeDestinations,
        public: Column<Tile, [Heading; HOME_TARGETS]>,
    ) -> Self {
        let (near, starts) = near(plan);
        let mut rows = Vec::new();
        let homes = homes.0.iter().map(|destinations| {
            let own = distances.group(*destinations);
            let row = rows.len() as u32;
            for tile in distances.row_tiles(&own) {
                rows.push(std::array::from_fn(|target| {
                    let own = destinations[target].map_or(Heading::NONE, |to| distances.heading(plan, &to, tile));
                    own.or(public[tile][target]).into()
                }));
            }
            HomeRoutes { own, row }
        });
        let homes: Vec<HomeRoutes> = homes.collect();
        Self {
            tills: public_objects(plan, ObjectKind::Till).collect(),
            tables: public_objects(plan, ObjectKind::Table).collect(),
            beds: plan.objects.iter().filter(|object| object.kind == ObjectKind::Bed).count(),
            walkable: walkable(plan),
            near,
            starts,
            homes: homes.into(),
            rows,
            public,
        }
    }

    /// The memory of the features.
    pub(crate) fn tables(&self) -> [Table; 2] {
        let views = [self.walkable.heap_bytes(), self.near.heap_bytes(), self.starts.heap_bytes()];
        let homes = nested(&self.homes, |home| home.own.heap_bytes());
        let public = [self.public.heap_bytes(), self.tills.heap_bytes(), self.tables.heap_bytes()];
        [
            Table::new("views of tiles", views.iter().sum()),
            Table::new("routes", homes + self.rows.heap_bytes() + public.iter().sum::<usize>()),
        ]
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
    pub(crate) fn routes(
        &self,
        plan: &Plan,
        distances: &Distances,
        home: PlaceId,
        tile: Tile,
    ) -> [Route; HOME_TARGETS] {
        let HomeRoutes { own, row } = &self.homes[home];
        match distances.headings(plan, own, tile) {
            GroupHeadings::Row(at) => self.rows[*row as usize + at],
            GroupHeadings::Outside(own) => {
                let public = &self.public[tile];
                std::array::from_fn(|target| own[target].or(public[target]).into())
            }
        }
    }
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

/// The objects in the window around each tile in plan order, and the index of each tile's first one.
fn near(plan: &Plan) -> (Vec<NearObject>, Vec<u32>) {
    let tiles = (plan.width * plan.height) as usize;
    // First the number of each tile, behind it; then, by the sums of them, the objects.
    let mut starts = vec![0_u32; tiles + 1];
    for (_, object) in plan.objects() {
        window_tiles(plan, object.tile).for_each(|(tile, _)| starts[tile + 1] += 1);
    }
    for tile in 0..tiles {
        starts[tile + 1] += starts[tile];
    }
    let mut next = starts.clone();
    let first = plan.objects().next().map(|(object, _)| NearObject::new(plan, object, 0));
    let mut near: Vec<NearObject> = first.map_or_else(Vec::new, |any| vec![any; starts[tiles] as usize]);
    for (id, object) in plan.objects() {
        for (tile, at) in window_tiles(plan, object.tile) {
            near[next[tile] as usize] = NearObject::new(plan, id, at);
            next[tile] += 1;
        }
    }
    (near, starts)
}

/// The tiles in whose window a tile is, with its position there.
fn window_tiles(plan: &Plan, tile: Tile) -> impl Iterator<Item = (usize, usize)> {
    let (width, reach, (x, y)) = (plan.width, VIEW_RADIUS as u32, plan.at(tile));
    let columns = x.saturating_sub(reach)..(x + reach + 1).min(plan.width);
    (y.saturating_sub(reach)..(y + reach + 1).min(plan.height)).flat_map(move |row| {
        columns.clone().map(move |column| {
            let at = (y + reach - row) as usize * VIEW_SIDE + (x + reach - column) as usize;
            ((row * width + column) as usize, at)
        })
    })
}

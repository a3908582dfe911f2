//! The objects that serve an option, for the search for the best of them: by affordance, opening hours and position.

use crate::affordances::{Access, Affordance};
use crate::ids::{AffordanceId, ObjectId};
use crate::memory::{HeapBytes as _, nested};
use crate::options::OptionKind;
use crate::plan::{ObjectKind, PlaceKind, Plan};

/// An affordance that serves an option, with the objects that it can be used at.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) affordance: AffordanceId,
    /// Kind of the objects.
    pub(crate) kind: ObjectKind,
    /// Objects outside homes by their opening hours; `None` when only those at home can be used.
    pub(crate) public: Option<Vec<PublicObjects>>,
    /// The last of these in plan order.
    pub(crate) last_public: Option<ObjectId>,
}

/// Objects outside homes with the same opening hours.
#[derive(Debug)]
pub(crate) struct PublicObjects {
    /// In ticks of the day; `None` when they are always open.
    pub(crate) hours: Option<(u32, u32)>,
    columns: u32,
    rows: u32,
    /// By block, and in plan order within a block.
    objects: Vec<PlacedObject>,
    /// Index in `objects` of each block's first one, with one more entry at the end. Blocks are in reading order.
    starts: Vec<u32>,
}

/// An object with its column and row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlacedObject {
    pub(crate) object: ObjectId,
    x: u16,
    y: u16,
}

impl PlacedObject {
    /// Steps from a column and row to it if there were no walls: a lower bound for the real steps.
    pub(crate) fn straight_distance(self, (x, y): (u32, u32)) -> u32 {
        x.abs_diff(u32::from(self.x)) + y.abs_diff(u32::from(self.y))
    }
}

/// Side of a block, in tiles.
const BLOCK: u32 = 64;

impl Serving {
    pub(crate) fn heap_bytes(&self) -> usize {
        let lists = |public: &PublicObjects| public.objects.heap_bytes() + public.starts.heap_bytes();
        self.public.as_ref().map_or(0, |public| nested(public, lists))
    }
}

impl PublicObjects {
    fn new(plan: &Plan, hours: Option<(u32, u32)>, objects: &[ObjectId]) -> Self {
        let (columns, rows) = (plan.width.div_ceil(BLOCK), plan.height.div_ceil(BLOCK));
        let mut blocks = vec![Vec::new(); (columns * rows) as usize];
        for object in objects.iter().copied() {
            let (x, y) = plan.at(plan.objects[object].tile);
            let placed = PlacedObject { object, x: x as u16, y: y as u16 };
            blocks[(y / BLOCK * columns + x / BLOCK) as usize].push(placed);
        }
        let mut starts = vec![0];
        let mut objects = Vec::with_capacity(objects.len());
        for block in blocks {
            objects.extend(block);
            starts.push(objects.len() as u32);
        }
        Self { hours, columns, rows, objects, starts }
    }

    /// Whether they are open at a tick of the day.
    pub(crate) fn are_open(&self, tick_of_day: u32) -> bool {
        self.hours.is_none_or(|(from, to)| (from..to).contains(&tick_of_day))
    }

    /// All objects, in no particular order.
    pub(crate) fn all(&self) -> impl Iterator<Item = ObjectId> {
        self.objects.iter().map(|placed| placed.object)
    }

    /// Rings of blocks around a block that together are the whole plan.
    pub(crate) fn rings(&self) -> u32 {
        self.columns.max(self.rows)
    }

    /// Fewest steps to an object of a ring.
    pub(crate) const fn least_distance(ring: u32) -> u32 {
        if ring == 0 { 0 } else { (ring - 1) * BLOCK + 1 }
    }

    /// The objects in the ring of blocks at a distance from the block of a column and row; ring 0 is the block itself.
    pub(crate) fn ring(&self, (x, y): (u32, u32), ring: u32) -> impl Iterator<Item = &PlacedObject> {
        let (column, row) = (x / BLOCK, y / BLOCK);
        let rows = row.saturating_sub(ring)..(row + ring + 1).min(self.rows);
        rows.flat_map(move |at| {
            let (left, right) = (column.saturating_sub(ring), (column + ring + 1).min(self.columns));
            if at.abs_diff(row) == ring {
                // A whole row of the ring.
                return [self.blocks(at, left, right), &[]];
            }
            let edge = |there: bool, at_column: u32| {
                if there { self.blocks(at, at_column, at_column + 1) } else { &[] }
            };
            [edge(column >= ring, column.wrapping_sub(ring)), edge(column + ring < self.columns, column + ring)]
        })
        .flatten()
    }

    /// The objects in adjacent blocks of a row.
    fn blocks(&self, row: u32, from: u32, to: u32) -> &[PlacedObject] {
        let start = |column: u32| self.starts[(row * self.columns + column) as usize] as usize;
        &self.objects[start(from)..start(to)]
    }
}

/// The affordances that serve an option, in the order of their file.
pub(super) fn serving(
    plan: &Plan,
    affordances: &[Affordance],
    option: OptionKind,
    hours: impl Fn(ObjectId) -> Option<(u32, u32)>,
) -> Vec<Serving> {
    let of_option = affordances.iter().enumerate().filter(|(_, affordance)| affordance.option == option);
    let serving = of_option.map(|(index, affordance)| {
        let at_home = |object: ObjectId| plan.places[plan.objects[object].place].kind == PlaceKind::Home;
        let of_kind = plan.objects().filter(|(_, object)| object.kind == affordance.object).map(|(object, _)| object);
        let outside: Vec<ObjectId> = of_kind.filter(|object| !at_home(*object)).collect();
        let public = (affordance.access != Access::Home).then(|| {
            let mut all_hours: Vec<Option<(u32, u32)>> = outside.iter().map(|object| hours(*object)).collect();
            all_hours.sort_unstable();
            all_hours.dedup();
            let group = |wanted: Option<(u32, u32)>| {
                let same: Vec<ObjectId> = outside.iter().copied().filter(|object| hours(*object) == wanted).collect();
                PublicObjects::new(plan, wanted, &same)
            };
            all_hours.into_iter().map(group).collect()
        });
        let last_public = outside.last().copied();
        Serving { affordance: AffordanceId(index as u16), kind: affordance.object, public, last_public }
    });
    serving.collect()
}

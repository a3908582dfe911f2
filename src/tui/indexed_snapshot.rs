//! A snapshot with what the screens look up in it: residents by id, name and tile, queues by object, ties by resident, the
//! metrics. Each index is built once for a snapshot, so that a frame depends on what is visible and not on the size of the town.
//!
//! [`IndexedSnapshot::prepare`] builds all of them on the thread of a source; otherwise an index is built when it is first used.

use std::ops::{Deref, Range};
use std::sync::atomic::{AtomicU64, Ordering as Access};
use std::sync::{Arc, OnceLock};

use super::format::{natural_order, width};
use super::level_history::{Levels, hash};
use super::metrics::{self, Metric};
use townlet_wire::Snapshot;
use townlet_wire::telemetry::{Agent, MapObject, Queue, Tie};

/// The need whose lack is a mark on the whole map.
const HUNGER: &str = "hunger";
/// Marks an object without a queue.
const NONE: u32 = u32::MAX;

/// A snapshot and its indexes. The snapshot does not change.
#[derive(Debug)]
pub struct IndexedSnapshot {
    snapshot: Arc<Snapshot>,
    /// Different for every snapshot of this process.
    number: u64,
    indexes: Indexes,
}

/// Positions in a list of the snapshot, in an order.
type Positions = OnceLock<Vec<u32>>;

#[derive(Debug, Default)]
struct Indexes {
    residents_by_id: OnceLock<ByHash>,
    residents_by_name: Positions,
    residents_by_tile: OnceLock<Tiles>,
    hungry: OnceLock<Vec<bool>>,
    widths: OnceLock<ResidentWidths>,
    queues_by_object: OnceLock<ByHash>,
    queues_in_order: Positions,
    queues_with_waiters: Positions,
    queues_of_note: Positions,
    objects_by_id: OnceLock<ByHash>,
    objects_by_tile: OnceLock<Tiles>,
    /// Position of the queue of each object of the map.
    object_queues: Positions,
    object_kinds: OnceLock<Vec<String>>,
    stores: OnceLock<Arc<[String]>>,
    ties_by_resident: OnceLock<ByHash>,
    metrics: OnceLock<Vec<Metric>>,
    need_levels: OnceLock<Levels>,
    queue_lengths: OnceLock<Levels>,
}

/// What the widths of the resident table depend on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ResidentWidths {
    /// Columns of the widest name.
    pub(crate) name: usize,
    /// Position of a resident with the most needs.
    needs: Option<usize>,
}

/// Tiles (y, x) with the position of what stands there, in ascending order.
type Tiles = Vec<(u32, u32, u32)>;

fn tiles(places: impl Iterator<Item = (u64, u64)>) -> Tiles {
    let tile = |at: u64| u32::try_from(at).unwrap_or(u32::MAX);
    let mut tiles: Tiles = places.zip(0..).map(|((x, y), position)| (tile(y), tile(x), position)).collect();
    tiles.sort_unstable();
    tiles
}

/// Positions of what stands in a rectangle, row by row.
fn within(tiles: &[(u32, u32, u32)], columns: Range<u64>, rows: Range<u64>) -> impl Iterator<Item = usize> {
    rows.flat_map(move |y| {
        let from = |x: u64| tiles.partition_point(|tile| (u64::from(tile.0), u64::from(tile.1)) < (y, x));
        tiles[from(columns.start)..from(columns.end)].iter().map(|tile| tile.2 as usize)
    })
}

/// The hash of a text and the position of what has it, in ascending order: numbers are sorted and searched faster than texts.
#[derive(Debug, Default)]
struct ByHash(Vec<(u64, u32)>);

impl ByHash {
    fn new<'a>(texts: impl Iterator<Item = &'a String>) -> Self {
        let mut positions: Vec<(u64, u32)> = texts.zip(0..).map(|(text, position)| (hash(text), position)).collect();
        positions.sort_unstable();
        Self(positions)
    }

    /// Positions of what has this text, or perhaps another one with its hash.
    fn candidates(&self, text: &str) -> impl Iterator<Item = usize> {
        let hash = hash(text);
        let first = self.0.partition_point(|entry| entry.0 < hash);
        self.0[first..].iter().take_while(move |entry| entry.0 == hash).map(|entry| entry.1 as usize)
    }
}

impl IndexedSnapshot {
    /// A snapshot without indexes yet.
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        Self { snapshot, number: NUMBER.fetch_add(1, Access::Relaxed), indexes: Indexes::default() }
    }

    /// Builds every index; those of an earlier snapshot of the town make it faster.
    pub fn prepare(&self, before: Option<&Self>) {
        let names = before.and_then(|before| before.indexes.residents_by_name.get());
        self.indexes.residents_by_name.get_or_init(|| self.order_residents(names));
        let same_stores = before.filter(|before| before.economy.keys().eq(self.economy.keys()));
        if let Some(stores) = same_stores.and_then(|before| before.indexes.stores.get()) {
            self.indexes.stores.get_or_init(|| Arc::clone(stores));
        }
        self.residents_by_id();
        self.resident_tiles();
        self.hungry();
        self.resident_widths();
        self.queues_by_object();
        self.queue_order();
        self.waiting_order();
        self.positions_of_note();
        self.objects_by_id();
        self.object_tiles();
        self.object_queues();
        self.object_kinds();
        self.stores();
        self.ties_by_resident();
        self.metrics();
        self.need_levels();
        self.queue_lengths();
    }

    /// A number that no other snapshot of this process has.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// Positions of the residents in the order of their names. An earlier order of as many saves most of the work when nobody has come
    /// or left.
    fn order_residents(&self, before: Option<&Vec<u32>>) -> Vec<u32> {
        let agents = &self.agents;
        let before = before.filter(|before| before.len() == agents.len());
        let mut positions = before.cloned().unwrap_or_else(|| (0..agents.len() as u32).collect());
        positions.sort_by(|at, other_at| {
            let (one, other) = (&agents[*at as usize], &agents[*other_at as usize]);
            let by_name = natural_order(&one.name, &other.name).then_with(|| one.id.cmp(&other.id));
            by_name.then_with(|| at.cmp(other_at))
        });
        positions
    }

    fn residents_by_id(&self) -> &ByHash {
        self.indexes.residents_by_id.get_or_init(|| ByHash::new(self.agents.iter().map(|agent| &agent.id)))
    }

    /// Position of the resident with this id.
    pub(crate) fn resident_position(&self, id: &str) -> Option<usize> {
        self.residents_by_id().candidates(id).find(|position| self.agents[*position].id == id)
    }

    /// The resident with this id.
    pub(crate) fn resident(&self, id: &str) -> Option<&Agent> {
        self.resident_position(id).map(|position| &self.agents[position])
    }

    /// A resident with this name.
    pub(crate) fn resident_named(&self, name: &str) -> Option<&Agent> {
        let by_name = self.residents_by_name();
        let name_of = |position: &u32| &self.agents[*position as usize].name;
        let at = by_name.partition_point(|position| natural_order(name_of(position), name).is_lt());
        by_name.get(at).filter(|position| name_of(position) == name).map(|position| &self.agents[*position as usize])
    }

    /// Positions of the residents in the order of their names.
    pub(crate) fn residents_by_name(&self) -> &[u32] {
        self.indexes.residents_by_name.get_or_init(|| self.order_residents(None))
    }

    /// See [`townlet_wire::telemetry::Job::attendance`].
    pub(crate) fn attendance(&self, id: &str) -> Option<f64> {
        self.jobs.get(id)?.attendance(self.resident(id))
    }

    fn resident_tiles(&self) -> &Tiles {
        self.indexes.residents_by_tile.get_or_init(|| tiles(self.agents.iter().map(|agent| (agent.x, agent.y))))
    }

    fn hungry(&self) -> &[bool] {
        let is_hungry =
            |agent: &Agent| agent.needs.iter().any(|need| need.name == HUNGER && need.value < need.critical);
        self.indexes.hungry.get_or_init(|| self.agents.iter().map(is_hungry).collect())
    }

    /// Tile (x, y) of each resident, and whether its hunger is below its critical level.
    pub(crate) fn residents_on_tiles(&self) -> impl Iterator<Item = (&Agent, (u64, u64), bool)> {
        let hungry = self.hungry();
        self.resident_tiles().iter().map(|(y, x, position)| {
            let position = *position as usize;
            (&self.agents[position], (u64::from(*x), u64::from(*y)), hungry[position])
        })
    }

    /// The residents in a rectangle of tiles; those of one tile in the order of the snapshot.
    pub(crate) fn residents_within(&self, columns: Range<u64>, rows: Range<u64>) -> impl Iterator<Item = &Agent> {
        within(self.resident_tiles(), columns, rows).map(|position| &self.agents[position])
    }

    /// The residents on a tile.
    pub(crate) fn residents_at(&self, (x, y): (u64, u64)) -> impl Iterator<Item = &Agent> {
        self.residents_within(x..x.saturating_add(1), y..y.saturating_add(1))
    }

    pub(crate) fn resident_widths(&self) -> ResidentWidths {
        *self.indexes.widths.get_or_init(|| ResidentWidths {
            name: self.agents.iter().map(|agent| width(&agent.name)).max().unwrap_or(0),
            needs: self.agents.iter().enumerate().max_by_key(|(_, agent)| agent.needs.len()).map(|(at, _)| at),
        })
    }

    /// A resident with the most needs.
    pub(crate) fn resident_with_most_needs(&self) -> Option<&Agent> {
        self.resident_widths().needs.map(|position| &self.agents[position])
    }

    /// The queue of an object.
    pub(crate) fn queue(&self, object: &str) -> Option<&Queue> {
        self.queue_position(object).map(|position| &self.conflict.queues[position])
    }

    fn queues_by_object(&self) -> &ByHash {
        let queues = &self.conflict.queues;
        self.indexes.queues_by_object.get_or_init(|| ByHash::new(queues.iter().map(|queue| &queue.object)))
    }

    fn queue_position(&self, object: &str) -> Option<usize> {
        self.queues_by_object().candidates(object).find(|position| self.conflict.queues[*position].object == object)
    }

    /// The queues: objects waited for first, the longest wait at the head, then those in use, those with cooldowns or ghost steps,
    /// and the others. All waits grow alike, and the order within the other groups is that of the snapshot, so that rows stay in place.
    pub(crate) fn queues_in_order(&self) -> impl ExactSizeIterator<Item = &Queue> {
        self.queue_order().iter().map(|position| &self.conflict.queues[*position as usize])
    }

    fn queue_order(&self) -> &[u32] {
        let queues = &self.conflict.queues;
        self.indexes.queues_in_order.get_or_init(|| {
            let mut groups: [Vec<u32>; 3] = Default::default();
            for (queue, position) in queues.iter().zip(0..).filter(|(queue, _)| queue.waiting.is_empty()) {
                let troubled = !queue.cooldowns.is_empty() || queue.ghost_steps > 0;
                groups[if queue.users.is_empty() { 1 + usize::from(!troubled) } else { 0 }].push(position);
            }
            [self.waiting_order(), &groups.concat()].concat()
        })
    }

    /// The queues in which residents wait, longest wait first.
    pub(crate) fn queues_with_waiters(&self) -> impl ExactSizeIterator<Item = &Queue> {
        self.waiting_order().iter().map(|position| &self.conflict.queues[*position as usize])
    }

    fn waiting_order(&self) -> &[u32] {
        let queues = &self.conflict.queues;
        self.indexes.queues_with_waiters.get_or_init(|| {
            let mut waiting: Vec<u32> =
                (0..queues.len() as u32).filter(|position| !queues[*position as usize].waiting.is_empty()).collect();
            waiting.sort_by(|one, other| {
                let (one, other) = (&queues[*one as usize], &queues[*other as usize]);
                other.longest_wait.cmp(&one.longest_wait).then_with(|| natural_order(&one.object, &other.object))
            });
            waiting
        })
    }

    /// The queues in which residents wait, and those of objects whose power or water is off.
    pub(crate) fn queues_of_note(&self) -> impl Iterator<Item = &Queue> {
        self.positions_of_note().iter().map(|position| &self.conflict.queues[*position as usize])
    }

    fn positions_of_note(&self) -> &[u32] {
        self.indexes.queues_of_note.get_or_init(|| {
            let queues = self.conflict.queues.iter().zip(0..);
            queues
                .filter(|(queue, _)| queue.is_off() || !queue.waiting.is_empty())
                .map(|(_, position)| position)
                .collect()
        })
    }

    fn object_tiles(&self) -> &Tiles {
        let objects = &self.map.objects;
        self.indexes.objects_by_tile.get_or_init(|| tiles(objects.iter().map(|object| (object.x, object.y))))
    }

    fn objects_by_id(&self) -> &ByHash {
        self.indexes.objects_by_id.get_or_init(|| ByHash::new(self.map.objects.iter().map(|object| &object.id)))
    }

    /// The object with this id.
    pub(crate) fn object(&self, id: &str) -> Option<&MapObject> {
        self.objects_by_id().candidates(id).map(|position| &self.map.objects[position]).find(|object| object.id == id)
    }

    /// The first object on a tile.
    pub(crate) fn object_at(&self, x: u64, y: u64) -> Option<&MapObject> {
        let rows = y..y.saturating_add(1);
        within(self.object_tiles(), x..x.saturating_add(1), rows).next().map(|position| &self.map.objects[position])
    }

    /// The objects in a rectangle of tiles with their queues; those of one tile in the order of the snapshot.
    pub(crate) fn objects_within(
        &self,
        columns: Range<u64>,
        rows: Range<u64>,
    ) -> impl Iterator<Item = (&MapObject, Option<&Queue>)> {
        let queues = self.object_queues();
        within(self.object_tiles(), columns, rows).map(move |position| {
            let queue = Some(queues[position]).filter(|queue| *queue != NONE);
            (&self.map.objects[position], queue.map(|queue| &self.conflict.queues[queue as usize]))
        })
    }

    fn object_queues(&self) -> &[u32] {
        self.indexes.object_queues.get_or_init(|| {
            let queue_of =
                |object: &MapObject| self.queue_position(&object.id).map_or(NONE, |position| position as u32);
            self.map.objects.iter().map(queue_of).collect()
        })
    }

    /// The kinds of the objects of the map.
    pub(crate) fn object_kinds(&self) -> &[String] {
        self.indexes.object_kinds.get_or_init(|| {
            let mut kinds: Vec<&String> = Vec::new();
            for object in &self.map.objects {
                if let Err(at) = kinds.binary_search(&&object.kind) {
                    kinds.insert(at, &object.kind);
                }
            }
            kinds.into_iter().cloned().collect()
        })
    }

    /// Ids of the objects that hold stock, in the order of their numbers.
    pub(crate) fn stores(&self) -> &[String] {
        self.indexes.stores.get_or_init(|| {
            let mut stores: Vec<String> = self.economy.keys().cloned().collect();
            stores.sort_by(|one, other| natural_order(one, other));
            stores.into()
        })
    }

    fn ties_by_resident(&self) -> &ByHash {
        let ties = &self.relationships.ties;
        self.indexes.ties_by_resident.get_or_init(|| ByHash::new(ties.iter().map(|tie| &tie.agent)))
    }

    /// The ties of a resident to others.
    pub(crate) fn ties_of(&self, resident: &str) -> impl Iterator<Item = &Tie> {
        let ties = self.ties_by_resident().candidates(resident).map(|position| &self.relationships.ties[position]);
        ties.filter(move |tie| tie.agent == resident)
    }

    /// What the Metrics screen lists and the history records.
    pub(crate) fn metrics(&self) -> &[Metric] {
        self.indexes.metrics.get_or_init(|| metrics::all(self))
    }

    /// The levels of every resident's needs.
    pub(crate) fn need_levels(&self) -> &Levels {
        self.indexes.need_levels.get_or_init(|| Levels::of_needs(&self.agents))
    }

    /// How many wait at each object.
    pub(crate) fn queue_lengths(&self) -> &Levels {
        self.indexes.queue_lengths.get_or_init(|| Levels::of_queues(&self.conflict.queues))
    }
}

impl Deref for IndexedSnapshot {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}

impl From<Snapshot> for IndexedSnapshot {
    fn from(snapshot: Snapshot) -> Self {
        Self::new(Arc::new(snapshot))
    }
}

/// Tests change the state between two frames.
#[cfg(test)]
impl std::ops::DerefMut for IndexedSnapshot {
    fn deref_mut(&mut self) -> &mut Snapshot {
        let snapshot = std::mem::take(&mut self.snapshot);
        *self = Self::new(snapshot);
        Arc::make_mut(&mut self.snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    /// The fixture's town and one after somebody left, somebody came, and somebody moved.
    fn towns() -> [Snapshot; 2] {
        let first = fixtures::snapshot();
        let mut second = first.clone();
        second.agents.remove(2);
        second.agents[0].x += 1;
        second.agents.insert(1, Agent { id: "abe".into(), name: "Abe".into(), ..Agent::default() });
        second.conflict.queues.reverse();
        second.relationships.ties.reverse();
        [first, second]
    }

    #[test]
    fn lookups_find_what_a_search_of_the_lists_finds() {
        let [first, second] = towns().map(IndexedSnapshot::from);
        first.prepare(None);
        second.prepare(Some(&first));
        for view in [&first, &second] {
            for agent in &view.agents {
                assert_eq!(view.resident(&agent.id), Some(agent));
                assert_eq!(view.resident_named(&agent.name).map(|found| &found.name), Some(&agent.name));
                let here = |other: &&Agent| (other.x, other.y) == (agent.x, agent.y);
                let searched: Vec<&Agent> = view.agents.iter().filter(here).collect();
                assert_eq!(view.residents_at((agent.x, agent.y)).collect::<Vec<_>>(), searched);
                let mut ties: Vec<&Tie> = view.ties_of(&agent.id).collect();
                ties.retain(|tie| !view.relationships.ties.contains(tie));
                let count = view.relationships.ties.iter().filter(|tie| tie.agent == agent.id).count();
                assert_eq!((ties.len(), view.ties_of(&agent.id).count()), (0, count));
            }
            for queue in &view.conflict.queues {
                assert_eq!(view.queue(&queue.object), Some(queue));
            }
            for object in &view.map.objects {
                assert_eq!(view.object(&object.id), Some(object));
                let first = view.map.objects.iter().find(|other| (other.x, other.y) == (object.x, object.y));
                assert_eq!(view.object_at(object.x, object.y), first);
            }
            for (object, queue) in view.objects_within(0..view.map.width, 0..view.map.height) {
                assert_eq!(queue, view.conflict.queues.iter().find(|queue| queue.object == object.id));
            }
            assert!(view.resident("nobody").is_none() && view.queue("").is_none() && view.object("~").is_none());
        }
    }

    #[test]
    fn an_order_is_the_same_with_and_without_an_earlier_one() {
        let [mut first, second] = towns();
        first.agents.reverse();
        first.economy.clear();
        let (first, second) = (IndexedSnapshot::from(first), IndexedSnapshot::from(second));
        let alone = IndexedSnapshot::from(Snapshot::clone(&second));
        first.prepare(None);
        second.prepare(Some(&first));
        for view in [&second, &alone] {
            assert_eq!(view.residents_by_name(), alone.residents_by_name());
            assert_eq!(view.stores(), alone.stores());
        }
        let names: Vec<&str> =
            second.residents_by_name().iter().map(|at| second.agents[*at as usize].name.as_str()).collect();
        assert!(names.is_sorted() && names.len() == first.agents.len() && !second.stores().is_empty());
    }

    #[test]
    fn queues_waited_for_come_first_then_those_in_use_and_those_without_trouble_last() {
        let queue = |object: &str, users, ghost_steps| Queue {
            object: object.into(),
            users: vec![townlet_wire::telemetry::QueueUser::default(); users],
            ghost_steps,
            ..Queue::default()
        };
        let mut view = Snapshot::default();
        view.conflict.queues =
            vec![queue("a", 0, 0), queue("b", 0, 3), queue("c", 1, 0), queue("d", 0, 0), queue("e", 1, 2)];
        view.conflict.queues.extend([(4, "f"), (90, "g"), (4, "a_2")].map(|(longest_wait, object)| Queue {
            waiting: vec![townlet_wire::telemetry::QueueWaiter::default()],
            longest_wait,
            ..queue(object, 0, 0)
        }));
        let view = IndexedSnapshot::from(view);
        let order: String = view.queues_in_order().map(|queue| queue.object.as_str()).collect();
        assert_eq!(order, "ga_2fcebad");
    }

    #[test]
    fn a_rectangle_has_what_stands_inside_of_it() {
        let places = [(3, 1), (0, 0), (2, 1), (3, 1), (9, 9), (u64::MAX, 0), (4, 1)];
        let tiles = tiles(places.into_iter());
        let inside = |columns, rows| within(&tiles, columns, rows).collect::<Vec<_>>();
        assert_eq!(inside(0..4, 0..2), [1, 2, 0, 3]);
        assert_eq!(inside(3..4, 0..9), [0, 3]);
        assert_eq!(inside(4..9, 0..9), [6]);
        assert!(inside(5..9, 0..9).is_empty());
    }
}

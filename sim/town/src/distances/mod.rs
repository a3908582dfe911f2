//! The shortest ways from every tile to every object, place and site, in memory that grows with tiles plus objects.
//!
//! A room is a place with one or two gates. From outside, the way to a destination inside leads over a gate, so the steps to it
//! are the steps to the gate plus a constant, and all destinations of a room share the fields of its gates. Inside, each
//! destination has a small table. A destination that is in no room has a field of its own. The results are those of a search from
//! the destination ([`crate::plan::Plan::distances`]); a test compares them for every tile.

mod area;
mod field;
mod flood;
mod heading;
mod rooms;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::ids::{Column, Key, PlaceId, Tile};
use crate::memory::{HeapBytes as _, Table, nested};
use crate::plan::Plan;
use field::{Field, Streets};
pub(crate) use flood::Flood;
pub use heading::Heading;
use rooms::{MOST_GATES, PackedSpot, RoomId, RoomTiles, Spot};

/// A field of the plan.
#[derive(Clone, Copy, Debug)]
struct FieldId(u32);

impl Key for FieldId {
    fn at(self) -> usize {
        self.0 as usize
    }
}

/// A gate of a room.
#[derive(Clone, Copy, Debug)]
struct GateId(u32);

/// Steps from every gate to the goals of every field, computed when they are first asked for. Residents spend most of their time
/// in rooms, from which a way then takes one read for each gate.
#[derive(Debug)]
struct GateSteps {
    fields: usize,
    /// Steps and one more; 0 when they were not asked for yet. The value does not depend on who asks first.
    steps: Box<[AtomicU16]>,
}

impl GateSteps {
    fn new(gates: usize, fields: usize) -> Self {
        Self { fields, steps: (0..gates * fields).map(|_| AtomicU16::new(0)).collect() }
    }

    fn get_or(&self, gate: GateId, field: FieldId, compute: impl FnOnce() -> u16) -> u16 {
        let place = &self.steps[gate.0 as usize * self.fields + field.0 as usize];
        if let Some(steps) = place.load(Ordering::Relaxed).checked_sub(1) {
            return steps;
        }
        let steps = compute();
        place.store(steps.wrapping_add(1), Ordering::Relaxed);
        steps
    }
}

/// Something to walk to: an object, the floor of a place, a site, or the nearest of several objects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Destination {
    /// The room that it is in.
    room: Option<RoomId>,
    /// Its table in [`Distances::inside`], when it is in a room: a heading for each tile of the room, then for each gate.
    table: u32,
    /// The fields of the gates, or its own.
    fields: [FieldId; MOST_GATES],
    /// Steps from each of them to the destination.
    beyond: [u16; MOST_GATES],
    /// Number of fields.
    count: u8,
}

impl Destination {
    /// Whether it is in a room.
    #[cfg(test)]
    pub(crate) const fn is_in_room(&self) -> bool {
        self.room.is_some()
    }
}

#[derive(Clone, Copy, Debug)]
struct Gate {
    id: GateId,
    tile: Tile,
    field: FieldId,
    /// Number of its street tile.
    number: u32,
    /// Column and row.
    at: (u32, u32),
    /// Table of the headings towards it from the tiles of the room.
    table: u32,
}

#[derive(Debug)]
struct RoomGates {
    /// In reading order.
    tiles: Vec<Tile>,
    gates: Vec<Gate>,
}

impl RoomGates {
    /// The row of a gate in a table of the room.
    fn row(&self, gate: usize) -> usize {
        self.tiles.len() + gate
    }
}

/// Destinations that are asked for together: those of one home. In a room they share the fields of its gates, which are then
/// read once for all of them.
#[derive(Debug)]
pub(crate) struct DestinationGroup<const N: usize> {
    room: Option<RoomId>,
    /// Each field with the steps from it to the destinations; [`u16::MAX`] for those that it does not lead to.
    fields: Vec<(FieldId, [u16; N])>,
}

impl<const N: usize> DestinationGroup<N> {
    pub(crate) fn heap_bytes(&self) -> usize {
        self.fields.heap_bytes()
    }
}

/// The ways to a group of destinations.
#[derive(Debug)]
pub(crate) enum GroupHeadings<const N: usize> {
    /// From the room of the group, or a gate of it: the row in tables of the room.
    Row(usize),
    /// From elsewhere.
    Outside([Heading; N]),
}

/// The ways of a plan.
#[derive(Debug)]
pub(crate) struct Distances {
    spots: Column<Tile, PackedSpot>,
    rooms: Column<RoomId, RoomGates>,
    /// Tables of headings inside rooms.
    inside: Vec<Heading>,
    fields: Column<FieldId, Field>,
    gate_steps: GateSteps,
    /// Reaches of the fields' windows.
    reaches: Vec<u32>,
}

/// Plans with at most this many tiles have all fields from the start, so that no tick of a small town allocates memory.
const SMALL_PLAN_TILES: usize = 4_096;

/// Collects the destinations of a plan.
pub(crate) struct DistancesBuilder<'a> {
    flood: Flood<'a>,
    room_tiles: Column<RoomId, RoomTiles>,
    spots: Column<Tile, PackedSpot>,
    rooms: Column<RoomId, RoomGates>,
    inside: Vec<Heading>,
    fields: Vec<Field>,
}

impl<'a> DistancesBuilder<'a> {
    /// Finds the rooms and gates of a plan.
    pub(crate) fn new(plan: &'a Plan) -> Self {
        let (room_tiles, spots) = rooms::find(plan);
        let mut builder = Self {
            flood: Flood::new(plan),
            room_tiles,
            spots,
            rooms: Vec::new().into(),
            inside: Vec::new(),
            fields: Vec::new(),
        };
        let (mut known, mut gates) = (BTreeMap::new(), 0);
        let rooms = (0..builder.room_tiles.len() as u16).map(RoomId);
        let rooms = rooms.map(|room| builder.room(room, &mut known, &mut gates));
        let rooms: Vec<RoomGates> = rooms.collect();
        builder.rooms = rooms.into();
        builder
    }

    fn room(&mut self, room: RoomId, known: &mut BTreeMap<Tile, FieldId>, gates: &mut u32) -> RoomGates {
        let mut next_gate = || {
            *gates += 1;
            GateId(*gates - 1)
        };
        let plan = self.flood.plan();
        let tiles = self.room_tiles[room].tiles.clone();
        let gates = self.room_tiles[room].gates.clone().into_iter().map(|gate| {
            let Spot::Street(number) = self.spots[gate].unpack() else { unreachable!("a gate is a street tile") };
            let field = *known.entry(gate).or_insert_with(|| add_field(&mut self.fields, plan, &[gate]));
            Gate { id: next_gate(), tile: gate, field, number, at: plan.at(gate), table: self.table(room, &[gate]) }
        });
        RoomGates { tiles, gates: gates.collect() }
    }

    /// A table of the ways inside a room.
    fn table(&mut self, room: RoomId, goals: &[Tile]) -> u32 {
        let table = self.inside.len() as u32;
        let RoomTiles { tiles, gates } = &self.room_tiles[room];
        let mut left = tiles.len() + gates.len();
        let grid = self.flood.grid();
        self.flood.run_while(goals, |cell, _| {
            let tile = grid.tile(cell);
            let inside = matches!(self.spots[tile].unpack(), Spot::Room(found, _) if found == room);
            left -= usize::from(inside || gates.contains(&tile));
            left > 0
        });
        self.inside.extend(tiles.iter().chain(gates).map(|tile| self.flood.heading(*tile)));
        table
    }

    /// Adds a destination: the nearest of some walkable tiles.
    pub(crate) fn add(&mut self, goals: &[Tile]) -> Destination {
        let room_of = |tile: Tile| match self.spots[tile].unpack() {
            Spot::Room(room, _) => Some(room),
            Spot::Street(_) | Spot::Wall => None,
        };
        let room = goals.first().and_then(|tile| room_of(*tile));
        let Some(room) = room.filter(|room| goals.iter().all(|tile| room_of(*tile) == Some(*room))) else {
            let field = add_field(&mut self.fields, self.flood.plan(), goals);
            return Destination {
                room: None,
                table: 0,
                fields: [field; MOST_GATES],
                beyond: [0; MOST_GATES],
                count: 1,
            };
        };
        let table = self.table(room, goals);
        let it = &self.rooms[room];
        let last = it.gates.len() - 1;
        Destination {
            room: Some(room),
            table,
            fields: std::array::from_fn(|gate| it.gates[gate.min(last)].field),
            beyond: std::array::from_fn(|gate| self.inside[table as usize + it.row(gate.min(last))].steps()),
            count: it.gates.len() as u8,
        }
    }

    /// Steps of the longest walk to the nearest tile of one of these places, over all of them.
    pub(crate) fn longest_walk(&mut self, places: &[PlaceId]) -> u16 {
        let plan = self.flood.plan();
        let floor = |place: PlaceId| plan.floor_of(place).collect::<Vec<Tile>>();
        // No walk to a place is longer than one over a middle tile: first the places for which that is longest, until no other can
        // exceed the longest walk found.
        let area = |place: PlaceId| {
            let place = &plan.places[place];
            (2 * place.x + place.width).abs_diff(plan.width) + (2 * place.y + place.height).abs_diff(plan.height)
        };
        let Some(middle) = places.iter().copied().min_by_key(|place| area(*place)) else { return 0 };
        self.flood.run(&floor(middle)[..1]);
        let detour = self.flood.longest();
        let steps = |place: PlaceId| plan.floor_of(place).filter_map(|tile| self.flood.steps(tile)).min().unwrap_or(0);
        let mut bounds: Vec<(u16, PlaceId)> = places.iter().map(|place| (steps(*place) + detour, *place)).collect();
        bounds.sort_unstable_by(|a, b| b.cmp(a));
        let mut longest = 0;
        for (bound, place) in bounds {
            if bound <= longest {
                break;
            }
            self.flood.run(&floor(place));
            longest = longest.max(self.flood.longest());
        }
        longest
    }

    /// The flood, for other searches over the same plan.
    pub(crate) const fn flood(&mut self) -> &mut Flood<'a> {
        &mut self.flood
    }

    /// The ways to the destinations that were added.
    pub(crate) fn finish(self) -> Distances {
        let plan = self.flood.plan();
        let gates = self.rooms.iter().map(|room| room.gates.len()).sum();
        let distances = Distances {
            gate_steps: GateSteps::new(gates, self.fields.len()),
            spots: self.spots,
            rooms: self.rooms,
            inside: self.inside,
            fields: self.fields.into(),
            reaches: field::reaches(plan),
        };
        if distances.spots.len() <= SMALL_PLAN_TILES {
            let streets = distances.streets(plan);
            distances.fields.iter().for_each(|field| field.complete(&streets));
        }
        distances
    }
}

fn add_field(fields: &mut Vec<Field>, plan: &Plan, goals: &[Tile]) -> FieldId {
    fields.push(Field::new(plan, goals));
    FieldId(fields.len() as u32 - 1)
}

impl Distances {
    fn streets<'a>(&'a self, plan: &'a Plan) -> Streets<'a> {
        Streets { plan, spots: &self.spots, reaches: &self.reaches }
    }

    /// The way from a tile to a destination.
    pub(crate) fn heading(&self, plan: &Plan, to: &Destination, tile: Tile) -> Heading {
        let spot = self.spots[tile].unpack();
        if let Some(heading) = self.heading_inside(to, spot) {
            return heading;
        }
        let mut best = Heading::NONE;
        for gate in 0..to.count as usize {
            let heading = self.heading_to_field(plan, to.fields[gate], tile, spot);
            if heading.is_there()
                && let Some(room) = to.room
            {
                return self.inside[to.table as usize + self.rooms[room].row(gate)];
            }
            best = best.or(heading.plus(to.beyond[gate]));
        }
        best
    }

    fn heading_inside(&self, to: &Destination, spot: Spot) -> Option<Heading> {
        match spot {
            Spot::Room(room, position) if to.room == Some(room) => {
                Some(self.inside[to.table as usize + position as usize])
            }
            _ => None,
        }
    }

    /// The way to the goals of a field. A tile in a room is left over one of its gates.
    fn heading_to_field(&self, plan: &Plan, field: FieldId, tile: Tile, spot: Spot) -> Heading {
        let streets = self.streets(plan);
        match spot {
            Spot::Street(number) => self.fields[field].heading(&streets, number, plan.at(tile)),
            Spot::Room(room, position) => {
                let over = |gate: &Gate| {
                    let heading = self.inside[gate.table as usize + position as usize];
                    let steps = || self.fields[field].heading(&streets, gate.number, gate.at).steps();
                    heading.plus(self.gate_steps.get_or(gate.id, field, steps))
                };
                self.rooms[room].gates.iter().map(over).fold(Heading::NONE, Heading::or)
            }
            Spot::Wall => Heading::NONE,
        }
    }

    /// Whether a destination is at most `limit` steps away. Far tiles are ruled out without reading a field.
    pub(crate) fn is_within(&self, plan: &Plan, to: &Destination, tile: Tile, limit: u16) -> bool {
        let at = plan.at(tile);
        let straight = |gate: usize| self.fields[to.fields[gate]].area.distance(at) + u32::from(to.beyond[gate]);
        let inside = self.heading_inside(to, self.spots[tile].unpack());
        match inside {
            Some(heading) => heading.steps() <= limit,
            None => {
                (0..to.count as usize).any(|gate| straight(gate) <= u32::from(limit))
                    && self.heading(plan, to, tile).steps() <= limit
            }
        }
    }

    /// The destinations of a home: its floor first, then the others, as far as there are.
    pub(crate) fn group<const N: usize>(&self, destinations: [Option<Destination>; N]) -> DestinationGroup<N> {
        let room = destinations.iter().flatten().next().and_then(|first| first.room);
        let fields = if let Some(room) = room {
            let over = |(gate, it): (usize, &Gate)| {
                (it.field, destinations.map(|to| to.map_or(u16::MAX, |to| to.beyond[gate])))
            };
            self.rooms[room].gates.iter().enumerate().map(over).collect()
        } else {
            let own = |(at, to): (usize, &Option<Destination>)| {
                let mut beyond = [u16::MAX; N];
                beyond[at] = 0;
                to.map(|to| (to.fields[0], beyond))
            };
            destinations.iter().enumerate().filter_map(own).collect()
        };
        DestinationGroup { room, fields }
    }

    /// The ways from a tile to a group of destinations.
    pub(crate) fn headings<const N: usize>(
        &self,
        plan: &Plan,
        group: &DestinationGroup<N>,
        tile: Tile,
    ) -> GroupHeadings<N> {
        let spot = self.spots[tile].unpack();
        if let Spot::Room(room, position) = spot
            && group.room == Some(room)
        {
            return GroupHeadings::Row(position as usize);
        }
        let mut found = [Heading::NONE; N];
        for (gate, (field, beyond)) in group.fields.iter().enumerate() {
            let heading = self.heading_to_field(plan, *field, tile, spot);
            if heading.is_there()
                && let Some(room) = group.room
            {
                return GroupHeadings::Row(self.rooms[room].row(gate));
            }
            for (found, beyond) in found.iter_mut().zip(beyond) {
                *found = found.or(heading.plus(*beyond));
            }
        }
        GroupHeadings::Outside(found)
    }

    /// The memory of the ways.
    pub(crate) fn tables(&self) -> [Table; 3] {
        let rooms = nested(&self.rooms, |room| room.tiles.heap_bytes() + room.gates.heap_bytes());
        let in_rooms = [self.spots.heap_bytes(), rooms, self.inside.heap_bytes(), self.reaches.heap_bytes()];
        [
            Table::new("fields of ways", nested(&self.fields, Field::heap_bytes)),
            Table::new("ways from gates", self.gate_steps.steps.heap_bytes()),
            Table::new("ways in rooms", in_rooms.iter().sum()),
        ]
    }

    /// The tiles of the room of a group in the order of the rows of its tables: its own, then its gates. Empty without a room.
    pub(crate) fn row_tiles<const N: usize>(&self, group: &DestinationGroup<N>) -> Vec<Tile> {
        let of = |room: RoomId| {
            let RoomGates { tiles, gates } = &self.rooms[room];
            tiles.iter().copied().chain(gates.iter().map(|gate| gate.tile)).collect()
        };
        group.room.map(of).unwrap_or_default()
    }
}

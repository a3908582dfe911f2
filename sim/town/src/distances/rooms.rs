//! Rooms: places with one or two gates. A gate is a walkable tile outside that borders on the place. Every way between the inside
//! and the outside leads over a gate. All other walkable tiles, gates included, are streets.

use crate::ids::{Column, Key, PlaceId, Tile};
use crate::plan::Plan;

/// Most gates of a room. A place with more counts as street.
pub(super) const MOST_GATES: usize = 2;
/// Most rooms, and most tiles of a room, as [`Spot`] holds them.
const MOST_ROOMS: usize = 0x7fff;
const MOST_TILES: usize = 0xffff;

/// Where a tile is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spot {
    /// Not walkable.
    Wall,
    /// The n-th street tile in reading order.
    Street(u32),
    /// The room and the position among its tiles.
    Room(RoomId, u16),
}

/// A [`Spot`] in one word: the highest bit marks streets.
#[derive(Clone, Copy, Debug)]
pub(super) struct PackedSpot(u32);

const STREET: u32 = 1 << 31;

impl PackedSpot {
    const WALL: Self = Self(u32::MAX);

    pub(super) fn unpack(self) -> Spot {
        match self {
            Self(u32::MAX) => Spot::Wall,
            Self(word) if word >= STREET => Spot::Street(word - STREET),
            Self(word) => Spot::Room(RoomId((word >> 16) as u16), word as u16),
        }
    }
}

/// A room, in the order in which they were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RoomId(pub(super) u16);

impl Key for RoomId {
    fn at(self) -> usize {
        self.0 as usize
    }
}

/// A place with its gates.
#[derive(Debug)]
pub(super) struct RoomTiles {
    pub(super) tiles: Vec<Tile>,
    pub(super) gates: Vec<Tile>,
}

/// The rooms of a plan, and where each tile is.
pub(super) fn find(plan: &Plan) -> (Column<RoomId, RoomTiles>, Column<Tile, PackedSpot>) {
    let mut spots = Column::filled((plan.width * plan.height) as usize, PackedSpot::WALL);
    let mut is_gate = Column::filled((plan.width * plan.height) as usize, false);
    let mut rooms: Vec<RoomTiles> = Vec::new();
    for (place, _) in plan.places() {
        let Some(room) = room(plan, place) else { continue };
        let in_other = |tile: &Tile| matches!(spots[*tile].unpack(), Spot::Room(..));
        // A room that borders on another one is street, so that gates are always street.
        if rooms.len() == MOST_ROOMS || room.gates.iter().any(in_other) || room.tiles.iter().any(|tile| is_gate[*tile])
        {
            continue;
        }
        for (position, tile) in room.tiles.iter().enumerate() {
            spots[*tile] = PackedSpot((rooms.len() << 16 | position) as u32);
        }
        room.gates.iter().for_each(|tile| is_gate[*tile] = true);
        rooms.push(room);
    }
    let mut streets = 0;
    for tile in (0..plan.width * plan.height).map(Tile) {
        if plan.walkable[tile] && spots[tile].unpack() == Spot::Wall {
            spots[tile] = PackedSpot(STREET | streets);
            streets += 1;
        }
    }
    (rooms.into(), spots)
}

/// The tiles and gates of a place; `None` when it has no gate or too many.
fn room(plan: &Plan, place: PlaceId) -> Option<RoomTiles> {
    let tiles: Vec<Tile> = plan.floor_of(place).collect();
    let mut gates = Vec::new();
    for ahead in tiles.iter().flat_map(|tile| plan.neighbours(*tile)).flatten() {
        if plan.walkable[ahead] && plan.place_of[ahead] != Some(place) && !gates.contains(&ahead) {
            gates.push(ahead);
            if gates.len() > MOST_GATES {
                return None;
            }
        }
    }
    (!gates.is_empty() && tiles.len() <= MOST_TILES - MOST_GATES).then_some(RoomTiles { tiles, gates })
}

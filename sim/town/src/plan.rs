//! The map plan: parser of the text file, geometry and distance fields. Rule: "Map and economy".
//!
//! ```text
//! place home_1 home 1 1 9 8      name, kind, left, top, width, height
//! map
//! ##########
//! #b..f.w.##      # wall, + door, . floor, : road, " grass, and the objects below
//! ```

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::ids::{Column, ObjectId, PlaceId, Tile};
use crate::memory::{HeapBytes as _, nested};

/// Steps to a destination by tile. A resident follows it by moving to an adjacent tile with a lower value.
pub type DistanceField = Column<Tile, u16>;

/// No path to the destination.
pub const UNREACHABLE: u16 = u16::MAX;

/// Most steps between two tiles of a plan.
pub(crate) const MAX_STEPS: u16 = 4_094;
/// Most steps from the first place to a tile. Two tiles are then at most [`MAX_STEPS`] apart.
const MAX_STEPS_FROM_FIRST_PLACE: u16 = MAX_STEPS / 2;

/// Most objects and places, so that 16 bits number them.
const MAX_OBJECTS: usize = 60_000;
const MAX_PLACES: usize = 60_000;

/// Kind of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// For sleeping.
    Bed,
    /// Holds meals.
    Fridge,
    /// Turns groceries into meals. Needs power.
    Stove,
    /// Needs water.
    Shower,
    /// Sells meals.
    Till,
    /// For working.
    Desk,
    /// Seats four.
    Table,
    /// Sells groceries.
    Shelf,
}

/// Kind, name, character on the plan, and capacity.
pub const OBJECT_KINDS: [(ObjectKind, &str, char, u16); 8] = [
    (ObjectKind::Bed, "bed", 'b', 1),
    (ObjectKind::Fridge, "fridge", 'f', 1),
    (ObjectKind::Stove, "stove", 's', 1),
    (ObjectKind::Shower, "shower", 'w', 1),
    (ObjectKind::Till, "till", 't', 1),
    (ObjectKind::Desk, "desk", 'd', 1),
    (ObjectKind::Table, "table", 'T', 4),
    (ObjectKind::Shelf, "shelf", 'h', 1),
];

impl ObjectKind {
    fn row(self) -> &'static (Self, &'static str, char, u16) {
        &OBJECT_KINDS[self as usize]
    }

    /// The name, such as `shower`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Residents who can use one at a time.
    pub fn capacity(self) -> u16 {
        self.row().3
    }
}

/// Kind of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlaceKind {
    /// For living.
    Home,
    /// Sells groceries.
    Grocer,
    /// Sells meals.
    Cafe,
    /// Has desks.
    Office,
    /// Has tables.
    Park,
    /// Has public showers.
    Gym,
}

/// Kind and name.
pub const PLACE_KINDS: [(PlaceKind, &str); 6] = [
    (PlaceKind::Home, "home"),
    (PlaceKind::Grocer, "grocer"),
    (PlaceKind::Cafe, "cafe"),
    (PlaceKind::Office, "office"),
    (PlaceKind::Park, "park"),
    (PlaceKind::Gym, "gym"),
];

impl PlaceKind {
    /// The name, such as `cafe`.
    pub fn name(self) -> &'static str {
        PLACE_KINDS.iter().find(|row| row.0 == self).expect("every kind has a row").1
    }
}

/// A named rectangle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Unique name, such as `home_1`.
    pub name: String,
    /// Kind.
    pub kind: PlaceKind,
    /// Left edge, in tiles.
    pub x: u32,
    /// Top edge, in tiles.
    pub y: u32,
    /// In tiles.
    pub width: u32,
    /// In tiles.
    pub height: u32,
}

/// An object on a tile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Kind and number in reading order, such as `shower_1`.
    pub name: String,
    /// Kind.
    pub kind: ObjectKind,
    /// Position. Residents use the object from this tile or an adjacent one.
    pub tile: Tile,
    /// The place around it.
    pub place: PlaceId,
}

/// A parsed and checked plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// In tiles.
    pub width: u32,
    /// 2³² divided by the width, rounded up. Multiplying by it replaces a division by the width.
    per_row: u64,
    /// In tiles.
    pub height: u32,
    /// The rows as drawn.
    pub rows: Vec<String>,
    /// Whether a tile is walkable.
    pub walkable: Column<Tile, bool>,
    /// The place of every tile.
    pub place_of: Column<Tile, Option<PlaceId>>,
    /// In the order of the legend.
    pub places: Column<PlaceId, Place>,
    /// In reading order.
    pub objects: Column<ObjectId, Object>,
}

/// An error in a plan, with its position.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file}:{line}:{column}: {what}")]
pub struct PlanError {
    /// The file's name.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// The error and what is allowed.
    pub what: String,
}

impl Plan {
    /// Parses a plan of `size` = (width, height) tiles.
    ///
    /// # Errors
    /// The first error in the text.
    pub fn parse(file: &str, text: &str, size: (u32, u32)) -> Result<Self, PlanError> {
        let at = |line: usize, column: usize, what: String| PlanError { file: file.to_owned(), line, column, what };
        let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim_end()));
        let mut places: Vec<Place> = Vec::new();
        loop {
            let Some((number, line)) = lines.next() else {
                return Err(at(text.lines().count().max(1), 1, "there is no line `map` before the drawing.".into()));
            };
            if line == "map" {
                break;
            }
            if !line.is_empty() && !line.starts_with("//") {
                let place = parse_place(line).map_err(|what| at(number, 1, what))?;
                if places.iter().any(|other| other.name == place.name) {
                    return Err(at(number, 7, format!("the place `{}` is named twice.", place.name)));
                }
                if places.len() == MAX_PLACES {
                    return Err(at(number, 7, format!("a plan has at most {MAX_PLACES} places.")));
                }
                if place.x + place.width > size.0 || place.y + place.height > size.1 {
                    let what = format!("the place `{}` reaches outside the {} × {} map.", place.name, size.0, size.1);
                    return Err(at(number, 7, what));
                }
                places.push(place);
            }
        }
        let rows: Vec<(usize, &str)> = lines.filter(|(_, line)| !line.is_empty()).collect();
        if rows.len() != size.1 as usize {
            let line = rows.last().map_or(1, |row| row.0);
            let what = format!("the drawing has {} rows; `world.grid_size` says {}.", rows.len(), size.1);
            return Err(at(line, 1, what));
        }
        let plan = draw(file, &rows, size, places)?;
        plan.check(file, rows[0].0)?;
        Ok(plan)
    }

    /// Column and row of a tile.
    pub fn at(&self, tile: Tile) -> (u32, u32) {
        // Exact, because a map has at most 2²⁰ tiles and 2¹⁰ columns.
        let row = ((u64::from(tile.0) * self.per_row) >> 32) as u32;
        (tile.0 - row * self.width, row)
    }

    /// The tile at a column and row on the map.
    pub fn tile(&self, x: u32, y: u32) -> Option<Tile> {
        (x < self.width && y < self.height).then(|| Tile(y * self.width + x))
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        let rows = nested(&self.rows, String::heap_bytes);
        let places = nested(&self.places, |place| place.name.heap_bytes());
        let objects = nested(&self.objects, |object| object.name.heap_bytes());
        rows + self.walkable.heap_bytes() + self.place_of.heap_bytes() + places + objects
    }

    /// All objects with their ids.
    pub fn objects(&self) -> impl Iterator<Item = (ObjectId, &Object)> {
        self.objects.iter().enumerate().map(|(index, object)| (ObjectId(index as u16), object))
    }

    /// All places with their ids.
    pub fn places(&self) -> impl Iterator<Item = (PlaceId, &Place)> {
        self.places.iter().enumerate().map(|(index, place)| (PlaceId(index as u16), place))
    }

    /// Walkable tiles of a place, in reading order.
    pub fn floor_of(&self, place: PlaceId) -> impl Iterator<Item = Tile> + '_ {
        let Place { x, y, width, height, .. } = &self.places[place];
        let rows = (*y..y + height).flat_map(move |row| (*x..x + width).map(move |column| (column, row)));
        rows.map(|(column, row)| Tile(row * self.width + column))
            .filter(move |tile| self.walkable[*tile] && self.place_of[*tile] == Some(place))
    }

    /// Whether a place has a table to meet at.
    pub(crate) fn has_table(&self, place: PlaceId) -> bool {
        self.objects.iter().any(|object| object.place == place && object.kind == ObjectKind::Table)
    }

    /// The adjacent tiles north, east, south and west, as far as they are on the map.
    pub fn neighbours(&self, tile: Tile) -> [Option<Tile>; 4] {
        let (x, y) = self.at(tile);
        [
            y.checked_sub(1).map(|_| Tile(tile.0 - self.width)),
            (x + 1 < self.width).then(|| Tile(tile.0 + 1)),
            (y + 1 < self.height).then(|| Tile(tile.0 + self.width)),
            x.checked_sub(1).map(|_| Tile(tile.0 - 1)),
        ]
    }

    /// Steps from every tile to the nearest goal around walls; [`UNREACHABLE`] without a path.
    pub fn distances(&self, goals: &[Tile]) -> DistanceField {
        let tiles = (self.width * self.height) as usize;
        let mut field = Column::filled(tiles, UNREACHABLE);
        // Tiles in the order in which they are reached; each enters once.
        let mut reached: Vec<Tile> = Vec::with_capacity(tiles + goals.len());
        for goal in goals {
            field[*goal] = 0;
            reached.push(*goal);
        }
        let mut visited = 0;
        while let Some(tile) = reached.get(visited).copied() {
            visited += 1;
            let next = field[tile].saturating_add(1).min(UNREACHABLE - 1);
            for neighbour in self.neighbours(tile).into_iter().flatten() {
                if self.walkable[neighbour] && field[neighbour] == UNREACHABLE {
                    field[neighbour] = next;
                    reached.push(neighbour);
                }
            }
        }
        field
    }

    fn check(&self, file: &str, first_row: usize) -> Result<(), PlanError> {
        let at = |tile: Tile, what: String| {
            let (x, y) = self.at(tile);
            PlanError { file: file.to_owned(), line: first_row + y as usize, column: x as usize + 1, what }
        };
        let corner = Tile(0);
        for (kind, kind_name) in PLACE_KINDS {
            if kind != PlaceKind::Gym && !self.places.iter().any(|place| place.kind == kind) {
                return Err(at(corner, format!("there is no place of kind `{kind_name}`; a town needs one.")));
            }
        }
        for (id, place) in self.places() {
            if self.floor_of(id).next().is_none() {
                return Err(at(corner, format!("the place `{}` has no walkable tile.", place.name)));
            }
        }
        let reach = self.distances(&[self.floor_of(PlaceId(0)).next().expect("checked above")]);
        for tile in (0..self.width * self.height).map(Tile).filter(|tile| self.walkable[*tile]) {
            if reach[tile] == UNREACHABLE {
                return Err(at(tile, "this tile cannot be reached from the first place; open a door.".into()));
            }
            if reach[tile] > MAX_STEPS_FROM_FIRST_PLACE {
                let what = format!(
                    "this tile is {} steps from the first place; a plan allows {MAX_STEPS_FROM_FIRST_PLACE}.",
                    reach[tile]
                );
                return Err(at(tile, what));
            }
        }
        Ok(())
    }
}

fn parse_place(line: &str) -> Result<Place, String> {
    let right = "For example: `place home_1 home 1 1 9 8`: name, kind, left, top, width, height.";
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["place", name, kind, x, y, width, height] = words[..] else {
        return Err(format!("this line is neither a place nor `map`. {right}"));
    };
    let kinds: Vec<&str> = PLACE_KINDS.iter().map(|row| row.1).collect();
    let kind = PLACE_KINDS
        .iter()
        .find(|row| row.1 == kind)
        .ok_or_else(|| format!("`{kind}` is not a kind of place; there are {}.", kinds.join(", ")))?
        .0;
    let number = |text: &str| {
        text.parse::<u32>()
            .ok()
            .filter(|number| *number <= 4_096)
            .ok_or(format!("`{text}` is not a whole number up to 4,096. {right}"))
    };
    Ok(Place {
        name: name.to_owned(),
        kind,
        x: number(x)?,
        y: number(y)?,
        width: number(width)?,
        height: number(height)?,
    })
}

fn draw(file: &str, rows: &[(usize, &str)], size: (u32, u32), places: Vec<Place>) -> Result<Plan, PlanError> {
    let at = |line: usize, column: usize, what: String| PlanError { file: file.to_owned(), line, column, what };
    let tiles = (size.0 * size.1) as usize;
    let mut walkable = Column::filled(tiles, false);
    let mut place_of: Column<Tile, Option<PlaceId>> = Column::filled(tiles, None);
    for (index, place) in places.iter().enumerate() {
        for y in place.y..place.y + place.height {
            for x in place.x..place.x + place.width {
                place_of[Tile(y * size.0 + x)] = Some(PlaceId(index as u16));
            }
        }
    }
    let mut objects: Vec<Object> = Vec::new();
    let mut counts = [0; OBJECT_KINDS.len()];
    for (y, (number, row)) in rows.iter().enumerate() {
        if row.chars().count() != size.0 as usize {
            let what = format!("this row has {} tiles; `world.grid_size` says {}.", row.chars().count(), size.0);
            return Err(at(*number, 1, what));
        }
        for (x, mark) in row.chars().enumerate() {
            let tile = Tile(y as u32 * size.0 + x as u32);
            walkable[tile] = mark != '#';
            if matches!(mark, '#' | '+' | '.' | ':' | '"') {
                continue;
            }
            let Some((kind, name, _, _)) = OBJECT_KINDS.iter().find(|row| row.2 == mark) else {
                let marks: Vec<String> = OBJECT_KINDS.iter().map(|row| format!("{} {}", row.2, row.1)).collect();
                let what = format!(
                    "`{mark}` means nothing here: # wall, + door, . floor, : road, \" grass, {}.",
                    marks.join(", ")
                );
                return Err(at(*number, x + 1, what));
            };
            let Some(place) = place_of[tile] else {
                return Err(at(
                    *number,
                    x + 1,
                    format!("this {name} is outside every place; enlarge a place or move it."),
                ));
            };
            if objects.len() == MAX_OBJECTS {
                return Err(at(
                    *number,
                    x + 1,
                    format!("this {name} is one too many; a plan has at most {MAX_OBJECTS} objects."),
                ));
            }
            let count = &mut counts[*kind as usize];
            *count += 1;
            objects.push(Object { name: format!("{name}_{count}"), kind: *kind, tile, place });
        }
    }
    Ok(Plan {
        width: size.0,
        per_row: (1_u64 << 32).div_ceil(u64::from(size.0.max(1))),
        height: size.1,
        rows: rows.iter().map(|row| row.1.to_owned()).collect(),
        walkable,
        place_of,
        places: places.into(),
        objects: objects.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_is_in_the_row_and_column_that_a_division_finds() {
        let text = include_str!("../../../configs/towns/default.txt");
        let mut plan = Plan::parse("default.txt", text, (48, 48)).expect("the shipped plan");
        for width in 1..=1_024_u32 {
            plan.width = width;
            plan.per_row = (1_u64 << 32).div_ceil(u64::from(width));
            for tile in (0..1 << 20).step_by(997).chain([width - 1, width, (1 << 20) - 1]) {
                assert_eq!(plan.at(Tile(tile)), (tile % width, tile / width), "{tile} of {width}");
            }
        }
    }
}

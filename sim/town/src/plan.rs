//! The map plan: a text a person can read and edit, one character a tile.
//!
//! Owns the file's grammar and the geometry read from it. Must not know who lives there. Rule: "Map and economy".
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

/// What an object is. The character is its mark on the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// Sleep.
    Bed,
    /// Holds meals.
    Fridge,
    /// Turns groceries into meals.
    Stove,
    /// Needs water.
    Shower,
    /// Sells meals.
    Till,
    /// A place of work.
    Desk,
    /// Four may sit at one.
    Table,
    /// Sells groceries.
    Shelf,
}

/// Kind, name, mark on the plan, how many may use one at a time.
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

    /// Such as `shower`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// How many may use one at a time.
    pub fn capacity(self) -> u16 {
        self.row().3
    }
}

/// What a place is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlaceKind {
    /// Residents live here.
    Home,
    /// Sells groceries.
    Grocer,
    /// Sells meals.
    Cafe,
    /// Desks.
    Office,
    /// Tables under trees.
    Park,
    /// Showers open to all.
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
    /// Such as `cafe`.
    pub fn name(self) -> &'static str {
        PLACE_KINDS.iter().find(|row| row.0 == self).expect("every kind has a row").1
    }
}

/// A named rectangle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Such as `home_1`; unique.
    pub name: String,
    /// What it is for.
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

/// A thing on a tile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Such as `shower_1`: kind and number in reading order.
    pub name: String,
    /// What it is.
    pub kind: ObjectKind,
    /// Where it stands. Residents use it from here or from a tile beside it.
    pub tile: Tile,
    /// The place it belongs to.
    pub place: PlaceId,
}

/// A plan that has been read and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// In tiles.
    pub width: u32,
    /// 2³² over the width, rounded up: a product with it takes the place of a division.
    per_row: u64,
    /// In tiles.
    pub height: u32,
    /// The rows as drawn.
    pub rows: Vec<String>,
    /// Whether residents can stand on a tile.
    pub walkable: Column<Tile, bool>,
    /// Which place a tile belongs to.
    pub place_of: Column<Tile, Option<PlaceId>>,
    /// In the order of the legend.
    pub places: Column<PlaceId, Place>,
    /// In reading order.
    pub objects: Column<ObjectId, Object>,
}

/// What is wrong with a plan, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file}:{line}:{column}: {what}")]
pub struct PlanError {
    /// The file's name.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// What is wrong and what would be right.
    pub what: String,
}

impl Plan {
    /// Reads a plan of `size` = (width, height) tiles.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place in the file.
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
        // Exact, as a map has at most 2²⁰ tiles and 2¹⁰ columns.
        let row = ((u64::from(tile.0) * self.per_row) >> 32) as u32;
        (tile.0 - row * self.width, row)
    }

    /// The tile at a column and row, when it is on the map.
    pub fn tile(&self, x: u32, y: u32) -> Option<Tile> {
        (x < self.width && y < self.height).then(|| Tile(y * self.width + x))
    }

    /// All objects with their ids.
    pub fn objects(&self) -> impl Iterator<Item = (ObjectId, &Object)> {
        self.objects.iter().enumerate().map(|(index, object)| (ObjectId(index as u16), object))
    }

    /// All places with their ids.
    pub fn places(&self) -> impl Iterator<Item = (PlaceId, &Place)> {
        self.places.iter().enumerate().map(|(index, place)| (PlaceId(index as u16), place))
    }

    /// Tiles of a place that residents can stand on, in reading order.
    pub fn floor_of(&self, place: PlaceId) -> impl Iterator<Item = Tile> + '_ {
        (0..self.width * self.height)
            .map(Tile)
            .filter(move |tile| self.walkable[*tile] && self.place_of[*tile] == Some(place))
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
                return Err(at(corner, format!("the place `{}` has no tile to stand on.", place.name)));
            }
        }
        let reach = crate::pathfinding::field(self, &[self.floor_of(PlaceId(0)).next().expect("checked above")]);
        for tile in (0..self.width * self.height).map(Tile).filter(|tile| self.walkable[*tile]) {
            if reach[tile] == crate::pathfinding::FAR {
                return Err(at(tile, "this tile cannot be reached from the first place; open a door.".into()));
            }
        }
        Ok(())
    }
}

fn parse_place(line: &str) -> Result<Place, String> {
    let right = "Such as `place home_1 home 1 1 9 8`: name, kind, left, top, width, height.";
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
                return Err(at(*number, x + 1, format!("this {name} stands in no place; widen one or move it.")));
            };
            let count = objects.iter().filter(|object| object.kind == *kind).count() + 1;
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

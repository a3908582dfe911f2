//! Draws the map in layers: ground, objects, residents, cursor.

use std::collections::BTreeMap;
use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::resident_letters::ResidentLetters;
use crate::indexed_snapshot::IndexedSnapshot;
use crate::theme::Theme;
use townlet_wire::telemetry::{Agent, Map, MapPlace};

/// Kinds of places with the texture of their ground.
pub(super) const PLACE_TEXTURES: [(&str, char); 7] =
    [("road", '·'), ("home", ','), ("grocer", ':'), ("cafe", '~'), ("office", '-'), ("park", '"'), ("gym", '=')];

/// Kinds of objects with their signs. Letters are reserved for residents, digits for counts.
const OBJECT_SIGNS: [(&str, char); 8] = [
    ("bed", '▬'),
    ("fridge", '▯'),
    ("stove", '◉'),
    ("shower", '╬'),
    ("till", '$'),
    ("desk", '╥'),
    ("table", '╤'),
    ("shelf", '≡'),
];

pub(super) fn object_sign(kind: &str) -> char {
    OBJECT_SIGNS.iter().find(|(name, _)| *name == kind).map_or('◊', |(_, sign)| *sign)
}

/// Texture and style of a kind of place.
pub(super) fn ground(kind: &str, theme: &Theme) -> (char, Style) {
    match PLACE_TEXTURES.iter().position(|(name, _)| *name == kind) {
        Some(0) | None => ('·', theme.dim),
        Some(at) => (PLACE_TEXTURES[at].1, theme.hues[(at - 1) % theme.hues.len()]),
    }
}

/// The smallest place that contains a tile.
pub(super) fn place_at(map: &Map, x: u64, y: u64) -> Option<&MapPlace> {
    let holds = |place: &&MapPlace| {
        (place.x..place.x + place.width).contains(&x) && (place.y..place.y + place.height).contains(&y)
    };
    map.places.iter().filter(holds).min_by_key(|place| place.width * place.height)
}

/// Style of a resident's letter.
pub(super) fn resident_style(id: &str, theme: &Theme) -> Style {
    let sum = id.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
    theme.hues[sum % theme.hues.len()].add_modifier(Modifier::BOLD)
}

/// The visible part of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// Area on screen.
    pub(super) area: Rect,
    /// Cells per tile horizontally: 2 if there is space, because cells are twice as high as wide.
    pub(super) scale: u16,
    /// First visible tile.
    pub(super) left: u64,
    pub(super) top: u64,
    /// Visible tiles.
    pub(super) columns: u64,
    pub(super) rows: u64,
}

impl Window {
    /// Centred on the cursor, as far as the edges of the map allow.
    pub(super) fn centred_on(map: &Map, area: Rect, cursor: (u64, u64)) -> Self {
        let scale = if u64::from(area.width) >= map.width * 2 { 2 } else { 1 };
        let columns = u64::from(area.width / scale).min(map.width);
        let rows = u64::from(area.height).min(map.height);
        let first = |at: u64, seen: u64, all: u64| at.saturating_sub(seen / 2).min(all - seen);
        let (left, top) = (first(cursor.0, columns, map.width), first(cursor.1, rows, map.height));
        let spare_x = (area.width - columns as u16 * scale) / 2;
        let spare_y = (area.height - rows as u16) / 2;
        let area = Rect::new(area.x + spare_x, area.y + spare_y, columns as u16 * scale, rows as u16);
        Self { area, scale, left, top, columns, rows }
    }

    /// Columns and rows of the visible tiles.
    fn tiles(&self) -> (Range<u64>, Range<u64>) {
        (self.left..self.left + self.columns, self.top..self.top + self.rows)
    }

    /// The first cell of a tile, if it is visible.
    fn cell(&self, x: u64, y: u64) -> Option<(u16, u16)> {
        let inside =
            (self.left..self.left + self.columns).contains(&x) && (self.top..self.top + self.rows).contains(&y);
        inside.then(|| {
            let (column, row) = ((x - self.left) as u16, (y - self.top) as u16);
            (self.area.x + column * self.scale, self.area.y + row)
        })
    }

    /// The tile at a cell of the screen.
    pub(super) fn tile(&self, column: u16, row: u16) -> Option<(u64, u64)> {
        let inside = self.area.contains((column, row).into());
        let tile =
            || (self.left + u64::from((column - self.area.x) / self.scale), self.top + u64::from(row - self.area.y));
        inside.then(tile)
    }

    /// Visible rows and columns, if not all are visible: `rows 14–33 of 48 ↑↓`.
    pub(super) fn scrolled(&self, map: &Map) -> Option<String> {
        let part = |name: &str, first: u64, seen: u64, all: u64, arrows: [&str; 2]| {
            let back = if first > 0 { arrows[0] } else { "" };
            let on = if first + seen < all { arrows[1] } else { "" };
            (seen < all).then(|| format!("{name} {}–{} of {all} {back}{on}", first + 1, first + seen))
        };
        let across = part("columns", self.left, self.columns, map.width, ["←", "→"]);
        let down = part("rows", self.top, self.rows, map.height, ["↑", "↓"]);
        let parts: Vec<String> = across.into_iter().chain(down).collect();
        (!parts.is_empty()).then(|| parts.join(" · "))
    }
}

/// Target of the layers.
pub(super) struct Canvas<'a> {
    pub(super) buffer: &'a mut Buffer,
    pub(super) window: Window,
    pub(super) theme: &'a Theme,
}

impl Canvas<'_> {
    fn put(&mut self, tile: (u64, u64), column: u16, sign: char, style: Style) {
        if let Some((x, y)) = self.window.cell(tile.0, tile.1)
            && column < self.window.scale
        {
            self.buffer[(x + column, y)].set_char(sign).set_style(style);
        }
    }

    /// Draws walls, doors and textures.
    pub(super) fn ground(&mut self, map: &Map) {
        let Window { left, top, columns, rows, .. } = self.window;
        let places = self.places(map);
        for y in top..top + rows {
            let mut plan = map.rows.get(y as usize).map(|row| row.chars().skip(left as usize));
            for x in left..left + columns {
                let mark = plan.as_mut().and_then(Iterator::next).unwrap_or(' ');
                let place = places[((y - top) * columns + (x - left)) as usize];
                let (first, second, style) = match (mark, place) {
                    ('#', _) => ('▒', '▒', self.theme.border),
                    ('+', _) => ('+', ' ', self.theme.text),
                    (_, Some(place)) => {
                        let (texture, style) = ground(&place.kind, self.theme);
                        (texture, ' ', style)
                    }
                    (' ', None) => (' ', ' ', self.theme.dim),
                    (_, None) => ('·', ' ', self.theme.dim),
                };
                self.put((x, y), 0, first, style);
                self.put((x, y), 1, second, style);
            }
        }
    }

    /// The place of every visible tile, row by row, as by [`place_at`]; visits each place only once.
    fn places<'m>(&self, map: &'m Map) -> Vec<Option<&'m MapPlace>> {
        let Window { left, top, columns, rows, .. } = self.window;
        let mut tiles = vec![None; (columns * rows) as usize];
        let mut places: Vec<&MapPlace> = map.places.iter().collect();
        places.sort_by_key(|place| std::cmp::Reverse(place.width * place.height));
        for place in places {
            for y in place.y.max(top)..(place.y + place.height).min(top + rows) {
                for x in place.x.max(left)..(place.x + place.width).min(left + columns) {
                    tiles[((y - top) * columns + (x - left)) as usize] = Some(place);
                }
            }
        }
        tiles
    }

    /// Draws objects, with a mark if their power or water is off or the number of waiting residents. With one cell per tile, the
    /// mark replaces the sign.
    pub(super) fn objects(&mut self, view: &IndexedSnapshot) {
        let (columns, rows) = self.window.tiles();
        for (object, queue) in view.objects_within(columns, rows) {
            let tile = (object.x, object.y);
            let used = queue.is_some_and(|queue| !queue.users.is_empty());
            let style = if used { self.theme.accent.add_modifier(Modifier::BOLD) } else { self.theme.text };
            self.put(tile, 0, object_sign(&object.kind), style);
            let mark = match queue {
                Some(queue) if queue.is_off() => Some(('✗', self.theme.bad)),
                Some(queue) if !queue.waiting.is_empty() => {
                    let digit = char::from_digit(queue.waiting.len() as u32, 10).unwrap_or('9');
                    Some((digit, self.theme.warn.add_modifier(Modifier::BOLD)))
                }
                _ => None,
            };
            if let Some((sign, style)) = mark {
                self.put(tile, self.window.scale - 1, sign, style);
            }
        }
    }

    /// Draws residents as letters, followed by their number on the tile or their tie to `focus`, if there is space.
    pub(super) fn residents(
        &mut self,
        view: &IndexedSnapshot,
        letters: &ResidentLetters,
        focus: Option<&Agent>,
        ties: bool,
    ) {
        let mut crowd: BTreeMap<(u64, u64), u32> = BTreeMap::new();
        // The focused resident is drawn last, over others on the tile.
        let (columns, rows) = self.window.tiles();
        let here = view.residents_within(columns, rows);
        let others = here.filter(|agent| focus.is_none_or(|focus| focus.id != agent.id));
        for agent in others.chain(focus) {
            let tile = (agent.x, agent.y);
            let here = crowd.entry(tile).or_default();
            *here += 1;
            let style = resident_style(&agent.id, self.theme);
            self.put(tile, 0, letters.of(agent), style);
            if *here > 1 {
                self.put(tile, 1, char::from_digit(*here, 10).unwrap_or('9'), style);
            } else if ties && let Some((sign, style)) = focus.and_then(|focus| tie_sign(view, focus, agent, self.theme))
            {
                self.put(tile, 1, sign, style);
                if self.window.scale == 1 {
                    self.put(tile, 0, letters.of(agent), style.add_modifier(Modifier::UNDERLINED));
                }
            }
        }
    }

    pub(super) fn cursor(&mut self, tile: (u64, u64)) {
        if let Some((x, y)) = self.window.cell(tile.0, tile.1) {
            for column in 0..self.window.scale {
                self.buffer[(x + column, y)].set_style(Style::new().add_modifier(Modifier::REVERSED));
            }
        }
    }
}

/// Tie of `focus` to `other`: `♥` for trust, `!` for rivalry, `&` for any other tie.
pub(super) fn tie_sign(view: &IndexedSnapshot, focus: &Agent, other: &Agent, theme: &Theme) -> Option<(char, Style)> {
    let tie = view.ties_of(&focus.id).find(|tie| tie.other == other.id)?;
    Some(match (tie.trust > 0.3, tie.rivalry > 0.3) {
        (_, true) => ('!', theme.bad),
        (true, false) => ('♥', theme.good),
        (false, false) => ('&', theme.dim),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(width: u64, height: u64) -> Map {
        Map { width, height, rows: vec![".".repeat(width as usize); height as usize], ..Map::default() }
    }

    #[test]
    fn the_window_centres_on_the_cursor_and_stops_at_the_edges() {
        let map = map(48, 48);
        let area = Rect::new(1, 1, 48, 20);
        let top = |y| Window::centred_on(&map, area, (24, y)).top;
        assert_eq!((top(0), top(24), top(47)), (0, 14, 28));
        let window = Window::centred_on(&map, area, (24, 24));
        assert_eq!(window.scrolled(&map).as_deref(), Some("rows 15–34 of 48 ↑↓"));
        assert_eq!(window.tile(1, 1), Some((0, 14)));
        assert_eq!(window.tile(0, 1), None);
    }

    #[test]
    fn a_tile_is_two_cells_wide_where_there_is_room() {
        let small = map(10, 4);
        let window = Window::centred_on(&small, Rect::new(0, 0, 24, 8), (0, 0));
        assert_eq!((window.scale, window.area), (2, Rect::new(2, 2, 20, 4)));
        assert_eq!(window.scrolled(&small), None);
        assert_eq!((window.tile(4, 3), window.tile(5, 3)), (Some((1, 1)), Some((1, 1))));
        assert_eq!(Window::centred_on(&small, Rect::new(0, 0, 19, 8), (0, 0)).scale, 1);
    }

    #[test]
    fn the_ground_matches_the_place_of_each_tile() {
        let mut map = map(20, 20);
        let place =
            |x, y, size| MapPlace { name: format!("{x},{y}"), x, y, width: size, height: size, ..MapPlace::default() };
        map.places = vec![place(3, 3, 2), place(0, 0, 9), place(7, 7, 30)];
        let theme = Theme::named("dark", true).expect("there is a dark theme");
        let area = Rect::new(0, 0, 10, 10);
        let window = Window::centred_on(&map, area, (7, 7));
        let canvas = Canvas { buffer: &mut Buffer::empty(area), window, theme: &theme };
        let seen = canvas.places(&map);
        for y in 0..window.rows {
            for x in 0..window.columns {
                let expected = place_at(&map, window.left + x, window.top + y);
                assert_eq!(seen[(y * window.columns + x) as usize], expected, "{x},{y}");
            }
        }
    }

    #[test]
    fn the_smallest_place_wins() {
        let mut map = map(10, 10);
        let place = |name: &str, size| MapPlace { name: name.into(), width: size, height: size, ..MapPlace::default() };
        map.places = vec![place("street", 10), place("cafe", 3)];
        assert_eq!(place_at(&map, 2, 2).map(|place| place.name.as_str()), Some("cafe"));
        assert_eq!(place_at(&map, 3, 2).map(|place| place.name.as_str()), Some("street"));
    }
}

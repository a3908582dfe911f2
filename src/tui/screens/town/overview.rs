//! The whole map at once: where residents are, as dots of braille, and where they are hungry, find an object off, or wait.

use std::collections::BTreeMap;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use crate::format::count;
use crate::indexed_snapshot::IndexedSnapshot;
use crate::theme::Theme;
use townlet_wire::telemetry::{Agent, Map};

/// Dots of a cell, across and down.
const DOTS: [u64; 2] = [2, 4];
/// Bits of the dots of a braille character, by column and row.
const BITS: [[u32; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
/// Braille without dots.
const BLANK: u32 = 0x2800;
/// Residents of a cell from which it is drawn as text, and as a crowd.
const SOME: u32 = 3;
const CROWD: u32 = 8;

/// The map in cells of equal squares of tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overview {
    /// Area on screen.
    pub(super) area: Rect,
    /// Side of the square of tiles that a dot stands for.
    pub(super) tiles: u64,
}

/// The cells that have something to show.
pub(super) type Squares = BTreeMap<(u16, u16), Square>;

/// What a cell shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Square {
    /// Bits of the dots with residents.
    dots: u32,
    residents: u32,
    /// Residents whose hunger is below its critical level.
    hungry: u32,
    waiting: u32,
    /// Objects whose power or water is off.
    off: u32,
}

impl Overview {
    /// The largest picture of the map that fits into an area.
    pub(super) fn fitting(map: &Map, area: Rect) -> Self {
        let dots = [u64::from(area.width) * DOTS[0], u64::from(area.height) * DOTS[1]];
        let tiles = map.width.div_ceil(dots[0].max(1)).max(map.height.div_ceil(dots[1].max(1))).max(1);
        let [columns, rows] = [map.width.div_ceil(tiles * DOTS[0]), map.height.div_ceil(tiles * DOTS[1])];
        let (columns, rows) = ((columns as u16).min(area.width), (rows as u16).min(area.height));
        let (left, top) = (area.x + (area.width - columns) / 2, area.y + (area.height - rows) / 2);
        Self { area: Rect::new(left, top, columns, rows), tiles }
    }

    /// Tiles of a cell, across and down.
    pub(super) fn step(&self) -> [u64; 2] {
        DOTS.map(|dots| dots * self.tiles)
    }

    /// The cell of a tile.
    pub(super) fn cell(&self, x: u64, y: u64) -> Option<(u16, u16)> {
        let [across, down] = self.step();
        let (column, row) = (u16::try_from(x / across).ok()?, u16::try_from(y / down).ok()?);
        (column < self.area.width && row < self.area.height).then(|| (self.area.x + column, self.area.y + row))
    }

    /// The tile in the middle of a cell, on a map of this size.
    pub(super) fn tile(&self, column: u16, row: u16, map: &Map) -> Option<(u64, u64)> {
        let [across, down] = self.step();
        let inside = self.area.contains((column, row).into());
        let middle = |cell: u16, step: u64, size: u64| (u64::from(cell) * step + step / 2).min(size.saturating_sub(1));
        inside.then(|| (middle(column - self.area.x, across, map.width), middle(row - self.area.y, down, map.height)))
    }

    /// Draws the residents and the marks.
    pub(super) fn draw(&self, buffer: &mut Buffer, squares: &Squares, cursor: (u64, u64), theme: &Theme) {
        for (cell, square) in squares {
            let (sign, style) = square.sign(theme);
            buffer[*cell].set_char(sign).set_style(style);
        }
        if let Some(cell) = self.cell(cursor.0, cursor.1) {
            buffer[cell].set_style(Style::new().add_modifier(Modifier::REVERSED));
        }
    }

    /// Where residents that pass the filter are, and what needs attention.
    pub(super) fn squares(&self, view: &IndexedSnapshot, shown: impl Fn(&Agent) -> bool) -> Squares {
        let mut squares = Squares::new();
        for (_, (x, y), hungry) in view.residents_on_tiles().filter(|(agent, ..)| shown(agent)) {
            let Some(cell) = self.cell(x, y) else { continue };
            let square = squares.entry(cell).or_default();
            let [column, row] = [(x / self.tiles) % DOTS[0], (y / self.tiles) % DOTS[1]];
            square.dots |= BITS[column as usize][row as usize];
            square.residents += 1;
            square.hungry += u32::from(hungry);
        }
        for queue in view.queues_of_note() {
            let Some(object) = view.object(&queue.object) else { continue };
            let Some(cell) = self.cell(object.x, object.y) else { continue };
            let square = squares.entry(cell).or_default();
            square.waiting += queue.waiting.len() as u32;
            square.off += u32::from(queue.is_off());
        }
        squares
    }

    /// What is at the cursor, in words: `12 residents · 3 waiting · 1 hungry`.
    pub(super) fn caption(&self, squares: &Squares, cursor: (u64, u64)) -> String {
        let square = self.cell(cursor.0, cursor.1).and_then(|here| squares.get(&here).copied()).unwrap_or_default();
        let mut words = vec![count(u64::from(square.residents), "resident")];
        let more = [(square.waiting, "waiting"), (square.hungry, "hungry"), (square.off, "off")];
        words.extend(
            more.into_iter().filter(|(number, _)| *number > 0).map(|(number, word)| format!("{number} {word}")),
        );
        words.join(" · ")
    }
}

impl Square {
    /// The most urgent of what it has.
    fn sign(&self, theme: &Theme) -> (char, Style) {
        if self.hungry > 0 {
            return ('!', theme.bad.add_modifier(Modifier::BOLD));
        }
        if self.off > 0 {
            return ('✗', theme.bad);
        }
        if self.waiting > 0 {
            let digit = char::from_digit(self.waiting, 10).unwrap_or('9');
            return (digit, theme.warn.add_modifier(Modifier::BOLD));
        }
        let style = match self.residents {
            CROWD.. => theme.accent.add_modifier(Modifier::BOLD),
            SOME.. => theme.text,
            _ => theme.dim,
        };
        (char::from_u32(BLANK + self.dots).unwrap_or(' '), style)
    }
}

//! What the operator has arranged: the sizes of panes, and the columns of tables. The shell keeps it in a file of the user.
//! Rule: "Screens".

use std::collections::BTreeMap;

use ratatui::layout::{Constraint, Direction, Layout, Rect};
use serde_json::{Map, Value, json};

use super::table::Table;

/// A part of a division has at least this many rows or columns, if there are enough.
const LEAST: (u16, u16) = (4, 20);
/// Rows or columns by which a key changes a part.
const STEP: (u16, u16) = (1, 4);
/// Bytes of a file at most.
pub(crate) const MAX_BYTES: u64 = 64 * 1_024;

/// Sizes and columns that differ from the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layouts {
    /// Division → sizes of its parts in thousandths.
    sizes: BTreeMap<String, Vec<u16>>,
    /// Table → names of the shown columns, in order.
    columns: BTreeMap<String, Vec<String>>,
}

/// An area divided into parts along one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Division {
    name: &'static str,
    direction: Direction,
    /// The parts, from the top or the left.
    pub(crate) parts: Vec<Rect>,
}

impl Division {
    const fn length(direction: Direction, area: Rect) -> u16 {
        match direction {
            Direction::Horizontal => area.width,
            Direction::Vertical => area.height,
        }
    }

    /// The part that contains an area, if it divides along `direction`.
    pub(crate) fn part_with(&self, area: Rect, direction: Direction) -> Option<usize> {
        let contains = |part: &Rect| !area.is_empty() && part.intersection(area) == area;
        (self.direction == direction).then(|| self.parts.iter().position(contains)).flatten()
    }
}

/// Rows or columns of a pair.
const fn of(direction: Direction, (rows, columns): (u16, u16)) -> u16 {
    match direction {
        Direction::Horizontal => columns,
        Direction::Vertical => rows,
    }
}

/// `lengths` changed as little as possible so that each is at least `least`, if their sum allows.
fn bounded(mut lengths: Vec<u16>, least: u16) -> Vec<u16> {
    let total: u16 = lengths.iter().sum();
    if usize::from(least) * lengths.len() > usize::from(total) {
        return lengths;
    }
    while let Some(small) = lengths.iter().position(|length| *length < least) {
        let large = (0..lengths.len()).max_by_key(|index| lengths[*index]).unwrap_or(small);
        lengths[small] += 1;
        lengths[large] -= 1;
    }
    lengths
}

impl Layouts {
    /// Divides an area as the operator arranged it, else by `default`.
    pub(crate) fn divide(
        &self,
        name: &'static str,
        direction: Direction,
        area: Rect,
        default: &[Constraint],
    ) -> Division {
        let layout = |constraints: &[Constraint]| Layout::new(direction, constraints).split(area).to_vec();
        let parts = layout(default);
        let Some(shares) = self.sizes.get(name).filter(|shares| shares.len() == parts.len()) else {
            return Division { name, direction, parts };
        };
        let total = u32::from(Division::length(direction, area));
        // The last part gets the rest.
        let mut rest = total;
        let mut lengths = Vec::with_capacity(shares.len());
        for share in &shares[..shares.len().saturating_sub(1)] {
            let length = ((u32::from(*share) * total + 500) / 1_000).min(rest);
            rest -= length;
            lengths.push(length as u16);
        }
        lengths.push(rest as u16);
        let lengths = bounded(lengths, of(direction, LEAST));
        let parts = layout(&lengths.into_iter().map(Constraint::Length).collect::<Vec<_>>());
        Division { name, direction, parts }
    }

    /// Makes a part larger or smaller at the expense of its neighbours. Returns whether anything changed: no part becomes
    /// smaller than a few rows or columns.
    pub(crate) fn resize(&mut self, division: &Division, part: usize, larger: bool) -> bool {
        let direction = division.direction;
        // Several keys may come before the next frame.
        let drawn = division.parts.iter().map(|part| Constraint::Length(Division::length(direction, *part)));
        let area = division.parts.iter().copied().reduce(Rect::union).unwrap_or_default();
        let now = self.divide(division.name, direction, area, &drawn.collect::<Vec<_>>());
        let mut lengths: Vec<u16> = now.parts.iter().map(|part| Division::length(direction, *part)).collect();
        let (least, mut step) = (of(direction, LEAST), of(direction, STEP));
        // The next part pays or gains, then those after it, then those before.
        let others: Vec<usize> = (part + 1..lengths.len()).chain((0..part).rev()).collect();
        if others.is_empty() {
            return false;
        }
        if larger {
            for other in others {
                let given = lengths[other].saturating_sub(least).min(step);
                lengths[other] -= given;
                lengths[part] += given;
                step -= given;
            }
        } else {
            let given = lengths[part].saturating_sub(least).min(step);
            lengths[part] -= given;
            lengths[others[0]] += given;
            step -= given;
        }
        let total: u32 = lengths.iter().map(|length| u32::from(*length)).sum();
        if step == of(direction, STEP) || total == 0 {
            return false;
        }
        let share = |length: &u16| ((u32::from(*length) * 1_000 + total / 2) / total) as u16;
        self.sizes.insert(division.name.to_owned(), lengths.iter().map(share).collect());
        true
    }

    /// Gives every pane its default size. Returns whether anything changed.
    pub(crate) fn reset_sizes(&mut self) -> bool {
        let changed = !self.sizes.is_empty();
        self.sizes.clear();
        changed
    }

    /// Indices of the columns chosen for a table, in order; `None` for its default.
    pub(crate) fn columns(&self, table: &Table) -> Option<Vec<usize>> {
        let index = |head: &String| table.columns.iter().position(|column| column.head == head);
        let chosen: Vec<usize> = self.columns.get(table.name)?.iter().filter_map(index).collect();
        (!chosen.is_empty()).then_some(chosen)
    }

    /// Sets the columns of a table; `None` for its default.
    pub(crate) fn choose(&mut self, table: &Table, chosen: Option<&[usize]>) {
        match chosen {
            None => drop(self.columns.remove(table.name)),
            Some(chosen) => {
                let heads = chosen.iter().map(|index| table.columns[*index].head.to_owned()).collect();
                self.columns.insert(table.name.to_owned(), heads);
            }
        }
    }

    /// The text of the file.
    pub(crate) fn to_text(&self) -> String {
        format!("{:#}\n", json!({ "sizes": self.sizes, "columns": self.columns }))
    }

    /// Reads the text of the file.
    ///
    /// # Errors
    /// What is wrong with it, as a few words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let lists = |key: &str| -> Result<Map<String, Value>, String> {
            file.get(key).and_then(Value::as_object).cloned().ok_or_else(|| format!("`{key}` is not a map"))
        };
        let mut layouts = Self::default();
        for (name, list) in lists("sizes")? {
            let shares: Option<Vec<u16>> = list.as_array().and_then(|list| {
                list.iter().map(|share| share.as_u64().and_then(|share| u16::try_from(share).ok())).collect()
            });
            let shares = shares.filter(|shares| shares.iter().all(|share| *share <= 1_000));
            layouts.sizes.insert(name.clone(), shares.ok_or_else(|| format!("`sizes.{name}` is not a list of sizes"))?);
        }
        for (name, list) in lists("columns")? {
            let heads: Option<Vec<String>> =
                list.as_array().and_then(|list| list.iter().map(|head| head.as_str().map(str::to_owned)).collect());
            layouts
                .columns
                .insert(name.clone(), heads.ok_or_else(|| format!("`columns.{name}` is not a list of names"))?);
        }
        Ok(layouts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AREA: Rect = Rect::new(0, 0, 120, 40);

    fn halves(layouts: &Layouts, area: Rect) -> Division {
        layouts.divide("halves", Direction::Horizontal, area, &[Constraint::Ratio(1, 2); 2])
    }

    fn widths(division: &Division) -> Vec<u16> {
        division.parts.iter().map(|part| part.width).collect()
    }

    #[test]
    fn a_part_grows_to_the_bound_of_its_neighbours_and_no_further() {
        let mut layouts = Layouts::default();
        assert_eq!(widths(&halves(&layouts, AREA)), [60, 60]);
        assert!(layouts.resize(&halves(&layouts, AREA), 0, true));
        assert_eq!(widths(&halves(&layouts, AREA)), [64, 56]);
        assert!(layouts.resize(&halves(&layouts, AREA), 1, true));
        assert_eq!(widths(&halves(&layouts, AREA)), [60, 60], "the last part takes from the one before");
        let drawn = halves(&layouts, AREA);
        while layouts.resize(&drawn, 0, true) {}
        assert_eq!(widths(&halves(&layouts, AREA)), [100, 20], "also without a frame between two keys");
        while layouts.resize(&halves(&layouts, AREA), 0, false) {}
        assert_eq!(widths(&halves(&layouts, AREA)), [20, 100]);
        assert!(layouts.reset_sizes() && !layouts.reset_sizes());
        assert_eq!(widths(&halves(&layouts, AREA)), [60, 60]);
    }

    #[test]
    fn rows_are_taken_from_the_next_part_then_from_those_before() {
        let mut layouts = Layouts::default();
        let divide = |layouts: &Layouts| {
            let rows = [Constraint::Length(10), Constraint::Length(5), Constraint::Length(9)];
            layouts.divide("rows", Direction::Vertical, Rect { height: 24, ..AREA }, &rows)
        };
        let heights = |layouts: &Layouts| divide(layouts).parts.iter().map(|part| part.height).collect::<Vec<_>>();
        for expected in [[11, 4, 9], [12, 4, 8]] {
            assert!(layouts.resize(&divide(&layouts), 0, true));
            assert_eq!(heights(&layouts), expected);
        }
        while layouts.resize(&divide(&layouts), 2, true) {}
        assert_eq!(heights(&layouts), [4, 4, 16]);
    }

    #[test]
    fn sizes_are_kept_in_proportion_and_no_pane_vanishes_on_a_smaller_terminal() {
        let mut layouts = Layouts::default();
        while layouts.resize(&halves(&layouts, AREA), 0, true) {}
        assert_eq!(widths(&halves(&layouts, Rect { width: 240, ..AREA })), [200, 40]);
        assert_eq!(widths(&halves(&layouts, Rect { width: 80, ..AREA })), [60, 20]);
        assert_eq!(widths(&halves(&layouts, Rect { width: 30, ..AREA })), [25, 5], "no space for the bounds");
    }

    #[test]
    fn the_file_is_read_back_and_a_damaged_one_is_refused_by_the_place() {
        let mut layouts = Layouts::default();
        layouts.resize(&halves(&layouts, AREA), 0, true);
        layouts.columns.insert("Queues".into(), vec!["object".into(), "longest".into()]);
        assert_eq!(Layouts::parse(&layouts.to_text()), Ok(layouts));
        for (text, why) in [
            ("", "EOF"),
            ("[]", "`sizes` is not a map"),
            (r#"{"sizes": {"halves": [1, "x"]}, "columns": {}}"#, "`sizes.halves` is not a list of sizes"),
            (r#"{"sizes": {"halves": [1001]}, "columns": {}}"#, "`sizes.halves` is not a list of sizes"),
            (r#"{"sizes": {"halves": [70000]}, "columns": {}}"#, "`sizes.halves` is not a list of sizes"),
            (r#"{"sizes": {}, "columns": {"Queues": [1]}}"#, "`columns.Queues` is not a list of names"),
        ] {
            let said = Layouts::parse(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
        // Sizes for another number of parts are not used.
        let other = Layouts::parse(r#"{"sizes": {"halves": [900, 900]}, "columns": {}}"#).unwrap();
        assert_eq!(widths(&halves(&other, AREA)), [100, 20]);
        let other = Layouts::parse(r#"{"sizes": {"halves": [300]}, "columns": {}}"#).unwrap();
        assert_eq!(widths(&halves(&other, AREA)), [60, 60]);
    }

    #[test]
    fn the_part_with_a_pane_is_found_along_the_direction() {
        let division = halves(&Layouts::default(), AREA);
        let right = Rect { x: 60, width: 60, ..AREA };
        assert_eq!(division.part_with(right, Direction::Horizontal), Some(1));
        assert_eq!(division.part_with(right, Direction::Vertical), None);
        assert_eq!(division.part_with(AREA, Direction::Horizontal), None, "it has both");
        assert_eq!(division.part_with(Rect::ZERO, Direction::Horizontal), None, "it is not drawn");
    }
}

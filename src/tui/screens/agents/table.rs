//! The resident table: columns, widths, sorting and filter.

use std::cmp::Ordering;

use crate::screens::filter;
use townlet_wire::Snapshot;
use townlet_wire::telemetry::{Agent, Job};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Name,
    Option,
    Activity,
    Place,
    Needs,
    Wallet,
    Job,
    Shift,
    Attendance,
    Absent,
    Exit,
}

/// Columns to drop on narrow screens, in this order.
const DROP_ORDER: [Column; 4] = [Column::Job, Column::Place, Column::Wallet, Column::Attendance];

/// Columns, left to right, with their headings and widths in cells. The activity gets the remaining width, the needs three
/// cells each.
pub(super) const COLUMNS: [(Column, &str, usize); 11] = [
    (Column::Name, "resident", 10),
    (Column::Option, "option", 9),
    (Column::Activity, "activity", 12),
    (Column::Place, "place", 10),
    (Column::Needs, "needs", 6),
    (Column::Wallet, "wallet", 6),
    (Column::Job, "job", 10),
    (Column::Shift, "shift", 9),
    (Column::Attendance, "attend", 6),
    (Column::Absent, "absent", 7),
    (Column::Exit, "exit", 5),
];

impl Column {
    fn index(self) -> usize {
        COLUMNS.iter().position(|row| row.0 == self).expect("every column has a row")
    }

    pub(super) fn title(self) -> &'static str {
        COLUMNS[self.index()].1
    }

    /// Whether it is right-aligned.
    pub(super) const fn numeric(self) -> bool {
        matches!(self, Self::Wallet | Self::Attendance | Self::Absent)
    }

    /// The next column to sort by.
    pub(super) fn next(self) -> Self {
        COLUMNS[(self.index() + 1) % COLUMNS.len()].0
    }
}

/// The columns that fit into `width` cells with one cell between them, and their widths.
pub(super) fn fitting(width: usize, needs: usize) -> Vec<(Column, usize)> {
    let wide = |column, width: usize| if column == Column::Needs { width.max(needs * 3) } else { width };
    let mut columns: Vec<_> = COLUMNS.iter().map(|(column, _, width)| (*column, wide(*column, *width))).collect();
    let total = |columns: &[(Column, usize)]| columns.iter().map(|(_, width)| width + 1).sum::<usize>() - 1;
    for column in DROP_ORDER {
        if total(&columns) > width {
            columns.retain(|(kept, _)| *kept != column);
        }
    }
    let spare = width.saturating_sub(total(&columns));
    columns.iter_mut().filter(|(column, _)| *column == Column::Activity).for_each(|(_, width)| *width += spare);
    columns
}

/// A resident with their job.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(super) agent: &'a Agent,
    /// `None` if the shard has not sent it.
    pub(super) job: Option<&'a Job>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) column: Column,
    pub(super) reversed: bool,
}

impl Default for Order {
    fn default() -> Self {
        Self { column: Column::Name, reversed: false }
    }
}

impl Row<'_> {
    fn worst_need(&self) -> f64 {
        self.agent.needs.iter().map(|need| need.value).fold(f64::INFINITY, f64::min)
    }

    /// Words for the filter field `is`.
    fn tags(&self) -> String {
        let critical = self.agent.needs.iter().any(|need| need.value < need.critical);
        let pending = self.job.is_some_and(|job| job.exit_pending);
        let idle = self.agent.option == "wait";
        [(critical, "critical"), (pending, "pending"), (self.agent.possessed, "possessed"), (idle, "idle")]
            .iter()
            .filter(|(is, _)| *is)
            .map(|(_, word)| *word)
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn passes(&self, typed: &str) -> bool {
        let tags = self.tags();
        let (job, shift) = self.job.map_or(("", ""), |job| (job.job_id.as_str(), job.shift_state.as_str()));
        let agent = self.agent;
        let texts = [&agent.name, &agent.id, &agent.option, &agent.activity, &agent.place, job, shift, tags.as_str()];
        let fields: [_; FIELDS.len()] = std::array::from_fn(|at| (FIELDS[at], texts[at]));
        filter::passes(typed, &fields)
    }

    fn compare(&self, other: &Self, column: Column) -> Ordering {
        let number = |pick: fn(&Job) -> f64| {
            let of = |row: &Self| row.job.map_or(f64::INFINITY, pick);
            of(self).total_cmp(&of(other))
        };
        let text = |pick: fn(&Job) -> &str| self.job.map(pick).cmp(&other.job.map(pick));
        match column {
            Column::Name => Ordering::Equal,
            Column::Option => self.agent.option.cmp(&other.agent.option),
            Column::Activity => self.agent.activity.cmp(&other.agent.activity),
            Column::Place => self.agent.place.cmp(&other.agent.place),
            Column::Needs => self.worst_need().total_cmp(&other.worst_need()),
            Column::Wallet => number(|job| job.wallet),
            Column::Job => text(|job| &job.job_id),
            Column::Shift => text(|job| &job.shift_state),
            Column::Attendance => number(|job| job.attendance_ratio),
            // Most absences first.
            Column::Absent => number(|job| -(job.absent_shifts_7d as f64)),
            Column::Exit => number(|job| if job.exit_pending { 0.0 } else { 1.0 }),
        }
    }
}

/// The fields of the filter.
pub(super) const FIELDS: [&str; 8] = ["name", "id", "option", "activity", "place", "job", "shift", "is"];

/// The filtered rows in order. Ties are sorted by name and id, so that rows stay in place.
pub(super) fn rows<'a>(view: &'a Snapshot, typed: &str, order: Order) -> Vec<Row<'a>> {
    let row = |agent: &'a Agent| Row { agent, job: view.jobs.get(&agent.id) };
    let mut rows: Vec<Row<'a>> = view.agents.iter().map(row).filter(|row| row.passes(typed)).collect();
    rows.sort_by(|a, b| {
        let by_column = a.compare(b, order.column);
        let by_name = a.agent.name.cmp(&b.agent.name).then_with(|| a.agent.id.cmp(&b.agent.id));
        let ordering = by_column.then(by_name);
        if order.reversed { ordering.reverse() } else { ordering }
    });
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use townlet_wire::telemetry::Need;

    fn town() -> Snapshot {
        let mut view = Snapshot::default();
        for (name, hunger, absences, option) in
            [("Ben", 0.1, 3, "wait"), ("Ada", 0.9, 0, "work"), ("Cleo", 0.5, 2, "eat")]
        {
            let id = name.to_lowercase();
            let needs = vec![Need { name: "hunger".into(), value: hunger, critical: 0.2 }];
            view.agents.push(Agent {
                id: id.clone(),
                name: name.into(),
                option: option.into(),
                needs,
                ..Agent::default()
            });
            view.jobs.insert(id, Job { absent_shifts_7d: absences, exit_pending: absences > 2, ..Job::default() });
        }
        view
    }

    fn names(typed: &str, column: Column, reversed: bool) -> String {
        let view = town();
        let rows = rows(&view, typed, Order { column, reversed });
        rows.iter().map(|row| row.agent.name.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn rows_are_sorted_by_column_and_reversed() {
        assert_eq!(names("", Column::Name, false), "Ada Ben Cleo");
        assert_eq!(names("", Column::Name, true), "Cleo Ben Ada");
        assert_eq!(names("", Column::Needs, false), "Ben Cleo Ada");
        assert_eq!(names("", Column::Absent, false), "Ben Cleo Ada");
        assert_eq!(names("", Column::Exit, false), "Ben Ada Cleo");
    }

    #[test]
    fn the_filter_matches_fields_and_tags() {
        assert_eq!(names("is:critical", Column::Name, false), "Ben");
        assert_eq!(names("is:pending idle", Column::Name, false), "Ben");
        assert_eq!(names("option:eat", Column::Name, false), "Cleo");
        assert_eq!(names("nobody", Column::Name, false), "");
    }

    #[test]
    fn narrow_screens_drop_columns_and_never_overflow() {
        for width in [78, 118, 198] {
            let columns = fitting(width, 3);
            let total: usize = columns.iter().map(|(_, width)| width + 1).sum::<usize>() - 1;
            assert_eq!(total, width);
        }
        assert!(fitting(78, 3).iter().all(|(column, _)| !matches!(column, Column::Job | Column::Place)));
        assert_eq!(fitting(118, 3).len(), COLUMNS.len());
    }

    #[test]
    fn sorting_cycles_through_every_column() {
        let mut column = Column::Name;
        for _ in COLUMNS {
            column = column.next();
        }
        assert_eq!(column, Column::Name);
    }
}

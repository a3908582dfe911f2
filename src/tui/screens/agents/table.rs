//! The resident table: columns, widths, sorting and filter.

use std::cmp::Ordering;

use crate::format::natural_order;
use crate::indexed_snapshot::IndexedSnapshot;
use crate::screens::filter;
use crate::table::{Column, EXTRA, Table};
use townlet_wire::telemetry::{Agent, Job};

/// The columns. Needs take three cells each.
pub(super) static TABLE: Table = Table {
    name: "Residents",
    columns: &[
        Column::text("resident", 9, 20, 0).of(&["id", "name"]),
        Column::text("option", 9, 11, 0),
        Column::text("activity", 12, 44, 0),
        Column::text("place", 9, 12, 6),
        Column::text("needs", 6, 60, 1),
        Column::number("wallet", 6, 8, 5),
        Column::text("job", 9, 12, 7),
        Column::text("shift", 9, 9, 2),
        Column::number("attend", 6, 6, 4).of(&["attendance_ratio"]),
        Column::number("absent", 7, 7, 3).of(&["absent_shifts_7d"]),
        Column::text("exit", 5, 5, 3).of(&["exit_pending"]),
        Column::number("since", 9, 9, EXTRA).of(&["option_since"]),
        Column::number("chance", 6, 6, EXTRA).of(&["probability"]),
        Column::number("value", 7, 7, EXTRA).of(&["value"]),
        Column::number("tenure", 9, 9, EXTRA).of(&["tenure_days"]),
        Column::number("late", 9, 9, EXTRA).of(&["late_ticks_today"]),
        Column::number("wages", 8, 8, EXTRA).of(&["wages_earned"]),
        Column::number("meals", 6, 6, EXTRA).of(&["meals_consumed"]),
        Column::text("home", 10, 12, EXTRA),
        Column::number("rent", 8, 8, EXTRA).of(&["rent_owed_days"]),
        Column::number("arrived", 9, 9, EXTRA).of(&["arrived_tick"]),
    ],
};

/// The column after `head` among `shown`, else the first.
pub(super) fn next_column(head: &str, shown: &[&'static str]) -> &'static str {
    let at = shown.iter().position(|other| *other == head);
    at.and_then(|at| shown.get(at + 1)).or(shown.first()).copied().unwrap_or("resident")
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
    /// Head of the column.
    pub(super) column: &'static str,
    pub(super) reversed: bool,
}

impl Default for Order {
    fn default() -> Self {
        Self { column: "resident", reversed: false }
    }
}

impl Row<'_> {
    fn worst_need(&self) -> f64 {
        self.agent.needs.iter().map(|need| need.value).fold(f64::INFINITY, f64::min)
    }

    /// Probability of the option among the most likely ones of the policy; 0 when it is not.
    pub(super) fn chance(&self) -> f64 {
        let chosen = self.agent.top_options.iter().find(|top| top.option == self.agent.option);
        chosen.map_or(0.0, |top| top.probability)
    }

    /// See [`Job::attendance`].
    pub(super) fn attendance(&self) -> Option<f64> {
        self.job.and_then(|job| job.attendance(Some(self.agent)))
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

    fn compare(&self, other: &Self, column: &str) -> Ordering {
        let number = |pick: fn(&Job) -> f64| {
            let of = |row: &Self| row.job.map_or(f64::INFINITY, pick);
            of(self).total_cmp(&of(other))
        };
        let value = |row: &Self| row.agent.value.unwrap_or(f64::INFINITY);
        let text = |pick: fn(&Job) -> &str| match (self.job.map(pick), other.job.map(pick)) {
            (Some(one), Some(other)) => natural_order(one, other),
            (one, other) => one.cmp(&other),
        };
        match column {
            "option" => self.agent.option.cmp(&other.agent.option),
            "activity" => natural_order(&self.agent.activity, &other.agent.activity),
            "place" => natural_order(&self.agent.place, &other.agent.place),
            "needs" => self.worst_need().total_cmp(&other.worst_need()),
            "wallet" => number(|job| job.wallet),
            "job" => text(|job| &job.job_id),
            "shift" => text(|job| &job.shift_state),
            // Those without a shift yet come last.
            "attend" => {
                let of = |row: &Self| row.attendance().unwrap_or(f64::INFINITY);
                of(self).total_cmp(&of(other))
            }
            // Most absences first.
            "absent" => number(|job| -(job.absent_shifts_7d as f64)),
            "exit" => number(|job| if job.exit_pending { 0.0 } else { 1.0 }),
            "since" => self.agent.option_since.cmp(&other.agent.option_since),
            "chance" => self.chance().total_cmp(&other.chance()),
            "value" => value(self).total_cmp(&value(other)),
            "tenure" => number(|job| job.tenure_days),
            "late" => number(|job| -(job.late_ticks_today as f64)),
            "wages" => number(|job| job.wages_earned),
            "meals" => number(|job| job.meals_consumed as f64),
            "home" => natural_order(&self.agent.home, &other.agent.home),
            "rent" => other.agent.rent_owed_days.cmp(&self.agent.rent_owed_days),
            "arrived" => self.agent.arrived_tick.cmp(&other.agent.arrived_tick),
            _ => Ordering::Equal,
        }
    }
}

/// The fields of the filter.
pub(super) const FIELDS: [&str; 8] = ["name", "id", "option", "activity", "place", "job", "shift", "is"];

/// A resident of the list, whose job is looked up when the row is drawn.
#[derive(Clone, Copy)]
pub(crate) struct Resident<'a> {
    view: &'a IndexedSnapshot,
    pub(super) agent: &'a Agent,
}

impl<'a> Resident<'a> {
    pub(super) fn row(self) -> Row<'a> {
        Row { agent: self.agent, job: self.view.jobs.get(&self.agent.id) }
    }
}

/// Positions of the filtered residents in order. Ties are sorted by name and id, so that rows stay in place.
#[derive(Debug, Default)]
pub(super) struct SortedResidents {
    /// What they were sorted for: the snapshot, the filter and the order.
    key: Option<(u64, String, Order)>,
    positions: Vec<u32>,
}

impl SortedResidents {
    /// The residents of a view. They are filtered and sorted once for each view.
    pub(super) fn residents<'a>(&mut self, view: &'a IndexedSnapshot, typed: &str, order: Order) -> Vec<Resident<'a>> {
        let is_sorted =
            self.key.as_ref().is_some_and(|key| (key.0, key.1.as_str(), key.2) == (view.number(), typed, order));
        if !is_sorted {
            self.key = Some((view.number(), typed.to_owned(), order));
            self.positions.clear();
            self.positions.extend(sorted(view, typed, order));
        }
        let resident = |position: &u32| Resident { view, agent: &view.agents[*position as usize] };
        self.positions.iter().map(resident).collect()
    }
}

fn sorted(view: &IndexedSnapshot, typed: &str, order: Order) -> Vec<u32> {
    let mut positions = view.residents_by_name().to_vec();
    if !typed.is_empty() || order.column != Order::default().column {
        let row = |position: u32| (position, Resident { view, agent: &view.agents[position as usize] }.row());
        let mut rows: Vec<(u32, Row<'_>)> = positions.into_iter().map(row).filter(|row| row.1.passes(typed)).collect();
        // The sort is stable.
        rows.sort_by(|one, other| one.1.compare(&other.1, order.column));
        positions = rows.into_iter().map(|row| row.0).collect();
    }
    if order.reversed {
        positions.reverse();
    }
    positions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layouts::Layouts;
    use townlet_wire::Snapshot;
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

    fn names(typed: &str, column: &'static str, reversed: bool) -> String {
        let view = IndexedSnapshot::from(town());
        let rows = SortedResidents::default().residents(&view, typed, Order { column, reversed });
        rows.iter().map(|row| row.agent.name.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn rows_are_sorted_by_column_and_reversed() {
        assert_eq!(names("", "resident", false), "Ada Ben Cleo");
        assert_eq!(names("", "resident", true), "Cleo Ben Ada");
        assert_eq!(names("", "needs", false), "Ben Cleo Ada");
        assert_eq!(names("", "absent", false), "Ben Cleo Ada");
        assert_eq!(names("", "exit", false), "Ben Ada Cleo");
    }

    #[test]
    fn rows_follow_the_view_the_filter_and_the_order() {
        let mut sorted = SortedResidents::default();
        let mut view = IndexedSnapshot::from(town());
        let mut names = |view: &IndexedSnapshot, typed: &str, column| {
            let rows = sorted.residents(view, typed, Order { column, reversed: false });
            rows.iter().map(|row| row.agent.name.as_str()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(&view, "", "needs"), "Ben Cleo Ada");
        view.agents[1].needs[0].value = 0.05;
        assert_eq!(names(&view, "", "needs"), "Ada Ben Cleo");
        assert_eq!(names(&view, "option:eat", "needs"), "Cleo");
        assert_eq!(names(&view, "", "resident"), "Ada Ben Cleo");
        view.agents.remove(0);
        assert_eq!(names(&view, "", "resident"), "Ada Cleo");
    }

    #[test]
    fn names_are_in_the_order_of_their_numbers() {
        let agents = ["Abel-10", "Abel-2", "Abel"]
            .map(|name| Agent { id: name.into(), name: name.into(), ..Agent::default() })
            .to_vec();
        let view = IndexedSnapshot::from(Snapshot { agents, ..Snapshot::default() });
        let rows = SortedResidents::default().residents(&view, "", Order::default());
        assert_eq!(rows.iter().map(|row| &*row.agent.name).collect::<Vec<_>>(), ["Abel", "Abel-2", "Abel-10"]);
    }

    #[test]
    fn the_filter_matches_fields_and_tags() {
        assert_eq!(names("is:critical", "resident", false), "Ben");
        assert_eq!(names("is:pending idle", "resident", false), "Ben");
        assert_eq!(names("option:eat", "resident", false), "Cleo");
        assert_eq!(names("nobody", "resident", false), "");
    }

    #[test]
    fn narrow_screens_drop_columns_and_wide_ones_have_more() {
        let heads = |width| TABLE.fit(&Layouts::default(), width, &[("needs", 9)]).heads_shown();
        assert!(heads(77).iter().all(|head| !matches!(*head, "job" | "place")), "{:?}", heads(77));
        assert_eq!(heads(117).len(), 11);
        assert_eq!(heads(197)[11..], ["since", "chance", "value", "tenure"]);
    }

    #[test]
    fn sorting_cycles_through_every_column_on_screen() {
        let shown = ["resident", "job", "exit"];
        assert_eq!(next_column("resident", &shown), "job");
        assert_eq!(next_column("exit", &shown), "resident");
        assert_eq!(next_column("wages", &shown), "resident");
    }
}

//! Employment KPIs and the exit queue. Rule: "Work and the exit queue", "Operator actions".

use std::collections::BTreeSet;
use std::fmt::Write as _;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};

use super::exit_details;
use crate::chart;
use crate::export::{Record, record};
use crate::format::{
    days, duration, moment, pad, pad_left, percent, resident, samples, scale_of, short, spark_on, styled_lines,
    thousands, time_of, width,
};
use crate::indexed_snapshot::IndexedSnapshot;
use crate::keymap::Action;
use crate::list::{ListContent, ListPane, ListView};
use crate::pane::{Confirmation, Context, KeyHint, Reaction};
use crate::table::{Cell, Column, EXTRA, FittedColumns, Table};
use crate::text_drawing::draw_text;
use townlet_wire::Request;
use townlet_wire::telemetry::{AuditRow, ExitEntry, Job, Kpi};

const APPROVE: &str = "employment_exit approve";
/// Rows for the words about an empty queue.
const EMPTY_ROWS: u16 = 4;
const DEFER: &str = "employment_exit defer";
/// Maximum number of residents a dialog names; the rest are counted.
const MAX_NAMED: usize = 5;

pub(crate) type Employment = ListPane<ExitQueue>;

/// The exit queue, with marked residents.
#[derive(Default)]
pub(crate) struct ExitQueue {
    marked: BTreeSet<String>,
    /// Whether all that were marked are gone or decided, so that a key was not meant for the selected row.
    marks_gone: bool,
}

/// The columns of the queue.
static TABLE: Table = Table {
    name: "Employment",
    columns: &[
        Column::text("agent", 8, 20, 0).of(&["agent", "name"]),
        Column::text("job", 7, 12, 4),
        Column::number("absent", 6, 6, 3).of(&["absent_shifts_7d"]),
        Column::number("attend", 6, 6, 5).of(&["attendance_ratio"]),
        Column::number("waiting", 9, 9, 2).of(&["enqueued_tick"]),
        Column::number("leaves", 12, 28, 1).of(&["releases_at_tick", "approved"]),
        Column::text("reason", 12, 18, EXTRA),
        Column::number("tenure", 9, 9, EXTRA).of(&["tenure_days"]),
        Column::number("wallet", 7, 7, EXTRA),
        Column::number("since", 8, 12, EXTRA).of(&["enqueued_tick"]),
    ],
};

impl ExitQueue {
    /// The marked residents in the order of the queue; the selected one if none is marked.
    fn chosen(&self, view: &ListView<'_, &ExitEntry>) -> Vec<String> {
        let agents = view.items.iter().map(|entry| &entry.agent);
        let marked: Vec<String> = agents.filter(|id| self.marked.contains(*id)).cloned().collect();
        if marked.is_empty() { view.selected().map(|entry| entry.agent.clone()).into_iter().collect() } else { marked }
    }

    /// Removes marks of residents who are gone or decided: a mark on them would act on them again.
    fn update_marks(&mut self, cx: &Context<'_>) {
        let open = |id: &String| cx.view.employment.queue.iter().any(|entry| entry.agent == *id && !entry.approved);
        let had_marks = !self.marked.is_empty();
        self.marked.retain(open);
        self.marks_gone |= had_marks && self.marked.is_empty();
    }

    fn summary(cx: &Context<'_>, columns: u16) -> Vec<Line<'static>> {
        let (theme, employment) = (cx.theme, &cx.view.employment);
        let over = employment.pending_count > employment.queue_limit;
        let full = employment.exits_today >= employment.daily_exit_cap;
        let held = employment.reached_all_exits_cap();
        let value = |text: String, bad: bool| Span::styled(text, if bad { theme.warn } else { theme.strong });
        let limit = |text: String| Span::styled(text, theme.dim);
        let label = |text: &str| Span::styled(text.to_owned(), theme.dim);
        let (late, absent) = (thousands(employment.late_today), thousands(employment.absent_7d));
        // A blank before the sparkline.
        let late = pad(&late, (width(&late) + 1).max(3));
        // Width left for the two sparklines.
        let taken = 41 + width(&late) + width(&absent).max(5);
        let wide = (usize::from(columns).saturating_sub(taken) / 2).min(16);
        let trend = |name: &str, scale| {
            Span::styled(pad(&spark_on(&cx.history.recent(name, wide), wide, scale), wide), theme.chart)
        };
        let pending = format!("{} / {}", thousands(employment.pending_count), thousands(employment.queue_limit));
        let reached = match (full, held) {
            (true, _) if columns >= 56 => " ! cap reached".to_owned(),
            (true, _) => " ! cap".to_owned(),
            (false, Some(cap)) if columns >= 66 => {
                format!(" ! all exits {} / {}", thousands(employment.all_exits_today), thousands(cap))
            }
            (false, Some(_)) => " ! all".to_owned(),
            (false, None) => String::new(),
        };
        let attendance = employment.attendance.map_or_else(|| "–".to_owned(), percent);
        vec![
            Line::from(vec![
                label(" pending    "),
                value(pending.clone(), over),
                Span::styled(if over { " ! " } else { "   " }, theme.warn),
                Span::raw(" ".repeat(8_usize.saturating_sub(width(&pending)))),
                label("exits today "),
                value(thousands(employment.exits_today), full),
                limit(format!(" / {}", thousands(employment.daily_exit_cap))),
                Span::styled(reached, theme.warn),
            ]),
            Line::from(vec![
                label(" attendance "),
                value(pad(&attendance, 6), false),
                trend("attendance", scale_of("ratio")),
                label(" late today "),
                value(late, false),
                trend("late_today", None),
                label(" absent 7d "),
                value(absent, false),
            ]),
        ]
    }

    fn row(&self, entry: &ExitEntry, selected: bool, cx: &Context<'_>, columns: &FittedColumns) -> Line<'static> {
        let (view, theme) = (cx.view, cx.theme);
        let sign = match (selected, self.marked.contains(&entry.agent)) {
            (true, true) => "▸✓",
            (true, false) => "▸ ",
            (false, true) => " ✓",
            (false, false) => "  ",
        };
        let job = view.jobs.get(&entry.agent);
        let of_job = |text: &dyn Fn(&Job) -> String| job.map_or_else(|| "–".to_owned(), text);
        let text = |head: &str, width: usize| match head {
            "agent" => resident(view, &entry.agent),
            "job" => of_job(&|job| job.job_id.clone()),
            "absent" => {
                let absent = job.map_or(0, |job| job.absent_shifts_7d);
                format!("{absent}/{}", view.employment.max_absent_shifts)
            }
            "attend" => exit_details::attendance(cx.view, &entry.agent),
            "waiting" => duration(view.tick.saturating_sub(entry.enqueued_tick), view.clock.ticks_per_day),
            "leaves" => leaves(view, entry, width >= 27),
            "reason" => entry.reason.replace('_', " "),
            "tenure" => of_job(&|job| days(job.tenure_days)),
            "wallet" => of_job(&|job| short(job.wallet)),
            "since" => time_of(entry.enqueued_tick, view),
            _ => String::new(),
        };
        let style = selected.then(|| cx.row(true));
        columns
            .row(vec![(sign.to_owned(), theme.accent)], style, |head, width| Cell::Text(text(head, width), theme.text))
    }

    fn confirm(&self, view: &ListView<'_, &ExitEntry>, cx: &Context<'_>, command: &str) -> Reaction {
        let chosen = self.chosen(view);
        let requests: Vec<Request> = chosen.iter().map(|id| Request::line(format!("{command} {id}"))).collect();
        let approve = command == APPROVE;
        let text = if approve { approval(cx.view, &chosen) } else { deferral(cx.view, &chosen) };
        let (title, verb) = match (approve, chosen.len()) {
            (true, _) => ("Approve exit", "approve"),
            (false, 1) => ("Defer exit", "defer"),
            (false, _) => ("Defer exits", "defer"),
        };
        // Nothing on screen says why somebody is kept.
        let reason = if approve { exit_reason(cx.view, &chosen) } else { String::new() };
        // What another operator decided is not taken back unasked.
        let only_reason = !approve && matches!(&chosen[..], [id] if !is_approved(cx.view, id));
        let verb = if chosen.len() > 1 { format!("{verb} {}", chosen.len()) } else { verb.to_owned() };
        Reaction::Confirm(Confirmation {
            title: title.into(),
            text,
            verb,
            requests,
            reason,
            only_reason,
            ..Confirmation::default()
        })
    }
}

/// When a resident leaves; in full words where there is room.
fn leaves(view: &IndexedSnapshot, entry: &ExitEntry, in_full: bool) -> String {
    if entry.approved {
        return "next tick".to_owned();
    }
    if let Some(kind) = exit_details::suspension(view) {
        return if in_full { format!("after the {kind}") } else { "suspended".to_owned() };
    }
    match (exit_details::waits_for_cap(view, entry), in_full) {
        (true, _) if view.employment.daily_exit_cap == 0 => "by approval".to_owned(),
        (true, _) if view.employment.reached_all_exits_cap().is_some() => "tomorrow".to_owned(),
        (true, true) => "when cap and gap allow".to_owned(),
        (true, false) => "when allowed".to_owned(),
        (false, true) => moment(entry.releases_at_tick, view),
        (false, false) => format!("tick {}", thousands(entry.releases_at_tick)),
    }
}

/// KPIs of the charter with their targets, one per line.
fn charter_kpis(cx: &Context<'_>, columns: u16) -> Vec<Line<'static>> {
    let theme = cx.theme;
    let kpis = cx.view.kpis.iter().filter(|kpi| kpi.charter);
    let line = |kpi: &Kpi| {
        let (style, sign) = theme.verdict(&kpi.verdict);
        let value = match (kpi.value, kpi.unit.as_str()) {
            (None, _) => "–".to_owned(),
            (Some(value), "ratio") => percent(value),
            (Some(value), "days") => days(value),
            (Some(value), _) => format!("{value:.1}"),
        };
        let series = cx.history.recent(&format!("kpi.{}", kpi.name), usize::from(columns).saturating_sub(48).min(48));
        let last = if kpi.value.is_none() {
            let room = usize::from(columns).saturating_sub(47);
            Span::styled(samples(kpi.samples, kpi.samples_required, room), theme.dim)
        } else {
            Span::styled(spark_on(&series, series.len(), scale_of(&kpi.unit)), theme.chart)
        };
        Line::from(vec![
            Span::styled(format!("  {sign} "), style),
            Span::styled(pad(&kpi.title, 21), theme.text),
            Span::styled(pad_left(&value, 10), style),
            Span::styled(format!("  {}", pad(&kpi.target, 9)), theme.dim),
            last,
        ])
    };
    kpis.map(line).collect()
}

/// The exit queue and the attendance over time, where a tall pane has space.
fn draw_charts(frame: &mut Frame<'_>, area: Rect, cx: &Context<'_>) {
    if area.height < chart::WORTHWHILE.0 {
        return;
    }
    let across = usize::from(area.width / chart::WORTHWHILE.1).clamp(1, 2);
    let tiles = Layout::horizontal(vec![Constraint::Fill(1); across]).spacing(2).split(area);
    let names = ["employment.pending", "employment.attendance"];
    tiles.iter().zip(names).for_each(|(tile, name)| chart::draw_metric(frame, *tile, name, cx));
}

fn names(view: &IndexedSnapshot, ids: &[String]) -> String {
    let mut names: Vec<String> = ids.iter().take(MAX_NAMED).map(|id| resident(view, id)).collect();
    if ids.len() > MAX_NAMED {
        names.push(format!("{} more", ids.len() - MAX_NAMED));
    }
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.join(""),
    }
}

fn approval(view: &IndexedSnapshot, ids: &[String]) -> Vec<String> {
    let used = exit_cap(view, ids);
    if let [id] = ids {
        let name = resident(view, id);
        return vec![
            format!("{name} leaves town on the next tick. {}", exit_details::service(view, id)),
            used,
            exit_details::absences(view, id),
        ];
    }
    // A small screen cuts the end.
    let mut text = vec![used, format!("{} leave town on the next tick:", names(view, ids))];
    text.extend(ids.iter().take(MAX_NAMED).map(|id| exit_details::service(view, id)));
    text.push("Each resident is a separate command in the audit log.".to_owned());
    text
}

/// What the approvals come to beside the exit cap of the day in which they take effect: those who left, those approved
/// before, and these. At midnight the exits of the state are still yesterday's.
fn exit_cap(view: &IndexedSnapshot, ids: &[String]) -> String {
    let employment = &view.employment;
    let used = if view.clock.tick_of_day == 0 { 0 } else { employment.exits_today };
    let cap = employment.daily_exit_cap;
    let (these, before): (Vec<_>, Vec<_>) = employment
        .queue
        .iter()
        .filter(|entry| entry.approved || ids.contains(&entry.agent))
        .partition(|entry| !entry.approved);
    let total = used + (these.len() + before.len()) as u64;
    let mut text = format!("Today's exit cap: {used} of {cap} used");
    if !before.is_empty() {
        let _ = write!(text, ", {} approved before", before.len());
    }
    let make = if these.len() == 1 { "this makes".to_owned() } else { format!("these {} make", these.len()) };
    let _ = write!(text, "; {make} {total}.");
    match total.checked_sub(cap) {
        Some(over) if over > 0 => {
            let _ = write!(text, " That exceeds the cap by {over}: an approved exit does not wait for the cap.");
        }
        _ => {}
    }
    text
}

/// The suggested reason of an approval: why the residents are in the queue.
fn exit_reason(view: &IndexedSnapshot, ids: &[String]) -> String {
    let chosen = view.employment.queue.iter().filter(|entry| ids.contains(&entry.agent));
    let absences = |id: &str| view.jobs.get(id).map_or(0, |job| job.absent_shifts_7d);
    let reason = |entry: &ExitEntry| match (entry.reason.as_str(), ids.len()) {
        ("absences", 1) => format!("{} in 7 days", crate::format::count(absences(&entry.agent), "absence")),
        (reason, _) => reason.replace('_', " "),
    };
    chosen.map(reason).collect::<BTreeSet<String>>().into_iter().collect::<Vec<_>>().join(", ")
}

fn deferral(view: &IndexedSnapshot, ids: &[String]) -> Vec<String> {
    if let [id] = ids {
        let mut text = vec![format!("{} stays, and the absences are forgiven.", resident(view, id))];
        if is_approved(view, id) {
            let whose = approved_by(view, id).map_or_else(String::new, |issuer| format!(" of {issuer}"));
            text.push(format!("This takes back the approval{whose}."));
        }
        return text;
    }
    // An approval ends the mark of a row, so none of these is approved.
    vec![
        format!("{} stay, and their absences are forgiven.", names(view, ids)),
        "Each resident is a separate command in the audit log.".to_owned(),
    ]
}

fn is_approved(view: &IndexedSnapshot, id: &str) -> bool {
    view.employment.queue.iter().any(|entry| entry.approved && entry.agent == id)
}

/// The operator who approved a resident's exit, as far as the newest lines of the audit log say.
fn approved_by<'a>(view: &'a IndexedSnapshot, id: &str) -> Option<&'a str> {
    let is_approval =
        |row: &&AuditRow| row.command == "employment_exit approve" && row.status == "ok" && row.args["agent"] == id;
    view.audit.records.iter().rev().find(is_approval).map(|row| row.issuer.as_str())
}

impl ListContent for ExitQueue {
    type Item<'a> = &'a ExitEntry;
    const TITLE: &'static str = "Employment";

    fn items<'a>(&self, cx: &Context<'a>) -> Vec<&'a ExitEntry> {
        let fits = |entry: &&ExitEntry| {
            let job = cx.view.jobs.get(&entry.agent).map_or("", |job| job.job_id.as_str());
            cx.filter.is_empty() || cx.matches(&[&entry.agent, &resident(cx.view, &entry.agent), job, &entry.reason])
        };
        cx.view.employment.queue.iter().filter(fits).collect()
    }

    fn id(entry: &&ExitEntry) -> String {
        entry.agent.clone()
    }

    fn is(entry: &&ExitEntry, id: &str) -> bool {
        entry.agent == id
    }

    fn residents(entry: &&ExitEntry) -> Vec<String> {
        vec![entry.agent.clone()]
    }

    fn record(entry: &&ExitEntry, cx: &Context<'_>) -> Record {
        record([
            ("agent", entry.agent.clone()),
            ("name", resident(cx.view, &entry.agent)),
            ("job", cx.view.jobs.get(&entry.agent).map_or_else(String::new, |job| job.job_id.clone())),
            (
                "absent_shifts_7d",
                cx.view.jobs.get(&entry.agent).map_or_else(String::new, |job| job.absent_shifts_7d.to_string()),
            ),
            ("attendance_ratio", cx.view.attendance(&entry.agent).map_or_else(String::new, |ratio| ratio.to_string())),
            ("reason", entry.reason.clone()),
            ("enqueued_tick", entry.enqueued_tick.to_string()),
            ("releases_at_tick", entry.releases_at_tick.to_string()),
            ("approved", entry.approved.to_string()),
            ("tenure_days", cx.view.jobs.get(&entry.agent).map_or_else(String::new, |job| job.tenure_days.to_string())),
            ("wallet", cx.view.jobs.get(&entry.agent).map_or_else(String::new, |job| job.wallet.to_string())),
        ])
    }

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, mut view: ListView<'_, &ExitEntry>, cx: &Context<'_>) {
        self.update_marks(cx);
        let wanted = view.items.len().max(1) as u16;
        let rows = [
            Constraint::Length(2),
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Max(wanted),
            Constraint::Fill(1),
        ];
        let [kpis, _, head, table, below] = Layout::vertical(rows).areas(area);
        draw_text(frame, kpis, Self::summary(cx, area.width));
        let charter = charter_kpis(cx, area.width);
        let charter_rows = charter.len() as u16;
        if view.items.is_empty() {
            let rows = [Constraint::Fill(1), Constraint::Length(charter_rows)];
            let below = Rect { y: head.y, height: area.bottom().saturating_sub(head.y), ..area };
            let [rest, foot] = Layout::vertical(rows).areas(below);
            draw_text(frame, foot, charter);
            let charts = rest.height.saturating_sub(EMPTY_ROWS);
            let charts = if charts >= chart::WORTHWHILE.0 { charts } else { 0 };
            let [rest, charts] = Layout::vertical([Constraint::Fill(1), Constraint::Length(charts)]).areas(rest);
            draw_charts(frame, charts, cx);
            let none = ("The exit queue is empty.", "Residents are queued after too many absent shifts.");
            return cx.draw_no_items(frame, rest, "residents", none);
        }
        let columns = TABLE.fit(cx.layouts, usize::from(area.width).saturating_sub(3), &[]);
        view.draw(frame, table, cx, |entry, selected| self.row(entry, selected, cx, &columns));
        let mut heads = columns.heads(2, None, cx.theme);
        if !self.marked.is_empty() {
            // The head of the last columns makes room for the number.
            // Only those that the filter shows are acted on.
            let all = self.marked.len();
            let text = match view.items.iter().filter(|entry| self.marked.contains(&entry.agent)).count() {
                shown if shown == all => format!(" {all} marked "),
                shown => format!(" {shown} of {all} marked "),
            };
            let room = usize::from(head.width).saturating_sub(width(&text));
            heads = Line::styled(pad(&heads.to_string(), room), cx.theme.head);
            heads.push_span(Span::styled(text, cx.theme.accent));
        }
        draw_text(frame, head, heads);
        // Shows a summary of the selected exit if there is space.
        let room = Rect {
            x: below.x + 2,
            y: below.y + 1,
            width: below.width.saturating_sub(3),
            height: below.height.saturating_sub(1),
        };
        if room.height > 0 && below.height > 1 {
            let text = exit_details::sentence(cx.view, view.items[view.at()]);
            let lines: Vec<Line<'_>> = styled_lines(&text, room.width.into(), cx.theme.dim).collect();
            let used = lines.len() as u16;
            draw_text(frame, room, lines);
            if room.height > used + charter_rows {
                let foot = Rect { y: area.bottom() - charter_rows, height: charter_rows, ..area };
                draw_text(frame, foot, charter);
                let free = Rect { y: room.y + used, height: room.height - used - charter_rows, ..area };
                draw_charts(frame, free, cx);
            }
        }
    }

    fn table(&self) -> Option<&'static Table> {
        Some(&TABLE)
    }

    fn act(&mut self, action: Action, view: &mut ListView<'_, &ExitEntry>, cx: &Context<'_>) -> Option<Reaction> {
        self.update_marks(cx);
        Some(match action {
            Action::Approve | Action::Defer if std::mem::take(&mut self.marks_gone) => {
                Reaction::Status("the marked rows are gone; press the key again for the selected one".into())
            }
            Action::Approve => self.confirm(view, cx, APPROVE),
            Action::Defer => self.confirm(view, cx, DEFER),
            Action::Mark => {
                self.marks_gone = false;
                if let Some(entry) = view.selected()
                    && !self.marked.remove(&entry.agent)
                {
                    self.marked.insert(entry.agent.clone());
                }
                view.act(Action::Down);
                Reaction::Redraw
            }
            Action::Back => {
                self.marked.clear();
                self.marks_gone = false;
                Reaction::Redraw
            }
            Action::Open => Reaction::ShowDetail(exit_details::card(cx, view.selected()?)),
            Action::Copy => Reaction::Copy(exit_details::sentence(cx.view, view.selected()?)),
            _ => return None,
        })
    }

    fn bindings(&self, selected: Option<&&ExitEntry>, cx: &Context<'_>) -> Vec<KeyHint> {
        let some = cx.require_row(selected.is_some(), "the exit queue is empty");
        let may = |command: &str| some.clone().and_then(|()| cx.check_allowed(command));
        let mut hints = vec![
            KeyHint::when(Action::Mark, "mark", some.clone()),
            KeyHint::when(Action::Open, "details", some.clone()),
            KeyHint::when(Action::Approve, "approve", may(APPROVE)),
            KeyHint::when(Action::Defer, "defer", may(DEFER)),
            KeyHint::when(Action::Copy, "copy", some.clone()),
        ];
        if !self.marked.is_empty() {
            hints.push(KeyHint::new(Action::Back, "unmark all"));
        }
        hints
    }
}

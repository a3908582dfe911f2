//! Queues at objects: users, waiting residents and waiting times; and the state of the telemetry transport. Rule: "Queues and reservations", "Screens".

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};

use crate::export::{Record, record};
use crate::format::{clip, count, duration, resident, short, spark_on, thousands, width};
use crate::indexed_snapshot::IndexedSnapshot;
use crate::keymap::Action;
use crate::list::{ListContent, ListPane, ListView};
use crate::pane::{Context, DetailCard, KeyHint, Reaction, draw_empty};
use crate::screens::filter;
use crate::table::{Cell, Column, EXTRA, FittedColumns, REST, Table};
use crate::text_drawing::draw_text;
use townlet_wire::escape;
use townlet_wire::telemetry::Queue;

/// Queues whose contents set the widths of the columns. A large town has thousands; the busy ones come first.
const MEASURED: usize = 256;

pub(crate) type Queues = ListPane<QueueList>;

/// The queues at objects; those waited for come first.
#[derive(Default)]
pub(crate) struct QueueList;

/// The columns.
static TABLE: Table = Table {
    name: "Queues",
    columns: &[
        Column::text("object", 8, 24, 0),
        Column::text("in use", 12, 32, 0).of(&["users", "remaining_ticks"]),
        Column::text("waiting", 9, REST, 0).of(&["waiting", "waited_ticks"]),
        Column::number("longest", 8, 8, 1).of(&["longest_wait"]),
        Column::number("cooling", 7, 7, 2).of(&["cooldowns"]),
        Column::number("ghosts", 7, 7, 3).of(&["ghost_steps"]),
        Column::text("waiting over time", 18, 18, EXTRA),
        Column::text("place", 10, 14, EXTRA),
        Column::number("seats", 5, 5, EXTRA).of(&["capacity"]),
    ],
};

/// The fields of the filter.
const FIELDS: [&str; 5] = ["object", "place", "user", "waiting", "is"];

/// Words for the filter field `is`.
fn tags(queue: &Queue) -> String {
    let tags = [(!queue.waiting.is_empty(), "waiting"), (queue.is_off(), "off"), (queue.closed, "closed")].into_iter();
    tags.filter(|(is, _)| *is).map(|(_, word)| word).collect::<Vec<_>>().join(" ")
}

fn passes(queue: &Queue, cx: &Context<'_>) -> bool {
    let (users, waiters) = (users(cx.view, queue, usize::MAX), waiters(cx.view, queue, usize::MAX));
    let texts = [&queue.object, &queue.place, &users, &waiters, &tags(queue)];
    let fields: [_; FIELDS.len()] = std::array::from_fn(|at| (FIELDS[at], texts[at].as_str()));
    filter::passes(cx.filter, &fields)
}

/// Users with the remaining ticks: `Ben 12 t, Eva 3 t`, or `Ben 12 t +1` if `columns` is small.
fn users(view: &IndexedSnapshot, queue: &Queue, columns: usize) -> String {
    let entries = queue.users.iter().map(|user| {
        let left = user.remaining.map_or_else(|| " coming".to_owned(), |left| format!(" {} t", thousands(left)));
        (resident(view, &user.agent), left)
    });
    listed(&entries.collect::<Vec<_>>(), columns)
}

fn waiters(view: &IndexedSnapshot, queue: &Queue, columns: usize) -> String {
    let entries = queue.waiting.iter().map(|waiter| (resident(view, &waiter.agent), String::new()));
    listed(&entries.collect::<Vec<_>>(), columns)
}

/// The values of a list in an export.
fn blank_separated(values: impl Iterator<Item = String>) -> String {
    values.collect::<Vec<_>>().join(" ")
}

/// As many entries as fit, then the number of the others, or `…`. If the first entry is too long, its name is cut.
fn listed(entries: &[(String, String)], columns: usize) -> String {
    let Some(((name, tail), rest)) = entries.split_first() else { return "–".to_owned() };
    let more = |hidden: usize| if hidden > 0 { format!(" +{hidden}") } else { String::new() };
    let first = format!("{name}{tail}");
    if width(&first) + width(&more(rest.len())) > columns {
        let mark = if rest.is_empty() { "" } else { "…" };
        let name = clip(name, columns.saturating_sub(width(tail) + width(mark)));
        let mark = if tail.is_empty() && name.ends_with('…') { "" } else { mark };
        return format!("{name}{tail}{mark}");
    }
    let mut text = first;
    for (index, (name, tail)) in rest.iter().enumerate() {
        let longer = format!("{text}, {name}{tail}");
        let hidden = rest.len() - index - 1;
        if width(&longer) + width(&more(hidden)) > columns {
            return text + &more(hidden + 1);
        }
        text = longer;
    }
    text
}

fn number(value: u64, unit: &str) -> String {
    if value == 0 { "–".to_owned() } else { format!("{}{unit}", thousands(value)) }
}

/// An abbreviated count.
fn ghosts(steps: u64) -> String {
    if steps < 10_000 { number(steps, "") } else { short(steps as f64) }
}

fn card(queue: &Queue, cx: &Context<'_>) -> DetailCard {
    let (view, theme) = (cx.view, cx.theme);
    let per_day = view.clock.ticks_per_day;
    let fact = |label: &str, value: String| DetailCard::fact(label, &value, 10, theme);
    let state = match (queue.working, queue.closed) {
        (true, _) => "available",
        (false, true) => "closed at this hour",
        (false, false) => "unavailable: no power, no water or closed",
    };
    let mut lines = vec![
        fact("object", format!("{} ({}) in {}", queue.object, queue.kind, queue.place)),
        fact("state", format!("{state}; capacity {}", queue.capacity)),
        fact("ghosts", count(queue.ghost_steps, "ghost step")),
        fact("fairness", if view.conflict.queue_fairness { "on" } else { "off: first come, first served" }.to_owned()),
        Line::default(),
        Line::styled("In use", theme.head),
    ];
    let none = || Line::styled("  none", theme.dim);
    let listed = |lines: &mut Vec<Line<'static>>, rows: Vec<String>| {
        if rows.is_empty() {
            lines.push(none());
        }
        lines.extend(rows.into_iter().map(|row| Line::styled(escape(&row), theme.text)));
    };
    let using = queue.users.iter().map(|user| {
        let left = user.remaining.map_or_else(|| "coming".to_owned(), |left| format!("{} left", count(left, "tick")));
        format!("  {} · {} · {left}", resident(view, &user.agent), user.affordance.replace('_', " "))
    });
    listed(&mut lines, using.collect());
    lines.extend([Line::default(), Line::styled("Waiting, next first", theme.head)]);
    let waiting = queue.waiting.iter().map(|waiter| {
        let waited = count(waiter.waited, "tick");
        format!("  {} · {waited} ({})", resident(view, &waiter.agent), duration(waiter.waited, per_day))
    });
    listed(&mut lines, waiting.collect());
    lines.extend([Line::default(), Line::styled("In cooldown", theme.head)]);
    let out = queue.cooldowns.iter().map(|cooldown| {
        format!("  {} · until tick {}", resident(view, &cooldown.agent), thousands(cooldown.until_tick))
    });
    listed(&mut lines, out.collect());
    DetailCard { title: format!("Queue: {}", escape(&queue.object)), lines, live: true }
}

fn row(queue: &Queue, selected: bool, cx: &Context<'_>, columns: &FittedColumns) -> Line<'static> {
    let (view, theme) = (cx.view, cx.theme);
    let (sign, style) = match queue {
        queue if queue.is_off() => ("⊘", theme.bad),
        queue if !queue.waiting.is_empty() => ("!", theme.warn),
        queue if queue.closed => ("⊘", theme.dim),
        _ => (" ", theme.text),
    };
    let base = if queue.users.is_empty() { theme.dim } else { theme.text };
    let text = |head: &str, width: usize| match head {
        "object" => queue.object.clone(),
        "in use" => users(view, queue, width),
        "waiting" => waiters(view, queue, width),
        "longest" => number(queue.longest_wait, " t"),
        "cooling" => number(queue.cooldowns.len() as u64, ""),
        "ghosts" => ghosts(queue.ghost_steps),
        "waiting over time" => {
            let series = cx.history.waiting(&queue.object, width);
            let some = series.iter().any(|waiting| *waiting > 0.0);
            if some { spark_on(&series, width, Some((0.0, 1.0))) } else { String::new() }
        }
        "place" => queue.place.clone(),
        "seats" => queue.capacity.to_string(),
        _ => String::new(),
    };
    let mark = (if selected { "▸" } else { " " }.to_owned(), theme.accent);
    columns.row(vec![mark, (format!("{sign} "), style)], selected.then(|| cx.row(true)), |head, width| {
        let style = if head == "waiting over time" { theme.chart } else { base };
        Cell::Text(text(head, width), style)
    })
}

/// State of the telemetry transport and of queue fairness.
fn foot(cx: &Context<'_>, columns: u16) -> Line<'static> {
    let (view, theme) = (cx.view, cx.theme);
    let transport = &view.transport;
    let dropped = if transport.dropped > 0 { theme.warn } else { theme.dim };
    let fairness = if view.conflict.queue_fairness { "fairness on" } else { "! fairness off" };
    let name = if columns >= 58 { " telemetry " } else { " " };
    Line::from(vec![
        Span::styled(name, theme.dim),
        Span::styled(format!("{} queued", thousands(transport.queue_length)), theme.text),
        Span::styled(format!("  {} dropped", thousands(transport.dropped)), dropped),
        Span::styled(format!("  mode {}", escape(&transport.mode)), theme.text),
        Span::styled(format!("  {fairness}"), theme.dim),
    ])
}

impl ListContent for QueueList {
    type Item<'a> = &'a Queue;
    const TITLE: &'static str = "Queues";

    fn items<'a>(&self, cx: &Context<'a>) -> Vec<&'a Queue> {
        cx.view.queues_in_order().filter(|queue| cx.filter.is_empty() || passes(queue, cx)).collect()
    }

    fn id(queue: &&Queue) -> String {
        queue.object.clone()
    }

    fn is(queue: &&Queue, id: &str) -> bool {
        queue.object == id
    }

    fn object(queue: &&Queue) -> Option<String> {
        Some(queue.object.clone())
    }

    fn residents(queue: &&Queue) -> Vec<String> {
        let users = queue.users.iter().map(|user| user.agent.clone());
        users.chain(queue.waiting.iter().map(|waiter| waiter.agent.clone())).collect()
    }

    fn record(queue: &&Queue, _cx: &Context<'_>) -> Record {
        let users = queue.users.iter();
        let left = users.clone().map(|user| user.remaining.map_or_else(|| "–".to_owned(), |left| left.to_string()));
        let waiting = queue.waiting.iter();
        record([
            ("object", queue.object.clone()),
            ("kind", queue.kind.clone()),
            ("place", queue.place.clone()),
            ("working", queue.working.to_string()),
            ("capacity", queue.capacity.to_string()),
            ("users", blank_separated(users.map(|user| user.agent.clone()))),
            ("remaining_ticks", blank_separated(left)),
            ("waiting", blank_separated(waiting.clone().map(|waiter| waiter.agent.clone()))),
            ("waited_ticks", blank_separated(waiting.map(|waiter| waiter.waited.to_string()))),
            ("longest_wait", queue.longest_wait.to_string()),
            ("cooldowns", queue.cooldowns.len().to_string()),
            ("ghost_steps", queue.ghost_steps.to_string()),
        ])
    }

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, mut view: ListView<'_, &Queue>, cx: &Context<'_>) {
        let rows = [Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)];
        let [head, table, below] = Layout::vertical(rows).areas(area);
        draw_text(frame, below, foot(cx, area.width));
        if view.items.is_empty() {
            let (missing, advice) = if cx.filter.is_empty() {
                ("This town has no objects.", "Objects are defined in the town plan.")
            } else {
                (
                    "No queues match the filter.",
                    "Press esc to clear it. Words match any column; place:cafe matches one. `is:` takes waiting, off and closed.",
                )
            };
            return draw_empty(frame, table, missing, &filter::advice(cx.filter, &FIELDS, advice), cx.theme);
        }
        // A quarter of the width each at most, so that the waiting residents keep theirs.
        let most = usize::from(area.width) / 4;
        let widest = |wide: &dyn Fn(&Queue) -> usize| {
            let mut found = 0;
            for queue in view.items.iter().take(MEASURED) {
                found = wide(queue).max(found);
                if found >= most {
                    return most;
                }
            }
            found
        };
        let contents = [
            ("object", widest(&|queue| width(&queue.object))),
            ("in use", widest(&|queue| width(&users(cx.view, queue, usize::MAX)))),
        ];
        let columns = TABLE.fit(cx.layouts, usize::from(area.width).saturating_sub(4), &contents);
        draw_text(frame, head, columns.heads(3, None, cx.theme));
        view.draw(frame, table, cx, |queue, selected| row(queue, selected && cx.focused, cx, &columns));
    }

    fn table(&self) -> Option<&'static Table> {
        Some(&TABLE)
    }

    fn act(&mut self, action: Action, view: &mut ListView<'_, &Queue>, cx: &Context<'_>) -> Option<Reaction> {
        match action {
            Action::Open => view.selected().map(|queue| Reaction::ShowDetail(card(queue, cx))),
            Action::Copy => view.selected().map(|queue| {
                let (users, waiters) = (users(cx.view, queue, usize::MAX), waiters(cx.view, queue, usize::MAX));
                Reaction::Copy(format!("{}: used by {users}; waiting {waiters}", escape(&queue.object)))
            }),
            _ => None,
        }
    }

    fn bindings(&self, selected: Option<&&Queue>, cx: &Context<'_>) -> Vec<KeyHint> {
        let some = cx.require_row(selected.is_some(), "this town has no objects");
        vec![KeyHint::when(Action::Open, "details", some.clone()), KeyHint::when(Action::Copy, "copy", some)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_never_cut_and_the_rest_is_counted() {
        let entries =
            [("Eva", " 213 t"), ("Ben", " 12 t"), ("Cleo", " coming")].map(|(name, tail)| (name.into(), tail.into()));
        assert_eq!(listed(&entries, 32), "Eva 213 t, Ben 12 t, Cleo coming");
        assert_eq!(listed(&entries, 25), "Eva 213 t, Ben 12 t +1");
        assert_eq!(listed(&entries, 12), "Eva 213 t +2");
        assert_eq!(listed(&entries, 11), "Eva 213 t…");
        assert_eq!(listed(&entries[..1], 9), "Eva 213 t");
        assert_eq!(listed(&entries[..1], 8), "E… 213 t");
        assert_eq!(listed(&[], 9), "–");
    }
}

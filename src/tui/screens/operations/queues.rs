//! Who uses what, who waits for it and how long; how telemetry itself fares.
//!
//! Rule: "Queues and reservations" of the town guide, "Screens" of the interface guide.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::tui::keymap::Action;
use crate::tui::pane::{Card, Context, Hint, Pane, Reaction, empty, frame_block, scrolled};
use crate::tui::select::Selection;
use crate::tui::text::{count, duration, pad, pad_left, resident, thousands};
use crate::wire::Snapshot;
use crate::wire::telemetry::Queue;
use crate::wire::text::escape;

/// The Queues pane. Objects that somebody waits for come first.
#[derive(Default)]
pub struct Queues {
    selection: Selection,
    rows: Rect,
    first: usize,
}

/// Columns of the table for a width; longest, cooling and ghosts have 9, 8 and 7.
struct Columns {
    object: usize,
    users: usize,
    waiting: usize,
}

impl Columns {
    fn of(width: u16) -> Self {
        let free = usize::from(width).saturating_sub(3 + 9 + 8 + 7 + 1);
        let object = (free * 3 / 8).min(16);
        let users = ((free - object) * 9 / 20).min(24);
        Self { object, users, waiting: free - object - users }
    }
}

fn users(view: &Snapshot, queue: &Queue) -> String {
    let named = queue.users.iter().map(|user| match user.remaining {
        Some(left) => format!("{} {left} t", resident(view, &user.agent)),
        None => format!("{} comes", resident(view, &user.agent)),
    });
    let named: Vec<String> = named.collect();
    if named.is_empty() { "–".to_owned() } else { named.join(", ") }
}

fn waiters(view: &Snapshot, queue: &Queue) -> String {
    let named: Vec<String> = queue.waiting.iter().map(|waiter| resident(view, &waiter.agent)).collect();
    if named.is_empty() { "–".to_owned() } else { named.join(", ") }
}

fn number(value: u64, unit: &str) -> String {
    if value == 0 { "–".to_owned() } else { format!("{}{unit}", thousands(value)) }
}

fn card(queue: &Queue, cx: &Context<'_>) -> Card {
    let (view, theme) = (cx.view, cx.theme);
    let per_day = view.clock.ticks_per_day;
    let fact = |label: &str, value: String| {
        Line::from(vec![Span::styled(pad(label, 10), theme.dim), Span::styled(escape(&value), theme.text)])
    };
    let state = if queue.working { "works" } else { "does not work now: power, water or opening hours" };
    let mut lines = vec![
        fact("object", format!("{} ({}) in {}", queue.object, queue.kind, queue.place)),
        fact("state", format!("{state}; room for {}", queue.capacity)),
        fact("ghosts", count(queue.ghost_steps, "ghost step")),
        fact("fairness", if view.conflict.queue_fairness { "on" } else { "off: first come, first served" }.to_owned()),
        Line::default(),
        Line::styled("In use", theme.head),
    ];
    let none = || Line::styled("  nobody", theme.dim);
    let listed = |lines: &mut Vec<Line<'static>>, rows: Vec<String>| {
        if rows.is_empty() {
            lines.push(none());
        }
        lines.extend(rows.into_iter().map(|row| Line::styled(escape(&row), theme.text)));
    };
    let using = queue.users.iter().map(|user| {
        let left = user.remaining.map_or_else(|| "on the way".to_owned(), |left| format!("{left} ticks left"));
        format!("  {} · {} · {left}", resident(view, &user.agent), user.affordance)
    });
    listed(&mut lines, using.collect());
    lines.extend([Line::default(), Line::styled("Waiting, next first", theme.head)]);
    let waiting = queue.waiting.iter().map(|waiter| {
        format!("  {} · {} ticks ({})", resident(view, &waiter.agent), waiter.waited, duration(waiter.waited, per_day))
    });
    listed(&mut lines, waiting.collect());
    lines.extend([Line::default(), Line::styled("Sitting out", theme.head)]);
    let out = queue.cooldowns.iter().map(|cooldown| {
        format!("  {} · until tick {}", resident(view, &cooldown.agent), thousands(cooldown.until_tick))
    });
    listed(&mut lines, out.collect());
    Card { title: format!("Queue: {}", escape(&queue.object)), lines }
}

impl Queues {
    fn shown<'a>(cx: &Context<'a>) -> Vec<&'a Queue> {
        let fits = |queue: &&Queue| {
            cx.filter.is_empty()
                || cx.matches(&[&queue.object, &queue.place, &users(cx.view, queue), &waiters(cx.view, queue)])
        };
        let mut shown: Vec<&Queue> = cx.view.conflict.queues.iter().filter(fits).collect();
        // What needs a look first: somebody waits, then somebody uses, then the rest in the order of the map.
        shown.sort_by_key(|queue| (std::cmp::Reverse(queue.waiting.len()), queue.users.is_empty()));
        shown
    }

    fn ids(cx: &Context<'_>) -> Vec<String> {
        Self::shown(cx).into_iter().map(|queue| queue.object.clone()).collect()
    }

    fn row(queue: &Queue, selected: bool, cx: &Context<'_>, columns: &Columns) -> Line<'static> {
        let (view, theme) = (cx.view, cx.theme);
        let (sign, style) = match (queue.working, queue.waiting.is_empty()) {
            (false, _) => ("⊘", theme.bad),
            (true, false) => ("!", theme.warn),
            (true, true) => (" ", theme.text),
        };
        let text = format!(
            "{}{} {}{}{}{}",
            pad(&queue.object, columns.object),
            pad(&users(view, queue), columns.users),
            pad(&waiters(view, queue), columns.waiting),
            pad_left(&number(queue.longest_wait, " t"), 9),
            pad_left(&number(queue.cooldowns.len() as u64, ""), 8),
            pad_left(&number(queue.ghost_steps, ""), 7),
        );
        let base = if selected {
            theme.selected
        } else if queue.users.is_empty() {
            theme.dim
        } else {
            theme.text
        };
        Line::from(vec![
            Span::styled(format!(" {sign} "), if selected { base } else { style }),
            Span::styled(text, base),
        ])
    }

    fn foot(cx: &Context<'_>) -> Line<'static> {
        let (view, theme) = (cx.view, cx.theme);
        let transport = &view.transport;
        let dropped = if transport.dropped > 0 { theme.warn } else { theme.dim };
        let fairness = if view.conflict.queue_fairness { "fairness on" } else { "! fairness off" };
        Line::from(vec![
            Span::styled(" telemetry ", theme.dim),
            Span::styled(format!("{} queued", thousands(transport.queue_length)), theme.text),
            Span::styled(format!("  {} dropped", thousands(transport.dropped)), dropped),
            Span::styled(format!("  {} mode", escape(&transport.mode)), theme.text),
            Span::styled(format!("  {fairness}"), theme.dim),
        ])
    }
}

impl Pane for Queues {
    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, cx: &Context<'_>) {
        let block = frame_block("Queues", cx.focused, cx.theme);
        let inner = block.inner(area);
        frame.render_widget(block, area);
        let rows = [Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)];
        let [head, table, foot] = Layout::vertical(rows).areas(inner);
        frame.render_widget(Self::foot(cx), foot);
        let queues = Self::shown(cx);
        if queues.is_empty() {
            self.rows = Rect::ZERO;
            let (missing, advice) = if cx.filter.is_empty() {
                ("The town has no object to queue at.", "Objects come from the town plan.")
            } else {
                ("No queue fits the filter.", "esc clears it.")
            };
            return empty(frame, table, missing, advice, cx.theme);
        }
        let columns = Columns::of(inner.width.saturating_sub(1));
        let text = format!(
            "   {}{} {}{}{}{}",
            pad("object", columns.object),
            pad("in use", columns.users),
            pad("waiting", columns.waiting),
            pad_left("longest", 9),
            pad_left("cooling", 8),
            pad_left("ghosts", 7),
        );
        frame.render_widget(Line::styled(text, cx.theme.dim), head);
        let (at, first) = self.selection.settle(&Self::ids(cx), table.height.into());
        (self.rows, self.first) = (table, first);
        scrolled(frame, area, (first, table.height, queues.len()), cx.theme);
        let shown = queues.iter().enumerate().skip(first).take(table.height.into());
        let lines: Vec<Line<'_>> =
            shown.map(|(index, queue)| Self::row(queue, index == at && cx.focused, cx, &columns)).collect();
        frame.render_widget(Paragraph::new(lines), table);
    }

    fn act(&mut self, action: Action, cx: &Context<'_>) -> Reaction {
        let ids = Self::ids(cx);
        let (row, _) = self.selection.settle(&ids, self.rows.height.into());
        match (action, Self::shown(cx).get(row)) {
            (Action::Open, Some(queue)) => Reaction::Show(card(queue, cx)),
            (Action::Copy, Some(queue)) => Reaction::Copy(format!(
                "{}: used by {}; waiting {}",
                escape(&queue.object),
                users(cx.view, queue),
                waiters(cx.view, queue)
            )),
            _ if self.selection.act(action, &ids, self.rows.height.into()) => Reaction::Redraw,
            _ => Reaction::None,
        }
    }

    fn click(&mut self, column: u16, row: u16, cx: &Context<'_>) -> Reaction {
        if !self.rows.contains((column, row).into()) {
            return Reaction::None;
        }
        self.selection.select(&Self::ids(cx), self.first + usize::from(row - self.rows.y));
        Reaction::Redraw
    }

    fn bindings(&self, cx: &Context<'_>) -> Vec<Hint> {
        let none = cx.view.conflict.queues.is_empty();
        let some = if none { Err("the town has no object to queue at".to_owned()) } else { Ok(()) };
        vec![
            Hint::new(Action::Up, "select"),
            Hint::new(Action::Down, "select"),
            Hint::when(Action::Open, "details", some.clone()),
            Hint::when(Action::Copy, "copy", some),
        ]
    }
}

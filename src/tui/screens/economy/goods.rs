//! Prices against list prices, stock, and the state of power and water. Rule: "Map and economy", "Affordances".

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::Line;

use crate::chart;
use crate::export::{ChartData, Record, record};
use crate::format::{bar, thousands, trend_over};
use crate::keymap::Action;
use crate::list::{ListContent, ListPane, ListView};
use crate::pane::{Confirmation, Context, KeyHint, Reaction, mark};
use crate::table::{Cell, Column, FittedColumns, REST, Table};
use crate::text_drawing::draw_text;
use crate::theme::Theme;
use townlet_wire::Request;
use townlet_wire::telemetry::Store;

/// Share of the capacity below which stock is low.
const LOW: f64 = 0.2;
/// The columns.
static TABLE: Table = Table {
    name: "Goods",
    columns: &[
        Column::text("item", 12, 22, 0),
        Column::number("now", 14, 16, 0).of(&["value", "unit"]),
        Column::text("note", 12, 34, 1).of(&["list_price_or_capacity"]),
        Column::text("trend", 8, REST, 2),
    ],
};

pub(crate) type Goods = ListPane<GoodsList>;

/// Utilities, prices and stock.
#[derive(Default)]
pub(crate) struct GoodsList;

/// What a row is about.
#[derive(Clone, Copy)]
pub(crate) enum Good<'a> {
    /// A utility, and whether it is on.
    Utility(&'a str, bool),
    /// The price of an item.
    Price(&'a str, f64),
    /// What an object holds.
    Stock(&'a str),
}

impl<'a> Good<'a> {
    const fn parts(self) -> (&'static str, &'a str) {
        match self {
            Self::Utility(name, _) => ("utility", name),
            Self::Price(name, _) => ("price", name),
            Self::Stock(name) => ("stock", name),
        }
    }

    fn id(self) -> String {
        let (group, name) = self.parts();
        format!("{group} {name}")
    }

    /// Name of its series.
    fn series(self) -> String {
        let (group, name) = self.parts();
        format!("economy.{group}.{name}")
    }

    fn item(self, cx: &Context<'_>) -> Item {
        match self {
            Self::Utility(name, on) => utility(name, on, cx.theme),
            Self::Price(name, value) => price(name, value, cx),
            Self::Stock(name) => {
                let none = Store::default();
                stock(name, cx.view.economy.get(name).unwrap_or(&none), cx.theme)
            }
        }
    }
}

/// The content of a row.
struct Item {
    name: String,
    now: String,
    /// What an export has of it: the value, its unit, and the list price or the capacity.
    plain: [String; 3],
    sign: &'static str,
    style: Style,
    note: String,
    /// The fixed scale of its trend, if it has one.
    scale: Option<(f64, f64)>,
}

/// Command that switches a utility, and the effect of switching it off.
fn switch(utility: &str) -> Option<(&'static str, &'static str)> {
    match utility {
        "power" => Some(("blackout", "stoves stop")),
        "water" => Some(("outage", "showers stop")),
        _ => None,
    }
}

fn utility(name: &str, on: bool, theme: &Theme) -> Item {
    let (now, sign, style, note) = if on {
        ("on", "✓", theme.good, String::new())
    } else {
        let what = switch(name).map_or("", |(_, what)| what);
        ("OFF", "✗", theme.bad, format!("{what}; approved may leave"))
    };
    let plain = [now.to_lowercase(), String::new(), String::new()];
    Item { name: name.to_owned(), now: now.into(), plain, sign, style, note, scale: None }
}

fn price(name: &str, price: f64, cx: &Context<'_>) -> Item {
    let theme = cx.theme;
    let list = cx.view.list_prices.get(name).copied().filter(|list| *list > 0.0);
    let (sign, style, note) = match list.map(|list| (list, (price / list - 1.0) * 100.0)) {
        None => (" ", theme.text, String::new()),
        Some((list, change)) => {
            let note = format!("{change:+.0} % of list {list:.2}").replace('-', "−");
            match change.round() {
                change if change > 0.0 => ("▲", theme.warn, note),
                change if change < 0.0 => ("▼", theme.good, note),
                _ => ("=", theme.dim, format!("list {list:.2}")),
            }
        }
    };
    let (title, now) = (format!("price of {name}"), format!("{price:.2} meals"));
    let plain = [price.to_string(), "meals".to_owned(), list.map_or_else(String::new, |list| list.to_string())];
    Item { name: title, now, plain, sign, style, note, scale: None }
}

fn stock(name: &str, store: &Store, theme: &Theme) -> Item {
    let (count, kind) = (store.stock.values().sum::<u64>(), store.stock.keys().next());
    let capacity = if store.capacity > 0 { store.capacity.to_string() } else { String::new() };
    let plain = [count.to_string(), kind.cloned().unwrap_or_default(), capacity];
    // The kinds of stock are plurals.
    let kind = match kind.map_or("", String::as_str) {
        "meals" if count == 1 => "meal",
        "groceries" if count == 1 => "grocery",
        kind => kind,
    };
    let now = format!("{} {kind}", thousands(count));
    let text = || format!("{} of {}", bar(count as f64, store.capacity as f64, 10), thousands(store.capacity));
    let (sign, style, note) = match count as f64 / store.capacity as f64 {
        _ if store.capacity == 0 => (" ", theme.text, String::new()),
        // Empty fridges are normal: residents eat what they cook.
        _ if store.kind == "fridge" => (" ", theme.text, text()),
        0.0 => ("‼", theme.bad, format!("{} empty", text())),
        share if share < LOW => ("!", theme.warn, format!("{} low", text())),
        _ => (" ", theme.text, text()),
    };
    let scale = Some((0.0, store.capacity as f64)).filter(|_| store.capacity > 0);
    Item { name: name.to_owned(), now, plain, sign, style, note, scale }
}

fn row(good: Good<'_>, selected: bool, columns: &FittedColumns, cx: &Context<'_>) -> Line<'static> {
    let (theme, item) = (cx.theme, good.item(cx));
    let cell = |head: &str, width: usize| match head {
        "item" => Cell::Text(item.name.clone(), theme.text),
        "now" => Cell::Text(item.now.clone(), theme.strong),
        "note" => Cell::Pieces(vec![(format!("{} ", item.sign), item.style), (item.note.clone(), item.style)]),
        _ => {
            let points = cx.history.full().points(&good.series());
            Cell::Text(trend_over(&points, width, item.scale), theme.chart)
        }
    };
    columns.row(vec![(mark(selected), theme.accent)], selected.then(|| cx.row(true)), cell)
}

/// The selected utility, whether it is on, its command and effect; or why it cannot be switched.
fn selected_switch<'a>(
    selected: Option<&Good<'a>>,
    cx: &Context<'_>,
) -> Result<(&'a str, bool, &'static str, &'static str), String> {
    let Some(Good::Utility(name, on)) = selected.copied() else {
        return Err("select power or water to switch it".to_owned());
    };
    let (command, what) = switch(name).ok_or_else(|| format!("no command switches {name}"))?;
    cx.check_allowed(command)?;
    Ok((name, on, command, what))
}

impl ListContent for GoodsList {
    type Item<'a> = Good<'a>;
    const TITLE: &'static str = "Goods";

    fn items<'a>(&self, cx: &Context<'a>) -> Vec<Good<'a>> {
        let view = cx.view;
        let utilities = view.utilities.iter().map(|(name, on)| Good::Utility(name, *on));
        let prices = view.prices.iter().map(|(name, value)| Good::Price(name, *value));
        let stock = view.stores().iter().map(|name| Good::Stock(name));
        let fits = |good: &Good<'_>| {
            let Item { name, now, note, .. } = good.item(cx);
            cx.matches(&[&name, &now, &note])
        };
        utilities.chain(prices).chain(stock).filter(|good| cx.filter.is_empty() || fits(good)).collect()
    }

    fn id(good: &Good<'_>) -> String {
        good.id()
    }

    fn is(good: &Good<'_>, id: &str) -> bool {
        let (group, name) = good.parts();
        id.strip_prefix(group).and_then(|rest| rest.strip_prefix(' ')) == Some(name)
    }

    fn chart_data(&self, good: &Good<'_>, cx: &Context<'_>) -> Option<ChartData> {
        let (name, item) = (good.series(), good.item(cx));
        let points = cx.history.full().points(&name);
        let unit = if item.scale.is_some() { "count" } else { "meals" };
        let (title, unit) = (item.name.clone(), unit.to_owned());
        Some(ChartData { name, title, unit, points, target: None, scale: item.scale, axis: "tick" })
    }

    fn record(good: &Good<'_>, cx: &Context<'_>) -> Record {
        let Item { name, plain: [value, unit, of], .. } = good.item(cx);
        record([("item", name), ("value", value), ("unit", unit), ("list_price_or_capacity", of)])
    }

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, mut view: ListView<'_, Good<'_>>, cx: &Context<'_>) {
        if view.items.is_empty() {
            let none = ("No prices or stock yet.", "They appear with the first data from the shard.");
            return cx.draw_no_items(frame, area, "goods", none);
        }
        let wanted = view.items.len() as u16;
        let rows = [Constraint::Length(1), Constraint::Max(wanted), Constraint::Fill(1)];
        let [head, table, below] = Layout::vertical(rows).areas(area);
        let name = view.selected().map(|good| good.series());
        if let Some(name) = name.filter(|_| below.height > chart::WORTHWHILE.0) {
            let chart = Rect { y: below.y + 1, height: below.height - 1, ..below };
            chart::draw_metric(frame, chart, &name, cx);
        }
        let columns = TABLE.fit(cx.layouts, usize::from(area.width).saturating_sub(3), &[]);
        draw_text(frame, head, columns.heads(2, None, cx.theme));
        view.draw(frame, table, cx, |good, selected| row(*good, selected, &columns, cx));
    }

    fn table(&self) -> Option<&'static Table> {
        Some(&TABLE)
    }

    fn act(&mut self, action: Action, view: &mut ListView<'_, Good<'_>>, cx: &Context<'_>) -> Option<Reaction> {
        let selected = view.selected();
        match action {
            Action::Switch => Some(match selected_switch(selected, cx) {
                Err(why) => Reaction::Status(why),
                Ok((_, false, command, _)) => Reaction::Send(vec![Request::line(format!("{command} off"))]),
                Ok((name, true, command, what)) => Reaction::Confirm(Confirmation {
                    title: format!("Switch {name} off"),
                    text: vec![
                        format!(
                            "{name} goes off on the next tick: {what}. Only approved residents leave until it is on again."
                        ),
                        "It stays off until it is switched on again.".to_owned(),
                    ],
                    verb: "switch off".into(),
                    requests: vec![Request::line(format!("{command} on"))],
                    ..Confirmation::default()
                }),
            }),
            Action::Copy => selected.map(|good| {
                let Item { name, now, note, .. } = good.item(cx);
                Reaction::Copy(format!("{name} {now} {note}").trim_end().to_owned())
            }),
            _ => None,
        }
    }

    fn bindings(&self, selected: Option<&Good<'_>>, cx: &Context<'_>) -> Vec<KeyHint> {
        let some = cx.require_row(selected.is_some(), "no prices or stock yet");
        let switch = selected_switch(selected, cx);
        let label = if matches!(switch, Ok((_, false, ..))) { "switch on" } else { "switch off" };
        vec![KeyHint::when(Action::Switch, label, switch.map(|_| ())), KeyHint::when(Action::Copy, "copy", some)]
    }
}

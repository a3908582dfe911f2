//! Prices against list prices, stock, and the state of power and water. Rule: "Map and economy", "Affordances".

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::Line;

use crate::format::{bar, pad, pad_left, thousands, trend};
use crate::keymap::Action;
use crate::list::{ListContent, ListPane, ListView};
use crate::pane::{Confirmation, Context, KeyHint, Reaction, mark};
use townlet_wire::Request;
use townlet_wire::telemetry::Store;

/// Share of the capacity below which stock is low.
const LOW: f64 = 0.2;
/// Widths of the name and value columns.
const NAME: usize = 22;
const FIGURE: usize = 16;

pub(crate) type Goods = ListPane<GoodsList>;

/// Utilities, prices and stock.
#[derive(Default)]
pub(crate) struct GoodsList;

#[derive(Clone, Copy)]
pub(crate) enum Item<'a> {
    Utility(&'a str, bool),
    Price(&'a str, f64),
    Stock(&'a str, &'a Store),
}

/// Command that switches a utility, and the effect of switching it off.
fn switch(utility: &str) -> Option<(&'static str, &'static str)> {
    match utility {
        "power" => Some(("blackout", "stoves stop")),
        "water" => Some(("outage", "showers stop")),
        _ => None,
    }
}

impl Item<'_> {
    /// Name of its metric.
    fn past(self) -> Option<String> {
        match self {
            Self::Utility(..) => None,
            Self::Price(name, _) => Some(format!("economy.price.{name}")),
            Self::Stock(name, _) => Some(format!("economy.stock.{name}")),
        }
    }

    /// Name, value, sign, style and note.
    fn words(self, cx: &Context<'_>) -> (String, String, &'static str, Style, String) {
        let theme = cx.theme;
        match self {
            Self::Utility(name, true) => (name.to_owned(), "on".into(), "✓", theme.good, String::new()),
            Self::Utility(name, false) => {
                let what = switch(name).map_or("", |(_, what)| what);
                let text = format!("{what}; no residents leave");
                (name.to_owned(), "OFF".into(), "✗", theme.bad, text)
            }
            Self::Price(name, price) => {
                let figure = format!("{price:.2} meals");
                let list = cx.view.list_prices.get(name).copied().filter(|list| *list > 0.0);
                let Some(list) = list else {
                    return (format!("price of {name}"), figure, " ", theme.text, String::new());
                };
                let change = (price / list - 1.0) * 100.0;
                let text = format!("{change:+.0} % of list {list:.2}").replace('-', "−");
                match change.round() {
                    change if change > 0.0 => (format!("price of {name}"), figure, "▲", theme.warn, text),
                    change if change < 0.0 => (format!("price of {name}"), figure, "▼", theme.good, text),
                    _ => (format!("price of {name}"), figure, "=", theme.dim, format!("list {list:.2}")),
                }
            }
            Self::Stock(name, store) => {
                let (count, kind) = (store.stock.values().sum::<u64>(), store.stock.keys().next());
                let figure = format!("{} {}", thousands(count), kind.map_or("", String::as_str));
                if store.capacity == 0 {
                    return (name.to_owned(), figure, " ", theme.text, String::new());
                }
                let text = format!("{} of {}", bar(count as f64, store.capacity as f64, 10), thousands(store.capacity));
                match count as f64 / store.capacity as f64 {
                    // Empty fridges are normal: residents eat what they cook.
                    _ if store.kind == "fridge" => (name.to_owned(), figure, " ", theme.text, text),
                    0.0 => (name.to_owned(), figure, "‼", theme.bad, format!("{text} empty")),
                    share if share < LOW => (name.to_owned(), figure, "!", theme.warn, format!("{text} low")),
                    _ => (name.to_owned(), figure, " ", theme.text, text),
                }
            }
        }
    }
}

fn row(item: Item<'_>, selected: bool, columns: usize, cx: &Context<'_>) -> Line<'static> {
    let theme = cx.theme;
    let (name, figure, sign, style, text) = item.words(cx);
    let rest = columns.saturating_sub(2 + NAME + FIGURE + 3 + 28);
    let points = item.past().map_or_else(Vec::new, |name| cx.history.full().points(&name));
    let values: Vec<f64> = points.into_iter().map(|point| point.1).collect();
    let cells = [
        (mark(selected), theme.accent),
        (pad(&name, NAME), theme.text),
        (pad_left(&figure, FIGURE), theme.strong),
        (format!(" {sign} "), style),
        (pad(&text, 28), style),
        (trend(&values, rest), theme.chart),
    ];
    cx.cells(selected, cells)
}

/// The selected utility, whether it is on, its command and effect; or why it cannot be switched.
fn selected_switch<'a>(
    selected: Option<&Item<'a>>,
    cx: &Context<'_>,
) -> Result<(&'a str, bool, &'static str, &'static str), String> {
    let Some(Item::Utility(name, on)) = selected else {
        return Err("select power or water to switch it".to_owned());
    };
    let (command, what) = switch(name).ok_or_else(|| format!("no command switches {name}"))?;
    cx.check_allowed(command)?;
    Ok((name, *on, command, what))
}

impl ListContent for GoodsList {
    type Item<'a> = Item<'a>;
    const TITLE: &'static str = "Goods";

    fn items<'a>(&self, cx: &Context<'a>) -> Vec<Item<'a>> {
        let view = cx.view;
        let utilities = view.utilities.iter().map(|(name, on)| Item::Utility(name, *on));
        let prices = view.prices.iter().map(|(name, price)| Item::Price(name, *price));
        let stock = view.economy.iter().map(|(name, store)| Item::Stock(name, store));
        let fits = |item: &Item<'_>| {
            let (name, figure, _, _, text) = item.words(cx);
            cx.filter.is_empty() || cx.matches(&[&name, &figure, &text])
        };
        utilities.chain(prices).chain(stock).filter(fits).collect()
    }

    fn id(item: &Item<'_>) -> String {
        match item {
            Item::Utility(name, _) => format!("utility {name}"),
            Item::Price(name, _) => format!("price {name}"),
            Item::Stock(name, _) => format!("stock {name}"),
        }
    }

    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, mut view: ListView<'_, Item<'_>>, cx: &Context<'_>) {
        if view.items.is_empty() {
            let none = ("No prices or stock yet.", "They arrive with the first data from the shard.");
            return cx.draw_no_items(frame, area, "goods", none);
        }
        let [head, table] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
        let text = format!("  {}{}   {}trend", pad("item", NAME), pad_left("now", FIGURE), pad("", 28));
        frame.render_widget(Line::styled(text, cx.theme.dim), head);
        view.draw(frame, table, cx, |item, selected| row(*item, selected, area.width.into(), cx));
    }

    fn act(&mut self, action: Action, view: &mut ListView<'_, Item<'_>>, cx: &Context<'_>) -> Option<Reaction> {
        let selected = view.selected();
        match action {
            Action::Switch => Some(match selected_switch(selected, cx) {
                Err(why) => Reaction::Status(why),
                Ok((_, false, command, _)) => Reaction::Send(vec![Request::line(format!("{command} off"))]),
                Ok((name, true, command, what)) => Reaction::Confirm(Confirmation {
                    title: format!("Switch {name} off"),
                    text: vec![
                        format!("Switches {name} off on the next tick: {what}. No residents leave because of it."),
                        "It stays off until it is switched on again.".to_owned(),
                    ],
                    verb: "switch off".into(),
                    requests: vec![Request::line(format!("{command} on"))],
                }),
            }),
            Action::Copy => selected.map(|item| {
                let (name, figure, _, _, text) = item.words(cx);
                Reaction::Copy(format!("{name} {figure} {text}").trim_end().to_owned())
            }),
            _ => None,
        }
    }

    fn bindings(&self, selected: Option<&Item<'_>>, cx: &Context<'_>) -> Vec<KeyHint> {
        let switch = selected_switch(selected, cx);
        let label = if matches!(switch, Ok((_, false, ..))) { "switch on" } else { "switch off" };
        vec![KeyHint::when(Action::Switch, label, switch.map(|_| ())), KeyHint::new(Action::Copy, "copy")]
    }
}

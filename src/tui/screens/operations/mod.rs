//! The Operations screen: employment, stability, queues, alerts and console. Rule: "Operations screen".

mod alerts;
mod console;
mod employment;
pub(super) mod exit_details;
mod queues;
mod stability;

use ratatui::layout::{Constraint, Layout, Rect};

pub(crate) use alerts::Alerts;
pub(crate) use console::Console;
pub(crate) use employment::Employment;
pub(crate) use queues::Queues;
pub(crate) use stability::Stability;

/// Two by two panes, with the console below.
pub(crate) fn layout(area: Rect) -> Vec<Rect> {
    let console = (area.height / 5).clamp(6, 12);
    let [upper, lower, console] =
        Layout::vertical([Constraint::Fill(5), Constraint::Fill(4), Constraint::Length(console)]).areas(area);
    let halves = Layout::horizontal([Constraint::Ratio(1, 2); 2]);
    let [employment, stability] = halves.areas(upper);
    let [queues, alerts] = halves.areas(lower);
    vec![employment, stability, queues, alerts, console]
}

//! The Operations screen: employment, stability, queues, alerts and console. Rule: "Operations screen".

mod alerts;
mod console;
mod employment;
pub(super) mod exit_details;
mod queues;
mod stability;

use ratatui::layout::{Constraint, Direction, Rect};

use crate::layouts::Layouts;
use crate::pane::Tiling;
pub(crate) use alerts::Alerts;
pub(crate) use console::Console;
pub(crate) use employment::Employment;
pub(crate) use queues::Queues;
pub(crate) use stability::Stability;

/// Two by two panes, with the console below.
pub(crate) fn layout(area: Rect, layouts: &Layouts) -> Tiling {
    let console = (area.height / 5).clamp(6, 12);
    let rows = [Constraint::Fill(5), Constraint::Fill(4), Constraint::Length(console)];
    let rows = layouts.divide("operations", Direction::Vertical, area, &rows);
    let halves = |name, area| layouts.divide(name, Direction::Horizontal, area, &[Constraint::Ratio(1, 2); 2]);
    let (upper, lower) = (halves("operations upper", rows.parts[0]), halves("operations lower", rows.parts[1]));
    let areas = [&upper.parts[..], &lower.parts, &rows.parts[2..]].concat();
    Tiling { areas, divisions: vec![rows, upper, lower] }
}

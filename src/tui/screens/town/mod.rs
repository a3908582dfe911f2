//! The Town screen: the map with a cursor that may follow a resident, and a side panel. Rule: "Screens".

mod map_canvas;
mod overview;
mod resident_letters;
mod side_panel;
#[cfg(test)]
mod tests;

use ratatui::Frame;
use ratatui::layout::{Constraint, Direction, Rect};
use ratatui::text::{Line, Span};

use self::map_canvas::{Canvas, Window, place_at};
use self::overview::Overview;
use self::resident_letters::ResidentLetters;
pub(crate) use self::side_panel::legend;
use self::side_panel::{SidePanel, utilities};
use crate::export::{Export, Record, record};
use crate::format::{clip, width};
use crate::keymap::Action;
use crate::layouts::{Division, Layouts};
use crate::pane::{Context, KeyHint, Pane, Reaction, draw_empty, pane_block};
use crate::text_drawing::draw_text;
use townlet_wire::service::{Area, Focus};
use townlet_wire::telemetry::{Agent, Map as Plan};

/// Minimum and maximum width of the side panel.
const PANEL_WIDTH: std::ops::RangeInclusive<u16> = 21..=76;
/// Tiles of a page.
const PAGE: i64 = 10;

/// Mode of the cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum CursorMode {
    /// Follows the first resident as soon as there is one.
    #[default]
    Initial,
    /// Follows this resident.
    Following(String),
    /// Stays where it is.
    Free,
}

/// The Map pane.
#[derive(Debug, Default)]
pub(crate) struct Map {
    letters: ResidentLetters,
    mode: CursorMode,
    cursor: (u64, u64),
    ties: bool,
    /// Whether the whole map is shown, and as it was last drawn.
    whole: bool,
    overview: Option<Overview>,
    window: Option<Window>,
    /// The followed resident, or the one under the cursor, as last drawn.
    shown: Option<String>,
    /// Screen rows of the panel with the id of their resident.
    listed: Vec<(u16, String)>,
    panel: Rect,
    /// Map and panel.
    division: Option<Division>,
}

impl Map {
    /// Updates the cursor to the followed resident and the map's size.
    fn update_cursor(&mut self, cx: &Context<'_>) {
        self.letters.update(&cx.view.agents);
        let map = &cx.view.map;
        if self.mode == CursorMode::Initial {
            self.cursor = (map.width / 2, map.height / 2);
            if let Some(first) = cx.view.agents.first() {
                self.mode = CursorMode::Following(first.id.clone());
            }
        }
        if let CursorMode::Following(id) = &self.mode {
            match cx.view.resident(id) {
                Some(agent) => self.cursor = (agent.x, agent.y),
                // The resident has left; the cursor stays.
                None => self.mode = CursorMode::Free,
            }
        }
        self.cursor.0 = self.cursor.0.min(map.width.saturating_sub(1));
        self.cursor.1 = self.cursor.1.min(map.height.saturating_sub(1));
    }

    /// The followed resident, or the one under the cursor.
    fn focus<'a>(&self, cx: &Context<'a>) -> Option<&'a Agent> {
        match &self.mode {
            CursorMode::Following(id) => cx.view.resident(id),
            _ => cx.view.residents_at(self.cursor).next(),
        }
    }

    fn follow(&mut self, agent: Option<&Agent>, cx: &Context<'_>) -> Reaction {
        let Some(agent) = agent else { return Reaction::None };
        self.mode = CursorMode::Following(agent.id.clone());
        self.update_cursor(cx);
        Reaction::Redraw
    }

    /// The resident to follow next: the next in the list if one is followed, else the nearest to the cursor.
    fn next<'a>(&self, cx: &Context<'a>) -> Option<&'a Agent> {
        let agents = &cx.view.agents;
        if let CursorMode::Following(id) = &self.mode {
            let at = cx.view.resident_position(id)?;
            return agents.get((at + 1) % agents.len());
        }
        let distance = |agent: &&Agent| agent.x.abs_diff(self.cursor.0) + agent.y.abs_diff(self.cursor.1);
        agents.iter().min_by_key(distance)
    }

    /// Moves the cursor by tiles, or by cells of the overview.
    fn step(&mut self, across: i64, down: i64, map: &Plan) -> Reaction {
        let [wide, high] = self.overview.map_or([1, 1], |overview| overview.step().map(u64::cast_signed));
        let (across, down) = (across * wide, down * high);
        let move_by = |at: u64, by: i64, size: u64| at.saturating_add_signed(by).min(size.saturating_sub(1));
        self.cursor = (move_by(self.cursor.0, across, map.width), move_by(self.cursor.1, down, map.height));
        self.mode = CursorMode::Free;
        Reaction::Redraw
    }

    fn caption(&self, cx: &Context<'_>) -> String {
        let (x, y) = self.cursor;
        let place = place_at(&cx.view.map, x, y);
        let place = place.map_or_else(|| "open ground".into(), |place| format!("{} ({})", place.name, place.kind));
        let object = cx.view.object_at(x, y).map_or_else(String::new, |object| format!(" · {}", object.id));
        format!(" {x},{y} · {place}{object} ")
    }
}

/// Map and panel. The map has two cells per tile if the panel fits beside it. On narrow screens there is no panel.
fn map_and_panel(inner: Rect, plan: &Plan, layouts: &Layouts) -> Option<Division> {
    let width = u64::from(inner.width);
    let least = u64::from(*PANEL_WIDTH.start()) + 1;
    let wanted = if width >= plan.width * 2 + least { plan.width * 2 } else { plan.width };
    let wanted = if width >= wanted + least { wanted } else { width.saturating_sub(least) };
    if inner.width < 60 {
        return None;
    }
    let side = inner.width.saturating_sub(wanted as u16 + 1).clamp(*PANEL_WIDTH.start(), *PANEL_WIDTH.end());
    let parts = [Constraint::Fill(1), Constraint::Length(side + 1)];
    Some(layouts.divide("town", Direction::Horizontal, inner, &parts))
}

impl Pane for Map {
    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, cx: &Context<'_>) {
        self.update_cursor(cx);
        self.listed.clear();
        self.division = None;
        let focus = self.focus(cx);
        self.shown = focus.map(|agent| agent.id.clone());
        let title = match (&self.mode, focus) {
            (CursorMode::Following(_), Some(agent)) => format!("Map · following {}", clip(&agent.name, 16)),
            _ => "Map".to_owned(),
        };
        let title = if self.ties { format!("{title} · ties") } else { title };
        let mut block = pane_block(&title, area.width, cx.focused, cx.theme);
        let inner = block.inner(area);
        let plan = &cx.view.map;
        if plan.width == 0 || plan.height == 0 {
            frame.render_widget(block, area);
            draw_empty(frame, inner, "No map yet.", "It appears with the first data from the shard.", cx.theme);
            return;
        }
        let division = map_and_panel(inner, plan, cx.layouts);
        let (ground, beside) = division.as_ref().map_or((inner, Rect::ZERO), |it| (it.parts[0], it.parts[1]));
        let panel = Rect { x: beside.x + 1, width: beside.width.saturating_sub(1), ..beside };
        self.division = division;
        let window = Window::centred_on(plan, ground, self.cursor);
        let overview = self.whole.then(|| Overview::fitting(plan, ground));
        let filtered = |agent: &Agent| cx.matches(&[&agent.name, &agent.option, &agent.place]);
        let whole = overview.map(|overview| (overview, overview.squares(cx.view, filtered)));
        let caption = match &whole {
            Some((overview, squares)) => format!(" {} ", overview.caption(squares, self.cursor)),
            None => self.caption(cx),
        };
        let part = match overview {
            Some(overview) => Some(format!("whole map · a dot is {0} × {0} tiles", overview.tiles)),
            None => window.scrolled(plan),
        };
        let part = part.map_or_else(String::new, |part| format!(" {part} "));
        // At most half of the border, and what the other caption leaves.
        let room = usize::from(inner.width).saturating_sub(width(&part) + 1).min(usize::from(inner.width) / 2);
        let caption = Line::styled(clip(&caption, room), cx.theme.dim);
        // A filter stands at the left of the border.
        let caption = if cx.filter.is_empty() { caption } else { caption.right_aligned() };
        block = block.title_top(Line::from(utilities(cx.view, cx.theme)).right_aligned()).title_bottom(caption);
        if !part.is_empty() {
            block = block.title_bottom(Line::from(Span::styled(part, cx.theme.accent)).right_aligned());
        }
        frame.render_widget(block, area);
        if let Some((overview, squares)) = &whole {
            overview.draw(frame.buffer_mut(), squares, self.cursor, cx.theme);
        } else {
            let mut canvas = Canvas { buffer: frame.buffer_mut(), window, theme: cx.theme };
            canvas.ground(plan);
            canvas.objects(cx.view);
            canvas.residents(cx.view, &self.letters, focus, self.ties);
            canvas.cursor(self.cursor);
        }
        if panel.width > 0 {
            let (width, height) = (usize::from(panel.width), usize::from(panel.height));
            let (view, letters, theme) = (cx.view, &self.letters, cx.theme);
            let side = SidePanel { view, letters, theme, cursor: self.cursor, focus, filter: cx.filter, width, height };
            let drawn = side.lines();
            let listed = drawn.residents.into_iter().map(|(row, id)| (panel.y + row as u16, id));
            let listed: Vec<_> = listed.filter(|(row, _)| *row < panel.bottom()).collect();
            draw_text(frame, panel, drawn.lines);
            self.listed = listed;
        }
        (self.window, self.overview, self.panel) = (Some(window), overview, panel);
    }

    fn act(&mut self, action: Action, cx: &Context<'_>) -> Reaction {
        self.update_cursor(cx);
        let map = &cx.view.map;
        match action {
            Action::Up => self.step(0, -1, map),
            Action::Down => self.step(0, 1, map),
            Action::Left => self.step(-1, 0, map),
            Action::Right => self.step(1, 0, map),
            Action::PageUp => self.step(0, -PAGE, map),
            Action::PageDown => self.step(0, PAGE, map),
            Action::First => self.follow(cx.view.agents.first(), cx),
            Action::Last => self.follow(cx.view.agents.last(), cx),
            Action::Follow => self.follow(self.next(cx), cx),
            Action::Overlay => {
                self.ties = !self.ties;
                Reaction::Redraw
            }
            Action::Overview => {
                self.whole = !self.whole;
                // Until it is drawn, the cursor moves by tiles.
                self.overview = None;
                Reaction::Redraw
            }
            Action::Open if self.whole => {
                (self.whole, self.overview) = (false, None);
                Reaction::Redraw
            }
            Action::Open => self.focus(cx).map_or(Reaction::None, |agent| Reaction::OpenAgent(agent.id.clone())),
            _ => Reaction::None,
        }
    }

    fn click(&mut self, column: u16, row: u16, cx: &Context<'_>) -> Reaction {
        self.update_cursor(cx);
        if self.panel.contains((column, row).into()) {
            let id = self.listed.iter().find(|(listed, _)| *listed == row).map(|(_, id)| id.clone());
            return self.follow(id.and_then(|id| cx.view.resident(&id)), cx);
        }
        let tile = match self.overview {
            Some(overview) => overview.tile(column, row, &cx.view.map),
            None => self.window.and_then(|window| window.tile(column, row)),
        };
        let Some(tile) = tile else { return Reaction::None };
        self.cursor = tile;
        self.mode = CursorMode::Free;
        Reaction::Redraw
    }

    fn add_to_focus(&self, focus: &mut Focus) {
        // Of the whole map, positions of a few seconds ago are new enough.
        focus.area = self.window.filter(|_| !self.whole).map(|window| Area {
            x: window.left,
            y: window.top,
            width: window.columns,
            height: window.rows,
        });
        focus.residents.extend(self.listed.iter().map(|(_, id)| id.clone()));
        focus.residents.extend(self.shown.clone());
    }

    fn division(&self) -> Option<&Division> {
        self.division.as_ref()
    }

    /// Moves the cursor to a place.
    fn select(&mut self, id: &str, cx: &Context<'_>) {
        if let Some(place) = cx.view.map.places.iter().find(|place| place.name == id) {
            self.cursor = (place.x + place.width / 2, place.y + place.height / 2);
            self.mode = CursorMode::Free;
        }
    }

    fn export(&self, cx: &Context<'_>) -> Export {
        let row = |agent: &Agent| -> Record {
            record([
                ("id", agent.id.clone()),
                ("name", agent.name.clone()),
                ("x", agent.x.to_string()),
                ("y", agent.y.to_string()),
                ("place", agent.place.clone()),
                ("option", agent.option.clone()),
                ("activity", agent.activity.clone()),
            ])
        };
        let shown = cx.view.agents.iter().filter(|agent| cx.matches(&[&agent.name, &agent.option, &agent.place]));
        Export { rows: shown.map(row).collect(), chart: None }
    }

    fn bindings(&self, cx: &Context<'_>) -> Vec<KeyHint> {
        let has_resident = if cx.view.agents.is_empty() { Err("no residents".to_owned()) } else { Ok(()) };
        let here = self.focus(cx).map(|_| ()).ok_or_else(|| "no resident under the cursor; f follows one".to_owned());
        let ties = if cx.view.relationships.stage == "OFF" {
            Err("ties are disabled: features.stages.relationships is OFF".to_owned())
        } else {
            Ok(())
        };
        let following = matches!(self.mode, CursorMode::Following(_));
        vec![
            KeyHint::when(Action::Follow, if following { "follow next" } else { "follow" }, has_resident.clone()),
            if self.whole {
                KeyHint::new(Action::Open, "look closer")
            } else {
                KeyHint::when(Action::Open, "inspect", here)
            },
            KeyHint::new(Action::Overview, if self.whole { "part of the map" } else { "whole map" }),
            KeyHint::when(Action::Overlay, "ties", ties),
            KeyHint::new(Action::Up, "move cursor"),
            KeyHint::new(Action::Down, "move cursor"),
            KeyHint::new(Action::Left, "move cursor"),
            KeyHint::new(Action::Right, "move cursor"),
            KeyHint::when(Action::First, "first resident", has_resident),
        ]
    }
}

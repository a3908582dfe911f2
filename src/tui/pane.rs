//! The pane trait and the tables of panes and screens. A new pane is a file and a row in [`PANES`].
//!
//! A pane draws a snapshot and returns reactions. It must not send commands itself or decide what a role may do.
//! Rule: "Extension tables", "Screens".

use jiff::tz::TimeZone;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, BorderType};

use super::audit_lines::AuditLines;
use super::console::AnswerLog;
use super::export::Export;
use super::format::{clip, pad, styled_lines, thousands};
use super::indexed_snapshot::IndexedSnapshot;
use super::keymap::Action;
use super::layouts::{Division, Layouts};
use super::metric_history::MetricHistory;
use super::screens::{agents, audit, economy, learning, metrics, operations, town};
use super::table::Table;
use super::text_drawing::draw_text;
use super::theme::Theme;
use townlet_source::{RECORDING, UnconfirmedCommand};
use townlet_wire::escape;
use townlet_wire::service::{Focus, ROWS_AT_ONCE, SCREEN_RATE, is_newer};
use townlet_wire::{CommandSpec, Request, SCHEMA_VERSION, Session, Snapshot, allowed};

/// Input of a pane for drawing and for handling keys.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The snapshot on screen: the newest one, or one of the past.
    pub view: &'a IndexedSnapshot,
    /// History of the metrics.
    pub history: &'a MetricHistory,
    /// The lines of the audit log.
    pub audit: &'a AuditLines,
    /// The operator's session.
    pub session: &'a Session,
    /// The shard's command table.
    pub commands: &'a [CommandSpec],
    /// Commands and answers of this session.
    pub log: &'a AnswerLog,
    /// Commands that were asked for and have no answer yet.
    pub unconfirmed: &'a [UnconfirmedCommand],
    /// Colours and signs.
    pub theme: &'a Theme,
    /// Zone of the times of day.
    pub zone: &'a TimeZone,
    /// Whether the shard is connected; if not, `view` is the last state received.
    pub connected: bool,
    /// Why nothing acts on the town, while the past is on screen.
    pub past: Option<&'a str>,
    /// Whether the pane has the keyboard focus.
    pub focused: bool,
    /// The pane's filter, in lower case; empty for no filter.
    pub filter: &'a str,
    /// Sizes and columns that the operator chose.
    pub layouts: &'a Layouts,
}

impl Context<'_> {
    /// Checks whether the session may run `command`, which acts, now; see [`check_allowed`].
    pub fn check_allowed(&self, command: &str) -> Result<(), String> {
        if let Some(why) = self.past {
            return Err(why.to_owned());
        }
        check_allowed(self.session, self.commands, self.view, command)
    }

    /// Seconds that rows of residents who are not on screen may be old: those of a large remote town arrive in turn.
    pub fn age_of_rows(&self) -> u64 {
        const ROWS_A_SECOND: usize = SCREEN_RATE as usize * ROWS_AT_ONCE;
        if self.session.transport == "http" && self.past.is_none() {
            (self.view.agents.len() / ROWS_A_SECOND) as u64
        } else {
            0
        }
    }

    /// Style of a list row.
    pub const fn row(&self, selected: bool) -> Style {
        match (selected, self.focused) {
            (true, true) => self.theme.selected,
            (true, false) => self.theme.selected_idle,
            (false, _) => self.theme.text,
        }
    }

    /// A list row: cells with their styles, all in the style of the selection if the row is selected.
    pub fn cells<const N: usize>(&self, selected: bool, cells: [(String, Style); N]) -> Line<'static> {
        let span = |(text, style)| Span::styled(text, if selected { self.row(true) } else { style });
        Line::from_iter(cells.map(span))
    }

    /// Draws the empty state of a list: the filter excludes all `items`, or there are none.
    pub fn draw_no_items(&self, frame: &mut Frame<'_>, area: Rect, items: &str, (missing, advice): (&str, &str)) {
        if self.filter.is_empty() {
            return draw_empty(frame, area, missing, advice, self.theme);
        }
        draw_empty(frame, area, &format!("No {items} match the filter."), "Press esc to clear it.", self.theme);
    }

    /// Whether a key works that needs a row: `Ok` with one, else why there is none, which is `none` or the filter.
    pub fn require_row(&self, has_row: bool, none: &str) -> Result<(), String> {
        require(has_row, if self.filter.is_empty() { none } else { "nothing matches the filter; esc clears it" })
    }

    /// Whether any of `texts` contains the filter, ignoring case.
    pub fn matches(&self, texts: &[&str]) -> bool {
        self.filter.is_empty() || texts.iter().any(|text| text.to_lowercase().contains(self.filter))
    }
}

/// Checks whether `session` may run `command`, the name of a row of the command table, on the shard of `view`. The error is
/// a sentence.
pub fn check_allowed(
    session: &Session,
    commands: &[CommandSpec],
    view: &Snapshot,
    command: &str,
) -> Result<(), String> {
    match commands.iter().find(|spec| spec.name == command) {
        None if session.transport == RECORDING => {
            Err(format!("a recording cannot be changed; `{command}` needs a running town"))
        }
        None => Err(format!("this shard has no command `{command}`")),
        Some(spec) if spec.acts() && has_newer_schema(view) => Err(format!(
            "the shard uses schema {}, this program {SCHEMA_VERSION}; upgrade this program",
            view.schema_version
        )),
        Some(spec) if allowed(session, spec) => Ok(()),
        Some(spec) => Err(format!(
            "`{command}` needs the {} role; you are {}. Run `:escalate`",
            spec.role.word(),
            session.role.word()
        )),
    }
}

/// The problems of a shard that are not alerts too.
pub fn problems_without_alert(view: &Snapshot) -> impl Iterator<Item = &String> {
    view.health.problems.iter().filter(|problem| view.alerts.iter().all(|alert| alert.message != **problem))
}

/// Whether the shard uses a newer schema than this program. Commands are disabled then.
pub fn has_newer_schema(view: &Snapshot) -> bool {
    is_newer(&view.schema_version)
}

/// A part of a screen.
pub trait Pane {
    /// Draws into `area`, including the border (see [`pane_block`]).
    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, cx: &Context<'_>);

    /// Handles an action: any navigation, and the other actions that [`Pane::bindings`] lists as enabled.
    fn act(&mut self, action: Action, cx: &Context<'_>) -> Reaction;

    /// Handles a click at these screen coordinates, inside the area last drawn to.
    fn click(&mut self, column: u16, row: u16, cx: &Context<'_>) -> Reaction;

    /// Actions to list in the footer, each enabled or with the reason why not.
    fn bindings(&self, cx: &Context<'_>) -> Vec<KeyHint>;

    /// The pane's table as shown, filtered and sorted, and its chart.
    fn export(&self, _cx: &Context<'_>) -> Export {
        Export::default()
    }

    /// Shows the resident with this id, if the pane shows residents.
    fn open(&mut self, _agent: &str) {}

    /// Selects the item with this id, if the pane has such an item.
    fn select(&mut self, _id: &str, _cx: &Context<'_>) {}

    /// Adds the residents, and the part of the map, that it showed when it was last drawn.
    fn add_to_focus(&self, _focus: &mut Focus) {}

    /// How its inside was last divided between a list and the details of it, if it was. The list is the first part.
    fn division(&self) -> Option<&Division> {
        None
    }

    /// Its table, whose columns can be chosen.
    fn table(&self) -> Option<&'static Table> {
        None
    }

    /// The two rows of `area` reserved for the console line, if any.
    fn line_area(&self, _area: Rect) -> Option<Rect> {
        None
    }
}

/// Mark before a list row.
pub fn mark(selected: bool) -> String {
    if selected { "▸ " } else { "  " }.to_owned()
}

/// `Ok` if a key works, else the reason as a sentence.
pub fn require(works: bool, otherwise: &str) -> Result<(), String> {
    if works { Ok(()) } else { Err(otherwise.to_owned()) }
}

/// A key listed in the footer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHint {
    /// Action; the keymap knows its key.
    pub action: Action,
    /// One or two words.
    pub label: &'static str,
    /// The reason when it is disabled, as a sentence.
    pub enabled: Result<(), String>,
}

impl KeyHint {
    /// An enabled key.
    pub const fn new(action: Action, label: &'static str) -> Self {
        Self { action, label, enabled: Ok(()) }
    }

    /// A key that may be disabled.
    pub const fn when(action: Action, label: &'static str, enabled: Result<(), String>) -> Self {
        Self { action, label, enabled }
    }
}

/// What a pane asks for after a key or a click.
#[derive(Clone, Debug, PartialEq)]
pub enum Reaction {
    /// Nothing.
    None,
    /// Redraw the pane.
    Redraw,
    /// Send these commands, each with its own `cmd_id`.
    Send(Vec<Request>),
    /// Ask for confirmation.
    Confirm(Confirmation),
    /// Show the resident with this id on the Agents screen.
    OpenAgent(String),
    /// Copy to the clipboard.
    Copy(String),
    /// Show in the status line.
    Status(String),
    /// Open the console line with this text.
    OpenConsole(String),
    /// Ask for earlier lines of the audit log.
    LoadEarlierLines,
    /// Open a detail dialog.
    ShowDetail(DetailCard),
}

/// Content of a detail dialog.
#[derive(Clone, Debug, PartialEq)]
pub struct DetailCard {
    /// Title.
    pub title: String,
    /// Lines; long ones are wrapped.
    pub lines: Vec<Line<'static>>,
    /// Whether it follows the state of what its title names.
    pub live: bool,
}

impl DetailCard {
    /// A line with a label of `columns` columns and an escaped value.
    pub fn fact(label: &str, value: &str, columns: usize, theme: &Theme) -> Line<'static> {
        Line::from(vec![Span::styled(pad(label, columns), theme.dim), Span::styled(escape(value), theme.text)])
    }
}

/// Content of a confirmation dialog.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Confirmation {
    /// Title, such as `Approve exit`.
    pub title: String,
    /// Paragraphs that describe the effect.
    pub text: Vec<String>,
    /// Label of the confirm button, such as `approve`.
    pub verb: String,
    /// Commands to send on confirmation; none only if it `quits`.
    pub requests: Vec<Request>,
    /// Whether it asks about quitting.
    pub quits: bool,
    /// What it is about beyond what the commands name, such as the release that a rollback restores.
    pub about: String,
    /// The reason that is suggested if the commands take one.
    pub reason: String,
    /// Whether it asks for nothing but the reason, so that it is left out if no reason is asked for.
    pub only_reason: bool,
}

/// When the reason of a command is asked for: `console.reason` of the user's configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReasonPrompt {
    /// Asked for with a suggestion; may be emptied.
    #[default]
    Ask,
    /// Asked for only where a confirmation is needed anyway, without a suggestion.
    Optional,
    /// Nothing is sent without one.
    Required,
}

impl ReasonPrompt {
    /// The names in the configuration.
    pub const NAMES: [&str; 3] = ["ask", "optional", "required"];

    /// The value of a name.
    pub fn named(name: &str) -> Option<Self> {
        let at = Self::NAMES.iter().position(|known| *known == name)?;
        Some([Self::Ask, Self::Optional, Self::Required][at])
    }

    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// A screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// Employment, queues, stability, alerts and console.
    Operations,
    /// The map.
    Town,
    /// The residents.
    Agents,
    /// Training and promotion.
    Learning,
    /// All metrics over time.
    Metrics,
    /// The audit log.
    Audit,
    /// Perturbations, prices and stock.
    Economy,
}

/// Title, action and layout of each screen, in the order of the tabs.
type ScreenRow = (Screen, &'static str, Action, fn(Rect, &Layouts) -> Tiling);

static SCREENS: [ScreenRow; 7] = [
    (Screen::Operations, "Operations", Action::Operations, operations::layout),
    (Screen::Town, "Town", Action::Town, single_pane),
    (Screen::Agents, "Agents", Action::Agents, single_pane),
    (Screen::Learning, "Learning", Action::Learning, learning::layout),
    (Screen::Metrics, "Metrics", Action::Metrics, single_pane),
    (Screen::Audit, "Audit", Action::Audit, single_pane),
    (Screen::Economy, "Economy", Action::Economy, economy::layout),
];

/// The areas of a screen's panes, in the order of the pane table, and how they are divided, outer divisions first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tiling {
    pub(crate) areas: Vec<Rect>,
    pub(crate) divisions: Vec<Division>,
}

impl Tiling {
    /// One pane for each part of a division.
    pub(crate) fn of(division: Division) -> Self {
        Self { areas: division.parts.clone(), divisions: vec![division] }
    }
}

fn single_pane(area: Rect, _: &Layouts) -> Tiling {
    Tiling { areas: vec![area], divisions: Vec::new() }
}

impl Screen {
    /// All screens, in the order of the tabs.
    pub fn all() -> impl Iterator<Item = Self> + Clone {
        SCREENS.iter().map(|row| row.0)
    }

    fn row(self) -> &'static ScreenRow {
        &SCREENS[self as usize]
    }

    /// Number of its tab.
    pub const fn number(self) -> u8 {
        self as u8 + 1
    }

    /// Title of its tab.
    pub fn title(self) -> &'static str {
        self.row().1
    }

    /// Action that opens it.
    pub fn action(self) -> Action {
        self.row().2
    }

    /// Areas of its panes. Not used when the terminal has space for one pane only.
    pub(crate) fn layout(self, area: Rect, layouts: &Layouts) -> Tiling {
        (self.row().3)(area, layouts)
    }
}

/// A row of the pane table.
pub struct PaneRow {
    /// Title on the border.
    pub title: &'static str,
    /// Key that focuses it from any screen.
    pub key: char,
    /// Screen it belongs to.
    pub screen: Screen,
    /// Constructor.
    pub new: fn() -> Box<dyn Pane>,
}

const fn row(title: &'static str, key: char, screen: Screen, new: fn() -> Box<dyn Pane>) -> PaneRow {
    PaneRow { title, key, screen, new }
}

/// The pane table. Within a screen, the order is that of the tab key.
pub static PANES: &[PaneRow] = &[
    row("Employment", 'E', Screen::Operations, || Box::new(operations::Employment::default())),
    row("Stability", 'B', Screen::Operations, || Box::new(operations::Stability::default())),
    row("Queues", 'U', Screen::Operations, || Box::new(operations::Queues::default())),
    row("Alerts and events", 'A', Screen::Operations, || Box::new(operations::Alerts::default())),
    row("Console", 'C', Screen::Operations, || Box::new(operations::Console::default())),
    row("Map", 'M', Screen::Town, || Box::new(town::Map::default())),
    row("Residents", 'R', Screen::Agents, || Box::new(agents::Residents::default())),
    row("Training", 'T', Screen::Learning, || Box::new(learning::Training::default())),
    row("Candidate", 'P', Screen::Learning, || Box::new(learning::Candidate::default())),
    row("Metrics", 'K', Screen::Metrics, || Box::new(metrics::Metrics::default())),
    row("Audit log", 'L', Screen::Audit, || Box::new(audit::AuditLog::default())),
    row("Perturbations", 'H', Screen::Economy, || Box::new(economy::PerturbationsPane::default())),
    row("Goods", 'O', Screen::Economy, || Box::new(economy::Goods::default())),
];

/// Border of a pane of this width: heavy when focused, so that focus does not depend on colour.
pub fn pane_block<'a>(title: &str, width: u16, focused: bool, theme: &Theme) -> Block<'a> {
    let title = Span::raw(clip(title, usize::from(width).saturating_sub(4)));
    let (border, kind, style) = if focused {
        (theme.accent, BorderType::Thick, theme.title_focused)
    } else {
        (theme.border, BorderType::Rounded, theme.strong)
    };
    let title = Line::from(vec![Span::raw(" "), title.style(style), Span::raw(" ")]);
    Block::bordered().border_type(kind).border_style(border).title(title)
}

/// Draws the visible rows of a scrolled list on the bottom border: `3–9 of 40`.
pub fn draw_scroll_position(
    frame: &mut Frame<'_>,
    area: Rect,
    (first, shown, total): (usize, u16, usize),
    theme: &Theme,
) {
    let shown = usize::from(shown);
    if shown == 0 || total <= shown {
        return;
    }
    let [from, to, all] = [first + 1, (first + shown).min(total), total].map(|number| thousands(number as u64));
    let text = format!(" {from}–{to} of {all} ");
    let inside = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    draw_on_border(frame, inside, Line::styled(text, theme.dim).right_aligned());
}

/// Draws a line on the bottom border of `pane`, between its corners.
pub fn draw_on_border(frame: &mut Frame<'_>, pane: Rect, line: Line<'_>) {
    let y = pane.bottom().saturating_sub(1);
    let foot = Rect { x: pane.x + 1, y, width: pane.width.saturating_sub(2), height: 1 };
    draw_text(frame, foot.intersection(pane), line);
}

/// Cells of a filter that are shown on the border of its pane.
pub(crate) const FILTER_SHOWN: usize = 30;

/// Draws an empty state in the middle of `area`: what is missing, and what to do.
pub fn draw_empty(frame: &mut Frame<'_>, area: Rect, missing: &str, advice: &str, theme: &Theme) {
    let rows = |text: &str, style| styled_lines(text, usize::from(area.width), style);
    let lines: Vec<Line<'_>> = rows(missing, theme.text).chain(rows(advice, theme.dim)).collect();
    let height = (lines.len() as u16).min(area.height);
    let middle = Rect { y: area.y + area.height.saturating_sub(height) / 2, height, ..area };
    draw_text(frame, middle, Text::from(lines).centered());
}

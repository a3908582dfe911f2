//! Panes: what a screen is made of, what they are given, and how they answer.
//!
//! Owns the pane and screen tables. A pane knows the wire's snapshot and draws it; it must not know where the snapshot
//! comes from, send anything itself, or decide what a role may do. A new pane is a file and a row here.
//! Rule: "Extension tables", "Screens".

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType};

use super::console::AnswerLog;
use super::format::wrap;
use super::keymap::Action;
use super::metric_history::MetricHistory;
use super::screens::{agents, audit, economy, learning, metrics, operations, town};
use super::theme::Theme;
use townlet_wire::service::is_newer;
use townlet_wire::{CommandSpec, Request, SCHEMA_VERSION, Session, Snapshot, allowed};

/// Everything a pane may look at while it draws or acts.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The newest state.
    pub view: &'a Snapshot,
    /// How the numbers came to be what they are.
    pub history: &'a MetricHistory,
    /// Who is looking, and as what.
    pub session: &'a Session,
    /// The command table of the shard.
    pub commands: &'a [CommandSpec],
    /// What was asked and answered in this session.
    pub log: &'a AnswerLog,
    /// How things are coloured and signed.
    pub theme: &'a Theme,
    /// Whether keys go to this pane.
    pub focused: bool,
    /// What the operator typed after `/` here; empty for everything. Lower case.
    pub filter: &'a str,
}

impl Context<'_> {
    /// Whether the session may run `command` (the name of a row), or in one sentence why not.
    pub fn check_allowed(&self, command: &str) -> Result<(), String> {
        check_allowed(self.session, self.commands, self.view, command)
    }

    /// How a row of a list looks: marked when it is selected, more so where keys go to it.
    pub const fn row(&self, selected: bool) -> Style {
        match (selected, self.focused) {
            (true, true) => self.theme.selected,
            (true, false) => self.theme.selected_idle,
            (false, _) => self.theme.text,
        }
    }

    /// Whether any of `texts` contains the filter, without regard to case.
    pub fn matches(&self, texts: &[&str]) -> bool {
        self.filter.is_empty() || texts.iter().any(|text| text.to_lowercase().contains(self.filter))
    }
}

/// Whether `session` may run `command` (the name of a row) on the shard of `view`, or in one sentence why not.
pub fn check_allowed(
    session: &Session,
    commands: &[CommandSpec],
    view: &Snapshot,
    command: &str,
) -> Result<(), String> {
    match commands.iter().find(|spec| spec.name == command) {
        None => Err(format!("there is no command `{command}` here")),
        Some(spec) if spec.mutating && has_newer_schema(view) => Err(format!(
            "the shard speaks schema {}, this program {SCHEMA_VERSION}: upgrade first",
            view.schema_version
        )),
        Some(spec) if allowed(session, spec) => Ok(()),
        Some(spec) => Err(format!(
            "`{command}` is for {}s and you are a {}; `:escalate` to act",
            spec.role.word(),
            session.role.word()
        )),
    }
}

/// Whether the shard speaks a newer schema than this program, which then looks but does not command.
pub fn has_newer_schema(view: &Snapshot) -> bool {
    is_newer(&view.schema_version)
}

/// One tile of a screen.
pub trait Pane {
    /// Draws all of `area`, its border included (see [`pane_block`]).
    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, cx: &Context<'_>);

    /// Does what a key means here. Called for movement, and for other actions that [`Pane::bindings`] lists as enabled.
    fn act(&mut self, action: Action, cx: &Context<'_>) -> Reaction;

    /// A click at these screen coordinates, inside the area last drawn to.
    fn click(&mut self, column: u16, row: u16, cx: &Context<'_>) -> Reaction;

    /// What works here now: the footer is made of it, and a disabled key says its reason.
    fn bindings(&self, cx: &Context<'_>) -> Vec<KeyHint>;

    /// Shows the resident of this id, if that is what the pane is for.
    fn open(&mut self, _agent: &str) {}

    /// The two rows of `area` on which the console line may be typed, if the pane keeps some for it.
    fn line_area(&self, _area: Rect) -> Option<Rect> {
        None
    }
}

/// A key that means something in a pane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHint {
    /// The key is whatever the keymap binds to this.
    pub action: Action,
    /// One or two words, as in the footer.
    pub label: &'static str,
    /// Why not, in one sentence, when it does not work now.
    pub enabled: Result<(), String>,
}

impl KeyHint {
    /// A key that works.
    pub const fn new(action: Action, label: &'static str) -> Self {
        Self { action, label, enabled: Ok(()) }
    }

    /// A key that works, or says why not.
    pub const fn when(action: Action, label: &'static str, enabled: Result<(), String>) -> Self {
        Self { action, label, enabled }
    }
}

/// What a pane wants after a key or a click.
#[derive(Clone, Debug, PartialEq)]
pub enum Reaction {
    /// Nothing happened.
    None,
    /// The pane looks different now.
    Redraw,
    /// Commands to send, each with a `cmd_id` of its own.
    Send(Vec<Request>),
    /// Ask first.
    Confirm(Confirmation),
    /// Show this resident (by id) on the Agents screen.
    OpenAgent(String),
    /// Put this on the clipboard.
    Copy(String),
    /// Say this in the status line.
    Status(String),
    /// Open the console line with this typed already.
    OpenConsole(String),
    /// Show this to read.
    ShowDetail(DetailCard),
}

/// Something to read that does not fit into a pane.
#[derive(Clone, Debug, PartialEq)]
pub struct DetailCard {
    /// Of what it is about.
    pub title: String,
    /// Its lines; long ones are wrapped.
    pub lines: Vec<Line<'static>>,
}

/// A question with *cancel* focused.
#[derive(Clone, Debug, PartialEq)]
pub struct Confirmation {
    /// Two or three words: `Approve exit`.
    pub title: String,
    /// What will happen, in words, one sentence or two a line.
    pub text: Vec<String>,
    /// The word on the button that does it: `approve`.
    pub verb: String,
    /// What is sent when it is confirmed.
    pub requests: Vec<Request>,
}

/// A screen: its number is its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// Employment, queues, stability, alerts and console.
    Operations,
    /// The map.
    Town,
    /// The residents.
    Agents,
    /// The training and the promotion of its candidate.
    Learning,
    /// Every figure over time.
    Metrics,
    /// The audit log.
    Audit,
    /// Shocks, prices and stock.
    Economy,
}

impl Screen {
    /// Every screen, in the order of the tabs.
    pub const ALL: [Self; 7] =
        [Self::Operations, Self::Town, Self::Agents, Self::Learning, Self::Metrics, Self::Audit, Self::Economy];

    /// The digit that opens it.
    pub const fn number(self) -> u8 {
        match self {
            Self::Operations => 1,
            Self::Town => 2,
            Self::Agents => 3,
            Self::Learning => 4,
            Self::Metrics => 5,
            Self::Audit => 6,
            Self::Economy => 7,
        }
    }

    /// As on its tab.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Operations => "Operations",
            Self::Town => "Town",
            Self::Agents => "Agents",
            Self::Learning => "Learning",
            Self::Metrics => "Metrics",
            Self::Audit => "Audit",
            Self::Economy => "Economy",
        }
    }

    /// The action that opens it.
    pub const fn action(self) -> Action {
        match self {
            Self::Operations => Action::Operations,
            Self::Town => Action::Town,
            Self::Agents => Action::Agents,
            Self::Learning => Action::Learning,
            Self::Metrics => Action::Metrics,
            Self::Audit => Action::Audit,
            Self::Economy => Action::Economy,
        }
    }

    /// Where its panes stand, in the order of their rows. Not asked when the terminal has room for one pane only.
    pub fn layout(self, area: Rect) -> Vec<Rect> {
        match self {
            Self::Operations => operations::layout(area),
            Self::Town => town::layout(area),
            Self::Agents => agents::layout(area),
            Self::Learning => learning::layout(area),
            Self::Metrics => metrics::layout(area),
            Self::Audit => audit::layout(area),
            Self::Economy => economy::layout(area),
        }
    }
}

/// One row of the pane table.
pub struct PaneRow {
    /// As on its border.
    pub title: &'static str,
    /// Goes to it from anywhere.
    pub key: char,
    /// Where it stands.
    pub screen: Screen,
    /// A fresh one.
    pub new: fn() -> Box<dyn Pane>,
}

const fn row(title: &'static str, key: char, screen: Screen, new: fn() -> Box<dyn Pane>) -> PaneRow {
    PaneRow { title, key, screen, new }
}

/// The pane table. Order within a screen is the order of `tab`.
pub static PANES: &[PaneRow] = &[
    row("Employment", 'E', Screen::Operations, || Box::new(operations::Employment::default())),
    row("Stability", 'B', Screen::Operations, || Box::new(operations::Stability::default())),
    row("Queues", 'U', Screen::Operations, || Box::new(operations::Queues::default())),
    row("Alerts and story", 'A', Screen::Operations, || Box::new(operations::Alerts::default())),
    row("Console", 'C', Screen::Operations, || Box::new(operations::Console::default())),
    row("Map", 'M', Screen::Town, || Box::new(town::Map::default())),
    row("Residents", 'R', Screen::Agents, || Box::new(agents::Residents::default())),
    row("Training", 'T', Screen::Learning, || Box::new(learning::Training::default())),
    row("Candidate", 'P', Screen::Learning, || Box::new(learning::Candidate::default())),
    row("Metrics", 'K', Screen::Metrics, || Box::new(metrics::Metrics::default())),
    row("Audit log", 'L', Screen::Audit, || Box::new(audit::AuditLog::default())),
    row("Shocks", 'H', Screen::Economy, || Box::new(economy::PerturbationsPane::default())),
    row("Goods", 'O', Screen::Economy, || Box::new(economy::Goods::default())),
];

/// The border every pane draws: heavy when focused, so that focus does not hang on a colour.
pub fn pane_block<'a>(title: impl Into<Span<'a>>, focused: bool, theme: &Theme) -> Block<'a> {
    let title: Span<'a> = title.into();
    let (border, kind, style) = if focused {
        (theme.border_focused, BorderType::Thick, theme.title_focused)
    } else {
        (theme.border, BorderType::Rounded, theme.title)
    };
    let title = Line::from(vec![Span::raw(" "), title.style(style), Span::raw(" ")]);
    Block::bordered().border_type(kind).border_style(border).title(title)
}

/// Says on the bottom border which rows of a list longer than its pane are seen: `3–9 of 40`.
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
    let text = format!(" {}–{} of {total} ", first + 1, (first + shown).min(total));
    let foot =
        Rect { x: area.x + 2, y: area.bottom().saturating_sub(1), width: area.width.saturating_sub(4), height: 1 };
    frame.render_widget(Line::styled(text, theme.dim).right_aligned(), foot.intersection(area));
}

/// One centred paragraph for a pane that has nothing to show: what is missing, and what to do.
pub fn draw_empty(frame: &mut Frame<'_>, area: Rect, missing: &str, advice: &str, theme: &Theme) {
    let rows = |text: &str, style| {
        let rows = wrap(text, usize::from(area.width));
        rows.into_iter().map(move |row| Line::styled(row, style))
    };
    let lines: Vec<Line<'_>> = rows(missing, theme.text).chain(rows(advice, theme.dim)).collect();
    let height = (lines.len() as u16).min(area.height);
    let middle = Rect { y: area.y + area.height.saturating_sub(height) / 2, height, ..area };
    frame.render_widget(ratatui::widgets::Paragraph::new(lines).centered(), middle);
}

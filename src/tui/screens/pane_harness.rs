//! Where the tests of the screens put a pane: a snapshot that went through JSON, keys in, a picture out.
//!
//! A picture holds the text and, below it, a letter for the style of every cell, so that a lost colour is seen as well
//! as a lost word.

use std::fmt::Write as _;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Style;

use crate::console::AnswerLog;
use crate::fixtures;
use crate::keymap::{ACTIONS, Action, Group};
use crate::metric_history::MetricHistory;
use crate::pane::{Context, Pane, Reaction};
use crate::theme::Theme;
use townlet_wire::{CommandSpec, Role, Session, Snapshot};

/// What a pane has at the three sizes the interface guide names, less the four lines of the frame around it.
pub(super) const SIZES: [(u16, u16); 3] = [(80, 20), (120, 36), (200, 56)];

/// Everything a pane is given.
pub(super) struct PaneHarness {
    pub(super) view: Snapshot,
    pub(super) filter: String,
    pub(super) theme: Theme,
    history: MetricHistory,
    session: Session,
    commands: Vec<CommandSpec>,
    log: AnswerLog,
}

impl PaneHarness {
    /// A viewer in front of `view`, which passes through JSON as a remote one would.
    pub(super) fn new(view: &Snapshot) -> Self {
        let text = serde_json::to_string(view).expect("a snapshot can be written");
        Self {
            view: serde_json::from_str(&text).expect("and read"),
            filter: String::new(),
            theme: Theme::named("dark", true).expect("there is a dark theme"),
            history: fixtures::history(),
            session: fixtures::session(Role::Viewer),
            commands: fixtures::commands(),
            log: AnswerLog::default(),
        }
    }

    /// From now on looked at in this role.
    pub(super) fn role(&mut self, role: Role) {
        self.session = fixtures::session(role);
    }

    /// From now on the shard has no such command.
    pub(super) fn forget(&mut self, command: &str) {
        self.commands.retain(|spec| spec.name != command);
    }

    pub(super) fn cx(&self) -> Context<'_> {
        Context {
            view: &self.view,
            history: &self.history,
            session: &self.session,
            commands: &self.commands,
            log: &self.log,
            theme: &self.theme,
            focused: true,
            filter: &self.filter,
        }
    }

    /// The pane alone on a terminal of this size.
    pub(super) fn draw(&self, pane: &mut dyn Pane, (width, height): (u16, u16)) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a test terminal opens");
        let frame = terminal.draw(|frame| pane.draw(frame, frame.area(), &self.cx())).expect("and draws");
        frame.buffer.clone()
    }

    /// The text alone.
    pub(super) fn text(&self, pane: &mut dyn Pane, size: (u16, u16)) -> String {
        text(&self.draw(pane, size))
    }

    /// Text and styles.
    pub(super) fn picture(&self, pane: &mut dyn Pane, size: (u16, u16)) -> String {
        let buffer = self.draw(pane, size);
        format!("{}\n{}", text(&buffer), styles(&buffer))
    }

    /// Does what a key means, after making sure that the core would pass it on.
    pub(super) fn act(&self, pane: &mut dyn Pane, action: Action) -> Reaction {
        let cx = self.cx();
        let row = ACTIONS.iter().find(|row| row.action == action).expect("every action has a row");
        let offered = pane.bindings(&cx).into_iter().any(|hint| hint.action == action && hint.enabled.is_ok());
        assert!(offered || row.group == Group::Moving, "{action:?} is not offered");
        pane.act(action, &cx)
    }

    /// Why a key that is listed does not work now.
    #[track_caller]
    pub(super) fn refused(&self, pane: &dyn Pane, action: Action) -> String {
        let hint = pane.bindings(&self.cx()).into_iter().find(|hint| hint.action == action);
        hint.expect("it is listed").enabled.expect_err("it does not work")
    }
}

fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in buffer.area.top()..buffer.area.bottom() {
        let line: String = (buffer.area.left()..buffer.area.right()).map(|x| buffer[(x, y)].symbol()).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A letter a cell and what the letters mean.
fn styles(buffer: &Buffer) -> String {
    const LETTERS: &[u8] = b".abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let mut known: Vec<Style> = vec![Style::reset()];
    let mut text = String::new();
    for y in buffer.area.top()..buffer.area.bottom() {
        let mut line = String::new();
        for x in buffer.area.left()..buffer.area.right() {
            let style = buffer[(x, y)].style();
            let at = known.iter().position(|other| *other == style).unwrap_or_else(|| {
                known.push(style);
                known.len() - 1
            });
            line.push(char::from(LETTERS[at % LETTERS.len()]));
        }
        text.push_str(line.trim_end_matches('.'));
        text.push('\n');
    }
    for (at, style) in known.iter().enumerate().skip(1) {
        let letter = char::from(LETTERS[at % LETTERS.len()]);
        let _ = writeln!(text, "{letter} {:?} on {:?} {:?}", style.fg, style.bg, style.add_modifier);
    }
    text
}

//! Test harness of the panes: a snapshot, keys in, text and styled words out.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

use crate::console::AnswerLog;
use crate::fixtures;
use crate::keymap::{Action, Group};
use crate::metric_history::MetricHistory;
use crate::pane::{Context, Pane, Reaction};
use crate::screenshot;
use crate::theme::Theme;
use townlet_wire::{CommandSpec, Role, Session, Snapshot};

/// Sizes of a pane at the three documented terminal sizes, without header and footer.
pub(super) const SIZES: [(u16, u16); 3] = [(80, 20), (120, 36), (200, 56)];

/// Input of a pane.
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
    /// A viewer on `view`, which passes through JSON as a remote snapshot does.
    pub(super) fn new(view: &Snapshot) -> Self {
        let text = serde_json::to_string(view).expect("serializes");
        Self {
            view: serde_json::from_str(&text).expect("parses"),
            filter: String::new(),
            theme: Theme::named("dark", true).expect("a theme"),
            history: fixtures::history(),
            session: fixtures::session(Role::Viewer),
            commands: fixtures::commands(),
            log: AnswerLog::default(),
        }
    }

    /// Changes the role.
    pub(super) fn role(&mut self, role: Role) {
        self.session = fixtures::session(role);
    }

    /// Removes a command from the command table.
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

    /// Draws the pane on a terminal of this size.
    pub(super) fn draw(&self, pane: &mut dyn Pane, (width, height): (u16, u16)) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a test terminal");
        let frame = terminal.draw(|frame| pane.draw(frame, frame.area(), &self.cx())).expect("draws");
        frame.buffer.clone()
    }

    /// The text.
    pub(super) fn text(&self, pane: &mut dyn Pane, size: (u16, u16)) -> String {
        screenshot::text(&self.draw(pane, size))
    }

    /// The text and the styled words.
    pub(super) fn picture(&self, pane: &mut dyn Pane, size: (u16, u16)) -> String {
        let buffer = self.draw(pane, size);
        format!("{}\n{}", screenshot::text(&buffer), fixtures::styled_words(&buffer, &self.theme))
    }

    /// Performs an action, after checking that the app would pass it on.
    pub(super) fn act(&self, pane: &mut dyn Pane, action: Action) -> Reaction {
        let cx = self.cx();
        let row = action.row();
        let offered = pane.bindings(&cx).into_iter().any(|hint| hint.action == action && hint.enabled.is_ok());
        assert!(offered || row.group == Group::Moving, "{action:?} is not offered");
        pane.act(action, &cx)
    }

    /// The reason why a listed key is disabled.
    #[track_caller]
    pub(super) fn refused(&self, pane: &dyn Pane, action: Action) -> String {
        let hint = pane.bindings(&self.cx()).into_iter().find(|hint| hint.action == action);
        hint.expect("listed").enabled.expect_err("disabled")
    }
}

//! Tests of the whole interface: keys in, tasks and screens out.

mod actions;
mod ascii;
mod audit;
mod console;
mod crowded;
mod focus;
mod keys;
mod layouts;
mod operations;
mod reasons;
mod settings;
mod time;
mod unconfirmed;

use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;

use super::{App, AppOptions, Message, RequestPurpose, Task};
use crate::fixtures::{bare, done, hello, history, refused, session, snapshot, styled_words};
use crate::keymap::{Key, Keymap};
use crate::layouts::Layouts;
use crate::pane::{ReasonPrompt, Screen};
use crate::screenshot;
use crate::settings::Settings;
use crate::theme::Theme;
use crate::view_exchange::ViewExchange;
use townlet_source::{Link, SourceEvent};
use townlet_wire::telemetry::{Alert, ExitEntry, PromotionStep};
use townlet_wire::{Answer, ErrorBody, Request, Role, Snapshot, Status};

/// An app, its terminal size, and the requests it sent.
struct AppHarness {
    app: App,
    size: (u16, u16),
    sent: Vec<Request>,
    exchange: ViewExchange,
}

impl AppHarness {
    fn new(role: Role, size: (u16, u16)) -> Self {
        let mut ui = Self::without_view(role, size);
        ui.app.history = history();
        ui.view(snapshot());
        ui
    }

    fn without_view(role: Role, size: (u16, u16)) -> Self {
        let theme = Theme::named("dark", true).unwrap();
        let setup = AppOptions {
            settings: Settings { reason: ReasonPrompt::Optional, ..Settings::with_theme(theme) },
            local_zone: TimeZone::UTC,
            hint: false,
            keymap: Keymap::default(),
            screen: Screen::Operations,
            console_history: vec!["kpi".into(), "employment_status".into()],
            label: None,
            fleet: false,
            layouts: Layouts::default(),
        };
        Self { app: App::new(hello(role), setup), size, sent: Vec::new(), exchange: ViewExchange::default() }
    }

    fn view(&mut self, view: Snapshot) {
        self.exchange.deliver(Arc::new(view));
        let tasks = self.app.update(Message::View(self.exchange.take().unwrap()));
        self.exchange.give_back(self.app.take_used_view());
        self.carry_out(&tasks);
    }

    fn answer(&mut self, answer: Answer) {
        let tasks = self.app.update(Message::SourceEvent(SourceEvent::Answer(answer)));
        self.carry_out(&tasks);
    }

    /// Presses keys in the notation of the keymap. Returns the tasks of the last one.
    fn press(&mut self, keys: &str) -> Vec<Task> {
        let mut tasks = Vec::new();
        for text in keys.split(' ') {
            let key = Key::parse(text).unwrap().event();
            tasks = self.app.update(Message::Key(key));
            self.carry_out(&tasks);
        }
        tasks
    }

    fn type_in(&mut self, text: &str) -> Vec<Task> {
        let mut tasks = Vec::new();
        for character in text.chars() {
            tasks = self.app.update(Message::Key(KeyEvent::new(KeyCode::Char(character), KeyModifiers::NONE)));
            self.carry_out(&tasks);
        }
        tasks
    }

    fn carry_out(&mut self, tasks: &[Task]) {
        for task in tasks {
            if let Task::Send(request, purpose) = task {
                self.sent.push(request.clone());
                self.app.update(Message::Sent(format!("id-{}", self.sent.len()), request.clone(), purpose.clone()));
            }
        }
    }

    fn picture(&mut self) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(self.size.0, self.size.1)).unwrap();
        terminal.draw(|frame| self.app.draw(frame)).unwrap();
        terminal.backend().buffer().clone()
    }

    fn screen(&mut self) -> String {
        screenshot::text(&self.picture())
    }

    #[track_caller]
    fn shows(&mut self, text: &str) {
        let screen = self.screen();
        assert!(screen.contains(text), "`{text}` is not on\n{screen}");
    }

    #[track_caller]
    fn hides(&mut self, text: &str) {
        let screen = self.screen();
        assert!(!screen.contains(text), "`{text}` is on\n{screen}");
    }

    fn lines(&self) -> Vec<&str> {
        self.sent.iter().map(|request| request.command.as_str()).collect()
    }
}

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

#[test]
fn operations_at_three_sizes() {
    for size in SIZES {
        let mut ui = AppHarness::new(Role::Viewer, size);
        ui.answer(done("0192aaaa-7c", "employment_status", "3 wait, 2 of 2 exits today"));
        ui.answer(refused("0192aaaa-81", "employment_exit approve ada"));
        let picture = ui.picture();
        let name = format!("operations_{}x{}", size.0, size.1);
        insta::assert_snapshot!(name.clone(), screenshot::text(&picture));
        insta::assert_snapshot!(format!("{name}_styles"), styled_words(&picture, &ui.app.theme));
    }
}

#[test]
fn every_pane_alone_at_80x24() {
    let mut ui = AppHarness::new(Role::Admin, (80, 24));
    let mut all = String::new();
    for key in ["E", "B", "U", "A", "C"] {
        ui.press(key);
        all.push_str(&ui.screen());
    }
    insta::assert_snapshot!(all);
}

#[test]
fn an_empty_town_shows_empty_states() {
    let mut ui = AppHarness::without_view(Role::Viewer, (120, 40));
    ui.shows("Waiting for the first data from the shard.");
    ui.view(bare());
    insta::assert_snapshot!(ui.screen());
}

#[test]
fn filters_apply_and_esc_clears_them() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    ui.press("/");
    ui.type_in("cleo");
    ui.hides("Ada    ");
    ui.press("enter");
    ui.shows("/ cleo");
    ui.press("esc");
    ui.shows("Ada ");
    ui.press("/");
    ui.type_in("nobody");
    ui.shows("No residents match the filter.");
}

#[test]
fn zoom_tab_and_screens() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    ui.press("tab z");
    ui.shows("▸Stability");
    ui.hides("╭ Employment");
    ui.press("z");
    ui.shows("Employment");
    ui.press("shift-tab shift-tab");
    ui.shows("┏ Console");
    ui.press("6");
    ui.shows("Audit");
    assert_eq!(ui.app.screen, Screen::Audit);
    ui.hides("z zoom");
    ui.press("U");
    ui.shows("z zoom");
    ui.shows("┏ Queues");
    ui.press("8");
    ui.shows("`8` does nothing here; ? shows every key");
}

#[test]
fn the_mouse_focuses_selects_and_changes_screens() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    let screen = ui.screen();
    let row = screen.lines().position(|line| line.contains("Cleo   ")).unwrap() as u16;
    let click = |column, row| {
        let kind = MouseEventKind::Down(MouseButton::Left);
        Message::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
    };
    ui.app.update(click(10, row));
    ui.shows("▸ Cleo");
    ui.app.update(click(90, row));
    ui.shows("┏ Stability");
    ui.app.update(click(20, 1));
    assert_eq!(ui.app.screen, Screen::Town);
}

#[test]
fn size_changes_and_too_small_terminals() {
    let mut ui = AppHarness::new(Role::Viewer, (200, 60));
    ui.press(":");
    for size in [(60, 18), (59, 18), (1, 1), (300, 80), (80, 24), (100, 30), (99, 29)] {
        ui.size = size;
        let _ = ui.picture();
    }
    ui.size = (50, 10);
    ui.shows("50 × 10 is too small");
    ui.size = (60, 18);
    ui.shows("Harbour · local   ▶ 10×   day 4 · 09:38");
    ui.shows(" VIEWER");
}

#[test]
fn a_screen_that_shows_nothing_takes_no_key_but_quit_and_suspend() {
    let mut ui = AppHarness::new(Role::Admin, (30, 8));
    ui.shows("30 × 8 is too small");
    ui.press("a tab enter . p + 6 : k i l l space a d a enter d ctrl-p ?");
    assert_eq!(ui.lines(), [""; 0]);
    ui.app.update(Message::Paste("kill ada".into()));
    let wheel = MouseEvent { kind: MouseEventKind::ScrollDown, column: 3, row: 3, modifiers: KeyModifiers::NONE };
    ui.app.update(Message::Mouse(wheel));
    ui.size = (120, 40);
    ui.shows("▸ Ada");
    assert_eq!((ui.app.screen, ui.app.overlay.is_some(), ui.app.line_open), (Screen::Operations, false, false));
    // The same with a question open: it cannot be answered unseen.
    ui.press("a");
    ui.size = (59, 40);
    ui.shows("is too small");
    ui.press("tab enter");
    assert_eq!(ui.lines(), [""; 0]);
    assert_eq!(ui.press("ctrl-z"), [Task::Suspend]);
    assert_eq!(ui.press("q"), [Task::Quit]);
}

#[test]
fn the_console_line_is_on_screen_before_the_first_data() {
    let mut ui = AppHarness::without_view(Role::Viewer, (80, 24));
    ui.shows("Waiting for the first data from the shard.");
    ui.press(":");
    ui.type_in("kill ada");
    ui.shows("› kill ada");
    ui.hides("there is no command");
}

#[test]
fn a_line_is_not_judged_by_a_command_table_that_has_not_arrived() {
    let mut ui = AppHarness::without_view(Role::Viewer, (80, 24));
    ui.app.hello.commands.clear();
    ui.press(":");
    ui.type_in("kill ada");
    ui.shows("the shard's commands are not known yet: it has not answered");
    ui.hides("there is no command");
    // That is what a refused token asks for.
    ui.press("esc :");
    ui.type_in("escalate");
    ui.shows("enter asks for a token");
}

#[test]
fn banners_and_connection_states() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    let mut view = snapshot();
    view.health.audit_ok = false;
    view.transport.mode = "aggregate".into();
    ui.view(view);
    ui.shows("the audit log is not writable; commands are refused  (+1 more)");
    // That the connection is slow hides nothing critical.
    let behind = Link::Behind { url: "http://x".into(), seconds: 2 };
    ui.app.update(Message::SourceEvent(SourceEvent::Link(behind)));
    ui.shows("the audit log is not writable; commands are refused  (+2 more)");
    ui.view(snapshot());
    ui.shows("the screen is 2 s behind the shard");
    ui.app.update(Message::SourceEvent(SourceEvent::Link(Link::Local)));
    for (state, verdict, words) in [
        ("eligible", "green", "candidate 91c0f2ab33de4410 is ready to promote"),
        ("canary", "red", "the canary is failing; b in Stability or Candidate rolls back"),
        ("held", "green", "promotion is on hold: waits for"),
    ] {
        let mut view = snapshot();
        view.promotion.state = state.into();
        view.stability.windows.last_mut().unwrap().verdict = verdict.into();
        ui.view(view);
        ui.shows(words);
    }
    let mut view = snapshot();
    view.promotion.state = "canary".into();
    ui.view(view);
    ui.hides("canary is failing");
    let lost = |denied| {
        let (url, why) = ("http://x".to_owned(), "the connection broke".to_owned());
        let link = Link::Reconnecting { url, in_seconds: 4, silent_seconds: Some(12), denied, stopped: false, why };
        Message::SourceEvent(SourceEvent::Link(link))
    };
    ui.shows("▶ 10×");
    ui.shows("   VIEWER");
    ui.app.update(lost(false));
    ui.shows("Harbour · no answer for 12 s, trying again in 4 s   http://x");
    ui.shows("no answer for 12 s; the screen is out of date; trying again in 4 s (the connection broke)");
    let mut empty = AppHarness::without_view(Role::Viewer, (120, 40));
    empty.app.update(lost(false));
    empty.shows("no answer for 12 s; no state was received yet; trying again in 4 s (the connection broke)");
    // A shard that is not heard neither runs nor grants a role.
    ui.hides("▶ 10×");
    ui.shows("? was 10×");
    ui.shows(" VIEWER ?");
    let stopped = Link::Reconnecting {
        url: "http://x".into(),
        in_seconds: 4,
        silent_seconds: Some(1),
        denied: false,
        stopped: true,
        why: "the shard is stopping".into(),
    };
    ui.app.update(Message::SourceEvent(SourceEvent::Link(stopped)));
    ui.shows("‼ the shard has stopped; trying again in 4 s");
    ui.hides("no answer");
    ui.app.update(lost(true));
    ui.shows("Harbour · token refused, not tried again");
    ui.shows("not tried again: `:escalate` gives another token (the connection broke)");
    ui.app.update(Message::SourceEvent(SourceEvent::Link(Link::Stale { url: "http://x".into(), seconds: 3 })));
    ui.shows("no answer for 3 s");
}

#[test]
fn an_acknowledged_alert_has_no_banner_and_no_message_has_two() {
    let alert = |name: &str, severity: &str, acknowledged: bool| Alert {
        name: name.into(),
        severity: severity.into(),
        message: format!("{name} stands."),
        hint: "Look.".into(),
        acknowledged_by: acknowledged.then(|| "token:ada".into()),
        ..Alert::default()
    };
    let mut ui = AppHarness::new(Role::Viewer, (160, 40));
    let mut banner = |mode: &str, state: &str, alerts: &[Alert], problems: &[&str]| {
        let mut view = snapshot();
        view.alerts = alerts.to_vec();
        view.health.problems = problems.iter().map(|problem| (*problem).to_owned()).collect();
        (view.transport.mode, view.promotion.state) = (mode.into(), state.into());
        view.stability.windows.last_mut().unwrap().verdict = "red".into();
        ui.view(view);
        let row = ui.screen().lines().nth(1).unwrap_or_default().trim().to_owned();
        row.strip_prefix("‼ ").map(|row| row.trim_end().to_owned())
    };
    let mut of = |name: &str, severity: &str, acknowledged: bool, problem: bool| {
        let message = format!("{name} stands.");
        let problems: &[&str] = if problem { &[&message] } else { &[] };
        banner("full", "none", &[alert(name, severity, acknowledged)], problems)
    };
    for (name, severity) in [("tick_late", "warning"), ("shard_degraded", "critical")] {
        assert_eq!(of(name, severity, false, true), Some(format!("{name} stands.")));
        assert_eq!(of(name, severity, true, true), None, "{name}");
    }
    assert_eq!(of("starvation", "critical", false, false).as_deref(), Some("starvation stands. Look."));
    assert_eq!(of("starvation", "critical", true, false), None);
    for (name, severity, mode, state) in [
        ("telemetry_aggregating", "warning", "aggregate", "none"),
        ("candidate_ready", "warning", "full", "eligible"),
        ("canary_red", "critical", "full", "canary"),
    ] {
        let said = banner(mode, state, &[alert(name, severity, false)], &[]).unwrap_or_default();
        assert!(!said.is_empty() && !said.contains("more)"), "{name}: {said}");
        assert_eq!(banner(mode, state, &[alert(name, severity, true)], &[]), None, "{name}");
    }
    // What is critical stands before a warning, in whatever list it is.
    let both = [alert("tick_late", "warning", false), alert("starvation", "critical", false)];
    let said = banner("full", "none", &both, &["tick_late stands."]).unwrap_or_default();
    assert!(said.starts_with("starvation stands. Look.") && said.contains("(+1 more)"), "{said}");
    // A problem that is no alert stays.
    let said = banner("full", "none", &[alert("tick_late", "warning", true)], &["another thing."]);
    assert_eq!(said.as_deref(), Some("another thing."));
}

#[test]
fn another_history_of_the_audit_log_is_the_first_banner() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    let alarm = "THE AUDIT LOG OF THIS SHARD WAS REWRITTEN: line 7 of run x, or a line before it, is another one.";
    ui.app.update(Message::SourceEvent(SourceEvent::History(vec![alarm.into()])));
    ui.shows("‼ THE AUDIT LOG OF THIS SHARD WAS REWRITTEN: line 7 of run x");
    ui.app.update(Message::SourceEvent(SourceEvent::History(Vec::new())));
    ui.hides("REWRITTEN");
    // What to type is never cut.
    let advice = "If you began it anew or in another home folder, run `townlet audit forget http://127.0.0.1:7420 harbour` and \
                  connect again. Otherwise send nothing to it.";
    for size in SIZES {
        let mut ui = AppHarness::new(Role::Viewer, size);
        let alarm = format!(
            "THE KEY OF SHARD harbour HAS CHANGED: this is a new shard of that name, or somebody poses as it. {advice}"
        );
        ui.app.update(Message::SourceEvent(SourceEvent::History(vec![alarm])));
        let words = ui.screen().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(advice), "{size:?}: {words}");
    }
    let url = "https://harbour.towns.example:7420";
    let what = "THE AUDIT LOG OF THIS SHARD WAS REWRITTEN: line 1234567 of run harbour-20261128-073121-123abc, or a line \
                before it, is another one.";
    for size in [(60, 18), (80, 24), (120, 40)] {
        let mut ui = AppHarness::new(Role::Viewer, size);
        let forget = format!("If the change is yours, run `townlet audit forget {url} harbour`.");
        let sentence = format!(
            "{what} {forget} Otherwise trust nothing of this log before `townlet audit verify --key` on the machine, or a copy of \
             the log, explains the difference."
        );
        ui.app.update(Message::SourceEvent(SourceEvent::History(vec![sentence.clone(), sentence])));
        let words = ui.screen().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(&forget) && words.contains("(+1 more)"), "{size:?}: {words}");
    }
}

#[test]
fn a_rollback_by_hand_is_no_failure_of_the_canary() {
    let rolled_back = |issuer: &str| {
        let mut view = snapshot();
        view.promotion.state = "rolled_back".into();
        let step = PromotionStep { to: "rolled_back".into(), issuer: issuer.into(), ..PromotionStep::default() };
        view.promotion.history.push(step);
        let mut ui = AppHarness::new(Role::Admin, (120, 40));
        ui.view(view);
        ui
    };
    rolled_back("token:ada").shows("‼ the release was rolled back by token:ada");
    rolled_back("town").shows("‼ the canary failed and was rolled back");
}

#[test]
fn names_from_outside_emit_no_escapes() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    let mut view = snapshot();
    view.agents[0].name = "A\u{1b}[31mda".into();
    view.shard = "h\u{1b}]0;x\u{7}".into();
    view.narrations[0].text = "\u{202e}evil".into();
    view.conflict.queues[0].object = "s\u{9b}1".into();
    ui.view(view);
    let screen = ui.screen();
    assert!(screen.chars().all(|character| character == '\n' || !character.is_control()), "{screen}");
    assert!(!screen.contains('\u{202e}'));
}

#[test]
fn themes_without_colour_draw_none() {
    for name in Theme::NAMES {
        let mut ui = AppHarness::new(Role::Admin, (120, 40));
        ui.app.theme = Theme::named(name, false).unwrap();
        ui.press("a");
        let picture = ui.picture();
        assert!(picture.content.iter().all(|cell| (cell.fg, cell.bg) == (Color::Reset, Color::Reset)), "{name}");
    }
}

#[test]
fn overlays() {
    let mut all = String::new();
    let mut ui = AppHarness::new(Role::Admin, (80, 24));
    ui.press(":");
    ui.type_in("employment_e");
    all.push_str(&ui.screen());
    ui.press("tab tab");
    all.push_str(&ui.screen());
    ui.press("esc ctrl-p");
    ui.type_in("emp");
    all.push_str(&ui.screen());
    ui.press("esc ?");
    all.push_str(&ui.screen());
    ui.press("esc space space a");
    all.push_str(&ui.screen());
    insta::assert_snapshot!(all);
}

#[test]
fn the_shell_gets_each_view_that_was_replaced() {
    let mut ui = AppHarness::without_view(Role::Viewer, (120, 40));
    let mut used = |tick| {
        let view = Arc::new(Snapshot { tick, ..snapshot() });
        ui.app.update(Message::SourceEvent(SourceEvent::View(view)));
        let used = ui.app.take_used_view().map(|view| view.tick);
        (used, ui.app.take_used_view().is_none())
    };
    assert_eq!([used(7), used(8), used(9)], [(None, true), (Some(7), true), (Some(8), true)]);
}

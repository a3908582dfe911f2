//! The whole interface by keystroke: keys in, tasks and screens out. Every snapshot has been through JSON.

use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;

use super::{App, Message, Purpose, Setup, Task};
use crate::source::{Link, Notice};
use crate::tui::fixtures::{bare, done, hello, history, refused, session, snapshot};
use crate::tui::keymap::{Key, Keymap};
use crate::tui::pane::Screen;
use crate::tui::save;
use crate::tui::theme::Theme;
use crate::wire::telemetry::ExitEntry;
use crate::wire::{Answer, Request, Role, Snapshot, Status};

/// An app with a screen to look at and a count of requests to give ids.
struct Desk {
    app: App,
    size: (u16, u16),
    sent: Vec<Request>,
}

impl Desk {
    fn new(role: Role, size: (u16, u16)) -> Self {
        let mut desk = Self::without_view(role, size);
        desk.app.history = history();
        desk.view(snapshot());
        desk
    }

    fn without_view(role: Role, size: (u16, u16)) -> Self {
        let setup = Setup {
            theme: Theme::named("dark", true).unwrap(),
            keymap: Keymap::default(),
            screen: Screen::Operations,
            recall: vec!["kpi".into(), "employment_status".into()],
        };
        Self { app: App::new(hello(role), setup), size, sent: Vec::new() }
    }

    fn view(&mut self, view: Snapshot) {
        self.app.update(Message::Notice(Notice::View(Arc::new(view))));
    }

    fn answer(&mut self, answer: Answer) {
        self.app.update(Message::Notice(Notice::Answer(answer)));
    }

    /// Presses keys as the keymap writes them; the tasks that came of the last one.
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
                self.app.update(Message::Sent(format!("id-{}", self.sent.len()), purpose.clone()));
            }
        }
    }

    fn picture(&mut self) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(self.size.0, self.size.1)).unwrap();
        terminal.draw(|frame| self.app.draw(frame)).unwrap();
        terminal.backend().buffer().clone()
    }

    fn screen(&mut self) -> String {
        save::text(&self.picture())
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

/// The styles of a picture: every run of cells that is not plain, by row.
fn styles(picture: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..picture.area.height {
        let cells: Vec<_> = (0..picture.area.width).map(|x| (x, &picture[(x, y)])).collect();
        let look = |cell: &ratatui::buffer::Cell| (cell.fg, cell.bg, cell.modifier);
        let runs = cells.chunk_by(|(_, one), (_, other)| look(one) == look(other));
        let named: Vec<String> = runs
            .filter(|run| look(run[0].1) != (Color::Reset, Color::Reset, ratatui::style::Modifier::empty()))
            .map(|run| {
                let (fg, bg, modifier) = look(run[0].1);
                format!("{}-{}:{fg}/{bg}/{modifier:?}", run[0].0, run[run.len() - 1].0)
            })
            .collect();
        text.extend([y.to_string(), ": ".into(), named.join(" "), "\n".into()]);
    }
    text
}

#[test]
fn operations_at_three_sizes() {
    for size in SIZES {
        let mut desk = Desk::new(Role::Viewer, size);
        desk.answer(done("0192aaaa-7c", "employment_status", "3 wait, 2 of 2 exits today"));
        desk.answer(refused("0192aaaa-81", "employment_exit approve ada"));
        let picture = desk.picture();
        let name = format!("operations_{}x{}", size.0, size.1);
        insta::assert_snapshot!(name.clone(), save::text(&picture));
        insta::assert_snapshot!(format!("{name}_styles"), styles(&picture));
    }
}

#[test]
fn every_pane_alone_at_80x24() {
    let mut desk = Desk::new(Role::Admin, (80, 24));
    let mut all = String::new();
    for key in ["E", "B", "U", "A", "C"] {
        desk.press(key);
        all.push_str(&desk.screen());
    }
    insta::assert_snapshot!(all);
}

#[test]
fn an_empty_town_says_what_is_missing() {
    let mut desk = Desk::without_view(Role::Viewer, (120, 40));
    desk.shows("Nothing has arrived from the shard yet.");
    desk.view(bare());
    insta::assert_snapshot!(desk.screen());
}

#[test]
fn approving_asks_first_with_cancel_focused() {
    let mut desk = Desk::new(Role::Admin, (120, 40));
    desk.press("down a");
    desk.shows("Ben leaves town on the next tick. Ben has worked 2.5 days as");
    desk.shows("This counts towards today: 2 of 2 exits used.");
    desk.shows("▸ cancel ◂");
    desk.press("enter");
    assert!(desk.sent.is_empty(), "enter on cancel sent {:?}", desk.lines());
    desk.press("a right enter");
    assert_eq!(desk.lines(), ["employment_exit approve ben"]);
    assert!(!desk.sent[0].dry_run);
    desk.answer(done("id-1", "employment_exit approve ben", "Ben leaves on the next tick"));
    desk.shows("✓ Ben leaves on the next tick · tick 3,402 · cmd id-1 · logged logs/console/run-1-0001.jsonl:4");
}

#[test]
fn several_marked_are_a_command_each() {
    let mut desk = Desk::new(Role::Admin, (120, 40));
    desk.press("space space d");
    desk.shows("Ada and Ben stay, and their absences are forgiven.");
    desk.press("tab enter");
    assert_eq!(desk.lines(), ["employment_exit defer ada", "employment_exit defer ben"]);
    desk.press("space a");
    desk.shows("▸ cancel ◂");
    desk.press("esc");
    assert_eq!(desk.sent.len(), 2);
}

#[test]
fn where_it_was_logged_is_not_cut_off_at_80_columns() {
    let mut desk = Desk::new(Role::Admin, (80, 24));
    desk.press("d");
    desk.answer(done("id-1", "employment_exit defer ada", "Ada stays and 3 absences are forgiven"));
    desk.shows("tick 3,402 · cmd id-1");
    desk.shows("logs/console/run-1-0001.jsonl:4");
}

#[test]
fn a_long_queue_scrolls_and_a_long_question_keeps_its_buttons() {
    let mut desk = Desk::new(Role::Admin, (80, 24));
    let mut view = snapshot();
    let entry = view.employment.queue[0].clone();
    let named = |number: u64| ExitEntry { agent: format!("res_{number}"), ..entry.clone() };
    view.employment.queue = (0..40).map(named).collect();
    view.employment.pending = view.employment.queue.iter().map(|entry| entry.agent.clone()).collect();
    desk.view(view);
    desk.shows("1–13 of 40");
    for _ in 0..30 {
        desk.press("space");
    }
    desk.shows("res_30");
    desk.press("a");
    desk.shows("res_4 and 25 more leave town");
    desk.shows("▸ cancel ◂       approve 30");
}

#[test]
fn deferring_one_does_not_ask() {
    let mut desk = Desk::new(Role::Admin, (120, 40));
    desk.press("d");
    assert_eq!(desk.lines(), ["employment_exit defer ada"]);
}

#[test]
fn a_viewer_is_told_why_and_how() {
    let mut desk = Desk::new(Role::Viewer, (120, 40));
    desk.shows("(a approve)");
    desk.press("a");
    desk.shows("a approve: `employment_exit approve` is for admins and you are a viewer; `:escalate` to act");
    assert!(desk.sent.is_empty());
    desk.app.update(Message::Notice(Notice::Session(session(Role::Admin))));
    desk.hides("(a approve)");
    desk.shows(" ADMIN ");
}

#[test]
fn the_selection_follows_the_resident() {
    let mut desk = Desk::new(Role::Admin, (120, 40));
    desk.press("down");
    desk.shows("▸ Ben");
    let mut view = snapshot();
    view.employment.queue.rotate_right(1);
    desk.view(view);
    desk.press("d");
    assert_eq!(desk.lines(), ["employment_exit defer ben"]);
}

#[test]
fn the_case_explains_itself() {
    let mut desk = Desk::new(Role::Viewer, (80, 24));
    desk.press("enter");
    desk.shows("Ada: the case");
    desk.shows("What led here");
    desk.hides("shift absent");
    desk.press("end");
    desk.shows("shift absent");
    desk.press("esc");
    desk.hides("the case ");
}

#[test]
fn the_filter_narrows_and_esc_widens() {
    let mut desk = Desk::new(Role::Viewer, (120, 40));
    desk.press("/");
    desk.type_in("cleo");
    desk.hides("Ada    ");
    desk.press("enter");
    desk.shows("/ cleo");
    desk.press("esc");
    desk.shows("Ada ");
    desk.press("/");
    desk.type_in("nobody");
    desk.shows("Nobody here fits the filter.");
}

#[test]
fn zoom_tab_and_screens() {
    let mut desk = Desk::new(Role::Viewer, (120, 40));
    desk.press("tab z");
    desk.shows("▸Stability");
    desk.hides("╭ Employment");
    desk.press("z");
    desk.shows("Employment");
    desk.press("shift-tab shift-tab");
    desk.shows("┏ Console");
    desk.press("6");
    desk.shows("Audit");
    assert_eq!(desk.app.screen, Screen::Audit);
    desk.press("U");
    desk.shows("┏ Queues");
    desk.press("4");
    desk.shows("`4` does nothing here; ? shows every key");
}

#[test]
fn the_console_completes_previews_and_sends() {
    let mut desk = Desk::new(Role::Admin, (120, 40));
    desk.press(":");
    desk.type_in("employment_exit d");
    desk.press("tab");
    desk.type_in("cl");
    let tasks = desk.press("tab");
    let preview = "employment_exit defer cleo ";
    let Some(Task::Send(request, Purpose::Preview(text))) = tasks.first() else { panic!("no preview: {tasks:?}") };
    assert!(request.dry_run && request.query && text == preview, "{request:?}");
    let id = format!("id-{}", desk.sent.len());
    let foretold = Answer { status: Status::DryRun, ..done(&id, preview, "Cleo stays and 4 absences are forgiven") };
    desk.answer(foretold);
    desk.shows("≈ would: Cleo stays and 4 absences are forgiven");
    let tasks = desk.press("enter");
    assert_eq!(tasks[0], Task::Remember("employment_exit defer cleo".into()));
    assert_eq!(desk.sent.last().unwrap(), &Request::line("employment_exit defer cleo"));
    desk.press("up");
    desk.shows("› employment_exit defer cleo");
    desk.press("up up");
    desk.shows("› kpi");
    desk.press("esc a");
    desk.shows("Approve exit");
}

#[test]
fn late_previews_are_dropped() {
    let mut desk = Desk::new(Role::Admin, (120, 40));
    desk.press(":");
    desk.type_in("blackout on");
    let id = format!("id-{}", desk.sent.len());
    desk.press("backspace backspace");
    desk.type_in("off");
    desk.answer(done(&id, "blackout on", "the lights go out"));
    desk.hides("the lights go out");
}

#[test]
fn a_destructive_line_asks_first() {
    let mut desk = Desk::new(Role::Admin, (120, 40));
    desk.press(":");
    desk.type_in("kill ada");
    desk.press("enter");
    desk.shows("This does not come back");
    desk.shows("A resident collapses at once.");
    let before = desk.sent.len();
    desk.press("enter");
    assert_eq!(desk.sent.len(), before);
}

#[test]
fn a_token_is_masked_and_remembered_nowhere() {
    let mut desk = Desk::new(Role::Viewer, (120, 40));
    desk.app.hello.wants_token = true;
    desk.press(":");
    desk.type_in("escalate");
    let tasks = desk.press("enter");
    assert_eq!(tasks, []);
    desk.type_in("twn_a_secret");
    desk.hides("secret");
    desk.shows("••••••••••••");
    desk.press("enter");
    let request = desk.sent.last().unwrap();
    assert_eq!((request.command.as_str(), request.secret.as_deref()), ("escalate", Some("twn_a_secret")));
    desk.press("up up up");
    desk.hides("escalate");
}

#[test]
fn without_tokens_a_reason_is_asked_for() {
    let mut desk = Desk::new(Role::Viewer, (80, 24));
    desk.press(":");
    desk.type_in("escalate");
    desk.press("enter enter");
    assert!(desk.sent.is_empty());
    desk.type_in("a \"backlog\"");
    desk.press("enter");
    assert_eq!(desk.lines(), ["escalate --reason \"a \\\"backlog\\\"\""]);
    assert_eq!(crate::wire::line::words(&desk.sent[0].command).unwrap()[2], "a \"backlog\"");
}

#[test]
fn the_palette_finds_by_a_few_letters() {
    let mut desk = Desk::new(Role::Viewer, (120, 40));
    desk.press("ctrl-p");
    desk.type_in("emstat");
    desk.shows("▸ employment_status");
    desk.press("enter");
    assert_eq!(desk.lines(), ["employment_status"]);
    desk.press("ctrl-p");
    desk.type_in("explain");
    desk.press("enter");
    desk.shows("› explain");
    desk.press("esc ctrl-p");
    desk.type_in("audit log");
    desk.press("enter");
    assert_eq!(desk.app.screen, Screen::Audit);
}

#[test]
fn help_is_searched_and_has_paths() {
    let mut desk = Desk::new(Role::Viewer, (120, 40));
    desk.press("?");
    desk.shows("Everywhere");
    desk.type_in("audit");
    desk.shows("logs/console/run-1-0001.jsonl");
    desk.hides("the next faster");
    desk.press("esc");
    desk.hides("Everywhere");
}

#[test]
fn pace_belongs_to_the_owner_whatever_the_role() {
    let mut desk = Desk::new(Role::Viewer, (120, 40));
    desk.press("p . + -");
    assert_eq!(desk.lines(), ["pause", "step", "speed 100x", "speed 1x"]);
    let mut view = snapshot();
    view.clock.speed = "paused".into();
    desk.view(view);
    desk.shows("‖ PAUSED");
    desk.press("p -");
    assert_eq!(desk.lines().last(), Some(&"resume"));
    desk.shows("1× is the slowest");
    desk.app.session.owner = false;
    desk.press(".");
    desk.shows("is for admins");
}

#[test]
fn the_mouse_focuses_selects_and_changes_screens() {
    let mut desk = Desk::new(Role::Admin, (120, 40));
    let screen = desk.screen();
    let row = screen.lines().position(|line| line.contains("Cleo   ")).unwrap() as u16;
    let click = |column, row| {
        let kind = MouseEventKind::Down(MouseButton::Left);
        Message::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
    };
    desk.app.update(click(10, row));
    desk.shows("▸ Cleo");
    desk.app.update(click(90, row));
    desk.shows("┏ Stability");
    desk.app.update(click(20, 1));
    assert_eq!(desk.app.screen, Screen::Town);
}

#[test]
fn sizes_change_and_too_small_says_so() {
    let mut desk = Desk::new(Role::Viewer, (200, 60));
    desk.press(":");
    for size in [(60, 18), (59, 18), (1, 1), (300, 80), (80, 24), (100, 30), (99, 29)] {
        desk.size = size;
        let _ = desk.picture();
    }
    desk.size = (50, 10);
    desk.shows("50 × 10 is too small");
    desk.size = (60, 18);
    desk.shows("Harbour · local   ▶ 10×   day 4 · 09:38");
    desk.shows(" VIEWER");
}

#[test]
fn a_newer_schema_warns_and_keeps_hands_off() {
    let mut desk = Desk::new(Role::Admin, (120, 40));
    let mut view = snapshot();
    view.schema_version = "0.3.1".into();
    desk.view(view);
    desk.shows("the shard speaks schema 0.3.1, newer than 0.2.0");
    desk.press("a");
    desk.shows("upgrade first");
    desk.press(":");
    desk.type_in("blackout on");
    desk.sent.clear();
    desk.press("enter");
    assert!(desk.sent.is_empty());
}

#[test]
fn banners_and_links_are_words() {
    let mut desk = Desk::new(Role::Viewer, (120, 40));
    let mut view = snapshot();
    view.health.audit_ok = false;
    view.transport.mode = "aggregate".into();
    desk.view(view);
    desk.shows("the audit log cannot be written: commands are refused  (+1 more)");
    desk.app.update(Message::Notice(Notice::Link(Link::Reconnecting { url: "http://x".into(), in_seconds: 4 })));
    desk.shows("Harbour · reconnecting in 4 s   http://x");
    desk.app.update(Message::Notice(Notice::Link(Link::Stale { url: "http://x".into(), seconds: 3 })));
    desk.shows("stale 3 s");
}

#[test]
fn names_from_outside_emit_no_escapes() {
    let mut desk = Desk::new(Role::Viewer, (120, 40));
    let mut view = snapshot();
    view.agents[0].name = "A\u{1b}[31mda".into();
    view.shard = "h\u{1b}]0;x\u{7}".into();
    view.narrations[0].text = "\u{202e}evil".into();
    view.conflict.queues[0].object = "s\u{9b}1".into();
    desk.view(view);
    let screen = desk.screen();
    assert!(screen.chars().all(|character| character == '\n' || !character.is_control()), "{screen}");
    assert!(!screen.contains('\u{202e}'));
}

#[test]
fn copy_save_suspend_and_quit_are_tasks() {
    let mut desk = Desk::new(Role::Viewer, (120, 40));
    let tasks = desk.press("y");
    assert!(matches!(&tasks[..], [Task::Copy(text)] if text.starts_with("Ada has worked")), "{tasks:?}");
    assert_eq!(desk.press("S"), [Task::Save(3_402)]);
    assert_eq!(desk.press("ctrl-z"), [Task::Suspend]);
    assert_eq!(desk.press("q"), [Task::Quit]);
    assert_eq!(desk.press("ctrl-c"), [Task::Quit]);
}

#[test]
fn without_colour_the_screen_has_none() {
    for name in Theme::NAMES {
        let mut desk = Desk::new(Role::Admin, (120, 40));
        desk.app.theme = Theme::named(name, false).unwrap();
        desk.press("a");
        let picture = desk.picture();
        assert!(picture.content.iter().all(|cell| (cell.fg, cell.bg) == (Color::Reset, Color::Reset)), "{name}");
    }
}

#[test]
fn what_stands_over_the_screen() {
    let mut all = String::new();
    let mut desk = Desk::new(Role::Admin, (80, 24));
    desk.press(":");
    desk.type_in("employment_e");
    all.push_str(&desk.screen());
    desk.press("tab tab");
    all.push_str(&desk.screen());
    desk.press("esc ctrl-p");
    desk.type_in("emp");
    all.push_str(&desk.screen());
    desk.press("esc ?");
    all.push_str(&desk.screen());
    desk.press("esc space space a");
    all.push_str(&desk.screen());
    insta::assert_snapshot!(all);
}

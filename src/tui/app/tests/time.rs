//! Looking back: moving in time, what is refused there, the timeline, marks and bookmarks.

use super::*;
use crate::bookmarks::Bookmark;
use crate::capabilities::{Capabilities, Colours};
use townlet_source::{Moved, SourceInfo};
use townlet_wire::Session;
use townlet_wire::history::{HistoryPage, Mark, MarkKind};

const REFUSAL: &str = "you are looking at the past; press N";

/// The run of [`snapshot`], which is at tick 3,402; its journal at 3,400.
fn page() -> HistoryPage {
    let mark = |tick, kind, text: &str| Mark { tick, kind, text: text.into() };
    HistoryPage {
        run_id: "run-1".into(),
        first_tick: 100,
        last_tick: 3_400,
        marks_from: 100,
        marks: vec![
            mark(500, MarkKind::Command, "tui:ada: price meal 0.4"),
            mark(1_000, MarkKind::GreenWindow, "window 1 is green"),
            mark(1_360, MarkKind::Alert, "exit_queue_overflow was raised"),
            mark(2_000, MarkKind::RedWindow, "window 2 is red: lateness"),
            mark(2_400, MarkKind::Perturbation, "a blackout began"),
            mark(2_700, MarkKind::Exit, "Ivo left: absences"),
            mark(3_000, MarkKind::Release, "rel-7f3a drives the residents"),
            mark(3_100, MarkKind::Incident, "a bundle was made"),
            mark(3_200, MarkKind::Reload, "the configuration was read again"),
        ],
        before: None,
    }
}

/// The town at a tick of the past, with one resident who is not there any more.
fn past(tick: u64) -> Arc<Snapshot> {
    let mut view = snapshot();
    (view.tick, view.day, view.clock.tick_of_day) = (tick, tick / 1_000 + 1, tick % 1_000);
    view.clock.speed = "paused".into();
    view.employment.queue.truncate(1);
    view.employment.pending_count = 1;
    view.employment.late_today = 77;
    view.agents[0].name = "Ivo".into();
    view.alerts.clear();
    Arc::new(view)
}

impl AppHarness {
    fn source(&mut self, event: SourceEvent) -> Vec<Task> {
        let tasks = self.app.update(Message::SourceEvent(event));
        self.carry_out(&tasks);
        tasks
    }

    fn marks(&mut self, page: HistoryPage) {
        self.source(SourceEvent::Marks(Ok(Arc::new(page))));
    }

    fn moved_to(&mut self, tick: u64) -> Vec<Task> {
        self.source(SourceEvent::Moved(Moved::Past(past(tick))))
    }

    fn mouse(&mut self, kind: MouseEventKind, (column, row): (u16, u16)) -> Vec<Task> {
        let mouse = MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE };
        self.app.update(Message::Mouse(mouse))
    }

    /// Of an admin, in the past, with the marks.
    fn in_the_past(size: (u16, u16)) -> Self {
        let mut ui = Self::new(Role::Admin, size);
        ui.marks(page());
        ui.press("<");
        ui.moved_to(2_400);
        ui
    }

    /// Of a recording at its end.
    fn of_recording(size: (u16, u16)) -> Self {
        let mut ui = Self::without_view(Role::Viewer, size);
        let session = Session { transport: townlet_source::RECORDING.into(), ..session(Role::Viewer) };
        let info = SourceInfo { link: Link::Recorded, session, ..hello(Role::Viewer) };
        ui.app.link = Link::Recorded;
        ui.source(SourceEvent::SourceInfo(Box::new(info)));
        ui.view(snapshot());
        ui.marks(HistoryPage { last_tick: 3_402, ..page() });
        ui
    }

    fn last_row_with(&mut self, text: &str) -> u16 {
        let screen = self.screen();
        let row = screen.lines().enumerate().filter(|(_, line)| line.contains(text)).last().map(|(row, _)| row);
        row.unwrap_or_else(|| panic!("`{text}` is not on\n{screen}")) as u16
    }
}

#[test]
fn every_pane_shows_the_past_and_the_present_goes_on_meanwhile() {
    let mut ui = AppHarness::in_the_past((120, 40));
    ui.shows("PAST  day 3 · 09:36");
    ui.shows("live is day 4 · 09:38");
    ui.shows("1 / 8");
    ui.hides("Cleo  ");
    // Panes, overlays and exports have the state of then.
    ui.press("3");
    ui.shows("Ivo");
    ui.press("ctrl-f");
    ui.type_in("resident ivo");
    ui.shows("resident Ivo");
    ui.press("esc");
    let tasks = ui.press("e");
    let [Task::Export(_, files)] = tasks.as_slice() else { panic!("{tasks:?}") };
    assert!(files[0].stem.ends_with("-2400") && files[0].text.contains("Ivo"), "{files:?}");
    assert_eq!(ui.press("S"), [Task::Save(2_400)]);
    // The town goes on: its time is in the header, its alerts are told, its banner says that it is of now.
    let mut later = snapshot();
    (later.tick, later.clock.tick_of_day) = (3_500, 500);
    later.health.audit_ok = false;
    ui.view(later);
    ui.shows("live is day 4 · 12:00");
    ui.shows("PAST  day 3 · 09:36");
    ui.shows("Ivo");
    ui.shows("‼ now: the audit log is not writable");
    assert_eq!(ui.press("N"), [Task::Live]);
    ui.hides("PAST");
    ui.hides("Ivo");
    ui.shows("day 4 · 12:00");
    ui.shows("‼ the audit log is not writable");
}

#[test]
fn the_header_names_past_and_present_at_every_size() {
    for size in [(60, 18), (80, 24), (100, 30), (120, 40), (200, 60)] {
        let mut ui = AppHarness::in_the_past(size);
        ui.shows("PAST  day 3 · 09:36");
        ui.shows(" ADMIN");
        if size.0 >= 80 {
            ui.shows("live is day 4 · 09:38");
        }
        let badge = |ui: &mut AppHarness| {
            let style = ui.app.theme.past;
            let picture = ui.picture();
            let mut cells = picture.content.iter().take(size.0.into());
            cells.any(|cell| {
                cell.symbol() == "P"
                    && cell.modifier == style.add_modifier
                    && cell.style().fg == style.fg.or(Some(Color::Reset))
            })
        };
        assert!(badge(&mut ui), "{size:?}");
        // In words also without colours and beyond ASCII.
        let mut plain = ui.picture();
        Capabilities { ascii: true, colours: Colours::None }.apply(&mut plain);
        assert!(screenshot::text(&plain).contains("PAST  day 3 . 09:36"));
        let monochrome = Theme::named("dark", false).unwrap();
        ui.app.apply_settings(&Settings { theme: monochrome, ..ui.app.settings });
        ui.shows("PAST  day 3 · 09:36");
        assert!(badge(&mut ui), "{size:?} without colours");
    }
    // A shard that is not heard has no present.
    let mut ui = AppHarness::in_the_past((120, 40));
    ui.source(SourceEvent::Link(Link::Stale { url: "http://x".into(), seconds: 3 }));
    ui.shows("live was day 4 · 09:38");
    ui.source(SourceEvent::Link(Link::Live { url: "http://x".into() }));
    ui.hides("Harbour · live");
}

#[test]
fn the_past_at_three_sizes() {
    for size in SIZES {
        let mut ui = AppHarness::in_the_past(size);
        ui.app.update(Message::Bookmarks("run-1".into(), vec![Bookmark { tick: 1_700, note: "look".into() }]));
        let picture = ui.picture();
        let name = format!("past_{}x{}", size.0, size.1);
        insta::assert_snapshot!(name.clone(), screenshot::text(&picture));
        insta::assert_snapshot!(format!("{name}_styles"), styled_words(&picture, &ui.app.theme));
    }
}

#[test]
fn keys_move_by_ticks_hours_days_and_marks() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    ui.marks(page());
    // The journal is behind the town.
    assert_eq!(ui.press("["), [Task::Seek(3_400)]);
    ui.shows("going to tick 3,400 …");
    // Keys go on while it is on the way, from where they lead to.
    assert_eq!(ui.press("["), [Task::Seek(3_399)]);
    assert_eq!(ui.press("shift-left"), [Task::Seek(3_358)]);
    assert_eq!(ui.press("<"), [Task::Seek(2_358)]);
    assert_eq!(ui.press(">"), [Task::Seek(3_358)]);
    assert_eq!(ui.press("shift-right ]"), [Task::Seek(3_400)]);
    ui.press("3");
    assert_eq!(ui.app.screen, Screen::Agents);
    assert_eq!(ui.press("ctrl-home"), [Task::Seek(100)]);
    ui.moved_to(100);
    ui.shows("PAST  day 1 · 02:24");
    ui.hides("going to");
    assert_eq!(ui.press("["), []);
    ui.shows("tick 100 is the first that can be shown");
    assert_eq!(ui.press("}"), [Task::Seek(500)]);
    ui.shows("tui:ada: price meal 0.4");
    assert_eq!(ui.press("}"), [Task::Seek(1_000)]);
    assert_eq!(ui.press("{"), [Task::Seek(500)]);
    ui.moved_to(500);
    assert_eq!(ui.press("{"), []);
    ui.shows("there is no mark before tick 500");
    // Forward beyond the newest tick is the present.
    assert_eq!(ui.press("> > >"), [Task::Live]);
    ui.hides("PAST");
    assert_eq!(ui.press("]"), []);
    ui.shows("this is the present");
    // esc closes one thing at a time, the past after the zoom.
    ui.press("1 [");
    ui.moved_to(3_400);
    ui.shows("PAST");
    ui.press("z");
    assert_eq!(ui.press("esc"), []);
    ui.shows("PAST");
    assert_eq!(ui.press("esc"), [Task::Live]);
    ui.hides("PAST");
}

#[test]
fn what_is_not_wished_any_more_is_not_shown() {
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    ui.press("<");
    assert_eq!(ui.press("N"), [Task::Live]);
    // It was on its way already.
    ui.moved_to(2_400);
    ui.hides("PAST");
    ui.press("< [");
    ui.moved_to(2_402);
    ui.shows("going to tick 2,401 …");
    ui.moved_to(2_401);
    ui.hides("going to");
    // After a gap in the journal another tick comes than was asked for.
    ui.press("[");
    ui.moved_to(2_390);
    ui.hides("going to");
    ui.shows("tick 2,390");
}

#[test]
fn a_moment_is_typed_or_refused_with_what_is_right() {
    let mut ui = AppHarness::new(Role::Viewer, (80, 24));
    ui.marks(page());
    ui.press("@");
    ui.shows("The run has tick 100 (day 1 · 02:24) to tick 3,402 (day 4 · 09:38).");
    ui.type_in("day 9");
    assert_eq!(ui.press("enter"), []);
    ui.shows("tick 8,000 (day 9 · 00:00) is not in the run");
    ui.press("ctrl-u");
    ui.type_in("day 3 09:17");
    assert_eq!(ui.press("enter"), [Task::Seek(2_387)]);
    ui.moved_to(2_387);
    ui.shows("PAST  day 3 · 09:17");
    ui.press("@");
    ui.type_in("-1d");
    assert_eq!(ui.press("enter"), [Task::Seek(1_387)]);
    ui.press("@");
    ui.type_in("now");
    assert_eq!(ui.press("enter"), [Task::Live]);
}

#[test]
fn nothing_acts_on_the_town_from_the_past() {
    let mut ui = AppHarness::in_the_past((200, 60));
    // On every screen: keys with a reason in brackets, no request.
    for (screen, keys) in [("1", "a d v m b p . + -"), ("4", "t m b"), ("7", "n x w")] {
        ui.press(screen);
        for key in keys.split(' ') {
            assert_eq!(ui.press("tab"), []);
            assert_eq!(ui.press(key), [], "{key}");
            assert!(ui.app.overlay.is_none(), "{key} asks");
        }
    }
    ui.press("1 E a");
    ui.shows(&format!("a approve: {REFUSAL}"));
    ui.press("p");
    ui.shows(REFUSAL);
    ui.press("tab");
    ui.shows("(p pause)");
    // What is typed is refused with the same sentence, before and after enter, and reading is answered for the present.
    ui.press(":");
    ui.type_in("employment_exit approve ada");
    ui.shows("E_PAST");
    ui.press("enter");
    ui.shows(REFUSAL);
    ui.press(":");
    ui.type_in("escalate");
    ui.press("enter");
    ui.shows(REFUSAL);
    assert_eq!(ui.lines(), [""; 0], "nothing was sent");
    ui.press(":");
    ui.type_in("employment_status");
    ui.press("enter");
    assert_eq!(ui.lines(), ["employment_status"]);
    ui.answer(done("id-1", "employment_status", "3 wait"));
    ui.shows("✓ 3 wait · of the present · tick 3,402");
    // Back in the present all works again, also while nothing of the past has come.
    ui.press("N 1 E");
    ui.press("a");
    ui.shows("Approve");
    ui.press("esc [ a");
    ui.shows(REFUSAL);
    assert!(ui.app.overlay.is_none());
}

#[test]
fn charts_and_sparklines_end_at_the_moment() {
    let mut ui = AppHarness::new(Role::Viewer, (200, 60));
    ui.press("<");
    ui.moved_to(3_000);
    let late = ui.app.past.history.recent("late_today", 500);
    let known = ui.app.history.recent("late_today", 500);
    assert_eq!(late.last(), Some(&77.0));
    assert!(late.len() < known.len() && !known.contains(&77.0));
    let points = ui.app.past.history.full().points("employment.late_today");
    assert!(points.len() > 1 && points.iter().all(|(tick, _)| *tick <= 3_000.0), "{points:?}");
    // The present is recorded meanwhile and is whole afterwards.
    let mut later = snapshot();
    (later.tick, later.employment.late_today) = (3_500, 9);
    ui.view(later);
    ui.press("N");
    assert_eq!(ui.app.history.recent("late_today", 500).last(), Some(&9.0));
    assert!(ui.app.history.recent("late_today", 500).len() > known.len());
}

#[test]
fn a_tick_that_cannot_be_shown_is_said_and_the_view_stays() {
    let mut ui = AppHarness::in_the_past((120, 40));
    ui.press("[");
    let error =
        ErrorBody::new("E_DAMAGED", "run-1-0.tlj: town and journal differ at tick 2,000.", "Other ticks can be shown.");
    ui.source(SourceEvent::Moved(Moved::Refused { tick: 2_399, error: error.clone() }));
    ui.shows(
        "✗ tick 2,399 cannot be shown: run-1-0.tlj: town and journal differ at tick 2,000. Other ticks can be shown.",
    );
    ui.shows("PAST  day 3 · 09:36");
    ui.hides("going to");
    assert_eq!(ui.press("["), [Task::Seek(2_399)], "keys go on from what is shown");
    // From the present, the present stays, and acting is possible again.
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    ui.press("[");
    ui.source(SourceEvent::Moved(Moved::Refused { tick: 3_400, error }));
    ui.hides("PAST");
    ui.press("E a");
    ui.shows("Approve");
}

#[test]
fn the_timeline_is_clicked_and_a_drag_has_one_seek_at_a_time() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    ui.marks(page());
    let row = ui.last_row_with("day 1 ");
    let bar = ui.app.past.bar;
    let down = MouseEventKind::Down(MouseButton::Left);
    let drag = MouseEventKind::Drag(MouseButton::Left);
    let tasks = ui.mouse(down, (bar.x, row));
    assert_eq!(tasks, [Task::Seek(100)]);
    ui.moved_to(100);
    // Three columns are passed before the first is shown: the newest of them comes next.
    let tasks = ui.mouse(drag, (bar.x + 10, row));
    let [Task::Seek(first)] = tasks[..] else { panic!("{tasks:?}") };
    assert!((400..430).contains(&first), "{first}");
    assert_eq!(ui.mouse(drag, (bar.x + 20, row)), []);
    assert_eq!(ui.mouse(drag, (bar.x + 40, row + 3)), []);
    let tasks = ui.moved_to(first);
    let [Task::Seek(next)] = tasks[..] else { panic!("{tasks:?}") };
    assert!((1_340..1_380).contains(&next), "{next}");
    assert_eq!(ui.moved_to(next), []);
    // A drag that began elsewhere moves nothing, and the right end is the present.
    ui.mouse(down, (10, 10));
    assert_eq!(ui.mouse(drag, (bar.x + 10, row)), []);
    assert_eq!(ui.mouse(down, (bar.right() - 1, row)), [Task::Live]);
    ui.hides("PAST");
}

#[test]
fn the_timeline_has_signs_and_is_shown_where_it_is_needed() {
    let mut ui = AppHarness::new(Role::Viewer, (200, 60));
    ui.marks(page());
    ui.app.update(Message::Bookmarks("run-1".into(), vec![Bookmark { tick: 1_700, note: String::new() }]));
    let screen = ui.screen();
    let line = screen.lines().rev().find(|line| line.contains(" day 1 ")).unwrap();
    let signs: String = line.chars().filter(|sign| !"─ ".contains(*sign)).collect();
    assert_eq!(signs, "day1:G!*R~x^#@┃day4");
    ui.press("_");
    ui.hides("day 1 ─");
    ui.press("_");
    ui.shows(" day 1 ─");
    // A small terminal has it in the past only, or when it is asked for.
    let mut ui = AppHarness::new(Role::Viewer, (80, 24));
    ui.marks(page());
    ui.hides(" day 1 ─");
    ui.press("_");
    ui.shows(" day 1 ─");
    let mut ui = AppHarness::in_the_past((60, 18));
    ui.shows(" day 1 ─");
    // Before the marks are known it has the range.
    let mut ui = AppHarness::new(Role::Viewer, (120, 40));
    ui.hides(" day 1 ─");
    ui.press("[");
    ui.shows(" day 1 ─");
}

#[test]
fn marks_and_bookmarks_are_listed_filtered_and_gone_to() {
    let mut ui = AppHarness::in_the_past((120, 40));
    ui.press("\"");
    ui.shows("Bookmark at tick 2,400 (day 3 · 09:36).");
    ui.type_in("the blackout");
    let kept = Task::KeepBookmark { run: "run-1".into(), tick: 2_400, note: Some("the blackout".into()) };
    assert_eq!(ui.press("enter"), [kept]);
    ui.shows("bookmark at tick 2,400 set");
    ui.press("'");
    ui.shows("Marks and bookmarks");
    ui.shows("▸ day 3 · 09:36  2,400");
    for words in ["^ release", "# incident", "window 2 is red: lateness", "* bookmark     the blackout"] {
        ui.shows(words);
    }
    ui.type_in("alert");
    ui.hides("^ release");
    assert_eq!(ui.press("enter"), [Task::Seek(1_360)]);
    ui.moved_to(1_360);
    ui.press("'");
    ui.type_in("nothing like it");
    ui.shows("No mark matches the filter.");
    assert_eq!(ui.press("enter"), []);
    ui.press("esc '");
    ui.type_in("blackout bookmark");
    let removed = Task::KeepBookmark { run: "run-1".into(), tick: 2_400, note: None };
    assert_eq!(ui.press("delete"), [removed]);
    ui.hides("* bookmark");
    ui.press("esc");
    // What is missing is said.
    ui.marks(HistoryPage { marks_from: 900, ..page() });
    ui.press("'");
    ui.shows("Not all marks before tick 900 are kept.");
    ui.press("esc");
    ui.source(SourceEvent::Marks(Err(ErrorBody::new("E_DAMAGED", "marks.jsonl is damaged.", "Remove it."))));
    ui.press("'");
    ui.shows("The marks cannot be read: E_DAMAGED");
    // At a mouse row as well.
    let row = ui.last_row_with("window 2 is red");
    assert_eq!(ui.mouse(MouseEventKind::Down(MouseButton::Left), (40, row)), [Task::Seek(2_000)]);
}

#[test]
fn marks_are_asked_for_as_the_town_lives_on() {
    let mut ui = AppHarness::without_view(Role::Viewer, (120, 40));
    let view = |ui: &mut AppHarness, tick: u64, run: &str| {
        let view = Arc::new(Snapshot { tick, run_id: run.into(), ..snapshot() });
        ui.app.update(Message::SourceEvent(SourceEvent::View(view)))
    };
    let read = Task::ReadBookmarks("run-1".into());
    assert_eq!(view(&mut ui, 3_402, "run-1"), [read, Task::Marks]);
    assert_eq!(view(&mut ui, 3_440, "run-1"), [], "not before the answer");
    ui.marks(page());
    assert_eq!(view(&mut ui, 3_441, "run-1"), [Task::Marks]);
    ui.marks(page());
    assert_eq!(view(&mut ui, 3_442, "run-1"), [], "once in half an hour");
    // Another run has other marks, and its past is not on screen.
    ui.press("<");
    ui.moved_to(2_442);
    ui.shows("PAST");
    let tasks = view(&mut ui, 7, "run-2");
    assert!(tasks.contains(&Task::Marks) && tasks.contains(&Task::ReadBookmarks("run-2".into())), "{tasks:?}");
    ui.hides("PAST");
    ui.shows("the shard runs run-2 now; the past of the run before is closed");
    ui.marks(page());
    assert!(!ui.app.knows_range(), "marks of the run before");
    ui.press("[");
    ui.moved_to(6);
    ui.shows("✗ the shard shows the past of another run, run-1");
}

#[test]
fn a_recording_moves_with_the_same_keys_and_is_played_on() {
    let mut ui = AppHarness::of_recording((120, 40));
    ui.shows(" day 1 ─");
    assert_eq!(ui.press("["), [Task::Seek(3_401)]);
    ui.moved_to(3_401);
    ui.hides("PAST");
    ui.shows("Ivo");
    ui.shows("day 4 · 09:37");
    assert_eq!(ui.press("{"), [Task::Seek(3_200)]);
    ui.moved_to(3_200);
    // Playback is not refused, and what it shows takes the place of the moment.
    ui.press("p");
    assert_eq!(ui.lines(), ["resume"]);
    ui.view(Snapshot { tick: 3_201, ..Snapshot::clone(&past(3_201)) });
    ui.shows("tick 3,201");
    assert_eq!(ui.press("N"), [Task::Seek(3_402)]);
    ui.moved_to(3_402);
    assert_eq!(ui.press("]"), []);
    ui.shows("the recording ends at tick 3,402");
}

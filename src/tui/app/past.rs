//! Moving in time: what the screen shows of the past, while the newest view is kept. Nothing that acts on the town is sent from there.
//! Rule: "Looking back".

use std::sync::Arc;

use ratatui::layout::Rect;

use super::{App, StatusMessage, Task, Tone};
use crate::bookmarks::{self, Bookmark};
use crate::format::{capital, thousands};
use crate::indexed_snapshot::IndexedSnapshot;
use crate::keymap::{Action, Keymap};
use crate::metric_history::MetricHistory;
use crate::moment_input::RunTime;
use crate::notification::AlertChange;
use crate::overlay::{MarksDialog, MomentDialog, NoteDialog};
use crate::timeline::{Scale, Sign};
use townlet_source::{Link, Moved};
use townlet_wire::history::HistoryPage;
use townlet_wire::{ErrorBody, command_line, escape};

/// The marks are read again after each such part of a day.
const PARTS_OF_DAY: u64 = 48;

/// What the screen shows of the past, and what it knows of the run.
pub(super) struct Past {
    /// The newest view, while [`App::view`] is one of the past.
    live: Option<Arc<IndexedSnapshot>>,
    /// The metrics up to the moment on screen.
    pub(super) history: MetricHistory,
    /// The tick that the source is to show and does not show yet.
    seeking: Option<u64>,
    /// Whether another tick was asked for before.
    replaced: bool,
    /// The tick that a drag asks for after that.
    next: Option<u64>,
    dragging: bool,
    /// The range and the marks, once they are known.
    page: Option<Arc<HistoryPage>>,
    /// Why the marks could not be read.
    trouble: Option<String>,
    /// The part of a day in which the marks were asked for last, and whether they have not come.
    asked: Option<u64>,
    waits: bool,
    bookmarks: Vec<Bookmark>,
    /// Whether the operator shows or hides the timeline.
    pub(super) timeline: Option<bool>,
    /// Where the line between the labels was drawn, and since when it needs the marks.
    pub(super) bar: Rect,
    pub(super) drawn: bool,
    /// Why a key does nothing.
    refusal: String,
}

impl Past {
    pub(super) fn new(keymap: &Keymap) -> Self {
        Self {
            live: None,
            history: MetricHistory::default(),
            seeking: None,
            replaced: false,
            next: None,
            dragging: false,
            page: None,
            trouble: None,
            asked: None,
            waits: false,
            bookmarks: Vec::new(),
            timeline: None,
            bar: Rect::ZERO,
            drawn: false,
            refusal: format!("you are looking at the past; press {}", keymap.label(Action::Live)),
        }
    }
}

impl Past {
    /// The newest view, if the screen shows this one.
    pub(super) fn newest_view<'a>(
        &'a self,
        shown: Option<&'a Arc<IndexedSnapshot>>,
    ) -> Option<&'a Arc<IndexedSnapshot>> {
        self.live.as_ref().or(shown)
    }
}

impl App {
    /// Whether the screen shows a moment of the past of a running town.
    pub(super) const fn is_past(&self) -> bool {
        self.past.live.is_some()
    }

    /// The newest view, whatever the screen shows.
    pub(crate) fn live_view(&self) -> Option<&Arc<IndexedSnapshot>> {
        self.past.newest_view(self.view.as_ref())
    }

    /// Why nothing acts on the town now, while the past is on screen or on its way. A recording is played in any case.
    pub(super) fn past_refusal(&self) -> Option<&str> {
        let away = self.is_past() || (self.past.seeking.is_some() && !self.is_recording());
        away.then_some(self.past.refusal.as_str())
    }

    /// The same for a command line, if it acts.
    pub(super) fn past_refusal_of(&self, line: &str) -> Option<&str> {
        let acts = command_line::parse(&self.hello.commands, line).is_ok_and(|parsed| parsed.spec.acts());
        self.past_refusal().filter(|_| acts)
    }

    pub(super) fn is_recording(&self) -> bool {
        self.link == Link::Recorded
    }

    /// The tick that is on its way to the screen.
    pub(super) const fn seeking(&self) -> Option<u64> {
        self.past.seeking
    }

    /// The first tick that can be shown and the newest one.
    pub(super) fn range(&self) -> (u64, u64) {
        let live = self.live_view().map_or(0, |view| view.tick);
        let known = self.past.page.as_ref().map_or((0, 0), |page| (page.first_tick, page.last_tick));
        (known.0.min(live), known.1.max(live))
    }

    /// The newest tick that can be looked back at: the town is ahead of its journal.
    fn newest(&self) -> u64 {
        let last = self.range().1;
        let Some(live) = self.live_view().filter(|_| !self.is_recording()) else { return last };
        if live.health.journal_tick == 0 { live.tick } else { live.health.journal_tick.min(live.tick) }
    }

    /// What moments are relative to; `None` before the first view.
    pub(super) fn run_time(&self) -> Option<RunTime> {
        let view = self.view.as_ref()?;
        let (first, last) = self.range();
        Some(RunTime { first, last, at: view.tick, ticks_per_day: view.clock.ticks_per_day })
    }

    /// Whether there is a range to draw.
    pub(super) fn knows_range(&self) -> bool {
        self.past.page.is_some()
    }

    /// Marks and bookmarks with their signs, in no order.
    pub(super) fn signs(&self) -> impl Iterator<Item = (u64, Sign)> + '_ {
        let marks = self.past.page.iter().flat_map(|page| &page.marks).map(|mark| (mark.tick, Sign::Mark(mark.kind)));
        marks.chain(self.past.bookmarks.iter().map(|bookmark| (bookmark.tick, Sign::Bookmark)))
    }

    /// Takes the newest view. The past stays on screen, unless it is that of another run.
    pub(super) fn set_view(&mut self, view: &Arc<IndexedSnapshot>) {
        self.history.record(view);
        self.pace.see(view);
        let before = self.live_view().cloned();
        if let Some(before) = &before {
            let notifications = self.settings.notifications;
            let mut changes = AlertChange::between(before, view);
            changes.retain(|change| notifications.rings(change) || notifications.posts(change));
            self.tasks.extend(changes.into_iter().map(Task::Notify));
        }
        let other_run = before.as_ref().is_some_and(|before| before.run_id != view.run_id);
        let was_past = other_run && self.past_refusal().is_some();
        if other_run {
            let timeline = self.past.timeline;
            self.leave_past();
            self.past = Past { timeline, ..Past::new(&self.keymap) };
        }
        if self.is_past() {
            self.used_view = self.past.live.replace(Arc::clone(view));
        } else {
            self.used_view = self.put_on_screen(Arc::clone(view));
        }
        if other_run {
            self.close_for_another_run(&view.run_id);
        }
        if was_past {
            self.set_status(format!("the shard runs {} now; the past of the run before is closed", view.run_id));
        }
        if before.is_none() || other_run {
            self.tasks.push(Task::ReadBookmarks(view.run_id.clone()));
        }
        drop(before);
        if !self.is_past() {
            self.renew_question();
        }
        self.ask_for_marks();
    }

    /// Asks for the marks when the town has lived on for a while, and in a fleet only for the shard on screen.
    fn ask_for_marks(&mut self) {
        let Some(view) = self.live_view() else { return };
        let part = view.tick.saturating_mul(PARTS_OF_DAY) / view.clock.ticks_per_day.max(1);
        let known = self.past.asked == Some(part) || (self.is_recording() && self.past.asked.is_some());
        if known || self.past.waits || (self.fleet && !self.past.drawn) {
            return;
        }
        (self.past.asked, self.past.waits, self.past.drawn) = (Some(part), true, false);
        self.tasks.push(Task::Marks);
    }

    /// Takes the range and the marks of the run.
    pub(super) fn set_marks(&mut self, found: Result<Arc<HistoryPage>, ErrorBody>) {
        self.past.waits = false;
        match found {
            Ok(page) if self.live_view().is_some_and(|view| view.run_id == page.run_id) => {
                let mut page = Arc::unwrap_or_clone(page);
                page.marks.sort_by_key(|mark| mark.tick);
                (self.past.page, self.past.trouble) = (Some(Arc::new(page)), None);
            }
            Ok(_) => {}
            Err(error) => self.past.trouble = Some(error.to_string()),
        }
    }

    /// Takes the bookmarks of the run.
    pub(super) fn set_bookmarks(&mut self, run: &str, bookmarks: Vec<Bookmark>) {
        if self.live_view().is_some_and(|view| view.run_id == run) {
            self.past.bookmarks = bookmarks;
        }
    }

    /// Takes what came of a seek. What is not waited for any more is not shown.
    pub(super) fn moved(&mut self, moved: Moved) {
        let Some(seeking) = self.past.seeking else { return };
        let replaced = self.past.replaced;
        let answered = |tick: u64| tick == seeking || !replaced;
        let is_of_this_run = |run: &str| self.live_view().is_some_and(|live| live.run_id == run);
        match moved {
            Moved::Live => return,
            Moved::Past(view) if !is_of_this_run(&view.run_id) => {
                self.past.seeking = None;
                self.fail(&format!("the shard shows the past of another run, {}", escape(&view.run_id)));
            }
            Moved::Past(view) => {
                if answered(view.tick) {
                    (self.past.seeking, self.past.replaced) = (None, false);
                }
                let view = Arc::new(IndexedSnapshot::new(view));
                if self.is_recording() { self.set_view(&view) } else { self.show_past(view) }
            }
            Moved::Refused { tick, error } => {
                if answered(tick) {
                    (self.past.seeking, self.past.replaced) = (None, false);
                }
                let why = format!("{} {}", error.message, error.hint);
                self.fail(&format!("tick {} cannot be shown: {}", thousands(tick), escape(&why)));
            }
        }
        if self.past.seeking.is_none()
            && let Some(next) = self.past.next.take()
        {
            self.seek_to(next);
        }
    }

    fn fail(&mut self, why: &str) {
        self.status = Some(StatusMessage { text: format!("✗ {why}"), tone: Tone::Bad });
    }

    /// Puts a view on screen and returns the one before. The lines of the audit log are those of the screen.
    fn put_on_screen(&mut self, view: Arc<IndexedSnapshot>) -> Option<Arc<IndexedSnapshot>> {
        self.audit.follow(self.view.as_deref(), &view);
        self.view.replace(view)
    }

    fn show_past(&mut self, view: Arc<IndexedSnapshot>) {
        self.past.history = self.history.until(&view);
        let before = self.put_on_screen(view);
        if self.is_past() {
            self.used_view = before;
        } else {
            self.past.live = before;
        }
        self.renew_question();
    }

    /// Shows the newest view again.
    fn leave_past(&mut self) {
        let was_away = self.past_refusal().is_some();
        (self.past.seeking, self.past.replaced, self.past.next) = (None, false, None);
        if let Some(live) = self.past.live.take() {
            self.past.history = MetricHistory::default();
            self.used_view = self.put_on_screen(live);
            self.renew_question();
        }
        if self.line_open && was_away {
            let dry_run = self.line.renew_preview(&self.hello.commands);
            self.preview(dry_run);
        }
    }

    /// Goes back to the present; of a recording, to its end.
    pub(super) fn go_live(&mut self) {
        if self.is_recording() {
            let last = self.range().1;
            return self.seek_to(last);
        }
        if self.past_refusal().is_none() {
            return self.set_status("this is the present");
        }
        self.leave_past();
        self.tasks.push(Task::Live);
    }

    /// Shows a tick, the newest one that the journal has, or the present.
    pub(super) fn seek_to(&mut self, tick: u64) {
        let ((first, last), newest) = (self.range(), self.newest());
        if tick >= last && !self.is_recording() {
            return if self.past_refusal().is_some() { self.go_live() } else { self.set_status("this is the present") };
        }
        let tick = tick.min(newest).max(first);
        let is_shown = self.view.as_ref().is_some_and(|view| view.tick == tick);
        if self.past.seeking.is_none() && is_shown && (self.is_past() || self.is_recording()) {
            return;
        }
        self.past.replaced = self.past.seeking.is_some();
        (self.past.seeking, self.past.next) = (Some(tick), None);
        self.tasks.push(Task::Seek(tick));
        self.ask_for_marks();
    }

    /// Shows a tick as a drag of the mouse asks for it: one at a time, the newest after that.
    fn drag_to(&mut self, tick: u64) {
        if self.past.seeking.is_some() { self.past.next = Some(tick) } else { self.seek_to(tick) }
    }

    /// Goes to the tick of a column of the timeline.
    pub(super) fn click_timeline(&mut self, column: u16) {
        self.past.dragging = true;
        let tick = self.tick_of(column);
        self.seek_to(tick);
    }

    pub(super) fn drag_timeline(&mut self, column: u16) {
        if self.past.dragging {
            let tick = self.tick_of(column);
            self.drag_to(tick);
        }
    }

    pub(super) const fn end_drag(&mut self) {
        self.past.dragging = false;
    }

    fn tick_of(&self, column: u16) -> u64 {
        let (first, last) = self.range();
        Scale { first, last, cells: self.past.bar.width }.tick(column.saturating_sub(self.past.bar.x))
    }

    /// Handles a key of time.
    pub(super) fn time_action(&mut self, action: Action) {
        let Some(time) = self.run_time() else { return self.set_status("no state was received yet") };
        let hour = (time.ticks_per_day / 24).max(1);
        match action {
            Action::PreviousTick => self.step_back(1),
            Action::NextTick => self.step_forward(1),
            Action::HourBack => self.step_back(hour),
            Action::HourForward => self.step_forward(hour),
            Action::DayBack => self.step_back(time.ticks_per_day.max(1)),
            Action::DayForward => self.step_forward(time.ticks_per_day.max(1)),
            Action::PreviousMark => self.go_to_mark(false),
            Action::NextMark => self.go_to_mark(true),
            Action::Beginning => self.seek_to(time.first),
            Action::Live => self.go_live(),
            Action::Goto => self.overlay = Some(Box::new(MomentDialog::new(time))),
            Action::Timeline => {
                self.past.timeline = Some(self.past.bar.is_empty());
                self.ask_for_marks();
            }
            Action::Bookmark => {
                let known = self.past.bookmarks.iter().find(|bookmark| bookmark.tick == time.at);
                let note = known.map_or("", |bookmark| bookmark.note.as_str());
                self.overlay = Some(Box::new(NoteDialog::new(time.at, time.day_and_clock(time.at), note)));
            }
            _ => self.open_marks(time),
        }
    }

    /// The tick that is on screen or will be.
    fn position(&self) -> u64 {
        let shown = self.view.as_ref().map_or(0, |view| view.tick);
        self.past.next.or(self.past.seeking).unwrap_or(shown)
    }

    fn step_back(&mut self, ticks: u64) {
        let (first, position) = (self.range().0, self.position());
        if position <= first {
            return self.set_status(format!("tick {} is the first that can be shown", thousands(first)));
        }
        self.seek_to(position.saturating_sub(ticks));
    }

    fn step_forward(&mut self, ticks: u64) {
        let (position, newest) = (self.position(), self.newest());
        let to = position.saturating_add(ticks);
        if self.is_recording() {
            if position >= newest {
                return self.set_status(format!("the recording ends at tick {}", thousands(newest)));
            }
            return self.seek_to(to);
        }
        if to > newest { self.go_live() } else { self.seek_to(to) }
    }

    fn go_to_mark(&mut self, forward: bool) {
        let (position, newest) = (self.position(), self.newest());
        let is_beyond = |tick: u64| if forward { tick > position && tick <= newest } else { tick < position };
        let beyond = self.signs().map(|(tick, _)| tick).filter(|tick| is_beyond(*tick));
        let found = if forward { beyond.min() } else { beyond.max() };
        let Some(tick) = found else {
            let side = if forward { "after" } else { "before" };
            let missing = self.missing_marks();
            let more = if missing.is_empty() || forward { String::new() } else { format!("; {missing}") };
            return self.set_status(format!("there is no mark {side} tick {}{more}", thousands(position)));
        };
        let text = self.texts_at(tick);
        self.seek_to(tick);
        self.set_status(text);
    }

    /// What is marked at a tick.
    fn texts_at(&self, tick: u64) -> String {
        let marks = self.past.page.iter().flat_map(|page| &page.marks).filter(|mark| mark.tick == tick);
        let bookmarks = self.past.bookmarks.iter().filter(|bookmark| bookmark.tick == tick);
        let bookmarks = bookmarks.map(|bookmark| format!("bookmark {}", bookmark.note));
        let texts = marks.map(|mark| mark.text.trim_end_matches('.').to_owned()).chain(bookmarks);
        escape(&texts.collect::<Vec<_>>().join(" · "))
    }

    /// What the list of marks does not have; empty when it has all.
    fn missing_marks(&self) -> String {
        match (&self.past.page, &self.past.trouble) {
            (_, Some(trouble)) => format!("the marks cannot be read: {}", escape(trouble)),
            (None, None) => "the marks are not known yet".to_owned(),
            (Some(page), None) => {
                let oldest = page.marks.first().filter(|_| page.before.is_some()).map(|mark| mark.tick);
                let from = page.marks_from.max(oldest.unwrap_or(0));
                let tick = thousands(from);
                if from > page.first_tick {
                    format!("not all marks before tick {tick} are kept")
                } else {
                    String::new()
                }
            }
        }
    }

    fn open_marks(&mut self, time: RunTime) {
        let marks = self.past.page.as_ref().map_or(&[][..], |page| &page.marks);
        let note = self.missing_marks();
        let note = if note.is_empty() { note } else { format!("{}.", capital(note.trim_end_matches('.'))) };
        self.overlay = Some(Box::new(MarksDialog::new(marks, &self.past.bookmarks, time, note)));
        self.ask_for_marks();
    }

    /// Sets or removes a bookmark of the run on screen.
    pub(super) fn change_bookmark(&mut self, tick: u64, note: Option<String>) {
        let Some(run) = self.view.as_ref().map(|view| view.run_id.clone()) else { return };
        match bookmarks::change(&mut self.past.bookmarks, tick, note.as_deref()) {
            Ok(()) => {
                let word = if note.is_some() { "set" } else { "removed" };
                self.set_status(format!("bookmark at tick {} {word}", thousands(tick)));
                self.tasks.push(Task::KeepBookmark { run, tick, note });
            }
            Err(why) => self.set_status(why),
        }
    }
}

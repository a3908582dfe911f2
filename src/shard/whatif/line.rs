//! The questions about a running town: one is answered at a time, on threads of low priority, and further ones wait in line.

use std::collections::VecDeque;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use townlet_wire::whatif::{WhatIfProgress, WhatIfState};

use super::{Prepared, keep};
use crate::home::Home;
use crate::incident::panic_message;
use crate::thread_priority::lower_priority;

/// Questions that have ended and are remembered.
const REMEMBERED: usize = 20;
/// Added to the niceness of its threads.
const NICENESS: i32 = 10;

/// The line of a shard. Dropping it cancels all questions and waits for the thread.
pub(crate) struct WhatIfLine {
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
}

struct Shared {
    home: Home,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    /// Every question that is known, oldest first.
    questions: VecDeque<Arc<Ticket>>,
    waiting: VecDeque<(Arc<Ticket>, Box<Prepared>)>,
    /// Whether the thread looks at the line again.
    works: bool,
}

/// What is known of a question.
struct Ticket {
    progress: Mutex<Arc<WhatIfProgress>>,
    is_cancelled: AtomicBool,
}

impl Ticket {
    fn progress(&self) -> Arc<WhatIfProgress> {
        Arc::clone(&self.progress.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn update(&self, change: impl FnOnce(&mut WhatIfProgress)) {
        let mut held = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let mut progress = WhatIfProgress::clone(&held);
        change(&mut progress);
        *held = Arc::new(progress);
    }

    fn is_over(&self) -> bool {
        is_over(self.progress().state)
    }
}

/// Whether a question has ended, with an answer or without.
pub(super) const fn is_over(state: WhatIfState) -> bool {
    !matches!(state, WhatIfState::Waiting | WhatIfState::Running)
}

impl WhatIfLine {
    pub(crate) fn new(home: Home) -> Self {
        Self { shared: Arc::new(Shared { home, line: Mutex::default() }), worker: None }
    }

    /// Every question that is known, oldest first.
    pub(crate) fn progress(&self) -> Vec<Arc<WhatIfProgress>> {
        self.shared.line().questions.iter().map(|ticket| ticket.progress()).collect()
    }

    /// A question by its id. The same question about the same town has one id.
    pub(crate) fn find(&self, id: &str) -> Option<Arc<WhatIfProgress>> {
        self.progress().into_iter().rev().find(|progress| progress.answer.id == id)
    }

    /// Questions that are answered now or wait.
    pub(crate) fn length(&self) -> usize {
        self.shared.line().questions.iter().filter(|ticket| !ticket.is_over()).count()
    }

    /// Adds a question to the line, unless it stands there or is answered. Returns how far it is.
    pub(crate) fn add(&mut self, prepared: Box<Prepared>, issuer: &str) -> Arc<WhatIfProgress> {
        let known = self.find(&prepared.unanswered().id);
        if let Some(known) = known.filter(|it| !matches!(it.state, WhatIfState::Cancelled | WhatIfState::Failed)) {
            return known;
        }
        let progress = Arc::new(WhatIfProgress {
            issuer: issuer.to_owned(),
            state: WhatIfState::Waiting,
            ahead: self.length() as u64,
            samples_done: 0,
            page: String::new(),
            answer: prepared.unanswered().clone(),
        });
        let ticket =
            Arc::new(Ticket { progress: Mutex::new(Arc::clone(&progress)), is_cancelled: AtomicBool::new(false) });
        let mut line = self.shared.line();
        line.questions.retain(|ticket| ticket.progress().answer.id != progress.answer.id);
        line.questions.push_back(Arc::clone(&ticket));
        line.waiting.push_back((ticket, prepared));
        let starts = !std::mem::replace(&mut line.works, true);
        drop(line);
        if starts {
            // The thread before has ended, or is about to.
            self.worker.take().map(JoinHandle::join);
            let shared = Arc::clone(&self.shared);
            let started = thread::Builder::new().name("whatif".into()).spawn(move || shared.work());
            match started {
                Ok(worker) => self.worker = Some(worker),
                Err(why) => self.shared.give_up(&format!("no thread can be started: {why}.")),
            }
        }
        progress
    }

    /// Cancels a question that is not answered yet; whether there was one.
    pub(crate) fn cancel(&self, id: &str) -> bool {
        let mut line = self.shared.line();
        let found = line.questions.iter().find(|ticket| ticket.progress().answer.id == id && !ticket.is_over());
        let Some(ticket) = found.map(Arc::clone) else { return false };
        ticket.is_cancelled.store(true, Ordering::Relaxed);
        let before = line.waiting.len();
        line.waiting.retain(|(waiting, _)| !Arc::ptr_eq(waiting, &ticket));
        // The thread says it of the one that it answers.
        if line.waiting.len() < before {
            ticket.update(|progress| (progress.state, progress.ahead) = (WhatIfState::Cancelled, 0));
            line.count_ahead();
        }
        true
    }

    /// Cancels everything, without waiting.
    pub(crate) fn stop(&self) {
        let mut line = self.shared.line();
        line.waiting.clear();
        for ticket in &line.questions {
            ticket.is_cancelled.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for WhatIfLine {
    fn drop(&mut self) {
        self.stop();
        self.worker.take().map(JoinHandle::join);
    }
}

impl Line {
    /// The questions before each that waits: the one that is answered now, and those that came earlier.
    fn count_ahead(&mut self) {
        let running = self.questions.iter().filter(|ticket| ticket.progress().state == WhatIfState::Running).count();
        for ((ticket, _), place) in self.waiting.iter().zip(running as u64..) {
            ticket.update(|progress| progress.ahead = place);
        }
    }
}

impl Shared {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the questions in line, one after the other.
    fn work(&self) {
        lower_priority(NICENESS);
        while let Some((ticket, prepared)) = self.next() {
            let answered = catch_unwind(AssertUnwindSafe(|| self.answer(&ticket, &prepared)));
            if let Err(panic) = answered {
                let why = format!("a copy of the town crashed: {}.", panic_message(panic.as_ref()));
                ticket.update(|progress| (progress.state, progress.page) = (WhatIfState::Failed, why));
            }
        }
    }

    /// The next question. Without one the thread ends.
    fn next(&self) -> Option<(Arc<Ticket>, Box<Prepared>)> {
        let mut line = self.line();
        let over = line.questions.iter().filter(|ticket| ticket.is_over()).count();
        for _ in REMEMBERED..over {
            if let Some(place) = line.questions.iter().position(|ticket| ticket.is_over()) {
                line.questions.remove(place);
            }
        }
        let next = line.waiting.pop_front();
        line.works = next.is_some();
        if let Some((ticket, _)) = &next {
            ticket.update(|progress| (progress.state, progress.ahead) = (WhatIfState::Running, 0));
            line.count_ahead();
        }
        next
    }

    fn answer(&self, ticket: &Ticket, prepared: &Prepared) {
        let threads = thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        let should_continue = || !ticket.is_cancelled.load(Ordering::Relaxed);
        let answer = prepared.answer(threads, &should_continue, |samples, answer| {
            ticket.update(|progress| (progress.samples_done, progress.answer) = (samples, answer));
        });
        let Some(answer) = answer else {
            return ticket.update(|progress| progress.state = WhatIfState::Cancelled);
        };
        let page = match keep(&self.home, &answer) {
            Ok(_) => format!("ops/whatif/{}.md", answer.id),
            Err(why) => format!("the page cannot be written: {why}"),
        };
        ticket.update(|progress| {
            (progress.state, progress.page, progress.answer) = (WhatIfState::Done, page, answer);
        });
    }

    fn give_up(&self, why: &str) {
        let mut line = self.line();
        line.works = false;
        for (ticket, _) in line.waiting.drain(..) {
            ticket.update(|progress| (progress.state, progress.page) = (WhatIfState::Failed, why.to_owned()));
        }
    }
}

//! The watchdog: notices that the town's thread neither goes on nor waits, and that a thread broke off; says so, and has it
//! kept.
//!
//! A thread that looks four times a second and never asks the town's. While a tick hangs it tells observers in the town's
//! place. Rule: "Incidents".

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::diagnostics::{Diagnostics, Hang, Phase, TOWN};
use super::{IncidentRecorder, IncidentTrigger, Kind};
use crate::subscribers::Subscribers;
use townlet_wire::Snapshot;

/// How often it looks.
const LOOK: Duration = Duration::from_millis(250);
/// Looks in a row without a change that make a hang: more than three seconds.
const LOOKS: u32 = 13;
/// A look that comes so late says that this process was stopped, not that the tick hangs.
const STOPPED: Duration = Duration::from_secs(1);

/// The thread. Dropping it ends it.
pub(crate) struct Watchdog {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Starts it.
    ///
    /// # Errors
    /// That no thread can be had.
    pub(crate) fn start(
        diagnostics: Arc<Diagnostics>,
        recorder: Arc<IncidentRecorder>,
        subscribers: Weak<Subscribers>,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let watch = Watch { diagnostics, recorder, subscribers, beat: 0, looks: 0, hung: None };
        let thread = std::thread::Builder::new().name("watchdog".into()).spawn(move || watch.run(&stopped))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop = None;
        drop(self.thread.take().map(JoinHandle::join));
    }
}

struct Watch {
    diagnostics: Arc<Diagnostics>,
    recorder: Arc<IncidentRecorder>,
    subscribers: Weak<Subscribers>,
    /// As it was last seen, and for how many looks.
    beat: u64,
    looks: u32,
    /// Since when the tick hangs.
    hung: Option<Instant>,
}

impl Watch {
    fn run(mut self, stopped: &Receiver<()>) {
        super::panics::ignore_thread_panics();
        let mut looked = Instant::now();
        while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            let late = looked.elapsed() > STOPPED;
            looked = Instant::now();
            self.look(late);
            self.broken_off();
        }
        self.broken_off();
        self.recorder.finish();
    }

    fn look(&mut self, late: bool) {
        let beat = self.diagnostics.beat();
        if beat != self.beat {
            self.beat = beat;
            self.looks = 0;
            if let Some(since) = self.hung.take() {
                self.diagnostics.hang(None);
                let seconds = since.elapsed().as_secs();
                self.recorder.log().say(&format!("the tick has ended; it hung for {seconds} s after it was noticed"));
            }
            return;
        }
        let at_rest = matches!(self.diagnostics.phase(), Phase::Waiting | Phase::Ending);
        if at_rest || late || self.hung.is_some() {
            self.looks = 0;
            return;
        }
        self.looks += 1;
        if self.looks >= LOOKS {
            self.hangs();
        }
    }

    fn hangs(&mut self) {
        let (tick, phase) = (self.diagnostics.tick(), self.diagnostics.phase().words());
        let message = format!("tick {tick} hangs for more than 3 s: {phase}.");
        self.hung = Some(Instant::now());
        self.diagnostics.hang(Some(Hang { message: message.clone(), tick }));
        let fault = self.diagnostics.fault(TOWN, message.clone(), "the town's thread".into(), String::new());
        let view = self.diagnostics.view().map(|view| hanging(&view, &self.diagnostics));
        if let (Some(subscribers), Some(view)) = (self.subscribers.upgrade(), &view) {
            subscribers.publish_hanging(view.clone(), || self.diagnostics.beat() == self.beat);
        }
        let view = view.map(Arc::new);
        self.recorder.notice(IncidentTrigger { fault: Some(fault), view, ..IncidentTrigger::new(Kind::Hang, message) });
    }

    /// Threads other than the town's, whose own panic is kept by itself as it ends.
    fn broken_off(&self) {
        for fault in self.diagnostics.unreported_faults() {
            let message = fault.message.trim_end_matches('.');
            let headline = format!("the thread `{}` broke off: {message}", fault.thread);
            let occasion = IncidentTrigger {
                view: self.diagnostics.view(),
                fault: Some(fault),
                ..IncidentTrigger::new(Kind::Crash, headline)
            };
            self.recorder.notice(occasion);
        }
    }
}

/// The last state, and that it is the last for now.
pub(crate) fn hanging(view: &Snapshot, diagnostics: &Diagnostics) -> Snapshot {
    let mut view = view.clone();
    let raised = diagnostics.alerts();
    view.health.status = "degraded".into();
    for alert in raised.into_iter().rev() {
        if view.alerts.iter().all(|known| known.message != alert.message) {
            view.health.problems.insert(0, alert.message.clone());
            view.alerts.insert(0, alert);
        }
    }
    view
}

//! The watchdog thread: detects a hanging tick and crashed threads, reports them and makes incidents.
//!
//! It checks four times a second without using the town's thread. While a tick hangs, it sends the snapshots to observers.
//! Rule: "Incidents".

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::diagnostics::{Diagnostics, Hang, Phase, TOWN};
use super::{IncidentRecorder, IncidentTrigger, Kind};
use crate::subscribers::Subscribers;
use townlet_wire::Snapshot;

const CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// Consecutive checks without progress that count as a hang: more than three seconds.
const HANG_CHECKS: u32 = 13;
/// A check that comes this late shows that the process was suspended, not that the tick hangs.
const SUSPENDED: Duration = Duration::from_secs(1);

/// The handle of the thread. Dropping it ends the thread.
pub(crate) struct Watchdog {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    pub(crate) fn start(
        diagnostics: Arc<Diagnostics>,
        recorder: Arc<IncidentRecorder>,
        subscribers: Weak<Subscribers>,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let watch = Watch { diagnostics, recorder, subscribers, beat: 0, checks: 0, hung: None };
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
    /// The beat last seen, and for how many checks.
    beat: u64,
    checks: u32,
    hung: Option<Instant>,
}

impl Watch {
    fn run(mut self, stopped: &Receiver<()>) {
        super::panics::ignore_thread_panics();
        let mut checked = Instant::now();
        while stopped.recv_timeout(CHECK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            let late = checked.elapsed() > SUSPENDED;
            checked = Instant::now();
            self.check(late);
            self.report_crashes();
        }
        self.report_crashes();
        self.recorder.finish();
    }

    fn check(&mut self, late: bool) {
        let beat = self.diagnostics.beat();
        if beat != self.beat {
            self.beat = beat;
            self.checks = 0;
            if let Some(since) = self.hung.take() {
                self.diagnostics.hang(None);
                let seconds = since.elapsed().as_secs();
                self.recorder.log.write(&format!("the tick has ended; it hung for {seconds} s after it was detected"));
            }
            return;
        }
        let at_rest = matches!(self.diagnostics.phase(), Phase::Waiting | Phase::Ending);
        if at_rest || late || self.hung.is_some() {
            self.checks = 0;
            return;
        }
        self.checks += 1;
        if self.checks >= HANG_CHECKS {
            self.report_hang();
        }
    }

    fn report_hang(&mut self) {
        let (tick, phase) = (self.diagnostics.tick(), self.diagnostics.phase().words());
        let message = format!("tick {tick} has been hanging for more than 3 s: {phase}.");
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

    /// Reports crashes of threads other than the town's, which reports its own.
    fn report_crashes(&self) {
        for fault in self.diagnostics.unreported_faults() {
            let message = fault.message.trim_end_matches('.');
            let headline = format!("the thread `{}` crashed: {message}", fault.thread);
            let trigger = IncidentTrigger {
                view: self.diagnostics.view(),
                fault: Some(fault),
                ..IncidentTrigger::new(Kind::Crash, headline)
            };
            self.recorder.notice(trigger);
        }
    }
}

/// The last snapshot, with the active alerts of the diagnostics.
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

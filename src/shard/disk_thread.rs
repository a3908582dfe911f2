//! The thread that reads and writes files for a shard in order, so that the tick loop never waits for the disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

type Job = Box<dyn FnOnce() + Send>;

/// The handle of the thread. Dropping it waits for all queued jobs.
pub(super) struct DiskThread {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl DiskThread {
    pub(super) fn start() -> Self {
        let (jobs, inbox) = channel::<Job>();
        let thread = std::thread::Builder::new()
            .name("disk".into())
            // The panic hook reports a job that panics; the jobs after it still run.
            .spawn(move || inbox.into_iter().for_each(|job| drop(catch_unwind(AssertUnwindSafe(job)))))
            .expect("a thread can be started");
        Self { jobs: Some(jobs), thread: Some(thread) }
    }

    pub(super) fn run(&self, job: impl FnOnce() + Send + 'static) {
        if let Some(jobs) = &self.jobs {
            // Sending fails only while this value is dropped.
            drop(jobs.send(Box::new(job)));
        }
    }
}

impl Drop for DiskThread {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

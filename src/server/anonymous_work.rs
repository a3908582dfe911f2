//! Requests without a token: a thread of their own works on them, so that none of their work is ahead of a request with a token, and
//! few reads go on at once. Rule: "HTTP service".

use std::future::Future;
use std::panic::resume_unwind;
use std::time::Duration;

use axum::response::Response;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Reads without a token that are worked on at once.
const READS: usize = 4;
/// How long a read without a token waits for others before it is refused.
pub(super) const SEAT_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) struct AnonymousWork {
    runtime: Handle,
    reads: Semaphore,
}

/// A read found no place in time.
#[derive(Debug)]
pub(super) struct Busy;

impl AnonymousWork {
    /// With the runtime that has the thread; it is to be stopped with the service.
    pub(super) fn new() -> std::io::Result<(Self, Runtime)> {
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).max_blocking_threads(READS + 1).thread_name("strangers");
        let runtime = runtime.enable_io().enable_time().build()?;
        Ok((Self { runtime: runtime.handle().clone(), reads: Semaphore::new(READS) }, runtime))
    }

    /// Answers a request on that thread. When the future is dropped, the work on the request ends. Commands need no place: they wait
    /// in the queue of the town instead.
    pub(super) async fn run(
        &self,
        is_read: bool,
        request: impl Future<Output = Response> + Send + 'static,
    ) -> Result<Response, Busy> {
        let _place =
            if is_read { Some(timeout(SEAT_TIMEOUT, self.reads.acquire()).await.map_err(|_| Busy)?) } else { None };
        let mut work = JoinSet::new();
        work.spawn_on(request, &self.runtime);
        match work.join_next().await {
            Some(Ok(response)) => Ok(response),
            Some(Err(error)) if error.is_panic() => resume_unwind(error.into_panic()),
            _ => Err(Busy),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use axum::response::IntoResponse as _;
    use tokio::sync::watch;

    use super::*;

    /// Answers, once it may, and says on which thread.
    async fn answer(mut may: watch::Receiver<bool>, thread: std::sync::mpsc::Sender<String>) -> Response {
        thread.send(std::thread::current().name().unwrap_or_default().to_owned()).unwrap();
        may.wait_for(|may| *may).await.unwrap();
        ().into_response()
    }

    #[test]
    fn strangers_have_a_thread_of_their_own_and_few_reads_at_once() {
        let (work, strangers) = AnonymousWork::new().unwrap();
        let (may, wait) = watch::channel(false);
        let (thread, threads) = channel();
        let service = Builder::new_current_thread().enable_time().build().unwrap();
        service.block_on(async {
            let mut reads: JoinSet<_> = JoinSet::new();
            let work = std::sync::Arc::new(work);
            for _ in 0..READS {
                let (work, request) = (std::sync::Arc::clone(&work), answer(wait.clone(), thread.clone()));
                reads.spawn(async move { work.run(true, request).await });
            }
            let seated = async {
                while work.reads.available_permits() > 0 {
                    tokio::task::yield_now().await;
                }
            };
            timeout(Duration::from_mins(1), seated).await.expect("every read takes a place");
            let free = watch::channel(true).1;
            let command = work.run(false, answer(free.clone(), thread.clone())).await;
            assert!(command.is_ok(), "a command needs no place");
            let refused = work.run(true, answer(free, thread.clone())).await;
            assert!(refused.is_err(), "there is no place for another read");
            may.send_replace(true);
            assert!(reads.join_all().await.iter().all(Result::is_ok));
            assert_eq!(work.reads.available_permits(), READS);
        });
        drop(thread);
        let threads: Vec<String> = threads.iter().collect();
        assert_eq!(threads.len(), READS + 1, "what is refused is not begun");
        assert!(threads.iter().all(|thread| thread == "strangers"), "{threads:?}");
        drop(strangers);
    }
}

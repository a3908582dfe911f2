//! Tells the shard what is on screen, so that it sends that more often than the rest.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::{ClientError, Shared};
use townlet_wire::service::{Focus, MAX_LOOKED_AT, ViewRequest};

/// Shortest time between two requests, so that scrolling does not send one for each row.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
/// Wait after a request that failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// What is on screen, and the open stream that shows it.
#[derive(Default)]
pub(super) struct View {
    state: Mutex<ViewState>,
    changed: Notify,
}

#[derive(Default)]
struct ViewState {
    focus: Focus,
    /// The id of the stream; `None` when there is none, or when the shard does not know views.
    stream: Option<String>,
    /// What the shard has of the stream.
    sent: Focus,
}

impl View {
    fn lock(&self) -> MutexGuard<'_, ViewState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This is on screen now.
    pub(super) fn look_at(&self, focus: &Focus) {
        let [residents, objects] =
            [&focus.residents, &focus.objects].map(|ids| ids.iter().take(MAX_LOOKED_AT).cloned().collect());
        let focus = Focus { residents, objects, area: focus.area };
        let mut state = self.lock();
        if state.focus != focus {
            state.focus = focus;
            self.changed.notify_one();
        }
    }

    /// A stream was opened. It looks at nothing yet.
    pub(super) fn opened(&self, stream: String) {
        let mut state = self.lock();
        (state.stream, state.sent) = (Some(stream), Focus::default());
        self.changed.notify_one();
    }

    /// The request that the shard has not had yet, if there is one.
    fn next_request(&self) -> Option<ViewRequest> {
        let state = self.lock();
        let view = state.stream.clone().filter(|_| state.focus != state.sent)?;
        Some(ViewRequest { view, focus: state.focus.clone() })
    }

    /// The shard has taken a request.
    fn note_sent(&self, request: ViewRequest) {
        let mut state = self.lock();
        if state.stream.as_ref() == Some(&request.view) {
            state.sent = request.focus;
        }
    }

    /// The stream has ended: nothing is said until there is another one.
    pub(super) fn closed(&self) {
        self.lock().stream = None;
    }

    /// The shard knows no such stream, or refuses the token.
    fn forget(&self, stream: &str) {
        let mut state = self.lock();
        state.stream = state.stream.take().filter(|open| open != stream);
    }
}

/// Tells the shard whenever something else is on screen.
pub(super) async fn serve(shared: &Shared) {
    loop {
        let Some(request) = shared.view.next_request() else {
            shared.view.changed.notified().await;
            continue;
        };
        let wait = match shared.client().look_at(&request).await {
            Ok(()) => {
                shared.view.note_sent(request);
                SHORTEST_INTERVAL
            }
            // The stream has ended, the shard is older than views, or the token is not valid any more. Each further request with
            // such a token would count against those of this address.
            Err(failure) if failure.is_denied() || failure.is_not_found() => {
                shared.view.forget(&request.view);
                SHORTEST_INTERVAL
            }
            Err(ClientError::Busy(_, wait)) => wait,
            // Something between may answer for the shard, for a while.
            Err(_) => RETRY_INTERVAL,
        };
        sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_sent_once_and_everything_on_a_new_stream() {
        let focus = |id: &str| Focus { residents: [id.to_owned()].into(), ..Focus::default() };
        let view = View::default();
        view.look_at(&focus("ada"));
        assert_eq!(view.next_request(), None, "there is no stream");
        view.opened("one".into());
        let request = view.next_request().expect("a stream was opened");
        assert_eq!((request.view.as_str(), &request.focus), ("one", &focus("ada")));
        view.look_at(&focus("bo"));
        view.note_sent(request);
        assert_eq!(view.next_request().map(|request| request.focus), Some(focus("bo")), "changed meanwhile");
        view.note_sent(view.next_request().expect("as before"));
        assert_eq!(view.next_request(), None);
        view.opened("two".into());
        let request = view.next_request().expect("the new stream looks at nothing");
        view.forget("one");
        assert_eq!(view.next_request().as_ref(), Some(&request));
        view.forget("two");
        assert_eq!(view.next_request(), None, "the shard knows no views");
        view.opened("three".into());
        view.closed();
        assert_eq!(view.next_request(), None, "the stream has ended");
    }
}

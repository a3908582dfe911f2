//! Asks the shard for pages of its audit log, one after the other.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::{ClientError, Shared};
use crate::{AuditPageRequest, SourceEvent};

/// The page that was asked for last, until it is sent for.
#[derive(Default)]
pub(super) struct AuditRequests {
    next: Mutex<Option<AuditPageRequest>>,
    added: Notify,
}

impl AuditRequests {
    pub(super) fn push(&self, request: AuditPageRequest) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(request);
        self.added.notify_one();
    }

    fn take(&self) -> Option<AuditPageRequest> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Fetches and delivers every page that is asked for.
pub(super) async fn serve(shared: &Shared) {
    loop {
        let Some(request) = shared.audit_requests.take() else {
            shared.audit_requests.added.notified().await;
            continue;
        };
        let records = shared.client().audit_page(&request).await.map_err(|failure| reason(&failure));
        shared.emit(SourceEvent::AuditPage { id: request.id, records });
    }
}

/// Why there is no page.
fn reason(failure: &ClientError) -> String {
    match failure {
        // It knows the endpoint without `run`, or without `before`.
        ClientError::Refused(error) if error.code == "E_INVALID_ARG" => {
            "the shard is older than this program and does not send them; `townlet audit export` at its home does"
                .into()
        }
        failure => failure.message(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use townlet_wire::ErrorBody;

    #[test]
    fn a_shard_that_does_not_know_the_query_is_called_older() {
        let refused = |code: &str| reason(&ClientError::Refused(ErrorBody::new(code, "no.", "")));
        assert!(refused("E_INVALID_ARG").contains("older than this program"), "{}", refused("E_INVALID_ARG"));
        assert!(refused("E_UNAUTHORIZED").starts_with("E_UNAUTHORIZED"), "{}", refused("E_UNAUTHORIZED"));
    }
}

//! Sends requests in order. Each is repeated with the same `cmd_id` until it is answered.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep;

use super::{ClientError, Shared};
use crate::SourceEvent;
use townlet_wire::escape;
use townlet_wire::{Answer, ErrorBody, Request, SCHEMA_VERSION, Status};

/// How long a mutating command is retried.
const RETRY_DEADLINE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(400);

/// Sends requests until `inbox` is closed.
pub(super) async fn serve(shared: &Shared, mut inbox: UnboundedReceiver<Request>) {
    while let Some(request) = inbox.recv().await {
        let answer = send_until_answered(shared, &request).await;
        let word = request.command.split_whitespace().next().unwrap_or_default();
        if answer.status == Status::Ok && matches!(word, "escalate" | "viewer") {
            renew_session(shared, &request).await;
        }
        shared.emit(SourceEvent::Answer(answer));
    }
}

async fn send_until_answered(shared: &Shared, request: &Request) -> Answer {
    let changes = !request.dry_run && shared.is_mutating(&request.command);
    if changes && let Some(theirs) = shared.newer_schema_version() {
        let message = format!("the shard uses schema {}, this program {SCHEMA_VERSION}.", escape(&theirs));
        return error_answer(request, "E_SCHEMA_NEW", message, "Upgrade this program to send commands.");
    }
    if !changes && !shared.with(|info| info.live) {
        return error_answer(
            request,
            "E_UNREACHABLE",
            "the shard is not connected.".into(),
            "The client reconnects automatically.",
        );
    }
    let client = shared.client();
    let started = Instant::now();
    loop {
        let why = match client.send_command(request).await {
            Ok(answer) if !(changes && is_undecided(&answer)) => return answer,
            Ok(answer) => answer.summary(),
            Err(ClientError::Refused(error)) => {
                return error_answer(request, &error.code, error.message, &error.hint);
            }
            Err(failure) if changes => failure.message(),
            Err(failure) => return error_answer(request, "E_UNREACHABLE", failure.message(), "Try again."),
        };
        if started.elapsed() >= RETRY_DEADLINE {
            let hint = "Check the town and the audit log before you send it again.";
            return error_answer(
                request,
                "E_UNREACHABLE",
                format!("it is unknown whether the command was executed: {why}"),
                hint,
            );
        }
        sleep(PAUSE).await;
    }
}

/// Whether the command is neither executed nor refused, so that the same `cmd_id` may be sent again.
fn is_undecided(answer: &Answer) -> bool {
    answer.error.as_ref().is_some_and(|error| matches!(error.code.as_str(), "E_IN_FLIGHT" | "E_STOPPING"))
}

/// Replaces the client's token and publishes the new session.
async fn renew_session(shared: &Shared, request: &Request) {
    let client = shared.client();
    let Ok(client) = client.with_token(request.secret.as_deref()) else { return };
    if let Ok(welcome) = client.welcome().await {
        shared.with(|info| info.client = client.clone());
        shared.emit(SourceEvent::Session(welcome.session));
    }
}

fn error_answer(request: &Request, code: &str, message: String, hint: &str) -> Answer {
    let error = ErrorBody::new(code, message, hint);
    Answer::new(request.cmd_id.clone().unwrap_or_default(), &request.command, 0, Err(error))
}

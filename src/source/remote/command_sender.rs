//! Sends requests in order. A command that changes something is repeated with the same `cmd_id` until it is answered, given
//! up, or not answered for a minute; then the operator sends it again or gives it up.

use std::time::Duration;

use tokio::time::{interval, sleep};

use super::{ClientError, HistoryState, Shared};
use crate::SourceEvent;
use townlet_wire::escape;
use townlet_wire::{Answer, CommandSpec, ErrorBody, Request, SCHEMA_VERSION, Status};

const PAUSE: Duration = Duration::from_millis(400);
const SECOND: Duration = Duration::from_secs(1);

/// Sends requests forever.
pub(super) async fn serve(shared: &Shared) {
    loop {
        let Some((request, changes)) = shared.outbox.next(shared.with(|info| info.live)) else {
            shared.outbox.changed.notified().await;
            continue;
        };
        let cmd_id = request.cmd_id.clone().unwrap_or_default();
        let answer = tokio::select! {
            answer = attempt(shared, &request, changes) => answer,
            // Its answer has said so.
            () = given_up(shared, &cmd_id) => continue,
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(wait) => {
                shared.emit_unconfirmed();
                tokio::select! {
                    () = sleep(wait) => {}
                    () = shared.outbox.changed.notified() => {}
                }
                continue;
            }
        };
        shared.outbox.remove(&cmd_id);
        let word = request.command.split_whitespace().next().unwrap_or_default();
        if answer.status == Status::Ok && matches!(word, "escalate" | "viewer") {
            renew_session(shared, &request).await;
        }
        // The shard takes this token again, as it does once a token store is back in its place.
        if !answer.by_client && request.secret.is_none() && shared.with(|info| info.is_denied()) {
            shared.token_changed.notify_one();
        }
        shared.emit(SourceEvent::Answer(answer));
        shared.emit_unconfirmed();
    }
}

/// Refuses at once what does not wait for a shard that is not heard, also behind a command whose attempt is under way.
pub(super) async fn refuse_unheard(shared: &Shared) {
    loop {
        shared.outbox.unheard.notified().await;
        if shared.with(|info| info.live) {
            continue;
        }
        for request in shared.outbox.take_unattempted() {
            shared.emit(SourceEvent::Answer(not_connected(shared, &request)));
        }
    }
}

/// Publishes the commands without an answer every second, with their age.
pub(super) async fn report(shared: &Shared) {
    let mut second = interval(SECOND);
    loop {
        second.tick().await;
        shared.emit_unconfirmed();
    }
}

async fn given_up(shared: &Shared, cmd_id: &str) {
    while shared.outbox.contains(cmd_id) {
        shared.outbox.changed.notified().await;
    }
}

/// Sends a request once. The error is the time after which it has to be sent again.
async fn attempt(shared: &Shared, request: &Request, changes: bool) -> Result<Answer, Duration> {
    let acts = shared.is_command(&request.command, CommandSpec::acts);
    if acts
        && !request.dry_run
        && let Some(theirs) = shared.newer_schema_version()
    {
        let message = format!("the shard uses schema {}, this program {SCHEMA_VERSION}.", escape(&theirs));
        return Ok(error_answer(request, "E_SCHEMA_NEW", message, "Upgrade this program to send commands."));
    }
    // Another token may be what the connection lacks.
    if !changes && request.secret.is_none() && !shared.with(|info| info.live) {
        return Ok(not_connected(shared, request));
    }
    // A dry run precedes the command, and `escalate` sends a token.
    if (acts || request.secret.is_some())
        && let Some((what, advice)) = contradiction(shared, acts && !request.dry_run).await
    {
        return Ok(error_answer(request, "E_HISTORY", format!("nothing was sent. {what}"), &advice));
    }
    if let Some(theirs) = shared.other_run(request) {
        return Ok(other_run(request, &theirs));
    }
    let cmd_id = request.cmd_id.as_deref().unwrap_or_default();
    let before = shared.outbox.maybe_received(cmd_id);
    shared.outbox.begin_attempt(cmd_id);
    let (why, received) = match shared.client().send_command(&shared.understood(request)).await {
        Ok(answer) if !(changes && is_undecided(&answer)) => return Ok(answer),
        Ok(answer) => (answer.summary(), true),
        Err(ClientError::Refused(error)) => {
            return Ok(error_answer(request, &error.code, error.message, &error.hint));
        }
        // Reads wait, too: the shard has said when it has time.
        Err(ClientError::Busy(error, wait)) => {
            shared.outbox.fail_attempt(cmd_id, error.message, before);
            return Err(wait);
        }
        Err(ClientError::Unreachable(why)) if changes => (why, before),
        Err(failure) if changes => (failure.message(), true),
        Err(failure) => {
            let maybe = acts && !request.dry_run && !matches!(failure, ClientError::Unreachable(_));
            let hint = if maybe {
                "It may be carried out when the shard answers: look before you try again."
            } else {
                "Try again."
            };
            return Ok(error_answer(request, "E_UNREACHABLE", failure.message(), hint));
        }
    };
    shared.outbox.fail_attempt(cmd_id, why, received);
    Err(PAUSE)
}

/// What contradicts what this user has seen of the shard's audit log, and what to do. `look`: also when this connection was not
/// compared yet; whatever answers at the address since the last one may be another shard.
async fn contradiction(shared: &Shared, look: bool) -> Option<(String, String)> {
    let known = shared.known.as_ref()?;
    match shared.with(|info| info.history.clone()) {
        HistoryState::Contradicted { what, advice } => Some((what, advice)),
        HistoryState::Unchecked if look => {
            let found = known.check(&shared.client()).await.ok()?.alarms.into_iter().next()?;
            Some((found.what, found.advice))
        }
        _ => None,
    }
}

/// Whether the command is neither executed nor refused, so that the same `cmd_id` may be sent again.
fn is_undecided(answer: &Answer) -> bool {
    answer.error.as_ref().is_some_and(|error| matches!(error.code.as_str(), "E_IN_FLIGHT" | "E_STOPPING" | "E_TIMEOUT"))
}

/// Replaces the client's token and publishes the new session.
async fn renew_session(shared: &Shared, request: &Request) {
    let client = shared.client();
    let Ok(client) = client.with_token(request.secret.as_deref()) else { return };
    if let Ok(welcome) = client.welcome().await {
        shared.with(|info| info.client = client.clone());
        shared.token_changed.notify_one();
        shared.emit(SourceEvent::Session(welcome.session));
    }
}

/// The answer to what does not wait for a shard that is not heard.
fn not_connected(shared: &Shared, request: &Request) -> Answer {
    if let Some(ErrorBody { code, message, hint }) = shared.with(|info| info.loss.as_ref()?.denied.clone()) {
        return error_answer(request, &code, message, &hint);
    }
    let hint = if request.dry_run {
        "A command that changes something waits for up to a minute, and is executed if the shard answers by then."
    } else {
        "The client reconnects automatically."
    };
    error_answer(request, "E_UNREACHABLE", "the shard is not connected.".into(), hint)
}

/// The refusal of a command that was meant for another run. The shard would say the same.
fn other_run(request: &Request, theirs: &str) -> Answer {
    let error = ErrorBody::other_run(request.run_id.as_deref().unwrap_or_default(), theirs);
    Answer::by_client(request.cmd_id.clone().unwrap_or_default(), &request.command, error)
}

fn error_answer(request: &Request, code: &str, message: String, hint: &str) -> Answer {
    let error = ErrorBody::new(code, message, hint);
    Answer::by_client(request.cmd_id.clone().unwrap_or_default(), &request.command, error)
}

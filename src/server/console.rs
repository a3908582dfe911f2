//! `POST /v1/console`: runs a command. The answer is always an [`Answer`], also for a refused command. `whatif` uses it, too.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::access::{ended, identify_sender, token_ended};
use super::auth::{Rejection, bearer_token};
use super::connections::PeerAddress;
use super::{AppState, http_status};
use townlet_shard::{Level, printable_line};
use townlet_wire::{Answer, ErrorBody, Request};

/// Time that a request waits for its answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Sends a command to the shard and waits for the answer.
pub(super) async fn post(
    State(app): State<Arc<AppState>>,
    Extension(peer): Extension<PeerAddress>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match read(&headers, body) {
        Ok(request) => answer(&app, peer, &headers, request).await,
        Err(rejection) => rejected(&app, &Request::default(), rejection),
    }
}

/// Sends the command of a request to the shard and waits for the answer.
pub(super) async fn answer(app: &AppState, peer: PeerAddress, headers: &HeaderMap, mut request: Request) -> Response {
    // A client without a token may send one in the body. The shard never sees it.
    let secret = request.secret.take();
    let caller = bearer_token(headers)
        .and_then(|token| one_token(token, secret.as_deref()))
        .and_then(|token| identify_sender(app, peer, token, headers));
    let caller = match caller {
        Ok(caller) => caller,
        Err(rejection) => return rejected(app, &request, rejection),
    };
    if app.is_stopping() {
        return error_response(&request, stopping(), app.shard.tick());
    }
    let level = caller.visitor.level;
    if level == Level::Anonymous
        && !request.query
        && !request.dry_run
        && let Some(why) = app.disk.refusal()
    {
        app.counts.refused("disk", level);
        let hint = "Commands with a token still work. Free disk space, or send a token.";
        return error_response(
            &request,
            ErrorBody::new("E_AUDIT_UNAVAILABLE", format!("{why}."), hint),
            app.shard.tick(),
        );
    }
    let sent = request.clone();
    let (send, answer) = oneshot::channel();
    // The command runs also when the client is gone; the audit log records its outcome.
    app.shard.ask_remote(caller.visitor, request, move |answer| drop(send.send(answer)));
    let answer = tokio::select! {
        answer = timeout(TIMEOUT, answer) => answer,
        why = token_ended(app, caller.token.as_ref()) => return rejected(app, &sent, ended(&why)),
    };
    match answer {
        Ok(Ok(answer)) => {
            let answer = answer.render();
            if answer.error.as_ref().is_some_and(|error| error.code == "E_RATE_LIMITED") {
                app.counts.refused("queue", level);
            }
            http_status::response(&answer)
        }
        Ok(Err(_)) => error_response(&sent, stopping(), app.shard.tick()),
        Err(_) => {
            let hint = "Send it again with the same cmd_id to get its answer. It does not run twice.";
            let error = ErrorBody::new("E_IN_FLIGHT", "the command is still running.", hint);
            error_response(&sent, error, app.shard.tick())
        }
    }
}

/// The token of a request. The one of the body never takes the place of the header's.
fn one_token<'a>(header: Option<&'a str>, body: Option<&'a str>) -> Result<Option<&'a str>, Rejection> {
    match (header, body) {
        (Some(header), Some(body)) if header != body => Err(Rejection::new(
            "E_UNAUTHORIZED",
            "the request has two tokens.",
            "Send the one to use as `Authorization: Bearer`, and none in the body.",
        )),
        (header, body) => Ok(header.or(body)),
    }
}

fn stopping() -> ErrorBody {
    let hint = "Send it again with the same cmd_id when the shard runs again. It does not run twice.";
    ErrorBody::new("E_STOPPING", "the shard is stopping.", hint)
}

fn read(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Request, Rejection> {
    const EXAMPLE: &str = r#"Example: {"command": "employment_status"}."#;
    const FIELDS: &str = "Fields: command, cmd_id, dry_run, query, run_id, expires_ms, secret.";
    read_json(headers, body, EXAMPLE, FIELDS)
}

/// Reads a body of JSON.
pub(super) fn read_json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
    example: &str,
    fields: &str,
) -> Result<T, Rejection> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.trim_start().to_ascii_lowercase().starts_with("application/json") {
        return Err(Rejection::new("E_MEDIA_TYPE", "the content type is not application/json.", example));
    }
    let body = body.map_err(|why| match why.status().as_u16() {
        413 => {
            Rejection::new("E_TOO_LARGE", "the body is larger than 64 KiB.", "A command line has at most 1,024 bytes.")
        }
        _ => Rejection::new("E_INVALID_ARG", "the body cannot be read.", example),
    })?;
    serde_json::from_slice(&body).map_err(|why| {
        // Only the position: the text may contain a token.
        let message = format!("the body is not a request (line {}, column {}).", why.line(), why.column());
        Rejection::new("E_INVALID_ARG", message, format!("{example} {fields}"))
    })
}

/// The answer to a request that was rejected before it was a command.
pub(super) fn rejected(app: &AppState, request: &Request, rejection: Rejection) -> Response {
    http_status::rejected_command(&error_answer(request, rejection.error, app.shard.tick()), rejection.wait)
}

/// The answer to a command that did not reach the shard.
fn error_response(request: &Request, error: ErrorBody, tick: u64) -> Response {
    http_status::response(&error_answer(request, error, tick))
}

fn error_answer(request: &Request, error: ErrorBody, tick: u64) -> Answer {
    let (cmd_id, command) =
        (printable_line(request.cmd_id.as_deref().unwrap_or_default()), printable_line(&request.command));
    Answer::new(cmd_id, command, tick, Err(error))
}

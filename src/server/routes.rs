//! The endpoint table, from which the router and the `OpenAPI` document are generated, and the checks common to all requests.
//!
//! The only parameter in a path is a tick, which rules out path traversal. The two methods of a path follow each other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::HttpBody as _;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};
use tokio::time::{sleep, timeout};

use super::access::{self, Access};
use super::anonymous_work::{Busy, SEAT_TIMEOUT};
use super::auth::{
    Rejection, client_of, reject_host, reject_large_headers, reject_token_in_headers, reject_token_in_uri,
};
use super::connection_table::OpenConnection;
use super::connections::PeerAddress;
use super::{
    AppState, checkpoints, compression, console, history, index_page, metrics, read_handlers, stream, stream_view,
    whatif,
};
use townlet_shard::Level;
use townlet_wire::SCHEMA_VERSION;
use townlet_wire::service;

/// Maximum size of a request body, in bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Limit from a request's headers to its response, including the body. The response of a stream begins at once.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the refusal of a request beyond the rate is held back, when it has no token.
const LEAST_DELAY: Duration = Duration::from_millis(250);
const MOST_DELAY: Duration = Duration::from_secs(1);
/// Seconds until a retry of what was refused with 429 or 503 and says nothing else.
const RETRY_AFTER: u64 = 5;

pub(super) struct Endpoint {
    /// Whether the method is `POST`, otherwise `GET`.
    pub(super) post: bool,
    pub(super) path: &'static str,
    pub(super) access: Access,
    pub(super) help: &'static str,
    /// Media types of the response and the name of its schema, if it has one.
    pub(super) response: (&'static [&'static str], Option<&'static str>),
    /// Error codes of this endpoint besides [`COMMON_ERROR_CODES`].
    pub(super) error_codes: &'static [&'static str],
    handler: fn() -> MethodRouter<Arc<AppState>>,
}

pub(super) const JSON: &str = "application/json";
pub(super) const HTML: &str = "text/html";
pub(super) const TEXT: &str = "text/plain";
const EVENTS: &str = "text/event-stream";
/// The path of the page for browsers.
pub(super) const INDEX: &str = "/";

/// Error codes of every endpoint: from the checks in [`common`].
pub(super) const COMMON_ERROR_CODES: &[&str] =
    &["E_INVALID_ARG", "E_FORBIDDEN", "E_TIMEOUT", "E_HEADERS_TOO_LARGE", "E_RATE_LIMITED"];

/// Further error codes of the endpoints that run commands.
const COMMAND_ERROR_CODES: &[&str] = &[
    "E_CMD_ID_REQUIRED",
    "E_UNAUTHORIZED",
    "E_NOT_FOUND",
    "E_UNKNOWN_COMMAND",
    "E_IN_FLIGHT",
    "E_CONFLICT",
    "E_CMD_ID_EXPIRED",
    "E_EXPIRED",
    "E_OTHER_RUN",
    "E_TOO_LARGE",
    "E_MEDIA_TYPE",
    "E_CMD_ID_REUSED",
    "E_SCHEMA_OLD",
    "E_TOO_MANY",
    "E_AUDIT_UNAVAILABLE",
    "E_STOPPING",
    "E_IO",
    "E_DAMAGED",
];

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        post: false,
        path: INDEX,
        access: Access::Status,
        help: "A page with the shard's health and links, for browsers. Unknown to clients that do not prefer HTML.",
        response: (&[HTML], None),
        error_codes: &["E_UNAUTHORIZED", "E_NOT_FOUND", "E_TOO_MANY"],
        handler: || get(index_page::index),
    },
    Endpoint {
        post: false,
        path: service::HEALTH,
        access: Access::Liveness,
        help: "Liveness of the process and health of the shard. Clients without a token may see less.",
        response: (&[JSON], None),
        error_codes: &["E_STOPPING"],
        handler: || get(read_handlers::health),
    },
    Endpoint {
        post: false,
        path: service::READY,
        access: Access::Status,
        help: "Readiness: whether the shard takes commands.",
        response: (&[JSON], None),
        error_codes: &["E_UNAUTHORIZED", "E_TOO_MANY", "E_STOPPING", "E_AUDIT_UNAVAILABLE", "E_HUNG"],
        handler: || get(read_handlers::ready),
    },
    Endpoint {
        post: false,
        path: service::SNAPSHOT,
        access: Access::Read,
        help: "The state of the town as a snapshot.",
        response: (&[JSON], Some("Snapshot")),
        error_codes: &["E_UNAUTHORIZED", "E_TOO_MANY", "E_STOPPING"],
        handler: || get(read_handlers::snapshot),
    },
    Endpoint {
        post: false,
        path: service::STREAM,
        access: Access::Read,
        help: "The state and every change as server-sent events. `Last-Event-ID` resumes an interrupted stream. With `view` or \
               `rate`, a stream has what the client looks at.",
        response: (&[EVENTS], Some("Envelope")),
        error_codes: &["E_UNAUTHORIZED", "E_TOO_MANY", "E_STOPPING", "E_CONFLICT"],
        handler: || get(stream::subscribe),
    },
    Endpoint {
        post: true,
        path: service::VIEW,
        access: Access::Read,
        help: "Say which residents a stream looks at. Their rows are as new as each of its messages.",
        response: (&[JSON], None),
        error_codes: &["E_UNAUTHORIZED", "E_NOT_FOUND", "E_TOO_LARGE", "E_MEDIA_TYPE", "E_TOO_MANY"],
        handler: || post(stream_view::look_at),
    },
    Endpoint {
        post: false,
        path: service::PAST,
        access: Access::Read,
        help: "The snapshot at a past tick. What only the running shard knew is left out: training, promotion, health, probabilities.",
        response: (&[JSON], Some("Snapshot")),
        error_codes: &["E_UNAUTHORIZED", "E_TOO_MANY", "E_NOT_FOUND", "E_DAMAGED", "E_STOPPING"],
        handler: || get(history::at),
    },
    Endpoint {
        post: false,
        path: service::HISTORY,
        access: Access::Read,
        help: "The ticks of the run that can be shown, and the newest marks among them, oldest first. `before` continues with older \
               ones.",
        response: (&[JSON], Some("HistoryPage")),
        error_codes: &["E_UNAUTHORIZED", "E_TOO_MANY", "E_DAMAGED", "E_STOPPING"],
        handler: || get(history::history),
    },
    Endpoint {
        post: true,
        path: service::CONSOLE,
        access: Access::Command,
        help: "Run a command. Every outcome has the same answer type. A retry with the same cmd_id does not run twice.",
        response: (&[JSON], Some("Answer")),
        error_codes: COMMAND_ERROR_CODES,
        handler: || post(console::post),
    },
    Endpoint {
        post: true,
        path: service::WHAT_IF,
        access: Access::Command,
        help: "Ask what would come of alternatives in the running town. The result has the question's id. A retry with the same \
               cmd_id does not ask twice.",
        response: (&[JSON], Some("Answer")),
        error_codes: COMMAND_ERROR_CODES,
        handler: || post(whatif::ask),
    },
    Endpoint {
        post: false,
        path: service::WHAT_IF,
        access: Access::Command,
        help: "How far the questions are, or with `id` one of them with its answer: a `WhatIfProgress` as `result.question`.",
        response: (&[JSON], Some("Answer")),
        error_codes: COMMAND_ERROR_CODES,
        handler: || get(whatif::status),
    },
    Endpoint {
        post: false,
        path: service::COMMANDS,
        access: Access::Read,
        help: "The command table and the caller's role.",
        response: (&[JSON], Some("ServiceInfo")),
        error_codes: &["E_UNAUTHORIZED", "E_TOO_MANY"],
        handler: || get(read_handlers::commands),
    },
    Endpoint {
        post: false,
        path: service::AUDIT,
        access: Access::Read,
        help: "The newest audit records, oldest first. `limit` sets their number, `before` continues with older ones.",
        response: (&[JSON], None),
        error_codes: &["E_UNAUTHORIZED", "E_TOO_MANY", "E_STOPPING", "E_IO"],
        handler: || get(read_handlers::audit),
    },
    Endpoint {
        post: false,
        path: service::CHECKPOINT,
        access: Access::Read,
        help: "The newest durable line of the audit log as a signed note, or line `at` of `run`.",
        response: (&[TEXT], None),
        error_codes: &["E_UNAUTHORIZED", "E_TOO_MANY", "E_NOT_FOUND", "E_STOPPING", "E_IO"],
        handler: || get(checkpoints::checkpoint),
    },
    Endpoint {
        post: false,
        path: service::METRICS,
        access: Access::Read,
        help: "Metrics in the Prometheus text format 0.0.4, or as OpenMetrics to clients that prefer it.",
        response: (&metrics::MEDIA_TYPES, None),
        error_codes: &["E_UNAUTHORIZED", "E_TOO_MANY", "E_STOPPING"],
        handler: || get(read_handlers::metrics_text),
    },
    Endpoint {
        post: false,
        path: service::OPENAPI,
        access: Access::Read,
        help: "The OpenAPI 3.1 document of this service.",
        response: (&[JSON], None),
        error_codes: &["E_UNAUTHORIZED", "E_TOO_MANY"],
        handler: || get(read_handlers::openapi_document),
    },
];

/// The endpoint of a path. A path may end in one part that is a parameter.
pub(super) fn endpoint(path: &str) -> Option<&'static Endpoint> {
    ENDPOINTS.iter().find(|endpoint| match endpoint.path.split_once('{') {
        Some((before, _)) => path.strip_prefix(before).is_some_and(|last| !last.is_empty() && !last.contains('/')),
        None => endpoint.path == path,
    })
}

pub(super) fn router(app: &Arc<AppState>) -> Router {
    let mut router = Router::new();
    for endpoint in ENDPOINTS {
        router = router.route(endpoint.path, (endpoint.handler)());
    }
    router
        .fallback(async || not_found())
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(Arc::clone(app), access::gate))
        .layer(middleware::from_fn_with_state(Arc::clone(app), common))
        .with_state(Arc::clone(app))
}

/// Runs for every request: refuses those beyond the rate of their sender, large headers, tokens in the URL and in headers of
/// other names, an invalid `Host` and, over plain HTTP, foreign host names; limits the time, adds common headers and counts the
/// response.
async fn common(
    State(app): State<Arc<AppState>>,
    Extension(peer): Extension<PeerAddress>,
    Extension(connection): Extension<Arc<OpenConnection>>,
    request: Request,
    next: Next,
) -> Response {
    let known = endpoint(request.uri().path());
    let path = known.map_or("other", |endpoint| endpoint.path);
    let is_post = request.method() == Method::POST;
    let (uri, headers) = (request.uri().clone(), request.headers());
    let compresses = compression::is_accepted(headers);
    let (level, client) = client_of(&app, peer, headers);
    connection.begin_request(level, path == service::STREAM, Instant::now());
    let body = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or(0);
    let may = reject_large_headers(&uri, headers)
        .and_then(|()| reject_token_in_uri(&uri))
        .and_then(|()| reject_token_in_headers(headers))
        .and_then(|()| reject_host(request.version(), &uri, headers, app.secure));
    let mut response = match (app.rates.take(level, &client, Instant::now()), may) {
        (Err(wait), _) => {
            app.counts.refused("rate", level);
            if level == Level::Anonymous {
                // A client that sends on without waiting is slowed down, so that refusals cost little, too.
                sleep(wait.clamp(LEAST_DELAY, MOST_DELAY)).await;
            }
            rejected(&app, &uri, rate_limited(wait))
        }
        (Ok(()), Ok(())) => {
            // Probes of the health cost nothing.
            let is_read = !is_post
                && known.is_some_and(|endpoint| {
                    ![service::HEALTH, service::READY, service::STREAM].contains(&endpoint.path)
                });
            let answer = async {
                match level {
                    Level::Anonymous => app.anonymous.run(is_read, next.run(request)).await,
                    Level::Viewer | Level::Admin => Ok(next.run(request).await),
                }
            };
            match timeout(REQUEST_TIMEOUT, answer).await {
                Ok(Ok(response)) => response,
                Ok(Err(Busy)) => {
                    app.counts.refused("queue", level);
                    rejected(&app, &uri, rate_limited(SEAT_TIMEOUT))
                }
                Err(_) => rejected(&app, &uri, Rejection::new("E_TIMEOUT", "the request took too long.", "Retry it.")),
            }
        }
        (Ok(()), Err(rejection)) => {
            app.counts.refused("address", level);
            app.log.write(&format!("refused {}: {} {}", peer.0, rejection.error.message, rejection.error.hint));
            rejected(&app, &uri, rejection)
        }
    };
    // A stream has no size.
    let bytes = body.min(MAX_BODY_BYTES as u64) + response.body().size_hint().exact().unwrap_or(0);
    app.rates.take_bytes(level, &client, bytes, Instant::now());
    app.counts.answered(path, response.status().as_u16());
    if compresses {
        response = compression::compress(response).await;
    }
    response.headers_mut().append(header::VARY, HeaderValue::from_name(header::ACCEPT_ENCODING));
    if matches!(response.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        response.headers_mut().entry(header::RETRY_AFTER).or_insert(HeaderValue::from(RETRY_AFTER));
    }
    let schema = (HeaderName::from_static(service::SCHEMA_HEADER), HeaderValue::from_static(SCHEMA_VERSION));
    response.headers_mut().insert(schema.0, schema.1);
    response.headers_mut().insert("cache-control", HeaderValue::from_static("no-store"));
    response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

/// The rejection of a request beyond the rate of its sender.
fn rate_limited(wait: Duration) -> Rejection {
    let seconds = wait.as_secs() + 1;
    Rejection {
        wait: Some(seconds),
        ..Rejection::new(
            "E_RATE_LIMITED",
            "too many requests.",
            format!(
                "Nothing was done. Wait {seconds} s, and send it again with the same cmd_id. A token has limits of its own."
            ),
        )
    }
}

/// A rejection in the form of the path: an answer on the console endpoint, a refusal elsewhere.
fn rejected(app: &AppState, uri: &Uri, rejection: Rejection) -> Response {
    if answers_commands(uri.path()) {
        console::rejected(app, &townlet_wire::Request::default(), rejection)
    } else {
        rejection.into_response()
    }
}

/// Whether an endpoint answers with an answer to a command, also when it refuses.
pub(super) fn answers_commands(path: &str) -> bool {
    [service::CONSOLE, service::WHAT_IF].contains(&path)
}

pub(super) fn not_found() -> Rejection {
    // `/` is a page for browsers.
    let mut paths: Vec<&str> = ENDPOINTS.iter().map(|endpoint| endpoint.path).filter(|path| *path != INDEX).collect();
    paths.dedup();
    Rejection::new("E_NOT_FOUND", "unknown path.", format!("Paths: {}.", paths.join(", ")))
}

async fn method_not_allowed(State(app): State<Arc<AppState>>, uri: Uri) -> Response {
    let hint = "`/v1/console` and `/v1/telemetry/view` take POST, `/v1/whatif` takes both, all other paths take GET.";
    rejected(&app, &uri, Rejection::new("E_METHOD", "wrong method.", hint))
}

//! The endpoint table, from which the router and the `OpenAPI` document are generated, and the checks common to all requests.
//!
//! No path contains a parameter, which rules out path traversal.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};
use tokio::time::timeout;

use super::auth::{Rejection, reject_host, reject_large_headers, reject_token_in_uri};
use super::connections::PeerAddress;
use super::{AppState, checkpoints, console, index_page, metrics, read_handlers, stream};
use townlet_wire::SCHEMA_VERSION;
use townlet_wire::service;

/// Maximum size of a request body, in bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Limit from a request's headers to its response, including the body. The response of a stream begins at once.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Endpoint {
    /// Whether the method is `POST`, otherwise `GET`.
    pub(super) post: bool,
    pub(super) path: &'static str,
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
pub(super) const COMMON_ERROR_CODES: &[&str] = &["E_INVALID_ARG", "E_FORBIDDEN", "E_TIMEOUT", "E_HEADERS_TOO_LARGE"];

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        post: false,
        path: INDEX,
        help: "A page with the shard's health and links, for browsers. Unknown to clients that do not prefer HTML.",
        response: (&[HTML], None),
        error_codes: &["E_NOT_FOUND"],
        handler: || get(index_page::index),
    },
    Endpoint {
        post: false,
        path: service::HEALTH,
        help: "Liveness of the process and health of the shard.",
        response: (&[JSON], None),
        error_codes: &["E_STOPPING"],
        handler: || get(read_handlers::health),
    },
    Endpoint {
        post: false,
        path: service::READY,
        help: "Readiness: whether the shard takes commands.",
        response: (&[JSON], None),
        error_codes: &["E_STOPPING", "E_AUDIT_UNAVAILABLE", "E_HUNG"],
        handler: || get(read_handlers::ready),
    },
    Endpoint {
        post: false,
        path: service::SNAPSHOT,
        help: "The state of the town as a snapshot.",
        response: (&[JSON], Some("Snapshot")),
        error_codes: &["E_UNAUTHORIZED", "E_TOO_MANY", "E_STOPPING"],
        handler: || get(read_handlers::snapshot),
    },
    Endpoint {
        post: false,
        path: service::STREAM,
        help: "The state and every change as server-sent events. `Last-Event-ID` resumes an interrupted stream.",
        response: (&[EVENTS], Some("Envelope")),
        error_codes: &["E_UNAUTHORIZED", "E_TOO_MANY", "E_STOPPING"],
        handler: || get(stream::subscribe),
    },
    Endpoint {
        post: true,
        path: service::CONSOLE,
        help: "Run a command. Every outcome has the same answer type. A retry with the same cmd_id does not run twice.",
        response: (&[JSON], Some("Answer")),
        error_codes: &[
            "E_CMD_ID_REQUIRED",
            "E_UNAUTHORIZED",
            "E_NOT_FOUND",
            "E_UNKNOWN_COMMAND",
            "E_IN_FLIGHT",
            "E_CONFLICT",
            "E_CMD_ID_EXPIRED",
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
        ],
        handler: || post(console::post),
    },
    Endpoint {
        post: false,
        path: service::COMMANDS,
        help: "The command table and the caller's role.",
        response: (&[JSON], Some("ServiceInfo")),
        error_codes: &["E_UNAUTHORIZED", "E_TOO_MANY"],
        handler: || get(read_handlers::commands),
    },
    Endpoint {
        post: false,
        path: service::AUDIT,
        help: "The newest audit records, oldest first. `limit` sets their number.",
        response: (&[JSON], None),
        error_codes: &["E_UNAUTHORIZED", "E_TOO_MANY", "E_STOPPING", "E_IO"],
        handler: || get(read_handlers::audit),
    },
    Endpoint {
        post: false,
        path: service::CHECKPOINT,
        help: "The newest durable line of the audit log as a signed note, or line `at` of `run`.",
        response: (&[TEXT], None),
        error_codes: &["E_UNAUTHORIZED", "E_TOO_MANY", "E_NOT_FOUND", "E_STOPPING", "E_IO"],
        handler: || get(checkpoints::checkpoint),
    },
    Endpoint {
        post: false,
        path: service::METRICS,
        help: "Metrics in the Prometheus text format 0.0.4, or as OpenMetrics to clients that prefer it.",
        response: (&metrics::MEDIA_TYPES, None),
        error_codes: &["E_STOPPING"],
        handler: || get(read_handlers::metrics_text),
    },
    Endpoint {
        post: false,
        path: service::OPENAPI,
        help: "This document.",
        response: (&[JSON], None),
        error_codes: &[],
        handler: || get(read_handlers::openapi_document),
    },
];

pub(super) fn router(app: &Arc<AppState>) -> Router {
    let mut router = Router::new();
    for endpoint in ENDPOINTS {
        router = router.route(endpoint.path, (endpoint.handler)());
    }
    router
        .fallback(async || not_found())
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(Arc::clone(app), common))
        .with_state(Arc::clone(app))
}

/// Runs for every request: refuses large headers, tokens in the URL, an invalid `Host` and, over plain HTTP, foreign host names;
/// limits the time, adds common headers and counts the response.
async fn common(
    State(app): State<Arc<AppState>>,
    Extension(peer): Extension<PeerAddress>,
    request: Request,
    next: Next,
) -> Response {
    let known = ENDPOINTS.iter().find(|endpoint| endpoint.path == request.uri().path());
    let path = known.map_or("other", |endpoint| endpoint.path);
    let (uri, headers) = (request.uri().clone(), request.headers());
    let may = reject_large_headers(&uri, headers)
        .and_then(|()| reject_token_in_uri(&uri))
        .and_then(|()| reject_host(request.version(), &uri, headers, app.secure));
    let mut response = match may {
        Ok(()) => match timeout(REQUEST_TIMEOUT, next.run(request)).await {
            Ok(response) => response,
            Err(_) => rejected(&app, &uri, Rejection::new("E_TIMEOUT", "the request took too long.", "Retry it.")),
        },
        Err(rejection) => {
            app.counts.refused("address");
            app.log.write(&format!("refused {}: {} {}", peer.0, rejection.error.message, rejection.error.hint));
            rejected(&app, &uri, rejection)
        }
    };
    app.counts.answered(path, response.status().as_u16());
    let schema = (HeaderName::from_static(service::SCHEMA_HEADER), HeaderValue::from_static(SCHEMA_VERSION));
    response.headers_mut().insert(schema.0, schema.1);
    response.headers_mut().insert("cache-control", HeaderValue::from_static("no-store"));
    response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

/// A rejection in the form of the path: an answer on the console endpoint, a refusal elsewhere.
fn rejected(app: &AppState, uri: &Uri, rejection: Rejection) -> Response {
    if uri.path() == service::CONSOLE {
        console::rejected(app, &townlet_wire::Request::default(), rejection)
    } else {
        rejection.into_response()
    }
}

pub(super) fn not_found() -> Rejection {
    let paths: Vec<&str> = ENDPOINTS.iter().map(|endpoint| endpoint.path).collect();
    Rejection::new("E_NOT_FOUND", "unknown path.", format!("Paths: {}.", paths.join(", ")))
}

async fn method_not_allowed(State(app): State<Arc<AppState>>, uri: Uri) -> Response {
    let hint = "`/v1/console` takes POST, all other paths take GET.";
    rejected(&app, &uri, Rejection::new("E_METHOD", "wrong method.", hint))
}

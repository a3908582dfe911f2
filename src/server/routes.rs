//! The endpoint table, from which the router and the `OpenAPI` document are generated, and the checks common to all requests.
//!
//! No path contains a parameter, which rules out path traversal.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};
use tokio::time::timeout;

use super::auth::{Rejection, reject_foreign_host, reject_token_in_uri};
use super::connections::PeerAddress;
use super::{AppState, console, index_page, read_handlers, stream};
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
    /// Media type of the response and the name of its schema, if it has one.
    pub(super) response: (&'static str, Option<&'static str>),
    /// Error codes specific to this endpoint.
    pub(super) error_codes: &'static [&'static str],
    handler: fn() -> MethodRouter<Arc<AppState>>,
}

pub(super) const JSON: &str = "application/json";

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        post: false,
        path: service::HEALTH,
        help: "Liveness of the process and health of the shard.",
        response: (JSON, None),
        error_codes: &["E_STOPPING"],
        handler: || get(read_handlers::health),
    },
    Endpoint {
        post: false,
        path: service::READY,
        help: "Readiness: whether the shard takes commands.",
        response: (JSON, None),
        error_codes: &["E_STOPPING"],
        handler: || get(read_handlers::ready),
    },
    Endpoint {
        post: false,
        path: service::SNAPSHOT,
        help: "The state of the town as a snapshot.",
        response: (JSON, Some("Snapshot")),
        error_codes: &["E_UNAUTHORIZED", "E_TOO_MANY", "E_STOPPING"],
        handler: || get(read_handlers::snapshot),
    },
    Endpoint {
        post: false,
        path: service::STREAM,
        help: "The state and every change as server-sent events. `Last-Event-ID` resumes an interrupted stream.",
        response: ("text/event-stream", Some("Envelope")),
        error_codes: &["E_UNAUTHORIZED", "E_TOO_MANY", "E_STOPPING"],
        handler: || get(stream::subscribe),
    },
    Endpoint {
        post: true,
        path: service::CONSOLE,
        help: "Run a command. Every outcome has the same answer type. A retry with the same cmd_id does not run twice.",
        response: (JSON, Some("Answer")),
        error_codes: &[
            "E_CMD_ID_REQUIRED",
            "E_UNAUTHORIZED",
            "E_FORBIDDEN",
            "E_NOT_FOUND",
            "E_IN_FLIGHT",
            "E_OTHER_RUN",
            "E_TOO_LARGE",
            "E_MEDIA_TYPE",
            "E_CMD_ID_REUSED",
            "E_SCHEMA_OLD",
            "E_TOO_MANY",
            "E_AUDIT_UNAVAILABLE",
        ],
        handler: || post(console::post),
    },
    Endpoint {
        post: false,
        path: service::COMMANDS,
        help: "The command table and the caller's role.",
        response: (JSON, Some("ServiceInfo")),
        error_codes: &["E_UNAUTHORIZED", "E_TOO_MANY"],
        handler: || get(read_handlers::commands),
    },
    Endpoint {
        post: false,
        path: service::AUDIT,
        help: "The newest audit records, oldest first. `limit` sets their number.",
        response: (JSON, None),
        error_codes: &["E_INVALID_ARG", "E_UNAUTHORIZED", "E_TOO_MANY"],
        handler: || get(read_handlers::audit),
    },
    Endpoint {
        post: false,
        path: service::METRICS,
        help: "Metrics in the Prometheus text format 0.0.4, or as OpenMetrics to clients that prefer it.",
        response: ("text/plain", None),
        error_codes: &["E_STOPPING"],
        handler: || get(read_handlers::metrics_text),
    },
    Endpoint {
        post: false,
        path: service::OPENAPI,
        help: "This document.",
        response: (JSON, None),
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
        .route("/", get(index_page::index))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(Arc::clone(app), common))
        .with_state(Arc::clone(app))
}

/// Runs for every request: refuses tokens in the URL and foreign host names over plain HTTP, limits the time, adds common
/// headers and counts the response.
async fn common(
    State(app): State<Arc<AppState>>,
    Extension(peer): Extension<PeerAddress>,
    request: Request,
    next: Next,
) -> Response {
    let known = ENDPOINTS.iter().find(|endpoint| endpoint.path == request.uri().path());
    let path = known.map_or("other", |endpoint| endpoint.path);
    let (uri, headers) = (request.uri(), request.headers());
    let may =
        reject_token_in_uri(uri).and_then(|()| if app.secure { Ok(()) } else { reject_foreign_host(uri, headers) });
    let mut response = match may {
        Ok(()) => match timeout(REQUEST_TIMEOUT, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Rejection::new("E_TIMEOUT", "the request took too long.", "Retry it.").into_response(),
        },
        Err(rejection) => {
            app.counts.refused("address");
            app.log.write(&format!("refused {}: {} {}", peer.0, rejection.error.message, rejection.error.hint));
            rejection.into_response()
        }
    };
    app.counts.answered(path, response.status().as_u16());
    let schema = (HeaderName::from_static(service::SCHEMA_HEADER), HeaderValue::from_static(SCHEMA_VERSION));
    response.headers_mut().insert(schema.0, schema.1);
    response.headers_mut().insert("cache-control", HeaderValue::from_static("no-store"));
    response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

pub(super) async fn not_found() -> Rejection {
    let paths: Vec<&str> = ENDPOINTS.iter().map(|endpoint| endpoint.path).collect();
    Rejection::new("E_NOT_FOUND", "unknown path.", format!("Paths: {}.", paths.join(", ")))
}

async fn method_not_allowed() -> Rejection {
    Rejection::new("E_METHOD", "wrong method.", "`/v1/console` takes POST, all other paths take GET.")
}

//! THE table of endpoints: the router and the `OpenAPI` document are made from it.
//!
//! No path has a part that a client chooses, so none can lead anywhere else.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};
use tower_http::timeout::TimeoutLayer;

use super::auth::{Rejection, reject_foreign_host, reject_token_in_uri};
use super::connections::PeerAddress;
use super::{AppState, console, read_handlers, stream};
use townlet_wire::SCHEMA_VERSION;
use townlet_wire::service;

/// Bytes of a body read at most.
const BODY: usize = 64 * 1024;
/// Longest a request may take from its headers to its answer, its body included. A stream's answer begins at once.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One endpoint.
pub(super) struct Endpoint {
    /// Whether it is a `POST`; else a `GET`.
    pub(super) post: bool,
    /// Its path.
    pub(super) path: &'static str,
    /// One line.
    pub(super) help: &'static str,
    /// The type of what it answers, and the schema when it is one of ours.
    pub(super) answers: (&'static str, Option<&'static str>),
    /// Codes it refuses with, beside those of every endpoint.
    pub(super) refuses: &'static [&'static str],
    serves: fn() -> MethodRouter<Arc<AppState>>,
}

const JSON: &str = "application/json";

/// The table.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        post: false,
        path: service::HEALTH,
        help: "That the process lives, and how the shard fares.",
        answers: (JSON, None),
        refuses: &["E_STOPPING"],
        serves: || get(read_handlers::health),
    },
    Endpoint {
        post: false,
        path: service::READY,
        help: "Whether it takes commands.",
        answers: (JSON, None),
        refuses: &["E_STOPPING"],
        serves: || get(read_handlers::ready),
    },
    Endpoint {
        post: false,
        path: service::SNAPSHOT,
        help: "The whole state as observers see it.",
        answers: (JSON, Some("Snapshot")),
        refuses: &["E_UNAUTHORIZED", "E_TOO_MANY", "E_STOPPING"],
        serves: || get(read_handlers::snapshot),
    },
    Endpoint {
        post: false,
        path: service::STREAM,
        help: "The state and every change of it as server-sent events; `Last-Event-ID` goes on where a reader was cut off.",
        answers: ("text/event-stream", Some("Envelope")),
        refuses: &["E_UNAUTHORIZED", "E_TOO_MANY", "E_STOPPING"],
        serves: || get(stream::subscribe),
    },
    Endpoint {
        post: true,
        path: service::CONSOLE,
        help: "A command. The answer is one envelope, whatever became of it; a retry with the same cmd_id is not done twice.",
        answers: (JSON, Some("Answer")),
        refuses: &[
            "E_CMD_ID_REQUIRED",
            "E_UNAUTHORIZED",
            "E_FORBIDDEN",
            "E_NOT_FOUND",
            "E_IN_FLIGHT",
            "E_TOO_LARGE",
            "E_MEDIA_TYPE",
            "E_CMD_ID_REUSED",
            "E_SCHEMA_OLD",
            "E_TOO_MANY",
            "E_AUDIT_UNAVAILABLE",
        ],
        serves: || post(console::post),
    },
    Endpoint {
        post: false,
        path: service::COMMANDS,
        help: "The command table, and who one is here.",
        answers: (JSON, Some("ServiceInfo")),
        refuses: &["E_UNAUTHORIZED", "E_TOO_MANY"],
        serves: || get(read_handlers::commands),
    },
    Endpoint {
        post: false,
        path: service::AUDIT,
        help: "The newest records of the audit log, oldest first; `limit` says how many.",
        answers: (JSON, None),
        refuses: &["E_INVALID_ARG", "E_UNAUTHORIZED", "E_TOO_MANY"],
        serves: || get(read_handlers::records),
    },
    Endpoint {
        post: false,
        path: service::METRICS,
        help: "Figures for Prometheus.",
        answers: ("text/plain", None),
        refuses: &["E_STOPPING"],
        serves: || get(read_handlers::figures),
    },
    Endpoint {
        post: false,
        path: service::OPENAPI,
        help: "This document.",
        answers: (JSON, None),
        refuses: &[],
        serves: || get(read_handlers::document),
    },
];

/// Every endpoint with what all of them have in common.
pub(super) fn router(lobby: &Arc<AppState>) -> Router {
    let mut router = Router::new();
    for endpoint in ENDPOINTS {
        router = router.route(endpoint.path, (endpoint.serves)());
    }
    router
        .fallback(nowhere)
        .method_not_allowed_fallback(otherwise)
        .layer(DefaultBodyLimit::max(BODY))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, TIMEOUT))
        .layer(middleware::from_fn_with_state(Arc::clone(lobby), all))
        .with_state(Arc::clone(lobby))
}

/// What holds for every request: no token in the address, no name of elsewhere over plain HTTP, our schema in the answer, counted.
async fn all(
    State(lobby): State<Arc<AppState>>,
    Extension(peer): Extension<PeerAddress>,
    request: Request,
    next: Next,
) -> Response {
    let known = ENDPOINTS.iter().find(|endpoint| endpoint.path == request.uri().path());
    let path = known.map_or("other", |endpoint| endpoint.path);
    let (uri, headers) = (request.uri(), request.headers());
    let may =
        reject_token_in_uri(uri).and_then(|()| if lobby.secure { Ok(()) } else { reject_foreign_host(uri, headers) });
    let mut response = match may {
        Ok(()) => next.run(request).await,
        Err(turned) => {
            lobby.counts.refused("address");
            lobby.log.say(&format!("refused {}: {} {}", peer.0, turned.error.message, turned.error.hint));
            turned.into_response()
        }
    };
    lobby.counts.answered(path, response.status().as_u16());
    let schema = (HeaderName::from_static(service::SCHEMA_HEADER), HeaderValue::from_static(SCHEMA_VERSION));
    response.headers_mut().insert(schema.0, schema.1);
    response.headers_mut().insert("cache-control", HeaderValue::from_static("no-store"));
    response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

async fn nowhere() -> Rejection {
    let paths: Vec<&str> = ENDPOINTS.iter().map(|endpoint| endpoint.path).collect();
    Rejection::new("E_NOT_FOUND", "there is nothing here.", format!("There are: {}.", paths.join(", ")))
}

async fn otherwise() -> Rejection {
    Rejection::new("E_METHOD", "it is not asked for in this way.", "Commands are POSTed, everything else is a GET.")
}

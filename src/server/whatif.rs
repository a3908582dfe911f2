//! `/v1/whatif`: questions about the running town. Each request is a command of the console, with its checks, limits and audit.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;

use super::AppState;
use super::auth::Rejection;
use super::connections::PeerAddress;
use super::console::{answer, read_json, rejected};
use townlet_wire::Request;
use townlet_wire::command_line::normal_word;
use townlet_wire::whatif::WhatIfRequest;

/// Asks a question.
pub(super) async fn ask(
    State(app): State<Arc<AppState>>,
    Extension(peer): Extension<PeerAddress>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    const EXAMPLE: &str = r#"Example: {"alternatives": ["approve finn"], "cmd_id": "…"}."#;
    const FIELDS: &str = "Fields: alternatives, samples, days, cmd_id, dry_run, run_id.";
    match read_json::<WhatIfRequest>(&headers, body, EXAMPLE, FIELDS) {
        Ok(question) => {
            let command = question.command();
            let WhatIfRequest { cmd_id, dry_run, run_id, .. } = question;
            answer(&app, peer, &headers, Request { command, cmd_id, dry_run, run_id, ..Request::default() }).await
        }
        Err(rejection) => rejected(&app, &Request::default(), rejection),
    }
}

/// The query of a request for progress.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    id: Option<String>,
}

/// How far the questions are, or one of them with its answer.
pub(super) async fn status(
    State(app): State<Arc<AppState>>,
    Extension(peer): Extension<PeerAddress>,
    headers: HeaderMap,
    query: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let Ok(Query(Asked { id })) = query else {
        let rejection =
            Rejection::new("E_INVALID_ARG", "the query is invalid.", "Example: `?id=default-12500-1a2b3c4d`.");
        return rejected(&app, &Request::default(), rejection);
    };
    let id = id.map_or_else(String::new, |id| format!(" {}", normal_word(&id)));
    let request = Request { command: format!("whatif_status{id}"), query: true, ..Request::default() };
    answer(&app, peer, &headers, request).await
}

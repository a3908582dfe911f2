//! `GET /v1/audit/checkpoint`: a line of the audit log as a signed note, for others to keep.
//!
//! Only durable lines are signed: a crash never takes back what somebody has seen. The answer costs at most one segment.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::AppState;
use super::access::Caller;
use super::auth::Rejection;
use super::read_handlers::shard_ended;
use super::routes::TEXT;
use townlet_audit::{CheckpointKey, durable_line};
use townlet_wire::service::CHECKPOINT_KEY_HEADER;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckpointQuery {
    /// Number of the line; the newest durable one without it.
    at: Option<u64>,
    /// The run; the shard's own without it.
    run: Option<String>,
}

pub(super) async fn checkpoint(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    query: Result<Query<CheckpointQuery>, QueryRejection>,
) -> Result<Response, Rejection> {
    let Ok(Query(CheckpointQuery { at, run })) = query else {
        let hint = "The parameters are `at`, the number of a line, and `run`, a run id, such as `?at=12`.";
        return Err(Rejection::new("E_INVALID_ARG", "invalid query.", hint));
    };
    let permit = Arc::clone(&app.audit_reads[usize::from(caller.token.is_some())]).acquire_owned().await;
    let read = tokio::task::spawn_blocking(move || {
        let (home, shard) = (app.shard.home(), &app.shard.config.shard);
        let run = run.as_deref().unwrap_or(&app.shard.run_id);
        let line = durable_line(&home.console(), run, at);
        drop(permit);
        let (seq, hash) = line.map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                return Rejection::new("E_NOT_FOUND", error.to_string(), "Only durable lines have a checkpoint.");
            }
            Rejection::new("E_IO", format!("the audit log cannot be read: {error}."), "")
        })?;
        let key = CheckpointKey::open(&home.checkpoint_key(shard), shard)
            .map_err(|why| Rejection::new("E_IO", format!("the checkpoint key cannot be used: {why}."), ""))?;
        Ok((key.sign(run, seq, &hash), key.public().to_string()))
    });
    let (note, key) = read.await.map_err(|_| shard_ended())??;
    Ok(([(CONTENT_TYPE, TEXT)], [(HeaderName::from_static(CHECKPOINT_KEY_HEADER), key)], note).into_response())
}

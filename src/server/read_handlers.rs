//! What one can look at: health, readiness, the state, the command table, the audit log.
//!
//! Leaves nothing in the audit log. The state is taken from the town's thread at most twenty times a second, however many
//! ask for it.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;

use super::auth::{Rejection, bearer_token};
use super::connections::PeerAddress;
use super::{AppState, metrics, openapi};
use townlet_shard::{Visitor, specs};
use townlet_wire::service::ServiceInfo;
use townlet_wire::{SCHEMA_VERSION, Snapshot};

/// How old a state may be that is told again.
const MAX_AGE: Duration = Duration::from_millis(50);
/// Records of the audit log told at once.
const MAX_AUDIT_RECORDS: usize = 1_000;

/// The state last taken.
#[derive(Default)]
pub(super) struct SnapshotCache(Mutex<Option<(Instant, Arc<Snapshot>)>>);

impl SnapshotCache {
    /// The state now, or a twentieth of a second ago; `None` when the shard has ended.
    pub(super) async fn of(&self, app: &Arc<AppState>) -> Option<Arc<Snapshot>> {
        let mut latest = self.0.lock().await;
        if let Some((_, state)) = latest.as_ref().filter(|(taken, _)| taken.elapsed() < MAX_AGE) {
            return Some(Arc::clone(state));
        }
        let app = Arc::clone(app);
        let (state, _) = tokio::task::spawn_blocking(move || app.shard.view()).await.ok()??;
        let state = Arc::new(state);
        *latest = Some((Instant::now(), Arc::clone(&state)));
        Some(state)
    }
}

/// Lets somebody in, or says and counts why not.
pub(super) fn authenticate(
    app: &AppState,
    peer: PeerAddress,
    token: Option<&str>,
    headers: &HeaderMap,
) -> Result<Visitor, Rejection> {
    let visitor = app.authenticator.lock().unwrap_or_else(PoisonError::into_inner).authenticate(peer.0, token, headers);
    visitor.inspect_err(|rejection| {
        app.counts.refused("token");
        app.log.say(&format!("refused {}: {} {}", peer.0, rejection.error.code, rejection.error.message));
    })
}

/// Who looks. Without a token anybody may; with a wrong one nobody.
pub(super) fn authenticate_headers(
    app: &AppState,
    peer: PeerAddress,
    headers: &HeaderMap,
) -> Result<Visitor, Rejection> {
    authenticate(app, peer, bearer_token(headers)?, headers)
}

pub(super) fn shard_ended() -> Rejection {
    Rejection::new("E_STOPPING", "the shard has ended.", "Start it again with `--resume`.")
}

pub(super) async fn health(State(app): State<Arc<AppState>>) -> Response {
    let Some(view) = app.latest.of(&app).await else { return shard_ended().into_response() };
    Json(json!({
        "shard": view.shard,
        "run_id": view.run_id,
        "tick": view.tick,
        "schema_version": SCHEMA_VERSION,
        "version": env!("CARGO_PKG_VERSION"),
        "health": view.health,
    }))
    .into_response()
}

pub(super) async fn ready(State(app): State<Arc<AppState>>) -> Response {
    let why = match app.latest.of(&app).await {
        _ if app.is_stopping() => "the shard is stopping",
        None => "the shard has ended",
        Some(_) if app.shard.hung().is_some() => "a tick hangs",
        Some(view) if !view.health.audit_ok => "the audit log cannot be written",
        Some(_) => return Json(json!({ "ready": true })).into_response(),
    };
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "ready": false, "why": why }))).into_response()
}

pub(super) async fn snapshot(
    State(app): State<Arc<AppState>>,
    Extension(peer): Extension<PeerAddress>,
    headers: HeaderMap,
) -> Result<Response, Rejection> {
    authenticate_headers(&app, peer, &headers)?;
    let view = app.latest.of(&app).await.ok_or_else(shard_ended)?;
    Ok(Json(view.as_ref()).into_response())
}

pub(super) async fn commands(
    State(app): State<Arc<AppState>>,
    Extension(peer): Extension<PeerAddress>,
    headers: HeaderMap,
) -> Result<Response, Rejection> {
    let visitor = authenticate_headers(&app, peer, &headers)?;
    Ok(Json(ServiceInfo {
        shard: app.shard.config.shard.clone(),
        schema_version: SCHEMA_VERSION.into(),
        session: visitor.session,
        commands: specs(),
        facts: app.facts.clone(),
    })
    .into_response())
}

/// Which records.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditQuery {
    /// So many of the newest.
    #[serde(default = "default_limit")]
    limit: usize,
}

const fn default_limit() -> usize {
    100
}

pub(super) async fn records(
    State(app): State<Arc<AppState>>,
    Extension(peer): Extension<PeerAddress>,
    headers: HeaderMap,
    wanted: Result<Query<AuditQuery>, QueryRejection>,
) -> Result<Response, Rejection> {
    authenticate_headers(&app, peer, &headers)?;
    let limit = wanted.map(|wanted| wanted.limit).ok().filter(|limit| (1..=MAX_AUDIT_RECORDS).contains(limit));
    let limit = limit.ok_or_else(|| {
        Rejection::new(
            "E_INVALID_ARG",
            "only `limit` may be asked for.",
            format!("Such as `?limit=100`; at most {MAX_AUDIT_RECORDS}."),
        )
    })?;
    let one = Arc::clone(&app.reading).acquire_owned().await;
    let read = tokio::task::spawn_blocking(move || {
        let rows = townlet_audit::newest(&app.shard.home().console(), limit);
        drop(one);
        rows.map(|rows| app.shard.names().rows(rows))
    });
    match read.await {
        Ok(Ok(rows)) => Ok(Json(json!({ "records": rows })).into_response()),
        Ok(Err(why)) => Err(Rejection::new("E_IO", format!("the audit log cannot be read: {why}."), "")),
        Err(_) => Err(shard_ended()),
    }
}

pub(super) async fn metrics_text(State(app): State<Arc<AppState>>) -> Result<Response, Rejection> {
    let view = app.latest.of(&app).await.ok_or_else(shard_ended)?;
    let kind = [("content-type", metrics::CONTENT_TYPE)];
    Ok((kind, metrics::text(&app.counts, &view)).into_response())
}

pub(super) async fn openapi_document() -> Response {
    Json(openapi::document()).into_response()
}

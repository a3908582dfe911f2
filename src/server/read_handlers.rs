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

use super::auth::{Rejection, bearer};
use super::connections::PeerAddress;
use super::{AppState, metrics, openapi};
use townlet_shard::{RemoteCaller, specs};
use townlet_wire::service::ServiceInfo;
use townlet_wire::{SCHEMA_VERSION, Snapshot};

/// How old a state may be that is told again.
const FRESH: Duration = Duration::from_millis(50);
/// Records of the audit log told at once.
const MOST_RECORDS: usize = 1_000;

/// The state last taken.
#[derive(Default)]
pub(super) struct SnapshotCache(Mutex<Option<(Instant, Arc<Snapshot>)>>);

impl SnapshotCache {
    /// The state now, or a twentieth of a second ago; `None` when the shard has ended.
    pub(super) async fn of(&self, lobby: &Arc<AppState>) -> Option<Arc<Snapshot>> {
        let mut latest = self.0.lock().await;
        if let Some((_, state)) = latest.as_ref().filter(|(taken, _)| taken.elapsed() < FRESH) {
            return Some(Arc::clone(state));
        }
        let lobby = Arc::clone(lobby);
        let (state, _) = tokio::task::spawn_blocking(move || lobby.shard.view()).await.ok()??;
        let state = Arc::new(state);
        *latest = Some((Instant::now(), Arc::clone(&state)));
        Some(state)
    }
}

/// Lets somebody in, or says and counts why not.
pub(super) fn authenticate(
    lobby: &AppState,
    peer: PeerAddress,
    token: Option<&str>,
    headers: &HeaderMap,
) -> Result<RemoteCaller, Rejection> {
    let visitor = lobby.gate.lock().unwrap_or_else(PoisonError::into_inner).visitor(peer.0, token, headers);
    visitor.inspect_err(|turned| {
        lobby.counts.refused("token");
        lobby.log.say(&format!("refused {}: {} {}", peer.0, turned.error.code, turned.error.message));
    })
}

/// Who looks. Without a token anybody may; with a wrong one nobody.
pub(super) fn looking(lobby: &AppState, peer: PeerAddress, headers: &HeaderMap) -> Result<RemoteCaller, Rejection> {
    authenticate(lobby, peer, bearer(headers)?, headers)
}

pub(super) fn ended() -> Rejection {
    Rejection::new("E_STOPPING", "the shard has ended.", "Start it again with `--resume`.")
}

pub(super) async fn health(State(lobby): State<Arc<AppState>>) -> Response {
    let Some(view) = lobby.latest.of(&lobby).await else { return ended().into_response() };
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

pub(super) async fn ready(State(lobby): State<Arc<AppState>>) -> Response {
    let why = match lobby.latest.of(&lobby).await {
        _ if lobby.is_stopping() => "the shard is stopping",
        None => "the shard has ended",
        Some(_) if lobby.shard.hung().is_some() => "a tick hangs",
        Some(view) if !view.health.audit_ok => "the audit log cannot be written",
        Some(_) => return Json(json!({ "ready": true })).into_response(),
    };
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "ready": false, "why": why }))).into_response()
}

pub(super) async fn snapshot(
    State(lobby): State<Arc<AppState>>,
    Extension(peer): Extension<PeerAddress>,
    headers: HeaderMap,
) -> Result<Response, Rejection> {
    looking(&lobby, peer, &headers)?;
    let view = lobby.latest.of(&lobby).await.ok_or_else(ended)?;
    Ok(Json(view.as_ref()).into_response())
}

pub(super) async fn commands(
    State(lobby): State<Arc<AppState>>,
    Extension(peer): Extension<PeerAddress>,
    headers: HeaderMap,
) -> Result<Response, Rejection> {
    let visitor = looking(&lobby, peer, &headers)?;
    Ok(Json(ServiceInfo {
        shard: lobby.shard.config.shard.clone(),
        schema_version: SCHEMA_VERSION.into(),
        session: visitor.session,
        commands: specs(),
        facts: lobby.facts.clone(),
    })
    .into_response())
}

/// Which records.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// So many of the newest.
    #[serde(default = "usual")]
    limit: usize,
}

const fn usual() -> usize {
    100
}

pub(super) async fn records(
    State(lobby): State<Arc<AppState>>,
    Extension(peer): Extension<PeerAddress>,
    headers: HeaderMap,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Rejection> {
    looking(&lobby, peer, &headers)?;
    let limit = wanted.map(|wanted| wanted.limit).ok().filter(|limit| (1..=MOST_RECORDS).contains(limit));
    let limit = limit.ok_or_else(|| {
        Rejection::new(
            "E_INVALID_ARG",
            "only `limit` may be asked for.",
            format!("Such as `?limit=100`; at most {MOST_RECORDS}."),
        )
    })?;
    let one = Arc::clone(&lobby.reading).acquire_owned().await;
    let read = tokio::task::spawn_blocking(move || {
        let rows = townlet_audit::newest(&lobby.shard.home().console(), limit);
        drop(one);
        rows.map(|rows| lobby.shard.names().apply(rows))
    });
    match read.await {
        Ok(Ok(rows)) => Ok(Json(json!({ "records": rows })).into_response()),
        Ok(Err(why)) => Err(Rejection::new("E_IO", format!("the audit log cannot be read: {why}."), "")),
        Err(_) => Err(ended()),
    }
}

pub(super) async fn figures(State(lobby): State<Arc<AppState>>) -> Result<Response, Rejection> {
    let view = lobby.latest.of(&lobby).await.ok_or_else(ended)?;
    let kind = [("content-type", metrics::CONTENT_TYPE)];
    Ok((kind, metrics::text(&lobby.counts, &view)).into_response())
}

pub(super) async fn document() -> Response {
    Json(openapi::document()).into_response()
}

//! Handlers of the read-only endpoints: health, readiness, snapshot, command table, audit log, metrics.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::access::{AnonymousReading, Caller};
use super::auth::Rejection;
use super::negotiation::preferred;
use super::routes::JSON;
use super::{AppState, http_status, metrics, openapi};
use townlet_audit::{Cursor, Filter, Selection};
use townlet_shard::specs;
use townlet_wire::count;
use townlet_wire::service::ServiceInfo;
use townlet_wire::telemetry::Health;
use townlet_wire::{ErrorBody, SCHEMA_VERSION, Snapshot, Status};

/// Maximum number of audit records in an answer.
pub(super) const MAX_AUDIT_RECORDS: usize = 1_000;

pub(super) fn shard_ended() -> Rejection {
    Rejection::new("E_STOPPING", "the shard has ended.", "Start it again with `--resume`.")
}

pub(super) async fn health(State(app): State<Arc<AppState>>, caller: Caller) -> Response {
    let Some(shared) = app.snapshots.get(&app).await else { return shard_ended().into_response() };
    let view = &shared.state;
    if !caller.reads_all && app.anonymous_reading == AnonymousReading::None {
        return Json(json!({ "alive": true })).into_response();
    }
    Json(json!({
        "shard": view.shard,
        "run_id": view.run_id,
        "tick": view.tick,
        "schema_version": SCHEMA_VERSION,
        "version": env!("CARGO_PKG_VERSION"),
        "health": visible_health(&view.health, &caller),
        "notes": notes(view, &caller),
        "audit_sealed": matches!(app.shard.audit_sealing(), townlet_audit::Sealing::Sealed(_)),
    }))
    .into_response()
}

/// The health as a caller may see it: problems name files, tokens and commands, so they are counted only for a client that may
/// not read everything.
pub(super) fn visible_health(health: &Health, caller: &Caller) -> Health {
    let mut visible = health.clone();
    if !caller.reads_all && !visible.problems.is_empty() {
        visible.problems = vec![format!("{}; a token shows them", count(health.problems.len() as u64, "problem"))];
    }
    visible
}

/// Alerts about tokens that do not degrade the shard, for clients that may read everything.
fn notes(view: &Snapshot, caller: &Caller) -> Vec<String> {
    let noted = view.alerts.iter().filter(|alert| caller.reads_all && alert.name == "token_expires");
    noted.map(|alert| alert.message.clone()).collect()
}

pub(super) async fn ready(State(app): State<Arc<AppState>>) -> Response {
    let (code, why) = match app.snapshots.get(&app).await {
        _ if app.is_stopping() => ("E_STOPPING", "the shard is stopping"),
        None => ("E_STOPPING", "the shard has ended"),
        Some(_) if app.shard.hung().is_some() => ("E_HUNG", "a tick hangs"),
        Some(shared) if !shared.state.health.audit_ok => ("E_AUDIT_UNAVAILABLE", "the audit log is not writable"),
        Some(_) => return Json(json!({ "ready": true })).into_response(),
    };
    let error = ErrorBody::new(code, format!("{why}."), "`/v1/health` says more.");
    (http_status::of(code), Json(json!({ "ready": false, "why": why, "error": error }))).into_response()
}

pub(super) async fn snapshot(State(app): State<Arc<AppState>>, _caller: Caller) -> Result<Response, Rejection> {
    let shared = app.snapshots.get(&app).await.ok_or_else(shard_ended)?;
    // The state of a large town takes a while to encode.
    let json = tokio::task::spawn_blocking(move || shared.json()).await.map_err(|_| shard_ended())?;
    Ok(([(CONTENT_TYPE, JSON)], json).into_response())
}

pub(super) async fn commands(State(app): State<Arc<AppState>>, caller: Caller) -> Result<Response, Rejection> {
    Ok(Json(ServiceInfo {
        shard: app.shard.config.shard.clone(),
        run_id: app.shard.run_id.clone(),
        schema_version: SCHEMA_VERSION.into(),
        session: caller.visitor.session,
        commands: specs(),
        facts: app.facts.clone(),
        sent_ms: app.shard.stream_ms(),
    })
    .into_response())
}

/// Most lines of the log that a request reads. The answer says where the next one goes on.
const MAX_AUDIT_LINES: u64 = 20_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditQuery {
    #[serde(default = "default_limit")]
    limit: usize,
    before: Option<String>,
    since: Option<String>,
    until: Option<String>,
    issuer: Option<String>,
    command: Option<String>,
    status: Option<Status>,
}

const fn default_limit() -> usize {
    100
}

impl AuditQuery {
    fn selection(self) -> Option<Selection> {
        let Self { limit, before, since, until, issuer, command, status } = self;
        let before = before.map(|before| Cursor::parse(&before).ok_or(())).transpose().ok()?;
        let since = since.map(|since| since.parse()).transpose().ok()?;
        let until = until.map(|until| until.parse()).transpose().ok()?;
        let filter = Filter { since, until, issuer, command, status };
        let selection = Selection { limit, max_lines: MAX_AUDIT_LINES, filter, before };
        (1..=MAX_AUDIT_RECORDS).contains(&limit).then_some(selection)
    }
}

pub(super) async fn audit(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    query: Result<Query<AuditQuery>, QueryRejection>,
) -> Result<Response, Rejection> {
    let selection = query.ok().and_then(|Query(query)| query.selection()).ok_or_else(|| {
        let parameters = format!(
            "`limit` is from 1 to {MAX_AUDIT_RECORDS}, such as `?limit=100`; `before` is that of an answer; `since` and \
             `until` are times in RFC 3339; `status` is ok, error or dry_run; `issuer` and `command` are texts."
        );
        Rejection::new("E_INVALID_ARG", "invalid query.", parameters)
    })?;
    let permit = Arc::clone(&app.audit_reads[usize::from(caller.token.is_some())]).acquire_owned().await;
    let read = tokio::task::spawn_blocking(move || {
        let page = townlet_audit::newest(&app.shard.home().console(), &selection);
        drop(permit);
        page.map(|page| (app.shard.names().apply(page.rows), page.before))
    });
    match read.await {
        Ok(Ok((rows, before))) => {
            let before = before.map(|before| before.to_string());
            Ok(Json(json!({ "records": rows, "before": before })).into_response())
        }
        Ok(Err(why)) => Err(Rejection::new("E_IO", format!("the audit log cannot be read: {why}."), "")),
        Err(_) => Err(shard_ended()),
    }
}

pub(super) async fn metrics_text(State(app): State<Arc<AppState>>, headers: HeaderMap) -> Result<Response, Rejection> {
    let shared = app.snapshots.get(&app).await.ok_or_else(shard_ended)?;
    let media_type = preferred(&headers, &metrics::MEDIA_TYPES);
    let (content_type, text) = metrics::encoded(media_type, &app.counts, &shared.state);
    Ok(([("content-type", content_type), ("vary", "accept")], text).into_response())
}

pub(super) async fn openapi_document() -> Response {
    Json(openapi::document()).into_response()
}

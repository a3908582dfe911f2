//! `GET /v1/history` and `GET /v1/telemetry/at/{tick}`: the past of the run, rebuilt beside the town on a thread of the lowest
//! priority. Rule: "Keyframes".

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::AppState;
use super::access::Caller;
use super::auth::Rejection;
use super::read_handlers::shard_ended;
use super::routes::JSON;
use townlet_shard::Handle;
use townlet_shard::history::{MarkCursor, MarkSelection, PastError};
use townlet_wire::ErrorBody;
use townlet_wire::history::MarkKind;

/// Maximum number of marks in an answer.
pub(super) const MAX_MARKS: usize = 1_000;
/// All clients without a token share the work of one.
const ANONYMOUS: &str = "anonymous";

/// A question of a caller about the past, and its answer.
async fn ask<T: Send + 'static>(
    app: Arc<AppState>,
    caller: Caller,
    question: impl FnOnce(&Handle, &str) -> Result<T, PastError> + Send + 'static,
) -> Result<T, Rejection> {
    let client = if caller.token.is_some() { caller.visitor.session.issuer } else { ANONYMOUS.to_owned() };
    let answer = tokio::task::spawn_blocking(move || question(&app.shard, &client));
    answer.await.map_err(|_| shard_ended())?.map_err(|why| {
        let wait = matches!(why, PastError::Busy | PastError::Unfinished { .. }).then_some(1);
        Rejection { error: ErrorBody::from(&why), wait }
    })
}

pub(super) async fn at(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    tick: Result<Path<u64>, PathRejection>,
) -> Result<Response, Rejection> {
    let Ok(Path(tick)) = tick else {
        let hint = "The last part of the path is a tick, such as `/v1/telemetry/at/5000`.";
        return Err(Rejection::new("E_INVALID_ARG", "invalid tick.", hint));
    };
    // The state of a large town takes a while to encode.
    let json = ask(app, caller, move |shard, client| Ok(shard.past_view(client, tick)?.to_json())).await?;
    Ok(([(CONTENT_TYPE, JSON)], json).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryQuery {
    from: Option<u64>,
    to: Option<u64>,
    kinds: Option<String>,
    #[serde(default = "default_limit")]
    limit: usize,
    before: Option<String>,
}

const fn default_limit() -> usize {
    100
}

impl HistoryQuery {
    fn selection(self) -> Option<MarkSelection> {
        let Self { from, to, kinds, limit, before } = self;
        let kinds = kinds.iter().flat_map(|kinds| kinds.split(',')).map(MarkKind::named).collect::<Option<_>>()?;
        let before = before.map(|before| MarkCursor::parse(&before).ok_or(())).transpose().ok()?;
        let (from, to) = (from.unwrap_or(0), to.unwrap_or(u64::MAX));
        (1..=MAX_MARKS).contains(&limit).then_some(MarkSelection { from, to, kinds, limit, before })
    }
}

pub(super) async fn history(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    query: Result<Query<HistoryQuery>, QueryRejection>,
) -> Result<Response, Rejection> {
    let selection = query.ok().and_then(|Query(query)| query.selection()).ok_or_else(|| {
        let kinds = MarkKind::ALL.map(MarkKind::word).join(", ");
        let parameters = format!(
            "`from` and `to` are ticks; `kinds` has some of {kinds}, separated by commas; `limit` is from 1 to {MAX_MARKS}; \
             `before` is that of an answer."
        );
        Rejection::new("E_INVALID_ARG", "invalid query.", parameters)
    })?;
    let page = ask(app, caller, move |shard, client| shard.past_marks(client, selection)).await?;
    Ok(Json(page).into_response())
}

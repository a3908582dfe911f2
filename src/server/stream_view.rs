//! What a stream looks at: the query of the stream, and `POST /v1/telemetry/view`, which changes it while the stream runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::AppState;
use super::access::Caller;
use super::auth::Rejection;
use townlet_shard::publish::StreamView;
use townlet_wire::service::{Focus, MAX_LOOKED_AT, ViewRequest};

/// Most messages a second that may be asked for.
pub(super) const MAX_RATE: u32 = 1_000;
/// Streams with a view: the changes for each are found apart.
const MAX_VIEWS: usize = 64;
/// Of these, for clients with a token only.
const RESERVED_FOR_TOKENS: usize = 16;
/// Length of the id of a view.
pub(super) const ID_LENGTH: std::ops::RangeInclusive<usize> = 8..=64;

/// The query of a stream.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamQuery {
    view: Option<String>,
    rate: Option<u32>,
}

/// The open streams with a view: by the id of their view, if they have one.
#[derive(Debug, Default)]
pub(super) struct OpenViews(Mutex<Views>);

#[derive(Debug, Default)]
struct Views {
    by_id: BTreeMap<String, StreamView>,
    open: usize,
}

/// A stream's place among the open views, until it is dropped.
pub(super) struct ViewSlot {
    app: Arc<AppState>,
    id: Option<String>,
}

impl Drop for ViewSlot {
    fn drop(&mut self) {
        let mut views = self.app.views.lock();
        views.open -= 1;
        if let Some(id) = &self.id {
            views.by_id.remove(id);
        }
    }
}

impl OpenViews {
    fn lock(&self) -> MutexGuard<'_, Views> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn invalid_query() -> Rejection {
    let (least, most) = (ID_LENGTH.start(), ID_LENGTH.end());
    let hint = format!(
        "`view` is an id that you choose, of {least} to {most} letters, digits and hyphens; `rate` is the most messages a second, \
         from 1 to {MAX_RATE}."
    );
    Rejection::new("E_INVALID_ARG", "invalid query.", hint)
}

/// The view that a query asks for; `None` for the stream of everything.
pub(super) fn open(
    app: &Arc<AppState>,
    caller: &Caller,
    query: StreamQuery,
) -> Result<Option<(ViewSlot, StreamView)>, Rejection> {
    let StreamQuery { view: id, rate } = query;
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let valid = |id: &String| ID_LENGTH.contains(&id.len()) && id.bytes().all(letter);
    if !id.as_ref().is_none_or(valid) || !rate.is_none_or(|rate| (1..=MAX_RATE).contains(&rate)) {
        return Err(invalid_query());
    }
    if id.is_none() && rate.is_none() {
        return Ok(None);
    }
    let mut view = StreamView::all(rate.unwrap_or(MAX_RATE));
    let most = if caller.token.is_some() { MAX_VIEWS } else { MAX_VIEWS - RESERVED_FOR_TOKENS };
    let mut views = app.views.lock();
    if views.open >= most {
        let hint = "Retry later, or without `view` and `rate`.";
        return Err(Rejection {
            wait: Some(5),
            ..Rejection::new("E_TOO_MANY", format!("there are already {most} streams with a view."), hint)
        });
    }
    if let Some(id) = &id {
        if views.by_id.contains_key(id) {
            let hint = "Choose another id for each stream, such as a UUID.";
            return Err(Rejection::new("E_CONFLICT", "another stream has this view.", hint));
        }
        view = view.of(Focus::default());
        views.by_id.insert(id.clone(), view.clone());
    }
    views.open += 1;
    drop(views);
    Ok(Some((ViewSlot { app: Arc::clone(app), id }, view)))
}

/// Changes what a stream looks at. It takes effect with the next message.
pub(super) async fn look_at(
    State(app): State<Arc<AppState>>,
    _caller: Caller,
    body: Result<Json<ViewRequest>, JsonRejection>,
) -> Result<Response, Rejection> {
    let Json(ViewRequest { view, focus }) = body.map_err(|why| {
        let code = match why {
            JsonRejection::MissingJsonContentType(_) => "E_MEDIA_TYPE",
            JsonRejection::BytesRejection(_) => "E_TOO_LARGE",
            _ => "E_INVALID_ARG",
        };
        Rejection::new(
            code,
            "invalid body.",
            "Send JSON: {\"view\": ID, \"focus\": {\"residents\": [ID, …]}}, at most 64 KiB.",
        )
    })?;
    for (ids, what) in [(&focus.residents, "residents"), (&focus.objects, "objects")] {
        if ids.len() > MAX_LOOKED_AT {
            let hint = "A stream without `view` has all of them in every message.";
            return Err(Rejection::new("E_INVALID_ARG", format!("more than {MAX_LOOKED_AT} {what}."), hint));
        }
    }
    let open = app.views.lock().by_id.get(&view).cloned();
    let open = open.ok_or_else(|| {
        Rejection::new("E_NOT_FOUND", "no stream has this view.", "Open `/v1/telemetry/stream?view=ID` first.")
    })?;
    open.look_at(focus);
    Ok(Json(json!({ "ok": true })).into_response())
}

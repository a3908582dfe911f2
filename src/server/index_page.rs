//! `GET /`: a page for people who open the service in a browser: what it is, how the shard is, and where everything else is.
//! No scripts, and nothing that `/v1/health` does not say. Other clients are told that the path is unknown, as before.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

use super::AppState;
use super::access::Caller;
use super::negotiation::preferred;
use super::read_handlers::visible_health;
use super::routes::{ENDPOINTS, HTML, INDEX, JSON, not_found};
use townlet_wire::Snapshot;
use townlet_wire::service::STREAM;

/// Loads nothing, runs nothing; only the style in the page applies.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}\
table{border-collapse:collapse}td{padding:.1rem 1.5rem .1rem 0;vertical-align:top}code{font-size:.95em}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}a{color:#8bf}}";

pub(super) async fn index(State(app): State<Arc<AppState>>, caller: Caller, headers: HeaderMap) -> Response {
    if preferred(&headers, &[JSON, HTML]) == JSON {
        return ([("vary", "accept")], not_found()).into_response();
    }
    let shared = app.snapshots.get(&app).await;
    let view = shared.as_deref().map(|shared| &shared.state);
    let page = page(&app.shard.config.shard, view, app.shard.hung().is_some(), &caller);
    let headers =
        [("content-type", "text/html; charset=utf-8"), ("content-security-policy", POLICY), ("vary", "accept")];
    (headers, page).into_response()
}

fn page(shard: &str, view: Option<&Snapshot>, hangs: bool, caller: &Caller) -> String {
    let shard = escape(shard);
    let mut rows = String::new();
    let mut row = |name: &str, value: &str| {
        let _ = write!(rows, "<tr><td>{name}</td><td>{}</td></tr>", escape(value));
    };
    match view {
        _ if hangs => row("health", "a tick hangs"),
        None => row("health", "the shard has ended"),
        Some(view) => {
            let health = visible_health(&view.health, caller);
            let problems = health.problems.iter().map(|problem| format!(": {problem}"));
            row("health", &problems.fold(health.status, |text, problem| text + &problem));
        }
    }
    if let Some(view) = view.filter(|_| caller.reads_all) {
        row("run", &view.run_id);
        row("configuration", &view.config_id);
        row("tick", &format!("{}, day {}", view.tick, view.day));
        row("residents", &view.agents.len().to_string());
        row("alerts", &view.alerts.len().to_string());
        row("policy", &view.policy.id);
    }
    let mut paths = String::new();
    for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.path != INDEX) {
        // A link sends GET without a token or a parameter, and a stream never ends.
        let link = !endpoint.post && endpoint.path != STREAM && !endpoint.path.contains('{');
        let path = if link {
            format!("<a href=\"{0}\"><code>{0}</code></a>", endpoint.path)
        } else {
            format!("<code>{}</code>", endpoint.path)
        };
        let method = if endpoint.post { "POST" } else { "GET" };
        let _ = write!(paths, "<tr><td>{method} {path}</td><td>{}</td></tr>", escape(endpoint.help));
    }
    format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{shard} · Townlet</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\
         <h1>{shard}</h1><p>A Townlet shard: a simulated town of learning agents, served over HTTP by townlet {version}. \
         <code>townlet observe --connect URL</code> opens it in a terminal; <code>townlet help serve</code> and \
         <code>docs/SERVICE.md</code> explain the service.</p>\
         <table>{rows}</table><h2>Endpoints</h2><p><a href=\"/metrics\">Metrics</a> for Prometheus, \
         <a href=\"/openapi.json\">OpenAPI</a> for programs.</p><table>{paths}</table></body></html>\n",
        version = env!("CARGO_PKG_VERSION"),
    )
}

/// Text as HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use townlet_shard::RemoteCaller;

    use super::*;

    #[test]
    fn nothing_from_outside_becomes_markup() {
        assert_eq!(escape("<a href='x'>&\"</a>"), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;&lt;/a&gt;");
        let visitor = RemoteCaller::anonymous([127, 0, 0, 1].into(), None);
        let page = page("<script>", None, false, &Caller { visitor, token: None, reads_all: true });
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;") && page.contains("the shard has ended"));
    }
}

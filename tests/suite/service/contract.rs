//! Every reply agrees with the `OpenAPI` document: its status, media type and error code are documented, and its error body has the
//! documented form. [`Served::send`](super::client::Served::send) checks the reply of every request of these tests.

use serde_json::{Value, json};
use townlet_wire::service::{
    AUDIT, CHECKPOINT, COMMANDS, CONSOLE, HEALTH, HISTORY, METRICS, OPENAPI, PAST, READY, Refusal, SNAPSHOT, STREAM,
    VIEW,
};
use townlet_wire::{Answer, Request, Status};

use super::client::{Reply, Served, wait};

/// Fails unless the document describes this reply to this request.
#[track_caller]
pub(super) fn check(document: &Value, request: &[u8], reply: &Reply) {
    if reply.status == 0 {
        return;
    }
    let request = String::from_utf8_lossy(request);
    let mut words = request.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let path = path.strip_prefix("http://").map_or(path, |rest| rest.find('/').map_or("/", |at| &rest[at..]));
    let (before_tick, _) = PAST.split_once('{').expect("it has a parameter");
    let path = if path.starts_with(before_tick) { PAST } else { path };
    let what = format!("{method} {path}: {} {}", reply.head, reply.body);
    if !reply.head.contains("\ntownlet-schema: ") {
        // The parser's own answer to what is not a request.
        assert!(matches!(reply.status, 400 | 414 | 431) && reply.body.is_empty(), "{what}");
        return;
    }
    if reply.status >= 400 && path == CONSOLE {
        let answer: Answer = serde_json::from_str(&reply.body).unwrap_or_else(|why| panic!("{why}: {what}"));
        assert!(answer.error.is_some(), "{what}");
    } else if reply.status >= 400 {
        let refusal: Result<Refusal, _> = serde_json::from_str(&reply.body);
        assert!(refusal.is_ok(), "{what}");
    }
    let operation = &document["paths"][path][method.to_lowercase()];
    if operation.is_null() {
        assert!(matches!(reply.status, 400 | 403 | 404 | 405 | 429 | 431), "{what}");
        return;
    }
    let described = &operation["responses"][reply.status.to_string()];
    assert!(described.is_object(), "the status is not in the document: {what}");
    let media_type = reply.head.split("content-type: ").nth(1).and_then(|rest| rest.split(['\r', ';']).next());
    assert!(
        described["content"][media_type.unwrap_or_default()].is_object(),
        "the media type is not in the document: {what}"
    );
    if matches!(reply.status, 429 | 503) {
        let seconds =
            reply.head.split("retry-after: ").nth(1).and_then(|rest| rest.split('\r').next()?.parse::<u64>().ok());
        assert!(seconds > Some(0) && described["headers"]["Retry-After"].is_object(), "no time to retry at: {what}");
    }
    if reply.status >= 400 {
        let codes = described["description"].as_str().unwrap_or_default();
        assert!(codes.split(", ").any(|code| code == reply.code()), "the code is not in the document: {what}");
    }
}

#[test]
fn every_status_of_every_route_is_in_the_document() {
    let served = Served::start();
    let large = format!("a: {}\r\n", "y".repeat(40_000));
    let many = "a: b\r\n".repeat(120);
    let ask = |method: &str, path: &str, headers: &str| {
        served.send(format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n").as_bytes())
    };
    let without_host = |method: &str, path: &str, version: &str, headers: &str| {
        served.send(format!("{method} {path} HTTP/{version}\r\nconnection: close\r\n{headers}\r\n").as_bytes()).status
    };
    let past = &*PAST.replace("{tick}", "0");
    for path in [
        "/", HEALTH, READY, SNAPSHOT, STREAM, VIEW, CONSOLE, COMMANDS, AUDIT, CHECKPOINT, METRICS, OPENAPI, HISTORY,
        past, "/unknown",
    ] {
        let (method, wrong) = if [CONSOLE, VIEW].contains(&path) { ("POST", "GET") } else { ("GET", "POST") };
        assert_eq!(ask(method, path, &large).status, 431, "{path}");
        assert_eq!(ask(method, path, &many).status, 431, "{path}");
        assert_eq!(ask(method, &format!("{path}?token=twn_a_b"), "").status, 400, "{path}");
        assert_eq!(without_host(method, path, "1.1", ""), 400, "{path}");
        assert_eq!(without_host(method, path, "1.1", "host: x\r\nhost: x\r\n"), 400, "{path}");
        assert_eq!(without_host(method, path, "1.1", "host: [::1].evil.com\r\n"), 403, "{path}");
        let status = ask(wrong, path, "").status;
        assert_eq!(status, if path == "/unknown" { 404 } else { 405 }, "{path}");
    }
    assert_eq!(without_host("GET", HEALTH, "1.0", ""), 200, "HTTP/1.0 has no Host");
    for accept in ["", "accept: text/html\r\n", "accept: application/openmetrics-text\r\n"] {
        for path in ["/", HEALTH, READY, SNAPSHOT, COMMANDS, AUDIT, CHECKPOINT, METRICS, OPENAPI] {
            ask("GET", path, accept);
        }
    }
    let kpi = json!({ "command": "kpi", "cmd_id": "c-1" }).to_string();
    let schema = format!("townlet-schema: {}\r\n", "1".repeat(33));
    assert_eq!(served.post(&schema, &kpi).status, 400);
    assert_eq!(served.post("authorization: Basic x\r\n", &kpi).status, 401);
    let wrong = "authorization: Bearer twn_a_b\r\n";
    let refused = [served.post(wrong, &kpi), served.post(wrong, &kpi)];
    assert_eq!(refused.each_ref().map(|reply| reply.status), [401, 429]);
    assert!(refused[0].head.contains("www-authenticate: ") && refused[1].head.contains("retry-after: "));
    assert_eq!(refused[0].json()["cmd_id"], json!("c-1"));
    for path in [SNAPSHOT, STREAM, COMMANDS, AUDIT, CHECKPOINT, HISTORY, past] {
        assert_eq!(ask("GET", path, &schema).status, 400, "{path}");
        assert_eq!(ask("GET", path, "authorization: Basic x\r\n").status, 401, "{path}");
        assert!(matches!(ask("GET", path, wrong).status, 401 | 429), "{path}");
    }
    assert_eq!(ask("GET", &format!("{AUDIT}?limit=0"), "").status, 400);
    // Moved and not removed: the writer may add a file at any moment.
    let folder = served.home.path().join("logs/console");
    std::fs::rename(&folder, folder.with_extension("away")).expect("a folder");
    std::fs::write(&folder, "").expect("a file");
    assert_eq!(ask("GET", AUDIT, "").status, 500);
    assert_eq!(ask("GET", CHECKPOINT, "").status, 500);
}

#[test]
fn a_shard_that_has_ended_is_503_as_documented() {
    let served = Served::start();
    drop(served.shard.stop());
    for path in [HEALTH, READY, SNAPSHOT, METRICS] {
        assert_eq!((served.get(path, "").status, served.get(path, "").code().as_str()), (503, "E_STOPPING"), "{path}");
    }
    assert_eq!(served.get(READY, "").json()["ready"], json!(false));
    assert_eq!(served.post(&served.admin(), &json!({ "command": "kpi" }).to_string()).status, 503);
}

#[test]
fn every_route_is_429_beyond_the_rate_and_tokens_are_not() {
    let served = Served::with_settings(&[
        ("server.limits.anonymous.requests", "1"),
        ("server.limits.viewer.requests", "1"),
        ("server.limits.admin.requests", "1000"),
    ]);
    // The rate lets one pass a second, and the second empties the bucket.
    let limited = |ask: &dyn Fn() -> Reply| {
        let reply = (0..100).map(|_| ask()).find(|reply| reply.status == 429).expect("a limit");
        assert_eq!(reply.code(), "E_RATE_LIMITED", "{}", reply.body);
    };
    let kpi = json!({ "command": "kpi" }).to_string();
    for path in ["/", HEALTH, READY, SNAPSHOT, STREAM, COMMANDS, AUDIT, METRICS, OPENAPI, "/unknown"] {
        let headers = if path == STREAM { "last-event-id: 1\r\nauthorization: Basic x\r\n" } else { "" };
        limited(&|| served.get(path, headers));
    }
    limited(&|| served.post("", &kpi));
    for _ in 0..20 {
        assert_eq!(served.post(&served.admin(), &kpi).status, 200, "behind the same address");
    }
    let viewer = format!("authorization: Bearer {}\r\n", served.viewer);
    limited(&|| served.post(&viewer, &kpi));
    let figures = served.get(METRICS, &served.admin()).body;
    for level in ["anonymous", "viewer"] {
        let counted = |line: &str| line.contains("why=\"rate\"") && line.contains(&format!("level=\"{level}\""));
        assert!(figures.lines().any(counted), "{level}: {figures}");
    }
}

#[test]
fn the_audit_log_is_read_in_pages() {
    let served = Served::start();
    for number in 0..25 {
        let body = json!({ "command": format!("setmoney ada {number}"), "cmd_id": format!("c-{number}") }).to_string();
        assert_eq!(served.post(&served.admin(), &body).status, 200);
    }
    let (mut seqs, mut before) = (Vec::new(), String::new());
    loop {
        let page = served.get(&format!("{AUDIT}?limit=7&command=money{before}"), "").json();
        let records = page["records"].as_array().expect("records").iter();
        seqs.splice(0..0, records.map(|record| record["seq"].as_u64().expect("a number")));
        let Some(next) = page["before"].as_str() else { break };
        before = format!("&before={next}");
    }
    assert_eq!(
        seqs,
        (2..=51).collect::<Vec<u64>>(),
        "behind the first line, an intent and an outcome each, none missing and none twice"
    );
    let nobody = served.get(&format!("{AUDIT}?issuer=nobody"), "").json();
    assert_eq!((nobody["records"].as_array().map(Vec::len), &nobody["before"]), (Some(0), &Value::Null));
    for query in ["before=x", "since=today", "status=fine", "limit=1001"] {
        assert_eq!(served.get(&format!("{AUDIT}?{query}"), "").status, 400, "{query}");
    }
    // A place of the form that the document describes.
    assert_eq!(served.get(&format!("{AUDIT}?before=2026-02-30T00:00:00.000Z/r/1"), "").status, 200);
}

#[test]
fn the_state_of_a_thousand_residents_is_read_by_every_command() {
    let start = |home: &tempfile::TempDir| {
        townlet_shard::start(crate::kit::sources("stress.yaml", &[]), 7, crate::kit::options(home.path(), true))
    };
    let served = Served::with_shard(crate::kit::temp_home(), None, start);
    let state = served.get(SNAPSHOT, "");
    assert_eq!(state.status, 200);
    assert!(state.body.len() > 1_000_000, "{}", state.body.len());
    let home = served.home.path();
    std::fs::write(home.join("state.json"), &state.body).expect("a file");
    for line in ["telemetry check state.json", &format!("telemetry snapshot --connect {}", served.server.url())] {
        let run = crate::kit::townlet(home, line);
        assert_eq!(run.status.code(), Some(0), "{line}: {}", crate::kit::text(&run.stderr));
    }
    let answer = wait(served.client(None).send_command(&Request::line("telemetry_snapshot")));
    assert_eq!(answer.expect("an answer").status, Status::Ok);
}

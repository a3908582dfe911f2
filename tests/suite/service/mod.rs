//! The HTTP service over a live shard, through plain sockets and through the program's own client: statuses, tokens, TLS,
//! reconnection, a shard of a newer schema.
//!
//! Rules: "HTTP service", "Roles and identity", "Idempotent retries".

mod audit_pages;
mod checkpoints;
mod client;
mod contract;
#[cfg(unix)]
mod credentials;
mod hostile_clients;
mod idle_connections;
mod index_page;
mod metrics;
mod past;
mod views;
mod whatif;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use crate::kit::{TIMEOUT, default_sources, options, wait_until};
use serde_json::json;
use townlet_shard::tokens::TokenStore;
use townlet_source::remote::{Client, ClientError, Target};
use townlet_source::{Link, Remote, Source, SourceEvent};
use townlet_wire::service::{
    AUDIT, CHECKPOINT, COMMANDS, CONSOLE, HEALTH, HISTORY, METRICS, OPENAPI, PAST, READY, SNAPSHOT, STREAM, VIEW,
};
use townlet_wire::{Answer, Request, Role, Snapshot, Status};

use client::{Served, certificate, serve, service, wait};

#[test]
fn every_endpoint_answers_and_is_in_the_openapi_document() {
    let served = Served::start();
    for path in
        [HEALTH, READY, SNAPSHOT, COMMANDS, AUDIT, CHECKPOINT, METRICS, OPENAPI, HISTORY, &PAST.replace("{tick}", "0")]
    {
        let reply = served.get(path, "");
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        assert!(reply.head.contains("townlet-schema: 0.2.0"), "{path}: {}", reply.head);
    }
    let view: Snapshot = serde_json::from_str(&served.get(SNAPSHOT, "").body).expect("a snapshot");
    assert_eq!(view.schema_version, "0.2.0");
    let figures = served.get(METRICS, "").body;
    for part in [
        "townlet_residents",
        "# TYPE townlet_ghost_steps_total counter",
        "townlet_ghost_steps_total",
        "townlet_exit_queue_peak",
    ] {
        assert!(figures.contains(part), "{part}: {figures}");
    }
    let document = served.get(OPENAPI, "").json();
    for path in [HEALTH, READY, SNAPSHOT, STREAM, VIEW, CONSOLE, COMMANDS, AUDIT, METRICS, OPENAPI, HISTORY, PAST] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    // Every reference of the document resolves.
    let text = document.to_string();
    for place in text.split("\"$ref\":\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(document["components"]["schemas"][place].is_object(), "{place}");
    }
}

#[test]
fn http_commands_are_answered_and_logged_with_their_token() {
    let served = Served::start();
    let line = |cmd_id: &str, command: &str| json!({ "command": command, "cmd_id": cmd_id }).to_string();
    let done = served.post(&served.admin(), &line("a-1", "setmoney ada 7"));
    assert_eq!((done.status, done.json()["replayed"].clone()), (200, json!(false)), "{}", done.body);
    let before = served.digest();
    let again = served.post(&served.admin(), &line("a-1", "setmoney ada 7"));
    assert_eq!((again.status, again.json()["replayed"].clone()), (200, json!(true)), "{}", again.body);
    assert_eq!(served.digest(), before);
    for (headers, body, status, code) in [
        (served.admin(), json!({ "command": "setmoney ada 7" }).to_string(), 400, "E_CMD_ID_REQUIRED"),
        (served.admin(), line("a-1", "setmoney ada 8"), 422, "E_CMD_ID_REUSED"),
        (served.admin(), line("a-2", "setmoney nobody 8"), 404, "E_NOT_FOUND"),
        (served.admin(), line("a-2", "setmony ada 8"), 404, "E_UNKNOWN_COMMAND"),
        (served.admin(), line("a-2", "setmoney ada much"), 400, "E_INVALID_ARG"),
        (served.admin(), line("a|2", "setmoney ada 8"), 400, "E_INVALID_ARG"),
        (served.admin(), "{}".into(), 400, "E_INVALID_ARG"),
        (served.admin(), "[".into(), 400, "E_INVALID_ARG"),
        (served.admin(), json!({ "command": "kpi", "more": 1 }).to_string(), 400, "E_INVALID_ARG"),
        (served.admin(), line("a-3", "setmoney ada 9 twn_a_b"), 400, "E_INVALID_ARG"),
        (String::new(), line("a-3", "setmoney ada 9"), 403, "E_FORBIDDEN"),
        (String::new(), line("a-3", "escalate --reason \"let me\""), 403, "E_FORBIDDEN"),
        (format!("authorization: Bearer {}\r\n", served.viewer), line("a-3", "pause"), 403, "E_FORBIDDEN"),
        (format!("{}townlet-schema: 0.1.0\r\n", served.admin()), line("a-3", "setmoney ada 9"), 426, "E_SCHEMA_OLD"),
    ] {
        let reply = served.post(&headers, &body);
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{body}: {}", reply.body);
        assert!(!reply.body.contains("twn_a_b"), "{}", reply.body);
    }
    assert_eq!(served.digest(), before, "whatever was refused changed nothing");
    // An older client may read, and dry runs are allowed.
    let older = "townlet-schema: 0.1.0\r\n";
    assert_eq!(served.post(older, &json!({ "command": "kpi" }).to_string()).status, 200);
    let dry = json!({ "command": "setmoney ada 9", "dry_run": true }).to_string();
    assert_eq!(served.post(&served.admin(), &dry).json()["status"], json!("dry_run"));
    // Refusals are not synced; an acknowledged command comes after them in the file.
    assert_eq!(served.post(&served.admin(), &line("a-9", "setmoney ada 9")).status, 200);
    let log = served.log();
    let outcome = log.iter().find(|record| record.cmd_id == "a-1").expect("it is logged");
    let id = served.admin.split('_').nth(1).unwrap();
    assert_eq!((outcome.issuer.clone(), outcome.transport.as_str()), (format!("token:{id}"), "http"));
    let refused = log.iter().find(|record| record.cmd_id == "a-3" && record.command == "setmoney");
    assert!(refused.is_some_and(|record| record.issuer == "http:127.0.0.1"), "what was refused is logged too");
    let secret = served.admin.rsplit('_').next().unwrap();
    let text = std::fs::read_to_string(served.home.path().join("logs/console").join(log_name(&served))).unwrap();
    assert!(!text.contains(secret));
}

#[test]
fn remote_admin_can_reload_and_viewer_cannot() {
    let home = crate::kit::temp_home();
    let file = home.path().join(crate::kit::CONFIG_FILE);
    std::fs::write(&file, "policy: { release: scripted }\n").unwrap();
    let served = Served::with_shard(home, None, |home| {
        townlet_shard::start(
            crate::kit::read_config(home.path()).expect("the file holds").sources,
            7,
            crate::kit::options_with_reload(home.path()),
        )
    });
    std::fs::write(&file, "policy: { release: scripted }\nkpis: { attendance: 0.5 }\n").unwrap();
    let line = |cmd_id: &str| json!({ "command": "reload_config", "cmd_id": cmd_id }).to_string();
    let viewer = served.post(&format!("authorization: Bearer {}\r\n", served.viewer), &line("r-1"));
    assert_eq!((viewer.status, viewer.code().as_str()), (403, "E_FORBIDDEN"));
    let done = served.post(&served.admin(), &line("r-1"));
    assert_eq!((done.status, &done.json()["result"]["changes"][0]["key"]), (200, &json!("kpis.attendance")));
    std::fs::write(&file, "seed: 9\n").unwrap();
    let again = served.post(&served.admin(), &line("r-1"));
    assert_eq!((again.status, &again.json()["replayed"]), (200, &json!(true)), "{}", again.body);
    let fixed = served.post(&served.admin(), &line("r-2"));
    assert_eq!((fixed.status, fixed.code().as_str()), (409, "E_CONFLICT"), "{}", fixed.body);
    let view: Snapshot = serde_json::from_str(&served.get(SNAPSHOT, "").body).expect("a snapshot");
    assert_eq!(json!(view.texts_digest), done.json()["result"]["texts_digest"]["after"]);
}

#[test]
fn an_answered_command_is_in_the_next_read() {
    let served = Served::start();
    let read = || -> Snapshot { serde_json::from_str(&served.get(SNAPSHOT, "").body).expect("a snapshot") };
    for number in 1..=50 {
        let line = json!({ "command": format!("setmoney ada {number}"), "cmd_id": format!("w-{number}") }).to_string();
        assert_eq!(served.post(&served.admin(), &line).status, 200);
        assert_eq!(read().jobs["ada"].wallet.to_bits(), f64::from(number).to_bits());
    }
    for (command, speed) in [("speed 10x", "10x"), ("pause", "paused"), ("resume", "10x")] {
        let line = json!({ "command": command, "cmd_id": command.replace(' ', "-") }).to_string();
        assert_eq!(served.post(&served.admin(), &line).status, 200);
        assert_eq!(read().clock.speed, speed, "{command}");
    }
}

#[test]
fn a_bound_address_refuses_connections_until_it_serves() {
    let home = crate::kit::temp_home();
    let (place, options) = service(&home, "127.0.0.1:0", None);
    let bound = townlet_server::bind(place).expect("a free port");
    let connect = || std::net::TcpStream::connect(bound.address()).map_err(|why| why.kind());
    assert_eq!(connect().err(), Some(std::io::ErrorKind::ConnectionRefused));
    let address = bound.address();
    let shard = townlet_shard::start(default_sources(&[]), 7, crate::kit::options(home.path(), true)).unwrap();
    let server = bound.serve(Arc::new(shard), options).expect("it listens");
    assert_eq!(server.address(), address);
    assert!(std::net::TcpStream::connect(address).is_ok());
    let taken = townlet_server::bind(service(&home, &address.to_string(), None).0);
    assert!(taken.err().is_some_and(|why| why.to_string().contains(&address.to_string())));
}

fn log_name(served: &Served) -> String {
    format!("{}-0001.jsonl", served.shard.run_id)
}

#[test]
fn wrong_tokens_are_rate_limited_and_right_ones_are_not() {
    let served = Served::start();
    let with = |token: &str| served.get(COMMANDS, &format!("authorization: Bearer {token}\r\n"));
    assert_eq!((with("twn_a_b").status, with("twn_a_c").status), (401, 429));
    assert_eq!(with("twn_a_d").code(), "E_TOO_MANY");
    assert!(with("twn_a_d").head.contains("retry-after: "));
    let reply = with(&served.admin);
    assert_eq!((reply.status, &reply.json()["session"]["role"]), (200, &json!("admin")));
    for headers in [
        "authorization: Basic YTpi\r\n",
        "authorization: Bearer \r\n",
        "authorization: Bearer a\r\nauthorization: Bearer b\r\n",
    ] {
        assert_eq!(served.get(COMMANDS, headers).status, 401, "{headers}");
    }
    assert_eq!(served.get(COMMANDS, "").json()["session"]["role"], json!("viewer"), "without one anybody may look");
    let shown = served.get(&format!("{COMMANDS}?token={}", served.admin), "");
    assert_eq!((shown.status, shown.code().as_str()), (400, "E_INVALID_ARG"));
    // Tokens revoked and made while the service runs.
    let file = served.home.path().join("ops/tokens.json");
    let mut tokens = TokenStore::load(&file).unwrap();
    assert!(tokens.revoke(served.admin.split('_').nth(1).unwrap()));
    let fresh = tokens.create(Role::Admin).unwrap();
    tokens.save(&file).unwrap();
    assert_ne!(with(&served.admin).status, 200);
    assert_eq!(with(&fresh).status, 200);
    let said = std::fs::read_to_string(served.home.path().join("logs/townlet.log")).expect("refusals are written down");
    assert!(
        said.contains("E_UNAUTHORIZED")
            && !said.contains("twn_")
            && !said.contains(served.admin.rsplit('_').next().unwrap())
    );
}

#[test]
fn public_address_requires_tls_and_tokens() {
    let home = crate::kit::temp_home();
    let shard = Arc::new(townlet_shard::start(default_sources(&[]), 7, options(home.path(), true)).unwrap());
    let refused = |options| match serve(&shard, options) {
        Err(why) => why.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(refused(service(&home, "0.0.0.0:0", None)).contains("--tls-cert"));
    assert!(refused(service(&home, "[::]:0", None)).contains("--tls-cert"));
    let (pair, _) = certificate(&home, "one");
    assert!(refused(service(&home, "0.0.0.0:0", Some(pair.clone()))).contains("townlet token create"));
    let file = home.path().join("ops/tokens.json");
    let mut tokens = TokenStore::load(&file).unwrap();
    tokens.create(Role::Admin).unwrap();
    tokens.save(&file).unwrap();
    assert!(serve(&shard, service(&home, "0.0.0.0:0", Some(pair))).is_ok());
    let missing = (home.path().join("none.pem"), home.path().join("none.key"));
    let why = serve(&shard, service(&home, "127.0.0.1:0", Some(missing))).unwrap_err();
    assert!(why.to_string().contains("none.pem"), "{why}");
}

#[test]
fn tls_certificates_are_reloaded() {
    let folder = crate::kit::temp_home();
    let (pair, authority) = certificate(&folder, "served");
    let served = Served::with(Some(pair.clone()));
    let ca = folder.path().join("ca.pem");
    std::fs::copy(&authority, &ca).unwrap();
    let with = |ca: &PathBuf| {
        let (token, ca) = (Some(served.admin.clone()), Some(ca.clone()));
        let target = Target { url: served.server.url(), token, ca, ..Target::default() };
        wait(Client::new(&target).expect("an address").welcome())
    };
    assert_eq!(with(&ca).expect("it is trusted").session.role, Role::Admin);
    let (other, other_ca) = certificate(&folder, "other");
    assert!(matches!(with(&other_ca), Err(ClientError::Unreachable(_))), "another authority vouches for nothing");
    std::fs::copy(other.0, &pair.0).unwrap();
    std::fs::copy(other.1, &pair.1).unwrap();
    served.server.reload();
    let late = Instant::now() + TIMEOUT;
    while with(&other_ca).is_err() {
        assert!(Instant::now() < late, "the new certificate is not taken up");
    }
    assert!(with(&ca).is_err());
}

/// The notices of a source.
fn deliveries(source: &mut Remote) -> Receiver<SourceEvent> {
    let (send, notices) = channel();
    source.start(Box::new(move |notice| drop(send.send(notice))));
    notices
}

#[track_caller]
fn until<T>(notices: &Receiver<SourceEvent>, what: &str, mut fits: impl FnMut(SourceEvent) -> Option<T>) -> T {
    let late = Instant::now() + TIMEOUT;
    loop {
        let notice = notices.recv_timeout(late.saturating_duration_since(Instant::now()));
        if let Some(found) = fits(notice.unwrap_or_else(|_| panic!("it never came: {what}"))) {
            return found;
        }
    }
}

fn view(notice: SourceEvent) -> Option<Arc<Snapshot>> {
    if let SourceEvent::View(view) = notice { Some(view) } else { None }
}

fn answer(notice: SourceEvent) -> Option<Answer> {
    if let SourceEvent::Answer(answer) = notice { Some(answer) } else { None }
}

/// The state without values that change while the town is paused, and without the order of ties, which a remote source does not
/// know.
fn steady(mut view: Snapshot) -> Snapshot {
    view.relationships.ties.sort_by(|a, b| (&a.agent, &a.other).cmp(&(&b.agent, &b.other)));
    view.health.uptime_seconds = 0;
    view.clock.ticks_per_second = 0.0;
    view
}

#[test]
fn remote_source_shows_the_shards_state() {
    let served = Served::start();
    let mut source = Remote::new(served.client(Some(&served.admin)));
    let notices = deliveries(&mut source);
    until(&notices, "who one is", |notice| match notice {
        SourceEvent::SourceInfo(hello) if hello.session.role == Role::Admin => Some(()),
        _ => None,
    });
    until(&notices, "a live connection", |notice| matches!(notice, SourceEvent::Link(Link::Live { .. })).then_some(()));
    served.shard.run_to(400, |_| true);
    source.send(Request::line("setmoney ada 3"));
    assert_eq!(until(&notices, "an answer", answer).status, Status::Ok);
    // It looks at nobody.
    let here = steady(served.shard.view().unwrap().0.without_details());
    until(&notices, "the same state", |notice| view(notice).filter(|view| steady(view.as_ref().clone()) == here));
    assert!(source.close().contains("the town keeps running"));
    assert!(served.shard.view().is_some());
}

#[test]
fn remote_viewer_escalates_with_a_token_and_back() {
    let served = Served::start();
    let mut source = Remote::new(served.client(None));
    let notices = deliveries(&mut source);
    until(&notices, "a live connection", |notice| matches!(notice, SourceEvent::Link(Link::Live { .. })).then_some(()));
    let ask = |source: &mut Remote, request: Request| {
        source.send(request);
        until(&notices, "an answer", answer)
    };
    let code = |answer: Answer| answer.error.map(|error| error.code).unwrap_or_default();
    assert_eq!(code(ask(&mut source, Request::line("setmoney ada 3"))), "E_FORBIDDEN");
    let wrong = Request { secret: Some("twn_no_no".into()), ..Request::line("escalate") };
    assert_eq!(code(ask(&mut source, wrong)), "E_UNAUTHORIZED");
    let right = Request { secret: Some(served.admin.clone()), ..Request::line("escalate") };
    assert_eq!(ask(&mut source, right).status, Status::Ok);
    assert_eq!(ask(&mut source, Request::line("setmoney ada 3")).status, Status::Ok);
    assert_eq!(ask(&mut source, Request::line("viewer")).status, Status::Ok);
    assert_eq!(code(ask(&mut source, Request::line("setmoney ada 4"))), "E_FORBIDDEN");
    assert!(served.log().iter().any(|record| record.command == "escalate" && record.transport == "http"));
}

#[test]
fn remote_source_reconnects_after_a_service_restart() {
    let mut served = Served::start();
    let mut source = Remote::new(served.client(Some(&served.admin)));
    let notices = deliveries(&mut source);
    until(&notices, "a live connection", |notice| matches!(notice, SourceEvent::Link(Link::Live { .. })).then_some(()));
    let address = served.server.address();
    served.server.stop();
    let late = Instant::now() + TIMEOUT;
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < late, "it listens no more");
    }
    let why = until(&notices, "that it is lost", |notice| match notice {
        SourceEvent::Link(Link::Reconnecting { why, .. }) => Some(why),
        _ => None,
    });
    assert_eq!(why, "the shard is stopping");
    // Sent while the service is down: applied once when it is back.
    let cmd_id = source.send(Request::line("setmoney ada 3"));
    let again = service(&served.home, &address.to_string(), None);
    served.server = serve(&served.shard, again).expect("the address is free again");
    // Stream and command reconnect independently, in any order.
    let (mut live, mut done) = (false, None);
    until(&notices, "the answer, and a live connection again", |notice| {
        match notice {
            SourceEvent::Link(link) => live = matches!(link, Link::Live { .. }),
            SourceEvent::Answer(answer) => done = Some(answer),
            _ => {}
        }
        (live && done.is_some()).then_some(())
    });
    let done = done.expect("waited for");
    assert_eq!((done.status, done.cmd_id), (Status::Ok, cmd_id.clone()), "{:?}", done.error);
    let outcomes =
        served.log().into_iter().filter(|record| record.cmd_id == cmd_id && record.status == Some(Status::Ok)).count();
    assert_eq!(outcomes, 1);
}

#[test]
fn a_command_for_another_run_is_refused_with_both_runs_named() {
    let served = Served::start();
    let line = |run: &str| json!({ "command": "setmoney ada 3", "cmd_id": "r-1", "run_id": run }).to_string();
    let reply = served.post(&served.admin(), &line("run-before"));
    let this = served.shard.run_id.clone();
    assert_eq!((reply.status, reply.code().as_str()), (409, "E_OTHER_RUN"), "{}", reply.body);
    let message = format!("the command was meant for the run run-before; this shard runs {this}.");
    assert_eq!(reply.json()["error"]["message"], message);
    // The same command for this run is carried out: a refusal is not remembered.
    let reply = served.post(&served.admin(), &line(&this));
    assert_eq!(reply.json()["status"], "ok", "{}", reply.body);
    // The log holds everything before an acknowledged command.
    let refused = served.log().into_iter().find(|record| record.cmd_id == "r-1").expect("it is logged");
    assert_eq!((refused.stage, refused.command.as_str()), (townlet_audit::Stage::Rejected, "setmoney"));
}

#[test]
fn a_command_that_waits_for_the_connection_is_not_applied_to_another_run() {
    let mut served = Served::start();
    let mut source = Remote::new(served.client(Some(&served.admin)));
    let notices = deliveries(&mut source);
    until(&notices, "a live connection", |notice| matches!(notice, SourceEvent::Link(Link::Live { .. })).then_some(()));
    let (address, before) = (served.server.address().to_string(), served.shard.run_id.clone());
    served.server.stop();
    until(&notices, "that it is lost", |notice| {
        matches!(notice, SourceEvent::Link(Link::Reconnecting { .. })).then_some(())
    });
    let [waits, given_up] = ["setmoney ada 3", "setmoney ada 4"].map(|line| source.send(Request::line(line)));
    let listed = until(&notices, "both commands in the list", |notice| match notice {
        SourceEvent::Unconfirmed(list) if list.len() == 2 && !list[0].why.is_empty() => Some(list),
        _ => None,
    });
    assert_eq!(listed.iter().map(|command| &command.cmd_id).collect::<Vec<_>>(), [&waits, &given_up]);
    assert!(listed.iter().all(|command| command.retrying && !command.maybe_received), "{listed:?}");
    source.give_up(&given_up);
    let said = until(&notices, "that it is given up", answer);
    assert_eq!((&said.cmd_id, said.error.expect("an error").code.as_str()), (&given_up, "E_GIVEN_UP"));
    // Another run is served at the same address, with the same tokens.
    served.shard.stop().expect("it stops");
    let other = townlet_shard::start(default_sources(&[]), 7, options(served.home.path(), true));
    served.shard = Arc::new(other.expect("it starts"));
    served.server = serve(&served.shard, service(&served.home, &address, None)).expect("the address is free again");
    let said = until(&notices, "the answer to the command that waited", answer);
    let error = said.error.expect("it is refused");
    assert_eq!((&said.cmd_id, error.code.as_str()), (&waits, "E_OTHER_RUN"));
    assert!(error.message.contains(&before) && error.message.contains(&served.shard.run_id), "{}", error.message);
    assert!(
        served
            .log()
            .iter()
            .all(|record| record.command != "setmoney" || record.stage == townlet_audit::Stage::Rejected)
    );
    source.close();
}

#[test]
fn closing_names_what_is_given_up_and_claims_nothing_of_a_shard_that_is_not_heard() {
    let mut served = Served::start();
    let mut source = Remote::new(served.client(Some(&served.admin)));
    let notices = deliveries(&mut source);
    until(&notices, "a live connection", |notice| matches!(notice, SourceEvent::Link(Link::Live { .. })).then_some(()));
    served.server.stop();
    until(&notices, "that it is lost", |notice| {
        matches!(notice, SourceEvent::Link(Link::Reconnecting { .. })).then_some(())
    });
    let cmd_id = source.send(Request::line("setmoney ada 3"));
    let said = source.close();
    let url = served.server.url();
    assert!(!said.contains("keeps running") && said.starts_with(&format!("{url} has stopped\n")), "{said}");
    assert!(said.contains(&format!("`setmoney ada 3` ({cmd_id}): given up;")), "{said}");
}

/// A server that answers like a shard of this schema and records the commands it gets. It never answers them unless its schema is newer
/// than this one, and its stream has one message.
fn fake(state: &Snapshot, schema: &str) -> (SocketAddr, Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let commands = Arc::new(std::sync::Mutex::new(Vec::new()));
    let got = Arc::clone(&commands);
    let session = json!({ "issuer": "token:x", "role": "admin", "transport": "http", "owner": false });
    let (schema, is_silent) = (schema.to_owned(), !townlet_wire::service::is_newer(schema));
    let welcome = json!({ "shard": "future", "schema_version": schema, "session": session,
        "commands": townlet_shard::specs(), "facts": [], "also": "something new" });
    let mut payload = serde_json::to_value(state).expect("a state");
    payload["schema_version"] = json!(schema);
    payload["weather"] = json!({ "rain": 1.0 });
    let envelope = json!({ "schema_version": schema, "config_id": "c", "shard": "future", "epoch": 1, "seq": 1,
        "prev_seq": 0, "tick": 1, "kind": "snapshot", "payload": payload });
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = vec![0; 4_096];
            let read = stream.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..read]).into_owned();
            let (kind, body) = if head.contains(STREAM) {
                ("text/event-stream", format!("id: 1:1\nevent: snapshot\ndata: {envelope}\n\n"))
            } else if head.contains(COMMANDS) {
                ("application/json", welcome.to_string())
            } else if head.contains(SNAPSHOT) {
                ("application/json", envelope["payload"].to_string())
            } else {
                if head.contains(CONSOLE) {
                    got.lock().unwrap_or_else(PoisonError::into_inner).push(head.clone());
                }
                if is_silent {
                    std::thread::spawn(move || stream.read(&mut [0; 16]));
                    continue;
                }
                ("application/json", "{}".to_owned())
            };
            let open =
                if head.contains(STREAM) { String::new() } else { format!("content-length: {}\r\n", body.len()) };
            let _ = stream.write_all(
                format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntownlet-schema: {schema}\r\nconnection: close\r\n{open}\r\n{body}")
                    .as_bytes(),
            );
            // The stream stays open until the client leaves.
            if head.contains(STREAM) {
                std::thread::spawn(move || stream.read(&mut [0; 16]));
            }
        }
    });
    (address, commands)
}

#[test]
fn pace_and_reads_are_refused_at_once_by_a_silent_shard_behind_a_command_that_waits() {
    let served = Served::start();
    let (address, commands) = fake(&served.shard.view().unwrap().0, townlet_wire::SCHEMA_VERSION);
    let target = Target { url: format!("http://{address}"), token: Some(served.admin.clone()), ..Target::default() };
    let mut source = Remote::new(Client::new(&target).unwrap());
    let notices = deliveries(&mut source);
    until(&notices, "that it is silent", |notice| {
        matches!(notice, SourceEvent::Link(Link::Stale { .. })).then_some(())
    });
    source.send(Request::line("price meal 5"));
    wait_until("an attempt", || !commands.lock().unwrap().is_empty());
    for request in [Request::line("pause"), Request::line("kpi"), Request::preview("kill ada")] {
        let line = request.command.clone();
        source.send(request);
        let refused = until(&notices, "an answer", |notice| match notice {
            SourceEvent::Answer(answer) => Some(answer),
            SourceEvent::Unconfirmed(list) => {
                assert!(list.iter().all(|command| command.why.is_empty()), "{line} waited for the attempt: {list:?}");
                None
            }
            _ => None,
        });
        assert_eq!((refused.command.as_str(), refused.error.map(|it| it.code)), (&*line, Some("E_UNREACHABLE".into())));
    }
    source.close();
    let sent = commands.lock().unwrap();
    assert!(sent.iter().all(|head| head.contains("price meal 5")), "{sent:?}");
}

#[test]
fn shard_of_a_newer_schema_is_read_only() {
    let served = Served::start();
    let (address, commands) = fake(&served.shard.view().unwrap().0, "0.3.0");
    let target = Target { url: format!("http://{address}"), token: Some(served.admin.clone()), ..Target::default() };
    let mut source = Remote::new(Client::new(&target).unwrap());
    let notices = deliveries(&mut source);
    assert_eq!(until(&notices, "its state", view).schema_version, "0.3.0");
    for line in ["setmoney ada 3", "pause"] {
        source.send(Request::line(line));
        let refused = until(&notices, "a refusal", answer);
        assert_eq!(refused.error.map(|error| error.code).as_deref(), Some("E_SCHEMA_NEW"), "{line}");
    }
    assert!(commands.lock().unwrap().is_empty(), "nothing was sent");
    let binary = env!("CARGO_BIN_EXE_townlet");
    let run = |args: &[&str]| {
        let url = target.url.as_str();
        let home = served.home.path();
        let command = std::process::Command::new(binary)
            .args(args)
            .args(["--connect", url])
            .env("HOME", home)
            .env("XDG_CONFIG_HOME", home)
            .stdin(std::process::Stdio::null())
            .output()
            .expect("it runs");
        (command.status.code(), String::from_utf8_lossy(&command.stderr).into_owned())
    };
    let (status, said) = run(&["telemetry", "tail", "--count", "1"]);
    assert!(status == Some(0) && said.contains("schema 0.3.0, newer than 0.2.0"), "{status:?} {said}");
    let (status, said) = run(&["telemetry", "snapshot"]);
    assert!(status == Some(0) && said.contains("schema 0.3.0, newer than 0.2.0"), "{status:?} {said}");
    let console = std::process::Command::new(binary)
        .args(["console", "--connect", &target.url, "setmoney ada 3"])
        .env("HOME", served.home.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&console.stderr);
    assert!(console.status.code() == Some(2) && said.contains("newer") && said.contains("Nothing was sent"), "{said}");
    assert!(commands.lock().unwrap().is_empty(), "nothing was sent");
}

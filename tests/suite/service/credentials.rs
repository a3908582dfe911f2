//! Principals, expiry and the end of tokens, tokens in fields, a store that is not to be trusted, and what strangers may read.
//!
//! Rule: "Roles and identity".

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use townlet_server::AnonymousReading;
use townlet_shard::tokens::TokenStore;
use townlet_source::remote::{Client, Target};
use townlet_source::{Link, Remote, Source as _, SourceEvent};
use townlet_wire::service::{AUDIT, COMMANDS, Focus, HEALTH, METRICS, OPENAPI, READY, SNAPSHOT, STREAM};
use townlet_wire::{ErrorBody, Request, Role, Status};

use super::client::{Reply, Served, certificate, read, serve, service, wait};
use super::{answer, deliveries, until};
use crate::kit::{TIMEOUT, files_below, temp_home, test_session, wait_until};

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

fn line(cmd_id: &str, command: &str) -> String {
    json!({ "command": command, "cmd_id": cmd_id }).to_string()
}

/// Changes the token store of a served shard.
fn change<T>(served: &Served, edit: impl FnOnce(&mut TokenStore) -> T) -> T {
    let file = store(served);
    let mut tokens = TokenStore::load(&file).expect("the store");
    let done = edit(&mut tokens);
    tokens.save(&file).expect("it is saved");
    done
}

fn store(served: &Served) -> PathBuf {
    served.home.path().join("ops/tokens.json")
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("the permissions");
}

/// The end of a response that is being read. A stream speaks every second, so a read alone would never time out.
fn rest(stream: &mut TcpStream) -> String {
    let (mut text, mut piece, late) = (String::new(), [0; 4_096], Instant::now() + TIMEOUT);
    loop {
        assert!(Instant::now() < late, "the stream goes on: {text}");
        match stream.read(&mut piece).expect("it is closed in order") {
            0 => return text,
            count => text.push_str(&String::from_utf8_lossy(&piece[..count])),
        }
    }
}

/// A stream that has begun, with this token.
fn open_stream(served: &Served, token: &str) -> TcpStream {
    let mut stream = served.connect();
    write!(stream, "GET {STREAM} HTTP/1.1\r\nhost: x\r\n{}\r\n", bearer(token)).expect("it is sent");
    let (mut said, mut piece) = (String::new(), [0; 4_096]);
    while !said.contains("event: ") {
        let count = stream.read(&mut piece).expect("it speaks");
        said.push_str(&String::from_utf8_lossy(&piece[..count]));
        assert!(count > 0, "{said}");
    }
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    stream
}

#[test]
fn a_command_sent_again_under_a_rotated_token_is_not_run_again() {
    let served = Served::start();
    let first = change(&served, |tokens| tokens.create_named("ada-laptop", Role::Admin, None)).unwrap();
    let done = served.post(&bearer(&first), &line("once", "spawn"));
    assert_eq!((done.status, &done.json()["replayed"]), (200, &json!(false)), "{}", done.body);
    let second = change(&served, |tokens| tokens.rotate("ada-laptop", Timestamp::now(), None, None)).unwrap();
    let before = served.digest();
    let again = served.post(&bearer(&second), &line("once", "spawn"));
    assert_eq!((again.status, &again.json()["replayed"]), (200, &json!(true)), "{}", again.body);
    assert_eq!(again.json()["result"], done.json()["result"]);
    assert_eq!(served.digest(), before, "nobody moved in a second time");
    let other = served.post(&bearer(&second), &line("once", "setmoney ada 5"));
    assert_eq!(other.status, 422, "the id belongs to another command: {}", other.body);
    // A refusal is answered before its record is written.
    let issuers = || -> Vec<String> {
        served.log().into_iter().filter(|record| record.cmd_id == "once").map(|record| record.issuer).collect()
    };
    wait_until("the three requests are in the log", || issuers().len() >= 3);
    assert!(issuers().iter().all(|issuer| issuer == "token:ada-laptop"), "{:?}", issuers());
    let session = served.get(COMMANDS, &bearer(&second)).json()["session"].clone();
    assert_eq!((&session["issuer"], &session["role"]), (&json!("token:ada-laptop"), &json!("admin")));
}

#[test]
fn the_streams_of_a_token_end_with_it() {
    let served = Served::start();
    let ada = change(&served, |tokens| tokens.create_named("ada", Role::Viewer, None)).unwrap();
    let ben = change(&served, |tokens| tokens.create_named("ben", Role::Viewer, None)).unwrap();
    let (mut revoked, mut expired) = (open_stream(&served, &ada), open_stream(&served, &ben));
    let mut stays = open_stream(&served, &served.admin);
    change(&served, |tokens| assert!(tokens.revoke("ada")));
    let said = rest(&mut revoked);
    assert!(said.contains("event: bye") && said.contains("the token `ada` was revoked."), "{said}");
    // The new one is made for a day, ten days ago; what was left of the old one is over since.
    let past = Timestamp::now() - SignedDuration::from_hours(240);
    let day = Some(SignedDuration::from_hours(24));
    change(&served, |tokens| tokens.rotate("ben", past, day, day)).unwrap();
    let said = rest(&mut expired);
    assert!(said.contains("event: bye") && said.contains("the token `ben` expired at 20"), "{said}");
    let reply = served.get(SNAPSHOT, &bearer(&ben));
    assert_eq!((reply.status, reply.code().as_str()), (401, "E_UNAUTHORIZED"));
    assert!(
        reply.body.contains("the token `ben` expired at 20") && reply.body.contains("token rotate"),
        "{}",
        reply.body
    );
    // The stream of another token goes on.
    served.shard.run_to(3, |_| true);
    let mut piece = [0; 4_096];
    assert!(stays.read(&mut piece).expect("it speaks") > 0);
    let log = std::fs::read_to_string(served.home.path().join("logs/townlet.log")).unwrap();
    assert!(log.contains("ended a stream of ada: the token `ada` was revoked."), "{log}");
}

#[test]
fn requests_that_wait_end_with_their_token() {
    let served = Served::start();
    let ada = change(&served, |tokens| tokens.create_named("ada", Role::Admin, None)).unwrap();
    // The town's thread is busy until the test lets it go on, so a command has to wait for it.
    let (release, held) = mpsc::channel::<()>();
    let (entered, busy) = mpsc::channel();
    let session = served.shard.open(test_session("test:viewer", Role::Viewer, false), |_| {});
    served.shard.ask(session, Request::line("health_status"), move |_| {
        let _ = entered.send(());
        let _ = held.recv();
    });
    busy.recv().expect("the town's thread is busy");
    let mut waiting = served.connect();
    let body = line("late", "spawn");
    write!(
        waiting,
        "POST /v1/console HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n{}content-length: {}\r\n\r\n{body}",
        bearer(&ada),
        body.len()
    )
    .expect("it is sent");
    change(&served, |tokens| assert!(tokens.revoke("ada")));
    let reply = read(&mut waiting);
    drop(release);
    // A request that is read after the token ended is refused with other words.
    assert_eq!((reply.status, reply.code().as_str()), (401, "E_UNAUTHORIZED"), "{}", reply.body);
}

#[test]
fn a_screen_with_a_revoked_token_says_why_and_asks_no_more() {
    let served = Served::start();
    let ada = change(&served, |tokens| tokens.create_named("ada", Role::Viewer, None)).unwrap();
    let mut source = Remote::new(served.client(Some(&ada)));
    let notices = deliveries(&mut source);
    let live = |notice| matches!(notice, SourceEvent::Link(Link::Live { .. })).then_some(());
    until(&notices, "a live connection", live);
    change(&served, |tokens| assert!(tokens.revoke("ada")));
    let why = until(&notices, "the refusal", denied);
    assert!(why.contains("the token is not valid"), "{why}");
    // It is said every second, and asked once, whatever is on screen meanwhile.
    for resident in ["bo", "cleo", "dario"] {
        source.look_at(&Focus { residents: [resident.to_owned()].into(), ..Focus::default() });
        until(&notices, "the refusal", denied);
    }
    let log = std::fs::read_to_string(served.home.path().join("logs/townlet.log")).unwrap();
    assert_eq!([log.matches("E_UNAUTHORIZED").count(), log.matches("E_TOO_MANY").count()], [1, 0], "{log}");
    // Reads, commands of pace and previews say so in the same words.
    let preview = Request { dry_run: true, query: true, ..Request::line("setneed ada hunger 0.5") };
    for request in [Request::line("pause"), Request::line("health_status"), preview] {
        let command = request.command.clone();
        source.send(request);
        let refused = until(&notices, "a refusal", answer);
        let said = refused.error.as_ref().map(ToString::to_string).unwrap_or_default();
        assert_eq!(said.trim_end_matches('.'), why, "{command}");
        assert_eq!(refused.shard_tick(), None, "{command}");
    }
    // Another token opens the connection again.
    source.send(Request { secret: Some(served.admin.clone()), ..Request::line("escalate") });
    assert_eq!(until(&notices, "an answer", answer).status, Status::Ok);
    until(&notices, "a live connection", live);
    assert!(source.close().contains("the town keeps running"));
}

#[test]
fn a_command_that_is_answered_opens_the_stream_of_a_token_that_was_refused() {
    let served = Served::start();
    let mut source = Remote::new(served.client(Some(&served.admin)));
    let notices = deliveries(&mut source);
    let live = |notice| matches!(notice, SourceEvent::Link(Link::Live { .. })).then_some(());
    until(&notices, "a live connection", live);
    let (file, away) = (store(&served), served.home.path().join("away"));
    let bytes = std::fs::read(&file).expect("the store");
    std::fs::rename(&file, &away).expect("it is moved away");
    until(&notices, "the refusal", denied);
    std::fs::write(&file, bytes).expect("it is put back");
    mode(&file, 0o600);
    source.send(Request::line("setmoney ada 3"));
    assert_eq!(until(&notices, "an answer", answer).status, Status::Ok);
    until(&notices, "a live connection", live);
    source.close();
}

#[test]
fn a_token_that_is_kept_waiting_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let shard = std::thread::spawn(move || {
        for stream in listener.incoming().take(2) {
            let mut stream = stream.expect("a client");
            assert!(stream.read(&mut [0; 4_096]).expect("a request") > 0);
            let error = ErrorBody::new("E_TOO_MANY", "too many invalid tokens from this address.", "Wait 9 s.");
            let body = json!({ "error": error }).to_string();
            let head = format!("HTTP/1.1 429 Too Many Requests\r\nconnection: close\r\ncontent-length: {}", body.len());
            write!(stream, "{head}\r\n\r\n{body}").expect("it is sent");
        }
    });
    let welcome = |token: Option<&str>| {
        let token = token.map(str::to_owned);
        let target = Target { url: format!("http://{address}"), token, ..Target::default() };
        wait(Client::new(&target).expect("an address").welcome()).map(|_| ()).expect_err("a refusal")
    };
    let refused = welcome(Some("twn_no_no"));
    assert!(
        refused.is_denied() && refused.message().contains("too many such tokens came from this address"),
        "{refused:?}"
    );
    assert!(!welcome(None).is_denied(), "there was no token to refuse");
    shard.join().expect("both were answered");
}

/// Why the shard refuses the token.
fn denied(notice: SourceEvent) -> Option<String> {
    match notice {
        SourceEvent::Link(Link::Reconnecting { denied: true, why, .. }) => Some(why),
        _ => None,
    }
}

#[test]
fn a_token_in_any_field_is_refused_and_written_nowhere() {
    let served = Served::start();
    let secret = served.admin.clone();
    let encoded = secret.replace('_', "%5f");
    let body = |field: &str, value: Value| {
        let mut body = json!({ "command": "kpi", "cmd_id": "c-1" });
        body[field] = value;
        served.post(&served.admin(), &body.to_string())
    };
    let mut replies: Vec<(String, Reply)> = Vec::new();
    for (field, value) in [
        ("cmd_id", json!(secret)),
        ("cmd_id", json!(format!("x-{secret}-y"))),
        ("run_id", json!(secret)),
        ("command", json!(format!("kpi --reason {secret}"))),
        ("command", json!(format!("spawn --name {secret}"))),
        ("command", json!(format!("setmoney {secret} 5"))),
        ("command", json!(format!("policy_load snapshots/{secret}"))),
        ("command", json!(secret)),
        ("unknown", json!(secret)),
    ] {
        replies.push((format!("{field} {value}"), body(field, value)));
    }
    for path in [
        format!("/v1/audit?limit={secret}"),
        format!("{SNAPSHOT}?token={encoded}"),
        format!("/{secret}"),
        format!("/v1/{}", encoded.replace('%', "%25")),
    ] {
        replies.push((path.clone(), served.get(&path, "")));
    }
    for header in
        ["townlet-schema", "last-event-id", "user-agent", "cookie", "x-api-key", "proxy-authorization", "referer"]
    {
        replies.push((header.to_owned(), served.get(SNAPSHOT, &format!("{header}: {secret}\r\n"))));
        replies.push((
            header.to_owned(),
            served.post(&format!("{}{header}: a {secret}\r\n", served.admin()), &line("h", "kpi")),
        ));
    }
    for (what, reply) in &replies {
        assert_eq!((reply.status, reply.code().as_str()), (400, "E_INVALID_ARG"), "{what}: {}", reply.body);
        assert!(!reply.body.contains("twn_"), "{what}: {}", reply.body);
    }
    assert_eq!(served.post(&served.admin(), &line("done", "incident --reason tokens")).status, 200);
    let secret = secret.rsplit('_').next().expect("a secret").as_bytes();
    let bundles = |path: &PathBuf| path.to_string_lossy().ends_with("bundle.tar.zst");
    wait_until("a bundle", || files_below(&served.home.path().join("ops")).iter().any(bundles));
    drop(served.shard.stop());
    let files = files_below(served.home.path());
    assert!(files.len() > 5, "{files:?}");
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        let bytes = if bundles(&file) { zstd::decode_all(&*bytes).expect("a bundle") } else { bytes };
        assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{}", file.display());
    }
}

#[test]
fn a_secret_in_the_body_never_replaces_the_token_of_the_header() {
    let served = Served::start();
    let escalate = |headers: &str, secret: &str| {
        served.post(
            headers,
            &json!({ "command": "escalate", "cmd_id": format!("e-{}", headers.len()), "secret": secret }).to_string(),
        )
    };
    let both = escalate(&bearer(&served.viewer), &served.admin);
    assert_eq!((both.status, both.code().as_str()), (401, "E_UNAUTHORIZED"), "{}", both.body);
    assert!(both.body.contains("two tokens") && !both.body.contains("twn_"), "{}", both.body);
    let command = json!({ "command": "spawn", "cmd_id": "s-1", "secret": served.admin }).to_string();
    assert_eq!(served.post(&bearer(&served.viewer), &command).status, 401);
    assert_eq!(escalate("", &served.admin).status, 200);
    assert_eq!(escalate(&served.admin(), &served.admin).status, 200, "the same one twice is one");
    // The client sends the token of an escalation in the header, whatever token it has.
    let mut source = Remote::new(served.client(Some(&served.viewer)));
    let notices = deliveries(&mut source);
    until(&notices, "a live connection", |notice| matches!(notice, SourceEvent::Link(Link::Live { .. })).then_some(()));
    source.send(Request { secret: Some(served.admin.clone()), ..Request::line("escalate") });
    assert_eq!(until(&notices, "an answer", answer).status, Status::Ok);
    source.send(Request::line("setmoney ada 3"));
    assert_eq!(until(&notices, "an answer", answer).status, Status::Ok);
}

#[test]
fn a_store_that_is_not_to_be_trusted_is_refused_at_the_start() {
    let home = temp_home();
    let shard = Arc::new(
        townlet_shard::start(crate::kit::default_sources(&[]), 7, crate::kit::options(home.path(), true)).unwrap(),
    );
    let file = home.path().join("ops/tokens.json");
    let mut tokens = TokenStore::default();
    tokens.create(Role::Admin).unwrap();
    tokens.save(&file).unwrap();
    let refused = || serve(&shard, service(&home, "127.0.0.1:0", None)).err().map(|why| why.to_string());
    assert_eq!(refused(), None);
    for (file_mode, folder_mode, words) in [
        (0o666, 0o755, "mode 0666"),
        (0o644, 0o755, "chmod 600"),
        (0o600, 0o775, "chmod go-w"),
        (0o600, 0o757, "replace"),
    ] {
        mode(&file, file_mode);
        mode(file.parent().unwrap(), folder_mode);
        let why = refused().unwrap_or_default();
        assert!(why.contains("ops/tokens.json: ") && why.contains(words), "{file_mode:o} {folder_mode:o}: {why}");
    }
    mode(file.parent().unwrap(), 0o755);
    std::fs::write(&file, "{\"id\":\n").unwrap();
    let why = refused().unwrap_or_default();
    assert!(why.contains("ops/tokens.json:1: not a stored token"), "{why}");
    let (pair, _) = certificate(&home, "open");
    tokens.save(&file).unwrap();
    mode(&pair.1, 0o644);
    let why = serve(&shard, service(&home, "127.0.0.1:0", Some(pair.clone()))).unwrap_err().to_string();
    assert!(why.contains("open.key: other users can read it") && why.contains("chmod 600"), "{why}");
    mode(&pair.1, 0o600);
    assert!(serve(&shard, service(&home, "127.0.0.1:0", Some(pair))).is_ok());
}

/// Waits for the health and the alerts of a shard.
#[track_caller]
fn wait_for_health(served: &Served, what: &str, fits: impl Fn(&Value) -> bool) {
    wait_until(what, || fits(&served.get(SNAPSHOT, &served.admin()).json()));
}

fn has_alert(view: &Value, name: &str) -> bool {
    view["alerts"].as_array().is_some_and(|alerts| alerts.iter().any(|alert| alert["name"] == name))
}

#[test]
fn a_store_that_is_damaged_while_it_is_served_leaves_reading_only() {
    let served = Served::start();
    let file = store(&served);
    let good = std::fs::read(&file).unwrap();
    let fine = |view: &Value| view["health"]["status"] == "ok" && !has_alert(view, "token_store");
    let bad = |view: &Value| view["health"]["status"] == "degraded" && has_alert(view, "token_store");
    let damages: [(&str, &dyn Fn()); 3] = [
        ("other users can change it (mode 0666)", &|| mode(&file, 0o666)),
        ("chmod go-w", &|| mode(file.parent().unwrap(), 0o777)),
        (":1: not a stored token", &|| townlet_files::write_private(&file, b"{}\n").unwrap()),
    ];
    for (number, (words, damage)) in damages.iter().enumerate() {
        wait_for_health(&served, "a shard that is well", fine);
        damage();
        wait_for_health(&served, words, bad);
        let view = served.get(SNAPSHOT, &served.admin()).json();
        assert!(view["health"]["problems"][0].as_str().unwrap().contains(words), "{}", view["health"]);
        let refused = served.post(&served.admin(), &line(&format!("w-{number}"), "spawn"));
        assert_eq!((refused.status, refused.code().as_str()), (403, "E_FORBIDDEN"), "{}", refused.body);
        assert!(refused.body.contains("reading only") && refused.body.contains(words), "{}", refused.body);
        mode(file.parent().unwrap(), 0o755);
        townlet_files::write_private(&file, &good).unwrap();
        wait_for_health(&served, "a shard that is well again", fine);
        assert_eq!(served.post(&served.admin(), &line(&format!("w-{number}"), "spawn")).status, 200);
    }
    let log = std::fs::read_to_string(served.home.path().join("logs/townlet.log")).unwrap();
    assert_eq!(log.matches("critical: the token store is not to be trusted").count(), 3, "{log}");
    assert_eq!(log.matches("no longer: the token store").count(), 3, "{log}");
    // Without a store no token is valid, and that is said, too.
    std::fs::remove_file(&file).unwrap();
    wait_until("the alert", || bad(&served.get(SNAPSHOT, "").json()));
    assert_ne!(served.get(SNAPSHOT, &served.admin()).status, 200);
}

#[test]
fn a_token_that_expires_soon_is_an_alert_until_it_is_rotated() {
    let served = Served::start();
    let soon = Timestamp::now() + SignedDuration::from_hours(24 * 6);
    change(&served, |tokens| tokens.create_named("night", Role::Viewer, Some(soon))).unwrap();
    wait_for_health(&served, "the alert", |view| has_alert(view, "token_expires"));
    let view = served.get(SNAPSHOT, &served.admin()).json();
    assert_eq!(view["health"]["status"], "ok", "a warning does not degrade the shard");
    let health = served.get(HEALTH, &served.admin()).json();
    assert!(health["notes"][0].as_str().unwrap_or_default().contains("`night` at "), "{health}");
    let month = Some(SignedDuration::from_hours(24 * 30));
    change(&served, |tokens| tokens.rotate("night", Timestamp::now(), month, None)).unwrap();
    wait_for_health(&served, "no alert", |view| !has_alert(view, "token_expires"));
    let log = std::fs::read_to_string(served.home.path().join("logs/townlet.log")).unwrap();
    assert!(log.contains("warning: tokens expire: `night` at "), "{log}");
}

#[test]
fn reading_without_a_token_can_be_closed() {
    let page = "accept: text/html\r\n";
    for (anonymous, health, ready, index, others) in [
        (AnonymousReading::Full, true, 200, 200, 200),
        (AnonymousReading::Status, true, 200, 200, 401),
        (AnonymousReading::None, false, 401, 401, 401),
    ] {
        let served = Served::with_reading(anonymous);
        let status = |path: &str, headers: &str| served.get(path, headers).status;
        let alive = served.get(HEALTH, "");
        assert_eq!((alive.status, alive.json()["health"].is_object()), (200, health), "{anonymous:?}: {}", alive.body);
        assert_eq!((status(READY, ""), status("/", page)), (ready, index), "{anonymous:?}");
        for path in [SNAPSHOT, COMMANDS, AUDIT, METRICS, OPENAPI] {
            let reply = served.get(path, "");
            assert_eq!(reply.status, others, "{anonymous:?} {path}");
            assert_eq!(status(path, &bearer(&served.viewer)), 200, "{anonymous:?} {path}");
            if others == 401 {
                assert!(reply.head.contains("www-authenticate: Bearer"), "{}", reply.head);
                for words in ["read with a token", "--token-file", "townlet token create"] {
                    assert!(reply.body.contains(words), "{path}: {}", reply.body);
                }
            }
        }
        let kpi = json!({ "command": "kpi" }).to_string();
        assert_eq!(served.post("", &kpi).status, others, "{anonymous:?}");
        assert_eq!(served.post(&bearer(&served.viewer), &kpi).status, 200);
        let mut stream = served.connect();
        write!(stream, "GET {STREAM} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).expect("it answers");
        assert_eq!(head, *format!("HTTP/1.1 {others}").as_bytes(), "{anonymous:?}");
        // A token that is not valid is refused, but does not make the process look dead.
        assert_eq!(status(HEALTH, &bearer("twn_no_no")), 200);
        assert_eq!(status("/unknown", ""), 404);
    }
}

#[test]
fn strangers_are_not_told_what_is_wrong() {
    let served = Served::with_reading(AnonymousReading::Status);
    mode(&store(&served), 0o666);
    wait_until("a degraded shard", || served.get(HEALTH, "").json()["health"]["status"] == "degraded");
    let page = "accept: text/html\r\n";
    for (path, headers) in [(HEALTH, ""), ("/", page), (READY, "")] {
        let reply = served.get(path, headers);
        assert!(!reply.body.contains("tokens.json"), "{path}: {}", reply.body);
    }
    assert!(served.get(HEALTH, "").body.contains("a token shows them"));
    for (path, headers) in [(HEALTH, ""), ("/", page)] {
        let reply = served.get(path, &format!("{headers}{}", served.admin()));
        assert!(reply.body.contains("tokens.json"), "{path}: {}", reply.body);
    }
}

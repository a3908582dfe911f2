//! A served town whose tick hangs, whose thread breaks off, or whose process stands still for a while: what the service says
//! meanwhile, what is left, and that the process ends when it is told to.
//!
//! Needs `--features failpoints`. Rules: "Incidents", "HTTP service".

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use serde_json::Value;
use townlet_shard::Home;
use townlet_shard::incident::{Kind, kept};
use townlet_source::Source as _;

use super::headless::goes_on;
use super::pty_session::TIMEOUT;
use super::remote::{Observer, Server};

const LISTEN: [&str; 3] = ["--listen", "127.0.0.1:0", "--speed"];

fn served(home: &Path, speed: &str, points: &str) -> Server {
    Server::start_in(home, &[&LISTEN[..], &[speed]].concat(), &[("FAILPOINTS", points)])
}

/// Status and body of a page.
#[track_caller]
fn get(address: &str, path: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(TIMEOUT)).expect("a socket");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("it is sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("an answer");
    let (head, body) = reply.split_once("\r\n\r\n").expect("an answer");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).unwrap_or_else(|why| panic!("{why}: {reply}")))
}

fn kinds(home: &Path) -> Vec<Kind> {
    kept(&Home::new(home)).iter().map(|it| it.kind).collect()
}

#[test]
fn while_a_tick_hangs_the_service_tells_and_the_process_ends_when_told() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let server = served(home, "100x", "engine_tick=300*off->1*sleep(3600000)->off");
    let address = server.address().to_owned();
    let mut observer = Observer::connect(&format!("http://{address}"), "");
    let hangs = |it: &Observer| {
        it.state.as_ref().is_some_and(|state| state.alerts.iter().any(|alert| alert.name == "tick_hung"))
    };
    observer.until("the alert on the stream", hangs);
    let (status, health) = get(&address, "/v1/health");
    assert_eq!((status, &health["health"]["status"]), (200, &"degraded".into()));
    // The last state that was made before.
    assert!(health["tick"].as_u64().is_some_and(|tick| tick <= 300), "{health}");
    let told = health["health"]["problems"][0].as_str().unwrap();
    assert!(told.contains("tick 300 hangs for more than 3 s"), "{health}");
    let (status, ready) = get(&address, "/v1/ready");
    assert_eq!((status, &ready["ready"], &ready["why"]), (503, &false.into(), &"a tick hangs".into()));
    let (status, snapshot) = get(&address, "/v1/telemetry/snapshot");
    assert_eq!((status, &snapshot["alerts"][0]["name"]), (200, &"tick_hung".into()));

    server.signal("kill -TERM $1");
    observer.until("that it is stopping", |it| !it.live);
    assert!(observer.lost.contains("stopping"), "{}", observer.lost);
    let (status, said) = server.ended();
    assert_eq!(status, Some(3), "{said}");
    for words in ["saving failed: tick 300 hangs", "not waited for any longer", "--resume harbour-"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(kinds(home), [Kind::Hang]);
    observer.source.close();
    goes_on(home);
}

#[test]
fn a_process_that_stood_still_says_of_no_tick_that_it_hung() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    // Whenever it is stopped, it is in the middle of a tick.
    let server = served(home, "max", "engine_tick=sleep(1000)");
    let address = server.address().to_owned();
    let tick = |health: &Value| health["tick"].as_u64().expect("a tick");
    let before = tick(&get(&address, "/v1/health").1);
    server.signal("kill -STOP $1; sleep 6; kill -CONT $1");
    while tick(&get(&address, "/v1/health").1) < before + 4 {}
    let (_, view) = get(&address, "/v1/telemetry/snapshot");
    assert_eq!((&view["health"]["status"], view["alerts_raised"].get("tick_hung")), (&"ok".into(), None), "{view}");
    server.terminate();
    assert_eq!(kinds(home), []);
    let log = std::fs::read_to_string(Home::new(home).log()).unwrap();
    assert!(!log.contains("hangs"), "{log}");
}

#[test]
fn a_served_town_that_breaks_off_ends_the_process_with_a_bundle() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let server = served(home, "100x", "engine_tick=120*off->panic");
    let (status, said) = server.ended();
    assert_eq!(status, Some(3), "{said}");
    for words in ["the town's thread broke off: failpoint engine_tick", "bundle.tar.zst", "--resume harbour-"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(kinds(home), [Kind::Crash]);
    goes_on(home);
}

//! A served town whose tick hangs, whose thread panics, or whose process is stopped: what the service reports, what is kept,
//! and that SIGTERM still ends the process.
//!
//! Needs `--features failpoints`. Rules: "Incidents", "HTTP service".

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use townlet_shard::Home;
use townlet_shard::incident::{Kind, kept};
use townlet_source::Source as _;

use super::headless::goes_on;
use super::remote::Observer;
use super::server::Server;
use crate::kit::{TIMEOUT, stands_still, wait_until};

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
fn hung_tick_is_reported_and_sigterm_ends_the_process() {
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
    // The last state before the hang.
    assert!(health["tick"].as_u64().is_some_and(|tick| tick <= 300), "{health}");
    let problem = health["health"]["problems"][0].as_str().unwrap();
    assert!(problem.contains("tick 300 has been hanging for more than 3 s"), "{health}");
    let (status, ready) = get(&address, "/v1/ready");
    assert_eq!((status, &ready["ready"], &ready["why"]), (503, &false.into(), &"a tick hangs".into()));
    let (status, snapshot) = get(&address, "/v1/telemetry/snapshot");
    assert_eq!((status, &snapshot["alerts"][0]["name"]), (200, &"tick_hung".into()));

    server.signal("kill -TERM $1");
    observer.until("that it is stopping", |it| !it.live);
    assert!(observer.lost.contains("stopping"), "{}", observer.lost);
    let (status, said) = server.ended();
    assert_eq!(status, Some(3), "{said}");
    for words in ["saving failed: tick 300 has been hanging", "not waited for any longer", "--resume harbour-"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(kinds(home), [Kind::Hang]);
    observer.source.close();
    goes_on(home);
}

#[test]
fn stopped_process_is_not_reported_as_hung() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    // Slow ticks, so that the process is stopped in the middle of one.
    let server = served(home, "max", "engine_tick=sleep(1000)");
    let address = server.address().to_owned();
    let tick = |health: &Value| health["tick"].as_u64().expect("a tick");
    let before = tick(&get(&address, "/v1/health").1);
    server.signal("kill -STOP $1");
    // Longer than a tick may take before it counts as hung.
    stands_still(Duration::from_secs(6));
    server.signal("kill -CONT $1");
    wait_until("four further ticks", || tick(&get(&address, "/v1/health").1) >= before + 4);
    let (_, view) = get(&address, "/v1/telemetry/snapshot");
    assert_eq!((&view["health"]["status"], view["alerts_raised"].get("tick_hung")), (&"ok".into(), None), "{view}");
    server.terminate();
    assert_eq!(kinds(home), []);
    let log = std::fs::read_to_string(Home::new(home).log()).unwrap();
    assert!(!log.contains("hanging"), "{log}");
}

#[test]
fn panic_in_a_served_town_leaves_a_bundle() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let server = served(home, "100x", "engine_tick=120*off->panic");
    let (status, said) = server.ended();
    assert_eq!(status, Some(3), "{said}");
    for words in ["the town's thread crashed: failpoint engine_tick", "bundle.tar.zst", "--resume harbour-"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(kinds(home), [Kind::Crash]);
    goes_on(home);
}

//! Streams that say what they look at, and compressed answers.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use serde_json::json;
use townlet_source::remote::{Client, StreamDecoder, StreamEvent};
use townlet_source::{Remote, Source as _};
use townlet_wire::Snapshot;
use townlet_wire::service::{Area, Focus, HEALTH, METRICS, SNAPSHOT, STREAM, VIEW, ViewRequest};
use townlet_wire::telemetry::Agent;

use super::client::{Served, wait};
use super::{deliveries, until, view};
use crate::kit::TIMEOUT;

const ID: &str = "0192f3a0-aaaa";

fn post(served: &Served, headers: &str, body: &str) -> super::client::Reply {
    let length = body.len();
    let head = format!("POST {VIEW} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n");
    served.send(format!("{head}{headers}\r\n{body}").as_bytes())
}

#[test]
fn queries_and_bodies_are_checked() {
    let served = Served::start();
    for query in ["view=short", "view=with_underscore", "rate=0", "rate=1001", "rate=fast", "views=0192f3a0-aaaa"] {
        let reply = served.get(&format!("{STREAM}?{query}"), "");
        assert_eq!((reply.status, reply.code().as_str()), (400, "E_INVALID_ARG"), "{query}");
    }
    let json = "content-type: application/json\r\n";
    let body = json!({ "view": ID, "focus": { "residents": ["ada"] } }).to_string();
    let reply = post(&served, json, &body);
    assert_eq!((reply.status, reply.code().as_str()), (404, "E_NOT_FOUND"));
    assert_eq!(post(&served, "", &body).status, 415);
    for body in ["", "{}", "{\"view\": 1, \"focus\": {}}", "{\"view\": \"0192f3a0-aaaa\", \"focus\": {\"x\": 1}}"] {
        assert_eq!(post(&served, json, body).status, 400, "{body}");
    }
    let many: Vec<String> = (0..1_001).map(|number| format!("r{number}")).collect();
    let reply = post(&served, json, &json!({ "view": ID, "focus": { "residents": many } }).to_string());
    assert_eq!((reply.status, reply.json()["error"]["message"].as_str()), (400, Some("more than 1000 residents.")));
    let large = json!({ "view": ID, "focus": { "residents": ["x".repeat(70_000)] } }).to_string();
    assert_eq!(post(&served, json, &large).status, 413);
}

/// Reads a stream until its state fits.
async fn read(stream: &mut townlet_source::remote::EventStream, fits: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let mut decoder = StreamDecoder::default();
    loop {
        for event in stream.next().await.expect("it is read").expect("it goes on") {
            let change = decoder.take(&event);
            assert!(matches!(change, StreamEvent::State | StreamEvent::Heartbeat), "{change:?}");
        }
        if let Some(state) = decoder.state().filter(|state| fits(state)) {
            return state.clone();
        }
    }
}

/// The rows of all residents, all but one without details.
fn with_details_of_ada(state: &Snapshot) -> Vec<Agent> {
    let row = |agent: &Agent| if agent.id == "ada" { agent.clone() } else { agent.without_details() };
    state.agents.iter().map(row).collect()
}

/// The value of the first need of a resident.
fn need(state: &Snapshot, id: &str) -> Option<f64> {
    state.agents.iter().find(|agent| agent.id == id).map(|agent| agent.needs[0].value)
}

#[test]
fn a_stream_has_what_it_looks_at() {
    let served = Served::start();
    let client: Client = served.client(None);
    wait(async {
        let mut stream = client.stream_view(ID, 20).await.expect("a stream");
        let again = client.stream_view(ID, 20).await.err().expect("the id is taken");
        assert!(again.message().contains("another stream has this view"), "{}", again.message());
        let area = Some(Area { x: 0, y: 0, width: 1_000, height: 1_000 });
        let ada: BTreeSet<String> = ["ada".to_owned()].into();
        for focus in [Focus::default(), Focus { residents: ada, area, ..Focus::default() }] {
            client.look_at(&ViewRequest { view: ID.into(), focus }).await.expect("it is open");
        }
        let shard = Arc::clone(&served.shard);
        let run = tokio::task::spawn_blocking(move || shard.run_to(400, |_| true));
        run.await.expect("it runs");
        let here = served.shard.view().expect("it lives").0;
        let state =
            read(&mut stream, |state| state.tick == here.tick && need(state, "ada") == need(&here, "ada")).await;
        assert_eq!(state.agents, with_details_of_ada(&here));
        assert_eq!(state.jobs, here.jobs);
        let ties = |state: &Snapshot| state.relationships.ties.iter().filter(|tie| tie.agent == "ada").count();
        assert!(ties(&state) == state.relationships.ties.len() && ties(&state) == ties(&here));
    });
    // The end of the stream frees its id.
    wait(async {
        let free = async {
            while client.stream_view(ID, 1).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(crate::kit::TIMEOUT, free).await.expect("the id is free");
    });
}

#[test]
fn messages_and_the_answer_before_them_have_the_same_clock() {
    let served = Served::start();
    let client: Client = served.client(None);
    wait(async {
        let before = client.welcome().await.expect("an answer").sent_ms;
        let mut stream = client.stream_view(ID, 20).await.expect("a stream");
        let mut decoder = StreamDecoder::default();
        while decoder.state().is_none() {
            for event in stream.next().await.expect("it is read").expect("it goes on") {
                decoder.take(&event);
            }
        }
        let after = client.welcome().await.expect("an answer").sent_ms;
        assert!((before..=after).contains(&decoder.sent_ms()), "{before} {} {after}", decoder.sent_ms());
    });
}

#[test]
fn what_is_on_screen_is_sent_and_the_rest_follows() {
    let served = Served::start();
    let mut source = Remote::new(served.client(None));
    let notices = deliveries(&mut source);
    until(&notices, "a state", view);
    source.look_at(&Focus { residents: ["ada".to_owned()].into(), ..Focus::default() });
    served.shard.run_to(80, |_| true);
    let here = served.shard.view().unwrap().0;
    // Nobody is left out: what is not on screen comes within seconds.
    until(&notices, "everybody", |notice| {
        view(notice).filter(|view| view.agents == with_details_of_ada(&here) && view.jobs == here.jobs)
    });
    source.close();
}

/// The bytes of a response.
fn raw(served: &Served, path: &str, headers: &str) -> (String, Vec<u8>) {
    use std::io::{Read as _, Write as _};
    let mut stream = served.connect();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n").expect("it is sent");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("it is read");
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let body = bytes.split_off(end + 4);
    (String::from_utf8(bytes).expect("text").to_lowercase(), body)
}

#[test]
fn answers_are_compressed_for_clients_that_accept_it() {
    let served = Served::start();
    let (head, plain) = raw(&served, SNAPSHOT, "");
    assert!(!head.contains("content-encoding") && head.contains("vary: accept-encoding"), "{head}");
    for path in [SNAPSHOT, METRICS] {
        let (head, body) = raw(&served, path, "accept-encoding: gzip, zstd\r\n");
        assert!(head.contains("content-encoding: zstd") && head.contains("vary: accept-encoding"), "{head}");
        let text = zstd::decode_all(body.as_slice()).expect("a frame");
        assert!(text.len() > 2 * body.len(), "{path}: {} of {}", body.len(), text.len());
    }
    let state: Snapshot = serde_json::from_slice(&plain).expect("a state");
    let fetched = wait(served.client(None).snapshot()).expect("a state");
    assert_eq!(serde_json::from_slice::<Snapshot>(&fetched).expect("a state").agents, state.agents);
    let (head, _) = raw(&served, SNAPSHOT, "accept-encoding: gzip, zstd;q=0\r\n");
    assert!(!head.contains("content-encoding"), "{head}");
    let (head, _) = raw(&served, HEALTH, "accept-encoding: zstd\r\n");
    assert!(!head.contains("content-encoding"), "short answers are sent as they are: {head}");
}

#[test]
fn a_stream_is_kept_alive_while_the_publisher_is_at_work() {
    let served = Served::start();
    let ((entered, held), (release, released)) = (channel(), channel::<()>());
    let released = Mutex::new(released);
    served.shard.subscribe(move |_| {
        let _ = entered.send(());
        drop(released.lock().map(|released| released.recv()));
    });
    held.recv_timeout(TIMEOUT).expect("a state is published");
    let mut stream = served.connect();
    stream.write_all(format!("GET {STREAM} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).expect("it is sent");
    let mut lines = BufReader::new(stream).lines().map(|line| line.expect("the stream goes on"));
    assert!(lines.any(|line| line == ":"), "a comment");
    drop(release);
    assert!(lines.any(|line| line == "event: snapshot"), "the first message");
}

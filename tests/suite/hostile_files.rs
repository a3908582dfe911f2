//! Files and streams from strangers: what they state is checked before memory or time is taken.
//!
//! The program runs with a limit of its data segment, so that a reader without a bound ends by a signal, and is killed if it
//! does not end. Rule: "Files from strangers".

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use serde::Serialize;
use townlet_shard::journal::{Base, Entry, Header, SegmentPlace, VERSION};
use townlet_source::remote::{Client, Target};
use townlet_source::{Link, Remote, Source as _, SourceEvent};
use townlet_town::ids::Column;
use townlet_town::{Rules, Town, snapshot};
use townlet_wire::service::{COMMANDS, ServiceInfo};
use townlet_wire::sse::MAX_EVENT;
use townlet_wire::stream::max_memory;
use townlet_wire::{Role, SCHEMA_VERSION, Session, Snapshot};

use crate::kit::{BINARY, default_sources, temp_home};
use crate::special_files::ended;

const MIB: usize = 1024 * 1024;
/// Memory of the program itself, with its threads.
const OWN_BYTES: usize = 64 * MIB;
/// What a reader may take beyond twice the size of the file.
const ALLOWED_BYTES: usize = 64 * MIB;

/// Runs the program with as much memory as a file of `size` bytes may take.
#[track_caller]
fn bounded(home: &Path, arguments: &str, size: usize) -> (Option<i32>, String) {
    bounded_program(home, &format!("{BINARY} {arguments}"), size)
}

fn bounded_program(home: &Path, program: &str, size: usize) -> (Option<i32>, String) {
    let limit = (OWN_BYTES + ALLOWED_BYTES + 2 * size) / 1024;
    let mut command = Command::new("bash");
    command.args(["-c", &format!("ulimit -d {limit}; exec {program}")]);
    command.current_dir(home).env("HOME", home).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    ended(command)
}

/// Writes a file, reads it with a command that must refuse it, and checks what is said.
#[track_caller]
fn refused(arguments: &str, name: &str, bytes: &[u8], said: &str) {
    let home = temp_home();
    std::fs::write(home.path().join(name), bytes).unwrap();
    let (status, found) = bounded(home.path(), &format!("{arguments} {name}"), bytes.len());
    let shown: String = found.chars().take(400).collect();
    assert!(matches!(status, Some(1 | 2)), "{arguments} {name} ({} bytes): {status:?} {shown}", bytes.len());
    assert!(found.contains(name) && found.contains(said), "{arguments} {name}: {shown}");
}

fn frame<T: Serialize>(value: &T) -> Vec<u8> {
    let body = postcard::to_stdvec(value).unwrap();
    [&(body.len() as u32).to_le_bytes()[..], &crc32fast::hash(&body).to_le_bytes(), &body].concat()
}

fn header() -> Header {
    Header {
        version: VERSION,
        run_id: "harbour-20260101-000000-000aaa".into(),
        shard: "harbour".into(),
        place: SegmentPlace::FIRST,
        sources: default_sources(&[]),
        policy: "scripted".into(),
        base: Base::Seed(7),
    }
}

fn ticks(from: u64, to: u64) -> Entry {
    Entry::Ticks { from, to, options: Vec::new(), digest: None }
}

fn journal(entries: impl Iterator<Item = Entry>) -> Vec<u8> {
    entries.fold(frame(&header()), |mut bytes, entry| {
        bytes.extend(frame(&entry));
        bytes
    })
}

/// A snapshot that is small because it is packed.
fn large_snapshot() -> Vec<u8> {
    let sources = default_sources(&[]);
    let town = Town::new(std::sync::Arc::new(Rules::new(sources.clone()).unwrap()), 7);
    let mut state = town.state().clone();
    state.agents.past = Column::filled(2_000_000, <_>::default());
    let content = postcard::to_extend(&state, postcard::to_stdvec(&sources).unwrap()).unwrap();
    drop(state);
    let packed = zstd::bulk::compress(&content, 1).unwrap();
    let mut bytes = b"TOWNLET\n".to_vec();
    bytes.extend_from_slice(&snapshot::VERSION.to_le_bytes());
    bytes.extend_from_slice(&(packed.len() as u64 + 8).to_le_bytes());
    bytes.extend_from_slice(&(content.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&packed);
    let hex = townlet_wire::sha256(&bytes);
    bytes.extend((0..32).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()));
    bytes
}

#[test]
fn a_small_snapshot_of_a_large_state_is_refused() {
    refused("snapshot validate", "large.tls", &large_snapshot(), "takes more than 33554432 bytes of memory");
}

#[test]
fn a_journal_of_endless_ticks_is_refused() {
    let said = "states ticks 0 to 9223372036854775808 in one entry; an entry has 1 to 100";
    refused("replay", "endless.tlj", &journal([ticks(0, 1 << 63)].into_iter()), said);
    let said = "states ticks 18446744073709551615 to 0 in one entry";
    refused("replay", "backwards.tlj", &journal([ticks(u64::MAX, 0)].into_iter()), said);
}

#[test]
fn a_journal_of_many_small_entries_takes_no_more_memory_than_its_bytes() {
    // The first entry does not fit the town, which is found after the file was read.
    let bytes = journal((0..2_500_000).map(|tick| ticks(tick, tick + 1)));
    refused("replay", "small.tlj", &bytes, "the options do not fit the town's questions");
}

#[test]
fn a_damaged_tail_is_searched_in_linear_time() {
    // Each byte begins a frame that seems to reach to the end, so that a search without a bound reads all of it each time.
    let mut bytes = journal([ticks(0, 1)].into_iter());
    let tail = 4 * MIB as u32;
    bytes.extend((0..tail / 4).flat_map(|at| (tail - 4 * at).saturating_sub(16).min(1 << 21).to_le_bytes()));
    refused("replay", "tail.tlj", &bytes, "are no torn entry");
}

/// A bundle with one item of so many zeros.
fn bundle(name: &str, zeros: usize, window: u32) -> Vec<u8> {
    let mut packed = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    packed.window_log(window).unwrap();
    let mut tar = tar::Builder::new(packed);
    let mut header = tar::Header::new_gnu();
    header.set_size(zeros as u64);
    header.set_mode(0o600);
    tar.append_data(&mut header, name, std::io::repeat(0).take(zeros as u64)).unwrap();
    tar.into_inner().unwrap().finish().unwrap()
}

#[test]
fn a_bundle_that_unpacks_to_much_more_is_refused() {
    let said = "it states 62914560 bytes for replay.tlj, which has at most 33554432";
    refused("replay", "large.tar.zst", &bundle("harbour/replay.tlj", 60 * MIB, 21), said);
    refused("replay", "window.tar.zst", &bundle("harbour/replay.tlj", 200 * MIB, 27), "requires too much memory");
    let said = "it states a name of 50000001 bytes; a name has at most 4096";
    refused("replay", "name.tar.zst", &bundle(&format!("harbour/{}", "n".repeat(50_000_000 - 8)), 1, 21), said);
}

#[test]
fn a_payload_of_empty_values_takes_no_memory() {
    let bytes = format!("[{}[]]", "[],".repeat(2_000_000));
    let home = temp_home();
    std::fs::write(home.path().join("empty.json"), &bytes).unwrap();
    let (status, said) = bounded(home.path(), "telemetry check empty.json", bytes.len());
    assert!(status == Some(1) && said.contains("$.schema_version: is missing"), "{status:?}: {said}");
}

/// Serves one stream of these events to every client, and before it what a client asks for first.
fn stream(events: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let session = Session { issuer: "http:x".into(), role: Role::Viewer, transport: "http".into(), owner: false };
    let (shard, run_id, schema_version) = ("harbour".into(), String::new(), SCHEMA_VERSION.into());
    let welcome =
        ServiceInfo { shard, run_id, schema_version, session, commands: Vec::new(), facts: Vec::new(), sent_ms: 0 };
    let welcome = serde_json::to_string(&welcome).unwrap();
    let serve = move |mut client: TcpStream| {
        let mut request = [0; 4_096];
        let Ok(length) = client.read(&mut request) else { return };
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: ";
        if String::from_utf8_lossy(&request[..length]).starts_with(&format!("GET {COMMANDS} ")) {
            let length = welcome.len();
            drop(write!(client, "{head}application/json\r\ncontent-length: {length}\r\n\r\n{welcome}"));
            return;
        }
        let mut sent = write!(client, "{head}text/event-stream\r\n\r\n");
        for event in &events {
            sent = sent.and_then(|()| client.write_all(event.as_bytes()));
        }
    };
    std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
    format!("http://{address}")
}

fn event(seq: u64, kind: &str, payload: &str) -> String {
    let prev_seq = seq - 1;
    format!(
        "event: {kind}\ndata: {{\"schema_version\":\"{SCHEMA_VERSION}\",\"config_id\":\"\",\"shard\":\"\",\"epoch\":1,\
         \"seq\":{seq},\"prev_seq\":{prev_seq},\"tick\":1,\"kind\":\"{kind}\",\"payload\":{payload}}}\n\n"
    )
}

/// Streams that cost their reader memory, each with what is said about it.
fn hostile_streams() -> Vec<(Vec<String>, String)> {
    let state = Snapshot { schema_version: SCHEMA_VERSION.into(), ..Snapshot::default() }.to_json();
    let empty_rows = format!("{{\"agents\":[{}{{}}]}}", "{},".repeat(1_000_000));
    let meals = vec![r#"{"event":"meal","tick":1}"#; 20_000].join(",");
    let growth = (2..100).map(|seq| event(seq, "diff", &format!("{{\"events\":{{\"append\":[{meals}],\"cut\":0}}}}")));
    let start = event(1, "snapshot", &state);
    let most = |event: &str| {
        let data = event.split_once("data: ").expect("an event").1.trim_end();
        format!("takes more than {} bytes of memory", max_memory(data.len()))
    };
    let [whole, diff] = [event(1, "snapshot", &empty_rows), event(2, "diff", &empty_rows)];
    let (of_whole, of_diff) = (most(&whole), most(&diff));
    vec![
        (vec![whole], format!("its content {of_whole}")),
        (vec![start.clone(), diff], format!("its content {of_diff}")),
        (
            vec![format!("event: snapshot\ndata: {}\n\n", "x".repeat(MAX_EVENT - 100))],
            "cannot parse a message from the shard".into(),
        ),
        ([start].into_iter().chain(growth).collect(), "the state takes more than ".into()),
    ]
}

/// Bytes of the longest of these events.
fn longest(events: &[String]) -> usize {
    events.iter().map(String::len).max().unwrap_or_default()
}

#[test]
fn a_hostile_stream_does_not_take_the_memory_of_its_reader() {
    let state = Snapshot { schema_version: SCHEMA_VERSION.into(), ..Snapshot::default() }.to_json();
    let snapshots = (1..=60).map(|seq| event(seq, "snapshot", &state));
    // The reader goes on after each, so the last snapshots are printed.
    for (events, expected) in hostile_streams() {
        let size = longest(&events);
        let url = stream(events.into_iter().chain(snapshots.clone()).collect());
        let home = temp_home();
        let (status, said) = bounded(home.path(), &format!("telemetry tail --connect {url} --count 60"), size);
        let shown: String = said.chars().take(400).collect();
        assert!(status == Some(0) && said.contains(&expected), "{status:?}, without {expected}: {shown}");
    }
}

const STREAM_URL: &str = "TOWNLET_HOSTILE_STREAM";

/// Follows a stream as `observe` does: the newest view waits, and the one before is on the screen. Prints why the stream was lost.
fn observe(url: &str) {
    let target = Target { url: url.to_owned(), ..Target::default() };
    let mut source = Remote::new(Client::new(&target).expect("a client"));
    let (sender, notices) = channel();
    let waiting = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&waiting);
    source.start(Box::new(move |notice| match notice {
        SourceEvent::View(view) => {
            let unread = slot.lock().unwrap().replace(view);
            let _ = if unread.is_none() { sender.send(None) } else { Ok(()) };
        }
        SourceEvent::Link(Link::Reconnecting { why, .. }) => drop(sender.send(Some(why))),
        _ => {}
    }));
    let mut shown = None;
    let lost = notices.iter().find_map(|notice| {
        if notice.is_none() {
            shown = waiting.lock().unwrap().take().or(shown.take());
        }
        notice
    });
    println!("lost: {}", lost.expect("it is lost"));
}

#[test]
fn a_hostile_stream_does_not_take_the_memory_of_an_observer() {
    // This test starts itself again as the observer.
    if let Ok(url) = std::env::var(STREAM_URL) {
        return observe(&url);
    }
    let me = std::env::current_exe().unwrap();
    let mut streams = hostile_streams();
    let farewell = format!("event: bye\ndata: {{\"reason\":\"\",\"more\":[{}[]]}}\n\n", "[],".repeat(2_000_000));
    streams.push((vec![farewell], "lost: ".into()));
    for (events, expected) in streams {
        let size = longest(&events);
        let url = stream(events);
        let test = "hostile_files::a_hostile_stream_does_not_take_the_memory_of_an_observer";
        let program = format!("env {STREAM_URL}={url} {} --exact {test} --nocapture", me.display());
        let home = temp_home();
        let (status, said) = bounded_program(home.path(), &program, size);
        let shown: String = said.chars().take(400).collect();
        assert!(status == Some(0) && said.contains(&expected), "{status:?}, without {expected}: {shown}");
    }
}

//! Every reader of bytes that a stranger can hand over, with valid inputs to start from. Shared by the fuzz targets and the test
//! `foreign_bytes` of `tests/suite`.
//!
//! A checksum would refuse nearly every changed file, so some readers get the content changed and a new checksum around it.
//! Rule: "Files from strangers".

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use allocation_counter::measure;
use townlet::cli::foreign_files;
use townlet_files::owner_only;
use townlet_learn::checkpoint::{Checkpoint, Registry, TrainingState};
use townlet_learn::train::{Plan as TrainingPlan, Trainer};
use townlet_shard::history::is_keyframe;
use townlet_shard::incident::replay_journal;
use townlet_shard::journal::{Base, Entry, Header, SegmentPlace, Segments, VERSION};
use townlet_shard::tokens::TokenStore;
use townlet_source::remote::{StreamDecoder, StreamEvent};
use townlet_town::config::{DEFAULT, DEFAULT_PERTURBATIONS, Layers, PerturbationFile, load};
use townlet_town::plan::Plan;
use townlet_town::{Command, Rules, Sources, Town, snapshot};
use townlet_tui::keymap::Keymap;
use townlet_tui::layouts::Layouts;
use townlet_wire::sse::{Event, Reader as EventReader};
use townlet_wire::stream::digest;
use townlet_wire::{Answer, Body, Diff, Envelope, Request, SCHEMA_VERSION, Snapshot, command_line, service};

/// Most memory that a reader takes beyond twice the input.
pub(crate) const MAX_MEMORY: u64 = 64 * 1024 * 1024;
/// Most time that a reader takes for a megabyte, and for less.
pub(crate) const MAX_TIME: Duration = Duration::from_secs(2);

/// A reader of foreign bytes.
pub(crate) struct Reader {
    /// Its name, which is that of its fuzz target.
    pub(crate) name: &'static str,
    /// Valid inputs.
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
    /// Reads an input; whether it was accepted. Checks on the way what must hold for every input.
    pub(crate) read: fn(&[u8]) -> bool,
}

/// What reading an input took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Whether the input was accepted.
    pub(crate) accepted: bool,
    /// Most bytes of memory at one time.
    pub(crate) memory: u64,
    /// Time.
    pub(crate) time: Duration,
}

impl Reader {
    /// Reads an input and checks the bound of memory.
    pub(crate) fn check(&self, input: &[u8]) -> Cost {
        let mut accepted = false;
        let started = Instant::now();
        let found = measure(|| accepted = (self.read)(input));
        let time = started.elapsed();
        let most = MAX_MEMORY + 2 * input.len() as u64;
        let name = self.name;
        assert!(found.bytes_max <= most, "{name}: {} bytes of memory for {} bytes", found.bytes_max, input.len());
        Cost { accepted, memory: found.bytes_max, time }
    }

    /// The same with the bound of time, which only a program that is optimised keeps.
    pub(crate) fn check_time(&self, input: &[u8]) -> Cost {
        let cost = self.check(input);
        let most = MAX_TIME.mul_f64((input.len() as f64 / 1e6).max(1.0));
        assert!(cost.time <= most, "{}: {:?} for {} bytes", self.name, cost.time, input.len());
        cost
    }
}

/// Every reader.
pub(crate) const READERS: &[Reader] = &[
    Reader { name: "config", seeds: configs, read: read_config },
    Reader { name: "config_import", seeds: old_configs, read: |bytes| foreign_files::import(&text(bytes)).is_ok() },
    Reader { name: "user_config", seeds: user_configs, read: |bytes| foreign_files::user_config(&text(bytes)).is_ok() },
    Reader {
        name: "perturbations",
        seeds: || vec![DEFAULT_PERTURBATIONS.into()],
        read: |bytes| PerturbationFile::parse("file", &text(bytes)).is_ok(),
    },
    Reader { name: "plan", seeds: plans, read: read_plan },
    Reader { name: "snapshot", seeds: || vec![snapshot::save(&TOWN)], read: read_snapshot },
    Reader {
        name: "snapshot_content",
        seeds: || vec![unpacked_snapshot()],
        read: |bytes| read_snapshot(&packed_snapshot(bytes)),
    },
    Reader { name: "journal", seeds: || vec![journal()], read: read_journal },
    Reader { name: "journal_frames", seeds: || vec![journal()], read: |bytes| read_journal(&with_checksums(bytes)) },
    Reader { name: "keyframe", seeds: || vec![keyframe()], read: is_keyframe },
    Reader { name: "keyframe_content", seeds: || vec![keyframe()], read: |bytes| is_keyframe(&with_checksums(bytes)) },
    Reader {
        name: "checkpoint",
        seeds: || vec![TRAINING.1.clone()],
        read: |bytes| Checkpoint::embedded(bytes).is_ok(),
    },
    Reader { name: "training_state", seeds: || vec![TRAINING.2.clone()], read: read_training },
    Reader {
        name: "training_content",
        seeds: || vec![TRAINING.2[TRAINING_HEADER..].to_vec()],
        read: |bytes| read_training(&sealed_training(bytes)),
    },
    Reader { name: "bundle", seeds: || vec![bundle(&journal())], read: read_bundle },
    Reader {
        name: "bundle_content",
        seeds: || vec![journal()],
        read: |bytes| read_bundle(&bundle(&with_checksums(bytes))),
    },
    Reader { name: "audit_log", seeds: || vec![audit_log()], read: read_audit_log },
    Reader { name: "stream", seeds: streams, read: read_stream },
    Reader {
        name: "payloads",
        seeds: payloads,
        read: |bytes| foreign_files::payloads(&text(bytes)).is_ok_and(|found| found == 0),
    },
    Reader { name: "command_line", seeds: command_lines, read: read_command_line },
    Reader { name: "console_body", seeds: bodies, read: read_body },
    Reader {
        name: "keymap",
        seeds: || texts(&[r#"{"approve": "f5", "quit": "ctrl-q", "help": "?"}"#]),
        read: read_keymap,
    },
    Reader {
        name: "layouts",
        seeds: || texts(&[r#"{"sizes": {"operations": [60, 40]}, "columns": {"agents": ["name", "wallet"]}}"#]),
        read: |bytes| Layouts::parse(&text(bytes)).is_ok(),
    },
    Reader {
        name: "tokens",
        seeds: tokens,
        read: |bytes| in_file("tokens.json", bytes, |path| TokenStore::load(path).is_ok()),
    },
    Reader {
        name: "schema_version",
        seeds: || texts(&[SCHEMA_VERSION, "1.2.3", "99999999999999999999.1.2"]),
        read: |bytes| service::is_newer(&text(bytes)),
    },
];

/// The reader of a name.
pub(crate) fn reader(name: &str) -> &'static Reader {
    READERS.iter().find(|reader| reader.name == name).expect("a fuzz target is named after a reader")
}

static TOWN: LazyLock<Town> = LazyLock::new(|| {
    let sources = sources();
    let mut town = Town::new(Arc::new(Rules::new(sources).expect("the shipped town")), 7);
    for _ in 0..200 {
        town.step(&mut townlet_learn::Scripted);
    }
    town.clear_events();
    town
});

fn sources() -> Sources {
    let config = load(&Layers::default()).expect("the shipped configuration").config;
    foreign_files::shipped_sources(&config).expect("the shipped files")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn texts(seeds: &[&str]) -> Vec<Vec<u8>> {
    seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect()
}

/// Reads an input that must stand in a file.
fn in_file(name: &str, bytes: &[u8], read: impl FnOnce(&Path) -> bool) -> bool {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(name);
    // A store of tokens that others can read is refused.
    let mut file = owner_only(OpenOptions::new().write(true).create_new(true)).open(&path).expect("a file");
    file.write_all(bytes).expect("written");
    drop(file);
    read(&path)
}

fn configs() -> Vec<Vec<u8>> {
    texts(&[DEFAULT, "shard: harbour\nworld: { population: 12 }\nemployment: { grace_ticks: 30, daily_exit_cap: 2 }\n"])
}

fn read_config(bytes: &[u8]) -> bool {
    load(&Layers { file: Some(("town.yaml".into(), text(bytes))), ..Layers::default() }).is_ok()
}

fn old_configs() -> Vec<Vec<u8>> {
    const FILES: [&str; 6] = [
        include_str!("../../import/affordances.yaml"),
        include_str!("../../import/hybrid.yaml"),
        include_str!("../../import/perturbations.yaml"),
        include_str!("../../import/shocked.yaml"),
        include_str!("../../import/story.yaml"),
        include_str!("../../import/timeline.yaml"),
    ];
    texts(&FILES)
}

fn user_configs() -> Vec<Vec<u8>> {
    texts(&["theme: dark\nmouse: false\nkeys: { approve: f5 }\nconsole: { reason: ask }\n\
         notify: { from: warning, bell: true, desktop: osc9, webhook: { url: \"https://example.org\", headers: { a: b } } }\n\
         shards: [{ name: harbour, url: \"http://127.0.0.1:7420\", colour: red }]\n"])
}

fn plans() -> Vec<Vec<u8>> {
    vec![sources().plan.1.into_bytes()]
}

fn read_plan(bytes: &[u8]) -> bool {
    let world = load(&Layers::default()).expect("the shipped configuration").config.world;
    Plan::parse("plan", &text(bytes), (world.grid_size[0], world.grid_size[1])).is_ok()
}

const SNAPSHOT_HEADER: usize = 20;

fn unpacked_snapshot() -> Vec<u8> {
    let bytes = snapshot::save(&TOWN);
    let body = &bytes[SNAPSHOT_HEADER..bytes.len() - 32];
    let length = u64::from_le_bytes(body[..8].try_into().expect("eight bytes"));
    zstd::bulk::decompress(&body[8..], length as usize).expect("a snapshot")
}

fn packed_snapshot(content: &[u8]) -> Vec<u8> {
    let packed = zstd::bulk::compress(content, 1).expect("compression in memory");
    let mut bytes = b"TOWNLET\n".to_vec();
    bytes.extend_from_slice(&snapshot::VERSION.to_le_bytes());
    bytes.extend_from_slice(&(packed.len() as u64 + 8).to_le_bytes());
    bytes.extend_from_slice(&(content.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&packed);
    let checksum = sha256(&bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    let hex = townlet_wire::sha256(bytes);
    (0..32).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex")).collect()
}

/// A town that is accepted also runs.
fn read_snapshot(bytes: &[u8]) -> bool {
    let Ok(mut town) = snapshot::load(bytes) else { return false };
    for _ in 0..3 {
        town.step(&mut townlet_learn::Scripted);
        town.clear_events();
    }
    !town.digest().is_empty()
}

fn frame<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let body = postcard::to_stdvec(value).expect("plain values");
    [&(body.len() as u32).to_le_bytes()[..], &crc32fast::hash(&body).to_le_bytes(), &body].concat()
}

fn journal() -> Vec<u8> {
    let header = Header {
        version: VERSION,
        run_id: "harbour-20260101-000000-000aaa".into(),
        shard: "harbour".into(),
        place: SegmentPlace::FIRST,
        sources: sources(),
        policy: "scripted".into(),
        base: Base::Seed(7),
    };
    let ticks = |from, options: &[u8]| Entry::Ticks { from, to: from + 1, options: options.to_vec(), digest: None };
    let who = TOWN.state().agents.resident[TOWN.state().agents.present[0]];
    let command = Entry::Command {
        index: 0,
        tick: 1,
        cmd_id: "a".into(),
        issuer: "tui:ada".into(),
        command: Command::ExitRequest { who },
    };
    let reload =
        Entry::Reload { index: 1, tick: 2, cmd_id: "b".into(), issuer: "x".into(), sources: Box::new(sources()) };
    let entries = [ticks(0, &[1, 2, 3]), command, ticks(1, &[]), reload, ticks(2, &[7])];
    entries.iter().fold(frame(&header), |mut bytes, entry| {
        bytes.extend(frame(entry));
        bytes
    })
}

fn keyframe() -> Vec<u8> {
    let feed = serde_json::json!({
        "events": [{ "event": "rent_missed", "tick": 3, "agent": "ada", "days": 2 }],
        "narrations": [{ "tick": 3, "category": "rent", "text": "Ada owes 2 days of rent", "priority": "normal" }],
        "last": 3, "last_of": { "rent": 3 }, "counters": { "rent_missed": 1 }, "peak": 2,
    });
    let feed = zstd::bulk::compress(feed.to_string().as_bytes(), 1).expect("compression in memory");
    frame(&(1_u32, "harbour-20260101-000000-000aaa", "scripted", feed, snapshot::save(&TOWN)))
}

/// The bytes with the right checksum in each frame.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let (mut bytes, mut at) = (bytes.to_vec(), 0);
    while at + 8 <= bytes.len() {
        let length = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
        let Some(body) = bytes.get(at + 8..at + 8 + length) else { break };
        let checksum = crc32fast::hash(body).to_le_bytes();
        bytes[at + 4..at + 8].copy_from_slice(&checksum);
        at += 8 + length;
    }
    bytes
}

fn read_journal(bytes: &[u8]) -> bool {
    let Ok(segments) = Segments::of_bytes(Path::new("file.tlj"), bytes.to_vec()) else { return false };
    segments
        .iter()
        .all(|segment| segment.is_ok_and(|(_, contents)| contents.entries.iter().count() == contents.entries.len()))
}

/// A training of two towns and a small network before its first update: the id of its policy, the policy and the state.
static TRAINING: LazyLock<(String, Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let flags = [("training.replicas", "2"), ("training.rollout_ticks", "50"), ("training.hidden_units", "4")];
    let flags = flags.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    let config = load(&Layers { flags, ..Layers::default() }).expect("a configuration").config;
    let sources = foreign_files::shipped_sources(&config).expect("the shipped files");
    let rules = Arc::new(Rules::new(sources).expect("a town"));
    let plan = TrainingPlan { seed: 7, total_steps: 10_000, threads: std::num::NonZero::<usize>::MIN };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let registry = Registry::new(folder.path());
    let id = Trainer::new(&rules, plan).save(&registry, "run").expect("saved");
    let state = registry.training(&id).expect("saved").encode();
    (id.clone(), registry.bytes(&id).expect("saved"), state)
});

/// Magic bytes and SHA-256 of a training state.
const TRAINING_HEADER: usize = 16 + 32;

fn sealed_training(content: &[u8]) -> Vec<u8> {
    [&TRAINING.2[..16], &sha256(content), content].concat()
}

fn read_training(bytes: &[u8]) -> bool {
    TrainingState::decode(&TRAINING.0, bytes).is_ok()
}

/// A bundle whose replay has this content.
fn bundle(replay: &[u8]) -> Vec<u8> {
    let packed = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("an encoder");
    let mut tar = tar::Builder::new(packed);
    let mut header = tar::Header::new_gnu();
    header.set_size(replay.len() as u64);
    header.set_mode(0o600);
    tar.append_data(&mut header, "harbour/replay.tlj", replay).expect("an item");
    tar.into_inner().and_then(zstd::stream::write::Encoder::finish).expect("a bundle")
}

fn read_bundle(bytes: &[u8]) -> bool {
    in_file("bundle.tar.zst", bytes, |path| replay_journal(path).is_ok_and(|segments| segments.read(0).is_ok()))
}

fn audit_log() -> Vec<u8> {
    use townlet_audit::{Log, Options, Record};
    use townlet_wire::{Role, Session};
    let folder = tempfile::tempdir().expect("a temporary folder");
    let opened = Log::open(Options::new(folder.path(), "r", "harbour")).expect("a log");
    let session = Session { issuer: "tui:ada".into(), role: Role::Admin, transport: "local".into(), owner: true };
    for number in 0..6 {
        let args = serde_json::json!({ "agent": "ada", "amount": number.to_string() });
        let record = Record::of(&session, format!("id-{number}"), "setmoney", args);
        opened.log.append_and_wait(record, true).expect("written");
    }
    drop(opened);
    std::fs::read(folder.path().join("r-0001.jsonl")).expect("a segment")
}

fn read_audit_log(bytes: &[u8]) -> bool {
    in_file("r-0001.jsonl", bytes, |path| {
        let folder = path.parent().expect("it has a folder");
        let report = townlet_audit::verify(folder).expect("it can be read");
        // Without a head a log is never complete.
        report.holds(townlet_audit::Verdict::Integrity)
    })
}

fn streams() -> Vec<Vec<u8>> {
    let one = Snapshot { schema_version: SCHEMA_VERSION.into(), tick: 1, ..Snapshot::default() };
    let mut two = Snapshot { tick: 2, ..one.clone() };
    two.agents.push(townlet_wire::telemetry::Agent { id: "ada".into(), ..Default::default() });
    let message = |prev_seq, body, state: &Snapshot| {
        let message = Envelope::leading_to(state, 7, prev_seq + 1, prev_seq, body);
        let message = Envelope { digest: Some(digest(state)), ..message };
        let data = serde_json::to_string(&message).expect("plain values");
        Event { id: message.position().to_string(), kind: message.body.kind().into(), data }.encoded()
    };
    let first = message(0, Body::Snapshot(Arc::new(one.clone())), &one);
    let then = message(1, Body::Diff(Box::new(Diff::between(&one, &two))), &two);
    texts(&[&first, &(first.clone() + &then), ": nothing\n\ndata: 1\n\n", "event: bye\ndata: {\"reason\":\"x\"}\n\n"])
}

/// As `observe` reads it.
fn read_stream(bytes: &[u8]) -> bool {
    let (mut events, mut decoder) = (EventReader::default(), StreamDecoder::default());
    let mut accepted = false;
    // As they come from a network.
    for piece in bytes.chunks(1_000) {
        let Ok(events) = events.take(piece) else { return false };
        for event in events {
            accepted |= decoder.take(&event) == StreamEvent::State;
        }
    }
    accepted
}

fn payloads() -> Vec<Vec<u8>> {
    let state = Snapshot { schema_version: SCHEMA_VERSION.into(), tick: 1, ..Snapshot::default() };
    let message = Envelope::leading_to(&state, 7, 1, 0, Body::Snapshot(Arc::new(state.clone())));
    vec![state.to_json().into_bytes(), serde_json::to_vec(&message).expect("plain values")]
}

fn command_lines() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = townlet_shard::specs().iter().map(|spec| spec.usage().into_bytes()).collect();
    seeds.extend(texts(&[
        "employment_exit approve ada --reason \"moved \\\"away\\\"\"",
        "setmoney ada 7.5",
        "step 9",
        "kpi",
    ]));
    seeds
}

fn read_command_line(bytes: &[u8]) -> bool {
    let (specs, line) = (townlet_shard::specs(), text(bytes));
    match command_line::parse(&specs, &line) {
        Ok(parsed) => {
            let again = parsed.normalised();
            assert_eq!(command_line::parse(&specs, &again).as_ref(), Ok(&parsed), "the normal form {again} is another");
            true
        }
        Err(error) => {
            assert!(error.code.starts_with("E_") && !error.message.is_empty(), "{error:?}");
            false
        }
    }
}

fn bodies() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"command": "setmoney ada 7", "cmd_id": "01920000-0000-7000-8000-000000000000", "dry_run": true}"#,
        r#"{"command": "escalate", "secret": "x", "query": false}"#,
        r#"{"cmd_id":"a","command":"kpi","status":"ok","tick":3,"result":{"summary":"4 met"},"replayed":false,"audit":"f:1"}"#,
    ])
}

/// A request to a shard, and an answer to a client.
fn read_body(bytes: &[u8]) -> bool {
    let answer = serde_json::from_slice::<Answer>(bytes);
    if let Ok(answer) = &answer {
        assert!(!answer.summary().is_empty() || answer.result.is_some(), "{answer:?} says nothing");
    }
    serde_json::from_slice::<Request>(bytes).is_ok() || answer.is_ok()
}

fn read_keymap(bytes: &[u8]) -> bool {
    serde_json::from_slice(bytes).is_ok_and(|keys| Keymap::remapped(&keys).is_ok())
}

fn tokens() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tokens.json");
    let mut store = TokenStore::default();
    store.create(townlet_wire::Role::Admin).expect("a token");
    store.create(townlet_wire::Role::Viewer).expect("a token");
    store.save(&path).expect("saved");
    vec![std::fs::read(path).expect("a store")]
}

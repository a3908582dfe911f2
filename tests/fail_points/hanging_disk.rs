//! A disk that does not answer: new commands are refused, commands in flight are reported as such, the town keeps running, and
//! afterwards every command is answered and applied once.
//!
//! A paused fail point blocks the writer of the audit log or of the journal. Rule: "Audit log".

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use crate::kit::{TIMEOUT, TestShard, default_sources, options, refusal, temp_home, test_session, wait_for};
use fail::FailScenario;
use serde_json::json;
use tempfile::TempDir;
use townlet_audit::{Stage, records, verify};
use townlet_server::AnonymousReading;
use townlet_server::Server;
use townlet_shard::tokens::TokenStore;
use townlet_shard::{Handle, Home, Log, Options, journal};
use townlet_source::{Local, Source as _, SourceEvent};
use townlet_wire::service::CONSOLE;
use townlet_wire::{Answer, Request, Role, Snapshot, Status};

/// Fail points at which a writer can be paused.
const POINTS: [&str; 4] = ["audit_write", "audit_sync", "journal_write", "journal_sync"];

/// Pauses a writer at a fail point until this value is dropped, also when a test fails.
struct PausedFailPoint(&'static str);

impl PausedFailPoint {
    fn at(point: &'static str) -> Self {
        fail::cfg(point, "pause").expect("it can be held");
        Self(point)
    }
}

impl Drop for PausedFailPoint {
    fn drop(&mut self) {
        fail::remove(self.0);
    }
}

fn request(cmd_id: &str, line: &str) -> Request {
    Request { cmd_id: Some(cmd_id.into()), ..Request::line(line) }
}

/// A served town at full speed, with an admin's session and token.
struct Town {
    home: TempDir,
    shard: Arc<Handle>,
    admin: u64,
    token: String,
    server: Server,
    views: Receiver<Arc<Snapshot>>,
}

impl Town {
    fn start() -> Self {
        let home = temp_home();
        let shard =
            townlet_shard::start(default_sources(&[]), 7, Options { paused: false, ..options(home.path(), false) });
        let shard = Arc::new(shard.expect("it starts"));
        let admin = shard.open(test_session("test:admin", Role::Admin, false), |_| {});
        let (token_file, mut tokens) = (home.path().join("ops/tokens.json"), TokenStore::default());
        let token = tokens.create(Role::Admin).expect("a token");
        tokens.save(&token_file).expect("it is saved");
        let log = Log::new(home.path().join("logs/townlet.log"), "service", false);
        let place = townlet_server::ListenOptions { listen: "127.0.0.1:0".parse().expect("an address"), tls: None };
        let options = townlet_server::Options { token_file, anonymous: AnonymousReading::Full, facts: Vec::new(), log };
        let server = townlet_server::start(Arc::clone(&shard), place, options).expect("it listens");
        let (send, views) = channel();
        shard.subscribe(move |view| drop(send.send(view)));
        Self { home, shard, admin, token, server, views }
    }

    /// The answer to an admin's command line, which must come although the disk hangs.
    #[track_caller]
    fn line(&self, line: &str) -> Answer {
        let (send, answers) = channel();
        self.shard.ask(self.admin, Request::line(line), move |answer| drop(send.send(answer)));
        answers.recv_timeout(TIMEOUT).expect("an answer")
    }

    /// The HTTP response to a command.
    #[track_caller]
    fn post(&self, cmd_id: &str, line: &str) -> String {
        let body = json!({ "command": line, "cmd_id": cmd_id }).to_string();
        let head = format!(
            "POST {CONSOLE} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
             authorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        let mut stream = TcpStream::connect(self.server.address()).expect("it listens");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a time");
        stream.write_all(head.as_bytes()).expect("it listens");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("a reply");
        reply
    }

    /// Asserts that the hang is reported, new commands are refused, and the town keeps running.
    #[track_caller]
    fn assert_stalled(&self, point: &str) {
        assert_eq!(refusal(&self.line("setmoney ada 77")), "E_AUDIT_UNAVAILABLE", "{point}");
        let view = self.shard.view().expect("it lives").0;
        let stalled = |problem: &String| problem.contains("the disk does not answer");
        assert!(view.health.problems.iter().any(stalled), "{point}: {:?}", view.health.problems);
        assert_eq!(view.health.status, "degraded", "{point}");
        wait_for(&self.views, "the town going on", |it| it.tick > view.tick + 100);
    }

    /// Asserts that commands are accepted again and that these were applied once each in both logs.
    #[track_caller]
    fn assert_recovered(self, point: &str, ids: &[&str]) {
        for line in ["setmoney ada 78", "pause"] {
            assert_eq!(self.line(line).status, Status::Ok, "{point}");
        }
        let (view, digest) = self.shard.view().expect("it lives");
        assert_eq!(view.health.problems, [""; 0], "{point}");
        drop(self.server);
        self.shard.stop().unwrap_or_else(|why| panic!("{point}: {why}"));
        once_each(point, self.home.path(), &self.shard.run_id, ids);
        drop(self.shard);
        assert_eq!(TestShard::resumed(self.home.path()).digest(), digest, "{point}");
    }
}

/// Asserts that each of these commands is once in both logs.
#[track_caller]
fn once_each(what: &str, home: &Path, run: &str, ids: &[&str]) {
    assert!(verify(&home.join("logs/console")).unwrap().passed(), "{what}");
    let (mut begun, mut ended, mut applied) = (Vec::new(), Vec::new(), Vec::new());
    records(&home.join("logs/console"), |_, _, record| {
        let record = record.expect("a good line");
        match record.stage {
            Stage::Intent => begun.push(record.cmd_id),
            Stage::Outcome | Stage::Recovered | Stage::Abort if record.command == "setmoney" => {
                ended.push(record.cmd_id);
            }
            _ => {}
        }
        Ok(())
    })
    .expect("readable");
    for file in Home::new(home).journal_files(run) {
        for entry in journal::read(&file).expect("readable").entries.iter() {
            if let journal::Entry::Command { cmd_id, .. } = entry {
                applied.push(cmd_id);
            }
        }
    }
    for id in ids {
        for (place, found) in [("begun", &begun), ("ended", &ended), ("applied", &applied)] {
            assert_eq!(found.iter().filter(|found| found == id).count(), 1, "{what}: {id} {place}");
        }
    }
}

#[test]
fn console_is_told_refused_and_in_flight_commands() {
    let scenario = FailScenario::setup();
    for point in POINTS {
        let town = Town::start();
        let mut console = Local::new(Arc::clone(&town.shard), "tui:ada".into(), false, Vec::new());
        let (send, answers) = channel();
        let send = Mutex::new(send);
        console.start(Box::new(move |notice| {
            if let SourceEvent::Answer(answer) = notice {
                send.lock().expect("nobody panics").send(answer).expect("the test listens");
            }
        }));
        let next_answer = || answers.recv_timeout(TIMEOUT).expect("an answer");
        console.send(Request::line("escalate --reason test"));
        assert_eq!(next_answer().status, Status::Ok);
        let hanging = PausedFailPoint::at(point);
        console.send(request("held", "setmoney ada 50"));
        let first = next_answer();
        assert_eq!((refusal(&first).as_str(), first.cmd_id.as_str()), ("E_IN_FLIGHT", "held"), "{point}");
        town.assert_stalled(point);
        // A retry waits for the same outcome.
        console.send(request("held", "setmoney ada 50"));
        drop(hanging);
        for replayed in [false, true] {
            let answer = next_answer();
            assert_eq!((answer.status, answer.cmd_id.as_str()), (Status::Ok, "held"), "{point}: {answer:?}");
            assert_eq!(answer.replayed, replayed, "{point}");
        }
        drop(console);
        town.assert_recovered(point, &["held"]);
    }
    scenario.teardown();
}

#[test]
fn http_answers_conflict_with_retry_after() {
    let scenario = FailScenario::setup();
    for point in POINTS {
        let town = Town::start();
        let hanging = PausedFailPoint::at(point);
        let reply = town.post("held", "setmoney ada 50").to_ascii_lowercase();
        assert!(reply.starts_with("http/1.1 409 ") && reply.contains("\r\nretry-after: 1\r\n"), "{point}: {reply}");
        assert!(reply.contains("e_in_flight"), "{point}: {reply}");
        town.assert_stalled(point);
        let reply = town.post("refused", "setmoney ada 51");
        assert!(reply.starts_with("HTTP/1.1 503 ") && reply.contains("E_AUDIT_UNAVAILABLE"), "{point}: {reply}");
        drop(hanging);
        let reply = town.post("held", "setmoney ada 50");
        assert!(reply.starts_with("HTTP/1.1 200 ") && reply.contains(r#""replayed":true"#), "{point}: {reply}");
        town.assert_recovered(point, &["held"]);
    }
    scenario.teardown();
}

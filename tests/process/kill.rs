//! `kill -9` at random instants, then resume: nothing acknowledged is lost, nothing is applied twice, the logs agree. In the default
//! town, and with a tenth of the kills in one of 1,000 residents.
//!
//! Commands come from a script and from two network clients at once. After every kill the audit log is verified, the journal
//! replayed, and the one held to the other as they are. Every second home is sealed, and its log is verified with the key, too, after
//! every kill and at the end. `TOWNLET_SOAK=1` makes 1,200 kills instead of fifty. A failing round
//! prints its seed. `TOWNLET_CRASH_SEED` repeats its commands and the length of its pauses, but not the exact instant of a kill,
//! which depends on the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use townlet_audit::{Proofs, VerificationKey, verify_with};
use townlet_learn::prng::Prng;
use townlet_shard::Home;
use townlet_shard::cross_check::cross_check;
use townlet_shard::history::{History, is_keyframe};
use townlet_shard::journal::Segments;
use townlet_shard::tokens::TokenStore;
use townlet_wire::{Answer, Role, Status};

use super::headless::{Batch, Ended, SCRIPT, ScriptAnswer, audited, replay, verified, write_script};
use super::server::Server;
use crate::kit::{TestTown, files_below, has_journal, in_each_town, soak, temp_home, wait_until};

in_each_town! {
    kill_during_a_script_loses_and_repeats_nothing,
    kill_at_full_speed_resumes_from_the_last_journalled_tick,
    kill_during_network_commands_loses_and_repeats_nothing,
}

/// Commands in a script.
const COMMANDS: u64 = 40;
/// Last tick of a batch with commands.
const LIMIT: &str = "1200";

/// Waits for a random time, so that a kill can happen anywhere between two answers.
fn pause(prng: &mut Prng, spins: usize) {
    for _ in 0..prng.below(spins) {
        std::hint::spin_loop();
    }
}

/// Totals of all rounds; a restart lasts from its start to its first answer, and for a served shard until it is ready.
#[derive(Default)]
struct Tally {
    kills: u64,
    /// Commands acknowledged before a kill.
    acknowledged: usize,
    restarts: Vec<Duration>,
    /// The key of the present home, if it is sealed.
    key: Option<VerificationKey>,
    /// Homes with seals, and the verifications with a key.
    sealed: [u64; 2],
}

impl Tally {
    /// A new home; every second one is sealed.
    fn home(&mut self) -> TempDir {
        let folder = temp_home();
        let home = Home::new(folder.path());
        let seals = self.key.take().is_none();
        self.key = seals.then(|| townlet_audit::set_up(&home.seal_key(), &home.console(), false).expect("a key"));
        self.sealed[0] += u64::from(seals);
        folder
    }

    /// Verifies the audit log, with the key if it is sealed.
    #[track_caller]
    fn verified(&mut self, home: &Path) {
        verified(home);
        let (home, Some(key)) = (Home::new(home), &self.key) else { return };
        if !home.console().exists() {
            return;
        }
        let proofs = Proofs { keys: vec![key.clone()], seal_key: Some(home.seal_key()), ..Proofs::default() };
        let report = verify_with(&home.console(), &proofs).expect("the audit log is read");
        assert!(report.passed(), "{:?}", report.findings().map(ToString::to_string).collect::<Vec<_>>());
        self.sealed[1] += u64::from(!report.proven.is_empty());
    }

    /// Counts a kill and checks the files it left.
    #[track_caller]
    fn killed(&mut self, home: &Path) {
        self.kills += 1;
        self.verified(home);
        if has_journal(home) {
            replay(home);
        }
        let home = Home::new(home);
        for run in home.all_runs() {
            let check = cross_check(&home, &home.console(), &run, |_, _| {}).expect("the log is read");
            assert!(check.passed(), "{check:#?}");
            assert_keyframes_are_whole(&home, &run);
        }
    }
}

/// A kill leaves complete keyframes, and every part of the run can be looked at from them.
#[track_caller]
fn assert_keyframes_are_whole(home: &Home, run: &str) {
    let files = files_below(&home.keyframes(run));
    for file in files.iter().filter(|file| file.extension().is_some_and(|it| it == "tlk")) {
        let bytes = std::fs::read(file).expect("the keyframe is read");
        assert!(is_keyframe(&bytes), "{}: {} bytes", file.display(), bytes.len());
    }
    let segments = Segments::of_run(home, run).expect("the segments follow each other");
    if segments.count() > 0 {
        let mut history = History::open(home, segments).expect("the run is whole");
        let (first, last) = history.ticks();
        for tick in [last, first.midpoint(last), last, last.saturating_sub(1)] {
            history.seek(tick).unwrap_or_else(|why| panic!("tick {tick} of {last}: {why}"));
        }
        assert_eq!(history.take_notes(), Vec::<String>::new());
    }
}

/// Runs a body with one seed after another until there were so many kills. The seed of a failing round is printed.
fn rounds(what: &str, town: TestTown, kills: [u64; 2], body: impl Fn(&mut Prng, &mut Tally)) {
    let fixed = std::env::var("TOWNLET_CRASH_SEED").ok().map(|seed| seed.parse().expect("a seed is a number"));
    let share = if town == TestTown::Thousand { 10 } else { 1 };
    let wanted = if fixed.is_some() { 1 } else { kills[usize::from(soak())] / share };
    let (begun, mut tally, mut round) = (Instant::now(), Tally::default(), 0);
    while tally.kills < wanted {
        let seed = fixed.unwrap_or(round);
        println!("TOWNLET_CRASH_SEED={seed}");
        body(&mut Prng::from_state(seed), &mut tally);
        round += 1;
    }
    tally.restarts.sort();
    let last = tally.restarts.len().saturating_sub(1);
    let milliseconds = |share: usize| tally.restarts.get(last * share / 100).map_or(0, Duration::as_millis);
    assert!(tally.sealed[1] > 0 || fixed.is_some(), "the key has proven seals");
    println!(
        "{what}, {town:?}: {round} towns, {} of them sealed, {} kills, each verified, {} of them with seals proven by the key, {} commands \
         acknowledged before one, {} restarts (p50 {} ms, p99 {} ms, longest {} ms), {} s",
        tally.sealed[0],
        tally.kills,
        tally.sealed[1],
        tally.acknowledged,
        tally.restarts.len(),
        milliseconds(50),
        milliseconds(99),
        milliseconds(100),
        begun.elapsed().as_secs()
    );
}

/// Commands with different effects, so that a lost, doubled or reordered one changes the digest.
fn commands(prng: &mut Prng) -> Vec<(Option<u64>, String, String)> {
    let command = |number: u64| match number % 4 {
        0 => format!("setmoney ada {number}.5"),
        1 => format!("set_exit_cap {number}"),
        2 => format!("price meal 1.{number:02}"),
        _ => format!("setneed ada hygiene 0.{number:02}"),
    };
    let mut tick = 0;
    (0..COMMANDS)
        .map(|number| {
            tick += prng.below(20) as u64;
            (Some(tick), command(number), format!("id-{number}"))
        })
        .collect()
}

/// Ids acknowledged so far; a repeated answer must be marked as replayed.
#[derive(Default)]
struct Acknowledged(BTreeSet<String>);

impl Acknowledged {
    #[track_caller]
    fn take(&mut self, answer: &ScriptAnswer) {
        assert!(answer.ok, "{}", answer.text);
        assert!(answer.replayed || self.0.insert(answer.cmd_id.clone()), "applied twice: {}", answer.text);
        self.0.insert(answer.cmd_id.clone());
    }
}

/// Starts the town, or resumes it if there is a run, up to a tick with the commands of the script.
fn start(town: TestTown, home: &Path) -> Batch {
    let which = if has_journal(home) { &["--resume"] } else { town.args() };
    Batch::start(home, &[&["--script", SCRIPT, "--tick-limit", LIMIT], which].concat(), &[])
}

fn run(town: TestTown, home: &Path, prng: &mut Prng, tally: &mut Tally, known: &mut Acknowledged) -> Ended {
    let resumed = has_journal(home);
    let mut batch = start(town, home);
    for _ in 0..prng.below(COMMANDS as usize) {
        match batch.answer() {
            Some(answer) => known.take(&answer),
            None => break,
        }
    }
    pause(prng, 3_000_000);
    tally.restarts.extend(batch.time_to_first_answer().filter(|_| resumed));
    let ended = batch.kill();
    tally.killed(home);
    ended.answers.iter().for_each(|answer| known.take(answer));
    ended
}

fn kill_during_a_script_loses_and_repeats_nothing(town: TestTown) {
    rounds("commands of a script", town, [20, 600], |prng, tally| {
        let home = tally.home();
        let home = home.path();
        let mut script = commands(prng);
        write_script(home, &script);
        let mut known = Acknowledged::default();
        run(town, home, prng, tally, &mut known);
        // The same commands again without ticks, with kills in between.
        for (tick, _, _) in &mut script {
            *tick = None;
        }
        write_script(home, &script);
        for _ in 0..prng.below(3) {
            run(town, home, prng, tally, &mut known);
        }
        let before = known.0.clone();
        tally.acknowledged += before.len();
        assert!(has_journal(home) || before.is_empty());
        let ended = start(town, home).end();
        assert_eq!(ended.status, Some(0), "{}{}", ended.out, ended.said);
        assert_eq!(ended.answers.len(), script.len());
        for answer in &ended.answers {
            assert!(answer.replayed || !before.contains(&answer.cmd_id), "lost: {}", answer.text);
            known.take(answer);
        }
        let ids: Vec<String> = script.into_iter().map(|(_, _, cmd_id)| cmd_id).collect();
        let replayed = replay(home);
        assert_eq!(replayed.ids, ids, "each once, in order");
        assert_eq!((replayed.digest.as_str(), replayed.tick), (ended.digest(), 1_200));
        assert_eq!(audited(home).into_keys().collect::<BTreeSet<_>>(), ids.into_iter().collect());
        tally.verified(home);
    });
}

fn kill_at_full_speed_resumes_from_the_last_journalled_tick(town: TestTown) {
    rounds("full speed", town, [20, 200], |prng, tally| {
        let home = tally.home();
        let home = home.path();
        let batch = Batch::start(home, &[town.args(), &["--tick-limit", "1000000000"]].concat(), &[]);
        if town == TestTown::Thousand {
            // It takes longer to start than the pause lasts.
            wait_until("the journal", || has_journal(home));
        }
        pause(prng, 4_000_000);
        batch.kill();
        tally.killed(home);
        for _ in 0..2 {
            if !has_journal(home) {
                return;
            }
            let before = replay(home);
            let batch = Batch::start(home, &["--resume", "--tick-limit", "1000000000"], &[]);
            pause(prng, 4_000_000);
            batch.kill();
            tally.killed(home);
            let after = replay(home);
            assert!(after.tick >= before.tick);
        }
        let before = replay(home);
        let limit = (before.tick + 250).to_string();
        let ended = Batch::start(home, &["--resume", "--tick-limit", &limit], &[]).end();
        assert_eq!(ended.status, Some(0), "{}{}", ended.out, ended.said);
        assert_eq!(ended.resumed_at(), before.tick);
        let after = replay(home);
        assert_eq!((after.digest.as_str(), after.tick), (ended.digest(), before.tick + 250));
        audited(home);
        tally.verified(home);
    });
}

/// Concurrent clients.
const CLIENTS: u64 = 2;

/// Sends one command; `None` when no complete answer came back.
pub(crate) fn post(address: &str, token: &str, command: &str, cmd_id: &str) -> Option<Answer> {
    let body = serde_json::json!({ "command": command, "cmd_id": cmd_id }).to_string();
    let mut stream = TcpStream::connect(address).ok()?;
    let head = format!(
        "POST /v1/console HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         authorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    serde_json::from_str(reply.split_once("\r\n\r\n")?.1).ok()
}

/// Asks until the shard says that it takes commands.
fn wait_until_ready(address: &str) {
    let is_ready = || {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.write_all(b"GET /v1/ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").ok()?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).ok()?;
        reply.starts_with("HTTP/1.1 200").then_some(())
    };
    wait_until("the shard is ready", || is_ready().is_some());
}

/// Commands that clients have sent, by id, and the acknowledged ids.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) sent: BTreeMap<String, String>,
    pub(crate) known: BTreeSet<String>,
}

/// Sends a command, which must be answered as replayed when it was acknowledged before. `None` when the shard does not answer.
pub(crate) fn send(address: &str, token: &str, (cmd_id, command): (&str, &str), ledger: &Mutex<Ledger>) -> Option<()> {
    let known = {
        let mut ledger = ledger.lock().expect("no client panics");
        ledger.sent.insert(cmd_id.to_owned(), command.to_owned());
        ledger.known.contains(cmd_id)
    };
    // A busy shard may say that the command still runs. Sent again, it is answered.
    let mut answer = None;
    wait_until("an answer", || {
        answer = post(address, token, command, cmd_id);
        let error = answer.as_ref().and_then(|answer| answer.error.as_ref());
        error.is_none_or(|error| error.code != "E_IN_FLIGHT")
    });
    let answer = answer?;
    assert_eq!(answer.status, Status::Ok, "{answer:?}");
    assert!(!known || answer.replayed, "{cmd_id} was applied twice: {answer:?}");
    ledger.lock().expect("no client panics").known.insert(cmd_id.to_owned());
    Some(())
}

/// Sends new commands from concurrent clients until the shard is killed.
fn send_commands_until_killed(address: &str, token: &str, ledger: &Mutex<Ledger>, round: u64) {
    std::thread::scope(|clients| {
        for client in 0..CLIENTS {
            clients.spawn(move || {
                for number in 0.. {
                    let command = match number % 3 {
                        0 => format!("setmoney ada {}.5", number % 1_000 + client * 1_000),
                        1 => format!("set_exit_cap {}", number % 200 + client * 200),
                        _ => format!("price meal 1.{:03}", number % 500 + client * 500),
                    };
                    let cmd_id = format!("c{client}-{round}-{number}");
                    if send(address, token, (&cmd_id, &command), ledger).is_none() {
                        break;
                    }
                }
            });
        }
    });
}

/// Sends every command once more.
pub(crate) fn send_again(address: &str, token: &str, ledger: &Mutex<Ledger>) {
    let sent = ledger.lock().expect("no client panics").sent.clone();
    for (cmd_id, command) in &sent {
        send(address, token, (cmd_id, command), ledger).expect("it answers");
    }
}

/// Asserts that every command is acknowledged, once in the audit log and, if it changes the town, once in the journal.
#[track_caller]
pub(crate) fn once_each(home: &Path, Ledger { sent, known }: Ledger) {
    assert_eq!(known, sent.keys().cloned().collect());
    let of_town = sent.into_iter().filter(|(_, command)| !command.starts_with("telemetry_mode"));
    let (of_town, replayed) = (of_town.map(|(cmd_id, _)| cmd_id).collect::<BTreeSet<_>>(), replay(home));
    assert_eq!(replayed.ids.len(), of_town.len(), "each once");
    assert_eq!(replayed.ids.into_iter().collect::<BTreeSet<_>>(), of_town);
    assert_eq!(audited(home).into_keys().collect::<BTreeSet<_>>(), known);
}

/// Makes an admin token.
pub(crate) fn token(home: &Path) -> String {
    let mut tokens = TokenStore::default();
    let token = tokens.create(Role::Admin).unwrap();
    tokens.save(&home.join("ops/tokens.json")).unwrap();
    token
}

fn kill_during_network_commands_loses_and_repeats_nothing(town: TestTown) {
    rounds("commands of two clients", town, [10, 400], |prng, tally| {
        let home = tally.home();
        let home = home.path();
        let token = token(home);
        let ledger = Mutex::default();
        let listen = ["--listen", "127.0.0.1:0", "--speed", "100x"];
        let mut server = Server::start(home, &[&listen[..], town.args()].concat());
        for round in 0..=prng.below(3) as u64 {
            let address = server.address().to_owned();
            let wait = prng.below(20_000_000);
            std::thread::scope(|scope| {
                scope.spawn(|| send_commands_until_killed(&address, &token, &ledger, round));
                (0..wait).for_each(|_| std::hint::spin_loop());
                server.kill();
            });
            tally.killed(home);
            let begun = Instant::now();
            server = Server::start(home, &[&listen[..], &["--resume"]].concat());
            wait_until_ready(server.address());
            tally.restarts.push(begun.elapsed());
        }
        tally.acknowledged += ledger.lock().expect("no client panics").known.len();
        send_again(server.address(), &token, &ledger);
        server.terminate();
        once_each(home, ledger.into_inner().unwrap());
        tally.verified(home);
    });
}

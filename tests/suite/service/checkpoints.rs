//! Checkpoints of the audit log, and clients that remember them: a log that was rewritten, shortened or moved to another key is
//! noticed by everybody who has looked before.

use std::sync::mpsc::Receiver;

use townlet_audit::{Checkpoint, PublicKey};
use townlet_source::remote::{KnownLine, KnownShards};
use townlet_source::{Remote, Source as _, SourceEvent};
use townlet_wire::service::{CHECKPOINT, HEALTH};
use townlet_wire::{Request, Status};

use super::client::{Reply, Served, wait};
use super::{deliveries, until};
use crate::audit_forgery::attacker::{Segments, Stolen};
use crate::kit::{TestShard, wait_until};

/// A shard with some commands in its log.
fn operated() -> Served {
    let served = Served::start();
    for number in 0..3 {
        let line = serde_json::json!({ "command": "setmoney ada 7", "cmd_id": format!("c-{number}") });
        assert_eq!(served.post(&served.admin(), &line.to_string()).status, 200);
    }
    let seen = || opened(&served.get(CHECKPOINT, "")).seq;
    wait_until("the head names every command", || seen() >= 7);
    served
}

/// The checkpoint of a reply, by the key in its header.
fn opened(reply: &Reply) -> Checkpoint {
    assert_eq!(reply.status, 200, "{}", reply.body);
    let key =
        reply.head.split("townlet-checkpoint-key: ").nth(1).and_then(|rest| rest.split('\r').next()).expect("a key");
    PublicKey::parse(key).and_then(|key| key.open(&reply.body)).expect("signed with the key of the shard")
}

/// The shard of [`operated`] after a restart, with the run that has ended, and a client that has seen its last line. A live run
/// undoes what somebody else does to its log, so only the log of an ended one can be forged.
struct Restarted {
    served: Served,
    ended: String,
    known: KnownShards,
    folder: tempfile::TempDir,
}

impl Restarted {
    fn start() -> Self {
        let home = crate::kit::temp_home();
        let before = TestShard::new(home.path());
        for line in ["setmoney ada 1", "setmoney ada 2", "setmoney ada 3"] {
            before.expect_ok(line);
        }
        let ended = before.shard.run_id.clone();
        before.shard.stop().expect("it stops");
        drop(before);
        let start = |home: &tempfile::TempDir| {
            townlet_shard::start(crate::kit::default_sources(&[]), 7, crate::kit::options(home.path(), true))
        };
        let served = Served::with_shard(home, None, start);
        wait_until("the head names the first line", || opened(&served.get(CHECKPOINT, "")).seq >= 1);
        let folder = crate::kit::temp_home();
        let known = KnownShards::at(folder.path().join("known_shards.json"));
        assert_eq!(wait(known.check(&served.client(None))).unwrap().alarms, []);
        let mut shards = known.load().unwrap();
        let last = stolen(&served).read(&ended).pop().and_then(|mut segment| segment.pop()).expect("a line");
        let line = KnownLine { run_id: ended.clone(), seq: last.seq, hash: last.hash };
        shards.get_mut(served.client(None).url()).expect("it is known")[0].runs.insert(0, line);
        std::fs::write(folder.path().join("known_shards.json"), serde_json::to_string(&shards).unwrap()).unwrap();
        assert_eq!(wait(known.check(&served.client(None))).unwrap().alarms, []);
        Self { served, ended, known, folder }
    }

    /// Changes the ended run.
    fn forge(&self, edit: impl FnOnce(&mut Segments)) {
        let mut segments = stolen(&self.served).read(&self.ended);
        edit(&mut segments);
        stolen(&self.served).write_run(&self.ended, segments);
    }
}

fn stolen(served: &Served) -> Stolen {
    Stolen(served.home.path().to_owned())
}

#[test]
fn a_checkpoint_names_a_durable_line() {
    let served = operated();
    let run = &served.shard.run_id;
    let newest = opened(&served.get(CHECKPOINT, ""));
    let log = served.log();
    assert_eq!((&newest.run_id, newest.shard.as_str()), (run, "harbour"));
    for (query, seq) in [("?at=1".to_owned(), 1), (format!("?run={run}&at=4"), 4), (format!("?run={run}"), newest.seq)]
    {
        let line = opened(&served.get(&format!("{CHECKPOINT}{query}"), ""));
        assert_eq!((line.seq, &line.hash), (seq, &log[seq as usize - 1].hash), "{query}");
    }
    for (query, status, code) in [
        ("?at=0", 404, "E_NOT_FOUND"),
        ("?at=9999", 404, "E_NOT_FOUND"),
        ("?run=none", 404, "E_NOT_FOUND"),
        ("?run=..%2F..%2Fops%2Ftokens", 404, "E_NOT_FOUND"),
        ("?at=x", 400, "E_INVALID_ARG"),
        ("?what=1", 400, "E_INVALID_ARG"),
    ] {
        let reply = served.get(&format!("{CHECKPOINT}{query}"), "");
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{query}: {}", reply.body);
    }
    assert_eq!(served.get(HEALTH, "").json()["audit_sealed"], false);
    townlet_audit::set_up(&stolen(&served).key_file(), &stolen(&served).logs(), false).expect("a key");
    served.shard.seal_audit_log().expect("sealed");
    assert_eq!(served.get(HEALTH, "").json()["audit_sealed"], true);
}

#[test]
fn a_client_that_has_looked_before_notices_another_history() {
    let restarted = Restarted::start();
    let Restarted { served, ended, known, .. } = &restarted;
    let client = served.client(None);
    let check = || {
        let alarms = wait(known.check(&client)).expect("the file can be written").alarms;
        alarms.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(check(), "", "it finds the same again");
    let seen = known.load().unwrap().remove(client.url()).expect("it is known").remove(0).runs.remove(0);
    assert_eq!(&seen.run_id, ended);
    let forget = format!("`townlet audit forget {} harbour`", client.url());

    let good = stolen(served).read(ended);
    restarted.forge(|segments| {
        let lines = &mut segments[0];
        lines[1].issuer = "tui:mallory".into();
        // The log is longer than what was seen, so its head alone shows nothing.
        lines.push(lines[1].clone());
    });
    let said = check();
    assert!(said.contains(&format!("WAS REWRITTEN: line {} of run {ended}", seen.seq)), "{said}");
    assert!(said.contains(&seen.hash) && said.contains(&forget), "what was seen and what to do: {said}");
    assert_eq!(known.load().unwrap()[client.url()][0].runs[0], seen, "what was seen is kept");

    restarted.forge(|segments| segments[0].truncate(3));
    let said = check();
    assert!(said.contains("WAS SHORTENED") && said.contains(&format!("line {} of run {ended}", seen.seq)), "{said}");

    restarted.forge(|segments| *segments = good);
    assert_eq!(check(), "", "the history of before is no alarm");

    let key = served.shard.home().checkpoint_key("harbour");
    std::fs::remove_file(&key).expect("removed");
    let said = check();
    assert!(said.contains("THE KEY OF SHARD harbour HAS CHANGED") && said.contains(&forget), "{said}");
    assert_eq!(known.forget(client.url(), Some("harbour")), Ok(vec!["harbour".to_owned()]));
    assert_eq!(check(), "");
}

#[test]
fn an_earlier_run_that_is_gone_is_noticed() {
    let served = operated();
    let folder = crate::kit::temp_home();
    let known = KnownShards::at(folder.path().join("known_shards.json"));
    let client = served.client(None);
    assert_eq!(wait(known.check(&client)).unwrap().alarms, []);
    // Another run of this home was seen earlier.
    let text = std::fs::read_to_string(folder.path().join("known_shards.json")).unwrap();
    let run = &served.shard.run_id;
    let last = if run.ends_with('0') { "1" } else { "0" };
    let other = format!("{}{last}", &run[..run.len() - 1]);
    std::fs::write(folder.path().join("known_shards.json"), text.replace(run, &other)).unwrap();
    let said = wait(known.check(&client)).unwrap().alarms.remove(0).to_string();
    assert!(said.contains("WAS SHORTENED") && said.contains(&format!("there is no run `{other}`")), "{said}");
}

#[test]
fn one_command_on_a_rewritten_log_is_not_sent() {
    let restarted = Restarted::start();
    let (home, url) = (restarted.served.home.path(), restarted.served.server.url());
    let console = |line: &str| {
        let run = crate::kit::townlet(home, &format!("console --connect {url} {line}"));
        (run.status.code(), crate::kit::text(&run.stdout), crate::kit::text(&run.stderr))
    };
    assert_eq!(console("kpi").0, Some(0));
    let known = crate::kit::files_below(home).into_iter().find(|file| file.ends_with("known_shards.json"));
    std::fs::copy(restarted.folder.path().join("known_shards.json"), known.expect("it was written")).unwrap();
    assert_eq!(console("kpi").0, Some(0));
    restarted.forge(|segments| segments[0][1].issuer = "tui:mallory".into());
    let (status, out, said) = console("kpi");
    assert_eq!((status, out.as_str()), (Some(1), ""), "{said}");
    assert!(
        said.contains("WARNING: ") && said.contains("WAS REWRITTEN") && said.ends_with("Nothing was sent.\n"),
        "{said}"
    );
    let known = crate::kit::townlet(home, "audit known");
    assert!(crate::kit::text(&known.stdout).contains(&url), "{}", crate::kit::text(&known.stdout));
    assert_eq!(crate::kit::townlet(home, &format!("audit forget {url}")).status.code(), Some(0));
    assert_eq!(console("kpi").0, Some(0));
    assert_eq!(crate::kit::townlet(home, "audit forget http://other").status.code(), Some(2));
}

/// A shard whose log was rewritten while it was stopped, and an observer that knows its old history.
fn observed_after_a_forgery() -> (Restarted, Remote, Receiver<SourceEvent>) {
    let restarted = Restarted::start();
    restarted.forge(|segments| segments[0][1].issuer = "tui:mallory".into());
    let mut source =
        Remote::new(restarted.served.client(Some(&restarted.served.admin))).remembering(Some(restarted.known.clone()));
    let notices = deliveries(&mut source);
    (restarted, source, notices)
}

#[test]
fn a_screen_is_told_of_another_history() {
    let (restarted, mut source, notices) = observed_after_a_forgery();
    let alarms = until(&notices, "an alarm", |notice| match notice {
        SourceEvent::History(alarms) => Some(alarms),
        _ => None,
    });
    assert!(alarms[0].contains("WAS REWRITTEN"), "{alarms:?}");
    // Only what reads is sent until the change is accepted.
    let mut ask = |request: Request| {
        let id = source.send(request);
        until(&notices, "an answer", |notice| match notice {
            SourceEvent::Answer(answer) if answer.cmd_id == id => Some(answer),
            _ => None,
        })
    };
    let dry_run = Request { dry_run: true, ..Request::line("set_exit_cap 2") };
    let escalate = Request { secret: Some(restarted.served.admin.clone()), ..Request::line("escalate") };
    let [cap, pause, step] = ["set_exit_cap 2", "pause", "step 3"].map(Request::line);
    for request in [cap, pause, step, dry_run, escalate] {
        let line = request.command.clone();
        let error = ask(request).error.expect(&line);
        assert_eq!(error.code, "E_HISTORY", "{line}");
        assert!(error.message.starts_with("nothing was sent. THE AUDIT LOG OF THIS SHARD WAS REWRITTEN"), "{error:?}");
        assert!(error.hint.contains("`townlet audit forget http://"), "{error:?}");
    }
    assert_eq!(ask(Request::line("kpi")).status, Status::Ok);
    restarted.known.forget(&restarted.served.server.url(), None).unwrap();
    until(&notices, "no alarm", |notice| match notice {
        SourceEvent::History(alarms) if alarms.is_empty() => Some(()),
        _ => None,
    });
    assert_eq!(ask(Request::line("set_exit_cap 2")).error, None);
}

#[test]
fn a_command_that_waited_for_the_connection_is_not_sent_to_another_history() {
    let (_restarted, mut source, notices) = observed_after_a_forgery();
    until(&notices, "its commands", |notice| matches!(notice, SourceEvent::SourceInfo(_)).then_some(()));
    // Nothing was compared on this connection yet.
    let id = source.send(Request::line("set_exit_cap 2"));
    let error = until(&notices, "an answer", |notice| match notice {
        SourceEvent::Answer(answer) if answer.cmd_id == id => Some(answer.error),
        _ => None,
    });
    assert_eq!(error.expect("an error").code, "E_HISTORY");
}

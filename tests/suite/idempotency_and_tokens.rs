//! `cmd_id` on a live shard and across a restart, roles and tokens, and changes to the audit log of a real run.
//!
//! Rules: "Idempotent retries", "Roles and identity", "Audit log".

use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;

use crate::kit::{
    TestShard, TestTown, audit_log, default_sources, files_below, in_each_town, options, refusal, temp_home,
    test_session,
};
use townlet_audit::{Record, Stage};
use townlet_shard::tokens::TokenStore;
use townlet_shard::{Home, Options};
use townlet_wire::{Answer, Request, Role, Status};

fn with_id(line: &str, cmd_id: &str) -> Request {
    Request { cmd_id: Some(cmd_id.into()), ..Request::line(line) }
}

fn wallet(live: &TestShard, id: &str) -> f64 {
    live.view().jobs[id].wallet
}

fn stages(records: &[Record], cmd_id: &str) -> Vec<Stage> {
    records.iter().filter(|record| record.cmd_id == cmd_id).map(|record| record.stage).collect()
}

fn replayed(answer: &Answer, first: &Answer) {
    assert!(answer.replayed && !first.replayed, "{answer:?}");
    assert_eq!((answer.status, &answer.result, answer.tick), (first.status, &first.result, first.tick));
    assert_eq!((&answer.command, &answer.audit), (&first.command, &first.audit));
}

#[test]
fn repeated_cmd_id_returns_the_stored_answer() {
    let home = temp_home();
    let live = TestShard::new(home.path());
    let residents = live.view().agents.len();
    let first = live.ask(live.admin, with_id("spawn", "once"));
    live.run(7);
    replayed(&live.ask(live.admin, with_id("spawn", "once")), &first);
    assert_eq!(live.view().agents.len(), residents + 1);

    let paid = live.ask(live.admin, with_id("setmoney ADA 5.0", "paid"));
    live.expect_ok("setmoney ada 1");
    replayed(&live.ask(live.admin, with_id("setmoney ada 5", "paid")), &paid);
    assert_eq!(wallet(&live, "ada").to_bits(), 1.0_f64.to_bits(), "asked again, not done again");

    let other = live.ask(live.admin, with_id("setmoney ada 6", "paid"));
    assert_eq!(refusal(&other), "E_CMD_ID_REUSED");
    assert_eq!(wallet(&live, "ada").to_bits(), 1.0_f64.to_bits());
    drop(live);
    let records = audit_log(home.path());
    assert_eq!(stages(&records, "once"), [Stage::Intent, Stage::Outcome, Stage::Rejected]);
    assert_eq!(stages(&records, "paid"), [Stage::Intent, Stage::Outcome, Stage::Rejected, Stage::Rejected]);
    let again = records.iter().find(|record| record.cmd_id == "once" && record.stage == Stage::Rejected).unwrap();
    assert_eq!(again.result, Some(serde_json::json!({ "replayed": true })));
    let reused = records.iter().rev().find(|record| record.cmd_id == "paid").unwrap();
    assert_eq!(reused.error.as_ref().unwrap().code, "E_CMD_ID_REUSED");
}

in_each_town! { cmd_ids_survive_a_restart }

fn cmd_ids_survive_a_restart(town: TestTown) {
    let home = temp_home();
    let live = TestShard::in_town(home.path(), town);
    live.run(30);
    let first = live.ask(live.admin, with_id("setmoney ada 5", "kept"));
    live.expect_ok("setmoney ada 1");
    live.run(130);
    let (tick, digest) = (live.view().tick, live.digest());
    drop(live);
    for _ in 0..2 {
        let live = TestShard::resumed(home.path());
        assert_eq!((live.view().tick, live.digest()), (tick, digest.clone()));
        replayed(&live.ask(live.admin, with_id("setmoney ada 5", "kept")), &first);
        assert_eq!(refusal(&live.ask(live.admin, with_id("setmoney ben 5", "kept"))), "E_CMD_ID_REUSED");
        assert_eq!(live.digest(), digest);
    }
    assert_eq!(stages(&audit_log(home.path()), "kept").iter().filter(|stage| **stage == Stage::Intent).count(), 1);
}

#[test]
fn refused_commands_are_logged_and_may_be_retried_with_the_same_id() {
    let home = temp_home();
    let live = TestShard::new(home.path());
    for (session, line, code) in [
        (live.admin, "setmoney adda 5", "E_NOT_FOUND"),
        (live.admin, "setmoney ada much", "E_INVALID_ARG"),
        (live.admin, "setmonkey ada 5", "E_UNKNOWN_COMMAND"),
        (live.admin, "release ada", "E_CONFLICT"),
    ] {
        assert_eq!(refusal(&live.ask(session, with_id(line, "tried"))), code);
    }
    let done = live.ask(live.admin, with_id("setmoney ada 5", "tried"));
    assert_eq!((done.status, done.replayed), (Status::Ok, false));
    assert_eq!(refusal(&live.ask(live.viewer, with_id("spawn", "looked"))), "E_FORBIDDEN");
    assert_eq!(refusal(&live.ask(live.viewer, with_id("setmoney ADA 5", "forbidden"))), "E_FORBIDDEN");
    live.ask(live.viewer, Request::line("escalate --reason practice"));
    assert_eq!(live.ask(live.viewer, with_id("spawn", "looked")).status, Status::Ok);
    drop(live);
    let records = audit_log(home.path());
    let tried = stages(&records, "tried");
    assert_eq!(tried[..4], [Stage::Rejected; 4]);
    assert_eq!(tried[4..], [Stage::Intent, Stage::Outcome]);
    assert_eq!(stages(&records, "looked"), [Stage::Rejected, Stage::Intent, Stage::Outcome]);
    let refused = records.iter().find(|record| record.cmd_id == "looked").unwrap();
    assert_eq!((refused.role, refused.error.as_ref().unwrap().code.as_str()), (Role::Viewer, "E_FORBIDDEN"));
    let args = |cmd_id: &str| &records.iter().find(|record| record.cmd_id == cmd_id).unwrap().args;
    assert_eq!(*args("forbidden"), serde_json::json!({ "agent": "ada", "value": "5" }), "what was refused is known");
    assert_eq!(*args("tried"), serde_json::json!({ "agent": "adda", "value": "5" }));
}

#[test]
fn cmd_ids_belong_to_their_issuer() {
    let home = temp_home();
    let live = TestShard::new(home.path());
    let second = live.shard.open(test_session("test:second", Role::Admin, false), |_| {});
    assert!(!live.ask(live.admin, with_id("setmoney ada 5", "shared")).replayed);
    let other = live.ask(second, with_id("setmoney ben 6", "shared"));
    assert_eq!((other.status, other.replayed), (Status::Ok, false), "{other:?}");
    drop(live);
    let live = TestShard::resumed(home.path());
    let second = live.shard.open(test_session("test:second", Role::Admin, false), |_| {});
    assert!(live.ask(live.admin, with_id("setmoney ada 5", "shared")).replayed);
    assert!(live.ask(second, with_id("setmoney ben 6", "shared")).replayed);
    assert_eq!(refusal(&live.ask(second, with_id("setmoney ada 5", "shared"))), "E_CMD_ID_REUSED");
}

#[test]
fn malformed_and_expired_cmd_ids_are_refused() {
    let home = temp_home();
    let live = TestShard::new(home.path());
    let before = live.digest();
    for id in ["", " ", "a b", "a|b", "line\nbreak", "\u{1b}[2J", "ü", &"x".repeat(129)] {
        assert_eq!(refusal(&live.ask(live.admin, with_id("spawn", id))), "E_INVALID_ARG", "{id:?}");
    }
    assert_eq!(live.digest(), before);
    // UUIDv7s of January 2020, ten days apart. The clock says another year, which is not asked.
    let (old, young) = ("016f5e66-e800-7000-8000-000000000000", "016f91e6-6c00-7000-8000-000000000000");
    for (id, command) in [(old, "set_exit_cap 1"), (young, "set_exit_cap 2")] {
        assert_eq!(live.ask(live.admin, with_id(command, id)).status, Status::Ok, "{id}");
    }
    drop(live);
    // A shard forgets ids past their window when it starts.
    let live = TestShard::resumed(home.path());
    live.run(1);
    let before = live.digest();
    assert_eq!(refusal(&live.ask(live.admin, with_id("set_exit_cap 1", old))), "E_CMD_ID_EXPIRED");
    assert!(live.ask(live.admin, with_id("set_exit_cap 2", young)).replayed);
    assert_eq!(live.digest(), before);
    let script = live.shard.open(test_session("script:night", Role::Admin, false), |_| {});
    assert_eq!(live.ask(script, with_id("spawn", old)).status, Status::Ok, "ids of scripts never expire");
    drop(live);
    let refused = audit_log(home.path()).iter().filter(|record| record.stage == Stage::Rejected).count();
    assert_eq!(refused, 10, "each is in the log, and the retry");
}

#[test]
fn concurrent_duplicates_are_all_answered_and_applied_once() {
    let home = temp_home();
    let live = TestShard::new(home.path());
    let residents = live.view().agents.len();
    // The town's thread is busy with a reply until all requests wait, so that none is answered before the others are sent.
    let (release, held) = channel::<()>();
    let (entered, busy) = channel();
    live.shard.ask(live.admin, Request::line("kpi"), move |_| {
        let _ = entered.send(());
        let _ = held.recv();
    });
    busy.recv().expect("the town's thread is busy");
    let (sender, answers) = channel();
    for _ in 0..20 {
        let sender = sender.clone();
        live.shard.ask(live.admin, with_id("spawn", "double"), move |answer| drop(sender.send(answer)));
    }
    drop((sender, release));
    let answers: Vec<Answer> = answers.iter().collect();
    assert_eq!(answers.len(), 20);
    assert!(answers.iter().all(|answer| answer.status == Status::Ok && answer.result == answers[0].result));
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert_eq!(live.view().agents.len(), residents + 1);
    drop(live);
    let stages = stages(&audit_log(home.path()), "double");
    assert_eq!(stages.iter().filter(|stage| matches!(stage, Stage::Intent | Stage::Outcome)).count(), 2);
}

#[test]
fn command_refused_after_its_intent_may_be_retried() {
    let home = temp_home();
    let live = TestShard::new(home.path());
    let (sender, answers) = channel();
    for id in ["early", "late"] {
        let sender = sender.clone();
        let request = with_id("employment_exit request ada", id);
        live.shard.ask(live.admin, request, move |answer| drop(sender.send(answer)));
    }
    drop(sender);
    let answers: Vec<Answer> = answers.iter().collect();
    let late = answers.iter().find(|answer| answer.cmd_id == "late").unwrap();
    assert_eq!(refusal(late), "E_CONFLICT");
    live.expect_ok("employment_exit defer ada");
    drop(live);
    let live = TestShard::resumed(home.path());
    let again = live.ask(live.admin, with_id("employment_exit request ada", "late"));
    assert_eq!((again.status, again.replayed), (Status::Ok, false), "{again:?}");
}

#[test]
fn audit_stages_carry_the_right_digests() {
    let home = temp_home();
    let live = TestShard::new(home.path());
    live.run(10);
    let before = live.digest();
    live.ask(live.admin, with_id("setmoney ada 5 ", "town"));
    let after = live.digest();
    live.ask(live.admin, with_id("snapshot save", "shard"));
    live.ask(live.admin, with_id("setmoney adda 5", "wrong"));
    live.ask(live.admin, with_id("employment_status", "read"));
    live.ask(live.admin, with_id("snapshot list", "files"));
    live.ask(live.admin, Request { query: true, ..with_id("employment_status", "query") });
    live.ask(live.admin, Request { query: true, ..with_id("snapshot list", "query") });
    live.ask(live.admin, Request { query: true, ..with_id("spawn", "query") });
    live.ask(live.admin, Request { dry_run: true, ..with_id("spawn", "dry") });
    live.ask(live.admin, Request { dry_run: true, ..with_id("kill nobody", "dry") });
    drop(live);
    let records = audit_log(home.path());
    let digests = |cmd_id: &str| -> Vec<_> {
        let of = records.iter().filter(|record| record.cmd_id == cmd_id);
        of.map(|record| (record.stage, record.digest_before.as_deref(), record.digest_after.as_deref())).collect()
    };
    let (intent, outcome) = (Stage::Intent, Stage::Outcome);
    let (a, b) = (Some(before.as_str()), Some(after.as_str()));
    assert_ne!(a, b);
    assert_eq!(digests("town"), [(intent, None, None), (outcome, a, b)]);
    assert_eq!(digests("shard"), [(intent, None, None), (outcome, b, b)]);
    assert_eq!(digests("wrong"), [(Stage::Rejected, None, None)]);
    assert_eq!(digests("read"), [(outcome, None, None)]);
    assert_eq!(digests("files"), [(outcome, None, None)]);
    assert_eq!((digests("query"), digests("dry")), (vec![], vec![]));
    let (begin, commands) = records.split_first().expect("records");
    assert_eq!((begin.stage, begin.config_id.as_str()), (Stage::Begin, "town-v1"));
    assert!(commands.iter().all(|record| record.tick == 10 && record.config_id == "town-v1"));
}

/// A shard that requires tokens.
fn guarded(home: &Path, store: PathBuf) -> TestShard {
    let options = Options { token_file: Some(store), ..options(home, true) };
    TestShard::from_handle(
        townlet_shard::start(default_sources(&[("console_auth.enabled", "true")]), 7, options).expect("it starts"),
    )
}

#[test]
fn token_escalates_and_is_never_written_to_disk() {
    let home = temp_home();
    let store = home.path().join("ops/tokens.json");
    let mut tokens = TokenStore::default();
    let (token, looker) = (tokens.create(Role::Admin).unwrap(), tokens.create(Role::Viewer).unwrap());
    tokens.save(&store).unwrap();
    let live = guarded(home.path(), store);
    let escalate = |secret: Option<&str>| {
        let request = Request { secret: secret.map(Into::into), ..Request::line("escalate --reason review") };
        live.ask(live.viewer, request)
    };
    for wrong in [None, Some(""), Some(looker.as_str()), Some("twn_00000000_00")] {
        assert_eq!(refusal(&escalate(wrong)), "E_FORBIDDEN");
        assert_eq!(refusal(&live.ask(live.viewer, Request::line("spawn"))), "E_FORBIDDEN");
    }
    // A token typed into the command line by mistake.
    for line in [format!("escalate {token}"), format!("escalate --token {token}"), format!("kpi --reason {token}")] {
        let answer = live.ask(live.viewer, Request::line(line));
        assert_eq!(refusal(&answer), "E_INVALID_ARG");
        assert!(!serde_json::to_string(&answer).unwrap().contains(&token));
    }
    let done = escalate(Some(&token));
    assert_eq!(done.status, Status::Ok, "a right token is never kept waiting: {done:?}");
    assert!(!serde_json::to_string(&done).unwrap().contains(&token));
    assert_eq!(live.ask(live.viewer, Request::line("spawn")).status, Status::Ok);
    live.ask(live.viewer, Request::line("viewer"));
    assert_eq!(refusal(&live.ask(live.viewer, Request::line("spawn"))), "E_FORBIDDEN");
    drop(live);
    let escalations: Vec<Stage> = audit_log(home.path())
        .iter()
        .filter(|record| record.command == "escalate")
        .map(|record| record.stage)
        .collect();
    assert_eq!(escalations[..4], [Stage::Rejected; 4]);
    assert_eq!(escalations[4..], [Stage::Intent, Stage::Outcome]);
    let all = files_below(home.path());
    assert!(all.len() >= 4);
    for (token, path) in all.iter().flat_map(|path| [(&token, path), (&looker, path)]) {
        let secret = token.rsplit('_').next().unwrap().as_bytes();
        let bytes = std::fs::read(path).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{}", path.display());
    }
}

#[test]
fn escalation_without_a_token_needs_a_reason() {
    let home = temp_home();
    let live = TestShard::new(home.path());
    let ask = |line: &str| live.ask(live.viewer, Request::line(line));
    for line in ["escalate", "escalate --reason \"\"", "escalate --reason \"  \""] {
        assert_eq!(refusal(&ask(line)), "E_INVALID_ARG");
    }
    assert_eq!(ask("escalate --reason \"review of the queue\"").status, Status::Ok);
    drop(live);
    let records = audit_log(home.path());
    let last = records.last().unwrap();
    assert_eq!(
        (last.stage, last.role, last.reason.as_deref()),
        (Stage::Outcome, Role::Viewer, Some("review of the queue"))
    );
}

/// The audit log of a real run: its folder, its only segment and the segment's bytes.
fn real_log(home: &Path) -> (PathBuf, PathBuf, Vec<u8>) {
    let live = TestShard::new(home);
    for line in ["setmoney ada 5", "spawn", "kpi", "setmoney nobody 5", "employment_exit request ben", "price meal 0.5"]
    {
        live.line(line);
        live.run(5);
    }
    drop(live);
    assert!(audit_log(home).len() > 8);
    let folder = Home::new(home).console();
    let segment =
        files_below(&folder).into_iter().find(|path| path.extension().is_some_and(|it| it == "jsonl")).unwrap();
    let bytes = std::fs::read(&segment).unwrap();
    (folder, segment, bytes)
}

/// The line of the first finding in the segment.
#[track_caller]
fn found(folder: &Path, segment: &Path, changed: &[u8], what: &str) -> u64 {
    std::fs::write(segment, changed).unwrap();
    let report = townlet_audit::verify(folder).expect("the folder is there");
    assert!(!report.passed(), "{what} went unseen");
    let name = segment.file_name().unwrap().to_str().unwrap();
    let lines = report.findings().filter(|finding| finding.file == name).map(|finding| finding.line);
    lines.min().unwrap_or_else(|| panic!("{what}: no line is named: {report:?}"))
}

#[test]
fn verify_finds_every_change_to_an_audit_log_and_its_line() {
    let home = temp_home();
    let (folder, segment, bytes) = real_log(home.path());
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for at in (0..bytes.len()).step_by(61).chain([0, bytes.len() - 1]) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let line = bytes[..at].split(|byte| *byte == b'\n').count() as u64;
        assert_eq!(found(&folder, &segment, &changed, &format!("a flip in byte {at}")), line, "byte {at}");
    }
    for line in 0..lines.len() {
        let mut fewer = lines.clone();
        fewer.remove(line);
        assert_eq!(found(&folder, &segment, &fewer.concat(), "a missing line"), line as u64 + 1);
        let mut more = lines.clone();
        more.insert(line, lines[line]);
        assert_eq!(found(&folder, &segment, &more.concat(), "a line written twice"), line as u64 + 2);
        if line > 0 {
            let mut swapped = lines.clone();
            swapped.swap(line - 1, line);
            assert_eq!(found(&folder, &segment, &swapped.concat(), "two lines swapped"), line as u64);
        }
    }
    std::fs::write(&segment, &bytes).unwrap();
    assert!(townlet_audit::verify(&folder).unwrap().passed(), "put back as it was");
}

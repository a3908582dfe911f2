//! Forgeries of the audit log by somebody who has the folder and the source: what finds them. And the opposite: what honest runs
//! leave, crashes included, raises no alarm.

pub(crate) mod attacker;
mod forgeries;
mod honest;

use std::fmt::Write as _;
use std::path::Path;

use tempfile::TempDir;
use townlet_audit::{
    Checkpoint, Log, Options, Proofs, Record, Report, Stage, VerificationKey, durable_line, verify_with,
};
use townlet_shard::Home;
use townlet_shard::cross_check::cross_check;

use super::kit::{TestShard, copy_folder, repository, temp_home, wait_until};
use attacker::{Stolen, flat, is_applied};
use forgeries::forgeries;

/// A home with three sealed runs, as a crash of the third left it, and what was kept off the machine.
struct Victim {
    home: TempDir,
    key: VerificationKey,
    checkpoints: Vec<Checkpoint>,
}

/// Commands that change the town, and one that is refused.
fn operate(live: &TestShard) {
    for price in ["0.4", "0.5", "0.6"] {
        live.expect_ok(&format!("price meal {price}"));
        live.run(3);
    }
    live.refused("kill nobody");
}

impl Victim {
    fn new() -> Self {
        let live_home = temp_home();
        let stolen = Stolen(live_home.path().to_owned());
        let key = townlet_audit::set_up(&stolen.key_file(), &stolen.logs(), false).expect("a key");
        let first = TestShard::new(live_home.path());
        operate(&first);
        first.shard.seal_audit_log().expect("sealed");
        operate(&first);
        first.shard.stop().expect("stopped");
        let second = TestShard::new(live_home.path());
        operate(&second);
        second.shard.stop().expect("stopped");
        let run = second.shard.run_id.clone();
        drop(second);
        add_segments(&stolen, &run);
        let third = TestShard::new(live_home.path());
        operate(&third);
        third.shard.seal_audit_log().expect("sealed");
        operate(&third);
        // The image of a crash: the third run is not stopped. Its head has reached the end, so nothing is written meanwhile.
        let run = &third.shard.run_id;
        let lines = || flat(stolen.read(run)).len() as u64;
        wait_until("the head", || durable_line(&stolen.logs(), run, None).is_ok_and(|(seq, _)| seq == lines()));
        let home = temp_home();
        copy_folder(live_home.path(), home.path());
        let image = Stolen(home.path().to_owned());
        let seen = |run: &String| {
            let end = flat(image.read(run)).pop().expect("a line");
            Checkpoint { shard: "harbour".into(), run_id: run.clone(), seq: end.seq, hash: end.hash }
        };
        let checkpoints = image.runs().iter().map(seen).collect();
        Self { home, key, checkpoints }
    }

    fn without_key(&self, home: &Path) -> Report {
        verify_with(&Stolen(home.to_owned()).logs(), &Proofs { keys: Vec::new(), ..self.proofs(home) })
            .expect("readable")
    }

    fn with_key(&self, home: &Path) -> Report {
        verify_with(&Stolen(home.to_owned()).logs(), &self.proofs(home)).expect("readable")
    }

    fn with_checkpoint(&self, home: &Path) -> Report {
        let proofs = Proofs { checkpoints: self.checkpoints.clone(), ..Proofs::default() };
        verify_with(&Stolen(home.to_owned()).logs(), &proofs).expect("readable")
    }

    fn proofs(&self, home: &Path) -> Proofs {
        let seal_key = Some(Stolen(home.to_owned()).key_file());
        Proofs { keys: vec![self.key.clone()], seal_key, checkpoints: Vec::new() }
    }
}

/// Continues a stopped run in further segments, with refusals, which the town does not miss.
fn add_segments(stolen: &Stolen, run: &str) {
    let options = Options {
        segment_bytes: 2_000,
        seal_key: Some(stolen.key_file()),
        ..Options::new(stolen.logs(), run, "harbour")
    };
    let log = Log::open(options).expect("the log opens").log;
    let refused = flat(stolen.read(run)).into_iter().find(|record| record.stage == Stage::Rejected).expect("a refusal");
    for number in 0..8 {
        let record = Record { cmd_id: format!("again-{number}"), ..refused.clone() };
        log.append_and_wait(record, true).expect("written");
    }
}

fn said(report: &Report) -> String {
    report.findings().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_victim_is_proven_as_it_is() {
    let victim = Victim::new();
    let stolen = Stolen(victim.home.path().to_owned());
    assert_eq!(stolen.runs().len(), 3);
    assert!(stolen.read(&stolen.runs()[1]).len() >= 3, "the second run has several segments");
    for report in [
        victim.without_key(victim.home.path()),
        victim.with_key(victim.home.path()),
        victim.with_checkpoint(victim.home.path()),
    ] {
        assert!(report.passed(), "{}", said(&report));
    }
    assert!(!is_found_by_replay(victim.home.path()), "an honest home passes");
    let report = victim.with_key(victim.home.path());
    let last = &stolen.runs()[2];
    let tail = flat(stolen.read(last));
    let seal = tail.iter().rposition(|record| record.stage == Stage::Seal).expect("a seal");
    let open = tail.len() - seal - 1;
    let expected =
        format!("{last}-0001.jsonl:{}: the first line that no seal covers; {open} lines are not proven.", seal + 2);
    assert_eq!(report.unproven, [expected], "the first line without a seal is named");
    assert_eq!(report.proven.len(), 1);
    let report = victim.without_key(victim.home.path());
    assert!(report.unproven[0].contains("were not checked") && report.proven.is_empty(), "{:?}", report.unproven);
}

#[test]
fn every_forgery_is_found_by_what_was_kept_off_the_machine() {
    let victim = Victim::new();
    let all = forgeries();
    assert!(all.len() >= 25);
    let mut table = String::from(
        "| forgery | without key | with key | with a remembered checkpoint | with `--replay` |\n|---|---|---|---|---|\n",
    );
    let mut wrong = Vec::new();
    for forgery in &all {
        let home = temp_home();
        copy_folder(victim.home.path(), home.path());
        (forgery.act)(&Stolen(home.path().to_owned()));
        let found =
            [victim.without_key(home.path()), victim.with_key(home.path()), victim.with_checkpoint(home.path())]
                .map(|report| !report.passed());
        let misses = [forgery.key_misses, forgery.checkpoint_misses];
        if found[1..] != misses.map(|why| why.is_none()) {
            wrong.push(format!("{}: {found:?}", forgery.name));
        }
        let cell = |found: bool, why: Option<&str>| match (found, why) {
            (true, _) => "found".to_owned(),
            (false, None) => "not found".to_owned(),
            (false, Some(why)) => format!("not found: {why}"),
        };
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} | {} |",
            forgery.name,
            cell(found[0], None),
            cell(found[1], misses[0]),
            cell(found[2], misses[1]),
            cell(is_found_by_replay(home.path()), None)
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    check_table(&table);
}

/// Whether the journals and the towns recomputed from them disagree with the logs.
fn is_found_by_replay(home: &Path) -> bool {
    let home = Home::new(home);
    let check = |run: &String| cross_check(&home, &home.console(), run, |_, _| {}).expect("readable");
    home.all_runs().iter().any(|run| !check(run).passed())
}

/// The table in `docs/SECURITY.md` is the one that the test makes.
fn check_table(table: &str) {
    const BEGIN: &str = "<!-- forgeries: begin -->\n";
    const END: &str = "<!-- forgeries: end -->\n";
    let path = repository("docs/SECURITY.md");
    let page = std::fs::read_to_string(&path).expect("docs/SECURITY.md");
    let (before, rest) = page.split_once(BEGIN).expect("the begin of the table");
    let (_, after) = rest.split_once(END).expect("the end of the table");
    let wanted = format!("{before}{BEGIN}{table}{END}{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &wanted).expect("written");
        return;
    }
    assert!(page == wanted, "docs/SECURITY.md: UPDATE_DOCS=1 cargo test --test suite audit_forgery");
}

#[test]
fn a_forgery_is_named_by_line() {
    let victim = Victim::new();
    let home = temp_home();
    copy_folder(victim.home.path(), home.path());
    let stolen = Stolen(home.path().to_owned());
    let run = stolen.runs().remove(0);
    let place = flat(stolen.read(&run)).iter().position(is_applied).expect("an outcome") as u64 + 1;
    stolen.edit_outcome(|record| record.issuer = "tui:mallory".into());
    let report = victim.with_key(home.path());
    let finding = report.findings().next().expect("a finding");
    let words = format!("of `{run}` are not what was sealed at ");
    assert!(finding.message.contains(&words), "{finding}");
    let numbers: Vec<u64> = finding.message.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert!((numbers[0]..=numbers[1]).contains(&place), "line {place}: {finding}");
    assert_eq!(finding.line, numbers[0]);
    let report = victim.with_checkpoint(home.path());
    assert!(said(&report).contains("was rewritten"), "{}", said(&report));
}

#[test]
fn a_command_line_tells_what_is_proven() {
    let victim = Victim::new();
    let home = victim.home.path();
    std::fs::write(home.join("key"), victim.key.to_string()).expect("written");
    let run = super::kit::townlet(home, "audit verify . --key key");
    let out = super::kit::text(&run.stdout);
    assert_eq!(run.status.code(), Some(0), "{out}{}", super::kit::text(&run.stderr));
    assert!(
        out.contains("  seals         passed") && out.contains("  not proven: ") && out.contains("  proven: "),
        "{out}"
    );
    let run = super::kit::townlet(home, "audit verify .");
    let out = super::kit::text(&run.stdout);
    assert!(out.contains("seals that were not checked") && !out.contains("  seals  "), "{out}");
    Stolen(home.to_owned()).edit_outcome(|record| record.tick += 1);
    let run = super::kit::townlet(home, "audit verify . --key key --json");
    assert_eq!(run.status.code(), Some(1));
    assert!(super::kit::text(&run.stdout).contains("\"seals\": false"));
    for (args, words) in [
        ("audit verify . --key none", "begins with `SEAL1-`"),
        ("audit verify . --checkpoint key", "not a checkpoint"),
        ("audit verify . --checkpoint none", "none"),
        ("audit seal setup", "has a sealing key already"),
    ] {
        let run = super::kit::townlet(home, args);
        assert_eq!(run.status.code(), Some(2), "{args}");
        assert!(super::kit::text(&run.stderr).contains(words), "{args}: {}", super::kit::text(&run.stderr));
    }
}

#[test]
fn a_checkpoint_file_is_held_to_the_log() {
    let victim = Victim::new();
    let home = victim.home.path();
    let run = Stolen(home.to_owned()).runs().remove(1);
    let note = super::kit::townlet(home, &format!("audit checkpoint --run {run}"));
    assert_eq!(note.status.code(), Some(0), "{}", super::kit::text(&note.stderr));
    std::fs::write(home.join("seen"), &note.stdout).expect("written");
    assert_eq!(super::kit::townlet(home, "audit verify . --checkpoint seen").status.code(), Some(0));
    Stolen(home.to_owned()).edit(&run, |segments| drop(segments.pop()));
    let checked = super::kit::townlet(home, "audit verify . --checkpoint seen");
    assert_eq!(checked.status.code(), Some(1));
    assert!(super::kit::text(&checked.stdout).contains("its end was removed"), "{}", super::kit::text(&checked.stdout));
    let key = super::kit::townlet(home, "audit checkpoint --public-key");
    assert!(super::kit::text(&key.stdout).starts_with("townlet/harbour+"), "{}", super::kit::text(&key.stdout));
}

#[test]
fn a_checkpoint_is_held_to_the_key_of_its_shard() {
    let victim = Victim::new();
    let home = victim.home.path();
    let run = |args: &str| {
        let output = super::kit::townlet(home, args);
        (output.status.code(), super::kit::text(&output.stdout) + &super::kit::text(&output.stderr))
    };
    std::fs::write(home.join("seen"), run("audit checkpoint").1).expect("written");
    std::fs::write(home.join("signer"), run("audit checkpoint --public-key").1).expect("written");
    let signer = std::fs::read_to_string(home.join("signer")).expect("a key");
    let signer = signer.trim();
    // Somebody changes the note, so that an honest log looks rewritten.
    let note = std::fs::read_to_string(home.join("seen")).expect("a note");
    let number = note.lines().nth(1).expect("a number").to_owned();
    std::fs::write(home.join("changed"), note.replacen(&format!("\n{number}\n"), "\n1\n", 1)).expect("written");
    let other = townlet_audit::CheckpointKey::open(&home.join("other-key"), "harbour").expect("a key").public();
    for (args, status, words) in [
        ("seen".to_owned(), 0, "  checkpoints   passed"),
        ("seen --checkpoint-key signer".to_owned(), 0, "  checkpoints   passed"),
        (format!("seen --checkpoint-key {signer}"), 0, "  checkpoints   passed"),
        (format!("seen --checkpoint-key {other} --checkpoint-key {signer}"), 0, "  checkpoints   passed"),
        ("changed".to_owned(), 2, "changed: the checkpoint is not signed with the key townlet/harbour+"),
        (format!("seen --checkpoint-key {other}"), 2, "is not signed with the key"),
        ("seen --checkpoint-key seen".to_owned(), 2, "not a public key"),
    ] {
        let (code, said) = run(&format!("audit verify . --checkpoint {args}"));
        assert!(code == Some(status) && said.contains(words), "{args}: {said}");
    }
    // Away from the home and from what this user has seen, the key has to be named.
    super::kit::copy_folder(&home.join("logs/console"), &home.join("copy"));
    let (code, said) = run("audit verify copy --checkpoint seen");
    assert!(code == Some(2) && said.contains("no key of the shard `harbour` is known here"), "{said}");
    assert_eq!(run("audit verify copy --checkpoint seen --checkpoint-key signer").0, Some(0));
    let known = format!(r#"{{"http://towns.example": {{"key": "{signer}", "runs": []}}}}"#);
    let state = home.join(".local/state/townlet");
    std::fs::create_dir_all(&state).expect("a folder");
    std::fs::write(state.join("known_shards.json"), &known).expect("written");
    assert_eq!(run("audit verify copy --checkpoint seen").0, Some(0), "by the key that was seen");
    std::fs::write(state.join("known_shards.json"), known.replace(signer, &other.to_string())).expect("written");
    assert_eq!(run("audit verify . --checkpoint seen").0, Some(2), "what was seen comes before the file of the home");
}

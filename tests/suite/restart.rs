//! A run resumed with each of its files missing, truncated or altered: it continues and names the file, or is refused by name,
//! and never loses an acknowledged command.
//!
//! A crash is a copy of the home folder of a shard that still runs. Rules: "Journal", "Audit log". In the default town, and some
//! damages (`TOWNLET_SOAK=1`: all) in one of 1,000 residents.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::kit::{TestShard, TestTown, copy_folder, in_each_town, options, soak, temp_home, wait_for};
use townlet_audit::{Stage, records, verify};
use townlet_shard::Handle;
use townlet_shard::journal::VERSION;
use townlet_town::command::Command;
use townlet_town::config::Config;
use townlet_town::{Rules, Sources, Town, snapshot};
use townlet_wire::{Request, Status};

in_each_town! {
    resume_with_each_file_missing_or_damaged_continues_or_is_refused_by_name,
    resume_with_damaged_release_files_has_one_release_or_is_refused_by_name,
}

/// Ticks of the two snapshots and of the end of the run; commands come before each.
const SNAPSHOTS: [u64; 2] = [130, 260];
const LAST: u64 = 390;

/// A crashed run: its home, and the town at its last acknowledged command.
struct CrashedRun {
    home: tempfile::TempDir,
    run: String,
    digest: String,
    commands: u64,
}

/// Makes a run with commands, two of them at one tick, and with rows in the operators' log.
fn lived(town: TestTown) -> CrashedRun {
    let running = temp_home();
    let live = TestShard::in_town(running.path(), town);
    for until in SNAPSHOTS.into_iter().chain([LAST]) {
        live.run(until - 60 - live.view().tick);
        for line in
            ["setmoney ada 9.5", "price meal 1.25", "employment_exit request hugo --reason \"late | again\"", "spawn"]
        {
            live.line(line);
        }
        live.run(until - live.view().tick);
        if until == LAST {
            live.expect_ok("set_exit_cap 1");
            live.expect_ok("set_exit_cap 2");
        } else {
            live.expect_ok("snapshot save");
            // This command waits for the save, on the same thread.
            live.expect_ok("snapshot list");
        }
    }
    let (run, digest) = (live.shard.run_id.clone(), live.digest());
    let died = temp_home();
    copy_folder(running.path(), died.path());
    let commands = done(died.path()).len() as u64;
    CrashedRun { home: died, run, digest, commands }
}

/// Ids of the acknowledged commands.
fn done(home: &Path) -> Vec<String> {
    let mut done = Vec::new();
    let mut intents = std::collections::BTreeSet::new();
    records(&home.join("logs/console"), |_, _, record| {
        if let Ok(record) = record {
            match record.stage {
                Stage::Intent => drop(intents.insert(record.cmd_id)),
                Stage::Outcome if intents.contains(&record.cmd_id) && record.status == Some(Status::Ok) => {
                    done.push(record.cmd_id);
                }
                _ => {}
            }
        }
        Ok(())
    })
    .unwrap();
    done
}

fn resume(home: &Path) -> Result<Handle, String> {
    let options = options(home, true);
    let recorded =
        townlet_shard::find_run(&options.home, "harbour", None, "snapshots").map_err(|why| why.to_string())?;
    townlet_shard::resume(&recorded, options).map_err(|why| why.to_string())
}

/// The files of a folder with this ending, sorted.
fn with_ending(folder: PathBuf, ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.to_string_lossy().ends_with(ending));
    files.sort();
    files
}

impl CrashedRun {
    fn snapshots(&self) -> Vec<PathBuf> {
        with_ending(self.home.path().join("snapshots/auto").join(&self.run), ".tls")
    }

    fn journal(&self) -> PathBuf {
        with_ending(self.home.path().join("logs/journal"), ".tlj").remove(0)
    }

    fn log(&self, ending: &str) -> PathBuf {
        with_ending(self.home.path().join("logs/console"), ending).remove(0)
    }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

fn cut(path: &Path, length: usize) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..length]).unwrap();
}

fn length(path: &Path) -> usize {
    std::fs::metadata(path).unwrap().len() as usize
}

/// Length of a journal's first frame in bytes.
fn header(path: &Path) -> usize {
    let bytes = std::fs::read(path).unwrap();
    8 + u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize
}

/// Adds a snapshot of another town that is newer by its name than the run's own.
fn add_foreign_snapshot(died: &CrashedRun, town: impl Fn(&Town) -> Town) {
    let newest = &died.snapshots()[1];
    let own = snapshot::load(&std::fs::read(newest).unwrap()).unwrap();
    std::fs::write(newest.with_file_name("000000000300.tls"), snapshot::save(&town(&own))).unwrap();
}

/// A name, a damage, and what the restart must report; `!` in front means that it is refused.
type Case = (&'static str, fn(&CrashedRun), &'static [&'static str]);

const CASES: &[Case] = &[
    ("nothing", |_| {}, &["resumed at tick 390", "000000000260.tls"]),
    ("the newest snapshot missing", |it| std::fs::remove_file(&it.snapshots()[1]).unwrap(), &["000000000130.tls"]),
    (
        "the newest snapshot altered",
        |it| flip(&it.snapshots()[1], 400),
        &["000000000260.tls: its checksum does not match", "of", "000000000130.tls"],
    ),
    ("the newest snapshot empty", |it| cut(&it.snapshots()[1], 0), &["000000000260.tls: it is not a townlet snapshot"]),
    (
        "every snapshot missing",
        |it| it.snapshots().iter().for_each(|file| std::fs::remove_file(file).unwrap()),
        &["from tick 0 of", "-000000000000.tlj"],
    ),
    (
        "every snapshot altered",
        |it| it.snapshots().iter().for_each(|file| flip(file, 60)),
        &["000000000130.tls: its checksum", "000000000260.tls: its checksum", "from tick 0 of"],
    ),
    (
        "a snapshot of another seed among them",
        |it| add_foreign_snapshot(it, |own| Town::new(Arc::clone(own.rules()), own.state().seed + 1)),
        &["000000000300.tls: it is of another run: its seed is", "skipped", "000000000260.tls"],
    ),
    (
        "a snapshot of another configuration among them",
        |it| {
            add_foreign_snapshot(it, |own| {
                let sources = own.rules().sources.clone();
                let text = sources.config.canonical().replace("town-v1", "other-v1");
                let config = Config::from_canonical(&text).unwrap();
                let rules = Rules::new(Sources { config, ..sources }).unwrap();
                Town::new(Arc::new(rules), own.state().seed)
            });
        },
        &[
            "000000000300.tls: it is of another run: its config_id is \"other-v1\", this run's \"town-v1\"",
            "000000000260.tls",
        ],
    ),
    (
        "a snapshot of the same seed with another past among them",
        |it| {
            add_foreign_snapshot(it, |own| {
                let mut town = Town::new(Arc::clone(own.rules()), own.state().seed);
                town.apply(&Command::ExitCap(1)).unwrap();
                town
            });
        },
        &["000000000300.tls: it and the journal disagree", "skipped", "000000000260.tls"],
    ),
    (
        "the journal's last command torn",
        |it| cut(&it.journal(), length(&it.journal()) - 3),
        &["torn bytes at the end were cut off", "replayed under scripted, with 1 command"],
    ),
    (
        "the journal's last command altered",
        |it| flip(&it.journal(), length(&it.journal()) - 3),
        &["torn bytes at the end were cut off", "replayed under scripted, with 1 command"],
    ),
    (
        "the journal cut to a half",
        |it| cut(&it.journal(), length(&it.journal()) - 400),
        &["replayed under scripted, with", "every digest there is equal"],
    ),
    (
        "the journal cut before its snapshots",
        |it| cut(&it.journal(), header(&it.journal()) + 20),
        &["20 torn bytes", "it ends at tick 0, before the snapshot; a new file continues", "replayed"],
    ),
    (
        "the journal missing",
        |it| std::fs::remove_file(it.journal()).unwrap(),
        &["the journal of this run is missing; a new one starts", "replayed under scripted"],
    ),
    (
        "the journal altered in the middle",
        |it| flip(&it.journal(), length(&it.journal()) - 900),
        &["!", ".tlj: it is damaged at byte", "put back a copy of the file, or move it away"],
    ),
    (
        "the journal's header altered",
        |it| flip(&it.journal(), 20),
        &["!", ".tlj: it does not begin with an intact journal header"],
    ),
    (
        "journal and snapshots missing",
        |it| {
            std::fs::remove_file(it.journal()).unwrap();
            it.snapshots().iter().for_each(|file| std::fs::remove_file(file).unwrap());
        },
        &["!", "-000000000000.tlj: the journal of this run is missing, and it has no intact snapshot; put one"],
    ),
    (
        "the audit log's end torn",
        |it| {
            let mut log = std::fs::read(it.log(".jsonl")).unwrap();
            log.extend(b"{\"v\":1,\"se");
            std::fs::write(it.log(".jsonl"), log).unwrap();
        },
        &["resumed at tick 390"],
    ),
    (
        "the audit log missing",
        |it| std::fs::remove_file(it.log(".jsonl")).unwrap(),
        &["!", "-0001.jsonl", "put it back"],
    ),
    ("the audit log altered", |it| flip(&it.log(".jsonl"), 700), &["!", "-0001.jsonl:", "Restore a copy"]),
    ("the audit log cut", |it| cut(&it.log(".jsonl"), 2_000), &["!", "-0001.jsonl:", " a copy of"]),
    ("the head missing", |it| std::fs::remove_file(it.log(".head")).unwrap(), &["!", ".head", "Restore a copy"]),
    ("the head altered", |it| flip(&it.log(".head"), 30), &["!", ".head", "Restore a copy"]),
    ("the privacy key missing", |it| std::fs::remove_file(key(it)).unwrap(), &["harbour.privacy-key: it was missing"]),
    ("the privacy key cut", |it| cut(&key(it), 9), &["!", "harbour.privacy-key", "put the right one back"]),
    (
        "the operators' log missing",
        |it| drop(std::fs::remove_file(it.home.path().join("ops/employment.md"))),
        &["ops/employment.md: added", "missing row from the audit log"],
    ),
    (
        "pieces of what was being written",
        |it| {
            for left in ["logs/harbour.lock", "snapshots/auto/000000000390.part", "logs/journal/x.part"] {
                std::fs::write(it.home.path().join(left), b"7").unwrap();
            }
            std::fs::write(it.log(".head").with_extension("head.tmp"), b"{").unwrap();
        },
        &["resumed at tick 390"],
    ),
];

fn key(died: &CrashedRun) -> PathBuf {
    died.home.path().join("ops/harbour.privacy-key")
}

/// A damaged copy of a run that resumed to the same town with the expected notes; `None` when it was refused as expected.
#[track_caller]
fn resumed_or_refused(original: &CrashedRun, (what, damage, says): &Case) -> Option<(CrashedRun, TestShard)> {
    let died =
        CrashedRun { home: temp_home(), run: original.run.clone(), digest: original.digest.clone(), ..*original };
    copy_folder(original.home.path(), died.home.path());
    damage(&died);
    let resumed = resume(died.home.path());
    if says[0] == "!" {
        let why = resumed.err().unwrap_or_else(|| panic!("{what}: it went on"));
        assert!(says[1..].iter().all(|part| why.contains(part)), "{what}: {why}");
        return None;
    }
    let live = TestShard::from_handle(resumed.unwrap_or_else(|why| panic!("{what}: {why}")));
    let notes = live.shard.notes.join("\n");
    assert!(says.iter().all(|part| notes.contains(part)), "{what}: {notes}");
    assert_eq!((live.view().tick, live.digest()), (LAST, died.digest.clone()), "{what}: {notes}");
    Some((died, live))
}

fn resume_with_each_file_missing_or_damaged_continues_or_is_refused_by_name(town: TestTown) {
    let original = lived(town);
    for case @ (what, ..) in CASES.iter().step_by(town.stride()) {
        let Some((died, live)) = resumed_or_refused(&original, case) else { continue };
        goes_on(what, &died, live);
    }
}

/// No acknowledged command is applied again, and new commands can be resumed and replayed.
fn goes_on(what: &str, died: &CrashedRun, live: TestShard) {
    for cmd_id in done(died.home.path()) {
        let request = Request { cmd_id: Some(cmd_id.clone()), ..Request::line("set_exit_cap 2") };
        let answer = live.ask(live.admin, request);
        let code = answer.error.as_ref().map(|error| error.code.as_str());
        assert!(answer.replayed || code == Some("E_CMD_ID_REUSED"), "{what}: {cmd_id} was done again: {answer:?}");
    }
    live.expect_ok("setmoney ada 3");
    live.run(150);
    let (tick, digest) = (live.view().tick, live.digest());
    live.shard.stop().unwrap_or_else(|why| panic!("{what}: {why}"));
    drop(live);
    assert!(verify(&died.home.path().join("logs/console")).unwrap().passed(), "{what}");
    // Without snapshots, so that every journal file is needed.
    for file in died.snapshots().into_iter().skip(usize::from(what.contains("journal missing"))) {
        std::fs::remove_file(file).unwrap();
    }
    let live = TestShard::from_handle(resume(died.home.path()).unwrap_or_else(|why| panic!("{what}, again: {why}")));
    assert_eq!((live.view().tick, live.digest()), (tick, digest), "{what}, again");
    assert_eq!(done(died.home.path()).len() as u64, died.commands + 1, "{what}");
    let ops = std::fs::read_to_string(died.home.path().join("ops/employment.md")).unwrap();
    assert!(ops.contains("late \\| again"), "{what}: {ops}");
}

#[test]
fn privacy_and_telemetry_mode_survive_a_crash() {
    let running = temp_home();
    let live = TestShard::new(running.path());
    for line in ["privacy on", "telemetry_mode aggregate", "narration off", "narration on", "narration limit 1"] {
        live.expect_ok(line);
    }
    let died = temp_home();
    copy_folder(running.path(), died.path());
    // Names are hidden in the first view; the telemetry mode is reported by the thread that sends it.
    let said = |live: &TestShard| {
        let named = live.agent("ada").is_some();
        let views = live.watch();
        live.run(1);
        wait_for(&views, "merged telemetry", |view| view.transport.mode == "aggregate");
        named
    };
    assert!(!said(&live));
    let live = TestShard::from_handle(resume(died.path()).unwrap());
    assert!(!said(&live));
    live.expect_ok("privacy off");
    drop(live.shard);
    let live = TestShard::from_handle(resume(died.path()).unwrap());
    assert!(said(&live), "the last word counts");
}

/// Writes another format version into a journal's header, whose first byte it is; the checksum of the body precedes it.
fn set_journal_version(path: &Path, version: u8) {
    let mut bytes = std::fs::read(path).unwrap();
    let end = header(path);
    bytes[8] = version;
    let sum = crc32fast::hash(&bytes[8..end]).to_le_bytes();
    bytes[4..8].copy_from_slice(&sum);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn journal_of_another_version_is_refused_by_name() {
    let died = lived(TestTown::Default);
    let journal = died.journal();
    assert_eq!(u32::from(std::fs::read(&journal).unwrap()[8]), VERSION);
    for version in [0, 4, VERSION as u8 + 1] {
        set_journal_version(&journal, version);
        let before = std::fs::read(&journal).unwrap();
        let why = resume(died.home.path()).err().unwrap_or_else(|| panic!("version {version} was read"));
        let expected = format!("it is version {version} of the journal; this program reads version {VERSION}");
        assert!(why.contains(&expected) && why.contains(".tlj"), "{why}");
        assert_eq!(std::fs::read(&journal).unwrap(), before, "nothing was changed");
    }
    set_journal_version(&journal, VERSION as u8);
    let live = TestShard::from_handle(resume(died.home.path()).unwrap());
    assert_eq!((live.view().tick, live.digest()), (LAST, died.digest.clone()));
}

/// A run whose release was changed from the scripted policy to another.
fn released(town: TestTown) -> (CrashedRun, String) {
    let running = temp_home();
    let id = crate::kit::store_idle_policy(running.path());
    let live = TestShard::in_town(running.path(), town);
    live.run(100);
    live.expect_ok(&format!("policy_swap {id} --reason drill"));
    live.run(LAST - 100);
    live.expect_ok("set_exit_cap 2");
    let (run, digest) = (live.shard.run_id.clone(), live.digest());
    let died = temp_home();
    copy_folder(running.path(), died.path());
    let commands = done(died.path()).len() as u64;
    (CrashedRun { home: died, run, digest, commands }, id)
}

fn pointer(died: &CrashedRun) -> PathBuf {
    died.home.path().join("snapshots/rel/harbour.release.json")
}

/// The release's policy.
fn policy(died: &CrashedRun) -> PathBuf {
    with_ending(died.home.path().join("snapshots/rel"), ".safetensors").remove(0)
}

/// Its copy among the shadow policies.
fn shadow(died: &CrashedRun) -> PathBuf {
    with_ending(died.home.path().join("snapshots/shadow"), ".safetensors").remove(0)
}

const REFUSED: &[&str] = &["!", "harbour.release.json: ", "move the file away"];

/// Damages to the files of a release.
const RELEASES: &[Case] = &[
    ("nothing", |_| {}, &["since tick 100 of"]),
    (
        "the pointer missing",
        |it| std::fs::remove_file(pointer(it)).unwrap(),
        &["from tick 390 on it is scripted", "harbour.release.json: it is missing, and"],
    ),
    ("the pointer empty", |it| cut(&pointer(it), 0), REFUSED),
    ("the pointer cut", |it| cut(&pointer(it), length(&pointer(it)) / 2), REFUSED),
    (
        "a folder in the pointer's place",
        |it| {
            std::fs::remove_file(pointer(it)).unwrap();
            std::fs::create_dir(pointer(it)).unwrap();
        },
        REFUSED,
    ),
    ("the policy missing", |it| std::fs::remove_file(policy(it)).unwrap(), &["since tick 100 of"]),
    (
        "the policy altered",
        |it| flip(&policy(it), 900),
        &["since tick 100 of", ".safetensors: checkpoint", "was altered", "An intact copy is used"],
    ),
    (
        "the policy cut",
        |it| cut(&policy(it), 900),
        &["since tick 100 of", ".safetensors: checkpoint", "is truncated", "An intact copy is used"],
    ),
    (
        "both copies of the policy altered",
        |it| [policy(it), shadow(it)].iter().for_each(|file| flip(file, 900)),
        &["!", "harbour.release.json: ", "cannot drive this town", "was altered", "move the file away"],
    ),
    (
        "both copies of the policy missing",
        |it| [policy(it), shadow(it)].iter().for_each(|file| std::fs::remove_file(file).unwrap()),
        &["!", "harbour.release.json: ", "cannot drive this town", "move the file away"],
    ),
    (
        "the saved releases missing",
        |it| std::fs::remove_dir_all(it.home.path().join("snapshots/release")).unwrap(),
        &["since tick 100 of"],
    ),
];

fn resume_with_damaged_release_files_has_one_release_or_is_refused_by_name(town: TestTown) {
    let (original, id) = released(town);
    for case @ (what, ..) in RELEASES.iter().step_by(town.stride()) {
        let Some((died, live)) = resumed_or_refused(&original, case) else { continue };
        let release = if *what == "the pointer missing" { "scripted" } else { &id };
        assert_eq!((live.view().policy.id, live.view().promotion.release), (release.into(), release.into()), "{what}");
        live.run(10);
        if release == id {
            live.expect_ok("rollback_policy --reason drill");
            assert_eq!(live.view().policy.id, "scripted", "{what}");
        }
        live.shard.stop().unwrap_or_else(|why| panic!("{what}: {why}"));
        drop(live);
        let live =
            TestShard::from_handle(resume(died.home.path()).unwrap_or_else(|why| panic!("{what}, again: {why}")));
        assert_eq!(live.view().policy.id, "scripted", "{what}, again");
    }
}

#[test]
fn altered_release_pointer_is_refused() {
    let died = released(TestTown::Default).0;
    let whole = std::fs::read(pointer(&died)).unwrap();
    let step = if soak() { 1 } else { 61 };
    for at in (0..whole.len()).step_by(step) {
        flip(&pointer(&died), at);
        let why = resume(died.home.path()).err().unwrap_or_else(|| panic!("byte {at} was followed"));
        assert!(why.contains("harbour.release.json"), "byte {at}: {why}");
        std::fs::write(pointer(&died), &whole).unwrap();
    }
    // A pointer without its seal is refused too.
    let text = String::from_utf8(whole.clone()).unwrap();
    let (before, rest) = text.split_once("\"seal\": \"").expect("a seal");
    let (_, after) = rest.split_once('"').expect("the end of the seal");
    std::fs::write(pointer(&died), format!("{before}\"seal\": \"\"{after}")).unwrap();
    assert!(resume(died.home.path()).is_err());
    std::fs::write(pointer(&died), &whole).unwrap();
    assert!(resume(died.home.path()).is_ok());
}

#[test]
fn damaged_snapshot_names_its_predecessor() {
    let died = lived(TestTown::Default);
    let folder = died.home.path().join("snapshots/auto").join(&died.run);
    std::fs::copy(folder.join("000000000260.tls"), folder.join("000000001500.tls")).unwrap();
    flip(&folder.join("000000001500.tls"), 90);
    let why = townlet_shard::snapshots::read(&folder.join("000000001500.tls")).err().unwrap();
    let message = townlet_shard::snapshots::damage(&folder.join("000000001500.tls"), &why);
    assert!(message.contains("000000000260.tls, tick 260"), "{message}");
}

#[test]
fn the_newest_run_is_the_one_that_began_last_and_not_the_one_with_the_latest_time() {
    let home = temp_home();
    let stopped = || {
        let live = TestShard::new(home.path());
        live.expect_ok("setmoney ada 3");
        live.shard.stop().unwrap();
        live.shard.run_id.clone()
    };
    let first = stopped();
    // The clock was a year ahead during the first run. Its files have other names then.
    let ahead = first.replacen("-20", "-21", 1);
    for file in crate::kit::files_below(home.path()) {
        let name = file.file_name().unwrap().to_string_lossy().replace(&first, &ahead);
        std::fs::rename(&file, file.with_file_name(name)).unwrap();
    }
    let list = home.path().join("logs/runs");
    std::fs::write(&list, std::fs::read_to_string(&list).unwrap().replace(&first, &ahead)).unwrap();
    let second = stopped();
    assert!(ahead > second, "by its name it is newer");
    let recorded = townlet_shard::find_run(&townlet_shard::Home::new(home.path()), "harbour", None, "snapshots");
    assert_eq!(recorded.unwrap().run_id, second);
}

#[test]
fn seals_have_the_tick_of_the_town_also_after_a_restart() {
    let home = temp_home();
    let files = townlet_shard::Home::new(home.path());
    townlet_audit::set_up(&files.seal_key(), &files.console(), false).unwrap();
    let stop = |live: TestShard, ticks: u64| {
        live.run(ticks);
        let tick = live.view().tick;
        live.shard.stop().unwrap_or_else(|why| panic!("{why}"));
        tick
    };
    let live = TestShard::new(home.path());
    live.run(60);
    // The last record but the seals is of an earlier tick than the end.
    live.expect_ok("price meal 1.25");
    let stopped = stop(live, 90);
    let ended = stop(TestShard::from_handle(resume(home.path()).unwrap()), 30);
    let mut seals = Vec::new();
    records(&files.console(), |_, _, record| {
        if let Ok(record) = record
            && record.stage == Stage::Seal
        {
            seals.push((record.args["cause"].as_str().unwrap_or_default().to_owned(), record.tick));
        }
        Ok(())
    })
    .unwrap();
    let expected = [("start", 0), ("stop", stopped), ("start", stopped), ("stop", ended)];
    assert_eq!(seals, expected.map(|(cause, tick)| (cause.to_owned(), tick)));
}

//! A run resumed with each of its files missing, cut or altered: it goes on and names the file, or is refused by name; never in
//! silence, and never without a command that was acknowledged.
//!
//! A crash is a copy of the home folder of a shard that still runs. Rules: "Journal", "Audit log".

mod live;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use live::{Live, home, options};
use townlet_audit::{Stage, records, verify};
use townlet_shard::Handle;
use townlet_shard::journal::{VERSION, read};
use townlet_town::command::Command;
use townlet_town::{Rules, Sources, Town, snapshot};
use townlet_wire::{Request, Status};

/// Ticks of the run, of its two snapshots, and commands before each and after.
const SNAPSHOTS: [u64; 2] = [130, 260];
const LAST: u64 = 390;

/// A shard that died: its home, and the town at its last acknowledged command.
struct CrashedRun {
    home: tempfile::TempDir,
    run: String,
    digest: String,
    commands: u64,
}

/// Commands that change the town, two at one tick among them, and two rows for the operators' log.
fn lived() -> CrashedRun {
    let running = home();
    let live = Live::held(running.path());
    for until in SNAPSHOTS.into_iter().chain([LAST]) {
        live.run(until - 60 - live.view().tick);
        for line in
            ["setmoney ada 9.5", "price meal 1.25", "employment_exit request hugo --reason \"late | again\"", "spawn"]
        {
            live.line(line);
        }
        live.run(until - live.view().tick);
        if until == LAST {
            live.done("set_exit_cap 1");
            live.done("set_exit_cap 2");
        } else {
            live.done("snapshot save");
            // A command of files is behind it on the same thread.
            live.done("snapshot list");
        }
    }
    let (run, digest) = (live.shard.run_id.clone(), live.digest());
    let died = home();
    copy(running.path(), died.path());
    let commands = done(died.path()).len() as u64;
    CrashedRun { home: died, run, digest, commands }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Ids of commands that were acknowledged.
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
        townlet_shard::recorded(&options.home, "harbour", None, "snapshots").map_err(|why| why.to_string())?;
    townlet_shard::resume(&recorded, options).map_err(|why| why.to_string())
}

/// The files of a folder with this ending, by name.
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

/// Bytes of a journal's first frame.
fn header(path: &Path) -> usize {
    let bytes = std::fs::read(path).unwrap();
    8 + u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize
}

/// Puts a town beside the run's snapshots, newer by its name than all of them.
fn add_foreign_snapshot(died: &CrashedRun, town: impl Fn(&Town) -> Town) {
    let newest = &died.snapshots()[1];
    let own = snapshot::load(&std::fs::read(newest).unwrap()).unwrap();
    std::fs::write(newest.with_file_name("000000000300.tls"), snapshot::save(&town(&own))).unwrap();
}

/// What is done to a run, and what a restart must say; what begins with `!` is a refusal.
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
        &["000000000300.tls: it is of another run: its seed is", "passed over", "000000000260.tls"],
    ),
    (
        "a snapshot of another configuration among them",
        |it| {
            add_foreign_snapshot(it, |own| {
                let sources = own.rules().sources.clone();
                let config = sources.config.replace("town-v1", "other-v1");
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
        &["000000000300.tls: it and the journal disagree", "passed over", "000000000260.tls"],
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
        &["20 torn bytes", "it ends at tick 0, before the snapshot; another goes on", "replayed"],
    ),
    (
        "the journal missing",
        |it| std::fs::remove_file(it.journal()).unwrap(),
        &["the journal of this run is missing; another begins", "replayed under scripted"],
    ),
    (
        "the journal altered in the middle",
        |it| flip(&it.journal(), length(&it.journal()) - 900),
        &["!", ".tlj: it is damaged at byte", "put back a copy of the file, or move it away"],
    ),
    (
        "the journal's header altered",
        |it| flip(&it.journal(), 20),
        &["!", ".tlj: it does not begin with a journal header"],
    ),
    (
        "journal and snapshots missing",
        |it| {
            std::fs::remove_file(it.journal()).unwrap();
            it.snapshots().iter().for_each(|file| std::fs::remove_file(file).unwrap());
        },
        &["!", "-000000000000.tlj: the journal of this run is missing, and no snapshot of it is whole; put one"],
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
    ("the audit log altered", |it| flip(&it.log(".jsonl"), 700), &["!", "-0001.jsonl:", "Put back a copy"]),
    ("the audit log cut", |it| cut(&it.log(".jsonl"), 2_000), &["!", "-0001.jsonl:", "ut back a copy"]),
    ("the head missing", |it| std::fs::remove_file(it.log(".head")).unwrap(), &["!", ".head", "Put back a copy"]),
    ("the head altered", |it| flip(&it.log(".head"), 30), &["!", ".head", "Put back a copy"]),
    ("the privacy key missing", |it| std::fs::remove_file(key(it)).unwrap(), &["harbour.privacy-key: it was missing"]),
    ("the privacy key cut", |it| cut(&key(it), 9), &["!", "harbour.privacy-key", "put the right one back"]),
    (
        "the operators' log missing",
        |it| drop(std::fs::remove_file(it.home.path().join("ops/employment.md"))),
        &["ops/employment.md: made up for", "missing from it, by the audit log"],
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

/// A copy of a run that was damaged and has come back as the same town, with what had to be said; nothing when it was refused, as
/// it had to be.
#[track_caller]
fn resumed_or_refused(original: &CrashedRun, (what, damage, says): &Case) -> Option<(CrashedRun, Live)> {
    let died = CrashedRun { home: home(), run: original.run.clone(), digest: original.digest.clone(), ..*original };
    copy(original.home.path(), died.home.path());
    damage(&died);
    let resumed = resume(died.home.path());
    if says[0] == "!" {
        let why = resumed.err().unwrap_or_else(|| panic!("{what}: it went on"));
        assert!(says[1..].iter().all(|part| why.contains(part)), "{what}: {why}");
        return None;
    }
    let live = Live::around(resumed.unwrap_or_else(|why| panic!("{what}: {why}")));
    let notes = live.shard.notes.join("\n");
    assert!(says.iter().all(|part| notes.contains(part)), "{what}: {notes}");
    assert_eq!((live.view().tick, live.digest()), (LAST, died.digest.clone()), "{what}: {notes}");
    Some((died, live))
}

#[test]
fn whatever_file_is_missing_or_damaged_a_run_goes_on_and_says_so_or_is_refused_by_name() {
    let original = lived();
    for case @ (what, ..) in CASES {
        let Some((died, live)) = resumed_or_refused(&original, case) else { continue };
        goes_on(what, &died, live);
    }
}

/// Nothing acknowledged is done again, and what comes now can be resumed and replayed like anything before.
fn goes_on(what: &str, died: &CrashedRun, live: Live) {
    for cmd_id in done(died.home.path()) {
        let request = Request { cmd_id: Some(cmd_id.clone()), ..Request::line("set_exit_cap 2") };
        let answer = live.ask(live.admin, request);
        let code = answer.error.as_ref().map(|error| error.code.as_str());
        assert!(answer.replayed || code == Some("E_CMD_ID_REUSED"), "{what}: {cmd_id} was done again: {answer:?}");
    }
    live.done("setmoney ada 3");
    live.run(150);
    let (tick, digest) = (live.view().tick, live.digest());
    live.shard.stop().unwrap_or_else(|why| panic!("{what}: {why}"));
    drop(live);
    assert!(verify(&died.home.path().join("logs/console")).unwrap().passed(), "{what}");
    // Without the snapshots, so that every journal file must be right.
    for file in died.snapshots().into_iter().skip(usize::from(what.contains("journal missing"))) {
        std::fs::remove_file(file).unwrap();
    }
    let live = Live::around(resume(died.home.path()).unwrap_or_else(|why| panic!("{what}, again: {why}")));
    assert_eq!((live.view().tick, live.digest()), (tick, digest), "{what}, again");
    assert_eq!(done(died.home.path()).len() as u64, died.commands + 1, "{what}");
    let ops = std::fs::read_to_string(died.home.path().join("ops/employment.md")).unwrap();
    assert!(ops.contains("late \\| again"), "{what}: {ops}");
}

#[test]
fn what_was_said_of_names_and_the_stream_stands_after_a_crash() {
    let running = home();
    let live = Live::held(running.path());
    for line in ["privacy on", "telemetry_mode aggregate", "narration off", "narration on", "narration limit 1"] {
        live.done(line);
    }
    let died = home();
    copy(running.path(), died.path());
    // Names are hidden in the first view there is; how the stream leaves is told by the thread that sends it.
    let said = |live: &Live| {
        let named = live.agent("ada").is_some();
        let merged = (0..100_000).any(|_| {
            live.run(1);
            live.view().transport.mode == "aggregate"
        });
        assert!(merged, "{:?}", live.view().transport);
        named
    };
    assert!(!said(&live));
    let live = Live::around(resume(died.path()).unwrap());
    assert!(!said(&live));
    live.done("privacy off");
    drop(live.shard);
    let live = Live::around(resume(died.path()).unwrap());
    assert!(said(&live), "the last word counts");
}

/// The first byte of a journal's header is the version of its layout; the body's checksum stands before it.
fn of_an_earlier_layout(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let end = header(path);
    assert_eq!(u32::from(bytes[8]), VERSION);
    bytes[8] = 3;
    let sum = crc32fast::hash(&bytes[8..end]).to_le_bytes();
    bytes[4..8].copy_from_slice(&sum);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_run_in_an_earlier_layout_goes_on_in_a_file_of_this_one() {
    let died = lived();
    of_an_earlier_layout(&died.journal());
    let before = std::fs::read(died.journal()).unwrap();
    let live = Live::around(resume(died.home.path()).unwrap());
    assert_eq!((live.view().tick, live.digest()), (LAST, died.digest.clone()));
    let folder = died.home.path().join("logs/journal");
    let files = with_ending(folder.clone(), ".tlj");
    assert_eq!((files.len(), std::fs::read(&files[0]).unwrap()), (2, before), "a program of its time reads it whole");
    assert_eq!(read(&files[1]).unwrap().header.version, VERSION);
    goes_on("an earlier layout", &died, live);
    assert_eq!(with_ending(folder, ".tlj").len(), 2, "and it stays with that");
}

/// A run whose release was made: a policy of its own, after the scripted one.
fn released() -> (CrashedRun, String) {
    let running = home();
    let id = live::store_idle_policy(running.path());
    let live = Live::held(running.path());
    live.run(100);
    live.done(&format!("policy_swap {id} --reason drill"));
    live.run(LAST - 100);
    live.done("set_exit_cap 2");
    let (run, digest) = (live.shard.run_id.clone(), live.digest());
    let died = home();
    copy(running.path(), died.path());
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

/// Its copy among the shadows.
fn shadow(died: &CrashedRun) -> PathBuf {
    with_ending(died.home.path().join("snapshots/shadow"), ".safetensors").remove(0)
}

const REFUSED: &[&str] = &["!", "harbour.release.json: ", "move the file away"];

/// What is done to what a release is made of.
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
        &["since tick 100 of", ".safetensors: checkpoint", "was altered", "A whole copy is used"],
    ),
    (
        "the policy cut",
        |it| cut(&policy(it), 900),
        &["since tick 100 of", ".safetensors: checkpoint", "is truncated", "A whole copy is used"],
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

#[test]
fn whatever_of_a_release_is_missing_or_damaged_there_is_one_release_or_a_refusal_by_name() {
    let (original, id) = released();
    for case @ (what, ..) in RELEASES {
        let Some((died, live)) = resumed_or_refused(&original, case) else { continue };
        let release = if *what == "the pointer missing" { "scripted" } else { &id };
        assert_eq!((live.view().policy.id, live.view().promotion.release), (release.into(), release.into()), "{what}");
        live.run(10);
        if release == id {
            live.done("rollback_policy --reason drill");
            assert_eq!(live.view().policy.id, "scripted", "{what}");
        }
        live.shard.stop().unwrap_or_else(|why| panic!("{what}: {why}"));
        drop(live);
        let live = Live::around(resume(died.home.path()).unwrap_or_else(|why| panic!("{what}, again: {why}")));
        assert_eq!(live.view().policy.id, "scripted", "{what}, again");
    }
}

#[test]
fn no_flipped_byte_of_a_release_pointer_is_followed() {
    let died = released().0;
    let whole = std::fs::read(pointer(&died)).unwrap();
    let step = if std::env::var("TOWNLET_SOAK").is_ok_and(|value| value == "1") { 1 } else { 61 };
    for at in (0..whole.len()).step_by(step) {
        flip(&pointer(&died), at);
        let why = resume(died.home.path()).err().unwrap_or_else(|| panic!("byte {at} was followed"));
        assert!(why.contains("harbour.release.json"), "byte {at}: {why}");
        std::fs::write(pointer(&died), &whole).unwrap();
    }
    // Nor one that says of itself that it has no seal, and has one.
    let text = String::from_utf8(whole.clone()).unwrap().replace("townlet-release-2", "townlet-release-1");
    std::fs::write(pointer(&died), text).unwrap();
    assert!(resume(died.home.path()).is_err());
    std::fs::write(pointer(&died), &whole).unwrap();
    assert!(resume(died.home.path()).is_ok());
}

#[test]
fn a_snapshot_of_the_layout_before_is_read_and_a_damaged_one_names_the_good_one_before_it() {
    let died = lived();
    let before = include_bytes!("golden/snapshot-3.tls");
    assert_eq!(snapshot::version(before), Some(snapshot::VERSION - 1));
    let folder = died.home.path().join("snapshots/auto").join(&died.run);
    std::fs::write(folder.join("000000001500.tls"), before).unwrap();
    let found = townlet_shard::snapshots::read(&folder.join("000000001500.tls")).unwrap();
    assert_eq!((found.layout, found.town.tick()), (snapshot::VERSION - 1, 1_500));
    flip(&folder.join("000000001500.tls"), 90);
    let why = townlet_shard::snapshots::read(&folder.join("000000001500.tls")).err().unwrap();
    let told = townlet_shard::snapshots::damage(&folder.join("000000001500.tls"), &why);
    assert!(told.contains("000000000260.tls, tick 260"), "{told}");
}

//! What honest runs leave raises no alarm: crashes at every step of a seal, torn tails, restarts, rotations, two runs at once, a
//! sealing key that is made while runs are there.

use std::path::Path;

use serde_json::{Value, json};
use townlet_audit::{Log, Opened, Options, Proofs, Record, RunStart, Stage, VerificationKey, set_up, verify_with};
use townlet_shard::Home;
use townlet_wire::{Role, Session, Status};

use super::attacker::{Stolen, flat};
use crate::kit::{copy_folder, soak, temp_home};

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// A home whose runs are opened, killed and stopped.
struct Site {
    home: tempfile::TempDir,
    runs: u64,
    key: Option<VerificationKey>,
}

/// A log that is open, with its run.
struct Live {
    log: Log,
    run: String,
    commands: u64,
}

fn record(cmd_id: String, stage: Stage) -> Record {
    let session = Session { issuer: "tui:ada".into(), role: Role::Admin, transport: "local".into(), owner: true };
    let status = (stage == Stage::Outcome).then_some(Status::Ok);
    Record {
        stage,
        status,
        config_id: "default".into(),
        ..Record::of(&session, cmd_id, "price", json!({ "item": "meal" }))
    }
}

impl Live {
    fn command(&mut self) {
        self.commands += 1;
        let id = format!("{}-{}", self.run, self.commands);
        self.log.append_and_wait(record(id.clone(), Stage::Intent), true).expect("written");
        self.log.append_and_wait(record(id, Stage::Outcome), true).expect("written");
    }
}

impl Site {
    fn stolen(&self) -> Stolen {
        Stolen(self.home.path().to_owned())
    }

    fn open(&self, run: &str, dice: &mut Dice) -> Live {
        let home = Home::new(self.home.path());
        let start = RunStart { number: home.run_number(run), after: home.run_before(run), config_id: "default".into() };
        let options = Options {
            start: Some(start),
            seal_key: Some(home.seal_key()),
            segment_bytes: [1_500, 1 << 20][dice.roll(2) as usize],
            ..Options::new(home.console(), run, "harbour")
        };
        let Opened { log, pending, .. } = Log::open(options).expect("the log opens");
        for record in pending {
            log.append_and_wait(Record { stage: Stage::Abort, ..record }, true).expect("written");
        }
        Live { log, run: run.to_owned(), commands: dice.roll(1 << 30) }
    }

    fn new_run(&mut self, dice: &mut Dice) -> Live {
        self.runs += 1;
        let run = format!("harbour-20270101-000000-{:06}", self.runs);
        Home::new(self.home.path()).list_run(&run).expect("listed");
        self.open(&run, dice)
    }

    /// What a crash leaves: a copy of the home while its logs are open, with what the crash interrupted.
    fn crash(&self, live: &[Live], dice: &mut Dice) -> Self {
        let image = temp_home();
        let before = temp_home();
        // Nothing is written while files are copied.
        for log in live.iter().map(|live| &live.log) {
            log.flush().expect("flushed");
        }
        copy_folder(self.home.path(), before.path());
        let victim = &live[dice.roll(live.len() as u64) as usize];
        victim.log.seal().and_then(|()| victim.log.flush()).expect("sealed");
        copy_folder(self.home.path(), image.path());
        if dice.roll(2) == 0 {
            // The head lags behind the log.
            std::fs::copy(Stolen(before.path().to_owned()).head(&victim.run), image_head(&image, &victim.run))
                .expect("copied");
        }
        let (image, before) =
            (Self { home: image, key: self.key.clone(), runs: self.runs }, Stolen(before.path().to_owned()));
        if self.key.is_some() {
            image.interrupt_seal(&before, &victim.run, dice);
        }
        if dice.roll(3) == 0 {
            image.tear(&victim.run, dice);
        }
        image
    }

    /// Sets the home back to a moment within the last seal.
    fn interrupt_seal(&self, before: &Stolen, run: &str, dice: &mut Dice) {
        let stolen = self.stolen();
        let seals = |it: &Stolen| flat(it.read(run)).into_iter().filter(|record| record.stage == Stage::Seal).count();
        let last = flat(stolen.read(run)).into_iter().rfind(|record| record.stage == Stage::Seal);
        let Some(seal) = last.filter(|_| seals(&stolen) > seals(before)) else { return };
        let pending = |key: &mut Value| key["pending"] = json!([seal.args]);
        match dice.roll(5) {
            // Nothing was begun, but a temporary file.
            0 => {
                let key = std::fs::read(stolen.key_file()).expect("the key");
                restore(before, &stolen);
                std::fs::write(stolen.key_file().with_extension("part"), key).expect("written");
            }
            // The key was stepped, and the line is not written.
            1 => {
                unwrite_seal(before, &stolen, run);
                stolen.edit_key(pending);
            }
            // The same, and the old key was not erased.
            2 => {
                unwrite_seal(before, &stolen, run);
                stolen.edit_key(pending);
                std::fs::copy(before.key_file(), stolen.key_file().with_extension("old")).expect("written");
            }
            // The line is written, and the key file says still pending.
            3 => stolen.edit_key(pending),
            _ => {}
        }
    }

    /// Leaves half a line behind the last one.
    fn tear(&self, run: &str, dice: &mut Dice) {
        let stolen = self.stolen();
        let path = stolen.segments(run).pop().expect("a segment");
        let mut bytes = std::fs::read(&path).expect("a segment");
        let piece = br#"{"v":1,"seq":12345,"ts":"2027-01-01T00:00:00.000Z","shard":"harbour""#;
        bytes.extend_from_slice(&piece[..=dice.roll(piece.len() as u64 - 1) as usize]);
        std::fs::write(&path, bytes).expect("written");
    }

    #[track_caller]
    fn assert_no_alarm(&self, what: &str) {
        let logs = self.stolen().logs();
        // Without the key file too, as on another machine.
        for seal_key in [Some(self.stolen().key_file()), None] {
            let proofs = Proofs { keys: self.key.iter().cloned().collect(), seal_key, ..Proofs::default() };
            let report = verify_with(&logs, &proofs).expect("readable");
            let found: Vec<String> = report.findings().map(ToString::to_string).collect();
            assert!(found.is_empty(), "{what}: {found:#?}");
        }
    }
}

fn image_head(image: &tempfile::TempDir, run: &str) -> std::path::PathBuf {
    Stolen(image.path().to_owned()).head(run)
}

/// Removes the line of the last seal. The line that it seals is durable before the key steps, so everything else stays.
fn unwrite_seal(before: &Stolen, stolen: &Stolen, run: &str) {
    let path = stolen.segments(run).pop().expect("a segment");
    let bytes = std::fs::read(&path).expect("a segment");
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    std::fs::write(&path, lines[..lines.len() - 1].concat()).expect("written");
    std::fs::copy(before.head(run), stolen.head(run)).expect("copied");
}

fn restore(from: &Stolen, to: &Stolen) {
    std::fs::remove_dir_all(&to.0).expect("removed");
    copy_folder(Path::new(&from.0), &to.0);
}

#[test]
fn honest_crashes_and_restarts_raise_no_alarm() {
    let rounds = if soak() { 1_000 } else { 25 };
    let mut dice = Dice(16);
    let mut site = Site { home: temp_home(), runs: 0, key: None };
    for round in 0..rounds {
        let seed = dice.0;
        if site.runs > 12 {
            site = Site { home: temp_home(), runs: 0, key: None };
        }
        let mut live = vec![site.new_run(&mut dice)];
        if dice.roll(4) == 0 {
            live.push(site.new_run(&mut dice));
        }
        for _ in 0..dice.roll(6) {
            let at = dice.roll(live.len() as u64) as usize;
            match dice.roll(4) {
                0 => live[at].log.seal().expect("sealed"),
                1 if site.key.is_none() => {
                    let stolen = site.stolen();
                    site.key = Some(set_up(&stolen.key_file(), &stolen.logs(), false).expect("a key"));
                }
                _ => live[at].command(),
            }
        }
        if dice.roll(3) == 0 {
            drop(live);
        } else {
            let crashed = site.crash(&live, &mut dice);
            drop(live);
            crashed.assert_as_crashed(&format!("round {round}, seed {seed}, crashed"));
            site = crashed;
            if dice.roll(2) == 0 {
                let run = site.stolen().runs().pop().expect("a run");
                let mut resumed = site.open(&run, &mut dice);
                resumed.command();
                drop(resumed);
            } else {
                drop(site.new_run(&mut dice));
            }
        }
        site.assert_no_alarm(&format!("round {round}, seed {seed}"));
    }
}

impl Site {
    /// Right after a crash, before any start: with the key file, which may hold a seal that no log has.
    #[track_caller]
    fn assert_as_crashed(&self, what: &str) {
        let proofs = Proofs {
            keys: self.key.iter().cloned().collect(),
            seal_key: Some(self.stolen().key_file()),
            ..Proofs::default()
        };
        let report = verify_with(&self.stolen().logs(), &proofs).expect("readable");
        let found: Vec<String> = report.findings().map(ToString::to_string).collect();
        assert!(found.is_empty(), "{what}: {found:#?}");
    }
}

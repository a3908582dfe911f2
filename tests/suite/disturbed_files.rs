//! Files that somebody else removes, renames, truncates or replaces under a running shard, at random instants between commands:
//! every acknowledged command is in the files at the end, an alert says what happened, and the run resumes.
//!
//! `TOWNLET_SOAK=1` takes a hundred instants for each change and file, and wants each alert within a second;
//! `TOWNLET_DISTURB_SEED` repeats one. Rule: "Files that change under the program".

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use townlet_audit::{Record, Stage, records};
use townlet_learn::prng::Prng;
use townlet_shard::recovery::recover_run;
use townlet_shard::tokens::TokenStore;
use townlet_shard::{Home, Options};
use townlet_wire::telemetry::Alert;
use townlet_wire::{Role, Status};

use crate::kit::{
    TestShard, copy_folder, default_sources, open_segment, options, replace_folder, soak, store_idle_policy, temp_home,
    wait_until,
};
use townlet_audit::verify;

/// Commands of a round.
const COMMANDS: usize = 12;

/// What somebody does to a file.
type Change = (&'static str, fn(&Path));

fn truncate(file: &Path) {
    std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(0).unwrap();
}

const CHANGES: &[Change] = &[
    ("rm", |file| std::fs::remove_file(file).unwrap()),
    ("mv", |file| std::fs::rename(file, file.with_extension("moved")).unwrap()),
    ("truncate", truncate),
    ("copytruncate", |file| {
        std::fs::copy(file, file.with_extension("copied")).unwrap();
        truncate(file);
    }),
    ("mv and create", |file| {
        std::fs::rename(file, file.with_extension("moved")).unwrap();
        std::fs::write(file, "").unwrap();
    }),
    ("folder replaced", |file| replace_folder(file.parent().unwrap())),
    ("home replaced", |file| replace_folder(file.ancestors().nth(3).unwrap())),
];

fn alert(live: &TestShard, name: &str) -> Option<Alert> {
    live.view().alerts.into_iter().find(|alert| alert.name == name)
}

/// Ids of the commands that the audit log holds as done.
fn done(home: &Path) -> Vec<String> {
    let mut done = Vec::new();
    let ends = |it: &Record| matches!(it.stage, Stage::Outcome | Stage::Recovered) && it.status == Some(Status::Ok);
    records(&home.join("logs/console"), |_, _, record| {
        done.extend(record.ok().filter(ends).map(|record| record.cmd_id));
        Ok(())
    })
    .unwrap();
    done
}

/// Verifies the audit log. Files that the change has left beside the segments, under names of its own, are the only findings.
#[track_caller]
fn assert_only_left_files(home: &Path, what: &str) {
    let report = verify(&home.join("logs/console")).unwrap();
    let left = ["moved", "copied", "found"];
    let found = |file: &str| left.iter().any(|ending| file.ends_with(ending));
    let findings: Vec<String> = report.findings().filter(|it| !found(&it.file)).map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{what}: {findings:?}");
}

/// What the instants of one change showed.
#[derive(Default)]
struct Seen {
    acknowledged: usize,
    /// Answers that said that the command is not safe on disk, or was refused.
    not_safe: usize,
    alerts: usize,
    /// The longest time until the alert stood.
    slowest: Duration,
}

impl Seen {
    /// Waits for the alert about a change that was made just now.
    fn await_alert(&mut self, live: &TestShard, name: &str, what: &str) -> Alert {
        let changed = Instant::now();
        let mut noticed = None;
        wait_until(&format!("{what}: the alert"), || {
            noticed = alert(live, name);
            noticed.is_some()
        });
        self.alerts += 1;
        self.slowest = self.slowest.max(changed.elapsed());
        noticed.expect("it stands")
    }
}

/// Changes the open segment of a log at a random instant for each seed, while commands are sent.
fn round(seen: &mut Seen, seeds: &[u64], (what, change): &Change, (folder, ending, name): (&str, &str, &str)) {
    let (above, died) = (temp_home(), temp_home());
    let home = &above.path().join("home");
    std::fs::create_dir(home).unwrap();
    let live = TestShard::new(home);
    live.run(5);
    let (mut acknowledged, not_safe) = (Vec::new(), AtomicUsize::new(0));
    // The id of an acknowledged command.
    let command = |amount: usize| {
        let answer = live.line(&format!("setmoney ada {amount}"));
        if answer.status == Status::Ok {
            return Some(answer.cmd_id);
        }
        // An answer may say that the command is not safe on disk. It may not say nothing.
        assert_eq!(answer.error.expect("an error").code, "E_AUDIT_UNAVAILABLE", "{what} of {folder}");
        not_safe.fetch_add(1, Ordering::Relaxed);
        None
    };
    for seed in seeds {
        let what = format!("TOWNLET_DISTURB_SEED={seed}: {what} of {folder}");
        let (mut prng, died) = (Prng::from_state(*seed), temp_home());
        let (before, spins) = (prng.below(COMMANDS), prng.below(2_000_000));
        acknowledged.extend((0..=before).filter_map(&command));
        let file = open_segment(home, folder, ending);
        let is_changed = AtomicBool::new(false);
        let noticed = std::thread::scope(|scope| {
            let somebody = scope.spawn(|| {
                (0..spins).for_each(|_| std::hint::spin_loop());
                change(&file);
                is_changed.store(true, Ordering::Release);
                seen.await_alert(&live, name, &what)
            });
            acknowledged.extend((before..COMMANDS).filter_map(&command));
            wait_until(&format!("{what}: the change"), || is_changed.load(Ordering::Acquire));
            // The process dies when the first command after the change is acknowledged.
            wait_until(&format!("{what}: a command is taken"), || {
                let taken = command(98);
                acknowledged.extend(taken.clone());
                taken.is_some()
            });
            copy_folder(home, died.path());
            somebody.join().expect("the alert stands")
        });
        assert_holds(&what, died.path(), &acknowledged);
        let recovered = recover_run(&Home::new(died.path()), "snapshots", &live.shard.run_id, None);
        assert_eq!(recovered.unwrap_or_else(|why| panic!("{what}: {why}")).town.digest(), live.digest(), "{what}");
        let view = live.view();
        assert_eq!((&*noticed.severity, &*view.health.status), ("critical", "degraded"), "{what}: {noticed:?}");
        assert!(view.health.problems.contains(&noticed.message), "{what}: {:?}", view.health.problems);
        live.run(7);
        acknowledged.push(command(100).unwrap_or_else(|| panic!("{what}: the logs are well")));
        live.expect_ok(&format!("alert_ack {name} --reason seen"));
        assert_eq!(alert(&live, name), None, "{what}");
        acknowledged.push(command(101).unwrap_or_else(|| panic!("{what}: the logs are well")));
    }
    // The process dies later.
    let what = format!("{what} of {folder}: {seeds:?}");
    copy_folder(home, died.path());
    let digest = live.digest();
    drop(live);
    assert_only_left_files(home, &what);
    assert_holds(&what, died.path(), &acknowledged);
    let resumed = TestShard::resumed(died.path());
    assert_eq!(resumed.digest(), digest, "{what}: {:?}", resumed.shard.notes);
    resumed.expect_ok("setmoney ada 102");
    drop(resumed);
    assert_only_left_files(died.path(), &what);
    seen.acknowledged += acknowledged.len();
    seen.not_safe += not_safe.into_inner();
}

/// Asserts that the audit log of a home holds every acknowledged command.
#[track_caller]
fn assert_holds(what: &str, home: &Path, acknowledged: &[String]) {
    let logged = done(home);
    for id in acknowledged {
        assert!(logged.contains(id), "{what}: {id} was acknowledged and is in no file");
    }
}

/// Makes every change at one random instant, or at a hundred, and prints what was seen. `round` makes a change for each seed.
fn at_random_instants(of: &str, mut round: impl FnMut(&mut Seen, &[u64], &Change)) {
    let fixed = std::env::var("TOWNLET_DISTURB_SEED").ok().map(|seed| seed.parse::<u64>().expect("a seed is a number"));
    let count = if fixed.is_some() || !soak() { 1 } else { 100 };
    let seeds: Vec<u64> = (0..count).map(|instant| fixed.unwrap_or(0x66_696c_6573 + instant)).collect();
    for change in CHANGES {
        // A folder takes the closed segments along, of which the shard has no copy.
        let in_one_run = if change.0.ends_with("replaced") { 1 } else { 20 };
        let mut seen = Seen::default();
        seeds.chunks(in_one_run).for_each(|seeds| round(&mut seen, seeds, change));
        let Seen { acknowledged, not_safe, alerts, slowest } = seen;
        println!(
            "{} of {of}: {count} instants, {acknowledged} commands acknowledged, 0 lost, {not_safe} reported as not safe, \
             {alerts} alerts, the slowest after {} ms",
            change.0,
            slowest.as_millis()
        );
        assert!(!soak() || slowest <= Duration::from_secs(1), "{} of {of}: an alert after {slowest:?}", change.0);
    }
}

#[test]
fn changed_audit_log_holds_every_acknowledged_command() {
    let target = ("logs/console", "jsonl", "audit_disturbed");
    at_random_instants(target.0, |seen, seeds, change| round(seen, seeds, change, target));
}

#[test]
fn changed_journal_holds_every_acknowledged_command() {
    let target = ("logs/journal", "tlj", "journal_disturbed");
    at_random_instants(target.0, |seen, seeds, change| round(seen, seeds, change, target));
}

#[test]
fn reopened_logs_begin_a_segment_and_end_the_alert() {
    let home = temp_home();
    let live = TestShard::new(home.path());
    live.expect_ok("setmoney ada 1");
    let segment = open_segment(home.path(), "logs/console", "jsonl");
    std::fs::rename(&segment, home.path().join("archived")).unwrap();
    wait_until("the alert", || alert(&live, "audit_disturbed").is_some());
    live.expect_ok("setmoney ada 2");
    live.shard.reopen_logs();
    assert_eq!(alert(&live, "audit_disturbed"), None);
    let answer = live.expect_ok("setmoney ada 3");
    assert!(answer.audit.contains("-0003.jsonl:"), "{}", answer.audit);
    drop(live);
    let report = verify(&home.path().join("logs/console")).unwrap();
    assert!(report.passed());
    assert!(report.runs[0].notes.iter().any(|note| note.contains("-0001.jsonl was removed or renamed; its")));
}

/// Changes a file that the shard does not write all the time, at a random instant for each seed. Puts it back each time, and waits
/// for the end of the alert.
fn round_of_small_file(
    seen: &mut Seen,
    seeds: &[u64],
    (what, change): &Change,
    live: &TestShard,
    (home, file, name): (&Path, &Path, &str),
) -> Alert {
    let left = std::fs::read(file).unwrap();
    // The folder of the home that it stands in.
    let place = if *what == "home replaced" { &home.join("logs/journal/any") } else { file };
    let mut noticed = Alert::default();
    for seed in seeds {
        let what = format!("TOWNLET_DISTURB_SEED={seed}: {what} of {}", file.display());
        (0..Prng::from_state(*seed).below(2_000_000)).for_each(|_| std::hint::spin_loop());
        change(place);
        noticed = seen.await_alert(live, name, &what);
        assert_eq!(live.view().health.status, "degraded", "{what}");
        townlet_files::write_private(file, &left).unwrap();
        wait_until(&format!("{what}: the end of the alert"), || alert(live, name).is_none());
        for folder in [file.parent().unwrap(), home] {
            drop(std::fs::remove_dir_all(folder.with_extension("old")));
        }
    }
    noticed
}

#[test]
fn changed_release_pointer_is_reported_and_the_release_stays() {
    let above = temp_home();
    let home = &above.path().join("home");
    std::fs::create_dir(home).unwrap();
    let id = store_idle_policy(home);
    let live = TestShard::new(home);
    live.run(5);
    live.expect_ok(&format!("policy_swap {id} --reason drill"));
    let pointer = home.join("snapshots/rel/harbour.release.json");
    // Behind every write of the file, on the same thread.
    live.expect_ok("snapshot list");
    at_random_instants("the release pointer", |seen, seeds, change| {
        let file = (home.as_path(), pointer.as_path(), "release_disturbed");
        let noticed = round_of_small_file(seen, seeds, change, &live, file);
        assert!(noticed.message.contains("harbour.release.json") && noticed.message.contains(&id), "{noticed:?}");
        assert_eq!(live.view().promotion.release, id, "{}", change.0);
    });
    // Any change of the release writes the whole file.
    std::fs::remove_file(&pointer).unwrap();
    wait_until("the alert again", || alert(&live, "release_disturbed").is_some());
    live.expect_ok("promotion_hold on --reason drill");
    wait_until("the end again", || alert(&live, "release_disturbed").is_none());
    assert!(std::fs::read_to_string(&pointer).unwrap().contains(&id));
}

#[test]
fn removed_or_emptied_token_store_is_reported() {
    let above = temp_home();
    let home = &above.path().join("home");
    std::fs::create_dir(home).unwrap();
    let store = home.join("ops/tokens.json");
    let mut tokens = TokenStore::default();
    tokens.create(Role::Admin).unwrap();
    tokens.save(&store).unwrap();
    let options = Options { token_file: Some(store.clone()), ..options(home, true) };
    let live = TestShard::from_handle(townlet_shard::start(default_sources(&[]), 7, options).unwrap());
    at_random_instants("the token store", |seen, seeds, change| {
        let file = (home.as_path(), store.as_path(), "tokens_disturbed");
        let noticed = round_of_small_file(seen, seeds, change, &live, file);
        let [removed, empty] = ["was removed", "is empty"].map(|said| noticed.message.contains(said));
        let right = match change.0 {
            // Noticed between the two, it is missing.
            "mv and create" => removed || empty,
            "truncate" | "copytruncate" => empty,
            _ => removed,
        };
        assert!(noticed.message.contains("tokens.json") && right, "{}: {noticed:?}", change.0);
    });
}

#[test]
fn removed_lock_is_made_again_and_a_second_shard_is_refused() {
    let home = temp_home();
    let claimed = || Options { claim: true, ..options(home.path(), true) };
    let live = TestShard::from_handle(townlet_shard::start(default_sources(&[]), 7, claimed()).unwrap());
    let lock = home.path().join("logs/harbour.lock");
    let content = std::fs::read_to_string(&lock).unwrap();
    let changes: [fn(&Path); 3] = [
        |lock| std::fs::remove_file(lock).unwrap(),
        |lock| {
            std::fs::remove_file(lock).unwrap();
            std::fs::write(lock, "0 swapped").unwrap();
        },
        |lock| std::fs::write(lock, "").unwrap(),
    ];
    for change in changes {
        change(&lock);
        wait_until("the lock", || std::fs::read_to_string(&lock).is_ok_and(|found| found == content));
        let second = townlet_shard::start(default_sources(&[]), 7, claimed()).err().expect("one shard of a name");
        assert!(second.to_string().contains("is running in this home already"), "{second}");
    }
    assert_eq!(alert(&live, "lock_disturbed"), None);
    // Somebody else locks a file of that name first.
    std::fs::remove_file(&lock).unwrap();
    let other = std::fs::File::create(&lock).unwrap();
    other.lock().unwrap();
    wait_until("the alert", || alert(&live, "lock_disturbed").is_some_and(|it| it.message.contains("another process")));
    drop(other);
    wait_until("its end", || alert(&live, "lock_disturbed").is_none());
}

#[test]
fn segments_before_lost_entries_are_not_needed_to_resume() {
    let (home, died) = (temp_home(), temp_home());
    let live = TestShard::new(home.path());
    live.run(5);
    live.expect_ok("setmoney ada 1");
    truncate(&open_segment(home.path(), "logs/journal", "tlj"));
    wait_until("a command is taken", || live.line("setmoney ada 2").status == Status::Ok);
    let (run, digest) = (live.shard.run_id.clone(), live.digest());
    copy_folder(home.path(), died.path());
    drop(live);
    let recover = |since| recover_run(&Home::new(died.path()), "snapshots", &run, since);
    assert_eq!(recover(Some(0)).map(|it| it.lost_before).unwrap(), None);
    std::fs::write(died.path().join(format!("logs/journal/{run}-000000000000.tlj")), "damage").unwrap();
    let recovered = recover(Some(0)).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!((recovered.town.digest(), recovered.lost_before), (digest, Some(5)));
    let said = "The run continues from the segment after it.";
    assert!(recovered.notes.iter().any(|note| note.ends_with(said)), "{:?}", recovered.notes);
    // The end of a segment before a complete one is known, so the damage matters.
    let newest = open_segment(died.path(), "logs/journal", "tlj");
    std::fs::remove_file(&newest).unwrap();
    assert!(recover(Some(0)).is_err());
}

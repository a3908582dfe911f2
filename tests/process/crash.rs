//! `kill -9` at random instants, then resume: nothing acknowledged is lost, nothing is applied twice, the logs agree.
//!
//! `TOWNLET_SOAK=1` makes a hundred rounds of what is ten otherwise. A failing round prints its seed;
//! `TOWNLET_CRASH_SEED` repeats it.

use std::collections::BTreeSet;
use std::path::Path;

use super::batch::{Answered, Batch, Ended, SCRIPT, audited, replay, write_script};

/// Commands of a script.
const COMMANDS: u64 = 40;
/// Where a batch with commands ends.
const LIMIT: &str = "1200";

/// `SplitMix64`: good enough to scatter instants, and a seed repeats them.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    /// Lets a random moment pass, so that a kill falls anywhere between two lines.
    fn moment(&mut self, spins: u64) {
        for _ in 0..self.below(spins) {
            std::hint::spin_loop();
        }
    }
}

/// Runs a body for every round, each with a seed of its own that is printed when it fails.
fn rounds(body: impl Fn(&mut Chance)) {
    let soak = std::env::var("TOWNLET_SOAK").is_ok_and(|value| value == "1");
    let fixed = std::env::var("TOWNLET_CRASH_SEED").ok().map(|seed| seed.parse().expect("a seed is a number"));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let first = now.as_nanos() as u64;
    let count = if fixed.is_some() { 1 } else { [10, 100][usize::from(soak)] };
    for round in 0..count {
        let seed = fixed.unwrap_or(first.wrapping_add(round));
        println!("TOWNLET_CRASH_SEED={seed}");
        body(&mut Chance(seed));
    }
}

/// Commands whose effects differ, so that one lost, doubled or out of order changes the town.
fn commands(chance: &mut Chance) -> Vec<(Option<u64>, String, String)> {
    let command = |number: u64| match number % 4 {
        0 => format!("setmoney ada {number}.5"),
        1 => format!("set_exit_cap {number}"),
        2 => format!("price meal 1.{number:02}"),
        _ => format!("setneed ada hygiene 0.{number:02}"),
    };
    let mut tick = 0;
    (0..COMMANDS)
        .map(|number| {
            tick += chance.below(20);
            (Some(tick), command(number), format!("id-{number}"))
        })
        .collect()
}

/// Acknowledged so far; what is told again must be told as such.
#[derive(Default)]
struct Acknowledged(BTreeSet<String>);

impl Acknowledged {
    #[track_caller]
    fn take(&mut self, answer: &Answered) {
        assert!(answer.ok, "{}", answer.text);
        assert!(answer.replayed || self.0.insert(answer.cmd_id.clone()), "applied twice: {}", answer.text);
        self.0.insert(answer.cmd_id.clone());
    }
}

fn run(home: &Path, resumed: bool, chance: &mut Chance, known: &mut Acknowledged) -> Ended {
    let mut args = vec!["--script", SCRIPT, "--tick-limit", LIMIT];
    args.extend(resumed.then_some("--resume"));
    let mut batch = Batch::start(home, &args, &[]);
    for _ in 0..chance.below(COMMANDS) {
        match batch.answer() {
            Some(answer) => known.take(&answer),
            None => break,
        }
    }
    chance.moment(3_000_000);
    let ended = batch.kill();
    ended.answers.iter().for_each(|answer| known.take(answer));
    ended
}

fn has_run(home: &Path) -> bool {
    std::fs::read_dir(home.join("logs/journal")).is_ok_and(|mut files| {
        files.any(|file| file.is_ok_and(|file| file.path().extension().is_some_and(|found| found == "tlj")))
    })
}

#[test]
fn killed_under_commands_nothing_acknowledged_is_lost_and_nothing_is_done_twice() {
    rounds(|chance| {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        let mut script = commands(chance);
        write_script(home, &script);
        let mut known = Acknowledged::default();
        run(home, false, chance, &mut known);
        // Sent again as fast as it goes, with the same ids; and killed at that as well.
        for (tick, _, _) in &mut script {
            *tick = None;
        }
        write_script(home, &script);
        for _ in 0..chance.below(3) {
            run(home, has_run(home), chance, &mut known);
        }
        let before = known.0.clone();
        assert!(has_run(home) || before.is_empty());
        let resume: &[&str] = if has_run(home) { &["--resume"] } else { &[] };
        let args = [&["--script", SCRIPT, "--tick-limit", LIMIT], resume].concat();
        let ended = Batch::start(home, &args, &[]).end();
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
    });
}

#[test]
fn killed_at_full_speed_it_goes_on_from_the_last_journalled_tick() {
    rounds(|chance| {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        let batch = Batch::start(home, &["--tick-limit", "1000000000"], &[]);
        chance.moment(4_000_000);
        batch.kill();
        for _ in 0..2 {
            if !has_run(home) {
                return;
            }
            let before = replay(home);
            let batch = Batch::start(home, &["--resume", "--tick-limit", "1000000000"], &[]);
            chance.moment(4_000_000);
            batch.kill();
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
    });
}

//! Random changes to everything that strangers can hand over: no reader panics, takes more memory than allowed, or never ends.
//!
//! The readers are those of the fuzz targets in `tests/fuzz`. `TOWNLET_SOAK=1` goes on with each for `TOWNLET_FUZZ_MINUTES` (one)
//! and checks the bound of time too; run it with `--release`. A failing input is printed with its seed; `TOWNLET_FUZZ_SEED`
//! repeats it. `TOWNLET_FUZZ_CORPUS=DIR` writes the valid inputs to `DIR/READER` instead, where a fuzz target starts from them.
//! Rule: "Files from strangers".

#[path = "../fuzz/src/readers.rs"]
mod readers;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::kit::soak;
use crate::mutation::changed;
use readers::{Reader, reader};
use townlet_learn::prng::Prng;

/// Time for each reader, and the number of inputs that are read whatever the time.
const BRIEF: Duration = Duration::from_millis(300);
const INPUTS: u64 = 40;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Feeds changed inputs to a reader. A valid one must be accepted, and some changed ones refused.
fn feed(name: &str) {
    let reader: &Reader = reader(name);
    let seeds = (reader.seeds)();
    assert!(seeds.iter().any(|seed| reader.check(seed).accepted), "{name}: no valid input is accepted");
    if let Some(corpus) = std::env::var_os("TOWNLET_FUZZ_CORPUS") {
        let folder = Path::new(&corpus).join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        for (number, seed) in seeds.iter().enumerate() {
            std::fs::write(folder.join(format!("valid-{number}")), seed).expect("a valid input");
        }
        return;
    }
    let fixed = number("TOWNLET_FUZZ_SEED");
    let minutes = Duration::from_secs(60 * number("TOWNLET_FUZZ_MINUTES").unwrap_or(1));
    let length = if soak() { minutes } else { BRIEF };
    let (started, mut accepted, mut inputs) = (Instant::now(), 0_u64, 0_u64);
    let (mut memory, mut slowest, mut largest) = (0, Duration::ZERO, 0);
    while inputs < INPUTS || started.elapsed() < length {
        let seed = fixed.unwrap_or(0x66_757a_7a00 + inputs);
        let bytes = changed(&mut Prng::from_state(seed), &seeds);
        let check = || if soak() { reader.check_time(&bytes) } else { reader.check(&bytes) };
        let cost = catch_unwind(AssertUnwindSafe(check));
        let cost = cost.unwrap_or_else(|_| panic!("{name}: TOWNLET_FUZZ_SEED={seed}: {} bytes", bytes.len()));
        (memory, slowest, largest) = (cost.memory.max(memory), cost.time.max(slowest), bytes.len().max(largest));
        (inputs, accepted) = (inputs + 1, accepted + u64::from(cost.accepted));
        if fixed.is_some() {
            return;
        }
    }
    println!(
        "{name}: {inputs} inputs of up to {largest} bytes, {accepted} accepted; at most {} KiB and {:.1} ms",
        memory / 1024,
        slowest.as_secs_f64() * 1e3
    );
    assert!(accepted < inputs, "{name}: nothing was refused");
}

macro_rules! readers {
    ($($name:ident)+) => {
        $(#[test]
        fn $name() {
            feed(stringify!($name));
        })+

        #[test]
        fn every_reader_has_a_test_and_a_fuzz_target() {
            let names: Vec<&str> = readers::READERS.iter().map(|reader| reader.name).collect();
            assert_eq!([$(stringify!($name)),+].as_slice(), names);
            let manifest = std::fs::read_to_string(crate::kit::repository("tests/fuzz/Cargo.toml")).unwrap();
            let targets = manifest.split("[[bin]]").skip(1).filter_map(|target| target.split('"').nth(1));
            assert_eq!(targets.collect::<Vec<_>>(), names);
        }
    };
}

readers! {
    config config_import user_config perturbations plan snapshot snapshot_content journal journal_frames keyframe
    keyframe_content checkpoint training_state training_content bundle bundle_content audit_log stream payloads command_line console_body keymap layouts
    tokens schema_version
}

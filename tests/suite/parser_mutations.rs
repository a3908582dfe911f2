//! Random changes to command lines, requests, stream events and messages: no parser panics, and every refusal has a reason.
//!
//! `TOWNLET_SOAK=1` tries two hundred times as many inputs. A failing input is printed with its seed; `TOWNLET_PARSER_SEED` repeats
//! it. Valid inputs are changed a little at a time, because random bytes fail at the first one.

use std::time::Instant;

use crate::kit::soak;
use townlet_learn::prng::Prng;
use townlet_shard::specs;
use townlet_wire::sse::{Event, Reader};
use townlet_wire::stream::digest;
use townlet_wire::{Answer, Body, Diff, Envelope, Mirror, Request, SCHEMA_VERSION, Snapshot, command_line};

/// Inputs for each parser.
const INPUTS: u64 = 10_000;

/// One of `seeds`, changed in up to eight places.
fn changed(prng: &mut Prng, seeds: &[Vec<u8>]) -> Vec<u8> {
    const PIECES: [&[u8]; 14] = [
        b"\"",
        b"{",
        b"}",
        b"[",
        b"null",
        b"-1",
        b"1e999",
        b"18446744073709551616",
        b"\\u0000",
        b"\xff",
        b"\x1b[2J",
        b" --",
        b"\n",
        b":",
    ];
    let mut bytes = seeds[prng.below(seeds.len())].clone();
    for _ in 0..=prng.below(8) {
        let at = prng.below(bytes.len() + 1);
        match prng.below(6) {
            0 if at < bytes.len() => bytes[at] = prng.next_u64() as u8,
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 => bytes.truncate(at),
            3 => {
                let end = (at + prng.below(40)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = prng.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            _ => {
                let piece = PIECES[prng.below(PIECES.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
        }
    }
    bytes
}

/// Feeds changed inputs to a parser; some must be accepted and some refused.
fn rounds(name: &str, seeds: &[Vec<u8>], mut takes: impl FnMut(&[u8]) -> bool) {
    let fixed = std::env::var("TOWNLET_PARSER_SEED").ok().map(|seed| seed.parse::<u64>().expect("a seed is a number"));
    let count = if fixed.is_some() { 1 } else { INPUTS * if soak() { 200 } else { 1 } };
    let started = Instant::now();
    let mut good = 0_u64;
    for input in 0..count {
        let seed = fixed.unwrap_or(0x70_776e_6c65_7400 + input);
        let bytes = changed(&mut Prng::from_state(seed), seeds);
        let taken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| takes(&bytes)));
        let taken = taken.unwrap_or_else(|_| panic!("TOWNLET_PARSER_SEED={seed}: {}", String::from_utf8_lossy(&bytes)));
        good += u64::from(taken);
    }
    println!("{name}: {count} inputs, {good} good, in {:.1} s", started.elapsed().as_secs_f64());
    assert!(fixed.is_some() || (good > 0 && good < count), "{name}: nothing was taken, or nothing refused");
}

fn texts(seeds: &[&str]) -> Vec<Vec<u8>> {
    seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect()
}

#[test]
fn command_lines() {
    let specs = specs();
    let mut seeds: Vec<Vec<u8>> = specs.iter().map(|spec| spec.usage().into_bytes()).collect();
    seeds.extend(texts(&[
        "employment_exit approve ada --reason \"moved \\\"away\\\"\"",
        "setmoney ada 7.5",
        "step 9",
        "kpi",
    ]));
    rounds("command lines", &seeds, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        match command_line::parse(&specs, &text) {
            Ok(parsed) => {
                // Its normal form parses to the same.
                let again = parsed.normalised();
                assert_eq!(command_line::parse(&specs, &again).as_ref(), Ok(&parsed), "{again}");
                true
            }
            Err(error) => {
                assert!(error.code.starts_with("E_") && !error.message.is_empty());
                false
            }
        }
    });
}

#[test]
fn requests_and_answers() {
    let seeds = texts(&[
        r#"{"command": "setmoney ada 7", "cmd_id": "01920000-0000-7000-8000-000000000000", "dry_run": true}"#,
        r#"{"command": "escalate", "secret": "x", "query": false}"#,
        r#"{"cmd_id":"a","command":"kpi","status":"ok","tick":3,"result":{"summary":"4 met"},"replayed":false,"audit":"f:1"}"#,
    ]);
    rounds("requests and answers", &seeds, |bytes| {
        let answer = serde_json::from_slice::<Answer>(bytes);
        if let Ok(answer) = &answer {
            assert!(!answer.summary().is_empty() || answer.result.is_some());
        }
        serde_json::from_slice::<Request>(bytes).is_ok() || answer.is_ok()
    });
}

#[test]
fn streams() {
    let one = Snapshot { schema_version: SCHEMA_VERSION.into(), tick: 1, ..Snapshot::default() };
    let mut two = Snapshot { tick: 2, ..one.clone() };
    two.agents.push(townlet_wire::telemetry::Agent { id: "ada".into(), ..Default::default() });
    let message = |prev_seq, body, state: &Snapshot| {
        let message = Envelope::leading_to(state, 7, prev_seq + 1, prev_seq, body);
        Envelope { digest: Some(digest(state)), ..message }
    };
    let first = message(0, Body::Snapshot(Box::new(one.clone())), &one);
    let then = message(1, Body::Diff(Box::new(Diff::between(&one, &two))), &two);
    let event = |message: &Envelope| {
        let data = serde_json::to_string(message).expect("it is plain data");
        Event { id: message.position().to_string(), kind: message.body.kind().into(), data }.encoded()
    };
    let seeds = texts(&[&event(&first), &event(&then), &(event(&first) + &event(&then)), ": nothing\n\ndata: 1\n\n"]);
    rounds("streams", &seeds, |bytes| {
        let mut reader = Reader::default();
        let mut mirror = Mirror::default();
        mirror.take(first.clone()).expect("it is a snapshot");
        let mut good = false;
        for event in reader.take(bytes).expect("it is short") {
            if let Ok(message) = Envelope::from_json(&event.data) {
                good |= mirror.take(message).is_ok();
            }
        }
        good
    });
}

//! Snapshots: a loaded town equals the saved one, and truncated, altered or foreign files are refused with the reason.

use std::sync::Arc;

use townlet_town::ids::{AffordanceId, Column, ObjectId};
use townlet_town::snapshot::{self, SnapshotError};
use townlet_town::state::Activity;
use townlet_town::{AgentId, State, Town};

use crate::{By, through, town, wander};

#[test]
fn save_load_step_is_step() {
    let mut town = town(&[]);
    for tick in (0..3_000).step_by(97) {
        through(&mut town, tick, wander);
        let mut loaded = snapshot::load(&snapshot::save(&town)).unwrap();
        assert_eq!(loaded.state(), town.state());
        let mut other = town.clone();
        for _ in 0..40 {
            other.step(&mut By(wander));
            loaded.step(&mut By(wander));
            assert_eq!(loaded.digest(), other.digest(), "saved at {tick}, now {}", other.tick());
        }
        assert_eq!(loaded.events(), &other.events()[other.events().len() - loaded.events().len()..]);
    }
}

fn saved() -> Vec<u8> {
    let mut town = town(&[]);
    through(&mut town, 300, wander);
    snapshot::save(&town)
}

fn refusal(bytes: &[u8]) -> SnapshotError {
    snapshot::load(bytes).map(|town: Town| town.tick()).expect_err("it is damaged")
}

/// A box of version 3, written by the program of that time.

#[test]
fn a_truncated_snapshot_is_refused_at_every_length() {
    for whole in [saved()] {
        for length in 0..whole.len() {
            match refusal(&whole[..length]) {
                SnapshotError::Foreign => assert!(length < 20),
                SnapshotError::Truncated { found, expected } => assert_eq!((found, expected), (length, whole.len())),
                other => panic!("{length}: {other}"),
            }
        }
        let longer = [whole.as_slice(), &[0]].concat();
        assert!(matches!(refusal(&longer), SnapshotError::Truncated { .. }));
    }
}

#[test]
fn a_flipped_byte_is_noticed_at_every_position() {
    for mut bytes in [saved()] {
        for at in 0..bytes.len() {
            // One bit, and three that turn version 3 into 4 and 4 into 3.
            for mask in [1 << (at % 8), 0x07] {
                bytes[at] ^= mask;
                match refusal(&bytes) {
                    SnapshotError::Foreign => assert!(at < 8, "{at}"),
                    SnapshotError::Version { .. } => assert!((8..12).contains(&at), "{at}"),
                    SnapshotError::Truncated { .. } => assert!((12..20).contains(&at), "{at}"),
                    SnapshotError::Altered => assert!(at == 8 || at >= 20, "{at}"),
                    other => panic!("{at}: {other}"),
                }
                bytes[at] ^= mask;
            }
        }
        assert!(snapshot::load(&bytes).is_ok());
    }
}

#[test]
fn other_versions_and_foreign_files_are_refused_with_the_reason() {
    let mut bytes = saved();
    for found in [0, snapshot::VERSION + 1, u32::MAX] {
        bytes[8..12].copy_from_slice(&found.to_le_bytes());
        let refused = refusal(&bytes);
        assert!(matches!(refused, SnapshotError::Version { found: it } if it == found));
        assert!(
            refused.to_string().contains(&format!("this program reads version {}", snapshot::VERSION)),
            "{refused}"
        );
    }
    assert!(matches!(refusal(b"TOWNLET\n\x01\0\0"), SnapshotError::Foreign));
    let foreign = refusal(b"PK\x03\x04 this is some other kind of file");
    assert!(matches!(foreign, SnapshotError::Foreign));
    assert_eq!(foreign.to_string(), "it is not a townlet snapshot: the first bytes are wrong");
    assert!(matches!(refusal(b""), SnapshotError::Foreign));
}

#[test]
fn a_state_of_another_town_is_refused() {
    let state = town(&[]).state().clone();
    let other = town(&[("embedding_allocator.max_slots", "20")]);
    assert!(Town::resume(Arc::clone(other.rules()), state.clone()).unwrap_err().contains("another town"));
    let mut outside = state.clone();
    outside.agents.tile[outside.agents.present[0]] = townlet_town::ids::Tile(48 * 48);
    let rules = town(&[]).rules().clone();
    assert!(Town::resume(rules.clone(), outside).is_err());
    let wild: [fn(&mut State); 4] = [
        |state| state.objects[ObjectId(0)].uses.push(AgentId(9_999)),
        |state| state.agents.activity[state.agents.present[0]] = Activity::Walking(ObjectId(9_999), AffordanceId(0)),
        |state| state.agents.activity[state.agents.present[0]] = Activity::Walking(ObjectId(0), AffordanceId(999)),
        |state| state.employment.due.push(AgentId(60)),
    ];
    for edit in wild {
        let mut state = state.clone();
        edit(&mut state);
        assert!(Town::resume(rules.clone(), state).is_err());
    }
    let mut confused = state;
    confused.objects[ObjectId(0)].uses.push(confused.agents.present[0]);
    assert!(Town::resume(rules, confused).unwrap_err().contains("and its activity is"));
}

#[test]
fn a_column_of_another_length_is_refused_by_name() {
    type Edit = fn(&mut State, usize);
    let town = town(&[]);
    let slots = town.state().agents.tile.len();
    let edits: [(&str, Edit); 4] = [
        ("past", |state, rows| state.agents.past = Column::filled(rows, <_>::default())),
        ("resident", |state, rows| state.agents.resident = Column::filled(rows, <_>::default())),
        ("score_day", |state, rows| state.agents.score_day = Column::filled(rows, <_>::default())),
        ("freed", |state, rows| state.lifecycle.freed = Column::filled(rows, None)),
    ];
    for (column, edit) in edits {
        for rows in [0, slots - 1, slots + 1] {
            let mut state = town.state().clone();
            edit(&mut state, rows);
            let why = Town::resume(Arc::clone(town.rules()), state).unwrap_err();
            assert_eq!(why, format!("its column `{column}` has {rows} rows instead of {slots}"));
        }
    }
}

#[test]
fn occupied_slots_must_be_ascending() {
    let town = town(&[]);
    let edits: [fn(&mut Vec<AgentId>); 2] = [|present| present.swap(0, 1), |present| present.insert(0, present[0])];
    for edit in edits {
        let mut state = town.state().clone();
        edit(&mut state.agents.present);
        let why = Town::resume(Arc::clone(town.rules()), state).unwrap_err();
        assert_eq!(why, "its list of occupied slots is not ascending");
    }
}

#[test]
fn the_same_seed_and_choices_give_the_same_town() {
    let (mut one, mut two, mut three) = (town(&[]), town(&[]), town(&[]));
    for tick in (99..20_000).step_by(100) {
        through(&mut one, tick, wander);
        through(&mut two, tick, wander);
        through(&mut three, tick, wander);
        assert_eq!(one.digest(), two.digest(), "tick {tick}");
        assert_eq!(one.digest(), three.digest(), "saved and loaded, tick {tick}");
        if (tick + 1) % 1_000 == 0 {
            three = snapshot::load(&snapshot::save(&three)).unwrap();
        }
    }
    let other = Town::new(Arc::clone(one.rules()), 8);
    assert_ne!(other.digest(), town(&[]).digest(), "another seed is another town");
}

/// A snapshot of this content, which states `length` as its length.
fn sealed(content: &[u8], length: u64) -> Vec<u8> {
    let packed = zstd::bulk::compress(content, 1).unwrap();
    let mut bytes = b"TOWNLET\n".to_vec();
    bytes.extend_from_slice(&snapshot::VERSION.to_le_bytes());
    bytes.extend_from_slice(&(packed.len() as u64 + 8).to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&packed);
    let checksum = sha2::Digest::finalize(sha2::Digest::chain_update(<sha2::Sha256 as sha2::Digest>::new(), &bytes));
    bytes.extend_from_slice(&checksum);
    bytes
}

#[test]
fn a_small_snapshot_of_a_large_state_is_refused() {
    let town = town(&[]);
    let with = |slots: usize| {
        let mut state = town.state().clone();
        state.agents.past = Column::filled(slots, <_>::default());
        let content = postcard::to_extend(&state, postcard::to_stdvec(&town.rules().sources).unwrap()).unwrap();
        sealed(&content, content.len() as u64)
    };
    let large = with(1_000_000);
    let (bytes, why) = (large.len(), refusal(&large).to_string());
    assert!(bytes < 20_000, "{bytes}");
    assert!(why.contains("its content takes more than 33554432 bytes of memory"), "{why}");
    let stated = refusal(&sealed(&[], 1 << 30)).to_string();
    assert_eq!(stated, "its content cannot be read: it states 1073741824 bytes; a snapshot has at most 16777216");
}

#[test]
fn the_largest_town_fits_into_a_snapshot() {
    let large = town(&[("embedding_allocator.max_slots", "32000")]);
    let bytes = snapshot::save(&large);
    assert_eq!(snapshot::load(&bytes).unwrap().digest(), large.digest());
}

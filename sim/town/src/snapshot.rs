//! A town in a box: the whole state with the texts it was made from, sealed by a checksum; and the digest.
//!
//! Owns the byte layout and how boxes of earlier layouts are read. Bytes only: whoever writes files does so outside. A box
//! that was cut, altered or made by a version that is not read is refused by name. Rule: "Durable state".
//!
//! Mark (8 bytes), version (u32), length of the body (u64), body, SHA-256 of all before it; numbers little-endian. Since
//! version 4 the body is the length of the content (u64) and the content packed by zstd; before, the content itself.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::rules::{Rules, RulesError, Sources};
use crate::state::State;
use crate::town::Town;

/// First bytes of every box.
const MAGIC: &[u8; 8] = b"TOWNLET\n";
/// Version of the layout that is written; it changes whenever [`State`] or [`Sources`] do.
pub const VERSION: u32 = 4;
/// Earliest version that is read.
pub const OLDEST: u32 = 3;
/// Most bytes a box may have, packed and unpacked.
pub const MAX_BYTES: usize = 256 * 1024 * 1024;
/// How hard content is packed: the town waits for it.
const LEVEL: i32 = 1;
/// Bytes before the body.
const HEAD: usize = 20;
/// Bytes after it.
const SEAL: usize = 32;

/// Makes content of a body.
type Read = fn(&[u8]) -> Result<Content, SnapshotError>;
/// Every version that is read, with how. A change of [`State`] leaves the earlier one's types beside this file, and a row
/// here that reads and fills them in.
const LAYOUTS: [(u32, Read); 2] = [(OLDEST, plain), (VERSION, packed)];

/// Why a box was refused.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// Not ours.
    #[error("it is not a townlet snapshot: the first bytes are wrong")]
    Alien,
    /// Another layout.
    #[error("it was made by version {found} of the snapshot layout; this program reads versions {OLDEST} to {VERSION}")]
    Version {
        /// What it says.
        found: u32,
    },
    /// Cut, or with something behind its end.
    #[error("it is too {}: {found} bytes where {expected} are announced", if .found < .expected { "short" } else { "long" })]
    Truncated {
        /// There.
        found: usize,
        /// Announced.
        expected: usize,
    },
    /// Altered.
    #[error("its checksum does not match: it was altered or damaged")]
    Altered,
    /// The checksum is right and the content is not.
    #[error("its content cannot be read: {0}")]
    Content(String),
    /// The texts inside make no town.
    #[error("the texts inside make no town: {0}")]
    Rules(#[from] RulesError),
}

#[derive(Serialize, Deserialize)]
struct Content {
    sources: Sources,
    state: State,
}

/// A digest of the whole state: 128 bits of SHA-256 over its canonical bytes, in hex.
pub fn digest(state: &State) -> String {
    let bytes = postcard::to_stdvec(state).expect("state is plain data");
    hex(&Sha256::digest(&bytes)[..16])
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        text.push(char::from_digit(u32::from(byte >> 4), 16).expect("a nibble"));
        text.push(char::from_digit(u32::from(byte & 15), 16).expect("a nibble"));
        text
    })
}

/// Packs a town.
pub fn save(town: &Town) -> Vec<u8> {
    let content = Content { sources: town.rules().sources.clone(), state: town.state().clone() };
    let content = postcard::to_stdvec(&content).expect("state is plain data");
    let packed = zstd::bulk::compress(&content, LEVEL).expect("memory is packed into memory");
    let mut body = (content.len() as u64).to_le_bytes().to_vec();
    body.extend_from_slice(&packed);
    sealed(VERSION, &body)
}

/// Puts mark, version, length and seal around a body.
fn sealed(version: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD + body.len() + SEAL);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
    bytes.extend_from_slice(body);
    let seal = Sha256::digest(&bytes);
    bytes.extend_from_slice(&seal);
    bytes
}

/// The version of the layout that a box says it has; `None` when it is no box.
pub fn version(bytes: &[u8]) -> Option<u32> {
    let (version, _) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<4>()?;
    Some(u32::from_le_bytes(*version))
}

/// Unpacks a town.
///
/// # Errors
/// What is wrong with the bytes, in a sentence that fits behind the file's name.
pub fn load(bytes: &[u8]) -> Result<Town, SnapshotError> {
    let found = version(bytes).filter(|_| bytes.len() >= HEAD).ok_or(SnapshotError::Alien)?;
    let (_, read) = LAYOUTS.iter().find(|row| row.0 == found).ok_or(SnapshotError::Version { found })?;
    let announced = u64::from_le_bytes(bytes[12..HEAD].try_into().expect("eight bytes"));
    let expected = usize::try_from(announced).unwrap_or(usize::MAX).saturating_add(HEAD + SEAL);
    if bytes.len() != expected || expected > MAX_BYTES {
        return Err(SnapshotError::Truncated { found: bytes.len(), expected });
    }
    let (before, seal) = bytes.split_at(bytes.len() - SEAL);
    if Sha256::digest(before).as_slice() != seal {
        return Err(SnapshotError::Altered);
    }
    let content = read(&before[HEAD..])?;
    let rules = Arc::new(Rules::new(content.sources)?);
    Town::resume(rules, content.state).map_err(SnapshotError::Content)
}

/// Version 3: the content as it is.
fn plain(body: &[u8]) -> Result<Content, SnapshotError> {
    postcard::from_bytes(body).map_err(|error| SnapshotError::Content(error.to_string()))
}

/// Version 4: the length of the content, and the content packed. Never more is unpacked than a box may hold.
fn packed(body: &[u8]) -> Result<Content, SnapshotError> {
    let content = |what: &str| SnapshotError::Content(what.to_owned());
    let (length, packed) = body.split_first_chunk::<8>().ok_or_else(|| content("it has no length"))?;
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if length > MAX_BYTES {
        return Err(content("it would unpack to more than a snapshot may hold"));
    }
    let bytes = zstd::bulk::decompress(packed, length).map_err(|error| SnapshotError::Content(error.to_string()))?;
    if bytes.len() != length {
        return Err(content("it unpacks to another length than it says"));
    }
    plain(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_box_that_lies_about_what_it_unpacks_to_is_refused() {
        let zeros = vec![0; 1 << 20];
        let frame = zstd::bulk::compress(&zeros, LEVEL).unwrap();
        let lying = |length: u64| [&length.to_le_bytes(), frame.as_slice()].concat();
        for length in [0, 1, (1 << 20) - 1, (1 << 20) + 1, MAX_BYTES as u64 + 1, u64::MAX] {
            let refused = load(&sealed(VERSION, &lying(length)));
            assert!(matches!(refused, Err(SnapshotError::Content(_))), "{length}");
        }
        for body in [&[][..], &[0; 7], &[0; 8], b"12345678 no frame"] {
            assert!(matches!(load(&sealed(VERSION, body)), Err(SnapshotError::Content(_))), "{body:?}");
        }
    }
}

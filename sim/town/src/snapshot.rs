//! A town in a box: the whole state with the texts it was made from, sealed by a checksum; and the digest.
//!
//! Owns the byte layout. Bytes only: whoever writes files does so outside. A box that was cut, altered or made by another
//! version is refused by name.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::rules::{Rules, RulesError, Sources};
use crate::state::State;
use crate::town::Town;

/// First bytes of every box.
const MAGIC: &[u8; 8] = b"TOWNLET\n";
/// Version of the layout; it changes whenever [`State`] or [`Sources`] do.
pub const VERSION: u32 = 3;
/// Most bytes a box may have.
pub const MAX_BYTES: usize = 256 * 1024 * 1024;

/// Why a box was refused.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// Not ours.
    #[error("it is not a townlet snapshot: the first bytes are wrong")]
    Alien,
    /// Another layout.
    #[error("it was made by version {found} of the snapshot layout; this program reads version {VERSION}")]
    Version {
        /// What it says.
        found: u32,
    },
    /// Cut.
    #[error("it is cut short: {found} bytes where {expected} are announced")]
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

/// Packs a town: magic, version, length, content, SHA-256 of all before it.
pub fn save(town: &Town) -> Vec<u8> {
    let content = Content { sources: town.rules().sources.clone(), state: town.state().clone() };
    let content = postcard::to_stdvec(&content).expect("state is plain data");
    let mut bytes = Vec::with_capacity(content.len() + 64);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(content.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&content);
    let seal = Sha256::digest(&bytes);
    bytes.extend_from_slice(&seal);
    bytes
}

/// Unpacks a town.
///
/// # Errors
/// What is wrong with the bytes, in a sentence that fits behind the file's name.
pub fn load(bytes: &[u8]) -> Result<Town, SnapshotError> {
    const HEAD: usize = 20;
    const SEAL: usize = 32;
    if bytes.len() < HEAD || &bytes[..8] != MAGIC {
        return Err(SnapshotError::Alien);
    }
    let found = u32::from_le_bytes(bytes[8..12].try_into().expect("four bytes"));
    if found != VERSION {
        return Err(SnapshotError::Version { found });
    }
    let announced = u64::from_le_bytes(bytes[12..20].try_into().expect("eight bytes"));
    let expected = usize::try_from(announced).unwrap_or(usize::MAX).saturating_add(HEAD + SEAL);
    if bytes.len() != expected || expected > MAX_BYTES {
        return Err(SnapshotError::Truncated { found: bytes.len(), expected });
    }
    let (sealed, seal) = bytes.split_at(bytes.len() - SEAL);
    if Sha256::digest(sealed).as_slice() != seal {
        return Err(SnapshotError::Altered);
    }
    let content: Content =
        postcard::from_bytes(&sealed[HEAD..]).map_err(|error| SnapshotError::Content(error.to_string()))?;
    let rules = Arc::new(Rules::new(content.sources)?);
    Town::resume(rules, content.state).map_err(SnapshotError::Content)
}

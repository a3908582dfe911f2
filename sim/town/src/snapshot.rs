//! The snapshot file format: the state of a town with its sources, compressed and protected by a checksum. Truncated, altered
//! and foreign files are refused with the reason. Rule: "Durable state".
//!
//! Layout: magic (8 bytes), version (u32), length of the body (u64), body, SHA-256 of everything before it. The body is the
//! length of the content (u64) and the content compressed with zstd. Numbers are little-endian.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::rules::{Rules, RulesError, Sources, StoredSources};
use crate::state::State;
use crate::town::Town;

/// First bytes of a snapshot.
const MAGIC: &[u8; 8] = b"TOWNLET\n";
/// Version of the layout. It changes whenever [`State`] or [`Sources`] do.
pub const VERSION: u32 = 3;
/// Most bytes of a snapshot, compressed and uncompressed.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Most bytes of memory that the content of a snapshot takes when it is read.
const MAX_MEMORY: usize = 32 * 1024 * 1024;
/// Compression level. The tick loop waits for it, so it is a fast one.
const LEVEL: i32 = 1;
/// Bytes before the body.
const HEADER_BYTES: usize = 20;
/// Bytes after the body.
const CHECKSUM_BYTES: usize = 32;

/// Why a snapshot was refused.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// Not a snapshot.
    #[error("it is not a townlet snapshot: the first bytes are wrong")]
    Foreign,
    /// Another version.
    #[error("it has version {found} of the snapshot layout; this program reads version {VERSION}")]
    Version {
        /// The version it has.
        found: u32,
    },
    /// Truncated, or with extra bytes at the end.
    #[error("it is too {}: {found} bytes instead of {expected}", if .found < .expected { "short" } else { "long" })]
    Truncated {
        /// Its length in bytes.
        found: usize,
        /// The length its header gives.
        expected: usize,
    },
    /// The checksum does not match.
    #[error("its checksum does not match: it was altered or damaged")]
    Altered,
    /// The checksum matches, but the content is invalid.
    #[error("its content cannot be read: {0}")]
    Content(String),
    /// The sources are invalid.
    #[error("its sources are invalid: {0}")]
    Rules(#[from] RulesError),
}

/// The snapshot of a town.
pub fn save(town: &Town) -> Vec<u8> {
    save_state(town.rules(), town.state())
}

/// The snapshot of a town of which another thread has a copy.
pub fn save_state(rules: &Rules, state: &State) -> Vec<u8> {
    let content = postcard::to_extend(state, rules.encoded_sources.clone()).expect("the state is plain data");
    let compressed = zstd::bulk::compress(&content, LEVEL).expect("compression in memory does not fail");
    let mut body = (content.len() as u64).to_le_bytes().to_vec();
    body.extend_from_slice(&compressed);
    seal(&body)
}

/// Adds magic, version, length and checksum to a body.
fn seal(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len() + CHECKSUM_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
    bytes.extend_from_slice(body);
    let checksum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

/// The version in the header; `None` when it is not a snapshot.
fn version(bytes: &[u8]) -> Option<u32> {
    let (version, _) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<4>()?;
    Some(u32::from_le_bytes(*version))
}

/// The town of a snapshot.
///
/// # Errors
/// Why the bytes are refused, as a clause that follows the file's name.
pub fn load(bytes: &[u8]) -> Result<Town, SnapshotError> {
    load_with(bytes, None)
}

/// As [`load`]. A town of the same sources as `known` shares these rules, which take long to compute in a large town.
///
/// # Errors
/// As [`load`].
pub fn load_with(bytes: &[u8], known: Option<&Arc<Rules>>) -> Result<Town, SnapshotError> {
    let found = version(bytes).filter(|_| bytes.len() >= HEADER_BYTES).ok_or(SnapshotError::Foreign)?;
    if found != VERSION {
        return Err(SnapshotError::Version { found });
    }
    let length = u64::from_le_bytes(bytes[12..HEADER_BYTES].try_into().expect("eight bytes"));
    let expected = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(HEADER_BYTES + CHECKSUM_BYTES);
    if bytes.len() != expected || expected > MAX_BYTES {
        return Err(SnapshotError::Truncated { found: bytes.len(), expected });
    }
    let (before, checksum) = bytes.split_at(bytes.len() - CHECKSUM_BYTES);
    if Sha256::digest(before).as_slice() != checksum {
        return Err(SnapshotError::Altered);
    }
    let content = decompress(&before[HEADER_BYTES..])?;
    let (rules, state) = if let Some(rules) = known.filter(|rules| content.starts_with(&rules.encoded_sources)) {
        (Arc::clone(rules), decode(&content[rules.encoded_sources.len()..])?)
    } else {
        let (sources, state): (StoredSources, State) = decode(&content)?;
        drop(content);
        (Arc::new(Rules::new(Sources::try_from(sources).map_err(RulesError::Config)?)?), state)
    };
    Town::resume(rules, state).map_err(SnapshotError::Content)
}

/// A value within the memory bound of a snapshot.
fn decode<T: DeserializeOwned>(content: &[u8]) -> Result<T, SnapshotError> {
    townlet_bounded::deserialize(&mut postcard::Deserializer::from_bytes(content), MAX_MEMORY)
        .map_err(|error| SnapshotError::Content(error.to_string()))
}

/// Decompresses a body, but never more than [`MAX_BYTES`].
fn decompress(body: &[u8]) -> Result<Vec<u8>, SnapshotError> {
    let content = |what: &str| SnapshotError::Content(what.to_owned());
    let (length, compressed) = body.split_first_chunk::<8>().ok_or_else(|| content("it has no length"))?;
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if length > MAX_BYTES {
        return Err(SnapshotError::Content(format!("it states {length} bytes; a snapshot has at most {MAX_BYTES}")));
    }
    let bytes =
        zstd::bulk::decompress(compressed, length).map_err(|error| SnapshotError::Content(error.to_string()))?;
    if bytes.len() != length {
        return Err(content("its length does not match its header"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_length_of_the_content_is_refused() {
        let zeros = vec![0; 1 << 20];
        let frame = zstd::bulk::compress(&zeros, LEVEL).unwrap();
        let with_length = |length: u64| [&length.to_le_bytes(), frame.as_slice()].concat();
        for length in [0, 1, (1 << 20) - 1, (1 << 20) + 1, MAX_BYTES as u64 + 1, u64::MAX] {
            let refused = load(&seal(&with_length(length)));
            assert!(matches!(refused, Err(SnapshotError::Content(_))), "{length}");
        }
        for body in [&[][..], &[0; 7], &[0; 8], b"12345678 no frame"] {
            assert!(matches!(load(&seal(body)), Err(SnapshotError::Content(_))), "{body:?}");
        }
    }
}

//! SHA-256 digests in hex.

use sha2::{Digest as _, Sha256};

pub use townlet_text::hex;

/// SHA-256 over the parts one after the other: all 64 hex digits.
pub fn digest<T: AsRef<[u8]>>(parts: impl IntoIterator<Item = T>) -> String {
    let mut hash = Sha256::new();
    parts.into_iter().for_each(|part| hash.update(part));
    hex(&hash.finalize())
}

/// The first 32 hex digits of [`digest`].
pub fn short_digest<T: AsRef<[u8]>>(parts: impl IntoIterator<Item = T>) -> String {
    let mut digest = digest(parts);
    digest.truncate(32);
    digest
}

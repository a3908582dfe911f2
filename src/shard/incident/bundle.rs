//! A bundle: items by name, packed into one archive that unpacks to a home folder of its own.
//!
//! Owns the size, the manifest, what is blotted out and how the archive is written: whole or not at all. What goes in
//! stands in `gather`. Rule: "Incidents".

use std::io;
use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};
use townlet_town::hash::hex;

use super::redaction::SecretRedactor;
use crate::home::replace;

/// Most bytes of a bundle, packed.
pub(super) const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Most bytes of its items, unpacked: packed they are no more than that and what follows.
const MAX_UNPACKED_BYTES: usize = MOST_BYTES - 4 * 1024 * 1024;
/// How hard it packs; somebody may be waiting.
const LEVEL: i32 = 3;
/// The manifest's name.
pub(super) const MANIFEST: &str = "manifest.json";
/// The summary's name.
pub(super) const SUMMARY: &str = "SUMMARY.md";

/// One file of a bundle.
#[derive(Debug)]
struct Item {
    name: String,
    bytes: Vec<u8>,
    redacted: bool,
}

/// Something a bundle could not get, or left out.
#[derive(Clone, Debug, Serialize)]
pub(super) struct MissingItem {
    /// What.
    pub(super) item: String,
    /// Why.
    pub(super) why: String,
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    bytes: usize,
    sha256: String,
    /// Something secret was taken out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    redacted: bool,
}

/// What is packed.
#[derive(Debug, Default)]
pub(super) struct Bundle {
    items: Vec<Item>,
    lacks: Vec<MissingItem>,
    secrets: SecretRedactor,
    taken: usize,
    /// The limit, for tests smaller than [`MAX_UNPACKED_BYTES`].
    most: Option<usize>,
}

impl Bundle {
    /// An empty one that holds none of these.
    pub(super) fn without(secrets: SecretRedactor) -> Self {
        Self { secrets, ..Self::default() }
    }

    /// What may stand nowhere in it.
    pub(super) const fn secrets(&self) -> &SecretRedactor {
        &self.secrets
    }

    /// Says that something is not there, and why.
    pub(super) fn lacks(&mut self, item: impl Into<String>, why: impl Into<String>) {
        let (why, _) = self.secrets.blotted(why.into().as_bytes());
        self.lacks.push(MissingItem { item: item.into(), why: String::from_utf8_lossy(&why).into_owned() });
    }

    /// What is not there.
    pub(super) fn lacking(&self) -> &[MissingItem] {
        &self.lacks
    }

    /// Names of what is there.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.items.iter().map(|item| item.name.as_str())
    }

    /// Whether so many more bytes fit.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        (self.taken as u64).saturating_add(bytes) <= self.most.unwrap_or(MAX_UNPACKED_BYTES) as u64
    }

    /// Adds a text; secrets in it are blotted out. Answers whether it fitted.
    pub(super) fn text(&mut self, name: impl Into<String>, text: &[u8]) -> bool {
        let (bytes, redacted) = self.secrets.blotted(text);
        self.add(name.into(), bytes, redacted)
    }

    /// Adds JSON for people and programs.
    pub(super) fn json(&mut self, name: impl Into<String>, value: &impl Serialize) -> bool {
        let bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
        self.text(name, &bytes)
    }

    /// Adds bytes that cannot be blotted; with a secret in them they stay out. `redacted`: one was taken out before.
    pub(super) fn bytes(&mut self, name: impl Into<String>, bytes: Vec<u8>, redacted: bool) -> bool {
        let name = name.into();
        if self.secrets.are_in(&bytes) {
            self.lacks(name, "it holds a secret that cannot be taken out");
            return false;
        }
        self.add(name, bytes, redacted)
    }

    fn add(&mut self, name: String, bytes: Vec<u8>, redacted: bool) -> bool {
        if !self.has_room(bytes.len() as u64) {
            self.lacks(name, format!("its {} bytes would make the bundle too large", bytes.len()));
            return false;
        }
        self.taken += bytes.len();
        self.items.push(Item { name, bytes, redacted });
        true
    }

    /// Writes the archive: the summary first, then the manifest, then the rest.
    ///
    /// # Errors
    /// What the disk says; then nothing is left behind.
    pub(super) fn pack(mut self, path: &Path, id: &str, summary: &str) -> io::Result<u64> {
        let (summary, redacted) = self.secrets.blotted(summary.as_bytes());
        self.items.insert(0, Item { name: SUMMARY.into(), bytes: summary, redacted });
        let rows: Vec<Row<'_>> = self.items.iter().map(Item::row).collect();
        let manifest = serde_json::json!({ "bundle": id, "format": 1, "items": rows, "lacking": self.lacks });
        let manifest = serde_json::to_vec_pretty(&manifest)?;
        let mut tar = tar::Builder::new(zstd::stream::write::Encoder::new(Vec::new(), LEVEL)?);
        let folder = format!("townlet-{id}");
        let mut add = |name: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o600);
            header.set_entry_type(tar::EntryType::Regular);
            tar.append_data(&mut header, format!("{folder}/{name}"), bytes)
        };
        for item in &self.items {
            add(&item.name, &item.bytes)?;
            if item.name == SUMMARY {
                add(MANIFEST, &manifest)?;
            }
        }
        let packed = tar.into_inner()?.finish()?;
        replace(path, &packed)?;
        Ok(packed.len() as u64)
    }
}

impl Item {
    fn row(&self) -> Row<'_> {
        let sha256 = hex(&Sha256::digest(&self.bytes));
        Row { name: &self.name, bytes: self.bytes.len(), sha256, redacted: self.redacted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out_and_said() {
        let mut bundle = Bundle { most: Some(100), ..Bundle::default() };
        assert!(bundle.text("newest", &[b'a'; 60]) && !bundle.text("older", &[b'b'; 60]));
        assert!(bundle.text("small", b"c") && bundle.has_room(39) && !bundle.has_room(40));
        assert_eq!(bundle.names().collect::<Vec<_>>(), ["newest", "small"]);
        assert!(bundle.lacking()[0].item == "older" && bundle.lacking()[0].why.contains("60 bytes"));
    }

    #[test]
    fn it_unpacks_to_what_the_manifest_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.tar.zst");
        let mut bundle = Bundle::default();
        bundle.text("a/b.txt", b"twn_ab12_0123456789 is out");
        bundle.bytes("c.bin", b"twn_ab12_0123456789".to_vec(), false);
        assert_eq!(bundle.pack(&path, "one", "# S").unwrap(), std::fs::metadata(&path).unwrap().len());
        let unpacked = zstd::stream::decode_all(std::fs::File::open(&path).unwrap()).unwrap();
        tar::Archive::new(&*unpacked).unpack(folder.path()).unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join("townlet-one").join(name)).unwrap();
        assert_eq!((read("a/b.txt"), read(SUMMARY)), ("(redacted) is out".into(), "# S".into()));
        let manifest: serde_json::Value = serde_json::from_str(&read(MANIFEST)).unwrap();
        let item = &manifest["items"][1];
        assert_eq!((&item["name"], &item["redacted"]), (&"a/b.txt".into(), &true.into()));
        assert_eq!(item["sha256"], hex(&Sha256::digest(read("a/b.txt"))));
        assert_eq!(manifest["lacking"][0]["item"], "c.bin");
    }
}

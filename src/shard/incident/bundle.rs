//! An incident bundle: named items in an archive that unpacks to a home folder, with a manifest. Limits the size, redacts
//! secrets and writes atomically. Rule: "Incidents".

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use super::redaction::SecretRedactor;
use super::replay;
use townlet_files::write_atomically;
use townlet_wire::sha256;

/// Maximum size of a packed bundle in bytes.
pub(super) const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Maximum size of the unpacked items in bytes; leaves room for manifest and summary.
const MAX_UNPACKED_BYTES: usize = MAX_BYTES - 4 * 1024 * 1024;
/// zstd level; low, because an operator may be waiting.
const LEVEL: i32 = 3;
pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const SUMMARY: &str = "SUMMARY.md";

#[derive(Debug)]
struct Item {
    name: String,
    bytes: Vec<u8>,
    /// Whether secrets were removed.
    redacted: bool,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct MissingItem {
    pub(super) item: String,
    pub(super) why: String,
}

#[derive(Debug, Default)]
pub(super) struct Bundle {
    items: Vec<Item>,
    pub(super) missing: Vec<MissingItem>,
    pub(super) secrets: SecretRedactor,
    taken: usize,
    /// The limit, for tests smaller than [`MAX_UNPACKED_BYTES`].
    most: Option<usize>,
}

impl Bundle {
    /// An empty bundle that must not contain these secrets.
    pub(super) fn without(secrets: SecretRedactor) -> Self {
        Self { secrets, ..Self::default() }
    }

    pub(super) fn add_missing(&mut self, item: impl Into<String>, why: impl Into<String>) {
        let (why, _) = self.secrets.redact(why.into().as_bytes());
        self.missing.push(MissingItem { item: item.into(), why: String::from_utf8_lossy(&why).into_owned() });
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.items.iter().map(|item| item.name.as_str())
    }

    pub(super) fn has_room(&self, bytes: u64) -> bool {
        (self.taken as u64).saturating_add(bytes) <= self.most.unwrap_or(MAX_UNPACKED_BYTES) as u64
    }

    /// Adds a text without secrets. Returns whether it fitted.
    pub(super) fn text(&mut self, name: impl Into<String>, text: &[u8]) -> bool {
        let (bytes, redacted) = self.secrets.redact(text);
        self.add(name.into(), bytes, redacted)
    }

    pub(super) fn json(&mut self, name: impl Into<String>, value: &impl Serialize) -> bool {
        let bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
        self.text(name, &bytes)
    }

    /// Adds binary content, unless it contains a secret. `redacted` says that secrets were removed before.
    pub(super) fn bytes(&mut self, name: impl Into<String>, bytes: Vec<u8>, redacted: bool) -> bool {
        let name = name.into();
        if self.secrets.found_in(&bytes) {
            self.add_missing(name, "it contains a secret that cannot be removed");
            return false;
        }
        self.add(name, bytes, redacted)
    }

    fn add(&mut self, name: String, bytes: Vec<u8>, redacted: bool) -> bool {
        if !self.has_room(bytes.len() as u64) {
            self.add_missing(name, format!("its {} bytes would make the bundle too large", bytes.len()));
            return false;
        }
        self.taken += bytes.len();
        self.items.push(Item { name, bytes, redacted });
        true
    }

    /// Writes the archive: summary, manifest, items. Returns its size in bytes.
    pub(super) fn pack(mut self, path: &Path, id: &str, summary: &str) -> io::Result<u64> {
        let (summary, redacted) = self.secrets.redact(summary.as_bytes());
        self.items.insert(0, Item { name: SUMMARY.into(), bytes: summary, redacted });
        let row = |Item { name, bytes, redacted }: &Item| {
            let mut row = json!({ "name": name, "bytes": bytes.len(), "sha256": sha256(bytes) });
            if *redacted {
                row["redacted"] = json!(true);
            }
            row
        };
        let rows: Vec<Value> = self.items.iter().map(row).collect();
        let manifest = json!({ "bundle": id, "format": 1, "items": rows, "missing": self.missing });
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
        write_atomically(path, &packed)?;
        Ok(packed.len() as u64)
    }
}

/// Largest window of a packed file as a power of two: 8 MiB, the largest of the levels up to 19. Unpacking takes as much memory.
pub(crate) const WINDOW_LOG: u32 = 23;
/// Longest name of an item in bytes.
const MAX_NAME_BYTES: u64 = 4_096;

/// First bytes of a bundle, those of zstd.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Whether a file is packed as bundles are.
pub fn is_bundle(path: &Path) -> bool {
    let mut magic = [0; 4];
    townlet_files::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == MAGIC
}

/// Calls `visit` with the name of each item below the bundle's own folder, its size and its content, until it returns a value.
/// Everything that the bundle states is checked before memory is taken.
pub(super) fn find_item<T>(
    path: &Path,
    mut visit: impl FnMut(&Path, u64, &mut dyn Read) -> io::Result<Option<T>>,
) -> io::Result<Option<T>> {
    let mut packed = zstd::stream::read::Decoder::new(townlet_files::open(path)?)?;
    packed.window_log_max(WINDOW_LOG)?;
    let mut tar = tar::Archive::new(packed.take(MAX_BYTES as u64));
    // Raw entries, because the library would take any memory for a long name.
    let mut long_name = None;
    for entry in tar.entries()?.raw(true) {
        let mut entry = entry?;
        let size = entry.size();
        if entry.header().entry_type().is_gnu_longname() {
            if size > MAX_NAME_BYTES {
                return refused(format!("it states a name of {size} bytes; a name has at most {MAX_NAME_BYTES}"));
            }
            let mut name = String::new();
            entry.read_to_string(&mut name)?;
            long_name = Some(PathBuf::from(name.trim_end_matches('\0')));
            continue;
        }
        let name = match long_name.take() {
            Some(name) => name,
            None => entry.path()?.into_owned(),
        };
        if let Some(found) = visit(&name.components().skip(1).collect::<PathBuf>(), size, &mut entry)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn refused<T>(why: String) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidData, why))
}

/// The replay in a bundle, whose name there is `item`.
pub(super) fn read_replay(path: &Path, item: &str) -> io::Result<Vec<u8>> {
    let found = find_item(path, |name, size, content| {
        if name != Path::new(item) {
            return Ok(None);
        }
        if size > replay::MAX_BYTES as u64 {
            return refused(format!("it states {size} bytes for {item}, which has at most {}", replay::MAX_BYTES));
        }
        let mut bytes = Vec::with_capacity(size as usize);
        content.read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    })?;
    let missing =
        || io::Error::new(io::ErrorKind::NotFound, format!("the bundle holds no {item}; its manifest says why"));
    found.ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_that_do_not_fit_are_listed_as_missing() {
        let mut bundle = Bundle { most: Some(100), ..Bundle::default() };
        assert!(bundle.text("newest", &[b'a'; 60]) && !bundle.text("older", &[b'b'; 60]));
        assert!(bundle.text("small", b"c") && bundle.has_room(39) && !bundle.has_room(40));
        assert_eq!(bundle.names().collect::<Vec<_>>(), ["newest", "small"]);
        assert!(bundle.missing[0].item == "older" && bundle.missing[0].why.contains("60 bytes"));
    }

    #[test]
    fn it_unpacks_to_the_items_of_the_manifest() {
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
        assert_eq!(item["sha256"], sha256(read("a/b.txt").as_bytes()));
        assert_eq!(manifest["missing"][0]["item"], "c.bin");
    }
}

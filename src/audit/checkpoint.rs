//! Signed checkpoints: number and hash of a line of a run, as a note that others can keep.
//!
//! The text is a signed note of transparency logs (C2SP `signed-note`, with the lines of `tlog-checkpoint`):
//!
//! ```text
//! townlet/harbour/harbour-20261127-204245-3f2a1b
//! 412
//! qLkD…base64 of the hash…=
//!
//! — townlet/harbour base64(4 bytes of key id, then 64 bytes of Ed25519 signature)
//! ```
//!
//! The key is beside the shard's tokens. It shows which shard a checkpoint came from; what makes a rewritten log visible is that
//! somebody else has kept the checkpoint.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::chain::sync_dir;
use super::log_files::{Head, Lines, bytes_of, head_name, is_run_id, run_files};
use super::record::Record;
use super::seal::unhex;
use townlet_wire::{hex, sha256};

/// Begins the origin of a checkpoint.
const ORIGIN: &str = "townlet/";
/// Begins the line of a signature.
const SIGNATURE: &str = "— ";
/// The signature algorithm of a key, as in `signed-note`.
const ALGORITHM: u8 = 1;
/// Largest note read, in bytes.
const MAX_NOTE: usize = 4_096;

/// A line of a run, by number and hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The shard's name, reduced to letters, digits, `-`, `_` and `.`.
    pub shard: String,
    /// The run.
    pub run_id: String,
    /// The number of the line; 0 before the first.
    pub seq: u64,
    /// Its hash in hex.
    pub hash: String,
}

/// A shard's name as it stands in notes.
fn note_name(shard: &str) -> String {
    let plain = |it: char| if it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | '.') { it } else { '_' };
    shard.chars().map(plain).collect()
}

impl Checkpoint {
    /// The signed part of the note.
    fn body(&self) -> String {
        let hash = STANDARD.encode(unhex(&self.hash).unwrap_or_default());
        format!("{ORIGIN}{}/{}\n{}\n{hash}\n", self.shard, self.run_id, self.seq)
    }

    /// Reads a note without checking its signatures.
    pub fn parse(note: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("not a checkpoint: {what}.");
        if note.len() > MAX_NOTE {
            return Err(wrong("it is too long"));
        }
        let (body, _) = note.split_once("\n\n").ok_or_else(|| wrong("no empty line precedes the signature"))?;
        let mut lines = body.lines();
        let origin = lines.next().and_then(|line| line.strip_prefix(ORIGIN));
        let (shard, run_id) = origin
            .and_then(|origin| origin.split_once('/'))
            .filter(|(shard, run_id)| note_name(shard) == **shard && is_run_id(run_id))
            .ok_or_else(|| wrong("the first line is not `townlet/SHARD/RUN`"))?;
        let seq = lines.next().and_then(|line| line.parse().ok().filter(|seq: &u64| seq.to_string() == line));
        let seq = seq.ok_or_else(|| wrong("the second line is not the number of a line"))?;
        let hash = lines.next().and_then(|line| STANDARD.decode(line).ok()).filter(|hash| hash.len() == 32);
        let hash = hash.ok_or_else(|| wrong("the third line is not the hash of a line in base64"))?;
        let hash = hex(&hash);
        Ok(Self { shard: shard.to_owned(), run_id: run_id.to_owned(), seq, hash })
    }
}

/// A public key in the form of `signed-note`: `NAME+KEY_ID+BASE64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    key: [u8; 32],
}

impl PublicKey {
    /// Name of the shard, as it stands in its checkpoints.
    pub fn shard(&self) -> &str {
        self.name.strip_prefix(ORIGIN).unwrap_or_default()
    }

    /// Whether it is the key of a shard of this name.
    pub fn is_of(&self, shard: &str) -> bool {
        self.shard() == note_name(shard)
    }

    fn id(&self) -> String {
        let named = [self.name.as_bytes(), b"\n", &[ALGORITHM], &self.key].concat();
        sha256(&named)[..8].to_owned()
    }

    /// Parses the text form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "not a public key of a shard: expected `NAME+KEY_ID+BASE64`.".to_owned();
        let mut parts = text.trim().splitn(3, '+');
        let (name, id, key) =
            (parts.next().ok_or_else(wrong)?, parts.next().ok_or_else(wrong)?, parts.next().ok_or_else(wrong)?);
        let bytes = STANDARD.decode(key).map_err(|_| wrong())?;
        let bytes = bytes.strip_prefix(&[ALGORITHM]).ok_or_else(wrong)?;
        let key = Self { name: name.to_owned(), key: bytes.try_into().map_err(|_| wrong())? };
        if key.id() == id && name.starts_with(ORIGIN) { Ok(key) } else { Err(wrong()) }
    }

    /// Checks the signature of a note and reads it.
    pub fn open(&self, note: &str) -> Result<Checkpoint, String> {
        let checkpoint = Checkpoint::parse(note)?;
        if self.shard() != checkpoint.shard {
            return Err(format!("the checkpoint is of `{}`, and the key of `{}`.", checkpoint.shard, self.name));
        }
        let id = unhex(&self.id()).unwrap_or_default();
        let (_, signatures) = note.split_once("\n\n").unwrap_or_default();
        let fits = signatures.lines().any(|line| {
            let signature = line.strip_prefix(SIGNATURE).and_then(|line| line.strip_prefix(self.name.as_str()));
            let signature = signature.and_then(|it| STANDARD.decode(it.trim_start()).ok()).unwrap_or_default();
            let key = UnparsedPublicKey::new(&ED25519, &self.key);
            let signed = signature.strip_prefix(id.as_slice());
            signed.is_some_and(|signed| key.verify(checkpoint.body().as_bytes(), signed).is_ok())
        });
        if fits { Ok(checkpoint) } else { Err(format!("the checkpoint is not signed with the key {self}.")) }
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = STANDARD.encode([&[ALGORITHM], self.key.as_slice()].concat());
        write!(f, "{}+{}+{key}", self.name, self.id())
    }
}

/// The key with which a shard signs its checkpoints.
pub struct CheckpointKey {
    shard: String,
    pair: Ed25519KeyPair,
}

impl CheckpointKey {
    /// Opens the key of a shard, and makes it if there is none. A file that other users can read, change or replace is refused.
    pub fn open(path: &Path, shard: &str) -> Result<Self, String> {
        if let Some(key) = Self::find(path, shard)? {
            return Ok(key);
        }
        create(path).map_err(|error| say(path, error))?;
        Self::find(path, shard)?.ok_or_else(|| say(path, "it was removed"))
    }

    /// Opens the key of a shard; `None` if there is none.
    pub fn find(path: &Path, shard: &str) -> Result<Option<Self>, String> {
        let mut text = String::new();
        match townlet_files::open_private(path).and_then(|mut file| io::Read::read_to_string(&mut file, &mut text)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(say(path, error)),
        }
        let bytes = STANDARD.decode(text.trim()).map_err(|_| say(path, "it is no checkpoint key"))?;
        let pair = Ed25519KeyPair::from_pkcs8(&bytes).map_err(|_| say(path, "it is no checkpoint key"))?;
        Ok(Some(Self { shard: note_name(shard), pair }))
    }

    /// The public key.
    pub fn public(&self) -> PublicKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey { name: format!("{ORIGIN}{}", self.shard), key }
    }

    /// The signed note on a line of a run.
    pub fn sign(&self, run_id: &str, seq: u64, hash: &str) -> String {
        let checkpoint =
            Checkpoint { shard: self.shard.clone(), run_id: run_id.to_owned(), seq, hash: hash.to_owned() };
        let (body, public) = (checkpoint.body(), self.public());
        let signature = self.pair.sign(body.as_bytes());
        let signed = [unhex(&public.id()).unwrap_or_default().as_slice(), signature.as_ref()].concat();
        format!("{body}\n{SIGNATURE}{} {}\n", public.name, STANDARD.encode(signed))
    }
}

fn say(path: &Path, why: impl std::fmt::Display) -> String {
    format!("{}: {why}", path.display())
}

/// Makes a key file, unless another process has made it meanwhile.
fn create(path: &Path) -> io::Result<()> {
    let folder = townlet_files::folder_of(path);
    townlet_files::create_folder_of(path)?;
    let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
    let made = made.map_err(|_| io::Error::other("the system gives no random numbers"))?;
    let fresh = path.with_added_extension(format!("{}.part", std::process::id()));
    drop(std::fs::remove_file(&fresh));
    let mut file = townlet_files::owner_only(OpenOptions::new().write(true).create_new(true)).open(&fresh)?;
    writeln!(file, "{}", STANDARD.encode(made.as_ref()))?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&fresh, path);
    std::fs::remove_file(&fresh)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_dir(folder),
    }
}

/// A line of a run, by number and hash, if it is durable: the newest one, or the one with this number. The error of a run or a line
/// that does not exist is [`io::ErrorKind::NotFound`]. Reads at most one segment.
pub fn durable_line(dir: &Path, run_id: &str, at: Option<u64>) -> io::Result<(u64, String)> {
    let missing = |why: String| io::Error::new(io::ErrorKind::NotFound, why);
    let no_run = || missing(format!("there is no run `{}`.", townlet_wire::escape(run_id)));
    let name = Some(head_name(run_id)).filter(|_| is_run_id(run_id)).ok_or_else(no_run)?;
    let head = bytes_of(&dir.join(name))?.ok_or_else(no_run)?;
    let head = Head::parse(&head).map_err(io::Error::other)?;
    let Some(at) = at.filter(|at| *at != head.seq) else { return Ok((head.seq, head.hash)) };
    if at > head.seq || at == 0 {
        return Err(missing(format!("run `{run_id}` has the lines 1 to {}, and no line {at}.", head.seq)));
    }
    for name in run_files(dir, run_id)?.segments.values().rev() {
        let mut lines = Lines::open(&dir.join(name))?;
        let Some(first) = lines.next().transpose()? else { continue };
        let first = Record::parse(&first.bytes).map_err(io::Error::other)?;
        if first.seq == at {
            return Ok((at, first.hash));
        }
        if first.seq < at {
            let line = lines.nth(usize::try_from(at - first.seq - 1).unwrap_or(usize::MAX)).transpose()?;
            let record = line.map(|line| Record::parse(&line.bytes)).transpose().map_err(io::Error::other)?;
            let record = record.filter(|record| record.seq == at);
            return record.map(|record| (at, record.hash)).ok_or_else(|| missing(format!("line {at} is missing.")));
        }
    }
    Err(missing(format!("line {at} is missing.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_signed_by_its_shard_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ops/harbour.checkpoint-key");
        let key = CheckpointKey::open(&path, "harbour").unwrap();
        let again = CheckpointKey::open(&path, "harbour").unwrap().public();
        assert_eq!(key.public(), again, "the key is kept");
        let hash = sha256(b"line");
        let note = key.sign("harbour-1", 7, &hash);
        assert_eq!(note.lines().count(), 5, "{note}");
        assert!(
            note.starts_with("townlet/harbour/harbour-1\n7\n") && note.contains("\n\n— townlet/harbour "),
            "{note}"
        );
        let public = PublicKey::parse(&again.to_string()).unwrap();
        let read = public.open(&note).unwrap();
        assert_eq!((read.run_id.as_str(), read.seq, &read.hash), ("harbour-1", 7, &hash));
        let other = CheckpointKey::open(&folder.path().join("other"), "harbour").unwrap();
        assert!(other.public().open(&note).unwrap_err().contains("not signed"));
        for (from, to) in
            [("\n7\n", "\n8\n"), ("harbour-1", "harbour-2"), ("— ", "- "), ("townlet/harbour/", "townlet/har/")]
        {
            assert!(public.open(&note.replacen(from, to, 1)).is_err(), "{from} as {to}");
        }
    }

    #[test]
    fn text_that_is_no_checkpoint_says_what_is_wrong() {
        let note = "townlet/a/r-1\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n— x\n";
        assert!(Checkpoint::parse(note).is_ok());
        for (from, to, words) in [
            ("townlet/", "other/", "first line"),
            ("a/r-1", "a/../r", "first line"),
            ("\n7\n", "\n07\n", "second line"),
            ("AAAA", "AA", "third line"),
            ("\n\n", "\n", "empty line"),
        ] {
            assert!(Checkpoint::parse(&note.replacen(from, to, 1)).unwrap_err().contains(words), "{from} as {to}");
        }
        assert!(Checkpoint::parse(&format!("{note}{}", "x".repeat(MAX_NOTE))).unwrap_err().contains("too long"));
        assert!(PublicKey::parse("a+b").is_err() && PublicKey::parse("townlet/a+00000000+AAAA").is_err());
    }

    #[test]
    #[cfg(unix)]
    fn a_key_that_others_can_read_or_replace_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ops/key");
        CheckpointKey::open(&path, "a").unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for (file, ops, words) in [(0o640, 0o755, "chmod 600"), (0o600, 0o777, "chmod go-w")] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(file)).unwrap();
            std::fs::set_permissions(path.parent().unwrap(), std::fs::Permissions::from_mode(ops)).unwrap();
            let Err(why) = CheckpointKey::open(&path, "a") else { panic!("opened") };
            assert!(why.contains(words), "{why}");
        }
    }
}

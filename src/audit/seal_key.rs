//! The sealing key of a home on disk: made once, stepped at every seal, the key before erased.
//!
//! **Crash consistency.** A seal takes these steps, under a lock that all runs of the home share:
//!
//! 1. The log is synced, so that the line to be sealed is durable.
//! 2. The key file is replaced by one with the next key *and the seal itself* as pending. The file before is overwritten with
//!    zeros and removed.
//! 3. The `seal` line is appended and synced.
//! 4. The key file is written without the pending seal.
//!
//! A crash before the rename of step 2 leaves the old key; its seal was seen by nobody, because it was only in the temporary file,
//! which is as secret as the key. A crash between 2 and 4 leaves the seal in the key file: the next opening of any log of the home
//! writes it down as it is, twice at worst, and an equal seal twice says nothing new. So a number is never missing after a crash
//! (no false alarm), and a key never makes a second seal (nothing else can be put in the place of the first). The order cannot be
//! turned round: a line before the step could be torn, and its key would have to seal another content.
//!
//! A crash during the erasure leaves `seal.old` or `seal.part`; opening the key erases both. Overwriting is what a program can do;
//! file systems that copy on write, snapshots and flash may keep old blocks.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::chain::sync_dir;
use super::log_files::{Head, bytes_of, head_name};
use super::record::VERSION;
use super::seal::{Cause, Seal, StepKey, VerificationKey};
use super::verify;

/// Interval at which a held lock is tried again.
const LOCK_RETRY: Duration = Duration::from_millis(5);
/// How long a person waits for a sealing of another process.
const PATIENCE: Duration = Duration::from_secs(5);

/// The content of a key file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyState {
    v: u32,
    key_id: String,
    /// When the key was made.
    made: String,
    /// The number of the next seal.
    number: u64,
    /// The key of the next seal.
    key: String,
    /// Seals that may not be in a log yet.
    pending: Vec<Seal>,
}

/// The opened and locked key file of a home.
pub(crate) struct SealKey {
    path: PathBuf,
    _lock: File,
    state: KeyState,
}

/// The state of a home's sealing key, without the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SealKeyStatus {
    /// Id of the verification key.
    pub key_id: String,
    /// When the key was made.
    pub made: String,
    /// Seals made so far.
    pub seals: u64,
    /// Seals that are in the key file and not yet in a log.
    pub pending: usize,
}

/// What verification needs of a key file.
pub(crate) struct KeyPosition {
    pub(crate) key_id: String,
    pub(crate) made: String,
    pub(crate) number: u64,
    pub(crate) key: Option<StepKey>,
    pub(crate) pending: Vec<Seal>,
}

fn say(path: &Path, why: impl std::fmt::Display) -> String {
    format!("{}: {why}", path.display())
}

/// Waits for the lock of the key file at most this long.
fn lock(path: &Path, patience: Duration) -> Result<File, String> {
    let path = path.with_extension("lock");
    let mut options = OpenOptions::new();
    let options = townlet_files::owner_only(options.write(true).create(true).truncate(false));
    let file = townlet_files::open_own(&path, options).map_err(|error| say(&path, error))?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(std::fs::TryLockError::WouldBlock) if began.elapsed() < patience => std::thread::sleep(LOCK_RETRY),
            Err(std::fs::TryLockError::WouldBlock) => return Err(say(&path, "another process is sealing")),
            Err(std::fs::TryLockError::Error(error)) => return Err(say(&path, error)),
        }
    }
}

/// Reads the state; `None` if there is no file.
fn read(path: &Path) -> Result<Option<KeyState>, String> {
    let mut file = match townlet_files::open_own(path, OpenOptions::new().read(true)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(say(path, error)),
    };
    if townlet_files::is_open_to_others(&file).map_err(|error| say(path, error))? {
        let what = "other users can read or write it. Run `chmod 600` on it, and make a new key with `townlet audit seal setup \
                    --replace` if it may have leaked";
        return Err(say(path, what));
    }
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut file, &mut bytes).map_err(|error| say(path, error))?;
    let state: KeyState =
        serde_json::from_slice(&bytes).map_err(|error| say(path, format!("it is no sealing key: {error}")))?;
    if state.v != VERSION || StepKey::of_hex(&state.key).is_none() {
        return Err(say(path, "it is no sealing key of this version"));
    }
    Ok(Some(state))
}

/// Overwrites a file with zeros and removes it, if it is there.
fn erase(path: &Path) -> io::Result<()> {
    let mut file = match townlet_files::open_own(path, OpenOptions::new().write(true)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // A link in its place: the link goes, its target is not touched.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => return std::fs::remove_file(path),
        Err(error) => return Err(error),
    };
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(0);
    file.write_all(&vec![0; length])?;
    file.sync_all()?;
    std::fs::remove_file(path)
}

impl SealKey {
    /// Opens the key and locks it until it is dropped; `None` if the home has none. Erases what a crash left.
    pub(crate) fn open(path: &Path, patience: Duration) -> Result<Option<Self>, String> {
        // Without a key nothing is created, not even the lock.
        match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            _ => {}
        }
        let held = lock(path, patience)?;
        for left in [path.with_extension("part"), path.with_extension("old")] {
            erase(&left).map_err(|error| say(&left, error))?;
        }
        Ok(read(path)?.map(|state| Self { path: path.to_owned(), _lock: held, state }))
    }

    /// Seals that may not be in a log yet, because a crash interrupted their writing.
    pub(crate) fn pending(&self) -> &[Seal] {
        &self.state.pending
    }

    pub(crate) fn key_id(&self) -> &str {
        &self.state.key_id
    }

    /// Makes a seal and steps the key: the seal is pending and the key it was made with is erased when this returns.
    pub(crate) fn seal(&mut self, seal: Seal) -> Result<Seal, String> {
        let made = self.step(seal)?;
        self.state.pending = vec![made.clone()];
        self.save()?;
        Ok(made)
    }

    fn step(&mut self, seal: Seal) -> Result<Seal, String> {
        let key = StepKey::of_hex(&self.state.key).ok_or_else(|| say(&self.path, "it is no sealing key"))?;
        let made = key.seal(Seal { key_id: self.state.key_id.clone(), number: self.state.number, ..seal });
        self.state.number += 1;
        self.state.key = key.next().to_hex();
        Ok(made)
    }

    /// Notes that every pending seal is durable in a log.
    pub(crate) fn written(&mut self) -> Result<(), String> {
        self.state.pending.clear();
        self.save()
    }

    /// Replaces the key file and erases the one before.
    fn save(&self) -> Result<(), String> {
        replace(&self.path, &self.state).map_err(|error| say(&self.path, error))
    }
}

fn replace(path: &Path, state: &KeyState) -> io::Result<()> {
    let folder = townlet_files::folder_of(path);
    let (fresh, old) = (path.with_extension("part"), path.with_extension("old"));
    erase(&fresh)?;
    erase(&old)?;
    let mut file = townlet_files::owner_only(OpenOptions::new().write(true).create_new(true)).open(&fresh)?;
    let mut text = serde_json::to_string(state).map_err(io::Error::other)?;
    text.push('\n');
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    match std::fs::hard_link(path, &old) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::rename(&fresh, path)?;
    sync_dir(folder)?;
    erase(&old)?;
    sync_dir(folder)
}

/// Makes the sealing key of a home. Every run in `logs` is sealed as it is now; the next run to start writes these seals down.
/// Returns the verification key, which is stored nowhere. An existing key is refused unless `replace` is given.
pub fn set_up(path: &Path, logs: &Path, replace_key: bool) -> Result<VerificationKey, String> {
    let folder = townlet_files::folder_of(path);
    std::fs::create_dir_all(folder).map_err(|error| say(folder, error))?;
    let held = lock(path, PATIENCE)?;
    if std::fs::symlink_metadata(path).is_ok() && !replace_key {
        return Err(say(
            path,
            "this home has a sealing key already. Its seals can only be proven with its own verification key. Pass `--replace` \
             to make another; keep the old verification key for the lines before",
        ));
    }
    // A damaged or open key is what `--replace` is for.
    let before = read(path).ok().flatten();
    let key = VerificationKey::new()?;
    let now = format!("{:.3}", jiff::Timestamp::now());
    let state = KeyState {
        v: VERSION,
        key_id: key.id(),
        made: now.clone(),
        number: 1,
        key: key.first().to_hex(),
        pending: before.map(|before| before.pending).unwrap_or_default(),
    };
    let mut file = SealKey { path: path.to_owned(), _lock: held, state };
    for (run_id, seq, hash) in durable_ends(logs).map_err(|error| say(logs, error))? {
        let (from, cause) = (1, Cause::Setup);
        let seal = Seal {
            run_id,
            from,
            seq,
            hash,
            at: now.clone(),
            cause,
            key_id: String::new(),
            number: 0,
            mac: String::new(),
        };
        let made = file.step(seal)?;
        file.state.pending.push(made);
    }
    file.save()?;
    Ok(key)
}

/// The last durable line of every run that has lines.
fn durable_ends(logs: &Path) -> io::Result<Vec<(String, u64, String)>> {
    if !logs.is_dir() {
        return Ok(Vec::new());
    }
    let report = verify::verify(logs)?;
    let mut ends = Vec::new();
    for run in report.runs.into_iter().filter(|run| run.seq > 0) {
        // A live run may hold lines that are not durable yet.
        let head = bytes_of(&logs.join(head_name(&run.run_id)))?.and_then(|bytes| Head::parse(&bytes).ok());
        let (seq, hash) =
            head.filter(|head| head.seq < run.seq).map_or((run.seq, run.hash), |head| (head.seq, head.hash));
        if seq > 0 {
            ends.push((run.run_id, seq, hash));
        }
    }
    Ok(ends)
}

/// The state of a home's sealing key; `None` if it has none.
pub fn seal_status(path: &Path) -> Result<Option<SealKeyStatus>, String> {
    let state = read(path)?;
    Ok(state.map(|state| SealKeyStatus {
        key_id: state.key_id,
        made: state.made,
        seals: state.number - 1,
        pending: state.pending.len(),
    }))
}

/// Reads a key file for verification, without its lock.
pub(crate) fn position(path: &Path) -> Result<Option<KeyPosition>, String> {
    Ok(read(path)?.map(|state| KeyPosition {
        key_id: state.key_id,
        made: state.made,
        number: state.number,
        key: StepKey::of_hex(&state.key),
        pending: state.pending,
    }))
}

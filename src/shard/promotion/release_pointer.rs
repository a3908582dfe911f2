//! The release pointer: one small file that says which policy is a shard's release, and how it came to that.
//!
//! Owns the file, its lock and that it is whole at any moment: release, promotion and history change together or not at
//! all, so a crash anywhere leaves exactly one release. Knows no policy. Rule: "Stability, promotion, rollback".

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use townlet_town::Rules;
use townlet_town::config::Config;
use townlet_town::hash::hex;

use super::state_machine::{ConfigFingerprint, Machine};
use crate::home::{replace, slug};
use crate::policies::{Loaded, PolicyCatalog, PolicyError};

/// What the file says first.
const FORMAT: &str = "townlet-release-2";
/// What it said before it was sealed.
const UNSEALED: &str = "townlet-release-1";

/// Why a release pointer is not followed. Nothing runs then, and nothing is written.
#[derive(Debug, Error)]
#[error(
    "{}: {why}. To begin again with `policy.release`, move the file away.", path.display()
)]
pub struct ReleasePointerError {
    path: PathBuf,
    why: String,
}

/// The file's content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Content {
    format: String,
    /// SHA-256 of the rest as it is written, in hex.
    #[serde(default)]
    seal: String,
    shard: String,
    config_id: String,
    observations: String,
    #[serde(flatten)]
    pub(super) machine: Machine,
}

impl Content {
    fn text(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("plain values");
        text + "\n"
    }

    /// As it is written.
    fn sealed(mut self) -> String {
        self.seal.clear();
        self.seal = sealed(&self.text());
        self.text()
    }

    /// Whether the text that it was read from is what was written, to the byte.
    fn is_whole(&self, text: &str) -> bool {
        if self.seal.is_empty() {
            return self.format == UNSEALED;
        }
        sealed(&text.replacen(&self.seal, "", 1)) == self.seal
    }
}

fn sealed(text: &str) -> String {
    hex(&Sha256::digest(text))
}

/// A pointer that was read.
#[derive(Clone, Debug)]
pub(crate) struct ReleasePointer {
    path: PathBuf,
    pub(super) content: Content,
}

impl ReleasePointer {
    /// The pointer of the shard that these rules are for; `None` when there is none yet.
    ///
    /// # Errors
    /// When it is damaged, or made for another configuration or other observations.
    pub(crate) fn read(home: &Path, rules: &Rules) -> Result<Option<Self>, ReleasePointerError> {
        let path = path(home, &rules.config);
        let refused = |why: String| ReleasePointerError { path: path.clone(), why };
        let text = match townlet_files::text(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refused(error.to_string())),
        };
        let content: Content =
            serde_json::from_str(&text).map_err(|error| refused(format!("it is no release pointer: {error}")))?;
        if ![FORMAT, UNSEALED].contains(&content.format.as_str()) {
            return Err(refused(format!("its format is `{}`; this program reads `{FORMAT}`", content.format)));
        }
        if !content.is_whole(&text) {
            return Err(refused("it was altered: its seal does not fit the rest".into()));
        }
        let pointer = Self { path: path.clone(), content };
        let rows = [
            ("config_id", &pointer.content.config_id, &rules.config.config_id),
            ("observations", &pointer.content.observations, &variant(rules)),
        ];
        // Before the first promotion it points nowhere, and whoever was judged starts over.
        if pointer.release().is_some() {
            for (what, found, wanted) in rows {
                if found != wanted {
                    let release = pointer.content.machine.release();
                    let why = format!("the release `{release}` is for {what} `{found}`; this town has `{wanted}`");
                    return Err(refused(why));
                }
            }
        }
        Ok(Some(pointer))
    }

    /// The release that was made; `None` while it is the configuration's.
    pub(crate) fn release(&self) -> Option<&str> {
        self.content.machine.since().map(|_| self.content.machine.release())
    }

    /// Loads a policy that the pointer names.
    ///
    /// # Errors
    /// Why not, with the pointer's file.
    pub(crate) fn load(&self, policies: &PolicyCatalog, name: &str, rules: &Rules) -> Result<Loaded, PolicyError> {
        policies.load(name, rules).map_err(|error| {
            let why = format!("the release `{name}` cannot drive this town: {error}").trim_end_matches('.').to_owned();
            ReleasePointerError { path: self.path.clone(), why }.into()
        })
    }
}

/// Where the pointer stands.
pub(super) fn path(home: &Path, config: &Config) -> PathBuf {
    home.join(&config.policy.release_dir).join(format!("{}.release.json", slug(&config.shard)))
}

/// `full`, `hybrid` or `compact`.
fn variant(rules: &Rules) -> String {
    townlet_town::observations::layout(rules.config.features.systems.observations).name.to_owned()
}

/// What a town with these rules is made from.
pub(super) fn ground(rules: &Rules) -> ConfigFingerprint {
    let layout = townlet_town::observations::layout_hash(rules.config.features.systems.observations);
    ConfigFingerprint { config: townlet_learn::checkpoint::training_hash(rules), layout: layout.to_owned() }
}

/// The file as one process writes it, once it has claimed it.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    shard: String,
    config_id: String,
    observations: String,
    lock: Option<File>,
    /// As it was read when this run began.
    known: Option<Content>,
}

impl Writer {
    /// For the shard of these rules, which found this pointer.
    pub(super) fn new(home: &Path, rules: &Rules, known: Option<&ReleasePointer>) -> Self {
        Self {
            path: path(home, &rules.config),
            shard: rules.config.shard.clone(),
            config_id: rules.config.config_id.clone(),
            observations: variant(rules),
            lock: None,
            known: known.map(|pointer| pointer.content.clone()),
        }
    }

    /// Whether this run decides about the release.
    pub(super) fn is_claimed(&self) -> bool {
        self.lock.is_some()
    }

    /// Claims the file until the program ends. Runs of one shard may go side by side in a home; one of them decides.
    ///
    /// # Errors
    /// Another run has it, or has changed it since this one began.
    pub(super) fn claim(&mut self) -> Result<(), String> {
        if self.lock.is_some() {
            return Ok(());
        }
        let path = self.path.with_extension("lock");
        let say = |error: std::io::Error| format!("{}: {error}", path.display());
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(say)?;
        }
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(say)?;
        if lock.try_lock().is_err() {
            return Err(format!("another run of `{}` in this home decides about its release", self.shard));
        }
        let now = townlet_files::text(&self.path).ok().and_then(|text| serde_json::from_str::<Content>(&text).ok());
        if now != self.known {
            return Err(format!("another run of `{}` has changed its release since this one began", self.shard));
        }
        self.lock = Some(lock);
        Ok(())
    }

    /// The file's new content, and where it goes.
    pub(super) fn bytes(&self, machine: &Machine) -> (PathBuf, Vec<u8>) {
        let content = Content {
            format: FORMAT.into(),
            seal: String::new(),
            shard: self.shard.clone(),
            config_id: self.config_id.clone(),
            observations: self.observations.clone(),
            machine: machine.clone(),
        };
        (self.path.clone(), content.sealed().into_bytes())
    }
}

/// Writes the file: beside it, synced, renamed into place, folder synced.
///
/// # Errors
/// The file and what the system says.
pub(super) fn write((path, bytes): (PathBuf, Vec<u8>)) -> Result<(), String> {
    replace(&path, &bytes).map_err(|error| format!("{}: {error}", path.display()))
}

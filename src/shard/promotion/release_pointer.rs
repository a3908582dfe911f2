//! The release pointer: a file with a shard's released policy, its promotion state and history.
//!
//! The file is locked by one run and replaced atomically, so that a crash at any time leaves exactly one release. A seal detects
//! changes. Rule: "Stability, promotion, rollback".

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use townlet_files::write_atomically;
use townlet_town::Rules;
use townlet_town::config::Config;
use townlet_wire::renamed::{Renamed, refuse_old_names};
use townlet_wire::sha256;

use super::state_machine::{ConfigFingerprint, Machine};
use crate::file_watch::Finding;
use crate::home::slug;
use crate::policies::{LoadedPolicy, PolicyCatalog, PolicyError};

const FORMAT: &str = "townlet-release-1";
/// Fields that earlier builds named otherwise.
const RENAMED: &[Renamed] = &[("ground", "fingerprint"), ("bond", "key"), ("judgements", "evaluations")];

/// Why a release pointer is refused. Nothing runs and nothing is written then.
#[derive(Debug, Error)]
#[error(
    "{}: {why}. To begin again with `policy.release`, move the file away.", path.display()
)]
pub struct ReleasePointerError {
    path: PathBuf,
    why: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Content {
    format: String,
    /// SHA-256 of the file's text without the seal, in hex.
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

    fn sealed(mut self) -> String {
        self.seal.clear();
        self.seal = sha256(self.text().as_bytes());
        self.text()
    }

    /// Whether the seal matches the text this was read from.
    fn is_intact(&self, text: &str) -> bool {
        sha256(text.replacen(&self.seal, "", 1).as_bytes()) == self.seal
    }
}

/// Reads the text. The format is checked first, so that a file of an earlier build is refused by its format or its old names.
fn parse(text: &str) -> Result<Content, String> {
    let invalid = |error: serde_json::Error| format!("it is no release pointer: {error}");
    let value: serde_json::Value = serde_json::from_str(text).map_err(invalid)?;
    match value.get("format").and_then(serde_json::Value::as_str) {
        Some(format) if format != FORMAT => Err(format!("its format is `{format}`; this program reads `{FORMAT}`")),
        _ => refuse_old_names(&value, RENAMED).and_then(|()| serde_json::from_str(text).map_err(invalid)),
    }
}

/// A pointer file that was read.
#[derive(Clone, Debug)]
pub(crate) struct ReleasePointer {
    path: PathBuf,
    pub(super) content: Content,
}

impl ReleasePointer {
    /// Reads the pointer of a shard; `None` if there is none. Refuses one that is damaged or belongs to another configuration or
    /// observation layout.
    pub(crate) fn read(home: &Path, rules: &Rules) -> Result<Option<Self>, ReleasePointerError> {
        let path = path(home, &rules.config);
        let refused = |why: String| ReleasePointerError { path: path.clone(), why };
        let text = match townlet_files::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refused(error.to_string())),
        };
        let content = parse(&text).map_err(refused)?;
        if !content.is_intact(&text) {
            return Err(refused("it was altered: its seal does not match its content".into()));
        }
        let pointer = Self { path: path.clone(), content };
        let rows = [
            ("config_id", &pointer.content.config_id, rules.config.config_id.as_str()),
            ("observations", &pointer.content.observations, rules.config.features.systems.observations.word()),
        ];
        // Before the first promotion it names no release, and the evaluation starts again.
        if pointer.release().is_some() {
            for (what, found, wanted) in rows {
                if found != wanted {
                    let release = &pointer.content.machine.release;
                    let why = format!("the release `{release}` is for {what} `{found}`; this town has `{wanted}`");
                    return Err(refused(why));
                }
            }
        }
        Ok(Some(pointer))
    }

    /// The promoted release; `None` while the configured one is in use.
    pub(crate) fn release(&self) -> Option<&str> {
        self.content.machine.since.as_ref().map(|_| self.content.machine.release.as_str())
    }

    /// Loads a policy that the pointer names.
    pub(crate) fn load(
        &self,
        policies: &PolicyCatalog,
        name: &str,
        rules: &Rules,
    ) -> Result<LoadedPolicy, PolicyError> {
        policies.load(name, rules).map_err(|error| {
            let why = format!("the release `{name}` cannot drive this town: {error}").trim_end_matches('.').to_owned();
            ReleasePointerError { path: self.path.clone(), why }.into()
        })
    }
}

pub(super) fn path(home: &Path, config: &Config) -> PathBuf {
    home.join(&config.policy.release_dir).join(format!("{}.release.json", slug(&config.shard)))
}

pub(super) fn fingerprint(rules: &Rules) -> ConfigFingerprint {
    let layout = townlet_town::observations::layout_hash(rules.config.features.systems.observations);
    ConfigFingerprint { config: rules.texts_digest.clone(), layout: layout.to_owned() }
}

/// The pointer file as this run has read or written it last; `None` without a file.
#[derive(Clone, Debug)]
pub(crate) struct PointerOnDisk {
    path: PathBuf,
    release: String,
    left: Arc<Mutex<Option<Vec<u8>>>>,
}

impl PointerOnDisk {
    /// An alert if somebody else has changed the file since.
    pub(crate) fn finding(&self) -> Option<Finding> {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        // One byte more than it should have shows that it is another, whatever its size.
        let most = left.as_ref().map_or(0, Vec::len) as u64 + 1;
        let read = |file: File| {
            let mut found = Vec::new();
            file.take(most).read_to_end(&mut found).map(|_| found)
        };
        let what = match (&*left, townlet_files::open(&self.path).and_then(read).ok()) {
            (left, found) if *left == found => return None,
            (_, None) => "was removed",
            _ => "was changed by somebody else",
        };
        let message = format!(
            "the release pointer {} {what}; `{}` stays in force until a restart.",
            self.path.display(),
            self.release
        );
        let hint = "Put the file back, or change the release with `policy_swap`, which writes it again. A restart reads the file.";
        Some(("release_disturbed", message, hint.to_owned()))
    }
}

/// Writes the pointer file, for the one run that has locked it.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    left: Arc<Mutex<Option<Vec<u8>>>>,
    /// The content of the file, but for the machine and the seal.
    content: Content,
    lock: Option<File>,
    /// The content when this run started.
    known: Option<Content>,
}

impl Writer {
    pub(super) fn new(home: &Path, rules: &Rules, known: Option<&ReleasePointer>) -> Self {
        let config = &rules.config;
        let content = Content {
            format: FORMAT.into(),
            seal: String::new(),
            shard: config.shard.clone(),
            config_id: config.config_id.clone(),
            observations: config.features.systems.observations.word().into(),
            machine: Machine::default(),
        };
        let path = path(home, config);
        let left = known.and_then(|_| townlet_files::read(&path).ok());
        let left = Arc::new(Mutex::new(left));
        Self { path, left, content, lock: None, known: known.map(|pointer| pointer.content.clone()) }
    }

    /// The file on disk, while this release is in force.
    pub(super) fn on_disk(&self, release: &str) -> PointerOnDisk {
        PointerOnDisk { path: self.path.clone(), release: release.to_owned(), left: Arc::clone(&self.left) }
    }

    pub(super) fn is_claimed(&self) -> bool {
        self.lock.is_some()
    }

    /// Locks the file until the program ends: of several runs of a shard in a home, one decides about the release. Fails if
    /// another run holds the lock or has changed the file since this run started.
    pub(super) fn claim(&mut self) -> Result<(), String> {
        if self.lock.is_some() {
            return Ok(());
        }
        let path = self.path.with_extension("lock");
        let say = |error: std::io::Error| format!("{}: {error}", path.display());
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(say)?;
        }
        let lock =
            townlet_files::open_own(&path, OpenOptions::new().write(true).create(true).truncate(false)).map_err(say)?;
        if lock.try_lock().is_err() {
            return Err(format!("another run of `{}` in this home controls its release", self.content.shard));
        }
        let found =
            townlet_files::read_to_string(&self.path).ok().and_then(|text| serde_json::from_str::<Content>(&text).ok());
        if found != self.known {
            return Err(format!(
                "another run of `{}` has changed its release since this one started",
                self.content.shard
            ));
        }
        self.lock = Some(lock);
        Ok(())
    }

    /// The file with this state, to be written.
    pub(super) fn prepare(&self, machine: &Machine) -> PreparedPointer {
        let content = Content { machine: machine.clone(), ..self.content.clone() };
        PreparedPointer { on_disk: self.on_disk(""), bytes: content.sealed().into_bytes() }
    }
}

/// A pointer file that is to be written.
pub(super) struct PreparedPointer {
    on_disk: PointerOnDisk,
    bytes: Vec<u8>,
}

impl PreparedPointer {
    pub(super) fn write(self) -> Result<(), String> {
        let Self { on_disk: PointerOnDisk { path, left, .. }, bytes } = self;
        // Held while the file is replaced, so that no check sees the one without the other.
        let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
        write_atomically(&path, &bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        *left = Some(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_an_earlier_build_is_refused_by_format_or_by_its_old_names() {
        let refusals = [
            (
                r#"{ "format": "townlet-release-2", "bond": null }"#,
                "its format is `townlet-release-2`; this program reads",
            ),
            (r#"{ "format": "townlet-release-1", "judgements": 3 }"#, "`judgements` is now `evaluations`"),
            (r#"{ "format": "townlet-release-1" }"#, "it is no release pointer: missing field"),
            ("[", "it is no release pointer: EOF"),
        ];
        for (text, expected) in refusals {
            let why = parse(text).expect_err(text);
            assert!(why.contains(expected), "{why}");
        }
    }
}

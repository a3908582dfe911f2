//! Lookup of policies by name: `shipped`, `scripted`, or the id of a checkpoint among releases, shadows and trials of sweeps.
//!
//! Also decides which policy drives a new town: the release pointer's if there is one, else `policy.release`. Rule:
//! "Checkpoints".

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use townlet_learn::checkpoint::{Checkpoint, CheckpointError, Registry};
use townlet_learn::{Choice, NetworkPolicy};
use townlet_town::Rules;
use townlet_town::config::Policy;

use super::Driver;
use super::promotion::{ReleasePointer, ReleasePointerError};

/// The policy that ships with the program; `docs/POLICY.md` says how it was trained.
static SHIPPED: &[u8] = include_bytes!("../../configs/policies/shipped.safetensors");

/// The scripted policy's name.
pub const SCRIPTED: &str = "scripted";

/// Policies that always exist.
pub const BUILT_IN: [&str; 2] = ["shipped", SCRIPTED];

/// Folder of sweeps below a home: `<sweep>/trial-NNN/` holds the checkpoints of a trial.
pub const SWEEPS: &str = "snapshots/sweep";

/// Why a policy cannot be used.
#[derive(Debug, Error)]
pub enum PolicyError {
    /// No policy has this name.
    #[error(
        "there is no policy `{name}`: it is neither `shipped` nor `scripted` nor a checkpoint in {folders}. `townlet policy \
         list` shows them."
    )]
    Unknown {
        /// The name.
        name: String,
        /// The folders searched.
        folders: String,
    },
    /// The name is that of a file that is no checkpoint by its name.
    #[error(
        "`{0}` is a file, but the name of a checkpoint's file ends with `.safetensors`. Rename it, or name a policy: `townlet \
         policy list` shows them."
    )]
    NotACheckpointFile(String),
    /// The checkpoint is damaged, or made for another town.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The policy named in the configuration cannot drive its town.
    #[error("policy.release: `{name}` cannot drive this town.{hint}")]
    Release {
        /// The name.
        name: String,
        /// What to do.
        hint: String,
        /// The cause.
        source: Box<CheckpointError>,
    },
    /// The release pointer cannot be used.
    #[error(transparent)]
    ReleasePointer(#[from] ReleasePointerError),
}

/// A policy that is ready to drive, and its bytes.
#[derive(Clone, Debug)]
pub(super) struct LoadedPolicy {
    pub driver: Driver,
    /// The checkpoint file's content; empty for the scripted policy.
    pub bytes: Arc<[u8]>,
}

/// The folders in which policies are searched.
#[derive(Clone, Debug)]
pub struct PolicyCatalog {
    home: PathBuf,
    /// Released checkpoints.
    pub release: Registry,
    /// Checkpoints written by trainings.
    pub shadow: Registry,
}

impl PolicyCatalog {
    /// The folders of a home.
    pub fn of(home: &Path, policy: &Policy) -> Self {
        Self {
            home: home.into(),
            release: Registry::new(home.join(&policy.release_dir)),
            shadow: Registry::new(home.join(&policy.shadow_dir)),
        }
    }

    /// All folders in search order, with their kinds: releases, shadows and the trials of sweeps.
    pub fn registries(&self) -> Vec<(&'static str, Registry)> {
        let mut all = vec![("release", self.release.clone()), ("shadow", self.shadow.clone())];
        let trials = folders(&self.home.join(SWEEPS)).into_iter().flat_map(|sweep| folders(&sweep));
        all.extend(trials.map(|trial| ("sweep", Registry::new(trial))));
        all
    }

    /// Checks that trainings do not write to the folder of releases, even through links or different spellings of the path.
    pub fn check_folders_differ(&self) -> Result<(), String> {
        let (release, shadow) = (self.release.folder(), self.shadow.folder());
        if canonical(release) == canonical(shadow) {
            return Err(format!("{} and {} are one folder.", release.display(), shadow.display()));
        }
        Ok(())
    }

    /// Loads a checkpoint by id from any folder, or by the path of its file, or `shipped`.
    pub fn checkpoint(&self, name: &str) -> Result<Checkpoint, PolicyError> {
        let path = Path::new(name);
        if let (Some("safetensors"), Some(id)) = (path.extension().and_then(OsStr::to_str), path.file_stem()) {
            let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
            return Ok(Registry::new(folder).load(&id.to_string_lossy())?);
        }
        let bytes = self.bytes(name).map_err(|error| match error {
            PolicyError::Unknown { name, .. } if path.is_file() => PolicyError::NotACheckpointFile(name),
            error => error,
        })?;
        Ok(Checkpoint::decode(&id_of(name)?, &bytes)?)
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>, PolicyError> {
        if name == BUILT_IN[0] || name == shipped()?.id {
            return Ok(SHIPPED.to_vec());
        }
        let mut damaged = None;
        for (_, registry) in self.registries().into_iter().filter(|(_, registry)| registry.path(name).is_file()) {
            match registry.bytes(name).and_then(|bytes| Checkpoint::decode(name, &bytes).map(|_| bytes)) {
                Ok(bytes) => return Ok(bytes),
                // The id is a hash of the content, so another copy with the same id is as good.
                Err(why) => damaged = damaged.or(Some(why)),
            }
        }
        if let Some(why) = damaged {
            return Err(why.into());
        }
        let folders = [self.release.folder(), self.shadow.folder(), &self.home.join(SWEEPS)];
        let folders = folders.map(|folder| folder.display().to_string()).join(" or ");
        Err(PolicyError::Unknown { name: name.into(), folders })
    }

    /// Messages about damaged copies of a checkpoint for which an intact copy is used.
    pub(super) fn damaged_copies(&self, name: &str) -> Vec<String> {
        let there = self.registries().into_iter().filter(|(_, registry)| registry.path(name).is_file());
        let damage = there.filter_map(|(_, registry)| {
            let why = registry.load(name).err()?;
            Some(format!("{}: {why}. An intact copy is used.", registry.path(name).display()))
        });
        damage.collect()
    }

    /// Loads any policy, ready to drive a town with these rules.
    pub(super) fn load(&self, name: &str, rules: &Rules) -> Result<LoadedPolicy, PolicyError> {
        if name == SCRIPTED {
            return Ok(LoadedPolicy { driver: Driver::Scripted, bytes: Arc::from([]) });
        }
        decode_policy(&id_of(name)?, self.bytes(name)?, rules)
    }

    /// The policy that drives a new town. Only released checkpoints and built-in policies are allowed.
    pub fn released(&self, rules: &Rules) -> Result<Driver, PolicyError> {
        if let Some(pointer) = ReleasePointer::read(&self.home, rules)?
            && let Some(release) = pointer.release()
        {
            return Ok(pointer.load(self, release, rules)?.driver);
        }
        self.configured(rules)
    }

    fn configured(&self, rules: &Rules) -> Result<Driver, PolicyError> {
        let name = rules.config.policy.release.as_str();
        if name == SCRIPTED {
            return Ok(Driver::Scripted);
        }
        let load = || {
            let checkpoint = match shipped() {
                Ok(shipped) if name == BUILT_IN[0] || name == shipped.id => shipped,
                _ => self.release.load(name)?,
            };
            Ok(Driver::Network(Box::new(NetworkPolicy::new(&checkpoint, rules, Choice::default())?)))
        };
        load().map_err(|source| PolicyError::Release {
            name: name.into(),
            hint: self.hint(name),
            source: Box::new(source),
        })
    }

    fn hint(&self, name: &str) -> String {
        let (shadow, released) = (self.shadow.path(name), self.release.folder().display());
        if name == BUILT_IN[0] {
            " `--set policy.release=scripted` drives any town.".to_owned()
        } else if shadow.is_file() {
            format!(" It is a shadow checkpoint; copy {} to {released} to release it.", shadow.display())
        } else {
            format!(" Available are {} and the checkpoints of {released}.", BUILT_IN.join(", "))
        }
    }
}

/// The folders in a folder, sorted by name; none if it does not exist.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// The canonical form of the part of a path that exists.
pub fn canonical_existing(path: &Path) -> PathBuf {
    let found = path.ancestors().find(|path| path.exists()).filter(|path| !path.as_os_str().is_empty());
    let found = found.unwrap_or(Path::new("."));
    std::fs::canonicalize(found).unwrap_or_else(|_| found.into())
}

/// The canonical form of a path, including the part that does not exist.
fn canonical(path: &Path) -> PathBuf {
    // An absolute path always has an ancestor that exists.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let above = path.ancestors().find(|path| path.exists());
    let rest = above.and_then(|above| path.strip_prefix(above).ok()).unwrap_or(Path::new(""));
    rest.components().fold(canonical_existing(&path), |path, part| match part {
        Component::ParentDir => path.parent().map(Path::to_owned).unwrap_or(path),
        part => path.join(part),
    })
}

/// Decodes a checkpoint file into a policy for a town with these rules.
pub(super) fn decode_policy(id: &str, bytes: Vec<u8>, rules: &Rules) -> Result<LoadedPolicy, PolicyError> {
    let checkpoint = Checkpoint::decode(id, &bytes)?;
    let policy = NetworkPolicy::new(&checkpoint, rules, Choice::default())?;
    Ok(LoadedPolicy { driver: Driver::Network(Box::new(policy)), bytes: bytes.into() })
}

/// The shipped policy. Tests ensure that it loads.
pub fn shipped() -> Result<Checkpoint, CheckpointError> {
    Checkpoint::embedded(SHIPPED)
}

/// The id of a name; only the shipped checkpoint also has a name.
pub(super) fn id_of(name: &str) -> Result<String, CheckpointError> {
    Ok(if name == BUILT_IN[0] { shipped()?.id } else { name.into() })
}

//! How a name becomes a policy: `shipped`, `scripted`, or the id of a checkpoint among the releases or the shadows.
//!
//! Owns where each is looked for, and who drives a town that starts: the release pointer once there is one,
//! `policy.release` before. What a checkpoint is stands in `townlet_learn::checkpoint`. Rule: "Checkpoints".

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use townlet_learn::checkpoint::{Checkpoint, CheckpointError, Registry};
use townlet_learn::{Choice, NetworkPolicy};
use townlet_town::Rules;
use townlet_town::config::Policy;

use super::Driver;
use super::promotion::{ReleasePointer, ReleasePointerError};

/// The policy that comes with the program; `docs/POLICY.md` says how it was made.
static SHIPPED: &[u8] = include_bytes!("../../configs/policies/shipped.safetensors");

/// The scripted policy's name.
pub const SCRIPTED: &str = "scripted";

/// Policies that are always there.
pub const BUILT_IN: [&str; 2] = ["shipped", SCRIPTED];

/// Why there is no such policy here.
#[derive(Debug, Error)]
pub enum PolicyError {
    /// No policy of that name.
    #[error(
        "there is no policy `{name}`: it is neither `shipped` nor `scripted` nor a checkpoint in {folders}. `townlet policy \
         list` shows them."
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// Where it was looked for.
        folders: String,
    },
    /// It is damaged, or made for another town.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// What the configuration names cannot drive its town.
    #[error("policy.release: `{name}` cannot drive this town.{hint}")]
    Release {
        /// What it names.
        name: String,
        /// What would be right.
        hint: String,
        /// Why.
        source: Box<CheckpointError>,
    },
    /// The release pointer.
    #[error(transparent)]
    ReleasePointer(#[from] ReleasePointerError),
}

/// A policy at hand: ready to drive, and the bytes it came from.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    /// Ready to drive.
    pub driver: Driver,
    /// The checkpoint's file; empty for the scripted policy.
    pub bytes: Arc<[u8]>,
}

/// Where policies are looked for.
#[derive(Clone, Debug)]
pub struct PolicyCatalog {
    home: PathBuf,
    /// Released checkpoints.
    pub release: Registry,
    /// Checkpoints of trainings.
    pub shadow: Registry,
}

impl PolicyCatalog {
    /// Those of a home.
    pub fn of(home: &Path, policy: &Policy) -> Self {
        Self {
            home: home.into(),
            release: Registry::new(home.join(&policy.release_dir)),
            shadow: Registry::new(home.join(&policy.shadow_dir)),
        }
    }

    /// Released checkpoints, then shadows.
    pub fn registries(&self) -> [(&'static str, &Registry); 2] {
        [("release", &self.release), ("shadow", &self.shadow)]
    }

    /// That no training writes where releases are taken from, by whatever paths the two folders are named.
    ///
    /// # Errors
    /// Both, in a sentence.
    pub fn apart(&self) -> Result<(), String> {
        let (release, shadow) = (self.release.folder(), self.shadow.folder());
        if whole(release) == whole(shadow) {
            return Err(format!("{} and {} are one folder.", release.display(), shadow.display()));
        }
        Ok(())
    }

    /// A checkpoint by its id, wherever it is; or `shipped`.
    ///
    /// # Errors
    /// Why it is refused, or where it was looked for.
    pub fn checkpoint(&self, name: &str) -> Result<Checkpoint, PolicyError> {
        Ok(Checkpoint::decode(&id_of(name)?, &self.bytes(name)?)?)
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>, PolicyError> {
        if name == BUILT_IN[0] || name == shipped()?.id {
            return Ok(SHIPPED.to_vec());
        }
        let mut damaged = None;
        for (_, registry) in self.registries().into_iter().filter(|(_, registry)| registry.path(name).is_file()) {
            match registry.bytes(name).and_then(|bytes| Checkpoint::decode(name, &bytes).map(|_| bytes)) {
                Ok(bytes) => return Ok(bytes),
                // Its name proves another copy, if there is one.
                Err(why) => damaged = damaged.or(Some(why)),
            }
        }
        if let Some(why) = damaged {
            return Err(why.into());
        }
        let folders = self.registries().map(|(_, registry)| registry.folder().display().to_string()).join(" or ");
        Err(PolicyError::Unknown { name: name.into(), folders })
    }

    /// Copies of a checkpoint that are passed over for a whole one, a sentence each.
    pub(super) fn damaged_copies(&self, name: &str) -> Vec<String> {
        let there = self.registries().into_iter().filter(|(_, registry)| registry.path(name).is_file());
        let damage = there.filter_map(|(_, registry)| {
            let why = registry.load(name).err()?;
            Some(format!("{}: {why}. A whole copy is used.", registry.path(name).display()))
        });
        damage.collect()
    }

    /// A policy of any name, ready to drive a town with these rules.
    ///
    /// # Errors
    /// That there is none, that it is damaged, or what does not fit.
    pub(super) fn load(&self, name: &str, rules: &Rules) -> Result<Loaded, PolicyError> {
        if name == SCRIPTED {
            return Ok(Loaded { driver: Driver::Scripted, bytes: Arc::from([]) });
        }
        ready(&id_of(name)?, self.bytes(name)?, rules)
    }

    /// Who drives the residents of a town that starts here. Only released checkpoints are taken, and the shipped one.
    ///
    /// # Errors
    /// Why it is refused; nothing runs then.
    pub fn released(&self, rules: &Rules) -> Result<Driver, PolicyError> {
        if let Some(pointer) = ReleasePointer::read(&self.home, rules)?
            && let Some(release) = pointer.release()
        {
            return Ok(pointer.load(self, release, rules)?.driver);
        }
        self.configured(rules)
    }

    /// What `policy.release` names.
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
            format!(" It is a shadow; copy {} to {released} to release it.", shadow.display())
        } else {
            format!(" There are {} and the checkpoints of {released}.", BUILT_IN.join(", "))
        }
    }
}

/// The part of a path that is there, by its one name.
pub fn there(path: &Path) -> PathBuf {
    let found = path.ancestors().find(|path| path.exists()).filter(|path| !path.as_os_str().is_empty());
    let found = found.unwrap_or(Path::new("."));
    std::fs::canonicalize(found).unwrap_or_else(|_| found.into())
}

/// A path by its one name, with what of it is not there yet.
fn whole(path: &Path) -> PathBuf {
    // From the root on, so that something of it is always there.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let above = path.ancestors().find(|path| path.exists());
    let rest = above.and_then(|above| path.strip_prefix(above).ok()).unwrap_or(Path::new(""));
    rest.components().fold(there(&path), |whole, part| match part {
        Component::ParentDir => whole.parent().map(Path::to_owned).unwrap_or(whole),
        part => whole.join(part),
    })
}

/// A checkpoint's file as a policy that drives towns with these rules.
///
/// # Errors
/// That it is damaged, or what does not fit.
pub(super) fn ready(id: &str, bytes: Vec<u8>, rules: &Rules) -> Result<Loaded, PolicyError> {
    let checkpoint = Checkpoint::decode(id, &bytes)?;
    let policy = NetworkPolicy::new(&checkpoint, rules, Choice::default())?;
    Ok(Loaded { driver: Driver::Network(Box::new(policy)), bytes: bytes.into() })
}

/// The policy inside the program.
///
/// # Errors
/// Never, as the tests load it.
pub fn shipped() -> Result<Checkpoint, CheckpointError> {
    Checkpoint::embedded(SHIPPED)
}

/// The id behind a name: checkpoints have no other, but the shipped one may be called so.
fn id_of(name: &str) -> Result<String, CheckpointError> {
    Ok(if name == BUILT_IN[0] { shipped()?.id } else { name.into() })
}

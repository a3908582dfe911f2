//! Release snapshots: both policies of a release change under `snapshots/release/<time>`, with a manifest. A folder without a
//! manifest is incomplete and ignored. Rule: "Stability, promotion, rollback".

use std::path::{Path, PathBuf};

use fail::fail_point;
use serde::{Deserialize, Serialize};
use townlet_town::Rules;
use townlet_town::config::Config;

use super::state_machine::{ConfigFingerprint, Origin};
use crate::command_table::{error, near_hint};
use crate::policies::{LoadedPolicy, PolicyCatalog, SCRIPTED, decode_policy};
use townlet_files::write_atomically;
use townlet_wire::learning::Evidence;
use townlet_wire::{ErrorBody, sha256};

const MANIFEST: &str = "manifest.json";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub shard: String,
    pub config_id: String,
    /// When and by whom the change was requested.
    pub origin: Origin,
    /// The release before the change.
    pub release: PolicyFile,
    /// The policy that was to replace it.
    pub candidate: PolicyFile,
    pub fingerprint: ConfigFingerprint,
    /// The evidence for the change; `None` if it was forced.
    pub evidence: Option<Evidence>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PolicyFile {
    pub id: String,
    /// Its file beside the manifest; `None` for the scripted policy.
    pub file: Option<String>,
    pub sha256: Option<String>,
}

impl PolicyFile {
    pub(super) fn of(policy: &LoadedPolicy) -> Self {
        let id = policy.driver.id().to_owned();
        let there = !policy.bytes.is_empty();
        let file = there.then(|| format!("{id}.safetensors"));
        Self { id, file, sha256: there.then(|| sha256(&policy.bytes)) }
    }
}

pub(super) fn root(home: &Path, config: &Config) -> PathBuf {
    home.join(&config.snapshot.root).join("release")
}

/// An unused folder name with the current time.
pub(super) fn name(root: &Path) -> String {
    let timestamp = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let plain = format!("{}-{:03}", timestamp.strftime("%Y%m%d-%H%M%S"), timestamp.millisecond());
    let mut names = (1..).map(|number| if number == 1 { plain.clone() } else { format!("{plain}-{number}") });
    names.find(|name| !root.join(name).exists()).unwrap_or(plain)
}

/// Writes a release snapshot, the manifest last.
pub(super) fn write(folder: &Path, manifest: &Manifest, policies: [&LoadedPolicy; 2]) -> Result<(), String> {
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        write_atomically(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))
    };
    for (part, policy) in [&manifest.release, &manifest.candidate].into_iter().zip(policies) {
        if let Some(file) = &part.file {
            put(file, &policy.bytes)?;
        }
    }
    fail_point!("promote_saving");
    let mut text = serde_json::to_vec_pretty(manifest).expect("plain values");
    text.push(b'\n');
    put(MANIFEST, &text)
}

/// Names of the complete snapshots, oldest first.
pub(super) fn list(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let finished = entries.filter(|entry| entry.path().join(MANIFEST).is_file());
    let mut names: Vec<String> = finished.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Manifests of the complete snapshots, oldest first.
pub(super) fn manifests(root: &Path) -> impl DoubleEndedIterator<Item = PathBuf> {
    list(root).into_iter().map(move |name| root.join(name).join(MANIFEST))
}

/// Loads the earlier release in a snapshot, by a name that `promotion_status` lists.
pub(super) fn release(
    root: &Path,
    name: &str,
    policies: &PolicyCatalog,
    rules: &Rules,
) -> Result<LoadedPolicy, ErrorBody> {
    let names = list(root);
    if !names.iter().any(|known| known == name) {
        let hint = near_hint(name, names.iter().map(String::as_str), "`promotion_status` lists them.");
        return Err(error("E_NOT_FOUND", format!("there is no release snapshot `{name}`."), hint));
    }
    let damaged =
        |why: String| error("E_DAMAGED", format!("{name}: {why}."), "Use another one listed by `promotion_status`.");
    let folder = root.join(name);
    let text = townlet_files::read(&folder.join(MANIFEST)).map_err(|why| damaged(why.to_string()))?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|why| damaged(why.to_string()))?;
    let id = &manifest.release.id;
    let loaded = if manifest.release.file.is_none() {
        policies.load(SCRIPTED, rules)
    } else {
        let bytes = townlet_files::read(&folder.join(format!("{id}.safetensors")));
        decode_policy(id, bytes.map_err(|why| damaged(why.to_string()))?, rules)
    };
    loaded.map_err(|why| damaged(why.to_string().trim_end_matches('.').to_owned()))
}

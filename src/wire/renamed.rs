//! Fields of earlier builds and the names that replaced them. A reader that meets an old name says the new one.

use serde_json::Value;

/// An old name and its replacement.
pub type Renamed = (&'static str, &'static str);

/// Renamed fields of a telemetry snapshot.
pub const SNAPSHOT: &[Renamed] = &[("shocks", "perturbation_events")];

/// Refuses a file that has a field with an old name.
///
/// # Errors
/// The old and the new name, as a clause that follows the name of the file.
pub fn refuse_old_names(value: &Value, renamed: &[Renamed]) -> Result<(), String> {
    match find_old_name(value, renamed) {
        Some(old_name) => Err(format!("it was written by an earlier build: {old_name}")),
        None => Ok(()),
    }
}

/// Reports the first field of an object that has an old name, such as `` `shocks` is now `perturbation_events` ``.
pub fn find_old_name(value: &Value, renamed: &[Renamed]) -> Option<String> {
    let old = renamed.iter().find(|(old, new)| value.get(old).is_some() && value.get(new).is_none());
    old.map(|(old, new)| format!("`{old}` is now `{new}`"))
}

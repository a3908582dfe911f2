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
    match find_old_name(|name| value.get(name).is_some(), renamed) {
        Some(old_name) => Err(format!("it was written by an earlier build: {old_name}")),
        None => Ok(()),
    }
}

/// Reports the first field with an old name of an object that `has` its fields, such as `` `shocks` is now `perturbation_events` ``.
pub fn find_old_name(has: impl Fn(&str) -> bool, renamed: &[Renamed]) -> Option<String> {
    let old = renamed.iter().find(|(old, new)| has(old) && !has(new));
    old.map(|(old, new)| format!("`{old}` is now `{new}`"))
}

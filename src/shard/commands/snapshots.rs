//! Snapshots of this run: saving one now, and reading those there are.

use std::path::Path;

use serde_json::json;
use townlet_wire::ErrorBody;
use townlet_wire::count;

use crate::arguments::SnapshotName;
use crate::command_table::{Reply, error, near_hint, row};
use crate::operation::ShardAction;
use crate::snapshots::{self, SnapshotFile};

row! { SAVE = "snapshot save", Admin, "writes a snapshot of the town now"; Shard() => ShardAction::SaveSnapshot }

row! { LIST = "snapshot list", Viewer, "lists the snapshots of this run, oldest first"; Files() => list }

row! {
    INSPECT = "snapshot inspect", Viewer, "shows the configuration, tick, residents and digest of a snapshot";
    Files(file: SnapshotName) => move |folder| inspect(folder, &file.0)
}

row! {
    VALIDATE = "snapshot validate", Viewer, "checks whether a snapshot is intact and can be loaded";
    Files(file: SnapshotName) => move |folder| validate(folder, &file.0)
}

fn names(folder: &Path) -> Vec<String> {
    let name = |path: &std::path::PathBuf| path.file_name()?.to_str().map(str::to_owned);
    snapshots::list(folder).iter().filter_map(name).collect()
}

fn list(folder: &Path) -> Reply {
    let names = names(folder);
    let summary = match names.last() {
        Some(newest) => format!("{}, the newest is {newest}.", count(names.len() as u64, "snapshot")),
        None => "no snapshot yet; `snapshot save` writes one.".to_owned(),
    };
    Ok(json!({ "summary": summary, "snapshots": names, "folder": folder.display().to_string() }))
}

/// Snapshots are named as `snapshot list` shows them, never by path.
fn open(folder: &Path, typed: &str) -> Result<SnapshotFile, ErrorBody> {
    let names = names(folder);
    if !names.iter().any(|name| name == typed) {
        let hint = near_hint(typed, names.iter().map(String::as_str), "`snapshot list` shows them.");
        return Err(error("E_NOT_FOUND", format!("there is no snapshot `{typed}` in this run."), hint));
    }
    let path = folder.join(typed);
    snapshots::read(&path).map_err(|why| {
        let good = snapshots::previous_intact(&path).map_or_else(
            || "There is no intact one before it.".to_owned(),
            |good| format!("The last intact one before it is `{}`.", snapshots::name(good.town.tick())),
        );
        error("E_DAMAGED", format!("{typed}: {why}."), format!("{good} Nothing was changed."))
    })
}

fn inspect(folder: &Path, file: &str) -> Reply {
    let SnapshotFile { town, bytes, .. } = open(folder, file)?;
    let config = &town.rules().config;
    let residents = town.state().agents.present.len();
    let lives = count(residents as u64, "resident");
    Ok(json!({
        "summary": format!("tick {} of {}, {lives}, digest {}.", town.tick(), config.config_id, town.digest()),
        "config_id": config.config_id,
        "tick": town.tick(),
        "seed": town.state().seed,
        "residents": residents,
        "commands": town.state().commands,
        "digest": town.digest(),
        "layout": townlet_town::snapshot::VERSION,
        "bytes": bytes,
    }))
}

fn validate(folder: &Path, file: &str) -> Reply {
    let SnapshotFile { town, .. } = open(folder, file)?;
    Ok(json!({ "summary": format!("{} is whole: tick {}, digest {}.", file, town.tick(), town.digest()) }))
}

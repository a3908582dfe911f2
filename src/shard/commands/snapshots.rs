//! Snapshots of this run: saving one now, and looking at those there are.

use std::path::Path;

use serde_json::json;

use crate::snapshots::{self, Found};
use crate::table::{Args, Kind, Reply, Row, Run, ShardAction, arg, error};
use townlet_wire::line::nearest;
use townlet_wire::{ErrorBody, Role};

pub(crate) static SAVE: Row = Row {
    name: "snapshot save",
    args: &[],
    role: Role::Admin,
    destructive: false,
    help: "writes a snapshot of the town now",
    run: Run::Shard(|_, _| Ok(ShardAction::SaveSnapshot)),
};

pub(crate) static LIST: Row = Row {
    name: "snapshot list",
    args: &[],
    role: Role::Viewer,
    destructive: false,
    help: "snapshots of this run, oldest first",
    run: Run::Files(list),
};

pub(crate) static INSPECT: Row = Row {
    name: "snapshot inspect",
    args: &[arg("file", Kind::Snapshot)],
    role: Role::Viewer,
    destructive: false,
    help: "what a snapshot holds: configuration, tick, residents, digest",
    run: Run::Files(inspect),
};

pub(crate) static VALIDATE: Row = Row {
    name: "snapshot validate",
    args: &[arg("file", Kind::Snapshot)],
    role: Role::Viewer,
    destructive: false,
    help: "whether a snapshot is whole and can be loaded",
    run: Run::Files(validate),
};

fn names(folder: &Path) -> Vec<String> {
    let name = |path: &std::path::PathBuf| path.file_name()?.to_str().map(str::to_owned);
    snapshots::of(folder).iter().filter_map(name).collect()
}

fn list(folder: &Path, _: &Args) -> Reply {
    let names = names(folder);
    let summary = match names.last() {
        Some(newest) => format!("{} snapshots, the newest is {newest}.", names.len()),
        None => "no snapshot yet; `snapshot save` writes one.".to_owned(),
    };
    Ok(json!({ "summary": summary, "snapshots": names, "folder": folder.display().to_string() }))
}

/// Snapshots are named as `snapshot list` shows them, never by path.
fn open(folder: &Path, args: &Args) -> Result<Found, ErrorBody> {
    let names = names(folder);
    let typed = args.text("file");
    if !names.iter().any(|name| name == typed) {
        let near = nearest(typed, names.iter().map(String::as_str));
        let hint =
            near.map_or_else(|| "`snapshot list` shows them.".to_owned(), |near| format!("Did you mean `{near}`?"));
        return Err(error("E_NOT_FOUND", format!("there is no snapshot `{typed}` in this run."), hint));
    }
    let path = folder.join(typed);
    snapshots::read(&path).map_err(|why| {
        let good = snapshots::previous_intact(&path).map_or_else(
            || "No good one lies before it.".to_owned(),
            |good| format!("The good one before it is `{}`.", snapshots::name(good.town.tick())),
        );
        error("E_DAMAGED", format!("{typed}: {why}."), format!("{good} Nothing was changed."))
    })
}

fn inspect(folder: &Path, args: &Args) -> Reply {
    let Found { town, bytes, .. } = open(folder, args)?;
    let config = &town.rules().config;
    let residents = town.state().agents.present.len();
    Ok(json!({
        "summary": format!("tick {} of {}, {residents} residents, digest {}.", town.tick(), config.config_id, town.digest()),
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

fn validate(folder: &Path, args: &Args) -> Reply {
    let Found { town, .. } = open(folder, args)?;
    Ok(json!({ "summary": format!("{} is whole: tick {}, digest {}.", args.text("file"), town.tick(), town.digest()) }))
}

//! `townlet snapshot`: lists, inspects and validates snapshots. The file format is in `townlet_town::snapshot`.
//!
//! For a damaged file the error names the newest intact snapshot before it. Rule: "Bad input".

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};
use townlet_town::snapshot;

use super::output;
use townlet_shard::Home;
use townlet_shard::snapshots::{self, SnapshotFile};
use townlet_tui::format::raw;

#[derive(clap::Subcommand, Debug)]
pub(super) enum Subcommand {
    /// List the snapshots of a home by run, oldest first
    List {
        /// Home folder of the shard
        #[arg(long, value_name = "DIR", default_value = ".")]
        home: PathBuf,
        /// Value of `snapshot.root` in the configuration
        #[arg(long, value_name = "DIR", default_value = "snapshots")]
        root: String,
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Show configuration, tick, residents and digest of a snapshot
    Inspect {
        /// Snapshot file
        file: PathBuf,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Check that snapshots are intact and can be loaded
    Validate {
        /// Snapshot files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: &Subcommand) -> Result<ExitCode> {
    match command {
        Subcommand::List { home, root, json } => list(&Home::new(home), root, *json)?,
        Subcommand::Inspect { file, json } => inspect(file, *json)?,
        Subcommand::Validate { files, json } => return validate(files, *json),
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a snapshot. The inner result tells whether its content is valid.
fn read(file: &Path) -> Result<Result<SnapshotFile, String>> {
    match townlet_files::open(file) {
        // `snapshots::read` reports a path that is not a regular file.
        Err(error) if error.kind() != std::io::ErrorKind::InvalidInput => return Err(output::read_error(file, &error)),
        _ => {}
    }
    Ok(snapshots::read(file))
}

fn list(home: &Home, root: &str, json: bool) -> Result<()> {
    output::require_home(home.folder())?;
    let folder = home.folder().join(root).join("auto");
    let mut runs: Vec<PathBuf> = match std::fs::read_dir(&folder) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).with_context(|| folder.display().to_string()),
    };
    runs.sort();
    let mut found: Vec<(String, PathBuf, u64)> = Vec::new();
    for run in &runs {
        let name = run.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for file in snapshots::list(run) {
            let bytes = std::fs::metadata(&file).with_context(|| file.display().to_string())?.len();
            found.push((name.clone(), file, bytes));
        }
    }
    if json {
        let row = |(run, file, bytes): &(String, PathBuf, u64)| json!({ "run_id": run, "file": file.to_string_lossy(), "bytes": bytes });
        return output::json(&found.iter().map(row).collect());
    }
    if found.is_empty() {
        return output::line(&format!("No snapshots in {}.", folder.display()));
    }
    let mut rows = vec![["run", "tick", "size", "file"].map(String::from)];
    for (run, file, bytes) in &found {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let tick = stem.parse::<u64>().map_or_else(|_| "-".to_owned(), |tick| tick.to_string());
        rows.push([run.clone(), tick, output::bytes(*bytes), file.display().to_string()]);
    }
    output::print(&output::columns(&rows))
}

fn details(found: &SnapshotFile) -> Value {
    let town = &found.town;
    let (rules, state) = (town.rules(), town.state());
    json!({
        "file": found.path,
        "bytes": found.bytes,
        "layout": snapshot::VERSION,
        "config_id": rules.config.config_id,
        "config_digest": rules.config.digest(),
        "shard": rules.config.shard,
        "plan": rules.sources.plan.0,
        "affordances": rules.sources.affordances.0,
        "seed": state.seed,
        "tick": town.tick(),
        "day": town.tick() / rules.day_length() + 1,
        "residents": state.agents.present.len(),
        "commands": state.commands,
        "digest": town.digest(),
    })
}

fn inspect(file: &Path, json: bool) -> Result<()> {
    let details = details(&read(file)?.map_err(|why| anyhow!(snapshots::damage(file, &why)))?);
    if json {
        return output::json(&details);
    }
    let fields = details.as_object().into_iter().flatten();
    let rows: Vec<[String; 2]> = fields.map(|(name, value)| [name.clone(), raw(value)]).collect();
    output::print(&output::columns(&rows))
}

fn validate(files: &[PathBuf], json: bool) -> Result<ExitCode> {
    let mut rows = Vec::new();
    let mut whole = true;
    for file in files {
        ensure!(!file.is_dir(), "{}: is a folder, expected a snapshot file.", file.display());
        let row = match read(file)? {
            Ok(SnapshotFile { town, .. }) => {
                let line = format!("{}: valid. Tick {}, digest {}.", file.display(), town.tick(), town.digest());
                let digest = town.digest();
                let row = json!({ "file": file.to_string_lossy(), "ok": true, "tick": town.tick(), "digest": digest, "layout": snapshot::VERSION });
                (line, row)
            }
            Err(why) => {
                whole = false;
                (snapshots::damage(file, &why), json!({ "file": file.to_string_lossy(), "ok": false, "error": why }))
            }
        };
        rows.push(row);
    }
    if json {
        output::json(&rows.into_iter().map(|(_, row)| row).collect())?;
    } else {
        for (line, _) in rows {
            output::line(&line)?;
        }
    }
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(super::EXIT_CHECK_FAILED) })
}

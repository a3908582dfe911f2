//! `townlet snapshot`: lists the snapshots of a home, shows what one holds, says whether they are whole.
//!
//! Reads files by path; a running shard's own are saved by its console. The byte layout stands in
//! `townlet_town::snapshot`. Rule: "Bad input": a damaged file is named, and the good one before it offered.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use townlet_town::snapshot;

use super::output;
use townlet_shard::Home;
use townlet_shard::snapshots::{self, Found};

/// `townlet snapshot`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// Lists the snapshots under a home, run by run, oldest first
    List {
        /// The folder the shard keeps its files in
        #[arg(long, value_name = "DIR", default_value = ".")]
        home: PathBuf,
        /// `snapshot.root` of the configuration
        #[arg(long, value_name = "DIR", default_value = "snapshots")]
        root: String,
        /// For a program: a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Shows what a snapshot holds: configuration, tick, residents, digest
    Inspect {
        /// The snapshot
        file: PathBuf,
        /// For a program: one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Says of each snapshot whether it is whole and can be loaded
    Validate {
        /// The snapshots
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// For a program: a JSON array
        #[arg(long)]
        json: bool,
    },
}

/// Runs it.
///
/// # Errors
/// A file that cannot be read, by name.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    match &args.what {
        What::List { home, root, json } => list(&Home::new(home), root, *json)?,
        What::Inspect { file, json } => inspect(file, *json)?,
        What::Validate { files, json } => return validate(files, *json),
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a snapshot that must be there.
///
/// # Errors
/// That it is not, which no check of its content needs to say.
fn read(file: &Path) -> Result<Result<Found, String>> {
    match townlet_files::open(file) {
        // What is there and no file is no snapshot either, which is for the reader to say.
        Err(error) if error.kind() != std::io::ErrorKind::InvalidInput => return Err(output::unreadable(file, &error)),
        _ => {}
    }
    Ok(snapshots::read(file))
}

fn list(home: &Home, root: &str, json: bool) -> Result<()> {
    output::is_folder(home.folder())?;
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
        for file in snapshots::of(run) {
            let bytes = std::fs::metadata(&file).with_context(|| file.display().to_string())?.len();
            found.push((name.clone(), file, bytes));
        }
    }
    if json {
        let row = |(run, file, bytes): &(String, PathBuf, u64)| json!({ "run_id": run, "file": file.to_string_lossy(), "bytes": bytes });
        return output::json(&found.iter().map(row).collect());
    }
    if found.is_empty() {
        return output::line(&format!("No snapshot in {}.", folder.display()));
    }
    let mut rows = vec![["run", "tick", "size", "file"].map(String::from)];
    for (run, file, bytes) in &found {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let tick = stem.parse::<u64>().map_or_else(|_| "-".to_owned(), |tick| tick.to_string());
        rows.push([run.clone(), tick, output::bytes(*bytes), file.display().to_string()]);
    }
    output::print(&output::columns(&rows))
}

fn facts(found: &Found) -> Value {
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
    let facts = facts(&read(file)?.map_err(|why| anyhow!(snapshots::damage(file, &why)))?);
    if json {
        return output::json(&facts);
    }
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let rows: Vec<[String; 2]> =
        facts.as_object().into_iter().flatten().map(|(name, value)| [name.clone(), shown(value)]).collect();
    output::print(&output::columns(&rows))
}

fn validate(files: &[PathBuf], json: bool) -> Result<ExitCode> {
    let mut rows = Vec::new();
    let mut whole = true;
    for file in files {
        if file.is_dir() {
            bail!("{}: it is a folder; name the snapshots in it.", file.display());
        }
        let row = match read(file)? {
            Ok(Found { town, .. }) => {
                let says = format!("{}: whole. Tick {}, digest {}.", file.display(), town.tick(), town.digest());
                let digest = town.digest();
                let row = json!({ "file": file.to_string_lossy(), "ok": true, "tick": town.tick(), "digest": digest, "layout": snapshot::VERSION });
                (says, row)
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
        for (says, _) in rows {
            output::line(&says)?;
        }
    }
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(super::EXIT_CHECK_FAILED) })
}

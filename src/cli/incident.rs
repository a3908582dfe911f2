//! `townlet incident`: a bundle of everything that explains what happened to a run, and the incidents of a home.
//!
//! Owns the telling; what goes in stands in `shard::incident`. Works from files, so also on a shard that is dead. Rule:
//! "Incidents".

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use serde_json::json;

use super::output;
use townlet_shard::Home;
use townlet_shard::incident::{self, Incident};
use townlet_wire::text::escape;

/// `townlet incident`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Subcommand,
}

#[derive(clap::Subcommand, Debug)]
enum Subcommand {
    /// Packs what there is of a run: logs, journal, snapshot, the command that replays it; says what could not be had
    Bundle(Bundle),
    /// Lists the incidents of a home, oldest first
    List {
        /// The folder the shard keeps its files in
        #[arg(long, value_name = "DIR", default_value = ".")]
        home: PathBuf,
        /// For a program: a JSON array
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Args, Debug)]
struct Bundle {
    /// The folder the shard keeps its files in
    #[arg(long, value_name = "DIR", default_value = ".")]
    home: PathBuf,
    /// The newest run of this shard; without it, the newest of all
    #[arg(long, value_name = "NAME", conflicts_with = "run")]
    shard: Option<String>,
    /// This run
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Into this file, and no note; otherwise into `ops/incidents` of the home
    #[arg(long, value_name = "FILE.tar.zst")]
    output: Option<PathBuf>,
    /// For a program: one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs it.
///
/// # Errors
/// A home without such a run, or a file that cannot be written.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    match &args.command {
        Subcommand::Bundle(args) => bundle(args)?,
        Subcommand::List { home, json } => list(&Home::new(home), *json)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn bundle(args: &Bundle) -> Result<()> {
    let home = Home::new(&args.home);
    if let Some(path) = &args.output {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if path.exists() || !folder.is_dir() {
            bail!("--output {}: name a new file in a folder that exists.", path.display());
        }
    }
    let (run_id, root) =
        incident::find(&home, args.shard.as_deref(), args.run.as_deref()).map_err(|why| anyhow!(why))?;
    let made = incident::take(&home, &run_id, &root, args.output.as_deref()).map_err(|why| anyhow!(why))?;
    if args.json {
        return output::json(&json!(made));
    }
    let path = if args.output.is_some() { PathBuf::from(&made.bundle) } else { args.home.join(&made.bundle) };
    output::line(&format!("{}: {}, {}", escape(&made.run_id), path.display(), output::bytes(made.bytes)))?;
    if let Some((tick, digest)) = &made.replay {
        output::line(&format!("its replay.tlj must reach tick {tick}, digest {digest}: `townlet replay replay.tlj`"))?;
    }
    for lack in &made.lacking {
        output::line(&format!("not in it: {}", escape(lack)))?;
    }
    Ok(())
}

fn list(home: &Home, json: bool) -> Result<()> {
    output::require_home(home.folder())?;
    let (kept, unread) = (incident::kept(home), incident::unread(home));
    for (folder, why) in &unread {
        let folder = escape(&folder.display().to_string());
        output::stderr!(
            "{folder}: the incident's record cannot be read; its note and bundle may be whole. {}",
            escape(why)
        );
    }
    if json {
        return output::json(&json!(kept));
    }
    if kept.is_empty() && unread.is_empty() {
        return output::line(&format!("{}: no incidents.", home.incidents().display()));
    }
    let row = |it: &Incident| {
        let bundle = if home.folder().join(&it.bundle).exists() { output::bytes(it.bytes) } else { "gone".into() };
        [it.id.clone(), it.kind.tag(), it.run_id.clone(), bundle, it.headline.clone()]
    };
    let head = ["id", "tag", "run", "bundle", "what"].map(str::to_owned);
    let lost = unread.iter().map(|(folder, _)| {
        let id = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        [id, "?".into(), String::new(), String::new(), "its record cannot be read".into()]
    });
    let rows: Vec<_> = std::iter::once(head).chain(kept.iter().map(row)).chain(lost).collect();
    output::print(&output::columns(&rows))
}

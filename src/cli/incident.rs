//! `townlet incident`: creates evidence bundles and lists incidents. Rule: "Incidents".
//!
//! Works from files, so also for a crashed shard. The content of a bundle is defined in `townlet_shard::incident`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use serde_json::json;

use super::output;
use townlet_shard::Home;
use townlet_shard::incident::{self, Incident};
use townlet_wire::escape;

#[derive(clap::Subcommand, Debug)]
pub(super) enum Subcommand {
    /// Bundle the logs, journal and snapshot of a run with a command to replay it; report missing parts
    Bundle(Bundle),
    /// List the incidents of a home, oldest first
    List {
        /// Home folder of the shard
        #[arg(long, value_name = "DIR", default_value = ".")]
        home: PathBuf,
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Args, Debug)]
pub(super) struct Bundle {
    /// Home folder of the shard
    #[arg(long, value_name = "DIR", default_value = ".")]
    home: PathBuf,
    /// Bundle the newest run of this shard [default: the newest run of all shards]
    #[arg(long, value_name = "NAME", conflicts_with = "run")]
    shard: Option<String>,
    /// Bundle this run
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Write the bundle to FILE, without a note [default: a new folder in ops/incidents of the home]
    #[arg(long, value_name = "FILE.tar.zst")]
    output: Option<PathBuf>,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Subcommand) -> Result<ExitCode> {
    match command {
        Subcommand::Bundle(args) => bundle(args)?,
        Subcommand::List { home, json } => list(&Home::new(home), *json)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn bundle(args: &Bundle) -> Result<()> {
    output::require_home(&args.home)?;
    let home = Home::new(&args.home);
    if let Some(path) = &args.output {
        output::require_new_file(path).context("--output")?;
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
        output::line(&format!("verify with `townlet replay replay.tlj`: tick {tick}, digest {digest}"))?;
    }
    for item in &made.missing {
        output::line(&format!("missing: {}", escape(item)))?;
    }
    Ok(())
}

fn list(home: &Home, json: bool) -> Result<()> {
    output::require_home(home.folder())?;
    let (kept, unread) = (incident::kept(home), incident::unread(home));
    for (folder, why) in &unread {
        let folder = escape(&folder.display().to_string());
        output::stderr!("{folder}: cannot read the incident's record; note and bundle may be intact. {}", escape(why));
    }
    if json {
        return output::json(&json!(kept));
    }
    if kept.is_empty() && unread.is_empty() {
        return output::line(&format!("{}: no incidents.", home.incidents().display()));
    }
    let row = |it: &Incident| {
        let bundle = match (it.is_finished(), home.folder().join(&it.bundle).exists()) {
            (false, _) => "not finished".into(),
            (true, true) => output::bytes(it.bytes),
            (true, false) => "deleted".into(),
        };
        [it.id.clone(), it.kind.tag(), it.run_id.clone(), bundle, it.headline.clone()]
    };
    let head = ["id", "tag", "run", "bundle", "headline"].map(str::to_owned);
    let unreadable = unread.iter().map(|(folder, _)| {
        let id = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        [id, "?".into(), String::new(), String::new(), "record cannot be read".into()]
    });
    let rows: Vec<_> = std::iter::once(head).chain(kept.iter().map(row)).chain(unreadable).collect();
    output::print(&output::columns(&rows))
}

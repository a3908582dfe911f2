//! `townlet audit checkpoint`, `known` and `forget`: signed checkpoints of a home's audit log, and those seen of other shards.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::json;

use super::connect::{ConnectArgs, runtime};
use super::{output, user_config};
use townlet_audit::{Checkpoint, CheckpointKey, PublicKey, Record, durable_line};
use townlet_shard::Home;
use townlet_source::remote::KnownShards;
use townlet_wire::escape;

/// Largest file with a checkpoint, in bytes.
const MAX_FILE: u64 = 4 * 1024;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Home folder of the shard
    #[arg(long, value_name = "DIR", default_value = ".")]
    home: PathBuf,
    /// Run [default: the newest]
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Number of the line [default: the newest durable one]
    #[arg(long, value_name = "SEQ")]
    at: Option<u64>,
    /// Print the public key that proves the shard's checkpoints instead
    #[arg(long, conflicts_with = "at")]
    public_key: bool,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    output::require_home(&args.home)?;
    let home = Home::new(&args.home);
    let folder = home.console();
    let run =
        args.run.clone().or_else(|| home.all_runs().into_iter().rev().find(|run| first_line(&folder, run).is_ok()));
    let run =
        run.with_context(|| format!("{}: no audit log. Name the shard's home with `--home`.", folder.display()))?;
    let shard = first_line(&folder, &run)?.shard;
    let key = CheckpointKey::open(&home.checkpoint_key(&shard), &shard).map_err(|why| anyhow!(why))?;
    if args.public_key {
        output::line(&key.public().to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let (seq, hash) = durable_line(&folder, &run, args.at).with_context(|| folder.display().to_string())?;
    output::print(&key.sign(&run, seq, &hash))?;
    Ok(ExitCode::SUCCESS)
}

/// The first record of a run, which names its shard.
fn first_line(folder: &Path, run: &str) -> Result<Record> {
    let path = folder.join(format!("{run}-0001.jsonl"));
    let mut line = Vec::new();
    let file = townlet_files::open(&path).map_err(|error| output::read_error(&path, &error))?;
    BufReader::new(std::io::Read::take(file, 1 << 20)).read_until(b'\n', &mut line)?;
    Record::parse(&line).map_err(|why| anyhow!("{}:1: {why}", escape(&path.display().to_string())))
}

/// The checkpoint in a file, or the newest one of the shard at an address.
pub(super) fn read(text: &str) -> Result<Checkpoint> {
    let name = escape(text);
    if !text.contains("://") {
        let note = output::read_text(Path::new(text), MAX_FILE)?;
        return Checkpoint::parse(&note).map_err(|why| anyhow!("--checkpoint {name}: {why}"));
    }
    let client = ConnectArgs::to(text).single_target(&user_config::load()?)?.client;
    let (note, key) = runtime()?
        .block_on(client.checkpoint(None))
        .map_err(|why| anyhow!("--checkpoint {name}: {}", why.message()))?;
    let opened = PublicKey::parse(&key).and_then(|key| key.open(&note));
    opened.map_err(|why| anyhow!("--checkpoint {name}: {why}"))
}

fn known_shards() -> Result<KnownShards> {
    let path = townlet_tui::files::known_shards_file();
    Ok(KnownShards::at(path.context("there is no state folder for this user: set HOME or XDG_STATE_HOME.")?))
}

/// Lists what this user has seen.
pub(super) fn known(json: bool) -> Result<ExitCode> {
    let shards = known_shards()?.load().map_err(|why| anyhow!(why))?;
    if json {
        output::json(&json!(shards))?;
        return Ok(ExitCode::SUCCESS);
    }
    if shards.is_empty() {
        output::line("No shard has been seen yet. `observe` and `console` remember the shards they connect to.")?;
        return Ok(ExitCode::SUCCESS);
    }
    for (url, shard) in shards {
        output::line(&escape(&format!("{url}  {}", shard.key)))?;
        for line in shard.runs {
            output::line(&escape(&format!("  {}:{}  {}", line.run_id, line.seq, line.hash)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Forgets a shard.
pub(super) fn forget(url: &str) -> Result<ExitCode> {
    let known = known_shards()?;
    ensure!(
        known.forget(url).map_err(|why| anyhow!(why))?,
        "{}: not a known shard. `townlet audit known` lists them.",
        escape(url)
    );
    output::line(&format!("Forgot {}. It is trusted at the next connection as it is then.", escape(url)))?;
    Ok(ExitCode::SUCCESS)
}

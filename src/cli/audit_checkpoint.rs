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

/// A public key, or the one that a file holds.
pub(super) fn public_key(text: &str) -> Result<PublicKey> {
    let path = Path::new(text);
    let key = if path.exists() { output::read_text(path, MAX_FILE)? } else { text.to_owned() };
    PublicKey::parse(&key).map_err(|why| anyhow!("--checkpoint-key {}: {why}", escape(text)))
}

/// The keys that may have signed the checkpoints to be read.
pub(super) struct SignerKeys<'a> {
    /// Those that were named. Without any, it is those that this user has seen, then those of the homes.
    pub(super) named: &'a [PublicKey],
    /// The homes that are verified.
    pub(super) homes: Vec<Home>,
}

impl SignerKeys<'_> {
    /// The keys of the shard of a checkpoint.
    fn of(&self, checkpoint: &Checkpoint) -> Result<Vec<PublicKey>> {
        if !self.named.is_empty() {
            return Ok(self.named.to_vec());
        }
        let known = known_keys(|_| true)?.into_iter().filter(|key| key.shard() == checkpoint.shard).collect::<Vec<_>>();
        if !known.is_empty() {
            return Ok(known);
        }
        let own = |home: &Home| {
            let key = CheckpointKey::find(&home.checkpoint_key(&checkpoint.shard), &checkpoint.shard);
            key.map(|key| key.map(|key| key.public())).transpose()
        };
        self.homes.iter().filter_map(own).collect::<Result<_, _>>().map_err(|why| anyhow!(why))
    }

    /// Checks the signature of a note and reads it.
    fn open(&self, note: &str) -> Result<Checkpoint> {
        let unsigned = Checkpoint::parse(note).map_err(|why| anyhow!(why))?;
        let keys = self.of(&unsigned)?;
        let hint = "Pass `--checkpoint-key` with what `townlet audit checkpoint --public-key` printed for the shard.";
        let shard = &unsigned.shard;
        let first = keys.first().with_context(|| {
            format!("its signature cannot be checked: no key of the shard `{shard}` is known here. {hint}")
        })?;
        match keys.iter().find_map(|key| key.open(note).ok()) {
            Some(checkpoint) => Ok(checkpoint),
            None => first
                .open(note)
                .map_err(|why| anyhow!("{why} It was changed, or the shard has another key now. {hint}")),
        }
    }
}

/// The checkpoint in a file, or the newest one of the shard at an address, if its signature fits.
pub(super) fn read(text: &str, keys: &SignerKeys<'_>) -> Result<Checkpoint> {
    let named = |why: anyhow::Error| anyhow!("--checkpoint {}: {why:#}", escape(text));
    if !text.contains("://") {
        return keys.open(&output::read_text(Path::new(text), MAX_FILE)?).map_err(named);
    }
    let client = ConnectArgs::to(text).single_target(&user_config::load()?)?.client;
    let (note, key) = runtime()?.block_on(client.checkpoint(None)).map_err(|why| named(anyhow!(why.message())))?;
    let mut seen = known_keys(|url| url == text)?;
    if seen.is_empty() {
        // A shard that was never seen is trusted once, as `observe` does.
        seen.push(PublicKey::parse(&key).map_err(|why| named(anyhow!(why)))?);
    }
    let named_keys = if keys.named.is_empty() { &seen } else { keys.named };
    SignerKeys { named: named_keys, homes: Vec::new() }.open(&note).map_err(named)
}

/// The keys that this user has seen at these addresses.
fn known_keys(at: impl Fn(&str) -> bool) -> Result<Vec<PublicKey>> {
    let Some(path) = townlet_tui::files::known_shards_file() else { return Ok(Vec::new()) };
    let shards = KnownShards::at(path).load().map_err(|why| anyhow!(why))?;
    let seen = shards.iter().filter(|(url, _)| at(url)).flat_map(|(_, seen)| seen);
    Ok(seen.filter_map(|shard| PublicKey::parse(&shard.key).ok()).collect())
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
    let each = shards.into_iter().flat_map(|(url, here)| here.into_iter().map(move |shard| (url.clone(), shard)));
    for (url, shard) in each {
        output::line(&escape(&format!("{url} {}  {}", shard.name(), shard.key)))?;
        for line in shard.runs {
            output::line(&escape(&format!("  {}:{}  {}", line.run_id, line.seq, line.hash)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Forgets the shard of this name at an address, or every shard there.
pub(super) fn forget(url: &str, name: Option<&str>) -> Result<ExitCode> {
    // As clients write it.
    let url = url.trim_end_matches('/');
    let forgotten = known_shards()?.forget(url, name).map_err(|why| anyhow!(why))?;
    let of = name.map_or_else(String::new, |name| format!(", shard {}", escape(name)));
    ensure!(!forgotten.is_empty(), "{}{of}: not a known shard. `townlet audit known` lists them.", escape(url));
    for name in forgotten {
        let name = escape(&name);
        output::line(&format!(
            "Forgot shard {name} at {}. The next connection trusts what it sees there.",
            escape(url)
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

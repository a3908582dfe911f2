//! The configuration of a resumed run. A run keeps its own; what the files say otherwise is told and kept for `reload_config`,
//! so that a restart never fails because a file was edited. `--strict-config` refuses it instead.

use anyhow::{Context, Result, anyhow, bail};
use townlet_town::config::{Difference, Layer};
use townlet_town::{Rules, reload};

use super::config_sources::{self, ConfigSources};
use super::run::LaunchArgs;
use townlet_shard::{Home, ResumableRun};

/// Differences named in a message.
const NAMED: usize = 12;

/// The configuration stored in the run that is to be resumed, because the files cannot be used. The error is theirs when there
/// is no such run.
pub(super) fn stored(args: &LaunchArgs, error: anyhow::Error) -> Result<ConfigSources> {
    let home = Home::new(&args.home);
    let recorded = match run_without_config(&home, args.resume.as_deref().unwrap_or_default()) {
        Ok(recorded) => recorded,
        Err(why) => {
            return Err(error.context(format!("the configuration cannot be used, and no run was resumed: {why}")));
        }
    };
    let unusable = format!(
        "the configuration cannot be used: {}. {} runs on with the configuration that it has stored. Correct the file, then \
         send `reload_config`.",
        config_sources::one_line(&error).trim_end_matches('.'),
        recorded.run_id
    );
    Ok(config_sources::stored(&args.config, args.flags(), recorded.sources, unusable))
}

/// The named run, or the one that was served or on screen last, whatever its shard. The configuration would say which shard.
fn run_without_config(home: &Home, named: &str) -> Result<ResumableRun> {
    let run = if named.is_empty() {
        let mut locked = home.locked_runs();
        match (locked.pop(), locked.as_slice()) {
            (Some(run), []) => run,
            (None, _) => home.all_runs().pop().context("there is none in this home.")?,
            (Some(run), others) => {
                bail!("this home has runs of several shards: {run}, {}. Name one: `--resume RUN`.", others.join(", "))
            }
        }
    } else {
        named.to_owned()
    };
    let shard = run.split_once('-').map_or("", |(shard, _)| shard);
    // The folder of the snapshots is needed only for a run whose journal is missing.
    townlet_shard::find_run(home, shard, Some(&run), "snapshots").map_err(|why| anyhow!("{why}"))
}

/// What the files say otherwise than the run, as a sentence; nothing when they agree, or say what was reloaded last.
pub(super) fn difference(args: &LaunchArgs, input: &ConfigSources, recorded: &ResumableRun) -> Result<Option<String>> {
    if input.unusable.is_some() {
        return Ok(input.unusable.clone());
    }
    let asked = |key: &str| {
        let row = input.loaded.settings.iter().find(|row| row.key == key);
        args.config.config.is_some() || row.is_some_and(|row| row.layer != Layer::Default)
    };
    let mut differs = differences(input, recorded);
    differs.retain(|it| asked(&it.key));
    // The last reloaded configuration applies, even if its journal entry was lost.
    let reloaded = || townlet_shard::last_reload_digest(&Home::new(&args.home), &recorded.run_id).ok().flatten();
    if differs.is_empty() || (differs.iter().all(|it| it.hot) && reloaded() == Some(input.sources.digest())) {
        return Ok(None);
    }
    if args.strict_config {
        let keys: Vec<String> = differs.into_iter().map(|it| it.key).collect();
        bail!(
            "{} was started with another configuration: {} {}. Resume it without `--strict-config`, which keeps the run's own, \
             or start a new run without `--resume`. To change settings of a running town, use `reload_config`.",
            recorded.run_id,
            keys.join(", "),
            if keys.len() == 1 { "differs" } else { "differ" }
        );
    }
    Ok(Some(sentence(&recorded.run_id, &differs)))
}

/// Every setting that differs, those of the files that the configuration names too, if they make a town.
fn differences(input: &ConfigSources, recorded: &ResumableRun) -> Vec<Difference> {
    if recorded.sources == input.sources {
        return Vec::new();
    }
    let rules = |sources: &townlet_town::Sources| Rules::new(sources.clone());
    match (rules(&recorded.sources), rules(&input.sources)) {
        (Ok(own), Ok(new)) => reload::changes(&own, &new),
        _ => townlet_town::config::diff(&recorded.config, &input.loaded.config),
    }
}

fn sentence(run_id: &str, differs: &[Difference]) -> String {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".to_owned());
    let shown = |it: &&Difference| format!("{} {} -> {}", it.key, value(&it.left), value(&it.right));
    let part = |hot: bool, end: &str| {
        let all: Vec<String> = differs.iter().filter(|it| it.hot == hot).map(|it| shown(&it)).collect();
        let more = all.len().saturating_sub(NAMED);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        (!all.is_empty()).then(|| format!("{}{more} ({end})", all[..all.len().min(NAMED)].join(", ")))
    };
    let parts = [part(true, "`reload_config` applies it"), part(false, "only a new run can have it")];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("the configuration was changed, and {run_id} runs on with its own: {}.", parts.join("; "))
}

//! `townlet policy`: lists trained policies, shows what one is, and finds the one a town is to be driven by.
//!
//! Owns how a name becomes a policy: `shipped`, `scripted`, or a checkpoint's id. What a checkpoint is stands in
//! `townlet_learn::checkpoint`. Rule: "Checkpoints".

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use townlet_learn::checkpoint::{Checkpoint, Registry};
use townlet_learn::{Choice, NetworkPolicy};
use townlet_town::Rules;

use super::ConfigArgs;
use super::plain;
use super::texts::{self, Texts};
use crate::shard::Driver;

/// Policies that need no checkpoint. `shipped` is the scripted one until a trained one is shipped.
const WITHOUT: [&str; 2] = ["shipped", "scripted"];

/// `townlet policy`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// Lists the checkpoints of a home: those released, and the shadows of trainings
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Shows what a checkpoint is made for, where it comes from, and its tensors
    Inspect {
        /// Its id, as `list` shows it
        id: String,
        #[command(flatten)]
        place: Place,
    },
}

/// Where checkpoints are looked for.
#[derive(clap::Args, Debug)]
struct Place {
    #[command(flatten)]
    config: ConfigArgs,
    /// The folder that holds them
    #[arg(long, value_name = "DIR", default_value = ".")]
    home: PathBuf,
    /// For a program: JSON
    #[arg(long)]
    json: bool,
}

/// Runs it.
///
/// # Errors
/// A checkpoint that cannot be read, and why.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    match &args.what {
        What::List { place } => list(place)?,
        What::Inspect { id, place } => inspect(id, place)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Released checkpoints, then shadows.
fn registries(home: &Path, texts: &Texts) -> [(&'static str, Registry); 2] {
    let policy = &texts.loaded.config.policy;
    [
        ("release", Registry::new(home.join(&policy.release_dir))),
        ("shadow", Registry::new(home.join(&policy.shadow_dir))),
    ]
}

/// A checkpoint by its id, wherever it is.
///
/// # Errors
/// Why it is refused, or where it was looked for.
pub(super) fn checkpoint(home: &Path, texts: &Texts, id: &str) -> Result<Checkpoint> {
    let registries = registries(home, texts);
    for (_, registry) in &registries {
        if registry.path(id).is_file() {
            return Ok(registry.load(id)?);
        }
    }
    let folders: Vec<String> = registries.iter().map(|(_, registry)| registry.folder().display().to_string()).collect();
    bail!(
        "there is no policy `{id}`: it is neither {} nor a checkpoint in {}. `townlet policy list` shows them.",
        WITHOUT.join(" nor "),
        folders.join(" or ")
    )
}

/// Who drives the residents of a town: what `policy.release` names. Only released checkpoints are taken.
///
/// # Errors
/// Why it is refused; nothing runs then.
pub(super) fn driver(home: &Path, texts: &Texts) -> Result<Driver> {
    let policy = &texts.loaded.config.policy;
    if WITHOUT.contains(&policy.release.as_str()) {
        return Ok(Driver::Scripted);
    }
    let [(_, released), (_, shadows)] = registries(home, texts);
    let load = || -> Result<Driver> {
        let checkpoint = released.load(&policy.release)?;
        let rules = Rules::new(texts.sources.clone())?;
        Ok(Driver::Network(Box::new(NetworkPolicy::new(&checkpoint, &rules, Choice::default())?)))
    };
    load().with_context(|| {
        let hint = if shadows.path(&policy.release).is_file() {
            format!(
                " It is a shadow; copy {} to {} to release it.",
                shadows.path(&policy.release).display(),
                released.folder().display()
            )
        } else {
            format!(" There are {} and the checkpoints of {}.", WITHOUT.join(", "), released.folder().display())
        };
        format!("policy.release: `{}` cannot drive this town.{hint}", policy.release)
    })
}

fn list(place: &Place) -> Result<()> {
    let texts = texts::load(&place.config, Vec::new())?;
    let mut rows = vec![["id", "kind", "steps", "score", "observations", "config", "parent"].map(str::to_owned)];
    let mut values = Vec::new();
    for (kind, registry) in registries(&place.home, &texts) {
        for id in registry.ids() {
            match registry.load(&id) {
                Ok(it) => {
                    let score = it.meta.town_score.map_or_else(|| "–".into(), |score| format!("{score:.3}"));
                    let parent = it.meta.parent.clone().unwrap_or_else(|| "–".into());
                    let (steps, seen) = (it.meta.steps.to_string(), it.meta.observations.clone());
                    rows.push([id.clone(), kind.into(), steps, score, seen, it.meta.config_id.clone(), parent]);
                    values.push(json!({ "id": id, "kind": kind, "meta": it.meta }));
                }
                Err(why) => {
                    let [score, seen, config, parent] = std::array::from_fn(|_| String::new());
                    rows.push([id.clone(), kind.into(), why.to_string(), score, seen, config, parent]);
                    values.push(json!({ "id": id, "kind": kind, "refused": why.to_string() }));
                }
            }
        }
    }
    if place.json {
        return plain::json(&Value::Array(values));
    }
    if values.is_empty() {
        return plain::line("No checkpoints here. `townlet train` makes some.");
    }
    plain::print(&plain::columns(&rows))
}

fn inspect(id: &str, place: &Place) -> Result<()> {
    let texts = texts::load(&place.config, Vec::new())?;
    let it = checkpoint(&place.home, &texts, id)?;
    let fits = it.fits(&Rules::new(texts.sources.clone())?).err().map(|why| why.to_string());
    let scale = it.normalizer.columns();
    let tensors = || it.weights.columns.iter().chain(&scale);
    if place.json {
        let tensors: Vec<Value> =
            tensors().map(|column| json!({ "name": column.name, "shape": column.shape })).collect();
        return plain::json(&json!({ "id": it.id, "meta": it.meta, "tensors": tensors, "refused_here": fits }));
    }
    let meta = &it.meta;
    let text = |value: Option<String>| value.unwrap_or_else(|| "–".into());
    let mut rows = vec![
        ["id".to_owned(), it.id.clone()],
        ["config_id".into(), meta.config_id.clone()],
        ["observations".into(), format!("{} ({})", meta.observations, meta.layout_hash)],
        ["options".into(), meta.options.join(" ")],
        ["hidden".into(), format!("{} and {}", meta.hidden[0], meta.hidden[1])],
        ["steps".into(), format!("{} in {} updates", meta.steps, meta.updates)],
        ["seed".into(), meta.seed.to_string()],
        ["warm start".into(), if meta.warm_start { "scripted" } else { "none" }.into()],
        ["trained with".into(), meta.training_hash.clone()],
        ["parent".into(), text(meta.parent.clone())],
        ["town score".into(), text(meta.town_score.map(|score| format!("{score:.3} in training")))],
        ["fits".into(), fits.map_or_else(|| "this configuration".into(), |why| format!("not here: {why}"))],
    ];
    rows.extend(meta.kpis.iter().map(|kpi| [kpi.name.clone(), text(kpi.value.map(|value| format!("{value:.3}")))]));
    rows.extend(tensors().map(|column| [column.name.clone(), format!("{:?}", column.shape)]));
    plain::print(&plain::columns(&rows))
}

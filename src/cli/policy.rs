//! `townlet policy`: lists and inspects trained policies. Rule: "Checkpoints".

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use serde_json::{Value, json};
use townlet_learn::checkpoint::{Checkpoint, Meta};
use townlet_learn::network::Output;
use townlet_learn::train::Evaluation;
use townlet_learn::{Choice, NetworkPolicy};
use townlet_town::observations::layout;
use townlet_town::{Rules, Town};

use super::ConfigArgs;
use super::config_sources;
use super::output;
use townlet_shard::policies::{PolicyCatalog, SCRIPTED, shipped};
use townlet_tui::format::count;

#[derive(clap::Subcommand, Debug)]
pub(super) enum Subcommand {
    /// List the shipped policy and the checkpoints of a home: releases, shadows and trials of sweeps
    List {
        #[command(flatten)]
        catalog: CatalogArgs,
    },
    /// Show the metadata and tensors of a checkpoint
    Inspect {
        /// Checkpoint id, path of a checkpoint, or `shipped`
        id: String,
        /// Print observations after half a day of a town with this seed, and the network's logits and values for them, as
        /// JSON, to verify another implementation of the network
        #[arg(long, value_name = "SEED")]
        probe: Option<u64>,
        #[command(flatten)]
        catalog: CatalogArgs,
    },
}

/// Options that select the checkpoints.
#[derive(clap::Args, Debug)]
pub(super) struct CatalogArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Home folder with the checkpoints
    #[arg(long, value_name = "DIR", default_value = ".")]
    home: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Subcommand) -> Result<ExitCode> {
    match command {
        Subcommand::List { catalog } => list(catalog)?,
        Subcommand::Inspect { id, probe, catalog } => inspect(id, *probe, catalog)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Why the shipped policy cannot control a town with these rules or was not trained on such towns, if `policy.release`
/// selects it.
pub(super) fn release_mismatch(rules: &Rules) -> Option<String> {
    let (release, shipped) = (rules.config.policy.release.as_str(), shipped().ok()?);
    let named = release == "shipped" || release == shipped.id;
    let shipped = named.then_some(shipped)?;
    match (shipped.fits(rules), shipped.reason_outside(rules)) {
        (Err(why), _) => Some(format!("policy.release: {why}. `policy.release: scripted` works with any town.")),
        (Ok(()), Some(why)) => {
            Some(format!("policy.release: this town lies outside the trained range of `{}`: {why}.", shipped.id))
        }
        (Ok(()), None) => None,
    }
}

fn list(catalog: &CatalogArgs) -> Result<()> {
    let input = config_sources::load(&catalog.config, Vec::new())?;
    let mut rows =
        vec![["id", "kind", "steps", "score", "held out", "observations", "config", "parent"].map(str::to_owned)];
    let mut values = Vec::new();
    let mut found = vec![("shipped", "shipped".to_owned(), shipped().map_err(|why| why.to_string()))];
    for (kind, registry) in PolicyCatalog::of(&catalog.home, &input.loaded.config.policy).registries() {
        let load = |id: String| {
            let loaded = registry.load(&id).map_err(|why| why.to_string());
            (kind, id, loaded)
        };
        found.extend(registry.ids().into_iter().map(load));
    }
    let surpassed: Vec<String> = found
        .iter()
        .filter_map(|(_, _, loaded)| loaded.as_ref().ok().filter(|it| is_best_so_far(it)))
        .filter_map(|it| it.meta.best_before.clone())
        .collect();
    for (kind, id, loaded) in found {
        match loaded {
            Ok(it) => {
                let score = it.meta.town_score.map_or_else(|| "–".into(), |score| format!("{score:.3}"));
                let parent = it.meta.parent.clone().unwrap_or_else(|| "–".into());
                let (steps, seen) = (it.meta.steps.to_string(), it.meta.observations.clone());
                let best = is_best_so_far(&it) && !surpassed.contains(&it.id);
                let held_out = it.meta.evaluation.as_ref().and_then(|evaluation| evaluation.score);
                let held_out = held_out.map_or_else(|| "–".into(), |score| format!("{score:.3}"))
                    + if best { " best" } else { "" };
                let config = it.meta.config_id.clone();
                rows.push([it.id.clone(), kind.into(), steps, score, held_out, seen, config, parent]);
                values.push(json!({ "id": it.id, "kind": kind, "best": best, "meta": it.meta }));
            }
            Err(why) => {
                let [score, held_out, seen, config, parent] = std::array::from_fn(|_| String::new());
                rows.push([id.clone(), kind.into(), why.clone(), score, held_out, seen, config, parent]);
                values.push(json!({ "id": id, "kind": kind, "refused": why }));
            }
        }
    }
    if catalog.json {
        return output::json(&Value::Array(values));
    }
    output::print(&output::columns(&rows))
}

/// The policy that its training imitated.
fn warm_start(meta: &Meta) -> String {
    // Older checkpoints imitated the scripted policy alone, and do not name it.
    let unnamed = if meta.warm_start { SCRIPTED } else { "none" };
    meta.imitated.clone().unwrap_or_else(|| unnamed.into())
}

/// Whether it was the best of its training when it was made.
fn is_best_so_far(it: &Checkpoint) -> bool {
    it.meta.evaluation.as_ref().is_some_and(|evaluation| evaluation.best)
}

/// Rows of the evaluation in training.
fn evaluation_rows(it: &Checkpoint) -> Vec<[String; 2]> {
    let Some(evaluation) = &it.meta.evaluation else {
        let best = it.meta.best_before.iter().map(|best| ["best before".into(), best.clone()]);
        return best.collect();
    };
    let Evaluation { seed, towns, days, .. } = evaluation;
    let score = evaluation.score.map_or_else(|| "–".into(), |score| format!("{score:.4}"));
    let per_1000 = |events: u64, rate: f64| format!("{events}, or {rate:.2} per 1,000 resident-days");
    let best = if evaluation.best { Some("this one".into()) } else { it.meta.best_before.clone() };
    vec![
        [
            "held-out score".into(),
            format!(
                "{score} on {} of {}, seeds from {seed}",
                count(u64::from(*towns), "town"),
                count(u64::from(*days), "day")
            ),
        ],
        ["starved, held out".into(), per_1000(evaluation.starvation_events, evaluation.starvation_rate)],
        ["exits, held out".into(), per_1000(evaluation.involuntary_exits, evaluation.involuntary_exit_rate)],
        ["best so far".into(), best.unwrap_or_else(|| "–".into())],
    ]
}

fn inspect(id: &str, seed: Option<u64>, catalog: &CatalogArgs) -> Result<()> {
    let input = config_sources::load(&catalog.config, Vec::new())?;
    let it = PolicyCatalog::of(&catalog.home, &input.loaded.config.policy).checkpoint(id)?;
    let rules = Arc::new(Rules::new(input.sources)?);
    if let Some(seed) = seed {
        return output::json(&probe(&it, &rules, seed)?);
    }
    let fits = it.fits(&rules).err().map(|why| why.to_string());
    let scale = it.normalizer.tensors();
    let tensors = || it.weights.tensors.iter().chain(&scale);
    if catalog.json {
        let tensors: Vec<Value> =
            tensors().map(|column| json!({ "name": column.name, "shape": column.shape })).collect();
        return output::json(&json!({ "id": it.id, "meta": it.meta, "tensors": tensors, "refused_here": fits,
            "outside_range": it.reason_outside(&rules) }));
    }
    let meta = &it.meta;
    let text = |value: Option<String>| value.unwrap_or_else(|| "–".into());
    let mut rows = vec![
        ["id".to_owned(), it.id.clone()],
        ["config_id".into(), meta.config_id.clone()],
        ["observations".into(), format!("{} ({})", meta.observations, meta.layout_hash)],
        ["options".into(), meta.options.join(" ")],
        ["hidden".into(), format!("{} and {}", meta.hidden[0], meta.hidden[1])],
        ["steps".into(), format!("{} in {}", meta.steps, count(meta.updates, "update"))],
        ["seed".into(), meta.seed.to_string()],
        ["warm start".into(), warm_start(meta)],
        ["started from".into(), text(meta.started_from.clone())],
        ["trained with".into(), meta.training_hash.clone()],
        ["parent".into(), text(meta.parent.clone())],
        ["town score".into(), text(meta.town_score.map(|score| format!("{score:.3} in training")))],
        ["trained on".into(), it.meta.towns.as_ref().map_or_else(|| meta.config_id.clone(), ToString::to_string)],
        ["range".into(), it.reason_outside(&rules).map_or_else(|| "inside".into(), |why| format!("outside: {why}"))],
        ["fits".into(), fits.map_or_else(|| "this configuration".into(), |why| format!("no: {why}"))],
    ];
    rows.extend(evaluation_rows(&it));
    rows.extend(meta.kpis.iter().map(|kpi| [kpi.name.clone(), text(kpi.value.map(|value| format!("{value:.3}")))]));
    rows.extend(tensors().map(|column| [column.name.clone(), format!("{:?}", column.shape)]));
    output::print(&output::columns(&rows))
}

/// Observations before normalisation, with the logits and values of the network.
fn probe(it: &Checkpoint, rules: &Arc<Rules>, seed: u64) -> Result<Value> {
    let mut policy = NetworkPolicy::new(it, rules, Choice::Greedy)?;
    let mut town = Town::new(Arc::clone(rules), seed);
    for _ in 0..rules.day_length() / 2 {
        town.step(&mut policy);
        town.clear_events();
    }
    let shape = it.shape();
    let residents = &town.state().agents.present;
    let mut rows = vec![0.0; residents.len() * shape.observation];
    layout(rules.config.features.systems.observations).observe_all(&town, &mut rows);
    let observations: Vec<Vec<f32>> = rows.chunks_exact(shape.observation).map(<[f32]>::to_vec).collect();
    rows.chunks_exact_mut(shape.observation).for_each(|row| it.normalizer.scale(row));
    let mut out = Output::default();
    it.forward().run(&rows, &mut out);
    let logits: Vec<&[f32]> = out.logits.chunks_exact(shape.options).collect();
    let options = &it.meta.options;
    Ok(json!({
        "id": it.id, "seed": seed, "tick": town.tick(), "options": options,
        "observations": observations, "logits": logits, "values": out.values,
    }))
}

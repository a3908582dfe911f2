//! Loads the configuration from file, environment and flags, and the files that it names.
//!
//! A file name in a configuration is relative to the folder of the configuration file or a folder above it. Shipped files
//! are built in, and plans such as `drawn/10000-7.txt` are drawn.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use townlet_learn::drawn_towns;
use townlet_town::Sources;
use townlet_town::config::{Config, ConfigErrors, ENVIRONMENT_PREFIX, Layers, LoadedConfig, load as load_config};

use super::{ConfigArgs, output};
use townlet_shard::{ConfigFiles, ConfigReloader};

/// Built-in files by name.
const SHIPPED: [(&str, &str); 9] = [
    ("towns/default.txt", include_str!("../../configs/towns/default.txt")),
    ("towns/backlog.txt", include_str!("../../configs/towns/backlog.txt")),
    ("towns/crowded.txt", include_str!("../../configs/towns/crowded.txt")),
    ("towns/stress.txt", include_str!("../../configs/towns/stress.txt")),
    ("affordances.yaml", include_str!("../../configs/affordances.yaml")),
    ("perturbations/default.yaml", include_str!("../../configs/perturbations/default.yaml")),
    ("perturbations/none.yaml", include_str!("../../configs/perturbations/none.yaml")),
    ("perturbations/blackout.yaml", include_str!("../../configs/perturbations/blackout.yaml")),
    ("perturbations/price_spike.yaml", include_str!("../../configs/perturbations/price_spike.yaml")),
];

/// Maximum size of a file, in bytes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Number of folders searched, from that of the configuration file upwards.
const LEVELS: usize = 3;

/// The input from which a shard starts.
#[derive(Debug)]
pub(super) struct ConfigSources {
    /// The validated configuration with the origin of every value.
    pub(super) loaded: LoadedConfig,
    /// Configuration and named files of the town.
    pub(super) sources: Sources,
    /// Why the files cannot be used, if this is the configuration that a run has stored.
    pub(super) unusable: Option<String>,
    /// Files read from disk.
    files: Vec<String>,
    /// Reads everything again, for `reload_config`.
    pub(super) reloader: Option<ConfigReloader>,
}

/// Reads and validates the configuration and the files that it names.
pub(super) fn load(args: &ConfigArgs, flags: Vec<(String, String)>) -> anyhow::Result<ConfigSources> {
    let file = args.config.as_deref().map(read_file).transpose()?;
    let mut all = args.settings.clone();
    all.extend(flags.iter().cloned());
    let input = assemble(&Layers { file, environment: environment()?, flags: all }, args.config.as_deref())?;
    Ok(ConfigSources { reloader: Some(reloader(args, flags)), ..input })
}

/// The configuration that a run has stored, because the files cannot be used. They are read again for `reload_config`.
pub(super) fn stored(args: &ConfigArgs, flags: Vec<(String, String)>, sources: Sources, why: String) -> ConfigSources {
    let config = sources.config.clone();
    let loaded = LoadedConfig { config, settings: Vec::new(), warnings: Vec::new() };
    let reloader = Some(reloader(args, flags));
    ConfigSources { loaded, sources, unusable: Some(why), files: Vec::new(), reloader }
}

fn reloader(args: &ConfigArgs, flags: Vec<(String, String)>) -> ConfigReloader {
    let args = args.clone();
    ConfigReloader::new(move || read_again(&args, flags.clone()))
}

fn environment() -> anyhow::Result<Vec<(String, String)>> {
    let mut variables = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => variables.push((name, value)),
            Err(_) if name.starts_with(ENVIRONMENT_PREFIX) => bail!("{name}: the value is not UTF-8 text."),
            Err(_) => {}
        }
    }
    Ok(variables)
}

fn read_again(args: &ConfigArgs, flags: Vec<(String, String)>) -> Result<ConfigFiles, String> {
    let ConfigSources { loaded, sources, files, .. } = load(args, flags).map_err(|error| one_line(&error))?;
    Ok(ConfigFiles { sources, files, warnings: loaded.warnings })
}

/// An error as one line for an answer.
pub(super) fn one_line(error: &anyhow::Error) -> String {
    match error.downcast_ref::<ConfigErrors>() {
        Some(errors) => errors.one_line(),
        None => format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

/// Loads a built-in configuration, independent of environment and flags.
pub(super) fn shipped(name: &str, text: &str) -> anyhow::Result<ConfigSources> {
    assemble(&Layers { file: Some((name.into(), text.into())), ..Layers::default() }, None)
}

/// A configuration with the built-in files in place of those that it names and are not built in.
pub(super) fn shipped_sources(config: &Config) -> anyhow::Result<Sources> {
    let default = Config::shipped();
    let built_in = |name: &str, otherwise: &str| {
        let text = |name: &str| SHIPPED.iter().find(|row| row.0 == name);
        let row = text(name).or_else(|| text(otherwise)).context("a default file is not built in")?;
        anyhow::Ok((row.0.to_owned(), row.1.to_owned()))
    };
    Ok(Sources {
        plan: built_in(&config.world.plan, &default.world.plan)?,
        affordances: built_in(&config.affordances.affordances_file, &default.affordances.affordances_file)?,
        perturbations: built_in(&config.perturbations.file, &default.perturbations.file)?,
        config: config.clone(),
    })
}

/// Loads a built-in configuration with the environment and these flags over it.
pub(super) fn shipped_with(name: &str, text: &str, flags: Vec<(String, String)>) -> anyhow::Result<ConfigSources> {
    assemble(&Layers { file: Some((name.into(), text.into())), environment: environment()?, flags }, None)
}

fn assemble(layers: &Layers, folder: Option<&Path>) -> anyhow::Result<ConfigSources> {
    let loaded = load_config(layers)?;
    let config = &loaded.config;
    let mut files: Vec<String> = folder.map(|path| path.display().to_string()).into_iter().collect();
    let mut found = |name: &str, key: &str| {
        let (text, on_disk) = find(folder, name, key)?;
        files.extend(on_disk.then(|| text.0.clone()));
        anyhow::Ok(text)
    };
    let plan = found(&config.world.plan, "world.plan")?;
    let affordances = found(&config.affordances.affordances_file, "affordances.affordances_file")?;
    let perturbations = found(&config.perturbations.file, "perturbations.file")?;
    let sources = Sources { config: config.clone(), plan, affordances, perturbations };
    Ok(ConfigSources { loaded, sources, unusable: None, files, reloader: None })
}

/// Reads a text file. Returns its name and content.
pub(super) fn read_file(path: &Path) -> anyhow::Result<(String, String)> {
    Ok((path.display().to_string(), output::read_text(path, MAX_BYTES)?))
}

/// A file with its name, and whether it is on disk rather than built in.
type Found = ((String, String), bool);

fn find(config: Option<&Path>, name: &str, key: &str) -> anyhow::Result<Found> {
    let mut searched: Vec<PathBuf> = Vec::new();
    let read = |path: &Path| {
        let text = read_file(path).with_context(|| format!("{key}: cannot read `{name}`."))?;
        anyhow::Ok((text, true))
    };
    if Path::new(name).is_absolute() {
        return read(Path::new(name));
    }
    for folder in config.into_iter().flat_map(|path| path.ancestors().skip(1).take(LEVELS)) {
        let path = folder.join(name);
        if path.exists() {
            return read(&path);
        }
        searched.push(path);
    }
    if let Some((name, text)) = SHIPPED.iter().find(|row| row.0 == name) {
        return Ok((((*name).to_owned(), (*text).to_owned()), false));
    }
    if let Some((residents, seed)) = drawn_towns::city_of_plan_name(name) {
        return Ok(((name.to_owned(), drawn_towns::draw_city(residents, seed).plan.text), false));
    }
    let shipped: Vec<&str> = SHIPPED.iter().map(|row| row.0).collect();
    let searched: Vec<String> = searched.iter().map(|path| path.display().to_string()).collect();
    bail!(
        "{key}: no file `{name}`.\n  searched: {}\n  built in: {}",
        if searched.is_empty() {
            String::from("only built-in files, because --config is not set")
        } else {
            searched.join(", ")
        },
        shipped.join(", ")
    )
}

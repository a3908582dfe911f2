//! `townlet config`: checks, shows, compares, imports and draws configurations. The settings are defined in `townlet_town::config`.
//!
//! Rule: "Configuration files".

mod import;
mod plan;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use serde_json::json;
use townlet_town::Rules;
use townlet_town::config::{self, Config, Layers, LoadedConfig};

use super::{ConfigArgs, config_sources, output, policy};
use import::import;
pub(super) use import::try_import;
pub(super) use plan::{residents as drawn_residents, yaml as drawn_yaml};

#[derive(clap::Subcommand, Debug)]
pub(super) enum Subcommand {
    /// Check a configuration and the files that it names
    Check {
        /// Configuration file
        file: PathBuf,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Show every setting with its value and origin
    Show {
        #[command(flatten)]
        config: ConfigArgs,
        /// Only settings that differ from the default
        #[arg(long)]
        changed: bool,
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Draw a town of any size and print its configuration
    ///
    /// The plan has homes, shops, work and parks in proportion to the residents. The same residents and seed give the same
    /// town. The printed configuration names the plan by both, and it is drawn when the configuration is loaded.
    Plan {
        /// Number of residents
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(drawn_residents()))]
        residents: u32,
        /// Seed of the drawing
        #[arg(long, value_name = "S", default_value_t = 1)]
        seed: u64,
        /// Write the configuration to this new file, and the plan beside it as a text file that can be edited
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Print the JSON Schema of a configuration file, for editors
    Schema,
    /// Convert a file of the original program and report every key
    Import {
        /// Configuration, perturbation file, affordance manifest or timeline of the original program
        old: PathBuf,
        /// Write the result to a new file instead of standard output
        #[arg(long, value_name = "NEW")]
        out: Option<PathBuf>,
        /// Print the report as a JSON object
        #[arg(long, requires = "out")]
        json: bool,
    },
    /// Show the settings in which two files differ, and which of them `reload_config` can change
    Diff {
        /// First file
        left: PathBuf,
        /// Second file
        right: PathBuf,
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: &Subcommand) -> Result<ExitCode> {
    match command {
        Subcommand::Check { file, json } => return check(file, *json),
        Subcommand::Show { config, changed, json } => {
            show(&config_sources::load(config, Vec::new())?.loaded, *changed, *json)?;
        }
        Subcommand::Plan { residents, seed, out } => plan::draw(*residents, *seed, out.as_deref())?,
        Subcommand::Schema => output::json(&config::schema())?,
        Subcommand::Import { old, out, json } => import(old, out.as_deref(), *json)?,
        Subcommand::Diff { left, right, json } => diff(left, right, *json)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn check(file: &Path, json: bool) -> Result<ExitCode> {
    let name = file.display().to_string();
    let checked =
        config_sources::load(&ConfigArgs { config: Some(file.to_owned()), ..ConfigArgs::default() }, Vec::new())
            .and_then(|input| {
                let rules = Rules::new(input.sources).map_err(|error| anyhow!("{error}"))?;
                let mut loaded = input.loaded;
                loaded.warnings.extend(policy::release_mismatch(&rules));
                Ok((loaded, rules))
            });
    match checked {
        Ok((loaded, rules)) if json => {
            let (id, digest) = (&loaded.config.config_id, loaded.config.digest());
            output::json(&json!({
                "file": name, "ok": true, "config_id": id, "digest": digest,
                "plan": rules.sources.plan.0, "affordances": rules.sources.affordances.0, "warnings": loaded.warnings,
            }))?;
            Ok(ExitCode::SUCCESS)
        }
        Ok((loaded, _)) => {
            let changed = changed_keys(&loaded.config).len();
            for warning in &loaded.warnings {
                output::line(&format!("warning: {warning}"))?;
            }
            let settings = if changed == 1 { "setting" } else { "settings" };
            let id = &loaded.config.config_id;
            output::line(&format!("{name}: valid. {id} with {changed} {settings} other than the default."))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) if json => {
            output::json(&json!({ "file": name, "ok": false, "error": format!("{error:#}") }))?;
            Ok(ExitCode::from(2))
        }
        Err(error) => Err(error),
    }
}

/// The settings whose value is not the default's. A file may also give values that are.
fn changed_keys(config: &Config) -> BTreeSet<String> {
    config::diff(&Config::shipped(), config).into_iter().map(|difference| difference.key).collect()
}

fn show(loaded: &LoadedConfig, changed: bool, json: bool) -> Result<()> {
    let differing = changed_keys(&loaded.config);
    let settings = loaded.settings.iter().filter(|setting| !changed || differing.contains(&setting.key));
    if json {
        let rows = settings.map(|setting| {
            let layer = format!("{:?}", setting.layer).to_lowercase();
            json!({ "key": setting.key, "value": setting.value, "layer": layer, "origin": setting.origin })
        });
        return output::json(&rows.collect());
    }
    let mut rows = vec![["setting", "value", "from"].map(String::from)];
    rows.extend(settings.map(|setting| [setting.key.clone(), setting.value.clone(), setting.origin.clone()]));
    output::print(&output::columns(&rows))?;
    for warning in &loaded.warnings {
        output::line(&format!("warning: {warning}"))?;
    }
    Ok(())
}

/// A file over the defaults, without environment variables and flags, so that a comparison depends on the files alone.
fn load_over_default(path: &Path) -> Result<Config> {
    Ok(config::load(&Layers { file: Some(config_sources::read_file(path)?), ..Layers::default() })?.config)
}

fn diff(left: &Path, right: &Path, json: bool) -> Result<()> {
    let differences = config::diff(&load_over_default(left)?, &load_over_default(right)?);
    if json {
        let row = |row: &config::Difference| json!({ "key": row.key, "left": row.left, "right": row.right, "reload": row.hot });
        return output::json(&differences.iter().map(row).collect());
    }
    if differences.is_empty() {
        return output::line("The configurations are equal.");
    }
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
    let named = |path: &Path| path.display().to_string();
    let mut rows = vec![["setting".into(), named(left), named(right), "reload".into()]];
    for row in &differences {
        let reload = if row.hot { "yes" } else { "no" };
        rows.push([row.key.clone(), value(&row.left), value(&row.right), reload.into()]);
    }
    output::print(&output::columns(&rows))
}

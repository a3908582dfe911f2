//! `townlet config`: checks a configuration, shows every value and where it comes from, the schema, and differences.
//!
//! What a setting means and allows stands in `townlet_town::config`; nothing of it is repeated here.
//! Rule: "Configuration files".

mod import;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use serde_json::json;
use townlet_town::Rules;
use townlet_town::config::{self, Config, Layer, Layers, LoadedConfig};

use super::{ConfigArgs, config_sources, output, policy};
use import::import;

/// `townlet config`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// Checks a file, and the map and affordances it names, as a start would
    Check {
        /// The configuration
        file: PathBuf,
        /// For a program: one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Shows every setting, its value and where it comes from
    Show {
        #[command(flatten)]
        config: ConfigArgs,
        /// Only what differs from the default
        #[arg(long)]
        changed: bool,
        /// For a program: a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Prints the JSON Schema of a configuration file, for editors
    Schema,
    /// Reads a file of the original program: each key is kept, moved, or told why not
    Import {
        /// The original program's configuration
        old: PathBuf,
        /// Where the result goes; standard output without it. A file that is there is not replaced
        #[arg(long, value_name = "NEW.yaml")]
        out: Option<PathBuf>,
        /// The report as one JSON object
        #[arg(long, requires = "out")]
        json: bool,
    },
    /// Shows the settings in which two files differ, and whether a running town takes the change
    Diff {
        /// The first file
        left: PathBuf,
        /// The second file
        right: PathBuf,
        /// For a program: a JSON array
        #[arg(long)]
        json: bool,
    },
}

/// Runs it.
///
/// # Errors
/// What is wrong with a file, by place.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    match &args.what {
        What::Check { file, json } => return check(file, *json),
        What::Show { config, changed, json } => {
            show(&config_sources::load(config, Vec::new())?.loaded, *changed, *json)?
        }
        What::Schema => output::json(&config::schema())?,
        What::Import { old, out, json } => import(old, out.as_deref(), *json)?,
        What::Diff { left, right, json } => diff(left, right, *json)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn check(file: &Path, json: bool) -> Result<ExitCode> {
    let name = file.display().to_string();
    let checked =
        config_sources::load(&ConfigArgs { config: Some(file.to_owned()), ..ConfigArgs::default() }, Vec::new())
            .and_then(|texts| {
                let rules = Rules::new(texts.sources).map_err(|error| anyhow!("{error}"))?;
                let mut loaded = texts.loaded;
                loaded.warnings.extend(policy::misfit(&rules));
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
            let changed = loaded.settings.iter().filter(|shown| shown.layer != Layer::Default).count();
            for warning in &loaded.warnings {
                output::line(&format!("warning: {warning}"))?;
            }
            let settings = if changed == 1 { "setting" } else { "settings" };
            let id = &loaded.config.config_id;
            output::line(&format!("{name}: fine. {id}; it states {changed} {settings}, the rest is the default's."))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) if json => {
            output::json(&json!({ "file": name, "ok": false, "error": format!("{error:#}") }))?;
            Ok(ExitCode::from(2))
        }
        Err(error) => Err(error),
    }
}

fn show(loaded: &LoadedConfig, changed: bool, json: bool) -> Result<()> {
    let settings = loaded.settings.iter().filter(|shown| !changed || shown.layer != Layer::Default);
    if json {
        let rows = settings.map(|shown| {
            let layer = format!("{:?}", shown.layer).to_lowercase();
            json!({ "key": shown.key, "value": shown.value, "layer": layer, "origin": shown.origin })
        });
        return output::json(&rows.collect());
    }
    let mut rows = vec![["setting", "value", "from"].map(String::from)];
    rows.extend(settings.map(|shown| [shown.key.clone(), shown.value.clone(), shown.origin.clone()]));
    output::print(&output::columns(&rows))?;
    for warning in &loaded.warnings {
        output::line(&format!("warning: {warning}"))?;
    }
    Ok(())
}

/// A file over the default and nothing else: what two files say does not depend on who compares them.
fn alone(path: &Path) -> Result<Config> {
    Ok(config::load(&Layers { file: Some(config_sources::read_file(path)?), ..Layers::default() })?.config)
}

fn diff(left: &Path, right: &Path, json: bool) -> Result<()> {
    let differences = config::diff(&alone(left)?, &alone(right)?);
    if json {
        let row = |row: &config::Difference| json!({ "key": row.key, "left": row.left, "right": row.right, "reload": row.hot });
        return output::json(&differences.iter().map(row).collect());
    }
    if differences.is_empty() {
        return output::line("The two make the same configuration.");
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

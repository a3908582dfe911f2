//! One alternative of a question: from its text to rules, commands and a policy.

use std::sync::Arc;

use townlet_learn::whatif::Alternative;
use townlet_town::config::{ConfigErrors, diff};
use townlet_town::plan::Plan;
use townlet_town::reload::command_for;
use townlet_town::{Command, Rules, Sources, Town};
use townlet_wire::{Effect, ErrorBody};

use crate::command_table::{Invocation, error, listed, specs};
use crate::driver::Driver;
use crate::operation::Operation;
use crate::policies::PolicyCatalog;
use crate::reload::fixed_settings;

/// Settings that name a file, whose text the question does not have.
const FILES: [&str; 2] = ["affordances.affordances_file", "perturbations.file"];

/// An alternative that is possible as far as its words go.
pub(super) struct BuiltAlternative {
    /// Its text in normal form.
    pub text: String,
    pub alternative: Alternative,
    pub driver: Driver,
}

/// The parts of an alternative.
#[derive(Default)]
struct Parts {
    settings: Vec<(String, String)>,
    policy: Option<String>,
    /// Commands with their lines.
    commands: Vec<(String, Command)>,
}

/// Reads the parts of an alternative and makes what they name.
pub(super) fn build(
    text: &str,
    town: &Town,
    driver: &Driver,
    policies: &PolicyCatalog,
) -> Result<BuiltAlternative, ErrorBody> {
    let rules = town.rules();
    let mut parts = Parts::default();
    for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        parts.read(part, &rules.plan)?;
    }
    let Parts { settings, policy, commands } = parts;
    let words: Vec<String> = settings
        .iter()
        .map(|(key, value)| format!("set {key}={value}"))
        .chain(policy.iter().map(|id| format!("policy {id}")))
        .chain(commands.iter().map(|(line, _)| line.clone()))
        .collect();
    if words.is_empty() {
        return Err(error("E_INVALID_ARG", "it does nothing.", USAGE));
    }
    let (rules, mut all) = changed(rules, &settings)?;
    all.extend(commands.into_iter().map(|(_, command)| command));
    let driver = match &policy {
        None => driver.clone(),
        Some(id) => {
            let loaded = policies.load(id, rules.as_deref().unwrap_or(town.rules()));
            loaded
                .map_err(|why| error("E_NOT_FOUND", full_stop(&why.to_string()), "`townlet policy list` shows them."))?
                .driver
        }
    };
    Ok(BuiltAlternative { text: words.join("; "), alternative: Alternative { rules, commands: all }, driver })
}

const USAGE: &str =
    "An alternative has commands that change the town, `set KEY=VALUE` and `policy ID`, with `;` between them.";

impl Parts {
    fn read(&mut self, part: &str, plan: &Plan) -> Result<(), ErrorBody> {
        let (word, rest) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
        match word {
            "set" => {
                let (key, value) = rest
                    .split_once('=')
                    .ok_or_else(|| error("E_INVALID_ARG", format!("`{part}` has no `=`."), "Write `set KEY=VALUE`."))?;
                self.settings.push((key.trim().to_lowercase(), value.trim().to_owned()));
            }
            "policy" => {
                let hint = "Write `policy ID`, such as `policy scripted`, once in an alternative.";
                if rest.is_empty() || self.policy.replace(rest.trim().to_owned()).is_some() {
                    return Err(error("E_INVALID_ARG", "it does not name one policy.", hint));
                }
            }
            _ => {
                let Invocation { line, operation, .. } = Invocation::of_line(&whole_name(part), plan)?;
                let Operation::Town(command) = operation? else {
                    return Err(error("E_INVALID_ARG", format!("`{line}` does not change the town."), USAGE));
                };
                self.commands.push((line, command));
            }
        }
        Ok(())
    }
}

/// A command line with the whole name of its command. The last word of a name is enough where no other command that changes the town
/// has it: `approve finn`.
fn whole_name(line: &str) -> String {
    let specs = specs();
    let first = line.split_whitespace().next().unwrap_or_default();
    if specs.iter().any(|spec| spec.name.split(' ').next() == Some(first)) {
        return line.to_owned();
    }
    let mut named = specs.iter().filter_map(|spec| {
        let (family, last) = spec.name.split_once(' ')?;
        (spec.effect == Effect::Town && last == first).then_some(family)
    });
    match (named.next(), named.next()) {
        (Some(family), None) => format!("{family} {line}"),
        _ => line.to_owned(),
    }
}

/// The rules with other settings, and the commands for those that a reload leaves to commands. `None` if the rules are the same.
fn changed(rules: &Rules, settings: &[(String, String)]) -> Result<(Option<Arc<Rules>>, Vec<Command>), ErrorBody> {
    if settings.is_empty() {
        return Ok((None, Vec::new()));
    }
    let hint = "docs/CONFIG.md has the settings. One that a reload or a command may change can be asked about.";
    let invalid = |why: &ConfigErrors| error("E_INVALID_ARG", full_stop(&why.one_line()), hint);
    let wanted = rules.config.with_settings(settings).map_err(|why| invalid(&why))?;
    let commands: Vec<Command> = settings.iter().filter_map(|(key, _)| command_for(key, &wanted)).collect();
    let others: Vec<(String, String)> =
        settings.iter().filter(|(key, _)| command_for(key, &wanted).is_none()).cloned().collect();
    let config = rules.config.with_settings(&others).map_err(|why| invalid(&why))?;
    let changes = diff(&rules.config, &config);
    let fixed = fixed_settings(&changes);
    if !fixed.is_empty() {
        let message = format!("these settings cannot change while the town runs: {}.", listed(&fixed));
        return Err(error("E_CONFLICT", message, hint));
    }
    if let Some(file) = changes.iter().find(|change| FILES.contains(&change.key.as_str())) {
        return Err(error(
            "E_CONFLICT",
            format!("{} names a file, and the question has only its name.", file.key),
            hint,
        ));
    }
    if changes.is_empty() {
        return Ok((None, commands));
    }
    let rules = Rules::new(Sources { config, ..rules.sources.clone() });
    let rules = rules.map_err(|why| error("E_INVALID_ARG", full_stop(&why.to_string()), hint))?;
    Ok((Some(Arc::new(rules)), commands))
}

/// A text as a sentence on one line.
fn full_stop(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{}.", line.trim_end_matches('.'))
}

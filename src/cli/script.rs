//! Scripts for headless runs: commands at given ticks, from JSON lines. The whole file is checked before the town starts.

use std::path::Path;

use anyhow::{bail, ensure};
use serde::Deserialize;
use townlet_town::names;

use super::output;
use townlet_shard::{Handle, is_id, specs};
use townlet_wire::{Answer, ArgKind, CommandSpec, Effect, ErrorBody, Request, Role, Session, command_line};

/// Maximum size of a script, in bytes.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    /// Tick before which the command is sent [default: the start tick].
    #[serde(default)]
    pub(super) tick: Option<u64>,
    /// Command line, as on the console.
    pub(super) command: String,
    /// Generated when absent.
    #[serde(default)]
    pub(super) cmd_id: Option<String>,
    /// Check only, without effect.
    #[serde(default)]
    pub(super) dry_run: bool,
}

#[derive(Debug)]
pub(super) struct Script {
    issuer: String,
    role: Role,
    /// Lines with their ticks, sorted by tick and position in the file.
    pub(super) lines: Vec<(u64, Line)>,
}

impl Script {
    /// Reads a script and checks JSON, command, arguments and tick of every line.
    pub(super) fn load(path: &Path, role: Role, from: u64, until: u64) -> anyhow::Result<Self> {
        let name = path.display();
        let text = output::read_text(path, MAX_BYTES)?;
        let specs = specs();
        let mut lines = Vec::new();
        for (number, text) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let place = format!("{name}:{}", number + 1);
            let example = r#"Example: {"tick": 120, "command": "employment_exit approve ada"}."#;
            let it: Line = serde_json::from_str(text)
                .map_err(|error| anyhow::anyhow!("{place}:{}: {}. {example}", error.column(), message_only(&error)))?;
            check_command(&specs, &it.command).map_err(|why| anyhow::anyhow!("{place}: {why}"))?;
            if it.cmd_id.as_ref().is_some_and(|cmd_id| !is_id(cmd_id)) {
                bail!("{place}: invalid cmd_id. Use 1 to 128 printable ASCII characters without spaces and `|`.");
            }
            let tick = it.tick.unwrap_or(from);
            ensure!((from..=until).contains(&tick), "{place}: tick {tick} is outside the run ({from} to {until}).");
            lines.push((tick, it));
        }
        lines.sort_by_key(|(tick, _)| *tick);
        let file = path.file_name().map_or_else(|| name.to_string(), |name| name.to_string_lossy().into_owned());
        Ok(Self { issuer: format!("script:{file}"), role, lines })
    }

    pub(super) fn session(&self, shard: &Handle) -> u64 {
        let session = Session { issuer: self.issuer.clone(), role: self.role, transport: "script".into(), owner: true };
        shard.open(session, |_| {})
    }
}

impl Line {
    /// Sends the command and waits for its answer; `None` when the shard has ended.
    pub(super) fn send(&self, shard: &Handle, session: u64) -> Option<Answer> {
        let request = Request {
            command: self.command.clone(),
            cmd_id: self.cmd_id.clone(),
            dry_run: self.dry_run,
            ..Request::default()
        };
        shard.ask_and_wait(session, request)
    }
}

/// Checks a command of a script: its grammar, that it has an effect in headless runs, and that its residents can exist.
pub(super) fn check_command(specs: &[CommandSpec], command: &str) -> Result<(), String> {
    let parsed =
        command_line::parse(specs, command).map_err(|ErrorBody { message, hint, .. }| format!("{message} {hint}"))?;
    if parsed.spec.effect == Effect::Pace {
        let name = &parsed.spec.name;
        return Err(format!("`{name}` is not available in headless runs, which always run at full speed. Remove it."));
    }
    for (_, value) in parsed.given().filter(|(arg, _)| arg.kind == ArgKind::Agent) {
        if let Some(id) = value.map(ToString::to_string).filter(|id| names::resident(id).is_none()) {
            return Err(unknown_resident(&id));
        }
    }
    Ok(())
}

fn unknown_resident(id: &str) -> String {
    let known: Vec<String> = names::ids().collect();
    let near = command_line::nearest(id, known.iter().map(String::as_str));
    let hint = near.map_or_else(
        || "Ids of residents look like `ada`; the Agents screen lists them.".to_owned(),
        |near| format!("Did you mean `{near}`?"),
    );
    format!("`{id}` is not an id that a resident can have. {hint}")
}

/// The message without its position.
fn message_only(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

//! `townlet config import`: converts configurations, perturbation files, affordance manifests and timelines of the original
//! program and reports what happened to each key.
//!
//! The conversion of configurations is in `townlet_town::config::import`. What is written passes the checks of `config check`;
//! existing files are not replaced. Rule: "Configuration import".

mod affordances;
mod timeline;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use townlet_town::config::import::{ImportedKey, KeyOutcome, import as read};
use townlet_town::config::{Config, Layers, Node, load, parse_yaml};
use townlet_town::{Rules, Sources};

use crate::cli::output::OutputLost;
use crate::cli::{config_sources, output};
use townlet_tui::format::count;

/// A converted file.
struct ImportedFile {
    text: String,
    findings: Vec<ImportedKey>,
}

/// Everything that is written for one file of the original.
struct Import {
    text: String,
    /// The file of events beside a configuration.
    perturbations: Option<String>,
    findings: Vec<ImportedKey>,
    notes: Vec<String>,
    /// How the result is used.
    next: &'static str,
}

impl Import {
    fn of(file: ImportedFile, next: &'static str) -> Self {
        Self { text: file.text, perturbations: None, findings: file.findings, notes: Vec::new(), next }
    }
}

/// Converts `old` into `out`, or to standard output with the report on standard error.
pub(super) fn import(old: &Path, out: Option<&Path>, json: bool) -> Result<()> {
    let (name, text) = config_sources::read_file(old)?;
    let events = out.map(perturbations_path);
    for path in out.iter().copied().chain(events.as_deref()) {
        output::require_new_file(path).context("--out")?;
    }
    let file_name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let events_name = events.as_ref().map_or_else(|| "perturbations.yaml".into(), file_name);
    let imported = convert(&name, &text, &events_name)?;
    let Some(out) = out else {
        output::print(&imported.text)?;
        print_report(&imported, &mut |line| output::stderr!("{line}"));
        if imported.perturbations.is_some() {
            output::stderr!("The events need a file of their own, `{events_name}`. Pass --out to write both.");
        }
        return Ok(());
    };
    let mut written = Vec::new();
    let files = imported.perturbations.as_ref().zip(events.as_deref()).map(|(text, path)| (path, text.as_str()));
    // The file of events is written first, because the configuration refers to it.
    for (path, text) in files.into_iter().chain([(out, imported.text.as_str())]) {
        townlet_files::write_atomically(path, text.as_bytes()).context(OutputLost::file(path))?;
        written.push(path.display().to_string());
    }
    if json {
        return output::json(&json_report(&imported, &written));
    }
    let mut lines = String::new();
    print_report(&imported, &mut |line| lines.extend([line, "\n"]));
    output::print(&lines)?;
    output::line(&format!("\nwritten: {}. {}", written.join(", "), imported.next))
}

/// Converts a file, and writes nothing.
pub(in crate::cli) fn try_import(name: &str, text: &str) -> Result<()> {
    convert(name, text, "events.yaml").map(drop)
}

/// Converts a file of any of the four kinds, which its content tells.
fn convert(name: &str, text: &str, events_name: &str) -> Result<Import> {
    let root = parse_yaml(name, text)?;
    if let Some(items) = timeline::entries(&root) {
        let next = "Run it with `townlet --headless --script FILE`.";
        return Ok(Import::of(timeline::import(items), next));
    }
    if affordances::is_manifest(&root) {
        let imported = affordances::import(name, &root)?;
        check(&Config::shipped(), Some((name, &imported.text)), None)?;
        return Ok(Import::of(imported, "Name it in `affordances.affordances_file` of a configuration."));
    }
    let accepts = |perturbations: &str| {
        let checked = check(&Config::shipped(), None, Some((events_name, perturbations)));
        checked.map_err(|error| plain(&error.to_string(), events_name))
    };
    let imported = read(name, text, events_name, &accepts)?;
    let Some(config) = imported.config else {
        let text = imported.perturbations.ok_or_else(|| anyhow!("{name}: no event can be converted."))?;
        let file = ImportedFile { text, findings: imported.findings };
        return Ok(Import::of(file, "Name it in `perturbations.file` of a configuration."));
    };
    let loaded = load(&Layers { file: Some((name.to_owned(), config.clone())), ..Layers::default() })?;
    check(&loaded.config, None, imported.perturbations.as_deref().map(|text| (events_name, text)))?;
    Ok(Import {
        text: config,
        perturbations: imported.perturbations,
        findings: imported.findings,
        notes: imported.notes,
        next: "Check the result with `townlet config check`.",
    })
}

/// Builds a town from a configuration and converted files, as `config check` does. Other files are the shipped ones.
fn check(config: &Config, affordances: Option<(&str, &str)>, perturbations: Option<(&str, &str)>) -> Result<()> {
    let shipped = config_sources::shipped_sources(config)?;
    let named =
        |file: Option<(&str, &str)>, shipped| file.map_or(shipped, |(name, text)| (name.to_owned(), text.to_owned()));
    let sources = Sources {
        affordances: named(affordances, shipped.affordances),
        perturbations: named(perturbations, shipped.perturbations),
        ..shipped
    };
    Rules::new(sources).map_err(|error| anyhow!("{error}"))?;
    Ok(())
}

fn moved(to: &str, note: &str) -> KeyOutcome {
    KeyOutcome::Moved { to: to.to_owned(), note: note.to_owned() }
}

fn dropped(why: &str) -> KeyOutcome {
    KeyOutcome::Dropped { why: why.to_owned() }
}

fn refused(why: &str) -> KeyOutcome {
    KeyOutcome::Refused { why: plain(why, "") }
}

/// A message without the name of the file and without its full stop, to go on in a sentence.
fn plain(message: &str, file: &str) -> String {
    let message = message.strip_prefix(file).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(message);
    message.trim_end_matches('.').to_owned()
}

/// The line of a value; 0 when it is unknown.
fn key_line(node: &Node) -> usize {
    node.place.as_ref().map_or(0, |place| place.line)
}

/// A value that no file holds.
fn child(value: townlet_town::config::Value) -> Node {
    Node { value, place: None }
}

/// The file of events for a configuration, such as `harbour.perturbations.yaml` for `harbour.yaml`.
fn perturbations_path(out: &Path) -> PathBuf {
    let stem = out.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    out.with_file_name(format!("{stem}.perturbations.yaml"))
}

fn describe(outcome: &KeyOutcome) -> String {
    match outcome {
        KeyOutcome::Kept => String::new(),
        KeyOutcome::Moved { to, note } if note.is_empty() => to.clone(),
        KeyOutcome::Moved { to, note } => format!("{to}: {note}"),
        KeyOutcome::Dropped { why } => why.clone(),
        KeyOutcome::Refused { why } => format!("{why}; it is left out"),
    }
}

fn print_report(imported: &Import, line: &mut dyn FnMut(&str)) {
    let findings = &imported.findings;
    let mut rows = vec![["line", "key", "result", "details"].map(String::from)];
    rows.extend(
        findings
            .iter()
            .map(|it| [it.line.to_string(), it.key.clone(), it.outcome.word().into(), describe(&it.outcome)]),
    );
    output::columns(&rows).lines().for_each(&mut *line);
    imported.notes.iter().for_each(|note| line(&format!("note: {note}")));
    let outcomes = |word: &str| findings.iter().filter(|it| it.outcome.word() == word).count();
    line(&format!(
        "\n{}: {} kept, {} moved, {} without a counterpart, {} refused.",
        count(findings.len() as u64, "key"),
        outcomes("kept"),
        outcomes("moved"),
        outcomes("dropped"),
        outcomes("refused"),
    ));
}

fn json_report(imported: &Import, written: &[String]) -> Value {
    let findings = imported.findings.iter().map(|it| {
        let to = match &it.outcome {
            KeyOutcome::Kept => Some(&it.key),
            KeyOutcome::Moved { to, .. } => Some(to),
            KeyOutcome::Dropped { .. } | KeyOutcome::Refused { .. } => None,
        };
        json!({ "key": it.key, "line": it.line, "outcome": it.outcome.word(), "to": to, "note": describe(&it.outcome) })
    });
    json!({ "written": written, "findings": findings.collect::<Vec<_>>(), "notes": imported.notes })
}

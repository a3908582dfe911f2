//! `townlet config import`: converts a configuration of the original program and reports what happened to each key.
//!
//! The conversion is in `townlet_town::config::import`. Existing files are not replaced. Rule: "Configuration import".

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use townlet_town::config::import::{Imported, ImportedKey, KeyOutcome, import as read};

use crate::cli::output::OutputLost;
use crate::cli::{config_sources, output};

/// Converts `old` into `out`, or to standard output with the report on standard error.
pub(super) fn import(old: &Path, out: Option<&Path>, json: bool) -> Result<()> {
    let (name, text) = config_sources::read_file(old)?;
    let events = out.map(perturbations_path);
    for path in out.iter().copied().chain(events.as_deref()) {
        output::require_new_file(path).context("--out")?;
    }
    let file_name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let events_name = events.as_ref().map_or_else(|| "perturbations.yaml".into(), file_name);
    let imported = read(&name, &text, &events_name)?;
    let Some(out) = out else {
        output::print(&imported.config)?;
        print_report(&imported.findings, &mut |line| output::stderr!("{line}"));
        if imported.perturbations.is_some() {
            output::stderr!("The events need a file of their own, `{events_name}`. Pass --out to write both.");
        }
        return Ok(());
    };
    let mut written = Vec::new();
    let files = imported.perturbations.as_ref().zip(events.as_deref()).map(|(text, path)| (path, text.as_str()));
    // The file of events is written first, because the configuration refers to it.
    for (path, text) in files.into_iter().chain([(out, imported.config.as_str())]) {
        townlet_files::write_atomically(path, text.as_bytes()).context(OutputLost::file(path))?;
        written.push(path.display().to_string());
    }
    if json {
        return output::json(&json_report(&imported, &written));
    }
    let mut lines = String::new();
    print_report(&imported.findings, &mut |line| lines.extend([line, "\n"]));
    output::print(&lines)?;
    output::line(&format!("\nwritten: {}. Check the result with `townlet config check`.", written.join(", ")))
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
        KeyOutcome::Refused { why } => format!("{why}; the default applies"),
    }
}

fn print_report(findings: &[ImportedKey], line: &mut dyn FnMut(&str)) {
    let mut rows = vec![["line", "key", "result", "details"].map(String::from)];
    rows.extend(
        findings
            .iter()
            .map(|it| [it.line.to_string(), it.key.clone(), it.outcome.word().into(), describe(&it.outcome)]),
    );
    output::columns(&rows).lines().for_each(&mut *line);
    let count = |word: &str| findings.iter().filter(|it| it.outcome.word() == word).count();
    line(&format!(
        "\n{} keys: {} kept, {} moved, {} without a counterpart, {} refused.",
        findings.len(),
        count("kept"),
        count("moved"),
        count("dropped"),
        count("refused"),
    ));
}

fn json_report(imported: &Imported, written: &[String]) -> Value {
    let findings = imported.findings.iter().map(|it| {
        let to = match &it.outcome {
            KeyOutcome::Kept => Some(&it.key),
            KeyOutcome::Moved { to, .. } => Some(to),
            KeyOutcome::Dropped { .. } | KeyOutcome::Refused { .. } => None,
        };
        json!({ "key": it.key, "line": it.line, "outcome": it.outcome.word(), "to": to, "note": describe(&it.outcome) })
    });
    json!({ "written": written, "findings": findings.collect::<Vec<_>>() })
}

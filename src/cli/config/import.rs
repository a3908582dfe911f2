//! `townlet config import`: a file of the original program becomes one of ours, with a report of every key.
//!
//! What becomes of a key stands in `townlet_town::config::import`. Replaces no file. Rule: "Configuration files".

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde_json::{Value, json};
use townlet_town::config::import::{Imported, ImportedKey, KeyOutcome, import as read};

use crate::cli::{config_sources, output};
use townlet_shard::home;

/// Reads `old` and writes the result to `out`, or to standard output with the report beside it.
///
/// # Errors
/// A file that cannot be read or that is in the way; then nothing is written.
pub(super) fn import(old: &Path, out: Option<&Path>, json: bool) -> Result<()> {
    let (name, text) = config_sources::read_file(old)?;
    let events = out.map(beside);
    for path in out.iter().copied().chain(events.as_deref()) {
        if path.symlink_metadata().is_ok() {
            bail!("{}: there is such a file already; it is not replaced. Give another --out.", path.display());
        }
    }
    let file_name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let events_name = events.as_ref().map_or_else(|| "perturbations.yaml".into(), file_name);
    let imported = read(&name, &text, &events_name)?;
    let Some(out) = out else {
        output::print(&imported.config)?;
        report(&imported.findings, &mut |line| output::stderr!("{line}"));
        if imported.perturbations.is_some() {
            output::stderr!("The events need a file of their own, `{events_name}`; with --out it is written.");
        }
        return Ok(());
    };
    let mut written = Vec::new();
    let files = imported.perturbations.as_ref().zip(events.as_deref()).map(|(text, path)| (path, text.as_str()));
    // What the configuration names is there before it is.
    for (path, text) in files.into_iter().chain([(out, imported.config.as_str())]) {
        home::replace(path, text.as_bytes()).map_err(|error| output::unreadable(path, &error))?;
        written.push(path.display().to_string());
    }
    if json {
        return output::json(&machine(&imported, &written));
    }
    let mut lines = String::new();
    report(&imported.findings, &mut |line| lines.extend([line, "\n"]));
    output::print(&lines)?;
    output::line(&format!("\nwritten: {}. Check it with `townlet config check`.", written.join(", ")))
}

/// Where the events of a configuration go: `harbour.yaml` has `harbour.perturbations.yaml` beside it.
fn beside(out: &Path) -> PathBuf {
    let stem = out.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    out.with_file_name(format!("{stem}.perturbations.yaml"))
}

fn words(outcome: &KeyOutcome) -> String {
    match outcome {
        KeyOutcome::Kept => String::new(),
        KeyOutcome::Moved { to, note } if note.is_empty() => to.clone(),
        KeyOutcome::Moved { to, note } => format!("{to}: {note}"),
        KeyOutcome::Dropped { why } => why.clone(),
        KeyOutcome::Refused { why } => format!("{why}; the default stands"),
    }
}

fn report(findings: &[ImportedKey], line: &mut dyn FnMut(&str)) {
    let mut rows = vec![["line", "key", "fate", "what became of it"].map(String::from)];
    rows.extend(
        findings.iter().map(|it| [it.line.to_string(), it.key.clone(), it.outcome.word().into(), words(&it.outcome)]),
    );
    output::columns(&rows).lines().for_each(&mut *line);
    let count = |word: &str| findings.iter().filter(|it| it.outcome.word() == word).count();
    line(&format!(
        "\n{} keys: {} kept, {} moved, {} without counterpart, {} refused.",
        findings.len(),
        count("kept"),
        count("moved"),
        count("dropped"),
        count("refused"),
    ));
}

fn machine(imported: &Imported, written: &[String]) -> Value {
    let findings = imported.findings.iter().map(|it| {
        let to = match &it.outcome {
            KeyOutcome::Kept => Some(&it.key),
            KeyOutcome::Moved { to, .. } => Some(to),
            KeyOutcome::Dropped { .. } | KeyOutcome::Refused { .. } => None,
        };
        json!({ "key": it.key, "line": it.line, "fate": it.outcome.word(), "to": to, "words": words(&it.outcome) })
    });
    json!({ "written": written, "findings": findings.collect::<Vec<_>>() })
}

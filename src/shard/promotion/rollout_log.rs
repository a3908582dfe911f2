//! `ops/rollouts.md`: a row for every change of the release, for people to read.
//!
//! Owns the file's form. The release's own file is what counts; a row that a crash has left out is written at the next
//! start. Rule: "Stability, promotion, rollback".

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use super::state_machine::{ConfigFingerprint, Stage, Step};
use townlet_wire::escape;
use townlet_wire::learning::Evidence;

const HEAD: &str = "# Rollouts

One row for each change of a release, written by the program. The file `<shard>.release.json` among the releases says which
policy is the release now; the audit log in `logs/console` is the proof of who asked.

| shard | # | when (UTC) | run | tick | who | cmd_id | what | from → to | config, layout | evidence | result |
|---|---|---|---|---|---|---|---|---|---|---|---|
";

/// Whether a step is worth a row.
pub(super) fn is_worth(step: &Step) -> bool {
    step.replaced.is_some() || step.to == Stage::Stable || step.from == Stage::Promoting
}

/// Appends the rows of these steps that are not there yet.
///
/// # Errors
/// The file and what the system says.
pub(super) fn append(
    path: &Path,
    shard: &str,
    steps: &[Step],
    ground: &ConfigFingerprint,
    evidence: Option<&Evidence>,
) -> Result<(), String> {
    let say = |error: std::io::Error| format!("{}: {error}", path.display());
    townlet_files::ensure_regular(path).map_err(say)?;
    let known = std::fs::read_to_string(path).unwrap_or_default();
    let missing = |step: &&Step| {
        let begin = begin(shard, step);
        is_worth(step) && !known.lines().any(|line| line.starts_with(&begin))
    };
    let mut text = if known.is_empty() { HEAD.to_owned() } else { String::new() };
    let mut rows = 0;
    for step in steps.iter().filter(missing) {
        text.push_str(&row(shard, step, ground, evidence));
        rows += 1;
    }
    if rows == 0 {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(say)?;
    }
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).map_err(say)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).map_err(say)
}

/// Whether a shard's release was ever changed here.
pub(super) fn knows(path: &Path, shard: &str) -> bool {
    let begin = format!("| {} |", cell(shard));
    townlet_files::read_to_string(path).is_ok_and(|known| known.lines().any(|line| line.starts_with(&begin)))
}

fn cell(text: &str) -> String {
    escape(text).replace('|', "\\|")
}

/// By which a row is known again.
fn begin(shard: &str, step: &Step) -> String {
    format!("| {} | {} | {} |", cell(shard), step.number, cell(&step.act.ts))
}

fn row(shard: &str, step: &Step, ground: &ConfigFingerprint, evidence: Option<&Evidence>) -> String {
    let act = &step.act;
    let what = match (step.to, step.forced) {
        (Stage::Canary, true) if step.replaced.is_some() => "swap",
        (Stage::Canary, false) if step.replaced.is_some() => "promotion",
        (Stage::RolledBack, _) => "rollback",
        (Stage::Stable, _) => "stable",
        _ => "broken off",
    };
    let moved = step.replaced.as_ref().map_or_else(
        || format!("`{}`", cell(&step.release)),
        |old| format!("`{}` → `{}`", cell(old), cell(&step.release)),
    );
    let spoke = evidence.filter(|it| step.replaced.is_some() && !step.forced && it.candidate == step.release);
    let evidence = spoke.map_or_else(|| "–".to_owned(), in_words);
    let mut row = begin(shard, step);
    let _ = writeln!(
        row,
        " {} | {} | {} | {} | {what} | {moved} | `{}`, `{}` | {evidence} | {}: {} |",
        cell(&act.run),
        act.tick,
        cell(&act.issuer),
        cell(&act.cmd_id),
        ground.config,
        ground.layout,
        step.to.word(),
        cell(&step.why)
    );
    row
}

/// Evidence on one line.
pub(super) fn in_words(it: &Evidence) -> String {
    let verdict = it.verdict.replace('_', " ");
    let figure = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:+.4}"));
    format!(
        "{verdict}: {} [{}, {}] over {} pairs from seed {}",
        figure(it.difference),
        figure(it.low),
        figure(it.high),
        it.pairs,
        it.first_seed
    )
}

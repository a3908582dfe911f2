//! `ops/rollouts.md`: a row for every change of the release, for operators to read. The release pointer is authoritative; rows
//! that a crash left out are added at the next start. Rule: "Stability, promotion, rollback".

use std::fmt::Write as _;
use std::path::Path;

use super::safety_report::safety_in_words;
use super::state_machine::{ConfigFingerprint, Stage, Step};
use crate::markdown;
use crate::markdown_log::append_missing;
use townlet_wire::count;
use townlet_wire::learning::Evidence;

const HEADER: &str = "# Rollouts

The program writes one row for each change of a release. The file `<shard>.release.json` in the folder of releases names the
current release; the audit log in `logs/console` is the record of who requested a change.

| shard | # | when (UTC) | run | tick | who | cmd_id | what | from → to | config, layout | evidence | result |
|---|---|---|---|---|---|---|---|---|---|---|---|
";

/// Appends the rows of these steps that are missing.
pub(super) fn append(
    path: &Path,
    shard: &str,
    steps: &[Step],
    fingerprint: &ConfigFingerprint,
    evidence: Option<&Evidence>,
) -> Result<(), String> {
    let steps: Vec<&Step> = steps.iter().filter(|step| step.listed.is_some()).collect();
    let is_row_of = |line: &str, step: &&Step| line.starts_with(&row_start(shard, step));
    append_missing(path, HEADER, &steps, is_row_of, |step| row(shard, step, fingerprint, evidence)).map(drop)
}

pub(super) fn has_shard(path: &Path, shard: &str) -> bool {
    let start = format!("| {} |", markdown::text(shard));
    townlet_files::read_to_string(path).is_ok_and(|known| known.lines().any(|line| line.starts_with(&start)))
}

/// The start of a row, which identifies its step.
fn row_start(shard: &str, step: &Step) -> String {
    format!("| {} | {} | {} |", markdown::text(shard), step.listed.unwrap_or_default(), markdown::text(&step.origin.ts))
}

fn row(shard: &str, step: &Step, fingerprint: &ConfigFingerprint, evidence: Option<&Evidence>) -> String {
    let origin = &step.origin;
    let what = match (step.to, step.forced) {
        (Stage::Canary, true) if step.replaced.is_some() => "swap",
        (Stage::Canary, false) if step.replaced.is_some() => "promotion",
        (Stage::RolledBack, _) => "rollback",
        (Stage::Stable, _) => "stable",
        _ => "aborted",
    };
    let moved = step.replaced.as_ref().map_or_else(
        || markdown::code(&step.release),
        |old| format!("{} → {}", markdown::code(old), markdown::code(&step.release)),
    );
    let spoke = evidence.filter(|it| step.replaced.is_some() && !step.forced && it.candidate == step.release);
    let evidence = spoke.map_or_else(|| "–".to_owned(), in_words);
    let mut row = row_start(shard, step);
    let _ = writeln!(
        row,
        " {} | {} | {} | {} | {what} | {moved} | `{}`, `{}` | {evidence} | {}: {} |",
        markdown::text(&origin.run),
        origin.tick,
        markdown::text(&origin.issuer),
        markdown::text(&origin.cmd_id),
        fingerprint.config,
        fingerprint.layout,
        step.to.word(),
        markdown::text(&step.why)
    );
    row
}

/// Evidence in one line of text.
pub(super) fn in_words(it: &Evidence) -> String {
    let verdict = it.verdict.replace('_', " ");
    let figure = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:+.4}"));
    let mut text = format!(
        "{verdict}: {} [{}, {}] over {} from seed {}",
        figure(it.difference),
        figure(it.low),
        figure(it.high),
        count(it.pairs, "pair"),
        it.first_seed
    );
    for row in &it.safety {
        let _ = write!(text, "; {}", safety_in_words(row));
    }
    text
}

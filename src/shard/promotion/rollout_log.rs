//! `ops/rollouts.md`: a row for every change of the release, for operators to read. The release pointer is authoritative; rows
//! that a crash left out are added at the next start. Rule: "Stability, promotion, rollback".

use std::fmt::Write as _;
use std::path::Path;

use super::safety_report::safety_in_words;
use super::state_machine::{ConfigFingerprint, Stage, Step};
use crate::markdown_log::{append_missing, cell};
use townlet_wire::learning::Evidence;

const HEADER: &str = "# Rollouts

The program writes one row for each change of a release. The file `<shard>.release.json` in the folder of releases names the
current release; the audit log in `logs/console` is the record of who requested a change.

| shard | # | when (UTC) | run | tick | who | cmd_id | what | from → to | config, layout | evidence | result |
|---|---|---|---|---|---|---|---|---|---|---|---|
";

pub(super) fn is_listed(step: &Step) -> bool {
    step.replaced.is_some() || step.to == Stage::Stable || step.from == Stage::Promoting
}

/// Appends the rows of these steps that are missing.
pub(super) fn append(
    path: &Path,
    shard: &str,
    steps: &[Step],
    fingerprint: &ConfigFingerprint,
    evidence: Option<&Evidence>,
) -> Result<(), String> {
    let known = townlet_files::read_to_string(path).unwrap_or_default();
    let missing =
        steps.iter().filter(|step| is_listed(step) && !known.lines().any(|line| is_row_of(line, shard, step)));
    // Rows are counted for each shard: the steps between them change no release.
    let rows: Vec<(usize, &Step)> = (rows_of(&known, shard) + 1..).zip(missing).collect();
    let is_row = |line: &str, (_, step): &(usize, &Step)| is_row_of(line, shard, step);
    append_missing(path, HEADER, &rows, is_row, |(number, step)| row(*number, shard, step, fingerprint, evidence))
        .map(drop)
}

/// Number of rows of a shard.
fn rows_of(known: &str, shard: &str) -> usize {
    let shard = cell(shard);
    let is_row = |line: &&str| {
        let cells = cells(line);
        cells.first() == Some(&shard.as_str()) && cells.get(1).is_some_and(|number| number.parse::<u64>().is_ok())
    };
    known.lines().filter(is_row).count()
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches(['|', ' ']).split(" | ").collect()
}

/// Whether a line is the row of a step: the same shard, time, change and releases, whatever its number.
fn is_row_of(line: &str, shard: &str, step: &Step) -> bool {
    let cells = cells(line);
    let (shard, when, what, releases) = (cell(shard), cell(&step.origin.ts), change(step), releases(step));
    let wanted = [(0, shard.as_str()), (2, &when), (7, what), (8, &releases)];
    wanted.iter().all(|(index, text)| cells.get(*index) == Some(text))
}

/// What a step does with the release, in one word.
fn change(step: &Step) -> &'static str {
    match (step.to, step.forced) {
        (Stage::Canary, true) if step.replaced.is_some() => "swap",
        (Stage::Canary, false) if step.replaced.is_some() => "promotion",
        (Stage::RolledBack, _) => "rollback",
        (Stage::Stable, _) => "stable",
        _ => "aborted",
    }
}

/// The release before and after.
fn releases(step: &Step) -> String {
    let release = cell(&step.release);
    step.replaced.as_ref().map_or_else(|| format!("`{release}`"), |old| format!("`{}` → `{release}`", cell(old)))
}

pub(super) fn has_shard(path: &Path, shard: &str) -> bool {
    let start = format!("| {} |", cell(shard));
    townlet_files::read_to_string(path).is_ok_and(|known| known.lines().any(|line| line.starts_with(&start)))
}

fn row(
    number: usize,
    shard: &str,
    step: &Step,
    fingerprint: &ConfigFingerprint,
    evidence: Option<&Evidence>,
) -> String {
    let origin = &step.origin;
    let (what, moved) = (change(step), releases(step));
    let spoke = evidence.filter(|it| step.replaced.is_some() && !step.forced && it.candidate == step.release);
    let evidence = spoke.map_or_else(|| "–".to_owned(), in_words);
    let mut row = format!("| {} | {number} | {} |", cell(shard), cell(&origin.ts));
    let _ = writeln!(
        row,
        " {} | {} | {} | {} | {what} | {moved} | `{}`, `{}` | {evidence} | {}: {} |",
        cell(&origin.run),
        origin.tick,
        cell(&origin.issuer),
        cell(&origin.cmd_id),
        fingerprint.config,
        fingerprint.layout,
        step.to.word(),
        cell(&step.why)
    );
    row
}

/// Evidence in one line of text.
pub(super) fn in_words(it: &Evidence) -> String {
    let verdict = it.verdict.replace('_', " ");
    let figure = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:+.4}"));
    let mut text = format!(
        "{verdict}: {} [{}, {}] over {} pairs from seed {}",
        figure(it.difference),
        figure(it.low),
        figure(it.high),
        it.pairs,
        it.first_seed
    );
    for row in &it.safety {
        let _ = write!(text, "; {}", safety_in_words(row));
    }
    text
}

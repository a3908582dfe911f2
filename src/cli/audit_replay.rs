//! `townlet audit verify --replay`: holds the audit log to the journal and to the town recomputed from it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::output;
use townlet_audit::Report;
use townlet_shard::Home;
use townlet_shard::cross_check::{CrossCheck, Disagreement, cross_check};
use townlet_tui::format::count;
use townlet_wire::escape;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Also replay each run from its journal, and compare every command, argument, tick and digest
    #[arg(long)]
    replay: bool,
    /// Home folder with the journals [default: the home, or the one with the log folder as `logs/console`]
    #[arg(long, value_name = "DIR", requires = "replay")]
    home: Option<PathBuf>,
}

impl Args {
    /// Fails if the folder of `--home` does not exist.
    pub(super) fn require_home(&self) -> Result<()> {
        self.home.as_deref().map_or(Ok(()), output::require_home)
    }

    /// The result for each run of a report; nothing without `--replay`.
    pub(super) fn check(&self, path: &Path, report: &Report, quiet: bool) -> Result<Option<Vec<CrossCheck>>> {
        if !self.replay {
            return Ok(None);
        }
        let given = Home::new(path).console();
        let folder = match (given.is_dir(), path.is_dir()) {
            (true, _) => given.as_path(),
            (false, true) => path,
            (false, false) => path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new(".")),
        };
        let home = match &self.home {
            Some(home) => Home::new(home),
            None => Home::new(home_of(folder)?),
        };
        let mut runs: Vec<String> = report.runs.iter().map(|run| run.run_id.clone()).collect();
        if path.is_dir() {
            // A run whose log is gone has only its journal.
            runs.extend(home.all_runs().into_iter().filter(|run| !report.runs.iter().any(|it| it.run_id == *run)));
        }
        let check = |run: String| {
            let bar = output::progress_bar(0, quiet, "{msg} {bar:30} tick {human_pos} of {human_len} · {eta} left");
            bar.set_message(escape(&run));
            let checked = cross_check(&home, folder, &run, |tick, last| {
                bar.set_length(last.max(tick));
                bar.set_position(tick);
            });
            bar.finish_and_clear();
            checked.with_context(|| folder.display().to_string())
        };
        runs.into_iter().map(check).collect::<Result<Vec<_>>>().map(Some)
    }
}

/// The home whose `logs/console` a folder is.
fn home_of(folder: &Path) -> Result<PathBuf> {
    let whole = folder.canonicalize().with_context(|| folder.display().to_string())?;
    match whole.parent().and_then(Path::parent) {
        Some(home) if Home::new(home).console() == whole => Ok(home.to_owned()),
        _ => bail!(
            "{}: it is not the `logs/console` of a home. Name the home with the journals: `--home DIR`.",
            folder.display()
        ),
    }
}

pub(super) fn print(check: &CrossCheck) -> Result<()> {
    let word = match check.findings.len() as u64 + check.more_findings {
        0 => "passed".to_owned(),
        findings => format!("FAILED ({findings})"),
    };
    output::line(&format!(
        "  replay of {}: {word}: ticks {} to {}, {} and {} of the audit log, {} of the journal and {} are those of the town",
        escape(&check.run_id),
        check.ticks[0],
        check.ticks[1],
        count(check.commands, "command"),
        count(check.digests, "digest"),
        count(check.journal_digests, "digest"),
        count(check.snapshots, "snapshot"),
    ))?;
    for Disagreement { file, line, message } in &check.findings {
        let place = if *line == 0 { file.clone() } else { format!("{file}:{line}") };
        output::line(&format!("    {}", escape(&format!("{place}: {message}"))))?;
    }
    if check.more_findings > 0 {
        output::line(&format!("    and {} more", check.more_findings))?;
    }
    for (what, number) in &check.not_covered {
        output::line(&format!("    not covered: {number} {what}"))?;
    }
    output::line("    not covered: issuers, times and reasons, if audit log and journal were changed alike")?;
    check.notes.iter().try_for_each(|note| output::line(&format!("    note: {}", escape(note))))
}

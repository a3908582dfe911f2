//! `townlet bench`: measures the performance targets on this machine, in one run.
//!
//! Owns the rows, their targets and the table; each module measures some rows. A row that cannot be measured says why.
//! Rule: "Performance targets".

mod ppo_update;
mod scale;
mod sealing;
mod service;
mod shard;
mod telemetry;
mod timing;
mod town;
mod train;
mod training_impact;
mod tui_frames;
mod whatif;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::json;

use super::{ConfigArgs, config, config_sources, output};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Approximate duration of the measurements, in seconds
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Folder on whose disk commands are measured; everything written there is removed
    #[arg(long, value_name = "DIR", default_value = ".")]
    home: PathBuf,
    /// Compare towns of these sizes instead, each in a process of its own
    #[arg(
        long, value_name = "N,…", value_delimiter = ',', num_args = 0..=1, default_missing_value = scale::SIZES,
        conflicts_with_all = ["seconds", "home"], value_parser = clap::value_parser!(u32).range(config::drawn_residents())
    )]
    scale: Option<Vec<u32>>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A value compared with its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// Also meets the stretch target.
    StretchMet,
    Met,
    Missed,
    NotMeasured,
    /// The row has no target.
    NoTarget,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::StretchMet => "met, stretch too",
            Self::Met => "met",
            Self::Missed => "MISSED",
            Self::NotMeasured => "not measured",
            Self::NoTarget => "-",
        }
    }
}

#[derive(Clone, Debug, Serialize)]
struct Row {
    name: String,
    value: Option<f64>,
    unit: &'static str,
    target: String,
    verdict: Verdict,
    note: String,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    AtLeast(f64),
    AtMost(f64),
    None,
}

impl Target {
    /// Whether a value reaches it, its sign and its limit.
    fn judge(self, value: f64) -> Option<(bool, char, f64)> {
        match self {
            Self::AtLeast(least) => Some((value >= least, '≥', least)),
            Self::AtMost(most) => Some((value <= most, '≤', most)),
            Self::None => None,
        }
    }
}

impl Row {
    fn new(name: &str, value: f64, unit: &'static str, target: Target, note: impl Into<String>) -> Self {
        let (verdict, target) = match target.judge(value) {
            None => (Verdict::NoTarget, "-".to_owned()),
            Some((reached, sign, limit)) => {
                let verdict = if reached { Verdict::Met } else { Verdict::Missed };
                (verdict, format!("{sign} {} {unit}", figure(limit)))
            }
        };
        Self { name: name.into(), value: Some(value), unit, target, verdict, note: note.into() }
    }

    /// Adds a more ambitious target.
    fn stretch(mut self, hoped: Target) -> Self {
        if let Some((reached, _, limit)) = self.value.and_then(|value| hoped.judge(value)) {
            self.target = format!("{}, stretch {}", self.target, figure(limit));
            if reached && self.verdict == Verdict::Met {
                self.verdict = Verdict::StretchMet;
            }
        }
        self
    }

    fn missing(name: &str, unit: &'static str, target: &str, why: impl Into<String>) -> Self {
        let (verdict, target) = (Verdict::NotMeasured, target.to_owned());
        Self { name: name.into(), value: None, unit, target, verdict, note: why.into() }
    }
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    if let Some(sizes) = &args.scale {
        return scale::run(sizes, args.json);
    }
    let texts = config_sources::load(&ConfigArgs::default(), Vec::new())?;
    let budget = Duration::from_secs(args.seconds);
    let mut rows = Vec::new();
    progress(args, "a headless shard");
    // Memory first: later measurements allocate more and return little to the system.
    let folder = std::fs::create_dir_all(&args.home)
        .and_then(|()| tempfile::Builder::new().prefix(".townlet-bench-").tempdir_in(&args.home))
        .with_context(|| format!("{}: cannot create a folder for the measurements.", args.home.display()))?;
    rows.push(shard::memory(&texts.sources, &folder)?);
    let replica = town::replicas(&texts.sources)?;
    progress(args, "commands");
    rows.extend(shard::commands(&texts.sources, &folder, budget / 2)?);
    rows.extend(sealing::rows(&texts.sources, &folder, budget / 2)?);
    progress(args, "subscribers");
    rows.push(shard::subscribers(&texts.sources, &folder, budget / 3)?);
    rows.extend(service::subscribers(&texts.sources, &folder, budget / 3)?);
    progress(args, "telemetry of small and large towns");
    rows.extend(telemetry::rows(&texts.sources, &folder, budget)?);
    progress(args, "the terminal interface");
    rows.push(tui_frames::frames(&texts.sources, &folder, budget / 2)?);
    progress(args, "a training beside a town");
    rows.extend(training_impact::rows(&texts.sources, &folder, budget)?);
    progress(args, "a what-if question");
    rows.extend(whatif::rows(&texts.sources, &folder)?);
    drop(folder);
    progress(args, "the town");
    rows.extend(town::speed(&texts.sources, budget / 4)?);
    rows.push(town::replicas_at_work(&texts.sources, budget / 10)?);
    progress(args, "a town of 1,000");
    rows.extend(town::large_town(&texts.sources)?);
    rows.push(town::backlog(budget / 10)?);
    rows.extend(town::digest_and_snapshots(&texts.sources, budget / 10)?);
    rows.push(replica);
    progress(args, "learning");
    rows.extend(ppo_update::speed()?);
    progress(args, "a training");
    rows.extend(train::rows(&texts.sources, budget)?);
    rows.extend(not_measured());
    if cfg!(debug_assertions) {
        // Values of an unoptimized build are shown without a verdict.
        rows.iter_mut().filter(|row| row.value.is_some()).for_each(|row| row.verdict = Verdict::NoTarget);
    }
    print_table(args, &rows)?;
    let missed = rows.iter().any(|row| row.verdict == Verdict::Missed);
    Ok(ExitCode::from(if missed { super::EXIT_CHECK_FAILED } else { 0 }))
}

/// Targets that this program cannot measure by itself.
fn not_measured() -> Vec<Row> {
    vec![
        Row::missing(
            "allocations in a tick after warm-up",
            "",
            "0",
            "tested with a counting allocator, which this program does not have",
        ),
        Row::missing("PPO update, against PyTorch", "×", "≥ 3", "needs PyTorch; see docs/PERFORMANCE.md"),
        Row::missing(
            "terminal: first frame, key, idle CPU",
            "",
            "150 ms, 50 ms, 1 %",
            "needs a terminal; see docs/PERFORMANCE.md",
        ),
    ]
}

fn progress(args: &Args, what: &str) {
    if !args.json {
        output::stderr!("measuring {what} …");
    }
}

fn print_table(args: &Args, rows: &[Row]) -> Result<()> {
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    if args.json {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let version = env!("CARGO_PKG_VERSION");
        return output::json(&json!({ "townlet": version, "build": build, "cores": cores, "rows": rows }));
    }
    let mut table = vec![["what", "value", "unit", "target", "verdict"].map(String::from)];
    for row in rows {
        let value = row.value.map_or_else(|| "-".into(), figure);
        table.push([row.name.clone(), value, row.unit.into(), row.target.clone(), row.verdict.word().into()]);
    }
    output::print(&output::columns(&table))?;
    output::line("")?;
    for row in rows.iter().filter(|row| !row.note.is_empty()) {
        output::line(&format!("{}: {}.", row.name, row.note))?;
    }
    if build == "debug" {
        output::line("This is an unoptimized build: its values do not represent a release build.")?;
    }
    Ok(())
}

/// Three significant digits, with a suffix for large numbers.
fn figure(value: f64) -> String {
    let (value, letter) = match value.abs() {
        size if size >= 1e6 => (value / 1e6, " M"),
        size if size >= 1e4 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let places = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.places$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text };
    format!("{text}{letter}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        let shown = [0.0, 0.123, 5.0, 12.34, 999.4, 12_345.0, 1_234_567.0].map(figure);
        assert_eq!(shown, ["0", "0.12", "5", "12.3", "999", "12.3 k", "1.23 M"]);
    }

    #[test]
    fn verdicts_follow_targets() {
        let verdict = |value, target| Row::new("x", value, "ms", target, "").verdict;
        assert_eq!(verdict(2.0, Target::AtMost(2.0)), Verdict::Met);
        assert_eq!(verdict(2.1, Target::AtMost(2.0)), Verdict::Missed);
        assert_eq!(verdict(2.0, Target::AtLeast(2.1)), Verdict::Missed);
        assert_eq!(verdict(2.0, Target::None), Verdict::NoTarget);
    }
}

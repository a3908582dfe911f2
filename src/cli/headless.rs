//! `townlet run --headless`: runs a town at full speed without a screen and prints a summary as text or JSON.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, ensure};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::audit::write_atomically;
use super::config_sources::ConfigSources;
use super::run::{Args, Pace, launch, stop};
use super::script::Script;
use super::{EXIT_CHECK_FAILED, EXIT_FAILED, EXIT_INTERRUPTED, output};
use townlet_shard::privacy::PrivacyFilter;
use townlet_shard::{Handle, Speed};
use townlet_tui::format::count;
use townlet_wire::escape;
use townlet_wire::telemetry::Snapshot;
use townlet_wire::{Answer, Status};

const DEFAULT_DAYS: u64 = 10;

pub(super) fn run(args: &Args, input: ConfigSources) -> anyhow::Result<ExitCode> {
    let day = u64::from(input.loaded.config.time.ticks_per_day);
    let warnings = input.loaded.warnings.clone();
    // The script of a new run is checked before anything is written, that of a resumed run when its start tick is known.
    let limit = |from: u64| args.tick_limit.unwrap_or(from + args.days.unwrap_or(DEFAULT_DAYS) * day);
    let load =
        |from: u64| args.script.as_deref().map(|path| Script::load(path, args.role, from, limit(from))).transpose();
    let mut script = if args.launch.resume.is_none() { load(0)? } else { None };
    if let Some(path) = &args.export_audit {
        output::require_new_file(path).context("--export-audit")?;
    }
    let interrupted = output::signal_flag(&[SIGINT, SIGTERM, SIGHUP])?;
    let pace = Pace { speed: Speed::Max, paused: false, headless: true };
    let shard = launch(&args.launch, pace, input)?;
    let from = shard.tick();
    let until = limit(from);
    if args.launch.resume.is_some() {
        ensure!(until >= from, "{} is already at tick {from}, past the limit of {until}.", shard.run_id);
        script = load(from)?;
    }
    for note in warnings.iter().chain(&shard.notes) {
        output::stderr!("{note}");
    }
    let started = Instant::now();
    let bar = output::progress_bar(until, false, "{bar:30} tick {human_pos} of {human_len} · {per_sec} · {eta} left");
    bar.set_position(from);
    bar.reset_elapsed();
    let (answers, mut printed) = run_script(&shard, script.as_ref(), until, &interrupted, &bar, args.json);
    bar.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    let view = shard.view();
    let names = shard.names();
    let (view, digest, stopped) = match (view, stop(&shard)) {
        (Some((view, digest)), Ok(stopped)) => (view, digest, stopped),
        (_, stopped) => {
            let why = stopped.err().unwrap_or_default();
            output::stderr!("townlet: {} at tick {}: saving failed: {why}", shard.run_id, shard.tick());
            return Ok(ExitCode::from(EXIT_FAILED));
        }
    };
    if let Some(path) = &args.export_audit {
        printed = printed.and(export(&shard, path, &names));
    }
    let interrupted = interrupted.load(Ordering::Relaxed) && view.tick < until;
    let report =
        Report { view: &view, digest: &digest, answers: &answers, seconds, from, interrupted, snapshot: &stopped };
    let text = if args.json { format!("{}\n", report.json(&shard)) } else { report.text(&shard)? };
    // The run is saved; say so where the report cannot.
    if let Err(lost) = printed.and_then(|()| output::print(&text)) {
        output::stderr!("{} stopped at tick {}; snapshot {stopped}", shard.run_id, view.tick);
        return Err(lost);
    }
    Ok(if interrupted {
        ExitCode::from(EXIT_INTERRUPTED)
    } else if args.strict && report.check_failed() {
        ExitCode::from(EXIT_CHECK_FAILED)
    } else {
        ExitCode::SUCCESS
    })
}

/// Runs the town to `until` and sends the commands of the script at their ticks. Returns the answers, and the first failure to
/// print one, after which the run goes on in silence.
fn run_script(
    shard: &Handle,
    script: Option<&Script>,
    until: u64,
    interrupted: &AtomicBool,
    bar: &ProgressBar,
    quiet: bool,
) -> (Vec<Answer>, anyhow::Result<()>) {
    let keep_going = |tick: u64| {
        bar.set_position(tick);
        !interrupted.load(Ordering::Relaxed)
    };
    let (mut answers, mut printed) = (Vec::new(), Ok(()));
    let session = script.map(|script| script.session(shard));
    for ((tick, line), session) in script.iter().flat_map(|script| &script.lines).zip(session.into_iter().cycle()) {
        if shard.run_to(*tick, keep_going) != Some(*tick) {
            return (answers, printed);
        }
        let Some(answer) = line.send(shard, session) else { break };
        if !quiet && printed.is_ok() {
            printed = bar.suspend(|| print_answer(&answer));
        }
        answers.push(answer);
    }
    shard.run_to(until, keep_going);
    (answers, printed)
}

/// Prints an answer at once, so that a printed command is an acknowledged one.
fn print_answer(answer: &Answer) -> anyhow::Result<()> {
    let sign = output::status_sign(answer.status);
    let again = if answer.replayed { " (replayed)" } else { "" };
    let (line, summary) = (escape(&answer.command), escape(&answer.summary()));
    output::line(&format!("{sign} tick {:>6}  {line}  {summary}{again}  {}", answer.tick, escape(&answer.cmd_id)))
}

/// Writes the lines of this run byte for byte, so that the copy can be verified. Under privacy mode the lines are redacted
/// and marked as such.
fn export(shard: &Handle, path: &Path, names: &PrivacyFilter) -> anyhow::Result<()> {
    let prefix = format!("{}-", shard.run_id);
    let folder = shard.home().console();
    write_atomically(path, |out| {
        let mut segments: Vec<_> = std::fs::read_dir(&folder)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)))
            .collect();
        segments.sort();
        segments.iter().try_for_each(|segment| out.write_all(&names.redact_lines(&std::fs::read(segment)?)))
    })
}

struct Report<'a> {
    view: &'a Snapshot,
    digest: &'a str,
    answers: &'a [Answer],
    seconds: f64,
    from: u64,
    interrupted: bool,
    snapshot: &'a str,
}

impl Report<'_> {
    fn check_failed(&self) -> bool {
        self.view.kpis.iter().any(|kpi| kpi.verdict == "missed")
            || self.view.alerts.iter().any(|alert| alert.severity == "critical")
            || self.answers.iter().any(|answer| answer.status == Status::Error)
    }

    fn ticks_per_second(&self) -> f64 {
        (self.view.tick - self.from) as f64 / self.seconds.max(1e-9)
    }

    fn json(&self, shard: &Handle) -> Value {
        let view = self.view;
        json!({
            "run_id": view.run_id,
            "shard": view.shard,
            "config_id": view.config_id,
            "policy": view.policy.id,
            "schema_version": view.schema_version,
            "seed": shard.config.seed,
            "tick": view.tick,
            "day": view.day,
            "digest": self.digest,
            "interrupted": self.interrupted,
            "residents": view.agents.len(),
            "kpis": view.kpis,
            "employment": view.employment,
            "stability": view.stability,
            "alerts": view.alerts,
            "alerts_raised": view.alerts_raised,
            "counters": view.counters,
            "script": self.answers,
            "learning": { "state": view.learning.state, "run": view.learning.run, "detail": view.learning.detail,
                          "checkpoint": view.learning.checkpoint, "row": view.learning.history.last() },
            "fell_short": self.check_failed(),
            "ticks_per_second": self.ticks_per_second().round(),
            "seconds": self.seconds,
            "snapshot": self.snapshot,
            "audit": { "folder": shard.home().console().display().to_string(), "file": view.audit.file,
                       "seq": view.audit.seq, "head": view.audit.head },
        })
    }

    fn text(&self, shard: &Handle) -> anyhow::Result<String> {
        let mut text = Vec::new();
        self.print(shard, &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn print(&self, shard: &Handle, out: &mut impl Write) -> std::io::Result<()> {
        let view = self.view;
        writeln!(
            out,
            "{} · {} · {} · day {} · tick {}{}",
            escape(&view.shard),
            view.config_id,
            count(view.agents.len() as u64, "resident"),
            view.day,
            view.tick,
            if self.interrupted { " · INTERRUPTED" } else { "" }
        )?;
        writeln!(out)?;
        writeln!(out, "  {:<24} {:>10}  {:<14} verdict", "KPI", "value", "target")?;
        for kpi in &view.kpis {
            let value = kpi.value.map_or_else(|| "–".to_owned(), |value| format_kpi(value, &kpi.unit));
            let (sign, words) = match kpi.verdict.as_str() {
                "met" => ('✓', "met".to_owned()),
                "missed" => ('✗', "missed".to_owned()),
                _ => ('·', format!("not enough data yet ({} of {})", kpi.samples, kpi.samples_required)),
            };
            writeln!(out, "{sign} {:<24} {value:>10}  {:<14} {words}", kpi.title, kpi.target)?;
        }
        let windows: String = view.stability.windows.iter().map(|window| verdict_letter(&window.verdict)).collect();
        let employment = &view.employment;
        writeln!(out)?;
        writeln!(out, "  stability windows  {windows} (G green, R red, · inconclusive)")?;
        writeln!(
            out,
            "  exit queue         {} pending (limit {}), {} of {} exits today",
            employment.pending_count, employment.queue_limit, employment.exits_today, employment.daily_exit_cap
        )?;
        if let Some(row) = view.learning.history.last() {
            let (learning, saved) = (&view.learning, view.learning.checkpoint.as_deref().unwrap_or("none yet"));
            writeln!(
                out,
                "  training           {}: {}, update {}, {} of {} steps, checkpoint {saved}",
                learning.run, learning.state, row.update, row.steps, learning.total_steps
            )?;
        }
        // A run that is shorter than a rollout ends before the first row.
        if view.learning.history.is_empty() && !matches!(view.learning.state.as_str(), "" | "off") {
            let learning = &view.learning;
            let detail = if learning.detail.is_empty() { String::new() } else { format!("; {}", learning.detail) };
            writeln!(out, "  training           {}: no update yet{}", learning.state, escape(&detail))?;
        }
        for alert in &view.alerts {
            writeln!(out, "  ! {:<20} {} {}", alert.name, alert.message, alert.hint)?;
        }
        writeln!(out, "  speed              {:.0} ticks/s in {:.2} s", self.ticks_per_second(), self.seconds)?;
        writeln!(out, "  snapshot           {}", self.snapshot)?;
        writeln!(out, "  audit log          {}", shard.home().console().display())?;
        writeln!(out, "  digest             {}", self.digest)
    }
}

pub(super) fn format_kpi(value: f64, unit: &str) -> String {
    match unit {
        "ratio" => format!("{:.1} %", value * 100.0),
        "days" => format!("{value:.1} days"),
        _ => format!("{value:.2}"),
    }
}

fn verdict_letter(verdict: &str) -> char {
    match verdict {
        "green" => 'G',
        "red" => 'R',
        _ => '·',
    }
}

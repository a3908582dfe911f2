//! `townlet whatif`: lives a recorded run on from one of its ticks, with alternatives and without, and compares. The run is not changed.
//! Rule: "What if".

use std::fmt::Write as _;
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use townlet_shard::Home;
use townlet_shard::history::History;
use townlet_shard::whatif::{Asked, Prepared, cells, keep};
use townlet_tui::format::thousands;
use townlet_wire::ErrorBody;
use townlet_wire::whatif::{DEFAULT_DAYS, DEFAULT_SAMPLES, WhatIfAnswer};

use super::output::OutputLost;
use super::replay::{self, NamedJournal};
use super::{EXIT_INTERRUPTED, output};

/// Arguments of `townlet whatif`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Name of a run, a journal file, or an incident bundle
    #[arg(value_name = "RUN|FILE")]
    run: String,
    /// Home folder of the shard
    #[arg(long, value_name = "DIR", default_value = ".")]
    home: PathBuf,
    /// Tick of the question [default: the last]
    #[arg(long, value_name = "TICK")]
    at: Option<u64>,
    /// A command that changes the town, such as "approve finn"; repeatable. All `--command`, `--set` and `--policy` are one alternative
    #[arg(long, value_name = "COMMAND")]
    command: Vec<String>,
    /// A setting that may change while a town runs, such as `--set employment.daily_exit_cap=1`; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Policy: `shipped`, `scripted` or a checkpoint's id
    #[arg(long, value_name = "ID")]
    policy: Option<String>,
    /// A further alternative, with `;` between its parts, such as "approve finn; policy scripted"; repeatable
    #[arg(long, value_name = "PARTS")]
    alternative: Vec<String>,
    /// Copies of each alternative
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SAMPLES, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    samples: u32,
    /// Days that each copy lives
    #[arg(long, value_name = "D", default_value_t = DEFAULT_DAYS, value_parser = clap::value_parser!(u32).range(1..=100))]
    days: u32,
    /// Threads (default: one per core); they do not affect results
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

impl Args {
    fn asked(&self) -> Asked {
        let settings = self.set.iter().map(|setting| format!("set {setting}"));
        let policy = self.policy.iter().map(|id| format!("policy {id}"));
        let parts: Vec<String> = settings.chain(policy).chain(self.command.iter().cloned()).collect();
        let first = (!parts.is_empty()).then(|| parts.join("; "));
        Asked {
            alternatives: first.into_iter().chain(self.alternative.iter().cloned()).collect(),
            samples: NonZero::new(self.samples).unwrap_or(NonZero::<u32>::MIN),
            days: NonZero::new(self.days).unwrap_or(NonZero::<u32>::MIN),
        }
    }
}

/// Runs `townlet whatif`.
///
/// # Errors
/// A run, a tick or an alternative that is not possible; then nothing was run or written.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    output::require_home(&args.home)?;
    let asked = args.asked();
    ensure!(
        !asked.alternatives.is_empty(),
        "an alternative is missing. Give one, such as `--command \"approve finn\"`; it is compared with doing nothing."
    );
    let NamedJournal { segments, beginning, home: recorded, .. } = replay::open_journal(&args.run, &args.home)?;
    let interrupted = output::signal_flag(&[SIGINT, SIGTERM])?;
    if let Some(beginning) = beginning {
        output::stderr!("note: {beginning}");
    }
    let home = Home::new(&args.home);
    let mut history = History::open(&recorded, segments).map_err(|why| anyhow!("{why}."))?;
    let (first, last) = history.ticks();
    let at = replay::initial_tick(args.at, (first, last, last)).map_err(|why| anyhow!("{why}."))?;
    let moment = history.seek(at).map_err(|why| anyhow!("{why}."))?;
    let prepared = Prepared::of_recording(&home, moment.town(), moment.policy(), &args.run, &asked);
    let prepared = prepared.map_err(|why| refused(&why))?;
    for note in history.take_notes() {
        output::stderr!("note: {note}.");
    }
    drop(history);
    let bar = output::progress_bar(asked.samples.get().into(), args.json, "{bar:30} sample {human_pos} of {human_len}");
    let threads = output::worker_threads(args.threads.and_then(|threads| NonZero::new(threads.into())));
    let should_continue = || !interrupted.load(Ordering::Relaxed);
    let answer = prepared.answer(threads, &should_continue, |samples, _| bar.set_position(samples.into()));
    bar.finish_and_clear();
    let Some(answer) = answer.filter(|_| should_continue()) else { return Ok(ExitCode::from(EXIT_INTERRUPTED)) };
    let page = keep(&home, &answer).with_context(|| OutputLost::file(&home.what_if()))?;
    if args.json {
        output::json(&json!(answer))?;
    } else {
        output::print(&text(&answer))?;
        output::line(&format!("{} has where the stories part.", page.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn refused(why: &ErrorBody) -> anyhow::Error {
    anyhow!("{}", format!("{} {}", why.message, why.hint).trim_end())
}

fn text(answer: &WhatIfAnswer) -> String {
    let WhatIfAnswer { tick, samples, days, policy, digest, .. } = answer;
    let mut text = format!(
        "From tick {} (digest {digest}), policy {policy}: {samples} samples of {}.\n",
        thousands(*tick),
        townlet_wire::count((*days).into(), "day")
    );
    for alternative in &answer.alternatives {
        let head = ["", "as it goes", "with it", "difference", "95 % interval", ""].map(String::from);
        let mut rows = vec![head];
        rows.extend(alternative.figures.iter().map(cells));
        let _ = write!(text, "\n{}\n{}", townlet_wire::escape(&alternative.alternative), output::columns(&rows));
    }
    text + "\n✓ better, ✗ worse, ≠ different, · not to be told apart from doing nothing\n"
}

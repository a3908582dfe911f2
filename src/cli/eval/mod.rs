//! `townlet eval`: one policy over many towns, and against another on the same towns.
//!
//! Owns the command line and the order of things. Who can be evaluated stands in `evaluated_policy`, what the records come to in
//! `summary`, how it is shown in `table` and `machine`; the evaluation itself in `townlet_learn`. Writes no file.
//! Rule: "Policy evaluation".

mod evaluated_policy;
mod json_report;
mod summary;
mod text_report;

use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use townlet_learn::Choice;
use townlet_learn::evaluate::Span;
use townlet_learn::seeds::HELD_OUT;
use townlet_town::Rules;

use super::{ConfigArgs, EXIT_CHECK_FAILED, EXIT_INTERRUPTED, config_sources, output};
use evaluated_policy::EvaluatedPolicy;
use summary::{Entries, Entry, Summary};

/// Most days of all towns together: what is kept of each fits a few hundred megabytes.
const MAX_TOWN_DAYS: u64 = 500_000;

/// What to evaluate.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The policy to evaluate: `shipped`, `scripted` or a checkpoint's id; what `policy.release` names unless told otherwise
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
    /// Another policy on the same towns, for the difference; the scripted one unless it is evaluated itself
    #[arg(long, value_name = "NAME")]
    against: Option<String>,
    /// How a trained policy chooses; a town is run sampled. Without it, that is shown, and the score of the other beside it
    #[arg(long, value_enum)]
    choice: Option<ChoiceArg>,
    /// Folder that holds checkpoints
    #[arg(long, value_name = "DIR", default_value = ".")]
    home: PathBuf,
    /// Seed of the first town; the others follow one by one
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Towns
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    seeds: u64,
    /// Days that each town lives
    #[arg(long, value_name = "D", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    days: u64,
    #[command(flatten)]
    config: ConfigArgs,
    /// Threads; as many as there are cores unless told otherwise. The result is the same with any number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Exit status 1 when a charter KPI is missed on average, money was not conserved or a queue stood still
    #[arg(long)]
    strict: bool,
    /// For a program: one JSON object with every town and day
    #[arg(long)]
    json: bool,
}

/// A way of choosing on the command line.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ChoiceArg {
    /// The likeliest option
    Greedy,
    /// By their probabilities
    Sampled,
}

impl From<ChoiceArg> for Choice {
    fn from(choice: ChoiceArg) -> Self {
        match choice {
            ChoiceArg::Greedy => Self::Greedy,
            ChoiceArg::Sampled => Self::Sampled,
        }
    }
}

/// Evaluates and tells.
///
/// # Errors
/// A policy that is not there, more than can be kept, or a configuration that does not hold; then nothing was run.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let span = span(args)?;
    let texts = config_sources::load(&args.config, Vec::new())?;
    let rules = Arc::new(Rules::new(texts.sources).map_err(|error| anyhow!("{error}"))?);
    let choice = args.choice.map_or_else(Choice::default, Choice::from);
    let named = |flag, name: &str| EvaluatedPolicy::named(flag, name, choice, &args.home, &rules);
    let name = args.policy.as_deref().unwrap_or(&rules.config.policy.release);
    let policy = named("--policy", name)?;
    let trained = matches!(policy, EvaluatedPolicy::Network(..));
    let baseline = args.against.as_deref().or(trained.then_some("scripted"));
    let against = baseline.map(|name| Ok::<_, anyhow::Error>((name, named("--against", name)?))).transpose()?;
    let other = policy.other_choice().filter(|_| args.choice.is_none());
    // Nothing is written and nothing has to be saved: an interruption may end the program on the spot.
    let at_once = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_shutdown(signal_hook::consts::SIGINT, i32::from(EXIT_INTERRUPTED), at_once)
        .context("signals cannot be watched")?;
    for warning in &texts.loaded.warnings {
        output::stderr!("warning: {warning}");
    }
    let cores = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    let threads = args.threads.and_then(|threads| NonZero::new(usize::from(threads))).unwrap_or(cores);
    let started = Instant::now();
    let towns = span.seeds as u64 * (1 + u64::from(against.is_some()) + u64::from(other.is_some()));
    let bar = output::progress_bar(towns, args.json, "{bar:30} town {human_pos} of {human_len} · {eta} left");
    let run = |name: &str, evaluated_policy: &EvaluatedPolicy| Entry {
        name: evaluated_policy.title(name),
        records: evaluated_policy.evaluate(&rules, span, threads, || bar.inc(1)),
    };
    let entries = Entries {
        ours: run(name, &policy),
        theirs: against.map(|(name, evaluated_policy)| run(name, &evaluated_policy)),
        other: other.map(|evaluated_policy| run(name, &evaluated_policy)),
    };
    bar.finish_and_clear();
    let summary = Summary::of(&rules, span, threads, started.elapsed().as_secs_f64(), entries);
    if args.json {
        output::line(&json_report::json(&summary).to_string())?;
    } else {
        output::print(&text_report::text(&summary))?;
    }
    Ok(ExitCode::from(if args.strict && summary.fell_short() { EXIT_CHECK_FAILED } else { 0 }))
}

fn span(args: &Args) -> Result<Span> {
    if args.seeds * args.days > MAX_TOWN_DAYS {
        bail!(
            "--seeds {} of --days {} are {} days; at most {MAX_TOWN_DAYS} can be kept.",
            args.seeds,
            args.days,
            args.seeds * args.days
        );
    }
    let last = HELD_OUT.end - 1;
    if args.seed.saturating_add(args.seeds - 1) > last {
        bail!(
            "--seed {}: {} seeds from there go beyond {last}, the last that is held out: policies are trained on those after \
             it.",
            args.seed,
            args.seeds
        );
    }
    Ok(Span { seed: args.seed, seeds: args.seeds as usize, days: args.days as usize })
}

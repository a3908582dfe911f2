//! `townlet eval`: one policy over many towns, compared with another on the same towns.
//!
//! Policies are found in `evaluated_policy`, records aggregated in `summary` and printed by `text_report` and
//! `json_report`. Writes no file. Rule: "Policy evaluation".

mod evaluated_policy;
mod json_report;
mod summary;
mod text_report;

use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, anyhow, ensure};
use townlet_learn::Choice;
use townlet_learn::evaluate::Span;
use townlet_learn::seeds::HELD_OUT;
use townlet_town::Rules;

use super::{ConfigArgs, EXIT_CHECK_FAILED, config_sources, output};
use evaluated_policy::EvaluatedPolicy;
use summary::{Entry, Summary};

/// Limit on the days of all towns together, so that the records take a few hundred megabytes at most.
const MAX_TOWN_DAYS: u64 = 500_000;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Policy to evaluate: `shipped`, `scripted` or a checkpoint's id (default: `policy.release`)
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
    /// Policy to compare with on the same towns (default: `scripted`, unless that is evaluated)
    #[arg(long, value_name = "NAME")]
    against: Option<String>,
    /// How a trained policy chooses (default: sampled as in a running town, with the greedy score beside it)
    #[arg(long, value_enum)]
    choice: Option<ChoiceArg>,
    /// Folder with checkpoints
    #[arg(long, value_name = "DIR", default_value = ".")]
    home: PathBuf,
    /// Seed of the first town; the others follow one by one
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Number of towns
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    seeds: u64,
    /// Days per town
    #[arg(long, value_name = "D", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    days: u64,
    #[command(flatten)]
    config: ConfigArgs,
    /// Threads (default: one per core); they do not affect results
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Exit with status 1 when a charter KPI is missed on average, money was not conserved or a queue was stuck
    #[arg(long)]
    strict: bool,
    /// Print one JSON object with every town and day
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ChoiceArg {
    /// The most probable option
    Greedy,
    /// An option drawn by probability
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
    output::exit_at_once_on_interrupt()?;
    for warning in &texts.loaded.warnings {
        output::stderr!("warning: {warning}");
    }
    let threads = output::worker_threads(args.threads.and_then(|threads| NonZero::new(threads.into())));
    let started = Instant::now();
    let towns = span.seeds as u64 * (1 + u64::from(against.is_some()) + u64::from(other.is_some()));
    let bar = output::progress_bar(towns, args.json, "{bar:30} town {human_pos} of {human_len} · {eta} left");
    let run = |name: &str, evaluated_policy: &EvaluatedPolicy| Entry {
        name: evaluated_policy.title(name),
        outside_range: evaluated_policy.reason_outside(&rules),
        records: evaluated_policy.evaluate(&rules, span, threads, || bar.inc(1)),
    };
    let ours = run(name, &policy);
    let theirs = against.map(|(name, evaluated_policy)| run(name, &evaluated_policy));
    let other = other.map(|evaluated_policy| run(name, &evaluated_policy));
    bar.finish_and_clear();
    let summary = Summary::of(&rules, span, threads, started.elapsed().as_secs_f64(), ours, theirs, other);
    if args.json {
        output::line(&json_report::json(&summary).to_string())?;
    } else {
        output::print(&text_report::text(&summary))?;
    }
    Ok(ExitCode::from(if args.strict && summary.fell_short() { EXIT_CHECK_FAILED } else { 0 }))
}

fn span(args: &Args) -> Result<Span> {
    ensure!(
        args.seeds * args.days <= MAX_TOWN_DAYS,
        "--seeds {} of --days {} are {} days; at most {MAX_TOWN_DAYS} fit in memory.",
        args.seeds,
        args.days,
        args.seeds * args.days
    );
    let last = HELD_OUT.end - 1;
    ensure!(
        args.seed.saturating_add(args.seeds - 1) <= last,
        "--seed {}: {} seeds from there go beyond {last}, the last that is held out: policies are trained on those after \
             it.",
        args.seed,
        args.seeds
    );
    Ok(Span { seed: args.seed, seeds: args.seeds as usize, days: args.days as usize })
}

//! `townlet eval`: one policy over many towns, compared with another on the same towns.
//!
//! Seeds are checked in `seed_range`, policies are found in `evaluated_policy` and towns in `evaluated_town`. Records of the
//! configured town are aggregated in `summary` and printed by `text_report` and `json_report`, those of several towns by
//! `town_table`; `town_rows` writes them to a file. Rule: "Policy evaluation".

mod evaluated_policy;
mod evaluated_town;
mod json_report;
mod seed_range;
mod summary;
mod text_report;
mod town_rows;
mod town_table;

use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use indicatif::ProgressBar;
use townlet_learn::Choice;
use townlet_learn::evaluate::Record;
use townlet_town::Rules;

use super::{ConfigArgs, EXIT_CHECK_FAILED, EXIT_FAILED, config_sources, output};
use evaluated_policy::EvaluatedPolicy;
use evaluated_town::{EvaluatedTown, TownArgs};
use seed_range::{SeedRange, SeedsArg};
use summary::{Entry, Evaluation, Summary};
use town_rows::TownRows;
use town_table::TownTable;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Policy to evaluate: `shipped`, `scripted`, a checkpoint's id, or its file (default: `policy.release`)
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
    /// Policy to compare with on the same towns (default: `scripted`, unless that is evaluated)
    #[arg(long, value_name = "NAME")]
    against: Option<String>,
    /// How trained policies choose, on both sides (default: sampled as in a running town, with the greedy scores beside it)
    #[arg(long, value_enum)]
    choice: Option<ChoiceArg>,
    /// Folder with checkpoints
    #[arg(long, value_name = "DIR", default_value = ".")]
    home: PathBuf,
    /// First seed (default: 1); the others follow one by one
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Seeds: a number, a range such as `5001..5021` without its end, or `selection:20` for the first of that set. Each set of
    /// seeds serves one thing: claims are made on test seeds, choices on selection seeds, and training seeds are refused
    #[arg(long, value_name = "SEEDS", default_value = "20", value_parser = SeedsArg::parse)]
    seeds: SeedsArg,
    /// Days per seed
    #[arg(long, value_name = "D", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    days: u64,
    #[command(flatten)]
    towns: TownArgs,
    #[command(flatten)]
    config: ConfigArgs,
    /// Threads (default: one per core); they do not affect results
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Exit with status 1 when a charter KPI is missed on average, money was not conserved or a queue was stuck; over several
    /// towns, when the policy is significantly worse in one of them
    #[arg(long)]
    strict: bool,
    /// Write one JSON line per town, seed and policy to a new file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print one JSON object with every town and day; over several towns, with every town
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
    output::require_home(&args.home)?;
    let seeds = SeedRange::new(args.seed, args.seeds, args.days, args.towns.count().max(1))?;
    if let Some(path) = &args.out {
        output::require_new_file(path).context("--out")?;
    }
    let texts = config_sources::load(&args.config, Vec::new())?;
    let towns = args.towns.list(&args.config, &texts.sources, seeds.span.seed)?;
    let rules = Arc::new(Rules::new(texts.sources).map_err(|error| anyhow!("{error}"))?);
    let choice = args.choice.map_or_else(Choice::default, Choice::from);
    let folders = &rules.config.policy;
    let named = |flag, name: &str| EvaluatedPolicy::named(flag, name, choice, &args.home, folders);
    let policy = named("--policy", args.policy.as_deref().unwrap_or(&folders.release))?;
    let baseline = args.against.as_deref().or(policy.is_network().then_some("scripted"));
    let against = baseline.map(|name| named("--against", name)).transpose()?;
    output::exit_at_once_on_interrupt()?;
    for warning in &texts.loaded.warnings {
        output::stderr!("warning: {warning}");
    }
    let threads = output::worker_threads(args.threads.and_then(|threads| NonZero::new(threads.into())));
    let evaluation = Evaluation { seeds, threads, started: Instant::now(), policy, against };
    if towns.is_empty() { in_one_town(args, &evaluation, &rules) } else { in_towns(args, &evaluation, &towns) }
}

impl Evaluation {
    /// A progress bar over `towns` towns for each of `policies` policies.
    fn bar(&self, args: &Args, towns: usize, policies: usize) -> ProgressBar {
        let runs = (self.seeds.span.seeds * towns * policies) as u64;
        output::progress_bar(runs, args.json, "{bar:30} town {human_pos} of {human_len} · {eta} left")
    }

    fn records(&self, policy: &EvaluatedPolicy, rules: &Arc<Rules>, bar: &ProgressBar) -> Vec<Record> {
        policy.evaluate(rules, self.seeds.span, self.threads, || bar.inc(1))
    }
}

/// Evaluates in the configured town: both policies and, unless `--choice` says one, both ways of choosing.
fn in_one_town(args: &Args, evaluation: &Evaluation, rules: &Arc<Rules>) -> Result<ExitCode> {
    let other = evaluation.policy.other_choice().filter(|_| args.choice.is_none());
    // Greedy is compared with greedy. The scripted policy has one way of choosing.
    let other_against = other.as_ref().and(evaluation.against.as_ref()).and_then(EvaluatedPolicy::other_choice);
    let all = [Some(&evaluation.policy), evaluation.against.as_ref(), other.as_ref(), other_against.as_ref()];
    let policies: Vec<Option<&EvaluatedPolicy>> = all.to_vec();
    let bar = evaluation.bar(args, 1, policies.iter().flatten().count());
    let mut rows = TownRows::default();
    let entries = policies.iter().map(|policy| {
        let policy = (*policy)?;
        let records = evaluation.records(policy, rules, &bar);
        rows.add("configured", rules, evaluation.seeds, policy, &records);
        Some(Entry { name: policy.title(), outside_range: policy.reason_outside(rules), records })
    });
    let mut entries = entries.collect::<Vec<_>>().into_iter();
    let mut next = || entries.next().flatten();
    let ours = next().expect("the policy itself");
    let summary = Summary::of(rules, evaluation, ours, [next(), next(), next()]);
    bar.finish_and_clear();
    if args.json {
        output::line(&json_report::json(&summary).to_string())?;
    } else {
        output::print(&text_report::text(&summary))?;
    }
    finish(args, &rows, summary.fell_short())
}

/// Evaluates in several towns and prints one row each.
fn in_towns(args: &Args, evaluation: &Evaluation, towns: &[EvaluatedTown]) -> Result<ExitCode> {
    let bar = evaluation.bar(args, towns.len(), 1 + usize::from(evaluation.against.is_some()));
    let (mut table, mut rows) = (TownTable::default(), TownRows::default());
    for town in towns {
        let rules = town.rules()?;
        let ours = evaluation.records(&evaluation.policy, &rules, &bar);
        rows.add(&town.name, &rules, evaluation.seeds, &evaluation.policy, &ours);
        let theirs = evaluation.against.as_ref().map(|against| {
            let theirs = evaluation.records(against, &rules, &bar);
            rows.add(&town.name, &rules, evaluation.seeds, against, &theirs);
            theirs
        });
        table.add(&town.name, &rules, evaluation, &ours, theirs.as_deref());
    }
    bar.finish_and_clear();
    if args.json {
        output::line(&table.json(evaluation).to_string())?;
    } else {
        output::print(&table.text(evaluation))?;
    }
    finish(args, &rows, table.fell_short())
}

/// Writes the rows and says how it went.
fn finish(args: &Args, rows: &TownRows, fell_short: bool) -> Result<ExitCode> {
    let written = args.out.as_ref().map(|path| output::require_new_file(path).and_then(|()| rows.write(path)));
    if let Some(Err(why)) = written {
        output::stderr!("townlet: --out: {why:#}");
        return Ok(ExitCode::from(EXIT_FAILED));
    }
    Ok(ExitCode::from(if args.strict && fell_short { EXIT_CHECK_FAILED } else { 0 }))
}

//! `townlet train`: trains a policy. Rule: "Training command".
//!
//! `session` owns what a training writes, `stop` when it stops, `seeds` trains with several seeds.

mod plot;
mod progress;
mod report;
mod seeds;
mod seeds_report;
mod session;
mod stop;
mod sweep;
mod tensorboard;

use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use super::{ConfigArgs, output};
use seeds::SeedsRun;
use session::Session;
use stop::StopRequest;

#[derive(clap::Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Folder for logs and checkpoints
    #[arg(long, value_name = "DIR", default_value = ".")]
    home: PathBuf,
    /// Resident-ticks to train for, which set the schedule (default: `training.total_steps`)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000), conflicts_with = "resume")]
    steps: Option<u64>,
    /// Stop after this many minutes, at once and anywhere; the schedule is still that of the steps
    #[arg(long, value_name = "M", value_parser = minutes)]
    minutes: Option<f64>,
    /// Stop as soon as every charter KPI is met
    #[arg(long)]
    until_kpi: bool,
    /// Seed of weights, towns and choices (default: the configuration's)
    #[arg(long, value_name = "N", conflicts_with = "resume")]
    seed: Option<u64>,
    /// Train with this many seeds, one after the other, and report on all of them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=1_000))]
    seeds: Option<u16>,
    /// Resume the newest training, that of the given checkpoint, or the given one of several seeds
    #[arg(long, value_name = "ID", num_args = 0..=1, default_missing_value = "")]
    resume: Option<String>,
    /// Imitate this policy first: `scripted`, `shipped` or a checkpoint's id; its network may have another size
    #[arg(long, value_name = "POLICY", conflicts_with = "resume")]
    warm_start: Option<String>,
    /// Start with the weights of this checkpoint, or of `shipped`, and a schedule of its own
    #[arg(long, value_name = "ID", conflicts_with_all = ["resume", "warm_start"])]
    from: Option<String>,
    /// Draw learning curves at the end, and write them as SVG beside the rows
    #[arg(long)]
    plot: bool,
    /// Write `TensorBoard` event files into a folder in DIR that has the name of the training
    #[arg(long, value_name = "DIR")]
    tensorboard: Option<PathBuf>,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
    /// Worker threads (default: one per core); they do not affect results
    #[arg(long, value_name = "N")]
    threads: Option<NonZero<usize>>,
}

#[derive(clap::Subcommand, Clone, Debug)]
enum Command {
    Sweep(sweep::Args),
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|_| "give a number, such as 10 or 0.5".to_owned())?;
    if minutes > 0.0 && minutes <= 100_000.0 {
        Ok(minutes)
    } else {
        Err("give a number above 0 and at most 100000".into())
    }
}

/// Reasons why a training ends. After any other than the first it can be continued.
const COMPLETE: &str = "schedule complete";
const INTERRUPTED: &str = "interrupted";
const KPIS_MET: &str = "every charter KPI met";

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    if let Some(Command::Sweep(args)) = &args.command {
        return sweep::run(args);
    }
    output::require_usable_home(&args.home, args.resume.is_some())?;
    let stop = StopRequest::watch(args.minutes)?;
    if let Some(seeds) = SeedsRun::requested(args)? {
        stop.begin_work();
        return seeds.run(args, &stop);
    }
    let mut session = Session::open(args)?;
    stop.begin_work();
    if let Some(ended) = session.warm_start(args, &stop)? {
        return Ok(ended);
    }
    session.train(args, &stop)
}

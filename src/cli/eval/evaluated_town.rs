//! The towns of an evaluation over several towns: drawn ones, populations, shipped scenarios.
//!
//! Rule: "Policy evaluation".

use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use townlet_learn::drawn_towns::{POPULATION, draw_plan_only, draw_with_population};
use townlet_learn::seeds::SeedSet;
use townlet_town::{Rules, Sources};

use crate::cli::{ConfigArgs, config_sources};

/// The shipped scenarios; a test compares them with `configs/scenarios`.
const SCENARIOS: [(&str, &str); 5] = [
    ("blackout", include_str!("../../../configs/scenarios/blackout.yaml")),
    ("employment_backlog", include_str!("../../../configs/scenarios/employment_backlog.yaml")),
    ("price_spike", include_str!("../../../configs/scenarios/price_spike.yaml")),
    ("queue_conflict", include_str!("../../../configs/scenarios/queue_conflict.yaml")),
    ("rivalry", include_str!("../../../configs/scenarios/rivalry.yaml")),
];

/// The towns to evaluate in besides the configured one.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct TownArgs {
    /// Evaluate in towns drawn at random, such as `drawn:20`, or in the configured town on drawn plans, such as `plans:20`, and
    /// print one row each. No training has met them
    #[arg(long, value_name = "KIND:N", value_parser = towns)]
    towns: Option<DrawnArg>,
    /// Evaluate at these populations, such as `4,8,16`, and print one row each; with `--towns` in drawn towns
    #[arg(long, value_name = "N,…", value_delimiter = ',', num_args = 1, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    residents: Vec<u32>,
    /// Evaluate in every shipped scenario and print one row each
    #[arg(long, conflicts_with = "config")]
    scenarios: bool,
}

/// Most towns, so that their plans take little memory.
const MAX_TOWNS: usize = 1_000;

/// How many towns are drawn, and what of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DrawnArg {
    count: u64,
    /// Only the plan; the rest is as configured.
    plan_only: bool,
}

fn towns(text: &str) -> Result<DrawnArg, String> {
    let (kind, count) = text.split_once(':').unwrap_or_default();
    let count = count.parse().ok().filter(|count| (1..=MAX_TOWNS as u64).contains(count));
    let plan_only = ["drawn", "plans"].iter().position(|known| *known == kind).map(|at| at == 1);
    let given = plan_only.zip(count).map(|(plan_only, count)| DrawnArg { count, plan_only });
    given.ok_or(format!("give drawn:N or plans:N, with N from 1 to {MAX_TOWNS}"))
}

/// A town to evaluate in.
pub(super) struct EvaluatedTown {
    /// The name in reports: `drawn 7`, `configured`, a scenario's name.
    pub(super) name: String,
    sources: Sources,
}

impl TownArgs {
    /// Number of towns; 0 when only the configured one is evaluated.
    pub(super) fn count(&self) -> usize {
        let each = self.residents.len();
        let towns = self.towns.map_or(each, |drawn| drawn.count as usize * each.max(1));
        towns + if self.scenarios { SCENARIOS.len() } else { 0 }
    }

    /// The towns. Drawn ones have the numbers from the first seed on, so test and selection seeds have towns of their own.
    pub(super) fn list(&self, args: &ConfigArgs, base: &Sources, first_seed: u64) -> Result<Vec<EvaluatedTown>> {
        let count = self.count();
        ensure!(
            count <= MAX_TOWNS,
            "--towns and --residents together request {count} towns; the maximum is {MAX_TOWNS}."
        );
        let mut towns = match self.towns {
            Some(drawn) => self.drawn(base, first_seed, drawn)?,
            None => self.populations(args)?,
        };
        if self.scenarios {
            for (name, text) in SCENARIOS {
                let file = format!("configs/scenarios/{name}.yaml");
                let sources = config_sources::shipped_with(&file, text, args.settings.clone())?.sources;
                towns.push(EvaluatedTown::checked(name, sources)?);
            }
        }
        Ok(towns)
    }

    fn drawn(&self, base: &Sources, first: u64, drawn: DrawnArg) -> Result<Vec<EvaluatedTown>> {
        let DrawnArg { count, plan_only } = drawn;
        let last = first + count - 1;
        ensure!(
            SeedSet::of(last) == SeedSet::of(first),
            "--towns: drawn towns are numbered by seeds, and {first} to {last} belong to two sets."
        );
        let most = base.config.embedding_allocator.max_slots.min(*POPULATION.end());
        let allowed = *POPULATION.start()..=most;
        if let Some(residents) = self.residents.iter().find(|residents| !allowed.contains(residents)) {
            bail!("--residents {residents}: these drawn towns have {} to {most} residents.", allowed.start());
        }
        let populations: Vec<Option<u32>> = match self.residents.as_slice() {
            [] => vec![None],
            given => given.iter().copied().map(Some).collect(),
        };
        let town = |(number, residents): (u64, Option<u32>)| {
            if !plan_only {
                let sources = draw_with_population(base, number, residents);
                return EvaluatedTown { name: format!("drawn {number}"), sources };
            }
            let mut base = base.clone();
            base.config.world.population = residents.unwrap_or(base.config.world.population);
            EvaluatedTown { name: format!("plan {number}"), sources: draw_plan_only(&base, number) }
        };
        let numbers = (first..=last).flat_map(|number| populations.iter().map(move |residents| (number, *residents)));
        Ok(numbers.map(town).collect())
    }

    /// The configured town at each population.
    fn populations(&self, args: &ConfigArgs) -> Result<Vec<EvaluatedTown>> {
        let town = |residents: &u32| {
            let flags = vec![("world.population".to_owned(), residents.to_string())];
            EvaluatedTown::checked("configured", config_sources::load(args, flags)?.sources)
        };
        self.residents.iter().map(town).collect()
    }
}

impl EvaluatedTown {
    /// A town whose files match each other.
    fn checked(name: &str, sources: Sources) -> Result<Self> {
        let residents = sources.config.world.population;
        let town = Self { name: name.into(), sources };
        town.rules().with_context(|| format!("{name} with {residents} residents"))?;
        Ok(town)
    }

    /// Its rules, computed anew.
    pub(super) fn rules(&self) -> Result<Arc<Rules>> {
        Ok(Arc::new(Rules::new(self.sources.clone()).map_err(|error| anyhow!("{error}"))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_scenarios_is_evaluated() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/scenarios");
        let files = std::fs::read_dir(folder).expect("the folder").flatten().map(|file| file.path());
        let mut names: Vec<String> =
            files.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect();
        names.sort();
        assert_eq!(names, SCENARIOS.map(|row| row.0));
    }

    #[test]
    fn drawn_towns_and_plans_are_asked_for_by_number() {
        assert_eq!(towns("drawn:20"), Ok(DrawnArg { count: 20, plan_only: false }));
        assert_eq!(towns("plans:3"), Ok(DrawnArg { count: 3, plan_only: true }));
        for text in ["20", "drawn:0", "drawn:1001", "drawn:", "drawn:-1", "random:3"] {
            assert!(towns(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_drawn_plan_leaves_everything_else_as_configured() {
        let base = Sources::default_town(&[]).expect("valid settings");
        let args = TownArgs { towns: towns("plans:2").ok(), residents: Vec::new(), scenarios: false };
        let drawn = args.drawn(&base, 1, args.towns.expect("given")).expect("two towns");
        assert_eq!(drawn.iter().map(|town| town.name.as_str()).collect::<Vec<_>>(), ["plan 1", "plan 2"]);
        assert_ne!(drawn[0].sources.plan, drawn[1].sources.plan);
        for town in drawn {
            let (economy, config) = (&town.sources.config.economy, &base.config);
            assert_eq!((economy, &town.sources.perturbations), (&config.economy, &base.perturbations));
            assert_eq!(town.sources.config.world.population, config.world.population);
            town.rules().expect("a valid town");
        }
    }
}

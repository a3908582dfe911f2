//! The towns of an evaluation over several towns: drawn ones, populations, shipped scenarios.
//!
//! Rule: "Policy evaluation".

use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use townlet_learn::drawn_towns::{POPULATION, draw_with_population};
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
    /// Evaluate in towns drawn at random, such as `drawn:20`, and print one row per town. No training has met them
    #[arg(long, value_name = "drawn:N", value_parser = drawn)]
    towns: Option<u64>,
    /// Evaluate at these populations, such as `4,8,16`, and print one row each; with `--towns` in drawn towns
    #[arg(long, value_name = "N,…", value_delimiter = ',', num_args = 1, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    residents: Vec<u32>,
    /// Evaluate in every shipped scenario and print one row each
    #[arg(long, conflicts_with = "config")]
    scenarios: bool,
}

/// Most towns, so that their plans take little memory.
const MAX_TOWNS: usize = 1_000;

fn drawn(text: &str) -> Result<u64, String> {
    let count = text.strip_prefix("drawn:").and_then(|count| count.parse().ok());
    let allowed = 1..=MAX_TOWNS as u64;
    count.filter(|count| allowed.contains(count)).ok_or(format!("give drawn:1 to drawn:{MAX_TOWNS}"))
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
        let towns = self.towns.map_or(each, |drawn| drawn as usize * each.max(1));
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
            Some(count) => self.drawn(base, first_seed, count)?,
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

    fn drawn(&self, base: &Sources, first: u64, count: u64) -> Result<Vec<EvaluatedTown>> {
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
        let town = |(number, residents)| EvaluatedTown {
            name: format!("drawn {number}"),
            sources: draw_with_population(base, number, residents),
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
    fn drawn_towns_are_named_by_number() {
        assert_eq!(drawn("drawn:20"), Ok(20));
        for text in ["20", "drawn:0", "drawn:1001", "drawn:", "drawn:-1", "random:3"] {
            assert!(drawn(text).is_err(), "{text}");
        }
    }
}

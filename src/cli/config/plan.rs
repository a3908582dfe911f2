//! `townlet config plan`: draws a town of any size and prints its configuration, or writes it with its plan.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use townlet_learn::drawn_towns::{CITY_RESIDENTS, DrawnCity, city_plan_name, draw_city};
use townlet_town::config::{Layers, load};
use townlet_town::plan::PlaceKind;
use townlet_wire::escape;

use crate::cli::output::{self, OutputLost};

/// Allowed numbers of residents.
pub(in crate::cli) fn residents() -> RangeInclusive<i64> {
    i64::from(*CITY_RESIDENTS.start())..=i64::from(*CITY_RESIDENTS.end())
}

/// Residents for each exit that a day allows.
const RESIDENTS_PER_EXIT: u32 = 50;
/// Ticks of a day over which its exits are spread.
const EXIT_TICKS: u32 = 900;

/// First and last tick of a shift at a site.
const fn shift(site: PlaceKind) -> [u32; 2] {
    match site {
        PlaceKind::Grocer => [180, 360],
        PlaceKind::Office => [400, 580],
        PlaceKind::Gym => [520, 700],
        PlaceKind::Cafe | PlaceKind::Home | PlaceKind::Park => [260, 440],
    }
}

/// Prints the configuration, or writes it and the plan that it names to new files.
pub(super) fn draw(residents: u32, seed: u64, out: Option<&Path>) -> Result<()> {
    let Some(out) = out else { return output::print(&yaml(residents, seed)) };
    let plan = out.with_extension("txt");
    ensure!(
        plan != out,
        "--out {}: this name is used for the plan. Give a name that ends in .yaml.",
        escape(&out.display().to_string())
    );
    for path in [out, &plan] {
        output::require_new_file(path).context("--out")?;
    }
    let city = draw_city(residents, seed);
    // In quotes, because the name of a file can be anything.
    let name = format!("{:?}", plan.file_name().unwrap_or_default().to_string_lossy());
    let text = configuration(&city, residents, seed, &name);
    load(&Layers { file: Some((out.display().to_string(), text.clone())), ..Layers::default() }).context("--out")?;
    for (path, text) in [(&*plan, &city.plan.text), (out, &text)] {
        townlet_files::write_atomically(path, text.as_bytes()).context(OutputLost::file(path))?;
    }
    output::line(&format!("written: {}, {}", plan.display(), out.display()))
}

/// The configuration of the town for this many residents and a seed. Its plan is drawn when it is loaded.
pub(in crate::cli) fn yaml(residents: u32, seed: u64) -> String {
    configuration(&draw_city(residents, seed), residents, seed, &city_plan_name(residents, seed))
}

fn configuration(city: &DrawnCity, residents: u32, seed: u64, plan: &str) -> String {
    let [width, height] = city.plan.size;
    let exits = residents.div_ceil(RESIDENTS_PER_EXIT);
    let gap = (EXIT_TICKS / exits).min(10);
    let (backlog, slots) = (residents.div_ceil(10), residents + residents.div_ceil(5));
    let mut text = format!(
        "# A town of {residents} residents, drawn by `townlet config plan --residents {residents} --seed {seed}`.
config_id: city-{residents}-{seed}
shard: city
policy: {{ release: scripted }}   # the shipped policy was trained on at most 32 residents
world: {{ plan: {plan}, population: {residents}, grid_size: [{width}, {height}] }}
lifecycle: {{ max_exits_per_day: {exits}, exit_cooldown_ticks: {gap} }}
# Ways to work are long, so residents leave early and have a longer grace period.
behavior: {{ job_arrival_buffer: 100 }}
employment: {{ daily_exit_cap: {exits}, exit_queue_limit: {backlog}, absent_cutoff: 120 }}
embedding_allocator: {{ max_slots: {slots} }}
# A till in a café has a meal a day for each of the three residents who share it, and a stock for a few more.
economy: {{ cafe_stock: 10, cafe_capacity: 20, cafe_restock: 10 }}

# Each district has a café, a grocer, an office and a gym with a job each, for the residents who live there.
jobs:
"
    );
    let digits = city.workplaces.len().to_string().len();
    for (number, (kind, [x, y])) in (1..).zip(&city.workplaces) {
        let ([start, end], site) = (shift(*kind), kind.name());
        let _ = writeln!(
            text,
            "  job_{number:0digits$}: {{ site: {site}, start_tick: {start}, end_tick: {end}, lateness_penalty: 0.1, location: [{x}, {y}] }}"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;
    use std::sync::Arc;

    use townlet_learn::{Scripted, update_observations};
    use townlet_town::config::Observations;
    use townlet_town::observations::ObservationBuffer;
    use townlet_town::{Rules, Town, observations, queues, snapshot};

    use super::*;
    use crate::cli::{config_sources, policy};

    const METROPOLIS: &str = include_str!("../../../configs/metropolis.yaml");

    #[test]
    fn a_drawn_configuration_of_any_size_makes_a_town_without_warnings() {
        for (residents, seed) in [(1, 1), (8, 9), (50, 2), (65, 3), (2_500, 4)] {
            let input = config_sources::shipped("city.yaml", &yaml(residents, seed)).expect("valid settings");
            assert_eq!(input.loaded.warnings, [] as [String; 0]);
            let rules = Rules::new(input.sources).unwrap_or_else(|why| panic!("{residents}: {why}"));
            assert_eq!(rules.config.world.population, residents);
        }
        let largest = yaml(20_000, 5);
        assert!(config_sources::shipped("city.yaml", &largest).is_ok() && largest.len() < 200_000);
    }

    #[test]
    fn the_largest_town_fits_into_a_snapshot() {
        let input = config_sources::shipped("city.yaml", &yaml(20_000, 6)).expect("valid settings");
        let mut town = Town::new(Arc::new(Rules::new(input.sources).expect("a town")), 6);
        for _ in 0..3 {
            town.step(&mut Scripted);
        }
        let loaded = snapshot::load(&snapshot::save(&town)).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(loaded.digest(), town.digest());
    }

    #[test]
    fn a_drawn_town_of_a_thousand_is_the_same_on_one_and_two_threads() {
        let input = config_sources::shipped("city.yaml", &yaml(1_000, 7)).expect("valid settings");
        let rules = Arc::new(Rules::new(input.sources).expect("a town"));
        let layout = observations::layout(Observations::Full);
        let run = |threads: usize| {
            let threads = NonZero::new(threads).expect("a number of threads");
            let mut town = Town::new(Arc::clone(&rules), 7);
            let mut seen = ObservationBuffer::new(layout);
            for _ in 0..150 {
                town.step(&mut Scripted);
                assert_eq!(update_observations(&mut seen, &town, threads).len(), 1_000 * layout.width);
            }
            assert_eq!(queues::violations(town.rules(), town.state()), Vec::<String>::new());
            (town.digest(), seen.values().to_vec())
        };
        let [one, two] = [1, 2].map(run);
        assert_eq!(one.0, two.0);
        assert!(one.1 == two.1, "the observations differ");
    }

    #[test]
    fn the_metropolis_starts_and_lies_outside_the_range_of_the_shipped_policy() {
        let learned = vec![("policy.release".to_owned(), "shipped".to_owned())];
        let input = config_sources::shipped_with("metropolis.yaml", METROPOLIS, learned).expect("valid settings");
        let rules = Arc::new(Rules::new(input.sources).expect("a town"));
        let warning = policy::release_mismatch(&rules).expect("a warning");
        assert!(warning.contains("outside the trained range") && warning.contains("10000 residents"), "{warning}");
        let mut town = Town::new(rules, 1);
        for _ in 0..20 {
            town.step(&mut Scripted);
        }
        assert_eq!(town.state().agents.present.len(), 10_000);
        assert_eq!(queues::violations(town.rules(), town.state()), Vec::<String>::new());
    }

    #[test]
    fn residents_of_a_drawn_town_have_enough_to_eat() {
        let input = config_sources::shipped_with("town.yaml", &yaml(150, 1), Vec::new()).expect("valid settings");
        let rules = Arc::new(Rules::new(input.sources).expect("valid settings"));
        let mut town = Town::new(rules, 1);
        for tick in 0..4 * town.rules().config.time.ticks_per_day {
            town.step(&mut Scripted);
            assert_eq!(town.state().stability.counters.starvation_events, 0, "at tick {tick}");
        }
    }

    #[test]
    fn the_shipped_metropolis_is_a_drawn_town() {
        let settings =
            |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
        let named = yaml(10_000, 1)
            .replace("config_id: city-10000-1", "config_id: metropolis-v1")
            .replace("shard: city", "shard: metropolis");
        assert_eq!(settings(METROPOLIS), settings(&named));
    }
}

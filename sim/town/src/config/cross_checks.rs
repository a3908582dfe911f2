//! Checks of combinations of settings. An error points at the involved setting from the highest layer (flag, environment, file,
//! default), because that is the one the user just set.

use super::error::ConfigError;
use super::shard_settings::{Journal, Policy, ServerLimits};
use super::town_settings::{Config, ConsoleMode, Job};
use super::yaml_tree::{Node, Place};
use crate::fixed_point::Micro;

/// Meals a resident eats in a day.
const MEALS_A_DAY: i64 = 3;
/// Segments for which a journal must have room.
const JOURNAL_SEGMENTS: u64 = 4;

/// All invalid combinations, and warnings about questionable ones.
pub(crate) fn check(config: &Config, root: &Node) -> (Vec<ConfigError>, Vec<String>) {
    let mut cross = Cross { root, errors: Vec::new() };
    cross.console(config);
    cross.folders(&config.policy);
    cross.journal(&config.journal);
    cross.ordered(
        ("keyframes.every_ticks", config.keyframes.every_ticks),
        ("keyframes.sparse_ticks", config.keyframes.sparse_ticks),
    );
    cross.limits(&config.server.limits);
    cross.ordered(
        ("training.drawn_share_start", config.training.drawn_share_start),
        ("training.drawn_share", config.training.drawn_share),
    );
    cross.work(config);
    cross.exits(config);
    cross.punctuality(config);
    cross.levels(config);
    cross.economy(config);
    cross.capacity(config);
    (cross.errors, basket(config).into_iter().collect())
}

struct Cross<'a> {
    root: &'a Node,
    errors: Vec<ConfigError>,
}

impl Cross<'_> {
    /// Adds an error unless `holds`, at the one of `keys` from the highest layer.
    fn require(&mut self, holds: bool, keys: &[&str], problem: impl FnOnce() -> String, help: &str) {
        if holds {
            return;
        }
        let places = keys.iter().filter_map(|key| Some((*key, self.root.at(key)?.place.as_ref()?)));
        let layer = |place: &Place| place.source.layer;
        let chosen = places.reduce(|best, next| if layer(next.1) > layer(best.1) { next } else { best });
        if let Some((key, place)) = chosen {
            self.errors.push(ConfigError::at(place, key, problem()).help(help));
        }
    }

    /// Requires `low` ≤ `high`.
    fn ordered(&mut self, low: (&str, u32), high: (&str, u32)) {
        let problem = || format!("{} ({}) is more than {} ({})", low.0, low.1, high.0, high.1);
        self.require(low.1 <= high.1, &[low.0, high.0], problem, &format!("{} may be at most {}", low.0, high.1));
    }

    /// Requires `low` < `high`.
    fn below(&mut self, low: (&str, Micro), high: (&str, Micro)) {
        let problem = || format!("{} ({}) is not below {} ({})", low.0, low.1, high.0, high.1);
        self.require(low.1 < high.1, &[low.0, high.0], problem, &format!("{} must be below {}", low.0, high.1));
    }

    fn console(&mut self, config: &Config) {
        self.require(
            config.features.console.mode == ConsoleMode::Viewer,
            &["features.console.mode"],
            || "features.console.mode must be viewer: no session starts as admin".to_owned(),
            "in a session, type `escalate` and give the reason",
        );
    }

    fn folders(&mut self, policy: &Policy) {
        let problem = || format!("policy.release_dir and policy.shadow_dir are both {:?}", policy.release_dir);
        self.require(
            folder(&policy.release_dir) != folder(&policy.shadow_dir),
            &["policy.release_dir", "policy.shadow_dir"],
            problem,
            "the trainer must not write where the release is read; set two folders",
        );
    }

    fn journal(&mut self, journal: &Journal) {
        let (whole, segment) = (journal.max_bytes, journal.segment_bytes);
        self.require(
            whole >= segment.saturating_mul(JOURNAL_SEGMENTS),
            &["journal.max_bytes", "journal.segment_bytes"],
            || {
                format!(
                    "journal.max_bytes ({whole}) is less than {JOURNAL_SEGMENTS} × journal.segment_bytes ({segment})"
                )
            },
            "a journal needs room for the segments that a restart and an incident bundle read",
        );
    }

    fn limits(&mut self, limits: &ServerLimits) {
        let (all, reserved) = (limits.connections, limits.reserved_connections);
        self.require(
            reserved < all,
            &["server.limits.reserved_connections", "server.limits.connections"],
            || {
                format!(
                    "server.limits.reserved_connections ({reserved}) is not less than server.limits.connections ({all})"
                )
            },
            "connections without a token get what is not reserved",
        );
    }

    fn work(&mut self, config: &Config) {
        let day = config.time.ticks_per_day;
        let work = &config.employment;
        self.ordered(("employment.grace_ticks", work.grace_ticks), ("employment.absent_cutoff", work.absent_cutoff));
        self.ordered(
            ("employment.absence_slack", work.absence_slack),
            ("employment.absent_cutoff", work.absent_cutoff),
        );
        self.require(!config.jobs.is_empty(), &["jobs"], || "jobs has no job".to_owned(), "give at least one");
        for (name, job) in &config.jobs {
            let key = |setting: &str| format!("jobs.{name}.{setting}");
            let (start, end) = (key("start_tick"), key("end_tick"));
            let problem = || format!("{start} ({}) is not before {end} ({})", job.start_tick, job.end_tick);
            self.require(
                job.start_tick < job.end_tick,
                &[&start, &end],
                problem,
                "a shift begins before it ends, on the same day",
            );
            self.ordered((&end, job.end_tick), ("time.ticks_per_day", day));
            let length = job.end_tick.saturating_sub(job.start_tick);
            let problem = || {
                format!(
                    "employment.absent_cutoff ({}) is longer than the shift of {name} ({length})",
                    work.absent_cutoff
                )
            };
            let keys = [end.as_str(), start.as_str(), "employment.absent_cutoff"];
            self.require(
                length == 0 || work.absent_cutoff <= length,
                &keys,
                problem,
                "then no absence could be detected",
            );
            let [width, height] = config.world.grid_size;
            let inside = job.location.is_none_or(|[x, y]| x < width && y < height);
            let location = key("location");
            let problem = || format!("{location} lies outside the town");
            self.require(
                inside,
                &[&location],
                problem,
                &format!("x is from 0 to {}, y from 0 to {}", width - 1, height - 1),
            );
        }
    }

    fn exits(&mut self, config: &Config) {
        let (work, life) = (&config.employment, &config.lifecycle);
        self.ordered(
            ("employment.daily_exit_cap", work.daily_exit_cap.at_start()),
            ("lifecycle.max_exits_per_day", life.max_exits_per_day),
        );
        let needed = u64::from(life.exit_cooldown_ticks) * u64::from(life.max_exits_per_day.saturating_sub(1));
        let problem = || {
            format!(
                "{} exits with lifecycle.exit_cooldown_ticks ({}) between do not fit a day",
                life.max_exits_per_day, life.exit_cooldown_ticks
            )
        };
        let keys = ["lifecycle.exit_cooldown_ticks", "lifecycle.max_exits_per_day", "time.ticks_per_day"];
        let help = format!("a day has {} ticks", config.time.ticks_per_day);
        self.require(needed < u64::from(config.time.ticks_per_day), &keys, problem, &help);
    }

    /// The reward for being on time must not exceed the cost of a skipped meal.
    fn punctuality(&mut self, config: &Config) {
        let cost = skipped_meal(config);
        let bonus = config.rewards.punctuality_bonus;
        self.require(
            bonus <= cost,
            &[
                "rewards.punctuality_bonus",
                "rewards.homeostasis_scale",
                "rewards.needs_weights.hunger",
                "needs.decay_rates.hunger",
            ],
            || format!("rewards.punctuality_bonus ({bonus}) outweighs a skipped meal ({cost})"),
            "residents would learn to starve on time: lower the bonus or raise rewards.homeostasis_scale",
        );
    }

    fn levels(&mut self, config: &Config) {
        let (start, critical) = (&config.needs.start, &config.needs.critical);
        self.below(("needs.critical.hunger", critical.hunger), ("needs.start.hunger", start.hunger));
        self.below(("needs.critical.hygiene", critical.hygiene), ("needs.start.hygiene", start.hygiene));
        self.below(("needs.critical.energy", critical.energy), ("needs.start.energy", start.energy));
        self.below(
            ("lifecycle.collapse_hunger", config.lifecycle.collapse_hunger),
            ("needs.critical.hunger", critical.hunger),
        );
        let rivalry = &config.conflict.rivalry;
        self.below(
            ("conflict.rivalry.eviction_threshold", rivalry.eviction_threshold),
            ("conflict.rivalry.avoid_threshold", rivalry.avoid_threshold),
        );
        let clip = &config.rewards.clip;
        self.below(
            ("rewards.clip.clip_per_tick", clip.clip_per_tick),
            ("rewards.clip.clip_per_episode", clip.clip_per_episode),
        );
        let pressure = &config.telemetry.backpressure;
        self.ordered(
            ("telemetry.backpressure.recover_below", pressure.recover_below),
            ("telemetry.backpressure.backlog_threshold", pressure.backlog_threshold),
        );
    }

    fn economy(&mut self, config: &Config) {
        let (economy, day) = (&config.economy, config.time.ticks_per_day);
        self.ordered(
            ("economy.grocer_stock", economy.grocer_stock),
            ("economy.grocer_capacity", economy.grocer_capacity),
        );
        self.ordered(("economy.cafe_stock", economy.cafe_stock), ("economy.cafe_capacity", economy.cafe_capacity));
        self.ordered(("economy.restock_tick", economy.restock_tick), ("time.ticks_per_day", day - 1));
        let hours = &economy.opening_hours;
        self.ordered(("economy.opening_hours.cafe", hours.cafe[1]), ("time.ticks_per_day", day));
        self.ordered(("economy.opening_hours.grocer", hours.grocer[1]), ("time.ticks_per_day", day));
    }

    fn capacity(&mut self, config: &Config) {
        self.ordered(
            ("world.population", config.world.population),
            ("embedding_allocator.max_slots", config.embedding_allocator.max_slots),
        );
    }
}

/// A normalised folder name.
fn folder(path: &str) -> String {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").collect::<Vec<_>>().join("/")
}

/// The reward lost while hunger falls for a third of a day, starting satisfied: the lowest value of a meal.
fn skipped_meal(config: &Config) -> Micro {
    let ticks = i64::from(config.time.ticks_per_day) / MEALS_A_DAY;
    let squares = (1..=ticks).map(|tick| {
        let deficit = config.needs.decay_rates.hunger.scaled(tick).unit();
        deficit.times(deficit)
    });
    squares.sum::<Micro>().times(config.rewards.needs_weights.hunger).times(config.rewards.homeostasis_scale)
}

/// Warns when rent and three meals do not leave 10 to 20 % of the wages of the worst paid shift.
fn basket(config: &Config) -> Option<String> {
    let economy = &config.economy;
    let basket = economy.rent_per_day + economy.meal_cost.scaled(MEALS_A_DAY);
    let wages = |job: &Job| job.wage_rate.scaled(i64::from(job.end_tick.saturating_sub(job.start_tick)));
    let (name, wage) = config.jobs.iter().map(|(name, job)| (name, wages(job))).min_by_key(|(_, wage)| *wage)?;
    let slack = Micro::ratio((wage - basket).0, wage.0).0;
    let (low, high) = (Micro(100_000).0, Micro(200_000).0);
    let verdict = if slack < low || wage == Micro::ZERO {
        "hardly afford to live"
    } else if slack > high {
        "not be affected by prices"
    } else {
        return None;
    };
    Some(format!(
        "a shift as {name} pays {wage} meals; rent ({}) and three meals ({} each) cost {basket}, which leaves {} % instead of 10 to \
         20 %: residents will {verdict}",
        economy.rent_per_day,
        economy.meal_cost,
        slack / 10_000,
    ))
}

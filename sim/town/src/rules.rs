//! The rules of one town: everything that is fixed once it runs, worked out once from configuration, plan and affordances.
//!
//! Shared by every replica of the town; a [`crate::Town`] holds it behind an `Arc`.

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::affordances::{self, Access, Affordance, AffordanceError};
use crate::config::{Config, ConfigErrors, PerturbationFile, Site};
use crate::fixed_point::Micro;
use crate::ids::{AffordanceId, Column, JobId, ObjectId, PlaceId, Tile};
use crate::needs::{NEED_COUNT, NEEDS};
use crate::observations::StaticFeatures;
use crate::options::{OPTIONS, OptionKind};
use crate::pathfinding::{self, Field};
use crate::perturbations::{self, PerturbationEvent};
use crate::plan::{ObjectKind, PlaceKind, Plan, PlanError};
use crate::snapshot::hex;

/// The four texts a town is made from. They travel with every snapshot and journal.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sources {
    /// The effective configuration in its canonical form.
    pub config: String,
    /// Name and text of the plan.
    pub plan: (String, String),
    /// Name and text of the affordance file.
    pub affordances: (String, String),
    /// Name and text of the perturbation file.
    pub perturbations: (String, String),
}

impl Sources {
    /// 32 hex digits over the texts.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for text in [&self.config, &self.plan.1, &self.affordances.1, &self.perturbations.1] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        hex(&hash.finalize()[..16])
    }
}

/// Why a town cannot be made.
#[derive(Debug, Error)]
pub enum RulesError {
    /// The plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The affordances.
    #[error(transparent)]
    Affordances(#[from] AffordanceError),
    /// They do not fit each other.
    #[error("{0}")]
    Misfit(String),
}

/// A job with its site on the plan.
#[derive(Clone, Debug)]
pub struct Job {
    /// Such as `grocer`.
    pub name: String,
    /// First tick of the day.
    pub start: u32,
    /// First tick of the day after it.
    pub end: u32,
    /// Meals a tick.
    pub wage: Micro,
    /// Kept back once when late.
    pub lateness_penalty: Micro,
    /// Steps from every tile to the site.
    pub field: Field,
    /// Where it is.
    pub place: Option<PlaceId>,
}

/// The rules.
#[derive(Debug)]
pub struct Rules {
    /// What they were made from.
    pub sources: Sources,
    /// 32 hex digits over all of that; files' names say nothing in it.
    pub texts_digest: String,
    /// The configuration.
    pub config: Config,
    /// The map.
    pub plan: Plan,
    /// What one can do with things.
    pub affordances: Column<AffordanceId, Affordance>,
    /// In the order of their names.
    pub jobs: Column<JobId, Job>,
    /// Places that are homes.
    pub homes: Vec<PlaceId>,
    /// The fridge of a home.
    pub fridge_of: Column<PlaceId, Option<ObjectId>>,
    /// Steps to every object.
    pub fields: Column<ObjectId, Field>,
    /// Steps to every place.
    pub place_fields: Column<PlaceId, Field>,
    /// For each option, the objects and affordances that serve it, in order of the plan.
    pub choices: [Vec<(ObjectId, AffordanceId)>; 9],
    /// The same by home, without what is in other homes; empty for places that are not homes.
    pub choices_at: Column<PlaceId, [Vec<(ObjectId, AffordanceId)>; 9]>,
    /// Beds in a place.
    pub beds: Column<PlaceId, u32>,
    /// Loss a tick, by need.
    pub decay: [Micro; NEED_COUNT],
    /// Critical level, by need.
    pub critical: [Micro; NEED_COUNT],
    /// Reward weight, by need.
    pub weights: [Micro; NEED_COUNT],
    /// Column and row of every object.
    stands: Column<ObjectId, (u16, u16)>,
    /// Opening hours of an object's place, ticks of the day.
    hours: Column<ObjectId, Option<(u32, u32)>>,
    /// What of an observation never changes.
    pub(crate) static_features: StaticFeatures,
    /// What spaces the shocks that come by themselves.
    pub perturbations: PerturbationFile,
    /// Those shocks, in the order of their names.
    pub perturbation_events: Vec<PerturbationEvent>,
}

impl Rules {
    /// Reads plan and affordances and works out everything fixed.
    ///
    /// # Errors
    /// What is wrong with a text, or how they do not fit each other.
    pub fn new(sources: Sources) -> Result<Self, RulesError> {
        let config = Config::from_canonical(&sources.config)?;
        let size = (config.world.grid_size[0], config.world.grid_size[1]);
        let plan = Plan::parse(&sources.plan.0, &sources.plan.1, size)?;
        let affordances = affordances::parse(&sources.affordances.0, &sources.affordances.1)?;
        let homes: Vec<PlaceId> =
            plan.places().filter(|(_, place)| place.kind == PlaceKind::Home).map(|(id, _)| id).collect();
        let fridge_of = plan
            .places()
            .map(|(id, _)| {
                plan.objects()
                    .find(|(_, object)| object.kind == ObjectKind::Fridge && object.place == id)
                    .map(|(object, _)| object)
            })
            .collect::<Vec<_>>()
            .into();
        let fields: Vec<Field> = plan.objects().map(|(_, object)| pathfinding::field(&plan, &[object.tile])).collect();
        let place_fields: Vec<Field> =
            plan.places().map(|(id, _)| pathfinding::field(&plan, &plan.floor_of(id).collect::<Vec<Tile>>())).collect();
        let jobs = jobs(&config, &plan)?;
        let hours = plan
            .objects()
            .map(|(_, object)| {
                let hours = match plan.places[object.place].kind {
                    PlaceKind::Cafe => Some(config.economy.opening_hours.cafe),
                    PlaceKind::Grocer => Some(config.economy.opening_hours.grocer),
                    _ => None,
                };
                hours.map(|hours| (hours[0], hours[1]))
            })
            .collect::<Vec<_>>()
            .into();
        let stand = |tile: Tile| (plan.at(tile).0 as u16, plan.at(tile).1 as u16);
        let stands = plan.objects().map(|(_, object)| stand(object.tile)).collect::<Vec<_>>().into();
        let place_fields: Column<PlaceId, Field> = place_fields.into();
        let static_features = StaticFeatures::new(&plan, &place_fields, jobs.iter().map(|job| &job.field));
        let (name, text) = &sources.perturbations;
        let perturbations = PerturbationFile::parse(name, text)?;
        let perturbation_events = perturbations::perturbation_events(&perturbations, name, &plan)?;
        let choices = OPTIONS.map(|(option, _)| choices(&plan, &affordances, option));
        let choices_at = plan.places().map(|(home, place)| match place.kind {
            PlaceKind::Home => std::array::from_fn(|option| of_home(&plan, &choices[option], home)),
            _ => Default::default(),
        });
        let choices_at = choices_at.collect::<Vec<_>>().into();
        let mut beds = Column::filled(plan.places.len(), 0);
        for (_, object) in plan.objects().filter(|(_, object)| object.kind == ObjectKind::Bed) {
            beds[object.place] += 1;
        }
        Ok(Self {
            decay: std::array::from_fn(|need| (NEEDS[need].decay)(&config)),
            critical: std::array::from_fn(|need| (NEEDS[need].critical)(&config)),
            weights: std::array::from_fn(|need| (NEEDS[need].weight)(&config)),
            texts_digest: sources.digest(),
            sources,
            config,
            plan,
            affordances: affordances.into(),
            jobs,
            homes,
            fridge_of,
            fields: fields.into(),
            place_fields,
            choices,
            choices_at,
            beds,
            stands,
            hours,
            static_features,
            perturbations,
            perturbation_events,
        })
    }

    /// Ticks a day.
    pub fn day_length(&self) -> u64 {
        u64::from(self.config.time.ticks_per_day)
    }

    /// Where in its day a tick is.
    pub fn tick_of_day(&self, tick: u64) -> u32 {
        (tick % self.day_length()) as u32
    }

    /// Whether the place an object stands in is open.
    pub fn open(&self, object: ObjectId, tick_of_day: u32) -> bool {
        self.hours[object].is_none_or(|(from, to)| (from..to).contains(&tick_of_day))
    }

    /// The fewest steps there can be from a column and row to an object, were nothing in the way.
    pub(crate) fn manhattan_distance(&self, (x, y): (u32, u32), object: ObjectId) -> u32 {
        let (column, row) = self.stands[object];
        x.abs_diff(u32::from(column)) + y.abs_diff(u32::from(row))
    }

    /// All jobs with their ids.
    pub fn jobs(&self) -> impl Iterator<Item = (JobId, &Job)> {
        self.jobs.iter().enumerate().map(|(index, job)| (JobId(index as u16), job))
    }
}

fn choices(plan: &Plan, affordances: &[Affordance], option: OptionKind) -> Vec<(ObjectId, AffordanceId)> {
    let mut choices = Vec::new();
    for (index, affordance) in affordances.iter().enumerate().filter(|(_, affordance)| affordance.option == option) {
        for (object, it) in plan.objects().filter(|(_, object)| object.kind == affordance.object) {
            let at_home = plan.places[it.place].kind == PlaceKind::Home;
            if at_home == (affordance.access == Access::Home) {
                choices.push((object, AffordanceId(index as u16)));
            }
        }
    }
    choices
}

/// What of `choices` somebody who lives there may use.
fn of_home(plan: &Plan, choices: &[(ObjectId, AffordanceId)], home: PlaceId) -> Vec<(ObjectId, AffordanceId)> {
    let may = |place: PlaceId| place == home || plan.places[place].kind != PlaceKind::Home;
    choices.iter().copied().filter(|(object, _)| may(plan.objects[*object].place)).collect()
}

fn jobs(config: &Config, plan: &Plan) -> Result<Column<JobId, Job>, RulesError> {
    let mut jobs = Vec::new();
    for (name, job) in &config.jobs {
        let (goals, place) = if let Some([x, y]) = job.location {
            let tile = plan.tile(x, y).filter(|tile| plan.walkable[*tile]).ok_or_else(|| {
                RulesError::Misfit(format!(
                    "jobs.{name}.location: [{x}, {y}] is not a tile of {} that one can stand on.",
                    config.world.plan
                ))
            })?;
            (vec![tile], plan.place_of[tile])
        } else {
            let kind = match job.site {
                Site::Grocer => PlaceKind::Grocer,
                Site::Cafe => PlaceKind::Cafe,
                Site::Office => PlaceKind::Office,
                Site::Gym => PlaceKind::Gym,
            };
            let place = plan.places().find(|(_, place)| place.kind == kind).map(|(id, _)| id).ok_or_else(|| {
                RulesError::Misfit(format!(
                    "jobs.{name}.site: {} has no place of kind `{}`.",
                    config.world.plan,
                    kind.name()
                ))
            })?;
            (plan.floor_of(place).collect(), Some(place))
        };
        jobs.push(Job {
            name: name.clone(),
            start: job.start_tick,
            end: job.end_tick,
            wage: job.wage_rate,
            lateness_penalty: job.lateness_penalty,
            field: pathfinding::field(plan, &goals),
            place,
        });
    }
    Ok(jobs.into())
}

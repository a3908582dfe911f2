//! The rules of a town: everything that is fixed while it runs, computed once from the configuration, the plan, the
//! affordances and the perturbation file. All replicas of a town share one [`Rules`].

mod perturbation_events;
mod public_objects;
mod static_features;

pub(crate) use perturbation_events::ALL_ITEMS;
pub use perturbation_events::{ARRANGED_MEET, BLACKOUT, OUTAGE, PRICE_SPIKE, PerturbationEvent};
pub(crate) use public_objects::{PublicObjects, Serving};
use static_features::HomeDestinations;
pub use static_features::TARGETS;
pub(crate) use static_features::{HOME_TARGETS, NearObject, Route, SHARED_KINDS, StaticFeatures};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::affordances::{self, Access, Affordance};
use crate::config::{self, Config, ConfigErrors, DEFAULT_PERTURBATIONS, Layers, PerturbationFile, Site};
use crate::distances::{Destination, Distances, DistancesBuilder, Heading};
use crate::fixed_point::Micro;
use crate::hash;
use crate::ids::{AffordanceId, Column, JobId, ObjectId, PlaceId, Tile};
use crate::memory::{HeapBytes as _, Table, nested};
use crate::needs::{NEED_COUNT, NEEDS};
use crate::options::{OPTIONS, OptionKind};
use crate::plan::{OBJECT_KINDS, ObjectKind, PlaceKind, Plan, PlanError};

/// The configuration and the three texts a town is made from. Every snapshot and journal holds them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredSources")]
pub struct Sources {
    /// The effective configuration; serialised in its canonical form.
    pub config: Config,
    /// Name and text of the plan.
    pub plan: (String, String),
    /// Name and text of the affordance file.
    pub affordances: (String, String),
    /// Name and text of the perturbation file.
    pub perturbations: (String, String),
}

/// Sources as they are stored, with the configuration not yet parsed. Binary formats drop the reason when deserialisation
/// fails, so a reader that reports it deserialises this type and converts it.
#[derive(Debug, Deserialize)]
pub struct StoredSources {
    config: String,
    plan: (String, String),
    affordances: (String, String),
    perturbations: (String, String),
}

impl TryFrom<StoredSources> for Sources {
    type Error = ConfigErrors;

    fn try_from(stored: StoredSources) -> Result<Self, ConfigErrors> {
        let StoredSources { config, plan, affordances, perturbations } = stored;
        Ok(Self { config: Config::from_canonical(&config)?, plan, affordances, perturbations })
    }
}

impl Sources {
    /// The default town with some settings changed, from texts that are built in.
    ///
    /// # Errors
    /// A setting that does not exist or is out of range.
    pub fn default_town(settings: &[(&str, &str)]) -> Result<Self, ConfigErrors> {
        let flags = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let text = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        Ok(Self {
            config: config::load(&Layers { flags, ..Layers::default() })?.config,
            plan: text("default.txt", include_str!("../../../../configs/towns/default.txt")),
            affordances: text("affordances.yaml", include_str!("../../../../configs/affordances.yaml")),
            perturbations: text("default.yaml", DEFAULT_PERTURBATIONS),
        })
    }

    /// The same town with a perturbation file by which none starts by itself.
    #[must_use]
    pub fn without_perturbations(self) -> Self {
        let text = include_str!("../../../../configs/perturbations/none.yaml");
        Self { perturbations: ("none.yaml".into(), text.into()), ..self }
    }

    /// 32 hex digits over the canonical configuration and the texts. File names do not count.
    pub fn digest(&self) -> String {
        self.digest_with(&self.config.canonical())
    }

    fn digest_with(&self, canonical: &str) -> String {
        let texts = [canonical, &self.plan.1, &self.affordances.1, &self.perturbations.1];
        let length = |text: &str| (text.len() as u64).to_le_bytes().to_vec();
        hash::short_digest(texts.into_iter().flat_map(|text| [length(text), text.as_bytes().to_vec()]))
    }

    /// The bytes of [`StoredSources`] in a snapshot.
    fn encode_with(&self, canonical: &str) -> Vec<u8> {
        let stored = (canonical, &self.plan, &self.affordances, &self.perturbations);
        postcard::to_stdvec(&stored).expect("sources are plain data")
    }
}

/// Why a town cannot be created.
#[derive(Debug, Error)]
pub enum RulesError {
    /// An error in the plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Errors in the configuration, the affordance file or the perturbation file.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The files do not match each other.
    #[error("{0}")]
    Misfit(String),
}

/// A job with its site on the plan.
#[derive(Clone, Debug)]
pub struct Job {
    /// The name, such as `grocer`.
    pub name: String,
    /// First tick of the shift.
    pub start: u32,
    /// First tick after the shift.
    pub end: u32,
    /// Wage per tick, in meals.
    pub wage: Micro,
    /// Pay withheld once for a late arrival.
    pub lateness_penalty: Micro,
    /// Place of the site.
    pub place: Option<PlaceId>,
    /// The site.
    pub(crate) site: Destination,
}

/// The rules of a town.
#[derive(Debug)]
pub struct Rules {
    /// The files they were made from.
    pub sources: Sources,
    /// [`Sources::digest`].
    pub texts_digest: String,
    /// The sources as each snapshot begins with them, so that only the state is encoded between two ticks.
    pub(crate) encoded_sources: Vec<u8>,
    /// The configuration.
    pub config: Config,
    /// The plan.
    pub plan: Plan,
    /// The affordances.
    pub affordances: Column<AffordanceId, Affordance>,
    /// Jobs in the order of their names.
    pub jobs: Column<JobId, Job>,
    /// Places that are homes.
    pub homes: Vec<PlaceId>,
    /// The fridge of a home.
    pub fridge_of: Column<PlaceId, Option<ObjectId>>,
    /// The ways to objects, places and sites.
    pub(crate) distances: Distances,
    /// Every object as a destination.
    objects: Column<ObjectId, Destination>,
    /// The floor of every place as a destination.
    floors: Column<PlaceId, Destination>,
    /// For each option, the objects and affordances that serve it, in order of the plan.
    pub choices: [Vec<(ObjectId, AffordanceId)>; 9],
    /// The same for the search for the best of them.
    pub(crate) serving: [Vec<Serving>; 9],
    /// Objects of a place by kind, in the order of [`OBJECT_KINDS`].
    pub(crate) objects_in: Column<PlaceId, [Vec<ObjectId>; OBJECT_KINDS.len()]>,
    /// Beds per place.
    pub beds: Column<PlaceId, u32>,
    /// Loss per tick, by need.
    pub decay: [Micro; NEED_COUNT],
    /// Critical level, by need.
    pub critical: [Micro; NEED_COUNT],
    /// Reward weight, by need.
    pub weights: [Micro; NEED_COUNT],
    /// Opening hours of an object's place in ticks of the day; `None` when it is always open.
    hours: Column<ObjectId, Option<(u32, u32)>>,
    /// The constant part of observations.
    pub(crate) static_features: StaticFeatures,
    /// The perturbation file.
    pub perturbations: PerturbationFile,
    /// Its events, in the order of their names.
    pub perturbation_events: Vec<PerturbationEvent>,
}

impl Rules {
    /// Parses the files and computes everything fixed.
    ///
    /// # Errors
    /// An error in a file, or files that do not match each other.
    pub fn new(sources: Sources) -> Result<Self, RulesError> {
        let config = sources.config.clone();
        let size = (config.world.grid_size[0], config.world.grid_size[1]);
        let plan = Plan::parse(&sources.plan.0, &sources.plan.1, size)?;
        let affordances = affordances::parse(&sources.affordances.0, &sources.affordances.1)?;
        let homes: Vec<PlaceId> =
            plan.places().filter(|(_, place)| place.kind == PlaceKind::Home).map(|(id, _)| id).collect();
        let objects_in = objects_by_place(&plan);
        let first_fridge =
            |objects: &[Vec<ObjectId>; OBJECT_KINDS.len()]| objects[ObjectKind::Fridge as usize].first().copied();
        let fridge_of = objects_in.iter().map(first_fridge).collect::<Vec<_>>().into();
        let beds = objects_in.iter().map(|objects| objects[ObjectKind::Bed as usize].len() as u32);
        let beds = beds.collect::<Vec<_>>().into();
        let hours_of = |object: ObjectId| {
            let hours = match plan.places[plan.objects[object].place].kind {
                PlaceKind::Cafe => Some(config.economy.opening_hours.cafe),
                PlaceKind::Grocer => Some(config.economy.opening_hours.grocer),
                _ => None,
            };
            hours.map(|hours| (hours[0], hours[1]))
        };
        let hours = plan.objects().map(|(object, _)| hours_of(object)).collect::<Vec<_>>().into();
        let serving = OPTIONS.map(|(option, _)| public_objects::serving(&plan, &affordances, option, hours_of));
        let choices = OPTIONS.map(|(option, _)| choices(&plan, &affordances, option));
        let mut distances = DistancesBuilder::new(&plan);
        let objects = plan.objects().map(|(_, object)| distances.add(&[object.tile])).collect::<Vec<_>>().into();
        let floors = plan.places().map(|(id, _)| distances.add(&plan.floor_of(id).collect::<Vec<Tile>>()));
        let floors: Column<PlaceId, Destination> = floors.collect::<Vec<_>>().into();
        let jobs = jobs(&config, &plan, &floors, &mut distances)?;
        let (name, text) = &sources.perturbations;
        let perturbations = PerturbationFile::parse(name, text)?;
        let perturbation_events =
            perturbation_events::resolve(&perturbations, name, &plan, &mut distances).map_err(RulesError::Misfit)?;
        let home_destinations = HomeDestinations::new(&plan, &floors, &objects_in, &mut distances);
        let public = static_features::public_headings(&plan, &mut distances);
        let distances = distances.finish();
        let static_features = StaticFeatures::new(&plan, &distances, &home_destinations, public);
        let canonical = sources.config.canonical();
        Ok(Self {
            decay: std::array::from_fn(|need| (NEEDS[need].decay)(&config)),
            critical: std::array::from_fn(|need| (NEEDS[need].critical)(&config)),
            weights: std::array::from_fn(|need| (NEEDS[need].weight)(&config)),
            texts_digest: sources.digest_with(&canonical),
            encoded_sources: sources.encode_with(&canonical),
            sources,
            config,
            plan,
            affordances: affordances.into(),
            jobs,
            homes,
            fridge_of,
            distances,
            objects,
            floors,
            choices,
            serving,
            objects_in,
            beds,
            hours,
            static_features,
            perturbations,
            perturbation_events,
        })
    }

    /// The memory of the rules, without that of the configuration.
    pub(crate) fn tables(&self) -> Vec<Table> {
        let texts = [&self.sources.plan, &self.sources.affordances, &self.sources.perturbations];
        let texts = texts.into_iter().map(|(name, text)| name.heap_bytes() + text.heap_bytes()).sum::<usize>();
        let by_kind = |lists: &[Vec<ObjectId>; OBJECT_KINDS.len()]| lists.iter().map(Vec::heap_bytes).sum();
        let serving = |serving: &Vec<Serving>| nested(serving, Serving::heap_bytes);
        let objects = [
            self.objects.heap_bytes() + self.floors.heap_bytes() + self.hours.heap_bytes(),
            self.homes.heap_bytes() + self.fridge_of.heap_bytes() + self.beds.heap_bytes(),
            self.choices.iter().map(Vec::heap_bytes).sum(),
            self.serving.iter().map(serving).sum(),
            nested(&self.objects_in, by_kind),
            nested(&self.jobs, |job| job.name.heap_bytes()),
        ];
        let mut tables = vec![
            Table::new("texts of the files", texts + self.encoded_sources.heap_bytes()),
            Table::new("plan", self.plan.heap_bytes()),
            Table::new("places and objects", objects.iter().sum()),
        ];
        tables.extend(self.distances.tables());
        tables.extend(self.static_features.tables());
        tables
    }

    /// Ticks a day.
    pub fn day_length(&self) -> u64 {
        u64::from(self.config.time.ticks_per_day)
    }

    /// Tick of the day.
    pub fn tick_of_day(&self, tick: u64) -> u32 {
        (tick % self.day_length()) as u32
    }

    /// Whether the place of an object is open.
    pub fn open(&self, object: ObjectId, tick_of_day: u32) -> bool {
        self.hours[object].is_none_or(|(from, to)| (from..to).contains(&tick_of_day))
    }

    /// The affordances that an object can be used for, in the order of their file.
    pub fn affordances_of(&self, object: ObjectId) -> impl Iterator<Item = &Affordance> {
        let it = &self.plan.objects[object];
        let at_home = self.plan.places[it.place].kind == PlaceKind::Home;
        self.affordances.iter().filter(move |what| what.object == it.kind && (what.access == Access::Home) == at_home)
    }

    /// The shortest ways from a tile to an object.
    pub fn way_to_object(&self, object: ObjectId, tile: Tile) -> Heading {
        self.distances.heading(&self.plan, &self.objects[object], tile)
    }

    /// The shortest ways from a tile to the nearest tile of a place.
    pub fn way_to_place(&self, place: PlaceId, tile: Tile) -> Heading {
        self.distances.heading(&self.plan, &self.floors[place], tile)
    }

    /// The shortest ways from a tile to the site of a job.
    pub fn way_to_site(&self, job: JobId, tile: Tile) -> Heading {
        self.distances.heading(&self.plan, &self.jobs[job].site, tile)
    }

    /// Whether a tile is at most `limit` steps from the site of a job.
    pub(crate) fn is_near_site(&self, job: JobId, tile: Tile, limit: u16) -> bool {
        self.distances.is_within(&self.plan, &self.jobs[job].site, tile, limit)
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

/// The objects of every place by kind, in plan order.
fn objects_by_place(plan: &Plan) -> Column<PlaceId, [Vec<ObjectId>; OBJECT_KINDS.len()]> {
    let mut by_place = Column::filled(plan.places.len(), <[Vec<ObjectId>; OBJECT_KINDS.len()]>::default());
    for (id, object) in plan.objects() {
        by_place[object.place][object.kind as usize].push(id);
    }
    by_place
}

fn jobs(
    config: &Config,
    plan: &Plan,
    floors: &Column<PlaceId, Destination>,
    distances: &mut DistancesBuilder<'_>,
) -> Result<Column<JobId, Job>, RulesError> {
    let mut jobs = Vec::new();
    for (name, job) in &config.jobs {
        let (site, place) = if let Some([x, y]) = job.location {
            let tile = plan.tile(x, y).filter(|tile| plan.walkable[*tile]).ok_or_else(|| {
                RulesError::Misfit(format!(
                    "jobs.{name}.location: [{x}, {y}] is not a walkable tile of {}.",
                    config.world.plan
                ))
            })?;
            (distances.add(&[tile]), plan.place_of[tile])
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
            (floors[place], Some(place))
        };
        jobs.push(Job {
            name: name.clone(),
            start: job.start_tick,
            end: job.end_tick,
            wage: job.wage_rate,
            lateness_penalty: job.lateness_penalty,
            place,
            site,
        });
    }
    Ok(jobs.into())
}

#[cfg(test)]
mod way_tests;

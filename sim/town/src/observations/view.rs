//! The inputs of the feature writers: one [`View`] per resident, and one [`Frame`] per tick with what all residents share.
//! Rule: "Observations".

use std::f32::consts::TAU;

use crate::best_ties::BestTies;
use crate::ids::{AgentId, Column, JobId, PlaceId, ResidentId, Tile};
use crate::needs::NEED_COUNT;
use crate::observations::crowd_features::{self, HOME_VALUES, PUBLIC_VALUES};
use crate::observations::features::decimal;
use crate::occupancy::Occupancy;
use crate::plan::Plan;
use crate::queue_index::QueueIndex;
use crate::rules::{HOME_TARGETS, NearObject, Route, Rules};
use crate::state::State;
use crate::town::Town;

/// Where a resident is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    tile: Tile,
    /// Column and row.
    pub(super) at: (u16, u16),
    pub(super) place: Option<PlaceId>,
}

impl Position {
    fn of(plan: &Plan, tile: Tile) -> Self {
        let (x, y) = plan.at(tile);
        Self { tile, at: (x as u16, y as u16), place: plan.place_of[tile] }
    }
}

/// Values of a tick that are the same for all residents.
#[derive(Clone)]
pub(super) struct Frame {
    /// Tick of the day.
    pub(super) now: u32,
    /// Sine and cosine of the time of day.
    pub(super) clock: [f32; 2],
    /// Prices, utilities, opening hours.
    pub(super) town: [f32; 6],
    /// Length of a tick in days.
    pub(super) day: f32,
    /// What each level loses in a day, divided by 4.
    pub(super) decay: [f32; NEED_COUNT],
    /// How crowded the town is.
    pub(super) crowd: [f32; PUBLIC_VALUES],
    /// How crowded each place is for its residents; empty in a frame for a few residents.
    pub(super) homes: Column<PlaceId, [f32; HOME_VALUES]>,
    /// Where the residents are, by slot; empty in a frame for a few residents.
    positions: Column<AgentId, Position>,
}

impl Frame {
    /// A frame for a few residents.
    pub(super) fn new(town: &Town) -> Self {
        let (rules, state) = (town.rules(), town.state());
        let now = rules.tick_of_day(state.tick);
        let day = 1.0 / rules.day_length() as f32;
        let (sin, cos) = (now as f32 * day * TAU).sin_cos();
        let is = |yes: bool| f32::from(u8::from(yes));
        let price = |item: usize| (state.economy.prices[item].0 as f32 / 4e6).clamp(0.0, 1.0);
        let hours = &rules.config.economy.opening_hours;
        let open = |[from, to]: [u32; 2]| is((from..to).contains(&now));
        Self {
            now,
            clock: [sin.clamp(-1.0, 1.0), cos.clamp(-1.0, 1.0)],
            town: [
                price(0),
                price(1),
                is(state.economy.power),
                is(state.economy.water),
                open(hours.cafe),
                open(hours.grocer),
            ],
            day,
            decay: rules.decay.map(|loss| (decimal(loss) * rules.day_length() as f32 / 4.0).min(1.0)),
            crowd: crowd_features::public(town),
            homes: Column::default(),
            positions: Column::default(),
        }
    }

    /// A frame for all residents. What many of them read is computed once, in the memory of the frame before. Both are of the same
    /// plan.
    pub(super) fn for_all(town: &Town, before: Option<Self>) -> Self {
        let (rules, agents) = (town.rules(), &town.state().agents);
        let (mut homes, mut positions) = before.map(|frame| (frame.homes, frame.positions)).unwrap_or_default();
        if homes.is_empty() {
            homes = Column::filled(rules.plan.places.len(), [0.0; HOME_VALUES]);
        }
        if positions.is_empty() {
            positions = Column::filled(agents.tile.len(), Position::of(&rules.plan, Tile(0)));
        }
        for home in rules.homes.iter().copied() {
            homes[home] = crowd_features::at_home(town, home);
        }
        for agent in agents.present.iter().copied() {
            // Most residents have not moved, and finding a place takes time.
            if positions[agent].tile != agents.tile[agent] {
                positions[agent] = Position::of(&rules.plan, agents.tile[agent]);
            }
        }
        Self { homes, positions, ..Self::new(town) }
    }

    /// Where a resident is.
    pub(super) fn position(&self, town: &Town, agent: AgentId) -> Position {
        let known = self.positions.get(agent).copied();
        known.unwrap_or_else(|| Position::of(&town.rules().plan, town.state().agents.tile[agent]))
    }
}

/// The inputs for one resident.
pub struct View<'a> {
    pub(super) town: &'a Town,
    pub(super) rules: &'a Rules,
    pub(super) state: &'a State,
    pub(super) occupancy: &'a Occupancy,
    pub(super) best_ties: &'a BestTies,
    pub(super) queue_index: &'a QueueIndex,
    pub(super) frame: &'a Frame,
    pub(super) agent: AgentId,
    /// Column and row of the tile.
    pub(super) at: (usize, usize),
    /// Place of the tile.
    pub(super) place: Option<PlaceId>,
    pub(super) home: PlaceId,
    /// Routes that depend on the home. They are separate from the next field because arrays of a fixed length are fast.
    pub(super) routes: [Route; HOME_TARGETS],
    /// Route to the job.
    pub(super) route_to_work: Route,
    /// Walkable tiles in the window.
    pub(super) walkable: u128,
    /// Objects in the window.
    pub(super) near: &'a [NearObject],
    /// Others on the same tile.
    pub(super) beside: u16,
}

/// What a resident's view depends on apart from what changes on every tick, under the same rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standpoint {
    resident: ResidentId,
    tile: Tile,
    home: PlaceId,
    job: Option<JobId>,
}

impl Standpoint {
    /// The standpoint of the resident in a slot.
    pub(super) fn of(state: &State, agent: AgentId) -> Self {
        let agents = &state.agents;
        let (resident, tile) = (agents.resident[agent], agents.tile[agent]);
        Self { resident, tile, home: agents.home[agent], job: agents.job[agent] }
    }
}

impl<'a> View<'a> {
    pub(super) fn new(town: &'a Town, frame: &'a Frame, agent: AgentId) -> Self {
        let (rules, agents) = (town.rules(), &town.state().agents);
        let (tile, home) = (agents.tile[agent], agents.home[agent]);
        let route_to_work = agents.job[agent].map_or(Route::NONE, |job| rules.way_to_site(job, tile).into());
        Self {
            routes: rules.static_features.routes(&rules.plan, &rules.distances, home, tile),
            walkable: rules.static_features.walkable(tile),
            ..Self::again(town, frame, agent, route_to_work)
        }
    }

    /// The inputs of the features that change while a resident stays where it is. The others are empty. `route_to_work` is that
    /// of its view before.
    pub(super) fn again(town: &'a Town, frame: &'a Frame, agent: AgentId, route_to_work: Route) -> Self {
        let (rules, state) = (town.rules(), town.state());
        let Position { tile, at, place } = frame.position(town, agent);
        Self {
            town,
            rules,
            state,
            occupancy: town.occupancy(),
            best_ties: town.best_ties(),
            queue_index: town.queue_index(),
            frame,
            agent,
            at: (at.0.into(), at.1.into()),
            place,
            home: state.agents.home[agent],
            routes: [Route::NONE; HOME_TARGETS],
            route_to_work,
            walkable: 0,
            near: rules.static_features.near(tile),
            beside: town.occupancy().on(tile) - 1,
        }
    }
}

//! The inputs of the feature writers: one [`View`] per resident, and one [`Frame`] per tick with what all residents share.
//! Rule: "Observations".

use std::f32::consts::TAU;

use crate::ids::{AgentId, PlaceId, Tile};
use crate::needs::NEED_COUNT;
use crate::observations::crowd_features::{self, PUBLIC_VALUES};
use crate::observations::features::decimal;
use crate::occupancy::Occupancy;
use crate::queue_index::QueueIndex;
use crate::rules::{HOME_TARGETS, NearObject, Route, Rules};
use crate::state::State;
use crate::town::Town;

/// Values of a tick that are the same for all residents.
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
}

impl Frame {
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
        }
    }
}

/// The inputs for one resident.
pub struct View<'a> {
    pub(super) rules: &'a Rules,
    pub(super) state: &'a State,
    pub(super) occupancy: &'a Occupancy,
    pub(super) queue_index: &'a QueueIndex,
    pub(super) frame: &'a Frame,
    pub(super) agent: AgentId,
    pub(super) tile: Tile,
    /// Column and row of the tile.
    pub(super) at: (usize, usize),
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

impl<'a> View<'a> {
    pub(super) fn new(town: &'a Town, frame: &'a Frame, agent: AgentId) -> Self {
        let (rules, state) = (town.rules(), town.state());
        let tile = state.agents.tile[agent];
        let (x, y) = rules.plan.at(tile);
        let home = state.agents.home[agent];
        Self {
            rules,
            state,
            occupancy: town.occupancy(),
            queue_index: town.queue_index(),
            frame,
            agent,
            tile,
            at: (x as usize, y as usize),
            home,
            routes: rules.static_features.routes(&rules.plan, &rules.distances, home, tile),
            route_to_work: state.agents.job[agent].map_or(Route::NONE, |job| rules.way_to_site(job, tile).into()),
            walkable: rules.static_features.walkable(tile),
            near: rules.static_features.near(tile),
            beside: town.occupancy().on(tile) - 1,
        }
    }
}

//! One resident's point of view: what a row's writer is handed.
//!
//! Owns what all residents of a tick share, so that it is worked out once. Rule: "Observations".

use std::f32::consts::TAU;

use crate::ids::{AgentId, PlaceId, Tile};
use crate::observations::static_features::{HOME_TARGETS, Near, Way};
use crate::occupancy::Occupancy;
use crate::queues::QueueIndex;
use crate::rules::Rules;
use crate::state::State;
use crate::town::Town;

/// What every resident sees alike in a tick.
pub(super) struct Frame {
    /// Tick of the day.
    pub(super) now: u32,
    /// Sine and cosine of the time of day.
    pub(super) clock: [f32; 2],
    /// Prices, utilities, opening hours.
    pub(super) town: [f32; 6],
    /// Days a tick.
    pub(super) day: f32,
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
        }
    }
}

/// What one resident sees the town by.
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
    /// The ways to everything a home knows: apart from the next, because the many of one length go fast.
    pub(super) ways: [Way; HOME_TARGETS],
    /// The way to the job.
    pub(super) to_work: Way,
    /// Where one can walk.
    pub(super) ground: u128,
    /// The objects near by.
    pub(super) near: &'a [Near],
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
            ways: *rules.static_features.ways(home, tile),
            to_work: state.agents.job[agent].map_or(Way::NONE, |job| rules.static_features.way_to_work(job, tile)),
            ground: rules.static_features.ground(tile),
            near: rules.static_features.near(tile),
            beside: town.occupancy().on(tile) - 1,
        }
    }
}

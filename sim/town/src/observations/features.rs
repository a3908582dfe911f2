//! The table of features: every feature of every variant with its meaning and writer. Rule: "Observations".

use crate::fixed_point::Micro;
use crate::needs::NEED_COUNT;
use crate::observations::view::View;
use crate::observations::{Feature, Refresh, VIEW_TILES, crowd_features, map_features, social_features};
use crate::options::OPTIONS;
use crate::rules::{HOME_TARGETS, Route, TARGETS};
use crate::state::{Activity, ShiftState};

const FULL: [bool; 3] = [true, false, false];
const MAPS: [bool; 3] = [true, true, false];
const COMPACT: [bool; 3] = [false, false, true];
const ALL: [bool; 3] = [true; 3];

/// Steps that are written as 1.
const FAR_STEPS: f32 = 128.0;
/// Ticks before a departure that are written as 1: roughly, and exactly.
const DEPARTURE_TICKS: [f32; 2] = [128.0, 16.0];

const fn row(
    name: &'static str,
    length: usize,
    range: [f32; 2],
    shown: [bool; 3],
    write: fn(&View<'_>, &mut [f32]),
    meaning: &'static str,
) -> Feature {
    Feature { name, length, range, shown, meaning, write: Some(write), refresh: Refresh::Write }
}

/// A feature that the writer of the one before it writes too.
const fn written_with_previous(
    name: &'static str,
    length: usize,
    range: [f32; 2],
    shown: [bool; 3],
    meaning: &'static str,
) -> Feature {
    Feature { name, length, range, shown, meaning, write: None, refresh: Refresh::Keep }
}

/// A feature with another way to bring it up to date than to write it again.
const fn refreshed(feature: Feature, refresh: Refresh) -> Feature {
    Feature { refresh, ..feature }
}

const SHARE: [f32; 2] = [0.0, 1.0];
const SIGNED: [f32; 2] = [-1.0, 1.0];

/// The features, in the order of every layout.
pub static FEATURES: [Feature; 29] = [
    refreshed(
        row("map_ground", VIEW_TILES, SHARE, MAPS, map_features::walkable, "Whether the tile is walkable."),
        Refresh::Keep,
    ),
    row(
        "map_people",
        VIEW_TILES,
        SHARE,
        MAPS,
        map_features::residents,
        "Other residents on the tile; four or more are 1.",
    ),
    refreshed(
        row(
            "map_open",
            VIEW_TILES,
            SHARE,
            MAPS,
            map_features::objects,
            "Objects the resident may use: public ones and those at home.",
        ),
        Refresh::Over(map_features::taken),
    ),
    written_with_previous("map_food", VIEW_TILES, SHARE, FULL, "Fridges, stoves, tills, shelves."),
    written_with_previous("map_care", VIEW_TILES, SHARE, FULL, "Beds and showers."),
    written_with_previous("map_company", VIEW_TILES, SHARE, FULL, "Tables and desks."),
    written_with_previous("map_taken", VIEW_TILES, SHARE, FULL, "Users of an object over its capacity."),
    row("needs", NEED_COUNT, SHARE, ALL, needs, "Levels of hunger, hygiene, energy; 1 is satisfied."),
    row(
        "purse",
        3,
        SIGNED,
        ALL,
        purse,
        "Wallet divided by the price of 8 meals; groceries carried, divided by 8; stock of the fridge at home, divided by its capacity.",
    ),
    row("decay", NEED_COUNT, SHARE, ALL, decay, "What each level loses in a day, divided by 4."),
    row(
        "budget",
        4,
        SHARE,
        ALL,
        budget,
        "Rent of a day, a meal and groceries, each divided by the wages of a whole shift; days of unpaid rent, divided by 4. Without a job the first three are 1.",
    ),
    row("clock", 2, SIGNED, ALL, clock, "Sine and cosine of the time of day."),
    row(
        "town",
        6,
        SHARE,
        ALL,
        town,
        "Price of a meal and of groceries, each divided by 4; power, water, café open, grocer open (0 or 1).",
    ),
    row(
        "job",
        5,
        SIGNED,
        ALL,
        job,
        "Has a job; days until the shift begins, until it ends (negative when past); absent shifts in seven days, divided by 7; penalty still to be withheld from wages, in meals.",
    ),
    row(
        "departure",
        2,
        SIGNED,
        ALL,
        departure,
        "Ticks until the resident must set out to reach its shift in time, divided by 128 and by 16 (negative when late); zeros without a shift ahead.",
    ),
    row("shift", 6, SHARE, ALL, shift, "One of: pre_shift, await_start, on_time, late, absent, post_shift."),
    row(
        "option",
        OPTIONS.len(),
        SHARE,
        ALL,
        option,
        "The last option, one of: wait, eat, cook, wash, sleep, work, shop, socialise, go_home.",
    ),
    row("doing", 5, SHARE, ALL, doing, "Progress of the option, one of: idle, walking, waiting, holding, using."),
    row("commitment", 2, SHARE, ALL, commitment, "Whether the option has ended; remaining share of its commitment."),
    refreshed(
        row(
            "ways",
            2 * TARGETS.len(),
            SIGNED,
            ALL,
            ways,
            "Next step east (or west, negative) and south (or north) towards the nearest usable: home, bed, fridge, stove, shower, till, table, shelf, job; zeros when there.",
        ),
        Refresh::Keep,
    ),
    refreshed(
        row(
            "steps",
            TARGETS.len(),
            SHARE,
            ALL,
            steps,
            "Steps to each of them, divided by 128; 1 when farther, or when there is none.",
        ),
        Refresh::Keep,
    ),
    row(
        "crowd",
        crowd_features::VALUES,
        SHARE,
        ALL,
        crowd_features::crowd,
        "Residents, divided by 32; residents per bed, meals left at the café per resident, users and waiters per till, each divided by 4; share of public seats taken. At home: users and waiters per bed, fridge, stove and shower, each divided by 4; beds per shower, divided by 16.",
    ),
    row(
        "queue",
        2,
        SHARE,
        ALL,
        crowd_features::queue,
        "Users and waiters before the resident at the object that it walks to or waits for, divided by 4 and by its seats; ticks waited there, divided by 64.",
    ),
    row(
        "table_cooldown",
        1,
        SHARE,
        ALL,
        crowd_features::table_cooldown,
        "Longest cooldown of the resident at a table within the 11 × 11 tiles, in 64 ticks.",
    ),
    refreshed(
        row("personality", 3, SIGNED, ALL, social_features::personality, "Extroversion, forgiveness, ambition."),
        Refresh::Keep,
    ),
    row(
        "friends",
        social_features::VALUES,
        SIGNED,
        ALL,
        social_features::friends,
        "The two most trusted residents, the most trusted first. For each: 1 when there is one; trust, familiarity, rivalry; distance east (or west, negative) and south (or north), in 32 tiles; whether in the same place; whether it wants company. Zeros below stage B.",
    ),
    row(
        "rivals",
        social_features::VALUES,
        SIGNED,
        ALL,
        social_features::rivals,
        "The two strongest rivals, the strongest first, with the same eight values.",
    ),
    row(
        "around",
        1,
        SHARE,
        COMPACT,
        map_features::nearby_residents,
        "Other residents within the 11 × 11 tiles, divided by 8.",
    ),
    row(
        "context_reset",
        1,
        SHARE,
        ALL,
        context_reset,
        "1 while the policy has not chosen for the resident: since its arrival, or while an operator drives it.",
    ),
];

pub(super) fn is(yes: bool) -> f32 {
    f32::from(u8::from(yes))
}

pub(super) fn decimal(value: Micro) -> f32 {
    value.0 as f32 * 1e-6
}

fn one_of(out: &mut [f32], index: usize) {
    out[index] = 1.0;
}

/// Writes a feature of a constant length, which needs no call to copy.
fn write<const LENGTH: usize>(out: &mut [f32], values: [f32; LENGTH]) {
    if let Some(out) = out.first_chunk_mut() {
        *out = values;
    }
}

fn needs(view: &View<'_>, out: &mut [f32]) {
    for (out, level) in out.iter_mut().zip(view.state.agents.needs[view.agent]) {
        *out = decimal(level).min(1.0);
    }
}

fn purse(view: &View<'_>, out: &mut [f32]) {
    let agents = &view.state.agents;
    let capacity = view.rules.config.economy.fridge_capacity.max(1) as f32;
    let stock = view.rules.fridge_of[view.home].map_or(0, |fridge| view.state.objects[fridge].stock);
    out[0] = (decimal(agents.wallet[view.agent]) / 8.0).clamp(-1.0, 1.0);
    out[1] = (agents.groceries[view.agent] as f32 / 8.0).min(1.0);
    out[2] = (stock as f32 / capacity).min(1.0);
}

fn decay(view: &View<'_>, out: &mut [f32]) {
    write(out, view.frame.decay);
}

fn budget(view: &View<'_>, out: &mut [f32]) {
    let agents = &view.state.agents;
    let wages = agents.job[view.agent].map_or(Micro::ZERO, |job| {
        let job = &view.rules.jobs[job];
        job.wage.scaled(i64::from(job.end - job.start))
    });
    let part = |price: Micro| if price < wages { price.0.max(0) as f32 / wages.0 as f32 } else { 1.0 };
    let [meal, groceries] = view.state.economy.prices;
    out[0] = part(view.rules.config.economy.rent_per_day);
    out[1] = part(meal);
    out[2] = part(groceries);
    out[3] = (agents.rent_owed[view.agent] as f32 / 4.0).min(1.0);
}

fn clock(view: &View<'_>, out: &mut [f32]) {
    write(out, view.frame.clock);
}

fn town(view: &View<'_>, out: &mut [f32]) {
    write(out, view.frame.town);
}

fn job(view: &View<'_>, out: &mut [f32]) {
    let agents = &view.state.agents;
    if let Some(job) = agents.job[view.agent] {
        let job = &view.rules.jobs[job];
        let until = |tick: u32| (tick as f32 - view.frame.now as f32) * view.frame.day;
        out[0] = 1.0;
        out[1] = until(job.start).clamp(-1.0, 1.0);
        out[2] = until(job.end).clamp(-1.0, 1.0);
    }
    out[3] = agents.absent_shifts(view.agent).min(7) as f32 / 7.0;
    out[4] = decimal(agents.penalty[view.agent]).clamp(-1.0, 1.0);
}

fn departure(view: &View<'_>, out: &mut [f32]) {
    let agents = &view.state.agents;
    let ahead = matches!(agents.shift[view.agent].state, ShiftState::PreShift | ShiftState::AwaitStart);
    if let Some(job) = agents.job[view.agent].filter(|_| ahead) {
        let start = view.rules.jobs[job].start as f32;
        let left = start - view.frame.now as f32 - f32::from(view.route_to_work.steps());
        write(out, DEPARTURE_TICKS.map(|ticks| (left / ticks).clamp(-1.0, 1.0)));
    }
}

fn shift(view: &View<'_>, out: &mut [f32]) {
    let index = match view.state.agents.shift[view.agent].state {
        ShiftState::PreShift => 0,
        ShiftState::AwaitStart => 1,
        ShiftState::OnTime => 2,
        ShiftState::Late => 3,
        ShiftState::Absent => 4,
        ShiftState::PostShift => 5,
    };
    one_of(out, index);
}

fn option(view: &View<'_>, out: &mut [f32]) {
    one_of(out, view.state.agents.option[view.agent].index());
}

fn doing(view: &View<'_>, out: &mut [f32]) {
    let index = match view.state.agents.activity[view.agent] {
        Activity::Idle => 0,
        Activity::Walking(..) => 1,
        Activity::Waiting(..) => 2,
        Activity::Holding(..) => 3,
        Activity::Using(..) => 4,
    };
    one_of(out, index);
}

fn commitment(view: &View<'_>, out: &mut [f32]) {
    let agents = &view.state.agents;
    let whole = view.rules.config.policy_runtime.option_commit_ticks.max(1) as f32;
    out[0] = is(agents.ended[view.agent]);
    out[1] = (agents.commit_until[view.agent].saturating_sub(view.state.tick) as f32 / whole).min(1.0);
}

fn ways(view: &View<'_>, out: &mut [f32]) {
    let (out, _) = out.as_chunks_mut::<2>();
    for (out, route) in out.iter_mut().zip(view.routes) {
        *out = route.direction();
    }
    out[HOME_TARGETS] = view.route_to_work.direction();
}

fn steps(view: &View<'_>, out: &mut [f32]) {
    write(out, view.routes.map(share_of_far));
    out[HOME_TARGETS] = share_of_far(view.route_to_work);
}

fn share_of_far(route: Route) -> f32 {
    (f32::from(route.steps()) * (1.0 / FAR_STEPS)).min(1.0)
}

fn context_reset(view: &View<'_>, out: &mut [f32]) {
    let agents = &view.state.agents;
    out[0] = is(agents.commit_until[view.agent] == 0 || agents.possessed[view.agent]);
}

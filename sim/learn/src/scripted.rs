//! The scripted baseline: what a sensible resident does, by thresholds of the configuration.
//!
//! Needs first, then work, then what tomorrow needs, then company. Sees the town as a learned policy could: levels, the
//! clock, the mask; never another resident's plans.

use townlet_town::fixed_point::Micro;
use townlet_town::ids::AgentId;
use townlet_town::needs::{ENERGY, HUNGER, HYGIENE};
use townlet_town::options::Mask;
use townlet_town::personality::personality;
use townlet_town::state::{Activity, ShiftState};
use townlet_town::{Decider, OptionKind, Policy, Town};

/// The scripted policy. Has no memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scripted;

/// Added to every threshold in the hours before a shift, so that nobody has to leave work to eat.
const BEFORE_WORK: Micro = Micro(300_000);
/// How long before a shift one thinks of it, in 24ths of a day.
const FORESIGHT_HOURS: u32 = 5;
/// Sleep is taken at night below this level of energy, ahead of need.
const NIGHT_ENERGY: Micro = Micro(750_000);
/// When the day's work is done everybody sits down to supper, if hunger is below this: a meal in company.
const SUPPER_HUNGER: Micro = Micro(950_000);
/// What the end of a talk and the way home may cost in energy: one goes to bed while that is left.
const WAY_HOME: Micro = Micro(60_000);
/// Meals in the fridge at home below which one cooks ahead.
const PANTRY_MEALS: u32 = 3;

/// Ambition below which somebody comes late as a habit: one in ten.
const CARELESS: Micro = Micro(-800_000);
/// Ticks by which they mean to be late, over what is still on time.
const LATE_BY: i64 = 5;
/// Ambition below which somebody begins things until shortly before they set out, and comes late now and then.
const HASTY: Micro = Micro(-600_000);
/// Ticks that a talk or a meal takes: it is not begun when fewer are left until one sets out.
const LONG: i64 = 30;
/// What the hasty take that for.
const SHORT: i64 = 10;

impl Policy for Scripted {
    fn decide(&mut self, town: &Town, deciders: &[Decider], choices: &mut Vec<OptionKind>) {
        choices.extend(deciders.iter().map(|decider| choose(town, decider.agent, decider.mask)));
    }
}

fn choose(town: &Town, agent: AgentId, mask: Mask) -> OptionKind {
    let (state, rules) = (town.state(), town.rules());
    let behavior = &rules.config.behavior;
    let needs = state.agents.needs[agent];
    let work = work(town, agent);
    let margin = if work == Work::Soon { BEFORE_WORK } else { Micro::ZERO };
    let first = |options: &[OptionKind]| options.iter().copied().find(|option| mask.allows(*option));

    if finishing(town, agent) {
        return state.agents.option[agent];
    }
    let urgent = |need: usize| needs[need] < rules.critical[need] + Micro(100_000);
    if work == Work::Now && mask.allows(OptionKind::Work) && !urgent(HUNGER) && !urgent(ENERGY) {
        return OptionKind::Work;
    }
    let food = [OptionKind::Eat, OptionKind::Cook, OptionKind::Shop];
    if needs[HUNGER] < behavior.hunger_threshold + margin
        && let Some(option) = first(&food)
    {
        return option;
    }
    if needs[HYGIENE] < behavior.hygiene_threshold + margin && mask.allows(OptionKind::Wash) {
        return OptionKind::Wash;
    }
    let night = is_night(town);
    let asleep = state.agents.option[agent] == OptionKind::Sleep && !state.agents.ended[agent];
    let rested = if asleep { Micro(950_000) } else { NIGHT_ENERGY };
    let tired = needs[ENERGY] < behavior.energy_threshold + margin.max(WAY_HOME)
        || ((night || asleep) && needs[ENERGY] < rested);
    if tired && mask.allows(OptionKind::Sleep) {
        return OptionKind::Sleep;
    }
    if work == Work::Next {
        return OptionKind::Wait;
    }
    if is_supper(town) && needs[HUNGER] < SUPPER_HUNGER && mask.allows(OptionKind::Eat) {
        return OptionKind::Eat;
    }
    if mask.allows(OptionKind::Shop) && state.agents.groceries[agent] == 0 {
        return OptionKind::Shop;
    }
    let pantry = rules.fridge_of[state.agents.home[agent]].map_or(0, |fridge| state.objects[fridge].stock);
    if pantry < PANTRY_MEALS && mask.allows(OptionKind::Cook) {
        return OptionKind::Cook;
    }
    if night {
        return first(&[OptionKind::GoHome]).unwrap_or(OptionKind::Wait);
    }
    first(&[OptionKind::Socialise, OptionKind::GoHome]).unwrap_or(OptionKind::Wait)
}

/// Somebody in the middle of a meal, a shower or a talk finishes it, even when that makes them late. Sleep can be broken off.
fn finishing(town: &Town, agent: AgentId) -> bool {
    match town.state().agents.activity[agent] {
        Activity::Using(_, affordance, _) => !town.rules().affordances[affordance].gradual,
        _ => false,
    }
}

/// What the day's shift asks of somebody now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    /// To set out, or to stay.
    Now,
    /// To begin nothing that takes long.
    Next,
    /// To eat and rest ahead of it.
    Soon,
    /// Nothing.
    No,
}

/// Whether it is time to set out, or the shift is near. One leaves the buffer before the shift and allows for the way,
/// though for no more than an hour's walk: whoever lives farther away comes late.
fn work(town: &Town, agent: AgentId) -> Work {
    let (state, rules) = (town.state(), town.rules());
    if state.agents.covering[agent].is_some() {
        return Work::Now;
    }
    let Some(job) = state.agents.job[agent] else { return Work::No };
    if matches!(state.agents.shift[agent].state, ShiftState::Absent | ShiftState::PostShift) {
        return Work::No;
    }
    let it = &rules.jobs[job];
    let now = rules.tick_of_day(state.tick);
    let hour = rules.config.time.ticks_per_day / 24;
    let way = u32::from(it.field[state.agents.tile[agent]]).min(hour);
    let ambition = personality(state.agents.resident[agent]).ambition;
    let left = i64::from(it.start) - i64::from(now + way) - buffer(town, ambition);
    if now >= it.end {
        Work::No
    } else if left <= 0 {
        Work::Now
    } else if left < long(ambition) {
        Work::Next
    } else if now + hour * FORESIGHT_HOURS >= it.start {
        Work::Soon
    } else {
        Work::No
    }
}

fn long(ambition: Micro) -> i64 {
    if (CARELESS..HASTY).contains(&ambition) { SHORT } else { LONG }
}

/// Ticks before a shift at which one means to be there. The ambitious stretch the buffer by up to a half, the others cut
/// it by as much; and one in ten cares so little that they mean to come a little late.
fn buffer(town: &Town, ambition: Micro) -> i64 {
    let config = &town.rules().config;
    let usual = i64::from(config.behavior.job_arrival_buffer);
    if ambition < CARELESS {
        return -i64::from(config.employment.grace_ticks) - LATE_BY;
    }
    usual + usual * ambition.0 / 2 / Micro::ONE.0
}

/// Around three quarters through the day, for two hours and a quarter.
fn is_supper(town: &Town) -> bool {
    let day = town.rules().config.time.ticks_per_day;
    (day * 23 / 32..day * 13 / 16).contains(&town.rules().tick_of_day(town.tick()))
}

fn is_night(town: &Town) -> bool {
    let day = town.rules().config.time.ticks_per_day;
    let now = town.rules().tick_of_day(town.tick());
    now < day / 8 || now >= day * 5 / 6
}

//! The scripted baseline: a rule-based policy with thresholds from the configuration.
//!
//! Needs come first, then work, then tomorrow's supplies, then company. It uses what a trained policy could observe: levels,
//! the clock, the mask; never another resident's plans. Rule: "Scripted baseline".

use townlet_town::fixed_point::Micro;
use townlet_town::ids::AgentId;
use townlet_town::needs::{ENERGY, HUNGER, HYGIENE};
use townlet_town::options::Mask;
use townlet_town::personality::personality;
use townlet_town::state::{Activity, ShiftState};
use townlet_town::{Decider, OptionKind, Policy, Rules, Town};

/// The scripted policy. It keeps no state. Needs have the thresholds of the configuration, the rest is `Thresholds::FOUND`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scripted;

/// The scripted policy with other thresholds, for the search that finds them.
#[derive(Clone, Copy, Debug)]
pub struct ScriptedWith(pub Thresholds);

/// The thresholds of the scripted policy that `townlet tune` searches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Hunger level below which a resident looks for food.
    pub hunger: Micro,
    /// Hygiene level below which it washes.
    pub hygiene: Micro,
    /// Energy level below which it sleeps.
    pub energy: Micro,
    /// Added to the three in the hours before a shift, so that residents need not leave work to eat.
    pub before_work: Micro,
    /// Energy below which a resident sleeps at night although the need is not yet urgent.
    pub night_energy: Micro,
    /// Energy at which a sleeping resident gets up.
    pub rested: Micro,
    /// Hunger level below which a resident eats supper after work, in company.
    pub supper_hunger: Micro,
    /// A resident cooks ahead when the fridge at home holds fewer meals than this.
    pub pantry_meals: u32,
}

impl Thresholds {
    /// The values that the search found for the default town, apart from those of the configuration.
    const FOUND: Self = Self {
        hunger: Micro(700_000),
        hygiene: Micro(670_000),
        energy: Micro(570_000),
        before_work: Micro(110_000),
        night_energy: Micro(790_000),
        rested: Micro::ONE,
        supper_hunger: Micro(930_000),
        pantry_meals: 0,
    };

    /// The thresholds of a town's scripted policy.
    pub fn of(rules: &Rules) -> Self {
        let behavior = &rules.config.behavior;
        Self {
            hunger: behavior.hunger_threshold,
            hygiene: behavior.hygiene_threshold,
            energy: behavior.energy_threshold,
            ..Self::FOUND
        }
    }
}

/// How long before a shift it is taken into account, in 24ths of a day.
const FORESIGHT_HOURS: u32 = 5;
/// Energy reserved for finishing a talk and walking home.
const WAY_HOME: Micro = Micro(60_000);

/// Residents with less ambition than this (one in ten) are late on purpose.
const CARELESS: Micro = Micro(-800_000);
/// Ticks by which they aim to be late, beyond the grace period.
const LATE_BY: i64 = 5;
/// Residents with less ambition than this start activities until shortly before they leave, and are sometimes late.
const HASTY: Micro = Micro(-600_000);
/// Ticks that a talk or a meal takes. Nothing is started when fewer are left before leaving for work.
const LONG: i64 = 30;
/// The same, as hasty residents estimate it.
const SHORT: i64 = 10;

impl Policy for Scripted {
    fn decide(&mut self, town: &Town, deciders: &[Decider], choices: &mut Vec<OptionKind>) {
        ScriptedWith(Thresholds::of(town.rules())).decide(town, deciders, choices);
    }
}

impl Policy for ScriptedWith {
    fn decide(&mut self, town: &Town, deciders: &[Decider], choices: &mut Vec<OptionKind>) {
        choices.extend(deciders.iter().map(|decider| choose(town, decider.agent, decider.mask, &self.0)));
    }
}

fn choose(town: &Town, agent: AgentId, mask: Mask, at: &Thresholds) -> OptionKind {
    let (state, rules) = (town.state(), town.rules());
    let needs = state.agents.needs[agent];
    let work = work(town, agent);
    let margin = if work == Work::Soon { at.before_work } else { Micro::ZERO };
    let first = |options: &[OptionKind]| options.iter().copied().find(|option| mask.allows(*option));

    if finishing(town, agent) {
        return state.agents.option[agent];
    }
    let urgent = |need: usize| needs[need] < rules.critical[need] + Micro(100_000);
    if work == Work::Now && mask.allows(OptionKind::Work) && !urgent(HUNGER) && !urgent(ENERGY) {
        return OptionKind::Work;
    }
    let food = [OptionKind::Eat, OptionKind::Cook, OptionKind::Shop];
    if needs[HUNGER] < at.hunger + margin
        && let Some(option) = first(&food)
    {
        return option;
    }
    if needs[HYGIENE] < at.hygiene + margin && mask.allows(OptionKind::Wash) {
        return OptionKind::Wash;
    }
    let night = is_night(town);
    let asleep = state.agents.option[agent] == OptionKind::Sleep && !state.agents.ended[agent];
    let rested = if asleep { at.rested } else { at.night_energy };
    let tired = needs[ENERGY] < at.energy + margin.max(WAY_HOME) || ((night || asleep) && needs[ENERGY] < rested);
    if tired && mask.allows(OptionKind::Sleep) {
        return OptionKind::Sleep;
    }
    if work == Work::Next {
        return OptionKind::Wait;
    }
    if is_supper(town) && needs[HUNGER] < at.supper_hunger && mask.allows(OptionKind::Eat) {
        return OptionKind::Eat;
    }
    if mask.allows(OptionKind::Shop) && state.agents.groceries[agent] == 0 {
        return OptionKind::Shop;
    }
    let pantry = rules.fridge_of[state.agents.home[agent]].map_or(0, |fridge| state.objects[fridge].stock);
    if pantry < at.pantry_meals && mask.allows(OptionKind::Cook) {
        return OptionKind::Cook;
    }
    if night {
        return first(&[OptionKind::GoHome]).unwrap_or(OptionKind::Wait);
    }
    first(&[OptionKind::Socialise, OptionKind::GoHome]).unwrap_or(OptionKind::Wait)
}

/// Whether the resident is in the middle of a meal, shower or talk, which they finish even if that makes them late. Sleep
/// can be interrupted.
fn finishing(town: &Town, agent: AgentId) -> bool {
    match town.state().agents.activity[agent] {
        Activity::Using(_, affordance, _) => !town.rules().affordances[affordance].gradual,
        _ => false,
    }
}

/// What today's shift requires now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    /// Leave for work, or stay there.
    Now,
    /// Start nothing that takes long.
    Next,
    /// Eat and rest first.
    Soon,
    /// Nothing.
    No,
}

/// How close the shift is, counting the walk and the buffer before the shift. The walk counts for at most an hour, so
/// residents who live farther away are late.
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
    let way = u32::from(rules.way_to_site(job, state.agents.tile[agent]).steps()).min(hour);
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

/// Ticks before the shift at which the resident wants to arrive. Ambition stretches or shortens the configured buffer by up
/// to a half; below [`CARELESS`] it is negative.
fn buffer(town: &Town, ambition: Micro) -> i64 {
    let config = &town.rules().config;
    let usual = i64::from(config.behavior.job_arrival_buffer);
    if ambition < CARELESS {
        return -i64::from(config.employment.grace_ticks) - LATE_BY;
    }
    usual + usual * ambition.0 / 2 / Micro::ONE.0
}

/// Whether it is supper time: two hours and a quarter, about three quarters through the day.
fn is_supper(town: &Town) -> bool {
    let day = town.rules().config.time.ticks_per_day;
    (day * 23 / 32..day * 13 / 16).contains(&town.rules().tick_of_day(town.tick()))
}

fn is_night(town: &Town) -> bool {
    let day = town.rules().config.time.ticks_per_day;
    let now = town.rules().tick_of_day(town.tick());
    now < day / 8 || now >= day * 5 / 6
}

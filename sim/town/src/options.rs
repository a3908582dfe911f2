//! What a policy may choose, and why not: the nine options, their mask, and the reason behind every bit of it.
//!
//! Owns the vocabulary and the test of possibility. How an option is carried out stands in `activity`. Rule: "Options".

use serde::{Deserialize, Serialize};

use crate::affordances::{Affordance, Price};
use crate::fixed_point::Micro;
use crate::ids::{AffordanceId, AgentId, ObjectId};
use crate::rules::Rules;
use crate::state::{ShiftState, State};
use crate::ties;

/// What a resident sets out to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum OptionKind {
    /// Stay where you are.
    #[default]
    Wait = 0,
    /// A meal, at home or bought.
    Eat = 1,
    /// Groceries into meals for the fridge at home.
    Cook = 2,
    /// A shower.
    Wash = 3,
    /// A bed at home.
    Sleep = 4,
    /// Go to the job and stay for the shift.
    Work = 5,
    /// Buy groceries.
    Shop = 6,
    /// Sit at a table where others may sit.
    Socialise = 7,
    /// Walk home.
    GoHome = 8,
}

/// Every option with its name, in the order of the mask.
pub const OPTIONS: [(OptionKind, &str); 9] = [
    (OptionKind::Wait, "wait"),
    (OptionKind::Eat, "eat"),
    (OptionKind::Cook, "cook"),
    (OptionKind::Wash, "wash"),
    (OptionKind::Sleep, "sleep"),
    (OptionKind::Work, "work"),
    (OptionKind::Shop, "shop"),
    (OptionKind::Socialise, "socialise"),
    (OptionKind::GoHome, "go_home"),
];

impl OptionKind {
    /// Its place in [`OPTIONS`] and in every mask.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Such as `go_home`.
    pub const fn name(self) -> &'static str {
        OPTIONS[self.index()].1
    }

    /// The option of that name.
    pub fn named(name: &str) -> Option<Self> {
        OPTIONS.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// The option at a place of the mask.
    pub fn at(index: u8) -> Option<Self> {
        OPTIONS.get(index as usize).map(|row| row.0)
    }
}

/// Why an option may not be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskReason {
    /// The town has no object for it.
    NoObject,
    /// The wallet does not cover the price.
    NoMoney,
    /// What would be taken is used up.
    NoStock,
    /// There is nothing to cook with.
    NoGroceries,
    /// The fridge at home holds all it can.
    FridgeFull,
    /// The power is off.
    NoPower,
    /// The water is off.
    NoWater,
    /// Outside opening hours.
    Closed,
    /// Without a job.
    NoJob,
    /// The shift is too far away.
    ShiftNotYet,
    /// The shift has ended, or was missed.
    ShiftOver,
    /// Already at home.
    AtHome,
}

impl MaskReason {
    /// As an operator reads it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::NoObject => "nothing here serves for it",
            Self::NoMoney => "no money",
            Self::NoStock => "out of stock",
            Self::NoGroceries => "no groceries",
            Self::FridgeFull => "the fridge is full",
            Self::NoPower => "power is off",
            Self::NoWater => "water is off",
            Self::Closed => "closed at this hour",
            Self::NoJob => "no job",
            Self::ShiftNotYet => "shift not yet",
            Self::ShiftOver => "shift over",
            Self::AtHome => "already at home",
        }
    }
}

/// One bit an option: set when it may be chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mask(pub u16);

impl Mask {
    /// Whether an option may be chosen.
    pub const fn allows(self, option: OptionKind) -> bool {
        self.0 >> option.index() & 1 == 1
    }
}

/// How long before a shift one may set out for it, in ticks.
pub const WORK_LEAD_TICKS: u32 = 100;

/// What each option's test of possibility says, in the order of [`OPTIONS`].
pub fn reasons(rules: &Rules, state: &State, agent: AgentId) -> [Option<MaskReason>; 9] {
    OPTIONS.map(|(option, _)| refusal(rules, state, agent, option))
}

/// The mask alone.
pub fn mask(rules: &Rules, state: &State, agent: AgentId) -> Mask {
    let home = state.agents.home[agent];
    let possible = |option: OptionKind| match option {
        OptionKind::Wait | OptionKind::Work | OptionKind::GoHome => refusal(rules, state, agent, option).is_none(),
        // Which of them is best does not matter yet.
        _ => rules.choices_at[home][option.index()]
            .iter()
            .any(|(object, affordance)| object_refusal(rules, state, agent, *object, *affordance).is_none()),
    };
    let bits = OPTIONS.iter().filter(|row| possible(row.0));
    Mask(bits.fold(0, |mask, row| mask | 1 << row.0.index()))
}

/// Why `agent` may not choose `option` now; `None` when it may.
pub fn refusal(rules: &Rules, state: &State, agent: AgentId, option: OptionKind) -> Option<MaskReason> {
    match option {
        OptionKind::Wait => None,
        OptionKind::Work => work_refusal(rules, state, agent),
        OptionKind::GoHome => {
            let here = rules.plan.place_of[state.agents.tile[agent]];
            (here == Some(state.agents.home[agent])).then_some(MaskReason::AtHome)
        }
        _ => best_object(rules, state, agent, option).err(),
    }
}

fn work_refusal(rules: &Rules, state: &State, agent: AgentId) -> Option<MaskReason> {
    let Some(job) = state.agents.covering[agent].or(state.agents.job[agent]) else { return Some(MaskReason::NoJob) };
    let job = &rules.jobs[job];
    let now = rules.tick_of_day(state.tick);
    match state.agents.shift[agent].state {
        _ if state.agents.covering[agent].is_some() => None,
        ShiftState::Absent | ShiftState::PostShift => Some(MaskReason::ShiftOver),
        _ if now + WORK_LEAD_TICKS < job.start => Some(MaskReason::ShiftNotYet),
        _ => None,
    }
}

/// The object and affordance that serve an option soonest: fewest steps plus the queue, ties by order of the plan.
///
/// # Errors
/// The reason of the nearest miss when none will do.
pub fn best_object(
    rules: &Rules,
    state: &State,
    agent: AgentId,
    option: OptionKind,
) -> Result<(ObjectId, AffordanceId), MaskReason> {
    choose(rules, state, agent, option, true)
}

/// The rival, and the object they are at, that made `agent` go to `chosen` instead.
pub(crate) fn avoided_rival(
    rules: &Rules,
    state: &State,
    agent: AgentId,
    option: OptionKind,
    chosen: ObjectId,
) -> Option<(AgentId, ObjectId)> {
    let threshold = rules.config.conflict.rivalry.avoid_threshold;
    if !state.agents.ties[agent].iter().any(|tie| tie.rivalry >= threshold) {
        return None;
    }
    let (nearest, _) = choose(rules, state, agent, option, false).ok().filter(|(nearest, _)| *nearest != chosen)?;
    Some((ties::rival_at(rules, state, agent, nearest)?, nearest))
}

fn choose(
    rules: &Rules,
    state: &State,
    agent: AgentId,
    option: OptionKind,
    avoid: bool,
) -> Result<(ObjectId, AffordanceId), MaskReason> {
    let mut best: Option<(u32, ObjectId, AffordanceId)> = None;
    let mut why = MaskReason::NoObject;
    let here = state.agents.tile[agent];
    let at = rules.plan.at(here);
    for (object, affordance) in &rules.choices_at[state.agents.home[agent]][option.index()] {
        // What is farther than the best so far takes cannot be better; most of a large town is. As the crow flies it is
        // never farther than on foot, and known without a look at a field of steps that lies far away in memory.
        if best.is_some_and(|(other, _, _)| rules.manhattan_distance(at, *object) >= other) {
            continue;
        }
        let steps = u32::from(rules.fields[*object][here]);
        if best.is_some_and(|(other, _, _)| steps >= other) {
            continue;
        }
        if let Some(reason) = object_refusal(rules, state, agent, *object, *affordance) {
            why = reason;
            continue;
        }
        let mut cost = steps + delay(rules, state, agent, *object, *affordance);
        if avoid && ties::rival_at(rules, state, agent, *object).is_some() {
            cost += RIVAL_COST;
        }
        if best.is_none_or(|(other, _, _)| cost < other) {
            best = Some((cost, *object, *affordance));
        }
    }
    best.map(|(_, object, affordance)| (object, affordance)).ok_or(why)
}

/// Ticks that one would rather walk or wait than meet a rival.
const RIVAL_COST: u32 = 120;

/// Expected ticks until the object is free for this resident once there: the people before them, their own cooldown.
fn delay(rules: &Rules, state: &State, agent: AgentId, object: ObjectId, affordance: AffordanceId) -> u32 {
    let it = &state.objects[object];
    let before = it.queue.iter().filter(|entry| entry.agent != agent).count() as u32 + it.uses.len() as u32;
    let capacity = u32::from(rules.plan.objects[object].kind.capacity());
    let turns = (before + 1).saturating_sub(capacity).div_ceil(capacity);
    let cooling =
        if state.live_settings.queue_fairness { it.cooldown_of(agent).saturating_sub(state.tick) as u32 } else { 0 };
    turns * rules.affordances[affordance].duration / 2 + cooling
}

/// Why this resident cannot use this object that way now; whether it is free does not matter, one can queue.
pub fn object_refusal(
    rules: &Rules,
    state: &State,
    agent: AgentId,
    object: ObjectId,
    affordance: AffordanceId,
) -> Option<MaskReason> {
    let what = &rules.affordances[affordance];
    if let Some(why) = works(rules, state, object, what) {
        return Some(why);
    }
    if what.takes_stock > state.objects[object].stock {
        return Some(MaskReason::NoStock);
    }
    if what.takes_groceries > state.agents.groceries[agent] {
        return Some(MaskReason::NoGroceries);
    }
    if price(state, what) > state.agents.wallet[agent] {
        return Some(MaskReason::NoMoney);
    }
    if what.cooking {
        let Some(fridge) = rules.fridge_of[state.agents.home[agent]] else { return Some(MaskReason::NoObject) };
        if state.objects[fridge].stock + rules.config.economy.stove_stock_replenish
            > rules.config.economy.fridge_capacity
        {
            return Some(MaskReason::FridgeFull);
        }
    }
    None
}

/// Why the object itself cannot be used by anybody now.
pub fn works(rules: &Rules, state: &State, object: ObjectId, what: &Affordance) -> Option<MaskReason> {
    if what.power && !state.economy.power {
        return Some(MaskReason::NoPower);
    }
    if what.water && !state.economy.water {
        return Some(MaskReason::NoWater);
    }
    if what.opening_hours && !rules.open(object, rules.tick_of_day(state.tick)) {
        return Some(MaskReason::Closed);
    }
    None
}

/// What it costs today.
pub fn price(state: &State, what: &Affordance) -> Micro {
    match what.price {
        Price::Free => Micro::ZERO,
        Price::Item(item) => state.economy.prices[item as usize],
    }
}

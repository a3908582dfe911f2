//! Option masks: which options a resident may choose now, and the reason for every option it may not. Rule: "Options".

use crate::affordances::{Affordance, Price};
use crate::fixed_point::Micro;
use crate::ids::{AffordanceId, AgentId, ObjectId, Tile};
use crate::options::{Mask, OPTIONS, OptionKind};
use crate::rules::{PublicObjects, Rules, Serving};
use crate::state::{ShiftState, State};
use crate::ties;

/// Why an option may not be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskReason {
    /// The town has no object that serves the option.
    NoObject,
    /// The wallet does not cover the price.
    NoMoney,
    /// The object's stock is used up.
    NoStock,
    /// The resident has no groceries to cook with.
    NoGroceries,
    /// The fridge at home cannot take another cooking.
    FridgeFull,
    /// The power is off.
    NoPower,
    /// The water is off.
    NoWater,
    /// Outside opening hours.
    Closed,
    /// The resident has no job.
    NoJob,
    /// The shift starts too late to set out now.
    ShiftNotYet,
    /// The shift has ended, or was missed.
    ShiftOver,
    /// Already at home.
    AtHome,
}

impl MaskReason {
    /// The reason as text.
    pub const fn description(self) -> &'static str {
        match self {
            Self::NoObject => "no object for it",
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

/// Ticks before a shift from which `work` may be chosen.
pub const WORK_LEAD_TICKS: u32 = 100;

/// Why each option may not be chosen, in the order of [`OPTIONS`]; `None` when it may.
pub fn reasons(rules: &Rules, state: &State, agent: AgentId) -> [Option<MaskReason>; 9] {
    OPTIONS.map(|(option, _)| refusal(rules, state, agent, option))
}

/// The mask of the options a resident may choose now.
pub fn mask(rules: &Rules, state: &State, agent: AgentId) -> Mask {
    let possible = |option: OptionKind| match option {
        OptionKind::Wait | OptionKind::Work | OptionKind::GoHome => refusal(rules, state, agent, option).is_none(),
        _ => rules.serving[option.index()].iter().any(|serving| is_served(rules, state, agent, serving)),
    };
    let bits = OPTIONS.iter().filter(|row| possible(row.0));
    Mask(bits.fold(0, |mask, row| mask | 1 << row.0.index()))
}

/// Whether a resident can use an object for an affordance now.
fn is_served(rules: &Rules, state: &State, agent: AgentId, serving: &Serving) -> bool {
    let what = &rules.affordances[serving.affordance];
    if utility_reason(state, what).or_else(|| resident_reason(rules, state, agent, what)).is_some() {
        return false;
    }
    let stocked = |object: ObjectId| has_stock(state, object, what);
    match &serving.public {
        None => rules.objects_in[state.agents.home[agent]][serving.kind as usize].iter().copied().any(stocked),
        Some(public) => {
            let now = rules.tick_of_day(state.tick);
            public.iter().filter(|it| !what.opening_hours || it.are_open(now)).any(|it| it.all().any(stocked))
        }
    }
}

/// Why a resident may not choose an option now; `None` when it may.
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

/// The object and affordance with the lowest cost in ticks: steps plus expected wait, and more for a rival's company or, at a
/// table, for none. The first in plan order wins a tie.
///
/// # Errors
/// The reason for the last object considered, when none is usable.
pub fn best_object(
    rules: &Rules,
    state: &State,
    agent: AgentId,
    option: OptionKind,
) -> Result<(ObjectId, AffordanceId), MaskReason> {
    choose(rules, state, agent, option, true)
}

/// The rival, and the object it occupies, that made `agent` choose `chosen` instead of a cheaper object.
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
    let tile = state.agents.tile[agent];
    let here = Here { rules, state, agent, option, avoid, tile, at: rules.plan.at(tile) };
    let mut best = None;
    for serving in &rules.serving[option.index()] {
        here.consider_all(serving, &mut best);
    }
    match best {
        Some((_, affordance, object)) => Ok((object, affordance)),
        None => Err(last_reason(rules, state, agent, option)),
    }
}

/// The cheapest object so far: cost, affordance, object. Among equal costs the first in plan order is the best.
type Best = Option<(u32, AffordanceId, ObjectId)>;

/// A search for the cheapest object from where a resident is.
struct Here<'a> {
    rules: &'a Rules,
    state: &'a State,
    agent: AgentId,
    option: OptionKind,
    /// Whether a rival's company adds to the cost.
    avoid: bool,
    tile: Tile,
    /// Column and row.
    at: (u32, u32),
}

impl Here<'_> {
    /// Considers the objects of an affordance.
    fn consider_all(&self, serving: &Serving, best: &mut Best) {
        let (rules, state, affordance) = (self.rules, self.state, serving.affordance);
        let what = &rules.affordances[affordance];
        if utility_reason(state, what).or_else(|| resident_reason(rules, state, self.agent, what)).is_some() {
            return;
        }
        let Some(public) = &serving.public else {
            for object in &rules.objects_in[state.agents.home[self.agent]][serving.kind as usize] {
                self.consider(*object, affordance, 0, best);
            }
            return;
        };
        let now = rules.tick_of_day(state.tick);
        for objects in public.iter().filter(|it| !what.opening_hours || it.are_open(now)) {
            // From the nearest blocks outwards, until no farther object can be cheaper.
            for ring in 0..objects.rings() {
                if best.is_some_and(|(cost, ..)| PublicObjects::least_distance(ring) > cost) {
                    break;
                }
                for placed in objects.ring(self.at, ring) {
                    self.consider(placed.object, affordance, placed.straight_distance(self.at), best);
                }
            }
        }
    }

    /// Considers an object that is at least `least` steps away.
    fn consider(&self, object: ObjectId, affordance: AffordanceId, least: u32, best: &mut Best) {
        let Self { rules, state, agent, .. } = *self;
        let loses = |cost: u32| best.is_some_and(|best| (cost, affordance, object) >= best);
        // The straight distance is a lower bound for the steps and needs no read of a distance field, which is far away in
        // memory. In a large town it rules out most objects.
        if loses(least) || !has_stock(state, object, &rules.affordances[affordance]) {
            return;
        }
        let steps = u32::from(rules.way_to_object(object, self.tile).steps());
        if loses(steps) {
            return;
        }
        let mut cost = steps + delay(rules, state, agent, object, affordance);
        // The company there can only add to the cost.
        if loses(cost) {
            return;
        }
        if self.avoid && ties::rival_at(rules, state, agent, object).is_some() {
            cost += RIVAL_COST;
        }
        if self.option == OptionKind::Socialise {
            cost += company_cost(rules, state, agent, object);
        }
        if !loses(cost) {
            *best = Some((cost, affordance, object));
        }
    }
}

/// The reason for the last object that serves an option, when none is usable.
fn last_reason(rules: &Rules, state: &State, agent: AgentId, option: OptionKind) -> MaskReason {
    let last = |serving: &Serving| match &serving.public {
        None => rules.objects_in[state.agents.home[agent]][serving.kind as usize].last().copied(),
        Some(_) => serving.last_public,
    };
    let mut servings = rules.serving[option.index()].iter().rev();
    let found = servings.find_map(|serving| Some((last(serving)?, serving.affordance)));
    found
        .and_then(|(object, affordance)| object_refusal(rules, state, agent, object, affordance))
        .unwrap_or(MaskReason::NoObject)
}

/// Cost in ticks of an object at which a rival is.
const RIVAL_COST: u32 = 120;
/// Cost in ticks of a table at which nobody sits, for a resident who wants company.
const LONELY_COST: i64 = 80;

/// Cost in ticks of the company at a table: none with somebody fully trusted, half of [`LONELY_COST`] with strangers, all of
/// it without company or a free seat.
fn company_cost(rules: &Rules, state: &State, agent: AgentId, table: ObjectId) -> u32 {
    let seated = || state.objects[table].uses.iter().filter(|user| **user != agent);
    let queued = state.objects[table].queue.iter().filter(|waiter| waiter.agent != agent).count();
    let free = seated().count() + queued < rules.plan.objects[table].kind.capacity() as usize;
    let trust = seated().map(|user| state.agents.ties[agent].to(*user).trust).max().filter(|_| free);
    let distrust = trust.map_or(Micro::whole(2), |trust| Micro::ONE - trust.unit());
    (LONELY_COST * distrust.0 / (2 * Micro::ONE.0)) as u32
}

/// Expected ticks until the object is free for the resident: half a use for every turn before it, plus its own cooldown.
fn delay(rules: &Rules, state: &State, agent: AgentId, object: ObjectId, affordance: AffordanceId) -> u32 {
    let it = &state.objects[object];
    let before = it.queue.iter().filter(|entry| entry.agent != agent).count() as u32 + it.uses.len() as u32;
    let capacity = u32::from(rules.plan.objects[object].kind.capacity());
    let turns = (before + 1).saturating_sub(capacity).div_ceil(capacity);
    let cooling =
        if state.live_settings.queue_fairness { it.cooldown_of(agent).saturating_sub(state.tick) as u32 } else { 0 };
    turns * rules.affordances[affordance].duration / 2 + cooling
}

/// Why a resident cannot use an object in this way now. A busy object is no reason: the resident can queue.
pub fn object_refusal(
    rules: &Rules,
    state: &State,
    agent: AgentId,
    object: ObjectId,
    affordance: AffordanceId,
) -> Option<MaskReason> {
    let what = &rules.affordances[affordance];
    if let Some(why) = closure_reason(rules, state, object, what) {
        return Some(why);
    }
    if !has_stock(state, object, what) {
        return Some(MaskReason::NoStock);
    }
    resident_reason(rules, state, agent, what)
}

/// Whether an object holds what a use takes.
fn has_stock(state: &State, object: ObjectId, what: &Affordance) -> bool {
    // Most uses take nothing, and the object's state is far away in memory.
    what.takes_stock == 0 || what.takes_stock <= state.objects[object].stock
}

/// Why a resident cannot use any object in this way now.
fn resident_reason(rules: &Rules, state: &State, agent: AgentId, what: &Affordance) -> Option<MaskReason> {
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

/// Why nobody can use an object in this way now: no power, no water, or closed.
pub fn closure_reason(rules: &Rules, state: &State, object: ObjectId, what: &Affordance) -> Option<MaskReason> {
    utility_reason(state, what).or_else(|| {
        let closed = what.opening_hours && !rules.open(object, rules.tick_of_day(state.tick));
        closed.then_some(MaskReason::Closed)
    })
}

/// Why nobody can use any object in this way now: no power or no water.
fn utility_reason(state: &State, what: &Affordance) -> Option<MaskReason> {
    if what.power && !state.economy.power {
        return Some(MaskReason::NoPower);
    }
    if what.water && !state.economy.water {
        return Some(MaskReason::NoWater);
    }
    None
}

/// Today's price of an affordance, in meals.
pub fn price(state: &State, what: &Affordance) -> Micro {
    match what.price {
        Price::Free => Micro::ZERO,
        Price::Item(item) => state.economy.prices[item as usize],
    }
}

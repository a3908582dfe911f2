//! Ties between residents: the table of tie events, decay, chats and quarrels. Other rule modules report meals, queues and
//! shifts to this one. With the relationship stage OFF nothing changes a tie. Rule: "Residents and ties".

use crate::config::{RelationshipStage, SocialStage};
use crate::counter_rng::{self, Purpose, Stream};
use crate::events::EventKind;
use crate::fixed_point::Micro;
use crate::ids::{AgentId, ObjectId, PlaceId};
use crate::personality::{Personality, personality};
use crate::plan::ObjectKind;
use crate::rules::Rules;
use crate::state::{Activity, State};
use crate::tick_context::TickContext;

/// Trust or rivalry from which a tie counts as a friendship or a rivalry, on screens and in the KPI.
pub const STRONG: Micro = Micro(300_000);
/// Trust from which a resident takes over another's shift.
pub const TAKEOVER_TRUST: Micro = Micro(500_000);
/// Hunger level below which a resident comes to a meal hungry. Only meals that hungry residents share build trust.
pub const HUNGRY: Micro = Micro(700_000);
/// Trust that shared meals can reach. Beyond it only talk and help build trust.
pub const MEAL_TRUST: Micro = Micro(500_000);

/// An event that changes a tie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TieEvent {
    /// Ate in the same place at the same time, both hungry.
    SharedMeal = 0,
    /// Was let past in a queue by the other.
    PoliteQueue = 1,
    /// Was passed over in a queue for the other.
    JumpedQueue = 2,
    /// A chat that went well.
    GoodChat = 3,
    /// A chat that went wrong.
    FailedChat = 4,
    /// The other took over the shift.
    TookShift = 5,
    /// The other covered up for a late arrival.
    HelpedLate = 6,
    /// A quarrel.
    Argument = 7,
}

/// The effect of an event on a tie.
pub struct TieRow {
    /// The name in telemetry and in the documentation.
    pub name: &'static str,
    /// Added to trust.
    pub trust: Micro,
    /// Added to familiarity.
    pub familiarity: Micro,
    /// Added to rivalry.
    pub rivalry: Micro,
    /// Conflicts the event counts as; each adds `conflict.rivalry.increment_per_conflict` to the rivalry.
    pub conflicts: i64,
    /// Whether both ties change; else only that of the first resident.
    pub mutual: bool,
}

const fn row(name: &'static str, changes: [i64; 3], conflicts: i64, mutual: bool) -> TieRow {
    let [trust, familiarity, rivalry] = changes;
    TieRow { name, trust: Micro(trust), familiarity: Micro(familiarity), rivalry: Micro(rivalry), conflicts, mutual }
}

/// The table of tie events, in the order of [`TieEvent`]. Changes of trust, familiarity and rivalry are in millionths.
pub static TIE_EVENTS: [TieRow; 8] = [
    row("shared_meal", [80_000, 100_000, -30_000], 0, true),
    row("polite_queue", [30_000, 20_000, -20_000], 0, false),
    row("jumped_queue", [-50_000, 20_000, 0], 1, false),
    row("good_chat", [120_000, 80_000, -20_000], 0, true),
    row("failed_chat", [-40_000, 20_000, 30_000], 0, true),
    row("took_shift", [150_000, 50_000, -100_000], 0, false),
    row("helped_late", [80_000, 30_000, -20_000], 0, false),
    row("argument", [-50_000, 20_000, 0], 1, true),
];

/// Share of trust lost per hour. The loss of rivalry is a setting.
const TRUST_DECAY: Micro = Micro(10_000);
/// Share of familiarity lost per hour.
const FAMILIARITY_DECAY: Micro = Micro(5_000);

/// Whether residents have ties.
pub fn enabled(rules: &Rules) -> bool {
    rules.config.features.stages.relationships != RelationshipStage::Off
}

/// Whether residents observe their own ties: from stage B on.
pub fn observed(rules: &Rules) -> bool {
    !matches!(rules.config.features.stages.relationships, RelationshipStage::Off | RelationshipStage::A)
}

fn capacity(rules: &Rules) -> usize {
    rules.config.conflict.rivalry.max_edges as usize
}

fn bounded(value: Micro) -> Micro {
    value.clamp(-Micro::ONE, Micro::ONE)
}

fn personality_of(state: &State, agent: AgentId) -> Personality {
    personality(state.agents.resident[agent])
}

/// Applies an event between two residents.
pub(crate) fn record(cx: &mut TickContext<'_>, who: AgentId, other: AgentId, event: TieEvent) {
    apply(cx, who, other, event);
    if TIE_EVENTS[event as usize].mutual {
        apply(cx, other, who, event);
    }
}

/// Changes the tie of one side. Extroverts gain familiarity faster, and forgiving residents gain less rivalry.
fn apply(cx: &mut TickContext<'_>, who: AgentId, other: AgentId, event: TieEvent) {
    if !enabled(cx.rules) || who == other {
        return;
    }
    let row = &TIE_EVENTS[event as usize];
    let traits = personality_of(cx.state, who);
    let wrong = row.rivalry + cx.rules.config.conflict.rivalry.increment_per_conflict.scaled(row.conflicts);
    let wrong = if wrong > Micro::ZERO { wrong - wrong.times(quarter(traits.forgiveness)) } else { wrong };
    let known = row.familiarity + row.familiarity.times(quarter(traits.extroversion));
    let tie = cx.state.agents.ties[who].entry(other, capacity(cx.rules));
    if event == TieEvent::SharedMeal {
        // Each further meal of the day with the same resident is worth half of the one before.
        let halvings = tie.meals_today.min(20);
        tie.meals_today += 1;
        tie.trust = tie.trust.max((tie.trust + Micro(row.trust.0 >> halvings)).min(MEAL_TRUST));
        tie.familiarity = bounded(tie.familiarity + Micro(known.0 >> halvings));
    } else {
        tie.trust = bounded(tie.trust + row.trust);
        tie.familiarity = bounded(tie.familiarity + known);
    }
    // A reduction of rivalry stops at zero.
    let floor = tie.rivalry.min(Micro::ZERO);
    tie.rivalry = bounded((tie.rivalry + wrong).max(floor));
    changed(cx, who);
}

/// Takes over changed ties of a resident in what is observed of them.
fn changed(cx: &mut TickContext<'_>, agent: AgentId) {
    cx.best_ties.update(&cx.state.agents, agent);
}

fn quarter(value: Micro) -> Micro {
    Micro(value.0 / 4)
}

/// Reduces all ties once an hour and drops those below the eviction threshold.
pub(crate) fn run(cx: &mut TickContext<'_>) {
    let hour = (cx.rules.day_length() / 24).max(1);
    if !enabled(cx.rules) || !(cx.state.tick + 1).is_multiple_of(hour) {
        return;
    }
    let rivalry = &cx.rules.config.conflict.rivalry;
    cx.each(|cx, agent| {
        // Forgiveness changes the loss of rivalry by up to a half.
        let forgives = Micro(personality_of(cx.state, agent).forgiveness.0 / 2);
        let loss = rivalry.decay_per_hour + rivalry.decay_per_hour.times(forgives);
        let ties = &mut cx.state.agents.ties[agent];
        for tie in ties.iter_mut() {
            tie.trust -= tie.trust.times(TRUST_DECAY);
            tie.familiarity -= tie.familiarity.times(FAMILIARITY_DECAY);
            let left = Micro((tie.rivalry.0.abs() - loss.0).max(0));
            tie.rivalry = if tie.rivalry < Micro::ZERO { -left } else { left };
        }
        ties.forget(|tie| {
            [tie.trust, tie.familiarity, tie.rivalry].iter().all(|it| it.0.abs() < rivalry.eviction_threshold.0)
        });
        changed(cx, agent);
    });
}

/// Starts counting the meals of a new day.
pub(crate) fn turn_of_day(cx: &mut TickContext<'_>) {
    cx.each(|cx, agent| cx.state.agents.ties[agent].iter_mut().for_each(|tie| tie.meals_today = 0));
}

/// Drops the ties of all residents to one who left, whose own are cleared.
pub(crate) fn forget(cx: &mut TickContext<'_>, gone: AgentId) {
    changed(cx, gone);
    cx.each(|cx, agent| {
        cx.state.agents.ties[agent].forget(|tie| tie.other == gone);
        changed(cx, agent);
    });
}

/// Sets one aspect of a tie, for an operator.
pub(crate) fn set(cx: &mut TickContext<'_>, who: AgentId, other: AgentId, aspect: u8, value: Micro) {
    let tie = cx.state.agents.ties[who].entry(other, capacity(cx.rules));
    if let Some(held) = tie.aspect(aspect) {
        *held = bounded(value);
    }
    changed(cx, who);
}

/// Draws an event of the given chance for a pair, this tick and a purpose.
fn happens(state: &State, who: AgentId, other: AgentId, purpose: Purpose, chance: Micro) -> bool {
    let (who, other) = (state.agents.resident[who], state.agents.resident[other]);
    let word = counter_rng::draw(state.seed, Stream::World, state.tick, who.0, purpose, other.0)[0];
    ((u64::from(word) * 1_000_000) >> 32) < chance.0 as u64
}

/// Mean trust and the higher rivalry between two residents.
fn mutual_attitude(state: &State, who: AgentId, other: AgentId) -> (Micro, Micro) {
    let (a, b) = (state.agents.ties[who].to(other), state.agents.ties[other].to(who));
    (Micro(i64::midpoint(a.trust.0, b.trust.0)), a.rivalry.max(b.rivalry))
}

/// Whether a chat between two residents goes well now. Extroversion and trust raise the chance, rivalry lowers it.
pub(crate) fn chat_succeeds(state: &State, who: AgentId, other: AgentId) -> bool {
    let (trust, rivalry) = mutual_attitude(state, who, other);
    let outgoing =
        i64::midpoint(personality_of(state, who).extroversion.0, personality_of(state, other).extroversion.0);
    let chance = 750_000 + outgoing / 4 + trust.0 / 4 - rivalry.0 / 2;
    happens(state, who, other, Purpose::Chat, Micro(chance.clamp(50_000, 950_000)))
}

/// Two residents chat. A chat at a table that goes wrong may end in a quarrel.
pub(crate) fn chat(cx: &mut TickContext<'_>, who: AgentId, other: AgentId) {
    let good = chat_succeeds(cx.state, who, other);
    record(cx, who, other, if good { TieEvent::GoodChat } else { TieEvent::FailedChat });
    cx.count(|counters| {
        counters.chats += 1;
        counters.chats_done += u32::from(good);
    });
    if good {
        reward_chat(cx, who, other);
        reward_chat(cx, other, who);
        emit(cx, who, other, |who, other| EventKind::ChatDone { who, other });
    } else {
        emit(cx, who, other, |who, other| EventKind::ChatFailed { who, other });
        let (_, rivalry) = mutual_attitude(cx.state, who, other);
        if let Some((object, _)) = cx.state.agents.activity[who].target() {
            quarrel(cx, who, other, object, 200_000 + rivalry.0 / 4);
        }
    }
}

fn emit(
    cx: &mut TickContext<'_>,
    who: AgentId,
    other: AgentId,
    kind: impl FnOnce(crate::ResidentId, crate::ResidentId) -> EventKind,
) {
    let other = cx.state.agents.resident[other];
    cx.emit_for(who, |who| kind(who, other));
}

/// Stage of the social rewards, 0 to 3: the configured one, and at least that of the relationships.
pub fn social_stage(rules: &Rules) -> u8 {
    let stages = &rules.config.features.stages;
    let ties = match stages.relationships {
        RelationshipStage::Off => return 0,
        RelationshipStage::A | RelationshipStage::B => 0,
        RelationshipStage::C1 => 1,
        RelationshipStage::C2 => 2,
        RelationshipStage::C3 => 3,
    };
    ties.max(match stages.social_rewards {
        SocialStage::Off => 0,
        SocialStage::C1 => 1,
        SocialStage::C2 => 2,
        SocialStage::C3 => 3,
    })
}

/// Rewards a chat that went well. From C1 trust and familiarity add to it, from C3 the quality of the tie does too.
fn reward_chat(cx: &mut TickContext<'_>, who: AgentId, other: AgentId) {
    let (stage, social) = (social_stage(cx.rules), &cx.rules.config.rewards.social);
    if stage == 0 {
        return;
    }
    let tie = cx.state.agents.ties[who].to(other);
    let mut factor = Micro::ONE + social.c1_coeff_trust.times(tie.trust) + social.c1_coeff_fam.times(tie.familiarity);
    if stage >= 3 {
        factor += tie.trust - tie.rivalry;
    }
    cx.state.agents.social[who] += social.c1_chat_base.times(factor);
}

/// Whether another resident uses an object.
fn has_other_user(cx: &TickContext<'_>, agent: AgentId, object: ObjectId) -> bool {
    cx.state.objects[object].uses.iter().any(|user| {
        *user != agent && matches!(cx.state.agents.activity[*user], Activity::Using(at, ..) if at == object)
    })
}

/// Counts a meeting when a resident sits down at an occupied table.
pub(crate) fn use_begun(cx: &mut TickContext<'_>, agent: AgentId, object: ObjectId) {
    if cx.rules.plan.objects[object].kind == ObjectKind::Table && has_other_user(cx, agent, object) {
        cx.count(|counters| counters.meetings += 1);
    }
}

/// A use was completed: a resident at a table chats with every other user of it, and a resident who came hungry to a meal
/// shares it with every hungry resident in the place who eats, queues for a meal or sits at a table.
pub(crate) fn use_completed(cx: &mut TickContext<'_>, agent: AgentId, object: ObjectId, meal: bool) {
    let table = cx.rules.plan.objects[object].kind == ObjectKind::Table;
    if !enabled(cx.rules) || !(table || meal) {
        return;
    }
    let place = cx.rules.plan.objects[object].place;
    let meal = meal && came_hungry(cx.state, agent);
    let company = std::mem::take(cx.company);
    *cx.company = company_at(cx, place, company);
    for index in 0..cx.company.len() {
        let other = cx.company[index];
        let activity = cx.state.agents.activity[other];
        let Some((at, what)) = activity.target() else { continue };
        if other == agent {
            continue;
        }
        if table && at == object && matches!(activity, Activity::Using(..)) {
            chat(cx, agent, other);
            continue;
        }
        let it = &cx.rules.plan.objects[at];
        let sits = cx.rules.affordances[what].meal || it.kind == ObjectKind::Table;
        if meal && sits && it.place == place && came_hungry(cx.state, other) {
            record(cx, agent, other, TieEvent::SharedMeal);
            cx.count(|counters| counters.shared_meals += 1);
            emit(cx, agent, other, |who, other| EventKind::SharedMeal { who, other });
        }
    }
}

/// Everybody who uses an object of a place or waits for one, by slot, in the memory of `company`.
fn company_at(cx: &TickContext<'_>, place: PlaceId, mut company: Vec<AgentId>) -> Vec<AgentId> {
    company.clear();
    for object in cx.rules.objects_in[place].iter().flatten().copied() {
        // The index is compact; most objects are free.
        if cx.queue_index.users(object) > 0 {
            company.extend(&cx.state.objects[object].uses);
        }
        if cx.queue_index.is_busy(object) {
            company.extend(cx.state.objects[object].queue.iter().map(|waiter| waiter.agent));
        }
    }
    company.sort_unstable();
    company
}

/// Whether a resident was hungry when it came to the object it is at.
fn came_hungry(state: &State, agent: AgentId) -> bool {
    state.agents.hunger_on_arrival[agent] < HUNGRY
}

/// A resident joins a queue and may quarrel with the one ahead.
pub(crate) fn queue_joined(cx: &mut TickContext<'_>, agent: AgentId, object: ObjectId) {
    if !enabled(cx.rules) {
        return;
    }
    let it = &cx.state.objects[object];
    let ahead = it.queue.iter().rev().map(|waiter| waiter.agent).find(|other| *other != agent);
    if let Some(other) = ahead.or_else(|| it.uses.iter().copied().find(|user| *user != agent)) {
        let (trust, rivalry) = mutual_attitude(cx.state, agent, other);
        let chance = 200_000 + rivalry.0 / 2 - trust.0 / 5 - personality_of(cx.state, agent).forgiveness.0 / 20;
        quarrel(cx, agent, other, object, chance);
    }
}

/// A resident gave up a queue or was sent back in it, and may quarrel with a user of the object.
pub(crate) fn queue_left(cx: &mut TickContext<'_>, agent: AgentId, object: ObjectId) {
    if !enabled(cx.rules) {
        return;
    }
    let user = cx.state.objects[object].uses.iter().copied().find(|user| *user != agent);
    if let Some(other) = user {
        let (trust, rivalry) = mutual_attitude(cx.state, agent, other);
        quarrel(cx, agent, other, object, 200_000 + rivalry.0 - trust.0 / 4);
    }
}

fn quarrel(cx: &mut TickContext<'_>, agent: AgentId, other: AgentId, object: ObjectId, chance: i64) {
    if happens(cx.state, agent, other, Purpose::Quarrel, Micro(chance.clamp(10_000, 950_000))) {
        record(cx, agent, other, TieEvent::Argument);
        cx.count(|counters| counters.quarrels += 1);
        emit(cx, agent, other, |who, other| EventKind::Argument { who, other, object });
    }
}

/// A resident is served. Those who waited longer let it past politely when they are on cooldown; else it jumped the queue.
pub(crate) fn queue_served(cx: &mut TickContext<'_>, agent: AgentId, since: u64, object: ObjectId) {
    if !enabled(cx.rules) {
        return;
    }
    for index in 0..cx.state.objects[object].queue.len() {
        let waiter = cx.state.objects[object].queue[index];
        if waiter.since >= since {
            continue;
        }
        let fair = cx.state.live_settings.queue_fairness;
        if fair && cx.state.objects[object].cooldown_of(waiter.agent) > cx.state.tick {
            record(cx, agent, waiter.agent, TieEvent::PoliteQueue);
            emit(cx, waiter.agent, agent, |who, other| EventKind::PoliteQueue { who, other, object });
        } else {
            record(cx, waiter.agent, agent, TieEvent::JumpedQueue);
            emit(cx, agent, waiter.agent, |who, other| EventKind::JumpedQueue { who, other, object });
        }
    }
}

/// A rival to avoid who uses an object or waits for it.
pub(crate) fn rival_at(rules: &Rules, state: &State, agent: AgentId, object: ObjectId) -> Option<AgentId> {
    let threshold = rules.config.conflict.rivalry.avoid_threshold;
    let it = &state.objects[object];
    let rivals = state.agents.ties[agent].iter().filter(|tie| tie.rivalry >= threshold).map(|tie| tie.other);
    rivals.into_iter().find(|rival| it.uses.contains(rival) || it.queue.iter().any(|waiter| waiter.agent == *rival))
}

/// A resident chose another object because of a rival.
pub(crate) fn rival_avoided(cx: &mut TickContext<'_>, agent: AgentId, rival: AgentId, object: ObjectId) {
    cx.count(|counters| counters.avoided += 1);
    if social_stage(cx.rules) >= 2 {
        cx.state.agents.social[agent] += cx.rules.config.rewards.social.c2_avoid_conflict;
    }
    emit(cx, agent, rival, |who, other| EventKind::ConflictAvoided { who, other, object });
}

/// The resident who trusts `agent` most, at least `least`, among those that `able` accepts.
pub(crate) fn friend(
    cx: &TickContext<'_>,
    agent: AgentId,
    least: Micro,
    able: impl Fn(&State, AgentId) -> bool,
) -> Option<AgentId> {
    let others = cx.state.agents.present.iter().copied().filter(|other| *other != agent);
    let trust = |other: AgentId| cx.state.agents.ties[other].to(agent).trust;
    // Most residents of a large town are far away, which is cheaper to see than the trust.
    others
        .filter(|other| able(cx.state, *other) && trust(*other) >= least)
        .max_by_key(|other| (trust(*other), std::cmp::Reverse(*other)))
}

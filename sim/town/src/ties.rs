//! How residents stand to each other: directed ties, what moves them, how they fade, and what they make people do.
//!
//! Owns the table of tie events. Chats, meals, queues and shifts happen elsewhere and report here. With the stage OFF
//! nothing of this happens. Rule: "Residents and ties".

use serde::{Deserialize, Serialize};

use crate::config::{RelationshipStage, SocialStage};
use crate::counter_rng::{self, Purpose, Stream};
use crate::events::EventKind;
use crate::fixed_point::Micro;
use crate::ids::{AgentId, ObjectId};
use crate::personality::{Personality, personality};
use crate::plan::ObjectKind;
use crate::rules::Rules;
use crate::state::{Activity, State};
use crate::tick_context::TickContext;

/// Most ties a resident keeps; `conflict.rivalry.max_edges` may say fewer.
pub const CAPACITY: usize = 6;
/// A tie that counts as a friendship or a rivalry, on screens and in the KPI.
pub const STRONG: Micro = Micro(300_000);
/// Trust from which somebody works another's shift.
pub const TAKEOVER_TRUST: Micro = Micro(500_000);

/// How one resident stands to another. Each value in [−1, 1].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tie {
    /// To whom.
    pub other: AgentId,
    /// Trust.
    pub trust: Micro,
    /// How well they know them.
    pub familiarity: Micro,
    /// Rivalry.
    pub rivalry: Micro,
}

impl Tie {
    const fn to(other: AgentId) -> Self {
        Self { other, trust: Micro::ZERO, familiarity: Micro::ZERO, rivalry: Micro::ZERO }
    }

    /// What decides which tie is forgotten first.
    fn strength(&self) -> i64 {
        self.trust.0.abs() + self.familiarity.0.abs() + self.rivalry.0.abs()
    }

    /// The value of an aspect, in the order of [`ASPECTS`].
    pub fn aspect(&mut self, aspect: u8) -> Option<&mut Micro> {
        [&mut self.trust, &mut self.familiarity, &mut self.rivalry].into_iter().nth(aspect as usize)
    }
}

/// What a tie is made of.
pub const ASPECTS: [&str; 3] = ["trust", "familiarity", "rivalry"];

/// A resident's ties, in no order that means anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ties([Option<Tie>; CAPACITY]);

impl Ties {
    /// Those there are.
    pub fn iter(&self) -> impl Iterator<Item = &Tie> {
        self.0.iter().flatten()
    }

    /// How they stand to somebody; nothing in every aspect when there is no tie.
    pub fn to(&self, other: AgentId) -> Tie {
        self.iter().find(|tie| tie.other == other).copied().unwrap_or(Tie::to(other))
    }

    /// The tie to somebody, made when there is none; with `capacity` others the weakest is forgotten.
    fn entry(&mut self, other: AgentId, capacity: usize) -> &mut Tie {
        let places = &self.0[..capacity];
        let known = places.iter().position(|tie| tie.is_some_and(|tie| tie.other == other));
        let free = || places.iter().position(Option::is_none);
        let weakest = || (0..capacity).min_by_key(|place| places[*place].map_or(0, |tie| tie.strength()));
        let place = known.or_else(free).or_else(weakest).unwrap_or_default();
        let tie = &mut self.0[place];
        if known.is_none() {
            *tie = Some(Tie::to(other));
        }
        tie.get_or_insert(Tie::to(other))
    }

    fn forget(&mut self, mut gone: impl FnMut(&Tie) -> bool) {
        for tie in &mut self.0 {
            if tie.as_ref().is_some_and(&mut gone) {
                *tie = None;
            }
        }
    }
}

/// What moves a tie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TieEvent {
    /// Had a meal in the same place at the same time.
    SharedMeal = 0,
    /// Was let past in a queue.
    PoliteQueue = 1,
    /// Was passed over in a queue.
    JumpedQueue = 2,
    /// A good talk.
    GoodChat = 3,
    /// A talk that went wrong.
    FailedChat = 4,
    /// The other worked one's shift.
    TookShift = 5,
    /// The other covered up for one's lateness.
    HelpedLate = 6,
    /// A quarrel.
    Argument = 7,
}

/// One row: what an event does to the tie of whoever lived through it.
pub struct TieRow {
    /// As in telemetry and in `docs`.
    pub name: &'static str,
    /// Added to trust.
    pub trust: Micro,
    /// Added to familiarity.
    pub familiarity: Micro,
    /// Added to rivalry.
    pub rivalry: Micro,
    /// Conflicts it counts as, each worth `conflict.rivalry.increment_per_conflict` of rivalry.
    pub conflicts: i64,
    /// Whether both sides feel it; else only the first.
    pub mutual: bool,
}

const fn row(name: &'static str, moves: [i64; 3], conflicts: i64, mutual: bool) -> TieRow {
    let [trust, familiarity, rivalry] = moves;
    TieRow { name, trust: Micro(trust), familiarity: Micro(familiarity), rivalry: Micro(rivalry), conflicts, mutual }
}

/// THE table of tie events, in the order of [`TieEvent`]; moves of trust, familiarity, rivalry in millionths.
pub static TIE_EVENTS: [TieRow; 8] = [
    row("shared_meal", [80_000, 100_000, -30_000], 0, true),
    row("polite_queue", [30_000, 20_000, -20_000], 0, false),
    row("jumped_queue", [-50_000, 20_000, 0], 1, false),
    row("good_chat", [80_000, 80_000, -20_000], 0, true),
    row("failed_chat", [-40_000, 20_000, 30_000], 0, true),
    row("took_shift", [150_000, 50_000, -100_000], 0, false),
    row("helped_late", [80_000, 30_000, -20_000], 0, false),
    row("argument", [-50_000, 20_000, 0], 1, true),
];

/// Part of trust and of familiarity that an hour takes; what it takes of rivalry stands in the configuration.
const TRUST_FADES: Micro = Micro(10_000);
/// As [`TRUST_FADES`].
const FAMILIARITY_FADES: Micro = Micro(5_000);

/// Whether this town keeps ties.
pub fn kept(rules: &Rules) -> bool {
    rules.config.features.stages.relationships != RelationshipStage::Off
}

/// Whether residents see their own ties: from stage B on. In stage A only operators do.
pub fn observed(rules: &Rules) -> bool {
    !matches!(rules.config.features.stages.relationships, RelationshipStage::Off | RelationshipStage::A)
}

fn capacity(rules: &Rules) -> usize {
    rules.config.conflict.rivalry.max_edges as usize
}

fn within(value: Micro) -> Micro {
    value.clamp(-Micro::ONE, Micro::ONE)
}

fn person(state: &State, agent: AgentId) -> Personality {
    personality(state.agents.resident[agent])
}

/// Something happened between two residents.
pub(crate) fn note(cx: &mut TickContext<'_>, who: AgentId, other: AgentId, event: TieEvent) {
    feel(cx, who, other, event);
    if TIE_EVENTS[event as usize].mutual {
        feel(cx, other, who, event);
    }
}

/// One side of it. Outgoing people get to know others faster; the unforgiving take a wrong harder.
fn feel(cx: &mut TickContext<'_>, who: AgentId, other: AgentId, event: TieEvent) {
    if !kept(cx.rules) || who == other {
        return;
    }
    let row = &TIE_EVENTS[event as usize];
    let character = person(cx.state, who);
    let wrong = row.rivalry + cx.rules.config.conflict.rivalry.increment_per_conflict.scaled(row.conflicts);
    let wrong = if wrong > Micro::ZERO { wrong - wrong.times(quarter(character.forgiveness)) } else { wrong };
    let known = row.familiarity + row.familiarity.times(quarter(character.extroversion));
    let tie = cx.state.agents.ties[who].entry(other, capacity(cx.rules));
    tie.trust = within(tie.trust + row.trust);
    tie.familiarity = within(tie.familiarity + known);
    // Making peace ends a rivalry; it does not turn into less than none.
    let floor = tie.rivalry.min(Micro::ZERO);
    tie.rivalry = within((tie.rivalry + wrong).max(floor));
}

fn quarter(value: Micro) -> Micro {
    Micro(value.0 / 4)
}

/// Once an hour all ties fade; those that have come to nothing are forgotten.
pub(crate) fn run(cx: &mut TickContext<'_>) {
    let hour = (cx.rules.day_length() / 24).max(1);
    if !kept(cx.rules) || !(cx.state.tick + 1).is_multiple_of(hour) {
        return;
    }
    let rivalry = &cx.rules.config.conflict.rivalry;
    cx.each(|cx, agent| {
        // From half as fast to half again as fast.
        let forgives = Micro(person(cx.state, agent).forgiveness.0 / 2);
        let fades = rivalry.decay_per_hour + rivalry.decay_per_hour.times(forgives);
        let ties = &mut cx.state.agents.ties[agent];
        for tie in ties.0.iter_mut().flatten() {
            tie.trust -= tie.trust.times(TRUST_FADES);
            tie.familiarity -= tie.familiarity.times(FAMILIARITY_FADES);
            let left = Micro((tie.rivalry.0.abs() - fades.0).max(0));
            tie.rivalry = if tie.rivalry < Micro::ZERO { -left } else { left };
        }
        ties.forget(|tie| {
            [tie.trust, tie.familiarity, tie.rivalry].iter().all(|it| it.0.abs() < rivalry.eviction_threshold.0)
        });
    });
}

/// Forgets somebody who has left the town.
pub(crate) fn forget(cx: &mut TickContext<'_>, gone: AgentId) {
    cx.each(|cx, agent| cx.state.agents.ties[agent].forget(|tie| tie.other == gone));
}

/// Sets one aspect by hand.
pub(crate) fn set(cx: &mut TickContext<'_>, who: AgentId, other: AgentId, aspect: u8, value: Micro) {
    let tie = cx.state.agents.ties[who].entry(other, capacity(cx.rules));
    if let Some(held) = tie.aspect(aspect) {
        *held = within(value);
    }
}

/// A chance in [0, 1], drawn for this pair, this tick and this question.
fn luck(state: &State, who: AgentId, other: AgentId, purpose: Purpose, chance: Micro) -> bool {
    let (who, other) = (state.agents.resident[who], state.agents.resident[other]);
    let word = counter_rng::draw(state.seed, Stream::World, state.tick, who.0, purpose, other.0)[0];
    ((u64::from(word) * 1_000_000) >> 32) < chance.0 as u64
}

/// Trust and the worse of two rivalries between two residents.
fn between(state: &State, who: AgentId, other: AgentId) -> (Micro, Micro) {
    let (a, b) = (state.agents.ties[who].to(other), state.agents.ties[other].to(who));
    (Micro(i64::midpoint(a.trust.0, b.trust.0)), a.rivalry.max(b.rivalry))
}

/// Whether a talk between two goes well now: outgoing people who trust each other and are no rivals talk best.
pub(crate) fn chat_succeeds(state: &State, who: AgentId, other: AgentId) -> bool {
    let (trust, rivalry) = between(state, who, other);
    let outgoing = i64::midpoint(person(state, who).extroversion.0, person(state, other).extroversion.0);
    let chance = 750_000 + outgoing / 4 + trust.0 / 4 - rivalry.0 / 2;
    luck(state, who, other, Purpose::Chat, Micro(chance.clamp(50_000, 950_000)))
}

/// Two residents talk. A talk that goes wrong over a table may end in a quarrel.
pub(crate) fn chat(cx: &mut TickContext<'_>, who: AgentId, other: AgentId) {
    let good = chat_succeeds(cx.state, who, other);
    note(cx, who, other, if good { TieEvent::GoodChat } else { TieEvent::FailedChat });
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
        let (_, rivalry) = between(cx.state, who, other);
        if let Some((object, _)) = cx.state.agents.activity[who].target() {
            quarrel(cx, who, other, object, 600_000 + rivalry.0 / 4);
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

/// How far social rewards go: as `social_rewards` says, and at least as far as the stage of the ties.
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

/// C1: a finished chat is worth more with whom one trusts and knows. C3: and with a tie of quality.
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

/// Whether somebody else has stepped up to an object already.
fn in_company(cx: &TickContext<'_>, agent: AgentId, object: ObjectId) -> bool {
    cx.state.objects[object].uses.iter().any(|user| {
        *user != agent && matches!(cx.state.agents.activity[*user], Activity::Using(at, ..) if at == object)
    })
}

/// Somebody sits down or steps up: at a table with others that is a meeting.
pub(crate) fn step_up(cx: &mut TickContext<'_>, agent: AgentId, object: ObjectId) {
    if cx.rules.plan.objects[object].kind == ObjectKind::Table && in_company(cx, agent, object) {
        cx.count(|counters| counters.meetings += 1);
    }
}

/// A use has ended well: who sat at a table has talked with everybody there; who ate has eaten with everybody who
/// eats there too, stands in line for a plate or sits at a table.
pub(crate) fn used(cx: &mut TickContext<'_>, agent: AgentId, object: ObjectId, meal: bool) {
    let table = cx.rules.plan.objects[object].kind == ObjectKind::Table;
    if !kept(cx.rules) || !(table || meal) {
        return;
    }
    let place = cx.rules.plan.objects[object].place;
    cx.each(|cx, other| {
        let activity = cx.state.agents.activity[other];
        let Some((at, what)) = activity.target() else { return };
        if other == agent || matches!(activity, Activity::Walking(..)) {
            return;
        }
        if table && at == object && matches!(activity, Activity::Using(..)) {
            chat(cx, agent, other);
            return;
        }
        let it = &cx.rules.plan.objects[at];
        if meal && it.place == place && (cx.rules.affordances[what].meal || it.kind == ObjectKind::Table) {
            note(cx, agent, other, TieEvent::SharedMeal);
            cx.count(|counters| counters.shared_meals += 1);
            emit(cx, agent, other, |who, other| EventKind::SharedMeal { who, other });
        }
    });
}

/// Somebody joins a queue: with whoever is before them a quarrel may break out, the sooner the worse they stand.
pub(crate) fn joined(cx: &mut TickContext<'_>, agent: AgentId, object: ObjectId) {
    if !kept(cx.rules) {
        return;
    }
    let it = &cx.state.objects[object];
    let ahead = it.queue.iter().rev().map(|waiter| waiter.agent).find(|other| *other != agent);
    if let Some(other) = ahead.or_else(|| it.uses.iter().copied().find(|user| *user != agent)) {
        let (trust, rivalry) = between(cx.state, agent, other);
        let chance = 550_000 + rivalry.0 / 2 - trust.0 / 5 - person(cx.state, agent).forgiveness.0 / 20;
        quarrel(cx, agent, other, object, chance);
    }
}

/// Somebody gave up a queue or was sent back in it: whoever holds the thing may hear about it.
pub(crate) fn blocked_in_queue(cx: &mut TickContext<'_>, agent: AgentId, object: ObjectId) {
    if !kept(cx.rules) {
        return;
    }
    let user = cx.state.objects[object].uses.iter().copied().find(|user| *user != agent);
    if let Some(other) = user {
        let (trust, rivalry) = between(cx.state, agent, other);
        quarrel(cx, agent, other, object, 400_000 + rivalry.0 - trust.0 / 4);
    }
}

fn quarrel(cx: &mut TickContext<'_>, agent: AgentId, other: AgentId, object: ObjectId, chance: i64) {
    if luck(cx.state, agent, other, Purpose::Quarrel, Micro(chance.clamp(10_000, 950_000))) {
        note(cx, agent, other, TieEvent::Argument);
        cx.count(|counters| counters.quarrels += 1);
        emit(cx, agent, other, |who, other| EventKind::Argument { who, other, object });
    }
}

/// Somebody is served: those who waited longer were let past politely when they sit out, else they were jumped.
pub(crate) fn served(cx: &mut TickContext<'_>, agent: AgentId, since: u64, object: ObjectId) {
    if !kept(cx.rules) {
        return;
    }
    for index in 0..cx.state.objects[object].queue.len() {
        let waiter = cx.state.objects[object].queue[index];
        if waiter.since >= since {
            continue;
        }
        let fair = cx.state.live_settings.queue_fairness;
        if fair && cx.state.objects[object].cooldown_of(waiter.agent) > cx.state.tick {
            note(cx, agent, waiter.agent, TieEvent::PoliteQueue);
            emit(cx, waiter.agent, agent, |who, other| EventKind::PoliteQueue { who, other, object });
        } else {
            note(cx, waiter.agent, agent, TieEvent::JumpedQueue);
            emit(cx, agent, waiter.agent, |who, other| EventKind::JumpedQueue { who, other, object });
        }
    }
}

/// A rival of `agent` who uses an object or waits for it, when there is one it avoids.
pub(crate) fn rival_at(rules: &Rules, state: &State, agent: AgentId, object: ObjectId) -> Option<AgentId> {
    let threshold = rules.config.conflict.rivalry.avoid_threshold;
    let it = &state.objects[object];
    let rivals = state.agents.ties[agent].iter().filter(|tie| tie.rivalry >= threshold).map(|tie| tie.other);
    rivals.into_iter().find(|rival| it.uses.contains(rival) || it.queue.iter().any(|waiter| waiter.agent == *rival))
}

/// Somebody went elsewhere because of a rival.
pub(crate) fn avoided(cx: &mut TickContext<'_>, agent: AgentId, rival: AgentId, object: ObjectId) {
    cx.count(|counters| counters.avoided += 1);
    if social_stage(cx.rules) >= 2 {
        cx.state.agents.social[agent] += cx.rules.config.rewards.social.c2_avoid_conflict;
    }
    emit(cx, agent, rival, |who, other| EventKind::ConflictAvoided { who, other, object });
}

/// Whoever fulfils `able` and trusts `agent` most, at least so much.
pub(crate) fn friend(
    cx: &TickContext<'_>,
    agent: AgentId,
    least: Micro,
    able: impl Fn(&State, AgentId) -> bool,
) -> Option<AgentId> {
    let others = cx.state.agents.present.iter().copied().filter(|other| *other != agent);
    let trust = |other: AgentId| cx.state.agents.ties[other].to(agent).trust;
    others
        .filter(|other| trust(*other) >= least && able(cx.state, *other))
        .max_by_key(|other| (trust(*other), std::cmp::Reverse(*other)))
}

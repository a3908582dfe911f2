//! Shocks from outside: the table of their kinds, each with what it does and how it is undone.
//!
//! One row a kind. What a shock does to the town is worked out from those under way, never counted up and down, so that
//! after the last one ends the town is as if it had ended by itself, whatever happened between. When shocks come by
//! themselves stands in `schedule`, what two who are to meet do in `meeting`. Rule: "Perturbations".

pub(crate) mod meeting;
mod schedule;

use serde::{Deserialize, Serialize};

use crate::affordances::ITEMS;
use crate::config::{Event as FileEvent, EventKind as Kind, PerturbationFile};
use crate::events::{EventKind, Utility};
use crate::fixed_point::Micro;
use crate::ids::{PlaceId, ResidentId};
use crate::names;
use crate::options::OptionKind;
use crate::plan::{ObjectKind, PLACE_KINDS, Plan};
use crate::rules::{Rules, RulesError};
use crate::state::{Economy, State};
use crate::tick_context::TickContext;

pub(crate) use schedule::cancel;
pub use schedule::{StartBlock, hold};

/// One kind of shock.
pub struct PerturbationRow {
    /// As in telemetry, in files and on screen.
    pub name: &'static str,
    /// What a file may say of it besides its chance, cooldown and duration.
    pub settings: &'static [&'static str],
    /// What it does to the town; it stands among those under way already.
    apply: fn(&mut TickContext<'_>, &ActivePerturbation),
    /// How it is undone; it stands among those under way no more.
    revert: fn(&mut TickContext<'_>, &ActivePerturbation),
    /// For a reader.
    pub detail: &'static str,
}

/// Row of a power cut.
pub const BLACKOUT: u8 = 0;
/// Row of a water cut.
pub const OUTAGE: u8 = 1;
/// Row of a price spike.
pub const PRICE_SPIKE: u8 = 2;
/// Row of an arranged meeting.
pub const ARRANGED_MEET: u8 = 3;

/// THE table of perturbations.
pub static PERTURBATIONS: [PerturbationRow; 4] = [
    PerturbationRow {
        name: "blackout",
        settings: &[],
        apply: |cx, _| utilities(cx, None),
        revert: |cx, it| utilities(cx, Some(it)),
        detail: "power is off: stoves do not work, nobody has to leave",
    },
    PerturbationRow {
        name: "outage",
        settings: &[],
        apply: |cx, _| utilities(cx, None),
        revert: |cx, it| utilities(cx, Some(it)),
        detail: "water is off: showers do not work, nobody has to leave",
    },
    PerturbationRow {
        name: "price_spike",
        settings: &["magnitude", "targets"],
        apply: |cx, _| reprice(cx.state),
        revert: |cx, _| reprice(cx.state),
        detail: "prices are up",
    },
    PerturbationRow {
        name: "arranged_meet",
        settings: &["target", "location"],
        apply: meeting::summon,
        revert: meeting::dismiss,
        detail: "two residents are asked to meet",
    },
];

/// An event of the perturbation file, with its words turned into rows and places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerturbationEvent {
    /// As the file calls it.
    pub name: String,
    /// Row of [`PERTURBATIONS`].
    pub kind: u8,
    /// On a given day.
    pub chance: Micro,
    /// Ticks before it may start again.
    pub cooldown: u64,
    /// Ticks, least and most.
    pub duration: (u64, u64),
    /// Factor on prices, least and most.
    pub magnitude: (Micro, Micro),
    /// Goods a spike is about, bit `n` for row `n` of the price list.
    pub items: u8,
    /// The resident a meeting is about; anybody when none is named.
    pub target: Option<ResidentId>,
    /// Places a meeting can be at.
    pub places: Vec<PlaceId>,
}

/// A shock under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivePerturbation {
    /// Row of [`PERTURBATIONS`].
    pub kind: u8,
    /// Its event of the perturbation file; `None` when an operator began it by its own command.
    pub event: Option<u16>,
    /// Since when.
    pub started: u64,
    /// Until when; `None` until somebody ends it.
    pub ends: Option<u64>,
    /// Factor on prices; 1 for what is no price spike.
    pub magnitude: Micro,
    /// Goods a spike is about, as [`PerturbationEvent::items`].
    pub items: u8,
    /// Who meets, and where.
    pub meeting: Option<Meeting>,
}

/// Two residents and where they are to meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meeting {
    /// The two.
    pub who: [ResidentId; 2],
    /// Where.
    pub place: PlaceId,
    /// Whether they have sat there together.
    pub met: bool,
}

/// An event that today's luck has chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingPerturbation {
    /// Of the perturbation file.
    pub event: u16,
    /// It starts then, or as soon after as the limits allow; at the end of the day it is dropped.
    pub at: u64,
}

/// All shocks under way and to come, and what spaces them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Perturbations {
    /// In the order they began.
    pub active: Vec<ActivePerturbation>,
    /// Chosen by today's luck and not begun.
    pub pending: Vec<PendingPerturbation>,
    /// By event of the file, when it last began.
    pub last_of: Vec<Option<u64>>,
    /// When any of the file's events last began.
    pub last: Option<u64>,
    /// When those of the current window began.
    pub recent: Vec<u64>,
}

impl Perturbations {
    /// Whether a kind is under way.
    pub fn is_active(&self, kind: u8) -> bool {
        self.active.iter().any(|active| active.kind == kind)
    }

    /// Whether an event of the file is under way.
    pub fn is_event_active(&self, event: u16) -> bool {
        self.active.iter().any(|active| active.event == Some(event))
    }

    /// Whether every part of it is about this town.
    pub(crate) fn fits(&self, rules: &Rules) -> bool {
        let known = |event: u16| (event as usize) < rules.perturbation_events.len();
        self.last_of.len() == rules.perturbation_events.len()
            && self.pending.iter().all(|pending| known(pending.event))
            && self.active.iter().all(|it| {
                (it.kind as usize) < PERTURBATIONS.len()
                    && it.event.is_none_or(known)
                    && (it.kind == ARRANGED_MEET) == it.meeting.is_some()
                    && it.meeting.is_none_or(|meeting| rules.plan.places.get(meeting.place).is_some())
            })
    }
}

/// Nothing under way.
pub(crate) fn start(rules: &Rules) -> Perturbations {
    Perturbations {
        active: Vec::with_capacity(rules.perturbations.max_concurrent_events as usize + 4),
        pending: Vec::with_capacity(rules.perturbation_events.len()),
        last_of: vec![None; rules.perturbation_events.len()],
        last: None,
        recent: Vec::with_capacity(rules.perturbations.max_events_per_window as usize + 4),
    }
}

/// The row of a name.
pub fn kind(name: &str) -> Option<u8> {
    PERTURBATIONS.iter().position(|row| row.name == name).map(|index| index as u8)
}

/// Whether two can sit down together in a place.
pub(crate) fn has_table(plan: &Plan, place: PlaceId) -> bool {
    plan.objects().any(|(_, it)| it.place == place && it.kind == ObjectKind::Table)
}

/// The events of a perturbation file in the order of their names.
///
/// # Errors
/// Goods, kinds of place or places that the town does not have.
pub(crate) fn perturbation_events(
    file: &PerturbationFile,
    name: &str,
    plan: &Plan,
) -> Result<Vec<PerturbationEvent>, RulesError> {
    file.events
        .iter()
        .map(|(event, it)| {
            event_rule(event, it, plan).map_err(|why| RulesError::Misfit(format!("{name}: events.{event}.{why}")))
        })
        .collect()
}

fn event_rule(name: &str, event: &FileEvent, plan: &Plan) -> Result<PerturbationEvent, String> {
    let kind = match event.kind {
        Kind::Blackout => BLACKOUT,
        Kind::Outage => OUTAGE,
        Kind::PriceSpike => PRICE_SPIKE,
        Kind::ArrangedMeet => ARRANGED_MEET,
    };
    let mut items = 0;
    for target in event.targets.iter().flatten() {
        let known: Vec<&str> = ITEMS.iter().map(|row| row.1).collect();
        let index = known.iter().position(|item| item == target);
        let index = index.ok_or_else(|| format!("targets: there is no `{target}`; there are {}.", known.join(", ")))?;
        items |= 1 << index;
    }
    let mut places = Vec::new();
    if kind == ARRANGED_MEET {
        let wanted = event.location.as_deref().unwrap_or("park");
        places.extend(plan.places().filter(|(_, it)| it.name == wanted || it.kind.name() == wanted).map(|(id, _)| id));
        places.retain(|id| has_table(plan, *id));
        if places.is_empty() {
            let kinds: Vec<&str> = PLACE_KINDS.iter().map(|row| row.1).collect();
            return Err(format!(
                "location: no place or kind of place `{wanted}` has a table; kinds are {}.",
                kinds.join(", ")
            ));
        }
    }
    let magnitude = event.magnitude.unwrap_or([Micro::ONE; 2]);
    let target = event.target.as_deref().filter(|target| *target != "any");
    let known = |id: &str| {
        let unheard =
            || format!("target: nobody can be called `{id}`; names are {}, …, or any.", names::id(ResidentId(0)));
        names::resident(id).ok_or_else(unheard)
    };
    let target = target.map(known).transpose()?;
    Ok(PerturbationEvent {
        name: name.to_owned(),
        kind,
        chance: event.prob_per_day,
        cooldown: u64::from(event.cooldown_ticks),
        duration: (u64::from(event.duration[0]), u64::from(event.duration[1])),
        magnitude: (magnitude[0], magnitude[1]),
        items: if items == 0 { ALL_ITEMS } else { items },
        target,
        places,
    })
}

/// Every row of the price list.
pub(crate) const ALL_ITEMS: u8 = (1 << ITEMS.len()) - 1;

/// A kind begun by hand: until `ends`, or until somebody ends it.
pub(crate) fn by_hand(
    cx: &TickContext<'_>,
    kind: u8,
    ends: Option<u64>,
    meeting: Option<Meeting>,
) -> ActivePerturbation {
    ActivePerturbation {
        kind,
        event: None,
        started: cx.state.tick,
        ends,
        magnitude: Micro::ONE,
        items: ALL_ITEMS,
        meeting,
    }
}

/// Begins one.
pub(crate) fn begin(cx: &mut TickContext<'_>, it: ActivePerturbation) {
    cx.state.perturbations.active.push(it);
    cx.emit(EventKind::PerturbationBegan { kind: it.kind, event: it.event });
    (PERTURBATIONS[it.kind as usize].apply)(cx, &it);
}

/// Ends every one that `over` picks, the oldest first.
pub(crate) fn end(cx: &mut TickContext<'_>, over: impl Fn(&ActivePerturbation) -> bool) {
    while let Some(index) = cx.state.perturbations.active.iter().position(&over) {
        let it = cx.state.perturbations.active.remove(index);
        (PERTURBATIONS[it.kind as usize].revert)(cx, &it);
        let after = cx.state.tick - it.started;
        cx.emit(EventKind::PerturbationEnded { kind: it.kind, event: it.event, after });
    }
}

/// One tick: what is over ends, who meets is looked after, what is due begins.
pub(crate) fn run(cx: &mut TickContext<'_>) {
    let tick = cx.state.tick;
    meeting::attend(cx);
    end(cx, |it| it.ends.is_some_and(|ends| ends <= tick));
    schedule::run(cx);
}

/// Starts an event of the file now, with what the caller has drawn.
pub(crate) fn begin_event(cx: &mut TickContext<'_>, event: u16, drawn: ActivePerturbation) {
    let tick = cx.state.tick;
    let perturbations = &mut cx.state.perturbations;
    perturbations.last_of[event as usize] = Some(tick);
    perturbations.last = Some(tick);
    perturbations.recent.push(tick);
    perturbations.pending.retain(|pending| pending.event != event);
    begin(cx, drawn);
}

/// What an event would be if it started now: its luck, with what an operator says in its place.
///
/// # Errors
/// Why it cannot be, as an operator reads it.
pub(crate) fn draw(
    cx: &TickContext<'_>,
    event: u16,
    duration: Option<u64>,
    magnitude: Option<Micro>,
) -> Result<ActivePerturbation, &'static str> {
    schedule::draw(cx, event, duration, magnitude)
}

/// Power and water follow from what is under way; whoever looks hears when one goes off or comes back.
fn utilities(cx: &mut TickContext<'_>, ended: Option<&ActivePerturbation>) {
    let perturbations = &cx.state.perturbations;
    let (power, water) = (!perturbations.is_active(BLACKOUT), !perturbations.is_active(OUTAGE));
    let after = ended.map_or(0, |it| cx.state.tick - it.started);
    let Economy { power: had_power, water: had_water, .. } = cx.state.economy;
    (cx.state.economy.power, cx.state.economy.water) = (power, water);
    for (utility, had, has) in [(Utility::Power, had_power, power), (Utility::Water, had_water, water)] {
        match (had, has) {
            (true, false) => cx.emit(EventKind::UtilityOff { utility }),
            (false, true) => cx.emit(EventKind::UtilityOn { utility, after }),
            _ => {}
        }
    }
}

/// Prices follow from the list prices and the spikes under way, which multiply; never above what a price tag can hold.
pub(crate) fn reprice(state: &mut State) {
    let economy = &mut state.economy;
    for (item, price) in economy.prices.iter_mut().enumerate() {
        *price = economy.list_prices[item];
        for spike in state.perturbations.active.iter().filter(|it| it.kind == PRICE_SPIKE) {
            if spike.items >> item & 1 == 1 {
                *price = price.times(spike.magnitude).min(crate::command::MAX_MONEY);
            }
        }
    }
}

/// The option those who meet are committed to.
const MEET: OptionKind = OptionKind::Socialise;

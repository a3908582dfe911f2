//! Perturbations: the table of their kinds and their effects. Rule: "Perturbations".
//!
//! The effect on the town is always computed from the active perturbations and never counted up and down. So the last one to
//! end leaves no trace, however they overlapped.

mod meeting;
mod schedule;

use crate::economy::MAX_MONEY;
use crate::events::{EventKind, Utility};
use crate::fixed_point::Micro;
use crate::rules::ALL_ITEMS;
use crate::rules::Rules;
pub use crate::rules::{ARRANGED_MEET, BLACKOUT, OUTAGE, PRICE_SPIKE};
use crate::state::{ActivePerturbation, Economy, Meeting, Perturbations, State};
use crate::tick_context::TickContext;

pub(crate) use meeting::{STAY_TICKS, walking_time};
pub use schedule::{StartBlock, start_block};
pub(crate) use schedule::{cancel, draw};

/// A kind of perturbation.
pub struct PerturbationRow {
    /// The name in telemetry, in files and on screen.
    pub name: &'static str,
    /// The settings of its events besides chance, cooldown and duration.
    pub settings: &'static [&'static str],
    /// Applies the effect; the perturbation is already among the active ones.
    apply: fn(&mut TickContext<'_>, &ActivePerturbation),
    /// Reverts the effect; the perturbation is no longer among the active ones.
    revert: fn(&mut TickContext<'_>, &ActivePerturbation),
    /// Description.
    pub detail: &'static str,
}

/// The perturbations table.
pub static PERTURBATIONS: [PerturbationRow; 4] = [
    PerturbationRow {
        name: "blackout",
        settings: &[],
        apply: |cx, _| update_utilities(cx, None),
        revert: |cx, it| update_utilities(cx, Some(it)),
        detail: "power is off: stoves do not work, exits are suspended",
    },
    PerturbationRow {
        name: "outage",
        settings: &[],
        apply: |cx, _| update_utilities(cx, None),
        revert: |cx, it| update_utilities(cx, Some(it)),
        detail: "water is off: showers do not work, exits are suspended",
    },
    PerturbationRow {
        name: "price_spike",
        settings: &["magnitude", "targets"],
        apply: |cx, _| update_prices(cx.state),
        revert: |cx, _| update_prices(cx.state),
        detail: "prices are up",
    },
    PerturbationRow {
        name: "arranged_meet",
        settings: &["target", "location"],
        apply: meeting::begin,
        revert: meeting::end,
        detail: "two residents are asked to meet",
    },
];

/// No active perturbations, with room for as many as the limits allow.
pub(crate) fn initial(rules: &Rules) -> Perturbations {
    Perturbations {
        active: Vec::with_capacity(rules.perturbations.max_concurrent_events as usize + 4),
        pending: Vec::with_capacity(rules.perturbation_events.len()),
        last_of: vec![None; rules.perturbation_events.len()],
        last: None,
        recent: Vec::with_capacity(rules.perturbations.max_events_per_window as usize + 4),
    }
}

/// Whether all kinds, events and places of a state exist under these rules.
pub(crate) fn are_known(rules: &Rules, perturbations: &Perturbations) -> bool {
    let known = |event: u16| (event as usize) < rules.perturbation_events.len();
    perturbations.last_of.len() == rules.perturbation_events.len()
        && perturbations.pending.iter().all(|pending| known(pending.event))
        && perturbations.active.iter().all(|it| {
            (it.kind as usize) < PERTURBATIONS.len()
                && it.event.is_none_or(known)
                && (it.kind == ARRANGED_MEET) == it.meeting.is_some()
                && it.meeting.is_none_or(|meeting| rules.plan.places.get(meeting.place).is_some())
        })
}

/// The row of a name.
pub fn kind(name: &str) -> Option<u8> {
    PERTURBATIONS.iter().position(|row| row.name == name).map(|index| index as u8)
}

/// A perturbation that an operator begins directly: until `ends`, or open-ended.
pub(crate) fn manual(
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

/// Begins a perturbation.
pub(crate) fn begin(cx: &mut TickContext<'_>, it: ActivePerturbation) {
    cx.state.perturbations.active.push(it);
    cx.emit(EventKind::PerturbationBegan { kind: it.kind, event: it.event });
    (PERTURBATIONS[it.kind as usize].apply)(cx, &it);
}

/// Begins an event of the file with the parameters drawn for it.
pub(crate) fn begin_event(cx: &mut TickContext<'_>, event: u16, drawn: ActivePerturbation) {
    let tick = cx.state.tick;
    let perturbations = &mut cx.state.perturbations;
    perturbations.last_of[event as usize] = Some(tick);
    perturbations.last = Some(tick);
    perturbations.recent.push(tick);
    perturbations.pending.retain(|pending| pending.event != event);
    begin(cx, drawn);
}

/// Ends every active perturbation that `over` selects, the oldest first.
pub(crate) fn end(cx: &mut TickContext<'_>, over: impl Fn(&ActivePerturbation) -> bool) {
    while let Some(index) = cx.state.perturbations.active.iter().position(&over) {
        let it = cx.state.perturbations.active.remove(index);
        (PERTURBATIONS[it.kind as usize].revert)(cx, &it);
        let after = cx.state.tick - it.started;
        cx.emit(EventKind::PerturbationEnded { kind: it.kind, event: it.event, after });
    }
}

/// Advances meetings, ends what is over and begins what is due.
pub(crate) fn run(cx: &mut TickContext<'_>) {
    let tick = cx.state.tick;
    meeting::run(cx);
    end(cx, |it| it.ends.is_some_and(|ends| ends <= tick));
    schedule::run(cx);
}

/// Sets power and water from the active perturbations and reports changes.
fn update_utilities(cx: &mut TickContext<'_>, ended: Option<&ActivePerturbation>) {
    let active = &cx.state.perturbations;
    let (power, water) = (!active.is_active(BLACKOUT), !active.is_active(OUTAGE));
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

/// Sets the prices from the list prices and the active price spikes, which multiply, up to [`MAX_MONEY`].
pub(crate) fn update_prices(state: &mut State) {
    let economy = &mut state.economy;
    for (item, price) in economy.prices.iter_mut().enumerate() {
        *price = economy.list_prices[item];
        for spike in state.perturbations.active.iter().filter(|it| it.kind == PRICE_SPIKE) {
            if spike.items >> item & 1 == 1 {
                *price = price.times(spike.magnitude).min(MAX_MONEY);
            }
        }
    }
}

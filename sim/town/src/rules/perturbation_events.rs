//! The events of the perturbation file, with names resolved to kinds, goods, residents and places.

use crate::affordances::ITEMS;
use crate::config::{Event, EventKind, PerturbationFile};
use crate::distances::DistancesBuilder;
use crate::fixed_point::Micro;
use crate::ids::{PlaceId, ResidentId};
use crate::names;
use crate::plan::{PLACE_KINDS, Plan};

/// Kind of a power cut: its row in the perturbations table.
pub const BLACKOUT: u8 = 0;
/// Kind of a water cut.
pub const OUTAGE: u8 = 1;
/// Kind of a price spike.
pub const PRICE_SPIKE: u8 = 2;
/// Kind of an arranged meeting.
pub const ARRANGED_MEET: u8 = 3;

/// Bits of all goods of the price list.
pub(crate) const ALL_ITEMS: u8 = (1 << ITEMS.len()) - 1;

/// An event of the perturbation file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerturbationEvent {
    /// The name in the file.
    pub name: String,
    /// Row of the perturbations table.
    pub kind: u8,
    /// Chance per day.
    pub chance: Micro,
    /// Ticks before it may start again.
    pub cooldown: u64,
    /// Shortest and longest duration, in ticks.
    pub duration: (u64, u64),
    /// Lowest and highest factor on prices.
    pub magnitude: (Micro, Micro),
    /// Goods of a price spike: bit `n` for row `n` of the price list.
    pub items: u8,
    /// First participant of a meeting; any resident when `None`.
    pub target: Option<ResidentId>,
    /// Possible places of a meeting.
    pub places: Vec<PlaceId>,
    /// Ticks of the longest walk to one of them, which a meeting lasts in addition.
    pub longest_walk: u64,
}

/// The events of a file in the order of their names.
///
/// # Errors
/// Goods, residents or places that the town does not have, as a sentence.
pub(super) fn resolve(
    file: &PerturbationFile,
    name: &str,
    plan: &Plan,
    distances: &mut DistancesBuilder<'_>,
) -> Result<Vec<PerturbationEvent>, String> {
    let mut event = |(event, it): (&String, &Event)| {
        resolve_event(event, it, plan, distances).map_err(|why| format!("{name}: events.{event}.{why}"))
    };
    file.events.iter().map(&mut event).collect()
}

fn resolve_event(
    name: &str,
    event: &Event,
    plan: &Plan,
    distances: &mut DistancesBuilder<'_>,
) -> Result<PerturbationEvent, String> {
    let kind = match event.kind {
        EventKind::Blackout => BLACKOUT,
        EventKind::Outage => OUTAGE,
        EventKind::PriceSpike => PRICE_SPIKE,
        EventKind::ArrangedMeet => ARRANGED_MEET,
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
        places.retain(|id| plan.has_table(*id));
        if places.is_empty() {
            let kinds: Vec<&str> = PLACE_KINDS.iter().map(|row| row.1).collect();
            return Err(format!(
                "location: no place or kind of place `{wanted}` has a table; kinds are {}.",
                kinds.join(", ")
            ));
        }
    }
    let [low, high] = event.magnitude.unwrap_or([Micro::ONE; 2]);
    let resident = |id: &str| {
        let unknown =
            || format!("target: no resident can have the id `{id}`; ids are {}, …, or any.", names::id(ResidentId(0)));
        names::resident(id).ok_or_else(unknown)
    };
    let target = event.target.as_deref().filter(|target| *target != "any").map(resident).transpose()?;
    Ok(PerturbationEvent {
        name: name.to_owned(),
        kind,
        chance: event.prob_per_day,
        cooldown: u64::from(event.cooldown_ticks),
        duration: (u64::from(event.duration[0]), u64::from(event.duration[1])),
        magnitude: (low, high),
        items: if items == 0 { ALL_ITEMS } else { items },
        target,
        longest_walk: u64::from(distances.longest_walk(&places)),
        places,
    })
}

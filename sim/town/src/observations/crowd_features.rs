//! Features of crowding: what the residents of the town and of a home share, and how many of them want it now.
//! Rule: "Observations".

use crate::ids::{ObjectId, PlaceId};
use crate::observations::view::View;
use crate::plan::ObjectKind;
use crate::queue_index::QueueIndex;
use crate::rules::SHARED_KINDS;
use crate::state::{Activity, State};
use crate::town::Town;

/// Values that are the same for all residents.
pub(super) const PUBLIC_VALUES: usize = 5;
/// Values that are the same for all residents of a home.
pub(super) const HOME_VALUES: usize = 5;
/// Values of the feature.
pub(super) const VALUES: usize = PUBLIC_VALUES + HOME_VALUES;

/// Users and waiters of an object that are written as 1.
const CROWDED: f32 = 4.0;
/// Beds for each shower that are written as 1.
const BEDS_PER_SHOWER: f32 = 16.0;
/// Ticks of a wait or cooldown that are written as 1.
const LONG: f32 = 64.0;

fn share(part: f32, whole: f32) -> f32 {
    if whole > 0.0 { (part / whole).min(1.0) } else { 1.0 }
}

/// Residents who use or wait for one of these, for each of them. The index is compact; most objects have no queue.
fn load(index: &QueueIndex, state: &State, objects: &[ObjectId]) -> f32 {
    let waiters = |object| if index.is_busy(object) { state.objects[object].queue.len() } else { 0 };
    let wanted = |object: &ObjectId| usize::from(index.users(*object)) + waiters(*object);
    share(objects.iter().map(wanted).sum::<usize>() as f32, objects.len() as f32 * CROWDED)
}

/// The part that is the same for all residents.
pub(super) fn public(town: &Town) -> [f32; PUBLIC_VALUES] {
    let (state, fixed) = (town.state(), &town.rules().static_features);
    let residents = state.agents.present.len() as f32;
    let meals: u32 = fixed.tills.iter().map(|till| state.objects[*till].stock.min(100_000)).sum();
    let seated: u32 = fixed.tables.iter().map(|table| u32::from(town.queue_index().users(*table))).sum();
    let seats = fixed.tables.len() as f32 * f32::from(ObjectKind::Table.capacity());
    [
        share(residents, 32.0),
        share(residents, fixed.beds as f32 * 4.0),
        share(meals as f32, residents * 4.0),
        load(town.queue_index(), state, &fixed.tills),
        share(seated as f32, seats),
    ]
}

/// The part that is the same for all residents of a home.
pub(super) fn at_home(town: &Town, home: PlaceId) -> [f32; HOME_VALUES] {
    let objects_in = &town.rules().objects_in[home];
    let [beds, fridges, stoves, showers] = SHARED_KINDS.map(|kind| objects_in[kind as usize].as_slice());
    let load = |objects| load(town.queue_index(), town.state(), objects);
    let beds_per_shower = share(beds.len() as f32, showers.len() as f32 * BEDS_PER_SHOWER);
    [load(beds), load(fridges), load(stoves), load(showers), beds_per_shower]
}

pub(super) fn crowd(view: &View<'_>, out: &mut [f32]) {
    let (public, own) = out.split_at_mut(PUBLIC_VALUES);
    public.copy_from_slice(&view.frame.crowd);
    let known = view.frame.homes.get(view.home).copied();
    own.copy_from_slice(&known.unwrap_or_else(|| at_home(view.town, view.home)));
}

/// Those before the resident at the object it walks to or waits for, for each who can use it at once, and the ticks waited.
pub(super) fn queue(view: &View<'_>, out: &mut [f32]) {
    let activity = view.state.agents.activity[view.agent];
    let Some((object, _)) = activity.target() else { return };
    let it = &view.state.objects[object];
    let before = match activity {
        Activity::Walking(..) => it.uses.len() + it.queue.len(),
        Activity::Waiting(..) => {
            let place = it.queue.iter().position(|waiter| waiter.agent == view.agent).unwrap_or(0);
            let since = it.queue.get(place).map_or(view.state.tick, |waiter| waiter.since);
            out[1] = (view.state.tick.saturating_sub(since) as f32 / LONG).min(1.0);
            it.uses.len() + place
        }
        _ => 0,
    };
    let capacity = f32::from(view.rules.plan.objects[object].kind.capacity());
    out[0] = share(before as f32, capacity * CROWDED);
}

/// The longest cooldown of the resident at a table in the window.
pub(super) fn table_cooldown(view: &View<'_>, out: &mut [f32]) {
    let busy = view.near.iter().map(|near| near.object).filter(|object| view.queue_index.is_busy(*object));
    let tables = busy.filter(|object| view.rules.plan.objects[*object].kind == ObjectKind::Table);
    let until = tables.map(|object| view.state.objects[object].cooldown_of(view.agent)).max().unwrap_or(0);
    out[0] = (until.saturating_sub(view.state.tick) as f32 / LONG).min(1.0);
}

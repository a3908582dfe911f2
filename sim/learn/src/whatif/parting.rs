//! Where the stories part: for each resident, the first tick at which the events with an alternative differ from those without, in
//! the sample with the town's own random draws.

use std::collections::{BTreeMap, BTreeSet};

use townlet_town::{EventKind, Policy, ResidentId};

use crate::parallel::ShouldContinue;
use crate::whatif::Question;

/// The first difference in the story of a resident, or of the town when it concerns nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parting {
    /// Tick.
    pub tick: u64,
    /// The resident.
    pub who: Option<ResidentId>,
    /// Events as the town goes on.
    pub nothing: Vec<EventKind>,
    /// Events with the alternative.
    pub with: Vec<EventKind>,
}

/// The partings of an alternative, counted from 1, oldest first; `None` when it was told to stop. At most one for each resident.
pub fn partings<P: Policy>(
    question: &Question,
    alternative: usize,
    policy: impl Fn(usize) -> P,
    should_continue: ShouldContinue<'_>,
) -> Option<Vec<Parting>> {
    let mut copies = [0, alternative].map(|at| (question.copy(at, 0), policy(at)));
    let mut parted: BTreeSet<Option<ResidentId>> = BTreeSet::new();
    let mut found = Vec::new();
    for _ in 0..question.ticks {
        if !should_continue() {
            return None;
        }
        let mut stories: BTreeMap<Option<ResidentId>, [Vec<EventKind>; 2]> = BTreeMap::new();
        for (side, (town, policy)) in copies.iter_mut().enumerate() {
            town.step(policy);
            for event in town.events() {
                stories.entry(event.kind.who()).or_default()[side].push(event.kind);
            }
            town.clear_events();
        }
        let tick = copies[0].0.tick() - 1;
        for (who, [nothing, with]) in stories {
            if nothing != with && parted.insert(who) {
                found.push(Parting { tick, who, nothing, with });
            }
        }
    }
    Some(found)
}

//! Homes and jobs for newcomers: residents by home and by job, derived from `agents`.

use crate::ids::{Column, JobId, PlaceId};
use crate::memory::HeapBytes as _;
use crate::rules::Rules;
use crate::state::State;

/// Residents by home and by job, so that many can arrive without counting all for each of them.
#[derive(Clone, Debug)]
pub(crate) struct Vacancies {
    residents: Column<PlaceId, u32>,
    holders: Column<JobId, u32>,
}

impl Vacancies {
    /// Those of an empty town.
    pub(crate) fn new(rules: &Rules) -> Self {
        Self { residents: Column::filled(rules.plan.places.len(), 0), holders: Column::filled(rules.jobs.len(), 0) }
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.residents.heap_bytes() + self.holders.heap_bytes()
    }

    /// Counts the residents of a state.
    pub(crate) fn count(&mut self, rules: &Rules, state: &State) {
        if self.holders.len() != rules.jobs.len() {
            *self = Self::new(rules);
        }
        self.residents.iter_mut().chain(&mut self.holders).for_each(|count| *count = 0);
        for agent in state.agents.present.iter().copied() {
            self.residents[state.agents.home[agent]] += 1;
            if let Some(job) = state.agents.job[agent] {
                self.holders[job] += 1;
            }
        }
    }

    /// The home and the job of a newcomer, who counts from then on.
    pub(crate) fn take(&mut self, rules: &Rules) -> (PlaceId, Option<JobId>) {
        let (home, job) = (self.home(rules), self.job(rules));
        self.residents[home] += 1;
        if let Some(job) = job {
            self.holders[job] += 1;
        }
        (home, job)
    }

    /// The home with the fewest residents per bed.
    fn home(&self, rules: &Rules) -> PlaceId {
        let beds = |home: PlaceId| u64::from(rules.beds[home].max(1));
        let crowding = |home: PlaceId| u64::from(self.residents[home]) * 1_000 / beds(home);
        let homes = rules.homes.iter().copied();
        homes.min_by_key(|home| (crowding(*home), *home)).expect("a plan without homes is refused")
    }

    /// The job with the fewest holders; `None` when the town has no jobs.
    fn job(&self, rules: &Rules) -> Option<JobId> {
        rules.jobs().map(|(job, _)| job).min_by_key(|job| (self.holders[*job], *job))
    }
}

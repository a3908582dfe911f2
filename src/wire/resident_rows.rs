//! The changes of a state for a subscriber that looks at some residents: the rows of those, and everything that is not the row of a
//! resident.
//!
//! Rows of other residents stay as the subscriber has them. Rule: "Telemetry".

use std::collections::BTreeSet;

use super::field_change::{Change as _, Entries, Rows, SomeRows};
use super::telemetry::{Agent, ConflictDiff, Diff, Queue, RelationshipsDiff, Snapshot, Tie};

impl Diff {
    /// What turns `from` into `to`, except for rows of residents that are not `wanted`. Residents that came, left, or began or ended
    /// to wait are always included. Rows that are added come last, whatever their order in `to`.
    pub fn of_residents(from: &Snapshot, to: &Snapshot, wanted: impl Fn(&str) -> bool) -> Self {
        let before: BTreeSet<&str> = from.agents.iter().map(|agent| agent.id.as_str()).collect();
        let after: BTreeSet<&str> = to.agents.iter().map(|agent| agent.id.as_str()).collect();
        let wanted = |id: &str| wanted(id) || !before.contains(id) || !after.contains(id);
        let mut diff = Self::between_except(from, to, &["agents", "jobs", "relationships", "conflict"]);
        diff.agents = Rows::of_some(&from.agents, &to.agents, |_, agent: &Agent| wanted(&agent.id));
        diff.jobs = Entries::of_some(&from.jobs, &to.jobs, wanted);
        let mut ties = RelationshipsDiff::between_except(&from.relationships, &to.relationships, &["ties"]);
        let own = |ties: &[Tie]| ties.iter().filter(|tie| wanted(&tie.agent)).cloned().collect::<Vec<_>>();
        ties.ties = Rows::between(&own(&from.relationships.ties), &own(&to.relationships.ties)).and_then(unordered);
        diff.relationships = (ties != RelationshipsDiff::default()).then_some(ties);
        let mut conflict = ConflictDiff::between_except(&from.conflict, &to.conflict, &["queues"]);
        conflict.queues = Rows::of_some(&from.conflict.queues, &to.conflict.queues, |before, after| {
            // Nobody's turn brings the row of a free object.
            let free = after.users.is_empty() && after.waiting.is_empty();
            let changed = before.waiting.len() != after.waiting.len() || before.working != after.working;
            free || changed || [before, after].into_iter().any(|queue| concerns(queue, &wanted))
        });
        diff.conflict = (conflict != ConflictDiff::default()).then_some(conflict);
        diff
    }
}

/// Whether a wanted resident uses an object, or waits for it.
fn concerns(queue: &Queue, wanted: &impl Fn(&str) -> bool) -> bool {
    queue.users.iter().any(|user| wanted(&user.agent)) || queue.waiting.iter().any(|waiter| wanted(&waiter.agent))
}

/// Single rows without their order, which is that of another list.
fn unordered(rows: Rows<Tie>) -> Option<Rows<Tie>> {
    let Rows::Some(rows) = rows else { return None };
    let rows = SomeRows { order: None, ..rows };
    (!rows.remove.is_empty() || !rows.upsert.is_empty()).then_some(Rows::Some(rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Job, QueueWaiter};

    /// A town of these residents, whose rows, jobs and ties have this value.
    fn town(ids: &[&str], value: u64) -> Snapshot {
        let mut state = Snapshot { tick: value, ..Snapshot::default() };
        state.agents = ids.iter().map(|id| Agent { id: (*id).into(), groceries: value, ..Agent::default() }).collect();
        state.jobs = ids.iter().map(|id| ((*id).into(), Job { meals_cooked: value, ..Job::default() })).collect();
        let pairs =
            ids.iter().flat_map(|id| ids.iter().filter(move |other| *other != id).map(move |other| (id, other)));
        state.relationships.ties = pairs
            .map(|(id, other)| Tie {
                agent: (*id).into(),
                other: (*other).into(),
                trust: value as f64,
                ..Tie::default()
            })
            .collect();
        state.conflict.queues = ids
            .iter()
            .map(|id| Queue {
                object: format!("bed_{id}"),
                waiting: vec![QueueWaiter { agent: (*id).into(), waited: value }],
                ..Queue::default()
            })
            .collect();
        state
    }

    /// What is known of a resident: row, job, its ties and the queue it waits in.
    fn values(state: &Snapshot, id: &str) -> Vec<u64> {
        let agent = state.agents.iter().filter(|agent| agent.id == id).map(|agent| agent.groceries);
        let job = state.jobs.get(id).map(|job| job.meals_cooked);
        let ties = state.relationships.ties.iter().filter(|tie| tie.agent == id).map(|tie| tie.trust as u64);
        let waiters = state.conflict.queues.iter().flat_map(|queue| &queue.waiting);
        agent.chain(job).chain(ties).chain(waiters.filter(|it| it.agent == id).map(|it| it.waited)).collect()
    }

    #[test]
    fn only_wanted_rows_change_and_who_comes_or_goes_is_always_told() {
        let (from, to) = (town(&["ada", "bo", "cy"], 1), town(&["dee", "bo", "ada"], 2));
        let diff = Diff::of_residents(&from, &to, |id| id == "ada");
        let mut state = from.clone();
        diff.apply(&mut state).expect("it fits");
        assert_eq!(state.tick, 2, "what is not a resident's is told");
        assert_eq!(values(&state, "ada"), [2, 2, 2, 2, 2]);
        assert_eq!(values(&state, "bo"), [1, 1, 1, 1, 1], "as it was known; the tie to cy, too");
        assert_eq!(values(&state, "dee"), [2, 2, 2, 2, 2]);
        assert_eq!(values(&state, "cy"), [0; 0]);
        Diff::of_residents(&state.clone(), &to, |_| true).apply(&mut state).expect("it fits");
        let sorted = |mut state: Snapshot| {
            state.agents.sort_by(|a, b| a.id.cmp(&b.id));
            state.relationships.ties.sort_by(|a, b| (&a.agent, &a.other).cmp(&(&b.agent, &b.other)));
            state.conflict.queues.sort_by(|a, b| a.object.cmp(&b.object));
            state
        };
        assert_eq!(sorted(state), sorted(to));
    }

    #[test]
    fn queues_that_grow_and_free_objects_are_always_told() {
        let (mut from, mut to) = (town(&["ada", "bo", "cy"], 1), town(&["ada", "bo", "cy"], 2));
        to.conflict.queues[0].waiting.push(QueueWaiter { agent: "bo".into(), waited: 0 });
        for state in [&mut from, &mut to] {
            state.conflict.queues[2].waiting.clear();
        }
        to.conflict.queues[2].ghost_steps = 3;
        let diff = Diff::of_residents(&from, &to, |_| false);
        let mut state = from.clone();
        diff.apply(&mut state).expect("it fits");
        let queues = &state.conflict.queues;
        assert_eq!((&queues[0], &queues[2]), (&to.conflict.queues[0], &to.conflict.queues[2]));
        assert_eq!(queues[1], from.conflict.queues[1]);
        assert!(Diff::of_residents(&from, &from, |_| true).is_empty());
    }
}

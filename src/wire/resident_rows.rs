//! The state, and its changes, for a subscriber that looks at some residents. It has the details and ties of those, a row without
//! details of each other resident, and everything that is no row of a resident.
//!
//! Rows of residents that are not in focus stay as the subscriber has them until it is their turn. Rule: "Telemetry".

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::field_change::{Change as _, Entries, Keyed, Rows, SomeRows};
use super::service::Focus;
use super::telemetry::{Agent, ConflictDiff, Diff, Job, Queue, Relationships, RelationshipsDiff, Snapshot, Tie};

impl Snapshot {
    /// The state as a subscriber has it that looks at nobody yet: without details and ties of residents.
    #[must_use]
    pub fn without_details(&self) -> Self {
        Self {
            agents: self.agents.iter().map(Agent::without_details).collect(),
            relationships: Relationships { stage: self.relationships.stage.clone(), ties: Vec::new() },
            ..self.clone()
        }
    }
}

impl Diff {
    /// What a subscriber with the state `from` gets of `to`. It looked at `before` and looks at `now`; rows of the residents in `turn`
    /// are sent although it does not look at them: only if they have changed, where it has every row `as_known` in `from`. Rows of
    /// residents that came, left, or began or ended to wait are always included. Rows that are added come last, whatever their order
    /// in `to`.
    pub fn of_focus(
        (from, as_known): (&Snapshot, bool),
        to: &Snapshot,
        before: &Focus,
        now: &Focus,
        turn: &BTreeSet<&str>,
    ) -> Self {
        let known = by_id(&from.agents, |agent| &agent.id);
        let chosen = Chosen::new((&known, as_known), to, before, now, turn);
        let mut diff = Self::between_except(from, to, &["agents", "jobs", "relationships", "conflict"]);
        diff.agents = chosen.agents(&known, &to.agents, now);
        diff.jobs = chosen.jobs(&from.jobs, &to.jobs);
        let mut ties = RelationshipsDiff::between_except(&from.relationships, &to.relationships, &["ties"]);
        let own = |state: &Snapshot, focus: &Focus| {
            let ties = state.relationships.ties.iter().filter(|tie| focus.residents.contains(&tie.agent));
            ties.cloned().collect::<Vec<Tie>>()
        };
        ties.ties = Rows::between(&own(from, before), &own(to, now)).and_then(unordered);
        diff.relationships = (ties != RelationshipsDiff::default()).then_some(ties);
        let mut conflict = ConflictDiff::between_except(&from.conflict, &to.conflict, &["queues"]);
        conflict.queues = chosen.queues(&from.conflict.queues, &to.conflict.queues, before, now);
        diff.conflict = (conflict != ConflictDiff::default()).then_some(conflict);
        diff
    }
}

/// Residents whose rows are sent.
struct Chosen<'a> {
    /// Whatever the subscriber has of them.
    anew: HashSet<&'a str>,
    /// If they have changed: the subscriber has them as they were in `from`.
    changed: HashSet<&'a str>,
}

impl<'a> Chosen<'a> {
    fn new(
        (known, as_known): (&HashMap<&str, &Agent>, bool),
        to: &'a Snapshot,
        before: &Focus,
        now: &Focus,
        turn: &BTreeSet<&str>,
    ) -> Self {
        let inside = |agent: &Agent| now.area.is_some_and(|area| area.contains(agent.x, agent.y));
        let mut chosen = Self { anew: HashSet::new(), changed: HashSet::new() };
        for agent in &to.agents {
            let id = agent.id.as_str();
            let (is_watched, was_watched) = (now.residents.contains(id), before.residents.contains(id));
            let known = known.get(id);
            if known.is_none()
                || (turn.contains(id) && !as_known)
                || (is_watched && !was_watched)
                || (now.area != before.area && inside(agent))
            {
                chosen.anew.insert(id);
            } else if turn.contains(id) || is_watched || inside(agent) || known.is_some_and(|known| inside(known)) {
                chosen.changed.insert(id);
            }
        }
        chosen
    }

    fn agents(&self, known: &HashMap<&str, &Agent>, to: &[Agent], now: &Focus) -> Option<Rows<Agent>> {
        let sent = |agent: &Agent| {
            let id = agent.id.as_str();
            self.anew.contains(id) || (self.changed.contains(id) && known.get(id) != Some(&agent))
        };
        let row =
            |agent: &Agent| if now.residents.contains(&agent.id) { agent.clone() } else { agent.without_details() };
        let upsert = to.iter().filter(|agent| sent(agent)).map(row).collect();
        some(SomeRows { remove: removed(known, &by_id(to, |agent| &agent.id)), upsert, order: None })
    }

    fn jobs(&self, from: &BTreeMap<String, Job>, to: &BTreeMap<String, Job>) -> Option<Entries<Job>> {
        let changed = self.changed.iter().filter(|id| from.get(**id) != to.get(**id));
        let sent = self.anew.iter().chain(changed);
        let upsert: BTreeMap<String, Job> =
            sent.filter_map(|id| Some(((*id).to_owned(), to.get(*id)?.clone()))).collect();
        let remove: BTreeSet<String> = from.keys().filter(|id| !to.contains_key(*id)).cloned().collect();
        (!upsert.is_empty() || !remove.is_empty()).then_some(Entries { upsert, remove })
    }

    fn queues(&self, from: &[Queue], to: &[Queue], before: &Focus, now: &Focus) -> Option<Rows<Queue>> {
        let old = by_id(from, |queue| &queue.object);
        let sent = |queue: &Queue| {
            let Some(known) = old.get(queue.object.as_str()).copied() else { return true };
            // Nobody's turn brings the row of a free object.
            let free = queue.users.is_empty() && queue.waiting.is_empty();
            let is_always_sent = free
                || known.waiting.len() != queue.waiting.len()
                || (known.working, known.closed) != (queue.working, queue.closed);
            let is_watched = now.objects.contains(&queue.object);
            let changed = || {
                is_watched || is_always_sent || [known, queue].into_iter().any(|queue| concerns(queue, &self.changed))
            };
            (is_watched && !before.objects.contains(&queue.object))
                || concerns(queue, &self.anew)
                || (known != queue && changed())
        };
        let upsert = to.iter().filter(|queue| sent(queue)).cloned().collect();
        some(SomeRows { remove: removed(&old, &by_id(to, |queue| &queue.object)), upsert, order: None })
    }
}

/// The rows of a list by their id.
fn by_id<T>(rows: &[T], id: impl Fn(&T) -> &String) -> HashMap<&str, &T> {
    rows.iter().map(|row| (id(row).as_str(), row)).collect()
}

/// The ids that are no longer in a list.
fn removed<T>(old: &HashMap<&str, &T>, new: &HashMap<&str, &T>) -> BTreeSet<String> {
    old.keys().filter(|id| !new.contains_key(*id)).map(|id| (*id).to_owned()).collect()
}

/// Whether one of these residents uses an object, or waits for it.
fn concerns(queue: &Queue, residents: &HashSet<&str>) -> bool {
    queue.users.iter().any(|user| residents.contains(user.agent.as_str()))
        || queue.waiting.iter().any(|waiter| residents.contains(waiter.agent.as_str()))
}

/// Single rows without their order, which is that of another list.
fn unordered(rows: Rows<Tie>) -> Option<Rows<Tie>> {
    let Rows::Some(rows) = rows else { return None };
    some(SomeRows { order: None, ..rows })
}

fn some<T: Keyed>(rows: SomeRows<T>) -> Option<Rows<T>> {
    (!rows.remove.is_empty() || !rows.upsert.is_empty()).then_some(Rows::Some(rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{MaskBit, QueueWaiter};

    /// A town of these residents, whose rows, jobs and ties have this value.
    fn town(ids: &[&str], value: u64) -> Snapshot {
        let mut state = Snapshot { tick: value, ..Snapshot::default() };
        state.agents = ids
            .iter()
            .map(|id| Agent { id: (*id).into(), groceries: value, mask: vec![MaskBit::default()], ..Agent::default() })
            .collect();
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

    /// Entries of a resident's action mask, which is a detail.
    fn details(state: &Snapshot, id: &str) -> usize {
        state.agents.iter().filter(|agent| agent.id == id).map(|agent| agent.mask.len()).sum()
    }

    fn looking_at(ids: &[&str]) -> Focus {
        Focus { residents: ids.iter().map(|id| (*id).to_owned()).collect(), ..Focus::default() }
    }

    fn in_turn<'a>(ids: &[&'a str]) -> BTreeSet<&'a str> {
        ids.iter().copied().collect()
    }

    #[test]
    fn rows_in_focus_have_details_and_those_in_turn_have_none() {
        let (from, to) = (town(&["ada", "bo", "cy"], 1), town(&["dee", "bo", "ada"], 2));
        let mut state = from.without_details();
        assert_eq!((values(&state, "ada"), details(&state, "ada")), (vec![1, 1, 1], 0), "no ties, no details");
        let (nobody, ada) = (Focus::default(), looking_at(&["ada"]));
        let first = Diff::of_focus((&from, false), &from, &nobody, &ada, &in_turn(&[]));
        first.apply(&mut state).expect("it fits");
        assert_eq!((values(&state, "ada"), details(&state, "ada")), (vec![1, 1, 1, 1, 1], 1), "looked at now");
        let diff = Diff::of_focus((&from, false), &to, &ada, &ada, &in_turn(&[]));
        diff.apply(&mut state).expect("it fits");
        assert_eq!(state.tick, 2, "what is not a resident's is told");
        assert_eq!((values(&state, "ada"), details(&state, "ada")), (vec![2, 2, 2, 2, 2], 1));
        assert_eq!(values(&state, "bo"), [1, 1, 1], "as it was known");
        assert_eq!((values(&state, "dee"), details(&state, "dee")), (vec![2, 2, 2], 0));
        assert_eq!(values(&state, "cy"), [0; 0]);
        // Nothing of theirs changes meanwhile.
        let diff = Diff::of_focus((&to, false), &to, &ada, &looking_at(&["dee"]), &in_turn(&["bo", "ada"]));
        diff.apply(&mut state).expect("it fits");
        assert_eq!(values(&state, "bo"), [2, 2, 2]);
        assert_eq!((values(&state, "ada"), details(&state, "ada")), (vec![2, 2, 2], 0), "no longer looked at");
        assert_eq!((values(&state, "dee"), details(&state, "dee")), (vec![2, 2, 2, 2, 2], 1));
        let dee = looking_at(&["dee"]);
        assert!(Diff::of_focus((&to, false), &to, &dee, &dee, &in_turn(&[])).is_empty());
        assert!(Diff::of_focus((&to, true), &to, &dee, &dee, &in_turn(&["bo"])).is_empty(), "it has this row");
    }

    #[test]
    fn queues_that_grow_and_free_objects_are_always_told() {
        let (mut from, mut to) = (town(&["ada", "bo", "cy"], 1), town(&["ada", "bo", "cy"], 2));
        to.conflict.queues[0].waiting.push(QueueWaiter { agent: "bo".into(), waited: 0 });
        for state in [&mut from, &mut to] {
            state.conflict.queues[2].waiting.clear();
        }
        to.conflict.queues[2].ghost_steps = 3;
        let nobody = Focus::default();
        let mut state = from.clone();
        Diff::of_focus((&from, false), &to, &nobody, &nobody, &in_turn(&[])).apply(&mut state).expect("it fits");
        let queues = &state.conflict.queues;
        assert_eq!((&queues[0], &queues[2]), (&to.conflict.queues[0], &to.conflict.queues[2]));
        assert_eq!(queues[1], from.conflict.queues[1]);
        let bed = Focus { objects: ["bed_bo".to_owned()].into(), ..Focus::default() };
        let mut watching = from.clone();
        Diff::of_focus((&from, false), &to, &bed, &bed, &in_turn(&[])).apply(&mut watching).expect("it fits");
        assert_eq!(watching.conflict.queues[1], to.conflict.queues[1], "on screen");
        assert!(!Diff::of_focus((&to, false), &to, &nobody, &bed, &in_turn(&[])).is_empty(), "looked at now");
        // Its waiter's turn comes when it does not change.
        Diff::of_focus((&to, false), &to, &nobody, &nobody, &in_turn(&["bo"])).apply(&mut state).expect("it fits");
        assert_eq!(state.conflict.queues, to.conflict.queues);
    }
}

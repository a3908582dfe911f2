//! The newest events of a town for observers, and narration: sentences about some of them.
//!
//! Narration is limited by a global cooldown, a cooldown per category, deduplication within a window and a maximum per window.
//! Sentences of high priority are not limited. Rule: "Narration".

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};
use townlet_town::ids::ResidentId;
use townlet_town::perturbations::{PERTURBATIONS, PRICE_SPIKE};
use townlet_town::{Event, EventKind, Rules, names};

use townlet_wire::telemetry::{Event as WireEvent, Narration};

/// Events kept for snapshots.
const EVENTS: usize = 200;
/// Events kept between two messages of a stream; a town at full speed stays far below.
const MAX_NEW: usize = 100_000;
/// Sentences kept for snapshots.
const NARRATIONS: usize = 60;

/// The newest events and sentences, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventFeed {
    events: VecDeque<WireEvent>,
    narrations: VecDeque<Narration>,
    last: Option<u64>,
    last_of: BTreeMap<&'static str, u64>,
    counters: BTreeMap<&'static str, u64>,
    peak: u64,
    silent: bool,
    limit: Option<u32>,
    new: Option<NewItems>,
}

/// Everything since the last message of a stream.
#[derive(Clone, Debug, Default)]
struct NewItems {
    events: Vec<WireEvent>,
    narrations: Vec<Narration>,
    lost: u64,
}

struct Sentence {
    category: &'static str,
    priority: &'static str,
    text: String,
}

impl EventFeed {
    /// Records an event of the town.
    pub(crate) fn record(&mut self, rules: &Rules, event: &Event) {
        *self.counters.entry(event.kind.name()).or_default() += 1;
        if is_listed(&event.kind) {
            self.push_event(wire_event(rules, event));
        }
        if let Some(sentence) = sentence(rules, event) {
            self.narrate(rules, event.tick, sentence);
        }
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = &WireEvent> {
        self.events.iter()
    }

    /// Turns narration on or off.
    pub(crate) fn set_narration(&mut self, on: bool) {
        self.silent = !on;
    }

    /// Overrides the configured maximum of sentences per window; `None` restores it.
    pub(crate) fn set_limit(&mut self, limit: Option<u32>) {
        self.limit = limit;
    }

    /// Records that an alert was raised or cleared.
    pub(crate) fn record_alert(&mut self, tick: u64, name: &str, raised: bool) {
        let event = if raised { "alert_raised" } else { "alert_cleared" };
        *self.counters.entry(event).or_default() += 1;
        let fields = [("alert".to_owned(), json!(name))].into();
        self.push_event(WireEvent { event: event.into(), tick, fields });
    }

    /// Records the length of the exit queue.
    pub(crate) fn record_queue_length(&mut self, length: u64) {
        self.peak = self.peak.max(length);
    }

    /// Counts by event, and the peak length of the exit queue.
    pub(crate) fn counters(&self) -> BTreeMap<String, u64> {
        let mut counters: BTreeMap<String, u64> =
            self.counters.iter().map(|(name, times)| ((*name).to_owned(), *times)).collect();
        counters.insert("exit_queue_peak".into(), self.peak);
        counters
    }

    pub(crate) fn narrations(&self) -> impl Iterator<Item = &Narration> {
        self.narrations.iter()
    }

    /// Whether to keep everything until [`Self::take_new`], or only the newest items.
    pub(crate) fn keep_all(&mut self, all: bool) {
        self.new = all.then(|| self.new.take().unwrap_or_default());
    }

    /// Takes everything since the last call, and the number of events dropped.
    pub(crate) fn take_new(&mut self) -> (Vec<WireEvent>, Vec<Narration>, u64) {
        let new = self.new.as_mut().map(std::mem::take).unwrap_or_default();
        (new.events, new.narrations, new.lost)
    }

    fn push_event(&mut self, event: WireEvent) {
        if let Some(new) = &mut self.new {
            if new.events.len() >= MAX_NEW {
                // The newer half is more than a snapshot holds, so the message still leads to the new state.
                new.lost += new.events.drain(..MAX_NEW / 2).len() as u64;
            }
            new.events.push(event.clone());
        }
        push(&mut self.events, EVENTS, event);
    }

    fn narrate(&mut self, rules: &Rules, tick: u64, sentence: Sentence) {
        if self.silent || sentence.priority != "high" && !self.passes(rules, tick, &sentence) {
            return;
        }
        self.last = Some(tick);
        self.last_of.insert(sentence.category, tick);
        let Sentence { category, priority, text } = sentence;
        let narration = Narration { tick, category: category.into(), text, priority: priority.into() };
        if let Some(new) = &mut self.new {
            new.narrations.push(narration.clone());
        }
        push(&mut self.narrations, NARRATIONS, narration);
    }

    fn passes(&self, rules: &Rules, tick: u64, sentence: &Sentence) -> bool {
        let limits = &rules.config.telemetry.narration;
        let cooled = |last: Option<u64>, ticks: u32| last.is_none_or(|last| tick >= last + u64::from(ticks));
        let category = limits.category_cooldown_ticks.get(sentence.category).copied().unwrap_or(0);
        let within = |window: u32| {
            let inside = move |narration: &&Narration| tick < narration.tick + u64::from(window);
            self.narrations.iter().rev().take_while(inside)
        };
        cooled(self.last, limits.global_cooldown_ticks)
            && cooled(self.last_of.get(sentence.category).copied(), category)
            && within(limits.dedupe_window_ticks).all(|narration| narration.text != sentence.text)
            && within(limits.global_window_ticks).count() < self.limit.unwrap_or(limits.global_window_limit) as usize
    }
}

fn push<T>(kept: &mut VecDeque<T>, limit: usize, value: T) {
    if kept.len() == limit {
        kept.pop_front();
    }
    kept.push_back(value);
}

/// Whether an event is listed; events of every tick are not.
fn is_listed(kind: &EventKind) -> bool {
    !matches!(kind, EventKind::AffordanceDone { .. } | EventKind::GhostStep { .. })
}

fn wire_event(rules: &Rules, event: &Event) -> WireEvent {
    let agent = |who: ResidentId| ("agent", json!(names::id(who)));
    let with = |who: ResidentId| ("other", json!(names::id(who)));
    let object = |id: townlet_town::ids::ObjectId| ("object", json!(rules.plan.objects[id].name));
    let job = |id: townlet_town::ids::JobId| ("job", json!(rules.jobs[id].name));
    let affordance = |id: townlet_town::ids::AffordanceId| ("affordance", json!(rules.affordances[id].id));
    let fields: Vec<(&str, Value)> = match event.kind {
        EventKind::ResidentArrived { who }
        | EventKind::EmploymentExitManualRequest { who }
        | EventKind::EmploymentExitDeferred { who }
        | EventKind::Starving { who }
        | EventKind::GhostStep { who } => vec![agent(who)],
        EventKind::ResidentLeft { who, cause } => vec![agent(who), ("cause", json!(cause.name()))],
        EventKind::ShiftOnTime { who, job: id } => vec![agent(who), job(id)],
        EventKind::ShiftLate { who, job: id, ticks } => vec![agent(who), job(id), ("ticks", json!(ticks))],
        EventKind::ShiftAbsent { who, job: id, absent_7d } => {
            vec![agent(who), job(id), ("absent_shifts_7d", json!(absent_7d))]
        }
        EventKind::EmploymentExitPending { who, requested } => vec![agent(who), ("reason", json!(reason(requested)))],
        EventKind::EmploymentExitProcessed { who, requested, manual } => {
            vec![agent(who), ("reason", json!(reason(requested))), ("manual", json!(manual))]
        }
        EventKind::AffordanceDone { who, affordance: what, object: id } => {
            vec![agent(who), affordance(what), object(id)]
        }
        EventKind::AffordanceFailed { who, affordance: what, object: id, why } => {
            vec![agent(who), affordance(what), object(id), ("why", json!(why))]
        }
        EventKind::QueueConflict { who, object: id, waited } => vec![agent(who), object(id), ("waited", json!(waited))],
        EventKind::RentMissed { who, days } => vec![agent(who), ("days", json!(days))],
        EventKind::UtilityOff { utility } => vec![("utility", json!(utility_name(utility)))],
        EventKind::UtilityOn { utility, after } => {
            vec![("utility", json!(utility_name(utility))), ("after", json!(after))]
        }
        EventKind::Restocked => Vec::new(),
        EventKind::PerturbationBegan { kind, event } => shock(rules, kind, event).to_vec(),
        EventKind::PerturbationEnded { kind, event, after } => {
            [shock(rules, kind, event).as_slice(), &[("after", json!(after))]].concat()
        }
        EventKind::MeetingArranged { who, other, place } | EventKind::Met { who, other, place } => {
            vec![agent(who), ("other", json!(names::id(other))), ("place", json!(rules.plan.places[place].name))]
        }
        EventKind::ChatDone { who, other }
        | EventKind::ChatFailed { who, other }
        | EventKind::SharedMeal { who, other } => vec![agent(who), with(other)],
        EventKind::Argument { who, other, object: id }
        | EventKind::PoliteQueue { who, other, object: id }
        | EventKind::JumpedQueue { who, other, object: id }
        | EventKind::ConflictAvoided { who, other, object: id } => vec![agent(who), with(other), object(id)],
        EventKind::HelpedLate { who, other, job: id } | EventKind::ShiftTaken { who, other, job: id } => {
            vec![agent(who), with(other), job(id)]
        }
        EventKind::WindowClosed { number, green } => vec![("number", json!(number)), ("green", json!(green))],
    };
    WireEvent {
        event: event.kind.name().into(),
        tick: event.tick,
        fields: fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    }
}

fn shock(rules: &Rules, kind: u8, event: Option<u16>) -> [(&'static str, Value); 2] {
    let kind = PERTURBATIONS[kind as usize].name;
    let name = event.map_or(kind, |event| rules.perturbation_events[event as usize].name.as_str());
    [("kind", json!(kind)), ("name", json!(name))]
}

fn reason(requested: bool) -> &'static str {
    if requested { "operator_request" } else { "absent_shifts" }
}

fn utility_name(utility: townlet_town::events::Utility) -> &'static str {
    match utility {
        townlet_town::events::Utility::Power => "power",
        townlet_town::events::Utility::Water => "water",
    }
}

fn sentence(rules: &Rules, event: &Event) -> Option<Sentence> {
    let say = |category, priority, text: String| Some(Sentence { category, priority, text });
    let minutes = |ticks: u64| ticks * 1_440 / rules.day_length();
    let name = names::name;
    match event.kind {
        EventKind::ResidentArrived { who } => say("arrival", "normal", format!("{} moved to town", name(who))),
        EventKind::ResidentLeft { who, cause } => {
            say("exit", "high", format!("{} left town: {}", name(who), cause.name()))
        }
        EventKind::ShiftLate { who, job, ticks } => say(
            "lateness",
            "normal",
            format!("{} came {} minutes late to work as {}", name(who), minutes(ticks.into()), rules.jobs[job].name),
        ),
        EventKind::ShiftAbsent { who, job, absent_7d } => say(
            "absence",
            "normal",
            format!("{} missed the shift as {} ({absent_7d} in 7 days)", name(who), rules.jobs[job].name),
        ),
        EventKind::EmploymentExitPending { who, .. } => {
            say("exit", "high", format!("{} waits for the review of an exit", name(who)))
        }
        EventKind::EmploymentExitManualRequest { who } => {
            say("exit", "high", format!("an operator approved the exit of {}", name(who)))
        }
        EventKind::EmploymentExitDeferred { who } => {
            say("exit", "high", format!("an operator deferred the exit of {}", name(who)))
        }
        EventKind::Starving { who } => say("starvation", "high", format!("{} is starving", name(who))),
        EventKind::QueueConflict { who, object, waited } => say(
            "queue_conflict",
            "low",
            format!(
                "{} gave up on {} after {} minutes",
                name(who),
                rules.plan.objects[object].name,
                minutes(waited.into())
            ),
        ),
        EventKind::SharedMeal { who, other } => {
            say("company", "low", format!("{} and {} ate together", name(who), name(other)))
        }
        EventKind::ChatDone { who, other } => {
            say("company", "low", format!("{} and {} had a good talk", name(who), name(other)))
        }
        EventKind::Argument { who, other, object } => say(
            "quarrel",
            "normal",
            format!("{} and {} quarrelled at {}", name(who), name(other), rules.plan.objects[object].name),
        ),
        EventKind::ConflictAvoided { who, other, object } => say(
            "quarrel",
            "low",
            format!("{} kept away from {} because of {}", name(who), rules.plan.objects[object].name, name(other)),
        ),
        EventKind::HelpedLate { who, other, .. } => {
            say("favour", "normal", format!("{} covered up for {}, who came late", name(other), name(who)))
        }
        EventKind::ShiftTaken { who, other, job } => say(
            "favour",
            "normal",
            format!("{} works the shift of {} as {}", name(who), name(other), rules.jobs[job].name),
        ),
        EventKind::RentMissed { who, days } => {
            say("rent", "normal", format!("{} owes {days} day{} of rent", name(who), if days == 1 { "" } else { "s" }))
        }
        EventKind::UtilityOff { utility } => say("utility", "high", format!("{} is off", utility_name(utility))),
        EventKind::UtilityOn { utility, after } => {
            say("utility", "high", format!("{} is back after {} minutes", utility_name(utility), minutes(after)))
        }
        EventKind::PerturbationBegan { kind: PRICE_SPIKE, .. } => say("prices", "normal", "prices are up".into()),
        EventKind::PerturbationEnded { kind: PRICE_SPIKE, .. } => {
            say("prices", "normal", "prices are back to normal".into())
        }
        EventKind::Met { who, other, place } => say(
            "meeting",
            "normal",
            format!("{} and {} met at {}", name(who), name(other), rules.plan.places[place].name),
        ),
        EventKind::WindowClosed { number, green: Some(false) } => {
            say("stability", "high", format!("stability window {number} was red"))
        }
        EventKind::AffordanceFailed { who, affordance, why, .. } => say(
            "failure",
            "low",
            format!("{} could not {}: {why}", name(who), rules.affordances[affordance].id.replace('_', " ")),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use townlet_town::config::DEFAULT_PERTURBATIONS;
    use townlet_town::{Rules, Sources};

    use super::*;

    fn rules() -> Rules {
        Rules::new(Sources {
            config: townlet_town::config::Config::shipped(),
            plan: ("default.txt".into(), include_str!("../../../configs/towns/default.txt").into()),
            affordances: ("affordances.yaml".into(), include_str!("../../../configs/affordances.yaml").into()),
            perturbations: ("default.yaml".into(), DEFAULT_PERTURBATIONS.into()),
        })
        .unwrap()
    }

    /// Records an event with a sentence of normal priority.
    fn late(story: &mut EventFeed, rules: &Rules, tick: u64, days: u32) {
        story.record(rules, &Event { tick, kind: EventKind::RentMissed { who: ResidentId(0), days } });
    }

    fn ticks(story: &EventFeed) -> Vec<u64> {
        story.narrations().map(|narration| narration.tick).collect()
    }

    #[test]
    fn a_window_has_a_limit_that_can_be_changed_at_once() {
        let (rules, mut story) = (rules(), EventFeed::default());
        story.set_limit(Some(3));
        for tick in 0..20 {
            late(&mut story, &rules, tick * 30, tick as u32);
        }
        assert_eq!(ticks(&story), [0, 30, 60], "600 ticks have three");
        story.set_limit(Some(4));
        late(&mut story, &rules, 600, 99);
        late(&mut story, &rules, 630, 98);
        assert_eq!(ticks(&story), [0, 30, 60, 600, 630], "the first has left the window by then");
    }

    #[test]
    fn the_same_sentence_is_not_repeated_inside_its_window() {
        let mut rules = rules();
        rules.config.telemetry.narration.global_cooldown_ticks = 0;
        let mut story = EventFeed::default();
        for (tick, days) in [(0, 1), (10, 1), (11, 2), (25, 1)] {
            late(&mut story, &rules, tick, days);
        }
        assert_eq!(ticks(&story), [0, 11, 25]);
    }

    #[test]
    fn high_priority_passes_every_limit_but_off() {
        let (rules, mut story) = (rules(), EventFeed::default());
        let starving = |tick| Event { tick, kind: EventKind::Starving { who: ResidentId(0) } };
        story.set_limit(Some(0));
        late(&mut story, &rules, 0, 1);
        story.record(&rules, &starving(1));
        assert_eq!(ticks(&story), [1]);
        story.set_narration(false);
        story.record(&rules, &starving(2));
        assert_eq!(ticks(&story), [1]);
        story.set_narration(true);
        story.record(&rules, &starving(3));
        assert_eq!(ticks(&story), [1, 3]);
    }
}

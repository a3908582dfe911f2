//! The newest events of a town for observers, and narration: sentences about some of them.
//!
//! Narration is limited by a global cooldown, a cooldown per category, deduplication within a window and a maximum per window.
//! Sentences of high priority are not limited. Rule: "Narration".

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use townlet_town::events::Utility;
use townlet_town::ids::ResidentId;
use townlet_town::perturbations::{PERTURBATIONS, PRICE_SPIKE};
use townlet_town::{Event, EventKind, Rules, Town, names};

use townlet_wire::count;
use townlet_wire::history::{Mark, MarkKind};
use townlet_wire::telemetry::{Event as WireEvent, MAX_EVENTS, Narration};

/// Events kept between two messages of a stream; a town at full speed stays far below.
const MAX_NEW: usize = 100_000;
const NARRATIONS: usize = 60;

/// The newest events and sentences, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventFeed {
    pub(crate) events: VecDeque<Arc<WireEvent>>,
    pub(crate) narrations: VecDeque<Arc<Narration>>,
    last: Option<u64>,
    last_of: BTreeMap<Cow<'static, str>, u64>,
    counters: BTreeMap<Cow<'static, str>, u64>,
    peak: u64,
    /// Narration is off.
    pub(crate) silent: bool,
    /// Replaces the configured maximum of sentences per window.
    pub(crate) limit: Option<u32>,
    new: Option<NewItems>,
}

/// Everything since the last message of a stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewItems {
    pub events: Vec<Arc<WireEvent>>,
    pub narrations: Vec<Arc<Narration>>,
    /// Events dropped because there were too many.
    pub lost: u64,
}

/// What a keyframe holds of a feed: not the operator's settings of narration, and nothing that waits for a stream.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct SavedFeed {
    events: Vec<WireEvent>,
    narrations: Vec<Narration>,
    last: Option<u64>,
    last_of: BTreeMap<String, u64>,
    counters: BTreeMap<String, u64>,
    peak: u64,
}

struct Sentence {
    category: &'static str,
    priority: &'static str,
    text: String,
}

impl EventFeed {
    pub(crate) fn record(&mut self, rules: &Rules, event: &Event) {
        *self.counters.entry(event.kind.name().into()).or_default() += 1;
        // Events of every tick are not listed.
        if matches!(event.kind, EventKind::AffordanceDone { .. } | EventKind::GhostStep { .. }) {
            return;
        }
        let listed = wire_event(rules, event);
        if let Some(sentence) = sentence(rules, event.kind, &listed) {
            self.narrate(rules, event.tick, sentence);
        }
        self.push_event(listed);
    }

    /// A copy without the settings of narration and without what waits for a stream.
    pub(crate) fn without_new(&self) -> Self {
        let Self { events, narrations, last, last_of, counters, peak, .. } = self;
        Self {
            events: events.clone(),
            narrations: narrations.clone(),
            last: *last,
            last_of: last_of.clone(),
            counters: counters.clone(),
            peak: *peak,
            ..Self::default()
        }
    }

    pub(crate) fn save(&self) -> SavedFeed {
        let named = |counts: &BTreeMap<Cow<'static, str>, u64>| {
            counts.iter().map(|(name, value)| (name.clone().into_owned(), *value)).collect()
        };
        SavedFeed {
            events: self.events.iter().map(|it| WireEvent::clone(it)).collect(),
            narrations: self.narrations.iter().map(|it| Narration::clone(it)).collect(),
            last: self.last,
            last_of: named(&self.last_of),
            counters: named(&self.counters),
            peak: self.peak,
        }
    }

    /// The feed that was saved; of too many items the newest.
    pub(crate) fn restore(saved: SavedFeed) -> Self {
        let SavedFeed { events, narrations, last, last_of, counters, peak } = saved;
        let named = |counts: BTreeMap<String, u64>| counts.into_iter().map(|(name, it)| (name.into(), it)).collect();
        let mut feed = Self { last, last_of: named(last_of), counters: named(counters), peak, ..Self::default() };
        for event in events {
            push(&mut feed.events, MAX_EVENTS, Arc::new(event));
        }
        for narration in narrations {
            push(&mut feed.narrations, NARRATIONS, Arc::new(narration));
        }
        feed
    }

    pub(crate) fn record_alert(&mut self, tick: u64, name: &str, raised: bool) {
        let event = if raised { "alert_raised" } else { "alert_cleared" };
        *self.counters.entry(event.into()).or_default() += 1;
        let fields = [("alert".to_owned(), json!(name))].into();
        self.push_event(WireEvent { event: event.into(), tick, fields });
    }

    pub(crate) fn record_queue_length(&mut self, length: u64) {
        self.peak = self.peak.max(length);
    }

    /// Records the events of a town and the length of its exit queue.
    pub(crate) fn record_events(&mut self, town: &Town) {
        for event in town.events() {
            self.record(town.rules(), event);
        }
        self.record_queue_length(town.state().employment.queue.len() as u64);
    }

    /// Counts by event, and the peak length of the exit queue.
    pub(crate) fn counters(&self) -> BTreeMap<String, u64> {
        let mut counters: BTreeMap<String, u64> =
            self.counters.iter().map(|(name, times)| (name.clone().into_owned(), *times)).collect();
        counters.insert("exit_queue_peak".into(), self.peak);
        counters
    }

    /// Whether to keep everything until [`Self::take_new`], or only the newest items.
    pub(crate) fn keep_all(&mut self, all: bool) {
        self.new = all.then(|| self.new.take().unwrap_or_default());
    }

    /// Takes everything since the last call.
    pub(crate) fn take_new(&mut self) -> NewItems {
        self.new.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn push_event(&mut self, event: WireEvent) {
        let event = Arc::new(event);
        if let Some(new) = &mut self.new {
            if new.events.len() >= MAX_NEW {
                // The newer half is more than a snapshot holds, so the message still leads to the new state.
                new.lost += new.events.drain(..MAX_NEW / 2).len() as u64;
            }
            new.events.push(Arc::clone(&event));
        }
        push(&mut self.events, MAX_EVENTS, event);
    }

    fn narrate(&mut self, rules: &Rules, tick: u64, sentence: Sentence) {
        if self.silent || sentence.priority != "high" && !self.passes(rules, tick, &sentence) {
            return;
        }
        self.last = Some(tick);
        self.last_of.insert(sentence.category.into(), tick);
        let Sentence { category, priority, text } = sentence;
        let narration = Arc::new(Narration { tick, category: category.into(), text, priority: priority.into() });
        if let Some(new) = &mut self.new {
            new.narrations.push(Arc::clone(&narration));
        }
        push(&mut self.narrations, NARRATIONS, narration);
    }

    fn passes(&self, rules: &Rules, tick: u64, sentence: &Sentence) -> bool {
        let limits = &rules.config.telemetry.narration;
        let cooled = |last: Option<u64>, ticks: u32| last.is_none_or(|last| tick >= last + u64::from(ticks));
        let category = limits.category_cooldown_ticks.get(sentence.category).copied().unwrap_or(0);
        let within = |window: u32| {
            let inside = move |narration: &&Arc<Narration>| tick < narration.tick + u64::from(window);
            self.narrations.iter().rev().take_while(inside)
        };
        cooled(self.last, limits.global_cooldown_ticks)
            && cooled(self.last_of.get(sentence.category).copied(), category)
            && within(limits.dedupe_window_ticks).all(|narration| narration.text != sentence.text)
            && within(limits.global_window_ticks).count() < self.limit.unwrap_or(limits.global_window_limit) as usize
    }
}

/// The mark that an event leaves in the run's history, if any.
pub(crate) fn mark(rules: &Rules, event: &Event) -> Option<Mark> {
    let kind = match event.kind {
        EventKind::ResidentLeft { .. } | EventKind::EmploymentExitPending { .. } => MarkKind::Exit,
        EventKind::PerturbationBegan { .. } => MarkKind::Perturbation,
        EventKind::WindowClosed { green: Some(true), .. } => MarkKind::GreenWindow,
        EventKind::WindowClosed { green: Some(false), .. } => MarkKind::RedWindow,
        _ => return None,
    };
    let listed = wire_event(rules, event);
    let text = match (event.kind, sentence(rules, event.kind, &listed)) {
        (EventKind::WindowClosed { number, .. }, None) => format!("stability window {number} was green"),
        (EventKind::PerturbationBegan { .. }, _) => {
            format!("{} began", listed.fields["name"].as_str().unwrap_or_default())
        }
        (_, sentence) => sentence?.text,
    };
    Some(Mark { tick: event.tick, kind, text })
}

fn push<T>(kept: &mut VecDeque<T>, limit: usize, value: T) {
    if kept.len() == limit {
        kept.pop_front();
    }
    kept.push_back(value);
}

fn wire_event(rules: &Rules, event: &Event) -> WireEvent {
    let agent = |who: ResidentId| ("agent", json!(names::id(who)));
    let with = |who: ResidentId| ("other", json!(names::id(who)));
    let object = |id: townlet_town::ids::ObjectId| ("object", json!(rules.plan.objects[id].name));
    let job = |id: townlet_town::ids::JobId| ("job", json!(rules.jobs[id].name));
    let affordance = |id: townlet_town::ids::AffordanceId| ("affordance", json!(rules.affordances[id].id));
    let switched = |utility: Utility| ("utility", json!(if utility == Utility::Power { "power" } else { "water" }));
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
        EventKind::UtilityOff { utility } => vec![switched(utility)],
        EventKind::UtilityOn { utility, after } => vec![switched(utility), ("after", json!(after))],
        EventKind::Restocked => Vec::new(),
        EventKind::PerturbationBegan { kind, event } => perturbation(rules, kind, event).to_vec(),
        EventKind::PerturbationEnded { kind, event, after } => {
            [perturbation(rules, kind, event).as_slice(), &[("after", json!(after))]].concat()
        }
        EventKind::MeetingArranged { who, other, place } | EventKind::Met { who, other, place } => {
            vec![agent(who), with(other), ("place", json!(rules.plan.places[place].name))]
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

fn perturbation(rules: &Rules, kind: u8, event: Option<u16>) -> [(&'static str, Value); 2] {
    let kind = PERTURBATIONS[kind as usize].name;
    let name = event.map_or(kind, |event| rules.perturbation_events[event as usize].name.as_str());
    [("kind", json!(kind)), ("name", json!(name))]
}

fn reason(requested: bool) -> &'static str {
    if requested { "operator_request" } else { "absent_shifts" }
}

/// Sentences by event: category, priority, and the text with fields of the event in braces.
const SENTENCES: [(&str, &str, &str, &str); 23] = [
    ("resident_arrived", "arrival", "normal", "{agent} moved to town"),
    ("resident_left", "exit", "high", "{agent} left town: {cause}"),
    ("shift_late", "lateness", "normal", "{agent} came {ticks} late to work as {job}"),
    ("shift_absent", "absence", "normal", "{agent} missed the shift as {job} ({absent_shifts_7d} in 7 days)"),
    ("employment_exit_pending", "exit", "high", "{agent} waits for the review of an exit"),
    ("employment_exit_manual_request", "exit", "high", "an operator approved the exit of {agent}"),
    ("employment_exit_deferred", "exit", "high", "an operator deferred the exit of {agent}"),
    ("starvation", "starvation", "high", "{agent} is starving"),
    ("queue_conflict", "queue_conflict", "low", "{agent} waited {waited} for {object} and did not use it"),
    ("shared_meal", "company", "low", "{agent} and {other} ate together"),
    ("chat_done", "company", "low", "{agent} and {other} had a good talk"),
    ("argument", "quarrel", "normal", "{agent} and {other} quarrelled at {object}"),
    ("conflict_avoided", "quarrel", "low", "{agent} kept away from {object} because of {other}"),
    ("helped_late", "favour", "normal", "{other} covered up for {agent}, who came late"),
    ("shift_taken", "favour", "normal", "{agent} works the shift of {other} as {job}"),
    ("rent_missed", "rent", "normal", "{agent} owes {days} of rent"),
    ("utility_off", "utility", "high", "{utility} is off"),
    ("utility_on", "utility", "high", "{utility} is back after {after}"),
    ("price_spike_began", "prices", "normal", "prices are up"),
    ("price_spike_ended", "prices", "normal", "prices are back to normal"),
    ("met", "meeting", "normal", "{agent} and {other} met at {place}"),
    ("red_window", "stability", "high", "stability window {number} was red"),
    ("affordance_failed", "failure", "low", "{agent} could not {affordance}: {why}"),
];

fn sentence(rules: &Rules, kind: EventKind, event: &WireEvent) -> Option<Sentence> {
    let name = match kind {
        EventKind::PerturbationBegan { kind: PRICE_SPIKE, .. } => "price_spike_began",
        EventKind::PerturbationEnded { kind: PRICE_SPIKE, .. } => "price_spike_ended",
        EventKind::WindowClosed { green: Some(false), .. } => "red_window",
        kind => kind.name(),
    };
    let (_, category, priority, template) = *SENTENCES.iter().find(|row| row.0 == name)?;
    let text = event.fields.iter().fold(template.to_owned(), |text, (name, value)| {
        text.replace(&format!("{{{name}}}"), &field_in_words(rules, name, value))
    });
    Some(Sentence { category, priority, text })
}

/// An event in words: as it is narrated, or by its name and fields.
pub(crate) fn in_words(rules: &Rules, event: &Event) -> String {
    let listed = wire_event(rules, event);
    sentence(rules, event.kind, &listed).map_or_else(
        || {
            let fields = listed.fields.iter().map(|(name, value)| field_in_words(rules, name, value));
            let fields = fields.collect::<Vec<_>>().join(", ");
            format!("{} ({fields})", listed.event.replace('_', " "))
        },
        |sentence| sentence.text,
    )
}

/// A field of an event in a sentence.
fn field_in_words(rules: &Rules, name: &str, value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match name {
        "agent" | "other" => names::resident(&text).map_or(text, names::name),
        "affordance" => text.replace('_', " "),
        "days" => count(value.as_u64().unwrap_or_default(), "day"),
        "ticks" | "waited" | "after" => {
            let minutes = value.as_u64().unwrap_or_default() * 1_440 / rules.day_length();
            match (minutes / 60, minutes % 60) {
                (0, minutes) => count(minutes, "minute"),
                (hours, 0) => count(hours, "hour"),
                (hours, minutes) => format!("{} {}", count(hours, "hour"), count(minutes, "minute")),
            }
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use townlet_town::{Rules, Sources};

    use super::*;

    fn rules() -> Rules {
        Rules::new(Sources::default_town(&[]).unwrap()).unwrap()
    }

    /// Records an event with a sentence of normal priority.
    fn late(feed: &mut EventFeed, rules: &Rules, tick: u64, days: u32) {
        feed.record(rules, &Event { tick, kind: EventKind::RentMissed { who: ResidentId(0), days } });
    }

    fn ticks(feed: &EventFeed) -> Vec<u64> {
        feed.narrations.iter().map(|narration| narration.tick).collect()
    }

    #[test]
    fn a_wait_in_vain_is_no_decision_of_the_resident() {
        // A resident leaves a queue, or loses its turn and waits on: the event is the same.
        let (rules, mut feed) = (rules(), EventFeed::default());
        let object = rules.plan.objects().find(|(_, object)| object.name == "table_1").expect("there is a table").0;
        let kind = EventKind::QueueConflict { who: ResidentId(0), object, waited: 45 };
        feed.record(&rules, &Event { tick: 100, kind });
        assert_eq!(feed.narrations[0].text, "Ada waited 1 hour 4 minutes for table_1 and did not use it");
    }

    #[test]
    fn one_is_singular() {
        let rules = rules();
        let words = |name: &str, value: u64| field_in_words(&rules, name, &value.into());
        assert_eq!([words("days", 1), words("days", 2)], ["1 day", "2 days"]);
        assert_eq!([words("waited", 1), words("waited", 2)], ["1 minute", "2 minutes"]);
        assert_eq!([words("after", 125), words("after", 58)], ["3 hours", "1 hour 23 minutes"]);
    }

    #[test]
    fn a_window_has_a_limit_that_can_be_changed_at_once() {
        let (rules, mut feed) = (rules(), EventFeed::default());
        feed.limit = Some(3);
        for tick in 0..20 {
            late(&mut feed, &rules, tick * 30, tick as u32);
        }
        assert_eq!(ticks(&feed), [0, 30, 60], "600 ticks have three");
        feed.limit = Some(4);
        late(&mut feed, &rules, 600, 99);
        late(&mut feed, &rules, 630, 98);
        assert_eq!(ticks(&feed), [0, 30, 60, 600, 630], "the first has left the window by then");
    }

    #[test]
    fn the_same_sentence_is_not_repeated_inside_its_window() {
        let mut rules = rules();
        rules.config.telemetry.narration.global_cooldown_ticks = 0;
        let mut feed = EventFeed::default();
        for (tick, days) in [(0, 1), (10, 1), (11, 2), (25, 1)] {
            late(&mut feed, &rules, tick, days);
        }
        assert_eq!(ticks(&feed), [0, 11, 25]);
    }

    #[test]
    fn high_priority_passes_every_limit_but_off() {
        let (rules, mut feed) = (rules(), EventFeed::default());
        let starving = |tick| Event { tick, kind: EventKind::Starving { who: ResidentId(0) } };
        feed.limit = Some(0);
        late(&mut feed, &rules, 0, 1);
        feed.record(&rules, &starving(1));
        assert_eq!(ticks(&feed), [1]);
        feed.silent = true;
        feed.record(&rules, &starving(2));
        assert_eq!(ticks(&feed), [1]);
        feed.silent = false;
        feed.record(&rules, &starving(3));
        assert_eq!(ticks(&feed), [1, 3]);
    }
}

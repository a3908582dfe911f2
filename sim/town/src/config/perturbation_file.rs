//! The perturbation file: the events that may start by themselves, their chances and their limits. The setting
//! `perturbations.file` names it.

use std::collections::BTreeMap;

use super::error::{ConfigError, ConfigErrors};
use super::parse_file;
use super::schema::{TextFormat, choice, decimal, free, section, text, ticks, unit, whole};
use crate::fixed_point::Micro;

/// The file shipped with the default configuration.
pub const DEFAULT_PERTURBATIONS: &str = include_str!("../../../../configs/perturbations/default.yaml");

impl PerturbationFile {
    /// Parses and validates a perturbation file.
    pub fn parse(file_name: &str, text: &str) -> Result<Self, ConfigErrors> {
        let (file, node) = parse_file::<Self>(file_name, text)?;
        let errors: Vec<ConfigError> = file
            .events
            .iter()
            .flat_map(|(name, event)| event.misfits().into_iter().map(move |misfit| (name, misfit)))
            .filter_map(|(name, (setting, problem))| {
                let key = format!("events.{name}");
                let place = node.place_of(&format!("{key}.{setting}")).or_else(|| node.place_of(&key))?;
                Some(ConfigError::at(place, &format!("{key}.{setting}"), format!("{key}.{setting} {problem}")))
            })
            .collect();
        if errors.is_empty() { Ok(file) } else { Err(ConfigErrors(errors)) }
    }
}

impl Event {
    /// Settings that are missing for the kind of event, or do not apply to it.
    fn misfits(&self) -> Vec<(&'static str, String)> {
        let kind = self.kind.word();
        let (spike, meet) = (self.kind == EventKind::PriceSpike, self.kind == EventKind::ArrangedMeet);
        let mut misfits = Vec::new();
        if spike && self.magnitude.is_none() {
            misfits.push(("magnitude", format!("is missing: a {kind} needs one")));
        }
        let given = [
            ("magnitude", self.magnitude.is_some() && !spike),
            ("targets", self.targets.is_some() && !spike),
            ("target", self.target.is_some() && !meet),
            ("location", self.location.is_some() && !meet),
        ];
        misfits.extend(
            given.iter().filter(|(_, odd)| *odd).map(|(name, _)| (*name, format!("does not apply to a {kind}"))),
        );
        misfits
    }
}

section! {
    /// The perturbation file. All of it can be reloaded while the town runs.
    PerturbationFile {
        /// Most events that are active at once.
        max_concurrent_events: u32 = whole(0, 100, "events").hot(),
        /// Ticks between the starts of any two events.
        global_cooldown_ticks: u32 = ticks(0, 1_000_000).hot(),
        /// Ticks before the same resident is selected again.
        per_agent_cooldown_ticks: u32 = ticks(0, 1_000_000).hot(),
        /// Ticks at the start of a town without events.
        grace_window_ticks: u32 = ticks(0, 1_000_000).hot(),
        /// Window in which events are counted.
        window_ticks: u32 = ticks(1, 1_000_000).hot(),
        /// Most events started in that window.
        max_events_per_window: u32 = whole(0, 10_000, "events").hot(),
        /// Events by name.
        events: BTreeMap<String, Event> = free(),
    }

    /// One event.
    Event {
        /// Kind of event.
        kind: EventKind = free().hot(),
        /// Chance that it starts on a given day.
        prob_per_day: Micro = unit().hot(),
        /// Ticks before it may start again.
        cooldown_ticks: u32 = ticks(0, 1_000_000).hot(),
        /// Shortest and longest duration.
        duration: [u32; 2] = ticks(1, 100_000).ordered().hot(),
        /// Lowest and highest factor on prices; required for a price spike.
        magnitude: Option<[Micro; 2]> = decimal(0.1, 10.0, "×").ordered().hot(),
        /// Goods of a price spike: `meal`, `groceries`; all of them when left out.
        targets: Option<Vec<String>> = text(TextFormat::Name).hot(),
        /// First resident of an arranged meeting: an id, or `any`.
        target: Option<String> = text(TextFormat::Name).hot(),
        /// Place of an arranged meeting: a name or a kind such as `park`.
        location: Option<String> = text(TextFormat::Name).hot(),
    }
}

choice! {
    /// Kinds of events.
    EventKind {
        /// Prices rise.
        PriceSpike = "price_spike",
        /// No power.
        Blackout = "blackout",
        /// No water.
        Outage = "outage",
        /// Two residents are invited to meet.
        ArrangedMeet = "arranged_meet",
    }
}

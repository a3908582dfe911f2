//! The perturbation file: what may happen to the town by itself, how often and how much.
//!
//! `perturbations.file` names it. Must not know how a perturbation is applied.

use std::collections::BTreeMap;

use super::error::{ConfigError, ConfigErrors};
use super::parse_form;
use super::schema::{TextFormat, choice, decimal, free, section, text, ticks, unit, whole};
use crate::fixed_point::Micro;

/// The file shipped with the default configuration.
pub const DEFAULT_PERTURBATIONS: &str = include_str!("../../../../configs/perturbations/default.yaml");

impl PerturbationFile {
    /// Reads a perturbation file, as strictly as a configuration.
    pub fn parse(file_name: &str, text: &str) -> Result<Self, ConfigErrors> {
        let (file, node) = parse_form::<Self>(file_name, text)?;
        let errors: Vec<ConfigError> = file
            .events
            .iter()
            .flat_map(|(name, event)| event.misfits().into_iter().map(move |misfit| (name, misfit)))
            .filter_map(|(name, (setting, problem))| {
                let key = format!("events.{name}");
                let place = node.at(&format!("{key}.{setting}")).or_else(|| node.at(&key))?.place.as_ref()?;
                Some(ConfigError::at(place, &format!("{key}.{setting}"), format!("{key}.{setting} {problem}")))
            })
            .collect();
        if errors.is_empty() { Ok(file) } else { Err(ConfigErrors(errors)) }
    }
}

impl Event {
    /// Settings that a kind of event needs and does not have, or has and does not know.
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
            given.iter().filter(|(_, odd)| *odd).map(|(name, _)| (*name, format!("means nothing for a {kind}"))),
        );
        misfits
    }
}

section! {
    /// The perturbation file. All of it can be reloaded while the town runs.
    PerturbationFile {
        /// Events under way at once, at most.
        max_concurrent_events: u32 = whole(0, 100, "events").hot(),
        /// Ticks between the starts of any two events.
        global_cooldown_ticks: u32 = ticks(0, 1_000_000).hot(),
        /// Ticks before the same resident is picked again.
        per_agent_cooldown_ticks: u32 = ticks(0, 1_000_000).hot(),
        /// Ticks at the start of a town in which nothing happens.
        grace_window_ticks: u32 = ticks(0, 1_000_000).hot(),
        /// Window in which events are counted.
        window_ticks: u32 = ticks(1, 1_000_000).hot(),
        /// Events started in that window, at most.
        max_events_per_window: u32 = whole(0, 10_000, "events").hot(),
        /// Events by name.
        events: BTreeMap<String, Event> = free(),
    }

    /// One event.
    Event {
        /// What it does.
        kind: EventKind = free().hot(),
        /// Chance that it starts on a given day.
        prob_per_day: Micro = unit().hot(),
        /// Ticks before it may start again.
        cooldown_ticks: u32 = ticks(0, 1_000_000).hot(),
        /// How long it lasts, least and most.
        duration: [u32; 2] = ticks(1, 100_000).ordered().hot(),
        /// How strong it is, least and most; for a price spike the factor on prices.
        magnitude: Option<[Micro; 2]> = decimal(0.1, 10.0, "×").ordered().hot(),
        /// Goods a price spike is about: `meal`, `groceries`; left out, all of them.
        targets: Option<Vec<String>> = text(TextFormat::Name).hot(),
        /// Resident an arranged meeting is about: a name, or `any`.
        target: Option<String> = text(TextFormat::Name).hot(),
        /// Kind of place an arranged meeting is at, such as `park`.
        location: Option<String> = text(TextFormat::Name).hot(),
    }
}

choice! {
    /// What an event does.
    EventKind {
        /// Prices rise.
        PriceSpike = "price_spike",
        /// No power.
        Blackout = "blackout",
        /// No water.
        Outage = "outage",
        /// Residents are asked to meet.
        ArrangedMeet = "arranged_meet",
    }
}

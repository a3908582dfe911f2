//! The perturbation file: what may happen to the town by itself, how often and how much.
//!
//! `perturbations.file` names it. Must not know how a perturbation is applied.

use std::collections::BTreeMap;

use super::form::{Letters, choice, decimal, free, section, text, ticks, unit, whole};
use crate::fixed::Micro;

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
        targets: Option<Vec<String>> = text(Letters::Name).hot(),
        /// Resident an arranged meeting is about: a name, or `any`.
        target: Option<String> = text(Letters::Name).hot(),
        /// Kind of place an arranged meeting is at, such as `park`.
        location: Option<String> = text(Letters::Name).hot(),
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

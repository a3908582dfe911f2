//! Shocks from outside: the table of their kinds, each with what it does and how it is undone.
//!
//! One row a kind. After `revert` the town is as if the shock had ended by itself. Rule: "Perturbations".

use serde::{Deserialize, Serialize};

use crate::activity::Cx;
use crate::events::{EventKind, Utility};
use crate::state::Economy;

/// One kind of shock.
pub struct PerturbationRow {
    /// As in telemetry and on screen.
    pub name: &'static str,
    /// What it does to the town.
    pub apply: fn(&mut Economy),
    /// How it is undone.
    pub revert: fn(&mut Economy),
    /// What goes off with it.
    pub utility: Utility,
    /// For a reader.
    pub detail: &'static str,
}

/// THE table of perturbations.
pub static PERTURBATIONS: [PerturbationRow; 2] = [
    PerturbationRow {
        name: "blackout",
        apply: |economy| economy.power = false,
        revert: |economy| economy.power = true,
        utility: Utility::Power,
        detail: "power is off: stoves do not work, nobody has to leave",
    },
    PerturbationRow {
        name: "outage",
        apply: |economy| economy.water = false,
        revert: |economy| economy.water = true,
        utility: Utility::Water,
        detail: "water is off: showers do not work, nobody has to leave",
    },
];

/// A shock under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Active {
    /// Row of [`PERTURBATIONS`].
    pub kind: u8,
    /// Since when.
    pub started: u64,
    /// Until when; `None` until somebody ends it.
    pub ends: Option<u64>,
}

/// All shocks under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Perturbations {
    /// In the order they began; at most one of a kind.
    pub active: Vec<Active>,
}

impl Perturbations {
    /// Whether a kind is under way.
    pub fn is_active(&self, kind: u8) -> bool {
        self.active.iter().any(|active| active.kind == kind)
    }
}

/// The row of a name.
pub fn kind(name: &str) -> Option<u8> {
    PERTURBATIONS.iter().position(|row| row.name == name).map(|index| index as u8)
}

/// Begins one; `duration` ticks long, or until ended.
pub(crate) fn begin(cx: &mut Cx<'_>, kind: u8, duration: Option<u64>) {
    let row = &PERTURBATIONS[kind as usize];
    let started = cx.state.tick;
    cx.state.perturbations.active.push(Active { kind, started, ends: duration.map(|ticks| started + ticks) });
    (row.apply)(&mut cx.state.economy);
    cx.emit(EventKind::UtilityOff { utility: row.utility });
}

/// Ends one.
pub(crate) fn end(cx: &mut Cx<'_>, kind: u8) {
    let row = &PERTURBATIONS[kind as usize];
    if let Some(index) = cx.state.perturbations.active.iter().position(|active| active.kind == kind) {
        let active = cx.state.perturbations.active.remove(index);
        (row.revert)(&mut cx.state.economy);
        let after = cx.state.tick - active.started;
        cx.emit(EventKind::UtilityOn { utility: row.utility, after });
    }
}

/// Ends those whose time is over.
pub(crate) fn run(cx: &mut Cx<'_>) {
    let tick = cx.state.tick;
    while let Some(over) =
        cx.state.perturbations.active.iter().find(|it| it.ends.is_some_and(|ends| ends <= tick)).copied()
    {
        end(cx, over.kind);
    }
}

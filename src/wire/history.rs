//! The past of a run as the service describes it: the ticks that can be shown, and the marks among them. Rule: "Keyframes".

use serde::{Deserialize, Serialize};

crate::word_enum! {
    /// What happened at a mark.
    #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
    pub enum MarkKind {
        /// A command changed the town or the shard.
        Command = "command",
        /// The configuration was read again.
        Reload = "reload",
        /// A resident left, or waits for the review of an exit.
        Exit = "exit",
        /// An alert was raised.
        Alert = "alert",
        /// A stability window ended green.
        GreenWindow = "green_window",
        /// A stability window ended red.
        RedWindow = "red_window",
        /// A perturbation began.
        Perturbation = "perturbation",
        /// Another policy drives the residents from this tick on.
        Release = "release",
        /// An incident bundle was made.
        Incident = "incident",
    }
}

impl MarkKind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Command,
        Self::Reload,
        Self::Exit,
        Self::Alert,
        Self::GreenWindow,
        Self::RedWindow,
        Self::Perturbation,
        Self::Release,
        Self::Incident,
    ];

    /// The kind of this name.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// A moment of a run that somebody may look for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Mark {
    /// The tick.
    pub tick: u64,
    /// What happened.
    pub kind: MarkKind,
    /// The same in words.
    pub text: String,
}

/// The range of a run and some of its marks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HistoryPage {
    /// The run.
    pub run_id: String,
    /// The first tick that can be shown. Retention has removed those before.
    pub first_tick: u64,
    /// The last tick that can be shown now.
    pub last_tick: u64,
    /// The tick from which all marks are known. Of long runs the oldest are dropped.
    pub marks_from: u64,
    /// The newest marks that were asked for, oldest first.
    pub marks: Vec<Mark>,
    /// Where older ones continue: the parameter `before` of the next request. `null` if there are none.
    pub before: Option<String>,
}

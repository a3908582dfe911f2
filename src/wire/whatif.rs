//! What-if questions: what is asked, how far it is, and the answer. Rule: "What if".

use serde::{Deserialize, Serialize};

use crate::command_line::normal_word;
use crate::whole_number;

/// Most alternatives of a question.
pub const MAX_ALTERNATIVES: usize = 8;
/// Copies of each alternative, when the question does not say.
pub const DEFAULT_SAMPLES: u32 = 64;
/// Most copies of each alternative.
pub const MAX_SAMPLES: u32 = 10_000;
/// Days that each copy lives, when the question does not say.
pub const DEFAULT_DAYS: u32 = 3;
/// Most days that each copy lives.
pub const MAX_DAYS: u32 = 100;
/// Parts one alternative of a line from the next.
pub const BETWEEN_ALTERNATIVES: char = '|';

/// A question about the running town from now on: the body of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("required" = ["alternatives", "cmd_id"])))]
#[serde(deny_unknown_fields)]
pub struct WhatIfRequest {
    /// What may be done, each beside doing nothing: parts with `;` between them. A part is a command that changes the town, such
    /// as `approve finn`, `set KEY=VALUE` for a setting, or `policy ID`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 8), inner(regex(pattern = r"[!-~]"))))]
    pub alternatives: Vec<String>,
    /// Copies of each alternative; 64 by default.
    #[serde(default, deserialize_with = "whole_number::optional", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 2, max = 10_000)))]
    pub samples: Option<u32>,
    /// Days that each copy lives; 3 by default.
    #[serde(default, deserialize_with = "whole_number::optional", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 100)))]
    pub days: Option<u32>,
    /// As of a command: needed unless it is a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(required, regex(pattern = r"^[!-{}~]{1,128}$")))]
    pub cmd_id: Option<String>,
    /// Same checks, nothing is asked.
    #[serde(default)]
    pub dry_run: bool,
    /// The run it is meant for. A shard that runs another refuses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
}

impl WhatIfRequest {
    /// The command that asks it.
    pub fn command(&self) -> String {
        let between = format!(" {BETWEEN_ALTERNATIVES} ");
        let mut line = format!("whatif {}", normal_word(&self.alternatives.join(&between)));
        for (flag, value) in [("samples", self.samples), ("days", self.days)] {
            if let Some(value) = value {
                line.push_str(" --");
                line.push_str(flag);
                line.push(' ');
                line.push_str(&value.to_string());
            }
        }
        line
    }
}

crate::word_enum! {
    /// How far a question is.
    #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
    pub enum WhatIfState {
        /// Others are answered first.
        Waiting = "waiting",
        /// Its copies live.
        Running = "running",
        /// It is answered.
        Done = "done",
        /// It was cancelled; the answer has the samples that had ended.
        Cancelled = "cancelled",
        /// A copy of the town crashed.
        Failed = "failed",
    }
}

/// A question on its way to its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WhatIfProgress {
    /// The session or token that asked.
    pub issuer: String,
    /// How far it is.
    pub state: WhatIfState,
    /// Questions that are answered before it.
    pub ahead: u64,
    /// Samples that have ended.
    pub samples_done: u32,
    /// The page in the shard's home, or why it is not there. Empty until the question has ended.
    pub page: String,
    /// The answer over the samples that have ended.
    pub answer: WhatIfAnswer,
}

/// What would come of alternatives, beside how the town goes on with none of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WhatIfAnswer {
    /// The same for the same question about the same town.
    pub id: String,
    /// The run, or the file of its journal.
    pub run: String,
    /// The tick of the question.
    pub tick: u64,
    /// Ticks of a day.
    pub ticks_per_day: u64,
    /// The digest of the town there.
    pub digest: String,
    /// The policy as the town goes on.
    pub policy: String,
    /// Copies of each alternative.
    pub samples: u32,
    /// Days that each copy lives.
    pub days: u32,
    /// The alternatives, in the order of the question.
    pub alternatives: Vec<WhatIfAlternative>,
    /// The command that repeats it in the home of the run.
    pub repeat: String,
}

/// What would come of one alternative.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WhatIfAlternative {
    /// What is done, in words of the command line.
    pub alternative: String,
    /// A row for each figure that has a value in a sample.
    pub figures: Vec<WhatIfFigure>,
    /// Where the stories part, in the sample with the town's own random draws: the first difference of each resident, oldest first.
    /// Empty until the question has ended.
    pub partings: Vec<WhatIfParting>,
    /// Residents whose stories part and who are not listed.
    pub further_partings: u64,
}

/// A figure of an alternative.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WhatIfFigure {
    /// The name, such as `exit_backlog`.
    pub name: String,
    /// The title.
    pub title: String,
    /// The unit.
    pub unit: String,
    /// Samples in which it has a value with the alternative and without.
    pub samples: u64,
    /// Mean as the town goes on.
    pub nothing: f64,
    /// Mean with the alternative.
    pub with: f64,
    /// Mean of the differences within samples.
    pub difference: f64,
    /// Lower end of the 95 % interval of the mean difference; missing with fewer than two samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Its upper end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// What the interval says.
    pub verdict: WhatIfVerdict,
}

crate::word_enum! {
    /// Whether a difference can be told from none.
    #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
    pub enum WhatIfVerdict {
        /// The alternative is better.
        Better = "better",
        /// The alternative is worse.
        Worse = "worse",
        /// There is a difference, which is neither better nor worse.
        Different = "different",
        /// The interval holds 0, or there are too few samples for one.
        Same = "same",
    }
}

impl WhatIfVerdict {
    /// The sign in a table.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Better => "✓",
            Self::Worse => "✗",
            Self::Different => "≠",
            Self::Same => "·",
        }
    }
}

/// The first difference in the story of a resident, or of the town.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WhatIfParting {
    /// The tick.
    pub tick: u64,
    /// The id of the resident; missing for the town.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// What happens as the town goes on; empty for nothing.
    pub nothing: Vec<String>,
    /// What happens with the alternative.
    pub with: Vec<String>,
}

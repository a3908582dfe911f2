//! The command table: every command is one row, and everything that lists or reads commands is made from the rows.
//!
//! A new command touches its own file in `commands` and the list here. Roles, audit and retries are `admission`'s. Rule: "Command table".

use std::sync::LazyLock;

use serde::Serialize;
use serde_json::Value;
use townlet_town::Refusal;
use townlet_town::plan::Plan;
use townlet_wire::command_line::{self, ArgValue, Parsed};
use townlet_wire::{ArgSpec, CommandSpec, Effect, ErrorBody, Role, json_length};

use super::arguments::Argument;
use super::commands::{
    employment, incidents, inspect, pace, perturbations, promotion, relationships, residents, session, snapshots,
    training, whatif, world,
};
use super::operation::Operation;

/// What an answer's result is: an object with at least `summary`.
pub(super) type Reply = Result<Value, ErrorBody>;

/// An argument of this type, as clients see it.
pub(super) fn arg<T: Argument>(name: &str) -> ArgSpec {
    ArgSpec { name: name.into(), kind: T::kind(), required: T::REQUIRED, flag: T::FLAG }
}

pub(super) struct Row {
    pub name: &'static str,
    /// In the order they are typed.
    pub args: fn() -> Vec<ArgSpec>,
    /// The least role that may run it.
    pub role: Role,
    /// Whether screens ask for confirmation.
    pub destructive: bool,
    /// What it changes.
    pub effect: Effect,
    pub help: &'static str,
    /// Makes the operation of the values of its arguments; the plan of a town never changes.
    pub build: fn(Vec<Option<ArgValue>>, &Plan) -> Result<Operation, ErrorBody>,
}

/// Declares a row: `NAME = "words", Role, "help"; Operation(argument: Type, …) => value`. The arguments are variables of the value, and
/// of their types: a misspelt one does not compile. `Destructive` is a command for admins that screens confirm; `in plan`
/// makes the town's plan a variable too.
macro_rules! row {
    ($row:ident = $name:literal, $role:ident, $help:literal;
        $operation:ident($($arg:ident: $kind:ty),*) $(in $plan:ident)? $(=> $value:expr)?) => {
        pub(crate) static $row: $crate::command_table::Row = $crate::command_table::Row {
            name: $name,
            args: || vec![$($crate::command_table::arg::<$kind>(stringify!($arg))),*],
            role: $crate::command_table::row!(@role $role),
            destructive: $crate::command_table::row!(@destructive $role),
            effect: $crate::command_table::row!(@effect $operation),
            help: $help,
            #[allow(unused_variables, unused_mut, reason = "not every row uses its reason, and some have no arguments")]
            build: |values, town_plan| {
                let mut values = values.into_iter();
                $(let $arg = <$kind as $crate::arguments::Argument>::read(values.next().flatten())?;)*
                $(let $plan = town_plan;)?
                Ok($crate::command_table::row!(@operation $operation $($value)?))
            },
        };
    };
    (@role Viewer) => { townlet_wire::Role::Viewer };
    (@role $admin:ident) => { townlet_wire::Role::Admin };
    (@destructive Destructive) => { true };
    (@destructive $other:ident) => { false };
    (@effect Town) => { townlet_wire::Effect::Town };
    (@effect Reload) => { townlet_wire::Effect::Town };
    (@effect Pace) => { townlet_wire::Effect::Pace };
    (@effect Read) => { townlet_wire::Effect::Read };
    (@effect Files) => { townlet_wire::Effect::Read };
    (@effect $shard:ident) => { townlet_wire::Effect::Shard };
    (@operation Reload) => { $crate::operation::Operation::Reload(None) };
    (@operation Read $query:expr) => { $crate::operation::Operation::Read(Box::new($query)) };
    (@operation Files $query:expr) => { $crate::operation::Operation::Files(Box::new($query)) };
    (@operation $operation:ident $value:expr) => { $crate::operation::Operation::$operation($value) };
}
pub(crate) use row;

pub(super) static TABLE: &[&Row] = &[
    &inspect::HELP,
    &inspect::TELEMETRY_SNAPSHOT,
    &inspect::HEALTH_STATUS,
    &inspect::KPI,
    &employment::STATUS,
    &employment::REVIEW,
    &employment::REQUEST,
    &employment::APPROVE,
    &employment::DEFER,
    &inspect::QUEUE_INSPECT,
    &inspect::DEBUG_QUEUES,
    &inspect::AFFORDANCE_STATUS,
    &inspect::EXPLAIN,
    &residents::SPAWN,
    &residents::TELEPORT,
    &residents::SETNEED,
    &residents::SETMONEY,
    &residents::POSSESS,
    &residents::RELEASE,
    &residents::KILL,
    &world::PRICE,
    &world::BLACKOUT,
    &world::OUTAGE,
    &world::TOGGLE_MORTALITY,
    &world::SET_EXIT_CAP,
    &world::SET_SPAWN_DELAY,
    &world::SET_FEATURE,
    &perturbations::QUEUE,
    &perturbations::TRIGGER,
    &perturbations::CANCEL,
    &perturbations::SWITCH,
    &perturbations::ARRANGE_MEET,
    &world::RELOAD_CONFIG,
    &session::NARRATION,
    &session::PRIVACY,
    &session::TELEMETRY_MODE,
    &pace::SPEED,
    &pace::PAUSE,
    &pace::RESUME,
    &pace::STEP,
    &snapshots::SAVE,
    &snapshots::LIST,
    &snapshots::INSPECT,
    &snapshots::VALIDATE,
    &whatif::ASK,
    &whatif::STATUS,
    &whatif::CANCEL,
    &training::STATUS,
    &training::PAUSE,
    &training::RESUME,
    &incidents::INCIDENT,
    &incidents::ALERT_ACK,
    &session::ESCALATE,
    &session::VIEWER,
    &relationships::SUMMARY,
    &relationships::DETAIL,
    &relationships::RIVALRIES,
    &relationships::CONFLICT,
    &relationships::EVENTS,
    &relationships::SET_REL,
    &relationships::FORCE_CHAT,
    &promotion::STATUS,
    &promotion::CANDIDATE,
    &promotion::PROMOTE,
    &promotion::ROLLBACK,
    &promotion::SWAP,
    &promotion::HOLD,
];

impl Row {
    fn spec(&self) -> CommandSpec {
        CommandSpec {
            name: self.name.into(),
            args: (self.args)(),
            role: self.role,
            effect: self.effect,
            mutating: matches!(self.effect, Effect::Town | Effect::Shard),
            destructive: self.destructive,
            help: self.help.into(),
        }
    }
}

static SPECS: LazyLock<Vec<CommandSpec>> = LazyLock::new(|| TABLE.iter().map(|row| row.spec()).collect());

/// Every row as clients see it, in the order of the table.
pub fn specs() -> Vec<CommandSpec> {
    SPECS.clone()
}

/// A line that fits a row.
pub(super) struct Invocation {
    pub spec: &'static CommandSpec,
    /// The line in its normal form.
    pub line: String,
    /// The arguments by name, as the audit log keeps them.
    pub args: Value,
    /// What it does; or why its arguments name nothing.
    pub operation: Result<Operation, ErrorBody>,
}

impl Invocation {
    pub(super) fn of_line(line: &str, plan: &Plan) -> Result<Self, ErrorBody> {
        command_line::parse(&SPECS, line).map(|parsed| Self::of(parsed, plan))
    }

    /// Reads a command as the audit log has it.
    pub(super) fn of_record(command: &str, args: &Value, plan: &Plan) -> Result<Self, ErrorBody> {
        let spec = SPECS.iter().find(|spec| spec.name == command);
        let spec = spec.ok_or_else(|| error("E_UNKNOWN_COMMAND", "there is no such command.", ""))?;
        Parsed::from_args(spec, args).map(|parsed| Self::of(parsed, plan))
    }

    fn of(parsed: Parsed<'static>, plan: &Plan) -> Self {
        let row = TABLE.iter().find(|row| row.name == parsed.spec.name).expect("the specs are made from the table");
        let (spec, line, args) = (parsed.spec, parsed.normalised(), parsed.args());
        Self { spec, line, args, operation: (row.build)(parsed.values, plan) }
    }
}

/// At most twelve of a list, and how many more.
pub(super) fn listed(names: &[String]) -> String {
    let shown = names.iter().take(12).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(12) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

pub(super) fn error(code: &str, message: impl Into<String>, hint: impl Into<String>) -> ErrorBody {
    ErrorBody::new(code, message, hint)
}

/// `Did you mean …?` for the nearest of some names, or another hint when none is near.
pub(super) fn near_hint<'a>(typed: &str, names: impl Iterator<Item = &'a str>, otherwise: impl Into<String>) -> String {
    command_line::nearest(typed, names).map_or_else(|| otherwise.into(), |near| format!("Did you mean `{near}`?"))
}

/// Longest part of a result in bytes of JSON: a client reads it as a generic value, which takes up to 20 times as much memory.
const MAX_PART: usize = 3 * 1024 * 1024;

/// A part of a result, unless it is too long for an answer: towns of thousands of residents have long lists.
pub(super) fn part(value: &impl Serialize) -> Reply {
    let too_large = |_| {
        let message = format!("the result is longer than the {} MiB that an answer holds.", MAX_PART / 1_048_576);
        error("E_TOO_LARGE", message, "`townlet telemetry snapshot` prints the whole state of a served shard.")
    };
    json_length(value, MAX_PART).map_err(too_large)?;
    serde_json::to_value(value).map_err(too_large)
}

pub(super) fn refused(refusal: Refusal) -> ErrorBody {
    error(refusal.code, refusal.message, refusal.hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_part_of_a_result_is_refused() {
        let rows = |count: usize| vec!["x".repeat(1_021); count];
        // Quotes and commas make it whole kibibytes, and a byte more for the brackets.
        assert_eq!(part(&rows(3 * 1_024 - 1)).map(|rows| rows.as_array().map(Vec::len)), Ok(Some(3_071)));
        let refused = part(&rows(3 * 1_024)).unwrap_err();
        assert_eq!(refused.code, "E_TOO_LARGE");
        assert!(refused.message.contains("3 MiB") && refused.hint.contains("telemetry snapshot"), "{refused}");
    }
}

//! The command table: every command is one row, and everything that lists commands is made from the rows.
//!
//! A new command touches its own file in `commands` and the list here. The role gate, the audit log and the retry rules
//! live in `dispatch`; a row only says what it needs and what it does. Rule: "Command table".

use std::collections::BTreeMap;

use serde_json::Value;
use townlet_town::{AgentId, Command, Refusal, Town, names};

use super::commands::{
    employment, incidents, inspect, pace, perturbations, promotion, relationships, residents, session, snapshots,
    training, world,
};
use super::promotion::{Order, Releases};
use super::telemetry::ShardStatus;
use townlet_wire::command_line::nearest;
use townlet_wire::{ArgKind, ArgSpec, CommandSpec, Effect, ErrorBody, Role};

/// One argument of a row.
pub(super) struct Arg {
    /// As in the help.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Whether it may be left out.
    pub required: bool,
    /// Given as `--name value`.
    pub flag: bool,
}

/// [`ArgKind`] as a constant.
pub(super) enum Kind {
    /// A resident.
    Agent,
    /// An object or a place.
    Spot,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number in this range.
    Integer(i64, i64),
    /// A decimal in this range.
    Decimal(f64, f64),
    /// A command's name.
    Command,
    /// A snapshot of this run.
    Snapshot,
    /// A policy: a checkpoint's id, `shipped` or `scripted`. It is loaded before the row is asked.
    Policy,
    /// A release snapshot. Its release is loaded before the row is asked.
    Release,
    /// Free text.
    Text,
}

/// A required argument.
pub(super) const fn arg(name: &'static str, kind: Kind) -> Arg {
    Arg { name, kind, required: true, flag: false }
}

/// An argument that may be left out.
pub(super) const fn optional(name: &'static str, kind: Kind) -> Arg {
    Arg { name, kind, required: false, flag: false }
}

/// `--reason <text>`.
pub(super) const REASON: Arg = Arg { name: "reason", kind: Kind::Text, required: false, flag: true };

/// What an answer's result is: an object with at least `summary`.
pub(super) type Reply = Result<Value, ErrorBody>;

/// How a row does what it does.
pub(super) enum Run {
    /// Answers from what is.
    Read(fn(&Look<'_>, &Args) -> Reply),
    /// Answers from files, away from the town's thread.
    Files(fn(&std::path::Path, &Args) -> Reply),
    /// Makes the data that the town is given.
    Town(fn(&Look<'_>, &Args) -> Result<Command, ErrorBody>),
    /// Makes a deed of the shard, audited like a change to the town.
    Shard(fn(&Look<'_>, &Args) -> Result<ShardAction, ErrorBody>),
    /// Takes what the shard's files say now; they are read beside the loop before the row is asked.
    Reload,
    /// Makes a deed of pace, which the owner of a local town may do whatever the role.
    Pace(fn(&Look<'_>, &Args) -> Result<ShardAction, ErrorBody>),
}

/// What a shard does to itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ShardAction {
    /// Ticks at this rate, and goes on when paused.
    Speed(super::engine::Speed),
    /// No more ticks.
    Pause,
    /// Ticks again.
    Resume,
    /// So many ticks, then paused.
    Step(u64),
    /// A snapshot now.
    SaveSnapshot,
    /// An incident bundle now, and why.
    Incident(String),
    /// Sentences about the town: whether there are any, and how many a window.
    Narration(Option<bool>, Option<u32>),
    /// Whether telemetry is merged.
    TelemetryMode(super::publish::Mode),
    /// Whether names and ids of residents leave as keyed hashes.
    Privacy(bool),
    /// Whether the training beside the town goes on.
    Train(bool),
    /// The session's role.
    Role(Role),
    /// A change of the release, which is done when its file holds it.
    Release(Order),
}

/// One row.
pub(super) struct Row {
    /// One or two words.
    pub name: &'static str,
    /// In the order they are typed.
    pub args: &'static [Arg],
    /// The least role that may run it.
    pub role: Role,
    /// Whether screens confirm it.
    pub destructive: bool,
    /// One line.
    pub help: &'static str,
    /// How.
    pub run: Run,
}

/// THE table of commands.
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
    &training::STATUS,
    &training::PAUSE,
    &training::RESUME,
    &incidents::INCIDENT,
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
    /// The describing half, as clients see it.
    pub(super) fn spec(&self) -> CommandSpec {
        let (effect, mutating) = match self.run {
            Run::Read(_) | Run::Files(_) => (Effect::Read, false),
            Run::Town(_) | Run::Reload => (Effect::Town, true),
            Run::Shard(_) => (Effect::Shard, true),
            Run::Pace(_) => (Effect::Pace, false),
        };
        CommandSpec {
            name: self.name.into(),
            args: self.args.iter().map(Arg::spec).collect(),
            role: self.role,
            effect,
            mutating,
            destructive: self.destructive,
            help: self.help.into(),
        }
    }
}

impl Arg {
    fn spec(&self) -> ArgSpec {
        let kind = match self.kind {
            Kind::Agent => ArgKind::Agent,
            Kind::Spot => ArgKind::Place,
            Kind::Choice(words) => ArgKind::Choice(words.iter().map(|word| (*word).into()).collect()),
            Kind::Integer(min, max) => ArgKind::Integer { min, max },
            Kind::Decimal(min, max) => ArgKind::Decimal { min, max },
            Kind::Command => ArgKind::Command,
            Kind::Snapshot => ArgKind::Snapshot,
            Kind::Policy => ArgKind::Policy,
            Kind::Release => ArgKind::Release,
            Kind::Text => ArgKind::Text,
        };
        ArgSpec { name: self.name.into(), kind, required: self.required, flag: self.flag }
    }
}

/// Every row's describing half, in the order of the table.
pub fn specs() -> Vec<CommandSpec> {
    TABLE.iter().map(|row| row.spec()).collect()
}

/// What a row may look at.
pub(super) struct Look<'a> {
    /// The town.
    pub town: &'a Town,
    /// The shard around it.
    pub status: &'a ShardStatus,
    /// The log, for its tail and its state.
    pub log: &'a townlet_audit::Log,
    /// What is known of the shard's releases; nothing where a command is lived again, which changes the town alone.
    pub releases: Option<&'a Releases>,
}

impl<'a> Look<'a> {
    /// What is known of the shard's releases.
    ///
    /// # Errors
    /// `E_CONFLICT` where there is no shard around the town.
    pub(super) fn releases(&self) -> Result<&'a Releases, ErrorBody> {
        self.releases.ok_or_else(|| error("E_CONFLICT", "no release is known here.", "Ask a running shard."))
    }

    /// The resident that an argument names.
    ///
    /// # Errors
    /// `E_NOT_FOUND` with the nearest id.
    pub(super) fn agent(&self, args: &Args) -> Result<AgentId, ErrorBody> {
        self.resident(args.text("agent"))
    }

    /// The resident of an id, a name or a hashed id.
    ///
    /// # Errors
    /// `E_NOT_FOUND` with the nearest id.
    pub(super) fn resident(&self, id: &str) -> Result<AgentId, ErrorBody> {
        self.town.find(id).ok_or_else(|| {
            let agents = &self.town.state().agents;
            let ids: Vec<String> = agents.present.iter().map(|agent| names::id(agents.resident[*agent])).collect();
            let near = nearest(id, ids.iter().map(String::as_str));
            let hint =
                near.map_or_else(|| format!("Residents: {}.", listed(&ids)), |near| format!("Did you mean `{near}`?"));
            error("E_NOT_FOUND", format!("nobody here is called `{id}`."), hint)
        })
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

/// An error in the one shape.
pub(super) fn error(code: &str, message: impl Into<String>, hint: impl Into<String>) -> ErrorBody {
    ErrorBody { code: code.into(), message: message.into(), hint: hint.into() }
}

/// A refusal of the town in the one shape.
pub(super) fn refused(refusal: Refusal) -> ErrorBody {
    error(refusal.code, refusal.message, refusal.hint)
}

/// Arguments by name, already checked against the row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Args(pub BTreeMap<String, String>);

impl Args {
    /// An argument, empty when it was left out.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// An argument that may have been left out.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A whole number, which the row has checked.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(|text| text.parse().ok())
    }

    /// A decimal, which the row has checked.
    pub(super) fn decimal(&self, name: &str) -> townlet_town::Micro {
        self.get(name).and_then(|text| text.parse().ok()).and_then(townlet_town::Micro::from_f64).unwrap_or_default()
    }

    /// Back from the audit log.
    pub(super) fn logged(args: &Value) -> Self {
        let texts = args.as_object().into_iter().flatten();
        Self(texts.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect())
    }

    /// As the audit log keeps them.
    pub(super) fn json(&self) -> Value {
        self.0
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(value.clone())))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

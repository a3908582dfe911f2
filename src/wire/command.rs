//! Commands as data: their rows with arguments and roles, requests and answers.
//!
//! A [`CommandSpec`] describes a row of the command table; the code that runs it is in the shard.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Defines an enum of words. The word of a variant is its name in JSON, on the screen and in logs.
#[macro_export]
macro_rules! word_enum {
    ($(#[$about:meta])* pub$(($scope:ident))? enum $name:ident { $($(#[$meaning:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub$(($scope))? enum $name { $($(#[$meaning])* #[serde(rename = $word)] $variant,)+ }

        impl $name {
            /// The name in JSON.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

word_enum! {
    /// What a session may do. A session starts as a viewer.
    #[derive()]
    #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
    pub enum Role {
        /// Reads; changes nothing.
        Viewer = "viewer",
        /// May change the town and the shard.
        Admin = "admin",
    }
}

/// The caller of a command: issuer, role and transport.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Session {
    /// A name for the log: `tui:<user>`, `script:<file>`, `token:<id>`.
    pub issuer: String,
    /// The current role.
    pub role: Role,
    /// `local`, `script`, `http`.
    pub transport: String,
    /// Whether this session started the shard's process. The owner may change the pace in every role.
    pub owner: bool,
}

/// What a command acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Reads; changes nothing.
    Read,
    /// Changes the town between ticks: journalled, replayed, part of the digest.
    Town,
    /// Changes the shard: snapshots, sessions, narration. Not part of the digest.
    Shard,
    /// Changes the pace of a local town: as `Shard`, and its owner may use it in every role.
    Pace,
}

/// What an argument may be; also where its completions come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ArgKind {
    /// A resident by id, name or hashed id.
    Agent,
    /// An object of the map, such as `shower_1`.
    Object,
    /// A place of the map, such as `cafe`.
    Place,
    /// One of these words.
    Choice(Vec<String>),
    /// A whole number in this range.
    Integer {
        /// Least.
        min: i64,
        /// Most.
        max: i64,
    },
    /// A decimal in this range.
    Decimal {
        /// Least.
        min: f64,
        /// Most.
        max: f64,
    },
    /// The name of a command; when it is required and in the last place, command lines to the end of the line.
    Command,
    /// The name of a snapshot file as `snapshot list` shows it.
    Snapshot,
    /// A policy: a checkpoint's id, `shipped` or `scripted`.
    Policy,
    /// A release snapshot as `promotion_status` lists them.
    Release,
    /// Anything, at most 200 characters.
    Text,
}

/// One argument of a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ArgSpec {
    /// As shown in the help: `<agent>`.
    pub name: String,
    /// Its type and completion source.
    pub kind: ArgKind,
    /// Optional arguments come last, or as `--name value` when `flag`.
    pub required: bool,
    /// Given as `--name value` instead of by place.
    pub flag: bool,
}

/// One row of the command table, as clients see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CommandSpec {
    /// One or two words: `employment_exit approve`.
    pub name: String,
    /// In the order they are typed.
    pub args: Vec<ArgSpec>,
    /// The least role that may run it.
    pub role: Role,
    /// What it acts on.
    pub effect: Effect,
    /// Whether it changes anything at all. Mutating commands are audited before and after.
    pub mutating: bool,
    /// Whether it cannot be undone. Screens ask for confirmation.
    pub destructive: bool,
    /// One line.
    pub help: String,
}

impl CommandSpec {
    /// `employment_exit defer <agent> [--reason <text>]`.
    pub fn usage(&self) -> String {
        let mut usage = self.name.clone();
        for arg in &self.args {
            let body = match &arg.kind {
                ArgKind::Choice(words) if arg.flag => format!("--{} {}", arg.name, words.join("|")),
                ArgKind::Choice(words) => words.join("|"),
                ArgKind::Integer { .. } if arg.flag => format!("--{} <whole number>", arg.name),
                ArgKind::Decimal { .. } if arg.flag => format!("--{} <number>", arg.name),
                _ if arg.flag => format!("--{} <text>", arg.name),
                _ => format!("<{}>", arg.name),
            };
            usage.push(' ');
            let shown = if arg.required { body } else { format!("[{body}]") };
            usage.push_str(&shown);
        }
        usage
    }

    /// Whether it does anything but read: the pace counts, too.
    pub fn acts(&self) -> bool {
        self.effect != Effect::Read
    }
}

impl Session {
    /// Whether the session has the admin role.
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }
}

/// The one role rule. Screens dim by it; only the shard enforces it.
pub fn allowed(session: &Session, spec: &CommandSpec) -> bool {
    session.role >= spec.role || (session.owner && spec.effect == Effect::Pace)
}

/// A command on its way to a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The whole line as typed, such as `employment_exit approve ada --reason "moved away"`.
    pub command: String,
    /// `UUIDv7` made by the client for every mutating command; makes a retry safe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = r"^[!-{}~]{1,128}$")))]
    pub cmd_id: Option<String>,
    /// Same checks, no effect, says what would happen.
    #[serde(default)]
    pub dry_run: bool,
    /// An admin token for `escalate`. Never logged, never echoed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// A screen's own polling: answered, never audited. Only reads may be queries.
    #[serde(default)]
    pub query: bool,
    /// The run it is meant for. A shard that runs another refuses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// When it may no longer be executed, in milliseconds since 1970 by the shard's clock (`now_ms` of `/v1/commands`). A shard that
    /// was frozen, or a request that was under way for long, then changes nothing any more.
    #[serde(default, deserialize_with = "crate::whole_number::optional", skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
}

impl Request {
    /// A line typed or bound to a key.
    pub fn line(command: impl Into<String>) -> Self {
        Self { command: command.into(), ..Self::default() }
    }

    /// What a line would do, asked by a screen of its own accord.
    pub fn preview(command: impl Into<String>) -> Self {
        Self { dry_run: true, query: true, ..Self::line(command) }
    }
}

word_enum! {
    /// How a command ended.
    #[derive()]
    #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
    pub enum Status {
        /// Done.
        Ok = "ok",
        /// Refused or failed; nothing was changed unless the message says so.
        Error = "error",
        /// Would have been done.
        DryRun = "dry_run",
    }
}

/// An error and its remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorBody {
    /// `E_NOT_FOUND`, `E_INVALID_ARG`, `E_FORBIDDEN`, `E_CONFLICT`, `E_UNKNOWN_COMMAND`, `E_CMD_ID_REUSED`, …
    pub code: String,
    /// One sentence.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl ErrorBody {
    /// An error with its hint.
    pub fn new(code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), hint: hint.into() }
    }

    /// The refusal of a command that was meant for the run `meant` by a shard that runs `this`.
    pub fn other_run(meant: &str, this: &str) -> Self {
        let message = format!("the command was meant for the run {meant}; this shard runs {this}.");
        Self::new(
            "E_OTHER_RUN",
            message,
            "Nothing was changed. Look at this run, and send a new command if it is right.",
        )
    }
}

/// One line for a terminal.
impl std::fmt::Display for ErrorBody {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(format!("{}  {} {}", self.code, self.message, self.hint).trim_end())
    }
}

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Answer {
    /// The request's id, or one made for it.
    pub cmd_id: String,
    /// The command with its arguments normalised.
    pub command: String,
    /// How it ended.
    pub status: Status,
    /// The tick it was applied at, or the current one.
    pub tick: u64,
    /// The result. `summary` is always one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// The error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
    /// Whether this is the stored answer of an earlier, equal request.
    pub replayed: bool,
    /// Where it was logged: `<file>:<seq>`; empty when it was not.
    #[serde(default)]
    pub audit: String,
    /// Whether the client made it, because the request did not reach the shard. Its tick means nothing then.
    #[serde(skip)]
    pub by_client: bool,
}

impl Answer {
    /// The answer to a command that was run at `tick`, or refused there.
    pub fn new(
        cmd_id: impl Into<String>,
        command: impl Into<String>,
        tick: u64,
        result: Result<Value, ErrorBody>,
    ) -> Self {
        let status = if result.is_ok() { Status::Ok } else { Status::Error };
        let (result, error) = match result {
            Ok(result) => (Some(result), None),
            Err(error) => (None, Some(error)),
        };
        let (cmd_id, command) = (cmd_id.into(), command.into());
        Self { cmd_id, command, status, tick, result, error, replayed: false, audit: String::new(), by_client: false }
    }

    /// The refusal of a request by the client itself.
    pub fn by_client(cmd_id: impl Into<String>, command: impl Into<String>, error: ErrorBody) -> Self {
        Self { by_client: true, ..Self::new(cmd_id, command, 0, Err(error)) }
    }

    /// The tick that it was applied at, or that was the current one; `None` when the shard has not answered.
    pub fn shard_tick(&self) -> Option<u64> {
        (!self.by_client).then_some(self.tick)
    }

    /// One human line: the result's `summary`, or the error with its code.
    pub fn summary(&self) -> String {
        if let Some(error) = &self.error {
            return error.to_string();
        }
        match self.result.as_ref().and_then(|result| result.get("summary")).and_then(Value::as_str) {
            Some(summary) => summary.to_owned(),
            None => String::from("done"),
        }
    }
}

//! `townlet telemetry check`: validates payloads of any producer against the published schema of their version.
//!
//! A payload is a snapshot, an answer to `telemetry_snapshot` or a message of the stream. The schemas in `docs/schema` are
//! part of the program. Of a snapshot only [`REQUIRED`] names must be there, because other producers do not have the names that
//! this program adds; what is there must have the right type. Exit status 1 when a payload is invalid, 2 when a file cannot be
//! read. Rule: "Telemetry".

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};

use crate::cli::{EXIT_BAD_INPUT, EXIT_CHECK_FAILED, output};
use townlet_wire::escape;
use townlet_wire::json_text::JsonText;
use townlet_wire::renamed::{self, find_old_name};
use townlet_wire::schema_check::{self, SchemaViolation, clipped, quoted};

/// Every published version with the schemas of a snapshot and of a message.
const SCHEMAS: &[(&str, &str, &str)] = &[(
    "0.2.0",
    include_str!("../../../docs/schema/telemetry-0.2.0.json"),
    include_str!("../../../docs/schema/stream-0.2.0.json"),
)];

/// Names that every producer writes into a snapshot. A `*` is the name of a resident or an object.
const REQUIRED: &[&str] = &[
    "schema_version",
    "jobs",
    "jobs.*.job_id",
    "jobs.*.on_shift",
    "jobs.*.wallet",
    "jobs.*.shift_state",
    "jobs.*.attendance_ratio",
    "jobs.*.late_ticks_today",
    "jobs.*.wages_withheld",
    "economy",
    "economy.*.type",
    "economy.*.stock",
    "employment",
    "employment.pending",
    "employment.pending_count",
    "employment.exits_today",
    "employment.daily_exit_cap",
    "employment.queue_limit",
    "employment.review_window",
    "events[].event",
    "events[].tick",
];

/// Largest file read, in bytes.
const MAX_BYTES: u64 = 256 * 1024 * 1024;
/// Violations printed for each payload.
const MAX_SHOWN: usize = 50;

#[derive(clap::Args, Debug)]
pub(in crate::cli) struct Args {
    /// Payloads (.json), streams (.jsonl, one payload per line), or folders of both
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Require every name that this program writes, not only those of every producer
    #[arg(long)]
    strict_own: bool,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

struct PayloadReport {
    name: String,
    version: String,
    kind: &'static str,
    violations: Vec<SchemaViolation>,
    /// Number of names that this program writes and the payload does not have.
    optional: usize,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let mut outcome = Outcome::default();
    if args.json {
        output::json_array(|add| {
            outcome = check_files(args, &mut |report| add(&report.row()))?;
            outcome.unread.iter().try_for_each(|(path, error)| {
                let (path, error) = (path.to_string_lossy(), format!("{error:#}"));
                add(&json!({ "file": path, "passed": false, "unreadable": error, "mistakes": [] }))
            })
        })?;
    } else {
        outcome = check_files(args, &mut PayloadReport::print)?;
    }
    Ok(match (outcome.unread.is_empty(), outcome.invalid) {
        (false, _) => ExitCode::from(EXIT_BAD_INPUT),
        (true, true) => ExitCode::from(EXIT_CHECK_FAILED),
        (true, false) => ExitCode::SUCCESS,
    })
}

#[derive(Default)]
struct Outcome {
    /// Whether a payload is invalid.
    invalid: bool,
    unread: Vec<(PathBuf, anyhow::Error)>,
}

/// Passes the report of each payload to `tell`, and says which files cannot be read.
fn check_files(args: &Args, tell: &mut dyn FnMut(&PayloadReport) -> Result<()>) -> Result<Outcome> {
    let schemas = parse_schemas()?;
    let mut outcome = Outcome::default();
    let fail = |outcome: &mut Outcome, path: &Path, error: anyhow::Error| {
        output::stderr!("townlet: {}", escape(&format!("{error:#}")));
        outcome.unread.push((path.to_owned(), error));
    };
    for path in &args.files {
        let files = payload_files(path).unwrap_or_else(|error| {
            fail(&mut outcome, path, error);
            Vec::new()
        });
        for file in files {
            match read(&file) {
                Ok(text) => payloads(&file.display().to_string(), &text, is_lines(&file)).try_for_each(|payload| {
                    let (name, payload) = payload?;
                    let report = check(&schemas, name, payload, args.strict_own);
                    outcome.invalid |= !report.violations.is_empty();
                    tell(&report)
                })?,
                Err(error) => fail(&mut outcome, &file, error),
            }
        }
    }
    Ok(outcome)
}

/// Checks the payloads of a text, a line each, and prints nothing. Answers with the number of violations.
pub(in crate::cli) fn try_check(text: &str) -> Result<usize> {
    let schemas = parse_schemas()?;
    payloads("payloads.jsonl", text, true).try_fold(0, |found, payload| {
        let (name, payload) = payload?;
        Ok(found + check(&schemas, name, payload, false).violations.len())
    })
}

impl PayloadReport {
    fn row(&self) -> Value {
        let mistakes: Vec<Value> =
            self.violations.iter().map(|it| json!({ "path": it.path, "message": it.message })).collect();
        json!({
            "file": self.name, "kind": self.kind, "schema_version": self.version,
            "passed": mistakes.is_empty(), "mistakes": mistakes, "optional_missing": self.optional,
        })
    }

    fn print(&self) -> Result<()> {
        let count = self.violations.len();
        let verdict = match (count, self.optional) {
            (0, 0) => "valid".to_owned(),
            (0, optional) => format!("valid, without {optional} optional names (`--strict-own` lists them)"),
            _ => format!("INVALID ({count})"),
        };
        output::line(&escape(&format!("{}: {} {}: {verdict}", self.name, self.kind, self.version)))?;
        for violation in self.violations.iter().take(MAX_SHOWN) {
            output::line(&format!("  {}: {}", escape(&violation.path), escape(&violation.message)))?;
        }
        if count > MAX_SHOWN {
            output::line(&format!("  and {} more", count - MAX_SHOWN))?;
        }
        Ok(())
    }
}

/// The file itself, or every payload file in a folder and its subfolders, sorted.
fn payload_files(path: &Path) -> Result<Vec<PathBuf>> {
    if !std::fs::metadata(path).map_err(|error| output::read_error(path, &error))?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    collect_files(path, &mut files)?;
    files.sort();
    ensure!(!files.is_empty(), "{}: the folder contains no .json or .jsonl file.", path.display());
    Ok(files)
}

fn collect_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    for entry in entries.map_err(|error| output::read_error(folder, &error))? {
        let path = entry.path();
        // Links are not followed, because they can form a cycle.
        if entry.file_type().map_err(|error| output::read_error(&path, &error))?.is_dir() {
            collect_files(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "json" || extension == "jsonl") {
            files.push(path);
        }
    }
    Ok(())
}

/// The text of a file of valid JSON.
fn read(path: &Path) -> Result<String> {
    let text = output::read_text(path, MAX_BYTES)?;
    // A file that cannot be read to its end has no reports.
    payloads(&path.display().to_string(), &text, is_lines(path)).try_for_each(|payload| payload.map(drop))?;
    Ok(text)
}

fn is_lines(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jsonl")
}

/// The payloads of a text with their names: one, or one for each line that is not blank.
fn payloads<'a>(
    name: &'a str,
    text: &'a str,
    is_lines: bool,
) -> Box<dyn Iterator<Item = Result<(String, JsonText<'a>)>> + 'a> {
    let parse = |name: String, text: &'a str| match JsonText::parse(text) {
        Ok(payload) => Ok((name, payload)),
        Err(error) => Err(anyhow!("{name}: invalid JSON: {error}")),
    };
    if !is_lines {
        return Box::new(std::iter::once_with(move || parse(name.to_owned(), text)));
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    Box::new(lines.map(move |(number, line)| parse(format!("{name}:{}", number + 1), line)))
}

/// A version with the schemas of a snapshot and of a message.
type Schemas = Vec<(&'static str, Value, Value)>;

fn parse_schemas() -> Result<Schemas> {
    let parse = |text| serde_json::from_str(text).context("a built-in schema is invalid");
    SCHEMAS.iter().map(|(version, snapshot, message)| Ok((*version, parse(snapshot)?, parse(message)?))).collect()
}

fn check(schemas: &Schemas, name: String, file: JsonText<'_>, strict: bool) -> PayloadReport {
    let [result, cmd_id, kind, seq, epoch, inner, version] =
        file.find(["result", "cmd_id", "kind", "seq", "epoch", "payload", "schema_version"]);
    let is_message = kind.is_some() && (seq.is_some() || epoch.is_some() || inner.is_some());
    let (kind, path, payload, version) = match result {
        Some(result) if cmd_id.is_some() => ("answer", "$.result", result, result.find(["schema_version"])[0]),
        _ if is_message => ("message", "$", file, version),
        _ => ("snapshot", "$", file, version),
    };
    let value = version.and_then(JsonText::scalar);
    let value = value.as_ref().and_then(Value::as_str);
    let Some((known, snapshot, message)) = schemas.iter().find(|schema| value == Some(schema.0)) else {
        let known = SCHEMAS.iter().map(|schema| schema.0).collect::<Vec<_>>().join(", ");
        let message = match version {
            None => format!("is missing; known versions: {known}"),
            Some(version) => format!("{} is not a known version; known versions: {known}", quoted(version)),
        };
        let violations = vec![SchemaViolation::new(format!("{path}.schema_version"), message)];
        let version = clipped(value.unwrap_or("without a version")).into_owned();
        return PayloadReport { name, version, kind, violations, optional: 0 };
    };
    // A message of the stream has only one producer.
    let needs_all = strict || kind == "message";
    let schema = if kind == "message" { message } else { snapshot };
    let is_optional = |missing: &str| !needs_all && !is_required(&missing[path.len()..]);
    let mut found = schema_check::check(schema, payload, path, &is_optional);
    let named = inner.filter(|_| kind != "answer").unwrap_or(payload);
    let old_name = find_old_name(|name| named.find([name])[0].is_some(), renamed::SNAPSHOT);
    found.violations.extend(old_name.map(|why| SchemaViolation::new(path.into(), why)));
    PayloadReport { name, version: (*known).into(), kind, violations: found.violations, optional: found.optional }
}

/// Whether every producer must write the name at this path, such as `.jobs.ada.wallet` or `.events[3].tick`.
fn is_required(path: &str) -> bool {
    let plain = |part: &str| part.split_once('[').map_or_else(|| part.to_owned(), |(list, _)| format!("{list}[]"));
    let parts: Vec<String> = path.trim_start_matches('.').split('.').map(plain).collect();
    REQUIRED.iter().any(|row| {
        let row: Vec<&str> = row.split('.').collect();
        row.len() == parts.len() && row.iter().zip(&parts).all(|(name, part)| *name == "*" || name == part)
    })
}

//! `townlet telemetry check`: validates payloads of any producer against the published schema of their version.
//!
//! A payload is a snapshot, an answer to `telemetry_snapshot` or a message of the stream. The schemas in `docs/schema` are
//! part of the program. Of a snapshot only [`REQUIRED`] names must be there, because other producers do not have the names that
//! this program adds; what is there must have the right type. Exit status 1 when a payload is invalid, 2 when a file cannot be
//! read. Rule: "Telemetry".

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::cli::{EXIT_BAD_INPUT, EXIT_CHECK_FAILED, output};
use townlet_bounded::BoundedError;
use townlet_wire::escape;
use townlet_wire::renamed::{self, find_old_name};
use townlet_wire::schema_check::{SchemaViolation, violations};

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
    let schemas = parse_schemas()?;
    let (mut reports, mut unread) = (Vec::new(), Vec::new());
    for path in &args.files {
        let files = payload_files(path).unwrap_or_else(|error| {
            unread.push((path.clone(), error));
            Vec::new()
        });
        for file in files {
            let first = reports.len();
            if let Err(error) = read(&file, |name, value| reports.push(check(&schemas, name, &value, args.strict_own)))
            {
                reports.truncate(first);
                unread.push((file, error));
            }
        }
    }
    print_reports(&reports, &unread, args.json)?;
    Ok(match (unread.is_empty(), reports.iter().all(|report| report.violations.is_empty())) {
        (false, _) => ExitCode::from(EXIT_BAD_INPUT),
        (true, false) => ExitCode::from(EXIT_CHECK_FAILED),
        (true, true) => ExitCode::SUCCESS,
    })
}

/// Checks the payloads of a text, a line each, and prints nothing. Answers with the number of violations.
pub(in crate::cli) fn try_check(text: &str) -> Result<usize> {
    let (schemas, mut found) = (parse_schemas()?, 0);
    read_lines("payloads.jsonl", text, &mut |name, value| {
        found += check(&schemas, name, &value, false).violations.len();
    })?;
    Ok(found)
}

fn print_reports(reports: &[PayloadReport], unread: &[(PathBuf, anyhow::Error)], as_json: bool) -> Result<()> {
    for (_, error) in unread {
        output::stderr!("townlet: {}", escape(&format!("{error:#}")));
    }
    if as_json {
        let reports = reports.iter().map(|it| {
            let mistakes: Vec<Value> =
                it.violations.iter().map(|it| json!({ "path": it.path, "message": it.message })).collect();
            json!({
                "file": it.name, "kind": it.kind, "schema_version": it.version,
                "passed": mistakes.is_empty(), "mistakes": mistakes, "optional_missing": it.optional,
            })
        });
        let unread = unread.iter().map(|(path, error)| {
            json!({ "file": path.to_string_lossy(), "passed": false, "unreadable": format!("{error:#}"), "mistakes": [] })
        });
        return output::json(&reports.chain(unread).collect());
    }
    for it in reports {
        let count = it.violations.len();
        let verdict = match (count, it.optional) {
            (0, 0) => "valid".to_owned(),
            (0, optional) => format!("valid, without {optional} optional names (`--strict-own` lists them)"),
            _ => format!("INVALID ({count})"),
        };
        output::line(&escape(&format!("{}: {} {}: {verdict}", it.name, it.kind, it.version)))?;
        for violation in it.violations.iter().take(MAX_SHOWN) {
            output::line(&format!("  {}: {}", escape(&violation.path), escape(&violation.message)))?;
        }
        if count > MAX_SHOWN {
            output::line(&format!("  and {} more", count - MAX_SHOWN))?;
        }
    }
    Ok(())
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

/// Passes each payload of a file to `each`, with its name. One payload is in memory at a time.
fn read(path: &Path, mut each: impl FnMut(&str, Value)) -> Result<()> {
    let text = output::read_text(path, MAX_BYTES)?;
    let name = path.display().to_string();
    if path.extension().is_none_or(|extension| extension != "jsonl") {
        return read_one(&name, &text, &mut each);
    }
    read_lines(&name, &text, &mut each)
}

fn read_lines(name: &str, text: &str, each: &mut dyn FnMut(&str, Value)) -> Result<()> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.try_for_each(|(number, line)| read_one(&format!("{name}:{}", number + 1), line, each))
}

fn read_one(name: &str, text: &str, each: &mut dyn FnMut(&str, Value)) -> Result<()> {
    let mut input = serde_json::Deserializer::from_str(text);
    let value = townlet_bounded::deserialize(&mut input, townlet_bounded::most_for(text.len()));
    let value = value.and_then(|value| input.end().map(|()| value).map_err(BoundedError::Invalid));
    match value {
        Ok(value) => each(name, value),
        Err(BoundedError::Invalid(error)) => bail!("{name}: invalid JSON: {error}"),
        Err(error) => bail!("{name}: {error}"),
    }
    Ok(())
}

/// A version with the schemas of a snapshot and of a message.
type Schemas = Vec<(&'static str, Value, Value)>;

fn parse_schemas() -> Result<Schemas> {
    let parse = |text| serde_json::from_str(text).context("a built-in schema is invalid");
    SCHEMAS.iter().map(|(version, snapshot, message)| Ok((*version, parse(snapshot)?, parse(message)?))).collect()
}

fn check(schemas: &Schemas, name: &str, file: &Value, strict: bool) -> PayloadReport {
    let has = |key: &str| file.get(key).is_some();
    let (kind, path, payload) = match file.get("result") {
        Some(result) if has("cmd_id") => ("answer", "$.result", result),
        _ if has("kind") && (has("seq") || has("epoch") || has("payload")) => ("message", "$", file),
        _ => ("snapshot", "$", file),
    };
    let version = payload.get("schema_version").and_then(Value::as_str);
    let report = |version: &str, mut violations: Vec<SchemaViolation>| {
        let all = violations.len();
        // A message of the stream has only one producer.
        violations.retain(|it| strict || kind == "message" || !it.is_missing() || is_required(&it.path[path.len()..]));
        let optional = all - violations.len();
        PayloadReport { name: name.into(), version: version.into(), kind, violations, optional }
    };
    if let Some((version, snapshot, message)) = schemas.iter().find(|schema| version == Some(schema.0)) {
        let mut found = violations(if kind == "message" { message } else { snapshot }, payload, path);
        let old_name = find_old_name(payload.get("payload").unwrap_or(payload), renamed::SNAPSHOT);
        found.extend(old_name.map(|why| SchemaViolation::new(path.into(), why)));
        return report(version, found);
    }
    let known = SCHEMAS.iter().map(|schema| schema.0).collect::<Vec<_>>().join(", ");
    let message = match payload.get("schema_version") {
        None => format!("is missing; known versions: {known}"),
        Some(version) => format!("{version} is not a known version; known versions: {known}"),
    };
    let violation = SchemaViolation::new(format!("{path}.schema_version"), message);
    report(version.unwrap_or("without a version"), vec![violation])
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

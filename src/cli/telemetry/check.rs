//! `townlet telemetry check`: payloads of any producer held to the published schema of the version they name.
//!
//! A payload is a snapshot, an answer to `telemetry_snapshot` or a message of the stream. The schemas are those in
//! `docs/schema`, part of the program. Exit status 1 when one falls short, 2 when one cannot be read.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use serde_json::{Value, json};

use crate::cli::{EXIT_BAD_INPUT, EXIT_CHECK_FAILED, output};
use townlet_wire::text::escape;

/// Every published version with the schemas of a snapshot and of a message.
const SCHEMAS: &[(&str, &str, &str)] = &[(
    "0.2.0",
    include_str!("../../../docs/schema/telemetry-0.2.0.json"),
    include_str!("../../../docs/schema/stream-0.2.0.json"),
)];

/// Largest file read, in bytes.
const MAX_BYTES: u64 = 256 * 1024 * 1024;
/// Mistakes of one payload that are told.
const MAX_SHOWN: usize = 50;

/// `townlet telemetry check`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Payloads (.json), streams (.jsonl, one a line), or folders of both
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// For a program: a JSON array
    #[arg(long)]
    json: bool,
}

/// One payload and what is wrong with it.
struct PayloadReport {
    name: String,
    version: String,
    kind: &'static str,
    mistakes: Vec<SchemaViolation>,
}

struct SchemaViolation {
    path: String,
    message: String,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let schemas = Schemas::new()?;
    let (mut reports, mut unread) = (Vec::new(), Vec::new());
    for path in &args.files {
        match files(path) {
            Ok(files) => {
                for file in files {
                    match read(&file) {
                        Ok(found) => reports.extend(found.iter().map(|(name, value)| schemas.check(name, value))),
                        Err(why) => unread.push((file, why)),
                    }
                }
            }
            Err(why) => unread.push((path.clone(), why)),
        }
    }
    print_reports(&reports, &unread, args.json)?;
    Ok(match (unread.is_empty(), reports.iter().all(|report| report.mistakes.is_empty())) {
        (false, _) => ExitCode::from(EXIT_BAD_INPUT),
        (true, false) => ExitCode::from(EXIT_CHECK_FAILED),
        (true, true) => ExitCode::SUCCESS,
    })
}

fn print_reports(reports: &[PayloadReport], unread: &[(PathBuf, anyhow::Error)], as_json: bool) -> Result<()> {
    for (_, why) in unread {
        output::stderr!("townlet: {}", escape(&format!("{why:#}")));
    }
    if as_json {
        let mistake = |it: &SchemaViolation| json!({ "path": it.path, "message": it.message });
        let judged = reports.iter().map(|it| {
            let mistakes: Vec<Value> = it.mistakes.iter().map(mistake).collect();
            json!({
                "file": it.name, "kind": it.kind, "schema_version": it.version,
                "passed": mistakes.is_empty(), "mistakes": mistakes,
            })
        });
        let unread = unread.iter().map(
            |(path, why)| json!({ "file": path.to_string_lossy(), "passed": false, "unreadable": format!("{why:#}"), "mistakes": [] }),
        );
        return output::json(&judged.chain(unread).collect());
    }
    for it in reports {
        let count = it.mistakes.len();
        let says = if count == 0 { "holds".to_owned() } else { format!("{count} wrong") };
        output::line(&escape(&format!("{}: {} {}: {says}", it.name, it.kind, it.version)))?;
        for mistake in it.mistakes.iter().take(MAX_SHOWN) {
            output::line(&format!("  {}: {}", escape(&mistake.path), escape(&mistake.message)))?;
        }
        if count > MAX_SHOWN {
            output::line(&format!("  and {} more", count - MAX_SHOWN))?;
        }
    }
    Ok(())
}

/// The file itself, or every payload in a folder and below it, by name.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let facts = std::fs::metadata(path).map_err(|error| output::read_error(path, &error))?;
    if !facts.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    collect_files(path, &mut found)?;
    found.sort();
    if found.is_empty() {
        bail!("{}: the folder holds no .json or .jsonl file.", path.display());
    }
    Ok(found)
}

fn collect_files(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(|error| output::read_error(folder, &error))? {
        let entry = entry.map_err(|error| output::read_error(folder, &error))?;
        let path = entry.path();
        // A link is not followed: it may lead round in a circle.
        let kind = entry.file_type().map_err(|error| output::read_error(&path, &error))?;
        if kind.is_dir() {
            collect_files(&path, found)?;
        } else if path.extension().is_some_and(|end| end == "json" || end == "jsonl") {
            found.push(path);
        }
    }
    Ok(())
}

/// The payloads of a file, each with its name.
fn read(path: &Path) -> Result<Vec<(String, Value)>> {
    let text = output::read_text(path, MAX_BYTES)?;
    let name = path.display().to_string();
    let parse = |name: String, text: &str| match serde_json::from_str(text) {
        Ok(value) => Ok((name, value)),
        Err(why) => Err(anyhow!("{name}: it is not JSON: {why}")),
    };
    if path.extension().is_none_or(|end| end != "jsonl") {
        return Ok(vec![parse(name, &text)?]);
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(number, line)| parse(format!("{name}:{}", number + 1), line)).collect()
}

/// The schemas, ready to be asked.
struct Schemas(Vec<(&'static str, Validator, Validator)>);

impl Schemas {
    fn new() -> Result<Self> {
        let ready = |text: &str| -> Result<Validator> {
            jsonschema::validator_for(&serde_json::from_str(text)?)
                .map_err(|why| anyhow!("{why}"))
                .context("a schema of this program is wrong")
        };
        SCHEMAS.iter().map(|row| Ok((row.0, ready(row.1)?, ready(row.2)?))).collect::<Result<_>>().map(Self)
    }

    fn check(&self, name: &str, whole: &Value) -> PayloadReport {
        let has = |key: &str| whole.get(key).is_some();
        let (kind, place, payload) = match whole.get("result") {
            Some(result) if has("cmd_id") => ("answer", "$.result", result),
            _ if has("kind") && (has("seq") || has("epoch") || has("payload")) => ("message", "$", whole),
            _ => ("snapshot", "$", whole),
        };
        let named = payload.get("schema_version");
        let version = named.and_then(Value::as_str).unwrap_or("without a version").to_owned();
        let mistakes = match self.0.iter().find(|row| named.and_then(Value::as_str) == Some(row.0)) {
            Some((_, snapshot, message)) => {
                let schema = if kind == "message" { message } else { snapshot };
                schema.iter_errors(payload).flat_map(|error| mistakes(place, &error)).collect()
            }
            None => vec![SchemaViolation { path: format!("{place}.schema_version"), message: unknown(named) }],
        };
        PayloadReport { name: name.into(), version, kind, mistakes }
    }
}

fn unknown(named: Option<&Value>) -> String {
    let known = SCHEMAS.iter().map(|row| row.0).collect::<Vec<_>>().join(", ");
    match named {
        None => format!("it is missing; known versions: {known}"),
        Some(named) => format!("{named} is no version known here; known versions: {known}"),
    }
}

/// A mistake in words; of several forms that a value may have, why it has none of them.
fn mistakes(place: &str, error: &ValidationError<'_>) -> Vec<SchemaViolation> {
    let mut path = place.to_owned();
    for step in error.instance_path().as_str().split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        if step.bytes().all(|byte| byte.is_ascii_digit()) && !step.is_empty() {
            path = format!("{path}[{step}]");
        } else {
            path = format!("{path}.{step}");
        }
    }
    let message = match error.kind() {
        ValidationErrorKind::Required { property } => {
            path = format!("{path}.{}", property.as_str().unwrap_or_default());
            "it is missing".to_owned()
        }
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            let form = context.iter().filter(|form| form.iter().all(|error| is_inside(error)));
            return form.min_by_key(|form| form.len()).map_or_else(
                || vec![SchemaViolation { path: path.clone(), message: "it has none of the forms it may have".into() }],
                |form| form.iter().flat_map(|error| mistakes(place, error)).collect(),
            );
        }
        _ => error.masked_with("it").to_string(),
    };
    vec![SchemaViolation { path, message }]
}

/// Whether a form fits as such and only something in it does not: a message of its `kind`, a list and not an object.
fn is_inside(error: &ValidationError<'_>) -> bool {
    !matches!(error.kind(), ValidationErrorKind::Type { .. } | ValidationErrorKind::Constant { .. })
        || error.instance_path().as_str().matches('/').count() > 1
}

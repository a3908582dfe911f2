//! Export of the audit log as JSON lines or CSV, filtered and optionally redacted.
//!
//! Lines that do not verify are left out and counted. Redaction is a function of the caller.

use std::io::{self, Write};
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::log_files::records;
use super::record::Record;
use super::verify::{Finding, Verdict};
use townlet_wire::Status;

/// Conditions on records; all that are set must hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Written at this time or later.
    pub since: Option<Timestamp>,
    /// Written before this time.
    pub until: Option<Timestamp>,
    /// Exactly this issuer.
    pub issuer: Option<String>,
    /// The command's name contains this.
    pub command: Option<String>,
    /// The status of the answer.
    pub status: Option<Status>,
}

impl Filter {
    pub(crate) fn matches(&self, record: &Record) -> bool {
        let time: Option<Timestamp> = record.ts.parse().ok();
        self.since.is_none_or(|since| time.is_some_and(|time| time >= since))
            && self.until.is_none_or(|until| time.is_some_and(|time| time < until))
            && self.issuer.as_ref().is_none_or(|issuer| *issuer == record.issuer)
            && self.command.as_ref().is_none_or(|part| record.command.contains(part.as_str()))
            && self.status.is_none_or(|status| record.status == Some(status))
    }
}

/// The format of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The lines as in the log; a redacted line ends with `"redacted": true`.
    Jsonl,
    /// A header and one row per record. A text that a spreadsheet would read as a formula starts with `'`.
    Csv,
}

/// Redacts a record. Hashes stay, so that the original line can be found, but no longer match the text.
pub type Redact<'a> = &'a dyn Fn(&mut Record);

/// The result of an export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Records written.
    pub records: u64,
    /// Lines left out because they do not verify.
    pub damaged: Vec<Finding>,
}

/// Writes the records of every run in `dir` that match `filter`.
pub fn export(
    dir: &Path,
    filter: &Filter,
    format: Format,
    redact: Option<Redact<'_>>,
    out: &mut dyn Write,
) -> io::Result<Exported> {
    let mut exported = Exported::default();
    if format == Format::Csv {
        write_row(out, COLUMNS.map(str::to_owned))?;
    }
    records(dir, |file, line, record| {
        let mut record = match record {
            Ok(record) => record,
            Err(message) => {
                let file = file.to_owned();
                exported.damaged.push(Finding { verdict: Verdict::Integrity, file, line, message });
                return Ok(());
            }
        };
        if !filter.matches(&record) {
            return Ok(());
        }
        if let Some(redact) = redact {
            redact(&mut record);
        }
        exported.records += 1;
        let mut value = serde_json::to_value(&record)?;
        match format {
            Format::Csv => write_row(out, fields(&value, redact.is_some())),
            Format::Jsonl if redact.is_some() => {
                value["redacted"] = json!(true);
                writeln!(out, "{value}")
            }
            Format::Jsonl => out.write_all(record.line().as_bytes()),
        }
    })?;
    Ok(exported)
}

const COLUMNS: [&str; 24] = [
    "v",
    "seq",
    "ts",
    "shard",
    "config_id",
    "cmd_id",
    "issuer",
    "role",
    "transport",
    "command",
    "args",
    "reason",
    "stage",
    "status",
    "error_code",
    "error",
    "result",
    "run_id",
    "tick",
    "digest_before",
    "digest_after",
    "prev",
    "hash",
    "redacted",
];

/// The cells of a record, by column.
fn fields(record: &Value, redacted: bool) -> [String; 24] {
    COLUMNS.map(|column| match (column, &record[column]) {
        ("redacted", _) => redacted.to_string(),
        ("error_code", _) => record["error"]["code"].as_str().unwrap_or_default().to_owned(),
        ("error", error) => error["message"].as_str().unwrap_or_default().to_owned(),
        ("args", value) => value.to_string(),
        (_, Value::Null) => String::new(),
        ("result", value) => value.to_string(),
        (_, Value::String(text)) => text.clone(),
        (_, value) => value.to_string(),
    })
}

fn write_row(out: &mut dyn Write, fields: impl IntoIterator<Item = String>) -> io::Result<()> {
    let cells: Vec<String> = fields.into_iter().map(|field| cell(&field)).collect();
    write!(out, "{}\r\n", cells.join(","))
}

/// One cell as in RFC 4180, safe to open in a spreadsheet.
fn cell(field: &str) -> String {
    let formula = field.trim_start().starts_with(['=', '+', '-', '@']) || field.starts_with(['\t', '\r', '\n']);
    let field = if formula { format!("'{field}") } else { field.to_owned() };
    if field.contains(['"', ',', '\n', '\r']) || field.starts_with('\'') {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field
    }
}

//! `townlet audit`: is the log what was written, what does it say, and the same for other tools.
//!
//! Owns the telling; what the chain proves stands in `audit::verify`, what an export holds in `audit::export`. Changes
//! nothing, but for a privacy key that a redacted export makes where there is none. Rule: "Audit log", "Privacy mode".

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{audit_tail, output};
use townlet_audit::{Filter, Finding, Format, Record, Redact, Report, Verdict};
use townlet_shard::Home;
use townlet_shard::privacy::PrivacyFilter;
use townlet_tui::format::count;
use townlet_wire::Status;
use townlet_wire::text::escape;

/// `townlet audit`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Subcommand,
}

#[derive(clap::Subcommand, Debug)]
enum Subcommand {
    /// Checks that nothing was changed, moved, added or taken away
    Verify {
        /// A folder of logs, or a run's file in one
        #[arg(required = true, value_name = "DIR|FILE")]
        paths: Vec<PathBuf>,
        /// For a program: a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Shows the newest records, a line each
    Tail {
        /// The folder the shard keeps its files in
        #[arg(long, value_name = "DIR", default_value = ".")]
        home: PathBuf,
        /// How many
        #[arg(short = 'n', value_name = "N", default_value_t = 20)]
        count: usize,
        /// Goes on with new records until ctrl-c
        #[arg(short, long)]
        follow: bool,
    },
    /// Writes the records for other tools
    Export(Export),
}

#[derive(clap::Args, Debug)]
struct Export {
    /// The folder the shard keeps its files in
    #[arg(long, value_name = "DIR", default_value = ".")]
    home: PathBuf,
    /// Written at this time or later: 2026-03-01 or 2026-03-01T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Timestamp>,
    /// Written before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Timestamp>,
    /// By exactly this issuer
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// The command's name contains this
    #[arg(long, value_name = "TEXT")]
    command: Option<String>,
    /// It ended so
    #[arg(long)]
    status: Option<StatusName>,
    /// The form
    #[arg(long, default_value = "jsonl")]
    format: FormatName,
    /// Residents by keyed hashes instead of names, as under `privacy on`; each record says that it is redacted
    #[arg(long)]
    redact: bool,
    /// Into this file instead of standard output; it is there whole or not at all
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StatusName {
    /// Done
    Ok,
    /// Refused or failed
    Error,
    /// Only asked what would happen
    #[value(name = "dry_run")]
    DryRun,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatName {
    /// The lines as they stand in the log
    Jsonl,
    /// For spreadsheets
    Csv,
}

/// A date means its first moment, UTC.
fn parse_time(text: &str) -> Result<Timestamp, String> {
    let moment = if text.contains(['T', 't', ' ']) { text.to_owned() } else { format!("{text}T00:00:00Z") };
    moment.parse().map_err(|_| "write a date like 2026-03-01 or a time like 2026-03-01T12:00:00Z".to_owned())
}

/// Runs it.
///
/// # Errors
/// A folder or file that is not there or cannot be read.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    match &args.command {
        Subcommand::Verify { paths, json } => verify(paths, *json),
        Subcommand::Tail { home, count, follow } => audit_tail::tail(&audit_folder(home)?, *count, *follow),
        Subcommand::Export(export) => export_records(export),
    }
}

fn audit_folder(home: &Path) -> Result<PathBuf> {
    let folder = Home::new(home).console();
    if !folder.is_dir() {
        bail!("{}: there is no audit log; `--home` names another folder.", folder.display());
    }
    Ok(folder)
}

const VERDICTS: [(Verdict, &str, &str); 3] = [
    (Verdict::Integrity, "integrity", "every line is byte for byte what was written"),
    (Verdict::Continuity, "continuity", "every line follows the one before"),
    (Verdict::Completeness, "completeness", "nothing was cut off or put partial"),
];

fn verify(paths: &[PathBuf], json: bool) -> Result<ExitCode> {
    let mut passed = true;
    let mut rows = Vec::new();
    for path in paths {
        let report = report(path)?;
        passed &= report.passed();
        if json {
            let verdicts: serde_json::Map<String, Value> =
                VERDICTS.iter().map(|row| (row.1.to_owned(), report.holds(row.0).into())).collect();
            rows.push(json!({ "path": path.to_string_lossy(), "passed": report.passed(), "verdicts": verdicts, "report": report }));
        } else {
            print_report(path, &report)?;
        }
    }
    if json {
        output::json(&Value::Array(rows))?;
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::from(super::EXIT_CHECK_FAILED) })
}

/// The report on a folder, or on the one run that a file belongs to.
fn report(path: &Path) -> Result<Report> {
    let name = || path.display().to_string();
    if path.is_dir() {
        let report = townlet_audit::verify(path).with_context(name)?;
        if report.runs.is_empty() {
            bail!("{}: the folder holds no audit log.", name());
        }
        return Ok(report);
    }
    std::fs::metadata(path).map_err(|error| output::read_error(path, &error))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let run = run_id_of(path).ok_or_else(|| {
        anyhow!("{}: it is no file of an audit log, which is called `<run>-0001.jsonl` or `<run>.head`.", name())
    })?;
    let mut report = townlet_audit::verify(folder).with_context(|| folder.display().to_string())?;
    report.runs.retain(|found| found.run_id == run);
    report.alien.clear();
    if report.runs.is_empty() {
        bail!("{}: the folder holds no run `{}`.", name(), escape(&run));
    }
    Ok(report)
}

fn run_id_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let run = match name.strip_suffix(".head") {
        Some(run) => run,
        None => name.strip_suffix(".jsonl").or_else(|| name.strip_suffix(".jsonl.torn"))?.rsplit_once('-')?.0,
    };
    Some(run.to_owned())
}

fn print_report(path: &Path, report: &Report) -> Result<()> {
    let records: u64 = report.runs.iter().map(|run| run.records).sum();
    output::line(&format!(
        "{}: {}, {}",
        path.display(),
        count(report.runs.len() as u64, "run"),
        count(records, "record")
    ))?;
    let mut rows = Vec::new();
    for (verdict, name, meaning) in VERDICTS {
        let against = report.findings().filter(|finding| finding.verdict == verdict).count();
        let word = if against == 0 { "holds".to_owned() } else { format!("FAILED ({against})") };
        rows.push([format!("  {name}"), word, meaning.to_owned()]);
    }
    output::print(&output::columns(&rows))?;
    for finding in report.findings() {
        output::line(&format!("  {}", escape(&describe(finding))))?;
    }
    for run in &report.runs {
        for open in &run.open {
            let note =
                format!("{}:{}: `{}` by {} has no outcome yet.", open.file, open.line, open.command, open.issuer);
            output::line(&format!("  note: {}", escape(&note)))?;
        }
        for note in &run.notes {
            output::line(&format!("  note: {}", escape(note)))?;
        }
    }
    Ok(())
}

fn describe(finding: &Finding) -> String {
    if finding.line == 0 { format!("{}: {}", finding.file, finding.message) } else { finding.to_string() }
}

fn export_records(export: &Export) -> Result<ExitCode> {
    let folder = audit_folder(&export.home)?;
    let filter = Filter {
        since: export.since,
        until: export.until,
        issuer: export.issuer.clone(),
        command: export.command.clone(),
        status: export.status.map(|status| match status {
            StatusName::Ok => Status::Ok,
            StatusName::Error => Status::Error,
            StatusName::DryRun => Status::DryRun,
        }),
    };
    let format = match export.format {
        FormatName::Jsonl => Format::Jsonl,
        FormatName::Csv => Format::Csv,
    };
    let names = if export.redact { privacy_filters(&export.home, &folder)? } else { BTreeMap::new() };
    // A shard whose first record came since is hidden too, under a key of nobody's.
    let hide = |record: &mut Record| names.get(&record.shard).unwrap_or(&PrivacyFilter::default()).redact(record);
    let redact: Option<Redact<'_>> = if export.redact { Some(&hide) } else { None };
    let exported = if let Some(path) = &export.out {
        write_atomically(path, |out| townlet_audit::export(&folder, &filter, format, redact, out))?
    } else {
        let mut text = Vec::new();
        let exported = townlet_audit::export(&folder, &filter, format, redact, &mut text)?;
        output::print(&String::from_utf8_lossy(&text))?;
        exported
    };
    for finding in &exported.damaged {
        output::stderr!("left out: {}", escape(&describe(finding)));
    }
    let into = export.out.as_ref().map(|path| format!(" into {}", path.display())).unwrap_or_default();
    output::stderr!("{} records written{into}, {} damaged lines left out.", exported.records, exported.damaged.len());
    Ok(if exported.damaged.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(super::EXIT_CHECK_FAILED) })
}

/// By shard, what its residents are called outside; of every shard that wrote into the log.
fn privacy_filters(home: &Path, folder: &Path) -> Result<BTreeMap<String, PrivacyFilter>> {
    let mut shards = BTreeSet::new();
    townlet_audit::records(folder, |_, _, record| {
        shards.extend(record.ok().map(|record| record.shard));
        Ok(())
    })?;
    let home = Home::new(home);
    let names = |shard: String| {
        let names = PrivacyFilter::open(&home, &shard, true).map_err(anyhow::Error::msg)?;
        Ok((shard, names))
    };
    shards.into_iter().map(names).collect()
}

/// Writes partial the file and renames, so that its name never holds half an export; a file that is there stays as it is.
fn write_atomically<T>(path: &Path, write: impl FnOnce(&mut dyn Write) -> std::io::Result<T>) -> Result<T> {
    output::require_absent(path)?;
    let mut partial = path.as_os_str().to_owned();
    partial.push(".part");
    let partial = PathBuf::from(partial);
    let written = File::create(&partial).and_then(|file| {
        let mut out = BufWriter::new(file);
        let done = write(&mut out)?;
        out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(&partial, path)?;
        Ok(done)
    });
    if written.is_err() {
        // It is ours alone; that it may not even exist is no second error.
        drop(std::fs::remove_file(&partial));
    }
    written.with_context(|| path.display().to_string())
}

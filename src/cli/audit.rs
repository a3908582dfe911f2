//! `townlet audit`: verifies, shows and exports the audit log. Rules: "Audit log", "Privacy mode".
//!
//! Read-only, except that a redacted export creates a missing privacy key.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempPath;

use super::output::OutputLost;
use super::{audit_checkpoint, audit_replay, audit_seal, audit_tail, one_of, output};
use townlet_audit::{Filter, Finding, Format, Proofs, Record, Redact, Report, Verdict};
use townlet_shard::Home;
use townlet_shard::cross_check::CrossCheck;
use townlet_shard::privacy::PrivacyFilter;
use townlet_tui::format::count;
use townlet_wire::Status;
use townlet_wire::escape;

#[derive(clap::Subcommand, Debug)]
pub(super) enum Subcommand {
    /// Check that no record was changed, moved, added or removed
    Verify {
        /// A shard's home, its log folder, or one log file of a run
        #[arg(required = true, value_name = "DIR|FILE")]
        paths: Vec<PathBuf>,
        /// Prove the seals with this verification key; repeatable
        #[arg(long, value_name = "KEY|FILE")]
        key: Vec<String>,
        /// Check that the log holds the line of this signed checkpoint; repeatable
        #[arg(long, value_name = "FILE|URL")]
        checkpoint: Vec<String>,
        /// Public key that signed the checkpoints; repeatable [default: the key that was seen of the shard, or that of the home]
        #[arg(long, value_name = "KEY|FILE", requires = "checkpoint")]
        checkpoint_key: Vec<String>,
        #[command(flatten)]
        replay: audit_replay::Args,
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Show the newest records, one per line
    Tail {
        /// Home folder of the shard
        #[arg(long, value_name = "DIR", default_value = ".")]
        home: PathBuf,
        /// Number of records
        #[arg(short = 'n', value_name = "N", default_value_t = 20)]
        count: usize,
        /// Keep printing new records until ctrl-c
        #[arg(short, long)]
        follow: bool,
    },
    /// Export records as JSON lines or CSV
    Export(Export),
    /// Seal the log, so that an intruder cannot rewrite what was logged before
    #[command(subcommand)]
    Seal(audit_seal::Subcommand),
    /// Print a signed checkpoint of the log, to be kept elsewhere
    Checkpoint(audit_checkpoint::Args),
    /// List the shards whose logs this user has seen, with the last line of each run
    Known {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Forget a shard that was seen, after its log or key was changed on purpose
    Forget {
        /// Address of the shard, as `known` lists it
        url: String,
        /// Name of the shard [default: every shard at the address]
        shard: Option<String>,
    },
}

#[derive(clap::Args, Debug)]
pub(super) struct Export {
    /// Home folder of the shard
    #[arg(long, value_name = "DIR", default_value = ".")]
    home: PathBuf,
    /// Only records from this time on, such as 2026-03-01 or 2026-03-01T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Timestamp>,
    /// Only records before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Timestamp>,
    /// Only records of this issuer
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// Only commands whose name contains TEXT
    #[arg(long, value_name = "TEXT")]
    command: Option<String>,
    /// Only records with this outcome
    #[arg(long, value_parser = one_of(&STATUSES))]
    status: Option<Status>,
    /// Output format
    #[arg(long, default_value = "jsonl", value_parser = one_of(&FORMATS))]
    format: Format,
    /// Replace names of residents with keyed hashes, as under `privacy on`, and mark each record as redacted
    #[arg(long)]
    redact: bool,
    /// Write to FILE instead of standard output, all or nothing
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

static STATUSES: [(&str, Status); 3] = [("ok", Status::Ok), ("error", Status::Error), ("dry_run", Status::DryRun)];
static FORMATS: [(&str, Format); 2] = [("jsonl", Format::Jsonl), ("csv", Format::Csv)];

/// Parses a time; a date is its start in UTC.
fn parse_time(text: &str) -> Result<Timestamp, String> {
    let moment = if text.contains(['T', 't', ' ']) { text.to_owned() } else { format!("{text}T00:00:00Z") };
    moment.parse().map_err(|_| "expected a date such as 2026-03-01 or a time such as 2026-03-01T12:00:00Z".to_owned())
}

pub(super) fn run(command: &Subcommand) -> Result<ExitCode> {
    match command {
        Subcommand::Verify { paths, key, checkpoint, checkpoint_key, replay, json } => {
            verify(paths, &proofs(paths, key, checkpoint, checkpoint_key)?, replay, *json)
        }
        Subcommand::Tail { home, count, follow } => audit_tail::tail(&audit_folder(home)?, *count, *follow),
        Subcommand::Export(export) => export_records(export),
        Subcommand::Seal(command) => audit_seal::run(command),
        Subcommand::Checkpoint(args) => audit_checkpoint::run(args),
        Subcommand::Known { json } => audit_checkpoint::known(*json),
        Subcommand::Forget { url, shard } => audit_checkpoint::forget(url, shard.as_deref()),
    }
}

fn proofs(paths: &[PathBuf], keys: &[String], checkpoints: &[String], signers: &[String]) -> Result<Proofs> {
    let keys = keys.iter().map(|key| audit_seal::verification_key(key)).collect::<Result<_>>()?;
    let named: Vec<_> = signers.iter().map(|key| audit_checkpoint::public_key(key)).collect::<Result<_>>()?;
    let homes = paths.iter().filter_map(|path| home_of(&log_folder(path))).collect();
    let signers = audit_checkpoint::SignerKeys { named: &named, homes };
    let checkpoints = checkpoints.iter().map(|text| audit_checkpoint::read(text, &signers)).collect::<Result<_>>()?;
    Ok(Proofs { keys, seal_key: None, checkpoints })
}

/// The folder of the logs of a path to verify: a home, such a folder, or a file in it.
fn log_folder(path: &Path) -> PathBuf {
    if path.is_dir() {
        return Some(Home::new(path).console()).filter(|folder| folder.is_dir()).unwrap_or(path.to_owned());
    }
    townlet_files::folder_of(path).to_owned()
}

/// The home that a folder of logs is in.
fn home_of(folder: &Path) -> Option<Home> {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    folder.ancestors().nth(2).map(Home::new).filter(|home| home.console() == folder)
}

fn audit_folder(home: &Path) -> Result<PathBuf> {
    output::require_home(home)?;
    let folder = Home::new(home).console();
    ensure!(folder.is_dir(), "{}: no audit log. Name the shard's home with `--home`.", folder.display());
    Ok(folder)
}

const VERDICTS: [(Verdict, &str, &str); 5] = [
    (Verdict::Integrity, "integrity", "every line is unchanged"),
    (Verdict::Continuity, "continuity", "no line is missing or out of order"),
    (Verdict::Completeness, "completeness", "nothing was cut off and no file was added"),
    (Verdict::Seals, "seals", "every line up to the last seal is what was sealed"),
    (Verdict::Checkpoints, "checkpoints", "the log holds the lines that were seen"),
];

/// The verdicts that were asked for.
fn verdicts(proofs: &Proofs) -> impl Iterator<Item = &'static (Verdict, &'static str, &'static str)> {
    let (keys, checkpoints) = (!proofs.keys.is_empty(), !proofs.checkpoints.is_empty());
    VERDICTS.iter().filter(move |row| match row.0 {
        Verdict::Seals => keys,
        Verdict::Checkpoints => checkpoints,
        _ => true,
    })
}

fn verify(paths: &[PathBuf], proofs: &Proofs, replay: &audit_replay::Args, json: bool) -> Result<ExitCode> {
    replay.require_home()?;
    let mut passed = true;
    let mut rows = Vec::new();
    for path in paths {
        let report = report(path, proofs)?;
        let replayed = replay.check(path, &report, json)?;
        let path_passed = report.passed() && replayed.iter().flatten().all(CrossCheck::passed);
        passed &= path_passed;
        if json {
            let verdicts: serde_json::Map<String, Value> =
                self::verdicts(proofs).map(|row| (row.1.to_owned(), report.holds(row.0).into())).collect();
            let mut row = json!({ "path": path.to_string_lossy(), "passed": path_passed, "verdicts": verdicts, "report": report });
            if let Some(replayed) = replayed {
                row["replay"] = json!(replayed);
            }
            rows.push(row);
        } else {
            print_report(path, &report, proofs)?;
            replayed.iter().flatten().try_for_each(audit_replay::print)?;
        }
    }
    if json {
        output::json(&Value::Array(rows))?;
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::from(super::EXIT_CHECK_FAILED) })
}

/// The report on a folder, or on the run of a file.
fn report(path: &Path, proofs: &Proofs) -> Result<Report> {
    let name = || path.display().to_string();
    if path.is_dir() {
        let folder = log_folder(path);
        let report = townlet_audit::verify_with(&folder, &with_key_file(proofs, &folder)).with_context(name)?;
        ensure!(!report.runs.is_empty(), "{}: the folder contains no audit log.", name());
        return Ok(report);
    }
    std::fs::metadata(path).map_err(|error| output::read_error(path, &error))?;
    let folder = townlet_files::folder_of(path);
    let run = run_id_of(path).ok_or_else(|| {
        anyhow!("{}: not an audit log file. These are named `<run>-0001.jsonl` or `<run>.head`.", name())
    })?;
    let mut report = townlet_audit::verify_with(folder, &with_key_file(proofs, folder))
        .with_context(|| folder.display().to_string())?;
    report.runs.retain(|found| found.run_id == run);
    report.unknown_files.clear();
    // Other runs need not be here, as in the bundle of an incident.
    report.between.retain(|finding| finding.verdict != Verdict::Completeness);
    ensure!(!report.runs.is_empty(), "{}: the folder contains no run `{}`.", name(), escape(&run));
    Ok(report)
}

/// With the sealing key of the home, if the folder is in one: it shows whether the newest seals were removed.
fn with_key_file(proofs: &Proofs, folder: &Path) -> Proofs {
    let key = home_of(folder).map(|home| home.seal_key()).filter(|key| key.parent().is_some_and(Path::is_dir));
    Proofs { seal_key: key, ..proofs.clone() }
}

fn run_id_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let run = match name.strip_suffix(".head") {
        Some(run) => run,
        None => name.strip_suffix(".jsonl").or_else(|| name.strip_suffix(".jsonl.torn"))?.rsplit_once('-')?.0,
    };
    Some(run.to_owned())
}

fn print_report(path: &Path, report: &Report, proofs: &Proofs) -> Result<()> {
    let records: u64 = report.runs.iter().map(|run| run.records).sum();
    let lines: u64 = report.runs.iter().map(|run| run.lines).sum();
    // A damaged line is no record, and must not look as if it had never been there.
    let damaged = if lines > records { format!(", {} damaged", lines - records) } else { String::new() };
    output::line(&format!(
        "{}: {}, {}{damaged}",
        path.display(),
        count(report.runs.len() as u64, "run"),
        count(lines, "record")
    ))?;
    let mut rows = Vec::new();
    for (verdict, name, meaning) in verdicts(proofs) {
        let against = report.findings().filter(|finding| finding.verdict == *verdict).count();
        let word = if against == 0 { "passed".to_owned() } else { format!("FAILED ({against})") };
        rows.push([format!("  {name}"), word, (*meaning).to_owned()]);
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
    for (what, texts) in [("proven", &report.proven), ("not proven", &report.unproven)] {
        texts.iter().try_for_each(|text| output::line(&format!("  {what}: {}", escape(text))))?;
    }
    Ok(())
}

fn describe(finding: &Finding) -> String {
    if finding.file.is_empty() {
        finding.message.clone()
    } else if finding.line == 0 {
        format!("{}: {}", finding.file, finding.message)
    } else {
        finding.to_string()
    }
}

fn export_records(export: &Export) -> Result<ExitCode> {
    let folder = audit_folder(&export.home)?;
    let filter = Filter {
        since: export.since,
        until: export.until,
        issuer: export.issuer.clone(),
        command: export.command.clone(),
        status: export.status,
    };
    let names = if export.redact { privacy_filters(&export.home, &folder)? } else { BTreeMap::new() };
    // A shard that appeared since is redacted with an empty filter.
    let hide = |record: &mut Record| names.get(&record.shard).unwrap_or(&PrivacyFilter::default()).redact(record);
    let redact: Option<Redact<'_>> = if export.redact { Some(&hide) } else { None };
    let exported = if let Some(path) = &export.out {
        write_atomically(path, |out| townlet_audit::export(&folder, &filter, export.format, redact, out))?
    } else {
        let mut text = Vec::new();
        let exported = townlet_audit::export(&folder, &filter, export.format, redact, &mut text)?;
        // On standard output a line ends with a line feed alone, as elsewhere; the other sign would be escaped.
        output::print(&String::from_utf8_lossy(&text).replace("\r\n", "\n"))?;
        exported
    };
    for finding in &exported.damaged {
        output::stderr!("left out: {}", escape(&describe(finding)));
    }
    let into = export.out.as_ref().map(|path| format!(" into {}", path.display())).unwrap_or_default();
    let damaged = count(exported.damaged.len() as u64, "damaged line");
    output::stderr!("{} written{into}, {damaged} left out.", count(exported.records, "record"));
    Ok(if exported.damaged.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(super::EXIT_CHECK_FAILED) })
}

/// The privacy filter of each shard that wrote into the log.
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

/// Writes to a temporary file and renames it, so that `path` never contains half an export.
pub(super) fn write_atomically<T>(path: &Path, write: impl FnOnce(&mut dyn Write) -> std::io::Result<T>) -> Result<T> {
    output::require_new_file(path)?;
    let partial = TempPath::try_from_path(path.with_added_extension("part"))?;
    let written = File::create(&partial).and_then(|file| {
        let mut out = BufWriter::new(file);
        let done = write(&mut out)?;
        out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        partial.persist(path)?;
        Ok(done)
    });
    written.context(OutputLost::file(path))
}

//! The texts of an incident: `SUMMARY.md` in the bundle and `note.md` beside it. Rule: "Incidents".

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use jiff::Timestamp;

use super::collect::{BundleContents, REPLAY, Run};
use super::timeline::{TimelineEntry, merged, table};
use super::{Incident, IncidentTrigger, Kind, LiveState, MAX_REPEAT_LINES};
use crate::markdown;

const REPETITIONS: &str = "\n## Repetitions\n\n";
/// Rows of the timeline in the summary and in the note.
const ROWS: usize = 60;

/// The tick and digest that the replay must reach; those of the running town if known.
pub(super) fn target(all: &BundleContents, trigger: &IncidentTrigger) -> Option<(u64, String)> {
    let replay = all.replay.as_ref()?;
    let own = trigger.now.as_ref().filter(|now| now.tick == replay.tick).map(|now| (now.tick, now.digest.clone()));
    own.or_else(|| replay.target())
}

/// The timeline, including the incident itself.
pub(super) fn entries(
    run: &Run,
    all: &BundleContents,
    trigger: &IncidentTrigger,
    incident: &Incident,
) -> Vec<TimelineEntry> {
    let tick = trigger.fault.as_ref().map(|fault| fault.tick).or_else(|| trigger.now.as_ref().map(|now| now.tick));
    let at = trigger.fault.as_ref().map_or(&incident.ts, |fault| &fault.ts).parse().ok();
    let own = vec![TimelineEntry::new(at, tick, "incident", format!("{}: {}", incident.kind.tag(), trigger.headline))];
    merged(&run.home, &run.root, &run.id, all.view.as_deref(), own)
}

pub(super) fn summary(
    all: &BundleContents,
    trigger: &IncidentTrigger,
    incident: &Incident,
    entries: &[TimelineEntry],
) -> String {
    let mut text =
        format!("# Incident {}\n\n{}.\n\n", incident.id, markdown::text(trigger.headline.trim_end_matches('.')));
    head(&mut text, all, trigger, incident);
    text.push_str("\n## Replay\n\n");
    replay(&mut text, all, incident);
    text.push_str("\n## Contents\n\n");
    text.push_str("`manifest.json` lists every file with its SHA-256; paths are those of a home folder.\n\n");
    for name in all.bundle.names() {
        let _ = writeln!(text, "- {}", markdown::code(name));
    }
    missing(&mut text, incident);
    if let Some(fault) = &trigger.fault {
        let fault = format!("{} at {}\n{}", fault.message, fault.location, fault.backtrace);
        let _ = write!(text, "\n## Fault\n\n{}", markdown::block(&fault));
    }
    text.push_str("\nTokens and values of settings with secret names are removed. Names of residents are not.\n");
    let _ = write!(text, "\n## Timeline\n\n{}", table(entries, ROWS));
    text
}

pub(super) fn note(
    all: &BundleContents,
    trigger: &IncidentTrigger,
    incident: &Incident,
    entries: &[TimelineEntry],
) -> String {
    let mut text = title(trigger, incident);
    head(&mut text, all, trigger, incident);
    let _ = writeln!(text, "| bundle | `{}` |", incident.bundle);
    what_happened(&mut text, trigger);
    text.push_str("\n## Replay\n\n");
    replay(&mut text, all, incident);
    missing(&mut text, incident);
    text.push_str("\n## Cause, actions taken, follow-up\n\nTo be filled in after the investigation.\n");
    let _ = write!(text, "\n## Timeline\n\n{}", table(entries, ROWS));
    text.push_str(REPETITIONS);
    text
}

/// The note of an incident whose bundle is still to be made, or could not be.
pub(super) fn announcement(run: &Run, trigger: &IncidentTrigger, incident: &Incident) -> String {
    let mut text = title(trigger, incident);
    let rows = [
        ("", Some(String::new())),
        ("---", Some("---".to_owned())),
        ("tag", Some(incident.kind.tag())),
        ("when", Some(incident.ts.clone())),
        ("run", Some(incident.run_id.clone())),
        ("tick", trigger.now.as_ref().map(tick)),
        ("requested by", requested_by(trigger)),
    ];
    for (name, value) in rows.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        let _ = writeln!(text, "| {name} | {} |", markdown::text(&value));
    }
    what_happened(&mut text, trigger);
    missing(&mut text, incident);
    let bundle = format!("townlet incident bundle{} --run {}", run.home.option(), run.id);
    let _ = writeln!(
        text,
        "\nThis note is replaced when the bundle is finished. If it is not, make one: {}.",
        markdown::code(&bundle)
    );
    text.push_str(REPETITIONS);
    text
}

/// The lines about repetitions at the end of a note.
pub(super) fn repetitions(note: &str) -> Option<&str> {
    note.rsplit_once(REPETITIONS).map(|(_, lines)| lines)
}

fn title(trigger: &IncidentTrigger, incident: &Incident) -> String {
    format!("# {}: {}\n\n", incident.kind.tag(), markdown::text(&trigger.headline))
}

fn tick(now: &LiveState) -> String {
    format!("{} ({})", now.tick, now.digest)
}

fn requested_by(trigger: &IncidentTrigger) -> Option<String> {
    let (who, why) = trigger.requested_by.as_ref()?;
    Some(if why.is_empty() { who.clone() } else { format!("{who}: {why}") })
}

fn what_happened(text: &mut String, trigger: &IncidentTrigger) {
    let _ = writeln!(text, "\n## What happened\n\n{}", markdown::text(&trigger.headline));
    if !trigger.sections.is_empty() {
        let _ = writeln!(text, "\n{}", trigger.sections.trim_end());
    }
}

fn head(text: &mut String, all: &BundleContents, trigger: &IncidentTrigger, incident: &Incident) {
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "| {name} | {} |", markdown::text(&value));
    };
    row("", String::new());
    row("---", "---".into());
    row("tag", incident.kind.tag());
    row("when", incident.ts.clone());
    row("shard", incident.shard.clone());
    row("run", incident.run_id.clone());
    if let Some(seed) = all.seed {
        row("seed", seed.to_string());
    }
    if let Some(now) = &trigger.now {
        row("tick", tick(now));
    }
    if let Some(fault) = &trigger.fault {
        row("thread", fault.thread.clone());
        row("tick", format!("after {}", fault.tick));
        row("phase", fault.phase.clone());
        let command = fault.last_command.as_ref();
        let command = command.map_or_else(
            || "none".into(),
            |it| format!("{} ({}, {}, before tick {})", it.line, it.issuer, it.cmd_id, it.tick),
        );
        row("last command", command);
    }
    if let Some(who) = requested_by(trigger) {
        row("requested by", who);
    }
    all.origins.iter().for_each(|origin| row("other sources", origin.clone()));
    row("audit log", all.audit.clone());
    if let Some(view) = &all.view {
        row("state", format!("tick {}, day {}, policy {}", view.tick, view.day, view.policy.id));
        row("health", [std::slice::from_ref(&view.health.status), &view.health.problems].concat().join("; "));
    }
}

fn replay(text: &mut String, all: &BundleContents, incident: &Incident) {
    let Some(replay) = &all.replay else {
        text.push_str("There is none: see the missing items.\n");
        return;
    };
    let _ = writeln!(text, "Unpack the bundle, then, in its folder:\n\n```sh\ntownlet replay {REPLAY}\n```\n");
    match &incident.replay {
        Some((tick, digest)) => {
            let _ = writeln!(text, "It must reach tick {tick} with the digest `{digest}`.");
        }
        None => text.push_str("The digest to reach is unknown.\n"),
    }
    if let Some((tick, digest)) = &replay.written {
        let _ = writeln!(text, "The last digest that the shard wrote is `{digest}`, at tick {tick}.");
    }
    for note in &replay.notes {
        let _ = writeln!(text, "- {}", markdown::text(note));
    }
    if matches!(incident.kind, Kind::Crash | Kind::Hang) {
        let _ = writeln!(text, "\nContinue the town with `townlet run --resume {}`.", incident.run_id);
    }
}

fn missing(text: &mut String, incident: &Incident) {
    if !incident.missing.is_empty() {
        text.push_str("\n## Missing items\n\n");
    }
    for item in &incident.missing {
        let _ = writeln!(text, "- {}", markdown::text(item));
    }
}

/// Adds a line for a repetition at the end of the note, up to a limit.
pub(super) fn add_repetition(note: &Path, headline: &str) -> std::io::Result<()> {
    let text = townlet_files::read_own(note)?;
    let lines = String::from_utf8_lossy(&text).lines().rev().take_while(|line| line.starts_with("- ")).count();
    if lines >= MAX_REPEAT_LINES {
        return Ok(());
    }
    let now = Timestamp::now().strftime("%Y-%m-%d %H:%M:%S");
    let mut file = townlet_files::open_own(note, std::fs::OpenOptions::new().append(true))?;
    writeln!(file, "- {now}: {}", markdown::text(headline))
}

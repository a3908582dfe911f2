//! What a person reads of an incident: the summary in the bundle, and the note beside it that operators write on in.
//!
//! Owns the words and their order. Rule: "Incidents".

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use jiff::Timestamp;

use super::collect::{BundleContents, REPLAY, Run};
use super::timeline::{Moment, merged, table};
use super::{Incident, IncidentTrigger, Kind, MAX_REPEAT_LINES};
use townlet_wire::escape;

/// Rows of the timeline in the summary and in the note.
const ROWS: usize = 60;

/// The tick and digest that the replay must reach: the shard's own, where it could be asked.
pub(super) fn target(all: &BundleContents, occasion: &IncidentTrigger) -> Option<(u64, String)> {
    let replay = all.replay.as_ref()?;
    let own = occasion.now.as_ref().filter(|now| now.tick == replay.tick).map(|now| (now.tick, now.digest.clone()));
    own.or_else(|| replay.target())
}

/// Everything that kept time, with the incident itself.
pub(super) fn moments(run: &Run, all: &BundleContents, occasion: &IncidentTrigger, incident: &Incident) -> Vec<Moment> {
    let tick = occasion.fault.as_ref().map(|fault| fault.tick).or_else(|| occasion.now.as_ref().map(|now| now.tick));
    let at = occasion.fault.as_ref().map_or(&incident.ts, |fault| &fault.ts).parse().ok();
    let own = vec![Moment::new(at, tick, "incident", format!("{}: {}", incident.kind.tag(), occasion.headline))];
    merged(&run.home, &run.root, &run.id, all.view.as_deref(), own)
}

/// `SUMMARY.md`.
pub(super) fn summary(
    all: &BundleContents,
    occasion: &IncidentTrigger,
    incident: &Incident,
    moments: &[Moment],
) -> String {
    let mut text = format!("# Incident {}\n\n{}.\n\n", incident.id, escape(occasion.headline.trim_end_matches('.')));
    head(&mut text, all, occasion, incident);
    text.push_str("\n## Replay\n\n");
    replay(&mut text, all, incident);
    text.push_str("\n## What is here\n\n");
    text.push_str("`manifest.json` lists every file with its SHA-256; paths are those of a home folder.\n\n");
    for name in all.bundle.names() {
        let _ = writeln!(text, "- `{}`", escape(name));
    }
    lacking(&mut text, incident);
    if let Some(fault) = &occasion.fault {
        let _ = writeln!(text, "\n## What broke\n\n```text\n{} at {}", fault.message, fault.location);
        let _ = writeln!(text, "{}\n```", fault.backtrace);
    }
    text.push_str("\nTokens and values that their names call secret are taken out. Names of residents are not.\n");
    let _ = write!(text, "\n## Timeline\n\n{}", table(moments, ROWS));
    text
}

/// `note.md`.
pub(super) fn note(
    all: &BundleContents,
    occasion: &IncidentTrigger,
    incident: &Incident,
    moments: &[Moment],
) -> String {
    let mut text = format!("# {}: {}\n\n", incident.kind.tag(), escape(&occasion.headline));
    head(&mut text, all, occasion, incident);
    let _ = writeln!(text, "| bundle | `{}` |", incident.bundle);
    text.push_str("\n## What happened\n\n");
    let _ = writeln!(text, "{}", escape(&occasion.headline));
    if !occasion.sections.is_empty() {
        let _ = writeln!(text, "\n{}", occasion.sections.trim_end());
    }
    text.push_str("\n## Replay\n\n");
    replay(&mut text, all, incident);
    lacking(&mut text, incident);
    text.push_str("\n## Cause, what was done, what follows\n\nTo be written by whoever looked into it.\n");
    let _ = write!(text, "\n## Timeline\n\n{}", table(moments, ROWS));
    text.push_str("\n## Again\n\n");
    text
}

fn head(text: &mut String, all: &BundleContents, occasion: &IncidentTrigger, incident: &Incident) {
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "| {name} | {} |", escape(&value).replace('|', "\\|"));
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
    if let Some(now) = &occasion.now {
        row("tick", format!("{} ({})", now.tick, now.digest));
    }
    if let Some(fault) = &occasion.fault {
        row("thread", fault.thread.clone());
        row("tick", format!("{} were behind it", fault.tick));
        row("at", fault.phase.clone());
        let command = fault.last_command.as_ref();
        let command = command.map_or_else(
            || "none".into(),
            |given| format!("{} ({}, {}, before tick {})", given.line, given.issuer, given.cmd_id, given.tick),
        );
        row("last command", command);
    }
    if let Some((who, why)) = &occasion.asked {
        row("asked by", if why.is_empty() { who.clone() } else { format!("{who}: {why}") });
    }
    all.origins.iter().for_each(|origin| row("from elsewhere", origin.clone()));
    row("audit log", all.audit.clone());
    if let Some(view) = &all.view {
        row("state", format!("tick {}, day {}, policy {}", view.tick, view.day, view.policy.id));
        row("health", [std::slice::from_ref(&view.health.status), &view.health.problems].concat().join("; "));
    }
}

fn replay(text: &mut String, all: &BundleContents, incident: &Incident) {
    let Some(replay) = &all.replay else {
        text.push_str("There is none: see what could not be had.\n");
        return;
    };
    let _ = writeln!(text, "Unpack the bundle, then, in its folder:\n\n```sh\ntownlet replay {REPLAY}\n```\n");
    match &incident.replay {
        Some((tick, digest)) => {
            let _ = writeln!(text, "It must reach tick {tick} with the digest `{digest}`.");
        }
        None => text.push_str("No digest is known that it must reach.\n"),
    }
    if let Some((tick, digest)) = &replay.written {
        let _ = writeln!(text, "The last digest that the shard itself wrote is `{digest}`, at tick {tick}.");
    }
    for note in &replay.notes {
        let _ = writeln!(text, "- {}", escape(note));
    }
    if matches!(incident.kind, Kind::Crash | Kind::Hang) {
        let _ = writeln!(text, "\nThe town goes on with `townlet run --resume {}`.", incident.run_id);
    }
}

fn lacking(text: &mut String, incident: &Incident) {
    if !incident.lacking.is_empty() {
        text.push_str("\n## What could not be had\n\n");
    }
    for lack in &incident.lacking {
        let _ = writeln!(text, "- {}", escape(lack));
    }
}

/// The same happened again: a line at the note's end, while there are not too many.
pub(super) fn again(note: &Path, headline: &str) -> std::io::Result<()> {
    let lines = std::fs::read_to_string(note)?.lines().rev().take_while(|line| line.starts_with("- ")).count();
    if lines >= MAX_REPEAT_LINES {
        return Ok(());
    }
    let now = Timestamp::now().strftime("%Y-%m-%d %H:%M:%S");
    let mut file = std::fs::OpenOptions::new().append(true).open(note)?;
    writeln!(file, "- {now}: {}", escape(headline))
}

//! Answers as files of the home: `ops/whatif/<id>.md` to read and `<id>.json` for programs.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use townlet_wire::whatif::{WhatIfAlternative, WhatIfAnswer, WhatIfFigure, WhatIfParting};
use townlet_wire::{count, thousands};

use super::Asked;
use crate::home::{Home, files, shell_word};
use crate::markdown::{block, code, text};

/// Answers that a home keeps.
const KEPT: usize = 1_000;
/// Partings on a page for an alternative; the JSON file has more.
const ON_PAGE: usize = 20;

/// Writes both files of an answer in place of those of the same question, and returns the page. The oldest answers beyond
/// a thousand are removed.
///
/// # Errors
/// The file that cannot be written.
pub fn keep(home: &Home, answer: &WhatIfAnswer) -> io::Result<PathBuf> {
    let page = home.what_if().join(format!("{}.md", answer.id));
    let json = serde_json::to_string_pretty(answer).expect("an answer is plain data") + "\n";
    for (path, content) in [(page.with_extension("json"), json), (page.clone(), markdown(answer))] {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        townlet_files::write_atomically(&path, content.as_bytes()).map_err(named)?;
    }
    remove_oldest(&home.what_if(), KEPT);
    Ok(page)
}

/// Removes the answers that were written first, beyond `kept`.
fn remove_oldest(folder: &Path, kept: usize) {
    let mut answers = files(folder, "json");
    if answers.len() <= kept {
        return;
    }
    let written = |path: &PathBuf| path.metadata().and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    answers.sort_by_cached_key(|path| (written(path), path.clone()));
    for path in &answers[..answers.len() - kept] {
        // One that stays is removed the next time.
        drop(std::fs::remove_file(path.with_extension("md")).and_then(|()| std::fs::remove_file(path)));
    }
}

/// The command that asks again.
pub(super) fn repeat(run: &str, tick: u64, asked: &Asked, alternatives: &[String]) -> String {
    let mut line = format!("townlet whatif {} --at {tick}", shell_word(run));
    for alternative in alternatives {
        let _ = write!(line, " --alternative {}", shell_word(alternative));
    }
    let _ = write!(line, " --samples {} --days {}", asked.samples, asked.days);
    line
}

fn markdown(answer: &WhatIfAnswer) -> String {
    let mut page = format!("# What if: {}\n\n| | |\n|---|---|\n", text(&answer.id));
    let WhatIfAnswer { run, tick, ticks_per_day, digest, policy, samples, days, .. } = answer;
    for (name, value) in [
        ("run", code(run)),
        ("tick", format!("{}, {}", thousands(*tick), moment(*tick, *ticks_per_day))),
        ("digest of the town", code(digest)),
        ("policy", code(policy)),
        (
            "copies of each alternative",
            format!("{}, which live {} each", thousands((*samples).into()), count((*days).into(), "day")),
        ),
    ] {
        let _ = writeln!(page, "| {name} | {value} |");
    }
    page.push_str(ABOUT);
    for (alternative, number) in answer.alternatives.iter().zip(1..) {
        let _ = write!(page, "\n## Alternative {number}: {}\n\n", text(&alternative.alternative));
        page.push_str(
            "| figure | as it goes | with it | difference | 95 % interval | |\n|---|---:|---:|---:|---|---|\n",
        );
        for row in &alternative.figures {
            let [name, cells @ ..] = cells(row);
            let _ = writeln!(page, "| {} | {} |", text(&name), cells.join(" | "));
        }
        page.push_str("\nWhere the stories part, in the copies with the town's own random draws:\n\n");
        page.push_str(&partings(alternative, *ticks_per_day));
    }
    let _ = write!(page, "\n## Again\n\nIn the home of the run:\n\n{}", block(&answer.repeat));
    page
}

const ABOUT: &str = "
The interval is that of the mean difference within samples: all alternatives of a sample share their random draws. It is about this
town from this tick. ✓ better, ✗ worse, ≠ different, · not to be told apart.
";

/// `day 13, 12:00`.
fn moment(tick: u64, ticks_per_day: u64) -> String {
    let per_day = ticks_per_day.max(1);
    let minutes = tick % per_day * 1_440 / per_day;
    format!("day {}, {:02}:{:02}", tick / per_day + 1, minutes / 60, minutes % 60)
}

/// The cells of a row of the table: title, as it goes, with it, difference, interval, verdict.
pub fn cells(row: &WhatIfFigure) -> [String; 6] {
    let title = match row.unit.as_str() {
        "meals" | "days" => format!("{} ({})", row.title, row.unit),
        _ => row.title.clone(),
    };
    let interval = row.low.zip(row.high).map_or_else(String::new, |(low, high)| format!("{low:+.3} to {high:+.3}"));
    let sign = match row.verdict.word() {
        "same" => row.verdict.sign().to_owned(),
        word => format!("{} {word}", row.verdict.sign()),
    };
    [
        title,
        format!("{:.3}", row.nothing),
        format!("{:.3}", row.with),
        format!("{:+.3}", row.difference),
        interval,
        sign,
    ]
}

fn partings(alternative: &WhatIfAlternative, ticks_per_day: u64) -> String {
    let mut shown = String::new();
    for it in alternative.partings.iter().take(ON_PAGE) {
        let _ = writeln!(shown, "- {}", parting(it, ticks_per_day));
    }
    let more = alternative.partings.len().saturating_sub(ON_PAGE) as u64 + alternative.further_partings;
    match (shown.is_empty(), more) {
        (true, _) => "- nowhere.\n".into(),
        (false, 0) => shown,
        (false, more) => format!("{shown}- and {} later.\n", count(more, "other resident")),
    }
}

fn parting(parting: &WhatIfParting, ticks_per_day: u64) -> String {
    let joined = |events: &[String]| if events.is_empty() { "nothing".to_owned() } else { text(&events.join("; ")) };
    let who = parting.agent.as_deref().unwrap_or("the town");
    let when = moment(parting.tick, ticks_per_day);
    format!("{when}, {}: as it goes: {}. With it: {}.", text(who), joined(&parting.nothing), joined(&parting.with))
}

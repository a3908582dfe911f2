//! `townlet replay`: replays a run from its journal and verifies every digest, or opens the run in the interface.
//!
//! No policy runs and nothing is written. Rule: "Journal".

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;
use serde_json::json;

use super::run::{ScreenArgs, screen_options};
use super::{output, user_config};
use townlet_shard::Home;
use townlet_shard::journal::{self, Contents, Entry};
use townlet_shard::recorded_run::RecordedRun;
use townlet_shard::recovery::{JournalReplayer, position};
use townlet_source::Recorded;
use townlet_tui::format::count;
use townlet_tui::{TerminalSession, WatchedSource};
use townlet_wire::command_line::nearest;
use townlet_wire::escape;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Name of a run, or a journal file
    #[arg(value_name = "RUN|FILE")]
    journal: String,
    /// Home folder of the shard
    #[arg(long, value_name = "DIR", default_value = ".")]
    home: PathBuf,
    /// Print the digest every N ticks
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    every: Option<u64>,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
    /// Open the run in the interface, paused at its end; `goto -1000` seeks, `speed` plays
    #[arg(long, conflicts_with_all = ["every", "json"])]
    watch: bool,
    /// Initial tick [default: the last]
    #[arg(long, value_name = "TICK", requires = "watch")]
    at: Option<u64>,
    #[command(flatten)]
    screen: ScreenArgs,
}

#[derive(Default, Serialize)]
struct ReplayReport {
    run_id: String,
    shard: String,
    from_tick: u64,
    /// Last tick.
    tick: u64,
    digest: String,
    commands: u64,
    digests_equal: u64,
    /// Last tick with a digest in the journal.
    checked_to: u64,
    digests: Vec<Digest>,
    notes: Vec<String>,
    /// The first difference between journal and replayed town.
    disagreement: Option<String>,
}

#[derive(Serialize)]
struct Digest {
    tick: u64,
    digest: String,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let files = files(args)?;
    if args.watch {
        return watch(args, &files);
    }
    let read = files.into_iter().map(|file| Ok((file.clone(), journal::read(&file)?)));
    let read = read.collect::<Result<Vec<_>>>()?;
    let report = replay(&read, args.every, |digest| {
        if args.json { Ok(()) } else { output::line(&format!("tick {}  {}", digest.tick, digest.digest)) }
    })?;
    if args.json {
        output::json(&json!(report))?;
    } else {
        print_report(&report)?;
    }
    Ok(ExitCode::from(if report.disagreement.is_some() { super::EXIT_CHECK_FAILED } else { 0 }))
}

/// Opens the run in the interface.
fn watch(args: &Args, files: &[PathBuf]) -> Result<ExitCode> {
    let options = screen_options(&args.screen, &user_config::load()?)?;
    output::require_terminal("omit `--watch` without one.")?;
    let (home, journal, tick) = (Home::new(&args.home), files.to_vec(), args.at.unwrap_or(u64::MAX));
    let mut session = TerminalSession::open(options).context("the terminal failed")?;
    let open = move || {
        let mut recording = RecordedRun::open(&home, &journal)?;
        recording.seek(tick).map(|()| recording)
    };
    let message = format!("Replaying {}", args.journal);
    let loaded = session.load(&message, open).context("the terminal failed")?;
    let Some(recording) = loaded else { return Ok(ExitCode::from(super::EXIT_INTERRUPTED)) };
    let recording = recording.map_err(|why| anyhow!("{why}."))?;
    let facts = files.iter().map(|file| ("journal".to_owned(), file.display().to_string())).collect();
    let source = WatchedSource::new(Recorded::new(recording, facts));
    let last = session.run(vec![source]).context("the terminal failed")?;
    output::line(&last)?;
    Ok(ExitCode::SUCCESS)
}

fn files(args: &Args) -> Result<Vec<PathBuf>> {
    let path = Path::new(&args.journal);
    if path.is_file() || path.extension().is_some_and(|extension| extension == "tlj") {
        return Ok(vec![path.to_owned()]);
    }
    let home = Home::new(&args.home);
    let files = home.journal_files(&args.journal);
    if files.is_empty() {
        let runs = runs(&home);
        let hint = match (nearest(&args.journal, runs.iter().map(String::as_str)), runs.last()) {
            (Some(near), _) => format!("Did you mean `{near}`?"),
            (None, Some(newest)) => format!("The newest run is `{newest}`."),
            (None, None) => "There is no journal. Name the home folder with `--home`.".into(),
        };
        bail!("unknown run `{}` in {}. {hint}", escape(&args.journal), home.journals().display());
    }
    Ok(files)
}

/// All runs with a journal, sorted by name.
fn runs(home: &Home) -> Vec<String> {
    let entries = std::fs::read_dir(home.journals()).into_iter().flatten().flatten();
    let mut runs: Vec<String> = entries
        .filter_map(|entry| {
            entry.file_name().to_str()?.strip_suffix(".tlj")?.rsplit_once('-').map(|(run, _)| run.into())
        })
        .collect();
    runs.sort();
    runs.dedup();
    runs
}

fn replay(
    files: &[(PathBuf, Contents)],
    every: Option<u64>,
    mut show: impl FnMut(&Digest) -> Result<()>,
) -> Result<ReplayReport> {
    let (first_path, first) = files.first().ok_or_else(|| anyhow!("nothing to replay."))?;
    let mut player =
        JournalReplayer::from_header(&first.header).map_err(|why| anyhow!("{}: {why}.", first_path.display()))?;
    let mut found = ReplayReport {
        run_id: first.header.run_id.clone(),
        shard: first.header.shard.clone(),
        from_tick: player.town.tick(),
        ..ReplayReport::default()
    };
    'files: for (index, (path, contents)) in files.iter().enumerate() {
        if let Some(note) = begin_file(&mut player, path, contents)? {
            found.notes.push(note);
        }
        for entry in &contents.entries {
            let mut due = Vec::new();
            let played = player.apply(entry, |town| {
                if every.is_some_and(|every| town.tick().is_multiple_of(every)) {
                    due.push(Digest { tick: town.tick(), digest: town.digest() });
                }
            });
            for digest in &due {
                show(digest)?;
            }
            found.digests.extend(due);
            if let Err(why) = played {
                found.disagreement = Some(format!("{}: {why}.", path.display()));
                break 'files;
            }
            match entry {
                Entry::Command { .. } => found.commands += 1,
                Entry::Reload { tick, .. } => {
                    found.commands += 1;
                    found.notes.push(format!("configuration reloaded at tick {tick}."));
                }
                Entry::Ticks { to, digest: Some(_), .. } => found.checked_to = found.checked_to.max(*to),
                Entry::Ticks { .. } => {}
                Entry::Policy { tick, from, to, .. } => {
                    found.notes.push(format!("policy {from} replaced by {to} at tick {tick}."));
                }
            }
        }
        if contents.torn > 0 {
            let what = if index + 1 == files.len() { "incomplete at the end, as after a crash" } else { "damaged" };
            found.notes.push(format!("{}: skipped {} bytes that are {what}.", path.display(), contents.torn));
        }
    }
    found.tick = player.town.tick();
    found.digest = player.town.digest();
    found.digests_equal = player.checked;
    Ok(found)
}

/// Begins a journal file. Its initial town must be the replayed one, or a later one if entries were lost; returns a note on
/// the lost entries.
fn begin_file(player: &mut JournalReplayer, path: &Path, contents: &Contents) -> Result<Option<String>> {
    let at = position(&player.town);
    let own = player.begin_file(&contents.header).map_err(|why| anyhow!("{}: {why}.", path.display()))?;
    let Some(on) = own.filter(|on| *on > at) else { return Ok(None) };
    let lost = if at.0 < on.0 {
        format!("ticks {} to {} are", at.0, on.0)
    } else {
        format!("{} of tick {} {}", count(on.1 - at.1, "command"), at.0, if on.1 - at.1 == 1 { "is" } else { "are" })
    };
    Ok(Some(format!("{lost} missing from the journal; {} continues from a saved town.", path.display())))
}

fn print_report(report: &ReplayReport) -> Result<()> {
    for note in &report.notes {
        output::line(&format!("note: {note}"))?;
    }
    let ReplayReport { run_id, from_tick, tick, digest, commands, digests_equal, .. } = report;
    output::line(&format!(
        "{}: ticks {from_tick} to {tick}, {}, {} equal (the last at tick {}).",
        escape(run_id),
        count(*commands, "command"),
        count(*digests_equal, "digest"),
        report.checked_to
    ))?;
    output::line(&format!("tick {tick}  {digest}"))?;
    match &report.disagreement {
        Some(why) => output::line(&format!("MISMATCH  {why}")),
        None => output::line("Replay matches the journal."),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use townlet_learn::Scripted;
    use townlet_town::{Command, Rules, Sources, Town, snapshot};

    use super::*;
    use townlet_shard::journal::{Base, Header, VERSION};

    /// A command that is missing from the journal, as after a failed write, and a further file that begins after it at the
    /// same tick.
    #[test]
    fn a_file_that_begins_after_a_lost_command_is_accepted_with_a_note() {
        let sources = Sources::default_town(&[]).expect("it holds");
        let mut town = Town::new(Arc::new(Rules::new(sources.clone()).expect("they make a town")), 7);
        let header = |base: Base| {
            let (run_id, shard) = ("harbour-1".to_owned(), "harbour".to_owned());
            Header { version: VERSION, run_id, shard, sources: sources.clone(), policy: "scripted".into(), base }
        };
        let file = |base: Base, entries: Vec<Entry>| Contents { header: header(base), entries, whole: 0, torn: 0 };
        let first = file(Base::Seed(7), Vec::new());
        town.apply(&Command::ExitCap(1)).expect("it is taken");
        let base = Base::Snapshot(snapshot::save(&town));
        let mut options = Vec::new();
        while town.tick() < 100 {
            town.step(&mut Scripted);
            options.extend(town.decisions().map(|(_, option)| option.index() as u8));
        }
        let further = file(base, vec![Entry::Ticks { from: 0, to: 100, options, digest: Some(town.digest()) }]);
        let files = [("first.tlj".into(), first), ("further.tlj".into(), further)];
        let found = replay(&files, None, |_| Ok(())).expect("they are read");
        assert_eq!((found.disagreement, found.digest), (None, town.digest()));
        assert_eq!(
            found.notes,
            ["1 command of tick 0 is missing from the journal; further.tlj continues from a saved town."]
        );
    }
}

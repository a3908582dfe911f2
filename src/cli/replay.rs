//! `townlet replay`: rebuilds a run from its journal, from the beginning, and holds every digest against it; or shows it.
//!
//! Owns the telling. Playing an entry and finding a disagreement is `shard::recover`'s; no policy is asked and nothing is
//! written. Rule: "Journal".

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
use townlet_shard::recovery::{JournalReplayer, reached};
use townlet_source::Recorded;
use townlet_tui::format::count;
use townlet_tui::{TerminalSession, WatchedSource};
use townlet_wire::line::nearest;
use townlet_wire::text::escape;

/// `townlet replay`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// A run's name, or one journal file
    #[arg(value_name = "RUN|FILE")]
    what: String,
    /// The folder the shard kept its files in
    #[arg(long, value_name = "DIR", default_value = ".")]
    home: PathBuf,
    /// Prints the digest every so many ticks
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    every: Option<u64>,
    /// For a program: one JSON object
    #[arg(long)]
    json: bool,
    /// Watches it in the whole interface instead: paused at its end; `goto -1000` on the console line goes back, `speed` plays it
    #[arg(long, conflicts_with_all = ["every", "json"])]
    watch: bool,
    /// The tick to be looked at first [default: the last]
    #[arg(long, value_name = "TICK", requires = "watch")]
    at: Option<u64>,
    #[command(flatten)]
    screen: ScreenArgs,
}

/// What a replay found.
#[derive(Default, Serialize)]
struct Replayed {
    run_id: String,
    shard: String,
    /// Where it began.
    from_tick: u64,
    /// Where it ended.
    tick: u64,
    digest: String,
    commands: u64,
    digests_equal: u64,
    /// The last tick whose digest the journal holds.
    checked_to: u64,
    digests: Vec<Digest>,
    notes: Vec<String>,
    /// Where journal and town disagree.
    disagreement: Option<String>,
}

#[derive(Serialize)]
struct Digest {
    tick: u64,
    digest: String,
}

/// Runs it.
///
/// # Errors
/// A run or file that is not there or cannot be read.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let files = files(args)?;
    if args.watch {
        return watch(args, &files);
    }
    let mut read = Vec::new();
    for file in files {
        let contents = journal::read(&file)?;
        read.push((file, contents));
    }
    let replayed = replay(&read, args.every, |digest| {
        if args.json { Ok(()) } else { output::line(&format!("tick {}  {}", digest.tick, digest.digest)) }
    })?;
    if args.json {
        output::json(&json!(replayed))?;
    } else {
        tell(&replayed)?;
    }
    Ok(ExitCode::from(if replayed.disagreement.is_some() { super::EXIT_CHECK_FAILED } else { 0 }))
}

/// The run in the terminal.
fn watch(args: &Args, files: &[PathBuf]) -> Result<ExitCode> {
    let options = screen_options(&args.screen, &user_config::load()?)?;
    output::needs_terminal("`townlet replay` without `--watch` does without.")?;
    let (home, journal, tick) = (Home::new(&args.home), files.to_vec(), args.at.unwrap_or(u64::MAX));
    let mut session = TerminalSession::open(options).context("the terminal failed")?;
    let open = move || {
        let mut recording = RecordedRun::open(&home, &journal)?;
        recording.go_to(tick).map(|()| recording)
    };
    let message = format!("Replaying {}", args.what);
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
    let path = Path::new(&args.what);
    if path.is_file() || path.extension().is_some_and(|extension| extension == "tlj") {
        return Ok(vec![path.to_owned()]);
    }
    let home = Home::new(&args.home);
    let files = home.journal_files(&args.what);
    if files.is_empty() {
        let runs = runs(&home);
        let hint = match (nearest(&args.what, runs.iter().map(String::as_str)), runs.last()) {
            (Some(near), _) => format!("Did you mean `{near}`?"),
            (None, Some(newest)) => format!("The newest of {} is `{newest}`.", runs.len()),
            (None, None) => "There is no journal at all; `--home` names another folder.".into(),
        };
        bail!("there is no run `{}` in {}. {hint}", escape(&args.what), home.journals().display());
    }
    Ok(files)
}

/// Every run that has a journal, by name, which is by shard and time.
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
) -> Result<Replayed> {
    let (first_path, first) = files.first().ok_or_else(|| anyhow!("there is nothing to replay."))?;
    let mut player =
        JournalReplayer::from_header(&first.header).map_err(|why| anyhow!("{}: {why}.", first_path.display()))?;
    let mut found = Replayed {
        run_id: first.header.run_id.clone(),
        shard: first.header.shard.clone(),
        from_tick: player.town.tick(),
        ..Replayed::default()
    };
    'files: for (index, (path, contents)) in files.iter().enumerate() {
        if let Some(note) = follow_on(&mut player, path, contents)? {
            found.notes.push(note);
        }
        for entry in &contents.entries {
            let mut due = Vec::new();
            let played = player.play(entry, |town| {
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
                    found.notes.push(format!("from tick {tick} on the town ran under a reloaded configuration."));
                }
                Entry::Ticks { to, digest: Some(_), .. } => found.checked_to = found.checked_to.max(*to),
                Entry::Ticks { .. } => {}
                Entry::Policy { tick, from, to, .. } => {
                    found.notes.push(format!("from tick {tick} on {to} chose in place of {from}."));
                }
            }
        }
        if contents.torn > 0 {
            let what = if index + 1 == files.len() { "torn at its end, as a crash leaves them" } else { "damaged" };
            found.notes.push(format!("{}: {} bytes are {what}; they were passed over.", path.display(), contents.torn));
        }
    }
    found.tick = player.town.tick();
    found.digest = player.town.digest();
    found.digests_equal = player.checked;
    Ok(found)
}

/// A later file that starts from a town of its own: it must be the one replayed so far, or stands for what was lost.
fn follow_on(player: &mut JournalReplayer, path: &Path, contents: &Contents) -> Result<Option<String>> {
    let at = reached(&player.town);
    let own = player.begin(&contents.header).map_err(|why| anyhow!("{}: {why}.", path.display()))?;
    let Some(on) = own.filter(|on| *on > at) else { return Ok(None) };
    let lost = if at.0 < on.0 {
        format!("ticks {} to {} are", at.0, on.0)
    } else {
        format!("{} of tick {} {}", count(on.1 - at.1, "command"), at.0, if on.1 - at.1 == 1 { "is" } else { "are" })
    };
    Ok(Some(format!("{lost} in no journal; {} goes on from a packed town.", path.display())))
}

fn tell(replayed: &Replayed) -> Result<()> {
    for note in &replayed.notes {
        output::line(&format!("note: {note}"))?;
    }
    let Replayed { run_id, from_tick, tick, digest, commands, digests_equal, .. } = replayed;
    output::line(&format!(
        "{}: ticks {from_tick} to {tick}, {}, {} equal (the last at tick {}).",
        escape(run_id),
        count(*commands, "command"),
        count(*digests_equal, "digest"),
        replayed.checked_to
    ))?;
    output::line(&format!("tick {tick}  {digest}"))?;
    match &replayed.disagreement {
        Some(why) => output::line(&format!("DISAGREES  {why}")),
        None => output::line("The journal and the town agree."),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use townlet_learn::Scripted;
    use townlet_town::config::{Layers, load};
    use townlet_town::{Command, Rules, Sources, Town, snapshot};

    use super::*;
    use townlet_shard::journal::{Base, Header, VERSION};

    /// A command that no journal holds, as when it could not be written for a moment, and a further file that starts behind it
    /// at the same tick.
    #[test]
    fn a_file_that_starts_one_command_on_stands_for_what_was_lost() {
        let text = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let sources = Sources {
            config: load(&Layers::default()).expect("it holds").config.canonical(),
            plan: text("default.txt", include_str!("../../configs/towns/default.txt")),
            affordances: text("affordances.yaml", include_str!("../../configs/affordances.yaml")),
            perturbations: text("default.yaml", include_str!("../../configs/perturbations/default.yaml")),
        };
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
            options.extend(town.decided().map(|(_, option)| option.index() as u8));
        }
        let further = file(base, vec![Entry::Ticks { from: 0, to: 100, options, digest: Some(town.digest()) }]);
        let files = [("first.tlj".into(), first), ("further.tlj".into(), further)];
        let found = replay(&files, None, |_| Ok(())).expect("they are read");
        assert_eq!((found.disagreement, found.digest), (None, town.digest()));
        assert_eq!(found.notes, ["1 command of tick 0 is in no journal; further.tlj goes on from a packed town."]);
    }
}

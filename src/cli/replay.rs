//! `townlet replay`: replays a run from its journal and verifies every digest, or opens the run in the interface.
//!
//! No policy runs and nothing is written. Rule: "Journal".

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Serialize;
use serde_json::json;

use super::run::{ScreenArgs, screen_options};
use super::{output, user_config};
use townlet_shard::journal::{Contents, Entry, JournalError, Segments};
use townlet_shard::recorded_run::RecordedRun;
use townlet_shard::recovery::{JournalReplayer, position};
use townlet_shard::{Home, incident};
use townlet_source::Recorded;
use townlet_tui::format::{count, thousands};
use townlet_tui::{TerminalSession, WatchedSource};
use townlet_wire::command_line::nearest;
use townlet_wire::escape;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Name of a run, a journal file, or an incident bundle
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
    output::require_home(&args.home)?;
    let journal = open_journal(&args.journal, &args.home)?;
    if args.watch {
        return watch(args, journal);
    }
    let mut report = replay(journal.segments.iter(), args.every, |digest| {
        if args.json { Ok(()) } else { output::line(&format!("tick {}  {}", digest.tick, digest.digest)) }
    })?;
    report.notes.splice(..0, journal.beginning);
    if args.json {
        output::json(&json!(report))?;
    } else {
        print_report(&report)?;
    }
    Ok(ExitCode::from(if report.disagreement.is_some() { super::EXIT_CHECK_FAILED } else { 0 }))
}

/// Opens the run in the interface.
fn watch(args: &Args, journal: NamedJournal) -> Result<ExitCode> {
    let NamedJournal { segments, beginning, home, bundle } = journal;
    // The alerts of a recording are over.
    let options = townlet_tui::Options { webhook: None, ..screen_options(&args.screen, &user_config::load()?)? };
    output::require_terminal("omit `--watch` without one.")?;
    let files = segments.paths().next().map(|path| ("journal".to_owned(), path.display().to_string()));
    let further = segments.count().saturating_sub(1);
    let further = (further > 0).then(|| ("segments after it".to_owned(), further.to_string()));
    let beginning = beginning.map(|sentence| ("beginning".to_owned(), sentence));
    let facts = files.into_iter().chain(further).chain(beginning).collect();
    let at = args.at;
    let mut session = TerminalSession::open(options).context("the terminal failed")?;
    let open = move || {
        let mut recording = match bundle {
            Some(bundle) => RecordedRun::open_bundle(&home, segments, &bundle)?,
            None => RecordedRun::open(&home, segments)?,
        };
        let tick = initial_tick(at, recording.ticks())?;
        recording.seek(tick).map(|()| recording)
    };
    let message = format!("Replaying {}", args.journal);
    let loaded = session.load(&message, open).context("the terminal failed")?;
    let Some(recording) = loaded else { return Ok(ExitCode::from(super::EXIT_INTERRUPTED)) };
    let recording = recording.map_err(|why| anyhow!("{why}."))?;
    let source = WatchedSource::new(Recorded::new(recording, facts));
    let last = session.run(vec![source]).context("the terminal failed")?;
    output::notice(&last);
    Ok(ExitCode::SUCCESS)
}

/// The tick to open at: `--at`, or the last. The ticks are the first, current and last of the recording.
pub(super) fn initial_tick(at: Option<u64>, (first, _, last): (u64, u64, u64)) -> Result<u64, String> {
    let at = at.unwrap_or(last);
    if (first..=last).contains(&at) {
        return Ok(at);
    }
    let [at, first, last] = [at, first, last].map(thousands);
    Err(format!("--at {at}: the recording has the ticks {first} to {last}"))
}

/// The journal that was named, and what belongs to it.
pub(super) struct NamedJournal {
    pub(super) segments: Segments,
    /// What is missing before it, a sentence.
    pub(super) beginning: Option<String>,
    /// The home with its keyframes and its audit log.
    pub(super) home: Home,
    /// The bundle that holds its audit log instead.
    bundle: Option<PathBuf>,
}

pub(super) fn open_journal(journal: &str, home: &Path) -> Result<NamedJournal> {
    let path = Path::new(journal);
    let home = Home::new(home);
    if path.is_file() && incident::is_bundle(path) {
        let segments = incident::replay_journal(path).map_err(|why| anyhow!("{why}."))?;
        return Ok(NamedJournal { segments, beginning: None, home, bundle: Some(path.to_owned()) });
    }
    let is_segment = path.extension().is_some_and(|extension| extension == "tlj");
    if is_segment || path.is_file() {
        let opened = Segments::open(&[path.to_owned()]);
        ensure!(
            is_segment || opened.is_ok(),
            "{}: not a journal segment (`.tlj`) and not an incident bundle. Name a run, a segment or a bundle.",
            path.display()
        );
        let home = home_of_segment(path).unwrap_or(home);
        return Ok(NamedJournal { segments: opened?, beginning: None, home, bundle: None });
    }
    let segments = Segments::of_run(&home, journal)?;
    if segments.count() == 0 {
        let runs = runs(&home);
        let hint = match (nearest(journal, runs.iter().map(String::as_str)), runs.last()) {
            (Some(near), _) => format!("Did you mean `{near}`?"),
            (None, Some(newest)) => format!("The newest run is `{newest}`."),
            (None, None) => "There is no journal. Name the home folder with `--home`.".into(),
        };
        bail!("unknown run `{}` in {}. {hint}", escape(journal), home.journals().display());
    }
    let beginning = segments.beginning();
    Ok(NamedJournal { segments, beginning, home, bundle: None })
}

/// The home in whose folder of journals a segment is; in that of an unpacked bundle for its replay.
fn home_of_segment(path: &Path) -> Option<Home> {
    let folder = std::path::absolute(path).ok()?.parent()?.to_owned();
    let above = folder.ancestors().nth(2).map(Home::new).filter(|home| home.journals() == folder);
    above.or_else(|| Some(Home::new(&folder)).filter(|home| home.console().is_dir()))
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

/// Replays segments in order. One is in memory at a time.
fn replay(
    segments: impl Iterator<Item = Result<(PathBuf, Contents), JournalError>>,
    every: Option<u64>,
    mut show: impl FnMut(&Digest) -> Result<()>,
) -> Result<ReplayReport> {
    let mut started: Option<JournalReplayer> = None;
    let mut found = ReplayReport::default();
    // Bytes at the end of the segment before, which are damaged if another segment follows.
    let mut torn: Option<(PathBuf, u64)> = None;
    let skipped = |(path, bytes): (PathBuf, u64), what: &str| {
        format!("{}: skipped {bytes} bytes that are {what}.", path.display())
    };
    'segments: for segment in segments {
        let (path, contents) = segment?;
        found.notes.extend(torn.take().map(|torn| skipped(torn, "damaged")));
        let player = if let Some(player) = &mut started {
            match begin_segment(player, &path, &contents) {
                Ok(note) => found.notes.extend(note),
                Err(why) => {
                    found.disagreement = Some(format!("{why}."));
                    break;
                }
            }
            player
        } else {
            let first = JournalReplayer::from_header(&contents.header);
            let player = started.insert(first.map_err(|why| anyhow!("{}: {why}.", path.display()))?);
            (found.run_id, found.shard) = (contents.header.run_id.clone(), contents.header.shard.clone());
            found.from_tick = player.town.tick();
            player
        };
        for entry in contents.entries.iter() {
            let mut due = Vec::new();
            let played = player.apply(&entry, |town| {
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
                break 'segments;
            }
            match entry {
                Entry::Command { .. } => found.commands += 1,
                Entry::Reload { tick, .. } => {
                    found.commands += 1;
                    found.notes.push(format!("configuration reloaded at tick {tick}."));
                }
                Entry::Ticks { to, digest: Some(_), .. } => found.checked_to = found.checked_to.max(to),
                Entry::Ticks { .. } => {}
                Entry::Policy { tick, from, to, .. } => {
                    found.notes.push(format!("policy {from} replaced by {to} at tick {tick}."));
                }
            }
        }
        torn = (contents.torn > 0).then_some((path, contents.torn));
    }
    found.notes.extend(torn.map(|torn| skipped(torn, "incomplete at the end, as after a crash")));
    let player = started.ok_or_else(|| anyhow!("nothing to replay."))?;
    found.tick = player.town.tick();
    found.digest = player.town.digest();
    found.digests_equal = player.checked;
    Ok(found)
}

/// Begins a segment. Its initial town must be the replayed one, or a later one if entries were lost; returns a note on the lost
/// entries.
fn begin_segment(player: &mut JournalReplayer, path: &Path, contents: &Contents) -> Result<Option<String>, String> {
    let at = position(&player.town);
    let own = player.begin_segment(&contents.header).map_err(|why| format!("{}: {why}", path.display()))?;
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
    use townlet_shard::journal::{self, Base, Header, Journal, SegmentPlace, VERSION};

    #[test]
    fn a_recording_opens_only_at_a_tick_that_it_has() {
        let ticks = (228_000, 228_000, 1_951_062);
        assert_eq!(initial_tick(None, ticks), Ok(1_951_062));
        assert_eq!([Some(228_000), Some(300_000)].map(|at| initial_tick(at, ticks)), [Ok(228_000), Ok(300_000)]);
        for at in [2_500, 1_951_063] {
            let why = initial_tick(Some(at), ticks).expect_err("it is refused");
            assert_eq!(why, format!("--at {}: the recording has the ticks 228,000 to 1,951,062", thousands(at)));
        }
    }

    #[test]
    fn a_segment_is_looked_at_with_the_files_of_its_home() {
        let folder = tempfile::tempdir().expect("a folder");
        let (home, unpacked) = (folder.path().join("home"), folder.path().join("townlet-bundle"));
        let unpacked_log = unpacked.join("logs/console");
        std::fs::create_dir_all(&unpacked_log).expect("a folder");
        let home_of = |path: PathBuf| home_of_segment(&path).map(|home| home.folder().to_owned());
        assert_eq!(home_of(home.join("logs/journal/harbour-1-000000000000.tlj")), Some(home.clone()));
        assert_eq!(home_of(unpacked.join("replay.tlj")), Some(unpacked));
        assert_eq!(home_of(home.join("journal/harbour-1-000000000000.tlj")), None);
    }

    /// A command that is missing from the journal, as after a failed write, and a further file that begins after it at the
    /// same tick.
    #[test]
    fn a_file_that_begins_after_a_lost_command_is_accepted_with_a_note() {
        let sources = Sources::default_town(&[]).expect("it holds");
        let mut town = Town::new(Arc::new(Rules::new(sources.clone()).expect("they make a town")), 7);
        let header = |base: Base| {
            let (run_id, shard) = ("harbour-1".to_owned(), "harbour".to_owned());
            let (version, place, policy) = (VERSION, SegmentPlace::FIRST, "scripted".into());
            Header { version, run_id, shard, place, sources: sources.clone(), policy, base }
        };
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, base: Base, entries: Vec<Entry>| {
            let path = folder.path().join(name);
            let journal = Journal::create(&path, &header(base)).expect("it is written");
            for entry in entries {
                journal.append(entry);
            }
            journal.flush().expect("it is written");
            (PathBuf::from(name), journal::read(&path).expect("it is read"))
        };
        let first = file("first.tlj", Base::Seed(7), Vec::new());
        town.apply(&Command::ExitCap(1)).expect("it is taken");
        let base = Base::Snapshot(snapshot::save(&town));
        let mut options = Vec::new();
        while town.tick() < 100 {
            town.step(&mut Scripted);
            options.extend(town.decisions().map(|(_, option)| option.index() as u8));
        }
        let further =
            file("further.tlj", base, vec![Entry::Ticks { from: 0, to: 100, options, digest: Some(town.digest()) }]);
        let found = replay([first, further].into_iter().map(Ok), None, |_| Ok(())).expect("they are read");
        assert_eq!((found.disagreement, found.digest), (None, town.digest()));
        assert_eq!(
            found.notes,
            ["1 command of tick 0 is missing from the journal; further.tlj continues from a saved town."]
        );
    }
}

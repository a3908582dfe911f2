//! Pipes and devices in place of files, names that are not UTF-8, and output streams that are closed or full: the program never
//! blocks, never panics, and keeps its exit status.
//!
//! Runs the program; a run that blocks is killed, which fails the test. Rule: "Bad input".

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::channel;

use crate::kit::{BINARY, TIMEOUT, command, copy_folder, only_file};
use tempfile::TempDir;

#[track_caller]
pub(crate) fn ended(mut command: Command) -> (Option<i32>, String) {
    let child = command.spawn().expect("the program starts");
    let (id, (done, ends)) = (child.id().to_string(), channel());
    let watch = std::thread::spawn(move || {
        if ends.recv_timeout(TIMEOUT).is_err() {
            drop(Command::new("kill").args(["-KILL", &id]).status());
        }
    });
    let Output { status, stdout, stderr } = child.wait_with_output().expect("its end");
    let _ = done.send(());
    watch.join().expect("the watch ends");
    (status.code(), [stdout, stderr].iter().map(|bytes| String::from_utf8_lossy(bytes)).collect())
}

#[track_caller]
fn townlet(home: &Path, args: &[&str]) -> (Option<i32>, String) {
    ended(command(home, args.iter().copied()))
}

/// A home with a run and a release of its own.
fn lived() -> TempDir {
    let home = tempfile::tempdir().expect("a folder");
    std::fs::write(home.path().join("swap.jsonl"), "{\"command\":\"policy_swap scripted --reason drill\"}\n").unwrap();
    let args = ["run", "--headless", "--tick-limit", "100", "--script", "swap.jsonl"];
    let (status, said) = townlet(home.path(), &args);
    assert_eq!(status, Some(0), "{said}");
    home
}

fn pipe_in_place_of(file: &Path) {
    drop(std::fs::remove_file(file));
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    assert!(Command::new("mkfifo").arg(file).status().expect("mkfifo").success());
}

#[test]
fn pipe_in_place_of_a_file_is_refused() {
    let lived = lived();
    let resume = ["run", "--headless", "--tick-limit", "150", "--resume"];
    let start = ["run", "--headless", "--tick-limit", "10"];
    let (log, journals) = (lived.path().join("logs/console"), lived.path().join("logs/journal"));
    let journal = only_file(&journals, ".tlj");
    let run = journal.file_stem().unwrap().to_string_lossy().rsplit_once('-').unwrap().0.to_owned();
    let cases: &[(PathBuf, Vec<&str>)] = &[
        (only_file(&log, ".head"), resume.to_vec()),
        (only_file(&log, ".head"), vec!["audit", "verify", "logs/console"]),
        (journal.clone(), resume.to_vec()),
        (journal, vec!["replay", &run]),
        (lived.path().join("ops/harbour.privacy-key"), resume.to_vec()),
        (lived.path().join("snapshots/rel/harbour.release.json"), start.to_vec()),
        (lived.path().join("town.yaml"), vec!["config", "check", "town.yaml"]),
        (lived.path().join("town.yaml"), [&start[..], &["--config", "town.yaml"]].concat()),
        (lived.path().join("x.tls"), vec!["snapshot", "inspect", "x.tls"]),
    ];
    for (file, args) in cases {
        let home = tempfile::tempdir().unwrap();
        copy_folder(lived.path(), home.path());
        let file = home.path().join(file.strip_prefix(lived.path()).unwrap());
        pipe_in_place_of(&file);
        let (status, said) = townlet(home.path(), args);
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        // `audit verify` and `snapshot inspect` report what they found; the others refuse to start.
        assert!(matches!(status, Some(1 | 2)), "{name} {args:?}: {status:?} {said}");
        assert!(said.contains(&name) && said.contains("not a regular file"), "{name} {args:?}: {said}");
    }
    // A pipe beside a damaged snapshot is skipped in the search for the last good one.
    let snapshot = only_file(&lived.path().join("snapshots/auto").join(&run), ".tls");
    std::fs::write(&snapshot, "damaged").unwrap();
    pipe_in_place_of(&snapshot.with_file_name("000000000001.tls"));
    let (status, said) = townlet(lived.path(), &["snapshot", "validate", &snapshot.to_string_lossy()]);
    assert_eq!((status, said.contains("holds no intact snapshot before it")), (Some(1), true), "{said}");
}

#[test]
fn configuration_is_read_from_standard_input() {
    let home = tempfile::tempdir().unwrap();
    let mut command = command(home.path(), ["config", "show", "--changed", "--config", "/dev/stdin"]);
    let (read, mut write) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut write, b"seed: 4\n").unwrap();
    drop(write);
    command.stdin(read);
    let (status, said) = ended(command);
    assert_eq!((status, said.contains("seed")), (Some(0), true), "{said}");
}

#[test]
fn full_standard_error_does_not_change_the_exit_status() {
    let home = lived();
    for (args, status) in [
        (&["config", "check", "none.yaml"][..], 2),
        (&["replay", "none"], 2),
        (&["--set", "a=b"], 2),
        (&["console", "--connect", "http://127.0.0.1:1", "kpi"], 3),
        (&["run", "--headless", "--tick-limit", "120", "--resume"], 0),
    ] {
        let mut command = command(home.path(), args.iter().copied());
        command.stderr(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
        assert_eq!(ended(command).0, Some(status), "{args:?}");
    }
}

#[test]
fn closed_standard_output_does_not_change_the_exit_status() {
    let home = lived();
    let log = only_file(&home.path().join("logs/console"), "-0001.jsonl");
    let text = std::fs::read_to_string(&log).unwrap().replace("drill", "thrill");
    std::fs::write(log, text).unwrap();
    let (read, write) = std::io::pipe().unwrap();
    drop(read);
    let mut command = command(home.path(), ["audit", "verify", "logs/console"]);
    command.stdout(write);
    let (status, said) = ended(command);
    assert_eq!((status, said.contains("panicked")), (Some(1), false), "{said}");
}

#[test]
fn file_names_that_are_not_utf_8_are_reported() {
    let home = lived();
    let run = std::fs::read_dir(home.path().join("snapshots/auto")).unwrap().flatten().next().unwrap().path();
    let name = OsStr::from_bytes(b"odd\xff.tls");
    let odd = run.join(name);
    std::fs::copy(only_file(&run, ".tls"), &odd).unwrap();
    std::fs::write(home.path().join(name), "odd").unwrap();
    for args in [
        &["snapshot", "validate"][..],
        &["snapshot", "validate", "--json"],
        &["telemetry", "check", "--json"],
        &["config", "check"],
    ] {
        let mut command = command(home.path(), args.iter().copied());
        command.arg(if args[0] == "snapshot" { &odd } else { Path::new(name) });
        let (status, said) = ended(command);
        assert!(matches!(status, Some(0..=2)) && !said.contains("panicked"), "{args:?}: {status:?} {said}");
        assert!(said.contains("odd\u{fffd}"), "{args:?}: {said}");
    }
    let (status, said) = townlet(home.path(), &["snapshot", "list", "--json"]);
    assert_eq!((status, said.contains("odd\u{fffd}.tls")), (Some(0), true), "{said}");
}

#[test]
fn incident_with_a_damaged_record_is_listed() {
    let home = lived();
    let (status, said) = townlet(home.path(), &["incident", "bundle"]);
    assert_eq!(status, Some(0), "{said}");
    let folder = only_file(&home.path().join("ops/incidents"), "");
    let id = folder.file_name().unwrap().to_string_lossy().into_owned();
    for record in [Some("{"), None] {
        match record {
            Some(text) => std::fs::write(folder.join("incident.json"), text).unwrap(),
            None => std::fs::remove_file(folder.join("incident.json")).unwrap(),
        }
        let (status, said) = townlet(home.path(), &["incident", "list"]);
        assert_eq!((status, said.matches(&id).count()), (Some(0), 2), "{said}");
    }
    let (_, said) = townlet(home.path(), &["incident", "list", "--json"]);
    assert!(said.contains("cannot read the incident's record") && said.contains("[]"), "{said}");
}

#[test]
fn existing_files_are_not_overwritten() {
    let home = lived();
    std::fs::write(home.path().join("own.yaml"), "seed: 4\n").unwrap();
    let run = ["run", "--headless", "--tick-limit", "10", "--config", "own.yaml", "--export-audit", "own.yaml"];
    for args in [&run[..], &["audit", "export", "--out", "own.yaml"]] {
        let (status, said) = townlet(home.path(), args);
        assert_eq!((status, said.contains("own.yaml: already exists")), (Some(2), true), "{args:?}: {said}");
    }
    assert_eq!(std::fs::read_to_string(home.path().join("own.yaml")).unwrap(), "seed: 4\n");
}

#[test]
fn file_size_limit_starts_a_further_journal_file() {
    let home = tempfile::tempdir().unwrap();
    let script = format!("ulimit -f 64; exec {BINARY} run --headless --days 500");
    let mut command = Command::new("bash");
    command.args(["-c", &script]).current_dir(home.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (status, said) = ended(command);
    // Another file continues where the journal reaches its limit, so nothing is lost.
    assert_eq!((status, said.contains("tick 500000")), (Some(0), true), "{said}");
    let journals = home.path().join("logs/journal");
    let mut files: Vec<PathBuf> = std::fs::read_dir(journals).unwrap().flatten().map(|it| it.path()).collect();
    files.sort();
    assert!(files.len() > 1, "{files:?}");
    let run = files[0].file_stem().unwrap().to_string_lossy().rsplit_once('-').unwrap().0.to_owned();
    let (status, said) = townlet(home.path(), &["replay", &run]);
    assert_eq!((status, said.contains("ticks 0 to 500000")), (Some(0), true), "{said}");
}

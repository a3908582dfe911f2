//! The command line: help texts, and how each subcommand refuses bad input.
//!
//! Runs the program in an empty folder. Bad input exits with status 2, names the place, the mistake and the correction, and writes
//! nothing. Rule: "Bad input". `INSTA_UPDATE=always` accepts new help texts.

use std::path::Path;

use crate::kit::{command, files_below, repository, shipped_policy, temp_home, text, townlet};
use tempfile::TempDir;
use townlet_learn::checkpoint::Checkpoint;

const SCENARIO: &str = "configs/scenarios/employment_backlog.yaml";

/// A folder with only these files.
pub(super) fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = temp_home();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("a file");
    }
    folder
}

/// The names in a folder, sorted.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[track_caller]
fn refused(files: &[(&str, &str)], line: &str, says: &[&str]) {
    let folder = folder(files);
    let before = names(folder.path());
    let output = townlet(folder.path(), line);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "townlet {line}\n{message}");
    for part in says {
        assert!(message.contains(part), "townlet {line}: {part:?} is not in\n{message}");
    }
    assert!(!message.contains("panicked") && !message.contains("backtrace"), "{message}");
    assert_eq!(names(folder.path()), before, "townlet {line} wrote something");
}

const UNKNOWN: (&str, &str) = ("unknown.yaml", "employment: { grace_tick: 5 }\n");
const WRONG: (&str, &str) = ("wrong.yaml", "employment: { grace_ticks: soon }\n");
const RANGE: (&str, &str) = ("range.yaml", "employment: { grace_ticks: 5000 }\n");
const NO_PLAN: (&str, &str) = ("no_plan.yaml", "world: { plan: towns/nowhere.txt }\n");

#[test]
fn invalid_configuration_is_refused_by_every_command_that_reads_one() {
    for line in
        ["config check", "config show --config", "run --headless --tick-limit 10 --config", "--headless --config"]
    {
        let with = |file: &str| format!("{line} {file}");
        refused(&[UNKNOWN], &with("unknown.yaml"), &["unknown.yaml:1:15", "grace_tick", "`grace_ticks`", "0 to 1000"]);
        refused(&[WRONG], &with("wrong.yaml"), &["wrong.yaml:1:28", "a whole number", "\"soon\"", "0 to 1000"]);
        refused(&[RANGE], &with("range.yaml"), &["range.yaml:1:28", "5000", "0 to 1000"]);
        refused(&[NO_PLAN], &with("no_plan.yaml"), &["world.plan", "towns/nowhere.txt", "towns/default.txt"]);
        refused(&[], &with("none.yaml"), &["none.yaml", "no such file"]);
    }
    refused(&[UNKNOWN, RANGE], "config diff range.yaml unknown.yaml", &["range.yaml:1:28", "0 to 1000"]);
}

#[test]
fn bad_arguments_are_refused_by_name() {
    refused(&[], "rnu", &["rnu", "--help"]);
    refused(&[], "run --headless --tick-limit=-5", &["--tick-limit", "-5"]);
    refused(&[], "run --headless --tick-limit many", &["--tick-limit", "many"]);
    refused(&[], "run --headless --tick-limit 5 --days 1", &["--tick-limit", "--days"]);
    refused(&[], "run --headless --tick-limit 5 --script none.jsonl", &["none.jsonl"]);
    refused(&[], "run --headless --tick-limit 5 --resume", &["no run", "--resume"]);
    refused(&[], "replay x --every 0", &["--every", "0"]);
    refused(&[], "audit export --since yesterday", &["--since", "yesterday", "2026-03-01"]);
    refused(&[], "audit export --format xml", &["xml", "jsonl", "csv"]);
    refused(&[], "token new --role king", &["king", "admin", "viewer"]);
    refused(&[], "bench --seconds 0", &["--seconds", "0"]);
    refused(&[], "completions tcsh9", &["tcsh9", "bash"]);
}

#[test]
fn a_byte_order_mark_is_accepted_in_every_text() {
    let telemetry = std::fs::read_to_string(repository("tests/import/hybrid.yaml")).expect("a file");
    let marked = |text: &str| format!("\u{feff}{text}");
    let files = [
        ("s.jsonl", marked("{\"tick\":9,\"command\":\"price meal 0.5\"}\r\n")),
        ("town.yaml", marked("seed: 5\r\nperturbations: { file: events.yaml }\r\nworld: { plan: plan.txt }\r\n")),
        ("events.yaml", marked(include_str!("../../configs/perturbations/none.yaml"))),
        ("plan.txt", marked(include_str!("../../configs/towns/default.txt"))),
        ("old.yaml", marked(&telemetry)),
        ("payload.json", marked("{\"schema_version\":\"9.0.0\"}")),
        (".config/townlet/config.yaml", marked("theme: light\n")),
    ];
    let home = temp_home();
    std::fs::create_dir_all(home.path().join(".config/townlet")).expect("a folder");
    for (name, text) in &files {
        std::fs::write(home.path().join(name), text).expect("a file");
    }
    for (line, status) in [
        ("--headless --config town.yaml --script s.jsonl --tick-limit 20", 0),
        ("config check town.yaml", 0),
        ("config import old.yaml", 0),
        ("telemetry check payload.json", 1),
        ("console --connect http://127.0.0.1:1 kpi", 3),
    ] {
        let output = townlet(home.path(), line);
        assert_eq!(output.status.code(), Some(status), "townlet {line}\n{}", text(&output.stderr));
    }
    std::fs::write(home.path().join("s.jsonl"), [0xff, 0xfe, b'{', 0]).expect("a file");
    let output = townlet(home.path(), "--headless --script s.jsonl --tick-limit 20");
    assert!(text(&output.stderr).contains("s.jsonl: it is UTF-16 text; save it as UTF-8"), "{}", text(&output.stderr));
}

#[test]
fn missing_and_damaged_files_are_refused_by_name() {
    refused(&[], "audit verify logs/console", &["logs/console", "no such file or folder"]);
    refused(&[], "audit verify .", &["contains no audit log"]);
    refused(&[("x.txt", "")], "audit verify x.txt", &["x.txt", "not an audit log file"]);
    refused(&[], "audit tail", &["logs/console", "--home"]);
    refused(&[], "replay harbour-1", &["harbour-1", "--home"]);
    let words = ["--policy", "`junk` is a file", "ends with `.safetensors`", "townlet policy list"];
    refused(&[("junk", "nonsense")], "eval --policy junk --seeds 1 --days 1", &words);
    refused(&[("x.tlj", "nonsense")], "replay x.tlj", &["x.tlj", "does not begin with an intact journal header"]);
    refused(&[("x.tls", "nonsense")], "snapshot inspect x.tls", &["x.tls", "not a townlet snapshot"]);
    refused(&[], "snapshot inspect x.tls", &["x.tls", "no such file"]);
    refused(&[("tokens", "{}\n")], "token list --file tokens", &["tokens: other users can", "chmod 600 tokens"]);
}

/// Command lines that read a home. Each refuses one that does not exist, and makes none.
const READERS: [&str; 23] = [
    "--headless --tick-limit 9 --resume",
    "run --headless --tick-limit 9 --resume",
    "serve --resume",
    "replay harbour-1",
    "whatif harbour-1 --command spawn",
    "preflight --candidate shipped",
    "rehearse",
    "eval --policy shipped --days 1 --seeds 1",
    "policy list",
    "policy inspect shipped",
    "train --resume",
    "train sweep --resume",
    "token list",
    "token rotate ada",
    "token revoke ada",
    "incident list",
    "incident bundle",
    "snapshot list",
    "security check",
    "audit tail",
    "audit export",
    "audit checkpoint",
    "audit seal status",
];
/// Command lines that make a home.
const MAKERS: [&str; 9] = [
    "--headless --tick-limit 9",
    "run --headless --tick-limit 9",
    "serve --listen 127.0.0.1:0",
    "token create --role viewer",
    "audit seal setup",
    "train --steps 10",
    "train sweep search.yaml",
    "bench",
    "audit verify . --replay",
];

#[test]
fn a_home_that_does_not_exist_is_refused_by_every_command_that_reads_one() {
    for line in READERS {
        refused(&[], &format!("{line} --home typo"), &["--home typo: no such folder."]);
        refused(&[("typo", "")], &format!("{line} --home typo"), &["--home typo: no such folder."]);
    }
    for line in MAKERS {
        refused(&[("typo", "")], &format!("{line} --home typo"), &["typo"]);
    }
    // Every command with `--home` is in one of the tables.
    let mut root = townlet::cli::command();
    root.build();
    let known =
        |path: &str| READERS.iter().chain(&MAKERS).any(|line| format!("{line} ").starts_with(&format!("{path} ")));
    let mut rest: Vec<(String, &clap::Command)> = root.get_subcommands().map(|it| (it.get_name().into(), it)).collect();
    while let Some((path, command)) = rest.pop() {
        let parts = command.get_subcommands().map(|it| (format!("{path} {}", it.get_name()), it));
        let has_home = command.get_arguments().any(|it| it.get_id() == "home");
        assert!(!has_home || command.is_subcommand_required_set() || known(&path), "`{path}` is in no table");
        rest.extend(parts.filter(|(path, _)| !path.contains("help")));
    }
}

/// The folder and run id of a short run.
fn ran() -> (TempDir, String) {
    let folder = folder(&[]);
    let output = townlet(folder.path(), "run --headless --tick-limit 250 --json");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let journal = names(&folder.path().join("logs/journal"));
    let run = journal[0].rsplit_once('-').expect("a run's name").0.to_owned();
    (folder, run)
}

#[test]
fn replay_audit_verify_and_snapshot_validate_accept_a_run() {
    let (folder, run) = ran();
    let path = folder.path();
    let output = townlet(path, &format!("replay {run} --every 100 --json"));
    let replayed: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((replayed["tick"].as_u64(), replayed["digests_equal"].as_u64()), (Some(250), Some(2)));
    assert_eq!(replayed["digests"].as_array().map(Vec::len), Some(2));
    assert!(townlet(path, "audit verify logs/console").status.success());
    refused_run(path, &run);

    let snapshots = path.join("snapshots/auto").join(&run);
    let whole = snapshots.join(&names(&snapshots)[0]);
    let bytes = std::fs::read(&whole).expect("a snapshot");
    let cut = snapshots.join("000000000999.tls");
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).expect("a file");
    let output = townlet(path, &format!("snapshot validate {} {}", whole.display(), cut.display()));
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("valid. Tick 250") && said.contains("too short"), "{said}");
    assert!(said.contains(&format!("The last intact one before it is {}", whole.display())), "{said}");
    let output = townlet(path, &format!("snapshot inspect {}", cut.display()));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("The last intact one before it"));
}

fn refused_run(path: &Path, run: &str) {
    let near = format!("{}z", &run[..run.len() - 1]);
    let output = townlet(path, &format!("replay {near}"));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains(&format!("Did you mean `{run}`?")), "{}", text(&output.stderr));
}

#[test]
fn replay_of_a_file_that_is_no_journal_does_not_advise_to_restore_it() {
    refused(&[("notes.yaml", "a: 1\n")], "replay notes.yaml", &["notes.yaml: not a journal segment (`.tlj`)"]);
    refused(&[("notes.tlj", "a: 1\n")], "replay notes.tlj", &["put back a copy of the file"]);
}

#[test]
fn replay_reports_a_journal_of_another_seed() {
    let (folder, run) = ran();
    let file = folder.path().join(format!("logs/journal/{run}-000000000000.tlj"));
    let contents = townlet_shard::journal::read(&file).expect("a journal");
    let other = folder.path().join("other.tlj");
    let base = townlet_shard::journal::Base::Seed(4242);
    let header = townlet_shard::journal::Header { base, ..contents.header };
    let journal = townlet_shard::journal::Journal::create(&other, &header).expect("a journal");
    contents.entries.iter().for_each(|entry| journal.append(entry));
    drop(journal);
    let output = townlet(folder.path(), "replay other.tlj");
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("MISMATCH") && said.contains("other.tlj"), "{said}");
}

#[test]
fn config_show_names_origins_and_diff_lists_changes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let checked = townlet(root, &format!("config check {SCENARIO}"));
    assert!(checked.status.success() && text(&checked.stdout).contains("employment-backlog-v1"));
    let folder = folder(&[("mine.yaml", "seed: 9\n")]);
    let shown = text(&townlet(folder.path(), "config show --changed --config mine.yaml").stdout);
    assert!(shown.contains("seed") && shown.contains("mine.yaml:1"), "{shown}");
    // A setting that a file gives with the default's value is no change.
    let default = root.join("configs/default.yaml");
    let checked = text(&townlet(root, &format!("config check {}", default.display())).stdout);
    assert!(checked.contains(" with 0 settings other than the default."), "{checked}");
    let shown = text(&townlet(root, &format!("config show --changed --config {}", default.display())).stdout);
    assert_eq!(shown.lines().count(), 1, "{shown}");
    let output = townlet(root, &format!("config diff configs/default.yaml {SCENARIO} --json"));
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(rows.as_array().expect("rows").iter().any(|row| row["key"] == "world.population" && row["right"] == "16"));
    let schema: serde_json::Value = serde_json::from_slice(&townlet(root, "config schema").stdout).expect("JSON");
    assert_eq!(schema["title"], "Townlet configuration");
    assert!(text(&townlet(root, "completions bash").stdout).contains("_townlet()"));
}

#[test]
fn help_texts_match_the_snapshot() {
    let mut root = townlet::cli::command().term_width(100);
    root.build();
    let mut texts = String::new();
    helps(&root, "townlet", &mut texts);
    insta::assert_snapshot!("help", texts);
}

/// Appends the help of a command and of its subcommands, except clap's own `help`.
fn helps(command: &clap::Command, name: &str, texts: &mut String) {
    use std::fmt::Write as _;
    let help = command.clone().term_width(100).render_help();
    writeln!(texts, "$ {name} --help\n{help}").expect("a string takes every write");
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        helps(below, &format!("{name} {}", below.get_name()), texts);
    }
}

#[test]
#[cfg(unix)]
fn endless_devices_are_refused_as_files() {
    for line in [
        "--headless --tick-limit 9 --script /dev/zero",
        "snapshot inspect /dev/zero",
        "telemetry check /dev/zero",
        "config diff /dev/zero /dev/zero",
        "serve --tls-cert /dev/zero --tls-key /dev/zero",
        "telemetry tail --connect https://127.0.0.1:1 --ca /dev/zero",
    ] {
        refused(&[], line, &["/dev/zero"]);
    }
    // `validate` judges files: one that is no snapshot is a verdict, not bad input.
    let judged = townlet(folder(&[]).path(), "snapshot validate /dev/zero");
    assert_eq!(judged.status.code(), Some(1));
    assert!(text(&judged.stdout).contains("not a regular file"), "{}", text(&judged.stdout));
}

#[test]
fn serve_refuses_an_address_before_the_town_starts() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    refused(&[], &format!("serve --listen {address}"), &[&address]);
    refused(&[], "serve --listen 0.0.0.0:0", &["--tls-cert"]);
    refused(&[], "serve --tls-cert none.pem --tls-key none.key", &["none.pem"]);
}

/// Stores a changed copy of the shipped checkpoint among the released ones, under the id of its bytes; the id.
fn released(home: &Path, change: impl FnOnce(&mut Checkpoint)) -> String {
    let mut it = shipped_policy();
    change(&mut it);
    let (id, bytes) = Checkpoint::encode(&it.meta, &it.weights, &it.normalizer);
    keep(home, &id, &bytes);
    id
}

fn keep(home: &Path, id: &str, bytes: &[u8]) {
    let folder = home.join("snapshots/rel");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(format!("{id}.safetensors")), bytes).expect("it can be written");
}

#[test]
fn damaged_or_foreign_checkpoints_are_refused_by_every_command() {
    let home = folder(&[]);
    let whole = released(home.path(), |it| it.meta.seed += 1);
    let bytes = std::fs::read(home.path().join(format!("snapshots/rel/{whole}.safetensors"))).expect("it is there");
    let (truncated, altered) = ("0123456789abcdef", "fedcba9876543210");
    keep(home.path(), truncated, &bytes[..bytes.len() - 5]);
    keep(home.path(), altered, &bytes);
    let nan = released(home.path(), |it| it.weights.tensors[0].values[3] = f32::NAN);
    let layout = released(home.path(), |it| it.meta.layout_hash = "0".repeat(16));
    let format = released(home.path(), |it| it.meta.format = "townlet-policy-9".into());
    let asked =
        ["--headless --tick-limit 9 --set policy.release=", "eval --seeds 1 --days 1 --policy ", "policy inspect "];
    for (id, says) in [
        (truncated, "truncated"),
        (altered, "was altered"),
        (&nan, "every weight must be finite"),
        (&format, "`townlet-policy-1`"),
        (&layout, "the observation layout"),
    ] {
        for line in asked {
            let output = townlet(home.path(), &format!("{line}{id}"));
            let (code, out, said) = (output.status.code(), text(&output.stdout), text(&output.stderr));
            // `policy inspect` shows a policy of another layout and reports that it does not fit here.
            let looked = line.starts_with("policy") && id == layout;
            let (wanted, words) = if looked { (Some(0), &out) } else { (Some(2), &said) };
            assert!(code == wanted && words.contains(id) && words.contains(says), "{line}{id}: {code:?}\n{out}{said}");
        }
    }
    assert!(!home.path().join("logs/journal").exists(), "nothing was run");
}

#[test]
fn a_town_outside_the_trained_range_of_the_policy_is_reported() {
    let folder = folder(&[
        ("mine.yaml", "config_id: mine\nworld: { population: 40 }\n"),
        ("own.yaml", "config_id: own\npolicy: { release: scripted }\n"),
    ]);
    let check = |file| text(&townlet(folder.path(), &format!("config check {file}")).stdout);
    let warned = check("mine.yaml");
    let reason = "40 residents; trained on 4 to 32";
    assert!(warned.contains("warning: policy.release: ") && warned.contains(reason), "{warned}");
    assert!(warned.contains("valid"), "{warned}");
    assert!(!check("own.yaml").contains("warning"));
    let said = |line: &str| text(&townlet(folder.path(), line).stdout);
    let evaluated = said("eval --policy shipped --seeds 1 --days 1 --config mine.yaml");
    assert!(evaluated.contains("outside the range") && evaluated.contains(reason), "{evaluated}");
    let inspected = said("policy inspect shipped --config mine.yaml");
    assert!(inspected.contains(&format!("outside: {reason}")), "{inspected}");
    assert!(said("policy inspect shipped").contains("inside"));
}

#[test]
fn invalid_script_is_refused_before_anything_is_written() {
    let script = |line: &'static str| [("s.jsonl", line)];
    let run = "run --headless --tick-limit 50 --script s.jsonl";
    refused(
        &script("{\"tick\":5,\"command\":\"pause\"}"),
        run,
        &["s.jsonl:1", "not available in headless runs", "`pause`"],
    );
    refused(&script("{\"command\":\"kpi\",\"cmd_id\":\"a b\"}"), run, &["s.jsonl:1", "cmd_id"]);
    refused(&script("{\"tick\":51,\"command\":\"kpi\"}"), run, &["s.jsonl:1", "tick 51", "0 to 50"]);
    refused(&script("\n{\"command\":\"kpo\"}"), run, &["s.jsonl:2", "`kpo`", "`kpi`"]);
    refused(&script("{\"command\":\"kill nobody\"}"), run, &["s.jsonl:1", "`nobody`", "`ada`"]);
    refused(&script("{\"command\":\"kill adda\"}"), run, &["s.jsonl:1", "`adda`", "Did you mean `ada`"]);
    let long = format!("{{\"command\":\"employment_exit approve ada --reason {}\"}}", "x".repeat(2_000));
    refused(&[("s.jsonl", &long)], run, &["s.jsonl:1", "1024"]);
    refused(&script("{\"command\":\"\\u001b[31mkpi\"}"), run, &["s.jsonl:1", "\\u{1b}"]);
    refused(&script("{\"tick\":\"x\",\"command\":\"kpi\"}"), run, &["s.jsonl:1", "employment_exit approve ada"]);
}

#[test]
fn shadow_folder_must_differ_from_the_release_folder() {
    let folder = folder(&[]);
    let inside = folder.path().join("snapshots/rel").display().to_string();
    for shadow in [inside.as_str(), "snapshots/../snapshots/rel", "new/../snapshots/rel"] {
        std::fs::create_dir_all(folder.path().join("snapshots")).expect("a folder");
        for what in ["train --steps 2000", "--headless --train --tick-limit 10"] {
            let output = townlet(folder.path(), &format!("{what} --set policy.shadow_dir={shadow}"));
            let said = text(&output.stderr);
            assert_eq!((output.status.code(), said.contains("are one folder")), (Some(2), true), "{what}: {said}");
        }
    }
    assert!(!folder.path().join("snapshots/rel").exists(), "nothing was written");
    // A home that does not exist yet has two different folders.
    let output = townlet(folder.path(), "--headless --train --tick-limit 10 --home towns/new");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn resume_keeps_the_configuration_of_the_run_and_requires_its_audit_log() {
    let folder = folder(&[("s.jsonl", "{\"command\":\"price meal 0.5\"}")]);
    assert!(townlet(folder.path(), "--headless --tick-limit 250 --script s.jsonl").status.success());
    let journal = names(&folder.path().join("logs/journal"));
    let run = journal[0].rsplit_once('-').expect("a run's name").0.to_owned();
    let resume = |flags: &str| townlet(folder.path(), &format!("--headless --resume --days 1 {flags}"));
    for (flags, key) in [("--seed 99", "seed"), ("--set employment.daily_exit_cap=1", "employment.daily_exit_cap")] {
        let output = resume(&format!("--strict-config {flags}"));
        assert_eq!(output.status.code(), Some(2), "{flags}");
        assert!(text(&output.stderr).contains(&format!("{key} differs")), "{}", text(&output.stderr));
        let output = resume(flags);
        assert_eq!(output.status.code(), Some(0), "{flags}: {}", text(&output.stderr));
        let notes = text(&output.stderr);
        assert!(notes.contains(&format!("{run} runs on with its own: {key} ")), "{notes}");
    }
    let before = names(&folder.path().join("logs/console"));
    let output = townlet(folder.path(), "--headless --resume nope");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains(&run), "the runs there are: {}", text(&output.stderr));
    assert_eq!(names(&folder.path().join("logs/console")), before, "nothing was written");
    assert!(resume("").status.success());
    std::fs::remove_file(folder.path().join(format!("logs/console/{run}-0001.jsonl"))).expect("the log");
    let output = resume("");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("audit log of this run is missing"), "{}", text(&output.stderr));
}

#[test]
fn a_resume_that_finds_nothing_names_what_there_is() {
    let (folder, run) = ran();
    let refusal = |line: &str| {
        let output = townlet(folder.path(), line);
        assert_eq!(output.status.code(), Some(2), "{line}");
        text(&output.stderr)
    };
    // The home holds only runs of another shard.
    let other = "--set shard=elsewhere --headless --days 1 --resume";
    for line in [other.to_owned(), format!("{other} elsewhere-20260101-000000-000abc")] {
        let said = refusal(&line);
        assert!(
            said.contains(&run) && said.contains("runs of other shards") && said.contains("--resume RUN"),
            "{said}"
        );
    }
    let said = refusal("--headless --days 1 --resume nope");
    assert!(said.contains(&format!("runs of `harbour`: {run}")), "{said}");
    // A policy whose training state is gone.
    std::fs::create_dir_all(folder.path().join("snapshots/shadow")).expect("a folder");
    std::fs::copy(
        repository("configs/policies/shipped.safetensors"),
        folder.path().join("snapshots/shadow/lone.safetensors"),
    )
    .expect("a file");
    let said = refusal("train --resume lone");
    assert!(said.contains("`lone.training` is missing in") && said.contains("snapshots/shadow"), "{said}");
    let said = refusal("train --resume nothing");
    assert!(said.contains("no checkpoint `nothing`"), "{said}");
}

#[test]
fn last_snapshot_and_autosave_of_the_same_tick_are_one_file() {
    let folder = folder(&[]);
    let output = townlet(folder.path(), "--headless --tick-limit 2000 --set snapshot.autosave.min_seconds=0");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let saved = files_below(&folder.path().join("snapshots/auto"));
    let names: Vec<_> = saved.iter().map(|file| file.file_name().unwrap().to_string_lossy()).collect();
    assert_eq!(names.iter().filter(|name| *name == "000000002000.tls").count(), 1, "{names:?}");
    for file in &saved {
        let output = townlet(folder.path(), &format!("snapshot validate {}", file.display()));
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    }
}

#[test]
fn config_import_converts_files_of_the_original_program() {
    for old in ["hybrid", "shocked"] {
        let folder = folder(&[]);
        let line = format!(
            "config import {} --out new.yaml --json",
            repository("tests/import").join(format!("{old}.yaml")).display()
        );
        let run = |line: &str| {
            let output = townlet(folder.path(), line);
            (output.status.code(), text(&output.stdout), text(&output.stderr))
        };
        let (status, report, errors) = run(&line);
        assert_eq!(status, Some(0), "{errors}");
        let report: serde_json::Value = serde_json::from_str(&report).expect("one JSON object");
        let outcomes: Vec<String> = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| {
                format!(
                    "{:>7}  {}  {}\n",
                    it["outcome"].as_str().unwrap(),
                    it["key"].as_str().unwrap(),
                    it["note"].as_str().unwrap()
                )
            })
            .collect();
        insta::assert_snapshot!(format!("import_{old}"), outcomes.concat());
        for line in ["config check new.yaml", "--headless --config new.yaml --days 1"] {
            let (status, _, errors) = run(line);
            assert_eq!(status, Some(0), "{line}\n{errors}");
        }
        let (status, _, errors) = run(&line);
        assert_eq!(status, Some(2));
        assert!(errors.contains("new.yaml") && errors.contains("not overwritten"), "{errors}");
    }
}

/// Folders and arguments with an escape sequence, C1, bidirectional, invisible and separating characters: no command prints one.
#[test]
fn no_output_carries_raw_control_or_invisible_characters() {
    let folder = folder(&[]);
    let hostile = "a\u{1b}[31m\u{9b}2J\u{7f}\u{202e}\u{200b}\u{2028}\u{e0041}z";
    let home = folder.path().join(hostile);
    std::fs::create_dir(&home).expect("a folder");
    let home = home.to_str().expect("UTF-8");
    let name = format!("{hostile}.yaml");
    for (arguments, status) in [
        (vec!["token", "list", "--home", home], 0),
        (vec!["token", "new", "--role", "admin", "--home", home], 0),
        (vec!["incident", "list", "--home", home], 0),
        (vec!["snapshot", "list", "--home", home], 0),
        (vec!["config", "check", &name, "--json"], 2),
        (vec!["config", "check", &name], 2),
        (vec!["run", "--headless", "--tick-limit", "5", "--home", home], 0),
        (vec!["run", "--headless", "--tick-limit", "5", "--home", home, "--json"], 0),
        (vec!["audit", "verify", home], 0),
        (vec!["replay", home], 2),
        (vec![hostile], 2),
        (vec!["run", hostile], 2),
        (vec!["run", "--seed", hostile], 2),
    ] {
        let output = command(folder.path(), arguments.iter().copied()).output().expect("the program starts");
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(status), "{arguments:?}\n{out}\n{err}");
        let raw = |it: char| it != '\n' && it != '\t' && townlet_wire::is_unsafe(it);
        assert!(!(out + &err).chars().any(raw), "{arguments:?}\n{:?}\n{err:?}", text(&output.stdout));
    }
}

/// A shard may say anything. `telemetry snapshot` prints it as JSON of the same value without raw characters.
#[test]
fn a_hostile_snapshot_is_printed_as_plain_json() {
    let said = serde_json::json!({ "shard": "a\u{9b}2J\u{202e}\u{7f}\u{200b}\u{e0041}z" });
    let body = said.to_string();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
            let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = std::io::Write::write_all(&mut stream, format!("{head}{body}").as_bytes());
        }
    });
    let folder = folder(&[]);
    let output = townlet(folder.path(), &format!("telemetry snapshot --connect http://{address}"));
    let printed = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(!printed.chars().any(|it| it != '\n' && townlet_wire::is_unsafe(it)), "{printed:?}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).expect("JSON"), said);
}

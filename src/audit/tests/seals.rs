//! Seals of a live log: when they are made, and what a crash between their steps leaves.

use std::time::Duration;

use super::*;

/// A log with a sealing key beside it.
struct Sealed {
    dir: tempfile::TempDir,
    key: VerificationKey,
}

impl Sealed {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = set_up(&dir.path().join("ops/seal.key"), &dir.path().join("logs"), false).unwrap();
        Self { dir, key }
    }

    fn key_file(&self) -> PathBuf {
        self.dir.path().join("ops/seal.key")
    }

    fn logs(&self) -> PathBuf {
        self.dir.path().join("logs")
    }

    fn options(&self, run_id: &str) -> Options {
        Options { seal_key: Some(self.key_file()), ..options(&self.logs(), run_id) }
    }

    fn report(&self) -> Report {
        let proofs = Proofs { keys: vec![self.key.clone()], seal_key: Some(self.key_file()), ..Proofs::default() };
        verify_with(&self.logs(), &proofs).unwrap()
    }

    fn causes(&self) -> Vec<Cause> {
        let seals = read(&self.logs()).into_iter().filter(|record| record.stage == Stage::Seal);
        seals.map(|record| Seal::of_args(&record.args).unwrap().cause).collect()
    }
}

#[test]
fn a_log_is_sealed_at_start_stop_rotation_and_interval() {
    let site = Sealed::new();
    let log = Log::open(Options { segment_bytes: 1, ..site.options("r") }).unwrap().log;
    assert!(matches!(log.sealing(), Sealing::Sealed(id) if id == site.key.id()));
    for number in 0..3 {
        log.append_and_wait(intent(&format!("id-{number}")), true).unwrap();
    }
    log.flush().unwrap();
    drop(log);
    assert_eq!(site.causes()[0], Cause::Start);
    assert!(site.causes().contains(&Cause::Rotation), "{:?}", site.causes());
    assert_eq!(site.causes().last(), Some(&Cause::Stop));
    let report = site.report();
    assert!(report.passed() && report.unproven.is_empty(), "{:?} {:?}", said(&report), report.unproven);

    let log = Log::open(Options { seal_interval: Duration::ZERO, ..site.options("s") }).unwrap().log;
    log.append_and_wait(intent("id-1"), true).unwrap();
    log.flush().unwrap();
    drop(log);
    assert!(site.causes().contains(&Cause::Interval));
    assert!(site.report().passed());
}

#[test]
fn records_of_the_log_itself_have_the_tick_of_the_town() {
    let site = Sealed::new();
    let log = Log::open(site.options("r")).unwrap().log;
    log.append_and_wait(Record { tick: 27_013, ..intent("id-1") }, true).unwrap();
    log.note_tick(29_400);
    log.seal().unwrap();
    log.begin_segment();
    log.flush().unwrap();
    drop(log);
    let records = read(&site.logs());
    let own: Vec<_> = records.iter().skip_while(|record| record.stage != Stage::Intent).skip(1).collect();
    assert!(own.iter().all(|record| record.command == "audit" && record.tick == 29_400), "{own:?}");
    assert!([Stage::Seal, Stage::Rotate].iter().all(|stage| own.iter().any(|record| record.stage == *stage)));
    // The town of a restart may be at an earlier tick, and at a later one than the last record.
    for tick in [29_350, 31_000] {
        let before = read(&site.logs()).len();
        let log = Log::open(Options { tick: Some(tick), ..site.options("r") }).unwrap().log;
        log.seal().unwrap();
        drop(log);
        let ticks: Vec<u64> = read(&site.logs())[before..].iter().map(|record| record.tick).collect();
        assert!(ticks.len() >= 2 && ticks.iter().all(|own| *own == tick), "{ticks:?} instead of {tick}");
    }
}

#[test]
fn a_key_that_is_made_later_seals_a_running_log_and_those_before() {
    let dir = tempfile::tempdir().unwrap();
    let (logs, key_file) = (dir.path().join("logs"), dir.path().join("ops/seal.key"));
    finished(&logs, 2, 1 << 20);
    let sealed = Options { seal_key: Some(key_file.clone()), ..options(&logs, "s") };
    let log = Log::open(sealed).unwrap().log;
    assert_eq!(log.sealing(), Sealing::Unsealed);
    log.append_and_wait(intent("before"), true).unwrap();
    let key = set_up(&key_file, &logs, false).unwrap();
    log.append_and_wait(intent("after"), true).unwrap();
    log.seal().unwrap();
    assert!(matches!(log.sealing(), Sealing::Sealed(_)));
    drop(log);
    let proofs = Proofs { keys: vec![key], seal_key: Some(key_file.clone()), ..Proofs::default() };
    let report = verify_with(&logs, &proofs).unwrap();
    assert!(report.passed() && report.unproven.is_empty(), "{:?} {:?}", said(&report), report.unproven);
    assert!(set_up(&key_file, &logs, false).unwrap_err().contains("--replace"));
    set_up(&key_file, &logs, true).unwrap();
    let report = verify_with(&logs, &proofs).unwrap();
    assert!(said(&report).iter().any(|finding| finding.contains("another sealing key")), "{:?}", said(&report));
}

#[test]
#[cfg(unix)]
fn a_key_that_others_can_read_seals_nothing_and_says_so() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Sealed::new();
    let allow = |mode| std::fs::set_permissions(site.key_file(), std::fs::Permissions::from_mode(mode)).unwrap();
    assert_eq!(std::fs::metadata(site.key_file()).unwrap().permissions().mode() & 0o777, 0o600);
    allow(0o640);
    let log = Log::open(site.options("r")).unwrap().log;
    let Sealing::Failed(why) = log.sealing() else { panic!("{:?}", log.sealing()) };
    assert!(why.contains("chmod 600"), "{why}");
    log.append_and_wait(intent("goes on"), true).unwrap();
    allow(0o600);
    let ops = site.key_file().parent().unwrap().to_owned();
    let open = |mode| std::fs::set_permissions(&ops, std::fs::Permissions::from_mode(mode)).unwrap();
    open(0o777);
    log.seal().unwrap();
    let Sealing::Failed(why) = log.sealing() else { panic!("{:?}", log.sealing()) };
    assert!(why.contains("chmod go-w"), "a key that others can replace: {why}");
    open(0o755);
    log.seal().unwrap();
    assert!(matches!(log.sealing(), Sealing::Sealed(_)), "it goes on once the mistake is corrected");
}

#[test]
fn the_key_steps_at_every_seal_and_nothing_of_it_stays() {
    let site = Sealed::new();
    let log = Log::open(site.options("r")).unwrap().log;
    let mut seen = Vec::new();
    for number in 0..3 {
        log.append_and_wait(intent(&format!("id-{number}")), true).unwrap();
        log.seal().unwrap();
        let state: Value = serde_json::from_slice(&std::fs::read(site.key_file()).unwrap()).unwrap();
        assert_eq!(state["pending"], json!([]));
        seen.push((state["number"].as_u64().unwrap(), state["key"].as_str().unwrap().to_owned()));
    }
    assert!(seen.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1 && pair[1].1 != pair[0].1));
    let left: Vec<_> =
        files(&site.dir.path().join("ops")).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(left, ["seal.key", "seal.lock"], "no old key is left");
}

#[test]
fn a_seal_that_a_crash_interrupted_is_written_down_by_the_next_start() {
    let site = Sealed::new();
    let log = Log::open(site.options("r")).unwrap().log;
    log.append_and_wait(intent("one"), true).unwrap();
    log.flush().unwrap();
    let before = std::fs::read(site.logs().join("r-0001.jsonl")).unwrap();
    let head = std::fs::read(site.logs().join("r.head")).unwrap();
    log.seal().unwrap();
    drop(log);
    // As if the process had died between the step of the key and the line of the seal.
    let lines = lines(&site.logs().join("r-0001.jsonl"));
    let sealed: Value = serde_json::from_slice(&lines[lines.len() - 2]).unwrap();
    let stopped: Value = serde_json::from_slice(&lines[lines.len() - 1]).unwrap();
    let mut state: Value = serde_json::from_slice(&std::fs::read(site.key_file()).unwrap()).unwrap();
    state["pending"] = json!([sealed["args"], stopped["args"]]);
    std::fs::write(site.key_file(), state.to_string()).unwrap();
    std::fs::write(site.logs().join("r-0001.jsonl"), before).unwrap();
    std::fs::write(site.logs().join("r.head"), head).unwrap();
    // The stop seal covers the line of the seal before it, which is written as it was.
    assert_eq!(sealed["args"]["cause"], "interval");
    drop(Log::open(site.options("r")).unwrap());
    let report = site.report();
    assert!(report.passed(), "{:?}", said(&report));
    let numbers: Vec<u64> =
        read(&site.logs()).iter().filter_map(|record| Seal::of_args(&record.args)).map(|seal| seal.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5], "each number once, the interrupted ones as well");
    assert!(report.unproven.is_empty(), "{:?}", report.unproven);
}

#[test]
fn what_a_crash_left_open_is_sealed_and_said() {
    let site = Sealed::new();
    let log = Log::open(site.options("r")).unwrap().log;
    log.append_and_wait(intent("one"), true).unwrap();
    log.flush().unwrap();
    let image: Vec<(PathBuf, Vec<u8>)> =
        files(&site.logs()).into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    let key = std::fs::read(site.key_file()).unwrap();
    drop(log);
    for (path, bytes) in image {
        std::fs::write(path, bytes).unwrap();
    }
    std::fs::write(site.key_file(), key).unwrap();
    let report = site.report();
    assert!(report.passed());
    assert_eq!(report.unproven, ["r-0001.jsonl:2: the first line that no seal covers; 1 line is not proven."]);
    drop(Log::open(site.options("r")).unwrap());
    let report = site.report();
    assert!(report.passed());
    assert_eq!(site.causes(), [Cause::Start, Cause::LeftOpen, Cause::Stop]);
    assert!(
        report.unproven[0].starts_with("lines 2 to 2 of `r` were left without a seal by a crash"),
        "{:?}",
        report.unproven
    );
}

#[test]
fn time_never_runs_backwards() {
    let dir = tempfile::tempdir().unwrap();
    let times = [3, 1, 2, 5].map(|minute| START + minute * MINUTE);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let clock: Clock = Box::new(move || {
        jiff::Timestamp::from_millisecond(times[next.fetch_add(1, Ordering::Relaxed).min(3)]).expect("a time")
    });
    let start = Some(RunStart { number: Some(1), after: None, config_id: "default".into() });
    let log = Log::open(Options { clock, start, ..options(dir.path(), "r") }).unwrap().log;
    for number in 0..3 {
        log.append_and_wait(intent(&format!("id-{number}")), true).unwrap();
    }
    drop(log);
    let minutes: Vec<String> = read(dir.path()).iter().map(|record| record.ts[14..16].to_owned()).collect();
    assert_eq!(minutes, ["03", "03", "03", "05"]);
    assert_whole(dir.path());
}

#[test]
fn a_run_names_the_head_of_the_run_before() {
    let dir = tempfile::tempdir().unwrap();
    let start = |number, after: Option<&str>| {
        let start = RunStart { number: Some(number), after: after.map(str::to_owned), config_id: "default".into() };
        Options { start: Some(start), ..options(dir.path(), &format!("r-{number}")) }
    };
    let log = Log::open(start(1, None)).unwrap().log;
    log.append_and_wait(intent("one"), true).unwrap();
    drop(log);
    drop(Log::open(start(2, Some("r-1"))).unwrap());
    let last = read(dir.path()).into_iter().rfind(|record| record.run_id == "r-1").unwrap();
    let begin = args_of(&read(dir.path()), Stage::Begin);
    assert_eq!(begin[0], json!({ "number": 1, "after": null }));
    assert_eq!(begin[1]["after"], json!({ "run_id": "r-1", "seq": last.seq, "hash": last.hash }));
    let report = assert_whole(dir.path());
    assert_eq!(report.runs[0].notes, ["r-1: the first run of its home."]);
    // Resumed, it is the same run with the same beginning.
    drop(Log::open(start(1, None)).unwrap());
    assert_eq!(args_of(&read(dir.path()), Stage::Begin).len(), 2);
    for path in files(dir.path()).into_iter().filter(|path| path.to_string_lossy().contains("r-1")) {
        std::fs::remove_file(path).unwrap();
    }
    let words = "the run follows `r-1`, which is not here";
    assert!(said(&verify(dir.path()).unwrap()).iter().any(|finding| finding.contains(words)));
}

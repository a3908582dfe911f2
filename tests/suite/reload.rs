//! `reload_config`: which changes of its files a running town takes, which are refused by name, and how journal, snapshots and
//! restarts follow a reload.
//!
//! What a town does with other rules is tested in `sim/town/tests`. Rule: "Configuration reload".

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::kit::{
    CONFIG_FILE, TestShard, config_text, copy_folder, options, options_with_reload, read_config, refusal, temp_home,
    wait_for,
};
use serde_json::{Map, Value, json};
use townlet_audit::{Stage, records};
use townlet_shard::recovery::JournalReplayer;
use townlet_shard::{ConfigReloader, Handle, Options, journal};
use townlet_town::config::{Layers, Row, ValueKind, load, row};
use townlet_wire::{Request, Status};

const QUIET: &str = "features: { systems: { perturbations: off } }\npolicy: { release: scripted }\n";

fn write(home: &Path, file: &str, text: &str) {
    std::fs::write(home.join(file), text).expect("the home can be written");
}

/// The file without perturbations and with more settings.
fn quiet(more: &str) -> String {
    format!("{QUIET}{more}\n")
}

fn resume(home: &Path, options: Options) -> Result<Handle, String> {
    let recorded =
        townlet_shard::find_run(&options.home, "harbour", None, "snapshots").map_err(|why| why.to_string())?;
    assert!(home.exists());
    townlet_shard::resume(&recorded, options).map_err(|why| why.to_string())
}

/// Replays every journal file of the home's run.
fn replayed(home: &Path) -> JournalReplayer {
    let mut player: Option<JournalReplayer> = None;
    let mut files: Vec<_> =
        std::fs::read_dir(home.join("logs/journal")).unwrap().flatten().map(|it| it.path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|it| it == "tlj")) {
        let contents = journal::read(file).expect("the journal is whole");
        let player =
            player.get_or_insert_with(|| JournalReplayer::from_header(&contents.header).expect("it makes a town"));
        for entry in contents.entries.iter() {
            player.apply(&entry, |_| {}).expect("journal and town agree");
        }
    }
    player.expect("there is a journal")
}

/// A file with these settings, which are given by their full keys.
fn as_file(settings: &BTreeMap<String, String>) -> String {
    let mut root = Map::new();
    for (key, value) in settings {
        let (path, name) = key.rsplit_once('.').unwrap_or(("", key));
        let mut at = &mut root;
        for part in path.split('.').filter(|part| !part.is_empty()) {
            let inner = at.entry(part).or_insert_with(|| json!({}));
            at = inner.as_object_mut().expect("a section");
        }
        at.insert(name.into(), serde_json::from_str(value).unwrap_or_else(|_| json!(value)));
    }
    Value::Object(root).to_string()
}

/// Other values of a setting, some of which may be invalid.
fn others(row: &Row, value: &str) -> Vec<String> {
    let number = |kind: &ValueKind, value: &str| -> Vec<String> {
        let value: f64 = value.parse().unwrap_or_default();
        let steps: &[f64] =
            if *kind == ValueKind::Whole { &[1.0, -1.0, 10.0, -10.0] } else { &[0.01, -0.01, 0.5, -0.5] };
        steps.iter().map(|step| format!("{}", ((value + step) * 1e6).round() / 1e6)).collect()
    };
    match &row.kind {
        ValueKind::Switch => vec![(value != "true").to_string()],
        ValueKind::Choice(words) => words.iter().map(|word| format!("\"{word}\"")).collect(),
        ValueKind::Text => vec![format!("\"x{}\"", value.trim_matches('"')), "\"scripted\"".into()],
        ValueKind::List(_) => vec!["[\"starvation\"]".into(), "[]".into()],
        ValueKind::Pair(item) => {
            let ends: Vec<&str> = value.trim_matches(['[', ']']).split(", ").collect();
            let first = number(item, ends[0]).into_iter().map(|end| format!("[{end}, {}]", ends[1]));
            first.chain(number(item, ends[1]).into_iter().map(|end| format!("[{}, {end}]", ends[0]))).collect()
        }
        ValueKind::Optional(_) => vec!["null".into(), "[5, 6]".into()],
        kind => number(kind, value),
    }
}

/// For each setting, another valid value and the whole configuration with it.
fn altered() -> BTreeMap<String, (String, BTreeMap<String, String>)> {
    let layers = Layers { file: Some((CONFIG_FILE.into(), QUIET.into())), ..Layers::default() };
    let settings = load(&layers).expect("the file holds").settings;
    let plain: BTreeMap<String, String> = settings.into_iter().map(|it| (it.key, it.value)).collect();
    let mut altered = BTreeMap::new();
    for (key, value) in &plain {
        let row = row(key).unwrap_or_else(|| panic!("{key} has no row"));
        let holding = others(&row, value).into_iter().filter(|other| other != value).find_map(|other| {
            let mut settings = plain.clone();
            settings.insert(key.clone(), other.clone());
            let layers = Layers { file: Some((CONFIG_FILE.into(), as_file(&settings))), ..Layers::default() };
            load(&layers).is_ok().then_some((other, settings))
        });
        if let Some(found) = holding {
            altered.insert(key.clone(), found);
        }
    }
    let none: Vec<&String> = plain.keys().filter(|key| !altered.contains_key(*key)).collect();
    assert_eq!(none, ["features.console.mode"], "settings without another value that holds");
    altered
}

#[test]
fn reloadable_settings_change_and_others_are_refused_by_name() {
    let home = temp_home();
    let live = TestShard::from_file(home.path(), QUIET);
    let plain = live.view().texts_digest;
    let mut taken = 0;
    for (key, (value, settings)) in altered() {
        write(home.path(), CONFIG_FILE, &as_file(&settings));
        let before = (live.digest(), live.view().texts_digest);
        let answer = live.line("reload_config");
        if row(&key).expect("it has a row").constraint.hot {
            assert_eq!(answer.status, Status::Ok, "{key} = {value}: {answer:?}");
            let result = answer.result.expect("a result");
            let keys: Vec<&str> =
                result["changes"].as_array().unwrap().iter().map(|it| it["key"].as_str().unwrap()).collect();
            assert_eq!(keys, [key.as_str()]);
            assert!(result["summary"].as_str().unwrap().contains(&format!("{key} ")), "{result}");
            // The running configuration equals the files in every setting.
            let expected = read_config(home.path()).expect("the files hold").sources.digest();
            assert_eq!(live.view().texts_digest, expected, "{key}");
            assert_ne!(expected, plain, "{key}");
            live.run(1);
            write(home.path(), CONFIG_FILE, QUIET);
            live.expect_ok("reload_config");
            taken += 1;
        } else {
            assert_eq!(refusal(&answer), "E_CONFLICT", "{key} = {value}");
            let error = answer.error.expect("why");
            assert!(error.message.contains(&format!(" {key} ")) && error.message.contains(" -> "), "{key}: {error:?}");
            assert_eq!((live.digest(), live.view().texts_digest), before, "{key}: nothing has changed");
        }
    }
    assert!(taken > 40, "{taken} settings are marked");
    assert_eq!(live.view().texts_digest, plain);
    let player = replayed(home.path());
    assert!(player.town.state().commands >= 2 * taken);
}

#[test]
fn settings_set_by_command_are_named_beside_what_the_files_say() {
    let home = temp_home();
    let live = TestShard::from_file(home.path(), QUIET);
    let reloaded = |line: &str| {
        let result = live.result(line);
        let rows = result["set_by_command"].as_array().expect("rows");
        let row = |row: &Value| format!("{} {} {}", row["key"], row["now"], row["file"]).replace(['"', '\\'], "");
        (result["summary"].as_str().expect("a summary").to_owned(), rows.iter().map(row).collect::<Vec<_>>())
    };
    let (summary, rows) = reloaded("reload_config");
    assert!(summary.contains("what runs agrees with") && rows.is_empty(), "{summary} {rows:?}");
    for line in [
        "set_exit_cap 0",
        "set_feature queue_fairness off",
        "perturbations on",
        "toggle_mortality off",
        "set_spawn_delay 10 20",
        "price meal 3",
        "narration limit 2",
        "privacy on",
        "policy_swap shipped",
    ] {
        live.expect_ok(line);
    }
    let shipped = live.view().policy.id;
    let (summary, rows) = reloaded("reload_config");
    let expected = [
        "economy.meal_cost 3 0.4".to_owned(),
        "employment.daily_exit_cap 0 2".to_owned(),
        "features.systems.perturbations true false".to_owned(),
        "features.systems.queue_fairness false true".to_owned(),
        "lifecycle.mortality false true".to_owned(),
        "lifecycle.spawn_delay_ticks [10, 20] [5, 20]".to_owned(),
        format!("policy.release {shipped} scripted"),
        format!("telemetry.narration.global_window_limit 2 {}", row_default("telemetry.narration.global_window_limit")),
        "telemetry.privacy.enabled true false".to_owned(),
    ];
    assert_eq!(rows, expected);
    assert!(!summary.contains("agrees") && summary.contains("employment.daily_exit_cap 0 (file: 2)"), "{summary}");
    let preview = live.ask(live.admin, Request { dry_run: true, ..Request::line("reload_config") });
    assert_eq!(preview.summary(), summary);
    // What the file changes is no longer as a command had it; the rest stays.
    live.expect_ok("set_exit_cap 2");
    write(home.path(), CONFIG_FILE, &quiet("telemetry: { narration: { global_window_limit: 7 } }"));
    let (summary, rows) = reloaded("reload_config");
    assert!(summary.contains("1 setting from tick 0 on: telemetry.narration.global_window_limit"), "{summary}");
    let stays = |row: &String| !row.starts_with("employment") && !row.starts_with("telemetry.narration");
    assert_eq!(rows, expected.into_iter().filter(stays).collect::<Vec<_>>());
}

/// The value of a setting that the file leaves out.
fn row_default(key: &str) -> String {
    let layers = Layers { file: Some((CONFIG_FILE.into(), QUIET.into())), ..Layers::default() };
    let settings = load(&layers).expect("the file holds").settings;
    settings.into_iter().find(|it| it.key == key).expect("a setting").value
}

#[test]
fn reload_applies_at_one_tick_and_is_logged() {
    let home = temp_home();
    let live = TestShard::from_file(home.path(), QUIET);
    live.run(150);
    let views = live.watch();
    write(home.path(), CONFIG_FILE, &quiet("rewards: { clip: { clip_per_tick: 0.05 } }\nkpis: { attendance: 0.5 }"));
    let (digest, view) = (live.digest(), live.view());
    let dry = live.ask(live.admin, Request { dry_run: true, ..Request::line("reload_config") });
    assert_eq!((dry.status, live.digest(), live.view().audit.seq), (Status::DryRun, digest.clone(), view.audit.seq));
    let before = live.view().kpis.iter().find(|kpi| kpi.name == "attendance").unwrap().threshold;
    let answer = live.expect_ok("reload_config --reason \"reward explosion\"");
    let changes = |answer: &townlet_wire::Answer| answer.result.as_ref().unwrap()["changes"].clone();
    assert_eq!(changes(&dry), changes(&answer), "a dry run shows the same list");
    let text = "2 settings from tick 150 on: kpis.attendance 0.8 -> 0.5, rewards.clip.clip_per_tick 0.2 -> 0.05.";
    assert_eq!((answer.summary().as_str(), answer.tick), (text, 150));
    let now = wait_for(&views, "the new texts", |seen| seen.texts_digest != view.texts_digest);
    let kpi = now.kpis.iter().find(|kpi| kpi.name == "attendance").unwrap().threshold;
    assert!(before > kpi && (now.config_id == view.config_id), "{before:?} {kpi:?}");
    assert_eq!(json!(now.texts_digest), answer.result.as_ref().unwrap()["texts_digest"]["after"]);
    // A second reload reports that nothing changes.
    let (digest, again) = (live.digest(), live.expect_ok("reload_config"));
    assert_eq!(
        (again.summary().as_str(), live.digest()),
        ("nothing changes: what runs agrees with town.yaml.", digest)
    );
    live.run(250);
    let last = live.digest();
    drop(live.shard);
    let player = replayed(home.path());
    assert_eq!((player.town.digest(), player.town.tick()), (last, 400));
    assert_eq!(player.town.rules().config.rewards.clip.clip_per_tick.to_string(), "0.05");
    let mut stages = Vec::new();
    records(&home.path().join("logs/console"), |_, _, record| {
        let record = record.expect("a line");
        stages.extend((record.command == "reload_config").then_some(record.stage));
        Ok(())
    })
    .expect("the log can be read");
    assert_eq!(stages, [Stage::Intent, Stage::Outcome, Stage::Intent, Stage::Outcome]);
}

#[test]
fn reload_reads_affordance_and_perturbation_files() {
    let home = temp_home();
    let live = TestShard::from_file(home.path(), QUIET);
    live.run(300);
    let text = config_text("affordances.yaml").replacen("duration: 20", "duration: 25", 1);
    write(home.path(), "affordances.yaml", &text);
    let events = config_text("perturbations/default.yaml");
    write(home.path(), "events.yaml", &events.replace("prob_per_day: 0.25", "prob_per_day: 0.3"));
    let answer = live.expect_ok("reload_config");
    let text = "2 settings from tick 300 on: affordances.eat_at_home.duration 20 -> 25, \
                perturbations.events.price_spike.prob_per_day 0.25 -> 0.3.";
    assert_eq!(answer.summary(), text);
    live.run(300);
    let last = live.digest();
    drop(live.shard);
    assert_eq!(replayed(home.path()).town.digest(), last);
}

#[test]
fn invalid_file_is_refused_with_its_position_and_the_town_continues() {
    let home = temp_home();
    let live = TestShard::from_file(home.path(), QUIET);
    let digest = live.digest();
    let say = |file: &str, text: &str| {
        write(home.path(), file, text);
        let dry = live.ask(live.admin, Request { dry_run: true, ..Request::line("reload_config") });
        let answer = live.line("reload_config");
        assert_eq!(dry.error, answer.error);
        assert_eq!((refusal(&answer), live.digest()), ("E_INVALID_ARG".to_owned(), digest.clone()));
        let message = answer.error.unwrap().message;
        assert!(!message.contains('\n'), "{message}");
        message
    };
    let typo = say(CONFIG_FILE, &quiet("rewards: { clip: { clip_per_tik: 0.1 } }"));
    assert!(typo.starts_with("town.yaml:3:20: ") && typo.contains("did you mean `clip_per_tick`?"), "{typo}");
    let range = say(CONFIG_FILE, &quiet("rewards: { clip: { clip_per_tick: 7 } }"));
    assert!(range.contains("from 0.01 to 1"), "{range}");
    say(CONFIG_FILE, "rewards: [");
    write(home.path(), CONFIG_FILE, QUIET);
    let events = say("events.yaml", "max_concurrent_events: many\n");
    assert!(events.starts_with("events.yaml:1:"), "{events}");
    std::fs::remove_file(home.path().join("events.yaml")).unwrap();
    let affordances = say("affordances.yaml", "affordances:\n  - id: nap\n    optoin: sleep\n");
    assert!(affordances.starts_with("affordances.yaml:3:") && affordances.contains("`option`"), "{affordances}");
    std::fs::remove_file(home.path().join(CONFIG_FILE)).unwrap();
    assert_eq!(refusal(&live.line("reload_config")), "E_INVALID_ARG");
    live.run(10);
}

#[test]
fn reload_without_a_configuration_file_is_refused_with_a_hint() {
    let home = temp_home();
    let live = TestShard::new(home.path());
    let answer = live.line("reload_config");
    assert_eq!(refusal(&answer), "E_NOT_FOUND");
    assert!(answer.error.unwrap().hint.contains("--config FILE"));
}

#[test]
fn one_fixed_setting_refuses_the_whole_reload() {
    let home = temp_home();
    let live = TestShard::from_file(home.path(), QUIET);
    write(home.path(), CONFIG_FILE, &quiet("seed: 8\nrewards: { clip: { clip_per_tick: 0.05 } }\nppo: { gamma: 0.9 }"));
    let (digest, texts) = (live.digest(), live.view().texts_digest);
    let error = live.line("reload_config").error.expect("refused");
    assert_eq!(
        error.message,
        "these settings cannot change while the town runs: ppo.gamma 0.99 -> 0.9 (a training is set up with it), seed 7 -> 8 \
         (the town was built with it)."
    );
    assert!(error.hint.contains("start a new run"));
    assert_eq!((live.digest(), live.view().texts_digest), (digest, texts));
}

#[test]
fn retried_reload_does_not_read_the_file_again() {
    let home = temp_home();
    let reads = Arc::new(AtomicU64::new(0));
    let (counted, folder) = (Arc::clone(&reads), home.path().to_owned());
    let reloader = ConfigReloader::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        read_config(&folder)
    });
    write(home.path(), CONFIG_FILE, QUIET);
    let first = read_config(home.path()).expect("the file holds").sources;
    let options = Options { reloader: Some(reloader), ..options(home.path(), true) };
    let live = TestShard::from_handle(townlet_shard::start(first, 7, options).expect("it starts"));
    write(home.path(), CONFIG_FILE, &quiet("kpis: { attendance: 0.5 }"));
    let request = Request { cmd_id: Some("once".into()), ..Request::line("reload_config") };
    let answer = live.ask(live.admin, request.clone());
    assert_eq!((answer.status, reads.load(Ordering::Relaxed)), (Status::Ok, 1));
    std::fs::remove_file(home.path().join(CONFIG_FILE)).unwrap();
    let digest = live.digest();
    let again = live.ask(live.admin, request);
    assert!(again.replayed, "{again:?}");
    assert_eq!((again.result, live.digest(), reads.load(Ordering::Relaxed)), (answer.result, digest, 1));
}

/// Two snapshots with a reload between them, and ticks after the second.
#[test]
fn resume_from_any_snapshot_keeps_the_reloaded_configuration() {
    let home = temp_home();
    let live = TestShard::from_file(home.path(), QUIET);
    let changed = quiet("rewards: { clip: { clip_per_tick: 0.05 } }\nbehavior: { hunger_threshold: 0.6 }");
    live.run(120);
    live.expect_ok("snapshot save");
    live.run(30);
    write(home.path(), CONFIG_FILE, &changed);
    live.expect_ok("reload_config");
    let texts = live.view().texts_digest;
    live.run(100);
    live.expect_ok("snapshot save");
    live.expect_ok("snapshot list");
    live.run(55);
    live.expect_ok("setmoney ada 3");
    let last = (live.digest(), 305);
    let crashed = crate::kit::temp_home();
    copy_folder(home.path(), crashed.path());
    let snapshots = crashed.path().join("snapshots/auto").join(&live.shard.run_id);
    drop(live.shard);
    // From the snapshot after the reload, from the one before it, and from the seed.
    for round in 0..3 {
        let copied = crate::kit::temp_home();
        copy_folder(crashed.path(), copied.path());
        let shard = resume(copied.path(), options(copied.path(), true)).expect("it resumes");
        let (view, digest) = shard.view().expect("it lives");
        assert_eq!(((digest, view.tick), view.texts_digest), (last.clone(), texts.clone()), "round {round}");
        drop(shard);
        assert_eq!(replayed(copied.path()).town.digest(), last.0, "round {round}");
        let mut left: Vec<_> = std::fs::read_dir(&snapshots).unwrap().flatten().map(|it| it.path()).collect();
        left.sort();
        left.pop().into_iter().for_each(|newest| std::fs::remove_file(newest).unwrap());
    }
}

#[test]
fn recorded_sources_are_those_of_the_last_reload() {
    let home = temp_home();
    let live = TestShard::from_file(home.path(), QUIET);
    write(home.path(), CONFIG_FILE, &quiet("kpis: { attendance: 0.5 }"));
    live.expect_ok("reload_config");
    drop(live.shard);
    let recorded =
        townlet_shard::find_run(&options(home.path(), true).home, "harbour", None, "snapshots").expect("a run");
    let now = read_config(home.path()).expect("the file holds").sources;
    assert_eq!(recorded.sources.digest(), now.digest());
    let live = TestShard::from_handle(resume(home.path(), options_with_reload(home.path())).expect("it resumes"));
    write(home.path(), CONFIG_FILE, &quiet("kpis: { attendance: 0.5 } # a remark"));
    write(home.path(), "affordances.yaml", &format!("# Another.\n{}", config_text("affordances.yaml")));
    let answer = live.expect_ok("reload_config");
    assert!(answer.summary().contains("nothing changes"), "{}", answer.summary());
    let digests = &answer.result.as_ref().unwrap()["texts_digest"];
    assert_eq!(
        (&digests["after"], digests["after"].as_str()),
        (&digests["before"], Some(live.view().texts_digest.as_str()))
    );
    write(home.path(), CONFIG_FILE, QUIET);
    assert!(live.expect_ok("reload_config").summary().contains("kpis.attendance 0.5 -> 0.8"));
}

#[test]
fn reload_missing_from_the_journal_is_replayed_from_the_files() {
    let lived = temp_home();
    let live = TestShard::from_file(lived.path(), QUIET);
    live.run(150);
    write(lived.path(), CONFIG_FILE, &quiet("rewards: { clip: { clip_per_tick: 0.05 } }"));
    live.expect_ok("reload_config");
    live.run(60);
    live.expect_ok("setmoney ada 3");
    let digest = live.digest();
    let crashed = temp_home();
    copy_folder(lived.path(), crashed.path());
    drop(live.shard);
    // The journal ends before the reload.
    let folder = crashed.path().join("logs/journal");
    let file = std::fs::read_dir(&folder)
        .unwrap()
        .flatten()
        .map(|it| it.path())
        .find(|it| it.extension().is_some_and(|it| it == "tlj"));
    let file = file.expect("a journal");
    let contents = journal::read(&file).unwrap();
    let place =
        contents.entries.iter().position(|entry| matches!(entry, journal::Entry::Reload { .. })).expect("it is there");
    let bytes = std::fs::read(&file).unwrap();
    let mut at = 0;
    for _ in 0..=place {
        at += 8 + u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    }
    std::fs::write(&file, &bytes[..at]).unwrap();
    let refused = resume(crashed.path(), options(crashed.path(), true)).err().expect("its texts are lost");
    assert!(refused.contains("the texts it brought are lost"), "{refused}");
    let shard = resume(crashed.path(), options_with_reload(crashed.path())).expect("the file says the same");
    assert_eq!(shard.view().expect("it lives").1, digest);
    assert!(shard.notes.iter().any(|note| note.contains("reload_config")), "{:?}", shard.notes);
}

#[test]
fn privacy_setting_follows_a_reload() {
    let home = temp_home();
    let live = TestShard::from_file(home.path(), QUIET);
    assert!(live.agent("ada").is_some());
    write(
        home.path(),
        CONFIG_FILE,
        &quiet("telemetry: { privacy: { enabled: true }, backpressure: { max_messages_per_second: 5 } }"),
    );
    live.expect_ok("reload_config");
    assert!(live.agent("ada").is_none(), "names leave as hashes");
    live.expect_ok("privacy off");
    write(home.path(), CONFIG_FILE, &quiet("telemetry: { privacy: { enabled: true } }"));
    live.expect_ok("reload_config");
    assert!(live.agent("ada").is_some(), "what an operator switched stays, as the setting has not changed");
}

#[test]
fn reload_restarts_the_evaluation_of_a_candidate() {
    let home = temp_home();
    let few_pairs = "stability: { promotion: { safety_margin: 0.1 } }";
    let live = TestShard::from_file(home.path(), &quiet(few_pairs));
    live.make_candidate_eligible();
    let candidate = live.view().promotion.candidate.expect("somebody is judged");
    write(home.path(), CONFIG_FILE, &quiet("stability: { promotion: { safety_margin: 0.09 } }"));
    live.expect_ok("reload_config");
    let promotion = live.view().promotion;
    assert_eq!((promotion.state.as_str(), promotion.green), ("evaluating", 0));
    assert!(promotion.evidence.is_none_or(|evidence| evidence.verdict == "running"), "of the town as it was");
    let step = promotion.history.last().expect("it is recorded");
    assert!(step.why.contains("again: the configuration of the town changed"), "{step:?}");
    assert_eq!(live.refused(&format!("promote_policy {candidate}")), "E_CONFLICT");
    assert_eq!(live.view().policy.id, "scripted", "the release drives on");
}

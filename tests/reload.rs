//! `reload_config`: what of the files a running town takes, all at once, what is refused by name, and that journal, snapshots
//! and restarts know under which texts the town ran.
//!
//! What a town does with other rules is held in `sim/town/tests`. Rule: "Configuration reload".

mod live;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use live::{FILE, Live, filed, home, options, read, refusal, wait_for};
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

/// The quiet file with more in it.
fn quiet(more: &str) -> String {
    format!("{QUIET}{more}\n")
}

fn resume(home: &Path, options: Options) -> Result<Handle, String> {
    let recorded =
        townlet_shard::recorded(&options.home, "harbour", None, "snapshots").map_err(|why| why.to_string())?;
    assert!(home.exists());
    townlet_shard::resume(&recorded, options).map_err(|why| why.to_string())
}

/// Plays every journal file of the home's run from its beginning.
fn replayed(home: &Path) -> JournalReplayer {
    let mut player: Option<JournalReplayer> = None;
    let mut files: Vec<_> =
        std::fs::read_dir(home.join("logs/journal")).unwrap().flatten().map(|it| it.path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|it| it == "tlj")) {
        let contents = journal::read(file).expect("the journal is whole");
        let player =
            player.get_or_insert_with(|| JournalReplayer::from_header(&contents.header).expect("it makes a town"));
        for entry in &contents.entries {
            player.play(entry, |_| {}).expect("journal and town agree");
        }
    }
    player.expect("there is a journal")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() { copy(&entry.path(), &target) } else { drop(std::fs::copy(entry.path(), target)) }
    }
}

/// Settings as a file, given by their full keys.
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

/// Other values of a setting, some of which may not hold.
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

/// Every setting with another value that holds, by its key.
fn altered() -> BTreeMap<String, (String, BTreeMap<String, String>)> {
    let layers = Layers { file: Some((FILE.into(), QUIET.into())), ..Layers::default() };
    let settings = load(&layers).expect("the file holds").settings;
    let plain: BTreeMap<String, String> = settings.into_iter().map(|it| (it.key, it.value)).collect();
    let mut altered = BTreeMap::new();
    for (key, value) in &plain {
        let row = row(key).unwrap_or_else(|| panic!("{key} has no row"));
        let holding = others(&row, value).into_iter().filter(|other| other != value).find_map(|other| {
            let mut settings = plain.clone();
            settings.insert(key.clone(), other.clone());
            let layers = Layers { file: Some((FILE.into(), as_file(&settings))), ..Layers::default() };
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
fn every_setting_that_is_marked_is_taken_and_every_other_is_refused_by_name() {
    let home = home();
    let live = Live::filed(home.path(), QUIET);
    let plain = live.view().texts_digest;
    let mut taken = 0;
    for (key, (value, settings)) in altered() {
        write(home.path(), FILE, &as_file(&settings));
        let before = (live.digest(), live.view().texts_digest);
        let answer = live.line("reload_config");
        if row(&key).expect("it has a row").constraint.hot {
            assert_eq!(answer.status, Status::Ok, "{key} = {value}: {answer:?}");
            let result = answer.result.expect("a result");
            let keys: Vec<&str> =
                result["changes"].as_array().unwrap().iter().map(|it| it["key"].as_str().unwrap()).collect();
            assert_eq!(keys, [key.as_str()]);
            assert!(result["summary"].as_str().unwrap().contains(&format!("{key} ")), "{result}");
            // What runs is what the files say, to the last setting.
            let expected = read(home.path()).expect("the files hold").sources.digest();
            assert_eq!(live.view().texts_digest, expected, "{key}");
            assert_ne!(expected, plain, "{key}");
            live.run(1);
            write(home.path(), FILE, QUIET);
            live.done("reload_config");
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
fn all_of_it_is_taken_at_one_tick_and_told_everywhere() {
    let home = home();
    let live = Live::filed(home.path(), QUIET);
    live.run(150);
    let views = live.watch();
    write(home.path(), FILE, &quiet("rewards: { clip: { clip_per_tick: 0.05 } }\nkpis: { attendance: 0.5 }"));
    let (digest, view) = (live.digest(), live.view());
    let dry = live.ask(live.admin, Request { dry_run: true, ..Request::line("reload_config") });
    assert_eq!((dry.status, live.digest(), live.view().audit.seq), (Status::DryRun, digest.clone(), view.audit.seq));
    let before = live.view().kpis.iter().find(|kpi| kpi.name == "attendance").unwrap().threshold;
    let answer = live.done("reload_config --reason \"reward explosion\"");
    let changes = |answer: &townlet_wire::Answer| answer.result.as_ref().unwrap()["changes"].clone();
    assert_eq!(changes(&dry), changes(&answer), "a dry run shows the same list");
    let text = "2 settings from tick 150 on: kpis.attendance 0.8 -> 0.5, rewards.clip.clip_per_tick 0.2 -> 0.05.";
    assert_eq!((answer.summary().as_str(), answer.tick), (text, 150));
    let now = wait_for(&views, "the new texts", |seen| seen.texts_digest != view.texts_digest);
    let kpi = now.kpis.iter().find(|kpi| kpi.name == "attendance").unwrap().threshold;
    assert!(before > kpi && (now.config_id == view.config_id), "{before:?} {kpi:?}");
    assert_eq!(json!(now.texts_digest), answer.result.as_ref().unwrap()["texts_digest"]["after"]);
    // Said again, it says so and changes nothing.
    let (digest, again) = (live.digest(), live.done("reload_config"));
    assert_eq!(
        (again.summary().as_str(), live.digest()),
        ("town.yaml says what runs already; nothing changes.", digest)
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
fn affordances_and_events_are_taken_from_the_files_that_the_configuration_names() {
    let home = home();
    let live = Live::filed(home.path(), QUIET);
    live.run(300);
    let text = include_str!("../configs/affordances.yaml").replacen("duration: 20", "duration: 25", 1);
    write(home.path(), "affordances.yaml", &text);
    let events = include_str!("../configs/perturbations/default.yaml");
    write(home.path(), "events.yaml", &events.replace("prob_per_day: 0.25", "prob_per_day: 0.3"));
    let answer = live.done("reload_config");
    let text = "2 settings from tick 300 on: affordances.eat_at_home.duration 20 -> 25, \
                perturbations.events.price_spike.prob_per_day 0.25 -> 0.3.";
    assert_eq!(answer.summary(), text);
    live.run(300);
    let last = live.digest();
    drop(live.shard);
    assert_eq!(replayed(home.path()).town.digest(), last);
}

#[test]
fn a_file_that_is_wrong_is_refused_with_its_place_and_the_town_goes_on() {
    let home = home();
    let live = Live::filed(home.path(), QUIET);
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
    let typo = say(FILE, &quiet("rewards: { clip: { clip_per_tik: 0.1 } }"));
    assert!(typo.starts_with("town.yaml:3:20: ") && typo.contains("did you mean `clip_per_tick`?"), "{typo}");
    let range = say(FILE, &quiet("rewards: { clip: { clip_per_tick: 7 } }"));
    assert!(range.contains("from 0.01 to 1"), "{range}");
    say(FILE, "rewards: [");
    write(home.path(), FILE, QUIET);
    let events = say("events.yaml", "max_concurrent_events: many\n");
    assert!(events.starts_with("events.yaml:1:"), "{events}");
    std::fs::remove_file(home.path().join("events.yaml")).unwrap();
    let affordances = say("affordances.yaml", "affordances:\n  - id: nap\n    optoin: sleep\n");
    assert!(affordances.starts_with("affordances.yaml:3:") && affordances.contains("`option`"), "{affordances}");
    std::fs::remove_file(home.path().join(FILE)).unwrap();
    assert_eq!(refusal(&live.line("reload_config")), "E_INVALID_ARG");
    live.run(10);
}

#[test]
fn a_shard_without_a_file_says_what_would_be_right() {
    let home = home();
    let live = Live::held(home.path());
    let answer = live.line("reload_config");
    assert_eq!(refusal(&answer), "E_NOT_FOUND");
    assert!(answer.error.unwrap().hint.contains("--config FILE"));
}

#[test]
fn one_fixed_setting_keeps_all_of_it_out() {
    let home = home();
    let live = Live::filed(home.path(), QUIET);
    write(home.path(), FILE, &quiet("seed: 8\nrewards: { clip: { clip_per_tick: 0.05 } }\nppo: { gamma: 0.9 }"));
    let (digest, texts) = (live.digest(), live.view().texts_digest);
    let error = live.line("reload_config").error.expect("refused");
    assert_eq!(
        error.message,
        "a running town does not take ppo.gamma 0.99 -> 0.9 (a training is made with it), seed 7 -> 8 (the town was made \
         with it)."
    );
    assert!(error.hint.contains("start a new run"));
    assert_eq!((live.digest(), live.view().texts_digest), (digest, texts));
}

#[test]
fn a_retry_is_answered_without_the_file() {
    let home = home();
    let reads = Arc::new(AtomicU64::new(0));
    let (counted, folder) = (Arc::clone(&reads), home.path().to_owned());
    let reloader = ConfigReloader::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        read(&folder)
    });
    write(home.path(), FILE, QUIET);
    let first = read(home.path()).expect("the file holds").sources;
    let options = Options { reloader: Some(reloader), ..options(home.path(), true) };
    let live = Live::around(townlet_shard::start(first, 7, options).expect("it starts"));
    write(home.path(), FILE, &quiet("kpis: { attendance: 0.5 }"));
    let request = Request { cmd_id: Some("once".into()), ..Request::line("reload_config") };
    let answer = live.ask(live.admin, request.clone());
    assert_eq!((answer.status, reads.load(Ordering::Relaxed)), (Status::Ok, 1));
    std::fs::remove_file(home.path().join(FILE)).unwrap();
    let digest = live.digest();
    let again = live.ask(live.admin, request);
    assert!(again.replayed, "{again:?}");
    assert_eq!((again.result, live.digest(), reads.load(Ordering::Relaxed)), (answer.result, digest, 1));
}

/// Two snapshots with a reload between them, and ticks behind the second.
#[test]
fn a_run_goes_on_under_what_was_reloaded_wherever_it_is_resumed_from() {
    let home = home();
    let live = Live::filed(home.path(), QUIET);
    let changed = quiet("rewards: { clip: { clip_per_tick: 0.05 } }\nbehavior: { hunger_threshold: 0.6 }");
    live.run(120);
    live.done("snapshot save");
    live.run(30);
    write(home.path(), FILE, &changed);
    live.done("reload_config");
    let texts = live.view().texts_digest;
    live.run(100);
    live.done("snapshot save");
    live.done("snapshot list");
    live.run(55);
    live.done("setmoney ada 3");
    let last = (live.digest(), 305);
    let crashed = live::home();
    copy(home.path(), crashed.path());
    let snapshots = crashed.path().join("snapshots/auto").join(&live.shard.run_id);
    drop(live.shard);
    // From the snapshot behind the reload, from the one before it, and from the seed.
    for round in 0..3 {
        let copied = live::home();
        copy(crashed.path(), copied.path());
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
fn what_a_run_is_resumed_with_is_what_it_runs_under() {
    let home = home();
    let live = Live::filed(home.path(), QUIET);
    write(home.path(), FILE, &quiet("kpis: { attendance: 0.5 }"));
    live.done("reload_config");
    drop(live.shard);
    let recorded =
        townlet_shard::recorded(&options(home.path(), true).home, "harbour", None, "snapshots").expect("a run");
    let now = read(home.path()).expect("the file holds").sources;
    assert_eq!(recorded.sources.digest(), now.digest());
    let live = Live::around(resume(home.path(), filed(home.path())).expect("it resumes"));
    write(home.path(), FILE, &quiet("kpis: { attendance: 0.5 } # a remark"));
    write(home.path(), "affordances.yaml", &format!("# Another.\n{}", include_str!("../configs/affordances.yaml")));
    let answer = live.done("reload_config");
    assert!(answer.summary().contains("nothing changes"), "{}", answer.summary());
    let digests = &answer.result.as_ref().unwrap()["texts_digest"];
    assert_eq!(
        (&digests["after"], digests["after"].as_str()),
        (&digests["before"], Some(live.view().texts_digest.as_str()))
    );
    write(home.path(), FILE, QUIET);
    assert!(live.done("reload_config").summary().contains("kpis.attendance 0.5 -> 0.8"));
}

#[test]
fn a_reload_that_the_journal_has_lost_is_lived_again_when_the_files_still_say_it() {
    let lived = home();
    let live = Live::filed(lived.path(), QUIET);
    live.run(150);
    write(lived.path(), FILE, &quiet("rewards: { clip: { clip_per_tick: 0.05 } }"));
    live.done("reload_config");
    live.run(60);
    live.done("setmoney ada 3");
    let digest = live.digest();
    let crashed = home();
    copy(lived.path(), crashed.path());
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
    let shard = resume(crashed.path(), filed(crashed.path())).expect("the file says the same");
    assert_eq!(shard.view().expect("it lives").1, digest);
    assert!(shard.notes.iter().any(|note| note.contains("reload_config")), "{:?}", shard.notes);
}

#[test]
fn privacy_narration_and_the_stream_follow() {
    let home = home();
    let live = Live::filed(home.path(), QUIET);
    assert!(live.agent("ada").is_some());
    write(
        home.path(),
        FILE,
        &quiet("telemetry: { privacy: { enabled: true }, backpressure: { max_messages_per_second: 5 } }"),
    );
    live.done("reload_config");
    assert!(live.agent("ada").is_none(), "names leave as hashes");
    live.done("privacy off");
    write(home.path(), FILE, &quiet("telemetry: { privacy: { enabled: true } }"));
    live.done("reload_config");
    assert!(live.agent("ada").is_some(), "what an operator switched stays, as the setting has not changed");
}

#[test]
fn a_candidate_who_might_be_promoted_is_judged_from_the_beginning() {
    let home = home();
    let live = Live::filed(home.path(), QUIET);
    live.make_eligible();
    let candidate = live.view().promotion.candidate.expect("somebody is judged");
    write(home.path(), FILE, &quiet("kpis: { attendance: 0.5 }"));
    live.done("reload_config");
    let promotion = live.view().promotion;
    assert_eq!((promotion.state.as_str(), promotion.green), ("evaluating", 0));
    assert!(promotion.evidence.is_none_or(|evidence| evidence.verdict == "running"), "of the town as it was");
    let step = promotion.history.last().expect("it is told");
    assert!(step.why.contains("from the beginning: what the town is made from changed"), "{step:?}");
    assert_eq!(live.refused(&format!("promote_policy {candidate}")), "E_CONFLICT");
    assert_eq!(live.view().policy.id, "scripted", "the release drives on");
}

//! The table of settings, the shipped files and the generated documents agree.

#![allow(clippy::disallowed_methods, reason = "these tests hold checked-in files to the table")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use townlet_town::config::*;
use townlet_town::state::LiveSettings;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn shipped(path: &str) -> Result<LoadedConfig, ConfigErrors> {
    let text = fs::read_to_string(root().join("configs").join(path)).unwrap();
    load(&Layers { file: Some((path.to_owned(), text)), ..Layers::default() })
}

#[test]
fn every_setting_has_a_row_and_every_row_a_setting() {
    let shown = load(&Layers::default()).unwrap().settings;
    let rows = rows();
    let named = |key: &str| row(key).unwrap_or_else(|| panic!("{key} has no row")).key;
    let used: BTreeSet<String> = shown.iter().map(|shown| named(&shown.key)).collect();
    let unused: Vec<&String> = rows.iter().map(|row| &row.key).filter(|key| !used.contains(*key)).collect();
    assert!(unused.is_empty(), "rows without a setting: {unused:?}");
    assert_eq!(used.len(), rows.len(), "two rows of one key");
    for row in rows {
        assert!(row.meaning.ends_with('.'), "{}: {:?} is not a sentence", row.key, row.meaning);
        let number = matches!(row.kind, ValueKind::Whole | ValueKind::Decimal | ValueKind::Pair(_));
        assert!(!number || row.constraint.limit != ValueRange::Free, "{} has no range", row.key);
    }
}

#[test]
fn reloadable_settings_match_the_contract() {
    for (key, hot) in [
        ("affordances.affordances_file", true),
        ("perturbations.file", true),
        ("telemetry.narration.category_cooldown_ticks.queue_conflict", true),
        ("telemetry.privacy.enabled", true),
        ("rewards.clip.clip_per_tick", true),
        ("needs.critical.hunger", true),
        ("seed", false),
        ("jobs.grocer.start_tick", false),
        ("rewards.wage_rate", false),
    ] {
        assert_eq!(row(key).unwrap().constraint.hot, hot, "{key}");
    }
    assert_eq!(row("ppo.clip_param").unwrap().constraint.term, "clip_coef");
    assert!(row("jobs.grocer").is_none());
}

#[test]
fn shipped_files_load_with_their_identity() {
    let default = shipped("default.yaml").unwrap();
    assert_eq!((default.config, default.warnings.len()), (Config::shipped(), 0));
    let fallback = shipped("fallback.yaml").unwrap().config;
    assert!(!LiveSettings::at_start(&fallback).perturbations);
    let backlog = shipped("scenarios/employment_backlog.yaml").unwrap();
    assert_eq!((backlog.config.world.population, backlog.config.employment.exit_queue_limit), (16, 4));
    assert_eq!(backlog.config.world.plan, "towns/backlog.txt");
    let ids = [Config::shipped(), fallback, backlog.config].map(|config| config.config_id);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 3, "each file has an identity of its own");
}

#[test]
fn canonical_text_round_trips() {
    for path in ["default.yaml", "fallback.yaml", "scenarios/employment_backlog.yaml"] {
        let config = shipped(path).unwrap().config;
        let canonical = config.canonical();
        assert_eq!(Config::from_canonical(&canonical).unwrap(), config);
        assert_eq!(Config::from_canonical(&canonical).unwrap().canonical(), canonical);
        let packed = postcard::to_stdvec(&config).unwrap();
        assert_eq!(postcard::from_bytes::<Config>(&packed).unwrap(), config);
    }
    let mut config = Config::shipped();
    config.shard = "a \"b\" \\ c: # [山]".to_owned();
    config.telemetry.narration.category_cooldown_ticks.clear();
    config.stability.promotion.allowed_alerts = vec!["off".to_owned(), "12".to_owned()];
    assert_eq!(Config::from_canonical(&config.canonical()).unwrap(), config);
    let twice = config.canonical() + "seed: 7\n";
    assert!(Config::from_canonical(&twice).unwrap_err().to_string().ends_with("not in canonical form"));
    let cut = config.canonical().replace("seed: 7\n", "");
    assert!(Config::from_canonical(&cut).unwrap_err().to_string().contains("seed is missing"));
    let altered = config.canonical().replace("seed: 7\n", "seeds: 7\n");
    assert!(Config::from_canonical(&altered).unwrap_err().to_string().contains("seeds is not a setting"));
}

#[test]
fn the_digest_depends_on_the_settings_only() {
    let digest = |text: &str| {
        let layers = Layers { file: Some(("a.yaml".to_owned(), text.to_owned())), ..Layers::default() };
        load(&layers).unwrap().config.digest()
    };
    assert_eq!(digest(""), digest("shaping: { use_potential: \"on\" }\nseed: 7 # as it was\n"));
    assert_ne!(digest(""), digest("seed: 8"));
    assert_eq!(digest("").len(), 64);
    // Every setting counts: a canonical line is there for each.
    let settings = load(&Layers::default()).unwrap().settings.len();
    assert_eq!(Config::shipped().canonical().lines().count(), settings);
}

#[test]
fn a_difference_has_key_values_and_reload_flag() {
    let text = "seed: 8\nrewards: { clip: { clip_per_tick: 0.1 } }\njobs: { a: { site: gym, start_tick: 9, end_tick: 199, lateness_penalty: 0 } }\n";
    let layers = Layers { file: Some(("a.yaml".to_owned(), text.to_owned())), ..Layers::default() };
    let differences = diff(&Config::shipped(), &load(&layers).unwrap().config);
    let find = |key: &str| differences.iter().find(|difference| difference.key == key).unwrap().clone();
    let seed = Difference { key: "seed".into(), left: Some("7".into()), right: Some("8".into()), hot: false };
    assert_eq!(find("seed"), seed);
    assert!(find("rewards.clip.clip_per_tick").hot);
    assert_eq!(find("jobs.a.end_tick").left, None);
    assert_eq!(find("jobs.grocer.end_tick").right, None);
    assert_eq!(diff(&Config::shipped(), &Config::shipped()), []);
    assert!(differences.is_sorted_by_key(|difference| difference.key.clone()));
}

#[test]
fn the_json_schema_contains_every_setting() {
    let schema = schema();
    for row in rows() {
        let mut at = &schema;
        for name in row.key.split('.') {
            at = if name == "*" { &at["additionalProperties"] } else { &at["properties"][name] };
            assert!(at.is_object(), "{} is not in the schema", row.key);
        }
    }
    let clip = &schema["properties"]["rewards"]["properties"]["clip"]["properties"]["clip_per_tick"];
    assert_eq!((clip["minimum"].as_f64(), clip["maximum"].as_f64()), (Some(0.01), Some(1.0)));
    assert_eq!(schema["properties"]["employment"]["additionalProperties"], false);
    let job = &schema["properties"]["jobs"]["additionalProperties"]["required"];
    assert_eq!(*job, serde_json::json!(["site", "start_tick", "end_tick", "lateness_penalty"]));
}

#[test]
fn the_reference_page_matches_the_table() {
    let path = root().join("docs/CONFIG.md");
    let page = markdown();
    for row in rows() {
        assert!(page.contains(&format!("| `{}` |", row.key)), "{} is not on the page", row.key);
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let checked_in = fs::read_to_string(&path).unwrap_or_default();
    assert!(checked_in == page, "docs/CONFIG.md is not what the table says: UPDATE_DOCS=1 cargo test -p townlet-town");
}

//! What a person sees for each kind of bad input, and how layers lie over each other.

use std::fmt::Write as _;

use super::*;
use crate::fixed_point::Micro;

fn file(text: &str) -> Layers {
    Layers { file: Some(("harbour.yaml".to_owned(), text.to_owned())), ..Layers::default() }
}

fn environment(name: &str, value: &str) -> Layers {
    Layers { environment: vec![(name.to_owned(), value.to_owned())], ..Layers::default() }
}

fn flag(key: &str, value: &str) -> Layers {
    Layers { flags: vec![(key.to_owned(), value.to_owned())], ..Layers::default() }
}

#[track_caller]
fn refuses(text: &str, message: &str) {
    assert_eq!(load(&file(text)).expect_err("must be refused").to_string(), message.trim_start_matches('\n'));
}

#[track_caller]
fn says(layers: &Layers, part: &str) {
    let message = load(layers).expect_err("must be refused").to_string();
    assert!(message.contains(part), "{part:?} is not in:\n{message}");
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_and_its_range() {
    refuses(
        "# mine\nemployment:\n  grace_tick: 5\n",
        "
harbour.yaml:3:3: employment.grace_tick is not a setting
   |
 3 |   grace_tick: 5
   |   ^^^^^^^^^^
   = did you mean `grace_ticks`?
   = allowed: a whole number from 0 to 1000 ticks",
    );
    says(&file("grace_ticks: 5"), "did you mean `employment.grace_ticks`?");
    says(&file("shaping: { zzz: 1 }"), "settings here: use_potential");
    says(&file("<<: { seed: 1 }"), "harbour.yaml:1:1: << is not a setting");
}

#[test]
fn a_removed_setting_is_named_with_what_to_do() {
    refuses(
        "features:\n  training: { curiosity: off }\n",
        "
harbour.yaml:2:3: features.training is not a setting
   |
 2 |   training: { curiosity: off }
   |   ^^^^^^^^
   = `features.training.curiosity` was removed, because it had no effect; delete the section",
    );
}

#[test]
fn a_wrong_type_is_named_with_what_was_found() {
    refuses(
        "employment: { grace_ticks: soon }",
        "
harbour.yaml:1:28: employment.grace_ticks must be a whole number, found the text \"soon\"
   |
 1 | employment: { grace_ticks: soon }
   |                            ^^^^
   = allowed: a whole number from 0 to 1000 ticks",
    );
    says(&file("policy_runtime: { option_commit_ticks: 1.5 }"), "must be a whole number, found 1.5");
    says(&file("employment: 3"), "employment must be a section of settings, found 3");
    says(&file("employment:\n"), "employment must be a section of settings, found nothing");
    says(&file("- seed"), "the file must be a section of settings, found a list of 1");
    says(&file("shaping: { use_potential: maybe }"), "must be on or off, found the text \"maybe\"");
    says(&file("world: { grid_size: [48] }"), "must be a pair [a, b], each a whole number, found a list of 1");
    says(&file("features: { systems: { observations: hybrd } }"), "did you mean `hybrid`?");
    says(
        &file("features: { systems: { observations: [] } }"),
        "must be one of full, hybrid, compact, found a list of 0",
    );
}

#[test]
fn a_value_out_of_range_is_shown_with_the_range() {
    refuses(
        "rewards:\n  clip:\n    clip_per_tick: 3\n",
        "
harbour.yaml:3:20: rewards.clip.clip_per_tick is 3, out of range
   |
 3 |     clip_per_tick: 3
   |                    ^
   = allowed: a number from 0.01 to 1",
    );
    says(&file("seed: -1"), "seed is -1, out of range");
    says(&file("needs: { decay_rates: { hunger: .nan } }"), "needs.decay_rates.hunger is NaN, out of range");
    says(&file("needs: { decay_rates: { hunger: .inf } }"), "needs.decay_rates.hunger is inf, out of range");
    says(&file("economy: { rent_per_day: 1e300 }"), "economy.rent_per_day is 1e300, out of range");
    says(
        &file("needs: { decay_rates: { hunger: 0.0000004 } }"),
        "needs.decay_rates.hunger has more than six decimal places",
    );
    assert_eq!(
        load(&file("economy: { rent_per_day: 0.1234567e1 }")).unwrap().config.economy.rent_per_day,
        Micro(1_234_567)
    );
    says(&file("lifecycle: { spawn_delay_ticks: [9, 3] }"), "is [9, 3]: the lower end comes first");
    says(&file("config_id: Town One"), "allowed: 1 to 40 of a-z, 0-9, _ and -");
    says(&file("shard: ''"), "shard is \"\", which is not allowed");
    says(&file("jobs:\n  Big Boss: {}"), "jobs.Big Boss is not a name");
}

#[test]
fn every_range_of_the_table_holds_at_both_ends() {
    for row in rows().into_iter().filter(|row| !row.key.contains('*') && row.kind != ValueKind::Text) {
        let outside = match row.constraint.limit {
            ValueRange::Whole(low, high) => [i128::from(low) - 1, i128::from(high) + 1].map(|value| value.to_string()),
            ValueRange::Decimal(low, high) => [low - Micro(1), high + Micro(1)].map(|value| value.to_string()),
            ValueRange::Free | ValueRange::Text(_) => continue,
        };
        for value in outside {
            let value = if matches!(row.kind, ValueKind::Pair(_)) { format!("[{value}, {value}]") } else { value };
            let error = load(&flag(&row.key, &value)).expect_err(&row.key);
            assert_eq!((error.0[0].key.as_str(), error.0.len()), (row.key.as_str(), 1), "{error}");
            assert!(error.0[0].problem.ends_with("out of range"), "{error}");
        }
    }
}

#[test]
fn a_duplicate_key_is_refused_with_both_lines() {
    refuses(
        "seed: 1\nshard: a\nseed: 2\n",
        "
harbour.yaml:3:1: seed is given twice
   |
 3 | seed: 2
   | ^^^^
   = first given on line 1",
    );
    says(&file("employment:\n  grace_ticks: 1\n  grace_ticks: 2\n"), "employment.grace_ticks is given twice");
}

#[test]
fn text_that_is_no_yaml_is_shown_by_place_and_a_blank_file_changes_nothing() {
    refuses(
        "seed: [1",
        "
harbour.yaml:1:7: unclosed bracket '['
   |
 1 | seed: [1
   |       ^",
    );
    says(&file("seed: 1\n---\nseed: 2\n"), "a second document begins here; a file may hold only one");
    for blank in ["", "\n", "# nothing yet\n"] {
        assert_eq!(load(&file(blank)).unwrap().config, Config::shipped());
    }
}

#[test]
fn nothing_in_a_message_reaches_the_terminal_as_a_command() {
    let message = load(&file("shard: ok # \u{1b}[2J\u{202e}\nseed\u{7}: 2\n")).unwrap_err().to_string();
    assert!(message.chars().all(|c| c == '\n' || !c.is_control()) && !message.contains('\u{202e}'), "{message:?}");
    let message = load(&environment("TOWNLET__SEED\u{1b}", "1")).unwrap_err().to_string();
    assert!(!message.contains('\u{1b}'), "{message:?}");
}

#[test]
fn a_message_fits_a_screen() {
    let mut text = String::from("employment:\n");
    for index in 0..50 {
        let _ = writeln!(text, "  unknown_{index}: {}", "x".repeat(500));
    }
    let message = load(&file(&text)).unwrap_err().to_string();
    assert!(message.ends_with("\n\nand 46 more"), "{message}");
    assert!(message.lines().count() <= 40 && message.lines().all(|line| line.chars().count() <= 300));
}

#[test]
fn variables_and_flags_are_named_when_they_are_wrong() {
    assert_eq!(
        load(&environment("TOWNLET__EMPLOYMENT__GRACE_TICKS", "soon")).unwrap_err().to_string(),
        "environment TOWNLET__EMPLOYMENT__GRACE_TICKS: employment.grace_ticks must be a whole number, found the text \"soon\"
  |
  | soon
  | ^^^^
  = allowed: a whole number from 0 to 1000 ticks"
    );
    says(
        &environment("TOWNLET__EMPLOYMENT__GRACE_TICK", "5"),
        "environment TOWNLET__EMPLOYMENT__GRACE_TICK: employment.grace_tick is not a setting\n  = did you mean \
         `TOWNLET__EMPLOYMENT__GRACE_TICKS`?",
    );
    says(&flag("sed", "5"), "flag sed: sed is not a setting\n  = did you mean `seed`?");
    says(&flag("seed", ""), "flag seed: seed must be a whole number, found nothing");
    says(&flag("seed.deeper", "1"), "flag seed.deeper: seed.deeper is not a setting");
    assert!(load(&environment("TOWNLET_HOME", "/elsewhere")).is_ok(), "other variables are not ours");
}

#[test]
fn each_layer_lies_over_the_one_before_and_says_so() {
    let mut layers = file("seed: 1\nshard: north\nemployment:\n  grace_ticks: 6\n");
    layers.environment = vec![("TOWNLET__SHARD".into(), "south".into()), ("TOWNLET__SEED".into(), "2".into())];
    layers.flags = vec![("seed".into(), "3".into())];
    let loaded = load(&layers).unwrap();
    let of = |key: &str| {
        let shown = loaded.settings.iter().find(|shown| shown.key == key).unwrap();
        (shown.value.as_str(), shown.origin.as_str(), shown.layer)
    };
    assert_eq!(of("seed"), ("3", "flag seed", Layer::Flag));
    assert_eq!(of("shard"), ("\"south\"", "environment TOWNLET__SHARD", Layer::Environment));
    assert_eq!(of("employment.grace_ticks"), ("6", "harbour.yaml:4", Layer::File));
    assert_eq!(of("employment.absent_cutoff"), ("30", "default", Layer::Default));
    assert_eq!((loaded.config.seed, loaded.config.employment.grace_ticks), (3, 6));
    assert_eq!(loaded.config.rewards.social.c1_chat_base, Micro(10_000));
    let upper = load(&environment("TOWNLET__REWARDS__SOCIAL__C1_CHAT_BASE", "0.02")).unwrap();
    assert_eq!(upper.config.rewards.social.c1_chat_base, Micro(20_000));
}

#[test]
fn jobs_in_a_file_replace_the_default_ones_and_a_variable_changes_one_setting() {
    let text = "economy: { wage_income: 0.021 }\njobs:\n  cook: { site: cafe, start_tick: 200, end_tick: 380, lateness_penalty: 0 }\n";
    let loaded = load(&file(text)).unwrap();
    assert_eq!(loaded.config.jobs.keys().collect::<Vec<_>>(), ["cook"]);
    assert_eq!(loaded.config.jobs["cook"].wage_rate, Micro(21_000), "a job that states no wage earns the town's");
    assert_eq!(loaded.config.jobs["cook"].location, None);
    refuses(
        "jobs:\n  cook: { site: cafe, start_tick: 200, lateness_penalty: 0 }\n",
        "
harbour.yaml:2:3: jobs.cook.end_tick is missing
   |
 2 |   cook: { site: cafe, start_tick: 200, lateness_penalty: 0 }
   |   ^^^^
   = allowed: a whole number from 1 to 100000 ticks",
    );
    let moved = load(&environment("TOWNLET__JOBS__GROCER__LOCATION", "[3, 4]")).unwrap().config;
    assert_eq!((moved.jobs["grocer"].location, moved.jobs.len()), (Some([3, 4]), 4));
    says(&flag("jobs.baker.start_tick", "5"), "flag jobs.baker.start_tick: jobs.baker.site is missing");
}

#[test]
fn switches_and_words_are_taken_in_every_usual_spelling() {
    for (word, value) in
        [("on", true), ("\"on\"", true), ("true", true), ("OFF", false), ("\"off\"", false), ("false", false)]
    {
        let config = load(&file(&format!("features: {{ systems: {{ lifecycle: {word} }} }}"))).unwrap().config;
        assert_eq!(config.features.systems.lifecycle, value, "{word}");
    }
    for word in ["off", "OFF", "\"off\"", "false"] {
        let config = load(&file(&format!("features: {{ stages: {{ relationships: {word} }} }}"))).unwrap().config;
        assert_eq!(config.features.stages.relationships, RelationshipStage::Off, "{word}");
    }
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    refuses(
        "policy: { shadow_dir: ./snapshots/rel/ }",
        "
harbour.yaml:1:23: policy.release_dir and policy.shadow_dir are both \"snapshots/rel\"
   |
 1 | policy: { shadow_dir: ./snapshots/rel/ }
   |                       ^^^^^^^^^^^^^^^^
   = the trainer must not write where the release is read; set two folders",
    );
    let cases = [
        ("features: { console: { mode: admin } }", "no session starts as admin"),
        ("features: { console: { mode: admin } }", "type `escalate` and give the reason"),
        ("rewards: { homeostasis_scale: 0.001 }", "punctuality_bonus (0.05) outweighs a skipped meal (0.014"),
        (
            "journal: { max_bytes: 33554431 }",
            "journal.max_bytes (33554431) is less than 4 × journal.segment_bytes (8388608)",
        ),
        (
            "server: { limits: { connections: 64 } }",
            "server.limits.reserved_connections (64) is not less than server.limits.connections (64)",
        ),
        (
            "keyframes: { every_ticks: 10001 }",
            "keyframes.every_ticks (10001) is more than keyframes.sparse_ticks (10000)",
        ),
        ("journal: { segment_bytes: 4095 }", "allowed: a whole number from 4096 to 16777216 bytes"),
        ("employment: { grace_ticks: 31 }", "employment.grace_ticks (31) is more than employment.absent_cutoff (30)"),
        (
            "employment: { absence_slack: 31 }",
            "employment.absence_slack (31) is more than employment.absent_cutoff (30)",
        ),
        ("employment: { absent_cutoff: 181 }", "is longer than the shift of"),
        (
            "employment: { daily_exit_cap: 3 }",
            "employment.daily_exit_cap (3) is more than lifecycle.max_exits_per_day (2)",
        ),
        (
            "lifecycle: { exit_cooldown_ticks: 1000 }",
            "with lifecycle.exit_cooldown_ticks (1000) between do not fit a day",
        ),
        ("world: { population: 65 }", "world.population (65) is more than embedding_allocator.max_slots (64)"),
        ("economy: { grocer_stock: 81 }", "economy.grocer_stock (81) is more than economy.grocer_capacity (80)"),
        ("economy: { cafe_stock: 61 }", "economy.cafe_stock (61) is more than economy.cafe_capacity (6)"),
        ("economy: { restock_tick: 1000 }", "economy.restock_tick (1000) is more than time.ticks_per_day (999)"),
        ("economy: { opening_hours: { cafe: [1, 1001] } }", "economy.opening_hours.cafe (1001) is more than"),
        ("economy: { opening_hours: { grocer: [1, 1001] } }", "economy.opening_hours.grocer (1001) is more than"),
        ("lifecycle: { collapse_hunger: 0.15 }", "lifecycle.collapse_hunger (0.15) is not below needs.critical.hunger"),
        ("needs: { critical: { hunger: 0.9 } }", "needs.critical.hunger (0.9) is not below needs.start.hunger (0.8)"),
        ("needs: { critical: { hygiene: 0.9 } }", "needs.critical.hygiene (0.9) is not below"),
        ("needs: { critical: { energy: 0.9 } }", "needs.critical.energy (0.9) is not below"),
        ("conflict: { rivalry: { eviction_threshold: 0.8 } }", "is not below conflict.rivalry.avoid_threshold (0.7)"),
        (
            "rewards: { clip: { clip_per_tick: 1, clip_per_episode: 1 } }",
            "is not below rewards.clip.clip_per_episode (1)",
        ),
        (
            "telemetry: { backpressure: { recover_below: 300 } }",
            "is more than telemetry.backpressure.backlog_threshold (256)",
        ),
        ("jobs: {}", "jobs has no job"),
        (
            "jobs: { a: { site: gym, start_tick: 9, end_tick: 9, lateness_penalty: 0 } }",
            "jobs.a.start_tick (9) is not before jobs.a.end_tick (9)",
        ),
        (
            "jobs: { a: { site: gym, start_tick: 9, end_tick: 1001, lateness_penalty: 0 } }",
            "jobs.a.end_tick (1001) is more than time.ticks_per_day",
        ),
        (
            "jobs: { a: { site: gym, start_tick: 9, end_tick: 99, lateness_penalty: 0, location: [48, 0] } }",
            "jobs.a.location lies outside the town",
        ),
    ];
    for (text, part) in cases {
        says(&file(text), part);
    }
    let mut layers = file("employment: { grace_ticks: 40 }");
    layers.flags = vec![("employment.absent_cutoff".into(), "35".into())];
    says(&layers, "flag employment.absent_cutoff: employment.grace_ticks (40) is more than");
}

#[test]
fn a_basket_that_wages_do_not_fit_is_a_warning_with_the_numbers() {
    assert_eq!(load(&Layers::default()).unwrap().warnings, Vec::<String>::new());
    let poor = load(&file("economy: { rent_per_day: 2.2 }")).unwrap().warnings;
    assert_eq!(
        poor,
        [
            "a shift as barista pays 3.6 meals; rent (2.2) and three meals (0.4 each) cost 3.4, which leaves 5 % instead of 10 to 20 %: \
         residents will hardly afford to live"
        ]
    );
    let rich = load(&file("economy: { rent_per_day: 0.2 }")).unwrap().warnings;
    assert!(rich[0].ends_with("leaves 61 % instead of 10 to 20 %: residents will not be affected by prices"));
}

super::schema::section! {
    /// A section with a list of sections.
    Menu {
        /// Meals.
        meals: Vec<Meal> = super::schema::free(),
        /// Notes.
        notes: Option<Vec<Note>> = super::schema::free(),
    }

    /// An item of the list.
    Meal {
        /// Duration.
        duration: u32 = super::schema::ticks(1, 100),
        /// Effects.
        effects: Option<Vec<Micro>> = super::schema::decimal(-1.0, 1.0, ""),
    }

    /// An item of the optional list.
    Note {
        /// Text.
        text: String = super::schema::text(TextFormat::Label),
    }
}

#[test]
fn lists_of_sections_are_validated_item_by_item() {
    let read = |text: &str| parse_file::<Menu>("menu.yaml", text).map(|(menu, _)| menu);
    let menu = read("meals: [{ duration: 3 }, { duration: 4, effects: [0.4, -1] }]").unwrap();
    assert_eq!(menu.meals[0], Meal { duration: 3, effects: None });
    assert_eq!(menu.meals[1].effects, Some(vec![Micro(400_000), -Micro::ONE]));
    assert_eq!((menu.meals.len(), menu.notes), (2, None));
    assert_eq!(read("{ meals: [], notes: [{ text: a }] }").unwrap().notes, Some(vec![Note { text: "a".into() }]));
    for (text, message) in [
        ("meals: [{ duration: 3, effects: [.nan] }]", "menu.yaml:1:33: meals.0.effects "),
        ("meals: [{ duration: 3, effects: [1e10] }]", "menu.yaml:1:33: meals.0.effects "),
        ("meals: [{ duration: 3, effects: [0.0000001] }]", "menu.yaml:1:33: meals.0.effects "),
        ("meals: [{ duration: 3 }, { duration: long }]", "menu.yaml:1:38: meals.1.duration must be a whole number"),
        ("meals: [{ duration: 3 }, {}]", "menu.yaml:1:26: meals.1.duration is missing"),
        ("meals: [{ duration: 3, duration: 4 }]", "menu.yaml:1:24: meals.0.duration is given twice"),
        ("meals: [{ duration: 300 }]", "menu.yaml:1:21: meals.0.duration is 300, out of range"),
        ("meals: { duration: 3 }", "menu.yaml:1:8: meals must be a list, found a section"),
        ("notes: []", "menu.yaml:1:1: meals is missing"),
    ] {
        let found = read(text).expect_err(text).to_string();
        assert!(found.starts_with(message), "{text}: {found}");
    }
    assert_eq!(
        read("meals:\n  - duration: 3\n    efects: [1]\n").unwrap_err().to_string(),
        "menu.yaml:3:5: meals.0.efects is not a setting
   |
 3 |     efects: [1]
   |     ^^^^^^
   = did you mean `effects`?
   = allowed: a list, each a number from -1 to 1 or null"
    );
}

#[test]
fn a_perturbation_file_is_checked_as_a_whole() {
    let shipped = PerturbationFile::parse("default.yaml", DEFAULT_PERTURBATIONS).unwrap();
    assert_eq!(shipped.events["price_spike"].magnitude, Some([Micro(1_200_000), Micro(1_600_000)]));
    let head = "{ max_concurrent_events: 1, global_cooldown_ticks: 1, per_agent_cooldown_ticks: 1, grace_window_ticks: 1, window_ticks: 9, \
                max_events_per_window: 1, events: ";
    for (event, part) in [
        (
            "{ a: { kind: price_spike, prob_per_day: 0.1, cooldown_ticks: 1, duration: [1, 2] } }",
            "events.a.magnitude is missing: a price_spike needs one",
        ),
        (
            "{ a: { kind: blackout, prob_per_day: 0.1, cooldown_ticks: 1, duration: [1, 2], target: ada } }",
            "events.a.target does not apply to a blackout",
        ),
        (
            "{ a: { kind: blackuot, prob_per_day: 0.1, cooldown_ticks: 1, duration: [1, 2] } }",
            "did you mean `blackout`?",
        ),
        (
            "{ a: { kind: blackout, prob_per_day: 1.1, cooldown_ticks: 1, duration: [1, 2] } }",
            "events.a.prob_per_day is 1.1, out of range",
        ),
        ("{ a: { kind: blackout, cooldown_ticks: 1, duration: [1, 2] } }", "events.a.prob_per_day is missing"),
    ] {
        let message = PerturbationFile::parse("p.yaml", &format!("{head}{event} }}")).expect_err(part).to_string();
        assert!(message.contains(part) && message.starts_with("p.yaml:1:"), "{message}");
    }
    assert!(PerturbationFile::parse("p.yaml", "").is_err(), "nothing in it has a default");
}

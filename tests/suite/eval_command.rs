//! `townlet eval`: its report, its verdicts and its refusals.
//!
//! Without `--out` it must write nothing. Rule: "Policy evaluation" and "Scripted baseline".

use std::path::Path;
use std::process::{Command, Output};

use crate::kit::{self, command, temp_home, text};
use serde_json::Value;
use townlet_learn::checkpoint::{Checkpoint, Meta, Registry};

/// Runs a command line in an empty folder, which must stay empty.
fn townlet(line: &str) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let output = kit::townlet(folder.path(), line);
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0, "townlet {line} wrote something");
    output
}

fn json(line: &str) -> Value {
    let output = townlet(line);
    assert_eq!(output.status.code(), Some(0), "townlet {line}\n{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

#[test]
fn scripted_baseline_passes_strict_evaluation() {
    let report = json("eval --policy scripted --seed 1 --seeds 20 --days 10 --strict --json");
    assert_eq!(
        (&report["policy"], &report["perturbations"], &report["residents"]),
        (&"scripted".into(), &true.into(), &8.into())
    );
    let towns = report["towns"].as_array().expect("the towns");
    assert_eq!(
        towns.iter().map(|town| town["seed"].as_u64().unwrap()).collect::<Vec<_>>(),
        (1..=20).collect::<Vec<_>>()
    );
    for town in towns {
        let seed = &town["seed"];
        assert_eq!(town["starvation_events"], 0, "seed {seed}");
        assert_eq!((&town["money_conserved"], &town["deadlock"]), (&true.into(), &false.into()), "seed {seed}");
        let days = town["days"].as_array().expect("its days");
        assert_eq!(days.len(), 10);
        for day in days {
            let score = day["score"].as_f64().expect("every day has a score");
            let term = |name: &str| day["terms"][name].as_f64().expect("a term");
            let formula = 0.4 * (1.0 - term("deficit")) + 0.2 * (term("attendance") + term("wages") + term("trust"))
                - 0.5 * term("starvation")
                - 0.2 * term("exits");
            assert!((score - formula).abs() < 2e-6, "{score} is not {formula}");
        }
    }
    // Recomputed from the towns alone.
    let mean = |value: &dyn Fn(&Value) -> f64| towns.iter().map(value).sum::<f64>() / towns.len() as f64;
    let kpi =
        |name: &'static str, day: usize| mean(&|town| town["days"][day - 1]["kpis"][name].as_f64().expect("a value"));
    assert!(kpi("self_sufficiency", 10) >= 0.85);
    assert!((4..=10).all(|day| kpi("tenure", day) >= 3.0));
    assert!(kpi("relationship_coverage", 5) >= 0.6);
    for day in 0..10 {
        let signs =
            ["waits", "late_arrivals", "meetings", "chats", "shared_meals", "quarrels", "cookings", "shopping_trips"];
        // On the first day residents cook what they brought.
        for sign in &signs[..if day == 0 { 6 } else { 8 }] {
            assert!(mean(&|town| town["days"][day]["signs_of_life"][*sign].as_f64().expect("a count")) > 0.0, "{sign}");
        }
    }
    let checks = report["must_show"].as_array().expect("the checks");
    assert!(checks.len() == 14 && checks.iter().all(|check| check["holds"] == true), "{checks:?}");
    let scores: Vec<f64> = towns.iter().map(|town| town["score"].as_f64().unwrap()).collect();
    let (iqm, mean) = (report["score"]["iqm"].as_f64().unwrap(), report["score"]["mean"].as_f64().unwrap());
    assert!((mean - scores.iter().sum::<f64>() / 20.0).abs() < 1e-12);
    let ends = [report["score"]["interval"][0].as_f64().unwrap(), report["score"]["interval"][1].as_f64().unwrap()];
    assert!(ends[0] <= iqm && iqm <= ends[1] && ends[0] > 0.5 && ends[1] < 1.0, "{ends:?}");
    assert_eq!((&report["fell_short"], &report["against"]), (&false.into(), &Value::Null));
    let rates = report["per_1000_resident_days"].as_array().expect("the rates");
    assert_eq!(rates[0]["name"], "starvation_events");
    let figures = &rates[0]["figures"];
    assert_eq!((&figures["events"], &figures["rate"]), (&0.into(), &0.0.into()));
    let (days, most) = (figures["resident_days"].as_f64().unwrap(), figures["interval"][1].as_f64().unwrap());
    assert!((days - 1_600.0).abs() < 1.0 && (most - 3.689 / 1.6).abs() < 0.01, "nothing in 1,600 days: {figures}");
}

#[test]
fn figures_do_not_depend_on_threads() {
    let report = |threads| {
        let mut report =
            json(&format!("eval --policy scripted --seeds 3 --days 2 --json --against scripted --threads {threads}"));
        let speed = report.as_object_mut().unwrap().remove("speed").expect("it says how fast it was");
        assert_eq!(speed["ticks"], 12_000, "both policies");
        report
    };
    let one = report(1);
    assert_eq!(one, report(3));
    assert_eq!(one["against"]["by_town"], serde_json::json!([0.0, 0.0, 0.0]), "the same policy twice, the same luck");
}

#[test]
fn shipped_policy_beats_the_scripted_one_sampled_and_greedy() {
    let report = json("eval --seed 5001 --seeds 12 --days 10 --json");
    let name = report["policy"].as_str().expect("a name");
    assert!(name.starts_with("shipped ") && name.ends_with(" sampled"), "{name}");
    assert_eq!((&report["perturbations"], &report["against"]["policy"]), (&true.into(), &"scripted".into()));
    for difference in [&report["against"]["difference"], &report["other_choice"]["difference"]] {
        assert_eq!(difference["towns"], 12);
        assert!(difference["interval"][0].as_f64().expect("an interval") > 0.0, "{difference}");
    }
    let starvation = &report["against"]["safety"][0];
    assert_eq!((&starvation["name"], &starvation["pairs"]), (&"starvation_events".into(), &12.into()));
    assert_eq!((&starvation["verdict"], &starvation["pairs_needed"]), (&"running".into(), &354.into()), "{starvation}");
    assert!(report["other_choice"]["policy"].as_str().expect("a name").ends_with(" greedy"));
    assert_eq!(report["fell_short"], false, "every charter KPI is met");
    // With `--choice` only that way is reported, with the same figures as before.
    let greedy = json("eval --seed 5001 --seeds 12 --days 10 --choice greedy --json");
    assert_eq!(greedy["other_choice"], Value::Null);
    assert_eq!(greedy["score"], report["other_choice"]["score"]);
    assert_eq!(greedy["against"]["difference"], report["other_choice"]["difference"]);
}

#[test]
fn text_report_has_score_kpis_and_speed() {
    let output = townlet("eval --policy scripted --seeds 4 --days 3 --set shard=harbour");
    let report = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for part in [
        "policy scripted",
        "4 towns of 3 days, seeds 1 to 4",
        "Test seeds",
        "town score",
        "% bootstrap interval",
        "by day",
        "self-sufficiency",
        "4 of 4",
        "waits",
        "not enough days",
        "ticks/s",
    ] {
        assert!(report.contains(part), "{part:?} is not in\n{report}");
    }
    assert!(report.lines().all(|line| line.chars().count() <= 100), "{report}");
}

#[test]
fn strict_fails_when_a_charter_kpi_is_missed_on_average() {
    let line = "eval --policy scripted --seeds 4 --days 6 --json --set kpis.attendance=1";
    let report = json(line);
    let verdict = |report: &Value, name: &str| {
        report["kpis"].as_array().unwrap().iter().find(|kpi| kpi["name"] == name).unwrap()["verdict"].clone()
    };
    assert_eq!(
        (verdict(&report, "attendance"), &report["fell_short"]),
        ("missed".into(), &false.into()),
        "no charter KPI"
    );
    assert_eq!(townlet(&format!("{line} --strict")).status.code(), Some(0));
    // A tenure longer than the age of the town is impossible.
    let line = format!("{line} --set kpis.tenure_days=7");
    let report = json(&line);
    assert_eq!((verdict(&report, "tenure"), &report["fell_short"]), ("missed".into(), &true.into()));
    assert_eq!(townlet(&format!("{line} --strict")).status.code(), Some(1));
}

#[test]
fn invalid_arguments_are_refused_before_a_town_starts() {
    for (line, says) in [
        ("--policy scriptd", &["--policy", "`scriptd`", "`scripted`", "`shipped`"][..]),
        ("--against nobody", &["--against", "`nobody`", "`scripted`"]),
        ("--seeds 0", &["--seeds", "0"]),
        ("--days many", &["--days", "many"]),
        ("--threads 0", &["--threads", "0"]),
        ("--seeds 1000 --days 1000", &["1000000 days", "500000"]),
        ("--seed 4503599627370495 --seeds 2", &["seeds 4503599627370495 to 4503599627370496", "trained"]),
        ("--seeds training:3", &["trained on seeds from 4503599627370496"]),
        ("--seeds 2251799813685247..2251799813685249", &["mix two sets", "2251799813685248"]),
        ("--seeds 9007199254740992..9007199254740993", &["the last seed is 9007199254740991"]),
        ("--seeds 1..5 --seed 3", &["--seed 3", "--seeds"]),
        ("--seeds 5..5", &["--seeds", "no seed", "5001..5021"]),
        ("--seeds selecton:5", &["--seeds", "test, selection and training"]),
        ("--towns drawn:0", &["--towns", "drawn:N"]),
        ("--towns drawn:2 --residents 8,40", &["--residents 40", "4 to 32"]),
        ("--towns drawn:2 --seed 2251799813685247 --seeds 1", &["--towns", "two sets"]),
        ("--towns drawn:1000 --residents 8,9", &["2000 towns", "the maximum is 1000"]),
        ("--towns drawn:500 --seeds 101", &["505000 days", "500000"]),
        ("--residents 0", &["--residents", "0"]),
        ("--residents 8,65", &["world.population", "embedding_allocator.max_slots"]),
        ("--scenarios --config none.yaml", &["--scenarios", "--config"]),
        ("--out none/rows.jsonl", &["--out", "none/rows.jsonl", "folder does not exist"]),
        ("--set employment.grace_tick=5", &["employment.grace_tick", "grace_ticks"]),
        ("--config none.yaml", &["none.yaml", "no such file"]),
    ] {
        let output = townlet(&format!("eval {line}"));
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}\n{message}");
        assert!(output.stdout.is_empty(), "{line}");
        for part in says {
            assert!(message.contains(part), "{line}: {part:?} is not in\n{message}");
        }
    }
}

/// Stores the shipped policy with changed metadata among the shadow policies of a home; its id.
fn store_altered(home: &Path, alter: impl FnOnce(&mut Meta)) -> String {
    let mut policy = kit::shipped_policy();
    alter(&mut policy.meta);
    let (id, bytes) = Checkpoint::encode(&policy.meta, &policy.weights, &policy.normalizer);
    Registry::new(home.join("snapshots/shadow")).store(&id, &bytes).expect("it can be stored");
    id
}

#[test]
fn policies_with_other_observation_layouts_are_compared_on_the_same_towns() {
    let home = temp_home();
    let line = "train --steps 1 --set features.systems.observations=full --set training.replicas=1 --set training.rollout_ticks=20 \
                --set training.hidden_units=8 --json";
    let trained = kit::json(home.path(), line);
    let wide = trained["checkpoint"].as_str().expect("an id");
    let eval = |rest: &str| kit::json(home.path(), &format!("eval --seeds 2 --days 1 --choice sampled --json {rest}"));
    let compact = eval("--policy shipped --against scripted");
    let full = eval("--policy shipped --against scripted --set features.systems.observations=full");
    assert_eq!(compact["towns"], full["towns"], "each policy sees its own layout, and the towns are the same");
    let both = eval(&format!("--policy shipped --against {wide}"));
    assert_eq!(both["towns"], compact["towns"]);
    assert_eq!(both["against"]["policy"], format!("{wide} sampled"));
    let turned = eval(&format!("--policy {wide} --against shipped"));
    assert_eq!(turned["against"]["score"], both["score"]);

    let unknown = store_altered(home.path(), |meta| meta.layout_hash = "0".repeat(32));
    let output = kit::townlet(home.path(), &format!("eval --policy {unknown} --seeds 1 --days 1"));
    let message = text(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{message}");
    for part in ["--policy", &unknown, "layout `compact 00000000", "this build", "full", "hybrid"] {
        assert!(message.contains(part), "{part} is not in\n{message}");
    }
}

#[test]
fn greedy_is_compared_with_greedy() {
    // A copy under another id makes the same choices, so every difference is 0 unless the two sides choose differently.
    let home = temp_home();
    let copy = store_altered(home.path(), |meta| meta.seed += 1);
    let line = format!("eval --policy shipped --against {copy} --seeds 3 --days 2 --json");
    let report = kit::json(home.path(), &line);
    let greedy = &report["other_choice"];
    assert_eq!(report["against"]["policy"], format!("{copy} sampled"));
    assert_eq!(greedy["against"], format!("{copy} greedy"));
    for difference in [&report["against"]["difference"], &greedy["difference"]] {
        assert_eq!((&difference["min"], &difference["max"]), (&0.0.into(), &0.0.into()), "{report}");
    }
    assert_ne!(report["score"], greedy["score"]);
    assert_eq!(report["speed"]["ticks"], 4 * 3 * 2_000, "both policies, both ways of choosing");
    let said = text(&kit::townlet(home.path(), &line.replace(" --json", "")).stdout);
    assert!(said.contains(&format!("greedy against {copy} greedy")), "{said}");
}

#[test]
fn selection_seeds_are_no_claim() {
    let line = "eval --policy scripted --days 1";
    for (seeds, set, note) in [
        ("--seeds 5001..5003", "test", Value::Null),
        ("--seeds selection:2", "selection", "selection seeds: not a claim".into()),
        ("--seed 2251799813685248 --seeds 2", "selection", "selection seeds: not a claim".into()),
    ] {
        let report = json(&format!("{line} {seeds} --json"));
        assert_eq!((&report["seed_set"], &report["note"], &report["seeds"]), (&set.into(), &note, &2.into()));
        let several = json(&format!("{line} {seeds} --residents 8 --json"));
        assert_eq!((&several["seed_set"], &several["note"]), (&set.into(), &note));
        for rest in ["", "--residents 8"] {
            let said = text(&townlet(&format!("{line} {seeds} {rest}")).stdout);
            assert_eq!(said.contains("selection seeds: not a claim"), set == "selection", "{said}");
        }
    }
}

#[test]
fn out_writes_a_row_per_seed_and_policy_and_never_overwrites() {
    let home = temp_home();
    let line = "eval --policy scripted --against shipped --seeds 2 --days 2 --choice greedy --out rows.jsonl";
    let report = kit::json(home.path(), &format!("{line} --json"));
    let path = home.path().join("rows.jsonl");
    let written = std::fs::read_to_string(&path).expect("the rows");
    let rows: Vec<Value> = written.lines().map(|line| serde_json::from_str(line).expect("a row a line")).collect();
    let named = |row: &Value| (row["policy"].clone(), row["choice"].clone(), row["seed"].as_u64());
    let id = kit::shipped_policy().id;
    let expected = [("scripted", None, 1), ("scripted", None, 2), (&id, Some("greedy"), 1), (&id, Some("greedy"), 2)];
    let expected = expected.map(|(policy, choice, seed)| (policy.into(), choice.into(), Some(seed)));
    assert_eq!(rows.iter().map(named).collect::<Vec<_>>(), expected);
    for (row, town) in rows.iter().zip(report["towns"].as_array().expect("the towns")) {
        for key in ["seed", "score", "starvation_events", "exits", "involuntary_exits", "digest"] {
            assert_eq!(row[key], town[key], "{key}");
        }
        assert_eq!((&row["town"], &row["seed_set"], &row["days"]), (&"configured".into(), &"test".into(), &2.into()));
        assert_eq!(row["kpis"]["attendance"], town["days"][1]["kpis"]["attendance"]);
    }
    let difference = rows[0]["score"].as_f64().expect("a score") - rows[2]["score"].as_f64().expect("a score");
    assert_eq!(report["against"]["by_town"][0], difference);
    let again = kit::townlet(home.path(), line);
    let message = text(&again.stderr);
    assert_eq!((again.status.code(), again.stdout.len()), (Some(2), 0), "{message}");
    assert!(message.contains("--out") && message.contains("not overwritten"), "{message}");
    assert_eq!(std::fs::read_to_string(&path).expect("the rows"), written);
    assert_eq!(kit::files_below(home.path()), [path], "nothing else was written");
}

#[test]
fn several_towns_have_a_row_each() {
    let line = "eval --policy shipped --seeds 2 --days 1";
    let report = json(&format!("{line} --towns drawn:2 --residents 4,16 --scenarios --json"));
    let rows = report["rows"].as_array().expect("the rows");
    let towns: Vec<(&str, u64)> =
        rows.iter().map(|row| (row["town"].as_str().expect("a name"), row["residents"].as_u64().unwrap())).collect();
    let expected = [
        ("drawn 1", 4),
        ("drawn 1", 16),
        ("drawn 2", 4),
        ("drawn 2", 16),
        ("blackout", 8),
        ("employment_backlog", 16),
        ("price_spike", 8),
        ("queue_conflict", 12),
        ("rivalry", 12),
    ];
    assert_eq!(towns, expected);
    assert_ne!(rows[0]["policy"]["score"], rows[2]["policy"]["score"], "another plan");
    assert_eq!(rows[5]["config_id"], "employment-backlog-v1");
    assert_eq!(rows[0]["outside_range"], Value::Null, "4 residents are in the trained range");
    // The row of the configured town has the figures of its own report.
    let (one, own) = (json(&format!("{line} --residents 8 --json")), json(&format!("{line} --choice sampled --json")));
    let row = &one["rows"][0];
    assert_eq!((&row["town"], &row["policy"]["score"]), (&"configured".into(), &own["score"]));
    assert_eq!((&row["difference"], &row["by_seed"]), (&own["against"]["difference"], &own["against"]["by_town"]));
    let said = text(&townlet(&format!("{line} --towns drawn:1 --scenarios")).stdout);
    for part in ["drawn 1", "employment_backlog", "all", "lowest end of an interval"] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    assert!(said.lines().all(|line| line.chars().count() <= 100), "{said}");
}

#[test]
fn strict_fails_over_several_towns_when_the_policy_is_worse_in_one() {
    let line = "eval --seeds 8 --days 6 --residents 8 --strict";
    assert_eq!(townlet(&format!("{line} --policy shipped --against scripted")).status.code(), Some(0));
    let worse = townlet(&format!("{line} --policy scripted --against shipped"));
    assert_eq!(worse.status.code(), Some(1));
    assert!(text(&worse.stdout).contains("worse in 1"), "{}", text(&worse.stdout));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_an_evaluation() {
    let folder = tempfile::tempdir().expect("a folder");
    // The warning is printed after the signal handlers are installed and before the first town.
    let line = "eval --seeds 5000 --days 100 --set economy.rent_per_day=9";
    let mut child = command(folder.path(), line.split(' ')).spawn().expect("it starts");
    let mut stderr = std::io::BufReader::new(child.stderr.take().expect("its messages"));
    let mut warning = String::new();
    std::io::BufRead::read_line(&mut stderr, &mut warning).expect("a line");
    assert!(warning.contains("warning"), "{warning}");
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(130), 0));
}

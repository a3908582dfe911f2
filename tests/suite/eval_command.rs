//! `townlet eval` as a person and a program meet it: one command that proves what the scripted policy must show.
//!
//! Runs the real program in an empty folder, into which it writes nothing. Rule: "Scripted baseline".

use std::process::{Command, Output};

use crate::kit::{self, command, text};
use serde_json::Value;

/// Runs a line in an empty folder, which must be empty afterwards.
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
fn one_command_shows_what_the_scripted_baseline_must_show() {
    let told = json("eval --policy scripted --seed 1 --seeds 20 --days 10 --strict --json");
    assert_eq!(
        (&told["policy"], &told["perturbations"], &told["residents"]),
        (&"scripted".into(), &true.into(), &8.into())
    );
    let towns = told["towns"].as_array().expect("the towns");
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
    // Worked out here once more, from the towns alone.
    let mean = |value: &dyn Fn(&Value) -> f64| towns.iter().map(value).sum::<f64>() / towns.len() as f64;
    let kpi =
        |name: &'static str, day: usize| mean(&|town| town["days"][day - 1]["kpis"][name].as_f64().expect("a value"));
    assert!(kpi("self_sufficiency", 10) >= 0.8);
    assert!((4..=10).all(|day| kpi("tenure", day) >= 3.0));
    assert!(kpi("relationship_coverage", 5) >= 0.6);
    for day in 0..10 {
        for sign in ["waits", "late_arrivals", "meetings", "shared_meals", "quarrels"] {
            assert!(mean(&|town| town["days"][day]["signs_of_life"][sign].as_f64().expect("a count")) > 0.0, "{sign}");
        }
    }
    let checks = told["must_show"].as_array().expect("the checks");
    assert!(checks.len() == 11 && checks.iter().all(|check| check["holds"] == true), "{checks:?}");
    let scores: Vec<f64> = towns.iter().map(|town| town["score"].as_f64().unwrap()).collect();
    let (iqm, mean) = (told["score"]["iqm"].as_f64().unwrap(), told["score"]["mean"].as_f64().unwrap());
    assert!((mean - scores.iter().sum::<f64>() / 20.0).abs() < 1e-12);
    let ends = [told["score"]["interval"][0].as_f64().unwrap(), told["score"]["interval"][1].as_f64().unwrap()];
    assert!(ends[0] <= iqm && iqm <= ends[1] && ends[0] > 0.5 && ends[1] < 1.0, "{ends:?}");
    assert_eq!((&told["fell_short"], &told["against"]), (&false.into(), &Value::Null));
}

#[test]
fn neither_threads_nor_the_hour_change_a_figure() {
    let told = |threads| {
        let mut told =
            json(&format!("eval --policy scripted --seeds 3 --days 2 --json --against scripted --threads {threads}"));
        let speed = told.as_object_mut().unwrap().remove("speed").expect("it says how fast it was");
        assert_eq!(speed["ticks"], 12_000, "both policies");
        told
    };
    let one = told(1);
    assert_eq!(one, told(3));
    assert_eq!(one["against"]["by_town"], serde_json::json!([0.0, 0.0, 0.0]), "the same policy twice, the same luck");
}

#[test]
fn the_shipped_policy_is_better_than_the_scripted_one_by_either_way_of_choosing() {
    let told = json("eval --seed 5001 --seeds 12 --days 10 --json");
    let name = told["policy"].as_str().expect("a name");
    assert!(name.starts_with("shipped ") && name.ends_with(" sampled"), "{name}");
    assert_eq!((&told["perturbations"], &told["against"]["policy"]), (&true.into(), &"scripted".into()));
    for difference in [&told["against"]["difference"], &told["other_choice"]["difference"]] {
        assert_eq!(difference["towns"], 12);
        assert!(difference["interval"][0].as_f64().expect("an interval") > 0.0, "{difference}");
    }
    assert!(told["other_choice"]["policy"].as_str().expect("a name").ends_with(" greedy"));
    assert_eq!(told["fell_short"], false, "every charter KPI is met");
    // Asked for one way, it is shown alone, and it is the same as when it stood aside.
    let greedy = json("eval --seed 5001 --seeds 12 --days 10 --choice greedy --json");
    assert_eq!(greedy["other_choice"], Value::Null);
    assert_eq!(greedy["score"], told["other_choice"]["score"]);
    assert_eq!(greedy["against"]["difference"], told["other_choice"]["difference"]);
}

#[test]
fn a_person_sees_the_score_the_kpis_and_how_fast() {
    let output = townlet("eval --policy scripted --seeds 4 --days 3 --set shard=harbour");
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for part in [
        "policy scripted",
        "4 towns of 3 days, seeds 1 to 4",
        "held out",
        "town score",
        "% bootstrap interval",
        "by day",
        "self-sufficiency",
        "4 of 4",
        "waits",
        "not enough days",
        "ticks/s",
    ] {
        assert!(told.contains(part), "{part:?} is not in\n{told}");
    }
    assert!(told.lines().all(|line| line.chars().count() <= 100), "{told}");
}

#[test]
fn strict_fails_for_a_charter_kpi_missed_on_average() {
    let line = "eval --policy scripted --seeds 4 --days 6 --json --set kpis.attendance=1";
    let told = json(line);
    let verdict = |told: &Value, name: &str| {
        told["kpis"].as_array().unwrap().iter().find(|kpi| kpi["name"] == name).unwrap()["verdict"].clone()
    };
    assert_eq!((verdict(&told, "attendance"), &told["fell_short"]), ("missed".into(), &false.into()), "no charter KPI");
    assert_eq!(townlet(&format!("{line} --strict")).status.code(), Some(0));
    // Nobody can have kept a job for longer than the town is old.
    let line = format!("{line} --set kpis.tenure_days=7");
    let told = json(&line);
    assert_eq!((verdict(&told, "tenure"), &told["fell_short"]), ("missed".into(), &true.into()));
    assert_eq!(townlet(&format!("{line} --strict")).status.code(), Some(1));
}

#[test]
fn bad_input_is_refused_by_name_before_anything_runs() {
    for (line, says) in [
        ("--policy scriptd", &["--policy", "`scriptd`", "`scripted`", "`shipped`"][..]),
        ("--against nobody", &["--against", "`nobody`", "`scripted`"]),
        ("--seeds 0", &["--seeds", "0"]),
        ("--days many", &["--days", "many"]),
        ("--threads 0", &["--threads", "0"]),
        ("--seeds 1000 --days 1000", &["1000000 days", "500000"]),
        ("--seed 4503599627370495 --seeds 2", &["--seed 4503599627370495", "held out", "trained"]),
        ("--set config_id=elsewhere", &["--policy", "`shipped`", "config_id", "`elsewhere`", "`scripted`"]),
        ("--set features.systems.observations=full", &["--policy", "`shipped`", "observations", "`compact`", "`full`"]),
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

#[cfg(unix)]
#[test]
fn ctrl_c_ends_it_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    // A warning comes once signals are watched, before the first of many towns.
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

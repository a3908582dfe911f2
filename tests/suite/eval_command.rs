//! `townlet eval`: its report, its verdicts and its refusals.
//!
//! Runs the program in an empty folder, in which it must write nothing. Rule: "Scripted baseline".

use std::process::{Command, Output};

use crate::kit::{self, command, text};
use serde_json::Value;

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
        ("--seed 4503599627370495 --seeds 2", &["--seed 4503599627370495", "held out", "trained"]),
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

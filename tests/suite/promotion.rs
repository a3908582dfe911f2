//! A candidate policy on a live shard, from evaluation to stable, and one that starves its town: refused, forced, rolled back.
//!
//! The shipped policy is the candidate against the scripted one. Rule: "Stability, promotion, rollback".

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use crate::kit::{TestShard, default_sources, options, refusal, store_idle_policy, temp_home, wait_for};
use townlet_shard::{Home, incident};
use townlet_wire::telemetry::{Alert, Evidence};
use townlet_wire::{Request, Snapshot};

fn rollouts(home: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(home.join("ops/rollouts.md")).expect("there are rollouts");
    text.lines().filter(|line| line.starts_with("| harbour")).map(str::to_owned).collect()
}

#[test]
fn candidate_is_promoted_to_stable_and_survives_a_restart() {
    let home = temp_home();
    let live = TestShard::with_eligible_candidate(home.path());
    let evidence = live.view().promotion.evidence.expect("it was judged");
    assert!(evidence.low > Some(0.0) && evidence.pairs > 0, "{evidence:?}");
    for row in &evidence.safety {
        assert!(row.has_passed() && row.pairs > evidence.pairs && row.pairs_needed == 0, "{row:?}");
        assert!(row.release.resident_days > 0.0 && row.candidate.high.is_some(), "{row:?}");
    }
    let words = live.result("promotion_status")["safety"][0].as_str().expect("a row").to_owned();
    assert!(
        words.starts_with("starvation events: passed after ")
            && words.contains("candidate 0 in 0 towns, 0.00 [0.00, ")
            && words.contains("release 0 in 0 towns, 0.00 [0.00, ")
            && words.contains(" per 1,000 resident-days"),
        "{words}"
    );
    assert!(live.view().alerts.iter().any(|alert| alert.name == "candidate_ready"));
    live.expect_ok("promote_policy shipped --reason \"plays well\"");
    let view = live.view();
    assert_eq!((&view.policy.id, &*view.promotion.state), (&evidence.candidate, "canary"));
    live.run_until_promotion("stable");
    let (digest, policy) = (live.digest(), live.view().policy);
    // The last row may not be on disk while the town runs; a stopped shard has written everything.
    live.shard.stop().expect("it is saved");
    let rows = rollouts(home.path());
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows[0].contains("promotion") && rows[0].contains("test:admin") && rows[0].contains("better"), "{rows:?}");
    assert!(rows[0].contains("in place of `scripted`: plays well |"), "{rows:?}");
    assert!(rows[0].contains(&words) && rows[0].contains("involuntary exits: passed after"), "{rows:?}");
    assert!(rows[1].contains("stable"), "{rows:?}");
    // The configuration still names `scripted`, but the release pointer decides.
    let live = TestShard::resumed(home.path());
    let view = live.view();
    assert_eq!((live.digest(), &view.policy, &*view.promotion.state), (digest, &policy, "stable"));
    assert_eq!(view.promotion.previous.as_deref(), Some("scripted"));
    live.expect_ok("rollback_policy --reason drill");
    assert_eq!(live.view().policy.id, "scripted");
}

#[test]
fn starving_policy_is_refused_and_rolled_back_when_forced() {
    let home = temp_home();
    let id = store_idle_policy(home.path());
    let live = TestShard::new(home.path());
    let views = live.watch();
    live.shard.offer(&id);
    let view = wait_for(&views, "a refusal", |view| {
        view.promotion.evidence.as_ref().is_some_and(|evidence| !evidence.refusals().is_empty())
    });
    let starvation = &view.promotion.evidence.as_ref().expect("it was judged").safety[0];
    assert_eq!((&*starvation.name, &*starvation.verdict), ("starvation_events", "failed"));
    assert_eq!(starvation.worse, starvation.pairs, "they starve in every town: {starvation:?}");
    let why = &view.promotion.history.last().expect("it is recorded").why;
    assert!(why.contains("is refused: ") && why.contains("starvation events: failed, worse in "), "{why}");
    live.run(3_000);
    assert_ne!(live.view().promotion.state, "eligible");
    assert_eq!(refusal(&live.line(&format!("promote_policy {id}"))), "E_CONFLICT");
    live.expect_ok(&format!("policy_swap {id} --reason drill"));
    assert_eq!(live.view().policy.id, id);
    for _ in 0..10 {
        live.run(1_000);
        if live.view().alerts.iter().any(|alert| alert.name == "canary_red") {
            break;
        }
    }
    assert!(live.view().alerts.iter().any(|alert| alert.name == "canary_red"), "{:?}", live.view().promotion);
    let tick = live.view().tick;
    live.expect_ok("rollback_policy --reason \"they starve\"");
    let view = live.view();
    assert_eq!((&*view.policy.id, view.tick, &*view.promotion.state), ("scripted", tick, "rolled_back"));
    live.shard.stop().expect("it is saved");
    let rows = rollouts(home.path());
    let [.., swap, rollback] = rows.as_slice() else { panic!("{rows:?}") };
    assert!(swap.contains("| swap |") && swap.contains("in place of `scripted`: drill |"), "{swap}");
    assert!(rollback.contains(": they starve |"), "{rollback}");
    let note = rolled_back(home.path(), &view.run_id);
    assert!(note.contains("starvation") && note.contains("they starve") && note.contains(&id), "{note}");
    assert!(note.contains("| requested by | test:admin: they starve |"), "{note}");
}

/// The note of the home's only incident, a rollback with a bundle that replays.
fn rolled_back(home: &Path, run_id: &str) -> String {
    let kept = incident::kept(&Home::new(home));
    let [it] = kept.as_slice() else { panic!("{kept:?}") };
    assert_eq!((it.kind, it.run_id.as_str()), (incident::Kind::Rollback, run_id));
    assert!(home.join(&it.bundle).is_file() && it.replay.is_some(), "{it:?}");
    let notes: Vec<_> = std::fs::read_dir(home.join("ops/incidents")).expect("incidents").flatten().collect();
    assert_eq!(notes.len(), 1, "one folder an incident");
    std::fs::read_to_string(notes[0].path().join("note.md")).expect("a note")
}

#[test]
fn a_rollback_that_names_its_release_is_refused_when_another_would_come_back() {
    let home = temp_home();
    let live = TestShard::new(home.path());
    live.expect_ok("policy_swap shipped");
    let shipped = live.view().policy.id;
    let preview =
        live.ask(live.admin, Request { dry_run: true, ..Request::line("rollback_policy --restores scripted") });
    assert!(preview.summary().starts_with("scripted drives the town from the next tick on"), "{preview:?}");
    // Another operator goes back in another way while the command waits for the shard.
    live.expect_ok("policy_swap scripted --reason \"other operator\"");
    let refused = live.line("rollback_policy --restores scripted");
    assert_eq!(refusal(&refused), "E_CONFLICT");
    assert!(refused.summary().contains("`scripted` drives the town already"), "{refused:?}");
    assert_eq!(live.refused("rollback_policy --restores nobody"), "E_NOT_FOUND");
    assert_eq!(live.refused("rollback_policy --restores shipped --to 1"), "E_INVALID_ARG");
    assert_eq!(live.view().policy.id, "scripted");
    // A name of the shipped policy is as good as its id.
    live.expect_ok("rollback_policy --restores shipped");
    assert_eq!(live.view().policy.id, shipped);
}

#[test]
fn a_town_that_commands_lead_out_of_the_trained_range_is_outside() {
    let home = temp_home();
    let live = TestShard::new(home.path());
    live.expect_ok("policy_swap shipped");
    let (inside, view) = (live.expect_ok("promotion_status").summary(), live.view());
    assert!(view.policy.outside_range.is_none() && !inside.contains("outside"), "{inside}");
    live.expect_ok("price meal 4");
    let why = "a meal costs 4.00; trained on 0.32 to 0.48";
    assert_eq!(live.view().policy.outside_range.as_deref(), Some(why));
    let status = live.result("promotion_status");
    assert_eq!(status["outside_range"], why);
    assert!(status["summary"].as_str().is_some_and(|text| text.contains(why)), "{status}");
    live.expect_ok("rollback_policy");
    assert_eq!(live.view().policy.outside_range, None, "the scripted policy has no range");
    for line in ["policy_swap shipped", "promotion_candidate shipped"] {
        let preview = live.ask(live.admin, Request { dry_run: true, ..Request::line(line) }).summary();
        assert!(preview.contains("outside the range that ") && preview.contains(why), "{line}: {preview}");
    }
    live.expect_ok("promotion_candidate shipped");
    assert_eq!(live.view().promotion.outside_range.as_deref(), Some(why));
    live.expect_ok("price meal 0.4");
    assert_eq!(live.view().promotion.outside_range, None);
}

#[test]
fn a_restart_continues_an_evaluation_where_it_was() {
    let judged = |home: &Path, restarts: bool| {
        let mut live = TestShard::with_wide_safety_margin(home);
        let views = live.watch();
        live.expect_ok("promotion_candidate shipped");
        if restarts {
            let pairs = |view: &Snapshot| view.promotion.evidence.as_ref().map_or(0, |it| it.safety[0].pairs);
            let before = pairs(&wait_for(&views, "some pairs", |view| pairs(view) >= 15));
            live.shard.stop().expect("it is saved");
            live = TestShard::resumed(home);
            let after = pairs(&live.view());
            assert!(after > 0, "pairs are lost: {before} before, {after} after");
        }
        let views = live.watch();
        let view =
            wait_for(&views, "a verdict", |view| view.promotion.evidence.as_ref().is_some_and(Evidence::is_sufficient));
        view.promotion.evidence.clone()
    };
    let (home, other) = (temp_home(), temp_home());
    assert_eq!(judged(home.path(), true), judged(other.path(), false), "as if it had never been interrupted");
}

#[test]
fn canary_is_rolled_back_automatically_once_and_then_held() {
    let home = temp_home();
    let id = store_idle_policy(home.path());
    let settings = [("stability.promotion.auto_rollback", "critical")];
    let live = TestShard::from_handle(
        townlet_shard::start(default_sources(&settings), 7, options(home.path(), true)).expect("it starts"),
    );
    live.expect_ok(&format!("policy_swap {id}"));
    live.run_until_promotion("held");
    let view = live.view();
    assert_eq!((&*view.policy.id, view.promotion.previous), ("scripted", None));
    let last = view.promotion.history.iter().rev().find(|step| step.to == "rolled_back").expect("it was taken back");
    assert_eq!(last.issuer, "town");
    live.expect_ok("promotion_hold off");
    assert_eq!(live.view().promotion.state, "idle");
    live.shard.stop().expect("it is saved");
    let note = rolled_back(home.path(), &view.run_id);
    assert!(!note.contains("requested by"), "{note}");
    assert!(note.contains("automatically, on ") && note.contains("## Stability windows"), "{note}");
}

/// A shard in its second day with the shipped policy as canary, and the states it publishes.
fn canary(home: &Path, auto_rollback: &str) -> (TestShard, Receiver<Arc<Snapshot>>) {
    let lenient = ("stability.lateness.max_ratio_to_baseline", "100");
    let sources = default_sources(&[("stability.promotion.auto_rollback", auto_rollback), lenient]);
    let live = TestShard::from_handle(townlet_shard::start(sources, 7, options(home, true)).expect("it starts"));
    live.run(1_500);
    live.expect_ok("policy_swap shipped --reason drill");
    live.run(600);
    let view = live.view();
    assert_eq!(view.promotion.state, "canary", "{:?} {:?}", view.promotion.history, view.alerts);
    let views = live.watch();
    (live, views)
}

fn degraded(view: &Snapshot) -> Option<Alert> {
    view.alerts.iter().find(|alert| alert.name == "shard_degraded").cloned()
}

/// Puts a file in place of the snapshot folder and waits for the shard to notice; the file.
fn degrade(home: &Path, live: &TestShard, views: &Receiver<Arc<Snapshot>>) -> PathBuf {
    let folder = home.join("snapshots/auto");
    drop(std::fs::rename(&folder, home.join("aside")));
    std::fs::write(&folder, "").expect("it is written");
    live.line("snapshot save");
    wait_for(views, "the alert", |view| degraded(view).is_some());
    folder
}

#[test]
fn shard_alert_makes_a_canary_red() {
    let home = temp_home();
    let (live, views) = canary(home.path(), "off");
    degrade(home.path(), &live, &views);
    live.run(1_000);
    let view = live.view();
    assert!(view.alerts.iter().any(|alert| alert.name == "canary_red"), "{:?}", view.promotion);
    assert_eq!(view.stability.windows.last().map(|window| &*window.verdict), Some("green"));
    assert_eq!(degraded(&view).map(|alert| alert.since_tick), Some(2_100), "it keeps its tick");
}

#[test]
fn shard_alert_rolls_a_canary_back_and_is_counted_each_time() {
    let home = temp_home();
    let (live, views) = canary(home.path(), "critical");
    let blocked = degrade(home.path(), &live, &views);
    let view = wait_for(&views, "a rollback", |view| view.promotion.state == "held");
    assert_eq!((&*view.policy.id, view.tick), ("scripted", 2_100));
    let step = view.promotion.history.iter().rev().find(|step| step.to == "rolled_back").expect("it is recorded");
    assert!(step.why.contains("automatically, on shard_degraded"), "{step:?}");
    assert_eq!(live.view().alerts_raised["shard_degraded"], 1);
    std::fs::remove_file(&blocked).expect("it is taken away");
    wait_for(&views, "the end of the alert", |view| degraded(view).is_none());
    degrade(home.path(), &live, &views);
    let view = live.view();
    assert_eq!(view.alerts_raised["shard_degraded"], 2);
    let events = view.events.iter().filter(|event| event.fields.get("alert") == Some(&"shard_degraded".into())).count();
    assert_eq!(events, 3, "raised, over, raised");
}

#[test]
fn release_pointer_of_another_configuration_is_refused() {
    let home = temp_home();
    let live = TestShard::new(home.path());
    live.expect_ok("policy_swap shipped");
    live.shard.stop().expect("it is saved");
    let other = default_sources(&[("config_id", "elsewhere")]);
    let why = townlet_shard::start(other, 7, options(home.path(), true)).err().expect("it is refused").to_string();
    for part in ["harbour.release.json", "config_id", "`town-v1`", "`elsewhere`", "move the file away"] {
        assert!(why.contains(part), "{part}: {why}");
    }
}

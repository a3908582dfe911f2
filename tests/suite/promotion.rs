//! A policy's whole way on a live shard: judged, promoted, watched, stable; and one that starves its town, refused, forced in,
//! and taken back.
//!
//! The shipped policy is the candidate against the scripted one. Rule: "Stability, promotion, rollback".

use std::path::Path;

use crate::kit::{TestShard, default_sources, options, refusal, store_idle_policy, temp_home, wait_for};
use townlet_shard::{Home, incident};
use townlet_wire::Snapshot;

fn rollouts(home: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(home.join("ops/rollouts.md")).expect("there are rollouts");
    text.lines().filter(|line| line.starts_with("| harbour")).map(str::to_owned).collect()
}

#[test]
fn a_candidate_goes_the_whole_way_and_a_restart_keeps_it() {
    let home = temp_home();
    let live = TestShard::with_eligible_candidate(home.path());
    let evidence = live.view().promotion.evidence.expect("it was judged");
    assert!(evidence.low > Some(0.0) && evidence.pairs > 0, "{evidence:?}");
    assert!(live.view().alerts.iter().any(|alert| alert.name == "candidate_ready"));
    live.expect_ok("promote_policy shipped");
    let view = live.view();
    assert_eq!((&view.policy.id, &*view.promotion.state), (&evidence.candidate, "canary"));
    live.run_until_promotion("stable");
    let (digest, policy) = (live.digest(), live.view().policy);
    // The last row may still be on its way to the disk while the town goes on; a shard that has stopped owes nothing.
    live.shard.stop().expect("it is saved");
    let rows = rollouts(home.path());
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows[0].contains("promotion") && rows[0].contains("test:admin") && rows[0].contains("better"), "{rows:?}");
    assert!(rows[1].contains("stable"), "{rows:?}");
    // The configuration still says scripted; the pointer decides, and the town is the one that stopped.
    let live = TestShard::resumed(home.path());
    let view = live.view();
    assert_eq!((live.digest(), &view.policy, &*view.promotion.state), (digest, &policy, "stable"));
    assert_eq!(view.promotion.previous.as_deref(), Some("scripted"));
    live.expect_ok("rollback_policy --reason drill");
    assert_eq!(live.view().policy.id, "scripted");
}

#[test]
fn a_policy_that_starves_its_town_is_refused_and_when_forced_in_is_taken_back() {
    let home = temp_home();
    let id = store_idle_policy(home.path());
    let live = TestShard::new(home.path());
    let views = live.watch();
    live.shard.offer(&id);
    wait_for(&views, "a refusal", |view| {
        view.promotion.evidence.as_ref().is_some_and(|evidence| evidence.verdict == "not_better")
    });
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
    assert!(rollouts(home.path()).last().expect("a row").contains("they starve"));
    let note = rolled_back(home.path(), &view.run_id);
    assert!(note.contains("starvation") && note.contains("they starve") && note.contains(&id), "{note}");
    assert!(note.contains("| asked by | test:admin: they starve |"), "{note}");
}

/// The one incident of a rollback, with a bundle that replays, and its note.
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
fn a_canary_is_taken_back_by_itself_once_and_then_everything_is_held() {
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
    assert!(!note.contains("asked by"), "{note}");
    assert!(note.contains("by itself, on ") && note.contains("## Stability windows"), "{note}");
}

#[test]
fn what_the_shard_itself_raises_counts_as_what_the_town_does() {
    for auto in ["off", "critical"] {
        let home = temp_home();
        let lenient = ("stability.lateness.max_ratio_to_baseline", "100");
        let settings = [("stability.promotion.auto_rollback", auto), lenient];
        let live = TestShard::from_handle(
            townlet_shard::start(default_sources(&settings), 7, options(home.path(), true)).expect("it starts"),
        );
        live.run(1_500);
        live.expect_ok("policy_swap shipped --reason drill");
        live.run(600);
        let view = live.view();
        assert_eq!(view.promotion.state, "canary", "{:?} {:?}", view.promotion.history, view.alerts);
        let views = live.watch();
        let own = |view: &Snapshot| view.alerts.iter().find(|alert| alert.name == "shard_degraded").cloned();
        // In the place of the folder stands a file, so that no snapshot can be written.
        let (folder, aside) = (home.path().join("snapshots/auto"), home.path().join("aside"));
        let degrade = || {
            drop(std::fs::rename(&folder, &aside));
            std::fs::write(&folder, "").expect("it is written");
            live.line("snapshot save");
            wait_for(&views, "the alert", |view| own(view).is_some());
        };
        degrade();
        if auto == "off" {
            live.run(1_000);
            let view = live.view();
            assert!(view.alerts.iter().any(|alert| alert.name == "canary_red"), "{:?}", view.promotion);
            assert_eq!(view.stability.windows.last().map(|window| &*window.verdict), Some("green"));
            assert_eq!(own(&view).map(|alert| alert.since_tick), Some(2_100), "it keeps its tick");
            continue;
        }
        let view = wait_for(&views, "a rollback", |view| view.promotion.state == "held");
        assert_eq!((&*view.policy.id, view.tick), ("scripted", 2_100));
        let told = view.promotion.history.iter().rev().find(|step| step.to == "rolled_back").expect("it is told");
        assert!(told.why.contains("by itself, on shard_degraded"), "{told:?}");
        assert_eq!(live.view().alerts_raised["shard_degraded"], 1);
        std::fs::remove_file(&folder).expect("it is taken away");
        wait_for(&views, "the end of the alert", |view| own(view).is_none());
        degrade();
        assert_eq!(live.view().alerts_raised["shard_degraded"], 2);
        let told = live
            .view()
            .events
            .iter()
            .filter(|event| event.fields.get("alert") == Some(&"shard_degraded".into()))
            .count();
        assert_eq!(told, 3, "raised, over, raised");
    }
}

#[test]
fn a_pointer_for_another_configuration_is_refused_by_name() {
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

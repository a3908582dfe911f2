//! Cases of the commands about the shard itself: telemetry, speed, snapshots, training, incidents, roles.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use townlet_shard::incident::{Incident, Kind, kept};
use townlet_shard::{Home, SessionEvent};

use townlet_wire::{Request, Role, Snapshot};

use super::town_commands::{AGAIN, BAD, Case, NONE, case, text, with};
use super::whatif_commands;
use crate::kit::{TestShard, refusal, temp_home, test_session, wait_for, wait_until};

/// The cases, in the order of the table.
pub(crate) static CASES: &[Case] = &[
    case(
        "telemetry_mode",
        &[],
        "telemetry_mode aggregate",
        &[("telemetry_mode", BAD), ("telemetry_mode fast", BAD)],
        telemetry_mode,
    ),
    case("speed", &[], "speed 10x", &[("speed", BAD), ("speed 3x", BAD)], speed),
    case("pause", &[], "pause", &[], pause),
    case("resume", &[], "resume", &[], resume),
    case("step", &[], "step 3", &[("step 0", BAD), ("step many", BAD), ("step 10001", BAD)], step),
    case("snapshot save", &[], "snapshot save", &[("snapshot", BAD)], snapshot_save),
    case("snapshot list", &[], "snapshot list", &[], snapshot_list),
    case(
        "snapshot inspect",
        &["snapshot save"],
        "snapshot inspect 000000000000.tls",
        &[("snapshot inspect", BAD), ("snapshot inspect 000000000001.tls", NONE), ("snapshot inspect ../x.tls", NONE)],
        snapshot_inspect,
    ),
    case(
        "snapshot validate",
        &["snapshot save"],
        "snapshot validate 000000000000.tls",
        &[("snapshot validate", BAD), ("snapshot validate 000000000001.tls", NONE)],
        snapshot_validate,
    ),
    case("whatif", &[], "whatif spawn --samples 2 --days 1", whatif_commands::WRONG, whatif_commands::whatif),
    case("whatif_status", &[], "whatif_status", &[("whatif_status nothing", NONE)], whatif_commands::whatif_status),
    case(
        "whatif_cancel",
        &[whatif_commands::LONG],
        "whatif_cancel",
        &[("whatif_cancel nothing", NONE)],
        whatif_commands::whatif_cancel,
    ),
    case("training status", &[], "training status", &[("training", BAD)], training_status),
    Case {
        live: TestShard::with_training,
        ..case("training pause", &[], "training pause", &[("training halt", BAD)], training_pause)
    },
    Case {
        live: TestShard::with_training,
        ..case("training resume", &["training pause"], "training resume", &[], training_resume)
    },
    case("incident", &[], "incident --reason look", &[("incident now", BAD), ("incident --reason", BAD)], incident),
    case(
        "alert_ack",
        &["outage on"],
        "alert_ack outage",
        &[("alert_ack", BAD), ("alert_ack nothing", NONE)],
        alert_ack,
    ),
    case("escalate", &[], "escalate --reason review", &[("escalate", BAD), ("escalate --reason \" \"", BAD)], escalate),
    case("viewer", &[], "viewer", &[], viewer),
];

fn telemetry_mode() {
    with(|live| {
        let views = live.watch();
        live.expect_ok("telemetry_mode aggregate");
        let view = wait_for(&views, "merged telemetry", |view| view.transport.mode == "aggregate");
        assert!(view.transport.archive.is_some(), "the raw stream is archived");
        assert!(view.alerts.iter().any(|alert| alert.name == "telemetry_aggregating"));
        live.expect_ok("telemetry_mode full");
        wait_for(&views, "every message", |view| view.transport.mode == "full" && view.alerts.is_empty());
    });
}

/// Runs a test on a paused town.
fn pacing(test: impl FnOnce(&TestShard)) {
    let home = temp_home();
    test(&TestShard::paused(home.path()));
}

fn speed() {
    pacing(|live| {
        let views = live.watch();
        wait_for(&views, "paused", |view| view.clock.speed == "paused");
        for rate in ["1x", "10x", "100x", "max"] {
            let said = live.result(&format!("speed {rate}"));
            let resumes = text(&said, "summary").starts_with("the town runs on from tick ");
            assert_eq!(resumes, rate == "1x", "{said}");
            let seen = wait_for(&views, rate, |view| view.clock.speed == rate);
            wait_for(&views, "a later tick", |view| view.clock.speed == rate && view.tick > seen.tick);
        }
    });
}

fn pause() {
    pacing(|live| {
        let views = live.watch();
        live.expect_ok("speed max");
        wait_for(&views, "ticks", |view| view.tick > 0);
        live.expect_ok("pause");
        let stopped = live.view();
        assert_eq!(stopped.clock.speed, "paused");
        live.expect_ok("setmoney ada 3");
        assert_eq!((live.view().tick, live.view().jobs["ada"].wallet.to_bits()), (stopped.tick, 3.0_f64.to_bits()));
    });
}

fn resume() {
    pacing(|live| {
        let views = live.watch();
        live.expect_ok("resume");
        wait_for(&views, "ticks at the speed it had", |view| view.clock.speed == "max" && view.tick > 5);
    });
}

fn step() {
    pacing(|live| {
        let views = live.watch();
        for (line, until) in [("step 3", 3), ("step", 4)] {
            live.expect_ok(line);
            wait_for(&views, line, |view| view.tick == until);
            live.expect_ok("setmoney ada 1");
            assert_eq!((live.view().tick, &*live.view().clock.speed), (until, "paused"), "{line}");
        }
    });
}

fn snapshot_save() {
    with(|live| {
        assert_eq!(live.view().health.last_snapshot_tick, None);
        live.run(12);
        live.expect_ok("snapshot save");
        assert_eq!(live.result("snapshot list")["snapshots"], serde_json::json!(["000000000012.tls"]));
        assert_eq!(live.view().health.last_snapshot_tick, Some(12));
    });
}

fn snapshot_list() {
    with(|live| {
        assert_eq!(live.result("snapshot list")["snapshots"], serde_json::json!([]));
        live.expect_ok("snapshot save");
        let result = live.result("snapshot list");
        assert_eq!(result["snapshots"], serde_json::json!(["000000000000.tls"]));
        assert!(std::path::Path::new(text(&result, "folder")).join("000000000000.tls").exists());
    });
}

fn snapshot_inspect() {
    with(|live| {
        live.run(25);
        live.expect_ok("spawn");
        live.expect_ok("snapshot save");
        let result = live.result("snapshot inspect 000000000025.tls");
        assert_eq!((text(&result, "digest"), result["tick"].as_u64()), (&*live.digest(), Some(25)));
        assert_eq!((result["residents"].as_u64(), text(&result, "config_id")), (Some(9), "town-v1"));
    });
}

fn snapshot_validate() {
    with(|live| {
        live.expect_ok("snapshot save");
        let result = live.result("snapshot validate 000000000000.tls");
        assert!(text(&result, "summary").contains(&live.digest()));
        let folder = text(&live.result("snapshot list"), "folder").to_owned();
        let path = std::path::Path::new(&folder).join("000000000000.tls");
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(live.refused("snapshot validate 000000000000.tls"), "E_DAMAGED");
    });
}

/// Runs a test on a town with a training that has made an update.
fn learning(test: impl FnOnce(&TestShard, &Receiver<Arc<Snapshot>>, u64)) {
    let home = temp_home();
    let live = TestShard::with_training(home.path());
    let views = live.watch();
    let view = wait_for(&views, "an update", |view| newest(view) > 0);
    test(&live, &views, newest(&view));
}

/// The newest update, 0 before the first.
fn newest(view: &Snapshot) -> u64 {
    view.learning.history.last().map_or(0, |row| row.update)
}

fn training_status() {
    with(|live| {
        let result = live.result("training status");
        assert_eq!(text(&result, "state"), "off");
        assert!(text(&result, "summary").contains("--train"));
    });
    learning(|live, _, update| {
        let result = live.result("training status");
        assert_eq!((text(&result, "state"), text(&result, "run")), ("training", &*live.view().learning.run));
        assert!(result["row"]["update"].as_u64() >= Some(update), "{result}");
    });
}

fn training_pause() {
    with(|live| {
        let answer = live.line("training pause");
        assert_eq!(refusal(&answer), AGAIN);
        assert!(answer.error.unwrap().hint.contains("--train"));
    });
    learning(|live, views, _| {
        live.expect_ok("training pause");
        let paused = wait_for(views, "a pause", |view| view.learning.state == "paused");
        live.run(3_000);
        assert_eq!(live.view().learning, paused.learning, "nothing is learned while days go by");
    });
}

fn training_resume() {
    with(|live| assert_eq!(live.refused("training resume"), AGAIN));
    learning(|live, views, _| {
        live.expect_ok("training pause");
        let paused = wait_for(views, "a pause", |view| view.learning.state == "paused");
        live.expect_ok("training resume");
        wait_for(views, "a later update", |view| view.learning.state == "training" && newest(view) > newest(&paused));
    });
}

fn incident() {
    let home = temp_home();
    let live = TestShard::new(home.path());
    live.run(120);
    live.expect_ok("setmoney ada 7");
    let digest = live.digest();
    let result = live.result("incident --reason look");
    assert!(text(&result, "summary").contains("bundle.tar.zst is being written"), "{result}");
    assert_eq!(live.digest(), digest, "the town goes on as it was");
    // A stop completes a bundle that has begun, and gives up one that has not.
    wait_until("the bundle", || kept(&Home::new(home.path())).iter().any(Incident::is_finished));
    drop(live);
    let kept = kept(&Home::new(home.path()));
    assert_eq!(kept.len(), 1);
    let (it, folder) = (&kept[0], home.path().join("ops/incidents").join(&kept[0].id));
    assert_eq!((it.kind, it.replay.clone()), (Kind::Requested, Some((120, digest))));
    assert!(text(&result, "summary").contains(&it.id) && it.headline == "test:admin: look");
    assert_eq!(std::fs::metadata(home.path().join(&it.bundle)).unwrap().len(), it.bytes);
    let note = std::fs::read_to_string(folder.join("note.md")).unwrap();
    assert!(note.contains("ops/requested") && note.contains("setmoney agent=\"ada\""), "{note}");
}

fn alert_ack() {
    with(|live| {
        live.expect_ok("blackout on");
        let alert = || live.view().alerts.into_iter().find(|alert| alert.name == "blackout");
        assert_eq!(alert().expect("it is raised").acknowledged_by, None);
        live.expect_ok("alert_ack blackout --reason planned");
        let seen = alert().expect("it stays");
        assert_eq!(
            (seen.acknowledged_by.as_deref(), seen.acknowledged_tick),
            (Some("test:admin"), Some(live.view().tick))
        );
        let again = live.result("alert_ack blackout");
        assert!(text(&again, "summary").contains("nothing changes: test:admin has acknowledged"), "{again}");
        // Once it has ended and is raised again, it has to be seen again.
        live.expect_ok("blackout off");
        live.run(1);
        assert_eq!(alert(), None);
        live.expect_ok("blackout on");
        live.run(1);
        assert_eq!(alert().expect("it is raised again").acknowledged_by, None);
    });
}

#[test]
fn previews_say_what_the_answer_says_or_why_nothing_changes() {
    pacing(|live| {
        let specs = townlet_shard::specs();
        let preview = |line: &str| {
            let answer = live.ask(live.admin, Request { dry_run: true, ..Request::line(line) });
            text(&answer.result.unwrap_or_else(|| panic!("{line}: {:?}", answer.error)), "summary").to_owned()
        };
        for line in [
            "narration off",
            "narration off",
            "narration on",
            "narration limit 2",
            "narration limit 2",
            "privacy on",
            "privacy on",
            "privacy off",
            "telemetry_mode aggregate",
            "snapshot save",
            "set_exit_cap 1",
            "blackout on",
            "speed 10x",
            "pause",
            // The last one: it ends by itself.
            "step 3",
        ] {
            let promised = preview(line);
            let help = specs.iter().any(|spec| line.starts_with(&spec.name) && promised == format!("{}.", spec.help));
            assert!(!help, "{line}: the help line is no preview: {promised}");
            assert_eq!(promised, text(&live.result(line), "summary"), "{line}");
        }
        for (line, words) in [
            ("narration limit 2", "nothing changes"),
            ("privacy off", "nothing changes"),
            ("incident --reason look", "ops/incidents"),
            ("viewer", "you are viewer now"),
            ("escalate --reason look", "you are admin already"),
            ("promotion_hold on", "wait until the hold ends"),
        ] {
            let promised = preview(line);
            assert!(promised.contains(words), "{line}: {promised}");
        }
    });
}

fn escalate() {
    with(|live| {
        let (sender, roles) = std::sync::mpsc::channel();
        let session = test_session("test:climber", Role::Viewer, true);
        let session = live.shard.open(session, move |event| {
            let SessionEvent::RoleChanged(session) = event else { return };
            sender.send(session.role).expect("the test listens");
        });
        let ask = |line: &str| live.ask(session, Request::line(line));
        assert_eq!(ask("spawn").error.unwrap().code, "E_FORBIDDEN");
        assert_eq!(ask("escalate --reason review").error, None);
        assert_eq!(roles.recv(), Ok(Role::Admin));
        assert_eq!(ask("spawn").error, None);
    });
}

fn viewer() {
    with(|live| {
        live.expect_ok("spawn");
        live.expect_ok("viewer");
        assert_eq!(live.refused("spawn"), "E_FORBIDDEN");
        live.expect_ok("escalate --reason back");
        live.expect_ok("spawn");
    });
}

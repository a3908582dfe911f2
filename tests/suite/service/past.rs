//! The past of a served shard: `/v1/history`, `/v1/telemetry/at/{tick}`, and a remote source that moves in time.

use serde_json::json;
use townlet_server::AnonymousReading;
use townlet_source::{Moved, Remote, Source as _, SourceEvent};
use townlet_wire::Snapshot;
use townlet_wire::history::{HistoryPage, Mark, MarkKind};
use townlet_wire::service::{HISTORY, PAST, SNAPSHOT};

use super::client::{Served, wait};
use super::{deliveries, until};
use crate::kit::wait_until;

fn at(tick: &str) -> String {
    PAST.replace("{tick}", tick)
}

/// A shard with a life behind it, and the states at two of its ticks.
fn lived() -> (Served, [Snapshot; 2]) {
    let served = Served::start();
    let seen = [400, 900].map(|tick| {
        served.shard.run_to(tick, |_| true).expect("the shard runs");
        let view = serde_json::from_str(&served.get(SNAPSHOT, "").body).expect("a snapshot");
        let line = json!({ "command": "perturbation_trigger blackout", "cmd_id": format!("p-{tick}") });
        served.post(&served.admin(), &line.to_string());
        view
    });
    served.shard.run_to(1_500, |_| true).expect("the shard runs");
    // Its answer says that the journal holds all ticks.
    let line = json!({ "command": "setmoney ada 7", "cmd_id": "m-1" });
    assert_eq!(served.post(&served.admin(), &line.to_string()).status, 200);
    (served, seen)
}

/// What a state says of the residents.
fn residents(view: &Snapshot) -> Vec<(String, u64, u64, String)> {
    view.agents.iter().map(|it| (it.id.clone(), it.x, it.y, format!("{:?}", it.needs))).collect()
}

#[test]
fn the_past_is_read_over_http_with_the_same_errors_and_rights_as_the_present() {
    let (served, seen) = lived();
    for view in &seen {
        let reply = served.get(&at(&view.tick.to_string()), "");
        assert_eq!(reply.status, 200, "{}", reply.body);
        let past: Snapshot = serde_json::from_str(&reply.body).expect("a snapshot");
        assert_eq!(
            (past.tick, past.schema_version.as_str(), past.clock.speed.as_str()),
            (view.tick, "0.2.0", "paused")
        );
        assert_eq!(residents(&past), residents(view), "tick {}", view.tick);
    }
    let viewer = format!("authorization: Bearer {}\r\n", served.viewer);
    assert_eq!(served.get(&at("400"), &viewer).status, 200);
    for (path, status, code) in [
        (at("1501"), 404, "E_NOT_FOUND"),
        (at("18446744073709551615"), 404, "E_NOT_FOUND"),
        (at("18446744073709551616"), 400, "E_INVALID_ARG"),
        (at("-1"), 400, "E_INVALID_ARG"),
        (at("now"), 400, "E_INVALID_ARG"),
        (at("%2e%2e"), 400, "E_INVALID_ARG"),
        (at("1/2"), 404, "E_NOT_FOUND"),
        (at(""), 404, "E_NOT_FOUND"),
        (format!("{HISTORY}?limit=0"), 400, "E_INVALID_ARG"),
        (format!("{HISTORY}?limit=1001"), 400, "E_INVALID_ARG"),
        (format!("{HISTORY}?kinds=command,party"), 400, "E_INVALID_ARG"),
        (format!("{HISTORY}?before=3"), 400, "E_INVALID_ARG"),
        (format!("{HISTORY}?until=3"), 400, "E_INVALID_ARG"),
    ] {
        let reply = served.get(&path, "");
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{path}: {}", reply.body);
    }
    let missing = served.get(&at("1501"), "").json();
    let message = "tick 1,501 is not in the journal, which has ticks 0 to 1,500.";
    assert_eq!(missing["error"]["message"], json!(message));
    // Without a token nothing is read where reading is closed.
    let closed = Served::with_reading(AnonymousReading::Status);
    let viewer = format!("authorization: Bearer {}\r\n", closed.viewer);
    for path in [at("0"), HISTORY.to_owned()] {
        assert_eq!(closed.get(&path, "").code(), "E_UNAUTHORIZED", "{path}");
        assert_eq!(closed.get(&path, &viewer).status, 200, "{path}");
    }
}

#[test]
fn the_marks_are_read_in_pages_and_names_are_hidden_as_they_are_now() {
    let (served, _) = lived();
    let page = |query: &str| -> HistoryPage {
        let reply = served.get(&format!("{HISTORY}{query}"), "");
        assert_eq!(reply.status, 200, "{}", reply.body);
        serde_json::from_str(&reply.body).expect("a page")
    };
    let mut all = HistoryPage::default();
    wait_until("both perturbations are marked", || {
        all = page("?limit=1000");
        all.marks.iter().filter(|mark| mark.kind == MarkKind::Perturbation).count() == 2
    });
    assert_eq!((all.first_tick, all.last_tick, all.marks_from, all.before.clone()), (0, 1_500, 0, None));
    assert_eq!(all.run_id, served.shard.run_id);
    let commands = page("?kinds=command").marks;
    assert_eq!(commands.iter().map(|mark| mark.tick).collect::<Vec<_>>(), [400, 900, 1_500]);
    assert!(commands[0].text.ends_with(": perturbation_trigger blackout"), "{commands:?}");
    assert_eq!(page("?kinds=command,perturbation&from=500&to=900").marks.len(), 2);
    assert_eq!(wait(served.client(None).history(None)).expect("it answers"), all);
    let mut paged: Vec<Mark> = Vec::new();
    let mut query = "?limit=1".to_owned();
    loop {
        let one = page(&query);
        paged.splice(..0, one.marks);
        let Some(before) = one.before else { break };
        query = format!("?limit=1&before={before}");
    }
    assert_eq!(paged, all.marks);
    let hide = json!({ "command": "privacy on", "cmd_id": "h-1" }).to_string();
    assert_eq!(served.post(&served.admin(), &hide).status, 200);
    let past = served.get(&at("400"), "");
    assert!(past.status == 200 && !past.body.contains("\"ada\"") && !past.body.contains("Ada"), "{}", past.body);
}

#[test]
fn a_remote_source_moves_in_time_and_the_last_wish_counts() {
    let (served, seen) = lived();
    let mut source = Remote::new(served.client(None));
    let notices = deliveries(&mut source);
    until(&notices, "the present", |notice| matches!(notice, SourceEvent::View(_)).then_some(()));
    // A drag: only the last tick has to come, and nothing comes after it.
    for tick in 0..200 {
        source.seek(tick);
    }
    source.seek(400);
    let mut moved = Vec::new();
    until(&notices, "the past", |notice| match notice {
        SourceEvent::Moved(Moved::Past(view)) => {
            moved.push(view.tick);
            (view.tick == 400).then(|| assert_eq!(residents(&view), residents(&seen[0])))
        }
        _ => None,
    });
    assert!(moved.len() < 20, "{moved:?}");
    source.seek(9_999);
    let (tick, code) = until(&notices, "a refusal", |notice| match notice {
        SourceEvent::Moved(Moved::Refused { tick, error }) => Some((tick, error.code)),
        _ => None,
    });
    assert_eq!((tick, code.as_str()), (9_999, "E_NOT_FOUND"));
    source.live();
    until(&notices, "the present", |notice| matches!(notice, SourceEvent::Moved(Moved::Live)).then_some(()));
    source.close();
}

//! `townlet serve --config FILE --resume` after a crash, with the file edited, damaged or gone: the run comes back with its own
//! configuration, says so in its output, its log and an alert, and takes the file with the next `reload_config`.

use std::path::Path;

use serde_json::{Value, json};
use townlet_wire::Status;

use super::kill::{post, token};
use super::server::Server;
use crate::kit::{json as run_json, text, townlet};

const FILE: &str = "town.yaml";
const SERVE: &[&str] = &["--config", FILE, "--listen", "127.0.0.1:0", "--paused"];

fn write(home: &Path, content: &str) {
    std::fs::write(home.join(FILE), content).expect("the home can be written");
}

/// A home whose shard was killed.
fn crashed() -> (tempfile::TempDir, String) {
    let home = tempfile::tempdir().expect("a folder");
    let token = token(home.path());
    write(home.path(), "kpis: { attendance: 0.5 }\n");
    Server::start(home.path(), SERVE).kill();
    (home, token)
}

fn resume(home: &Path) -> Server {
    Server::start(home, &[SERVE, &["--resume"]].concat())
}

fn snapshot(home: &Path, server: &Server) -> Value {
    run_json(home, &format!("telemetry snapshot --connect {}", server.url()))
}

/// The alert about the configuration, if it stands.
fn alert(home: &Path, server: &Server) -> Option<String> {
    let view = snapshot(home, server);
    let alerts = view["alerts"].as_array().expect("a list");
    let found = alerts.iter().find(|alert| alert["name"] == "config_not_in_force")?;
    Some(found["message"].as_str().expect("a sentence").to_owned())
}

/// The shard said so in its output, its log and an alert.
#[track_caller]
fn says_so(home: &Path, server: &Server, parts: &[&str]) {
    let log = std::fs::read_to_string(home.join("logs/townlet.log")).expect("the log");
    let alert = alert(home, server).expect("the alert stands");
    for said in [server.said(), log, alert] {
        assert!(parts.iter().all(|part| said.contains(part)), "{parts:?}: {said}");
    }
}

#[track_caller]
fn refused_strictly(home: &Path, part: &str) {
    let output = townlet(home, &format!("serve --config {FILE} --listen 127.0.0.1:0 --resume --strict-config"));
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains(part), "{}", text(&output.stderr));
}

#[test]
fn an_edited_configuration_is_reported_and_kept_for_the_next_reload() {
    let (home, token) = crashed();
    let home = home.path();
    write(home, "kpis: { attendance: 0.6 }\nworld: { population: 9 }\n");
    refused_strictly(home, "kpis.attendance, world.population differ");
    let server = resume(home);
    says_so(
        home,
        &server,
        &[
            "runs on with its own: kpis.attendance 0.5 -> 0.6 (`reload_config` applies it)",
            "world.population 8 -> 9 (only a new run can have it)",
        ],
    );
    let reload = |id: &str| post(server.address(), &token, "reload_config", id).expect("an answer");
    assert_eq!(reload("r-1").error.expect("population is fixed").code, "E_CONFLICT");
    assert!(alert(home, &server).is_some());
    write(home, "kpis: { attendance: 0.6 }\n");
    let answer = reload("r-2");
    assert_eq!(answer.status, Status::Ok, "{answer:?}");
    assert_eq!(answer.result.expect("a result")["changes"][0]["key"], json!("kpis.attendance"));
    assert_eq!(alert(home, &server), None);
    server.kill();
    let server = resume(home);
    assert_eq!((alert(home, &server), server.said().contains("with its own")), (None, false), "{}", server.said());
}

#[test]
fn a_configuration_that_cannot_be_read_does_not_keep_a_shard_down() {
    for (content, part) in [(Some("kpis: [\n"), FILE), (Some("kpiz: 3\n"), "kpiz"), (None, FILE)] {
        let (home, token) = crashed();
        let home = home.path();
        match content {
            Some(content) => write(home, content),
            None => std::fs::remove_file(home.join(FILE)).expect("it is there"),
        }
        refused_strictly(home, part);
        let server = resume(home);
        says_so(
            home,
            &server,
            &["the configuration cannot be used: ", part, "runs on with the configuration that it has"],
        );
        let reload = |id: &str| post(server.address(), &token, "reload_config", id).expect("an answer");
        assert_eq!(reload("r-1").error.expect("it is still wrong").code, "E_INVALID_ARG");
        write(home, "kpis: { attendance: 0.6 }\n");
        assert_eq!(reload("r-2").status, Status::Ok);
        assert_eq!(alert(home, &server), None);
    }
}

#[test]
fn without_a_run_a_configuration_that_cannot_be_read_is_refused() {
    let home = tempfile::tempdir().expect("a folder");
    write(home.path(), "kpis: [\n");
    let output = townlet(home.path(), &format!("serve --config {FILE} --listen 127.0.0.1:0 --resume"));
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("no run was resumed: there is none in this home") && said.contains(FILE), "{said}");
    assert!(!home.path().join("logs").exists(), "nothing was written");
}

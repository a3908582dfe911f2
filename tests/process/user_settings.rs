//! What belongs to the user of the interface: the webhook, settings kept in the configuration, the first-run hint, the clock.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::channel;

use serde_json::Value;

use super::kit::{journal_files, townlet};
use super::pty_session::{PtySession, TIMEOUT};

const LARGE: (u16, u16) = (120, 40);
const RIGHT: &str = "\u{1b}[C";
const RUN: [&str; 2] = ["run", "--paused"];

/// The next request at a listener: its head in lower case, its body, and the connection to answer on.
#[track_caller]
fn request(listener: &TcpListener) -> (String, Value, TcpStream) {
    let (send, accepted) = channel();
    let listener = listener.try_clone().expect("a listener");
    std::thread::spawn(move || send.send(listener.accept()));
    let (stream, _) = accepted.recv_timeout(TIMEOUT).expect("a request").expect("a connection");
    stream.set_read_timeout(Some(TIMEOUT)).expect("a time");
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).expect("a line") > 0, "{head}");
    }
    let head = head.to_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()).expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    reader.read_exact(&mut body).expect("a body");
    (head, serde_json::from_slice(&body).expect("JSON"), reader.into_inner())
}

fn answer(mut stream: &TcpStream, status: &str) {
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").expect("it is sent");
}

fn configure(home: &Path, text: &str) {
    std::fs::create_dir_all(home.join("townlet")).expect("a folder");
    std::fs::write(home.join("townlet/config.yaml"), text).expect("a file");
}

fn configuration(home: &Path) -> String {
    std::fs::read_to_string(home.join("townlet/config.yaml")).expect("the configuration")
}

/// Everything in the files below a folder, as text.
fn all_text(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.fold(String::new(), |text, path| {
        let more = if path.is_dir() {
            all_text(&path)
        } else {
            String::from_utf8_lossy(&std::fs::read(&path).expect("a file")).into_owned()
        };
        text + &more
    })
}

#[test]
fn a_webhook_gets_every_change_of_an_alert_and_failures_are_one_line() {
    let home = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    configure(
        home.path(),
        &format!("notify:\n  webhook: {{ url: 'http://{address}/in', min_severity: warning, token_env: HOOK }}\n"),
    );
    let mut pty = PtySession::start(home.path(), LARGE, &RUN, &[("HOOK", "s3cret")]);
    pty.shows("PAUSED");
    pty.command("escalate --reason drill");
    pty.shows("ADMIN");
    pty.command("blackout on");
    let (head, raised, stream) = request(&listener);
    assert!(head.starts_with("post /in ") && head.contains("authorization: bearer s3cret"), "{head}");
    answer(&stream, "503 Service Unavailable");
    pty.shows(&format!("webhook {address}: it answered 503 Service Unavailable; trying again"));
    let (_, again, stream) = request(&listener);
    assert_eq!(raised, again);
    answer(&stream, "204 No Content");
    pty.hides("it answered 503");
    let facts = |body: &Value| ["title", "severity", "shard", "alert", "state"].map(|key| body[key].clone());
    assert_eq!(facts(&raised), ["harbour: blackout raised", "warning", "harbour", "blackout", "raised"]);
    assert!(raised["run"].as_str().is_some_and(|run| run.starts_with("harbour-")), "{raised}");
    assert_eq!((&raised["tick"], &raised["acknowledged_by"]), (&Value::from(0), &Value::Null));
    assert!(raised["time"].as_str().is_some_and(|time| time.len() == 20 && time.ends_with('Z')), "{raised}");
    pty.command("alert_ack blackout");
    let (_, acknowledged, stream) = request(&listener);
    answer(&stream, "200 OK");
    assert_eq!((&acknowledged["state"], &acknowledged["acknowledged_by"]), (&"acknowledged".into(), &"tui:ada".into()));
    pty.command("blackout off");
    let (_, cleared, stream) = request(&listener);
    answer(&stream, "200 OK");
    assert_eq!(facts(&cleared)[4], "cleared");
    pty.press("q");
    pty.terminal_restored();
    assert_eq!(pty.ended(), 0, "{}", pty.text());
    assert!(!all_text(&home.path().join("logs")).contains("s3cret"));
    assert!(!String::from_utf8_lossy(&pty.written).contains("s3cret"));
}

#[test]
fn a_recording_posts_nothing() {
    let home = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    configure(home.path(), &format!("notify: {{ webhook: {{ url: 'http://{address}', min_severity: warning }} }}\n"));
    std::fs::write(home.path().join("s.jsonl"), r#"{"tick":20,"command":"blackout on"}"#).unwrap();
    let recorded = townlet(home.path(), "run --headless --script s.jsonl --tick-limit 60");
    assert_eq!(recorded.status.code(), Some(0));
    let journal = journal_files(home.path()).remove(0).display().to_string();
    let mut pty = PtySession::start(home.path(), LARGE, &["replay", &journal, "--watch", "--at", "10"], &[]);
    pty.shows("tick 10");
    pty.command("goto 40");
    pty.shows("tick 40");
    pty.press("q");
    pty.terminal_restored();
    pty.ended();
    listener.set_nonblocking(true).unwrap();
    let connection = listener.accept().map_err(|error| error.kind());
    assert_eq!(connection.map(|_| "a connection"), Err(ErrorKind::WouldBlock));
}

#[test]
fn settings_are_kept_in_the_configuration_and_hold_at_the_next_start() {
    let home = tempfile::tempdir().unwrap();
    configure(home.path(), "# mine\nkeys: { save: f2 } # a note\n");
    let mut pty = PtySession::start(home.path(), LARGE, &RUN, &[]);
    pty.shows("PAUSED");
    let mouse = |screen: &vt100::Screen| screen.mouse_protocol_mode() != vt100::MouseProtocolMode::None;
    pty.until("the mouse", mouse);
    pty.press(",");
    pty.shows("enter keep");
    pty.press(&format!("{RIGHT}\t{RIGHT}"));
    pty.shows("‹ off › changed");
    pty.press("\r");
    pty.shows("settings kept in");
    assert!(!mouse(pty.screen()));
    assert_eq!(configuration(home.path()), "# mine\nkeys: { save: f2 } # a note\ntheme: light\nmouse: false\n");
    pty.press("q");
    pty.terminal_restored();
    pty.ended();
    let mut pty = PtySession::start(home.path(), LARGE, &RUN, &[]);
    pty.shows("PAUSED");
    pty.press(",");
    pty.shows("‹ light ›");
    pty.shows("‹ off ›");
    assert!(!mouse(pty.screen()));
    // What cannot be written holds for the session, and the file stays.
    let kept = configuration(home.path()).replace("mouse: false", "mouse: maybe");
    configure(home.path(), &kept);
    pty.press(&format!("{RIGHT}\r"));
    pty.shows("settings hold for this session only");
    assert_eq!(configuration(home.path()), kept);
    pty.press(",");
    pty.shows("‹ high-contrast ›");
    // The lower border is drawn last; a key after `esc` in one read would be another key.
    pty.shows("enter keep");
    pty.press("\u{1b}");
    pty.hides("enter keep");
    pty.press("q");
    pty.terminal_restored();
    pty.ended();
}

#[test]
fn the_hint_is_shown_once_to_a_user() {
    let (home, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let place = state.path().display().to_string();
    let environment = [("XDG_STATE_HOME", place.as_str())];
    let mut pty = PtySession::start(home.path(), LARGE, &RUN, &environment);
    pty.shows("Any key hides this hint.");
    pty.press("6");
    pty.shows("Audit log");
    pty.hides("Any key hides");
    pty.press("q");
    pty.terminal_restored();
    pty.ended();
    let mut pty = PtySession::start(home.path(), LARGE, &RUN, &environment);
    // The footer is drawn behind the hint.
    pty.shows("ctrl-f search");
    assert!(!pty.text().contains("Any key hides"), "{}", pty.text());
    pty.press("q");
    pty.ended();
}

#[test]
fn times_are_local_on_screen_and_utc_in_the_log() {
    let home = tempfile::tempdir().unwrap();
    let start = |zone: &str| {
        let mut pty = PtySession::start(home.path(), LARGE, &RUN, &[("TZ", zone)]);
        pty.shows("PAUSED");
        pty.command("kpi");
        pty.press("6");
        pty.shows("following newest");
        pty
    };
    let end = |mut pty: PtySession| {
        pty.press("q");
        pty.ended();
    };
    let mut pty = start("XYZ-5:30");
    pty.shows(" UTC+5:30 ");
    end(pty);
    assert!(super::pty_session::log_of(home.path()).iter().all(|record| record.ts.ends_with('Z')));
    configure(home.path(), "clock: utc\n");
    let mut pty = start("XYZ-5:30");
    pty.shows(" UTC ");
    end(pty);
}

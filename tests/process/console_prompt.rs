//! The console while a command has no answer: ctrl-c, signals and a closed window name the command, and nothing is lost.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use townlet_audit::Stage;

use super::pty_session::{BINARY, PtySession, log_of};
use super::server::Server;

/// Columns and rows that no message wraps in.
const WIDE: (u16, u16) = (240, 40);

/// A token of the admin role.
fn token(home: &Path) -> String {
    let mut command = Command::new(BINARY);
    command.args(["token", "new", "--role", "admin"]).current_dir(home).env_clear().env("HOME", home);
    let output = command.output().expect("the program runs");
    String::from_utf8_lossy(&output.stdout).lines().next().expect("a token").to_owned()
}

/// A served shard, and the prompt of an admin on it.
fn prompt(home: &Path, user: &Path) -> (Server, PtySession, String) {
    let token = token(home);
    let served = Server::start(home, &["--listen", "127.0.0.1:0", "--paused"]);
    let arguments = ["console", "--connect", served.url()];
    let mut pty = PtySession::start(user, WIDE, &arguments, &[("TOWNLET_TOKEN", &token)]);
    pty.shows(": admin (");
    (served, pty, token)
}

/// The `cmd_id` that a message names.
fn named_id(said: &str) -> String {
    let rest = said.split("--cmd-id ").nth(1).unwrap_or_else(|| panic!("no id in:\n{said}"));
    rest.split_whitespace().next().expect("an id").to_owned()
}

fn history(user: &Path) -> String {
    std::fs::read_to_string(user.join("townlet/console_history")).unwrap_or_default()
}

#[test]
fn leaving_a_command_without_an_answer_names_it() {
    for way in ["\u{3}", "\u{4}", "TERM", "HUP"] {
        let (home, user) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (served, mut pty, token) = prompt(home.path(), user.path());
        // Its connections are accepted, and nothing is answered.
        served.signal("kill -STOP $1");
        pty.press("setmoney ada 3\r");
        pty.shows("no answer for");
        if way.len() == 1 {
            pty.press(way);
        } else {
            pty.signal(way);
        }
        assert_eq!(pty.ended(), 3, "{way:?}: {}", pty.text());
        let said = pty.text();
        for words in [
            "The outcome is unknown: `setmoney ada 3` may have been executed, or may be within ",
            "audit log",
            "at most once",
        ] {
            assert!(said.contains(words), "{way:?}: {words} is not in\n{said}");
        }
        assert!(said.lines().any(|line| line.starts_with("townlet: interrupted")), "a line of its own: {said}");
        let id = named_id(&said);
        assert!(
            history(user.path()).ends_with(&format!("setmoney ada 3 # given up {id}\n")),
            "{}",
            history(user.path())
        );
        // It is executed once, whether or not it is sent again.
        served.signal("kill -CONT $1");
        let mut again = Command::new(BINARY);
        again.args(["console", "--connect", served.url(), "--cmd-id", &id, "setmoney ada 3"]);
        let again = again.env_clear().env("HOME", user.path()).env("TOWNLET_TOKEN", &token).output().expect("it runs");
        assert_eq!(again.status.code(), Some(0), "{}", String::from_utf8_lossy(&again.stderr));
        served.terminate();
        let log = log_of(home.path());
        let intents = log.iter().filter(|it| it.command == "setmoney" && it.stage == Stage::Intent);
        assert_eq!(intents.map(|it| it.cmd_id.as_str()).collect::<Vec<_>>(), [id], "{way:?}");
    }
}

#[test]
fn a_closed_window_leaves_the_id_in_the_history() {
    let (home, user) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (served, mut pty, _) = prompt(home.path(), user.path());
    served.signal("kill -STOP $1");
    pty.press("setmoney ada 3\r");
    pty.shows("no answer for");
    assert_eq!(pty.closed(), 3);
    let history = history(user.path());
    assert!(history.contains("setmoney ada 3 # given up 01"), "{history}");
}

#[test]
fn a_closed_window_ends_the_idle_prompt() {
    let (home, user) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (served, mut pty, _) = prompt(home.path(), user.path());
    assert_eq!(pty.closed(), 0);
    served.terminate();
}

#[test]
fn a_read_that_is_interrupted_changes_nothing_and_says_so() {
    let (home, user) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (served, mut pty, _) = prompt(home.path(), user.path());
    served.signal("kill -STOP $1");
    pty.press("kpi\r");
    pty.shows("no answer for");
    pty.press("\u{3}");
    assert_eq!(pty.ended(), 130, "{}", pty.text());
    assert!(pty.text().contains("It changes nothing."), "{}", pty.text());
    assert!(!history(user.path()).contains("given up"));
}

#[test]
fn a_signal_at_the_idle_prompt_restores_the_terminal() {
    for signal in ["TERM", "HUP", "INT"] {
        let (home, user) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (served, mut pty, _) = prompt(home.path(), user.path());
        pty.press("setmoney a");
        pty.shows("setmoney a");
        pty.signal(signal);
        assert_eq!(pty.ended(), 0, "{signal}: {}", pty.text());
        pty.terminal_restored();
        served.terminate();
    }
}

#[test]
fn the_prompt_of_a_dead_shard_says_so_before_it_asks() {
    let (home, user) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (served, mut pty, _) = prompt(home.path(), user.path());
    // Previewed while the shard lives, asked when it is dead.
    pty.press("kill ben");
    pty.shows("preview: Ben leaves");
    served.kill();
    pty.press("\r");
    pty.shows("The shard does not answer now");
    pty.shows("execute? ›");
    pty.press("no\r");
    pty.shows("Cancelled. Nothing was sent.");
    // A message begins on a line of its own.
    pty.press("setmoney ada 3\r");
    pty.shows("sending it again for 30 s as ");
    let text = pty.text();
    let line = text.lines().find(|line| line.contains("sending it again for 30 s")).expect("the message");
    assert!(line.starts_with("http://127.0.0.1:"), "{text}");
    assert!(text.lines().any(|line| line.trim_end() == "› setmoney ada 3"), "{text}");
    pty.press("\u{3}");
    assert_eq!(pty.ended(), 3, "{}", pty.text());
    assert!(pty.text().contains("It has not reached the shard, so it was not executed."), "{}", pty.text());
    assert!(!history(user.path()).contains("given up"));
}

#[test]
fn a_preview_without_an_answer_in_time_says_so() {
    let (home, user) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (served, mut pty, _) = prompt(home.path(), user.path());
    served.signal("kill -STOP $1");
    pty.press("setmoney ada 3");
    pty.shows("! no preview: no answer within 500 ms");
    served.signal("kill -CONT $1");
    pty.press("\u{3}");
    assert_eq!(pty.ended(), 0, "{}", pty.text());
    served.terminate();
}

#[test]
fn a_command_that_is_interrupted_before_the_shard_answers_says_that_nothing_was_sent() {
    let user = tempfile::tempdir().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("its address"));
    let mut console = Command::new(BINARY);
    console.args(["console", "--connect", &url, "setmoney ada 3"]).env_clear().env("HOME", user.path());
    let console = console.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it runs");
    let (mut request, _) = silent.accept().expect("a connection");
    request.read_exact(&mut [0; 4]).expect("a request");
    let kill = format!("kill -INT {}", console.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell runs").success());
    let ended = console.wait_with_output().expect("it ends");
    let said = "townlet: interrupted before the shard answered. Nothing was sent.\n";
    assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(130), said));
}

#[test]
fn an_interrupted_script_sends_no_further_line() {
    let (home, user) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let token = token(home.path());
    let served = Server::start(home.path(), &["--listen", "127.0.0.1:0", "--paused"]);
    let mut console = Command::new(BINARY);
    console
        .args(["console", "--connect", served.url()])
        .env_clear()
        .env("HOME", user.path())
        .env("TOWNLET_TOKEN", token);
    let mut console =
        console.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut script = console.stdin.take().expect("its input");
    script.write_all(b"kpi\n").expect("it reads");
    let mut out = BufReader::new(console.stdout.take().expect("its output")).lines();
    assert!(out.next().expect("an answer").expect("a line").starts_with('✓'));
    served.kill();
    script.write_all(b"setmoney ada 3\nsetmoney ben 3\n").expect("it reads");
    let mut said = BufReader::new(console.stderr.take().expect("its messages")).lines().map_while(Result::ok);
    assert!(said.any(|line| line.contains("sending it again for 30 s")));
    let kill = format!("kill -INT {}", console.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell runs").success());
    let said: Vec<String> = said.collect();
    assert!(said[0].starts_with("townlet: interrupted before the answer."), "{said:?}");
    assert_eq!(said.last().map(String::as_str), Some("Interrupted: no further line was sent."));
    assert_eq!(console.wait().expect("its status").code(), Some(3));
}

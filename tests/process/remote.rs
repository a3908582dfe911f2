//! Two programs: one serves a town, the other is the whole interface on it, in a real terminal.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;
use townlet_audit::{Record, Stage, verify};
use townlet_source::remote::{Client, Target};
use townlet_source::{Link, Remote, Source as _, SourceEvent};
use townlet_wire::stream::digest;
use townlet_wire::{Answer, Request, Snapshot, Status};

use super::kit::wait_until;
use super::pty_session::{BINARY, PtySession, TIMEOUT, log_of, repository};
use super::server::Server;

const LARGE: (u16, u16) = (120, 40);
const RIGHT: &str = "\u{1b}[C";

fn townlet(home: &Path, args: &[&str], token: &str) -> (Option<i32>, String) {
    let mut command = Command::new(BINARY);
    command.args(args).current_dir(home).env_clear().stdin(Stdio::null());
    command.env("HOME", home).env("XDG_CONFIG_HOME", home);
    if !token.is_empty() {
        command.env("TOWNLET_TOKEN", token);
    }
    let output = command.output().expect("the program runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

fn token(home: &Path) -> String {
    let (status, text) = townlet(home, &["token", "new", "--role", "admin"], "");
    assert_eq!(status, Some(0), "{text}");
    text.lines().next().expect("a token").to_owned()
}

#[test]
fn an_exit_is_approved_by_a_remote_client() {
    let (home, client_home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let token = token(home.path());
    let config = repository("configs/scenarios/employment_backlog.yaml").display().to_string();
    let served =
        Server::start(home.path(), &["--config", &config, "--listen", "127.0.0.1:0", "--speed", "max", "--paused"]);
    let arguments = ["observe", "--connect", served.url()];
    let mut pty = PtySession::start(client_home.path(), LARGE, &arguments, &[("TOWNLET_TOKEN", &token)]);
    pty.shows("live");
    pty.shows("ADMIN");
    pty.command("step 3500");
    pty.shows("tick 3,500");
    pty.wait_until_still();
    pty.press("a");
    pty.shows("▸ cancel ◂");
    pty.press(RIGHT);
    pty.shows("▸ approve ◂");
    pty.press("\r");
    pty.shows("logged");
    pty.press(".");
    pty.shows("tick 3,501");
    pty.press("6");
    pty.shows("written and chained");
    pty.press("q");
    pty.terminal_restored();
    assert_eq!(pty.ended(), 0, "{}", pty.text());
    assert!(pty.text().contains("detached from"), "{}", pty.text());
    assert_eq!(
        std::fs::read_dir(client_home.path())
            .unwrap()
            .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.file_name() == "logs"))
            .count(),
        0
    );
    served.terminate();
    let log = log_of(home.path());
    let approved: Vec<&Record> = log.iter().filter(|record| record.command == "employment_exit approve").collect();
    assert_eq!(approved.iter().map(|record| record.stage).collect::<Vec<_>>(), [Stage::Intent, Stage::Outcome]);
    let id = token.split('_').nth(1).expect("an id");
    assert!(approved.iter().all(|record| record.issuer == format!("token:{id}") && record.transport == "http"));
    assert!(verify(&home.path().join("logs/console")).expect("it is read").passed());
}

#[test]
fn a_killed_server_is_reported_and_reconnected_and_no_command_runs_twice() {
    let (home, client_home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let token = token(home.path());
    let served = Server::start(home.path(), &["--listen", "127.0.0.1:0", "--speed", "10x"]);
    let (url, address) = (served.url().to_owned(), served.address().to_owned());
    let mut pty =
        PtySession::start(client_home.path(), LARGE, &["observe", "--connect", &url], &[("TOWNLET_TOKEN", &token)]);
    pty.shows("ADMIN");
    pty.shows("live");
    let once = ["console", "--connect", &url, "--cmd-id", "once", "setmoney ada 77"];
    let (status, said) = townlet(client_home.path(), &once, &token);
    assert!(status == Some(0) && !said.contains("(replayed)"), "{said}");
    served.kill();
    pty.shows("no answer for");
    pty.shows("trying again");
    // Typed while nobody listens; it keeps its id until somebody does again.
    pty.command("set_exit_cap 1");
    let served = Server::start(home.path(), &["--listen", &address, "--speed", "10x", "--resume"]);
    pty.shows("· live");
    pty.shows("logged");
    let (status, said) = townlet(client_home.path(), &once, &token);
    assert!(status == Some(0) && said.contains("(replayed)"), "{said}");
    pty.command("pause");
    pty.shows("PAUSED");
    pty.press("q");
    assert_eq!(pty.ended(), 0, "{}", pty.text());
    served.terminate();
    let log = log_of(home.path());
    for command in ["setmoney", "set_exit_cap"] {
        let intents = log.iter().filter(|record| record.command == command && record.stage == Stage::Intent).count();
        assert_eq!(intents, 1, "{command}");
    }
    assert!(verify(&home.path().join("logs/console")).expect("it is read").passed());
}

#[test]
fn quitting_a_town_that_is_served_as_well_tells_its_observers() {
    let (home, client_home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
    let (address, url) = (port.to_string(), format!("http://{port}"));
    let mut local = PtySession::start(home.path(), LARGE, &["run", "--listen", &address, "--paused"], &[]);
    local.shows("PAUSED");
    let mut remote = PtySession::start(client_home.path(), LARGE, &["observe", "--connect", &url], &[]);
    remote.shows("· live");
    local.press("q");
    assert_eq!(local.ended(), 0, "{}", local.text());
    remote.shows("‼ the shard has stopped; trying again");
    remote.press("q");
    assert_eq!(remote.ended(), 0, "{}", remote.text());
}

/// The digest of what a state says of the town, without what goes on by the clock.
fn proof(state: &Snapshot) -> String {
    let mut state = state.clone();
    (state.health, state.clock, state.transport) = Default::default();
    digest(&state)
}

/// A remote client with the events it received.
pub(crate) struct Observer {
    pub(crate) source: Remote,
    notices: Receiver<SourceEvent>,
    pub(crate) live: bool,
    pub(crate) lost: String,
    pub(crate) state: Option<Arc<Snapshot>>,
    answers: BTreeMap<String, Answer>,
}

impl Observer {
    pub(crate) fn connect(url: &str, token: &str) -> Self {
        let target = Target {
            url: url.into(),
            token: Some(token.into()).filter(|it: &String| !it.is_empty()),
            ..Target::default()
        };
        let mut source = Remote::new(Client::new(&target).expect("an address"));
        let (send, notices) = channel();
        source.start(Box::new(move |notice| drop(send.send(notice))));
        Self { source, notices, live: false, lost: String::new(), state: None, answers: BTreeMap::new() }
    }

    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, wanted: impl Fn(&Self) -> bool) {
        while !wanted(self) {
            match self.notices.recv_timeout(TIMEOUT).unwrap_or_else(|_| panic!("it never came: {what}")) {
                SourceEvent::View(view) => self.state = Some(view),
                SourceEvent::Answer(answer) => drop(self.answers.insert(answer.cmd_id.clone(), answer)),
                SourceEvent::Link(Link::Reconnecting { why, .. }) => (self.live, self.lost) = (false, why),
                SourceEvent::Link(link) => self.live = matches!(link, Link::Live { .. }),
                _ => {}
            }
        }
    }
}

#[test]
fn after_a_crash_an_observer_has_the_state_of_the_shard_and_a_retried_command_runs_once() {
    let home = tempfile::tempdir().unwrap();
    let token = token(home.path());
    let served = Server::start(home.path(), &["--listen", "127.0.0.1:0", "--speed", "100x"]);
    let (url, address) = (served.url().to_owned(), served.address().to_owned());
    let mut observer = Observer::connect(&url, &token);
    observer.until("a live connection", |it| it.live);
    let send = |money| format!("setmoney ada {money}");
    let ids: Vec<String> = (0..20).map(|money| observer.source.send(Request::line(send(money)))).collect();
    observer.until("the first answer", |it| it.answers.contains_key(&ids[0]));
    served.kill();
    observer.until("that it is lost, in words", |it| !it.live && !it.lost.is_empty());
    let served = Server::start(home.path(), &["--listen", &address, "--speed", "100x", "--resume"]);
    observer.until("every answer", |it| it.live && ids.iter().all(|id| it.answers.contains_key(id)));
    let paused = observer.source.send(Request::line("pause"));
    observer.until("that it stands still", |it| it.answers.contains_key(&paused));
    let (status, text) = townlet(home.path(), &["telemetry", "snapshot", "--connect", &url], &token);
    assert_eq!(status, Some(0), "{text}");
    let here: Snapshot = serde_json::from_str(&text).expect("a state");
    let rows = here.without_details();
    observer.until("the rows of the shard", |it| it.state.as_ref().is_some_and(|state| proof(state) == proof(&rows)));
    observer.source.close();
    served.terminate();
    let log = log_of(home.path());
    for id in &ids {
        let ends = |stage| matches!(stage, Stage::Outcome | Stage::Recovered);
        let done = |it: &&Record| it.cmd_id == *id && ends(it.stage) && it.status == Some(Status::Ok);
        assert_eq!(log.iter().filter(done).count(), 1, "{id}");
    }
    let (status, text) = townlet(home.path(), &["replay", &here.run_id, "--json"], "");
    let replayed: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((status, &replayed["commands"], &replayed["disagreement"]), (Some(0), &20.into(), &Value::Null));
}

#[test]
fn the_fleet_screen_lists_every_shard_and_opens_one() {
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let client_home = tempfile::tempdir().unwrap();
    let served = homes.each_ref().map(|home| Server::start(home.path(), &["--listen", "127.0.0.1:0"]));
    let shards = format!(
        "shards:\n  - {{ name: production, url: \"{}\", colour: red }}\n  - {{ name: trial, url: \"{}\", colour: green }}\n",
        served[0].url(),
        served[1].url()
    );
    std::fs::create_dir_all(client_home.path().join("townlet")).unwrap();
    std::fs::write(client_home.path().join("townlet/config.yaml"), shards).unwrap();
    let mut pty = PtySession::start(client_home.path(), (80, 24), &["observe"], &[]);
    pty.shows("2 of 2 shards live");
    pty.shows("production");
    pty.press("j\r");
    pty.shows("Employment");
    pty.shows(" trial ");
    pty.press("0");
    pty.shows("2 of 2 shards live");
    pty.press("q");
    assert_eq!(pty.ended(), 0, "{}", pty.text());
    let (status, said) = townlet(client_home.path(), &["console", "--connect", "trail", "kpi"], "");
    assert!(status == Some(2) && said.contains("Did you mean `trial`?"), "{said}");
}

#[test]
fn a_script_is_refused_by_another_run_and_goes_on_with_a_resumed_one() {
    let home = tempfile::tempdir().unwrap();
    let token = token(home.path());
    let served = Server::start(home.path(), &["--listen", "127.0.0.1:0", "--paused"]);
    let address = served.address().to_owned();
    let mut console = Command::new(BINARY)
        .args(["console", "--connect", served.url()])
        .current_dir(home.path())
        .env_clear()
        .env("HOME", home.path())
        .env("TOWNLET_TOKEN", &token)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut script = console.stdin.take().expect("its input");
    let out = console.stdout.take().expect("its output");
    let (send, lines) = channel();
    std::thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
    let answer = || {
        let answers = std::iter::from_fn(|| Some(lines.recv_timeout(TIMEOUT).expect("a line")));
        let mut answers = answers.skip_while(|line| !line.starts_with(['✓', '✗']));
        answers.next().expect("an answer")
    };
    writeln!(script, "kpi").expect("it reads");
    assert!(answer().starts_with('✓'));
    served.terminate();
    let served = Server::start(home.path(), &["--listen", &address, "--paused", "--resume"]);
    writeln!(script, "setmoney ada 4").expect("it reads");
    let resumed = answer();
    assert!(resumed.starts_with('✓'), "{resumed}");
    served.terminate();
    let served = Server::start(home.path(), &["--listen", &address, "--paused"]);
    writeln!(script, "setmoney ada 5").expect("it reads");
    drop(script);
    let refused = answer();
    assert!(refused.starts_with('✗') && refused.contains("E_OTHER_RUN"), "{refused}");
    assert_eq!(console.wait().expect("its status").code(), Some(1));
    served.terminate();
    let log = log_of(home.path());
    let stages: Vec<Stage> =
        log.iter().filter(|record| record.command == "setmoney").map(|record| record.stage).collect();
    assert_eq!(stages, [Stage::Intent, Stage::Outcome, Stage::Rejected]);
}

#[test]
fn the_console_prompt_runs_commands_and_prints_answers() {
    let home = tempfile::tempdir().unwrap();
    let served = Server::start(home.path(), &["--listen", "127.0.0.1:0"]);
    for order in [["--json", "kpi"], ["kpi", "--json"]] {
        let line = [&["console", "--connect", served.url()], &order[..]].concat();
        let (status, said) = townlet(home.path(), &line, "");
        assert!(status == Some(0) && said.starts_with('{'), "{said}");
    }
    let (status, said) = townlet(home.path(), &["console", "--connect", served.url(), "setmoney", "ada", "3"], "");
    assert!(status == Some(1) && said.contains("E_FORBIDDEN") && said.contains("TOWNLET_TOKEN"), "{said}");
    let mut pty = PtySession::start(home.path(), (80, 24), &["console", "--connect", served.url()], &[]);
    pty.shows(": viewer (");
    pty.press("employment_st\t\r");
    pty.shows("pending (limit");
    pty.press("setmoney ada 3\r");
    pty.shows("E_FORBIDDEN");
    pty.press("quit\r");
    assert_eq!(pty.ended(), 0, "{}", pty.text());
    let url = served.url().to_owned();
    served.terminate();
    let (status, said) = townlet(home.path(), &["console", "--connect", &url, "kpi"], "");
    assert!(status == Some(3) && said.contains(&url), "{status:?} {said}");
}

#[test]
fn the_prompt_previews_commands_and_masks_the_token() {
    let (home, client_home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let token = token(home.path());
    let served = Server::start(home.path(), &["--listen", "127.0.0.1:0"]);
    let mut pty = PtySession::start(client_home.path(), LARGE, &["console", "--connect", served.url()], &[]);
    pty.shows(": viewer (");
    pty.press("setmoney ada 3");
    pty.shows("E_FORBIDDEN");
    pty.press("\u{15}escalate\r");
    pty.shows("token ›");
    pty.press("twn_wrong_one\r");
    pty.shows("✗ E_UNAUTHORIZED");
    pty.press("escalate\r");
    pty.shows("token ›");
    pty.press(&token);
    pty.shows("••••");
    pty.press("\r");
    pty.shows("Role: admin");
    pty.press("setmoney ada 3");
    pty.shows("preview: ");
    pty.press(" ");
    pty.press("\r");
    pty.shows("· logged ");
    pty.press(&format!("say {token}\r"));
    pty.shows("(line with a token)");
    pty.press("--dry-run kill ben\r");
    pty.shows("options belong to the start of `townlet console`");
    // A destructive command asks, and only yes sends it. The rest of a typed answer is part of it.
    pty.press("kill ben\r");
    pty.shows("This cannot be undone: Ben leaves");
    pty.press("no\r");
    pty.shows("Cancelled. Nothing was sent.");
    pty.press("kill cleo\r");
    pty.shows("This cannot be undone: Cleo leaves");
    pty.press("yes\r");
    pty.shows("✓ Cleo leaves");
    pty.press("viewer\r");
    pty.press("setmoney ada 4\r");
    pty.shows("needs the admin role");
    // One that is refused is sent without a question.
    pty.press("kill ada\r");
    pty.shows("`kill` needs the admin role");
    pty.press("quit\r");
    assert_eq!(pty.ended(), 0, "{}", pty.text());
    served.terminate();
    let log = log_of(home.path());
    let money = |stage| log.iter().filter(|it| it.command == "setmoney" && it.stage == stage).count();
    // Previews changed nothing, as admin or as viewer.
    assert_eq!((money(Stage::Intent), money(Stage::Outcome), money(Stage::Rejected)), (1, 1, 1));
    let secret = token.rsplit('_').next().expect("a secret");
    let history = std::fs::read_to_string(client_home.path().join("townlet/console_history")).unwrap_or_default();
    assert!(history.contains("setmoney ada 3") && !history.contains("twn_"), "{history}");
    assert!(log.iter().all(|record| !format!("{record:?}").contains(secret)));
    assert!(log.iter().all(|record| record.command != "kill" || !format!("{record:?}").contains("ben")));
}

#[test]
fn serve_refuses_options_that_would_expose_a_token_or_a_town() {
    let home = tempfile::tempdir().unwrap();
    let open = home.path().join("open");
    std::fs::write(&open, "twn_a_b\n").unwrap();
    for (args, words) in [
        (&["serve", "--listen", "0.0.0.0:0"][..], "--tls-cert"),
        (&["serve", "--listen", "127.0.0.1:99999"], "--listen"),
        (&["serve", "--tls-cert", "x"], "--tls-key"),
        (&["observe", "--connect", "http://ada:twn_a_b@127.0.0.1"], "must not contain a token"),
        (&["observe", "--connect", "nowhere"], "unknown shard `nowhere`"),
        (&["observe"], "--connect"),
        (&["console", "--connect", "http://towns.example", "kpi"], "without TLS"),
        (&["console", "--connect", "http://127.0.0.1:1", "--token-file", "open", "kpi"], "readable by other users"),
        (&["console", "--connect", "http://127.0.0.1:1", "--token-file", "../../etc/passwd", "kpi"], "--token-file"),
        (&["telemetry", "tail", "--connect", "ftp://127.0.0.1"], "http or https"),
    ] {
        let (status, said) = townlet(home.path(), args, if args[0] == "console" { "twn_a_b" } else { "" });
        assert!(status == Some(2) && said.contains(words), "{args:?}: {status:?} {said}");
        assert!(!said.contains("twn_a_b") && !said.contains("root:"), "{said}");
    }
    let (status, said) = townlet(home.path(), &["serve", "--config", "x.yaml"], "");
    assert_eq!(status, Some(2), "{said}");
}

#[test]
fn a_served_shard_reloads_its_file_and_a_restart_keeps_the_reloaded_settings() {
    let home = tempfile::tempdir().unwrap();
    let (home, token) = (home.path(), token(home.path()));
    let file = |clip: &str, more: &str| {
        let text = format!("policy: {{ release: scripted }}\nrewards: {{ clip: {{ clip_per_tick: {clip} }} }}\n{more}");
        std::fs::write(home.join("town.yaml"), text).unwrap();
    };
    file("0.2", "");
    let serve = ["--config", "town.yaml", "--seed", "9", "--listen", "127.0.0.1:0", "--paused"];
    // What lies over the file at the start lies over it when it is read again.
    let server = Server::start_in(home, &serve, &[("TOWNLET__KPIS__ATTENDANCE", "0.6")]);
    let console = |line: &[&str]| townlet(home, &[&["console", "--connect", server.url()], line].concat(), &token);
    file("0.1", "seed: 3\nkpis: { attendance: 0.7 }\n");
    let (status, said) = console(&["--dry-run", "reload_config"]);
    assert_eq!(
        (status, said.contains("1 setting from tick 0 on: rewards.clip.clip_per_tick 0.2 -> 0.1.")),
        (Some(0), true),
        "{said}"
    );
    let (status, said) = console(&["--cmd-id", "once", "reload_config"]);
    assert_eq!((status, said.contains("clip_per_tick 0.2 -> 0.1.")), (Some(0), true), "{said}");
    std::fs::remove_file(home.join("town.yaml")).unwrap();
    let (status, said) = console(&["--cmd-id", "once", "reload_config"]);
    assert_eq!((status, said.contains("(replayed)")), (Some(0), true), "{said}");
    let (status, said) = console(&["reload_config"]);
    assert_eq!((status, said.contains("town.yaml: no such file or folder")), (Some(1), true), "{said}");
    server.kill();
    let resume =
        |args: &[&str]| townlet(home, &[&["run", "--headless", "--tick-limit", "50", "--resume"], args].concat(), "");
    let over = ["--config", "town.yaml", "--seed", "9", "--set", "kpis.attendance=0.6"];
    // The journal loses the reload, and the audit log knows what it brought: the file that says so brings it back.
    let journal = std::fs::read_dir(home.join("logs/journal")).unwrap().flatten().next().expect("a journal").path();
    let bytes = std::fs::read(&journal).unwrap();
    let header = 8 + u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
    std::fs::write(&journal, &bytes[..header]).unwrap();
    let (status, said) = resume(&[]);
    assert_eq!((status, said.contains("the texts it brought are lost")), (Some(2), true), "{said}");
    file("0.1", "");
    let (status, said) = resume(&over);
    assert_eq!((status, said.contains("replayed under scripted, with 1 command")), (Some(0), true), "{said}");
    // Without the file, with the file as it was read, and with another one.
    std::fs::remove_file(home.join("town.yaml")).unwrap();
    let (status, said) = resume(&[]);
    assert_eq!(status, Some(0), "{said}");
    file("0.1", "");
    assert_eq!(resume(&over).0, Some(0));
    file("0.2", "");
    let (status, said) = resume(&[&over[..], &["--strict-config"]].concat());
    assert_eq!((status, said.contains("rewards.clip.clip_per_tick differs")), (Some(2), true), "{said}");
    assert_eq!(resume(&over).0, Some(0), "it goes on with its own settings");
}

#[test]
fn a_service_whose_output_is_a_full_disk_runs_on() {
    let home = tempfile::tempdir().unwrap();
    let said = tempfile::NamedTempFile::new().expect("a file");
    let mut child = Command::new(BINARY)
        .args(["serve", "--listen", "127.0.0.1:0", "--paused"])
        .current_dir(home.path())
        .env_clear()
        .env("HOME", home.path())
        .stdin(Stdio::null())
        .stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full"))
        .stderr(said.reopen().expect("the file"))
        .spawn()
        .expect("the program starts");
    let said = || std::fs::read_to_string(said.path()).expect("what it said");
    wait_until("its address", || said().contains("is served at http://127.0.0.1:"));
    let strangers = "read everything (console_auth.anonymous: auto on an address of this machine).";
    assert!(said().contains("Without a token, clients of 127.0.0.1:") && said().contains(strangers), "{}", said());
    let kill = Command::new("kill").arg(child.id().to_string()).status().expect("kill");
    assert!(kill.success());
    assert_eq!(child.wait().expect("its status").code(), Some(0), "{}", said());
    assert!(said().contains("stopped at tick 0; snapshot"), "{}", said());
}

#[test]
fn sighup_reloads_what_can_be() {
    let home = tempfile::tempdir().unwrap();
    let (home, serve) = (home.path(), ["--config", "town.yaml", "--listen", "127.0.0.1:0", "--paused"]);
    let file = |clip: &str| {
        let text = format!("policy: {{ release: scripted }}\nrewards: {{ clip: {{ clip_per_tick: {clip} }} }}\n");
        std::fs::write(home.join("town.yaml"), text).unwrap();
    };
    file("0.2");
    let server = Server::start(home, &serve);
    let reload = |says: &str| {
        server.signal("kill -HUP $1");
        wait_until(says, || server.said().contains(says));
    };
    file("0.1");
    reload("clip_per_tick 0.2 -> 0.1");
    file("soon");
    reload("town.yaml:2");
    // It still runs, and each reload is in the audit log.
    let (status, said) = townlet(home, &["console", "--connect", server.url(), "kpi"], "");
    assert_eq!(status, Some(0), "{said}");
    server.terminate();
    let records = log_of(home);
    let by_signal = records.iter().filter(|record| record.command == "reload_config" && record.transport == "signal");
    let statuses: Vec<_> = by_signal.filter_map(|record| record.status).collect();
    assert_eq!(statuses, [Status::Ok, Status::Error]);
}

#[test]
fn resume_takes_the_served_run_even_after_newer_batches() {
    let home = tempfile::tempdir().unwrap();
    let (home, serve) = (home.path(), ["--listen", "127.0.0.1:0", "--paused"]);
    let runs = || {
        let all = std::fs::read_dir(home.join("logs/journal")).unwrap().flatten();
        let mut all: Vec<String> = all.map(|it| it.file_name().to_string_lossy().into_owned()).collect();
        all.sort();
        all
    };
    Server::start(home, &serve).kill();
    let served = runs();
    let (status, said) = townlet(home, &["run", "--headless", "--tick-limit", "50"], "");
    assert_eq!((status, served.len(), runs().len()), (Some(0), 1, 2), "{said}");
    let lock = || std::fs::read_to_string(home.join("logs/harbour.lock")).unwrap();
    let run = served[0].trim_end_matches("-000000000000.tlj");
    Server::start(home, &[&serve[..], &["--resume"]].concat()).terminate();
    assert_eq!((lock().split_whitespace().nth(1), runs().len()), (Some(run), 2));
    // A batch goes on with the newest of all, and the one that is named comes before either.
    let (status, said) = townlet(home, &["run", "--headless", "--tick-limit", "60", "--resume"], "");
    assert_eq!((status, said.contains("resumed at tick 50")), (Some(0), true), "{said}");
    let batch = runs()[1].trim_end_matches("-000000000000.tlj").to_owned();
    Server::start(home, &[&serve[..], &["--resume", &batch]].concat()).terminate();
    assert_eq!(lock().split_whitespace().nth(1), Some(batch.as_str()));
}

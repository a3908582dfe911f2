//! Shards that are served on one port in turn, and clients that remember them.

use std::path::Path;
use std::process::{Command, Stdio};

use super::pty_session::{BINARY, PtySession};
use super::server::Server;

/// Runs the program as the user whose folders are in `user`: its exit status, and both outputs.
fn townlet(user: &Path, line: &str) -> (Option<i32>, String) {
    let mut command = Command::new(BINARY);
    command.args(line.split_whitespace()).current_dir(user).env_clear().stdin(Stdio::null());
    for name in ["HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"] {
        command.env(name, user);
    }
    let output = command.output().expect("the program runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// Serves a shard of this name at an address.
fn serve(home: &Path, address: &str, shard: &str) -> Server {
    Server::start(home, &["--listen", address, "--paused", "--set", &format!("shard={shard}")])
}

#[test]
fn shards_that_take_turns_on_a_port_are_told_apart() {
    let [user, one, two, fresh] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let served = serve(one.path(), "127.0.0.1:0", "harbour");
    let (url, address) = (served.url().to_owned(), served.address().to_owned());
    let kpi = || townlet(user.path(), &format!("console --connect {url} kpi"));
    let (status, said) = kpi();
    assert!(status == Some(0) && !said.contains("serves"), "{said}");
    served.terminate();

    // Another shard is said once, by whichever client comes first.
    let served = serve(two.path(), &address, "trial");
    let (status, said) = kpi();
    assert!(
        status == Some(0) && said.contains(&format!("{url} now serves shard trial (it was shard harbour).")),
        "{said}"
    );
    assert!(!kpi().1.contains("serves"));
    served.terminate();
    let served = serve(one.path(), &address, "harbour");
    let (status, said) = kpi();
    assert!(status == Some(0) && said.contains("now serves shard harbour (it was shard trial)."), "{said}");
    served.terminate();

    // A shard of the same name with another key is refused, with what to type.
    let served = serve(fresh.path(), &address, "harbour");
    let (status, said) = kpi();
    assert!(status == Some(1) && said.contains("THE KEY OF SHARD harbour HAS CHANGED"), "{said}");
    let forget = format!("townlet audit forget {url} harbour");
    assert!(said.contains(&format!("`{forget}`")) && said.contains("Nothing was sent."), "{said}");
    let (_, known) = townlet(user.path(), "audit known");
    assert!(
        known.contains(&format!("{url} harbour  townlet/harbour+")) && known.contains(&format!("{url} trial  ")),
        "{known}"
    );
    let (status, said) = townlet(user.path(), forget.trim_start_matches("townlet "));
    assert!(status == Some(0) && said.contains("Forgot shard harbour"), "{said}");
    let (status, said) = kpi();
    assert!(status == Some(0), "{said}");
    let (_, known) = townlet(user.path(), "audit known");
    assert!(known.contains(&format!("{url} trial  ")), "the other shard is still known: {known}");
    served.terminate();
}

#[test]
fn a_name_of_the_user_configuration_stands_for_one_shard() {
    let [user, one, two] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let served = serve(one.path(), "127.0.0.1:0", "harbour");
    let (url, address) = (served.url().to_owned(), served.address().to_owned());
    let config = user.path().join("townlet/config.yaml");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    let rows = format!(
        "shards:\n  - {{ name: any, url: \"{url}\" }}\n  - {{ name: strict, url: \"{url}\", shard: harbour }}\n"
    );
    std::fs::write(&config, rows).unwrap();
    let kpi = |name: &str| townlet(user.path(), &format!("console --connect {name} kpi"));
    for name in ["any", "strict"] {
        let (status, said) = kpi(name);
        assert_eq!(status, Some(0), "{said}");
    }
    served.terminate();

    let served = serve(two.path(), &address, "trial");
    let (status, said) = kpi("any");
    assert!(
        status == Some(1) && said.contains("ANOTHER SHARD ANSWERS HERE: shard trial, and it was shard harbour."),
        "{said}"
    );
    assert!(said.contains(&format!("`townlet audit forget {url} harbour`")), "{said}");
    // By its address it is accepted; a row that names its shard is held to that name.
    let (status, said) = kpi(&url);
    assert!(status == Some(0) && said.contains("now serves shard trial"), "{said}");
    let (status, said) = kpi("strict");
    assert!(status == Some(1) && said.contains("shard harbour was asked for"), "{said}");
    assert!(said.contains("Nothing was sent."), "{said}");
    served.terminate();
}

#[test]
fn a_screen_says_that_another_shard_answers() {
    let [user, one, two] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let served = serve(one.path(), "127.0.0.1:0", "harbour");
    let (url, address) = (served.url().to_owned(), served.address().to_owned());
    let mut pty = PtySession::start(user.path(), (120, 40), &["observe", "--connect", &url], &[]);
    pty.shows("· live");
    // What it has seen is in the file.
    super::kit::wait_until("the shard is known", || {
        std::fs::read_to_string(user.path().join("townlet/known_shards.json"))
            .is_ok_and(|text| text.contains("harbour+"))
    });
    served.terminate();
    pty.shows("the shard has stopped; trying again");
    let served = serve(two.path(), &address, "trial");
    pty.shows("now serves shard trial (it was shard harbour).");
    pty.press("q");
    assert_eq!(pty.ended(), 0, "{}", pty.text());
    served.terminate();
}

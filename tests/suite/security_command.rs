//! `townlet security check`: a home in order passes, and each fault is named with what to do and status 1.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use crate::kit::{command, temp_home, text, townlet};
use serde_json::Value;
use tempfile::TempDir;

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("the permissions");
}

/// A home with a run, a sealing key, a token that expires in time, and nothing to mend.
fn home() -> TempDir {
    let home = temp_home();
    let token = "token create --name ada --role admin --expires 90d";
    for line in ["audit seal setup", "run --headless --tick-limit 20", token] {
        let output = townlet(home.path(), line);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    home
}

/// The exit status, and the findings by check, status, place and words.
fn checked(home: &Path, line: &str) -> (i32, Vec<(String, String, String)>) {
    let words = "security check --json".split(' ').chain(line.split_whitespace());
    let output = command(home, words).output().expect("the program starts");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|why| panic!("{why}: {output:?}"));
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let findings = report["findings"].as_array().expect("findings").iter().map(|row| {
        let all = format!("{}: {} {}", text(&row["where"]), text(&row["seen"]), text(&row["to_do"]));
        (text(&row["check"]), text(&row["status"]), all)
    });
    let findings: Vec<_> = findings.collect();
    let count = |status: &str| findings.iter().filter(|finding| finding.1 == status).count();
    assert_eq!(
        (report["bad"].as_u64(), report["warnings"].as_u64()),
        (Some(count("bad") as u64), Some(count("warning") as u64))
    );
    (output.status.code().unwrap_or(-1), findings)
}

/// Asserts that this check says these words with this status, and returns the exit status.
#[track_caller]
fn finds(home: &Path, line: &str, check: &str, status: &str, words: &[&str]) -> i32 {
    let (code, findings) = checked(home, line);
    let fits = |finding: &&(String, String, String)| {
        finding.0 == check && finding.1 == status && words.iter().all(|word| finding.2.contains(word))
    };
    assert!(findings.iter().any(|finding| fits(&finding)), "{line}: {check} {words:?}: {findings:#?}");
    code
}

/// A certificate for 127.0.0.1 that is valid until this year, and its key.
fn certificate(home: &Path, name: &str, year: i32) -> String {
    let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".into()]).expect("a name");
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    let key = rcgen::KeyPair::generate().expect("a key");
    let made = params.self_signed(&key).expect("a certificate");
    std::fs::write(home.join(format!("{name}.pem")), made.pem()).unwrap();
    townlet_files::write_private(&home.join(format!("{name}.key")), key.serialize_pem().as_bytes()).unwrap();
    format!("--listen 0.0.0.0:7420 --tls-cert {name}.pem --tls-key {name}.key")
}

#[test]
fn a_home_in_order_passes_on_one_page() {
    let home = home();
    let output = townlet(home.path(), "security check");
    let page = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{page}");
    assert!(page.lines().count() < 20, "{page}");
    for words in ["✓ home", "✓ files", "✓ token store", "1 valid of 1", "✓ exposure", "read everything", "0 to mend"]
    {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert_eq!(checked(temp_home().path(), "").0, 0, "an empty home has nothing to mend");
    let missing = townlet(home.path(), "security check --home none");
    assert_eq!(missing.status.code(), Some(2), "{}", text(&missing.stderr));
}

#[test]
fn what_others_can_read_or_change_is_bad() {
    let home = home();
    let path = home.path();
    let store = path.join("ops/tokens.json");
    mode(&store, 0o644);
    assert_eq!(finds(path, "", "token store", "bad", &["ops/tokens.json", "mode 0644", "chmod 600"]), 1);
    mode(&store, 0o600);
    std::fs::write(&store, "{}\n").unwrap();
    assert_eq!(finds(path, "", "token store", "bad", &["damaged at line 1", "Restore it"]), 1);
    std::fs::remove_file(&store).unwrap();
    symlink(path.join("elsewhere"), &store).unwrap();
    assert_eq!(finds(path, "", "token store", "bad", &["symbolic link"]), 1);
    std::fs::remove_file(&store).unwrap();
    let key = crate::kit::only_file(&path.join("ops"), ".privacy-key");
    mode(&key, 0o640);
    assert_eq!(finds(path, "", "keys", "bad", &["privacy-key", "chmod 600"]), 1);
    mode(&key, 0o600);
    mode(&path.join("logs"), 0o777);
    assert_eq!(finds(path, "", "files", "bad", &["logs", "writable by other users", "chmod -R go-w"]), 1);
    mode(&path.join("logs"), 0o755);
    mode(path, 0o777);
    assert_eq!(finds(path, "", "home", "bad", &["mode 0777", "chmod go-w"]), 1);
    mode(path, 0o755);
    assert_eq!(checked(path, "").0, 0, "all is mended");
    // A folder above the home that others can write to makes the home replaceable.
    let below = path.join("open/home");
    std::fs::create_dir_all(&below).unwrap();
    mode(&path.join("open"), 0o757);
    assert_eq!(finds(path, "--home open/home", "parents", "bad", &["open", "replace"]), 1);
}

#[test]
fn links_and_leftovers_are_warnings_that_strict_makes_failures() {
    let home = home();
    let path = home.path();
    assert_eq!(checked(path, "--strict").0, 0);
    std::fs::remove_file(path.join("ops/seal.key")).unwrap();
    assert_eq!(finds(path, "", "seals", "warning", &["not sealed", "audit seal setup"]), 0);
    symlink("/etc/passwd", path.join("logs/link\u{1b}[2J")).unwrap();
    std::fs::write(path.join("ops/tokens.part"), "").unwrap();
    assert_eq!(finds(path, "", "links", "warning", &["logs/link", "not followed"]), 0);
    assert_eq!(finds(path, "", "leftovers", "warning", &["ops/tokens.part", "Remove it"]), 0);
    assert_eq!(checked(path, "--strict").0, 1);
    let output = townlet(path, "security check");
    assert!(!text(&output.stdout).contains('\u{1b}'), "names from outside are escaped");
}

#[test]
fn tokens_are_judged_by_their_age() {
    let home = home();
    let path = home.path();
    assert!(townlet(path, "token create --name endless --role viewer").status.success());
    assert!(townlet(path, "token create --name soon --role viewer --expires 2d").status.success());
    let hash = "0".repeat(64);
    let row = |id: &str, expires: &str| {
        format!(
            "{{\"id\":\"{id}\",\"name\":\"n{id}\",\"role\":\"viewer\",\"sha256\":\"{hash}\",\"created\":\"2020-01-01T00:00:00Z\",\
             \"expires\":\"{expires}\"}}\n"
        )
    };
    let store = path.join("ops/tokens.json");
    let text = std::fs::read_to_string(&store).unwrap();
    let text = text + &row("1a", "2021-01-01T00:00:00Z") + &row("2b", "2999-01-01T00:00:00Z");
    townlet_files::write_private(&store, text.as_bytes()).unwrap();
    assert_eq!(finds(path, "", "tokens", "ok", &["4 valid of 5"]), 0);
    finds(path, "", "tokens", "warning", &["endless (viewer", "without expiry", "token rotate NAME --expires 90d"]);
    finds(path, "", "tokens", "warning", &["soon (viewer", "within 7 days"]);
    finds(path, "", "tokens", "warning", &["n1a (viewer, 1a)", "expired", "revoke"]);
    finds(path, "", "tokens", "warning", &["n2b (viewer, 2b)", "more than a year old"]);
}

#[test]
fn tls_and_exposure_are_judged_by_the_address() {
    let home = home();
    let path = home.path();
    assert_eq!(finds(path, "--listen 0.0.0.0:7420", "TLS", "bad", &["plain HTTP", "--tls-cert"]), 1);
    finds(path, "--listen 0.0.0.0:7420", "exposure", "ok", &["health and readiness only", "auto"]);
    let open = "--listen 0.0.0.0:7420 --set console_auth.anonymous=full";
    finds(path, open, "exposure", "warning", &["read everything", "console_auth.anonymous"]);
    let good = certificate(path, "good", 2999);
    assert_eq!(finds(path, &good, "TLS", "ok", &["the key fits", "2999-01-01T00:00:00Z"]), 0);
    let old = certificate(path, "old", 2021);
    assert_eq!(finds(path, &old, "TLS", "bad", &["expired at 2021-01-01T00:00:00Z", "Renew it"]), 1);
    let mixed = "--tls-cert good.pem --tls-key old.key";
    assert_eq!(finds(path, mixed, "TLS", "bad", &["good.pem", "old.key"]), 1);
    mode(&path.join("good.key"), 0o644);
    assert_eq!(finds(path, &good, "TLS", "bad", &["good.key", "chmod 600"]), 1);
}

//! Mistakes in the user's configuration: refused before anything starts, with the file, the key and what would be right.

use crate::kit::{command, temp_home, text};

/// What `townlet observe` says about a configuration, with the exit status.
#[track_caller]
fn observed(config: &str) -> (Option<i32>, String) {
    let home = temp_home();
    std::fs::create_dir_all(home.path().join(".config/townlet")).expect("a folder");
    std::fs::write(home.path().join(".config/townlet/config.yaml"), config).expect("a file");
    std::fs::write(home.path().join("shared-token"), "s3cret").expect("a file");
    let mut observe = command(home.path(), ["observe", "--connect", "http://127.0.0.1:1"]);
    let output = observe.env("TERM", "xterm-256color").output().expect("the program starts");
    (output.status.code(), text(&output.stderr))
}

#[test]
fn a_mistake_in_notifications_is_refused_with_its_key() {
    let webhook = |settings: &str| format!("notify:\n  webhook: {{ {settings} }}\n");
    for (config, key, right) in [
        (webhook("url: hooks.example"), "notify.webhook.url", "Example: https://hooks.example/alerts."),
        (webhook("url: 'ftp://hooks.example'"), "notify.webhook.url", "http or https"),
        (webhook("url: 'http://hooks.example', token_env: HOME"), "notify.webhook.url", "Use https."),
        (
            webhook("url: 'https://hooks.example', token_env: NO_SUCH"),
            "notify.webhook.token_env",
            "`NO_SUCH` is not set",
        ),
        (webhook("url: 'https://hooks.example', token_file: shared-token"), "notify.webhook.token_file", "chmod 600"),
        (webhook("url: 'https://hooks.example', headers: { 'x team': ops }"), "notify.webhook.headers", "a-z"),
        (
            webhook("url: 'https://hooks.example', min_severity: all"),
            "notify.webhook.min_severity",
            "warning, critical",
        ),
        (webhook("url: 'https://hooks.example', retries: 9"), "retries", "config.yaml:2"),
        (webhook("min_severity: warning"), "url", "config.yaml:2"),
        ("clock: mars\n".to_owned(), "clock", "local, utc"),
    ] {
        let (status, said) = observed(&config);
        assert_eq!(status, Some(2), "{config}: {said}");
        assert!(said.contains("townlet/config.yaml") && said.contains(key) && said.contains(right), "{config}: {said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
}

#[test]
fn a_valid_webhook_is_accepted() {
    let (status, said) = observed("notify:\n  webhook: { url: 'https://hooks.example/x', headers: { x-team: ops } }\n");
    assert_eq!(status, Some(2));
    assert!(said.contains("the interface requires a terminal"), "{said}");
}

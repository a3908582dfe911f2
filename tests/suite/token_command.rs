//! `townlet token`: tokens are shown or written once, have names, and are rotated and revoked. Rule: "Roles and identity".

use super::cli::{folder, names};
use crate::kit::{text, townlet};

#[test]
fn token_is_printed_once_and_can_be_revoked() {
    let folder = folder(&[]);
    let path = folder.path();
    let output = townlet(path, "token new --role admin --file tokens");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let token = text(&output.stdout).trim().to_owned();
    let id = token.split('_').nth(1).expect("an id").to_owned();
    let listed = text(&townlet(path, "token list --file tokens").stdout);
    assert!(token.starts_with("twn_") && listed.contains(&id) && !listed.contains(&token));
    assert!(!std::fs::read_to_string(path.join("tokens")).expect("the store").contains(&token));
    let output = townlet(path, "token revoke nobody --file tokens");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains(&id), "{}", text(&output.stderr));
    assert!(townlet(path, &format!("token revoke {id} --file tokens")).status.success());
    assert!(!text(&townlet(path, "token list --file tokens").stdout).contains(&id));
    assert!(townlet(path, "token new --role viewer --home shard").status.success());
    assert!(path.join("shard/ops/tokens.json").is_file(), "where the shard of that home looks");
}

#[test]
fn a_token_goes_to_a_new_file_of_its_owner_and_never_over_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let output = townlet(path, "token create --name ada --role admin --out ada.token");
    assert!(output.status.success() && output.stdout.is_empty(), "{}", text(&output.stderr));
    let token = std::fs::read_to_string(path.join("ada.token")).unwrap();
    assert!(token.starts_with("twn_") && token.ends_with('\n'));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(path.join("ada.token")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let output = townlet(path, "token rotate ada --out ada.token");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("ada.token: already exists"), "{}", text(&output.stderr));
    assert_eq!(std::fs::read_to_string(path.join("ada.token")).unwrap(), token);
    assert_eq!(text(&townlet(path, "token list").stdout).lines().count(), 2, "nothing was made");
}

#[test]
#[cfg(unix)]
fn tokens_have_names_and_are_rotated_and_expire() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder(&[]);
    let path = folder.path();
    let run = |line: &str| {
        let output = townlet(path, &format!("token {line}"));
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    };
    let (status, token, said) = run("create --name ada-laptop --role admin --expires 6d");
    assert!(
        status == 0 && token.starts_with("twn_") && said.contains("`ada-laptop`") && said.contains("expires at 20"),
        "{said}"
    );
    let (status, _, said) = run("create --name ada-laptop --role viewer");
    assert!(status == 2 && said.contains("townlet token rotate ada-laptop"), "{said}");
    for (line, words) in [
        ("create --role admin --name a/b", "letters, digits"),
        ("create --role admin --name twn_ab12_00ffee11", "letters, digits"),
        ("create --role admin --expires soon", "expected a duration"),
        ("create --role admin --expires 2020-01-01T00:00:00Z", "over already"),
        ("rotate nobody", "no token of `nobody`"),
        ("rotate ada-laptop --overlap=-1h", "expected a duration"),
    ] {
        let (status, out, said) = run(line);
        assert!(status == 2 && out.is_empty() && said.contains(words) && !said.contains("00ffee11"), "{line}: {said}");
    }
    let (_, listed, warned) = run("list");
    assert!(
        listed.contains("ada-laptop") && listed.contains("! in 5 days") && warned.contains("rotate ada-laptop"),
        "{listed}{warned}"
    );
    let (status, second, said) = run("rotate ada-laptop --overlap 1h");
    assert!(status == 0 && second.starts_with("twn_") && second != token && said.contains("for the overlap"), "{said}");
    let store = path.join("ops/tokens.json");
    assert_eq!(store.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let rows: serde_json::Value = serde_json::from_str(&run("list --json").1).expect("JSON");
    let rows = rows.as_array().expect("rows");
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row["name"] == "ada-laptop" && row["role"] == "admin" && row["expired"] == false));
    let (status, _, said) = run("rotate ada-laptop");
    assert!(status == 2 && said.contains("has 2 live tokens already"), "{said}");
    let (status, said, _) = run("revoke ada-laptop");
    assert!(status == 0 && said.contains("of `ada-laptop`") && run("list").1.contains("No tokens"), "{said}");
    // A store of an earlier version has no names: the id is the name.
    let hash = "0".repeat(64);
    let old = format!(
        "{{\"id\":\"0a1b2c3d\",\"role\":\"admin\",\"sha256\":\"{hash}\",\"created\":\"2020-01-01T00:00:00Z\"}}\n"
    );
    std::fs::write(&store, old).unwrap();
    let rows: serde_json::Value = serde_json::from_str(&run("list --json").1).expect("JSON");
    assert_eq!(rows[0]["name"], "0a1b2c3d");
    assert_eq!(run("rotate 0a1b2c3d").0, 0);
    // What others can change is not changed further.
    std::fs::set_permissions(&store, std::fs::Permissions::from_mode(0o666)).unwrap();
    let before = std::fs::read(&store).unwrap();
    let (status, out, said) = run("create --role admin");
    assert!(status == 2 && out.is_empty() && said.contains("chmod 600"), "{said}");
    assert_eq!(std::fs::read(&store).unwrap(), before);
}

#[cfg(unix)]
#[test]
fn token_store_behind_a_symlink_is_refused() {
    let folder = folder(&[("real", "")]);
    std::os::unix::fs::symlink(folder.path().join("real"), folder.path().join("link")).expect("a link");
    let output = townlet(folder.path(), "token new --role viewer --file link");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("not a regular file"), "{}", text(&output.stderr));
    assert!(folder.path().join("link").is_symlink());
    assert_eq!(names(folder.path()), ["link", "real"], "nothing was written beside it");
}

//! The module order of the crate: the list in `lib.rs` names every module, and no module imports one that comes after it.

#![allow(clippy::disallowed_methods, reason = "the test reads the source")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

/// Names between backticks in the numbered lines of the header.
fn listed_order(lib: &str) -> Vec<&str> {
    let header = lib.lines().map_while(|line| line.strip_prefix("//!"));
    let list = header.skip_while(|line| !line.starts_with(" 1.")).flat_map(|line| line.split('`').skip(1).step_by(2));
    list.collect()
}

/// Modules named by `crate::module` or `use crate::{module, …}`, without comments and unit tests.
fn imports(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let code: String = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let word = |text: &str| text.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>();
    let paths = code.match_indices("crate::").filter(|(at, _)| !code[..*at].ends_with('$'));
    let named = paths.flat_map(|(at, prefix)| {
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(group) => group.split('}').next().unwrap_or_default().split(',').map(|it| word(it.trim())).collect(),
            None => vec![word(rest)],
        }
    });
    named.filter(|name| !name.is_empty()).collect()
}

#[test]
fn modules_import_only_modules_before_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let lib = fs::read_to_string(folder.join("lib.rs")).unwrap();
    let order = listed_order(&lib);
    let declared: Vec<&str> = lib
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, declared, "the list in lib.rs names every module once");
    let position: BTreeMap<&str, usize> = order.iter().enumerate().map(|(at, name)| (*name, at)).collect();
    let mut found = Vec::new();
    files(&folder, &mut found);
    let mut checked = 0;
    for path in found.iter().filter(|path| !path.ends_with("lib.rs")) {
        let module = path.strip_prefix(&folder).unwrap().components().next().unwrap().as_os_str().to_string_lossy();
        let module = module.trim_end_matches(".rs");
        for import in imports(&fs::read_to_string(path).unwrap()) {
            let at = position.get(import.as_str()).unwrap_or_else(|| panic!("{}: crate::{import}", path.display()));
            assert!(import == module || *at < position[module], "{} imports {import}", path.display());
            checked += 1;
        }
    }
    assert!(checked > 200, "only {checked} imports were found");
}

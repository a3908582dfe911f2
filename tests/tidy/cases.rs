//! That each rule can fail: for every rule a tree that keeps it and one that breaks it.

use super::reading::{code_of, file, is_word, tokens};
use super::{File, MAX_LINES, RULES, file_length};

/// A rule, what it must say, a tree that keeps it and one that breaks it, each as path → text.
type Case = (&'static str, &'static str, Tree, Tree);
type Tree = &'static [(&'static str, &'static str)];

fn tree(files: Tree) -> Vec<File> {
    files.iter().map(|(path, text)| file(path, text)).collect()
}

const CASES: &[Case] = &[
    (
        "room_order",
        "src/tui/mod.rs:1: crate::shard::Town",
        &[("src/tui/mod.rs", "use crate::{wire, source::Source};")],
        &[("src/tui/mod.rs", "use crate::{wire, shard::Town};")],
    ),
    (
        "room_order",
        "crate::tui",
        &[("src/cli/run.rs", "use crate::{server, tui};")],
        &[("src/server/mod.rs", "fn f() { crate::tui::run() }")],
    ),
    (
        "room_order",
        "super::super::shard",
        &[("src/tui/screens/town.rs", "use super::shard::X; // super::super::shard")],
        &[("src/tui/screens.rs", "use super::super::shard::X;")],
    ),
    ("room_order", "`helpers` is no room", &[("src/lib.rs", "pub mod wire;")], &[("src/helpers.rs", "fn f() {}")]),
    ("room_order", "townlet_wire", &[("src/main.rs", "townlet::cli::main()")], &[("src/main.rs", "townlet_wire::x()")]),
    (
        "room_packages",
        "townlet_town",
        &[("src/shard/mod.rs", "use townlet_town::Town;")],
        &[("src/tui/mod.rs", "use townlet_town::Town;")],
    ),
    (
        "sim_order",
        "townlet_learn",
        &[("sim/learn/src/lib.rs", "use townlet_town::Town;")],
        &[("sim/town/src/lib.rs", "use townlet_learn::Policy;")],
    ),
    (
        "dfdx_in_learn",
        "dfdx",
        &[("sim/learn/src/lib.rs", "use dfdx::prelude::*;")],
        &[("src/shard/mod.rs", "use dfdx::prelude::*;")],
    ),
    (
        "dfdx_in_learn",
        "Cargo.toml",
        &[("Cargo.toml", "[profile.dev.package.dfdx]\nopt-level = 3")],
        &[("Cargo.toml", "[dependencies]\ndfdx = \"1\"")],
    ),
    (
        "town_is_pure",
        "HashMap",
        &[("sim/town/src/lib.rs", "use std::collections::BTreeMap; // no HashMap::new")],
        &[("sim/town/src/lib.rs", "use std::collections::{BTreeMap, HashMap};")],
    ),
    (
        "town_is_pure",
        "std::fs",
        &[("src/shard/mod.rs", "use std::fs::File;")],
        &[("sim/town/src/lib.rs", "use std::{fmt, fs};")],
    ),
    (
        "one_role_rule",
        ".role",
        &[("src/tui/mod.rs", "match session.role { Role::Admin => 1, Role::Viewer => 0 }")],
        &[("src/tui/mod.rs", "if session.role >= spec.role {")],
    ),
    (
        "one_role_rule",
        "Role::Admin",
        &[("src/wire/command.rs", "session.role >= spec.role")],
        &[("src/shard/mod.rs", "if Role::Admin == role(session) {")],
    ),
    (
        "one_role_rule",
        "fn allowed",
        &[("src/wire/command.rs", "pub fn allowed(")],
        &[("src/tui/mod.rs", "fn allowed(")],
    ),
    (
        "role_callers",
        "src/shard/b.rs",
        &[("src/shard/a.rs", "use crate::wire::allowed;")],
        &[("src/shard/a.rs", "use crate::wire::{Answer, allowed};"), ("src/shard/b.rs", "wire::allowed(s, c)")],
    ),
    (
        "role_callers",
        "src/cli/run.rs",
        &[("src/tui/mod.rs", "use crate::wire::allowed;")],
        &[("src/cli/run.rs", "use crate::wire::allowed;")],
    ),
    ("opening", "src/lib.rs", &[("src/lib.rs", "//! What it owns.")], &[("src/lib.rs", "fn f() {}")]),
    ("unfinished", "todo!", &[("src/lib.rs", "// todo! is forbidden")], &[("src/lib.rs", "fn f() { todo!() }")]),
    ("unfinished", "later", &[("src/lib.rs", "// done")], &[("src/lib.rs", concat!("// TO", "DO later"))]),
    ("ignored_tests", "ignore", &[("src/lib.rs", "#[test]")], &[("src/lib.rs", "#[test]\n#[ignore = \"slow\"]")]),
    (
        "sleeping_tests",
        "tests/a.rs:1",
        &[("src/shard/mod.rs", "std::thread::sleep(pause);")],
        &[("tests/a.rs", "std::thread::sleep(pause);")],
    ),
    (
        "sleeping_tests",
        "src/shard/mod.rs:3",
        &[],
        &[("src/shard/mod.rs", "fn f() {}\n#[cfg(test)]\nmod tests { use std::thread::{self, sleep}; }")],
    ),
    (
        "machine_paths",
        "docs/A.md:2",
        &[("docs/A.md", "sim/town/src/work/mod.rs, {home}/tmp/x, /dev/null")],
        &[("docs/A.md", concat!("Run\n`/ho", "me/ada/townlet`"))],
    ),
    ("top_level", "notes.txt is not", &[], &[("notes.txt", "")]),
    ("top_level", "configs is missing", &[], &[("src/lib.rs", "")]),
    (
        "forgotten",
        "src/wire/line.rs",
        &[("src/wire/mod.rs", "mod line;"), ("src/wire/line.rs", ""), ("src/lib.rs", "pub mod wire;")],
        &[("src/wire/mod.rs", "// mod line;"), ("src/wire/line.rs", ""), ("src/lib.rs", "pub mod wire;")],
    ),
    (
        "forgotten",
        "tests/deep/a.rs",
        &[("tests/deep/main.rs", "mod a;"), ("tests/deep/a.rs", ""), ("tests/b.rs", "")],
        &[("tests/deep/a.rs", "#[test]")],
    ),
    (
        "forgotten",
        "tests/common/mod.rs",
        &[("tests/common/mod.rs", ""), ("tests/b.rs", "mod common;")],
        &[("tests/common/mod.rs", ""), ("tests/b.rs", "")],
    ),
    (
        "dependencies",
        "`serde` of a has no reason",
        &[MANIFEST, ("docs/DEPENDENCIES.md", "## a\n| `serde` | reads and writes |")],
        &[MANIFEST, ("docs/DEPENDENCIES.md", "## a\n| `serde` | |")],
    ),
    (
        "dependencies",
        "`clap` of a is no dependency",
        &[],
        &[
            MANIFEST,
            ("docs/DEPENDENCIES.md", "## a\n| `serde` | reads and writes |\n| `clap` | reads the command line |"),
        ],
    ),
    (
        "test_command",
        "README.md",
        &[("README.md", "    cargo test --workspace"), CI],
        &[("README.md", "cargo test"), CI],
    ),
    (
        "named_tests",
        "docs/A.md",
        &[("docs/A.md", "`cargo test --test a f`"), ("tests/a.rs", "fn f() {}")],
        &[("docs/A.md", "`cargo test --test a g`"), ("tests/a.rs", "fn f() {}")],
    ),
];

const MANIFEST: (&str, &str) = ("Cargo.toml", "name = \"a\"\n[dependencies]\nserde = \"1\"\n[lints]\nworkspace = true");
const CI: (&str, &str) = (".ci/run", "step cargo test --workspace");

#[test]
fn every_rule_can_fail() {
    for (name, words, good, bad) in CASES {
        let rule = RULES.iter().find(|rule| rule.name == *name).expect("a case names a rule");
        let (kept, found) = ((rule.broken)(&tree(good)), (rule.broken)(&tree(bad)));
        assert!(good.is_empty() || kept.is_empty(), "{name}: {kept:?}");
        assert!(found.iter().any(|place| place.contains(words)), "{name}: {words}: {found:?}");
    }
    for rule in RULES.iter().filter(|rule| rule.name != "file_length") {
        assert!(CASES.iter().any(|case| case.0 == rule.name), "no case breaks the rule: {}", rule.sentence);
    }
}

#[test]
fn a_file_may_not_outgrow_its_limit() {
    let long = |lines| [file("src/lib.rs", &format!("{}#[cfg(test)]\nmod tests {{\n}}", "//! x\n".repeat(lines)))];
    assert_eq!(file_length(&long(MAX_LINES)), [""; 0]);
    assert_eq!(file_length(&long(MAX_LINES + 1)).len(), 1);
}

#[test]
fn literals_and_comments_are_no_code() {
    let text = "a /* b /* c */ d */ e \"f \\\" g\" h r#\"i \" j\"# k 'l' '\\'' m<'n> // o\np";
    let words: Vec<&str> = tokens_of(text);
    assert_eq!(words, ["a", "e", "h", "k", "m", "n", "p"]);
}

fn tokens_of(text: &str) -> Vec<&'static str> {
    let code: &'static str = code_of(text).leak();
    tokens(code).into_iter().map(|token| token.1).filter(|token| is_word(token)).collect()
}

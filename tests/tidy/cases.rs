//! Every rule can fail: for each rule, a set of files that keeps it and one that breaks it.

use super::reading::{code_of, file, is_word, tokens};
use super::{File, MAX_LINES, RULES, file_length};

/// A rule, a part of its report, files that keep it and files that break it. Files are (path, text).
type Case = (&'static str, &'static str, Tree, Tree);
type Tree = &'static [(&'static str, &'static str)];

fn tree(files: Tree) -> Vec<File> {
    files.iter().map(|(path, text)| file(path, text)).collect()
}

const CASES: &[Case] = &[
    (
        "layer_dependencies",
        "src/tui/Cargo.toml: townlet-shard",
        &[("src/tui/Cargo.toml", "name = \"townlet-tui\"\n[dependencies]\ntownlet-wire = { workspace = true }")],
        &[("src/tui/Cargo.toml", "name = \"townlet-tui\"\n[dev-dependencies]\ntownlet-shard = { workspace = true }")],
    ),
    (
        "layer_dependencies",
        "`townlet-helpers` is no layer",
        &[("Cargo.toml", "name = \"townlet\"\n[dependencies]\ntownlet-town = { workspace = true }")],
        &[("src/helpers/Cargo.toml", "name = \"townlet-helpers\"")],
    ),
    (
        "layer_dependencies",
        "dfdx",
        &[("sim/learn/Cargo.toml", "name = \"townlet-learn\"\n[dependencies]\ndfdx = \"1\"")],
        &[("src/shard/Cargo.toml", "name = \"townlet-shard\"\n[dependencies]\ndfdx = \"1\"")],
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
    (
        "text_drawing",
        "render_widget(Line",
        &[("src/tui/pane.rs", "frame.render_widget(block, area); // no Paragraph")],
        &[("src/tui/pane.rs", "frame.render_widget(Line::raw(text), area);")],
    ),
    (
        "text_drawing",
        "Paragraph",
        &[("src/tui/text_drawing.rs", "Paragraph::new(lines)")],
        &[("src/tui/fleet/draw.rs", "use ratatui::widgets::Paragraph;")],
    ),
    ("header", "src/lib.rs", &[("src/lib.rs", "//! What it owns.")], &[("src/lib.rs", "fn f() {}")]),
    ("unfinished", "todo!", &[("src/lib.rs", "// todo! is forbidden")], &[("src/lib.rs", "fn f() { todo!() }")]),
    ("unfinished", "later", &[("src/lib.rs", "// done")], &[("src/lib.rs", concat!("// TO", "DO later"))]),
    ("ignored_tests", "ignore", &[("src/lib.rs", "#[test]")], &[("src/lib.rs", "#[test]\n#[ignore = \"slow\"]")]),
    (
        "waiting_tests",
        "tests/a.rs:1",
        &[("src/shard/mod.rs", "std::thread::sleep(pause);")],
        &[("tests/a.rs", "std::thread::sleep(pause);")],
    ),
    (
        "waiting_tests",
        "src/shard/mod.rs:3",
        &[("src/shard/mod.rs", "fn f() { std::thread::yield_now() }")],
        &[("src/shard/mod.rs", "fn f() {}\n#[cfg(test)]\nmod tests { use std::thread::{self, yield_now}; }")],
    ),
    (
        "waiting_tests",
        "kill",
        &[("tests/a.rs", "shell(\"kill -STOP $1\"); // asleep")],
        &[("tests/a.rs", concat!("shell(\"kill -STOP $1; sl", "eep 6\");"))],
    ),
    (
        "machine_paths",
        "docs/A.md:2",
        &[("docs/A.md", "sim/town/src/work/mod.rs, {home}/tmp/x, /dev/null")],
        &[("docs/A.md", concat!("Run\n`/ho", "me/ada/townlet`"))],
    ),
    ("top_level", "notes.txt is not", ROOT, &[("notes.txt", "")]),
    ("top_level", "configs is missing", ROOT, &[("src/lib.rs", "")]),
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
        "tests/kit/mod.rs",
        &[("tests/kit/mod.rs", ""), ("tests/b/main.rs", "#[path = \"../kit/mod.rs\"]\nmod kit;")],
        &[("tests/kit/mod.rs", ""), ("tests/b/main.rs", "mod kit_of_b;")],
    ),
    (
        "dependencies",
        "`serde` of a has no reason",
        &[MANIFEST, ("docs/DEPENDENCIES.md", "## a\n| `serde` | reads and writes |")],
        &[MANIFEST, ("docs/DEPENDENCIES.md", "## a\n| `serde` | |")],
    ),
    (
        "dependencies",
        "`clap` is no dependency of a",
        &[MANIFEST, ("docs/DEPENDENCIES.md", "## a\n| `serde` | reads and writes |")],
        &[
            MANIFEST,
            ("docs/DEPENDENCIES.md", "## a\n| `serde` | reads and writes |\n| `clap` | reads the command line |"),
        ],
    ),
    (
        "ignored_secrets",
        "ops/seal.key",
        &[(".gitignore", "/target\n/ops/*\n!/ops/.gitkeep\n*.token\n*.key")],
        &[(".gitignore", "/ops/*-key\n/ops/tokens*\n*.token\nverification.*")],
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
    (
        "citations",
        "src/lib.rs:1: \"Retries\"",
        &[
            ("docs/A.md", "# Rules\n## Journal\n### Retries\n"),
            ("src/lib.rs", "//! Owns a log. Rules: \"Journal\",\n//! \"Retries\". Says \"no\"."),
        ],
        &[
            ("docs/A.md", "## Journal\n```\n## Retries\n```\n"),
            ("src/lib.rs", "//! A log. Rules: \"Journal\",\n//! \"Retries\"."),
        ],
    ),
    (
        "plain_names",
        concat!("src/shard/de", "sk.rs"),
        &[("src/shard/session_table.rs", "struct SessionTable;")],
        &[(concat!("src/shard/de", "sk.rs"), "")],
    ),
    ("plain_names", "struct Look", &[("src/a.rs", "struct Query; // Look")], &[("src/a.rs", "struct Look;")]),
    ("plain_names", "fn both", &[("src/a.rs", "let both = 2;")], &[("src/a.rs", "fn both() {}")]),
    ("plain_names", "src/a.rs:2: let", &[("src/a.rs", "let prng = 1;")], &[("src/a.rs", "fn f() {\nlet luck = 1;")]),
    (
        "plain_english",
        "src/a.rs:3",
        &[("src/a.rs", "/// Who owns it? The caller.\nstruct A;")],
        &[("src/a.rs", "struct A;\n\n/// A name. Who\n/// asks is told.\nstruct B;")],
    ),
    (
        "plain_english",
        "docs/A.md:2",
        &[("docs/A.md", "A caller\nwaits.")],
        &[("docs/A.md", "The log\ntells whoever asks.")],
    ),
];

const MANIFEST: (&str, &str) =
    ("sim/a/Cargo.toml", "name = \"a\"\n[dependencies]\nserde = \"1\"\n[lints]\nworkspace = true");
const ROOT: Tree = &[
    ("Cargo.toml", ""),
    ("src/a", ""),
    ("sim/a", ""),
    ("configs/a", ""),
    ("docs/a", ""),
    ("logs/a", ""),
    ("ops/a", ""),
    ("tests/a", ""),
    ("README.md", ""),
    ("CHANGELOG.md", ""),
];
const CI: (&str, &str) = (".ci/run", "step cargo test --workspace");

#[test]
fn every_rule_can_fail() {
    for (name, words, good, bad) in CASES {
        let rule = RULES.iter().find(|rule| rule.name == *name).expect("a case names a rule");
        let (kept, found) = ((rule.broken)(&tree(good)), (rule.broken)(&tree(bad)));
        assert!(!good.is_empty() && kept.is_empty(), "{name}: {kept:?}");
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

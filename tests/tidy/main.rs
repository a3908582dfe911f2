//! Rules of the repository that neither the compiler, clippy nor cargo-deny checks. Each rule is one row of [`RULES`].
//!
//! Reads files only and calls nothing of the program. `reading` parses the files; `names` checks names, citations and English;
//! `cases` holds for each rule an example that keeps it and one that breaks it.

mod cases;
mod names;
mod reading;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use names::{citations, plain_english, plain_names};
use reading::{
    at, before_tests, direct_dependencies, find, is_test_file, kind, line_of, naming, package, paths, repository, rust,
    with_any,
};

/// One file of the repository, by its path from the root.
struct File {
    path: String,
    text: String,
    /// The text with comments and literals blanked out; empty unless it is Rust.
    code: String,
}

/// A rule and the function that finds where it is broken.
struct Rule {
    name: &'static str,
    sentence: &'static str,
    broken: fn(&[File]) -> Vec<String>,
}

const RULES: &[Rule] = &[
    Rule {
        name: "layer_dependencies",
        broken: layer_dependencies,
        sentence: "A crate depends only on the layers above it in docs/ARCHITECTURE.md, and dfdx only on behalf of sim/learn.",
    },
    Rule {
        name: "town_is_pure",
        broken: town_is_pure,
        sentence: "sim/town uses no clock, hash-map order, file, environment or thread.",
    },
    Rule {
        name: "one_role_rule",
        broken: one_role_rule,
        sentence: "One place checks a role: `allowed` in src/wire/command.rs.",
    },
    Rule {
        name: "role_callers",
        broken: role_callers,
        sentence: "`allowed` is called by the screens, which dim, and by one place in src/shard, which enforces.",
    },
    Rule {
        name: "file_length",
        broken: file_length,
        sentence: "A source file has at most 600 lines before its tests.",
    },
    Rule {
        name: "text_drawing",
        broken: text_drawing,
        sentence: "The interface draws text with `draw_text`, which cuts nothing without a sign.",
    },
    Rule {
        name: "header",
        broken: header,
        sentence: "Every Rust file starts with a `//!` header that says what it owns.",
    },
    Rule {
        name: "unfinished",
        broken: unfinished,
        sentence: "No placeholder macro, debug macro or to-do note is left in the source.",
    },
    Rule { name: "ignored_tests", broken: ignored_tests, sentence: "No test is ignored." },
    Rule {
        name: "waiting_tests",
        broken: waiting_tests,
        sentence: "No test sleeps or spins: it waits for a condition, with a deadline.",
    },
    Rule {
        name: "machine_paths",
        broken: machine_paths,
        sentence: "No file contains a path of a developer's machine.",
    },
    Rule {
        name: "top_level",
        broken: top_level,
        sentence: "The repository's root holds what docs/ARCHITECTURE.md lists, and nothing else.",
    },
    Rule {
        name: "ignored_secrets",
        broken: ignored_secrets,
        sentence: "git ignores the keys and tokens of a shard whose home is the repository.",
    },
    Rule {
        name: "forgotten",
        broken: forgotten,
        sentence: "Every Rust file is a target of cargo's or declared as a module.",
    },
    Rule {
        name: "dependencies",
        broken: dependencies,
        sentence: "docs/DEPENDENCIES.md gives a reason for each direct dependency, and lists no other.",
    },
    Rule {
        name: "test_command",
        broken: test_command,
        sentence: "README.md and .ci/run give the same test command: `cargo test --workspace`.",
    },
    Rule { name: "named_tests", broken: named_tests, sentence: "A test that a document names exists." },
    Rule {
        name: "citations",
        broken: citations,
        sentence: "Every heading that a `Rule: \"…\"` comment cites exists in docs/.",
    },
    Rule {
        name: "plain_names",
        broken: plain_names,
        sentence: "No file, module, type, function, field or variable has a name that was replaced by a standard term.",
    },
    Rule {
        name: "plain_english",
        broken: plain_english,
        sentence: "Comments and documents are plain English: no sentence about \"who\" or \"whoever\" without a noun.",
    },
];

/// Each crate with the workspace's crates that it may depend on. `townlet` itself, the command line, and the fuzz targets may use
/// all of them.
const LAYERS: &[(&str, &[&str])] = &[
    ("townlet-text", &[]),
    ("townlet-bounded", &[]),
    ("townlet-town", &["townlet-text", "townlet-bounded"]),
    ("townlet-learn", &["townlet-town", "townlet-bounded"]),
    ("townlet-files", &[]),
    ("townlet-wire", &["townlet-text", "townlet-bounded"]),
    ("townlet-audit", &["townlet-files", "townlet-wire"]),
    (
        "townlet-shard",
        &["townlet-bounded", "townlet-town", "townlet-learn", "townlet-files", "townlet-wire", "townlet-audit"],
    ),
    ("townlet-source", &["townlet-bounded", "townlet-files", "townlet-wire", "townlet-audit", "townlet-shard"]),
    ("townlet-server", &["townlet-files", "townlet-wire", "townlet-audit", "townlet-shard"]),
    ("townlet-tui", &["townlet-wire", "townlet-source"]),
];

const MAX_LINES: usize = 600;

/// What a shard keeps in its home, and operators by the names of the documents, that must stay out of a commit.
const SECRETS: [&str; 6] = [
    "ops/tokens.json",
    "ops/seal.key",
    "ops/harbour.privacy-key",
    "ops/harbour.checkpoint-key",
    "admin.token",
    "verification.key",
];

#[test]
fn every_rule_holds() {
    let files = repository();
    assert!(files.iter().any(|file| file.path == "src/wire/lib.rs"), "the repository was not found");
    let mut report = String::new();
    for rule in RULES {
        let broken = (rule.broken)(&files);
        if !broken.is_empty() {
            let _ = writeln!(report, "\n{}\n    {}", rule.sentence, broken.join("\n    "));
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

fn layer_dependencies(files: &[File]) -> Vec<String> {
    let mut broken = Vec::new();
    for manifest in files.iter().filter(|file| file.path.ends_with("Cargo.toml")) {
        let package = package(&manifest.text);
        if matches!(package, "townlet" | "townlet-fuzz") {
            continue;
        }
        let Some((_, allowed)) = LAYERS.iter().find(|row| row.0 == package) else {
            broken.push(format!("{}: `{package}` is no layer", manifest.path));
            continue;
        };
        for name in direct_dependencies(&manifest.text) {
            let own = name.starts_with("townlet") && !allowed.contains(&name.as_str());
            if own || (name.starts_with("dfdx") && package != "townlet-learn") {
                broken.push(format!("{}: {name}", manifest.path));
            }
        }
    }
    broken
}

fn town_is_pure(files: &[File]) -> Vec<String> {
    let impure = |path: &str| {
        let by_name = path.split("::").any(|name| {
            matches!(name, "HashMap" | "HashSet" | "RandomState" | "SystemTime" | "Instant" | "thread_local")
        });
        by_name || (at(path, 0) == "std" && matches!(at(path, 1), "fs" | "thread" | "net" | "env" | "process"))
    };
    rust(files, "sim/town/src/").flat_map(|file| naming(file, impure)).collect()
}

fn one_role_rule(files: &[File]) -> Vec<String> {
    let comparing = |line: &str| {
        let operators = ["==", "!=", ">=", "<=", " > ", " < "];
        let compared = |before: &str, after: &str| {
            let path = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | ':' | '&' | '*');
            let before = before.trim_end_matches(path).trim_end();
            operators.iter().any(|operator| after.trim_start().starts_with(operator.trim()))
                && !after.trim_start().starts_with("=>")
                || operators.iter().any(|operator| before.ends_with(operator.trim()))
                    && !(before.ends_with("=>") || before.ends_with("->"))
        };
        let roles = [".role", "Role::Admin", "Role::Viewer"];
        roles.iter().any(|role| {
            line.match_indices(role).any(|(start, _)| {
                let after = &line[start + role.len()..];
                !after.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '('))
                    && compared(&line[..start], after)
            })
        })
    };
    let mut broken = Vec::new();
    for file in rust(files, "src/") {
        let lines = before_tests(&file.code).lines().enumerate();
        let rule = file.path == "src/wire/command.rs";
        broken.extend(
            lines
                .filter(|(_, line)| !rule && (comparing(line) || line.contains("fn allowed(")))
                .map(|(number, line)| format!("{}:{}: {}", file.path, number + 1, line.trim())),
        );
    }
    broken
}

fn role_callers(files: &[File]) -> Vec<String> {
    let calls = |file: &&File| {
        let ways = |path: &str| path.ends_with("wire::allowed") || path.ends_with("command::allowed");
        paths(before_tests(&file.code)).iter().any(|(_, path)| ways(path))
    };
    let others = |file: &&File| !file.path.starts_with("src/wire/") && !file.path.starts_with("src/tui/");
    let callers: Vec<_> = rust(files, "src/").filter(others).filter(calls).map(|file| file.path.clone()).collect();
    let stray = callers.iter().any(|path| !path.starts_with("src/shard/"));
    if callers.len() > 1 || stray { vec![callers.join(", ")] } else { Vec::new() }
}

fn text_drawing(files: &[File]) -> Vec<String> {
    let allowed = |file: &&File| file.path != "src/tui/text_drawing.rs" && !is_test_file(&file.path);
    let unsigned =
        ["Paragraph", "render_widget(Line", "render_widget(Span", "render_widget(Text", "render_widget(vec!"];
    let code = |file: &File| with_any(file, before_tests(&file.code), &unsigned);
    rust(files, "src/tui/").filter(allowed).flat_map(code).collect()
}

fn file_length(files: &[File]) -> Vec<String> {
    let source = rust(files, "").filter(|file| !is_test_file(&file.path));
    source
        .map(|file| (&file.path, before_tests(&file.code).lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .map(|(path, lines)| format!("{path}: {lines} lines: the concept has two names, find them"))
        .collect()
}

fn header(files: &[File]) -> Vec<String> {
    rust(files, "").filter(|file| !file.text.starts_with("//!")).map(|file| file.path.clone()).collect()
}

fn unfinished(files: &[File]) -> Vec<String> {
    let notes = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
    let macros = ["todo!", "unimplemented!", "dbg!"];
    rust(files, "")
        .flat_map(|file| {
            let in_text = with_any(file, &file.text, &notes);
            in_text.into_iter().chain(with_any(file, &file.code, &macros))
        })
        .collect()
}

fn ignored_tests(files: &[File]) -> Vec<String> {
    rust(files, "").flat_map(|file| with_any(file, &file.code, &["#[ignore"])).collect()
}

fn waiting_tests(files: &[File]) -> Vec<String> {
    let waits =
        |path: &str| ["thread::sleep", "time::sleep", "thread::yield_now"].iter().any(|call| path.ends_with(call));
    let mut broken = Vec::new();
    // One module waits for every test.
    for file in rust(files, "").filter(|file| file.path != "tests/kit/wait.rs") {
        let first = if is_test_file(&file.path) { 0 } else { before_tests(&file.code).lines().count() };
        let in_shell = with_any(file, &file.text, &[concat!("; sl", "eep "), concat!("&& sl", "eep ")]);
        broken.extend(naming(file, waits).into_iter().chain(in_shell).filter(|found| line_of(found) > first));
    }
    broken
}

fn machine_paths(files: &[File]) -> Vec<String> {
    let folders = ["home", "root", "tmp", "work", "workspace", "Users", "mnt"];
    let inside = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '}' | '>' | '~');
    let named = |line: &str| {
        folders.iter().any(|folder| {
            let path = format!("/{folder}");
            line.match_indices(&path).any(|(start, _)| {
                let next = line[start + path.len()..].chars().next();
                let whole = next == Some('/') || (*folder == "tmp" && !next.is_some_and(char::is_alphanumeric));
                whole && !line[..start].ends_with(inside)
            })
        })
    };
    let mut broken = Vec::new();
    for file in files.iter().filter(|file| file.path != "Cargo.lock") {
        let lines = file.text.lines().enumerate().filter(|(_, line)| named(line));
        broken.extend(lines.map(|(number, line)| format!("{}:{}: {}", file.path, number + 1, line.trim())));
    }
    broken
}

fn top_level(files: &[File]) -> Vec<String> {
    let required = ["Cargo.toml", "src", "sim", "configs", "docs", "logs", "ops", "tests", "README.md", "CHANGELOG.md"];
    let optional = ["Cargo.lock", "rust-toolchain.toml", "rustfmt.toml", "clippy.toml", "deny.toml", "benches"];
    let top: BTreeSet<&str> = files.iter().filter_map(|file| file.path.split('/').next()).collect();
    let missing = required.iter().filter(|name| !top.contains(**name)).map(|name| format!("{name} is missing"));
    let known = |name: &str| {
        required.contains(&name) || optional.contains(&name) || name.starts_with('.') || name.starts_with("LICENSE")
    };
    missing.chain(top.iter().filter(|name| !known(name)).map(|name| format!("{name} is not listed"))).collect()
}

fn ignored_secrets(files: &[File]) -> Vec<String> {
    let Some(patterns) = files.iter().find(|file| file.path == ".gitignore") else {
        return vec![".gitignore is missing".to_owned()];
    };
    let covers = |pattern: &str, path: &str| match pattern.split_once('*') {
        Some(("", ending)) => path.ends_with(ending),
        Some((folder, "")) => format!("/{path}").starts_with(folder),
        _ => false,
    };
    let seen = |path: &&str| !patterns.text.lines().any(|pattern| covers(pattern, path));
    SECRETS.into_iter().filter(seen).map(|path| format!("{path} is not ignored")).collect()
}

fn forgotten(files: &[File]) -> Vec<String> {
    let mut broken = Vec::new();
    for file in rust(files, "") {
        let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        let root_folder = ["src", "tests", "benches", "examples"].contains(&folder.rsplit('/').next().unwrap_or(""));
        let stem = name.trim_end_matches(".rs");
        let cargo_root = match name {
            "main.rs" | "lib.rs" | "build.rs" => true,
            _ => root_folder && !folder.ends_with("src"),
        };
        let is_target = |manifest: &&File| {
            let below = manifest.path.strip_suffix("Cargo.toml").and_then(|folder| file.path.strip_prefix(folder));
            below.is_some_and(|below| manifest.text.contains(&format!("path = \"{below}\"")))
        };
        if cargo_root || files.iter().filter(|other| other.path.ends_with("Cargo.toml")).any(|it| is_target(&it)) {
            continue;
        }
        let (module, parent) = if stem == "mod" {
            folder.rsplit_once('/').map_or((folder, ""), |(parent, module)| (module, parent))
        } else {
            (stem, folder)
        };
        let declared = format!("mod {module};");
        let beside = |other: &&File| {
            let in_parent = other.path.strip_prefix(parent).and_then(|rest| rest.strip_prefix('/'));
            let test_roots = parent.ends_with("tests") || parent.ends_with("benches");
            in_parent.is_some_and(|rest| {
                matches!(rest, "mod.rs" | "lib.rs" | "main.rs") || (test_roots && !rest.contains('/'))
            }) || other.path == format!("{parent}.rs")
        };
        let by_path = format!("#[path = \"../{module}/mod.rs\"]");
        let known = rust(files, "").filter(beside).any(|other| other.code.contains(&declared))
            || rust(files, "tests/").any(|other| other.text.contains(&by_path));
        if !known {
            broken.push(format!("{}: nothing says `{declared}`", file.path));
        }
    }
    broken
}

fn dependencies(files: &[File]) -> Vec<String> {
    let mut used: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for manifest in files.iter().filter(|file| file.path.ends_with("Cargo.toml")) {
        // The crates of src share one section.
        let section = if manifest.path.starts_with("sim/") { package(&manifest.text) } else { "townlet" };
        let external = direct_dependencies(&manifest.text).into_iter().filter(|name| !name.starts_with("townlet"));
        used.entry(section).or_default().extend(external);
    }
    let mut broken = Vec::new();
    for (package, used) in used {
        let heading = format!("## {package}");
        let section = find(files, "docs/DEPENDENCIES.md").lines().skip_while(|line| *line != heading).skip(1);
        let section = section.take_while(|line| !line.starts_with("## "));
        let named: BTreeSet<String> = section
            .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
            .filter(|(_, reason)| reason.trim_matches(|c| matches!(c, '|' | ' ')).len() > 10)
            .map(|(name, _)| name.to_owned())
            .collect();
        broken.extend(used.difference(&named).map(|name| format!("`{name}` of {package} has no reason")));
        broken.extend(named.difference(&used).map(|name| format!("`{name}` is no dependency of {package}")));
    }
    broken
}

fn test_command(files: &[File]) -> Vec<String> {
    let command = "cargo test --workspace";
    let gives = |path: &str| {
        let lines =
            find(files, path).lines().map(|line| line.trim().trim_start_matches("$ ").trim_start_matches("step "));
        lines.into_iter().any(|line| line == command || line.contains(&format!("`{command}`")))
    };
    let silent = ["README.md", ".ci/run"].into_iter().filter(|path| !gives(path));
    silent.map(|path| format!("{path} does not say `{command}`")).collect()
}

fn named_tests(files: &[File]) -> Vec<String> {
    let mut broken = Vec::new();
    for document in files.iter().filter(|file| kind(&file.path) == "md") {
        for call in document.text.split("cargo test --test ").skip(1) {
            let call = call.split(['`', '\n', '|']).next().unwrap_or_default();
            let mut words = call.split_whitespace();
            let (target, name) = (words.next().unwrap_or_default(), words.next());
            let is_source =
                |path: &str| path == format!("tests/{target}.rs") || path.starts_with(&format!("tests/{target}/"));
            let mut source = files.iter().filter(|file| is_source(&file.path)).peekable();
            let exists = source.peek().is_some();
            let found = name.is_none_or(|name| source.any(|file| file.code.contains(&format!("fn {name}("))));
            if !exists || !found {
                broken.push(format!("{}: cargo test --test {call}", document.path));
            }
        }
    }
    broken
}

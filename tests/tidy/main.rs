//! The house rules, read out of the repository's own files: each rule is one row with the sentence it fails with.
//!
//! Knows files and text only; nothing of the program is called. The rules come from docs/ARCHITECTURE.md; what the
//! compiler, clippy or cargo-deny can hold is left to them. `reading` takes the files apart, `cases` breaks each rule once.

mod cases;
mod reading;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use reading::{
    at, before_tests, direct_dependencies, find, is_layer, is_test_file, kind, layer_of, layer_referenced, line_of,
    naming, paths, place, repository, rust, with_any,
};

/// One file of the repository, by its path from the root.
struct File {
    path: String,
    text: String,
    /// The text with comments and literals blanked out; empty unless it is Rust.
    code: String,
}

/// One rule: what must hold, and where it does not.
struct Rule {
    name: &'static str,
    sentence: &'static str,
    broken: fn(&[File]) -> Vec<String>,
}

const RULES: &[Rule] = &[
    Rule { name: "room_order", broken: room_order, sentence: "A room of src uses only the rooms that stand above it." },
    Rule {
        name: "room_packages",
        broken: room_packages,
        sentence: "Only the rooms that run a town name its packages.",
    },
    Rule {
        name: "sim_order",
        broken: sim_order,
        sentence: "sim/town never names learn or the toolkit; sim/learn never names the toolkit.",
    },
    Rule { name: "dfdx_in_learn", broken: dfdx_in_learn, sentence: "dfdx is named in sim/learn alone." },
    Rule {
        name: "town_is_pure",
        broken: town_is_pure,
        sentence: "The town reads no clock, no hash-map order, no file and no thread.",
    },
    Rule {
        name: "one_role_rule",
        broken: one_role_rule,
        sentence: "One place checks a role: `allowed` in src/wire/command.rs.",
    },
    Rule {
        name: "role_callers",
        broken: role_callers,
        sentence: "`allowed` is called by the screens, which dim, and by one dispatch, which enforces.",
    },
    Rule {
        name: "file_length",
        broken: file_length,
        sentence: "A file of source has at most 600 lines before its tests.",
    },
    Rule {
        name: "opening",
        broken: opening,
        sentence: "Every Rust file opens with `//!`: what it owns and what it must not know.",
    },
    Rule {
        name: "unfinished",
        broken: unfinished,
        sentence: "Nothing is left unfinished or in debug: no placeholder macro, no to-do note.",
    },
    Rule { name: "ignored_tests", broken: ignored_tests, sentence: "No test is ignored." },
    Rule { name: "sleeping_tests", broken: sleeping_tests, sentence: "No test sleeps: it waits for what it expects." },
    Rule {
        name: "machine_paths",
        broken: machine_paths,
        sentence: "No file names a path of the machine it was written on.",
    },
    Rule {
        name: "top_level",
        broken: top_level,
        sentence: "The top level holds what docs/ARCHITECTURE.md lists, and nothing else.",
    },
    Rule {
        name: "forgotten",
        broken: forgotten,
        sentence: "No file is forgotten: each Rust file is a root of cargo's or declared as a module.",
    },
    Rule {
        name: "dependencies",
        broken: dependencies,
        sentence: "docs/DEPENDENCIES.md names each direct dependency of each package, and no other.",
    },
    Rule {
        name: "test_command",
        broken: test_command,
        sentence: "README.md and .ci/run give the same test command: `cargo test --workspace`.",
    },
    Rule { name: "named_tests", broken: named_tests, sentence: "A test that a document names exists." },
];

/// The rooms of `src` in their order, each with the rooms it may name and whether it may name the town's packages.
const LAYERS: &[(&str, &[&str], bool)] = &[
    ("files", &[], false),
    ("wire", &[], false),
    ("audit", &["files", "wire"], false),
    ("shard", &["files", "wire", "audit"], true),
    ("source", &["files", "wire", "audit", "shard"], true),
    ("server", &["files", "wire", "audit", "shard", "source"], false),
    ("tui", &["wire", "source"], false),
    ("cli", &["files", "wire", "audit", "shard", "source", "server", "tui"], true),
];

const MAX_LINES: usize = 600;

#[test]
fn every_rule_holds() {
    let files = repository();
    assert!(files.iter().any(|file| file.path == "src/wire/mod.rs"), "the repository was not found");
    let mut report = String::new();
    for rule in RULES {
        let broken = (rule.broken)(&files);
        if !broken.is_empty() {
            let _ = writeln!(report, "\n{}\n    {}", rule.sentence, broken.join("\n    "));
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

fn room_order(files: &[File]) -> Vec<String> {
    let mut broken = Vec::new();
    for file in rust(files, "src/") {
        let room = layer_of(&file.path);
        if room.is_empty() {
            let named = paths(&file.code).into_iter().filter(|(_, path)| matches!(at(path, 0), "townlet"));
            broken.extend(named.filter(|(_, path)| at(path, 1) != "cli").map(|found| place(file, &found)));
            continue;
        }
        let Some((_, above, _)) = LAYERS.iter().find(|row| row.0 == room) else {
            broken.push(format!("{}: `{room}` is no room of the house", file.path));
            continue;
        };
        for (line, path) in paths(&file.code) {
            let named = layer_referenced(file, line, &path);
            if is_layer(&named) && named != room && !above.contains(&named.as_str()) {
                broken.push(place(file, &(line, path)));
            }
        }
    }
    broken
}

fn room_packages(files: &[File]) -> Vec<String> {
    rust(files, "src/")
        .filter(|file| !LAYERS.iter().any(|row| row.2 && row.0 == layer_of(&file.path)))
        .flat_map(|file| naming(file, |path| matches!(at(path, 0), "townlet_town" | "townlet_learn")))
        .collect()
}

fn sim_order(files: &[File]) -> Vec<String> {
    let below = |folder: &'static str, forbidden: &'static [&'static str]| {
        rust(files, folder).flat_map(move |file| naming(file, |path| forbidden.contains(&at(path, 0))))
    };
    below("sim/town/", &["townlet", "townlet_learn"]).chain(below("sim/learn/", &["townlet"])).collect()
}

fn dfdx_in_learn(files: &[File]) -> Vec<String> {
    let outside = |file: &&File| !file.path.starts_with("sim/learn/");
    let code = files.iter().filter(outside).flat_map(|file| naming(file, |path| at(path, 0).starts_with("dfdx")));
    let manifests = files.iter().filter(outside).filter(|file| file.path.ends_with("Cargo.toml"));
    let named = manifests.filter(|file| direct_dependencies(&file.text).iter().any(|name| name.starts_with("dfdx")));
    code.chain(named.map(|file| file.path.clone())).collect()
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

fn file_length(files: &[File]) -> Vec<String> {
    let source = rust(files, "").filter(|file| !is_test_file(&file.path));
    source
        .map(|file| (&file.path, before_tests(&file.code).lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .map(|(path, lines)| format!("{path}: {lines} lines: the concept has two names, find them"))
        .collect()
}

fn opening(files: &[File]) -> Vec<String> {
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

fn sleeping_tests(files: &[File]) -> Vec<String> {
    rust(files, "")
        .flat_map(|file| {
            let first = if is_test_file(&file.path) { 0 } else { before_tests(&file.code).lines().count() };
            naming(file, |path| path.ends_with("thread::sleep") || path.ends_with("time::sleep"))
                .into_iter()
                .filter(move |found| line_of(found) > first)
        })
        .collect()
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
    missing.chain(top.iter().filter(|name| !known(name)).map(|name| format!("{name} is not of the house"))).collect()
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
        if cargo_root {
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
        let known = rust(files, "").filter(beside).any(|other| other.code.contains(&declared));
        if !known {
            broken.push(format!("{}: nothing says `{declared}`", file.path));
        }
    }
    broken
}

fn dependencies(files: &[File]) -> Vec<String> {
    let reasons = find(files, "docs/DEPENDENCIES.md");
    let mut broken = Vec::new();
    for manifest in files.iter().filter(|file| file.path.ends_with("Cargo.toml")) {
        let package = manifest.text.lines().find_map(|line| line.strip_prefix("name = "));
        let package = package.unwrap_or_default().trim_matches('"');
        let heading = format!("## {package}");
        let section = reasons.lines().skip_while(|line| *line != heading).skip(1);
        let section = section.take_while(|line| !line.starts_with("## "));
        let named: BTreeSet<String> = section
            .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
            .filter(|(_, reason)| reason.trim_matches(|c| matches!(c, '|' | ' ')).len() > 10)
            .map(|(name, _)| name.to_owned())
            .collect();
        let used = direct_dependencies(&manifest.text);
        let in_words = |name: &String, what: &str| format!("`{name}` of {package} {what}");
        broken.extend(used.difference(&named).map(|name| in_words(name, "has no reason")));
        broken.extend(named.difference(&used).map(|name| in_words(name, "is no dependency any more")));
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

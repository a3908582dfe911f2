//! The house rules, read out of the repository's own files: each rule is one row with the sentence it fails with.
//!
//! Knows files and text only; nothing of the program is called. The rules come from docs/ARCHITECTURE.md; what the
//! compiler, clippy or cargo-deny can hold is left to them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

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
const ROOMS: &[(&str, &[&str], bool)] = &[
    ("wire", &[], false),
    ("audit", &["wire"], false),
    ("shard", &["wire", "audit"], true),
    ("source", &["wire", "audit", "shard"], true),
    ("server", &["wire", "audit", "shard", "source"], false),
    ("tui", &["wire", "source"], false),
    ("cli", &["wire", "audit", "shard", "source", "server", "tui"], true),
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

// ---- the rules --------------------------------------------------------------------------------------------------

fn room_order(files: &[File]) -> Vec<String> {
    let mut broken = Vec::new();
    for file in rust(files, "src/") {
        let room = room_of(&file.path);
        if room.is_empty() {
            let named = paths(&file.code).into_iter().filter(|(_, path)| matches!(at(path, 0), "townlet"));
            broken.extend(named.filter(|(_, path)| at(path, 1) != "cli").map(|found| place(file, &found)));
            continue;
        }
        let Some((_, above, _)) = ROOMS.iter().find(|row| row.0 == room) else {
            broken.push(format!("{}: `{room}` is no room of the house", file.path));
            continue;
        };
        for (line, path) in paths(&file.code) {
            let named = room_named(file, line, &path);
            if is_room(&named) && named != room && !above.contains(&named.as_str()) {
                broken.push(place(file, &(line, path)));
            }
        }
    }
    broken
}

fn room_packages(files: &[File]) -> Vec<String> {
    rust(files, "src/")
        .filter(|file| !ROOMS.iter().any(|row| row.2 && row.0 == room_of(&file.path)))
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

// ---- reading ----------------------------------------------------------------------------------------------------

/// Every file that belongs to the repository: what git lists, or, without git, what lies under the root.
fn repository() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map(|output| String::from_utf8_lossy(&output.stdout).split_terminator('\0').map(str::to_owned).collect())
        .filter(|paths: &Vec<String>| !paths.is_empty())
        .unwrap_or_else(|| walk(root, ""));
    let unique: BTreeSet<String> = listed.into_iter().collect();
    unique.into_iter().filter_map(|path| Some(file(&path, &std::fs::read_to_string(root.join(&path)).ok()?))).collect()
}

fn walk(root: &Path, folder: &str) -> Vec<String> {
    let made_by_running = |path: &str| {
        matches!(path, "target" | ".git" | "snapshots") || (path.starts_with("logs/") && path != "logs/.gitkeep")
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        if made_by_running(&path) {
            continue;
        }
        if entry.path().is_dir() { paths.extend(walk(root, &path)) } else { paths.push(path) }
    }
    paths
}

fn file(path: &str, text: &str) -> File {
    let code = if kind(path) == "rs" { code_of(text) } else { String::new() };
    File { path: path.to_owned(), text: text.to_owned(), code }
}

/// What a file is, by the end of its name: `rs`, `md`.
fn kind(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, kind)| kind)
}

fn rust<'a>(files: &'a [File], folder: &'a str) -> impl Iterator<Item = &'a File> {
    files.iter().filter(move |file| kind(&file.path) == "rs" && file.path.starts_with(folder))
}

fn find<'a>(files: &'a [File], path: &str) -> &'a str {
    files.iter().find(|file| file.path == path).map_or("", |file| file.text.as_str())
}

fn is_test_file(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// The code of a file up to its test module.
fn before_tests(code: &str) -> &str {
    let modules = code.match_indices("#[cfg(test)]").map(|(start, _)| start);
    let mut tests = modules.filter(|start| code[*start..].lines().nth(1).is_some_and(|line| line.starts_with("mod ")));
    tests.next().map_or(code, |start| &code[..start])
}

/// `src/tui/keys.rs` → `tui`; empty for `src/lib.rs`, `src/main.rs`.
fn room_of(path: &str) -> &str {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    let room = inside.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    if matches!(room, "lib" | "main") { "" } else { room }
}

fn is_room(name: &str) -> bool {
    ROOMS.iter().any(|row| row.0 == name)
}

/// The room of the house a path leads to: through `crate`, or out of the file's own room through `super`.
fn room_named(file: &File, line: usize, path: &str) -> String {
    let supers = path.split("::").take_while(|name| *name == "super").count();
    let modules = file.path.split('/').count() - 1 - usize::from(file.path.ends_with("/mod.rs"));
    let in_tests = line > before_tests(&file.code).lines().count();
    let leaves = supers > 0 && supers == modules + usize::from(in_tests);
    if at(path, 0) == "crate" {
        at(path, 1).to_owned()
    } else if leaves {
        at(path, supers).to_owned()
    } else {
        String::new()
    }
}

fn at(path: &str, place: usize) -> &str {
    path.split("::").nth(place).unwrap_or_default()
}

fn place(file: &File, (line, path): &(usize, String)) -> String {
    format!("{}:{line}: {path}", file.path)
}

fn line_of(place: &str) -> usize {
    place.split(':').nth(1).and_then(|line| line.parse().ok()).unwrap_or(0)
}

fn naming(file: &File, forbidden: impl Fn(&str) -> bool) -> Vec<String> {
    paths(&file.code).iter().filter(|(_, path)| forbidden(path)).map(|found| place(file, found)).collect()
}

fn with_any(file: &File, text: &str, needles: &[&str]) -> Vec<String> {
    let lines = text.lines().enumerate().filter(|(_, line)| needles.iter().any(|needle| line.contains(needle)));
    lines.map(|(number, line)| format!("{}:{}: {}", file.path, number + 1, line.trim())).collect()
}

/// Names under every `dependencies` heading of a manifest, without the workspace's own packages.
fn direct_dependencies(manifest: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines() {
        if let Some(heading) = line.strip_prefix('[') {
            let heading = heading.trim_end().trim_end_matches(']');
            inside = heading.ends_with("dependencies") && !heading.starts_with("workspace");
        } else if inside && line.contains('=') && !line.starts_with(['#', ' ']) {
            names.insert(line.split(['=', '.', ' ']).next().unwrap_or_default().to_owned());
        }
    }
    names.retain(|name| !matches!(name.as_str(), "townlet-town" | "townlet-learn"));
    names
}

/// Rust text with comments, strings and characters blanked out, line for line.
fn code_of(text: &str) -> String {
    let source: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut here = 0;
    while here < source.len() {
        let end = literal_end(&source, here).unwrap_or(here);
        if end == here {
            code.push(source[here]);
            here += 1;
        } else {
            code.extend(source[here..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            here = end;
        }
    }
    code
}

/// Where the comment or literal that begins `here` ends; `None` when none begins.
fn literal_end(source: &[char], here: usize) -> Option<usize> {
    let starts = |place: usize, with: &str| with.chars().enumerate().all(|(i, c)| source.get(place + i) == Some(&c));
    let end = source.len();
    if starts(here, "//") {
        return Some((here..end).find(|place| source[*place] == '\n').unwrap_or(end));
    }
    if starts(here, "/*") {
        let (mut depth, mut place) = (1, here + 2);
        while place < end && depth > 0 {
            let step = if starts(place, "/*") {
                1
            } else if starts(place, "*/") {
                -1
            } else {
                0
            };
            depth += step;
            place += if step == 0 { 1 } else { 2 };
        }
        return Some(place);
    }
    let after_word = here > 0 && (source[here - 1].is_alphanumeric() || source[here - 1] == '_');
    if source[here] == 'r' && (!after_word || source[here - 1] == 'b') {
        let hashes = source[here + 1..].iter().take_while(|c| **c == '#').count();
        if starts(here + 1 + hashes, "\"") {
            let close = format!("\"{}", "#".repeat(hashes));
            let body = here + 2 + hashes;
            return Some((body..end).find(|place| starts(*place, &close)).map_or(end, |place| place + close.len()));
        }
    }
    let quote = source[here];
    let character = quote == '\'' && (starts(here + 1, "\\") || source.get(here + 2) == Some(&'\''));
    if quote != '"' && !character {
        return None;
    }
    let mut place = here + 1;
    while place < end && source[place] != quote {
        place += if source[place] == '\\' { 2 } else { 1 };
    }
    Some((place + 1).min(end))
}

/// Every path of two names or more with its line (from 1); the trees of `use` are written out.
fn paths(code: &str) -> Vec<(usize, String)> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut here = 0;
    while here < tokens.len() {
        let (word, imports) = (tokens[here].1, tokens[here].1 == "use");
        if imports || is_word(word) {
            here += usize::from(imports);
            branches(&tokens, &mut here, "", &mut found);
        }
        here += usize::from(!tokens.get(here).is_some_and(|token| is_word(token.1)));
    }
    found
}

fn branches(tokens: &[(usize, &str)], here: &mut usize, prefix: &str, found: &mut Vec<(usize, String)>) {
    let mut path = prefix.to_owned();
    let mut expected = true;
    while let Some((line, token)) = tokens.get(*here).copied() {
        match token {
            "::" => expected = true,
            "{" if expected && !path.is_empty() => {
                *here += 1;
                while tokens.get(*here).is_some_and(|token| token.1 != "}") {
                    let start = *here;
                    branches(tokens, here, &path, found);
                    *here += usize::from(*here == start || tokens.get(*here).is_some_and(|token| token.1 == ","));
                }
                *here += 1;
                return;
            }
            word if expected && (is_word(word) || word == "*") => {
                path = if path.is_empty() { word.to_owned() } else { format!("{path}::{word}") };
                expected = false;
                let goes_on = tokens.get(*here + 1).is_some_and(|next| next.1 == "::");
                if !goes_on && path.contains("::") {
                    found.push((line, path.clone()));
                }
            }
            "as" => *here += 1,
            _ => return,
        }
        *here += 1;
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut tokens = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let length = if word > 0 {
                word
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            tokens.push((number + 1, &rest[..length]));
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

// ---- that each rule can fail -----------------------------------------------------------------------------------

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
    (
        "room_order",
        "townlet::wire",
        &[("src/main.rs", "townlet::cli::main()")],
        &[("src/main.rs", "townlet::wire::x()")],
    ),
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

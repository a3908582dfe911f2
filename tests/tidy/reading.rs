//! Reads the repository: its files, and Rust text as code, paths and words. No rule is defined here.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::File;

/// Every file of the repository: those that git lists or, without git, those below the root.
pub(super) fn repository() -> Vec<File> {
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

pub(super) fn file(path: &str, text: &str) -> File {
    let code = if kind(path) == "rs" { code_of(text) } else { String::new() };
    File { path: path.to_owned(), text: text.to_owned(), code }
}

/// The extension of a file: `rs`, `md`.
pub(super) fn kind(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, kind)| kind)
}

pub(super) fn rust<'a>(files: &'a [File], folder: &'a str) -> impl Iterator<Item = &'a File> {
    files.iter().filter(move |file| kind(&file.path) == "rs" && file.path.starts_with(folder))
}

pub(super) fn find<'a>(files: &'a [File], path: &str) -> &'a str {
    files.iter().find(|file| file.path == path).map_or("", |file| file.text.as_str())
}

pub(super) fn is_test_file(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// The code of a file up to its test module.
pub(super) fn before_tests(code: &str) -> &str {
    let modules = code.match_indices("#[cfg(test)]").map(|(start, _)| start);
    let mut tests = modules.filter(|start| code[*start..].lines().nth(1).is_some_and(|line| line.starts_with("mod ")));
    tests.next().map_or(code, |start| &code[..start])
}

/// The name of the package that a manifest describes; empty when it describes none.
pub(super) fn package(manifest: &str) -> &str {
    manifest.lines().find_map(|line| line.strip_prefix("name = ")).unwrap_or_default().trim_matches('"')
}

pub(super) fn at(path: &str, place: usize) -> &str {
    path.split("::").nth(place).unwrap_or_default()
}

pub(super) fn place(file: &File, (line, path): &(usize, String)) -> String {
    format!("{}:{line}: {path}", file.path)
}

pub(super) fn line_of(place: &str) -> usize {
    place.split(':').nth(1).and_then(|line| line.parse().ok()).unwrap_or(0)
}

pub(super) fn naming(file: &File, forbidden: impl Fn(&str) -> bool) -> Vec<String> {
    paths(&file.code).iter().filter(|(_, path)| forbidden(path)).map(|found| place(file, found)).collect()
}

pub(super) fn with_any(file: &File, text: &str, needles: &[&str]) -> Vec<String> {
    let lines = text.lines().enumerate().filter(|(_, line)| needles.iter().any(|needle| line.contains(needle)));
    lines.map(|(number, line)| format!("{}:{}: {}", file.path, number + 1, line.trim())).collect()
}

/// Names under every `dependencies` heading of a manifest.
pub(super) fn direct_dependencies(manifest: &str) -> BTreeSet<String> {
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
    names
}

/// Rust text with comments, strings and characters blanked out, line for line.
pub(super) fn code_of(text: &str) -> String {
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

/// The end of the comment or literal that begins `here`; `None` when none begins.
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
pub(super) fn paths(code: &str) -> Vec<(usize, String)> {
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

pub(super) fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

pub(super) fn tokens(code: &str) -> Vec<(usize, &str)> {
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

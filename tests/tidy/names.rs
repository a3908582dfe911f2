//! Rules about names, rule citations and English. The list of names is the left column of the project's naming guide.

use std::collections::BTreeSet;

use super::File;
use super::reading::{is_word, kind, rust, tokens};

/// Names of files that were replaced.
const FILES: &[&str] = &[
    "beside",
    "books",
    "company",
    "crowd",
    "deeds",
    "desk",
    "disorder",
    "going_on",
    "heard",
    "intake",
    "life",
    "looks",
    "luck",
    "outlet",
    "pass",
    "patience",
    "plane",
    "recall",
    "relive",
    "settle",
    "sights",
    "stage",
    "talk",
    "texts",
    "told",
    "upkeep",
    "worlds",
    "yardstick",
];

/// Names of types that were replaced.
const TYPES: &[&str] = &[
    "Around", "Bond", "Both", "Cx", "Deed", "Desk", "Ground", "Life", "Look", "Luck", "Owed", "Room", "Slope", "Told",
    "Unsafe",
];

/// Names of functions that do not say what the function does or returns.
const FUNCTIONS: &[&str] =
    &["around", "beside", "both", "fetched", "gathered", "heard", "look", "now", "settle", "told"];

/// Words that are no name of anything.
const WORDS: &[&str] =
    &["deed", "deeds", "desk", "heard", "intake", "luck", "owed", "relive", "slope", "told", "upkeep", "yardstick"];

/// A definition, or a word, that has a replaced name.
pub(super) fn plain_names(files: &[File]) -> Vec<String> {
    let mut broken = Vec::new();
    for file in rust(files, "") {
        let stem = file.path.rsplit('/').find(|part| *part != "mod.rs").unwrap_or_default().trim_end_matches(".rs");
        if FILES.contains(&stem) {
            broken.push(file.path.clone());
        }
        let tokens = tokens(&file.code);
        for (place, (line, word)) in tokens.iter().enumerate() {
            let before = place.checked_sub(1).map_or("", |place| tokens[place].1);
            let old = match before {
                "struct" | "enum" | "trait" | "type" => TYPES.contains(word),
                "fn" => FUNCTIONS.contains(word),
                "mod" => FILES.contains(word),
                _ => false,
            };
            if old || WORDS.contains(word) {
                broken.push(format!("{}:{line}: {before} {word}", file.path));
            }
        }
    }
    broken
}

/// The comment blocks of a file: the line of each (from 1) and its text in one line.
fn comments(text: &str) -> Vec<(usize, String)> {
    let mut blocks: Vec<(usize, String)> = Vec::new();
    let mut inside = false;
    for (number, line) in text.lines().enumerate() {
        let Some(comment) = line.trim_start().strip_prefix("//") else {
            inside = false;
            continue;
        };
        let comment = comment.trim_start_matches(['/', '!']).trim();
        match blocks.last_mut() {
            Some((_, block)) if inside => {
                block.push(' ');
                block.push_str(comment);
            }
            _ => blocks.push((number + 1, comment.to_owned())),
        }
        inside = true;
    }
    blocks
}

/// The headings of a document, outside its code blocks.
fn headings(page: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    page.lines().filter_map(move |line| {
        code ^= line.starts_with("```");
        let text = line.trim_start_matches('#');
        let level = line.len() - text.len();
        (!code && (2..=4).contains(&level)).then(|| text.trim())
    })
}

/// The quoted headings after `Rule:` or `Rules:`, up to the end of the sentence.
fn cited(comment: &str) -> Vec<&str> {
    let rules = ["Rule: ", "Rules: "].iter().flat_map(|start| comment.split(start).skip(1));
    let mut found = Vec::new();
    for rest in rules {
        let mut quoted = rest.split('"');
        while let (Some(between), Some(heading)) = (quoted.next(), quoted.next()) {
            if between.contains(". ") || between.ends_with('.') {
                break;
            }
            found.push(heading);
        }
    }
    found
}

/// A cited heading that no document has.
pub(super) fn citations(files: &[File]) -> Vec<String> {
    let pages = files.iter().filter(|file| file.path.starts_with("docs/") && kind(&file.path) == "md");
    let known: BTreeSet<&str> = pages.flat_map(|page| headings(&page.text)).collect();
    let mut broken = Vec::new();
    for file in rust(files, "") {
        for (line, comment) in comments(&file.text) {
            let unknown = cited(&comment).into_iter().filter(|heading| !known.contains(heading));
            broken.extend(unknown.map(|heading| format!("{}:{line}: \"{heading}\"", file.path)));
        }
    }
    broken
}

/// How a sentence must not start.
const OPENINGS: &[&str] = &["Who ", "Whoever ", "Nobody who ", "What nobody ", "What is said ", "What is told "];

/// A comment or a paragraph of a document that is about a person without a noun.
pub(super) fn plain_english(files: &[File]) -> Vec<String> {
    let smells = |text: &str| {
        // A question may start with "Who".
        let sentences = text.split_inclusive(['.', ':', ';', '?']).map(str::trim);
        let opening =
            |sentence: &str| !sentence.ends_with('?') && OPENINGS.iter().any(|opening| sentence.starts_with(opening));
        sentences.into_iter().any(opening) || words(text).any(|word| word.eq_ignore_ascii_case("whoever"))
    };
    let mut broken = Vec::new();
    for file in files {
        let blocks = match kind(&file.path) {
            "rs" => comments(&file.text),
            "md" => file.text.lines().enumerate().map(|(number, line)| (number + 1, line.to_owned())).collect(),
            _ => Vec::new(),
        };
        let found = blocks.into_iter().filter(|(_, text)| smells(text));
        broken.extend(
            found.map(|(line, text)| format!("{}:{line}: {}", file.path, text.chars().take(90).collect::<String>())),
        );
    }
    broken
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| is_word(word))
}

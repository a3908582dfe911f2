//! Errors in configuration files: position, key, problem and help, formatted to fit a screen. Rule: "Bad input".

use std::fmt;

use super::yaml_tree::{Layer, Place, Source};

/// Errors shown in full; the others are counted.
const SHOWN: usize = 4;
/// Characters of the source line that are shown around the position.
const WIDTH: usize = 100;

/// One error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// File, variable or flag.
    pub name: String,
    /// Line, from 1; 0 when there is none.
    pub line: usize,
    /// Column in characters, from 1; 0 when there is none.
    pub column: usize,
    /// The setting, such as `employment.grace_ticks`; empty for a syntax error.
    pub key: String,
    /// The problem, as a sentence without full stop.
    pub problem: String,
    /// Help: nearest name, allowed range, next step.
    pub help: Vec<String>,
    /// The source line, safe to print.
    excerpt: String,
    /// Characters of it to mark.
    marked: usize,
}

impl ConfigError {
    /// An error at a position.
    pub(crate) fn at(place: &Place, key: &str, problem: impl Into<String>) -> Self {
        let mut error = Self::of(&place.source, key, problem);
        // A variable or a flag has one line, so its name is enough.
        error.line = if matches!(place.source.layer, Layer::Default | Layer::File) { place.line } else { 0 };
        error.column = place.column;
        error.excerpt = place.source.text.lines().nth(place.line.saturating_sub(1)).map(printable).unwrap_or_default();
        error.marked = place.length;
        error
    }

    /// An error of a source as a whole.
    pub(crate) fn of(source: &Source, key: &str, problem: impl Into<String>) -> Self {
        Self {
            name: printable(&source.label()),
            line: 0,
            column: 0,
            key: printable(key),
            problem: printable(&problem.into()),
            help: Vec::new(),
            excerpt: String::new(),
            marked: 0,
        }
    }

    /// Adds a line of help.
    #[must_use]
    pub(crate) fn help(mut self, help: impl AsRef<str>) -> Self {
        self.help.push(printable(help.as_ref()));
        self
    }
}

/// Replaces every control character by a visible one of the same width, so that the text cannot control the terminal and the
/// mark stays in place.
fn printable(text: &str) -> String {
    let shown = |character: char| match character {
        '\t' => ' ',
        '\0'..='\u{1f}' => char::from_u32(0x2400 + character as u32).unwrap_or('\u{fffd}'),
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        _ if character.is_control() => '\u{fffd}',
        _ => character,
    };
    text.chars().map(shown).collect()
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.problem)?;
        let number = if self.line > 0 { self.line.to_string() } else { String::new() };
        let margin = " ".repeat(number.len());
        if !self.excerpt.is_empty() {
            let length = self.excerpt.chars().count();
            let skipped = if length > WIDTH { self.column.saturating_sub(WIDTH / 2) } else { 0 };
            let line: String = self.excerpt.chars().skip(skipped).take(WIDTH).collect();
            let before = self.column.saturating_sub(skipped + 1);
            let marked = self.marked.min(line.chars().count().saturating_sub(before)).max(1);
            write!(f, "\n {margin} |\n {number} | {line}\n {margin} | {}{}", " ".repeat(before), "^".repeat(marked))?;
        }
        for help in &self.help {
            write!(f, "\n {margin} = {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// All errors, in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().take(SHOWN).enumerate() {
            let gap = if index == 0 { "" } else { "\n\n" };
            write!(f, "{gap}{error}")?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n\nand {more} more"),
        }
    }
}

impl ConfigErrors {
    /// All in one line, without the source lines.
    pub fn one_line(&self) -> String {
        let brief = |error: &ConfigError| {
            let place = if error.line > 0 { format!(":{}:{}", error.line, error.column) } else { String::new() };
            let problem = [std::slice::from_ref(&error.problem), error.help.as_slice()].concat().join("; ");
            format!("{}{place}: {problem}", error.name)
        };
        let mut shown: Vec<String> = self.0.iter().take(SHOWN).map(brief).collect();
        let more = self.0.len() - shown.len();
        if more > 0 {
            shown.push(format!("and {more} more"));
        }
        shown.join(" | ")
    }
}

impl std::error::Error for ConfigErrors {}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

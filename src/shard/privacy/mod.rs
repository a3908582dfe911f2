//! Privacy mode: replaces residents' names and ids in everything that leaves the shard by pseudonyms.
//!
//! The filter works on complete messages, so that no part of telemetry can forget it. A pseudonym is `r` and twelve hex digits of
//! a SHA-256 keyed with a secret of the shard: the same for id and name, and stable as long as the key is kept. Rule: "Privacy
//! mode".

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::ser::{CharEscape, Formatter, Serializer};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use townlet_town::hash::hex;
use townlet_town::ids::ResidentId;
use townlet_town::names;

use super::home::Home;
use super::tokens::random_bytes;
use townlet_audit::Record;

const DIGITS: usize = 12;

/// The privacy filter of a shard. Filters with the same key use the same pseudonyms. Clones share the switch, so that every
/// thread sees at once whether names are hidden.
#[derive(Clone, Debug, Default)]
pub struct PrivacyFilter {
    key: [u8; 32],
    hidden: Arc<AtomicBool>,
    /// The digits of the pseudonyms of the first residents, so that a line of pseudonyms costs one look-up each.
    known: Arc<Mutex<HashMap<String, ResidentId>>>,
}

impl PrivacyFilter {
    /// Opens the filter of a shard, and creates its key if the home has none.
    pub fn open(home: &Home, shard: &str, hidden: bool) -> Result<Self, String> {
        let path = home.privacy_key(shard);
        let key = read_key(&path).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => create_key(&path),
            _ => Err(error),
        });
        let key = key.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { key, hidden: Arc::new(AtomicBool::new(hidden)), known: Arc::default() })
    }

    /// The same filter with a switch of its own, hiding names whatever is configured.
    #[must_use]
    pub fn always_hidden(self) -> Self {
        Self { hidden: Arc::new(AtomicBool::new(true)), ..self }
    }

    /// The same filter as it is switched now, with a switch of its own.
    #[must_use]
    pub(super) fn with_own_switch(&self) -> Self {
        Self { hidden: Arc::new(AtomicBool::new(self.is_hidden())), ..self.clone() }
    }

    /// Whether names are hidden.
    pub fn is_hidden(&self) -> bool {
        self.hidden.load(Ordering::Acquire)
    }

    /// Hides names or shows them, in all clones.
    pub(super) fn hide(&self, hidden: bool) {
        self.hidden.store(hidden, Ordering::Release);
    }

    /// The pseudonym of a resident.
    pub fn pseudonym(&self, who: ResidentId) -> String {
        let inner = Sha256::new().chain_update(self.key).chain_update(who.0.to_le_bytes()).finalize();
        let outer = Sha256::new().chain_update(self.key).chain_update([0xff]).chain_update(inner).finalize();
        format!("r{}", &hex(&outer)[..DIGITS])
    }

    /// Replaces all names and ids in the texts of a message if names are hidden.
    pub fn apply<T: Serialize + DeserializeOwned>(&self, message: T) -> T {
        if !self.is_hidden() {
            return message;
        }
        let mut json = Vec::new();
        let mut serializer = Serializer::with_formatter(&mut json, HiddenTexts { names: self, text: String::new() });
        message.serialize(&mut serializer).expect("a message is plain data");
        drop(message);
        serde_json::from_slice(&json).expect("only texts have changed")
    }

    /// Redacts an audit record, whether or not names are hidden now.
    pub fn redact(&self, record: &mut Record) {
        // `command` holds the whole input if it was no command, and the sender chooses the id.
        for text in [&mut record.command, &mut record.cmd_id, &mut record.issuer, &mut record.transport] {
            *text = self.text(text).into_owned();
        }
        record.args = self.value(std::mem::take(&mut record.args));
        record.reason = record.reason.take().map(|text| self.text(&text).into_owned());
        record.result = record.result.take().map(|value| self.value(value));
        if let Some(error) = &mut record.error {
            error.message = self.text(&error.message).into_owned();
            error.hint = self.text(&error.hint).into_owned();
        }
    }

    /// Audit log lines, redacted with `"redacted": true` at the end of each if names are hidden.
    pub fn redact_lines<'a>(&self, lines: &'a [u8]) -> Cow<'a, [u8]> {
        if !self.is_hidden() {
            return Cow::Borrowed(lines);
        }
        let mut out = String::new();
        for line in String::from_utf8_lossy(lines).lines() {
            // A line that is no JSON may contain names, so it is left out.
            let Ok(value) = serde_json::from_str::<Value>(line) else { continue };
            let mut value = self.value(value);
            value["redacted"] = json!(true);
            out.push_str(&value.to_string());
            out.push('\n');
        }
        Cow::Owned(out.into_bytes())
    }

    /// Replaces pseudonyms in a command line by the ids of residents, among the first `arrived`.
    pub(super) fn resolve_pseudonyms(&self, line: &str, arrived: u32) -> String {
        replace_words(line, |word| {
            let digits = word.strip_prefix(['r', 'R']).filter(|digits| digits.len() == DIGITS)?;
            let digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| digits.to_ascii_lowercase())?;
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            for who in (known.len() as u32..arrived).map(ResidentId) {
                known.insert(self.pseudonym(who).split_off(1), who);
            }
            known.get(&digits).filter(|who| who.0 < arrived).copied().map(names::id)
        })
        .into_owned()
    }

    fn value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text).into_owned()),
            Value::Array(items) => items.into_iter().map(|item| self.value(item)).collect(),
            Value::Object(entries) => {
                entries.into_iter().map(|(key, item)| (self.text(&key).into_owned(), self.value(item))).collect()
            }
            other => other,
        }
    }

    fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        replace_words(text, |word| names::resident(word).map(|who| self.pseudonym(who)))
    }
}

/// Writes JSON with the names in each text, keys included, replaced.
struct HiddenTexts<'a> {
    names: &'a PrivacyFilter,
    /// The text that is being written.
    text: String,
}

impl Formatter for HiddenTexts<'_> {
    fn begin_string<W: Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        self.text.clear();
        Ok(())
    }

    fn write_string_fragment<W: Write + ?Sized>(&mut self, _: &mut W, fragment: &str) -> io::Result<()> {
        self.text.push_str(fragment);
        Ok(())
    }

    fn write_char_escape<W: Write + ?Sized>(&mut self, _: &mut W, escape: CharEscape) -> io::Result<()> {
        self.text.push(match escape {
            CharEscape::Quote => '"',
            CharEscape::ReverseSolidus => '\\',
            CharEscape::Solidus => '/',
            CharEscape::Backspace => '\u{8}',
            CharEscape::FormFeed => '\u{c}',
            CharEscape::LineFeed => '\n',
            CharEscape::CarriageReturn => '\r',
            CharEscape::Tab => '\t',
            CharEscape::AsciiControl(byte) => char::from(byte),
        });
        Ok(())
    }

    fn end_string<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        Ok(serde_json::to_writer(out, &self.names.text(&self.text))?)
    }
}

/// Replaces words: letters and digits, including a number after a hyphen if that longer word is replaced.
fn replace_words(text: &str, replaced: impl Fn(&str) -> Option<String>) -> Cow<'_, str> {
    let is_part = |character: char| character.is_alphanumeric();
    let mut out = String::new();
    let mut kept = 0;
    let mut at = 0;
    while let Some(start) = text[at..].find(is_part).map(|start| at + start) {
        let length = |from: usize| text[from..].find(|character| !is_part(character)).unwrap_or(text.len() - from);
        let end = start + length(start);
        let longer = text[end..].starts_with('-').then(|| end + 1 + length(end + 1));
        let hit = longer
            .and_then(|end| Some((end, replaced(&text[start..end])?)))
            .or_else(|| Some((end, replaced(&text[start..end])?)));
        at = end;
        if let Some((end, word)) = hit {
            out.push_str(&text[kept..start]);
            out.push_str(&word);
            (kept, at) = (end, end);
        }
    }
    if kept == 0 && out.is_empty() {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[kept..]);
    Cow::Owned(out)
}

fn read_key(path: &Path) -> io::Result<[u8; 32]> {
    townlet_files::read_own(path)?.try_into().map_err(|_| {
        let why = "it is not a privacy key of 32 bytes; put the right one back, or remove it to create a new one";
        io::Error::new(io::ErrorKind::InvalidData, why)
    })
}

/// Creates a key. If several shards do so at once, all use the first one's.
fn create_key(path: &Path) -> io::Result<[u8; 32]> {
    let key = random_bytes()?;
    let folder = path.parent().unwrap_or(Path::new("."));
    townlet_files::create_folder_of(path)?;
    // The temporary file is readable by its owner only.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&key)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => read_key(path),
        Err(error) => Err(error.error),
        Ok(_) => Ok(key),
    }
}

#[cfg(test)]
mod tests;

//! What residents are called outside the shard: by their names, or under privacy by keyed hashes.
//!
//! Everything that leaves passes here whole, after it was made, so that no block of telemetry can forget to hide a name. A
//! hashed id is `r` and twelve hex digits of a SHA-256 keyed by a secret of the shard, the same for id and name, and stable
//! for as long as the key is kept in the home. Must not know what a message means. Rule: "Privacy mode".

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use townlet_town::hash::hex;
use townlet_town::ids::ResidentId;
use townlet_town::names;

use super::home::Home;
use townlet_audit::Record;
use townlet_wire::telemetry::AuditRow;
use townlet_wire::{Answer, Snapshot};

/// Hex digits of a hashed id.
const DIGITS: usize = 12;

/// What residents are called outside. Two with the same key call everybody the same.
#[derive(Clone, Debug, Default)]
pub struct PrivacyFilter {
    key: [u8; 32],
    hidden: bool,
}

impl PrivacyFilter {
    /// The names of a shard, whose key is made in its home when it has none.
    ///
    /// # Errors
    /// Why the key can be neither read nor made.
    pub fn open(home: &Home, shard: &str, hidden: bool) -> Result<Self, String> {
        let path = home.privacy_key(shard);
        let key = read(&path).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => make(&path),
            _ => Err(error),
        });
        Ok(Self { key: key.map_err(|error| format!("{}: {error}", path.display()))?, hidden })
    }

    /// Hides names from now on, or shows them.
    pub(super) fn hide(&mut self, hidden: bool) {
        self.hidden = hidden;
    }

    /// The same, hiding names whatever is set.
    #[must_use]
    pub fn hiding(self) -> Self {
        Self { hidden: true, ..self }
    }

    /// Whether names leave as hashes.
    pub const fn is_hidden(&self) -> bool {
        self.hidden
    }

    /// The hashed id of a resident.
    pub fn hash(&self, who: ResidentId) -> String {
        let inner = Sha256::new().chain_update(self.key).chain_update(who.0.to_le_bytes()).finalize();
        let outer = Sha256::new().chain_update(self.key).chain_update([0xff]).chain_update(inner).finalize();
        let mut id = hex(&outer);
        id.truncate(DIGITS);
        id.insert(0, 'r');
        id
    }

    /// A snapshot as it may leave.
    pub(super) fn snapshot(&self, snapshot: Snapshot) -> Snapshot {
        if self.hidden { self.passed(snapshot) } else { snapshot }
    }

    /// Events or sentences as they may leave.
    pub(super) fn story<T: Serialize + DeserializeOwned>(&self, told: Vec<T>) -> Vec<T> {
        if self.hidden { self.passed(told) } else { told }
    }

    /// An answer as it may leave.
    pub(super) fn answer(&self, answer: Answer) -> Answer {
        if self.hidden { self.passed(answer) } else { answer }
    }

    /// Rows of the audit log as they may leave.
    pub fn rows(&self, rows: Vec<AuditRow>) -> Vec<AuditRow> {
        if self.hidden { self.passed(rows) } else { rows }
    }

    /// Redacts a record of the audit log, whether or not names are hidden now.
    pub fn redact(&self, record: &mut Record) {
        // What was typed stands here too when it was no command, and whoever sends a command chooses its id.
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

    /// Lines of the audit log as they may leave: as they are, or redacted with `"redacted": true` at the end of each.
    pub fn lines<'a>(&self, lines: &'a [u8]) -> Cow<'a, [u8]> {
        if !self.hidden {
            return Cow::Borrowed(lines);
        }
        let mut out = String::new();
        for line in String::from_utf8_lossy(lines).lines() {
            // A line that is no JSON is damaged; what it would give away is not known, so it stays behind.
            let Ok(value) = serde_json::from_str::<Value>(line) else { continue };
            let mut value = self.value(value);
            value["redacted"] = json!(true);
            out.push_str(&value.to_string());
            out.push('\n');
        }
        Cow::Owned(out.into_bytes())
    }

    /// A command line with every hashed id in it turned back into the id of whoever among the first `arrived` has it.
    pub(super) fn resolve_pseudonyms(&self, line: &str, arrived: u32) -> String {
        replace_words(line, |word| {
            let digits = word.strip_prefix(['r', 'R']).filter(|digits| digits.len() == DIGITS)?;
            let digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| digits.to_ascii_lowercase())?;
            let who = (0..arrived).map(ResidentId).find(|who| self.hash(*who)[1..] == digits)?;
            Some(names::id(who))
        })
        .into_owned()
    }

    fn passed<T: Serialize + DeserializeOwned>(&self, message: T) -> T {
        let value = serde_json::to_value(message).expect("a message is plain data");
        serde_json::from_value(self.value(value)).expect("only texts have changed")
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
        replace_words(text, |word| names::resident(word).map(|who| self.hash(who)))
    }
}

/// Replaces words; one is letters and digits with, where that makes a word that is replaced, a number behind a hyphen.
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

fn read(path: &Path) -> io::Result<[u8; 32]> {
    let mut key = [0; 32];
    let bytes = townlet_files::read(path)?;
    if bytes.len() != key.len() {
        let why = "it is not a privacy key of 32 bytes; put the right one back, or remove it to have a new one made";
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    key.copy_from_slice(&bytes);
    Ok(key)
}

/// Makes a key. Of several shards that make one at once, the first makes it for all.
fn make(path: &Path) -> io::Result<[u8; 32]> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut key = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let beside = path.with_extension(uuid::Uuid::now_v7().simple().to_string());
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(&key)?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&beside, path);
    std::fs::remove_file(&beside)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read(path),
        linked => linked.map(|()| key),
    }
}

#[cfg(test)]
mod tests;

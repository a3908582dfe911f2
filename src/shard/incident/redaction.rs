//! What must not leave in a bundle: tokens, and whatever a setting or a variable of the environment calls a secret.
//!
//! Owns what looks like a secret and how it is blotted out. Values are looked for wherever they stand, so that a message
//! that quotes one is no way out. Rule: "Incidents": a bundle holds no token.

use std::sync::Arc;

use townlet_town::config::{Config, diff};
use townlet_town::{Rules, Sources, Town};

/// Stands where a secret stood.
const REDACTED: &str = "(redacted)";
/// A shorter value is no secret worth the name, and may be a word that stands in every file.
const SHORTEST: usize = 8;
/// Parts of a name that announce a secret.
const NAMES: [&str; 10] =
    ["token", "secret", "passw", "passphrase", "credential", "apikey", "api_key", "private", "access_key", "auth"];
/// How every token of a shard begins.
const TOKEN: &[u8] = b"twn_";

/// Whether a setting or a variable of this name holds a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    NAMES.iter().any(|part| name.contains(part))
}

/// The values that may stand nowhere.
#[derive(Debug, Default)]
pub(super) struct SecretRedactor(Vec<Vec<u8>>);

impl SecretRedactor {
    /// Those of this process's environment, and of a configuration: what it sets otherwise than the default.
    pub(super) fn known(config: Option<&Config>) -> Self {
        let mut known = Self::default();
        for (name, value) in std::env::vars_os() {
            if is_secret_name(&name.to_string_lossy()) {
                known.take(&value.to_string_lossy());
            }
        }
        for set in config.into_iter().flat_map(|config| diff(&Config::shipped(), config)) {
            if is_secret_name(&set.key) {
                known.take(&set.right.unwrap_or_default());
            }
        }
        known
    }

    fn take(&mut self, value: &str) {
        let value = value.trim().trim_matches(['"', '\'']);
        if value.len() >= SHORTEST && value.parse::<f64>().is_err() {
            self.0.push(value.as_bytes().to_vec());
        }
    }

    /// Whether bytes hold a secret.
    pub(super) fn are_in(&self, bytes: &[u8]) -> bool {
        token(bytes, 0).is_some() || self.0.iter().any(|value| find(bytes, value, 0).is_some())
    }

    /// A text without them; `true` when there were any.
    pub(super) fn blotted(&self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut text = bytes.to_vec();
        for value in &self.0 {
            let mut from = 0;
            while let Some(at) = find(&text, value, from) {
                text.splice(at..at + value.len(), REDACTED.bytes());
                from = at + REDACTED.len();
            }
        }
        let mut from = 0;
        while let Some((at, end)) = token(&text, from) {
            text.splice(at..end, REDACTED.bytes());
            from = at + REDACTED.len();
        }
        let changed = text != bytes;
        (text, changed)
    }

    /// The texts of a town without them; `None` when they hold none.
    pub(super) fn sources(&self, sources: &Sources) -> Option<Sources> {
        let (config, changed) = self.blotted(sources.config.canonical().as_bytes());
        let config = String::from_utf8(config).ok().filter(|_| changed)?;
        // A redacted value may be invalid. Then the default configuration takes the place of the whole.
        let config = Config::from_canonical(&config).unwrap_or_default();
        Some(Sources { config, ..sources.clone() })
    }

    /// The same town, made from texts without them; `None` when they hold none, or make no town then.
    pub(super) fn town(&self, town: &Town) -> Option<Town> {
        let rules = Rules::new(self.sources(&town.rules().sources)?).ok()?;
        Town::resume(Arc::new(rules), town.state().clone()).ok()
    }
}

fn find(text: &[u8], value: &[u8], from: usize) -> Option<usize> {
    text.get(from..)?.windows(value.len()).position(|window| window == value).map(|at| at + from)
}

/// Where a token begins and ends: `twn_`, an id, `_`, a secret.
fn token(text: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut from = from;
    while let Some(at) = find(text, TOKEN, from) {
        let body = &text[at + TOKEN.len()..];
        let length = body.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        // What a person may read of one is its id alone.
        if length >= SHORTEST && body[..length].contains(&b'_') {
            return Some((at, at + TOKEN.len() + length));
        }
        from = at + TOKEN.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(values: &[&str]) -> SecretRedactor {
        let mut secrets = SecretRedactor::default();
        for value in values {
            secrets.take(value);
        }
        secrets
    }

    #[test]
    fn names_that_announce_a_secret() {
        for name in ["GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "db.password", "console_auth.token_file"] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["PATH", "employment.exit_cap", "seed"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn values_and_tokens_are_blotted_wherever_they_stand() {
        let secrets = secrets(&["canary-value", "\"quoted-value\"", "true", "12345678.5"]);
        let text = b"a canary-value, acanary-valueb, quoted-value; true 12345678.5 twn_ab12_00ffee11; twn_ab12 stays";
        let (blotted, changed) = secrets.blotted(text);
        let blotted = String::from_utf8(blotted).unwrap();
        assert!(changed);
        assert_eq!(blotted, "a (redacted), a(redacted)b, (redacted); true 12345678.5 (redacted); twn_ab12 stays");
        assert!(secrets.are_in(text) && !secrets.are_in(blotted.as_bytes()));
    }
}

//! Redaction of secrets in bundles: tokens, and the values of settings and environment variables with secret names, wherever
//! they appear. Rule: "Incidents".

use std::sync::Arc;

use townlet_town::config::{Config, diff};
use townlet_town::{Rules, Sources, Town};
use townlet_wire::{REDACTED, find_token};

/// Shorter values are not redacted; they may be common words.
const MIN_LENGTH: usize = 8;
const NAMES: [&str; 10] =
    ["token", "secret", "passw", "passphrase", "credential", "apikey", "api_key", "private", "access_key", "auth"];

/// Whether a setting or variable of this name contains a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    NAMES.iter().any(|part| name.contains(part))
}

#[derive(Debug, Default)]
pub(super) struct SecretRedactor(Vec<Vec<u8>>);

impl SecretRedactor {
    /// The secrets in this process's environment and in the settings of a configuration that differ from the default.
    pub(super) fn known(config: Option<&Config>) -> Self {
        let mut known = Self::default();
        for (name, value) in std::env::vars_os() {
            if is_secret_name(&name.to_string_lossy()) {
                known.add(&value.to_string_lossy());
            }
        }
        for set in config.into_iter().flat_map(|config| diff(&Config::shipped(), config)) {
            if is_secret_name(&set.key) {
                known.add(&set.right.unwrap_or_default());
            }
        }
        known
    }

    fn add(&mut self, value: &str) {
        let value = value.trim().trim_matches(['"', '\'']);
        if value.len() >= MIN_LENGTH && value.parse::<f64>().is_err() {
            self.0.push(value.as_bytes().to_vec());
        }
    }

    pub(super) fn found_in(&self, bytes: &[u8]) -> bool {
        find_token(bytes, 0).is_some() || self.0.iter().any(|value| find(bytes, value, 0).is_some())
    }

    pub(super) fn redact(&self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut text = bytes.to_vec();
        for value in &self.0 {
            let mut from = 0;
            while let Some(at) = find(&text, value, from) {
                text.splice(at..at + value.len(), REDACTED.bytes());
                from = at + REDACTED.len();
            }
        }
        let mut from = 0;
        while let Some((at, end)) = find_token(&text, from) {
            text.splice(at..end, REDACTED.bytes());
            from = at + REDACTED.len();
        }
        let changed = text != bytes;
        (text, changed)
    }

    /// The texts of a town without secrets; `None` if they contain none.
    pub(super) fn sources(&self, sources: &Sources) -> Option<Sources> {
        let (config, changed) = self.redact(sources.config.canonical().as_bytes());
        let config = String::from_utf8(config).ok().filter(|_| changed)?;
        // A redacted value may be invalid. Then the default configuration takes the place of the whole.
        let config = Config::from_canonical(&config).unwrap_or_default();
        Some(Sources { config, ..sources.clone() })
    }

    /// The town rebuilt from texts without secrets; `None` if they contain none or would become invalid.
    pub(super) fn town(&self, town: &Town) -> Option<Town> {
        let rules = Rules::new(self.sources(&town.rules().sources)?).ok()?;
        Town::resume(Arc::new(rules), town.state().clone()).ok()
    }
}

fn find(text: &[u8], value: &[u8], from: usize) -> Option<usize> {
    text.get(from..)?.windows(value.len()).position(|window| window == value).map(|at| at + from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(values: &[&str]) -> SecretRedactor {
        let mut secrets = SecretRedactor::default();
        for value in values {
            secrets.add(value);
        }
        secrets
    }

    #[test]
    fn secret_names_are_recognised() {
        for name in ["GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "db.password", "console_auth.token_file"] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["PATH", "employment.exit_cap", "seed"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn values_and_tokens_are_redacted_everywhere() {
        let secrets = secrets(&["canary-value", "\"quoted-value\"", "true", "12345678.5"]);
        let text = b"a canary-value, acanary-valueb, quoted-value; true 12345678.5 twn_ab12_00ffee11; twn_ab12 stays";
        let (redacted, changed) = secrets.redact(text);
        let redacted = String::from_utf8(redacted).unwrap();
        assert!(changed);
        assert_eq!(redacted, "a (redacted), a(redacted)b, (redacted); true 12345678.5 (redacted); twn_ab12 stays");
        assert!(secrets.found_in(text) && !secrets.found_in(redacted.as_bytes()));
    }
}

//! Access tokens: stored as hashes and compared in constant time.
//!
//! A token is `twn_<id>_<secret>`; the secret is 256 bits in hex. The store holds one JSON line per token. Rule: "Roles and
//! identity".

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use townlet_town::hash::hex;

use townlet_wire::{Role, sha256};

/// Live tokens per role: two, so that one can be replaced without an interruption.
pub const MAX_TOKENS_PER_ROLE: usize = 2;
/// Longest wait between two wrong attempts of a peer.
const MAX_WAIT: Duration = Duration::from_mins(1);
/// Maximum size of a store; it holds at most four lines.
const MAX_BYTES: u64 = 1024 * 1024;
/// Maximum number of peers whose wrong attempts are remembered.
const MAX_PEERS: usize = 4_096;

/// A token as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredToken {
    /// The public part.
    pub id: String,
    /// The role it grants.
    pub role: Role,
    /// SHA-256 of the whole token, in hex.
    pub sha256: String,
    /// Time of creation, RFC 3339, UTC.
    pub created: String,
}

/// The token store, with the failed attempts seen by this process.
#[derive(Debug, Default)]
pub struct TokenStore {
    stored: Vec<StoredToken>,
    /// Failed attempts by peer: how many, and when the last was.
    failures: HashMap<String, (u32, Instant)>,
}

impl TokenStore {
    /// Reads a store; a missing file is an empty store. The error names file and line.
    pub fn load(path: &Path) -> Result<Self, String> {
        let mut text = String::new();
        match townlet_files::open_own(path, OpenOptions::new().read(true))
            .and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text))
        {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{}: {error}", path.display())),
        }
        let mut stored = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let token = serde_json::from_str(line)
                .map_err(|error| format!("{}:{}: not a stored token: {error}", path.display(), number + 1))?;
            stored.push(token);
        }
        Ok(Self { stored, failures: HashMap::new() })
    }

    /// The stored tokens, oldest first.
    pub fn stored(&self) -> &[StoredToken] {
        &self.stored
    }

    fn of(&self, role: Role) -> impl Iterator<Item = &StoredToken> {
        self.stored.iter().filter(move |token| token.role.word() == role.word())
    }

    /// Creates a token, stores its hash and returns its text. Fails if the role already has [`MAX_TOKENS_PER_ROLE`] tokens.
    pub fn create(&mut self, role: Role) -> Result<String, String> {
        if self.of(role).count() >= MAX_TOKENS_PER_ROLE {
            return Err(format!("{} has {MAX_TOKENS_PER_ROLE} live tokens already; revoke one first.", role.word()));
        }
        let secret = random_bytes().map_err(|error| format!("/dev/urandom: {error}"))?;
        let simple = uuid::Uuid::now_v7().simple().to_string();
        let id = simple[simple.len() - 8..].to_owned();
        let token = format!("twn_{id}_{}", hex(&secret));
        let created = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        self.stored.push(StoredToken { id, role, sha256: sha256(token.as_bytes()), created });
        Ok(token)
    }

    /// Removes a token; returns whether it existed.
    pub fn revoke(&mut self, id: &str) -> bool {
        let before = self.stored.len();
        self.stored.retain(|token| token.id != id);
        self.stored.len() < before
    }

    /// Writes the store, readable only by its owner.
    pub fn save(&self, path: &Path) -> Result<(), String> {
        let lines = self.stored.iter().map(|token| serde_json::to_string(token).unwrap_or_default() + "\n");
        let text: String = lines.collect();
        townlet_files::write_atomically(path, text.as_bytes())
            .map_err(|error| format!("{}: {error}", path.display()))?;
        private(path).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Reads the store again and keeps the failed attempts. After an error the known tokens stay in force.
    pub fn reload(&mut self, path: &Path) -> Result<(), String> {
        self.stored = Self::load(path)?.stored;
        Ok(())
    }

    /// The stored token that matches. A wrong one leaves no trace, so that the caller must not learn of it.
    pub fn find(&self, token: &str) -> Option<&StoredToken> {
        let given = sha256(token.as_bytes());
        let mut found = None;
        for stored in &self.stored {
            if bool::from(stored.sha256.as_bytes().ct_eq(given.as_bytes())) {
                found = Some(stored);
            }
        }
        found
    }

    /// The stored token that matches. After a wrong token, `peer` must wait longer and longer before its next wrong token is
    /// checked; a correct token never waits. All stored tokens are compared, so that the time taken reveals nothing.
    pub fn identify(&mut self, peer: &str, token: &str) -> Result<StoredToken, TokenError> {
        if let Some(stored) = self.find(token).cloned() {
            self.failures.remove(peer);
            return Ok(stored);
        }
        let (attempts, elapsed) = self.failures.get(peer).map_or((0, Duration::ZERO), |(n, last)| (*n, last.elapsed()));
        let wait = if attempts == 0 { Duration::ZERO } else { MAX_WAIT.min(Duration::from_secs(1 << attempts.min(6))) };
        if elapsed < wait {
            return Err(TokenError::Throttled(wait.saturating_sub(elapsed).as_secs() + 1));
        }
        if self.failures.len() >= MAX_PEERS {
            self.failures.retain(|_, (_, last)| last.elapsed() < MAX_WAIT);
        }
        if self.failures.len() >= MAX_PEERS {
            return Err(TokenError::Throttled(MAX_WAIT.as_secs()));
        }
        self.failures.insert(peer.to_owned(), (attempts + 1, Instant::now()));
        Err(TokenError::Unknown)
    }

    /// Checks that a token grants the admin role, as [`TokenStore::identify`] does. The error reveals nothing about the store.
    pub fn check(&mut self, peer: &str, token: &str) -> Result<(), String> {
        match self.identify(peer, token).map(|stored| stored.role) {
            Ok(Role::Admin) => Ok(()),
            Ok(Role::Viewer) | Err(TokenError::Unknown) => Err("this is not an admin token.".into()),
            Err(TokenError::Throttled(seconds)) => Err(format!("too many wrong tokens; wait {seconds} s.")),
        }
    }
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// It is not in the store.
    Unknown,
    /// Too many wrong tokens from this peer; the seconds to wait.
    Throttled(u64),
}

/// 32 bytes from the system's random source.
pub(super) fn random_bytes() -> std::io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(unix)]
fn private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn private(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wrong_tokens_are_throttled() {
        let mut tokens = TokenStore::default();
        let token = tokens.create(Role::Admin).unwrap();
        assert!(tokens.check("a", "twn_x_y").unwrap_err().contains("not an admin token"));
        assert!(tokens.check("a", "twn_x_y").unwrap_err().contains("wait"));
        assert_eq!(tokens.check("a", &token), Ok(()));
        assert!(!tokens.stored()[0].sha256.contains(&token));
    }

    #[test]
    fn viewer_tokens_do_not_grant_admin_and_each_role_has_two() {
        let mut tokens = TokenStore::default();
        let viewer = tokens.create(Role::Viewer).unwrap();
        assert!(tokens.check("a", &viewer).is_err());
        tokens.create(Role::Viewer).unwrap();
        assert!(tokens.create(Role::Viewer).unwrap_err().contains("revoke"));
        let id = tokens.stored()[0].id.clone();
        assert!(tokens.revoke(&id) && !tokens.revoke(&id));
    }

    #[test]
    fn the_store_is_saved_and_invalid_lines_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let mut tokens = TokenStore::load(&path).unwrap();
        tokens.create(Role::Admin).unwrap();
        tokens.save(&path).unwrap();
        assert_eq!(TokenStore::load(&path).unwrap().stored(), tokens.stored());
        std::fs::write(&path, "{}\n").unwrap();
        assert!(TokenStore::load(&path).unwrap_err().contains(":1:"));
    }
}

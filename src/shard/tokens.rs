//! Tokens: who may become what. Stored hashed, compared in constant time, never written anywhere else.
//!
//! A token is `twn_<id>_<secret>`, the secret 256 bits in hex. The store is one JSON line a token. Rule: "Roles and
//! identity".

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use townlet_town::hash::hex;

use townlet_wire::Role;

/// Live tokens a role may have, so that one can be replaced without a gap.
pub const MAX_TOKENS_PER_ROLE: usize = 2;
/// Longest wait between two wrong attempts that are looked at.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// Bytes of a store read at most; one has a line for each of four tokens.
const MOST_BYTES: u64 = 1024 * 1024;
/// Peers whose wrong attempts are remembered at most.
const MAX_PEERS: usize = 4_096;

/// A token as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredToken {
    /// The part that may be shown.
    pub id: String,
    /// What it makes its holder.
    pub role: Role,
    /// SHA-256 of the whole token, in hex.
    pub sha256: String,
    /// RFC 3339, UTC.
    pub created: String,
}

/// The store, with the wrong attempts of this process.
#[derive(Debug, Default)]
pub struct TokenStore {
    stored: Vec<StoredToken>,
    wrong: HashMap<String, (u32, Instant)>,
}

impl TokenStore {
    /// Reads a store; a file that does not exist is an empty one.
    ///
    /// # Errors
    /// Which file and line cannot be read.
    pub fn load(path: &Path) -> Result<Self, String> {
        let mut text = String::new();
        match townlet_files::open(path).and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text)) {
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
        Ok(Self { stored, wrong: HashMap::new() })
    }

    /// What is stored, oldest first.
    pub fn stored(&self) -> &[StoredToken] {
        &self.stored
    }

    fn of(&self, role: Role) -> impl Iterator<Item = &StoredToken> {
        self.stored.iter().filter(move |token| token.role.word() == role.word())
    }

    /// Makes a token and keeps its hash; the text is given out this once.
    ///
    /// # Errors
    /// When the role has its two already, or the system has no randomness.
    pub fn make(&mut self, role: Role) -> Result<String, String> {
        if self.of(role).count() >= MAX_TOKENS_PER_ROLE {
            return Err(format!("{} has {MAX_TOKENS_PER_ROLE} live tokens already; revoke one first.", role.word()));
        }
        let mut secret = [0_u8; 32];
        let mut source = File::open("/dev/urandom").map_err(|error| format!("/dev/urandom: {error}"))?;
        source.read_exact(&mut secret).map_err(|error| format!("/dev/urandom: {error}"))?;
        let simple = uuid::Uuid::now_v7().simple().to_string();
        let id = simple[simple.len() - 8..].to_owned();
        let token = format!("twn_{id}_{}", hex(&secret));
        let created = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        self.stored.push(StoredToken { id, role, sha256: hash(&token), created });
        Ok(token)
    }

    /// Forgets a token; whether there was one.
    pub fn revoke(&mut self, id: &str) -> bool {
        let before = self.stored.len();
        self.stored.retain(|token| token.id != id);
        self.stored.len() < before
    }

    /// Writes the store so that only its owner can read it.
    ///
    /// # Errors
    /// The file and what the system says.
    pub fn save(&self, path: &Path) -> Result<(), String> {
        let lines = self.stored.iter().map(|token| serde_json::to_string(token).unwrap_or_default() + "\n");
        let text: String = lines.collect();
        super::home::replace(path, text.as_bytes()).map_err(|error| format!("{}: {error}", path.display()))?;
        private(path).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Reads the store again and keeps who guessed wrong; what cannot be read leaves the tokens known so far.
    ///
    /// # Errors
    /// Which file and line cannot be read.
    pub fn reload(&mut self, path: &Path) -> Result<(), String> {
        self.stored = Self::load(path)?.stored;
        Ok(())
    }

    /// Whose token this is. A wrong one makes `peer` wait ever longer before the next wrong one is looked at; a right one is
    /// never kept waiting. Every stored token is compared, whatever is found, so that time tells nothing.
    ///
    /// # Errors
    /// That it is none, or how long to wait.
    pub fn identify(&mut self, peer: &str, token: &str) -> Result<StoredToken, TokenError> {
        let given = hash(token);
        let mut found = None;
        for stored in &self.stored {
            if bool::from(stored.sha256.as_bytes().ct_eq(given.as_bytes())) {
                found = Some(stored);
            }
        }
        if let Some(stored) = found {
            self.wrong.remove(peer);
            return Ok(stored.clone());
        }
        let (attempts, elapsed) = self.wrong.get(peer).map_or((0, Duration::ZERO), |(n, last)| (*n, last.elapsed()));
        let wait =
            if attempts == 0 { Duration::ZERO } else { LONGEST_WAIT.min(Duration::from_secs(1 << attempts.min(6))) };
        if elapsed < wait {
            return Err(TokenError::Throttled(wait.saturating_sub(elapsed).as_secs() + 1));
        }
        if self.wrong.len() >= MAX_PEERS {
            self.wrong.retain(|_, (_, last)| last.elapsed() < LONGEST_WAIT);
        }
        if self.wrong.len() >= MAX_PEERS {
            return Err(TokenError::Throttled(LONGEST_WAIT.as_secs()));
        }
        self.wrong.insert(peer.to_owned(), (attempts + 1, Instant::now()));
        Err(TokenError::Unknown)
    }

    /// Whether this token makes an admin; [`TokenStore::identify`] says how wrong ones are met.
    ///
    /// # Errors
    /// Why not, in a sentence that says nothing about the store.
    pub fn check(&mut self, peer: &str, token: &str) -> Result<(), String> {
        match self.identify(peer, token).map(|stored| stored.role) {
            Ok(Role::Admin) => Ok(()),
            Ok(Role::Viewer) | Err(TokenError::Unknown) => Err("this is not an admin token.".into()),
            Err(TokenError::Throttled(seconds)) => Err(format!("too many wrong tokens; wait {seconds} s.")),
        }
    }
}

/// Why a token opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// It is not in the store.
    Unknown,
    /// Wrong ones came from there before; it is not looked at for so many seconds.
    Throttled(u64),
}

fn hash(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
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
    fn a_right_token_is_never_kept_waiting_and_a_wrong_one_is() {
        let mut tokens = TokenStore::default();
        let token = tokens.make(Role::Admin).unwrap();
        assert!(tokens.check("a", "twn_x_y").unwrap_err().contains("not an admin token"));
        assert!(tokens.check("a", "twn_x_y").unwrap_err().contains("wait"));
        assert_eq!(tokens.check("a", &token), Ok(()));
        assert!(!tokens.stored()[0].sha256.contains(&token));
    }

    #[test]
    fn viewer_tokens_make_no_admin_and_roles_have_two() {
        let mut tokens = TokenStore::default();
        let viewer = tokens.make(Role::Viewer).unwrap();
        assert!(tokens.check("a", &viewer).is_err());
        tokens.make(Role::Viewer).unwrap();
        assert!(tokens.make(Role::Viewer).unwrap_err().contains("revoke"));
        let id = tokens.stored()[0].id.clone();
        assert!(tokens.revoke(&id) && !tokens.revoke(&id));
    }

    #[test]
    fn the_store_survives_and_bad_lines_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let mut tokens = TokenStore::load(&path).unwrap();
        tokens.make(Role::Admin).unwrap();
        tokens.save(&path).unwrap();
        assert_eq!(TokenStore::load(&path).unwrap().stored(), tokens.stored());
        std::fs::write(&path, "{}\n").unwrap();
        assert!(TokenStore::load(&path).unwrap_err().contains(":1:"));
    }
}

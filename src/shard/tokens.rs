//! Access tokens: stored as hashes and compared in constant time.
//!
//! A token is `twn_<id>_<secret>`; the secret is 256 bits in hex. Tokens of one name belong to one principal, which is the issuer
//! of its commands, so that a rotation changes nothing but the secret. The store holds one JSON line per token. Rule: "Roles and
//! identity".

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use townlet_town::hash::hex;

use townlet_wire::{Role, holds_token, sha256};

/// Live tokens of a principal: two, so that one can be replaced without an interruption.
pub const MAX_TOKENS_PER_NAME: usize = 2;
/// A token that ends within this time is reported.
pub const EXPIRY_WARNING: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Maximum number of tokens in a store.
const MAX_TOKENS: usize = 200;
/// Maximum length of a name, in characters.
const MAX_NAME: usize = 40;
/// Longest wait between two wrong attempts of a peer.
const MAX_WAIT: Duration = Duration::from_mins(1);
/// Maximum size of a store.
const MAX_BYTES: u64 = 1024 * 1024;
/// Maximum number of peers whose wrong attempts are remembered.
const MAX_PEERS: usize = 4_096;

/// A token as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredToken {
    /// The public part.
    pub id: String,
    /// The principal. Tokens of stores without names have their id as name.
    #[serde(default)]
    pub name: String,
    /// The role it grants.
    pub role: Role,
    /// SHA-256 of the whole token, in hex.
    pub sha256: String,
    /// Time of creation, RFC 3339, UTC.
    pub created: String,
    /// The time from which on it is refused, RFC 3339, UTC; `None` for a token that does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

impl StoredToken {
    /// The time from which on it is refused.
    pub fn expiry(&self) -> Option<Timestamp> {
        self.expires.as_deref().and_then(|text| text.parse().ok())
    }

    /// Whether it is refused at `now` because of its age.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expiry().is_some_and(|expiry| now >= expiry)
    }

    /// Whether it is still valid at `now`, but not for longer than [`EXPIRY_WARNING`].
    pub fn expires_soon(&self, now: Timestamp) -> bool {
        self.expiry().is_some_and(|expiry| now < expiry && expiry.duration_since(now) <= EXPIRY_WARNING)
    }

    /// How long it was made for.
    fn lifetime(&self) -> Option<SignedDuration> {
        let created: Timestamp = self.created.parse().ok()?;
        Some(self.expiry()?.duration_since(created))
    }

    fn check(&self) -> Result<(), String> {
        check_name(&self.name)?;
        let is_hash = self.sha256.len() == 64 && self.sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hash || self.id.is_empty() || !self.id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err("the id or the hash is not one.".into());
        }
        match self.expires.as_deref().map(str::parse::<Timestamp>) {
            Some(Err(_)) => Err("`expires` is not a time in RFC 3339.".into()),
            _ => Ok(()),
        }
    }
}

/// Checks the name of a principal.
pub fn check_name(name: &str) -> Result<(), String> {
    let plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) || holds_token(name) {
        return Err(format!("a name has 1 to {MAX_NAME} letters, digits, `-`, `_` and `.`, such as `ada-laptop`."));
    }
    Ok(())
}

/// The token store, with the failed attempts seen by this process.
#[derive(Debug, Default)]
pub struct TokenStore {
    stored: Vec<StoredToken>,
    /// Failed attempts by peer: how many, and when the last was.
    failures: HashMap<String, (u32, Instant)>,
}

impl TokenStore {
    /// Reads a store; a missing file is an empty store. Refuses one that other users can read, change or replace. The error names
    /// file and line.
    pub fn load(path: &Path) -> Result<Self, String> {
        let mut text = String::new();
        match townlet_files::open_private(path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text)) {
            Ok(_) => Self::parse(&text).map_err(|why| format!("{}{why}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(format!("{}: {error}.", path.display())),
        }
    }

    /// Reads the text of a store. The error begins with the line, such as `:3: not a stored token: …`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut stored: Vec<StoredToken> = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let damaged = |why: String| format!(":{}: not a stored token: {why}", number + 1);
            let mut token: StoredToken = serde_json::from_str(line).map_err(|error| damaged(error.to_string()))?;
            if token.name.is_empty() {
                token.name.clone_from(&token.id);
            }
            token.check().map_err(damaged)?;
            if stored.iter().any(|other| other.id == token.id) {
                return Err(damaged(format!("the id {} stands in the store already.", token.id)));
            }
            let role = token.role.word();
            if stored.iter().any(|other| other.name == token.name && other.role.word() != role) {
                return Err(damaged(format!("{} has another role in this store already.", token.name)));
            }
            stored.push(token);
        }
        Ok(Self { stored, failures: HashMap::new() })
    }

    /// The stored tokens, oldest first.
    pub fn stored(&self) -> &[StoredToken] {
        &self.stored
    }

    /// The tokens that end within [`EXPIRY_WARNING`] of `now` and whose principals have none that lives longer.
    pub fn expiring(&self, now: Timestamp) -> impl Iterator<Item = &StoredToken> {
        let lives_on = move |token: &StoredToken| !token.is_expired(now) && !token.expires_soon(now);
        self.stored.iter().filter(move |token| token.expires_soon(now) && !self.of(&token.name).any(lives_on))
    }

    /// The tokens of a principal, oldest first.
    pub fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a StoredToken> {
        self.stored.iter().filter(move |token| token.name == name)
    }

    /// Creates a token without a name, whose principal is its id. Stores its hash and returns its text.
    pub fn create(&mut self, role: Role) -> Result<String, String> {
        self.create_unnamed(role, None)
    }

    /// The same with an expiry.
    pub fn create_unnamed(&mut self, role: Role, expires: Option<Timestamp>) -> Result<String, String> {
        self.issue(None, role, expires)
    }

    /// Creates the first token of a principal. Stores its hash and returns its text.
    pub fn create_named(&mut self, name: &str, role: Role, expires: Option<Timestamp>) -> Result<String, String> {
        check_name(name)?;
        if self.of(name).next().is_some() {
            return Err(format!("`{name}` has a token already. `townlet token rotate {name}` makes another one."));
        }
        self.issue(Some(name), role, expires)
    }

    /// Creates a further token of a principal with the same role, and removes its expired ones. The tokens before stay valid,
    /// or with `overlap` until then. Without `lifetime`, the new one lives as long as the last one.
    pub fn rotate(
        &mut self,
        name: &str,
        now: Timestamp,
        lifetime: Option<SignedDuration>,
        overlap: Option<SignedDuration>,
    ) -> Result<String, String> {
        let Some(last) = self.of(name).last().cloned() else { return Err(format!("there is no token of `{name}`.")) };
        let is_live = |token: &StoredToken| !token.is_expired(now);
        if self.of(name).filter(|token| is_live(token)).count() >= MAX_TOKENS_PER_NAME {
            let ids: Vec<&str> = self.of(name).map(|token| token.id.as_str()).collect();
            return Err(format!(
                "`{name}` has {MAX_TOKENS_PER_NAME} live tokens already ({}). Revoke one first: `townlet token revoke ID`.",
                ids.join(", ")
            ));
        }
        let after = |duration: SignedDuration| now.checked_add(duration).map_err(|_| "the time is too far away.");
        let expires = lifetime.or_else(|| last.lifetime()).map(after).transpose()?;
        let ends = overlap.map(after).transpose()?;
        self.stored.retain(|token| token.name != name || is_live(token));
        for token in self.stored.iter_mut().filter(|token| token.name == name) {
            if let Some(ends) = ends.filter(|ends| token.expiry().is_none_or(|expiry| *ends < expiry)) {
                token.expires = Some(rfc3339(ends));
            }
        }
        self.issue(Some(name), last.role, expires)
    }

    fn issue(&mut self, name: Option<&str>, role: Role, expires: Option<Timestamp>) -> Result<String, String> {
        if self.stored.len() >= MAX_TOKENS {
            return Err(format!("the store holds {MAX_TOKENS} tokens already; revoke one first."));
        }
        let secret = random_bytes().map_err(|error| format!("/dev/urandom: {error}"))?;
        let simple = uuid::Uuid::now_v7().simple().to_string();
        let id = simple[simple.len() - 8..].to_owned();
        let token = format!("twn_{id}_{}", hex(&secret));
        let (name, created) = (name.unwrap_or(&id).to_owned(), rfc3339(Timestamp::now()));
        let expires = expires.map(rfc3339);
        self.stored.push(StoredToken { id, name, role, sha256: sha256(token.as_bytes()), created, expires });
        Ok(token)
    }

    /// Removes the tokens of a principal, or the one with this id; returns whether there was any.
    pub fn revoke(&mut self, name_or_id: &str) -> bool {
        let before = self.stored.len();
        self.stored.retain(|token| token.id != name_or_id && token.name != name_or_id);
        self.stored.len() < before
    }

    /// Writes the store, readable only by its owner.
    pub fn save(&self, path: &Path) -> Result<(), String> {
        let lines = self.stored.iter().map(|token| serde_json::to_string(token).unwrap_or_default() + "\n");
        let text: String = lines.collect();
        townlet_files::write_private(path, text.as_bytes()).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Reads the store again and keeps the failed attempts. After an error the known tokens stay.
    pub fn reload(&mut self, path: &Path) -> Result<(), String> {
        self.stored = Self::load(path)?.stored;
        Ok(())
    }

    /// The stored token that matches, whether or not it has expired. A wrong one leaves no trace, so that the caller must not learn
    /// of it.
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

    /// The stored token that matches, if it has not expired. After a wrong token, `peer` must wait longer and longer before its next wrong token is
    /// checked; a correct token never waits. All stored tokens are compared, so that the time taken reveals nothing.
    pub fn identify(&mut self, peer: &str, token: &str) -> Result<StoredToken, TokenError> {
        if let Some(stored) = self.find(token).cloned() {
            self.failures.remove(peer);
            if stored.is_expired(Timestamp::now()) {
                return Err(TokenError::Expired(Box::new(stored)));
            }
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
        match self.identify(peer, token) {
            Ok(stored) if matches!(stored.role, Role::Admin) => Ok(()),
            Ok(_) | Err(TokenError::Unknown) => Err("this is not an admin token.".into()),
            Err(why @ (TokenError::Expired(_) | TokenError::Throttled(_))) => Err(why.to_string()),
        }
    }
}

/// Why a token is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is not in the store.
    #[error("the token is not valid.")]
    Unknown,
    /// Its time is over.
    #[error("the token `{}` expired at {}.", .0.name, .0.expires.as_deref().unwrap_or_default())]
    Expired(Box<StoredToken>),
    /// Too many wrong tokens from this peer; the seconds to wait.
    #[error("too many wrong tokens; wait {0} s.")]
    Throttled(u64),
}

/// A time as the store keeps it, to the second.
fn rfc3339(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// 32 bytes from the system's random source.
pub(super) fn random_bytes() -> std::io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: SignedDuration = SignedDuration::from_hours(24);

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
    fn viewer_tokens_do_not_grant_admin() {
        let mut tokens = TokenStore::default();
        let viewer = tokens.create(Role::Viewer).unwrap();
        assert!(tokens.check("a", &viewer).is_err());
        let id = tokens.stored()[0].id.clone();
        assert!(tokens.revoke(&id) && !tokens.revoke(&id));
    }

    #[test]
    fn a_principal_has_one_role_and_at_most_two_live_tokens() {
        let (mut tokens, now) = (TokenStore::default(), Timestamp::now());
        let first = tokens.create_named("ada-laptop", Role::Admin, None).unwrap();
        assert!(tokens.create_named("ada-laptop", Role::Viewer, None).unwrap_err().contains("token rotate ada-laptop"));
        let second = tokens.rotate("ada-laptop", now, None, None).unwrap();
        for token in [&first, &second] {
            let found = tokens.identify("a", token).unwrap();
            assert_eq!((found.name.as_str(), found.role.word()), ("ada-laptop", "admin"));
        }
        assert!(tokens.rotate("ada-laptop", now, None, None).unwrap_err().contains("Revoke one first"));
        assert!(tokens.rotate("nobody", now, None, None).unwrap_err().contains("no token of `nobody`"));
        assert!(tokens.revoke("ada-laptop") && tokens.stored().is_empty(), "both are revoked");
        for name in ["", "a b", "a/b", "ü", "a\u{200b}", "twn_ab12_00ffee11", &"x".repeat(41)] {
            assert!(tokens.create_named(name, Role::Admin, None).unwrap_err().contains("letters, digits"), "{name}");
        }
        assert!(tokens.stored().is_empty());
    }

    #[test]
    fn a_rotation_keeps_the_lifetime_and_ends_the_overlap() {
        let (mut tokens, now) = (TokenStore::default(), Timestamp::now());
        let ninety_days = now + DAY * 90;
        tokens.create_named("night", Role::Viewer, Some(ninety_days)).unwrap();
        let hour = SignedDuration::from_hours(1);
        tokens.rotate("night", now + DAY * 10, None, Some(hour)).unwrap();
        let expiries: Vec<Timestamp> = tokens.stored().iter().filter_map(StoredToken::expiry).collect();
        assert_eq!(expiries.len(), 2);
        let near =
            |found: Timestamp, wanted: Timestamp| found.duration_since(wanted).abs() <= SignedDuration::from_secs(2);
        assert!(near(expiries[0], now + DAY * 10 + hour), "{expiries:?}");
        assert!(near(expiries[1], now + DAY * 100), "{expiries:?}");
        // An overlap never lengthens a life, and expired tokens make room.
        tokens.rotate("night", now + DAY * 99, Some(DAY), Some(DAY * 30)).unwrap();
        let expiries: Vec<Timestamp> = tokens.stored().iter().filter_map(StoredToken::expiry).collect();
        assert!(expiries.len() == 2 && near(expiries[0], now + DAY * 100), "{expiries:?}");
    }

    #[test]
    fn expired_tokens_are_refused_by_their_name() {
        let (mut tokens, now) = (TokenStore::default(), Timestamp::now());
        let old = tokens.create_named("old", Role::Admin, Some(now - DAY)).unwrap();
        let soon = tokens.create_named("soon", Role::Admin, Some(now + DAY * 6)).unwrap();
        let refused = tokens.identify("a", &old).unwrap_err();
        assert!(matches!(refused, TokenError::Expired(_)) && refused.to_string().contains("`old` expired at "));
        assert!(tokens.check("a", &old).unwrap_err().contains("expired"));
        assert!(tokens.identify("a", &soon).is_ok());
        let warned = |tokens: &TokenStore| -> Vec<String> { tokens.expiring(now).map(|it| it.name.clone()).collect() };
        assert_eq!(warned(&tokens), ["soon"]);
        tokens.rotate("soon", now, Some(DAY * 90), None).unwrap();
        assert!(warned(&tokens).is_empty(), "another token of the principal lives longer");
    }

    #[test]
    fn stores_without_names_are_read_and_damaged_lines_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let mut tokens = TokenStore::load(&path).unwrap();
        tokens.create(Role::Admin).unwrap();
        tokens.save(&path).unwrap();
        assert_eq!(TokenStore::load(&path).unwrap().stored(), tokens.stored());
        let hash = "0".repeat(64);
        let line = |rest: &str| {
            format!("{{\"id\":\"0a1b2c3d\",{rest}\"sha256\":\"{hash}\",\"created\":\"2026-01-01T00:00:00Z\"}}")
        };
        let old = TokenStore::parse(&line("\"role\":\"admin\",")).unwrap();
        assert_eq!((old.stored()[0].name.as_str(), old.stored()[0].expiry()), ("0a1b2c3d", None));
        let other =
            line("\"role\":\"viewer\",\"name\":\"0a1b2c3d\",").replace("\"0a1b2c3d\",\"role", "\"11112222\",\"role");
        for (text, words) in [
            ("{}".to_owned(), ":1: not a stored token"),
            ("\n[".to_owned(), ":2: not a stored token"),
            (line("\"role\":\"admin\",\"name\":\"a b\","), "letters, digits"),
            (line("\"role\":\"admin\",\"expires\":\"soon\","), "RFC 3339"),
            (line("\"role\":\"admin\",").replace(&hash, "00"), "the hash"),
            (format!("{0}\n{0}", line("\"role\":\"admin\",")), ":2: not a stored token: the id 0a1b2c3d stands"),
            (format!("{}\n{other}", line("\"role\":\"admin\",")), "another role"),
        ] {
            let why = TokenStore::parse(&text).unwrap_err();
            assert!(why.contains(words), "{text}: {why}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_store_that_others_can_change_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ops/tokens.json");
        let mut tokens = TokenStore::default();
        tokens.create(Role::Admin).unwrap();
        tokens.save(&path).unwrap();
        let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(&path, 0o666);
        let why = TokenStore::load(&path).unwrap_err();
        assert!(why.contains("ops/tokens.json: other users can change it (mode 0666)"), "{why}");
        mode(&path, 0o600);
        mode(path.parent().unwrap(), 0o775);
        assert!(TokenStore::load(&path).unwrap_err().contains("chmod go-w"));
        std::fs::remove_file(&path).unwrap();
        assert!(TokenStore::load(&path).is_ok_and(|tokens| tokens.stored().is_empty()));
    }
}

//! The door: whose token it is, what that makes them, and which schema they speak.
//!
//! Owns the store as it is on disk now, that no token is taken from an address, and by which names one may ask. Rule: "Roles and identity".

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};

use townlet_shard::Visitor;
use townlet_shard::tokens::{TokenError, TokenStore};
use townlet_wire::service::SCHEMA_HEADER;
use townlet_wire::{ErrorBody, Role};

/// Longest schema a client may name.
const MAX_SCHEMA_LENGTH: usize = 32;

/// The token store, as it was last read.
pub(super) struct Authenticator {
    path: PathBuf,
    seen: Option<(SystemTime, u64)>,
    tokens: TokenStore,
}

/// Why somebody is not let in.
#[derive(Debug)]
pub(super) struct Rejection {
    /// Code, sentence, hint.
    pub(super) error: ErrorBody,
    /// Seconds to wait.
    pub(super) wait: Option<u64>,
}

impl Rejection {
    /// A rejection with a code, a message and a hint.
    pub(super) fn new(code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { error: ErrorBody { code: code.into(), message: message.into(), hint: hint.into() }, wait: None }
    }
}

impl Authenticator {
    /// Reads the store; one that is not there yet is empty.
    ///
    /// # Errors
    /// Which line cannot be read.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let seen = file_stamp(path);
        Ok(Self { path: path.to_owned(), seen, tokens: TokenStore::load(path)? })
    }

    /// Whether anybody has one.
    pub(super) fn has_tokens(&self) -> bool {
        !self.tokens.stored().is_empty()
    }

    /// Who asks: the token's holder, or, without one, a viewer known by where they are. A token made or revoked a moment ago
    /// counts already.
    pub(super) fn authenticate(
        &mut self,
        from: IpAddr,
        token: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Visitor, Rejection> {
        let schema = schema(headers)?;
        let Some(token) = token else {
            return Ok(Visitor::new(format!("http:{from}"), Role::Viewer, schema));
        };
        let found = file_stamp(&self.path);
        if found != self.seen {
            // A store that cannot be read leaves the tokens known so far in force.
            if self.tokens.reload(&self.path).is_ok() {
                self.seen = found;
            }
        }
        match self.tokens.identify(&from.to_string(), token) {
            Ok(stored) => Ok(Visitor::new(format!("token:{}", stored.id), stored.role, schema)),
            Err(TokenError::Unknown) => Err(Rejection::new(
                "E_UNAUTHORIZED",
                "this token opens nothing here.",
                "`townlet token list` on the shard's machine shows which do; without one you may look.",
            )),
            Err(TokenError::Throttled(seconds)) => Err(Rejection {
                wait: Some(seconds),
                ..Rejection::new("E_TOO_MANY", "too many wrong tokens came from there.", format!("Wait {seconds} s."))
            }),
        }
    }
}

fn file_stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}

/// The token of the one `Authorization: Bearer` header; `None` without any.
pub(super) fn bearer_token(headers: &HeaderMap) -> Result<Option<&str>, Rejection> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let Some(first) = given.next() else { return Ok(None) };
    let token = first.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    match (token, given.next()) {
        (Some(token), None) if !token.is_empty() => Ok(Some(token)),
        _ => Err(Rejection::new(
            "E_UNAUTHORIZED",
            "the authorization is not understood.",
            "One header is: `Authorization: Bearer twn_…`.",
        )),
    }
}

/// Addresses are logged and remembered everywhere, so a token in one is given away: it is refused, and should be revoked.
pub(super) fn reject_token_in_uri(uri: &Uri) -> Result<(), Rejection> {
    if uri.to_string().contains("twn_") {
        return Err(Rejection::new(
            "E_INVALID_ARG",
            "a token has no place in an address.",
            "Bring it as `Authorization: Bearer`, and revoke the one that was shown.",
        ));
    }
    Ok(())
}

/// A page from elsewhere whose name was made to lead to this machine reads what only this machine should: over plain HTTP a
/// service answers to addresses and to names without a dot, which nobody outside can own.
pub(super) fn reject_foreign_host(uri: &Uri, headers: &HeaderMap) -> Result<(), Rejection> {
    let asked = uri.authority().cloned();
    let named = headers.get_all(header::HOST).iter().map(|host| host.to_str().ok()?.parse().ok());
    for host in named.chain(asked.map(Some)) {
        let name = host.as_ref().map(Authority::host).unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
        let here = !name.contains('.') || name.parse::<IpAddr>().is_ok() || name.ends_with(".localhost");
        if !here || name.is_empty() {
            return Err(Rejection::new(
                "E_FORBIDDEN",
                "this service is asked for by a name of elsewhere.",
                "Ask for it by its address, such as 127.0.0.1; a service with a name of its own needs TLS.",
            ));
        }
    }
    Ok(())
}

fn schema(headers: &HeaderMap) -> Result<Option<String>, Rejection> {
    let Some(value) = headers.get(SCHEMA_HEADER) else { return Ok(None) };
    match value.to_str() {
        Ok(text) if text.len() <= MAX_SCHEMA_LENGTH => Ok(Some(text.to_owned())),
        _ => {
            Err(Rejection::new("E_INVALID_ARG", "`Townlet-Schema` is no version.", "Such as `Townlet-Schema: 0.2.0`."))
        }
    }
}

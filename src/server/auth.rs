//! Authentication of requests: bearer tokens, the `Host` header and the client's schema version. Rule: "Roles and identity".

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use axum::http::{HeaderMap, Uri, Version, header};
use jiff::Timestamp;
use tokio::sync::watch;

use super::AppState;
use super::access::HeldToken;
use super::connections::PeerAddress;
use super::credentials;
use super::file_stamp::FileStamp;
use super::rate_limits::Client;
use townlet_shard::Level;
use townlet_shard::tokens::{StoredToken, TokenError, TokenStore};
use townlet_wire::service::SCHEMA_HEADER;
use townlet_wire::telemetry::Alert;
use townlet_wire::{ErrorBody, Role, holds_token};

/// Maximum number of headers, and their maximum size with the URL, in bytes.
const MAX_HEADERS: usize = 100;
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// Maximum length of a schema version, in bytes.
pub(super) const MAX_SCHEMA_LENGTH: usize = 32;

/// Ids of the tokens that are valid now.
pub(super) type LiveTokens = Arc<BTreeSet<String>>;

/// Finds the stored token of a request. Reads the token store again when the file changes.
pub(super) struct Authenticator {
    path: PathBuf,
    seen: Option<FileStamp>,
    tokens: TokenStore,
    /// Why the store is not to be trusted as it is. Until it is mended, the tokens read before grant reading only.
    trouble: Option<String>,
    live: watch::Sender<LiveTokens>,
}

#[derive(Debug)]
pub(super) struct Rejection {
    pub(super) error: ErrorBody,
    /// Seconds until the client may retry.
    pub(super) wait: Option<u64>,
}

impl Rejection {
    pub(super) fn new(code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { error: ErrorBody::new(code, message, hint), wait: None }
    }
}

impl Authenticator {
    /// Reads the token store. A missing file is an empty store.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let (seen, tokens) = (FileStamp::of(path), TokenStore::load(path)?);
        let mut opened = Self { path: path.to_owned(), seen, tokens, trouble: None, live: watch::Sender::default() };
        opened.publish_live();
        Ok(opened)
    }

    /// Reads the token store again at the next request, whether or not the file seems to have changed.
    pub(super) fn reload(&mut self) {
        self.seen = None;
    }

    pub(super) fn has_tokens(&self) -> bool {
        !self.tokens.stored().is_empty()
    }

    /// The ids of the valid tokens, at each change.
    pub(super) fn live_tokens(&self) -> watch::Receiver<LiveTokens> {
        self.live.subscribe()
    }

    /// Reads the store again if it changed, and also while it is in trouble. What is wrong, as alerts.
    pub(super) fn check(&mut self) -> Vec<Alert> {
        self.refresh(self.trouble.is_some());
        let store = self.trouble.as_ref().map(|why| {
            let hint = "Until it is mended, tokens grant reading only. `townlet security check` says more.";
            credentials::alert("token_store", "critical", format!("the token store is not to be trusted: {why}"), hint)
        });
        let expiring: Vec<String> = self
            .tokens
            .expiring(Timestamp::now())
            .map(|token| format!("`{}` at {}", token.name, token.expires.as_deref().unwrap_or_default()))
            .collect();
        let expiring = (!expiring.is_empty()).then(|| {
            let hint = "`townlet token rotate NAME` makes another token of the same name.";
            credentials::alert("token_expires", "warning", format!("tokens expire: {}.", expiring.join(", ")), hint)
        });
        store.into_iter().chain(expiring).collect()
    }

    fn refresh(&mut self, again: bool) {
        let found = FileStamp::of(&self.path);
        if found != self.seen || again {
            // A store that was removed takes its tokens with it, and somebody should know.
            let lost = found.is_none() && (self.has_tokens() || self.trouble.is_some());
            self.seen = found;
            self.trouble = match self.tokens.reload(&self.path) {
                Ok(()) if lost => Some(format!("{}: it is missing, so no token is valid.", self.path.display())),
                Ok(()) => None,
                Err(why) => Some(why),
            };
        }
        self.publish_live();
    }

    /// Publishes the ids of the valid tokens if they changed, so that streams of others end.
    fn publish_live(&mut self) {
        let now = Timestamp::now();
        let valid = self.tokens.stored().iter().filter(|token| !token.is_expired(now));
        let valid: BTreeSet<String> = valid.map(|token| token.id.clone()).collect();
        self.live.send_if_modified(|live| {
            let changed = **live != valid;
            if changed {
                *live = Arc::new(valid);
            }
            changed
        });
    }

    /// The stored token of a request; with the reason, and what to do, when it grants reading only. Created and revoked tokens
    /// take effect at the next request.
    pub(super) fn identify(
        &mut self,
        from: IpAddr,
        token: &str,
    ) -> Result<(StoredToken, Option<(String, String)>), Rejection> {
        self.refresh(false);
        let read_only = self.trouble.as_ref().map(|why| {
            let message = format!("the token store is not to be trusted, so tokens grant reading only: {why}");
            (message, "Mend the store on the shard's machine; `townlet security check` says how.".to_owned())
        });
        match self.tokens.identify(&from.to_string(), token) {
            Ok(stored) => Ok((stored, read_only)),
            Err(why @ TokenError::Unknown) => Err(Rejection::new(
                "E_UNAUTHORIZED",
                why.to_string(),
                "It was mistyped or revoked. `townlet token list` on the shard's machine lists the tokens.",
            )),
            Err(why @ TokenError::Expired(_)) => Err(Rejection::new(
                "E_UNAUTHORIZED",
                why.to_string(),
                "Ask for a new one: `townlet token rotate NAME` on the shard's machine.",
            )),
            Err(TokenError::Throttled(seconds)) => Err(Rejection {
                wait: Some(seconds),
                ..Rejection::new(
                    "E_TOO_MANY",
                    "too many invalid tokens from this address.",
                    format!("Wait {seconds} s."),
                )
            }),
        }
    }

    /// Why a token that was valid is not any more.
    pub(super) fn why_ended(&self, token: &HeldToken) -> String {
        match self.tokens.stored().iter().find(|stored| stored.id == token.id) {
            Some(stored) => TokenError::Expired(Box::new(stored.clone())).to_string(),
            None => format!("the token `{}` was revoked.", token.name),
        }
    }
}

/// The token of the `Authorization: Bearer` header; `None` without one.
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
            "invalid authorization header.",
            "Send one header: `Authorization: Bearer twn_…`.",
        )),
    }
}

/// Refuses a token in the URL, because URLs are stored in logs and browser histories.
pub(super) fn reject_token_in_uri(uri: &Uri) -> Result<(), Rejection> {
    if holds_token(&uri.to_string()) {
        return Err(Rejection::new(
            "E_INVALID_ARG",
            "the URL contains a token.",
            "Send it as `Authorization: Bearer`. Revoke this token, because URLs are logged.",
        ));
    }
    Ok(())
}

/// Refuses a token in any header but `Authorization`, because other headers are logged and quoted.
pub(super) fn reject_token_in_headers(headers: &HeaderMap) -> Result<(), Rejection> {
    let others = headers.iter().filter(|(name, _)| *name != header::AUTHORIZATION);
    for (name, value) in others {
        if holds_token(name.as_str()) || holds_token(&String::from_utf8_lossy(value.as_bytes())) {
            return Err(Rejection::new(
                "E_INVALID_ARG",
                "a header other than `Authorization` contains a token.",
                "Send it as `Authorization: Bearer`, and revoke this token, because other headers are logged.",
            ));
        }
    }
    Ok(())
}

/// Refuses more headers than [`MAX_HEADERS`] or [`MAX_HEADER_BYTES`], the URL included.
pub(super) fn reject_large_headers(uri: &Uri, headers: &HeaderMap) -> Result<(), Rejection> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let url = uri.path_and_query().map_or(0, |it| it.as_str().len());
    if headers.len() > MAX_HEADERS || bytes + url > MAX_HEADER_BYTES {
        let hint = format!("At most {MAX_HEADERS} headers and {} KiB with the URL.", MAX_HEADER_BYTES / 1024);
        return Err(Rejection::new("E_HEADERS_TOO_LARGE", "the headers are too large.", hint));
    }
    Ok(())
}

/// Checks the host that a request names, in its `Host` header and in an absolute URL. HTTP/1.1 requires one `Host`. Over plain
/// HTTP, only [local hosts](is_local_host) are accepted, which protects against DNS rebinding.
pub(super) fn reject_host(version: Version, uri: &Uri, headers: &HeaderMap, secure: bool) -> Result<(), Rejection> {
    let given = headers.get_all(header::HOST);
    let asked = uri.authority().map(|authority| Some(authority.as_str()));
    let mut named = given.iter().map(|host| host.to_str().ok()).chain(asked);
    if !secure && named.any(|host| !host.is_some_and(is_local_host)) {
        return Err(Rejection::new(
            "E_FORBIDDEN",
            "the host name is not accepted over plain HTTP.",
            "Use the IP address, such as 127.0.0.1, or serve with TLS.",
        ));
    }
    let count = given.iter().count();
    if count > 1 || (count == 0 && version > Version::HTTP_10) {
        let message = format!("the request has {count} `Host` headers.");
        return Err(Rejection::new("E_INVALID_ARG", message, "Send one, such as `Host: 127.0.0.1`."));
    }
    Ok(())
}

/// Whether a host with an optional port is an IP address, a name without a dot or `*.localhost`: names that a web page cannot
/// own. Nothing may stand before, between or after them.
fn is_local_host(text: &str) -> bool {
    let is_port =
        |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && (port.is_empty() || port.parse::<u16>().is_ok());
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, rest)) = rest.split_once(']') else { return false };
        return address.parse::<Ipv6Addr>().is_ok() && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port));
    }
    let (name, port) = text.split_once(':').unwrap_or((text, ""));
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let local = !name.contains('.') || name.ends_with(".localhost");
    is_port(port) && (name.parse::<Ipv4Addr>().is_ok() || (local && name.split('.').all(is_label)))
}

/// The level of a request and whose limits it counts against, by the token of its headers. A wrong or expired token is none.
pub(super) fn client_of(app: &AppState, peer: PeerAddress, headers: &HeaderMap) -> (Level, Client) {
    if let Ok(Some(token)) = bearer_token(headers) {
        let mut authenticator = app.authenticator.lock().unwrap_or_else(PoisonError::into_inner);
        authenticator.refresh(false);
        let found = authenticator.tokens.find(token).filter(|stored| !stored.is_expired(Timestamp::now()));
        if let Some(stored) = found {
            let role = if authenticator.trouble.is_none() { stored.role } else { Role::Viewer };
            return (Level::of_token(role), Client::Token(stored.name.clone()));
        }
    }
    (Level::Anonymous, Client::of_address(peer.0))
}

/// The client's schema version, when it names one.
pub(super) fn schema(headers: &HeaderMap) -> Result<Option<String>, Rejection> {
    let Some(value) = headers.get(SCHEMA_HEADER) else { return Ok(None) };
    match value.to_str() {
        Ok(text) if text.len() <= MAX_SCHEMA_LENGTH => Ok(Some(text.to_owned())),
        _ => Err(Rejection::new(
            "E_INVALID_ARG",
            "`Townlet-Schema` is not a version.",
            "Example: `Townlet-Schema: 0.2.0`.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_checked_to_the_last_character() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:80",
            "127.0.0.1.",
            "[::1]",
            "[::1]:80",
            "[::ffff:10.0.0.1]",
            "localhost:8080",
            "LOCALHOST",
            "town.localhost",
            "a.b.localhost.",
            "box",
            "my-box_2",
            "box:",
        ] {
            assert!(is_local_host(host), "{host}");
        }
        for host in [
            "",
            ".",
            ":80",
            "evil.example",
            "evil.example:80",
            "127.0.0.1.evil.example",
            "localhost.evil.example.",
            "[::1].evil.com",
            "[::1]evil",
            "[::1]:80.evil.com",
            "[::1",
            "[evil]",
            "[127.0.0.1]",
            "::1",
            "u@127.0.0.1",
            "a b",
            "box:80:90",
            "box:65536",
            "box:+80",
            "box:8o",
            "box..",
            ".localhost",
            "evil..localhost",
            "a.localhost.evil.example",
            "box/",
            "b\u{f6}x",
            "box#",
            "box,evil.com",
        ] {
            assert!(!is_local_host(host), "{host}");
        }
    }
}

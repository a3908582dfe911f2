//! Authentication of requests: bearer tokens, the `Host` header and the client's schema version. Rule: "Roles and identity".

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use axum::extract::{Extension, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, Version, header};

use super::AppState;
use super::connections::PeerAddress;
use super::rate_limits::Client;
use townlet_shard::tokens::{TokenError, TokenStore};
use townlet_shard::{ANONYMOUS, Level, RemoteCaller};
use townlet_wire::service::SCHEMA_HEADER;
use townlet_wire::{ErrorBody, Role};

/// Maximum number of headers, and their maximum size with the URL, in bytes.
const MAX_HEADERS: usize = 100;
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// Maximum length of a schema version, in bytes.
const MAX_SCHEMA_LENGTH: usize = 32;

/// Maps tokens to visitors. Reads the token store again when the file changes.
pub(super) struct Authenticator {
    path: PathBuf,
    seen: Option<(SystemTime, u64)>,
    tokens: TokenStore,
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
        let seen = file_stamp(path);
        Ok(Self { path: path.to_owned(), seen, tokens: TokenStore::load(path)? })
    }

    /// Reads the token store again at the next request, whether or not the file seems to have changed.
    pub(super) fn reload(&mut self) {
        self.seen = None;
    }

    pub(super) fn has_tokens(&self) -> bool {
        !self.tokens.stored().is_empty()
    }

    /// Reads the token store again if it has changed.
    fn refresh(&mut self) {
        let found = file_stamp(&self.path);
        if found != self.seen {
            // If the file cannot be read, the tokens read before stay valid.
            if self.tokens.reload(&self.path).is_ok() {
                self.seen = found;
            }
        }
    }

    /// The visitor of a request: the token's role, or a viewer without a token. Created and revoked tokens take effect at
    /// the next request.
    pub(super) fn authenticate(
        &mut self,
        from: IpAddr,
        token: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<RemoteCaller, Rejection> {
        let schema = schema(headers)?;
        let Some(token) = token else {
            return Ok(RemoteCaller::new(format!("{ANONYMOUS}{from}"), Role::Viewer, schema));
        };
        self.refresh();
        match self.tokens.identify(&from.to_string(), token) {
            Ok(stored) => Ok(RemoteCaller::new(format!("token:{}", stored.id), stored.role, schema)),
            Err(TokenError::Unknown) => Err(Rejection::new(
                "E_UNAUTHORIZED",
                "the token is not valid.",
                "Run `townlet token list` on the shard's machine, or connect without a token as a viewer.",
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
}

fn file_stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
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
    if uri.to_string().contains("twn_") {
        return Err(Rejection::new(
            "E_INVALID_ARG",
            "the URL contains a token.",
            "Send it as `Authorization: Bearer`. Revoke this token, because URLs are logged.",
        ));
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

/// The authenticated client of a request.
pub(super) struct Caller {
    /// Issuer, role and schema version.
    pub(super) visitor: RemoteCaller,
    pub(super) has_token: bool,
}

impl FromRequestParts<Arc<AppState>> for Caller {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<AppState>) -> Result<Self, Rejection> {
        let peer = Extension::<PeerAddress>::from_request_parts(parts, app).await;
        let Extension(peer) = peer.expect("every connection adds its peer address");
        let token = bearer_token(&parts.headers)?;
        let visitor = authenticate(app, peer, token, &parts.headers)?;
        Ok(Self { visitor, has_token: token.is_some() })
    }
}

/// The level of a request and whose limits it counts against, by the token of its headers. A wrong token is none.
pub(super) fn client_of(app: &AppState, peer: PeerAddress, headers: &HeaderMap) -> (Level, Client) {
    if let Ok(Some(token)) = bearer_token(headers) {
        let mut authenticator = app.authenticator.lock().unwrap_or_else(PoisonError::into_inner);
        authenticator.refresh();
        if let Some(stored) = authenticator.tokens.find(token) {
            return (Level::of_token(stored.role), Client::Token(stored.id.clone()));
        }
    }
    (Level::Anonymous, Client::of_address(peer.0))
}

/// Authenticates a client, or logs and counts the rejection.
pub(super) fn authenticate(
    app: &AppState,
    peer: PeerAddress,
    token: Option<&str>,
    headers: &HeaderMap,
) -> Result<RemoteCaller, Rejection> {
    let mut authenticator = app.authenticator.lock().unwrap_or_else(PoisonError::into_inner);
    authenticator.authenticate(peer.0, token, headers).inspect_err(|rejection| {
        app.counts.refused("token", Level::Anonymous);
        app.log.write(&format!("refused {}: {} {}", peer.0, rejection.error.code, rejection.error.message));
    })
}

/// The client's schema version, when it names one.
fn schema(headers: &HeaderMap) -> Result<Option<String>, Rejection> {
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

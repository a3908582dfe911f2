//! Authentication of requests: bearer tokens, the `Host` header and the client's schema version. Rule: "Roles and identity".

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use axum::extract::{Extension, FromRequestParts};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};

use super::AppState;
use super::connections::PeerAddress;
use townlet_shard::RemoteCaller;
use townlet_shard::tokens::{TokenError, TokenStore};
use townlet_wire::service::SCHEMA_HEADER;
use townlet_wire::{ErrorBody, Role};

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
            return Ok(RemoteCaller::new(format!("http:{from}"), Role::Viewer, schema));
        };
        let found = file_stamp(&self.path);
        if found != self.seen {
            // If the file cannot be read, the tokens read before stay valid.
            if self.tokens.reload(&self.path).is_ok() {
                self.seen = found;
            }
        }
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

/// Protects against DNS rebinding over plain HTTP: only IP addresses, names without a dot and `*.localhost` are accepted,
/// because a web page cannot own such a name.
pub(super) fn reject_foreign_host(uri: &Uri, headers: &HeaderMap) -> Result<(), Rejection> {
    let asked = uri.authority().cloned();
    let named = headers.get_all(header::HOST).iter().map(|host| host.to_str().ok()?.parse().ok());
    for host in named.chain(asked.map(Some)) {
        let name = host.as_ref().map(Authority::host).unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
        let here = !name.contains('.') || name.parse::<IpAddr>().is_ok() || name.ends_with(".localhost");
        if !here || name.is_empty() {
            return Err(Rejection::new(
                "E_FORBIDDEN",
                "the host name is not accepted over plain HTTP.",
                "Use the IP address, such as 127.0.0.1, or serve with TLS.",
            ));
        }
    }
    Ok(())
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

/// Authenticates a client, or logs and counts the rejection.
pub(super) fn authenticate(
    app: &AppState,
    peer: PeerAddress,
    token: Option<&str>,
    headers: &HeaderMap,
) -> Result<RemoteCaller, Rejection> {
    let mut authenticator = app.authenticator.lock().unwrap_or_else(PoisonError::into_inner);
    authenticator.authenticate(peer.0, token, headers).inspect_err(|rejection| {
        app.counts.refused("token");
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

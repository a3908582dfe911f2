//! What clients may read without a token, the caller of a request, and the end of what a revoked token has open.
//!
//! Runs before the handler of each endpoint but the console's, whose token may stand in the body. Rule: "Tokens and roles".

use std::sync::{Arc, PoisonError};

use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::AppState;
use super::auth::{Rejection, bearer_token};
use super::connections::PeerAddress;
use super::routes::endpoint;
use townlet_shard::{Level, RemoteCaller};
use townlet_wire::Role;

/// What clients may read without a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnonymousReading {
    /// Everything.
    #[default]
    Full,
    /// Health, readiness and the page for browsers.
    Status,
    /// That the process lives.
    None,
}

/// What it takes to use an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing: it says at least that the process lives.
    Liveness,
    /// A token, or anonymous reading of the status.
    Status,
    /// A token, or anonymous reading of everything.
    Read,
    /// The same, but the token may stand in the body.
    Command,
}

/// A token that a request or a stream holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeldToken {
    pub(super) id: String,
    pub(super) name: String,
}

/// The authenticated client of a request.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// Issuer, role and schema version.
    pub(super) visitor: RemoteCaller,
    /// The token that it gave.
    pub(super) token: Option<HeldToken>,
    /// Whether it may read everything.
    pub(super) reads_all: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().expect("`gate` has identified the caller"))
    }
}

/// Identifies the caller and refuses what it may not read. Ends the request when its token ends.
pub(super) async fn gate(State(app): State<Arc<AppState>>, mut request: Request, next: Next) -> Response {
    // An unknown path has nothing to read.
    let Some(access) =
        endpoint(request.uri().path()).map(|endpoint| endpoint.access).filter(|access| *access != Access::Command)
    else {
        return next.run(request).await;
    };
    let peer = *request.extensions().get::<PeerAddress>().expect("every connection adds its peer address");
    let token = bearer_token(request.headers()).and_then(|token| identify(&app, peer, token, request.headers()));
    let caller = match (token, access) {
        // A wrong token must not look like a process that is dead.
        (Err(why), Access::Liveness) if why.error.code != "E_INVALID_ARG" => Ok(anonymous(&app, peer, None)),
        (Ok(caller), Access::Status) if caller.reads_all || app.anonymous_reading == AnonymousReading::Status => {
            Ok(caller)
        }
        (Ok(caller), Access::Status | Access::Read) => permit(caller),
        (caller, _) => caller,
    };
    match caller {
        Ok(caller) => {
            let token = caller.token.clone();
            request.extensions_mut().insert(caller);
            tokio::select! {
                response = next.run(request) => response,
                why = token_ended(&app, token.as_ref()) => ended(&why).into_response(),
            }
        }
        Err(rejection) => rejection.into_response(),
    }
}

/// The client of a command, with the token of its header or its body.
pub(super) fn identify_sender(
    app: &AppState,
    peer: PeerAddress,
    token: Option<&str>,
    headers: &HeaderMap,
) -> Result<Caller, Rejection> {
    identify(app, peer, token, headers).and_then(permit)
}

/// Authenticates a client, or logs and counts the rejection.
fn identify(app: &AppState, peer: PeerAddress, token: Option<&str>, headers: &HeaderMap) -> Result<Caller, Rejection> {
    let schema = super::auth::schema(headers)?;
    let Some(token) = token else { return Ok(anonymous(app, peer, schema)) };
    let mut authenticator = app.authenticator.lock().unwrap_or_else(PoisonError::into_inner);
    let identified = authenticator.identify(peer.0, token).inspect_err(|rejection| {
        app.counts.refused("token", Level::Anonymous);
        app.log.write(&format!("refused {}: {} {}", peer.0, rejection.error.code, rejection.error.message));
    });
    let (stored, read_only) = identified?;
    let role = if read_only.is_some() { Role::Viewer } else { stored.role };
    let visitor = RemoteCaller { read_only, ..RemoteCaller::of_token(&stored.name, role, schema) };
    Ok(Caller { visitor, token: Some(HeldToken { id: stored.id, name: stored.name }), reads_all: true })
}

fn anonymous(app: &AppState, peer: PeerAddress, schema: Option<String>) -> Caller {
    let visitor = RemoteCaller::anonymous(peer.0, schema);
    Caller { visitor, token: None, reads_all: app.anonymous_reading == AnonymousReading::Full }
}

fn permit(caller: Caller) -> Result<Caller, Rejection> {
    if caller.reads_all {
        return Ok(caller);
    }
    Err(Rejection::new(
        "E_UNAUTHORIZED",
        "this shard is read with a token.",
        "Pass `--token-file FILE` or TOWNLET_TOKEN, or send `Authorization: Bearer`. On the shard's machine, `townlet token \
         create --role viewer --name NAME` makes a token.",
    ))
}

/// Waits until a token is no longer valid, and says why. Never ends without a token.
pub(super) async fn token_ended(app: &AppState, token: Option<&HeldToken>) -> String {
    let Some(token) = token else { return std::future::pending().await };
    let mut live = app.live_tokens.clone();
    if live.wait_for(|live| !live.contains(&token.id)).await.is_err() {
        // The service ends, and so does everything.
        return std::future::pending().await;
    }
    app.authenticator.lock().unwrap_or_else(PoisonError::into_inner).why_ended(token)
}

/// The refusal of a request whose token ended while it waited.
pub(super) fn ended(why: &str) -> Rejection {
    let hint = "Ask for a new token. A command that was sent may have been executed; the audit log says so.";
    Rejection::new("E_UNAUTHORIZED", why, hint)
}

//! HTTP client of a shard's service. Follows no redirects, so that a token never goes to another server.

use std::io::Read as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Once;
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Response, StatusCode, Url, redirect};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::event_stream::{BodyDecoder, EventStream, ZSTD};
use super::known_shards::ExpectedShard;
use townlet_bounded::BoundedError;
use townlet_wire::service::{
    AUDIT, CHECKPOINT, CHECKPOINT_KEY_HEADER, COMMANDS, CONSOLE, Refusal, SCHEMA_HEADER, SNAPSHOT, STREAM, ServiceInfo,
    VIEW, ViewRequest,
};
use townlet_wire::{Answer, ErrorBody, Request, SCHEMA_VERSION, holds_token};

/// Timeouts of connecting, and of a request until its answer is complete (for a stream: until it begins).
const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(6);
/// The same for a whole state, whose making takes seconds in a town of thousands. The shard gives up after 10 s.
const STATE: Duration = Duration::from_secs(12);
/// Idle time after which a connection is not used again. Servers close idle ones after 5 s.
const REUSE: Duration = Duration::from_secs(2);
/// Longest wait that a busy shard may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(15);
const MAX_PEM_BYTES: u64 = 4 * 1024 * 1024;
/// Longest answer, in bytes: a whole state.
const MAX_ANSWER_BYTES: usize = townlet_wire::stream::MAX_STATE;

/// A shard's address and credentials.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// `http://127.0.0.1:7420`, `https://towns.example`.
    pub url: String,
    /// Bearer token.
    pub token: Option<String>,
    /// PEM file of the CA that must have issued the server's certificate; `None` for the system's CAs.
    pub ca: Option<PathBuf>,
    /// Which shard must answer there.
    pub expected: ExpectedShard,
}

/// Client of one shard.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    token: Option<HeaderValue>,
    /// Whether a token may be sent: to this machine, or over TLS.
    keeps_secrets: bool,
    expected: ExpectedShard,
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientError {
    /// No connection was made, so the shard has not received the request. Retrying may help.
    Unreachable(String),
    /// The connection failed. Retrying may help.
    Lost(String),
    /// The shard did nothing, because it has too many requests. Send the same request again after this time.
    Busy(ErrorBody, Duration),
    /// The shard refused the request.
    Refused(ErrorBody),
    /// The server is not a shard, or an incompatible one.
    NotAShard(String),
}

impl ClientError {
    /// Whether the shard refused the token.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Refused(error) if error.code == "E_UNAUTHORIZED")
    }

    /// Whether the shard has nothing of this name.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(error) if error.code == "E_NOT_FOUND")
    }

    /// The error as one sentence.
    pub fn message(&self) -> String {
        match self {
            Self::Unreachable(why) | Self::Lost(why) | Self::NotAShard(why) => why.clone(),
            Self::Busy(error, _) | Self::Refused(error) => error.to_string(),
        }
    }
}

impl Client {
    /// Validates address, token and CA file. Sends nothing.
    pub fn new(target: &Target) -> Result<Self, String> {
        install_tls_provider();
        if holds_token(&target.url) {
            return Err(
                "an address must not contain a token. Revoke this token, and pass a new one with `--token-file` or TOWNLET_TOKEN."
                    .into(),
            );
        }
        let example = "Example: http://127.0.0.1:7420.";
        let url =
            Url::parse(&target.url).map_err(|why| format!("{}: invalid address: {why}. {example}", target.url))?;
        let host = url.host_str().map(|host| host.trim_matches(['[', ']']).to_owned()).unwrap_or_default();
        if !matches!(url.scheme(), "http" | "https") || host.is_empty() {
            return Err(format!("{}: the scheme must be http or https. {example}", target.url));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.path().len() > 1 {
            return Err(format!("{}: an address has only a scheme, a host and a port. {example}", target.url));
        }
        let here = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .pool_idle_timeout(REUSE)
            .redirect(redirect::Policy::none())
            .tcp_nodelay(true);
        if here {
            http = http.no_proxy();
        }
        if let Some(path) = &target.ca {
            let mut pem = Vec::new();
            let read = townlet_files::open(path).and_then(|file| file.take(MAX_PEM_BYTES).read_to_end(&mut pem));
            read.map_err(|why| format!("{}: {why}.", path.display()))?;
            let authorities = Certificate::from_pem_bundle(&pem);
            let authorities = authorities.map_err(|why| format!("{}: invalid PEM: {why}.", path.display()))?;
            if authorities.is_empty() {
                return Err(format!("{}: contains no PEM certificate.", path.display()));
            }
            http = http.tls_certs_only(authorities);
        }
        let http = http.build().map_err(|why| format!("{}: {}.", target.url, root_cause(&why)))?;
        let keeps_secrets = here || url.scheme() == "https";
        let expected = match &target.expected {
            ExpectedShard::Any if !here => ExpectedShard::Known,
            expected => expected.clone(),
        };
        let url = target.url.trim_end_matches('/').to_owned();
        let client = Self { http, url, token: None, keeps_secrets, expected };
        client.with_token(target.token.as_deref())
    }

    /// Replaces the token.
    pub fn with_token(mut self, token: Option<&str>) -> Result<Self, String> {
        self.token = match token {
            None => None,
            Some(_) if !self.keeps_secrets => {
                return Err(format!("{}: tokens are not sent to another machine without TLS. Use https.", self.url));
            }
            Some(token) => {
                let value = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
                let mut value =
                    value.map_err(|_| "not a valid token. Create one with `townlet token create`.".to_owned())?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(self)
    }

    /// Address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Which shard must answer there.
    pub(super) const fn expected(&self) -> &ExpectedShard {
        &self.expected
    }

    /// Fetches the session, command table and facts.
    pub async fn welcome(&self) -> Result<ServiceInfo, ClientError> {
        let body = self.fetch(self.get(COMMANDS)).await.map_err(|failure| match failure {
            // Only tokens that are not valid are kept waiting.
            ClientError::Refused(ErrorBody { code, hint, .. }) if code == "E_TOO_MANY" && self.token.is_some() => {
                let message = "the token is not valid, and too many such tokens came from this address.";
                ClientError::Refused(ErrorBody::new("E_UNAUTHORIZED", message, hint))
            }
            other => other,
        })?;
        parse(&body).map_err(|why| self.not_a_shard(&why))
    }

    /// Fetches the snapshot as JSON.
    pub async fn snapshot(&self) -> Result<Vec<u8>, ClientError> {
        self.fetch_within(STATE, self.get(SNAPSHOT)).await
    }

    /// Fetches the newest audit records as JSON lines.
    pub async fn records(&self) -> Result<Vec<u8>, ClientError> {
        self.fetch(self.get(AUDIT)).await
    }

    /// Fetches the checkpoint of the newest durable line of the audit log, or of a line of a run, and the shard's public key. The
    /// signature is not checked.
    pub async fn checkpoint(&self, line: Option<(&str, u64)>) -> Result<(String, String), ClientError> {
        // A run id needs no escaping in a URL.
        let query = line.map_or_else(String::new, |(run, at)| format!("?run={run}&at={at}"));
        let get = self.get(&format!("{CHECKPOINT}{query}"));
        let response = self.send(ANSWER, get).await?;
        let status = response.status();
        let key = response.headers().get(CHECKPOINT_KEY_HEADER).and_then(|key| key.to_str().ok()).map(str::to_owned);
        let body = self.body(ANSWER, response).await?;
        match (status, key, String::from_utf8(body)) {
            (StatusCode::OK, Some(key), Ok(note)) => Ok((note, key)),
            (_, _, Ok(body)) => Err(self.refusal(status, body.as_bytes())),
            (_, _, Err(_)) => Err(self.refusal(status, &[])),
        }
    }

    /// Sends a command. A secret in it is sent in place of the client's token. A refusal by the command itself is an answer, not
    /// an error.
    pub async fn send_command(&self, request: &Request) -> Result<Answer, ClientError> {
        if let Some(secret) = &request.secret {
            let refused = |why: String| ClientError::Refused(ErrorBody::new("E_INVALID_ARG", why, "Nothing was sent."));
            let client = self.clone().with_token(Some(secret)).map_err(refused)?;
            return Box::pin(client.send_command(&Request { secret: None, ..request.clone() })).await;
        }
        parse(&self.fetch(self.post(CONSOLE, request)?).await?).map_err(|why| self.not_a_shard(&why))
    }

    /// Opens the telemetry stream of everything after the event `last`, or from the start.
    pub async fn stream(&self, last: Option<&str>) -> Result<EventStream, ClientError> {
        let mut get = self.get(STREAM);
        if let Some(last) = last {
            get = get.header("last-event-id", last);
        }
        self.open_stream(get).await
    }

    /// Opens a telemetry stream that looks at what [`Self::look_at`] says under the id `view`, with at most `rate` messages a second.
    pub async fn stream_view(&self, view: &str, rate: u32) -> Result<EventStream, ClientError> {
        // An id needs no escaping in a URL.
        self.open_stream(self.get(&format!("{STREAM}?view={view}&rate={rate}"))).await
    }

    /// Says what a stream looks at from now on.
    pub async fn look_at(&self, request: &ViewRequest) -> Result<(), ClientError> {
        self.fetch(self.post(VIEW, request)?).await.map(|_| ())
    }

    async fn open_stream(&self, get: reqwest::RequestBuilder) -> Result<EventStream, ClientError> {
        let response = self.send(ANSWER, get).await?;
        if response.status() == StatusCode::OK {
            return EventStream::new(response).map_err(ClientError::NotAShard);
        }
        let (status, wait) = (response.status(), retry_after(&response));
        let body = self.body(ANSWER, response).await?;
        Err(busy(status, wait, &body).unwrap_or_else(|| self.refusal(status, &body)))
    }

    fn post(&self, path: &str, body: &impl Serialize) -> Result<reqwest::RequestBuilder, ClientError> {
        let body = serde_json::to_vec(body).map_err(|why| ClientError::NotAShard(why.to_string()))?;
        Ok(self.http.post(format!("{}{path}", self.url)).header("content-type", "application/json").body(body))
    }

    fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.url))
    }

    async fn send(&self, limit: Duration, request: reqwest::RequestBuilder) -> Result<Response, ClientError> {
        let mut request = request.header(SCHEMA_HEADER, SCHEMA_VERSION).header(ACCEPT_ENCODING, ZSTD);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.clone());
        }
        match timeout(limit, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(why)) if why.is_connect() => {
                Err(ClientError::Unreachable(format!("{}: {}.", self.url, root_cause(&why))))
            }
            Ok(Err(why)) => Err(ClientError::Lost(format!("{}: {}.", self.url, root_cause(&why)))),
            Err(_) => Err(ClientError::Lost(format!("{}: no answer within {} s.", self.url, limit.as_secs()))),
        }
    }

    async fn fetch(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, ClientError> {
        self.fetch_within(ANSWER, request).await
    }

    async fn fetch_within(&self, limit: Duration, request: reqwest::RequestBuilder) -> Result<Vec<u8>, ClientError> {
        let response = self.send(limit, request).await?;
        let (status, wait) = (response.status(), retry_after(&response));
        let body = self.body(limit, response).await?;
        if let Some(busy) = busy(status, wait, &body) {
            return Err(busy);
        }
        // An answer is valid whatever the HTTP status.
        if status.is_success() || parse::<Answer>(&body).is_ok() {
            return Ok(body);
        }
        Err(self.refusal(status, &body))
    }

    async fn body(&self, limit: Duration, mut response: Response) -> Result<Vec<u8>, ClientError> {
        let read = async {
            let mut body = Vec::new();
            let mut decoder = BodyDecoder::of(&response).map_err(|why| format!("{}: {why}.", self.url))?;
            while let Some(piece) =
                response.chunk().await.map_err(|why| format!("{}: {}.", self.url, root_cause(&why)))?
            {
                decoder.add(&piece);
                while let Some(part) = decoder.part().map_err(|why| format!("{}: {why}.", self.url))? {
                    body.extend_from_slice(&part);
                    if body.len() > MAX_ANSWER_BYTES {
                        return Err(format!("{}: the answer is larger than {MAX_ANSWER_BYTES} bytes.", self.url));
                    }
                }
            }
            Ok(body)
        };
        match timeout(limit, read).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(why)) => Err(ClientError::Lost(why)),
            Err(_) => Err(ClientError::Lost(format!(
                "{}: the answer did not complete within {} s.",
                self.url,
                limit.as_secs()
            ))),
        }
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> ClientError {
        match parse::<Refusal>(body) {
            Ok(refusal) => ClientError::Refused(refusal.error),
            Err(_) => ClientError::NotAShard(format!("{} is not a townlet shard (HTTP {status}).", self.url)),
        }
    }

    fn not_a_shard(&self, why: &BoundedError<serde_json::Error>) -> ClientError {
        ClientError::NotAShard(format!("{}: cannot parse the answer: {why}.", self.url))
    }
}

/// A value in the body of an answer, within a bound of memory.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, BoundedError<serde_json::Error>> {
    let mut input = serde_json::Deserializer::from_slice(body);
    let value = townlet_bounded::deserialize(&mut input, townlet_bounded::most_for(body.len()))?;
    input.end().map(|()| value).map_err(BoundedError::Invalid)
}

/// The time in `Retry-After`, at least a second and at most [`LONGEST_WAIT`].
fn retry_after(response: &Response) -> Duration {
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(1)).clamp(Duration::from_secs(1), LONGEST_WAIT)
}

/// Whether a response says that there are too many requests. Other refusals with the same status, such as too many wrong
/// tokens, are not helped by sending the request again.
fn busy(status: StatusCode, wait: Duration, body: &[u8]) -> Option<ClientError> {
    if status != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let error = parse::<Answer>(body).ok().and_then(|answer| answer.error);
    let error = error.or_else(|| parse::<Refusal>(body).ok().map(|refusal| refusal.error))?;
    (error.code == "E_RATE_LIMITED").then_some(ClientError::Busy(error, wait))
}

/// Installs the TLS implementation of this process. Every HTTP client needs it.
pub fn install_tls_provider() {
    static PROVIDER: Once = Once::new();
    // Fails if a provider is installed already, which is fine.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

/// The root cause of an error, without the URL.
pub fn root_cause(error: &reqwest::Error) -> String {
    let mut words: Option<String> = None;
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        words = Some(error.to_string());
        cause = error.source();
    }
    words.unwrap_or_else(|| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_addresses_are_refused_and_tokens_are_protected() {
        let with = |url: &str, token: Option<&str>| {
            Client::new(&Target { url: url.into(), token: token.map(str::to_owned), ..Target::default() })
                .map(|_| ())
                .err()
        };
        for (url, token) in [
            ("http://127.0.0.1:7420", Some("twn_a_b")),
            ("http://[::1]:7420/", Some("twn_a_b")),
            ("http://localhost:1", Some("twn_a_b")),
            ("https://towns.example", Some("twn_a_b")),
            ("http://towns.example:7420", None),
        ] {
            assert_eq!(with(url, token), None, "{url}");
        }
        for (url, token, words) in [
            ("http://towns.example", Some("twn_a_b"), "without TLS"),
            ("http://127.0.0.1/twn_a_b", None, "must not contain a token"),
            ("http://ada:secret@127.0.0.1", None, "only a scheme"),
            ("http://127.0.0.1/../etc", None, ""),
            ("http://127.0.0.1/v1", None, "only a scheme"),
            ("ftp://127.0.0.1", None, "http or https"),
            ("127.0.0.1:7420", None, "Example: http"),
            ("http://127.0.0.1", Some("a\nb"), "not a valid token"),
        ] {
            let said = with(url, token);
            assert!(words.is_empty() || said.as_ref().is_some_and(|said| said.contains(words)), "{url}: {said:?}");
            assert!(!said.unwrap_or_default().contains("twn_a_b"));
        }
    }
}

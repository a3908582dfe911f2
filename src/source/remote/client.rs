//! Requests to a shard's service, one method each; and what can go wrong with them, told apart by what helps.
//!
//! Knows HTTP and the wire. Follows no redirect: a token goes where it was meant to go, or nowhere.

use std::io::Read as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Once;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Certificate, Response, StatusCode, Url, redirect};
use tokio::time::timeout;

use townlet_wire::service::{AUDIT, COMMANDS, CONSOLE, Refusal, SCHEMA_HEADER, SNAPSHOT, STREAM, ServiceInfo};
use townlet_wire::{Answer, ErrorBody, Request, SCHEMA_VERSION};

/// Longest a connection may take, and a request from its start to its answer; a stream's answer begins within it.
const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(6);
/// Bytes of authorities read at most.
const MAX_PEM_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes of an answer read at most.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// A shard's address and what is needed there.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// `http://127.0.0.1:7420`, `https://towns.example`.
    pub url: String,
    /// Who one is there.
    pub token: Option<String>,
    /// The one authority its certificate may come from, in PEM; without it the system's.
    pub ca: Option<PathBuf>,
}

/// A shard's service.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    token: Option<HeaderValue>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientError {
    /// Nobody was reached, or the line broke: worth another attempt.
    Lost(String),
    /// The service refuses, in its own words.
    Refused(ErrorBody),
    /// Whoever answers there is no shard that this program understands.
    Alien(String),
}

impl ClientError {
    /// One sentence.
    pub fn message(&self) -> String {
        match self {
            Self::Lost(why) | Self::Alien(why) => why.clone(),
            Self::Refused(error) => format!("{}  {} {}", error.code, error.message, error.hint).trim_end().to_owned(),
        }
    }
}

impl Client {
    /// Checks an address and gets ready for it; nothing is sent yet.
    ///
    /// # Errors
    /// What is wrong with the address, the token or the certificate.
    pub fn new(target: &Target) -> Result<Self, String> {
        static PROVIDER: Once = Once::new();
        // Somebody who chose another one first is right as well.
        PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        if target.url.contains("twn_") {
            return Err(
                "a token has no place in an address; give it by `--token-file` or TOWNLET_TOKEN, and revoke this one."
                    .into(),
            );
        }
        let right = "Such as http://127.0.0.1:7420.";
        let url = Url::parse(&target.url).map_err(|why| format!("{}: no address: {why}. {right}", target.url))?;
        let host = url.host_str().map(|host| host.trim_matches(['[', ']']).to_owned()).unwrap_or_default();
        if !matches!(url.scheme(), "http" | "https") || host.is_empty() {
            return Err(format!("{}: shards are reached by http or https. {right}", target.url));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.path().len() > 1 {
            return Err(format!(
                "{}: an address is a scheme, a host and a port, and nothing else. {right}",
                target.url
            ));
        }
        let here = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        if url.scheme() == "http" && !here && target.token.is_some() {
            return Err(format!("{}: a token is not sent to another machine without TLS. Use https.", target.url));
        }
        let mut http =
            reqwest::Client::builder().connect_timeout(CONNECT).redirect(redirect::Policy::none()).tcp_nodelay(true);
        if here {
            http = http.no_proxy();
        }
        if let Some(path) = &target.ca {
            let mut pem = Vec::new();
            let read = townlet_files::open(path).and_then(|file| file.take(MAX_PEM_BYTES).read_to_end(&mut pem));
            read.map_err(|why| format!("{}: {why}.", path.display()))?;
            let authorities = Certificate::from_pem_bundle(&pem);
            let authorities =
                authorities.map_err(|why| format!("{}: no certificate in PEM: {why}.", path.display()))?;
            if authorities.is_empty() {
                return Err(format!("{}: it holds no certificate in PEM.", path.display()));
            }
            http = http.tls_certs_only(authorities);
        }
        let http = http.build().map_err(|why| format!("{}: {}.", target.url, chain(&why)))?;
        let client = Self { http, url: target.url.trim_end_matches('/').to_owned(), token: None };
        client.with_token(target.token.as_deref())
    }

    /// The same with another token.
    ///
    /// # Errors
    /// When it is no token.
    pub fn with_token(mut self, token: Option<&str>) -> Result<Self, String> {
        self.token = match token {
            None => None,
            Some(token) => {
                let value = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
                let mut value =
                    value.map_err(|_| "this is no token; one is made by `townlet token new`.".to_owned())?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(self)
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Who one is there, and the command table.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn welcome(&self) -> Result<ServiceInfo, ClientError> {
        let (_, body) = self.fetch(self.get(COMMANDS)).await?;
        serde_json::from_slice(&body).map_err(|why| self.not_a_shard(&why))
    }

    /// The whole state, as the shard wrote it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn snapshot(&self) -> Result<Vec<u8>, ClientError> {
        Ok(self.fetch(self.get(SNAPSHOT)).await?.1)
    }

    /// The newest records of the audit log, as the shard wrote them.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn records(&self) -> Result<Vec<u8>, ClientError> {
        Ok(self.fetch(self.get(AUDIT)).await?.1)
    }

    /// Sends a command; an answer that refuses is an answer.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn send_command(&self, request: &Request) -> Result<Answer, ClientError> {
        let body = serde_json::to_vec(request).map_err(|why| ClientError::Alien(why.to_string()))?;
        let post =
            self.http.post(format!("{}{CONSOLE}", self.url)).header("content-type", "application/json").body(body);
        match self.fetch(post).await {
            Ok((_, body)) => serde_json::from_slice(&body).map_err(|why| self.not_a_shard(&why)),
            Err(failure) => Err(failure),
        }
    }

    /// Opens the stream behind the event of this id, or from the start.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn stream(&self, last: Option<&str>) -> Result<Response, ClientError> {
        let mut get = self.get(STREAM);
        if let Some(last) = last {
            get = get.header("last-event-id", last);
        }
        let response = self.send(get).await?;
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let status = response.status();
        Err(self.refusal(status, &self.body(response).await?))
    }

    fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.url))
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, ClientError> {
        let mut request = request.header(SCHEMA_HEADER, SCHEMA_VERSION);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.clone());
        }
        match timeout(ANSWER, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(why)) => Err(ClientError::Lost(format!("{}: {}.", self.url, chain(&why)))),
            Err(_) => Err(ClientError::Lost(format!("{}: no answer within {} s.", self.url, ANSWER.as_secs()))),
        }
    }

    async fn fetch(&self, request: reqwest::RequestBuilder) -> Result<(StatusCode, Vec<u8>), ClientError> {
        let response = self.send(request).await?;
        let status = response.status();
        let body = self.body(response).await?;
        // An answer in its envelope is one, whatever its status.
        if status.is_success() || serde_json::from_slice::<Answer>(&body).is_ok() {
            return Ok((status, body));
        }
        Err(self.refusal(status, &body))
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, ClientError> {
        let read = async {
            let mut body = Vec::new();
            while let Some(piece) = response.chunk().await.map_err(|why| format!("{}: {}.", self.url, chain(&why)))? {
                body.extend_from_slice(&piece);
                if body.len() > MAX_ANSWER_BYTES {
                    return Err(format!("{}: an answer of more than {MAX_ANSWER_BYTES} bytes.", self.url));
                }
            }
            Ok(body)
        };
        match timeout(ANSWER, read).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(why)) => Err(ClientError::Lost(why)),
            Err(_) => Err(ClientError::Lost(format!("{}: the answer broke off.", self.url))),
        }
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> ClientError {
        match serde_json::from_slice::<Refusal>(body) {
            Ok(refusal) => ClientError::Refused(refusal.error),
            Err(_) => {
                ClientError::Alien(format!("{}: whoever answers there ({status}) is no townlet shard.", self.url))
            }
        }
    }

    fn not_a_shard(&self, why: &serde_json::Error) -> ClientError {
        ClientError::Alien(format!("{}: its answer is not understood: {why}.", self.url))
    }
}

/// An error with its causes in one line, and no address: it is said already.
fn chain(error: &reqwest::Error) -> String {
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
    fn an_address_is_an_address_and_a_token_stays_at_home() {
        let with = |url: &str, token: Option<&str>| {
            Client::new(&Target { url: url.into(), token: token.map(str::to_owned), ca: None }).map(|_| ()).err()
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
            ("http://127.0.0.1/twn_a_b", None, "no place in an address"),
            ("http://ada:secret@127.0.0.1", None, "nothing else"),
            ("http://127.0.0.1/../etc", None, ""),
            ("http://127.0.0.1/v1", None, "nothing else"),
            ("ftp://127.0.0.1", None, "http or https"),
            ("127.0.0.1:7420", None, "Such as"),
            ("http://127.0.0.1", Some("a\nb"), "no token"),
        ] {
            let said = with(url, token);
            assert!(words.is_empty() || said.as_ref().is_some_and(|said| said.contains(words)), "{url}: {said:?}");
            assert!(!said.unwrap_or_default().contains("twn_a_b"));
        }
    }
}

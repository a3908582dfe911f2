//! A served shard and the HTTP client of the tests: plain sockets, so that a test sees every byte of a response.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use tempfile::TempDir;
use townlet_audit::{Record, records};
use townlet_server::{AnonymousReading, Server, ServerError};
use townlet_shard::tokens::TokenStore;
use townlet_shard::{Handle, Log, ShardError};
use townlet_source::remote::{Client, Target};
use townlet_wire::Role;
use townlet_wire::service::{CONSOLE, OPENAPI};

use crate::kit::{TIMEOUT, default_sources, options};

/// A served shard that does not tick by itself.
pub(super) struct Served {
    pub(super) home: TempDir,
    pub(super) shard: Arc<Handle>,
    pub(super) server: Server,
    pub(super) admin: String,
    pub(super) viewer: String,
    document: OnceLock<Value>,
}

/// A response.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|why| panic!("{why}: {}", self.body))
    }

    pub(super) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

pub(super) fn service(
    home: &TempDir,
    listen: &str,
    tls: Option<(PathBuf, PathBuf)>,
) -> (townlet_server::ListenOptions, townlet_server::Options) {
    let place = townlet_server::ListenOptions { listen: listen.parse().expect("an address"), tls };
    let options = townlet_server::Options {
        token_file: home.path().join("ops/tokens.json"),
        anonymous: AnonymousReading::Full,
        facts: vec![("townlet".into(), "test".into())],
        log: Log::new(home.path().join("logs/townlet.log"), "service", false),
    };
    (place, options)
}

/// Serves a shard.
pub(super) fn serve(
    shard: &Arc<Handle>,
    (place, options): (townlet_server::ListenOptions, townlet_server::Options),
) -> Result<Server, ServerError> {
    townlet_server::start(Arc::clone(shard), place, options)
}

impl Served {
    pub(super) fn start() -> Self {
        Self::with(None)
    }

    /// With these settings.
    pub(super) fn with_settings(settings: &[(&str, &str)]) -> Self {
        let start = |home: &TempDir| townlet_shard::start(default_sources(settings), 7, options(home.path(), true));
        Self::with_shard(crate::kit::temp_home(), None, start)
    }

    pub(super) fn with(tls: Option<(PathBuf, PathBuf)>) -> Self {
        let start = |home: &TempDir| townlet_shard::start(default_sources(&[]), 7, options(home.path(), true));
        Self::with_shard(crate::kit::temp_home(), tls, start)
    }

    pub(super) fn with_shard(
        home: TempDir,
        tls: Option<(PathBuf, PathBuf)>,
        start: impl FnOnce(&TempDir) -> Result<Handle, ShardError>,
    ) -> Self {
        let file = home.path().join("ops/tokens.json");
        let mut tokens = TokenStore::load(&file).expect("an empty store");
        let (admin, viewer) = (tokens.create(Role::Admin).unwrap(), tokens.create(Role::Viewer).unwrap());
        tokens.save(&file).expect("it is saved");
        let shard = Arc::new(start(&home).expect("the shard starts"));
        let server = serve(&shard, service(&home, "127.0.0.1:0", tls)).expect("it listens");
        Self { home, shard, server, admin, viewer, document: OnceLock::new() }
    }

    /// The same with another setting of what may be read without a token.
    pub(super) fn with_reading(anonymous: AnonymousReading) -> Self {
        let mut served = Self::start();
        // Afterwards it takes a token.
        let document = served.openapi();
        served.document.get_or_init(|| document);
        let (place, options) = service(&served.home, "127.0.0.1:0", None);
        let options = townlet_server::Options { anonymous, ..options };
        served.server = serve(&served.shard, (place, options)).expect("it listens");
        served
    }

    pub(super) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.server.address()).expect("it listens");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a time");
        stream
    }

    /// Sends a request, and checks the reply against the `OpenAPI` document.
    #[track_caller]
    pub(super) fn send(&self, bytes: &[u8]) -> Reply {
        let reply = self.exchange(bytes);
        super::contract::check(self.document.get_or_init(|| self.openapi()), bytes, &reply);
        reply
    }

    fn exchange(&self, bytes: &[u8]) -> Reply {
        let mut stream = self.connect();
        // The service may answer and close before it has read everything.
        let _ = stream.write_all(bytes);
        read(&mut stream)
    }

    fn openapi(&self) -> Value {
        let request = format!("GET {OPENAPI} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        self.exchange(request.as_bytes()).json()
    }

    pub(super) fn get(&self, path: &str, headers: &str) -> Reply {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n").as_bytes())
    }

    pub(super) fn post(&self, headers: &str, body: &str) -> Reply {
        self.post_to(CONSOLE, headers, body)
    }

    pub(super) fn post_to(&self, path: &str, headers: &str, body: &str) -> Reply {
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n");
        self.send(format!("{head}content-type: application/json\r\n{headers}\r\n{body}").as_bytes())
    }

    pub(super) fn admin(&self) -> String {
        format!("authorization: Bearer {}\r\n", self.admin)
    }

    pub(super) fn viewer(&self) -> String {
        format!("authorization: Bearer {}\r\n", self.viewer)
    }

    pub(super) fn digest(&self) -> String {
        self.shard.view().expect("it lives").1
    }

    pub(super) fn log(&self) -> Vec<Record> {
        let mut all = Vec::new();
        records(&self.home.path().join("logs/console"), |_, _, record| {
            all.extend(record);
            Ok(())
        })
        .expect("the audit log is read");
        all
    }

    pub(super) fn client(&self, token: Option<&str>) -> Client {
        Client::new(&Target { url: self.server.url(), token: token.map(str::to_owned), ..Target::default() })
            .expect("an address")
    }
}

pub(super) fn read(stream: &mut TcpStream) -> Reply {
    let mut bytes = Vec::new();
    // A reset ends a response; a connection that stays open is a failure.
    if let Err(why) = stream.read_to_end(&mut bytes) {
        assert!(!matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "it is not closed");
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Reply { status, head: head.to_owned(), body: body.to_owned() }
}

pub(super) fn wait<T>(does: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(does)
}

/// A self-signed certificate for 127.0.0.1 with its key, and the certificate alone as an authority.
pub(super) fn certificate(home: &TempDir, name: &str) -> ((PathBuf, PathBuf), PathBuf) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).expect("a certificate");
    let (cert, key) = (home.path().join(format!("{name}.pem")), home.path().join(format!("{name}.key")));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    townlet_files::write_private(&key, made.signing_key.serialize_pem().as_bytes()).unwrap();
    ((cert.clone(), key), cert)
}

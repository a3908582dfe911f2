//! A source for a remote shard, over HTTP on its own thread. Owns the connection and reconnecting.
//!
//! A command is sent with the same `cmd_id` until it is answered, so that a broken connection never executes it twice.
//! Rule: "HTTP service".

mod client;
mod command_sender;
mod connection;
mod stream_decoder;

pub use client::{Client, ClientError, Target};
pub use stream_decoder::{StreamDecoder, StreamEvent};

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch as signal;

use super::{Link, Source, SourceEvent, SourceInfo};
use townlet_wire::service::{ServiceInfo, is_newer};
use townlet_wire::{CommandSpec, Request, Role, SCHEMA_VERSION, Session, command_line};

type Deliver = Arc<dyn Fn(SourceEvent) + Send + Sync>;

/// A remote shard.
pub struct Remote {
    url: String,
    requests: UnboundedSender<Request>,
    inbox: Option<(Client, UnboundedReceiver<Request>)>,
    stop: signal::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// State shared by the stream and the command sender.
struct Shared {
    deliver: Deliver,
    info: Mutex<ConnectionInfo>,
}

struct ConnectionInfo {
    client: Client,
    commands: Vec<CommandSpec>,
    schema: String,
    live: bool,
}

impl Shared {
    fn client(&self) -> Client {
        self.with(|info| info.client.clone())
    }

    fn with<T>(&self, does: impl FnOnce(&mut ConnectionInfo) -> T) -> T {
        does(&mut self.info.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn emit(&self, notice: SourceEvent) {
        (self.deliver)(notice);
    }

    /// Stores and publishes the shard's information.
    fn apply_welcome(&self, welcome: ServiceInfo, url: &str) {
        let link = self.with(|info| {
            info.commands.clone_from(&welcome.commands);
            info.schema.clone_from(&welcome.schema_version);
            if info.live { Link::Live { url: url.to_owned() } } else { Link::Connecting { url: url.to_owned() } }
        });
        let ServiceInfo { session, commands, facts, .. } = welcome;
        self.emit(SourceEvent::SourceInfo(Box::new(SourceInfo {
            commands,
            session,
            link,
            requires_token: true,
            facts,
        })));
    }

    /// Whether a line is a mutating command, according to the shard's command table.
    fn is_mutating(&self, command: &str) -> bool {
        self.with(|info| command_line::parse(&info.commands, command).is_ok_and(|parsed| parsed.spec.mutating))
    }

    fn newer_schema_version(&self) -> Option<String> {
        self.with(|info| is_newer(&info.schema).then(|| info.schema.clone()))
    }
}

impl Remote {
    /// The shard need not be reachable yet.
    pub fn new(client: Client) -> Self {
        let (requests, inbox) = unbounded_channel();
        let url = client.url().to_owned();
        Self { url, requests, inbox: Some((client, inbox)), stop: signal::channel(false).0, thread: None }
    }
}

impl Source for Remote {
    fn hello(&self) -> SourceInfo {
        SourceInfo {
            commands: Vec::new(),
            session: Session { issuer: "http".into(), role: Role::Viewer, transport: "http".into(), owner: false },
            link: Link::Connecting { url: self.url.clone() },
            requires_token: true,
            facts: vec![
                ("townlet".into(), env!("CARGO_PKG_VERSION").into()),
                ("schema".into(), SCHEMA_VERSION.into()),
                ("shard".into(), self.url.clone()),
            ],
        }
    }

    fn start(&mut self, deliver: Box<dyn Fn(SourceEvent) + Send + Sync>) {
        let Some((client, inbox)) = self.inbox.take() else { return };
        let info = ConnectionInfo { client, commands: Vec::new(), schema: SCHEMA_VERSION.into(), live: false };
        let shared = Arc::new(Shared { deliver: Arc::from(deliver), info: Mutex::new(info) });
        let mut stop = self.stop.subscribe();
        let reporter = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("remote".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(why) => return shared.emit(SourceEvent::Ended(format!("cannot use the network: {why}"))),
            };
            runtime.block_on(async {
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => {}
                    () = connection::watch(&shared) => {}
                    () = command_sender::serve(&shared, inbox) => {}
                }
            });
            runtime.shutdown_background();
        });
        match thread {
            Ok(thread) => self.thread = Some(thread),
            Err(why) => reporter.emit(SourceEvent::Ended(format!("cannot start the network thread: {why}"))),
        }
    }

    fn send(&mut self, mut request: Request) -> String {
        let cmd_id = request.cmd_id.get_or_insert_with(|| uuid::Uuid::now_v7().to_string()).clone();
        // Fails only after the thread has delivered `Ended`.
        drop(self.requests.send(request));
        cmd_id
    }

    fn close(&mut self) -> String {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        format!("detached from {}; the town keeps running", self.url)
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

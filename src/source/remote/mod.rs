//! A source for a remote shard, over HTTP on its own thread. Owns the connection and reconnecting.
//!
//! A command is sent with the same `cmd_id` until it is answered, so that a broken connection never executes it twice.
//! Rule: "HTTP service".

mod audit_requests;
mod client;
mod command_sender;
mod connection;
mod event_stream;
mod known_shards;
mod outbox;
mod past;
mod shard_clock;
mod stream_decoder;
mod view_sender;

pub use client::{Client, ClientError, Target, install_tls_provider, root_cause};
pub use event_stream::EventStream;
pub use known_shards::{ExpectedShard, HistoryAlarm, HistoryCheck, KnownLine, KnownShard, KnownShards};
pub use shard_clock::ShardClock;
pub use stream_decoder::{StreamDecoder, StreamEvent};

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::{Notify, watch as signal};

use self::outbox::Outbox;
use super::{AuditPageRequest, Deliver, Link, Moved, Source, SourceEvent, SourceInfo, UnconfirmedCommand};
use townlet_wire::service::{Focus, ServiceInfo, is_newer};
use townlet_wire::{CommandSpec, ErrorBody, Request, Role, SCHEMA_VERSION, Session, command_line};

/// A remote shard.
pub struct Remote {
    url: String,
    /// Until it is started.
    client: Option<Client>,
    /// Once it is started.
    shared: Option<Arc<Shared>>,
    known: Option<KnownShards>,
    stop: signal::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// State shared by the stream and the command sender.
struct Shared {
    deliver: Deliver,
    info: Mutex<ConnectionInfo>,
    outbox: Outbox,
    view: view_sender::View,
    audit_requests: audit_requests::AuditRequests,
    past: past::Past,
    /// The operator gave another token.
    token_changed: Notify,
    /// Where it remembers what it sees of the audit log.
    known: Option<KnownShards>,
}

/// What comparing the shard's audit log with what this user has seen of it has found, on this connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum HistoryState {
    /// Nothing yet.
    #[default]
    Unchecked,
    /// No contradiction.
    Consistent,
    /// A contradiction: what happened, and what to do.
    Contradicted { what: String, advice: String },
}

struct ConnectionInfo {
    client: Client,
    commands: Vec<CommandSpec>,
    schema: String,
    /// The shard's run; empty before it is known.
    run_id: String,
    /// Whether the shard knows the field `run_id` of a request.
    checks_runs: bool,
    /// The shard's clock, if it refuses requests that have expired.
    clock: Option<ShardClock>,
    live: bool,
    history: HistoryState,
    /// When the last data arrived.
    last_data: Option<Instant>,
    /// Why the connection was lost last.
    loss: Option<Loss>,
}

/// Why a connection was lost, or was not made.
#[derive(Clone, Debug)]
struct Loss {
    why: String,
    /// The shard's refusal of the token, or of a client without one. Nothing is tried again before there is another token.
    denied: Option<ErrorBody>,
    /// The shard has said that it stops, and has not answered since.
    stopped: bool,
}

impl Loss {
    /// Of a connection to `url` that was not made, after the loss `before`.
    fn of(failure: &ClientError, url: &str, before: Option<&Self>) -> Self {
        let denied = match failure {
            ClientError::Refused(error) if failure.is_denied() => Some(error.clone()),
            _ => None,
        };
        // A refused connection says less than the shard's own last word.
        if let Some(before) = before.filter(|before| before.stopped && denied.is_none()) {
            return before.clone();
        }
        // Header and message name the address already.
        let why = failure.message();
        let why = why.strip_prefix(&format!("{url}: ")).unwrap_or(&why).trim_end_matches('.').to_owned();
        Self { why, denied, stopped: false }
    }
}

impl ConnectionInfo {
    fn new(client: Client) -> Self {
        let schema = SCHEMA_VERSION.into();
        Self {
            client,
            commands: Vec::new(),
            schema,
            run_id: String::new(),
            checks_runs: false,
            clock: None,
            live: false,
            history: HistoryState::default(),
            last_data: None,
            loss: None,
        }
    }

    /// Whether the shard has refused the token, and nothing is tried before there is another one.
    fn is_denied(&self) -> bool {
        self.loss.as_ref().is_some_and(|loss| loss.denied.is_some())
    }

    fn silent_seconds(&self) -> Option<u64> {
        self.last_data.map(|at| at.elapsed().as_secs())
    }

    /// What is known of the shard when the client leaves.
    fn parting(&self) -> String {
        let url = self.client.url();
        if self.live {
            return format!("detached from {url}; the town keeps running");
        }
        let why = self.loss.as_ref().map_or_else(String::new, |loss| format!(" ({})", loss.why));
        match self.silent_seconds() {
            _ if self.is_denied() => format!("{url} refused access{why}"),
            _ if self.loss.as_ref().is_some_and(|loss| loss.stopped) => format!("{url} has stopped"),
            Some(seconds) => {
                format!("{url} has not answered for {seconds} s{why}; it is unknown whether its town runs")
            }
            None => format!("{url} was never reached{why}"),
        }
    }
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

    /// Publishes the loss, once there is one.
    fn emit_loss(&self, in_seconds: u64) {
        let link = self.with(|info| {
            let loss = info.loss.clone()?;
            let (url, silent_seconds) = (info.client.url().to_owned(), info.silent_seconds());
            let (denied, stopped) = (loss.denied.is_some(), loss.stopped);
            Some(Link::Reconnecting { url, in_seconds, silent_seconds, denied, stopped, why: loss.why })
        });
        if let Some(link) = link {
            self.emit(SourceEvent::Link(link));
        }
    }

    /// Stores and publishes the shard's information.
    fn apply_welcome(&self, welcome: ServiceInfo, url: &str) {
        let link = self.with(|info| {
            info.commands.clone_from(&welcome.commands);
            info.schema.clone_from(&welcome.schema_version);
            info.checks_runs = !welcome.run_id.is_empty();
            info.clock = ShardClock::read(welcome.now_ms);
            if info.checks_runs {
                info.run_id.clone_from(&welcome.run_id);
            }
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

    /// Whether a line is a command of the shard's table that is so.
    fn is_command(&self, line: &str, is_so: impl FnOnce(&CommandSpec) -> bool) -> bool {
        self.with(|info| command_line::parse(&info.commands, line).is_ok_and(|parsed| is_so(parsed.spec)))
    }

    /// The shard's run, if it is known and not the one that a request is meant for.
    fn other_run(&self, request: &Request) -> Option<String> {
        let meant = request.run_id.as_deref()?;
        self.with(|info| (!info.run_id.is_empty() && info.run_id != meant).then(|| info.run_id.clone()))
    }

    /// The request without what the shard does not know, to be executed until a time if it changes something.
    fn understood(&self, request: &Request, until: Option<Instant>) -> Request {
        let (checks_runs, clock) = self.with(|info| (info.checks_runs, info.clock));
        let run_id = request.run_id.clone().filter(|_| checks_runs);
        let expires_ms = until.and_then(|until| Some(clock?.ms_at(until)));
        Request { run_id, expires_ms, ..request.clone() }
    }

    /// Publishes the commands without an answer, if there is something to say.
    fn emit_unconfirmed(&self) {
        if let Some(list) = self.outbox.news() {
            self.emit(SourceEvent::Unconfirmed(list));
        }
    }

    fn newer_schema_version(&self) -> Option<String> {
        self.with(|info| is_newer(&info.schema).then(|| info.schema.clone()))
    }
}

impl Remote {
    /// The shard need not be reachable yet.
    pub fn new(client: Client) -> Self {
        let url = client.url().to_owned();
        Self { url, client: Some(client), shared: None, known: None, stop: signal::channel(false).0, thread: None }
    }

    /// Remembers what it sees of the audit log in this file, and reports what contradicts it.
    #[must_use]
    pub fn remembering(mut self, known: Option<KnownShards>) -> Self {
        self.known = known;
        self
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
        let Some(client) = self.client.take() else { return };
        let info = Mutex::new(ConnectionInfo::new(client));
        let shared = Arc::new(Shared {
            deliver: Arc::from(deliver),
            info,
            outbox: Outbox::default(),
            view: view_sender::View::default(),
            audit_requests: audit_requests::AuditRequests::default(),
            past: past::Past::default(),
            token_changed: Notify::default(),
            known: self.known.clone(),
        });
        self.shared = Some(Arc::clone(&shared));
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
                    () = command_sender::serve(&shared) => {}
                    () = command_sender::refuse_unheard(&shared) => {}
                    () = command_sender::report(&shared) => {}
                    () = view_sender::serve(&shared) => {}
                    () = audit_requests::serve(&shared) => {}
                    () = past::serve(&shared) => {}
                    () = known_shards::watch(&shared) => {}
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
        if let Some(shared) = &self.shared {
            let run_id = shared.with(|info| info.run_id.clone());
            request.run_id = request.run_id.or(Some(run_id).filter(|run_id| !run_id.is_empty()));
            let changes = !request.dry_run && shared.is_command(&request.command, |spec| spec.mutating);
            shared.outbox.push(request, changes);
        }
        cmd_id
    }

    fn resend(&mut self, cmd_id: &str) {
        if let Some(shared) = &self.shared {
            shared.outbox.resend(cmd_id);
            shared.emit_unconfirmed();
        }
    }

    fn give_up(&mut self, cmd_id: &str) {
        if let Some(shared) = &self.shared
            && let Some(answer) = shared.outbox.give_up(cmd_id)
        {
            shared.emit(SourceEvent::Answer(answer));
            shared.emit_unconfirmed();
        }
    }

    fn load_audit_page(&mut self, request: AuditPageRequest) {
        if let Some(shared) = &self.shared {
            shared.audit_requests.push(request);
        }
    }

    fn look_at(&mut self, focus: &Focus) {
        if let Some(shared) = &self.shared {
            shared.view.look_at(focus);
        }
    }

    fn seek(&mut self, tick: u64) {
        if let Some(shared) = &self.shared {
            shared.past.wish(Some(tick));
        }
    }

    fn live(&mut self) {
        if let Some(shared) = &self.shared {
            shared.past.wish(None);
            shared.emit(SourceEvent::Moved(Moved::Live));
        }
    }

    fn marks(&mut self) {
        if let Some(shared) = &self.shared {
            shared.past.wish_marks();
        }
    }

    fn close(&mut self) -> String {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        let Some(shared) = &self.shared else { return format!("{} was never reached", self.url) };
        let mut said = shared.with(|info| info.parting());
        for command in shared.outbox.unconfirmed() {
            let UnconfirmedCommand { cmd_id, command: line, .. } = &command;
            let line = townlet_wire::escape(line);
            let _ = write!(said, "\n`{line}` ({cmd_id}): {} {}", command.fate(), command.advice());
        }
        said
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use townlet_wire::sse::STOPPING;

    #[test]
    fn a_loss_says_what_is_known_of_the_shard() {
        let refusal = |code: &str| ClientError::Refused(ErrorBody::new(code, "", ""));
        // There may be too many streams, whatever the token.
        assert_eq!(Loss::of(&refusal("E_TOO_MANY"), "http://x", None).denied, None);
        let denied = Loss::of(&refusal("E_UNAUTHORIZED"), "http://x", None);
        assert_eq!(denied.denied.as_ref().map(|error| error.code.as_str()), Some("E_UNAUTHORIZED"));
        let refused = Loss::of(&ClientError::Unreachable("http://x: refused.".into()), "http://x", Some(&denied));
        assert_eq!((refused.denied, refused.why.as_str()), (None, "refused"));
        // A shard that has said that it stops has stopped, until it is heard again.
        let stopped = Loss { why: STOPPING.into(), denied: None, stopped: true };
        let still = Loss::of(&ClientError::Unreachable("http://x: refused.".into()), "http://x", Some(&stopped));
        assert_eq!((still.stopped, still.why.as_str()), (true, STOPPING));
        assert!(Loss::of(&refusal("E_UNAUTHORIZED"), "http://x", Some(&stopped)).denied.is_some());
    }

    #[test]
    fn the_parting_words_claim_nothing_of_a_shard_that_is_not_heard() {
        let client = Client::new(&Target { url: "http://127.0.0.1:7420".into(), ..Target::default() }).unwrap();
        let mut info = ConnectionInfo::new(client);
        let loss = |why: &str, denied: bool| {
            Some(Loss {
                why: why.into(),
                stopped: why == STOPPING,
                denied: denied.then(|| ErrorBody::new("E_UNAUTHORIZED", "", "")),
            })
        };
        assert_eq!(info.parting(), "http://127.0.0.1:7420 was never reached");
        info.loss = loss("connection refused", false);
        assert_eq!(info.parting(), "http://127.0.0.1:7420 was never reached (connection refused)");
        info.loss = loss("E_UNAUTHORIZED  the token is not valid.", true);
        assert!(info.parting().contains("refused access"), "{}", info.parting());
        info.last_data = Instant::now().checked_sub(std::time::Duration::from_secs(12));
        info.loss = loss("the connection broke", false);
        let said = "http://127.0.0.1:7420 has not answered for 12 s (the connection broke); it is unknown whether its town runs";
        assert_eq!(info.parting(), said);
        info.loss = loss(STOPPING, false);
        assert_eq!(info.parting(), "http://127.0.0.1:7420 has stopped");
        info.live = true;
        assert_eq!(info.parting(), "detached from http://127.0.0.1:7420; the town keeps running");
    }
}

//! A source for a shard in this process.

use std::sync::Arc;

use super::local_past::LocalPast;
use super::{AuditPageRequest, Deliver, Link, Source, SourceEvent, SourceInfo, audit_pages};
use townlet_shard::{Handle, SessionEvent, specs};
use townlet_wire::{Request, Role, Session};

/// A local shard. The operator owns it.
pub struct Local {
    shard: Arc<Handle>,
    session: Session,
    id: u64,
    deliver: Option<Deliver>,
    facts: Vec<(String, String)>,
    requires_token: bool,
    past: LocalPast,
    /// Is called before the shard is stopped.
    before_stop: Option<Box<dyn FnOnce() + Send>>,
}

/// Delivers `Ended` when the shard's thread drops it, that is, when the thread returns or panics.
struct EndNotifier(Deliver);

impl Drop for EndNotifier {
    fn drop(&mut self) {
        self.0(SourceEvent::Ended("the shard's thread has ended".into()));
    }
}

impl Local {
    /// `issuer`: name of the operator in the audit log.
    pub fn new(shard: Arc<Handle>, issuer: String, requires_token: bool, facts: Vec<(String, String)>) -> Self {
        let session = Session { issuer, role: Role::Viewer, transport: "local".into(), owner: true };
        Self { shard, session, id: 0, deliver: None, facts, requires_token, past: LocalPast::new(), before_stop: None }
    }

    /// Calls this before the shard is stopped, such as to end its service in order.
    #[must_use]
    pub fn before_stop(self, job: impl FnOnce() + Send + 'static) -> Self {
        Self { before_stop: Some(Box::new(job)), ..self }
    }
}

impl Source for Local {
    fn hello(&self) -> SourceInfo {
        SourceInfo {
            commands: specs(),
            session: self.session.clone(),
            link: Link::Local,
            requires_token: self.requires_token,
            facts: self.facts.clone(),
        }
    }

    fn start(&mut self, deliver: Box<dyn Fn(SourceEvent) + Send + Sync>) {
        let deliver: Deliver = Arc::from(deliver);
        let (to_session, to_view) = (Arc::clone(&deliver), EndNotifier(Arc::clone(&deliver)));
        self.id = self.shard.open(self.session.clone(), move |event| {
            to_session(match event {
                SessionEvent::RoleChanged(session) => SourceEvent::Session(session),
                SessionEvent::InFlight(answer) => SourceEvent::Answer(answer),
            });
        });
        self.shard.subscribe(move |view| to_view.0(SourceEvent::View(view)));
        self.deliver = Some(deliver);
    }

    fn send(&mut self, mut request: Request) -> String {
        let cmd_id = request.cmd_id.get_or_insert_with(|| uuid::Uuid::now_v7().to_string()).clone();
        if let Some(deliver) = self.deliver.clone() {
            self.shard.ask(self.id, request, move |answer| deliver(SourceEvent::Answer(answer)));
        }
        cmd_id
    }

    fn load_audit_page(&mut self, request: AuditPageRequest) {
        if let Some(deliver) = &self.deliver {
            audit_pages::load(self.shard.home().console(), self.shard.names(), request, deliver);
        }
    }

    fn seek(&mut self, tick: u64) {
        if let Some(deliver) = &self.deliver {
            self.past.seek(tick, &self.shard, deliver);
        }
    }

    fn live(&mut self) {
        if let Some(deliver) = &self.deliver {
            self.past.live(deliver);
        }
    }

    fn marks(&mut self) {
        if let Some(deliver) = &self.deliver {
            self.past.marks(&self.shard, deliver);
        }
    }

    fn close(&mut self) -> String {
        self.past.end();
        if let Some(job) = self.before_stop.take() {
            job();
        }
        match self.shard.stop() {
            Ok(path) => format!("{} stopped at tick {}; snapshot {path}", self.shard.run_id, self.shard.tick()),
            Err(why) => format!("{} stopped at tick {}; not saved: {why}", self.shard.run_id, self.shard.tick()),
        }
    }
}

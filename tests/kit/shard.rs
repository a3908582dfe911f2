//! A shard inside the test's process, run tick by tick through its public handle.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use townlet_shard::training::TrainingSpec;
use townlet_shard::{ConfigReloader, Handle, Home, Options};
use townlet_wire::telemetry::{Agent, Evidence};
use townlet_wire::{Answer, Request, Role, Session, Snapshot, Status};

use super::sources::{CONFIG_FILE, TestTown, default_sources, read_config};
use super::wait::wait_for;

/// A training of a few towns and a small network, with a checkpoint every other update.
pub(crate) const SMALL_TRAINING: &[(&str, &str)] = &[
    ("training.replicas", "4"),
    ("training.rollout_ticks", "200"),
    ("training.horizon_days", "1"),
    ("training.hidden_units", "16"),
    ("training.checkpoint_updates", "2"),
    ("training.warm_start_rollouts", "1"),
    ("ppo.mini_batch_size", "64"),
    ("ppo.num_epochs", "1"),
];

/// A console session.
pub(crate) fn test_session(issuer: &str, role: Role, owner: bool) -> Session {
    Session { issuer: issuer.into(), role, transport: "local".into(), owner }
}

/// A running shard with an admin's and a viewer's session; neither owns the process.
pub(crate) struct TestShard {
    /// The shard.
    pub(crate) shard: Handle,
    /// Session of an admin, issuer `test:admin`.
    pub(crate) admin: u64,
    /// Session of a viewer, issuer `test:viewer`.
    pub(crate) viewer: u64,
}

impl TestShard {
    /// Opens the two sessions on a shard.
    pub(crate) fn from_handle(shard: Handle) -> Self {
        let admin = shard.open(test_session("test:admin", Role::Admin, false), |_| {});
        let viewer = shard.open(test_session("test:viewer", Role::Viewer, false), |_| {});
        Self { shard, admin, viewer }
    }

    /// A new default town that ticks only when the test runs it.
    pub(crate) fn new(home: &Path) -> Self {
        Self::in_town(home, TestTown::Default)
    }

    /// A new town that ticks only when the test runs it.
    pub(crate) fn in_town(home: &Path, town: TestTown) -> Self {
        Self::from_handle(townlet_shard::start(town.sources(), 7, options(home, true)).expect("the shard starts"))
    }

    /// The same with a safety gate that passes a candidate after 35 pairs without an event.
    pub(crate) fn with_wide_safety_margin(home: &Path) -> Self {
        let sources = default_sources(&[("stability.promotion.safety_margin", "0.1")]);
        Self::from_handle(townlet_shard::start(sources, 7, options(home, true)).expect("the shard starts"))
    }

    /// The same with a small training beside it.
    pub(crate) fn with_training(home: &Path) -> Self {
        let (sources, options) = (default_sources(SMALL_TRAINING), options(home, true));
        let training = Some(TrainingSpec::new(&sources, None).expect("training and town agree"));
        Self::from_handle(townlet_shard::start(sources, 7, Options { training, ..options }).expect("the shard starts"))
    }

    /// The same with the shipped policy as a candidate that is eligible for promotion, after few pairs of towns.
    pub(crate) fn with_eligible_candidate(home: &Path) -> Self {
        let live = Self::with_wide_safety_margin(home);
        live.make_candidate_eligible();
        live
    }

    /// A new town from the configuration file of its home, which is written first. It ticks only when the test runs it.
    pub(crate) fn from_file(home: &Path, text: &str) -> Self {
        std::fs::write(home.join(CONFIG_FILE), text).expect("the home can be written");
        let read = read_config(home).expect("the file is valid");
        Self::from_handle(townlet_shard::start(read.sources, 7, options_with_reload(home)).expect("the shard starts"))
    }

    /// The same, with a configuration file that was edited after the start.
    pub(crate) fn with_edited_file(home: &Path) -> Self {
        let live = Self::from_file(home, "policy: { release: scripted }\n");
        let edited = "policy: { release: scripted }\nkpis: { attendance: 0.5 }\n";
        std::fs::write(home.join(CONFIG_FILE), edited).expect("the home can be written");
        live
    }

    /// A new default town, paused; it runs at full speed once resumed.
    pub(crate) fn paused(home: &Path) -> Self {
        Self::from_handle(
            townlet_shard::start(default_sources(&[]), 7, options(home, false)).expect("the shard starts"),
        )
    }

    /// The last run of a home, resumed where it stopped.
    pub(crate) fn resumed(home: &Path) -> Self {
        let options = options(home, true);
        let recorded = townlet_shard::find_run(&options.home, "harbour", None, "snapshots").expect("there is a run");
        Self::from_handle(townlet_shard::resume(&recorded, options).expect("the shard resumes"))
    }

    /// Evaluates the shipped policy as a candidate until it is eligible for promotion.
    #[track_caller]
    pub(crate) fn make_candidate_eligible(&self) {
        let views = self.watch();
        self.expect_ok("promotion_candidate shipped");
        wait_for(&views, "a verdict", |view| view.promotion.evidence.as_ref().is_some_and(Evidence::is_sufficient));
        self.run_until_promotion("eligible");
    }

    /// Runs window by window until the promotion is in this state.
    #[track_caller]
    pub(crate) fn run_until_promotion(&self, state: &str) {
        for _ in 0..30 {
            if self.view().promotion.state == state {
                return;
            }
            self.run(1_000);
        }
        panic!("never {state}: {:?}", self.view().promotion);
    }

    /// The current state.
    pub(crate) fn view(&self) -> Snapshot {
        self.shard.view().expect("the shard runs").0
    }

    /// The town's current digest.
    pub(crate) fn digest(&self) -> String {
        self.shard.view().expect("the shard runs").1
    }

    /// A resident in telemetry; `None` after they left.
    pub(crate) fn agent(&self, id: &str) -> Option<Agent> {
        self.view().agents.into_iter().find(|agent| agent.id == id)
    }

    /// Runs a town that ticks only when the test runs it.
    pub(crate) fn run(&self, ticks: u64) {
        let until = self.view().tick + ticks;
        assert_eq!(self.shard.run_to(until, |_| true), Some(until));
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn ask(&self, session: u64, request: Request) -> Answer {
        self.shard.ask_and_wait(session, request).expect("the shard answers")
    }

    /// Sends a command line as admin; the answer may be a refusal.
    pub(crate) fn line(&self, line: &str) -> Answer {
        self.ask(self.admin, Request::line(line))
    }

    /// Sends a command line as admin that must succeed.
    #[track_caller]
    pub(crate) fn expect_ok(&self, line: &str) -> Answer {
        let answer = self.line(line);
        assert_eq!(answer.status, Status::Ok, "`{line}`: {answer:?}");
        assert!(answer.error.is_none() && !answer.summary().is_empty());
        answer
    }

    /// The result of a command line that must succeed.
    #[track_caller]
    pub(crate) fn result(&self, line: &str) -> serde_json::Value {
        self.expect_ok(line).result.expect("an answer has a result")
    }

    /// The error code of a command line that must be refused.
    #[track_caller]
    pub(crate) fn refused(&self, line: &str) -> String {
        refusal(&self.line(line))
    }

    /// Every state that is published from now on.
    pub(crate) fn watch(&self) -> Receiver<Arc<Snapshot>> {
        let (sender, views) = channel();
        self.shard.subscribe(move |view| drop(sender.send(view)));
        views
    }
}

/// The code of a refusal, which must have a message and a hint.
#[track_caller]
pub(crate) fn refusal(answer: &Answer) -> String {
    assert_eq!((answer.status, &answer.result), (Status::Error, &None), "{answer:?}");
    let error = answer.error.as_ref().expect("a refusal has an error");
    assert!(!error.message.is_empty() && !error.hint.is_empty(), "{error:?}");
    error.code.clone()
}

/// Options of a test shard; a held one ticks only when the test runs it.
pub(crate) fn options(home: &Path, held: bool) -> Options {
    Options { paused: !held, held, ..Options::held(Home::new(home)) }
}

/// The same for a shard that reloads the configuration file of its home.
pub(crate) fn options_with_reload(home: &Path) -> Options {
    let folder = home.to_owned();
    Options { reloader: Some(ConfigReloader::new(move || read_config(&folder))), ..options(home, true) }
}

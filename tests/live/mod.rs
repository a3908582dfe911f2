//! A live shard for tests that hold its promises: a town of the shipped texts in a home of its own, run tick by tick.
//!
//! Knows the shard's handle and nothing behind it. A held shard ticks only when a test says how far.

#![allow(dead_code, reason = "every test target uses the part it needs")]

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tempfile::TempDir;
use townlet_learn::checkpoint::{Checkpoint, Registry};
use townlet_shard::training::TrainingSpec;
use townlet_shard::{ConfigReloader, Driver, Handle, Home, Options, Read, Speed};
use townlet_town::Sources;
use townlet_town::config::{Layers, load};
use townlet_town::options::OPTIONS;
use townlet_wire::telemetry::Agent;
use townlet_wire::{Answer, Request, Role, Session, Snapshot, Status};

/// Longest a published state is waited for before a test says that it never came.
const TIMEOUT: Duration = Duration::from_mins(2);

/// A training of a few towns and a small network, with a checkpoint every other update.
pub(crate) const SMALL: &[(&str, &str)] = &[
    ("training.replicas", "4"),
    ("training.rollout_ticks", "200"),
    ("training.horizon_days", "1"),
    ("training.hidden_units", "16"),
    ("training.checkpoint_updates", "2"),
    ("training.warm_start_rollouts", "1"),
    ("ppo.mini_batch_size", "64"),
    ("ppo.num_epochs", "1"),
];

/// The shipped default town, or the backlog scenario, with these settings changed.
pub(crate) fn sources(backlog: bool, settings: &[(&str, &str)]) -> Sources {
    let (file, plan) = if backlog {
        (
            include_str!("../../configs/scenarios/employment_backlog.yaml"),
            include_str!("../../configs/towns/backlog.txt"),
        )
    } else {
        ("", include_str!("../../configs/towns/default.txt"))
    };
    // Shocks do not come by themselves, but there are some to call.
    let quiet = ("features.systems.perturbations", "off");
    let flags = [quiet].iter().chain(settings).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let layers = Layers { file: Some(("test.yaml".into(), file.into())), environment: Vec::new(), flags };
    Sources {
        config: load(&layers).expect("the settings hold").config,
        plan: ("plan.txt".into(), plan.into()),
        affordances: ("affordances.yaml".into(), include_str!("../../configs/affordances.yaml").into()),
        perturbations: ("default.yaml".into(), include_str!("../../configs/perturbations/default.yaml").into()),
    }
}

/// A policy that only waits, among the shadows; its name.
pub(crate) fn store_idle_policy(home: &Path) -> String {
    let shipped = include_bytes!("../../configs/policies/shipped.safetensors");
    let mut policy = Checkpoint::embedded(shipped).expect("it is whole");
    for column in &mut policy.weights.columns {
        column.values.fill(0.0);
        if column.name == "policy.bias" {
            let wait = OPTIONS.iter().position(|row| row.1 == "wait").expect("one may wait");
            column.values[wait] = 1_000.0;
        }
    }
    let (id, bytes) = Checkpoint::encode(&policy.meta, &policy.weights, &policy.normalizer);
    Registry::new(home.join("snapshots/shadow")).store(&id, &bytes).expect("it is stored");
    id
}

/// The file that [`Live::filed`] is started from, in its home.
pub(crate) const FILE: &str = "town.yaml";

/// What the files of a folder say: `town.yaml`, and beside it `affordances.yaml` and `events.yaml` where they are.
///
/// # Errors
/// What is wrong with them, in a line.
pub(crate) fn read(folder: &Path) -> Result<Read, String> {
    let path = folder.join(FILE);
    let text = std::fs::read_to_string(&path).map_err(|why| format!("{FILE}: {why}"))?;
    let layers = Layers { file: Some((FILE.into(), text)), ..Layers::default() };
    let loaded = load(&layers).map_err(|errors| errors.one_line())?;
    let beside = |name: &str, shipped: &str| {
        let text = std::fs::read_to_string(folder.join(name)).unwrap_or_else(|_| shipped.to_owned());
        (name.to_owned(), text)
    };
    let sources = Sources {
        config: loaded.config,
        affordances: beside("affordances.yaml", include_str!("../../configs/affordances.yaml")),
        perturbations: beside("events.yaml", include_str!("../../configs/perturbations/default.yaml")),
        ..sources(false, &[])
    };
    Ok(Read { sources, files: vec![FILE.into()], warnings: loaded.warnings })
}

/// Somebody at the console.
pub(crate) fn somebody(issuer: &str, role: Role, owner: bool) -> Session {
    Session { issuer: issuer.into(), role, transport: "local".into(), owner }
}

/// A running shard with an admin's and a viewer's session; neither owns the process.
pub(crate) struct Live {
    /// The shard.
    pub(crate) shard: Handle,
    /// Session of an admin, issuer `test:admin`.
    pub(crate) admin: u64,
    /// Session of a viewer, issuer `test:viewer`.
    pub(crate) viewer: u64,
}

impl Live {
    /// A town whose candidate, the shipped policy against the scripted one, may be promoted.
    pub(crate) fn eligible(home: &Path) -> Self {
        let live = Self::held(home);
        live.make_eligible();
        live
    }

    /// Has the shipped policy judged until it may be promoted.
    #[track_caller]
    pub(crate) fn make_eligible(&self) {
        let views = self.watch();
        self.done("promotion_candidate shipped");
        wait_for(&views, "a verdict", |view| {
            view.promotion.evidence.as_ref().is_some_and(|evidence| evidence.verdict == "better")
        });
        self.until("eligible");
    }

    /// Runs window by window until the promotion is in this state.
    #[track_caller]
    pub(crate) fn until(&self, state: &str) {
        for _ in 0..30 {
            if self.view().promotion.state == state {
                return;
            }
            self.run(1_000);
        }
        panic!("never {state}: {:?}", self.view().promotion);
    }

    /// Around a shard.
    pub(crate) fn around(shard: Handle) -> Self {
        let admin = shard.open(somebody("test:admin", Role::Admin, false), |_| {});
        let viewer = shard.open(somebody("test:viewer", Role::Viewer, false), |_| {});
        Self { shard, admin, viewer }
    }

    /// A new default town that ticks only when told to.
    pub(crate) fn held(home: &Path) -> Self {
        Self::around(townlet_shard::start(sources(false, &[]), 7, options(home, true)).expect("the shard starts"))
    }

    /// The same, with a small training beside it.
    pub(crate) fn training(home: &Path) -> Self {
        let (sources, options) = (sources(false, SMALL), options(home, true));
        let training = Some(TrainingSpec::new(&sources, None).expect("they go together"));
        Self::around(townlet_shard::start(sources, 7, Options { training, ..options }).expect("the shard starts"))
    }

    /// A new town from the file of its home, which is written first; it ticks only when told to.
    pub(crate) fn filed(home: &Path, text: &str) -> Self {
        std::fs::write(home.join(FILE), text).expect("the home can be written");
        let read = read(home).expect("the file holds");
        Self::around(townlet_shard::start(read.sources, 7, filed(home)).expect("the shard starts"))
    }

    /// The same, and the file says something else by now.
    pub(crate) fn with_edited_file(home: &Path) -> Self {
        let live = Self::filed(home, "policy: { release: scripted }\n");
        std::fs::write(home.join(FILE), "policy: { release: scripted }\nkpis: { attendance: 0.5 }\n").expect("written");
        live
    }

    /// A new default town, paused, at full speed once it runs.
    pub(crate) fn paused(home: &Path) -> Self {
        Self::around(townlet_shard::start(sources(false, &[]), 7, options(home, false)).expect("the shard starts"))
    }

    /// Whoever ran in this home last, where they stopped.
    pub(crate) fn resumed(home: &Path) -> Self {
        Self::around({
            let options = options(home, true);
            let recorded =
                townlet_shard::recorded(&options.home, "harbour", None, "snapshots").expect("there is a run");
            townlet_shard::resume(&recorded, options).expect("the shard resumes")
        })
    }

    /// The state now.
    pub(crate) fn view(&self) -> Snapshot {
        self.shard.view().expect("the shard lives").0
    }

    /// The town's digest now.
    pub(crate) fn digest(&self) -> String {
        self.shard.view().expect("the shard lives").1
    }

    /// A resident as observers see them; nobody, when they have left.
    pub(crate) fn agent(&self, id: &str) -> Option<Agent> {
        self.view().agents.into_iter().find(|agent| agent.id == id)
    }

    /// Runs a held town for so many ticks.
    pub(crate) fn run(&self, ticks: u64) {
        let until = self.view().tick + ticks;
        assert_eq!(self.shard.run_to(until, |_| true), Some(until));
    }

    /// Asks and waits.
    pub(crate) fn ask(&self, session: u64, request: Request) -> Answer {
        self.shard.ask_and_wait(session, request).expect("the shard answers")
    }

    /// A line of the admin's, whatever comes of it.
    pub(crate) fn line(&self, line: &str) -> Answer {
        self.ask(self.admin, Request::line(line))
    }

    /// A line of the admin's that must be done.
    #[track_caller]
    pub(crate) fn done(&self, line: &str) -> Answer {
        let answer = self.line(line);
        assert_eq!(answer.status, Status::Ok, "`{line}`: {answer:?}");
        assert!(answer.error.is_none() && !answer.summary().is_empty());
        answer
    }

    /// What a line of the admin's answered, which must have been done.
    #[track_caller]
    pub(crate) fn result(&self, line: &str) -> serde_json::Value {
        self.done(line).result.expect("an answer has a result")
    }

    /// The code a line of the admin's is refused with.
    #[track_caller]
    pub(crate) fn refused(&self, line: &str) -> String {
        refusal(&self.line(line))
    }

    /// Every state published from now on.
    pub(crate) fn watch(&self) -> Receiver<Arc<Snapshot>> {
        let (sender, views) = channel();
        self.shard.subscribe(move |view| drop(sender.send(view)));
        views
    }
}

/// The code of a refusal, which must have a sentence and say what would be right.
#[track_caller]
pub(crate) fn refusal(answer: &Answer) -> String {
    assert_eq!((answer.status, &answer.result), (Status::Error, &None), "{answer:?}");
    let error = answer.error.as_ref().expect("a refusal says why");
    assert!(!error.message.is_empty() && !error.hint.is_empty(), "{error:?}");
    error.code.clone()
}

/// The first published state that fits.
#[track_caller]
pub(crate) fn wait_for(views: &Receiver<Arc<Snapshot>>, what: &str, fits: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
    loop {
        let view = views.recv_timeout(TIMEOUT).unwrap_or_else(|_| panic!("never seen: {what}"));
        if fits(&view) {
            return view;
        }
    }
}

/// How every shard here is started.
pub(crate) fn options(home: &Path, held: bool) -> Options {
    Options {
        home: Home::new(home),
        paused: !held,
        speed: Speed::Max,
        held,
        claim: false,
        driver: Driver::default(),
        training: None,
        token_file: None,
        reloader: None,
    }
}

/// The same from the file of its home.
pub(crate) fn filed(home: &Path) -> Options {
    let folder = home.to_owned();
    Options { reloader: Some(ConfigReloader::new(move || read(&folder))), ..options(home, true) }
}

/// A home that goes when the test does.
pub(crate) fn home() -> TempDir {
    tempfile::tempdir().expect("a folder can be made")
}

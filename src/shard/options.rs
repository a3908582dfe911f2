//! How a shard is started.

use std::path::PathBuf;

use super::driver::Driver;
use super::engine::Speed;
use super::home::Home;
use super::reload::ConfigReloader;
use super::training::TrainingSpec;

/// How a shard is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where its files go.
    pub home: Home,
    /// Paused, and how fast otherwise.
    pub paused: bool,
    /// How fast.
    pub speed: Speed,
    /// Do not tick before [`crate::Handle::run_to`] says how far.
    pub held: bool,
    /// Lock the shard's name in this home; batch runs do not, so that several can run side by side.
    pub claim: bool,
    /// The policy that drives the residents.
    pub driver: Driver,
    /// The training beside the town, when one is wanted.
    pub training: Option<TrainingSpec>,
    /// Where admin tokens are stored, when the configuration asks for them.
    pub token_file: Option<PathBuf>,
    /// Reads the files it was started from again, where there are any.
    pub reloader: Option<ConfigReloader>,
}

impl Options {
    /// A shard that advances only on request, under the scripted policy, and locks no name.
    pub fn held(home: Home) -> Self {
        Self {
            home,
            paused: false,
            speed: Speed::Max,
            held: true,
            claim: false,
            driver: Driver::default(),
            training: None,
            token_file: None,
            reloader: None,
        }
    }
}

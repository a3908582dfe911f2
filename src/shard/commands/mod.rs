//! What each command does, a file for each kind. Rows are listed in `table`.

pub(super) mod incidents;
pub(super) mod look;
pub(super) mod pace;
pub(super) mod people;
pub(super) mod perturbations;
pub(super) mod promotion;
pub(super) mod queue;
pub(super) mod session;
pub(super) mod snapshots;
pub(super) mod ties;
pub(super) mod training;
pub(super) mod world;

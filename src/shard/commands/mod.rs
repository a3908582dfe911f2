//! What each command does, a file for each kind. Rows are listed in `command_table`.

pub(super) mod employment;
pub(super) mod incidents;
pub(super) mod inspect;
pub(super) mod pace;
pub(super) mod perturbations;
pub(super) mod promotion;
pub(super) mod relationships;
pub(super) mod residents;
pub(super) mod session;
pub(super) mod snapshots;
pub(super) mod training;
pub(super) mod whatif;
pub(super) mod world;

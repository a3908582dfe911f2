//! Disk errors, hangs and crashes inside one process, injected at fail points. `cargo test --features failpoints --test fail_points`.
//!
//! Fail points belong to the whole process: every test here holds a `FailScenario` while it runs, so they run one at a time.

#[path = "../kit/mod.rs"]
mod kit;

mod audit_log;
mod changed_files;
mod hanging_disk;
mod publication;
mod refusing_disk;

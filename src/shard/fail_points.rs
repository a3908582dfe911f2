//! The named fail points: where a test, in a build with `--features failpoints`, makes the disk refuse or the process die.
//!
//! One table for the crash harness, which takes new rows by itself; a test holds it to the points in the code. Nothing here
//! runs. Rule: "Tests".

/// Who meets a point, which is what a fault there may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// The town's own thread: a panic ends the run with a sentence.
    TownThread,
    /// Whoever writes what a command waits for, or the last snapshot: a refusal is told, and acknowledges nothing.
    RequiredWriter,
    /// Whoever writes what no command waits for: a refusal is told, and stops nothing.
    OptionalWriter,
    /// A batch with a script does not come there; the test named does.
    In(&'static str),
}

/// Every point: its name, and who meets it.
pub const POINTS: &[(&str, Met)] = &[
    ("engine_tick", Met::TownThread),
    ("before_apply", Met::TownThread),
    ("after_apply", Met::TownThread),
    ("before_ack", Met::TownThread),
    ("journal_create", Met::RequiredWriter),
    ("journal_write", Met::RequiredWriter),
    ("journal_torn", Met::RequiredWriter),
    ("journal_sync", Met::RequiredWriter),
    ("audit_write", Met::RequiredWriter),
    ("audit_torn", Met::RequiredWriter),
    ("audit_sync", Met::RequiredWriter),
    ("audit_head", Met::RequiredWriter),
    ("audit_rotate", Met::In("fail_points::audit_log")),
    ("replace_write", Met::RequiredWriter),
    ("replace_rename", Met::RequiredWriter),
    ("replace_sync", Met::OptionalWriter),
    ("snapshot_write", Met::RequiredWriter),
    ("ops_write", Met::OptionalWriter),
    ("promote_begin", Met::In("process::release_crash")),
    ("promote_begun", Met::In("process::release_crash")),
    ("promote_saving", Met::In("process::release_crash")),
    ("promote_flip", Met::In("process::release_crash")),
    ("promote_flipped", Met::In("process::release_crash")),
    ("promote_driven", Met::In("process::release_crash")),
    ("rollback_driven", Met::In("process::release_crash")),
    ("release_write", Met::In("process::release_crash")),
    ("release_written", Met::In("process::release_crash")),
    ("release_noting", Met::In("process::release_crash")),
    ("archive_open", Met::In("process::fail_points")),
    ("archive_write", Met::In("process::fail_points")),
    ("screen_draw", Met::In("process::incidents")),
];

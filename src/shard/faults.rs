//! The named fail points: where a test, in a build with `--features failpoints`, makes the disk refuse or the process die.
//!
//! One table for the crash harness, which takes new rows by itself; a test holds it to the points in the code. Nothing here
//! runs. Rule: "Tests" of the quality guide.

/// Who meets a point, which is what a fault there may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// The town's own thread: a panic ends the run with a sentence.
    ByTown,
    /// Whoever writes what a command waits for, or the last snapshot: a refusal is told, and acknowledges nothing.
    ByWriter,
    /// Whoever writes what no command waits for: a refusal is told, and stops nothing.
    Beside,
    /// A batch with a script does not come there; the test named does.
    In(&'static str),
}

/// Every point: its name, and who meets it.
pub const POINTS: &[(&str, Met)] = &[
    ("engine_tick", Met::ByTown),
    ("before_apply", Met::ByTown),
    ("after_apply", Met::ByTown),
    ("before_ack", Met::ByTown),
    ("journal_create", Met::ByWriter),
    ("journal_write", Met::ByWriter),
    ("journal_torn", Met::ByWriter),
    ("journal_sync", Met::ByWriter),
    ("audit_write", Met::ByWriter),
    ("audit_torn", Met::ByWriter),
    ("audit_sync", Met::ByWriter),
    ("audit_head", Met::ByWriter),
    ("audit_rotate", Met::In("audit_faults")),
    ("replace_write", Met::ByWriter),
    ("replace_rename", Met::ByWriter),
    ("replace_sync", Met::Beside),
    ("snapshot_write", Met::ByWriter),
    ("ops_write", Met::Beside),
    ("promote_begin", Met::In("process::release")),
    ("promote_begun", Met::In("process::release")),
    ("promote_saving", Met::In("process::release")),
    ("promote_flip", Met::In("process::release")),
    ("promote_flipped", Met::In("process::release")),
    ("promote_driven", Met::In("process::release")),
    ("rollback_driven", Met::In("process::release")),
    ("release_write", Met::In("process::release")),
    ("release_written", Met::In("process::release")),
    ("release_noting", Met::In("process::release")),
    ("archive_open", Met::In("process::faults")),
    ("archive_write", Met::In("process::faults")),
    ("screen_draw", Met::In("process::incidents")),
];

//! The table of fail points, which the crash tests go through. A test compares it with the points in the code.

/// The thread that reaches a point, which decides what a fault there may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReachedBy {
    /// The town's thread: a panic ends the run with a message.
    TownThread,
    /// A writer that a command or the last snapshot waits for: a failure is reported, and nothing is acknowledged.
    RequiredWriter,
    /// A writer that no command waits for: a failure is reported and stops nothing.
    OptionalWriter,
    /// Not reached by a headless run with a script, but by this test.
    Test(&'static str),
}

/// Every fail point.
pub(super) const POINTS: &[(&str, ReachedBy)] = &[
    ("engine_tick", ReachedBy::TownThread),
    ("before_apply", ReachedBy::TownThread),
    ("after_apply", ReachedBy::TownThread),
    ("before_ack", ReachedBy::TownThread),
    ("journal_create", ReachedBy::RequiredWriter),
    ("journal_write", ReachedBy::RequiredWriter),
    ("journal_torn", ReachedBy::RequiredWriter),
    ("journal_sync", ReachedBy::RequiredWriter),
    ("journal_check", ReachedBy::RequiredWriter),
    ("journal_rotate", ReachedBy::Test("process::journal_segments")),
    ("journal_rotated", ReachedBy::Test("process::journal_segments")),
    ("journal_prune", ReachedBy::Test("process::journal_segments")),
    ("audit_write", ReachedBy::RequiredWriter),
    ("audit_torn", ReachedBy::RequiredWriter),
    ("audit_sync", ReachedBy::RequiredWriter),
    ("audit_check", ReachedBy::RequiredWriter),
    ("one_log_written", ReachedBy::Test("fail_points::changed_files")),
    ("audit_head", ReachedBy::RequiredWriter),
    ("audit_rotate", ReachedBy::Test("fail_points::audit_log")),
    ("replace_write", ReachedBy::RequiredWriter),
    ("replace_rename", ReachedBy::RequiredWriter),
    ("replace_sync", ReachedBy::OptionalWriter),
    ("snapshot_write", ReachedBy::RequiredWriter),
    ("ops_write", ReachedBy::OptionalWriter),
    ("promote_begin", ReachedBy::Test("process::release_crash")),
    ("promote_begun", ReachedBy::Test("process::release_crash")),
    ("promote_saving", ReachedBy::Test("process::release_crash")),
    ("promote_flip", ReachedBy::Test("process::release_crash")),
    ("promote_flipped", ReachedBy::Test("process::release_crash")),
    ("promote_driven", ReachedBy::Test("process::release_crash")),
    ("rollback_driven", ReachedBy::Test("process::release_crash")),
    ("release_write", ReachedBy::Test("process::release_crash")),
    ("release_written", ReachedBy::Test("process::release_crash")),
    ("release_noting", ReachedBy::Test("process::release_crash")),
    ("archive_open", ReachedBy::Test("process::fail_points")),
    ("archive_write", ReachedBy::Test("process::fail_points")),
    ("publisher_build", ReachedBy::Test("fail_points::publication")),
    ("screen_draw", ReachedBy::Test("process::incidents")),
];

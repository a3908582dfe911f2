//! What several test binaries share: a shard inside the process, runs of the program, files of a home folder, and waiting.
//!
//! Each test binary compiles this module for itself with `#[path]`.

#![allow(dead_code, unused_imports, unused_macros, reason = "every test binary uses the part it needs")]

mod files;
mod program;
mod shard;
mod sources;
mod wait;

pub(crate) use files::{
    audit_log, copy_folder, fail_writes_of, files_below, has_journal, journal_files, only_file, open_segment,
    replace_folder, temp_home,
};
pub(crate) use program::{BINARY, command, json, text, townlet};
pub(crate) use shard::{SMALL_TRAINING, TestShard, options, options_with_reload, refusal, test_session};
pub(crate) use sources::{
    CONFIG_FILE, TestTown, backlog_sources, config_text, default_sources, in_each_town, read_config, repository,
    shipped_policy, sources, store_idle_policy,
};
pub(crate) use wait::{TIMEOUT, soak, stands_still, wait_for, wait_until};

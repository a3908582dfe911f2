//! Tests of the library crates and of single runs of the program, in one binary so that they share what they link.
//!
//! `cargo test --test suite <module>` runs one file. Tests that drive the program in a terminal, kill it or inject faults are in
//! `tests/process` and `tests/fail_points`.

#[path = "../kit/mod.rs"]
mod kit;

mod acknowledgement;
mod audit_forgery;
mod audit_pages;
mod audit_replay;
mod cli;
#[cfg(target_os = "linux")]
mod command_output;
mod command_table;
mod config_import;
mod determinism;
#[cfg(unix)]
mod disturbed_files;
mod drawn_towns;
mod employment;
mod eval_command;
mod foreign_bytes;
mod generated_docs;
mod history;
#[cfg(target_os = "linux")]
mod hostile_files;
mod idempotency_and_tokens;
mod mutation;
mod preflight_command;
mod privacy;
mod promotion;
mod recorded_source;
mod rehearse_command;
mod reload;
mod restart;
mod scenarios;
#[cfg(unix)]
mod security_command;
mod service;
#[cfg(unix)]
mod shadow_training;
#[cfg(target_os = "linux")]
mod special_files;
mod sweep_command;
mod telemetry;
mod token_command;
#[cfg(unix)]
mod train_command;
mod train_seeds;
mod user_config;
mod whatif;

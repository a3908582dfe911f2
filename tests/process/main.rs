//! Tests of the program as a process: in a terminal, over a network, in batch, under `kill -9`, and with injected faults.
//!
//! They know the command line, the files of a home and their readers. Rules: "Interface tests", "Tests".

#[path = "../kit/mod.rs"]
mod kit;

#[cfg(unix)]
mod document_blocks;
#[cfg(feature = "failpoints")]
mod fail_point_table;
#[cfg(feature = "failpoints")]
mod fail_points;
mod headless;
#[cfg(target_os = "linux")]
mod hostile_load;
#[cfg(feature = "failpoints")]
mod hung_tick;
mod incidents;
mod journal_segments;
mod kill;
mod pty_session;
#[cfg(feature = "failpoints")]
mod release_crash;
mod remote;
#[cfg(target_os = "linux")]
mod resource_growth;
mod resumed_config;
mod server;
mod terminal_ui;
mod train_kill;
mod user_settings;

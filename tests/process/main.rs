//! The program as a whole: the real binary in a real terminal, under `kill -9`, and with faults injected.
//!
//! Knows the command line, the files under a home folder and their readers; nothing of what happens inside. Rules:
//! "Interface tests", "Tests".
//!
//! One program of tests, because all of them speak to the same binary: `cargo test --test process`.

mod document_blocks;
#[cfg(feature = "failpoints")]
mod fail_points;
mod headless;
#[cfg(feature = "failpoints")]
mod hung_tick;
mod incidents;
mod kill;
mod pty_session;
#[cfg(feature = "failpoints")]
mod release_crash;
mod remote;
mod terminal_ui;
mod train_kill;

//! The terminal interface: screens over a source.
//!
//! Depends on `wire` and the source trait only, so that a remote town and a local one look the same. The core ([`app`]) is
//! pure: messages in, tasks and frames out. The shell owns the terminal and the threads ([`terminal`]) and the files ([`files`]).
//! Rule: "Interface core", "Invariants".

pub mod answer_table;
pub mod app;
pub mod audit_lines;
pub mod bookmarks;
pub mod capabilities;
mod chart;
mod connection;
pub mod console;
mod detail_view;
mod event_loop;
pub mod export;
pub mod files;
#[cfg(test)]
pub(crate) mod fixtures;
mod fleet;
pub mod format;
pub mod indexed_snapshot;
pub mod keymap;
pub mod layouts;
mod level_history;
mod list;
pub mod metric_history;
mod metrics;
mod moment_input;
pub mod notification;
mod overlay;
pub mod pane;
#[cfg(test)]
mod pty_tests;
mod screens;
pub mod screenshot;
pub mod settings;
pub mod table;
pub mod terminal;
mod text_drawing;
pub mod text_field;
pub mod theme;
mod time_series;
mod timeline;
pub mod view_exchange;
pub mod wall_clock;
pub mod webhook;

pub use terminal::{Options, TerminalSession, WatchedSource};

//! The program as a whole: the real binary in a real terminal, under `kill -9`, and with faults injected.
//!
//! Knows the command line, the files under a home folder and their readers; nothing of what happens inside. Rules: "How
//! it is tested" of the interface guide, "Tests" of the quality guide.
//!
//! One program of tests, because all of them speak to the same binary: `cargo test --test process`.

mod afar;
mod batch;
mod crash;
#[cfg(feature = "failpoints")]
mod faults;
#[cfg(feature = "failpoints")]
mod hung;
mod incidents;
#[cfg(feature = "failpoints")]
mod release;
mod screen;
mod terminal;
mod training;

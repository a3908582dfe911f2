//! The configuration: typed, strict, layered, with the origin of every value.
//!
//! One table of settings (the `section!` lists in [`sections`], [`operating`] and [`perturbation`]) makes the structs,
//! the check, the documentation and the schema. The contract is `docs/CONFIG.md`. Pure: whoever loads brings the texts.

mod error;
mod form;
mod operating;
mod perturbation;
mod sections;
mod tree;

pub use error::{ConfigError, ConfigErrors};
pub use form::{Field, Form, Kind, Letters, Limit, Rule, Shape};
pub use operating::*;
pub use perturbation::{Event, EventKind, PerturbationFile};
pub use sections::*;
pub use tree::{Layer, Place, Source, Value};

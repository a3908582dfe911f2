//! The configuration: typed, strict, layered, with the origin of every value.
//!
//! One table of settings (the `section!` lists in `sections`, `operating` and `perturbation`) makes the structs,
//! the check, the documentation and the schema. The contract is `docs/CONFIG.md`. Pure: whoever loads brings the texts.

mod check;
mod cross;
mod describe;
mod error;
pub(crate) mod form;
pub mod import;
mod load;
mod operating;
mod perturbation;
mod sections;
#[cfg(test)]
mod tests;
pub(crate) mod tree;

pub(crate) use check::nearest;
pub(crate) use describe::difference;
pub use describe::{Difference, Row, diff, markdown, row, rows, schema};
pub use error::{ConfigError, ConfigErrors};
pub use form::{Field, Form, Kind, Letters, Limit, Rule, Shape};
pub(crate) use load::parse_form;
pub use load::{DEFAULT, Decimal, ENVIRONMENT_PREFIX, Layers, Loaded, Shown, load, parse_typed};
pub use operating::*;
pub use perturbation::{DEFAULT_PERTURBATIONS, Event, EventKind, PerturbationFile};
pub use sections::*;
pub use tree::{Layer, Place, Source, Value};

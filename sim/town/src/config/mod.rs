//! The configuration: typed, strict, layered, with the origin of every value.
//!
//! One table of settings (the `section!` lists in `sections`, `operating` and `perturbation`) makes the structs,
//! the check, the documentation and the schema. The contract is `docs/CONFIG.md`. Pure: whoever loads brings the texts.

mod cross_checks;
mod error;
pub mod import;
mod load;
mod perturbation_file;
mod reference;
pub(crate) mod schema;
mod shard_settings;
#[cfg(test)]
mod tests;
mod town_settings;
mod validate;
pub(crate) mod yaml_tree;

pub use error::{ConfigError, ConfigErrors};
pub(crate) use load::parse_form;
pub use load::{DEFAULT, Decimal, ENVIRONMENT_PREFIX, EffectiveSetting, Layers, LoadedConfig, load, parse_typed};
pub use perturbation_file::{DEFAULT_PERTURBATIONS, Event, EventKind, PerturbationFile};
pub(crate) use reference::difference;
pub use reference::{Difference, Row, diff, markdown, row, rows, schema};
pub use schema::{ConfigValue, Constraint, Field, Shape, TextFormat, ValueKind, ValueRange};
pub use shard_settings::*;
pub use town_settings::*;
pub use yaml_tree::{Layer, Place, Source, Value};

//! The configuration: typed settings from layered texts, with the origin of every value and errors with their position.
//!
//! The `section!` lists define the settings. Structs, validation, documentation and schema are derived from them. Callers read
//! the files. Reference: `docs/CONFIG.md`.

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
mod yaml_parser;
mod yaml_tree;

pub use error::{ConfigError, ConfigErrors};
pub use load::{DEFAULT, ENVIRONMENT_PREFIX, EffectiveSetting, Layers, LoadedConfig, load, parse_file, parse_yaml};
pub use perturbation_file::{DEFAULT_PERTURBATIONS, Event, EventKind, PerturbationFile};
pub use reference::{Difference, Row, diff, markdown, row, rows, schema};
pub use schema::{AtStart, ConfigValue, Constraint, Field, Shape, TextFormat, ValueKind, ValueRange, free, text};
pub use shard_settings::*;
pub use town_settings::*;
pub use yaml_tree::{Entry, Layer, Node, Place, Source, Value};

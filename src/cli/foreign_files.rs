//! Readers of foreign files that only the command line has, without their output. The fuzz targets and the test of all readers
//! call them. Rule: "Files from strangers".

use anyhow::Result;
use townlet_town::Sources;
use townlet_town::config::Config;

/// A configuration with the built-in files.
pub fn shipped_sources(config: &Config) -> Result<Sources> {
    super::config_sources::shipped_sources(config)
}

/// As `townlet config import` converts a file of the original program.
pub fn import(text: &str) -> Result<()> {
    super::config::try_import("old.yaml", text)
}

/// As the user's configuration is read: its settings and keys. No file that it names is opened.
pub fn user_config(text: &str) -> Result<()> {
    super::user_config::try_read(text)
}

/// As `townlet telemetry check` reads a file of payloads, a line each. Answers with the number of violations.
pub fn payloads(text: &str) -> Result<usize> {
    super::telemetry::try_check(text)
}

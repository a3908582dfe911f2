//! What a bundle tells of the machine and of this process: bounded, and nothing that names a person or a place.
//!
//! Knows the files of `/proc` and does without where there are none. Rule: "Incidents".

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::redaction::is_secret_name;

/// Most bytes read of one file.
const MOST: u64 = 8 * 1024;
/// Variables whose values are told: what changes how the program behaves. Of any other only that it is set.
const TOLD: [&str; 8] = ["TERM", "COLORTERM", "LANG", "LC_ALL", "NO_COLOR", "TZ", "RUST_BACKTRACE", "FAILPOINTS"];
/// Variables that settings come from.
const SETTINGS: &str = "TOWNLET_";

/// The machine, and this process.
pub(super) fn facts() -> Value {
    json!({
        "os": std::env::consts::OS,
        "architecture": std::env::consts::ARCH,
        "kernel": read("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()),
        "cores": std::thread::available_parallelism().map(std::num::NonZero::get).ok(),
        "load": read("/proc/loadavg").map(|text| text.trim().to_owned()),
        "memory": rows("/proc/meminfo", &["MemTotal", "MemAvailable", "SwapTotal", "SwapFree"]),
        "process": rows("/proc/self/status", &["VmPeak", "VmHWM", "VmRSS", "VmSwap", "Threads"]),
        "limits": read("/proc/self/limits").map(|text| limits(&text)),
        "open_files": open_files(),
    })
}

fn open_files() -> Option<u64> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count() as u64)
}

/// The environment: names, and the values of the few that matter.
pub(super) fn environment() -> Value {
    let mut told = Map::new();
    for (name, value) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let open = (TOLD.contains(&&*name) || name.starts_with(SETTINGS)) && !is_secret_name(&name);
        let value = if open { value.to_string_lossy().chars().take(200).collect() } else { "(set)".to_owned() };
        told.insert(name, value.into());
    }
    told.sort_keys();
    told.into()
}

fn read(path: &str) -> Option<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(Path::new(path)).ok()?.take(MOST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn rows(path: &str, names: &[&str]) -> Value {
    let Some(text) = read(path) else { return Value::Null };
    let row = |name: &&str| {
        let value = text.lines().find_map(|line| line.strip_prefix(*name)?.strip_prefix(':'))?;
        Some(((*name).to_owned(), Value::from(value.trim())))
    };
    names.iter().filter_map(row).collect::<Map<_, _>>().into()
}

fn limits(text: &str) -> Vec<String> {
    let wanted = ["Max file size", "Max open files", "Max resident set", "Max address space"];
    let lines = text.lines().filter(|line| wanted.iter().any(|wanted| line.starts_with(wanted)));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_told_and_no_value_of_a_stranger() {
        let (facts, environment) = (facts(), environment());
        assert!(facts["os"].is_string() && facts["cores"].as_u64() > Some(0));
        assert!(environment["PATH"] == "(set)");
    }
}

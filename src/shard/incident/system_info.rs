//! Facts about the machine and this process for bundles, without personal data. Rule: "Incidents".

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::redaction::is_secret_name;

const MAX_BYTES: u64 = 8 * 1024;
/// Variables whose values are included; of others only that they are set.
const SHOWN: [&str; 8] = ["TERM", "COLORTERM", "LANG", "LC_ALL", "NO_COLOR", "TZ", "RUST_BACKTRACE", "FAILPOINTS"];
/// Prefix of variables that configure the program.
const SETTINGS: &str = "TOWNLET_";

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

/// Environment variables, with the values of some.
pub(super) fn environment() -> Value {
    let mut shown = Map::new();
    for (name, value) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let open = (SHOWN.contains(&&*name) || name.starts_with(SETTINGS)) && !is_secret_name(&name);
        let value = if open { value.to_string_lossy().chars().take(200).collect() } else { "(set)".to_owned() };
        shown.insert(name, value.into());
    }
    shown.sort_keys();
    shown.into()
}

fn read(path: &str) -> Option<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(Path::new(path)).ok()?.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
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
    fn machine_facts_are_included_and_other_values_are_not() {
        let (facts, environment) = (facts(), environment());
        assert!(facts["os"].is_string() && facts["cores"].as_u64() > Some(0));
        assert!(environment["PATH"] == "(set)");
    }
}

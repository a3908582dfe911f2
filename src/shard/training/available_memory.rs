//! The memory that this process can still take: what the system has left, and what its control groups allow.

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

/// Bytes available to this process; `None` on systems that do not say. The kernel counts caches that it would give up.
pub(super) fn available_memory() -> Option<u64> {
    let system = read_to_string("/proc/meminfo").ok().and_then(|text| meminfo(&text));
    let groups = read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limited = groups.lines().flat_map(group_folders).filter_map(|folder| left_in(&folder));
    system.into_iter().chain(limited).min()
}

/// `MemAvailable` in bytes.
fn meminfo(text: &str) -> Option<u64> {
    let row = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(row.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// The folders that limit the memory of a group, from itself to the root, for a line of `/proc/self/cgroup`. Inside a container
/// the group itself may not be visible, but the root is.
fn group_folders(line: &str) -> Vec<PathBuf> {
    let mut fields = line.splitn(3, ':');
    let (Some(_), Some(controllers), Some(group)) = (fields.next(), fields.next(), fields.next()) else {
        return Vec::new();
    };
    let root = match controllers {
        "" => Path::new("/sys/fs/cgroup"),
        "memory" => Path::new("/sys/fs/cgroup/memory"),
        _ => return Vec::new(),
    };
    Path::new(group.trim_start_matches('/')).ancestors().map(|group| root.join(group)).collect()
}

/// What a group may still take, in either version of control groups.
fn left_in(folder: &Path) -> Option<u64> {
    let read = |name: &str| read_to_string(folder.join(name)).ok();
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    let limit = number("memory.max").or_else(|| number("memory.limit_in_bytes"))?;
    let used = number("memory.current").or_else(|| number("memory.usage_in_bytes"))?;
    let caches = read("memory.stat").and_then(|text| inactive_file(&text)).unwrap_or_default();
    Some(limit.saturating_sub(used.saturating_sub(caches)))
}

/// Bytes of file caches that are given up first.
fn inactive_file(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("inactive_file "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_figure_is_read_in_bytes() {
        let text = "MemTotal:       16262104 kB\nMemFree:          123456 kB\nMemAvailable:    8000000 kB\n";
        assert_eq!(meminfo(text), Some(8_192_000_000));
        assert_eq!(meminfo("MemTotal: 5 kB\n"), None);
    }

    #[test]
    fn limits_of_a_group_and_of_those_above_it_count() {
        let folders = group_folders("0::/user.slice/app");
        let expected = ["/sys/fs/cgroup/user.slice/app", "/sys/fs/cgroup/user.slice", "/sys/fs/cgroup/"];
        assert_eq!(folders, expected.map(PathBuf::from));
        assert_eq!(group_folders("4:memory:/"), [PathBuf::from("/sys/fs/cgroup/memory/")]);
        assert!(group_folders("5:cpu,cpuacct:/").is_empty());
    }

    #[test]
    fn a_group_has_left_its_limit_without_what_it_uses_but_for_caches() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("it is written");
        assert_eq!(left_in(folder.path()), None);
        write("memory.max", "1000\n");
        write("memory.current", "700\n");
        assert_eq!(left_in(folder.path()), Some(300));
        write("memory.stat", "anon 600\ninactive_file 100\n");
        assert_eq!(left_in(folder.path()), Some(400));
        write("memory.max", "max\n");
        assert_eq!(left_in(folder.path()), None, "no limit");
    }
}

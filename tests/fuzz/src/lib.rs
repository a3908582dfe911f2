//! Fuzz targets of every reader of foreign bytes. The README says how to run one.

mod readers;

/// Reads an input with the bounds of memory and time.
pub fn check(name: &str, input: &[u8]) {
    readers::reader(name).check_time(input);
}

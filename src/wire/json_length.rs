//! The length of a value's JSON, without its text.

use std::io;

use serde::Serialize;

/// The bytes of a value's JSON in one line.
///
/// # Errors
/// When there are more than `most`.
pub fn json_length(value: &impl Serialize, most: usize) -> serde_json::Result<usize> {
    let mut length = Length { bytes: 0, most };
    serde_json::to_writer(&mut length, value)?;
    Ok(length.bytes)
}

/// Counts what is written.
struct Length {
    bytes: usize,
    most: usize,
}

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len();
        if self.bytes > self.most { Err(io::ErrorKind::StorageFull.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

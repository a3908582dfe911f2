//! Markdown tables under `ops/`, to which the program appends rows for operators to read.

use std::io::Write as _;
use std::path::Path;

/// Appends the rows of `items` that no line of the file matches yet, and returns how many. A new file starts with `header`.
pub(super) fn append_missing<T>(
    path: &Path,
    header: &str,
    items: &[T],
    is_row_of: impl Fn(&str, &T) -> bool,
    row: impl Fn(&T) -> String,
) -> Result<usize, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    townlet_files::ensure_regular(path).map_err(failed)?;
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let missing: Vec<String> =
        items.iter().filter(|item| !text.lines().any(|line| is_row_of(line, item))).map(row).collect();
    if missing.is_empty() {
        return Ok(0);
    }
    let start = match text.as_str() {
        "" => header,
        torn if !torn.ends_with('\n') => "\n",
        _ => "",
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).map_err(failed)?;
    file.write_all((start.to_owned() + &missing.concat()).as_bytes())
        .and_then(|()| file.sync_data())
        .map_err(failed)?;
    Ok(missing.len())
}

/// A text as a table cell, on one line and without control characters.
pub(super) fn cell(text: &str) -> String {
    townlet_wire::escape(text).replace('|', "\\|")
}

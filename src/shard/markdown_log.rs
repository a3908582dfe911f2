//! Markdown tables under `ops/`, to which the program appends rows for operators to read.

use std::fs::OpenOptions;
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
    let text = match townlet_files::read_own(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(error)),
    };
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
    townlet_files::create_folder_of(path).map_err(failed)?;
    let mut file = townlet_files::open_own(path, OpenOptions::new().append(true).create(true)).map_err(failed)?;
    file.write_all((start.to_owned() + &missing.concat()).as_bytes())
        .and_then(|()| file.sync_data())
        .map_err(failed)?;
    Ok(missing.len())
}

//! Pages of a run's audit log in a folder of this machine, read on a thread of their own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{AuditPageRequest, Deliver, SourceEvent};
use townlet_audit::{Cursor, Selection};
use townlet_shard::privacy::PrivacyFilter;
use townlet_wire::telemetry::AuditRow;
use townlet_wire::thousands;

/// Records of a page.
pub(super) const PAGE: usize = 500;
/// Most lines read for a page, damaged ones included.
const MAX_LINES: u64 = 20_000;

impl AuditPageRequest {
    /// The place before which the page ends.
    pub(super) fn cursor(&self) -> Cursor {
        Cursor::new(&self.ts, &self.run_id, self.seq)
    }
}

/// Reads a page of the log in `folder` and delivers it, with names as they are shown outside.
pub(super) fn load(folder: PathBuf, names: PrivacyFilter, request: AuditPageRequest, deliver: &Deliver) {
    let (id, reader) = (request.id, Arc::clone(deliver));
    let thread = std::thread::Builder::new().name("audit page".into()).spawn(move || {
        let records = read(&folder, &request).map(|rows| names.apply(rows));
        reader(SourceEvent::AuditPage { id, records });
    });
    if let Err(why) = thread {
        deliver(SourceEvent::AuditPage { id, records: Err(format!("cannot start a thread: {why}")) });
    }
}

fn read(folder: &Path, request: &AuditPageRequest) -> Result<Vec<AuditRow>, String> {
    let selection = Selection {
        limit: PAGE,
        max_lines: MAX_LINES,
        run_id: Some(request.run_id.clone()),
        before: Some(request.cursor()),
        ..Selection::default()
    };
    let page = townlet_audit::newest(folder, &selection).map_err(|why| format!("{}: {why}", folder.display()))?;
    if page.rows.is_empty() {
        let (folder, run_id, line) = (folder.display(), &request.run_id, thousands(request.seq));
        return Err(format!("{folder} has no lines of {run_id} before line {line}"));
    }
    Ok(page.rows)
}

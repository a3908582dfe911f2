//! The lines of the audit log that the screen holds: those of the newest snapshot and, once they are asked for, earlier ones.
//!
//! While earlier lines are held, those that leave the snapshot stay, so that there is no gap. When a snapshot does not continue
//! what is held, or its residents have other names, only its own lines are left. Rule: "Screens", "Audit log".

use std::collections::BTreeMap;

use super::indexed_snapshot::IndexedSnapshot;
use townlet_source::AuditPageRequest;
use townlet_wire::telemetry::{AuditRow, AuditTail};
use townlet_wire::{Snapshot, thousands};

/// Most lines held.
const MAX_LINES: usize = 10_000;
/// Where the lines are that the screen does not hold.
pub(crate) const ELSEWHERE: &str = "`townlet audit export`, GET /v1/audit";
/// The commands that hide names or show them, which changes every line.
const RENAMING: [&str; 2] = ["privacy", "reload_config"];

/// The lines of the audit log that the screen holds.
#[derive(Debug, Default)]
pub struct AuditLines {
    /// By sequence number, those of the newest snapshot included; empty until earlier ones are asked for.
    held: BTreeMap<u64, AuditRow>,
    /// Id of the request without an answer.
    pending: Option<u64>,
    /// Requests so far.
    requests: u64,
}

impl AuditLines {
    /// The lines to show, newest last; `audit` is that of the newest snapshot.
    pub(crate) fn rows<'a>(&'a self, audit: &'a AuditTail) -> Vec<&'a AuditRow> {
        if self.held.is_empty() { audit.records.iter().collect() } else { self.held.values().collect() }
    }

    /// Whether earlier lines are on their way.
    pub(crate) const fn is_loading(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether no more lines are held.
    pub(crate) fn is_full(&self) -> bool {
        self.held.len() >= MAX_LINES
    }

    /// The request for lines before the oldest one. There is none while another is without an answer, or when the first line of the
    /// log is held. The error says that no more lines are held.
    pub(crate) fn request_earlier(&mut self, view: &Snapshot) -> Result<Option<AuditPageRequest>, String> {
        if self.is_loading() {
            return Ok(None);
        }
        if self.held.is_empty() {
            self.held.extend(view.audit.records.iter().map(|row| (row.seq, row.clone())));
        }
        let Some(oldest) = self.held.values().next().filter(|row| row.seq > 1) else { return Ok(None) };
        if self.is_full() {
            let most = thousands(MAX_LINES as u64);
            return Err(format!("{most} lines are here, and no more are loaded; earlier ones: {ELSEWHERE}"));
        }
        self.requests += 1;
        self.pending = Some(self.requests);
        let (run_id, ts) = (view.run_id.clone(), oldest.ts.clone());
        Ok(Some(AuditPageRequest { id: self.requests, run_id, seq: oldest.seq, ts }))
    }

    /// Takes the answer to a request, unless what it belongs to is gone. The error says why earlier lines are missing.
    pub(crate) fn add(&mut self, id: u64, records: Result<Vec<AuditRow>, String>) -> Result<(), String> {
        if self.pending != Some(id) {
            return Ok(());
        }
        self.pending = None;
        let mut page = records?;
        let mut oldest = self.held.keys().next().copied().unwrap_or_default();
        let is_empty = page.is_empty();
        page.retain(|row| row.seq < oldest);
        while !self.is_full()
            && let Some(row) = page.pop_if(|row| row.seq + 1 == oldest)
        {
            oldest = row.seq;
            self.held.insert(row.seq, row);
        }
        if self.is_full() || (page.is_empty() && !is_empty) || oldest <= 1 {
            return Ok(());
        }
        let missing = thousands(oldest - 1);
        Err(format!("line {missing} is missing or damaged; `townlet audit verify` checks the log"))
    }

    /// Follows the log to the newest snapshot.
    pub(crate) fn follow(&mut self, before: Option<&IndexedSnapshot>, view: &IndexedSnapshot) {
        if self.held.is_empty() {
            return;
        }
        if !before.is_some_and(|before| has_same_names(before, view)) || !self.extend(&view.audit.records) {
            // What is under way belongs to what is dropped.
            (self.held, self.pending) = (BTreeMap::new(), None);
        }
    }

    /// Adds the lines of a snapshot. Returns whether they continue what is held.
    fn extend(&mut self, tail: &[AuditRow]) -> bool {
        let Some(last) = tail.iter().map(|row| row.seq).max() else { return false };
        // A recording that went back does not know later lines.
        self.held.retain(|seq, _| *seq <= last);
        let Some(newest) = self.held.values().next_back() else { return false };
        // The hash of a line covers all lines before it.
        if !tail.iter().any(|row| (row.seq, &row.hash) == (newest.seq, &newest.hash)) {
            return false;
        }
        for row in tail {
            if self.held.contains_key(&row.seq) {
                continue;
            }
            if RENAMING.contains(&row.command.as_str()) {
                return false;
            }
            self.held.insert(row.seq, row.clone());
        }
        while self.held.len() > MAX_LINES {
            self.held.pop_first();
        }
        true
    }
}

/// Whether two snapshots are of the same run and call residents the same.
fn has_same_names(before: &IndexedSnapshot, view: &IndexedSnapshot) -> bool {
    let mut residents = before.agents.iter();
    before.run_id == view.run_id
        && (before.agents.is_empty() || residents.any(|resident| view.resident(&resident.id).is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seq: u64) -> AuditRow {
        AuditRow { seq, hash: format!("{seq:x}"), ..AuditRow::default() }
    }

    fn rows(from: u64, to: u64) -> Vec<AuditRow> {
        (from..=to).map(row).collect()
    }

    /// A snapshot of the run `r` whose newest lines are these.
    fn view(records: Vec<AuditRow>) -> IndexedSnapshot {
        let mut view = crate::fixtures::snapshot();
        view.run_id = "r".into();
        view.audit.records = records;
        view.into()
    }

    /// The first, last and number of the lines to show.
    fn shown(lines: &AuditLines, view: &IndexedSnapshot) -> (u64, u64, usize) {
        let rows = lines.rows(&view.audit);
        assert!(rows.is_sorted_by(|one, next| one.seq < next.seq), "in the order of the log, each once");
        (rows[0].seq, rows[rows.len() - 1].seq, rows.len())
    }

    /// Asks for earlier lines of a snapshot, and gives those from `from` on.
    fn load(lines: &mut AuditLines, view: &IndexedSnapshot, from: u64) -> Result<(), String> {
        let request = lines.request_earlier(view).expect("there is room").expect("there are earlier lines");
        lines.add(request.id, Ok(rows(from, request.seq - 1)))
    }

    #[test]
    fn earlier_lines_are_before_the_snapshots_and_what_leaves_it_stays() {
        let (mut lines, mut newest) = (AuditLines::default(), view(rows(301, 500)));
        assert_eq!(shown(&lines, &newest), (301, 500, 200));
        let request = lines.request_earlier(&newest).unwrap().expect("there are earlier lines");
        assert_eq!((request.run_id.as_str(), request.seq), ("r", 301));
        assert_eq!(lines.request_earlier(&newest), Ok(None), "once at a time");
        // The log goes on while the request is under way.
        for end in [510, 640] {
            let next = view(rows(end - 199, end));
            lines.follow(Some(&newest), &next);
            newest = next;
        }
        assert_eq!(lines.add(request.id, Ok(rows(101, 300))), Ok(()));
        assert_eq!(shown(&lines, &newest), (101, 640, 540));
        load(&mut lines, &newest, 1).expect("they follow");
        assert_eq!(shown(&lines, &newest), (1, 640, 640));
        assert_eq!(lines.request_earlier(&newest), Ok(None), "the first line is here");
    }

    #[test]
    fn what_a_snapshot_does_not_continue_is_dropped_with_the_request() {
        let held = view(rows(301, 500));
        let mut rewritten = rows(310, 509);
        for row in &mut rewritten {
            row.hash.push('x');
        }
        let mut another = view(rows(302, 501));
        another.run_id = "s".into();
        let mut renamed = view(rows(302, 501));
        renamed.agents.iter_mut().for_each(|agent| agent.id.push('x'));
        let mut hidden = rows(302, 501);
        hidden[199].command = "privacy".into();
        let mut kept = Vec::new();
        for (next, what) in [
            (view(rows(501, 700)), "more lines came than a snapshot has"),
            (view(rewritten), "the log was cut and written on"),
            (view(rows(1, 200)), "a recording went far back"),
            (view(Vec::new()), "there is no log"),
            (another, "another run"),
            (renamed, "residents have other names"),
            (view(hidden), "names are hidden, in a town that may have nobody"),
        ] {
            let mut lines = AuditLines::default();
            load(&mut lines, &held, 201).expect("they follow");
            let late = lines.request_earlier(&held).unwrap().expect("there are earlier lines");
            lines.follow(Some(&held), &next);
            if !lines.held.is_empty() || lines.is_loading() {
                kept.push(what);
                continue;
            }
            assert_eq!(lines.rows(&next.audit).len(), next.audit.records.len(), "{what}");
            // The answer to the request from before comes too late, also when there is another request.
            if let Ok(Some(request)) = lines.request_earlier(&next) {
                assert_ne!(request.id, late.id, "{what}");
            }
            assert_eq!(lines.add(late.id, Ok(rows(101, 200))), Ok(()));
            assert_eq!(lines.rows(&next.audit).len(), next.audit.records.len(), "{what}: a late answer");
        }
        assert!(kept.is_empty(), "still held: {kept:?}");
    }

    #[test]
    fn a_recording_that_goes_back_forgets_later_lines() {
        let (mut lines, held) = (AuditLines::default(), view(rows(301, 500)));
        load(&mut lines, &held, 201).expect("they follow");
        let back = view(rows(251, 450));
        lines.follow(Some(&held), &back);
        assert_eq!(shown(&lines, &back), (201, 450, 250));
    }

    #[test]
    fn no_gap_is_hidden_and_the_missing_line_is_named() {
        let (mut lines, held) = (AuditLines::default(), view(rows(301, 500)));
        let request = lines.request_earlier(&held).unwrap().unwrap();
        let broken = [rows(201, 249), rows(251, 300)].concat();
        let why = lines.add(request.id, Ok(broken)).expect_err("line 250 is missing");
        assert!(why.contains("line 250 is missing or damaged"), "{why}");
        assert_eq!(shown(&lines, &held), (251, 500, 250));
        let request = lines.request_earlier(&held).unwrap().unwrap();
        let why = lines.add(request.id, Ok(Vec::new())).expect_err("nothing came");
        assert!(why.contains("line 250 is missing or damaged"), "{why}");
        let request = lines.request_earlier(&held).unwrap().unwrap();
        assert_eq!(lines.add(request.id, Err("no route".into())), Err("no route".to_owned()));
        assert!(!lines.is_loading(), "one can ask again");
    }

    #[test]
    fn lines_are_bounded_and_the_newest_ones_stay() {
        let (mut lines, held) = (AuditLines::default(), view(rows(20_001, 20_200)));
        load(&mut lines, &held, 1).expect("they follow");
        assert_eq!(shown(&lines, &held), (10_201, 20_200, MAX_LINES));
        let why = lines.request_earlier(&held).expect_err("it is full");
        assert!(why.contains("10,000 lines are here") && why.contains("audit export"), "{why}");
        let next = view(rows(20_101, 20_300));
        lines.follow(Some(&held), &next);
        assert_eq!(shown(&lines, &next), (10_301, 20_300, MAX_LINES));
    }
}

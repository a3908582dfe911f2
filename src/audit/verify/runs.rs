//! The chain of runs: every run names the head of the run before it.

use std::collections::BTreeMap;

use super::{Report, RunFacts, Verdict};

pub(super) fn check(report: &mut Report, facts: &BTreeMap<String, RunFacts>) {
    for (run_id, run) in facts {
        let Some(begin) = &run.begin else {
            if run.end() > 0 {
                note(report, run_id, "not chained to the run before it: written before runs were chained.");
            }
            continue;
        };
        let Some(after) = &begin.after else {
            note(report, run_id, "the first run of its home.");
            continue;
        };
        let place = run.place(1);
        let name = &after.run_id;
        let Some(before) = facts.get(name) else {
            let message = format!("the run follows `{name}`, which is not here: it was removed or renamed.");
            report.add(Verdict::Completeness, place, message);
            continue;
        };
        match before.has(after.seq, &after.hash) {
            Some(true) => {}
            Some(false) => {
                let message = format!("line {} of `{name}` is not what it was when `{run_id}` began.", after.seq);
                report.add(Verdict::Completeness, before.place(after.seq), message);
            }
            None => {
                let message = format!(
                    "`{name}` ends at line {} and had {} when `{run_id}` began: its end was removed.",
                    before.end(),
                    after.seq
                );
                report.add(Verdict::Completeness, before.place(after.seq), message);
            }
        }
    }
}

fn note(report: &mut Report, run_id: &str, text: &str) {
    if let Some(run) = report.run_mut(run_id) {
        run.notes.push(format!("{run_id}: {text}"));
    }
}

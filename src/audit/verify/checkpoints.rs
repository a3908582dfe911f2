//! Checkpoints that were seen earlier, held to the log.

use std::collections::BTreeMap;

use super::{Report, RunFacts, Verdict};
use crate::checkpoint::Checkpoint;

pub(super) fn check(report: &mut Report, facts: &BTreeMap<String, RunFacts>, checkpoints: &[Checkpoint]) {
    for Checkpoint { run_id, seq, hash, .. } in checkpoints {
        let Some(run) = facts.get(run_id) else {
            let message =
                format!("line {seq} of run `{run_id}` was seen, and the run is not here: it was removed or renamed.");
            report.add(Verdict::Checkpoints, (String::new(), 0), message);
            continue;
        };
        match run.has(*seq, hash) {
            Some(true) => {
                report.proven.push(format!("`{run_id}`, lines 1 to {seq}: as they were when the checkpoint was made."));
            }
            Some(false) => {
                let message = format!(
                    "line {seq} is not what it was when the checkpoint was made: it or a line before it was rewritten."
                );
                report.add(Verdict::Checkpoints, run.place(*seq), message);
            }
            None => {
                let message = format!(
                    "the run ends at line {}, and line {seq} was seen when the checkpoint was made: its end was removed.",
                    run.end()
                );
                report.add(Verdict::Checkpoints, run.place(*seq), message);
            }
        }
    }
}

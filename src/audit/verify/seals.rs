//! The seals of all runs, held to the verification keys: each seal, their numbers, and what they cover.

use std::collections::{BTreeMap, BTreeSet};

use super::{Report, RunFacts, Verdict};
use crate::seal::{Seal, VerificationKey};
use crate::seal_key::KeyPosition;

/// More seals than a home makes in years; a number beyond it is made up, and no key is computed for it.
const MAX_SEALS: u64 = 10_000_000;

/// Where a seal was found.
type Place = (String, u64);

/// A seal whose HMAC was checked.
struct Found<'a> {
    seal: &'a Seal,
    place: Place,
    /// The run and number of its own line, if it proves that as well.
    own_line: Option<(&'a str, u64)>,
}

pub(super) fn check(
    report: &mut Report,
    facts: &BTreeMap<String, RunFacts>,
    keys: &[VerificationKey],
    key_file: Option<Result<Option<KeyPosition>, String>>,
) {
    let made: usize = facts.values().map(|run| run.seals.len()).sum();
    if keys.is_empty() {
        report.unproven.push(if made == 0 {
            "the log has no seals: anybody with write access to its folder can compute all of it again, unnoticed. \
             `townlet audit seal setup` seals it from now on."
                .into()
        } else {
            format!(
                "{made} seals were not checked: anybody with write access to the folder can compute the log again. Pass the \
                 verification key with `--key`."
            )
        });
        return;
    }
    let key_file = match key_file {
        None => None,
        Some(Ok(found)) => Some(found),
        Some(Err(why)) => {
            report.add(Verdict::Seals, (String::new(), 0), format!("the sealing key cannot be read: {why}."));
            None
        }
    };
    let none = Vec::new();
    let pending = key_file.as_ref().and_then(Option::as_ref).map_or(&none, |key| &key.pending);
    let mut covered: BTreeMap<&str, u64> = BTreeMap::new();
    let mut last: Option<&Seal> = None;
    foreign(report, facts, keys);
    for key in keys {
        let found = seals_of(facts, pending, &key.id());
        let good = check_numbers(report, key, &found, key_file.as_ref(), keys);
        for seal in good {
            cover(report, facts, &mut covered, seal);
            last = Some(seal.seal).into_iter().chain(last).max_by_key(|seal| seal.at.clone());
        }
    }
    cover_runs_before(facts, &mut covered);
    summarise(report, facts, &covered, last, made);
}

/// Seals by keys that were not given.
fn foreign(report: &mut Report, facts: &BTreeMap<String, RunFacts>, keys: &[VerificationKey]) {
    let known: BTreeSet<String> = keys.iter().map(VerificationKey::id).collect();
    let mut named = BTreeSet::new();
    for line in facts.values().flat_map(|run| &run.seals) {
        let id = &line.seal.key_id;
        if !known.contains(id) && named.insert(id.clone()) {
            let message = format!(
                "from here on lines are sealed with the key {id}. If you made another sealing key, pass both verification keys; \
                 if you did not, somebody else did."
            );
            report.add(Verdict::Seals, (line.file.clone(), line.line), message);
        }
    }
}

fn seals_of<'a>(facts: &'a BTreeMap<String, RunFacts>, pending: &'a [Seal], id: &str) -> Vec<Found<'a>> {
    let lines = facts.iter().flat_map(|(run_id, run)| run.seals.iter().map(move |line| (run_id.as_str(), line)));
    let lines = lines.map(|(run_id, line)| Found {
        seal: &line.seal,
        place: (line.file.clone(), line.line),
        own_line: line.in_place.then_some((run_id, line.seal.seq + 1)),
    });
    let pending = pending.iter().map(|seal| Found { seal, place: (String::new(), 0), own_line: None });
    let mut found: Vec<Found<'_>> = lines.chain(pending).filter(|found| found.seal.key_id == id).collect();
    found.sort_by_key(|found| found.seal.number);
    found
}

/// Checks every seal and that no number is missing or used twice. Returns the seals that hold.
fn check_numbers<'a, 'b>(
    report: &mut Report,
    key: &VerificationKey,
    found: &'b [Found<'a>],
    key_file: Option<&Option<KeyPosition>>,
    keys: &[VerificationKey],
) -> Vec<&'b Found<'a>> {
    let mut good: Vec<&Found<'_>> = Vec::new();
    let (mut step, mut number) = (key.first(), 1);
    for it in found {
        let wanted = it.seal.number;
        if wanted == 0 || wanted > MAX_SEALS {
            report.add(Verdict::Seals, it.place.clone(), format!("there is no seal {wanted}: it was made up."));
            continue;
        }
        while number < wanted {
            (step, number) = (step.next(), number + 1);
        }
        if !step.fits(it.seal) {
            let message =
                format!("seal {wanted} does not fit the verification key: it was changed, or made with another key.");
            report.add(Verdict::Seals, it.place.clone(), message);
            continue;
        }
        // A crash may leave an equal seal twice. Two different ones cannot both fit, unless the key was taken before it was erased.
        match good.last().filter(|before| before.seal.number == wanted) {
            Some(before) if before.seal != it.seal => {
                report.add(
                    Verdict::Seals,
                    it.place.clone(),
                    format!("seal {wanted} was made twice, of different lines."),
                );
            }
            None if wanted > good.last().map_or(0, |before| before.seal.number) + 1 => {
                gap(report, good.last().map_or(0, |before| before.seal.number), wanted, it.place.clone());
            }
            _ => {}
        }
        good.push(it);
    }
    let newest = good.last().map_or(0, |found| found.seal.number);
    let place = good.last().map_or_else(|| (String::new(), 0), |found| found.place.clone());
    match key_file {
        None if newest == 0 => {
            report.add(Verdict::Seals, (String::new(), 0), "the log has no seal of this key: nothing of it is proven.");
        }
        None => report.unproven.push(format!(
            "the sealing key is not here, so it is not known whether seal {newest} is the newest one. Compare with `townlet audit \
             seal status` on the machine."
        )),
        Some(None) => {
            let message = format!("the sealing key of the home is missing, so lines after seal {newest} may have been removed.");
            report.add(Verdict::Seals, place, message);
        }
        Some(Some(file)) if file.key_id == key.id() => {
            while number < file.number.min(MAX_SEALS) {
                (step, number) = (step.next(), number + 1);
            }
            if file.number != number || file.key.as_ref() != Some(&step) {
                report.add(Verdict::Seals, place, "the sealing key of the home does not follow from the verification key.");
            } else if file.number > newest + 1 {
                gap(report, newest, file.number, place);
            }
        }
        Some(Some(file)) if keys.iter().all(|key| key.id() != file.key_id) => {
            let message = format!(
                "the home has another sealing key ({}, made {}). If you did not make it, somebody else did; lines after seal \
                 {newest} are not proven.",
                file.key_id, file.made
            );
            report.add(Verdict::Seals, place, message);
        }
        Some(Some(_)) => {}
    }
    good
}

fn gap(report: &mut Report, before: u64, after: u64, place: Place) {
    let (first, last) = (before + 1, after - 1);
    let which = if first == last { format!("seal {first} is") } else { format!("seals {first} to {last} are") };
    report.add(Verdict::Seals, place, format!("{which} missing: lines or runs were removed."));
}

/// Holds the log to a seal.
fn cover<'a>(
    report: &mut Report,
    facts: &BTreeMap<String, RunFacts>,
    covered: &mut BTreeMap<&'a str, u64>,
    found: &Found<'a>,
) {
    let seal = found.seal;
    let Some(run) = facts.get(&seal.run_id) else {
        let message =
            format!("run `{}` was sealed at {} and is not here: it was removed or renamed.", seal.run_id, seal.at);
        return report.add(Verdict::Seals, found.place.clone(), message);
    };
    match run.has(seal.seq, &seal.hash) {
        Some(true) => {
            let through = covered.entry(&seal.run_id).or_default();
            *through = (*through).max(seal.seq);
            if let Some((run_id, seq)) = found.own_line {
                let through = covered.entry(run_id).or_default();
                *through = (*through).max(seq);
            }
        }
        Some(false) => {
            let message = format!(
                "lines {} to {} of `{}` are not what was sealed at {} (seal {}).",
                seal.from, seal.seq, seal.run_id, seal.at, seal.number
            );
            report.add(Verdict::Seals, run.place(seal.from), message);
        }
        None => {
            let message = format!(
                "the run ends at line {}, and line {} was sealed at {}: its end was removed.",
                run.end(),
                seal.seq,
                seal.at
            );
            report.add(Verdict::Seals, run.place(seal.seq), message);
        }
    }
}

/// A sealed first line names the head of the run before, and so covers that run up to there.
fn cover_runs_before<'a>(facts: &'a BTreeMap<String, RunFacts>, covered: &mut BTreeMap<&'a str, u64>) {
    loop {
        let mut grown = false;
        for (run_id, run) in facts {
            let sealed = covered.get(run_id.as_str()).is_some_and(|through| *through > 0);
            let Some(after) = run.begin.as_ref().filter(|_| sealed).and_then(|begin| begin.after.as_ref()) else {
                continue;
            };
            if facts.get(&after.run_id).is_some_and(|before| before.has(after.seq, &after.hash) == Some(true)) {
                let through = covered.entry(&after.run_id).or_default();
                grown |= *through < after.seq;
                *through = (*through).max(after.seq);
            }
        }
        if !grown {
            return;
        }
    }
}

/// Names what no seal covers, and says what the seals prove.
fn summarise(
    report: &mut Report,
    facts: &BTreeMap<String, RunFacts>,
    covered: &BTreeMap<&str, u64>,
    last: Option<&Seal>,
    made: usize,
) {
    let mut lines = 0;
    for (run_id, run) in facts {
        let through = covered.get(run_id.as_str()).copied().unwrap_or(0);
        lines += through.min(run.end());
        if through >= run.end() {
            continue;
        }
        let place = run.place(through + 1);
        let open = run.end() - through;
        if through == 0 && run.has_commands {
            report.add(Verdict::Seals, place, format!("no seal covers this run ({open} lines): it is not proven."));
        } else if let Some(first) = run.after_stop.filter(|first| *first > through) {
            let message = "the line follows the orderly stop of the run, and no seal was made when the run was opened again: it was \
                           added later, or the sealing key could not be used.";
            report.add(Verdict::Seals, run.place(first), message);
        } else {
            report.unproven.push(format!(
                "{}:{}: the first line that no seal covers; {open} {} not proven.",
                place.0,
                place.1,
                if open == 1 { "line is" } else { "lines are" }
            ));
        }
    }
    let at = last.map_or_else(String::new, |seal| format!(", the newest of {}", seal.at));
    report.proven.push(format!("{made} seals{at}: {lines} lines are as they were when they were sealed."));
    for line in facts.values().flat_map(|run| &run.seals).filter(|line| line.seal.cause == crate::seal::Cause::LeftOpen)
    {
        report.unproven.push(format!(
            "lines {} to {} of `{}` were left without a seal by a crash and sealed at {}: what happened to them before is not \
             proven.",
            line.seal.from, line.seal.seq, line.seal.run_id, line.seal.at
        ));
    }
}

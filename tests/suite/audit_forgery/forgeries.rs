//! The forgeries: one row each, with what the attacker does. To add a check, add a column to the driver; to add a forgery, a row.

use serde_json::{Value, json};
use townlet_audit::{Record, Stage};
use townlet_wire::{Role, Status};

use super::attacker::{Stolen, flat, is_applied, shifted};

/// A year in seconds.
const YEAR: i64 = 365 * 24 * 3_600;

/// A way to forge the log.
pub(super) struct Forgery {
    /// What is forged, for the table.
    pub(super) name: &'static str,
    /// What the attacker does. The home has three runs: the first has stopped in order, the second has several segments, the third
    /// has crashed and has lines after its last seal.
    pub(super) act: fn(&Stolen),
    /// Why the verification key cannot find it, if it cannot.
    pub(super) key_misses: Option<&'static str>,
    /// Why a checkpoint that somebody remembers cannot find it, if it cannot.
    pub(super) checkpoint_misses: Option<&'static str>,
}

const fn row(name: &'static str, act: fn(&Stolen)) -> Forgery {
    Forgery { name, act, key_misses: None, checkpoint_misses: None }
}

const UNSEALED: &str = "the tail after the last seal is not proven";
const ADDED: &str = "what was seen is still there";
const KEY_ONLY: &str = "no line was touched";

/// Every forgery.
pub(super) fn forgeries() -> Vec<Forgery> {
    let mut all = vec![
        row("another issuer", |it| it.edit_outcome(|record| record.issuer = "tui:mallory".into())),
        row("another role", |it| it.edit_outcome(|record| record.role = Role::Viewer)),
        row("another transport", |it| it.edit_outcome(|record| record.transport = "http".into())),
        row("another command", |it| it.edit_outcome(|record| record.command = "kpi".into())),
        row("other arguments", |it| it.edit_outcome(|record| record.args = json!({ "item": "meal", "price": "9" }))),
        row("another reason", |it| it.edit_outcome(|record| record.reason = Some("on request".into()))),
        row("another status", |it| it.edit_outcome(|record| record.status = Some(Status::DryRun))),
        row("another result", |it| it.edit_outcome(|record| record.result = Some(json!({ "summary": "Nothing." })))),
        row("another tick", |it| it.edit_outcome(|record| record.tick += 1)),
        row("another digest", |it| it.edit_outcome(|record| record.digest_after = record.digest_before.clone())),
        row("another `config_id`", |it| it.edit_outcome(|record| record.config_id = "other".into())),
        row("another `cmd_id`", |it| it.edit_outcome(|record| record.cmd_id = "0192".into())),
        row("`abort` in place of an outcome", |it| it.edit_outcome(|record| record.stage = Stage::Abort)),
        row("`rejected` in place of an outcome", |it| it.edit_outcome(|record| record.stage = Stage::Rejected)),
        row("every time of a run a year later", |it| {
            it.edit(&it.runs()[0], |segments| all_records(segments, |record| record.ts = shifted(&record.ts, YEAR)));
        }),
        row("one time a year earlier", |it| it.edit_outcome(|record| record.ts = shifted(&record.ts, -YEAR))),
        row("first line removed", |it| it.edit(&it.runs()[0], |segments| drop(segments[0].remove(0)))),
        row("a command removed from the middle", |it| {
            it.edit(&it.runs()[0], |segments| {
                let id = segments[0].iter().find(|record| is_applied(record)).expect("an outcome").cmd_id.clone();
                segments[0].retain(|record| record.cmd_id != id);
            });
        }),
        row("the last command of a run removed", |it| {
            it.edit(&it.runs()[0], |segments| {
                let id = segments[0].iter().rfind(|record| is_applied(record)).expect("an outcome").cmd_id.clone();
                segments[0].retain(|record| record.cmd_id != id);
            });
        }),
        row("two lines swapped", |it| {
            it.edit(&it.runs()[0], |segments| {
                let at = segments[0].iter().position(is_applied).expect("an outcome");
                let (early, late) = (segments[0][at - 1].ts.clone(), segments[0][at].ts.clone());
                segments[0].swap(at - 1, at);
                (segments[0][at - 1].ts, segments[0][at].ts) = (early, late);
            });
        }),
        row("a line added in the middle", |it| {
            it.edit(&it.runs()[0], |segments| {
                let at = segments[0].iter().position(is_applied).expect("an outcome");
                let added = Record { cmd_id: "made-up".into(), ..segments[0][at].clone() };
                segments[0].insert(at + 1, added);
            });
        }),
        row("a command copied into another run", |it| {
            let runs = it.runs();
            let record = flat(it.read(&runs[0])).into_iter().find(is_applied).expect("an outcome");
            it.edit(&runs[1], |segments| {
                let ts = segments[0][2].ts.clone();
                segments[0].insert(3, Record { ts, ..record });
            });
        }),
        row("two runs merged into the later one", |it| {
            let runs = it.runs();
            let earlier = flat(it.read(&runs[0]));
            it.remove(&runs[0]);
            it.edit(&runs[1], |segments| {
                segments[0][0].ts.clone_from(&earlier[0].ts);
                segments[0].splice(1..1, earlier.into_iter().skip(1));
                segments[0][0].args = json!({ "number": 1, "after": null });
            });
        }),
        row("oldest run removed", |it| it.remove(&it.runs()[0])),
        row("oldest run removed, the next one called the first", |it| {
            let runs = it.runs();
            it.remove(&runs[0]);
            it.edit(&runs[1], |segments| segments[0][0].args = json!({ "number": 1, "after": null }));
        }),
        row("middle run removed, the links closed over it", |it| {
            let runs = it.runs();
            it.remove(&runs[1]);
            let first = flat(it.read(&runs[0]));
            let end = first.last().expect("a line");
            let after = json!({ "run_id": runs[0], "seq": end.seq, "hash": end.hash });
            it.edit(&runs[2], |segments| segments[0][0].args["after"] = after);
        }),
        row("newest run removed", |it| it.remove(&it.runs()[2])),
        row("a run renamed", |it| {
            let runs = it.runs();
            let last = if runs[0].ends_with('0') { '1' } else { '0' };
            let (renamed, segments) = (format!("{}{last}", &runs[0][..runs[0].len() - 1]), it.read(&runs[0]));
            it.remove(&runs[0]);
            it.write(&renamed, segments);
            it.edit(&runs[1], |segments| {
                let end = flat(it.read(&renamed)).pop().expect("a line");
                segments[0][0].args["after"] = json!({ "run_id": renamed, "seq": end.seq, "hash": end.hash });
            });
        }),
        Forgery {
            checkpoint_misses: Some(ADDED),
            ..row("a run made up, as an earlier version wrote it", |it| {
                let mut segments = it.read(&it.runs()[0]);
                for segment in &mut segments {
                    segment.retain(|record| !matches!(record.stage, Stage::Begin | Stage::Seal));
                }
                it.write("harbour-20250101-000000-000aaa", segments);
            })
        },
        row("last segment removed", |it| it.edit(&it.runs()[1], |segments| drop(segments.pop()))),
        row("a segment removed from the middle", |it| it.edit(&it.runs()[1], |segments| drop(segments.remove(1)))),
        row("segments merged into one", |it| {
            it.edit(&it.runs()[1], |segments| {
                let merged = flat(std::mem::take(segments));
                *segments = vec![merged.into_iter().filter(|record| record.stage != Stage::Rotate).collect()];
            });
        }),
        row("log and head shortened to before the stop", |it| {
            it.edit(&it.runs()[0], |segments| {
                let kept = segments[0].len() - 3;
                segments[0].truncate(kept);
            });
        }),
        row("a run cut to an earlier seal", |it| {
            it.edit(&it.runs()[1], |segments| {
                let seal = segments[0].iter().position(|record| record.stage == Stage::Seal).expect("a seal");
                segments[0].truncate(seal + 1);
                segments.truncate(1);
            });
        }),
        Forgery {
            key_misses: Some(UNSEALED),
            ..row("tail cut to the last seal", |it| {
                it.edit(&it.runs()[2], |segments| {
                    let seal = segments[0].iter().rposition(|record| record.stage == Stage::Seal).expect("a seal");
                    segments[0].truncate(seal + 1);
                });
            })
        },
        Forgery {
            key_misses: Some(UNSEALED),
            ..row("tail after the last seal rewritten", |it| {
                it.edit(&it.runs()[2], |segments| {
                    let last = segments[0].iter_mut().rfind(|record| is_applied(record)).expect("an outcome");
                    last.issuer = "tui:mallory".into();
                });
            })
        },
        row("tail cut beyond the last seal", |it| {
            it.edit(&it.runs()[2], |segments| {
                let seal = segments[0].iter().rposition(|record| record.stage == Stage::Seal).expect("a seal");
                segments[0].truncate(seal);
            });
        }),
        Forgery {
            checkpoint_misses: Some(ADDED),
            ..row("a line added to a stopped run", |it| {
                it.edit(&it.runs()[0], |segments| {
                    let ts = segments[0].last().expect("a line").ts.clone();
                    let outcome = segments[0].iter().find(|record| is_applied(record)).expect("an outcome").clone();
                    segments[0].push(Record { ts, cmd_id: "made-up".into(), ..outcome });
                });
            })
        },
        Forgery {
            key_misses: Some(UNSEALED),
            checkpoint_misses: Some(ADDED),
            ..row("a line added to the unsealed tail", |it| {
                it.edit(&it.runs()[2], |segments| {
                    let last = segments[0].last().expect("a line").clone();
                    segments[0].push(Record { cmd_id: "made-up".into(), ..last });
                });
            })
        },
    ];
    all.extend(seal_forgeries());
    all
}

/// Forgeries of the seals and their key.
fn seal_forgeries() -> Vec<Forgery> {
    vec![
        row("every seal removed", strip_seals),
        row("every seal removed, and the sealing key", |it| {
            strip_seals(it);
            std::fs::remove_file(it.key_file()).expect("removed");
        }),
        row("a line changed, the run sealed again with the current key", |it| {
            let run = it.runs().remove(0);
            it.write_through_log(&run, forged(it, &run));
            follow_end(it, &run);
        }),
        row("a line changed, the current key numbered as the first, all runs sealed again", |it| {
            it.edit_key(|key| key["number"] = 1.into());
            rewrite_all(it);
        }),
        row("a line changed, an old seal in place of the later ones", |it| {
            let run = it.runs().remove(0);
            it.edit(&run, |segments| {
                let first = segments[0].iter().find(|record| record.stage == Stage::Seal).expect("a seal").args.clone();
                let seals = segments[0].iter_mut().filter(|record| record.stage == Stage::Seal);
                seals.for_each(|record| record.args = first.clone());
                segments[0].iter_mut().find(|record| is_applied(record)).expect("an outcome").issuer =
                    "tui:mallory".into();
            });
        }),
        row("a line changed, the seals named after the new hashes", |it| {
            let run = it.runs().remove(0);
            it.edit(&run, |segments| {
                segments[0].iter_mut().find(|record| is_applied(record)).expect("an outcome").issuer =
                    "tui:mallory".into();
            });
            let hashes: Vec<String> = flat(it.read(&run)).into_iter().map(|record| record.hash).collect();
            it.edit(&run, |segments| {
                for seal in segments[0].iter_mut().filter(|record| record.stage == Stage::Seal) {
                    let seq = seal.args["seq"].as_u64().expect("a number") as usize;
                    seal.args["hash"] = hashes[seq - 1].clone().into();
                }
            });
        }),
        Forgery { checkpoint_misses: Some(KEY_ONLY), ..row("the sealing key replaced by a new one", new_setup) },
        row("the sealing key replaced, all runs forged and sealed again", |it| {
            new_setup(it);
            rewrite_all(it);
        }),
        Forgery {
            checkpoint_misses: Some(KEY_ONLY),
            ..row("the sealing key removed", |it| std::fs::remove_file(it.key_file()).expect("removed"))
        },
        Forgery {
            checkpoint_misses: Some(KEY_ONLY),
            ..row("the number of the sealing key set back", |it| {
                it.edit_key(|key| key["number"] = Value::from(key["number"].as_u64().expect("a number") - 1));
            })
        },
    ]
}

fn all_records(segments: &mut [Vec<Record>], edit: impl FnMut(&mut Record)) {
    segments.iter_mut().flatten().for_each(edit);
}

fn strip_seals(it: &Stolen) {
    for run in it.runs() {
        it.edit(&run, |segments| segments.iter_mut().for_each(|it| it.retain(|record| record.stage != Stage::Seal)));
    }
}

/// The records of a run with another issuer everywhere.
fn forged(it: &Stolen, run: &str) -> Vec<Record> {
    let mut records = flat(it.read(run));
    records
        .iter_mut()
        .filter(|record| !record.cmd_id.is_empty())
        .for_each(|record| record.issuer = "tui:mallory".into());
    records
}

/// Lets later runs name the new end of a run.
fn follow_end(it: &Stolen, run: &str) {
    let end = flat(it.read(run)).pop().expect("a line");
    it.follow(run, |after| (after["seq"], after["hash"]) = (end.seq.into(), end.hash.clone().into()));
}

fn rewrite_all(it: &Stolen) {
    for run in it.runs() {
        it.write_through_log(&run, forged(it, &run));
        let end = flat(it.read(&run)).pop().expect("a line");
        // Only the next run names it; its seals are made after this.
        it.follow(&run, |after| (after["seq"], after["hash"]) = (end.seq.into(), end.hash.clone().into()));
    }
}

fn new_setup(it: &Stolen) {
    townlet_audit::set_up(&it.key_file(), &it.logs(), true).expect("a new key");
}

//! The cost of sealing the audit log: acknowledged commands of a sealed shard relative to those of an unsealed one, alternating.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use tempfile::TempDir;
use townlet_town::Sources;

use super::shard::{Operator, acknowledged, start, stop};
use super::timing::{median, milliseconds};
use super::{Row, Target};
use townlet_shard::Speed;

/// Rounds, each on both shards.
const ROUNDS: u32 = 5;

/// Every round of the sealed shard has one seal; a served shard makes one a minute.
pub(super) fn share(sources: &Sources, folder: &TempDir, budget: Duration) -> Result<Row> {
    let home = || tempfile::tempdir_in(folder.path()).context("cannot create a folder for the measurements");
    let (open, closed) = (home()?, home()?);
    let unsealed = start(sources, &open, false, Speed::X1, false)?;
    let key = townlet_shard::Home::new(closed.path());
    townlet_audit::set_up(&key.seal_key(), &key.console(), false).map_err(|why| anyhow!(why))?;
    let sealed = start(sources, &closed, false, Speed::X1, false)?;
    let round = budget / (2 * ROUNDS);
    let (mut shares, mut seals) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let without = acknowledged(&Operator::at(&unsealed), round)?;
        let with = std::thread::scope(|scope| {
            let sealing = scope.spawn(|| {
                std::thread::sleep(round / 2);
                let began = Instant::now();
                sealed.seal_audit_log().map(|()| milliseconds(began.elapsed()))
            });
            let rate = acknowledged(&Operator::at(&sealed), round);
            let took = sealing.join().map_err(|_| anyhow!("the sealing thread crashed"))?;
            seals.push(took.map_err(|why| anyhow!(why))?);
            rate
        })?;
        shares.push(100.0 * with / without);
    }
    stop(&unsealed)?;
    stop(&sealed)?;
    let note = format!(
        "a seal every {:.1} s took {:.1} ms (p50); in service there is one a minute",
        round.as_secs_f64(),
        median(&mut seals)
    );
    let name = "commands acknowledged with seals, of those without";
    Ok(Row::new(name, median(&mut shares), "%", Target::AtLeast(97.0), note))
}

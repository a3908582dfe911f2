//! The cost of sealing the audit log: the time of a seal as a share of the interval at which a shard seals, and acknowledged commands
//! of a sealed shard relative to those of an unsealed one, alternating.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use tempfile::TempDir;
use townlet_audit::SEAL_INTERVAL;
use townlet_town::Sources;

use super::shard::{IN_FLIGHT, Operator, acknowledged, start, stop};
use super::timing::{median, milliseconds, percentile};
use super::{Row, Target};
use townlet_shard::{Handle, Speed};

/// Fewest seals for a meaningful median.
const MIN_SEALS: usize = 20;
/// Pause between two seals whose time is measured.
const PAUSE: Duration = Duration::from_millis(20);
/// Rounds, each on both shards; one with a seal.
const ROUNDS: u32 = 5;

pub(super) fn rows(sources: &Sources, folder: &TempDir, budget: Duration) -> Result<[Row; 2]> {
    let home = || tempfile::tempdir_in(folder.path()).context("cannot create a folder for the measurements");
    let (open, closed) = (home()?, home()?);
    let unsealed = start(sources, &open, false, Speed::X1, false)?;
    let key = townlet_shard::Home::new(closed.path());
    townlet_audit::set_up(&key.seal_key(), &key.console(), false).map_err(|why| anyhow!(why))?;
    let sealed = start(sources, &closed, false, Speed::X1, false)?;
    let rows = [time_of_a_seal(&sealed, budget / 3)?, with_and_without(&sealed, &unsealed, budget * 2 / 3)?];
    stop(&unsealed)?;
    stop(&sealed)?;
    Ok(rows)
}

/// Seals the log; how long it took, in milliseconds.
fn seal(shard: &Handle) -> Result<f64> {
    let began = Instant::now();
    shard.seal_audit_log()?;
    Ok(milliseconds(began.elapsed()))
}

/// Carries out commands, and does something beside them until they have ended. Returns their rate.
fn beside_commands<T: Send>(
    shard: &Handle,
    time: Duration,
    does: impl FnOnce(&AtomicBool) -> Result<T> + Send,
) -> Result<(f64, T)> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let beside = scope.spawn(|| does(&over));
        let rate = acknowledged(&Operator::at(shard), time);
        over.store(true, Ordering::Relaxed);
        Ok((rate?, beside.join().map_err(|_| anyhow!("the sealing thread crashed"))??))
    })
}

/// A seal under load, as a share of the interval between two seals of a shard. Nothing is acknowledged while the log is sealed, so
/// sealing costs at most this share of the commands.
fn time_of_a_seal(shard: &Handle, time: Duration) -> Result<Row> {
    let (_, mut seals) = beside_commands(shard, time, |over| {
        let mut seals = Vec::new();
        while seals.len() < MIN_SEALS || !over.load(Ordering::Relaxed) {
            std::thread::sleep(PAUSE);
            seals.push(seal(shard)?);
        }
        Ok(seals)
    })?;
    let (middle, interval) = (median(&mut seals), SEAL_INTERVAL.as_secs());
    let note = format!(
        "a seal takes {middle:.1} ms (p50 of {}; p99 {:.1} ms), its fsyncs included, with up to {IN_FLIGHT} commands in flight; a shard \
         seals every {interval} s, and acknowledges nothing meanwhile",
        seals.len(),
        percentile(&seals, 0.99)
    );
    let share = 100.0 * middle / milliseconds(SEAL_INTERVAL);
    Ok(Row::new("sealing: share of the interval between seals", share, "%", Target::AtMost(3.0), note))
}

/// Far more seals than in service, so that their cost can be seen.
fn with_and_without(sealed: &Handle, unsealed: &Handle, time: Duration) -> Result<Row> {
    let round = time / (2 * ROUNDS);
    let mut shares = Vec::new();
    for _ in 0..ROUNDS {
        let without = acknowledged(&Operator::at(unsealed), round)?;
        let (with, _) = beside_commands(sealed, round, |_| {
            std::thread::sleep(round / 2);
            seal(sealed)
        })?;
        shares.push(100.0 * with / without);
    }
    let every = round.as_secs_f64();
    let interval = SEAL_INTERVAL.as_secs();
    let note = format!(
        "{ROUNDS} rounds of {every:.1} s with a seal each, alternating with as many on an unsealed shard; in service there is a seal \
         every {interval} s"
    );
    let name = format!("commands acknowledged with a seal every {every:.1} s, of those without");
    Ok(Row::new(&name, median(&mut shares), "%", Target::None, note))
}

//! The file of `--out`: one JSON line per town, seed and policy. The file appears complete or not at all.
//!
//! Rule: "Policy evaluation".

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use townlet_learn::evaluate::Record;
use townlet_town::Micro;
use townlet_town::Rules;
use townlet_town::kpi::KPIS;

use super::evaluated_policy::EvaluatedPolicy;
use super::seed_range::SeedRange;

/// Collected rows.
#[derive(Default)]
pub(super) struct TownRows(String);

impl TownRows {
    /// Adds the towns of a policy. `town` is the name of the town in reports.
    pub(super) fn add(
        &mut self,
        town: &str,
        rules: &Rules,
        seeds: SeedRange,
        policy: &EvaluatedPolicy,
        records: &[Record],
    ) {
        for record in records {
            let row = json!({
                "town": town,
                "residents": rules.config.world.population,
                "config_digest": rules.config.digest(),
                "seed": record.seed,
                "seed_set": seeds.set.name(),
                "policy": policy.id(),
                "choice": policy.choice(),
                "days": record.days.len(),
                "score": record.score(),
                "starvation_events": record.total(|day| day.starvation_events),
                "exits": record.total(|day| day.exits),
                "involuntary_exits": record.total(|day| day.involuntary_exits),
                "kpis": kpis(record),
                "money_conserved": record.money.is_none(),
                "deadlock": record.deadlock.is_some(),
                "digest": record.digest,
            });
            self.0.push_str(&row.to_string());
            self.0.push('\n');
        }
    }

    /// Writes the file.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        townlet_files::write_atomically(path, self.0.as_bytes()).with_context(|| path.display().to_string())
    }
}

/// Every KPI after the last day; `null` without enough data.
fn kpis(record: &Record) -> Map<String, Value> {
    let value = |index: usize| record.days.last().and_then(|day| day.kpis[index].value.map(Micro::to_f64));
    KPIS.iter().enumerate().map(|(index, row)| (row.name.into(), json!(value(index)))).collect()
}

//! The figures of a future: what is counted while a copy lives, and what is read at its end.

use townlet_town::events::EventKind;
use townlet_town::kpi::{self, KPIS};
use townlet_town::{Micro, Town, score};

/// Whether more of a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// More is better.
    More,
    /// Less is better.
    Less,
    /// Neither.
    Neither,
}

/// A figure of a future.
pub struct Figure {
    /// The name in JSON, such as `exit_backlog`.
    pub name: &'static str,
    /// The title on screen.
    pub title: &'static str,
    /// `score`, `count`, `meals`, or the unit of a KPI.
    pub unit: &'static str,
    /// Whether more of it is better.
    pub better: Better,
    /// Its value; `None` without enough data.
    pub value: fn(&Future) -> Option<f64>,
}

/// The value of a KPI by its name.
macro_rules! kpi {
    ($name:literal, $title:literal, $unit:literal, $better:ident) => {
        Figure { name: $name, title: $title, unit: $unit, better: Better::$better, value: |future| future.kpi($name) }
    };
}

/// The figures, in the order of the page.
pub static FIGURES: [Figure; 14] = [
    Figure {
        name: "town_score",
        title: "town score",
        unit: "score",
        better: Better::More,
        value: |future| {
            let scores = &future.scores;
            (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
        },
    },
    Figure {
        name: "exits",
        title: "exits",
        unit: "count",
        better: Better::Less,
        value: |future| Some(f64::from(future.exits)),
    },
    Figure {
        name: "exit_backlog",
        title: "exit backlog at the end",
        unit: "count",
        better: Better::Less,
        value: |future| Some(f64::from(future.exit_backlog)),
    },
    Figure {
        name: "starvation_events",
        title: "starvation events",
        unit: "count",
        better: Better::Less,
        value: |future| Some(f64::from(future.starvation_events)),
    },
    Figure {
        name: "residents",
        title: "residents at the end",
        unit: "count",
        better: Better::Neither,
        value: |future| Some(f64::from(future.residents)),
    },
    Figure {
        name: "money",
        title: "money per resident",
        unit: "meals",
        better: Better::More,
        value: |future| (future.residents > 0).then(|| future.money / f64::from(future.residents)),
    },
    kpi!("self_sufficiency", "self-sufficiency", "ratio", More),
    kpi!("tenure", "tenure", "days", More),
    kpi!("relationship_coverage", "relationship coverage", "ratio", More),
    kpi!("rivalry_coverage", "rivalry coverage", "ratio", Less),
    kpi!("attendance", "attendance", "ratio", More),
    kpi!("lateness", "late shifts", "ratio", Less),
    kpi!("queue_conflicts", "queue conflicts a day", "per_day", Less),
    kpi!("chat_success", "chat success", "ratio", More),
];

/// What came of a copy.
#[derive(Clone, Debug, PartialEq)]
pub struct Future {
    /// Scores of the days that ended.
    pub scores: Vec<f64>,
    /// Residents who left.
    pub exits: u32,
    /// Starvation events.
    pub starvation_events: u32,
    /// Entries of the exit queue at the end.
    pub exit_backlog: u32,
    /// Residents at the end.
    pub residents: u32,
    /// Money in their wallets, in meals.
    pub money: f64,
    /// KPIs at the end, in the order of [`KPIS`]; `None` without enough data.
    pub kpis: [Option<f64>; KPIS.len()],
    /// Digest of the last state.
    pub digest: String,
}

impl Future {
    /// The future of a copy that has not lived yet.
    pub(super) const fn empty() -> Self {
        Self {
            scores: Vec::new(),
            exits: 0,
            starvation_events: 0,
            exit_backlog: 0,
            residents: 0,
            money: 0.0,
            kpis: [None; KPIS.len()],
            digest: String::new(),
        }
    }

    /// Counts a tick.
    pub(super) fn add(&mut self, town: &Town) {
        for event in town.events() {
            match event.kind {
                EventKind::ResidentLeft { .. } => self.exits += 1,
                EventKind::Starving { .. } => self.starvation_events += 1,
                _ => {}
            }
        }
        if town.rules().tick_of_day(town.tick()) == 0 {
            self.scores.extend(score::last(town.rules(), town.state()).map(|terms| terms.total.to_f64()));
        }
    }

    /// Reads the last state.
    pub(super) fn end(&mut self, town: &Town) {
        let state = town.state();
        let agents = &state.agents;
        self.exit_backlog = state.employment.queue.len() as u32;
        self.residents = agents.present.len() as u32;
        self.money = agents.present.iter().map(|agent| agents.wallet[*agent].to_f64()).sum();
        for (value, reading) in self.kpis.iter_mut().zip(kpi::read(town.rules(), state)) {
            *value = reading.value.map(Micro::to_f64);
        }
        self.digest = town.digest();
    }

    fn kpi(&self, name: &str) -> Option<f64> {
        self.kpis[KPIS.iter().position(|row| row.name == name)?]
    }
}

#[cfg(test)]
mod tests {
    use townlet_town::config::Config;
    use townlet_town::kpi::Target;

    use super::*;

    #[test]
    fn figures_of_kpis_have_their_title_unit_and_direction() {
        let config = Config::shipped();
        let own = ["town_score", "exits", "exit_backlog", "starvation_events", "residents", "money"];
        for figure in FIGURES.iter().filter(|figure| !own.contains(&figure.name)) {
            let row = KPIS.iter().find(|row| row.name == figure.name).expect("a KPI");
            let better = match (row.target)(&config) {
                Target::AtLeast(_) => Better::More,
                Target::AtMost(_) => Better::Less,
            };
            assert_eq!((figure.title, figure.unit, figure.better), (row.title, row.unit, better), "{}", row.name);
        }
    }
}

//! What-if questions: from texts to copies of a town, the answer, and its pages in the home. `line` answers those about a running town.
//!
//! Nothing here changes the town that is asked about. Rule: "What if".

mod alternative;
pub(crate) mod line;
pub(crate) mod operations;
mod pages;

pub use pages::{cells, keep};

use std::num::NonZero;
use std::sync::{Mutex, PoisonError};

use townlet_learn::ShouldContinue;
use townlet_learn::whatif::{Answer, Comparison, Future, Parting, Question, Verdict, partings};
use townlet_town::{Event, EventKind, Rules, Town, hash, names};
use townlet_wire::ErrorBody;
use townlet_wire::whatif::{
    MAX_ALTERNATIVES, WhatIfAlternative, WhatIfAnswer, WhatIfFigure, WhatIfParting, WhatIfVerdict,
};

use crate::command_table::error;
use crate::driver::Driver;
use crate::home::{Home, slug};
use crate::policies::PolicyCatalog;
use crate::telemetry;

/// Partings that an answer lists for an alternative.
const LISTED_PARTINGS: usize = 100;

/// Samples after which progress is told for each; later for steps of one part in so many.
const SHOWN_AT_ONCE: usize = 64;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The text of each alternative: parts with `;` between them.
    pub alternatives: Vec<String>,
    /// Copies of each alternative.
    pub samples: NonZero<u32>,
    /// Days that each copy lives.
    pub days: NonZero<u32>,
}

impl Asked {
    /// The days that all copies live together.
    pub fn lived_days(&self) -> u64 {
        let copies = (self.alternatives.len() as u64 + 1) * u64::from(self.samples.get());
        copies * u64::from(self.days.get())
    }
}

/// A question about one tick of one town that is ready to be answered.
pub struct Prepared {
    question: Question,
    /// The policy of the town as it goes on, and those of the alternatives.
    drivers: Vec<Driver>,
    /// Without figures.
    answer: WhatIfAnswer,
}

impl Prepared {
    /// Applies the alternatives to copies of a town. `run` is how the command line names the run.
    ///
    /// # Errors
    /// The alternative that is not possible, and why.
    pub fn new(
        town: &Town,
        driver: &Driver,
        policies: &PolicyCatalog,
        run: &str,
        asked: &Asked,
    ) -> Result<Self, ErrorBody> {
        if asked.alternatives.is_empty() || asked.alternatives.len() > MAX_ALTERNATIVES {
            let message = format!("{} alternatives were given, not 1 to {MAX_ALTERNATIVES}.", asked.alternatives.len());
            return Err(error("E_INVALID_ARG", message, "For example: `approve finn`."));
        }
        let mut built = Vec::new();
        for (text, number) in asked.alternatives.iter().zip(1..) {
            let alternative = alternative::build(text, town, driver, policies);
            built.push(alternative.map_err(|why| in_alternative(number, text, why))?);
        }
        let alternatives: Vec<_> = built.iter().map(|built| built.alternative.clone()).collect();
        let question = Question::new(town, &alternatives, asked.samples, asked.days).map_err(|(at, refusal)| {
            let why = error(refusal.code, refusal.message, refusal.hint);
            in_alternative(at + 1, &asked.alternatives[at], why)
        })?;
        let texts: Vec<String> = built.iter().map(|built| built.text.clone()).collect();
        let answer = WhatIfAnswer {
            id: String::new(),
            run: run.to_owned(),
            tick: town.tick(),
            ticks_per_day: town.rules().day_length(),
            digest: town.digest(),
            policy: driver.id().to_owned(),
            samples: asked.samples.get(),
            days: asked.days.get(),
            repeat: pages::repeat(run, town.tick(), asked, &texts),
            alternatives: texts.into_iter().map(without_figures).collect(),
        };
        let id = format!("{}-{}-{}", slug(&town.rules().config.shard), town.tick(), &fingerprint(&answer)[..8]);
        let drivers = std::iter::once(driver.clone()).chain(built.into_iter().map(|built| built.driver)).collect();
        Ok(Self { question, drivers, answer: WhatIfAnswer { id, ..answer } })
    }

    /// The same about a town of a recorded run in this home, with the policy that chose there.
    ///
    /// # Errors
    /// A policy that is not in the home, or as [`Self::new`].
    pub fn of_recording(home: &Home, town: &Town, policy: &str, run: &str, asked: &Asked) -> Result<Self, ErrorBody> {
        let policies = PolicyCatalog::of(home.folder(), &town.rules().config.policy);
        let driver = policies.load(policy, town.rules()).map_err(|why| {
            let message = format!("the policy of the run at this tick: {why}.");
            error("E_NOT_FOUND", message, "Put its checkpoint back into the home of the run.")
        })?;
        Self::new(town, &driver.driver, &policies, run, asked)
    }

    /// The answer before the first sample.
    pub const fn unanswered(&self) -> &WhatIfAnswer {
        &self.answer
    }

    /// Lives all copies on up to `threads` threads; the answer does not depend on their number. `progress` gets the number of samples
    /// that have ended and the answer over them, on the thread that ended one. `None` when it was told to stop.
    pub fn answer(
        &self,
        threads: NonZero<usize>,
        should_continue: ShouldContinue<'_>,
        progress: impl Fn(u32, WhatIfAnswer) + Sync,
    ) -> Option<WhatIfAnswer> {
        let samples: Mutex<Vec<Option<Vec<Future>>>> = Mutex::new(vec![None; self.question.samples().get() as usize]);
        self.question.run(
            threads,
            |alternative| self.drivers[alternative].clone(),
            should_continue,
            |sample, futures| {
                // The lock is kept, so that the last answer is the one over the most samples.
                let mut samples = samples.lock().unwrap_or_else(PoisonError::into_inner);
                samples[sample as usize] = Some(futures);
                let ended = samples.iter().flatten().count();
                if ended <= SHOWN_AT_ONCE || ended.is_multiple_of((samples.len() / SHOWN_AT_ONCE).max(1)) {
                    let ended: Vec<&Vec<Future>> = samples.iter().flatten().collect();
                    progress(ended.len() as u32, self.over(&ended));
                }
            },
        );
        let samples = samples.into_inner().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<Vec<Future>> = samples.into_iter().collect::<Option<_>>()?;
        let mut answer = self.over(&all);
        for (alternative, number) in answer.alternatives.iter_mut().zip(1..) {
            let driver = |at: usize| self.drivers[at].clone();
            let found = partings(&self.question, number, driver, should_continue)?;
            let rules = self.question.rules();
            alternative.further_partings = found.len().saturating_sub(LISTED_PARTINGS) as u64;
            alternative.partings = found.iter().take(LISTED_PARTINGS).map(|it| parting(rules, it)).collect();
        }
        Some(answer)
    }

    /// The answer over some samples, in their order.
    fn over(&self, samples: &[impl AsRef<[Future]>]) -> WhatIfAnswer {
        let mut answer = self.answer.clone();
        for (alternative, number) in answer.alternatives.iter_mut().zip(1..) {
            alternative.figures = Answer::of(samples, number).rows.iter().map(figure).collect();
        }
        answer
    }
}

/// Differs with the town, the run and the question.
fn fingerprint(answer: &WhatIfAnswer) -> String {
    hash::short_digest([serde_json::to_vec(answer).expect("an answer is plain data")])
}

fn without_figures(alternative: String) -> WhatIfAlternative {
    WhatIfAlternative { alternative, figures: Vec::new(), partings: Vec::new(), further_partings: 0 }
}

fn in_alternative(number: usize, text: &str, why: ErrorBody) -> ErrorBody {
    error(&why.code, format!("alternative {number}, `{text}`: {}", why.message), why.hint)
}

fn figure(row: &Comparison) -> WhatIfFigure {
    let verdict = match row.verdict {
        Verdict::Better => WhatIfVerdict::Better,
        Verdict::Worse => WhatIfVerdict::Worse,
        Verdict::Different => WhatIfVerdict::Different,
        Verdict::Same => WhatIfVerdict::Same,
    };
    WhatIfFigure {
        name: row.figure.name.into(),
        title: row.figure.title.into(),
        unit: row.figure.unit.into(),
        samples: row.samples as u64,
        nothing: row.nothing,
        with: row.with,
        difference: row.difference,
        low: row.interval.map(|ends| ends.0),
        high: row.interval.map(|ends| ends.1),
        verdict,
    }
}

fn parting(rules: &Rules, parting: &Parting) -> WhatIfParting {
    let sentences = |events: &[EventKind]| -> Vec<String> {
        events.iter().map(|kind| telemetry::in_words(rules, &Event { tick: parting.tick, kind: *kind })).collect()
    };
    WhatIfParting {
        tick: parting.tick,
        agent: parting.who.map(names::id),
        nothing: sentences(&parting.nothing),
        with: sentences(&parting.with),
    }
}

//! The town score: one number per day, used to compare policies.
//!
//! `0.4·(1 − deficit) + 0.2·attendance + 0.2·wages + 0.2·trust − 0.5·starvation − 0.2·exits`, in [0, 1] before the two
//! penalties. The terms:
//!
//! | term | over |
//! |---|---|
//! | deficit | mean of (1 − level)², unweighted, over needs, residents and ticks; a resident counts for every tick at whose end it is present |
//! | attendance | ticks worked ÷ ticks of the day's shifts |
//! | wages | paid, after what lateness withholds ÷ what those shifts would pay in full |
//! | trust | mean over residents at the day's end of the mean of their two highest trusts; a tie they lack, or one below zero, counts as 0 |
//! | starvation, exits | events and involuntary exits of the day ÷ mean number of residents in it |
//!
//! A shift counts with its whole length for every resident who holds the job and is present at its start. When the resident
//! leaves early, the rest counts as not worked. It does not count for newcomers who arrived too shortly before it. A resident
//! who takes over a shift is paid and counts as attending. A day without residents or shifts has no score. Rule: "Town score".

use crate::fixed_point::Micro;
use crate::ids::{AgentId, JobId};
use crate::needs::{NEED_COUNT, SUFFICIENT_LEVEL};
use crate::rules::Rules;
use crate::state::{DayTotals, ResidentDay, State, Ties};
use crate::tick_context::TickContext;

/// The terms of a day's score and the score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScoreTerms {
    /// Mean squared need deficit, in [0, 1].
    pub deficit: Micro,
    /// In [0, 1].
    pub attendance: Micro,
    /// Wages earned ÷ wages of all scheduled shifts, in [0, 1].
    pub wages: Micro,
    /// In [0, 1].
    pub trust: Micro,
    /// Starvation events per resident.
    pub starvation: Micro,
    /// Involuntary exits per resident.
    pub exits: Micro,
    /// The score.
    pub total: Micro,
}

/// The score of a day of `day` ticks; `None` when the town was empty or no shift started.
pub fn terms(sums: &DayTotals, day: u64) -> Option<ScoreTerms> {
    if sums.resident_ticks == 0 || sums.scheduled_ticks == 0 {
        return None;
    }
    let ticks = sums.resident_ticks as i64;
    let each = |events: u32| Micro::ratio(i64::from(events) * day as i64, ticks);
    let deficit = Micro(sums.deficits.0 / (ticks * NEED_COUNT as i64));
    let attendance = Micro::ratio(sums.worked_ticks as i64, sums.scheduled_ticks as i64).unit();
    let wages = Micro::ratio(sums.earned_wages.0, sums.scheduled_wages.0).unit();
    let trust = Micro(sums.trust.0 / i64::from(sums.residents.max(1)));
    let (starvation, exits) = (each(sums.starvation_events), each(sums.involuntary_exits));
    // In tenths first, so that rounding loses less than a millionth.
    let tenths = (Micro::ONE - deficit).scaled(4) + (attendance + wages + trust).scaled(2)
        - starvation.scaled(5)
        - exits.scaled(2);
    Some(ScoreTerms { deficit, attendance, wages, trust, starvation, exits, total: Micro(tenths.0 / 10) })
}

/// The score of the last whole day; `None` before the first one is over.
pub fn last(rules: &Rules, state: &State) -> Option<ScoreTerms> {
    terms(&state.score.last, rules.day_length())
}

/// Adds a shift that starts.
pub(crate) fn add_scheduled(cx: &mut TickContext<'_>, job: JobId) {
    let it = &cx.rules.jobs[job];
    let ticks = it.end - it.start;
    let today = &mut cx.state.score.today;
    today.scheduled_ticks += u64::from(ticks);
    today.scheduled_wages += it.wage.scaled(i64::from(ticks));
}

/// Adds a tick worked by a resident and its pay.
pub(crate) fn add_worked(cx: &mut TickContext<'_>, agent: AgentId, paid: Micro) {
    let today = &mut cx.state.score.today;
    today.worked_ticks += 1;
    today.earned_wages += paid;
    cx.rewards.by_agent[agent].worked += 1;
    cx.rewards.by_agent[agent].paid += paid;
    let day = &mut cx.state.agents.score_day[agent];
    day.worked += 1;
    day.paid += paid;
}

/// Adds a tick of its own shift that a resident did not work, and its pay.
pub(crate) fn add_missed(cx: &mut TickContext<'_>, agent: AgentId, unpaid: Micro) {
    let day = &mut cx.state.agents.score_day[agent];
    day.missed += 1;
    day.unpaid += unpaid;
}

/// Adds a penalty withheld from a resident's wages.
pub(crate) fn add_withheld(cx: &mut TickContext<'_>, agent: AgentId, unpaid: Micro) {
    cx.state.agents.score_day[agent].unpaid += unpaid;
}

/// Adds a starvation event.
pub(crate) fn add_starvation(cx: &mut TickContext<'_>, agent: AgentId) {
    cx.rewards.by_agent[agent].starved = true;
    cx.state.agents.score_day[agent].starvation_events += 1;
}

/// Adds the needs and residents of the tick, and closes the day at its last tick.
pub(crate) fn run(cx: &mut TickContext<'_>) {
    let agents = &mut cx.state.agents;
    let mut squares = 0;
    for agent in agents.present.iter().copied() {
        let needs = &agents.needs[agent];
        let own = squared_deficits(needs);
        let day = &mut agents.score_day[agent];
        day.ticks += 1;
        day.squared_deficits += own;
        day.low_ticks += u32::from(is_low(needs));
        squares += own;
    }
    let residents = agents.present.len() as u64;
    let today = &mut cx.state.score.today;
    today.deficits += Micro(squares / Micro::ONE.0);
    today.resident_ticks += residents;
    if cx.rules.tick_of_day(cx.state.tick + 1) == 0 {
        close(cx);
    }
}

fn close(cx: &mut TickContext<'_>) {
    let agents = &mut cx.state.agents;
    let mut sum = Micro::ZERO;
    for agent in agents.present.iter().copied() {
        let trust_before = trust(&agents.ties[agent]);
        agents.score_day[agent] = ResidentDay { trust_before, ..ResidentDay::default() };
        sum += trust_before;
    }
    let counters = cx.state.days.days[0];
    let today = std::mem::take(&mut cx.state.score.today);
    cx.state.score.last = DayTotals {
        starvation_events: counters.starvation_events,
        involuntary_exits: counters.involuntary_exits,
        residents: cx.state.agents.present.len() as u32,
        trust: sum,
        ..today
    };
}

/// Σ (1 − level)² over the needs of one resident, in 10⁻¹².
pub fn squared_deficits(needs: &[Micro; NEED_COUNT]) -> i64 {
    needs.iter().map(|level| (Micro::ONE - *level).0).map(|missing| missing * missing).sum()
}

/// Whether a need is at or below the level of self-sufficiency.
pub fn is_low(needs: &[Micro; NEED_COUNT]) -> bool {
    needs.iter().any(|level| *level <= SUFFICIENT_LEVEL)
}

/// The trust term of one resident: the mean of their two highest trusts.
pub fn trust(ties: &Ties) -> Micro {
    two_highest(ties.iter().map(|tie| tie.trust))
}

/// The mean of the two highest values, where missing and negative ones count as zero.
fn two_highest(trusts: impl Iterator<Item = Micro>) -> Micro {
    let (first, second) = trusts.fold((Micro::ZERO, Micro::ZERO), |(first, second), trust| {
        if trust > first { (trust, first) } else { (first, second.max(trust)) }
    });
    Micro(i64::midpoint(first.0, second.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two residents through a day of ten ticks, one of whom had to leave and whose place was free for half of it.
    const DAY: DayTotals = DayTotals {
        deficits: Micro(9_000_000),
        resident_ticks: 15,
        scheduled_ticks: 8,
        worked_ticks: 6,
        scheduled_wages: Micro(160_000),
        earned_wages: Micro(100_000),
        starvation_events: 3,
        involuntary_exits: 1,
        residents: 2,
        trust: Micro(900_000),
    };

    #[test]
    fn a_days_score_by_hand() {
        // 9 ÷ (15 · 3) = 0.2; 6 ÷ 8; 0.1 ÷ 0.16; 0.9 ÷ 2; 3 ÷ 1.5; 1 ÷ 1.5.
        // 0.4 · 0.8 + 0.2 · (0.75 + 0.625 + 0.45) − 0.5 · 2 − 0.2 · 0.666666
        let expected = ScoreTerms {
            deficit: Micro(200_000),
            attendance: Micro(750_000),
            wages: Micro(625_000),
            trust: Micro(450_000),
            starvation: Micro::whole(2),
            exits: Micro(666_666),
            total: Micro(-448_333),
        };
        assert_eq!(terms(&DAY, 10), Some(expected));
        let calm = DayTotals { starvation_events: 0, involuntary_exits: 0, ..DAY };
        assert_eq!(terms(&calm, 10).unwrap().total, Micro(685_000));
    }

    #[test]
    fn a_perfect_day_is_one_and_a_wasted_one_nothing() {
        let perfect = DayTotals {
            deficits: Micro::ZERO,
            worked_ticks: 8,
            earned_wages: Micro(160_000),
            starvation_events: 0,
            involuntary_exits: 0,
            trust: Micro::whole(2),
            ..DAY
        };
        assert_eq!(terms(&perfect, 10).unwrap().total, Micro::ONE);
        let wasted = DayTotals {
            deficits: Micro::whole(45),
            worked_ticks: 0,
            earned_wages: Micro::ZERO,
            trust: Micro::ZERO,
            ..perfect
        };
        assert_eq!(terms(&wasted, 10).unwrap().total, Micro::ZERO);
    }

    #[test]
    fn without_residents_or_shifts_there_is_no_score() {
        assert_eq!(terms(&DayTotals::default(), 10), None);
        assert_eq!(terms(&DayTotals { resident_ticks: 0, ..DAY }, 10), None);
        assert_eq!(terms(&DayTotals { scheduled_ticks: 0, scheduled_wages: Micro::ZERO, ..DAY }, 10), None);
    }

    #[test]
    fn the_two_highest_trusts_whatever_their_order() {
        let of = |trusts: &[i64]| two_highest(trusts.iter().map(|trust| Micro(*trust)));
        assert_eq!(of(&[100, 400, 300]), Micro(350));
        assert_eq!(of(&[400, 300, 100]), Micro(350));
        assert_eq!(of(&[300]), Micro(150), "the second is missing");
        assert_eq!(of(&[-500, 300, -100]), Micro(150));
        assert_eq!(of(&[-500, -100]), Micro::ZERO);
        assert_eq!(of(&[]), Micro::ZERO);
    }
}

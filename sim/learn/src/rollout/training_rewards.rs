//! The reward of a training: a resident's own share of the town score tick by tick, or the town's configured reward.
//!
//! With every factor 1 and no price for low needs, the shares of a day add up to its score, up to the trust at its beginning.
//! Each term is a mean over those it counts: see [`ScoreShare`]. Rule: "Training objective".

use townlet_town::config::Objective;
use townlet_town::needs::NEED_COUNT;
use townlet_town::state::ResidentDay;
use townlet_town::{AgentId, Micro, ResidentId, Rules, State, TickReward, Town, score};

/// Rewards per point of score, so that the returns of a week are of the order of ten and the value loss is well scaled.
const REWARD_PER_POINT: f64 = 10.0;

/// A resident's share of the terms of the town score in one tick, without factors.
///
/// Summed over residents and a day, `needs`, `starvation` and `exit` divided by the mean number of residents, `attendance`
/// and `wages` by the shifts that started (in mean shifts, by length and by pay), and `trust` by the residents at the day's end
/// are the terms of the day's score.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ScoreShare {
    /// 0.4 · (1 − mean squared deficit), a day's worth per day.
    pub needs: f64,
    /// 0.2 per mean shift worked.
    pub attendance: f64,
    /// 0.2 per mean wage of a shift paid.
    pub wages: f64,
    /// 0.2 · the change of the mean of the two highest trusts. Newcomers begin at 0; residents who leave end there.
    pub trust: f64,
    /// −0.5 for a starvation event.
    pub starvation: f64,
    /// −0.2 for an involuntary exit.
    pub exit: f64,
    /// −1 per day with a need at or below the level of self-sufficiency. Not part of the score.
    pub low_needs: f64,
}

impl ScoreShare {
    /// The share of a resident since the day began, without an exit: a resident that is present has not left.
    pub fn today(rules: &Rules, state: &State, agent: AgentId) -> Self {
        let day = &state.agents.score_day[agent];
        let trust = 0.2 * (score::trust(&state.agents.ties[agent]) - day.trust_before).to_f64();
        Self { trust, ..Self::of(day, rules.day_length() as f64, MeanShift::of(rules)) }
    }

    /// What a resident lost since the day began: the difference from full needs and from its whole shift at full pay.
    pub fn lost_today(rules: &Rules, state: &State, agent: AgentId) -> Self {
        let day = &state.agents.score_day[agent];
        let shift = MeanShift::of(rules);
        Self {
            needs: 0.0 - 0.4 * mean_deficits(day) / rules.day_length() as f64,
            attendance: 0.0 - 0.2 * f64::from(day.missed) / shift.ticks,
            wages: 0.0 - 0.2 * day.unpaid.to_f64() / shift.wages,
            ..Self::default()
        }
    }

    /// The terms of totals, without trust and exit.
    fn of(totals: &ResidentDay, day: f64, shift: MeanShift) -> Self {
        Self {
            needs: 0.4 * (f64::from(totals.ticks) - mean_deficits(totals)) / day,
            attendance: 0.2 * f64::from(totals.worked) / shift.ticks,
            wages: 0.2 * totals.paid.to_f64() / shift.wages,
            starvation: 0.0 - 0.5 * f64::from(totals.starvation_events),
            low_needs: 0.0 - f64::from(totals.low_ticks) / day,
            ..Self::default()
        }
    }
}

/// The mean squared deficit of the needs, summed over ticks.
fn mean_deficits(totals: &ResidentDay) -> f64 {
    totals.squared_deficits as f64 / (NEED_COUNT as f64 * 1e12)
}

fn work_and_hunger(tick: &TickReward) -> ResidentDay {
    ResidentDay {
        worked: tick.worked,
        paid: tick.paid,
        starvation_events: u32::from(tick.starved),
        ..ResidentDay::default()
    }
}

/// Length and pay of the mean shift of a town's jobs.
#[derive(Clone, Copy, Debug)]
pub struct MeanShift {
    /// Ticks.
    pub ticks: f64,
    /// Full wages, in meals.
    pub wages: f64,
}

impl MeanShift {
    /// The mean over the jobs; 1 where they have no length or no pay.
    pub fn of(rules: &Rules) -> Self {
        let (mut jobs, mut ticks, mut wages) = (0.0, 0.0, 0.0);
        for (_, job) in rules.jobs() {
            let length = f64::from(job.end - job.start);
            (jobs, ticks, wages) = (jobs + 1.0, ticks + length, wages + length * job.wage.to_f64());
        }
        let mean = |sum: f64| if sum > 0.0 { sum / jobs } else { 1.0 };
        Self { ticks: mean(ticks), wages: mean(wages) }
    }
}

/// Computes the rewards of one town after each tick.
#[derive(Clone, Debug)]
pub struct TrainingRewards {
    objective: Objective,
    day: f64,
    shift: MeanShift,
    /// Factors of needs, attendance, trust, starvation, exit and low needs.
    weights: [f64; 6],
    /// The trust term of each slot after the last tick, and whose it is.
    trust: Vec<(ResidentId, Micro)>,
}

impl TrainingRewards {
    /// For a town with these rules in this state.
    pub fn new(rules: &Rules, state: &State) -> Self {
        let training = &rules.config.training;
        let weights = [
            training.needs_weight,
            training.attendance_weight,
            training.trust_weight,
            training.starvation_weight,
            training.exit_weight,
            training.low_needs_weight,
        ];
        let slots = (0..state.agents.tile.len() as u16).map(AgentId);
        Self {
            objective: training.objective,
            day: rules.day_length() as f64,
            shift: MeanShift::of(rules),
            weights: weights.map(Micro::to_f64),
            trust: slots.map(|slot| (state.agents.resident[slot], score::trust(&state.agents.ties[slot]))).collect(),
        }
    }

    /// Passes the reward of every resident of the last tick to `give`: first of those who left, then of those present.
    pub fn tick(&mut self, town: &Town, mut give: impl FnMut(AgentId, ResidentId, bool, f64)) {
        for gone in town.departures() {
            let reward = match self.objective {
                Objective::Configured => gone.reward.before_episode_clip.to_f64(),
                Objective::TownScore => {
                    let share = self.departure(gone.agent, gone.who, &gone.reward, gone.involuntary);
                    self.weigh(&share)
                }
            };
            give(gone.agent, gone.who, true, reward);
        }
        let agents = &town.state().agents;
        for agent in agents.present.iter().copied() {
            let reward = match self.objective {
                Objective::Configured => town.reward(agent).before_episode_clip.to_f64(),
                Objective::TownScore => {
                    let share = self.resident(town, agent);
                    self.weigh(&share)
                }
            };
            give(agent, agents.resident[agent], false, reward);
        }
    }

    /// Rewards per point of the sums in the log.
    pub fn scale(&self) -> f64 {
        match self.objective {
            Objective::TownScore => REWARD_PER_POINT,
            Objective::Configured => 1.0,
        }
    }

    fn weigh(&self, share: &ScoreShare) -> f64 {
        let [needs, attendance, trust, starvation, exit, low_needs] = self.weights;
        let points = needs * share.needs
            + attendance * share.attendance
            + share.wages
            + trust * share.trust
            + starvation * share.starvation
            + exit * share.exit
            + low_needs * share.low_needs;
        points * REWARD_PER_POINT
    }

    /// The share of a resident who left in the last tick. The score counts needs at the end of a tick, so not theirs.
    pub fn departure(&mut self, agent: AgentId, who: ResidentId, tick: &TickReward, involuntary: bool) -> ScoreShare {
        let exit = if involuntary { -0.2 } else { 0.0 };
        ScoreShare {
            trust: self.trust_change(agent, who, Micro::ZERO),
            exit,
            ..ScoreShare::of(&work_and_hunger(tick), self.day, self.shift)
        }
    }

    /// The share of a resident who is present after the last tick.
    pub fn resident(&mut self, town: &Town, agent: AgentId) -> ScoreShare {
        let agents = &town.state().agents;
        let needs = &agents.needs[agent];
        let tick = ResidentDay {
            ticks: 1,
            squared_deficits: score::squared_deficits(needs),
            low_ticks: u32::from(score::is_low(needs)),
            ..work_and_hunger(&town.reward(agent))
        };
        let trust = self.trust_change(agent, agents.resident[agent], score::trust(&agents.ties[agent]));
        ScoreShare { trust, ..ScoreShare::of(&tick, self.day, self.shift) }
    }

    fn trust_change(&mut self, agent: AgentId, who: ResidentId, now: Micro) -> f64 {
        let (before, then) = std::mem::replace(&mut self.trust[usize::from(agent.0)], (who, now));
        let then = if before == who { then } else { Micro::ZERO };
        0.2 * (now - then).to_f64()
    }
}

//! Telemetry of residents: job status and what the inspector shows.

use std::collections::BTreeMap;

use townlet_learn::rollout::training_rewards::ScoreShare;
use townlet_learn::{LastDecision, LatestDecisions};
use townlet_town::economy::basket;
use townlet_town::fixed_point::Micro;
use townlet_town::masks::reasons;
use townlet_town::names;
use townlet_town::needs::NEEDS;
use townlet_town::options::{OPTIONS, OptionKind};
use townlet_town::personality::{self, TRAITS};
use townlet_town::state::{Activity, ShiftState, State};
use townlet_town::{AgentId, Rules};

use super::agent_id;
use townlet_wire::count;
use townlet_wire::telemetry::{
    Agent, Job, MaskBit, Need, Objective, ObjectiveTerm, Relationships, Shift, Tie, TopOption, Trait,
};

pub(super) fn jobs(rules: &Rules, state: &State) -> BTreeMap<String, Job> {
    state.agents.present.iter().map(|agent| (agent_id(state, *agent), job(rules, state, *agent))).collect()
}

fn job(rules: &Rules, state: &State, agent: AgentId) -> Job {
    let agents = &state.agents;
    let shift = agents.shift[agent];
    let held = agents.job[agent];
    let tenure = (state.tick - agents.job_since[agent]) as f64 / rules.day_length() as f64;
    Job {
        job_id: held.map(|job| rules.jobs[job].name.clone()).unwrap_or_default(),
        on_shift: matches!(shift.state, ShiftState::OnTime | ShiftState::Late),
        wallet: agents.wallet[agent].to_f64(),
        lateness_counter: u64::from(agents.lateness_counter[agent]),
        wages_earned: agents.wages_earned[agent].to_f64(),
        wages_withheld: agents.wages_withheld[agent].to_f64(),
        meals_cooked: u64::from(agents.meals_cooked[agent]),
        meals_consumed: u64::from(agents.meals_consumed[agent]),
        basket_cost: basket(rules, state).to_f64(),
        shift_state: if held.is_some() { shift.state.name() } else { "none" }.into(),
        attendance_ratio: agents
            .attendance(agent, rules.config.employment.attendance_window)
            .map_or(1.0, Micro::to_f64),
        late_ticks_today: u64::from(agents.late_ticks_today[agent]),
        absent_shifts_7d: u64::from(agents.absent_shifts(agent)),
        exit_pending: state.employment.entry(agent).is_some(),
        tenure_days: if held.is_some() { tenure } else { 0.0 },
    }
}

pub(super) fn agents(rules: &Rules, state: &State, decisions: Option<&LatestDecisions>) -> Vec<Agent> {
    state.agents.present.iter().map(|agent| inspect(rules, state, decisions, *agent)).collect()
}

/// One resident, as the inspector shows it.
pub(crate) fn inspect(rules: &Rules, state: &State, decisions: Option<&LatestDecisions>, agent: AgentId) -> Agent {
    let agents = &state.agents;
    let (x, y) = rules.plan.at(agents.tile[agent]);
    let here = rules.plan.place_of[agents.tile[agent]];
    let last_decision = decisions.and_then(|decisions| decisions.of(state, agent));
    Agent {
        id: agent_id(state, agent),
        name: names::name(agents.resident[agent]),
        x: u64::from(x),
        y: u64::from(y),
        place: here.map_or_else(|| "outdoors".into(), |place| rules.plan.places[place].name.clone()),
        home: rules.plan.places[agents.home[agent]].name.clone(),
        arrived_tick: agents.arrived[agent],
        needs: NEEDS
            .iter()
            .enumerate()
            .map(|(need, row)| Need {
                name: row.name.into(),
                value: agents.needs[agent][need].to_f64(),
                critical: rules.critical[need].to_f64(),
            })
            .collect(),
        option: agents.option[agent].name().into(),
        option_since: agents.option_since[agent],
        activity: activity(rules, state, agent),
        target: agents.activity[agent].target().map(|(object, _)| rules.plan.objects[object].name.clone()),
        mask: mask(rules, state, agent),
        top_options: last_decision.as_ref().map(top_options).unwrap_or_default(),
        value: last_decision.map(|it| f64::from(it.value)),
        possessed: agents.possessed[agent],
        shift: shift(rules, state, agent),
        groceries: u64::from(agents.groceries[agent]),
        rent_owed_days: u64::from(agents.rent_owed[agent]),
        personality: personality(state, agent),
        objective: Some(objective(rules, state, agent)),
    }
}

/// The resident's share of the town score today, by terms.
fn objective(rules: &Rules, state: &State, agent: AgentId) -> Objective {
    let (has, lost) = (ScoreShare::today(rules, state, agent), ScoreShare::lost_today(rules, state, agent));
    // Millionths, as everything else the town hands out.
    let round = |value: f64| (value * 1e6).round() / 1e6 + 0.0;
    let term = |name: &str, value, lost: Option<f64>| ObjectiveTerm {
        name: name.into(),
        value: round(value),
        lost: lost.map(round),
        scored: true,
    };
    let terms = vec![
        term("needs", has.needs, Some(lost.needs)),
        term("attendance", has.attendance, Some(lost.attendance)),
        term("wages", has.wages, Some(lost.wages)),
        term("trust", has.trust, None),
        term("starvation", has.starvation, None),
        term("exit", has.exit, None),
        ObjectiveTerm { scored: false, ..term("low_needs", has.low_needs, None) },
    ];
    let total = terms.iter().filter(|term| term.scored).map(|term| term.value).sum();
    Objective { total: round(total), terms }
}

/// Probabilities of the allowed options at the latest decision, most likely first.
fn top_options(last_decision: &LastDecision) -> Vec<TopOption> {
    let likely = last_decision.top.iter().filter(|(_, probability)| *probability > 0.0);
    likely
        .map(|(option, probability)| TopOption { option: option.name().into(), probability: f64::from(*probability) })
        .collect()
}

pub(crate) fn personality(state: &State, agent: AgentId) -> Vec<Trait> {
    let values = personality::personality(state.agents.resident[agent]).all();
    TRAITS.iter().zip(values).map(|(name, value)| Trait { name: (*name).into(), value: value.to_f64() }).collect()
}

/// All relationships, by slot, most trusted first.
pub(crate) fn relationships(rules: &Rules, state: &State) -> Relationships {
    let ties = state.agents.present.iter().flat_map(|agent| {
        let mut ties: Vec<_> = state.agents.ties[*agent].iter().collect();
        ties.sort_by_key(|tie| (std::cmp::Reverse(tie.trust), tie.other));
        ties.into_iter().map(|tie| Tie {
            agent: agent_id(state, *agent),
            other: agent_id(state, tie.other),
            trust: tie.trust.to_f64(),
            familiarity: tie.familiarity.to_f64(),
            rivalry: tie.rivalry.to_f64(),
        })
    });
    Relationships { stage: rules.config.features.stages.relationships.word().into(), ties: ties.collect() }
}

/// All options: whether each may be chosen, and if not, why.
pub(super) fn mask(rules: &Rules, state: &State, agent: AgentId) -> Vec<MaskBit> {
    OPTIONS
        .iter()
        .zip(reasons(rules, state, agent))
        .map(|(row, why)| MaskBit {
            option: row.1.into(),
            allowed: why.is_none(),
            reason: why.map_or_else(String::new, |why| why.description().into()),
        })
        .collect()
}

pub(super) fn activity(rules: &Rules, state: &State, agent: AgentId) -> String {
    let agents = &state.agents;
    let name = |object| &rules.plan.objects[object].name;
    match agents.activity[agent] {
        Activity::Walking(object, _) => {
            let steps = count(rules.way_to_object(object, agents.tile[agent]).steps().into(), "step");
            format!("walking to {}, {steps}", name(object))
        }
        Activity::Waiting(object, _) => {
            let queue = &state.objects[object].queue;
            let place = queue.iter().position(|waiter| waiter.agent == agent).unwrap_or(0) + 1;
            format!("waiting for {}, number {place} in line", name(object))
        }
        Activity::Holding(object, ..) => format!("stepping up to {}", name(object)),
        Activity::Using(object, affordance, until) => {
            let what = rules.affordances[affordance].id.replace('_', " ");
            format!("{what} at {}, {} left", name(object), count(until.saturating_sub(state.tick), "tick"))
        }
        Activity::Idle => idle(rules, state, agent),
    }
}

fn idle(rules: &Rules, state: &State, agent: AgentId) -> String {
    let agents = &state.agents;
    match (agents.option[agent], agents.job[agent]) {
        (OptionKind::Work, Some(job)) => match rules.way_to_site(job, agents.tile[agent]).steps() {
            0..=2 => format!("at work as {}", rules.jobs[job].name),
            steps => format!("on the way to work as {}, {steps} steps", rules.jobs[job].name),
        },
        (OptionKind::GoHome, _) => "walking home".into(),
        _ if agents.ended[agent] => "thinking of what to do".into(),
        (option, _) => option.name().replace('_', " "),
    }
}

fn shift(rules: &Rules, state: &State, agent: AgentId) -> Option<Shift> {
    let job = &rules.jobs[state.agents.job[agent]?];
    let shift = state.agents.shift[agent];
    let past = state.agents.past[agent].iter().flatten().rev();
    Some(Shift {
        start: u64::from(job.start),
        end: u64::from(job.end),
        arrived: shift.arrived.map(u64::from),
        worked: u64::from(shift.worked),
        history: past.map(|past| past.outcome.name().into()).collect(),
    })
}

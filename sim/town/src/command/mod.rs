//! Commands: changes to the town that an operator orders between ticks. Dry run and execution are one procedure. Roles are
//! checked outside the town. Rule: "Command table".

mod perturbation;

use serde::{Deserialize, Serialize};

use crate::activity;
use crate::economy::{self, MAX_MONEY};
use crate::employment;
use crate::fixed_point::Micro;
use crate::ids::{AgentId, PlaceId, ResidentId, Tile};
use crate::lifecycle;
use crate::masks::refusal;
use crate::names;
use crate::needs::NEEDS;
use crate::options::OptionKind;
use crate::state::{ASPECTS, Account, ExitCause, ExitReason};
use crate::tick_context::TickContext;
use crate::{perturbations, ties};

/// A change to the town. Residents are named by identity, so that a replay never hits another resident in the same slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Adds a resident to the exit queue.
    ExitRequest {
        /// The resident.
        who: ResidentId,
    },
    /// Approves an exit, which happens on the next tick.
    ExitApprove {
        /// The resident.
        who: ResidentId,
    },
    /// Removes a resident from the exit queue and forgives its absences.
    ExitDefer {
        /// The resident.
        who: ResidentId,
    },
    /// Adds a newcomer.
    Spawn,
    /// Moves a resident to a tile.
    Teleport {
        /// The resident.
        who: ResidentId,
        /// The tile.
        tile: Tile,
    },
    /// Sets the level of a need.
    SetNeed {
        /// The resident.
        who: ResidentId,
        /// Row of the needs table.
        need: u8,
        /// The new value: a level in [0, 1], or an amount in meals.
        value: Micro,
    },
    /// Sets the money in a wallet.
    SetMoney {
        /// The resident.
        who: ResidentId,
        /// The new value: a level in [0, 1], or an amount in meals.
        value: Micro,
    },
    /// Sets the list price of an item.
    SetPrice {
        /// Row of the price list.
        item: u8,
        /// The new value: a level in [0, 1], or an amount in meals.
        value: Micro,
    },
    /// Makes a resident carry out an option until it is released.
    Possess {
        /// The resident.
        who: ResidentId,
        /// The option.
        option: OptionKind,
    },
    /// Returns a possessed resident to the policy.
    Release {
        /// The resident.
        who: ResidentId,
    },
    /// Removes a resident from the town.
    Kill {
        /// The resident.
        who: ResidentId,
    },
    /// Sets switches exits by starvation on or off.
    Mortality(bool),
    /// Sets the employment exits per day.
    ExitCap(u32),
    /// Sets the shortest and longest delay until a newcomer arrives, in ticks.
    SpawnDelay(u32, u32),
    /// Begins or ends a blackout or an outage.
    Perturb {
        /// Row of the perturbations table.
        kind: u8,
        /// Begin (`true`) or end.
        on: bool,
    },
    /// Sets whether queues use cooldowns and age priority.
    QueueFairness(bool),
    /// Starts an event of the perturbation file now, regardless of cooldowns and limits.
    Trigger {
        /// Its name.
        event: String,
        /// Duration in ticks; drawn when `None`.
        duration: Option<u32>,
        /// Factor of a price spike; drawn when `None`.
        magnitude: Option<Micro>,
    },
    /// Ends an event of the perturbation file, or removes it from today's pending ones.
    Cancel {
        /// Its name.
        event: String,
    },
    /// Sets whether perturbations start by themselves.
    Perturbations(bool),
    /// Invites two residents to meet.
    ArrangeMeet {
        /// The first resident.
        who: ResidentId,
        /// The second resident.
        other: ResidentId,
        /// The place.
        place: PlaceId,
    },
    /// Sets an aspect of a tie.
    SetRel {
        /// The resident whose tie it is.
        who: ResidentId,
        /// The resident it points to.
        other: ResidentId,
        /// Index in [`ASPECTS`].
        aspect: u8,
        /// The value, in [−1, 1].
        value: Micro,
    },
    /// Makes two residents chat now, wherever they are.
    ForceChat {
        /// The first resident.
        who: ResidentId,
        /// The second resident.
        other: ResidentId,
    },
}

/// Why a command was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `E_NOT_FOUND`, `E_INVALID_ARG`, `E_CONFLICT`.
    pub code: &'static str,
    /// The reason, as one sentence.
    pub message: String,
    /// What to do instead.
    pub hint: String,
}

fn not_found(message: String, hint: &str) -> Refusal {
    Refusal { code: "E_NOT_FOUND", message, hint: hint.to_owned() }
}

fn conflict(message: String, hint: &str) -> Refusal {
    Refusal { code: "E_CONFLICT", message, hint: hint.to_owned() }
}

fn invalid(message: String, hint: &str) -> Refusal {
    Refusal { code: "E_INVALID_ARG", message, hint: hint.to_owned() }
}

/// Longest delay of a newcomer, in ticks; the same limit as in the configuration.
pub const MAX_DELAY_TICKS: u32 = 100_000;

/// Refuses an amount below zero or above [`MAX_MONEY`].
fn check_amount(value: Micro) -> Result<(), Refusal> {
    if (Micro::ZERO..=MAX_MONEY).contains(&value) {
        return Ok(());
    }
    Err(invalid(format!("{value} meals is out of range."), "Give an amount from 0 to 1,000,000 meals."))
}

/// What an approval comes to if it exceeds the exit cap of the day in which it takes effect; else nothing. At midnight the exits
/// of the state are still yesterday's.
fn over_cap(cx: &TickContext<'_>, dry: bool) -> String {
    let employment = &cx.state.employment;
    let is_midnight = cx.state.tick.is_multiple_of(cx.rules.day_length());
    let used = if is_midnight { 0 } else { employment.exits_today };
    let approved = employment.queue.iter().filter(|entry| entry.approved).count() + usize::from(dry);
    let (total, cap) = (used as usize + approved, cx.state.live_settings.daily_exit_cap);
    if total <= cap as usize {
        return String::new();
    }
    format!(" That makes {} today and exceeds the cap of {cap}.", townlet_text::count(total as u64, "exit"))
}

/// An amount of money: `1 meal`, `0.4 meals`.
fn meals(value: Micro) -> String {
    format!("{value} {}", if value == Micro::ONE { "meal" } else { "meals" })
}

/// The slot of a resident.
fn present(cx: &TickContext<'_>, who: ResidentId) -> Result<AgentId, Refusal> {
    cx.state.agents.slot_of(who).ok_or_else(|| {
        not_found(
            format!("{} does not live here.", names::name(who)),
            "`relationship_summary` and the Agents screen list the residents.",
        )
    })
}

/// Checks a command and, unless `dry`, applies it. Returns one sentence about the effect.
///
/// # Errors
/// Why it is refused; then nothing has changed.
pub(crate) fn run(cx: &mut TickContext<'_>, command: &Command, dry: bool) -> Result<String, Refusal> {
    match command {
        Command::ExitRequest { who } | Command::ExitApprove { who } | Command::ExitDefer { who } => {
            exit(cx, command, *who, dry)
        }
        Command::Teleport { who, .. }
        | Command::SetNeed { who, .. }
        | Command::SetMoney { who, .. }
        | Command::Possess { who, .. }
        | Command::Release { who }
        | Command::Kill { who } => {
            let agent = present(cx, *who)?;
            resident(cx, command, agent, dry)
        }
        Command::SetRel { who, other, .. } | Command::ForceChat { who, other } => {
            social(cx, command, *who, *other, dry)
        }
        _ => town(cx, command, dry),
    }
}

fn exit(cx: &mut TickContext<'_>, command: &Command, who: ResidentId, dry: bool) -> Result<String, Refusal> {
    let agent = present(cx, who)?;
    let name = names::name(who);
    let queued = cx.state.employment.entry(agent).copied();
    match command {
        Command::ExitRequest { .. } => {
            if queued.is_some() {
                return Err(conflict(format!("{name} is in the exit queue already."), "Approve or defer the entry."));
            }
            if !dry {
                employment::enqueue(cx, agent, ExitReason::Requested);
            }
            Ok(format!("{name} joins the exit queue as number {}.", cx.state.employment.queue.len() + usize::from(dry)))
        }
        Command::ExitApprove { .. } => {
            let entry = queued.ok_or_else(|| absent_from_queue(&name))?;
            if entry.approved {
                return Err(conflict(
                    format!("the exit of {name} is approved already."),
                    "It takes effect on the next tick.",
                ));
            }
            if !dry {
                employment::approve(cx, agent);
            }
            Ok(format!("{name} leaves town on the next tick.{}", over_cap(cx, dry)))
        }
        _ => {
            let entry = queued.ok_or_else(|| absent_from_queue(&name))?;
            let absences = cx.state.agents.absent_shifts(agent);
            if !dry {
                employment::defer(cx, agent);
            }
            let noun = if absences == 1 { "absence is" } else { "absences are" };
            let approval = if entry.approved { "the approval is taken back, " } else { "" };
            Ok(format!("{name} stays; {approval}the entry is removed and {absences} {noun} forgiven."))
        }
    }
}

fn absent_from_queue(name: &str) -> Refusal {
    not_found(format!("{name} is not in the exit queue."), "`employment_exit review` lists the entries.")
}

fn resident(cx: &mut TickContext<'_>, command: &Command, agent: AgentId, dry: bool) -> Result<String, Refusal> {
    let name = names::name(cx.state.agents.resident[agent]);
    match *command {
        Command::Teleport { tile, .. } => {
            let (x, y) = cx.rules.plan.at(tile);
            if cx.rules.plan.walkable.get(tile) != Some(&true) {
                return Err(invalid(format!("[{x}, {y}] is not walkable."), "Give the name of a place or an object."));
            }
            if !dry {
                activity::release(cx, agent);
                cx.state.agents.ended[agent] = true;
                activity::place(cx, agent, tile);
            }
            Ok(format!("{name} is at [{x}, {y}]."))
        }
        Command::SetNeed { need, value, .. } => {
            let Some(row) = NEEDS.get(need as usize) else {
                return Err(not_found("there is no such need.".into(), "Give the name of a need."));
            };
            if !dry {
                cx.state.agents.needs[agent][need as usize] = value.unit();
                cx.state.agents.decide[agent] = true;
            }
            Ok(format!("{} of {name} is {}.", row.name, value.unit()))
        }
        Command::SetMoney { value, .. } => {
            check_amount(value)?;
            if !dry {
                let change = value - cx.state.agents.wallet[agent];
                economy::pay(cx, agent, change, Account::Operator);
            }
            Ok(format!("{name} has {} in the wallet.", meals(value)))
        }
        Command::Possess { option, .. } => {
            if let Some(why) = refusal(cx.rules, cx.state, agent, option) {
                let message = format!("{name} cannot {} now: {}.", option.name(), why.description());
                return Err(conflict(message, "`explain` lists the possible options."));
            }
            if !dry {
                cx.state.agents.possessed[agent] = true;
                activity::begin(cx, agent, option);
            }
            Ok(format!("{name} is driven by you: {}.", option.name()))
        }
        Command::Release { .. } => {
            if !cx.state.agents.possessed[agent] {
                return Err(conflict(format!("{name} is not possessed."), "There is nothing to release."));
            }
            if !dry {
                cx.state.agents.possessed[agent] = false;
                cx.state.agents.decide[agent] = true;
            }
            Ok(format!("{name} is driven by the policy again."))
        }
        _ => {
            if !dry {
                lifecycle::leave(cx, agent, ExitCause::Operator);
            }
            Ok(format!("{name} leaves town at once."))
        }
    }
}

fn town(cx: &mut TickContext<'_>, command: &Command, dry: bool) -> Result<String, Refusal> {
    match command {
        Command::Spawn => {
            if lifecycle::free_slot(cx.rules, cx.state).is_none() {
                let slots = lifecycle::slots(cx.rules);
                let message = format!("all {slots} slots are taken.");
                return Err(conflict(message, "Raise embedding_allocator.max_slots in the configuration."));
            }
            let name = names::name(ResidentId(cx.state.lifecycle.next_resident));
            if !dry {
                lifecycle::count_vacancies(cx);
                lifecycle::arrive(cx);
            }
            Ok(format!("{name} arrives."))
        }
        &Command::SetPrice { item, value } => {
            let Some((_, name)) = crate::affordances::ITEMS.get(item as usize) else {
                return Err(not_found("there is no such item.".into(), "Give the name of an item in the price list."));
            };
            check_amount(value)?;
            if !dry {
                cx.state.economy.list_prices[item as usize] = value;
                perturbations::update_prices(cx.state);
            }
            let spike = cx.state.perturbations.is_active(perturbations::PRICE_SPIKE);
            let spike = if spike { " once the price spike is over" } else { "" };
            Ok(format!("{name} costs {}{spike}.", meals(value)))
        }
        &Command::Mortality(on) => {
            if !dry {
                cx.state.live_settings.mortality = on;
            }
            Ok(format!("residents {} collapse from hunger.", if on { "can" } else { "cannot" }))
        }
        &Command::ExitCap(cap) => {
            if !dry {
                cx.state.live_settings.daily_exit_cap = cap;
            }
            // The limit for exits of all causes stays.
            let most = cx.rules.config.lifecycle.max_exits_per_day;
            let bound = if cap > most {
                format!(" `lifecycle.max_exits_per_day` still limits all exits to {most} a day.")
            } else {
                String::new()
            };
            Ok(format!("at most {} a day.{bound}", townlet_text::count(cap.into(), "employment exit")))
        }
        &Command::SpawnDelay(least, most) => {
            if least > most {
                return Err(invalid(format!("{least} is more than {most}."), "Give the minimum first."));
            }
            if most > MAX_DELAY_TICKS {
                return Err(invalid(format!("{most} ticks is too long."), "Give at most 100,000 ticks."));
            }
            if !dry {
                cx.state.live_settings.spawn_delay = (least, most);
            }
            Ok(format!("newcomers arrive {least} to {most} ticks after an exit."))
        }
        &Command::Perturb { kind, on } => perturbation::utility(cx, kind, on, dry),
        Command::Trigger { event, duration, magnitude } => perturbation::trigger(cx, event, *duration, *magnitude, dry),
        Command::Cancel { event } => perturbation::cancel(cx, event, dry),
        &Command::Perturbations(on) => Ok(perturbation::switch(cx, on, dry)),
        &Command::ArrangeMeet { who, other, place } => perturbation::meet(cx, [who, other], place, dry),
        &Command::QueueFairness(on) => {
            if !dry {
                cx.state.live_settings.queue_fairness = on;
                if !on {
                    for object in &mut cx.state.objects {
                        object.cooldowns.clear();
                    }
                }
            }
            Ok(format!(
                "queues are {}.",
                if on { "fair: cooldowns and age count" } else { "plain first come, first served" }
            ))
        }
        _ => unreachable!("commands on residents are handled above"),
    }
}

fn social(
    cx: &mut TickContext<'_>,
    command: &Command,
    who: ResidentId,
    other: ResidentId,
    dry: bool,
) -> Result<String, Refusal> {
    let (agent, partner) = (present(cx, who)?, present(cx, other)?);
    let (name, other) = (names::name(who), names::name(other));
    if !ties::enabled(cx.rules) {
        return Err(conflict("ties are off in this town.".into(), "features.stages.relationships is OFF."));
    }
    if agent == partner {
        return Err(invalid(format!("{name} has no tie to {name}."), "Name two residents."));
    }
    if let Command::SetRel { aspect, value, .. } = *command {
        let Some(what) = ASPECTS.get(aspect as usize) else {
            return Err(not_found("there is no such aspect of a tie.".into(), "trust, familiarity or rivalry."));
        };
        if !(-Micro::ONE..=Micro::ONE).contains(&value) {
            return Err(invalid(format!("{value} is out of range."), "Give a value from -1 to 1."));
        }
        if !dry {
            ties::set(cx, agent, partner, aspect, value);
        }
        return Ok(format!("{what} of {name} towards {other} is {value}."));
    }
    let good = ties::chat_succeeds(cx.state, agent, partner);
    if !dry {
        ties::chat(cx, agent, partner);
    }
    Ok(format!("{name} and {other} talk; it goes {}.", if good { "well" } else { "wrong" }))
}

//! What must be true of every state, and of what a tick does to options and rewards.

use townlet_town::perturbations::{BLACKOUT, OUTAGE, PRICE_SPIKE};
use townlet_town::state::Activity;
use townlet_town::state::CAPACITY;
use townlet_town::state::ExitCause;
use townlet_town::state::Item;
use townlet_town::{AgentId, Decider, EventKind, Micro, OptionKind, queues};

use crate::conservation::slot;
use crate::{Held, Moment, hold};

/// True after every order and every tick.
pub(crate) fn check(moment: &Moment<'_>) -> Held {
    if let Some(violation) = queues::violations(moment.rules, moment.after).into_iter().next() {
        return Err(format!("queues: {violation}"));
    }
    residents(moment)?;
    vacant(moment)?;
    exit_queue(moment)?;
    shocks(moment)
}

fn residents(moment: &Moment<'_>) -> Held {
    let (rules, agents) = (moment.rules, &moment.after.agents);
    hold!(agents.present.is_sorted_by(|a, b| a < b), "residents: slots out of order");
    for agent in agents.present.iter().copied() {
        let who = agents.resident[agent];
        let needs = agents.needs[agent];
        hold!(needs.iter().all(|level| (Micro::ZERO..=Micro::ONE).contains(level)), "needs: {who:?} has {needs:?}");
        hold!(agents.wallet[agent] >= Micro::ZERO, "money: {who:?} has {}", agents.wallet[agent]);
        let tile = agents.tile[agent];
        hold!(rules.plan.walkable.get(tile) == Some(&true), "residents: {who:?} stands in a wall");
        let clip = rules.config.rewards.clip.clip_per_episode;
        let sum = agents.episode_return[agent];
        // Who is beyond a clip that was lowered meanwhile goes no further.
        let had = slot(moment.before, who).map_or(Micro::ZERO, |agent| moment.before.agents.episode_return[agent]);
        let (least, most) = ((-clip).min(had), clip.max(had));
        hold!((least..=most).contains(&sum), "rewards: {who:?} has {sum} in an episode");
        let theirs = agents.activity[agent].target().is_none_or(|(object, _)| {
            let place = rules.plan.objects[object].place;
            place == agents.home[agent] || !rules.homes.contains(&place)
        });
        hold!(theirs, "objects: {who:?} is at a thing in somebody else's home");
        ties(moment, agent)?;
    }
    Ok(())
}

fn ties(moment: &Moment<'_>, agent: AgentId) -> Held {
    let agents = &moment.after.agents;
    let (who, ties) = (agents.resident[agent], &agents.ties[agent]);
    let most = CAPACITY.min(moment.rules.config.conflict.rivalry.max_edges as usize);
    let count = if townlet_town::ties::enabled(moment.rules) { most } else { 0 };
    hold!(ties.iter().count() <= count, "ties: {who:?} has {} of {count}", ties.iter().count());
    for tie in ties.iter() {
        let all = [tie.trust, tie.familiarity, tie.rivalry];
        hold!(all.iter().all(|it| (-Micro::ONE..=Micro::ONE).contains(it)), "ties: {who:?} has {tie:?}");
        hold!(tie.other != agent && agents.is_present(tie.other), "ties: {who:?} has {tie:?} to nobody");
        hold!(ties.iter().filter(|it| it.other == tie.other).count() == 1, "ties: {who:?} has {tie:?} twice");
    }
    Ok(())
}

/// Nothing is left of those who have gone.
fn vacant(moment: &Moment<'_>) -> Held {
    let agents = &moment.after.agents;
    for agent in (0..agents.tile.len() as u16).map(AgentId).filter(|agent| !agents.is_present(*agent)) {
        let empty = agents.wallet[agent] == Micro::ZERO
            && agents.activity[agent] == Activity::Idle
            && agents.ties[agent].iter().count() == 0
            && agents.job[agent].is_none()
            && agents.episode_return[agent] == Micro::ZERO;
        hold!(empty, "residents: {agent:?} is empty and holds something");
    }
    Ok(())
}

/// Everybody in the exit queue lives there and is there once; nobody has jumped it.
fn exit_queue(moment: &Moment<'_>) -> Held {
    let (before, after) = (&moment.before.employment.queue, &moment.after.employment.queue);
    let present = |agent: AgentId| moment.after.agents.is_present(agent);
    for entry in after {
        let once = after.iter().filter(|other| other.agent == entry.agent).count() == 1;
        hold!(present(entry.agent) && once, "exit queue: {entry:?} is absent or there twice");
        hold!(entry.enqueued <= moment.after.tick, "exit queue: {entry:?} is of the future");
    }
    let same =
        |agent: AgentId, enqueued: u64| after.iter().any(|entry| entry.agent == agent && entry.enqueued == enqueued);
    let kept = before.iter().filter(|entry| same(entry.agent, entry.enqueued)).map(|entry| entry.agent);
    let order = after.iter().map(|entry| entry.agent).take(kept.clone().count());
    hold!(kept.eq(order), "exit queue: somebody jumped it: {before:?}, then {after:?}");
    hold!(moment.after.employment.due.is_empty(), "exit queue: somebody is due and not in it");
    Ok(())
}

/// Utilities and prices are what the shocks under way make of them.
fn shocks(moment: &Moment<'_>) -> Held {
    let (economy, active) = (&moment.after.economy, &moment.after.perturbations.active);
    let cut = |kind: u8| active.iter().any(|it| it.kind == kind);
    hold!(economy.power != cut(BLACKOUT), "shocks: power is {}", economy.power);
    hold!(economy.water != cut(OUTAGE), "shocks: water is {}", economy.water);
    for (item, list) in economy.list_prices.into_iter().enumerate() {
        let about = |items: u8| items & 1 << item != 0;
        let spikes = active.iter().filter(|it| it.kind == PRICE_SPIKE && about(it.items));
        let most = townlet_town::economy::MAX_MONEY;
        let price = spikes.fold(list, |price, spike| price.times(spike.magnitude).min(most));
        hold!(economy.prices[item] == price, "shocks: {} is asked where {price} is due", economy.prices[item]);
    }
    Ok(())
}

/// What somebody chose is what they do, unless the mask forbids it, an event calls them elsewhere, or they have gone.
pub(crate) fn options(
    moment: &Moment<'_>,
    deciders: &[Decider],
    decided: impl Iterator<Item = (AgentId, OptionKind)>,
) -> Held {
    let Moment { before, after, events, .. } = moment;
    let mut chosen: Vec<(AgentId, OptionKind)> = Vec::new();
    for ((agent, choice), decider) in decided.zip(deciders) {
        hold!(agent == decider.agent, "mask: {agent:?} decided for {:?}", decider.agent);
        chosen.push((agent, if decider.mask.allows(choice) { choice } else { OptionKind::Wait }));
    }
    hold!(chosen.len() == deciders.len(), "mask: not everybody who was asked decided");
    for agent in before.agents.present.iter().copied() {
        let who = before.agents.resident[agent];
        if slot(after, who).is_none() {
            continue;
        }
        let called = |kind: EventKind| match kind {
            EventKind::ShiftTaken { who: taker, .. } => taker == who,
            EventKind::MeetingArranged { who: one, other, .. } => one == who || other == who,
            _ => false,
        };
        let choice = chosen.iter().find(|(decider, _)| *decider == agent).map(|(_, choice)| *choice);
        let expected = choice.unwrap_or(before.agents.option[agent]);
        let does = after.agents.option[agent];
        let elsewhere = events.iter().any(|event| called(event.kind));
        hold!(does == expected || elsewhere, "mask: {who:?} does {} and chose {}", does.name(), expected.name());
    }
    Ok(())
}

/// A tick's rewards: items add up, nobody got more than the clip, ends cost what they should.
pub(crate) fn rewards(moment: &Moment<'_>) -> Held {
    let Moment { rules, before, after, events } = moment;
    let (config, rewards) = (&rules.config.rewards, &after.rewards);
    let items: Micro = rewards.items.iter().copied().sum();
    hold!(items == rewards.total, "rewards: {items} in items, {} in all", rewards.total);
    hold!(rewards.clip_events >= before.rewards.clip_events, "rewards: clips were forgotten");
    let clip = config.clip.clip_per_tick;
    let mut given = Micro::ZERO;
    for agent in after.agents.present.iter().copied() {
        let who = after.agents.resident[agent];
        let had = slot(before, who).map_or(Micro::ZERO, |agent| before.agents.episode_return[agent]);
        let reward = after.agents.episode_return[agent] - had;
        given += reward;
        hold!((-clip..=clip).contains(&reward), "rewards: {who:?} got {reward} in a tick");
        let window = config.clip.no_positive_within_death_ticks;
        let dying = after.live_settings.mortality
            && after.agents.collapse_ticks[agent] + window > rules.config.lifecycle.collapse_ticks;
        hold!(window == 0 || !dying || reward <= Micro::ZERO, "rewards: {who:?} got {reward} while collapsing");
        hold!(after.agents.social[agent] == Micro::ZERO, "rewards: {who:?} was not given what company is worth");
    }
    let penalty = |kind: EventKind| match kind {
        EventKind::ResidentLeft { cause: ExitCause::Collapse | ExitCause::Neglect, .. } => config.faint_penalty,
        EventKind::ResidentLeft { cause: ExitCause::Eviction, .. } => config.eviction_penalty,
        _ => Micro::ZERO,
    };
    let ends: Micro = events.iter().map(|event| penalty(event.kind)).sum();
    hold!(rewards.items[Item::Terminal as usize] == ends, "rewards: ends cost {ends} and were not given so");
    hold!(given + ends == rewards.total, "rewards: {given} and {ends} were given, {} is said", rewards.total);
    Ok(())
}

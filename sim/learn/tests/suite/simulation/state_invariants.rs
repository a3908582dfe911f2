//! Invariants of every state, and of a tick's options and rewards.

use townlet_town::perturbations::{BLACKOUT, OUTAGE, PRICE_SPIKE};
use townlet_town::state::Activity;
use townlet_town::state::CAPACITY;
use townlet_town::state::ExitCause;
use townlet_town::state::Item;
use townlet_town::{AgentId, Decider, EventKind, Micro, OptionKind, queues};

use super::conservation::slot;
use super::{CheckResult, Transition, ensure};

/// Valid after every command and every tick.
pub(crate) fn check(transition: &Transition<'_>) -> CheckResult {
    if let Some(violation) = queues::violations(transition.rules, transition.after).into_iter().next() {
        return Err(format!("queues: {violation}"));
    }
    residents(transition)?;
    vacant(transition)?;
    exit_queue(transition)?;
    perturbations(transition)
}

fn residents(transition: &Transition<'_>) -> CheckResult {
    let (rules, agents) = (transition.rules, &transition.after.agents);
    ensure!(agents.present.is_sorted_by(|a, b| a < b), "residents: slots out of order");
    for agent in agents.present.iter().copied() {
        let who = agents.resident[agent];
        let needs = agents.needs[agent];
        ensure!(needs.iter().all(|level| (Micro::ZERO..=Micro::ONE).contains(level)), "needs: {who:?} has {needs:?}");
        ensure!(agents.wallet[agent] >= Micro::ZERO, "money: {who:?} has {}", agents.wallet[agent]);
        let tile = agents.tile[agent];
        ensure!(rules.plan.walkable.get(tile) == Some(&true), "residents: {who:?} stands in a wall");
        let clip = rules.config.rewards.clip.clip_per_episode;
        let sum = agents.episode_return[agent];
        // A sum beyond a clip that was lowered at run time may not grow further.
        let had =
            slot(transition.before, who).map_or(Micro::ZERO, |agent| transition.before.agents.episode_return[agent]);
        let (least, most) = ((-clip).min(had), clip.max(had));
        ensure!((least..=most).contains(&sum), "rewards: {who:?} has {sum} in an episode");
        let theirs = agents.activity[agent].target().is_none_or(|(object, _)| {
            let place = rules.plan.objects[object].place;
            place == agents.home[agent] || !rules.homes.contains(&place)
        });
        ensure!(theirs, "objects: {who:?} uses an object in another home");
        ties(transition, agent)?;
    }
    Ok(())
}

fn ties(transition: &Transition<'_>, agent: AgentId) -> CheckResult {
    let agents = &transition.after.agents;
    let (who, ties) = (agents.resident[agent], &agents.ties[agent]);
    let most = CAPACITY.min(transition.rules.config.conflict.rivalry.max_edges as usize);
    let count = if townlet_town::ties::enabled(transition.rules) { most } else { 0 };
    ensure!(ties.iter().count() <= count, "ties: {who:?} has {} of {count}", ties.iter().count());
    for tie in ties.iter() {
        let all = [tie.trust, tie.familiarity, tie.rivalry];
        ensure!(all.iter().all(|it| (-Micro::ONE..=Micro::ONE).contains(it)), "ties: {who:?} has {tie:?}");
        ensure!(tie.other != agent && agents.is_present(tie.other), "ties: {who:?} has {tie:?} with nobody");
        ensure!(ties.iter().filter(|it| it.other == tie.other).count() == 1, "ties: {who:?} has {tie:?} twice");
    }
    Ok(())
}

/// Empty slots are reset.
fn vacant(transition: &Transition<'_>) -> CheckResult {
    let agents = &transition.after.agents;
    for agent in (0..agents.tile.len() as u16).map(AgentId).filter(|agent| !agents.is_present(*agent)) {
        let empty = agents.wallet[agent] == Micro::ZERO
            && agents.activity[agent] == Activity::Idle
            && agents.ties[agent].iter().count() == 0
            && agents.job[agent].is_none()
            && agents.episode_return[agent] == Micro::ZERO;
        ensure!(empty, "residents: {agent:?} is empty and holds something");
    }
    Ok(())
}

/// Every entry of the exit queue is present and unique, and the order is kept.
fn exit_queue(transition: &Transition<'_>) -> CheckResult {
    let (before, after) = (&transition.before.employment.queue, &transition.after.employment.queue);
    let present = |agent: AgentId| transition.after.agents.is_present(agent);
    for entry in after {
        let once = after.iter().filter(|other| other.agent == entry.agent).count() == 1;
        ensure!(present(entry.agent) && once, "exit queue: {entry:?} is absent or there twice");
        ensure!(entry.enqueued <= transition.after.tick, "exit queue: {entry:?} is in the future");
    }
    let same =
        |agent: AgentId, enqueued: u64| after.iter().any(|entry| entry.agent == agent && entry.enqueued == enqueued);
    let kept = before.iter().filter(|entry| same(entry.agent, entry.enqueued)).map(|entry| entry.agent);
    let order = after.iter().map(|entry| entry.agent).take(kept.clone().count());
    ensure!(kept.eq(order), "exit queue: the order changed: {before:?}, then {after:?}");
    ensure!(transition.after.employment.due.is_empty(), "exit queue: a due resident is not in it");
    Ok(())
}

/// Utilities and prices match the active perturbations.
fn perturbations(transition: &Transition<'_>) -> CheckResult {
    let (economy, active) = (&transition.after.economy, &transition.after.perturbations.active);
    let cut = |kind: u8| active.iter().any(|it| it.kind == kind);
    ensure!(economy.power != cut(BLACKOUT), "perturbations: power is {}", economy.power);
    ensure!(economy.water != cut(OUTAGE), "perturbations: water is {}", economy.water);
    for (item, list) in economy.list_prices.into_iter().enumerate() {
        let about = |items: u8| items & 1 << item != 0;
        let spikes = active.iter().filter(|it| it.kind == PRICE_SPIKE && about(it.items));
        let most = townlet_town::economy::MAX_MONEY;
        let price = spikes.fold(list, |price, spike| price.times(spike.magnitude).min(most));
        ensure!(economy.prices[item] == price, "perturbations: price {} instead of {price}", economy.prices[item]);
    }
    Ok(())
}

/// A resident does the chosen option, unless it was masked, a meeting took precedence, or they left.
pub(crate) fn options(
    transition: &Transition<'_>,
    deciders: &[Decider],
    decided: impl Iterator<Item = (AgentId, OptionKind)>,
) -> CheckResult {
    let Transition { before, after, events, .. } = transition;
    let mut chosen: Vec<(AgentId, OptionKind)> = Vec::new();
    for ((agent, choice), decider) in decided.zip(deciders) {
        ensure!(agent == decider.agent, "mask: {agent:?} decided for {:?}", decider.agent);
        chosen.push((agent, if decider.mask.allows(choice) { choice } else { OptionKind::Wait }));
    }
    ensure!(chosen.len() == deciders.len(), "mask: decisions are missing");
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
        ensure!(does == expected || elsewhere, "mask: {who:?} does {} and chose {}", does.name(), expected.name());
    }
    Ok(())
}

/// A tick's rewards: items add up, the clip holds, and terminal penalties are right.
pub(crate) fn rewards(transition: &Transition<'_>) -> CheckResult {
    let Transition { rules, before, after, events } = transition;
    let (config, rewards) = (&rules.config.rewards, &after.rewards);
    let items: Micro = rewards.items.iter().copied().sum();
    ensure!(items == rewards.total, "rewards: {items} in items, {} in all", rewards.total);
    ensure!(rewards.clip_events >= before.rewards.clip_events, "rewards: clips were forgotten");
    let clip = config.clip.clip_per_tick;
    let mut given = Micro::ZERO;
    for agent in after.agents.present.iter().copied() {
        let who = after.agents.resident[agent];
        let had = slot(before, who).map_or(Micro::ZERO, |agent| before.agents.episode_return[agent]);
        let reward = after.agents.episode_return[agent] - had;
        given += reward;
        ensure!((-clip..=clip).contains(&reward), "rewards: {who:?} got {reward} in a tick");
        let window = config.clip.no_positive_within_death_ticks;
        let dying = after.live_settings.mortality
            && after.agents.collapse_ticks[agent] + window > rules.config.lifecycle.collapse_ticks;
        ensure!(window == 0 || !dying || reward <= Micro::ZERO, "rewards: {who:?} got {reward} while collapsing");
        ensure!(after.agents.social[agent] == Micro::ZERO, "rewards: the social reward of {who:?} was not paid");
    }
    let penalty = |kind: EventKind| match kind {
        EventKind::ResidentLeft { cause: ExitCause::Collapse | ExitCause::Neglect, .. } => config.faint_penalty,
        EventKind::ResidentLeft { cause: ExitCause::Eviction, .. } => config.eviction_penalty,
        _ => Micro::ZERO,
    };
    let ends: Micro = events.iter().map(|event| penalty(event.kind)).sum();
    ensure!(rewards.items[Item::Terminal as usize] == ends, "rewards: terminal penalties should be {ends}");
    ensure!(given + ends == rewards.total, "rewards: {given} and {ends} were given, the total is {}", rewards.total);
    Ok(())
}

//! Exit limits (caps, gaps, outage grace) and slot reuse, tracked from events alone.

use std::collections::BTreeMap;

use townlet_town::employment::review_ends_at;
use townlet_town::state::ExitCause;
use townlet_town::state::State;
use townlet_town::{AgentId, EventKind, ResidentId};

use super::conservation::slot;
use super::{CheckResult, Transition, ensure};

/// Exits seen so far.
pub(crate) struct ExitLimits {
    today: u32,
    employment_today: u32,
    last: Option<u64>,
    /// Last tick without power or water.
    cut: Option<u64>,
    freed: BTreeMap<AgentId, u64>,
    next: u32,
}

impl ExitLimits {
    pub(crate) fn new(state: &State) -> Self {
        let next = state.lifecycle.next_resident;
        Self { today: 0, employment_today: 0, last: None, cut: None, freed: BTreeMap::new(), next }
    }

    /// After a command: exits were caused by it.
    pub(crate) fn command(&mut self, transition: &Transition<'_>) -> CheckResult {
        for (who, cause) in left(transition) {
            ensure!(cause == ExitCause::Operator, "exits: {who:?} left by {cause:?} on a command");
            self.note(transition, who, cause)?;
        }
        self.identities(transition)?;
        self.counts(transition)
    }

    /// After a tick.
    pub(crate) fn tick(&mut self, transition: &Transition<'_>) -> CheckResult {
        let Transition { rules, before, after, .. } = transition;
        let tick = before.tick;
        if tick > 0 && rules.tick_of_day(tick) == 0 {
            (self.today, self.employment_today) = (0, 0);
        }
        if !after.economy.power || !after.economy.water {
            self.cut = Some(tick);
        }
        for (who, cause) in left(transition) {
            match cause {
                ExitCause::Operator => return Err(format!("exits: {who:?} left by an operator within a tick")),
                ExitCause::Employment { manual: true, .. } => {}
                cause => self.may_leave(transition, who, cause)?,
            }
            self.note(transition, who, cause)?;
        }
        let stays = |agent: AgentId| slot(after, before.agents.resident[agent]).is_some();
        let approved = before.employment.queue.iter().find(|entry| entry.approved && stays(entry.agent));
        ensure!(approved.is_none(), "exits: {approved:?} is approved and stayed");
        self.identities(transition)?;
        self.counts(transition)
    }

    fn may_leave(&self, transition: &Transition<'_>, who: ResidentId, cause: ExitCause) -> CheckResult {
        let (config, tick) = (&transition.rules.config, transition.before.tick);
        let life = &config.lifecycle;
        ensure!(config.features.systems.lifecycle, "exits: {who:?} left by {cause:?} without a lifecycle");
        let most = life.max_exits_per_day;
        ensure!(self.today < most, "exits: {who:?} is number {} of {most} today", self.today + 1);
        let gap = u64::from(life.exit_cooldown_ticks);
        ensure!(
            self.last.is_none_or(|last| tick >= last + gap),
            "exits: {who:?} leaves too soon after {:?}",
            self.last
        );
        let grace = u64::from(life.outage_grace_ticks).max(1);
        ensure!(
            self.cut.is_none_or(|cut| tick >= cut + grace),
            "exits: {who:?} leaves during the outage grace of {:?}",
            self.cut
        );
        let agent = slot(transition.before, who).unwrap_or_default();
        match cause {
            ExitCause::Employment { .. } => {
                let cap = transition.after.live_settings.daily_exit_cap;
                ensure!(self.employment_today < cap, "exits: {who:?} is over the employment cap of {cap}");
                let entry = transition.before.employment.entry(agent);
                let over = entry.is_none_or(|entry| tick > review_ends_at(transition.rules, entry));
                ensure!(over, "exits: {who:?} leaves in the review window, {entry:?}");
            }
            cause => {
                let mortal = transition.after.live_settings.mortality;
                ensure!(cause != ExitCause::Collapse || mortal, "exits: {who:?} collapsed and is immortal");
            }
        }
        Ok(())
    }

    fn note(&mut self, transition: &Transition<'_>, who: ResidentId, cause: ExitCause) -> CheckResult {
        let Some(agent) = slot(transition.before, who) else {
            return Err(format!("exits: {who:?} left without having arrived"));
        };
        self.today += 1;
        self.employment_today += u32::from(matches!(cause, ExitCause::Employment { .. }));
        self.last = Some(transition.before.tick);
        self.freed.insert(agent, transition.before.tick);
        Ok(())
    }

    /// Residents are numbered without gaps; a freed slot cools down unless no other is free.
    fn identities(&mut self, transition: &Transition<'_>) -> CheckResult {
        let Transition { rules, before, after, .. } = transition;
        let rest = u64::from(rules.config.embedding_allocator.cooldown_ticks);
        let tired = |agent: AgentId| self.freed.get(&agent).is_some_and(|freed| before.tick < freed + rest);
        let mut early = 0;
        let agents = &after.agents;
        let (mut seen, mut first) = (0, self.next);
        for agent in agents.present.iter().copied().filter(|agent| agents.resident[*agent].0 >= self.next) {
            early += u32::from(tired(agent));
            first = first.min(agents.resident[agent].0);
            seen += 1;
        }
        let born = after.lifecycle.next_resident - self.next;
        ensure!(seen == born && first == self.next, "identities: {seen} new residents, {born} numbers");
        let counted = after.lifecycle.early_reuses - before.lifecycle.early_reuses;
        ensure!(early == counted, "identities: {early} slots reused early, {counted} counted");
        let rested =
            (0..agents.tile.len() as u16).map(AgentId).find(|agent| !agents.is_present(*agent) && !tired(*agent));
        ensure!(early == 0 || rested.is_none(), "identities: a slot was reused early while {rested:?} is free");
        self.next = after.lifecycle.next_resident;
        Ok(())
    }

    fn counts(&self, transition: &Transition<'_>) -> CheckResult {
        let (life, work) = (&transition.after.lifecycle, &transition.after.employment);
        ensure!(life.exits_today == self.today, "exits: {} counted, {} seen today", life.exits_today, self.today);
        let (theirs, ours) = (work.exits_today, self.employment_today);
        ensure!(theirs == ours, "exits: {theirs} for employment counted, {ours} seen today");
        let lives_or_comes = transition.after.agents.present.len() + life.arrivals.len();
        let population = transition.rules.config.world.population as usize;
        ensure!(lives_or_comes >= population, "exits: {lives_or_comes} of {population} are present or arriving");
        Ok(())
    }
}

/// Residents who left, with the cause.
fn left<'a>(transition: &'a Transition<'_>) -> impl Iterator<Item = (ResidentId, ExitCause)> + 'a {
    transition.events.iter().filter_map(|event| match event.kind {
        EventKind::ResidentLeft { who, cause } => Some((who, cause)),
        _ => None,
    })
}

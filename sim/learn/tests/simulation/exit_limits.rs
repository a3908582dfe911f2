//! Who may leave when: caps, gaps, cuts and their grace, kept in a list of its own; and who gets which identity.
//!
//! Told by events alone, so that a counter the town forgets is missed here.

use std::collections::BTreeMap;

use townlet_town::employment::review_ends_at;
use townlet_town::state::ExitCause;
use townlet_town::state::State;
use townlet_town::{AgentId, EventKind, ResidentId};

use crate::conservation::slot;
use crate::{Held, Moment, hold};

/// What is remembered of those who left.
pub(crate) struct Gate {
    today: u32,
    employment_today: u32,
    last: Option<u64>,
    /// Last tick lived through without power or without water.
    cut: Option<u64>,
    freed: BTreeMap<AgentId, u64>,
    next: u32,
}

impl Gate {
    pub(crate) fn new(state: &State) -> Self {
        let next = state.lifecycle.next_resident;
        Self { today: 0, employment_today: 0, last: None, cut: None, freed: BTreeMap::new(), next }
    }

    /// After an order: whoever left did so by it.
    pub(crate) fn order(&mut self, moment: &Moment<'_>) -> Held {
        for (who, cause) in left(moment) {
            hold!(cause == ExitCause::Operator, "exits: {who:?} left by {cause:?} on an order");
            self.note(moment, who, cause)?;
        }
        self.identities(moment)?;
        self.counts(moment)
    }

    /// After a tick.
    pub(crate) fn tick(&mut self, moment: &Moment<'_>) -> Held {
        let Moment { rules, before, after, .. } = moment;
        let tick = before.tick;
        if tick > 0 && rules.tick_of_day(tick) == 0 {
            (self.today, self.employment_today) = (0, 0);
        }
        if !after.economy.power || !after.economy.water {
            self.cut = Some(tick);
        }
        for (who, cause) in left(moment) {
            match cause {
                ExitCause::Operator => return Err(format!("exits: {who:?} left by an operator within a tick")),
                ExitCause::Employment { manual: true, .. } => {}
                cause => self.may_leave(moment, who, cause)?,
            }
            self.note(moment, who, cause)?;
        }
        let stays = |agent: AgentId| slot(after, before.agents.resident[agent]).is_some();
        let approved = before.employment.queue.iter().find(|entry| entry.approved && stays(entry.agent));
        hold!(approved.is_none(), "exits: {approved:?} is approved and stays");
        self.identities(moment)?;
        self.counts(moment)
    }

    fn may_leave(&self, moment: &Moment<'_>, who: ResidentId, cause: ExitCause) -> Held {
        let (config, tick) = (&moment.rules.config, moment.before.tick);
        let life = &config.lifecycle;
        hold!(config.features.systems.lifecycle, "exits: {who:?} left by {cause:?} without a lifecycle");
        let most = life.max_exits_per_day;
        hold!(self.today < most, "exits: {who:?} is number {} of {most} today", self.today + 1);
        let gap = u64::from(life.exit_cooldown_ticks);
        hold!(self.last.is_none_or(|last| tick >= last + gap), "exits: {who:?} leaves too soon after {:?}", self.last);
        let grace = u64::from(life.outage_grace_ticks).max(1);
        hold!(self.cut.is_none_or(|cut| tick >= cut + grace), "exits: {who:?} leaves though cut off at {:?}", self.cut);
        let agent = slot(moment.before, who).unwrap_or_default();
        match cause {
            ExitCause::Employment { .. } => {
                let cap = moment.after.live_settings.daily_exit_cap;
                hold!(self.employment_today < cap, "exits: {who:?} is over the employment cap of {cap}");
                let entry = moment.before.employment.entry(agent);
                let over = entry.is_none_or(|entry| tick > review_ends_at(moment.rules, entry));
                hold!(over, "exits: {who:?} leaves in the review window, {entry:?}");
            }
            cause => {
                let mortal = moment.after.live_settings.mortality;
                hold!(cause != ExitCause::Collapse || mortal, "exits: {who:?} collapsed and is immortal");
            }
        }
        Ok(())
    }

    fn note(&mut self, moment: &Moment<'_>, who: ResidentId, cause: ExitCause) -> Held {
        let Some(agent) = slot(moment.before, who) else {
            return Err(format!("exits: {who:?} left and never lived here"));
        };
        self.today += 1;
        self.employment_today += u32::from(matches!(cause, ExitCause::Employment { .. }));
        self.last = Some(moment.before.tick);
        self.freed.insert(agent, moment.before.tick);
        Ok(())
    }

    /// Residents are numbered without a gap; a slot rests unless all others do.
    fn identities(&mut self, moment: &Moment<'_>) -> Held {
        let Moment { rules, before, after, .. } = moment;
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
        hold!(seen == born && first == self.next, "identities: {seen} new residents, {born} numbers");
        let counted = after.lifecycle.early_reuses - before.lifecycle.early_reuses;
        hold!(early == counted, "identities: {early} slots were tired, {counted} counted");
        let rested =
            (0..agents.tile.len() as u16).map(AgentId).find(|agent| !agents.is_present(*agent) && !tired(*agent));
        hold!(early == 0 || rested.is_none(), "identities: a tired slot was taken and {rested:?} is rested");
        self.next = after.lifecycle.next_resident;
        Ok(())
    }

    fn counts(&self, moment: &Moment<'_>) -> Held {
        let (life, work) = (&moment.after.lifecycle, &moment.after.employment);
        hold!(life.exits_today == self.today, "exits: {} counted, {} seen today", life.exits_today, self.today);
        let (theirs, ours) = (work.exits_today, self.employment_today);
        hold!(theirs == ours, "exits: {theirs} over work counted, {ours} seen today");
        let lives_or_comes = moment.after.agents.present.len() + life.arrivals.len();
        let population = moment.rules.config.world.population as usize;
        hold!(lives_or_comes >= population, "exits: {lives_or_comes} of {population} live here or are on their way");
        Ok(())
    }
}

/// Who left, and why.
fn left<'a>(moment: &'a Moment<'_>) -> impl Iterator<Item = (ResidentId, ExitCause)> + 'a {
    moment.events.iter().filter_map(|event| match event.kind {
        EventKind::ResidentLeft { who, cause } => Some((who, cause)),
        _ => None,
    })
}

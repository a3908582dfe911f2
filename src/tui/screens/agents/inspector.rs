//! Details of one resident: activity, needs, work, money, ties, policy output, action mask and events, as blocks of lines.

use ratatui::text::{Line, Span};

use super::shift_bar;
use crate::format::{
    bar, capital, clip, count, days, duration, fact, natural_order, pad, pad_left, percent, plain, resident, scale_of,
    spark_on, styled_lines, thousands, time_of,
};
use crate::indexed_snapshot::IndexedSnapshot;
use crate::metric_history::MetricHistory;
use crate::screens::operations::exit_details;
use crate::theme::Theme;
use townlet_wire::telemetry::{Agent, Event, Job, MaskBit, Need, Tie};

/// The resident and the data around them.
#[derive(Clone, Copy)]
pub(super) struct ResidentDetail<'a> {
    pub(super) view: &'a IndexedSnapshot,
    pub(super) history: &'a MetricHistory,
    pub(super) theme: &'a Theme,
    pub(super) agent: &'a Agent,
    pub(super) job: Option<&'a Job>,
}

pub(super) type Block<'a> = Vec<Line<'a>>;

pub(super) fn option_reason(agent: &Agent) -> String {
    if agent.possessed {
        return "Controlled by an operator; the policy is not used.".into();
    }
    if agent.option != "wait" {
        let chance = agent.top_options.iter().find(|top| top.option == agent.option);
        return match chance {
            Some(top) => format!("The policy chose {} (probability {}).", agent.option, percent(top.probability)),
            None => format!("Committed to {}.", agent.option),
        };
    }
    let others = || agent.mask.iter().filter(|bit| bit.option != "wait");
    let free: Vec<&str> = others().filter(|bit| bit.allowed).map(|bit| bit.option.as_str()).collect();
    if others().next().is_none() {
        "Idle; the action mask was not received.".into()
    } else if free.is_empty() {
        let reasons: Vec<String> = others().map(|bit| format!("{} ({})", bit.option, bit.reason)).collect();
        format!("Idle, because nothing else is possible: {}.", reasons.join(", "))
    } else {
        format!("Idle by choice; available: {}.", free.join(", "))
    }
}

impl<'a> ResidentDetail<'a> {
    fn heading(&self, text: &str, width: usize) -> Line<'a> {
        Line::styled(pad(text, width), self.theme.head)
    }

    /// A heading with lines below it, or with a note when there are none.
    fn section(&self, title: &str, lines: Vec<Line<'a>>, none: &str, width: usize) -> Block<'a> {
        let note = lines.is_empty().then(|| self.dim(none, width));
        std::iter::once(self.heading(title, width)).chain(lines).chain(note).collect()
    }

    fn dim(&self, text: &str, width: usize) -> Line<'a> {
        Line::styled(clip(text, width), self.theme.dim)
    }

    /// A label and its wrapped value.
    fn fact(&self, name: &str, value: &str, width: usize) -> Vec<Line<'a>> {
        fact((name, self.theme.dim), (value, self.theme.text), 9, width)
    }

    fn ago(&self, tick: u64) -> String {
        duration(self.view.tick.saturating_sub(tick), self.view.clock.ticks_per_day)
    }

    /// Option, activity and reason.
    pub(super) fn current_activity(&self, width: usize) -> Block<'a> {
        let agent = self.agent;
        let name = clip(&agent.name, width.saturating_sub(2) / 2);
        let rest = width.saturating_sub(crate::format::width(&name) + 2);
        let place = if agent.place.is_empty() { "outdoors" } else { &agent.place };
        let at = clip(&format!("{} · {place} {},{}", agent.id, agent.x, agent.y), rest);
        let mut lines = vec![Line::from(vec![
            Span::styled(name, self.theme.strong),
            Span::raw("  "),
            Span::styled(at, self.theme.dim),
        ])];
        lines.extend(self.fact("option", &format!("{} for {}", agent.option, self.ago(agent.option_since)), width));
        lines.extend(self.fact("activity", &agent.activity, width));
        let style = if agent.option == "wait" || agent.possessed { self.theme.warn } else { self.theme.dim };
        lines.extend(styled_lines(&option_reason(agent), width, style));
        lines
    }

    /// Levels of the needs with sparklines and critical levels.
    pub(super) fn needs(&self, width: usize) -> Block<'a> {
        // A narrow column has no space for the critical level.
        let limits = width >= 50;
        let room = width.saturating_sub(if limits { 28 } else { 18 });
        let (bars, past) = if room >= 10 { (room / 2, room - room / 2) } else { (room.max(4), 0) };
        let line = |need: &Need| {
            let critical = need.value < need.critical;
            let style = if critical { self.theme.bad } else { self.theme.chart };
            let series = self.history.need(self.agent, &need.name, past);
            let sign = if critical { "!" } else { " " };
            let limit = if limits { format!("min {:>2.0} % ", need.critical * 100.0) } else { String::new() };
            Line::from(vec![
                Span::styled(format!("{} ", pad(&need.name, 8)), self.theme.text),
                Span::styled(bar(need.value, 1.0, bars), style),
                Span::styled(format!(" {}{sign} ", pad_left(&percent(need.value), 5)), style),
                Span::styled(limit, self.theme.dim),
                Span::styled(pad_left(&spark_on(&series, past, scale_of("ratio")), past), self.theme.chart),
            ])
        };
        self.section("needs", self.agent.needs.iter().map(line).collect(), "not sent by this shard", width)
    }

    /// Job, today's shift and past shifts.
    pub(super) fn work(&self, width: usize) -> Block<'a> {
        let mut lines = vec![self.heading("work", width)];
        let Some(job) = self.job.filter(|job| !job.job_id.is_empty()) else {
            lines.push(self.dim("no job", width));
            return lines;
        };
        let tenure = format!("{} · {} · {}", job.job_id, shift_bar::state(&job.shift_state), days(job.tenure_days));
        lines.extend(self.fact("job", &tenure, width));
        if let Some(shift) = &self.agent.shift {
            lines.extend(shift_bar::bar(shift, &self.view.clock, self.theme, width));
            lines.extend(self.fact("shifts", &shift_bar::letters(&shift.history, width.saturating_sub(10)), width));
        }
        let late = duration(job.late_ticks_today, self.view.clock.ticks_per_day);
        let attended = job.attendance(Some(self.agent)).map_or_else(|| "–".to_owned(), percent);
        let attendance = format!("{attended} · late today {late}");
        lines.extend(self.fact("attended", &attendance, width));
        let most = self.view.employment.max_absent_shifts;
        lines.extend(self.fact("absent", &format!("{} of {most} in 7 days", job.absent_shifts_7d), width));
        if job.exit_pending {
            let entry = self.view.employment.queue.iter().find(|entry| entry.agent == self.agent.id);
            let when = match entry {
                None => "! due to leave".to_owned(),
                Some(entry) if entry.approved => "! exit approved: leaves on the next tick".to_owned(),
                Some(entry) => format!("! leaves {}", exit_details::when(self.view, entry)),
            };
            lines.extend(styled_lines(&when, width, self.theme.warn));
        }
        lines
    }

    pub(super) fn money(&self, width: usize) -> Block<'a> {
        let agent = self.agent;
        let mut lines = vec![self.heading("money and home", width)];
        if let Some(job) = self.job {
            let wallet = format!("{:.2} meals · {:.2} per day", job.wallet, job.basket_cost);
            lines.extend(self.fact("wallet", &wallet, width));
            let wages = format!("{:.2} earned · {:.2} withheld", job.wages_earned, job.wages_withheld);
            lines.extend(self.fact("wages", &wages, width));
            let meals =
                format!("{} cooked · {} eaten · {} carried", job.meals_cooked, job.meals_consumed, agent.groceries);
            lines.extend(self.fact("meals", &meals, width));
        }
        let rent = if agent.rent_owed_days == 0 {
            "rent paid".to_owned()
        } else {
            format!("! rent owed for {}", count(agent.rent_owed_days, "day"))
        };
        lines.extend(self.fact("home", &format!("{} · {rent}", agent.home), width));
        lines.extend(self.fact(
            "arrived",
            &format!("{} ago · tick {}", self.ago(agent.arrived_tick), thousands(agent.arrived_tick)),
            width,
        ));
        lines
    }

    /// Personality, fixed at arrival.
    fn character(&self, width: usize) -> Block<'a> {
        let sides = self.agent.personality.iter().map(|side| format!("{} {:+.1}", side.name, side.value));
        let sides: Vec<String> = sides.collect();
        if sides.is_empty() { Vec::new() } else { self.fact("traits", &sides.join(" · "), width) }
    }

    /// Ties to others, strongest first.
    pub(super) fn ties(&self, width: usize) -> Block<'a> {
        let mut lines = vec![self.heading("ties       trust  rivalry  known", width)];
        lines.extend(self.character(width));
        let mut ties: Vec<&Tie> = self.view.ties_of(&self.agent.id).collect();
        ties.sort_by(|a, b| {
            let weight = |tie: &Tie| tie.trust.abs().max(tie.rivalry).max(tie.familiarity.abs() / 2.0);
            weight(b).total_cmp(&weight(a)).then_with(|| natural_order(&a.other, &b.other))
        });
        for tie in &ties {
            let name = resident(self.view, &tie.other);
            let text = format!("{}  {:+.2}    {:+.2}  {:+.2}", pad(&name, 9), tie.trust, tie.rivalry, tie.familiarity);
            let style = if tie.rivalry > 0.3 { self.theme.warn } else { self.theme.text };
            lines.push(Line::styled(clip(&text, width), style));
        }
        if ties.is_empty() {
            lines.push(match self.view.relationships.stage.as_str() {
                // They come with the other details.
                _ if self.agent.mask.is_empty() => self.dim("not received", width),
                "OFF" => self.dim("disabled: features.stages.relationships is OFF", width),
                _ => self.dim("none yet; ties grow with shared meals and chats", width),
            });
        }
        lines
    }

    /// Value estimate and most likely options of the policy.
    pub(super) fn policy_choice(&self, width: usize) -> Block<'a> {
        let agent = self.agent;
        let value = agent.value.map_or_else(String::new, |value| format!(" · value {value:+.2}"));
        let mut lines = vec![self.heading(&format!("policy{value}"), width)];
        for top in agent.top_options.iter().take(3) {
            let room = width.saturating_sub(18).clamp(4, 16);
            lines.push(Line::from(vec![
                Span::styled(format!("{} ", pad(&top.option, 10)), self.theme.text),
                Span::styled(bar(top.probability, 1.0, room), self.theme.chart),
                Span::styled(pad_left(&percent(top.probability), 6), self.theme.text),
            ]));
        }
        if agent.top_options.is_empty() {
            let kind = if self.view.policy.kind == "scripted" {
                "the scripted policy has none"
            } else {
                "not sent by this shard"
            };
            lines.push(self.dim(&format!("no probabilities: {kind}"), width));
        }
        lines
    }

    /// The terms of the resident's share of the town score today, with what was lost so far.
    pub(super) fn objective(&self, width: usize) -> Block<'a> {
        let Some(objective) = &self.agent.objective else {
            return self.section("objective today", Vec::new(), "not received", width);
        };
        let mut lines = vec![self.heading("objective today  points    lost", width)];
        for term in &objective.terms {
            let lost = match term.name.as_str() {
                "exit" if self.job.is_some_and(|job| job.exit_pending) => "when it leaves −0.200".to_owned(),
                _ if !term.scored => "not part of the score".to_owned(),
                _ => term.lost.map_or_else(String::new, points),
            };
            let style = if term.value < 0.0 { self.theme.warn } else { self.theme.text };
            lines.push(Line::from(vec![
                Span::styled(pad(&term.name.replace('_', " "), 15), self.theme.dim),
                Span::styled(pad_left(&points(term.value), 8), style),
                Span::styled(format!("  {}", clip(&lost, width.saturating_sub(25))), self.theme.dim),
            ]));
        }
        lines.push(Line::from(vec![
            Span::styled(pad("town score", 15), self.theme.dim),
            Span::styled(pad_left(&points(objective.total), 8), self.theme.strong),
        ]));
        lines
    }

    /// All options with the reason if they are unavailable.
    pub(super) fn mask(&self, width: usize) -> Block<'a> {
        let line = |bit: &MaskBit| {
            let (sign, style) = if bit.allowed { ("✓", self.theme.good) } else { ("✗", self.theme.dim) };
            let chosen = if bit.option == self.agent.option { "◂ chosen" } else { "" };
            let text = if bit.allowed { chosen } else { bit.reason.as_str() };
            Line::from(vec![
                Span::styled(format!("{sign} "), style),
                Span::styled(pad(&bit.option, 10), if bit.allowed { self.theme.text } else { self.theme.dim }),
                Span::styled(format!(" {}", clip(text, width.saturating_sub(13))), self.theme.dim),
            ])
        };
        let lines = self.agent.mask.iter().map(line).collect();
        self.section("available options", lines, "not received", width)
    }

    /// Recent events of the resident, newest first.
    pub(super) fn events(&self, width: usize) -> Block<'a> {
        let mut lines = Vec::new();
        let about: Vec<&Event> = self.view.events.iter().rev().filter(|event| mentions(event, self.agent)).collect();
        let times: Vec<String> = about.iter().map(|event| time_of(event.tick, self.view)).collect();
        let wide = times.iter().map(String::len).max().unwrap_or(0);
        for (event, time) in about.into_iter().zip(times) {
            let text = format!("{}{}", capital(&event.event.replace('_', " ")), details(event, self.agent, self.view));
            let time = pad_left(&time, wide);
            lines.extend(fact((&time, self.theme.dim), (&text, self.theme.text), wide, width));
        }
        self.section("recent events", lines, "none", width)
    }
}

/// Points of the town score: `+0.031`, `−0.010`, `0`.
fn points(value: f64) -> String {
    if value.abs() < 0.000_5 { "0".to_owned() } else { format!("{value:+.3}").replace('-', "−") }
}

fn mentions(event: &Event, agent: &Agent) -> bool {
    event.fields.values().any(|value| value.as_str().is_some_and(|text| text == agent.id || text == agent.name))
}

/// Fields of the event except the resident: ` · with Cleo · object shower_1`.
fn details(event: &Event, agent: &Agent, view: &IndexedSnapshot) -> String {
    let field = |(name, value): (&String, &serde_json::Value)| {
        let text = plain(value);
        let other = view.resident(&text).or_else(|| view.resident_named(&text));
        (text != agent.id && text != agent.name).then(|| match other {
            Some(other) => format!(" · with {}", other.name),
            None => format!(" · {} {text}", name.replace('_', " ")),
        })
    };
    event.fields.iter().filter_map(field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use townlet_wire::Snapshot;
    use townlet_wire::telemetry::{MaskBit, TopOption};

    fn agent(option: &str, mask: &[(&str, &str)]) -> Agent {
        let bit = |(option, reason): &(&str, &str)| MaskBit {
            option: (*option).into(),
            allowed: reason.is_empty(),
            reason: (*reason).into(),
        };
        Agent { option: option.into(), mask: mask.iter().map(bit).collect(), ..Agent::default() }
    }

    #[test]
    fn idleness_is_explained() {
        let barred = agent("wait", &[("wait", ""), ("eat", "no money"), ("work", "shift over")]);
        assert_eq!(
            option_reason(&barred),
            "Idle, because nothing else is possible: eat (no money), work (shift over)."
        );
        assert_eq!(
            option_reason(&agent("wait", &[("wait", ""), ("eat", ""), ("work", "shift over")])),
            "Idle by choice; available: eat."
        );
        assert_eq!(
            option_reason(&Agent { possessed: true, ..barred }),
            "Controlled by an operator; the policy is not used."
        );
        let mut eats = agent("eat", &[]);
        assert_eq!(option_reason(&eats), "Committed to eat.");
        eats.top_options = vec![TopOption { option: "eat".into(), probability: 0.62 }];
        assert_eq!(option_reason(&eats), "The policy chose eat (probability 62 %).");
    }

    #[test]
    fn an_event_mentions_the_residents_it_names() {
        let ada = Agent { id: "ada".into(), name: "Ada".into(), ..Agent::default() };
        let fields = serde_json::from_str(r#"{"agent":"ada","object":"shower_1","waited":18}"#).unwrap();
        let event = Event { event: "queue_joined".into(), tick: 1, fields };
        assert!(mentions(&event, &ada));
        assert!(!mentions(&event, &Agent { id: "ad".into(), name: "Ad".into(), ..Agent::default() }));
        assert_eq!(details(&event, &ada, &Snapshot::default().into()), " · object shower_1 · waited 18");
        let fields = serde_json::from_str(r#"{"agent":"eva","other":"ada"}"#).unwrap();
        let event = Event { fields, ..event };
        let eva = Agent { id: "eva".into(), name: "Eva".into(), ..Agent::default() };
        let view = Snapshot { agents: vec![ada.clone(), eva], ..Snapshot::default() };
        assert_eq!(details(&event, &ada, &view.into()), " · with Eva");
    }
}

//! Promotion as shown on screen: path of states, evidence, and the keys to promote and roll back. The shard decides what may
//! be promoted. Rule: "Stability, promotion, rollback".

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::format::{clip, count, fact, signed, thousands, width};
use crate::keymap::Action;
use crate::pane::{Confirmation, Context, KeyHint, Reaction};
use crate::theme::Theme;
use townlet_wire::telemetry::{Evidence, Promotion, SafetyCheck};
use townlet_wire::{CommandSpec, Request, command_line, escape};

const PROMOTE: &str = "promote_policy";
const ROLLBACK: &str = "rollback_policy";
/// The argument of a rollback that names the release it restores.
const RESTORES: &str = "restores";
/// States of a promotion, in order.
const PATH: [&str; 6] = ["idle", "evaluating", "eligible", "promoting", "canary", "stable"];

pub(super) fn state<'a>(promotion: &Promotion, theme: &'a Theme) -> (String, &'a Style) {
    match promotion.state.as_str() {
        "" => ("no promotion".to_owned(), &theme.dim),
        "eligible" | "stable" => (promotion.state.clone(), &theme.good),
        "rolled_back" | "held" => (format!("✗ {}", promotion.state.replace('_', " ")), &theme.bad),
        other => (escape(other).replace('_', " "), &theme.accent),
    }
}

/// The path of states with the current one marked. If `columns` is too small, only its neighbours are shown.
pub(super) fn path(cx: &Context<'_>, columns: usize) -> Line<'static> {
    let (promotion, theme) = (&cx.view.promotion, cx.theme);
    let here = PATH.iter().position(|state| *state == promotion.state);
    let long = |gap: &str| PATH.iter().map(|state| width(state) + width(gap)).sum::<usize>() + 2;
    let gap = if long(" ─ ") > columns && long("─") <= columns { "─" } else { " ─ " };
    let whole = long(gap);
    let seen = match here {
        Some(at) if whole > columns => at.saturating_sub(1)..(at + 2).min(PATH.len()),
        _ => 0..PATH.len(),
    };
    let (words, style) = state(promotion, theme);
    let mut spans = vec![Span::raw(" ")];
    if here.is_none() && (whole + width(&words) > columns || promotion.state.is_empty()) {
        spans.push(Span::styled(words, *style));
        return Line::from(spans);
    }
    for at in seen {
        if spans.len() > 1 {
            spans.push(Span::styled(gap, theme.border));
        }
        let span = match here {
            Some(now) if at == now => Span::styled(format!("▸{}", PATH[at]), style.patch(theme.strong)),
            Some(now) if at < now => Span::styled(PATH[at], theme.text),
            _ => Span::styled(PATH[at], theme.dim),
        };
        spans.push(span);
    }
    if here.is_none() {
        spans.extend([Span::styled(gap, theme.border), Span::styled(words, style.patch(theme.strong))]);
    }
    Line::from(spans)
}

/// Sign, word and style of the verdict.
fn outcome(evidence: &Evidence, theme: &Theme) -> (&'static str, &'static str, Style) {
    match evidence.verdict.as_str() {
        "better" => ("✓", "better", theme.good),
        "not_better" => ("✗", "not better", theme.bad),
        "running" => ("·", "undecided", theme.accent),
        _ => ("·", "unknown", theme.dim),
    }
}

/// Result of the paired evaluation so far: `✓ better  +0.046 from +0.012 to +0.081`.
pub(super) fn verdict(evidence: &Evidence, theme: &Theme) -> Vec<Span<'static>> {
    let (sign, word, style) = outcome(evidence, theme);
    let mut spans = vec![Span::styled(format!("{sign} {word}"), style)];
    if let Some(difference) = evidence.difference {
        spans.push(Span::styled(format!("  {}", signed(difference)), theme.strong));
    }
    if let (Some(low), Some(high)) = (evidence.low, evidence.high) {
        spans.push(Span::styled(format!(" from {} to {}", signed(low), signed(high)), theme.dim));
    }
    spans
}

/// The confidence interval drawn on a line with zero marked, and its labels below. Empty without an interval.
pub(super) fn interval(evidence: &Evidence, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
    let ends = (evidence.low, evidence.difference, evidence.high);
    let (Some(low), Some(middle), Some(high)) = ends else { return Vec::new() };
    if columns < 24 || ![low, middle, high].iter().all(|value| value.is_finite()) {
        return Vec::new();
    }
    // Leaves space at both ends.
    let (least, most) = (low.min(0.0), high.max(0.0));
    let around = ((most - least) * 0.12).max(1e-9);
    let (least, most) = (least - around, most + around);
    let last = columns - 1;
    let place = |value: f64| (((value - least) / (most - least) * last as f64).round() as usize).min(last);
    let (from, at, to, zero) = (place(low), place(middle), place(high), place(0.0));
    let (_, _, style) = outcome(evidence, theme);
    let cell = |column: usize| match column {
        _ if column == at => Span::styled("◆", style),
        _ if column == zero => Span::styled("┃", theme.strong),
        _ if column == from => Span::styled("├", style),
        _ if column == to => Span::styled("┤", style),
        _ if (from..to).contains(&column) => Span::styled("─", style),
        _ => Span::styled("·", theme.border),
    };
    let mut labels = String::new();
    let mut named = vec![(from, signed(low)), (zero, "0".to_owned()), (to, signed(high))];
    named.sort_by_key(|(column, _)| *column);
    for (column, text) in named {
        let start = column.saturating_sub(width(&text) / 2).min(columns.saturating_sub(width(&text)));
        // Labels that would touch are left out; the verdict contains the values.
        if labels.is_empty() || width(&labels) < start {
            labels.push_str(&" ".repeat(start - width(&labels)));
            labels.push_str(&text);
        }
    }
    vec![Line::from((0..columns).map(cell).collect::<Vec<_>>()), Line::styled(labels, theme.dim)]
}

/// `24 of at most 200 pairs · seeds from 9,007,199`.
pub(super) fn pairs(evidence: &Evidence) -> String {
    let seeds = thousands(evidence.first_seed);
    format!("{} of at most {} · seeds from {seeds}", count(evidence.pairs, "pair"), thousands(evidence.max_pairs))
}

/// Sign and style of a row of the safety gate.
fn safety_sign(row: &SafetyCheck, theme: &Theme) -> (&'static str, Style) {
    match row.verdict.as_str() {
        "passed" => ("✓", theme.good),
        "failed" | "undecided" => ("✗", theme.bad),
        "running" => ("·", theme.accent),
        _ => ("·", theme.dim),
    }
}

/// A row of the safety gate in words, then the rates of candidate and release: `✓ starvation events: passed after 366 pairs`.
pub(super) fn safety_row(row: &SafetyCheck, label: &str, columns: [usize; 2], theme: &Theme) -> Vec<Line<'static>> {
    let (sign, style) = safety_sign(row, theme);
    let verdict = format!("{sign} {}: {}", escape(&row.title), row.in_words());
    let [ours, theirs] = [&row.candidate, &row.release].map(|rate| {
        let [rate, low, high] = [rate.per_1000_resident_days, rate.low, rate.high]
            .map(|value| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}")));
        format!("{rate} [{low}, {high}]")
    });
    let rates = format!("{ours}, release {theirs} per 1,000 resident-days");
    let [label_columns, columns] = columns;
    let mut lines = fact((label, theme.dim), (&verdict, style), label_columns, columns);
    lines.extend(fact(("", theme.dim), (&rates, theme.dim), label_columns, columns));
    lines
}

/// The safety gate in one line: `✓ starvation events  · involuntary exits`.
pub(super) fn safety_signs(evidence: &Evidence, theme: &Theme) -> Vec<Span<'static>> {
    let span = |row: &SafetyCheck| {
        let (sign, style) = safety_sign(row, theme);
        Span::styled(format!("{sign} {}  ", escape(&row.title)), style)
    };
    evidence.safety.iter().map(span).collect()
}

/// The candidate, if this session may promote it now; otherwise the reason.
fn promotion_target<'a>(cx: &Context<'a>) -> Result<&'a str, String> {
    cx.check_allowed(PROMOTE)?;
    let promotion = &cx.view.promotion;
    let candidate = promotion.candidate.as_deref().ok_or_else(|| "no candidate".to_owned())?;
    if promotion.state == "eligible" {
        return Ok(candidate);
    }
    let blocker = promotion.blockers.first().map(|blocker| blocker.trim_end_matches('.').to_owned());
    let state = promotion.state.replace('_', " ");
    Err(escape(&blocker.unwrap_or_else(|| format!("{candidate} is not eligible: the promotion is {state}"))))
}

/// The release to roll back to, if this session may; otherwise the reason.
fn rollback_target<'a>(cx: &Context<'a>) -> Result<&'a str, String> {
    cx.check_allowed(ROLLBACK)?;
    cx.view.promotion.previous.as_deref().ok_or_else(|| "there is no previous release".to_owned())
}

/// The two keys, disabled with the reason when unavailable.
pub(super) fn hints(cx: &Context<'_>) -> [KeyHint; 2] {
    [
        KeyHint::when(Action::Promote, "promote", promotion_target(cx).map(|_| ())),
        KeyHint::when(Action::Rollback, "roll back", rollback_target(cx).map(|_| ())),
    ]
}

/// The confirmation dialog for one of the two keys.
pub(super) fn act(action: Action, cx: &Context<'_>) -> Option<Reaction> {
    let promotion = &cx.view.promotion;
    let release = if promotion.release.is_empty() { &cx.view.policy.id } else { &promotion.release };
    let asked = match action {
        Action::Promote => {
            let candidate = promotion_target(cx).ok()?;
            let mut reason = String::new();
            let mut text = vec![format!(
                "{candidate} controls the residents from the next tick. {release} is kept for a rollback."
            )];
            if let Some(evidence) = &promotion.evidence {
                let words: String = verdict(evidence, cx.theme).iter().map(|span| span.content.as_ref()).collect();
                let words = words.trim_start_matches(['✓', '✗', '·', ' ']).replace("  ", " ");
                text.push(format!("Against {release}: {words}; {}.", pairs(evidence)));
                text.extend(evidence.safety.iter().map(|row| format!("{}: {}.", escape(&row.title), row.in_words())));
                reason = format!("{words}; {}", count(evidence.pairs, "pair"));
            }
            text.push(format!(
                "Green stability windows in a row: {} of {} required.",
                promotion.green, promotion.required
            ));
            if let Some(why) = &promotion.outside_range {
                text.push(format!("This town is outside the range that {candidate} was trained on: {}.", escape(why)));
            }
            text.push(format!("It starts as a canary: {}.", canary_rule(promotion)));
            Confirmation {
                title: "Promote the candidate".into(),
                text,
                verb: "promote".into(),
                requests: vec![Request::line(format!("{PROMOTE} {candidate}"))],
                about: release.clone(),
                reason,
                ..Confirmation::default()
            }
        }
        Action::Rollback => {
            let previous = rollback_target(cx).ok()?;
            Confirmation {
                title: "Roll back".into(),
                text: vec![
                    format!("{previous} replaces {release} from the next tick."),
                    "A rollback is always allowed. The shard writes an incident note to ops/incidents.".to_owned(),
                ],
                verb: "roll back".into(),
                requests: vec![Request::line(bound(ROLLBACK, cx.commands, promotion))],
                about: format!("{release} {previous}"),
                reason: rollback_reason(cx),
                ..Confirmation::default()
            }
        }
        _ => return None,
    };
    Some(Reaction::Confirm(asked))
}

/// The line of a rollback with the release that the screen says it restores: one that has to wait for the shard then does what was
/// asked for, or nothing. Any other line, and one for a shard that does not know this, as it is.
pub(crate) fn bound(line: &str, commands: &[CommandSpec], promotion: &Promotion) -> String {
    let (Ok(parsed), Some(previous)) = (command_line::parse(commands, line), &promotion.previous) else {
        return line.to_owned();
    };
    let is_known = parsed.spec.name == ROLLBACK && parsed.given().any(|(arg, _)| arg.name == RESTORES);
    let is_bound = parsed.given().any(|(arg, value)| ["to", RESTORES].contains(&arg.name.as_str()) && value.is_some());
    if is_known && !is_bound { format!("{line} --{RESTORES} {previous}") } else { line.to_owned() }
}

/// The suggested reason of a rollback: what speaks against the release now.
fn rollback_reason(cx: &Context<'_>) -> String {
    let window = cx.view.stability.windows.last().filter(|window| window.verdict == "red");
    match (cx.view.promotion.state.as_str(), window) {
        (_, Some(window)) => format!("window {} was red", thousands(window.number)),
        ("canary", None) => "the canary is not kept".to_owned(),
        _ => String::new(),
    }
}

/// When a canary is rolled back automatically.
pub(super) fn canary_rule(promotion: &Promotion) -> String {
    match promotion.auto_rollback.as_str() {
        "critical" => "rolled back automatically on a critical alert".to_owned(),
        "any" => "rolled back automatically on any alert".to_owned(),
        "off" | "" => "not rolled back automatically".to_owned(),
        other => format!("rolled back automatically: {}", clip(other, 24)),
    }
}

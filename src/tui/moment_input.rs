//! Moments of a run as an operator writes them: `5,000`, `day 3 09:17`, `09:17`, `-1d`. What is written wrongly is refused with what
//! would be right.

use super::format::{clock, thousands};

/// What a moment is relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunTime {
    /// The first tick that can be shown.
    pub(crate) first: u64,
    /// The newest tick.
    pub(crate) last: u64,
    /// The tick on screen.
    pub(crate) at: u64,
    pub(crate) ticks_per_day: u64,
}

/// The forms that are understood.
pub(crate) const EXAMPLES: &str = "5,000 · day 3 09:17 · 09:17 · -1d · +2h 30m · -100 · start · now";

impl RunTime {
    /// `day 3 · 09:17`.
    pub(crate) fn day_and_clock(&self, tick: u64) -> String {
        let per_day = self.ticks_per_day.max(1);
        format!("day {} · {}", tick / per_day + 1, clock(tick, per_day))
    }

    /// `tick 2,387 (day 3 · 09:17)`.
    pub(crate) fn named(&self, tick: u64) -> String {
        format!("tick {} ({})", thousands(tick), self.day_and_clock(tick))
    }

    /// The tick of a moment, or why it is none, as a sentence.
    pub(crate) fn parse(&self, text: &str) -> Result<u64, String> {
        let text = text.trim().to_lowercase().replace('·', " ");
        let tick = match text.as_str() {
            "" => return Err(format!("write a moment: {EXAMPLES}")),
            "now" | "live" | "end" => self.last,
            "start" | "beginning" => self.first,
            _ => self.tick(&text)?,
        };
        if (self.first..=self.last).contains(&tick) {
            return Ok(tick);
        }
        let [tick, first, last] = [tick, self.first, self.last].map(|tick| self.named(tick));
        Err(format!("{tick} is not in the run, which has {first} to {last}"))
    }

    fn tick(&self, text: &str) -> Result<u64, String> {
        if let Some(rest) = text.strip_prefix('-') {
            let back = self.span(rest)?;
            return self.at.checked_sub(back).ok_or_else(|| {
                format!(
                    "`{text}`: the run begins {} ticks before what is on screen",
                    thousands(self.at - self.first.min(self.at))
                )
            });
        }
        if let Some(rest) = text.strip_prefix('+') {
            return Ok(self.at.saturating_add(self.span(rest)?));
        }
        let per_day = self.ticks_per_day.max(1);
        if let Some(rest) = text.strip_prefix("day") {
            let mut words = rest.split_whitespace();
            let day = words.next().unwrap_or_default();
            let number = whole(day).filter(|day| *day > 0);
            let number = number.ok_or_else(|| format!("`{day}` is not a day; write `day 3` or `day 3 09:17`"))?;
            let time = words.next().map_or(Ok(0), |time| self.time_of_day(time))?;
            if let Some(surplus) = words.next() {
                return Err(format!("`{surplus}` is too much after a day and a time; write `day 3 09:17`"));
            }
            return Ok((number - 1).saturating_mul(per_day).saturating_add(time));
        }
        if text.contains(':') {
            return Ok(self.at / per_day * per_day + self.time_of_day(text)?);
        }
        let number = text.strip_prefix("tick").unwrap_or(text).trim();
        whole(number).ok_or_else(|| format!("`{text}` is not a moment; write one of these: {EXAMPLES}"))
    }

    /// The tick of the day at which the clock shows a time, or the first one after it.
    fn time_of_day(&self, text: &str) -> Result<u64, String> {
        let parts = text.split_once(':').and_then(|(hour, minute)| {
            let minute = Some(minute).filter(|minute| minute.len() == 2)?;
            Some((whole(hour)?, whole(minute)?)).filter(|(hour, minute)| *hour < 24 && *minute < 60)
        });
        let (hour, minute) = parts.ok_or_else(|| format!("`{text}` is not a time; write 00:00 to 23:59"))?;
        let per_day = self.ticks_per_day.max(1);
        Ok(((hour * 60 + minute) * per_day).div_ceil(1_440).min(per_day - 1))
    }

    /// Ticks of `1d 2h`, `30m` or `100`.
    fn span(&self, text: &str) -> Result<u64, String> {
        let per_day = self.ticks_per_day.max(1);
        let mut sum = 0_u64;
        for word in text.split_whitespace() {
            let digits = word.find(|letter: char| !matches!(letter, '0'..='9' | ',' | '_')).unwrap_or(word.len());
            let (number, unit) = word.split_at(digits);
            let number =
                whole(number).ok_or_else(|| format!("`{word}` has no number; write -1d, -2h, -30m or -100"))?;
            sum = sum.saturating_add(match unit {
                "" | "t" => number,
                "d" => number.saturating_mul(per_day),
                "h" => number.saturating_mul(per_day) / 24,
                "m" => number.saturating_mul(per_day) / 1_440,
                _ => return Err(format!("`{word}`: `{unit}` is not a unit; write d, h or m, or nothing for ticks")),
            });
        }
        if sum == 0 { Err("no time is left to go; write -1d, -2h, -30m or -100".to_owned()) } else { Ok(sum) }
    }
}

/// A number without sign, also with commas or underscores.
fn whole(text: &str) -> Option<u64> {
    let plain = text.replace([',', '_'], "");
    plain.bytes().all(|byte| byte.is_ascii_digit()).then(|| plain.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: RunTime = RunTime { first: 1_200, last: 9_500, at: 3_402, ticks_per_day: 1_000 };

    #[test]
    fn every_form_names_a_tick() {
        for (text, tick) in [
            ("5000", 5_000),
            (" tick 5,000 ", 5_000),
            ("day 3", 2_000),
            ("day 4 09:38", 3_402),
            ("Day 4 · 09:38", 3_402),
            ("day 9 23:59", 8_999),
            ("12:00", 3_500),
            ("-1d", 2_402),
            ("-1d 2h", 2_319),
            ("+30m", 3_422),
            ("-100", 3_302),
            ("start", 1_200),
            ("now", 9_500),
        ] {
            assert_eq!(RUN.parse(text), Ok(tick), "{text}");
        }
        // The header's day and clock lead back to a tick with the same.
        for tick in 1_200..2_400 {
            let shown = RUN.day_and_clock(tick);
            assert_eq!(RUN.day_and_clock(RUN.parse(&shown).unwrap()), shown);
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        for (text, said) in [
            ("", "write a moment: 5,000 · day 3 09:17"),
            ("soon", "`soon` is not a moment; write one of these: 5,000"),
            ("day x", "`x` is not a day; write `day 3` or `day 3 09:17`"),
            ("day 0", "`0` is not a day"),
            ("day 3 25:00", "`25:00` is not a time; write 00:00 to 23:59"),
            ("9:7", "`9:7` is not a time"),
            ("day 3 09:17 x", "`x` is too much after a day and a time"),
            ("-1x", "`1x`: `x` is not a unit; write d, h or m, or nothing for ticks"),
            ("-d", "`d` has no number; write -1d"),
            ("-0", "no time is left to go"),
            ("-9d", "`-9d`: the run begins 2,202 ticks before what is on screen"),
            ("99999999999999999999999", "is not a moment"),
            (
                "7",
                "tick 7 (day 1 · 00:10) is not in the run, which has tick 1,200 (day 2 · 04:48) to tick 9,500 (day 10 · 12:00)",
            ),
            ("+99d", "tick 102,402 (day 103 · 09:38) is not in the run"),
        ] {
            let refused = RUN.parse(text).unwrap_err();
            assert!(refused.contains(said), "{text}: {refused}");
        }
    }
}

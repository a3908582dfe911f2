//! The past on screen: its part of the header, and the timeline.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::{App, ClickTarget};
use crate::format::{clock, thousands};
use crate::timeline::Timeline;
use townlet_wire::Snapshot;

/// From this height on the timeline is shown without being asked for.
const TALL: u16 = 30;

type HeaderPart = (u8, Vec<Span<'static>>);

impl App {
    /// The moment on screen, the present, and the tick, in place of speed and clock. Where space is short, without the day.
    pub(super) fn past_parts(&self, view: &Snapshot, cramped: bool) -> Vec<HeaderPart> {
        let theme = &self.theme;
        let time = |view: &Snapshot| {
            let time = clock(view.clock.tick_of_day, view.clock.ticks_per_day);
            if cramped { time } else { format!("day {} · {time}", view.day) }
        };
        let mut parts = vec![(0, vec![Span::styled(format!(" PAST  {} ", time(view)), theme.past)])];
        parts.extend(self.seeking_part());
        if let Some(live) = self.live_view() {
            let verb = if self.is_heard() { "is" } else { "was" };
            parts.push((1, vec![Span::styled(format!("live {verb} {}", time(live)), theme.text)]));
        }
        parts.push((3, vec![Span::styled(format!("tick {}", thousands(view.tick)), theme.dim)]));
        parts
    }

    /// Where the screen is going.
    pub(super) fn seeking_part(&self) -> Option<HeaderPart> {
        let tick = self.seeking()?;
        Some((0, vec![Span::styled(format!("going to tick {} …", thousands(tick)), self.theme.warn)]))
    }

    /// Whether a terminal of this height has a timeline: always while it is needed, else where there is space and something to show.
    pub(super) fn shows_timeline(&self, height: u16) -> bool {
        let needed = self.is_past() || self.seeking().is_some();
        let shown = self.past.timeline.unwrap_or(needed || (self.knows_range() && height >= TALL));
        shown && self.view.is_some()
    }

    pub(super) fn draw_timeline(&mut self, frame: &mut Frame<'_>, area: Rect) {
        self.past.bar = Rect::ZERO;
        let Some(time) = self.run_time().filter(|_| !area.is_empty()) else { return };
        let day = |tick: u64| format!("day {}", tick / time.ticks_per_day.max(1) + 1);
        let bar = {
            let mut signs = self.signs();
            let timeline = Timeline {
                first: time.first,
                last: time.last,
                at: self.seeking().unwrap_or(time.at),
                past: self.is_past() || self.seeking().is_some(),
                labels: (day(time.first), day(time.last)),
                signs: &mut signs,
            };
            timeline.draw(frame, area, &self.theme)
        };
        self.past.bar = bar;
        self.past.drawn = true;
        self.click_targets.push((bar, ClickTarget::Timeline));
    }
}

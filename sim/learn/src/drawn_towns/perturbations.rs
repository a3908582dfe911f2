//! Draws a perturbation file: from no perturbations at all to outages on most days.

use crate::prng::Prng;

/// The text of a perturbation file. One town in five has no perturbations.
pub(super) fn draw(prng: &mut Prng) -> String {
    let mut span = |least: usize, most: usize| least + prng.below(most - least + 1);
    let at_once = if span(1, 5) == 1 { 0 } else { span(1, 2) };
    let mut percent = |least, most| format!("{:.2}", span(least, most) as f64 / 100.0);
    let chances = [percent(0, 90), percent(0, 90), percent(0, 40), percent(0, 60)];
    let [spike, blackout, outage, meeting] = chances;
    let (low, high) = (percent(110, 150), percent(150, 200));
    let [spike_ticks, outage_ticks] = [span(100, 400), span(50, 140)];
    format!(
        "max_concurrent_events: {at_once}
global_cooldown_ticks: 50
per_agent_cooldown_ticks: 1000
grace_window_ticks: 200
window_ticks: 1000
max_events_per_window: 3
events:
  price_spike: {{ kind: price_spike, prob_per_day: {spike}, cooldown_ticks: 400, duration: [100, {spike_ticks}], \
magnitude: [{low}, {high}], targets: [meal, groceries] }}
  blackout: {{ kind: blackout, prob_per_day: {blackout}, cooldown_ticks: 300, duration: [30, {outage_ticks}] }}
  outage: {{ kind: outage, prob_per_day: {outage}, cooldown_ticks: 500, duration: [30, {outage_ticks}] }}
  arranged_meet: {{ kind: arranged_meet, prob_per_day: {meeting}, cooldown_ticks: 500, duration: [30, 60], \
target: any, location: park }}
"
    )
}

#[cfg(test)]
mod tests {
    use townlet_town::config::PerturbationFile;

    use super::*;

    #[test]
    fn a_drawn_file_is_valid_and_some_have_no_perturbations() {
        let drawn = (0..100).map(|seed| {
            let text = draw(&mut Prng::new([seed, 0, 0]));
            PerturbationFile::parse("drawn", &text).unwrap_or_else(|why| panic!("{why}\n{text}"))
        });
        let quiet = drawn.filter(|file| file.max_concurrent_events == 0).count();
        assert!((8..=35).contains(&quiet), "{quiet} of 100");
    }
}

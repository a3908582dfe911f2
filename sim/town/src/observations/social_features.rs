//! Social features: the personality of a resident, its two best friends and its two strongest rivals. Rules: "Residents and
//! ties", "Observations".

use crate::best_ties::SHOWN;
use crate::fixed_point::Micro;
use crate::observations::features::{decimal, is};
use crate::observations::view::View;
use crate::options::OptionKind;
use crate::personality;
use crate::state::Tie;
use crate::ties;

/// Values per resident.
const EACH: usize = 8;
/// Values per feature.
pub(super) const VALUES: usize = SHOWN * EACH;

/// Tiles that are written as 1.
const FAR_TILES: f32 = 32.0;

pub(super) fn personality(view: &View<'_>, out: &mut [f32]) {
    let who = personality::personality(view.state.agents.resident[view.agent]);
    for (out, value) in out.iter_mut().zip(who.all()) {
        *out = decimal(value).clamp(-1.0, 1.0);
    }
}

pub(super) fn friends(view: &View<'_>, out: &mut [f32]) {
    show(view, view.best_ties.friends(&view.state.agents, view.agent), out);
}

pub(super) fn rivals(view: &View<'_>, out: &mut [f32]) {
    show(view, view.best_ties.rivals(&view.state.agents, view.agent), out);
}

fn show(view: &View<'_>, ties: [Option<&Tie>; SHOWN], out: &mut [f32]) {
    if !ties::observed(view.rules) {
        return;
    }
    for (tie, out) in ties.into_iter().flatten().zip(out.as_chunks_mut::<EACH>().0) {
        *out = of(view, tie);
    }
}

fn of(view: &View<'_>, tie: &Tie) -> [f32; EACH] {
    let there = view.frame.position(view.town, tie.other);
    let far = |there: u16, here: usize| ((f32::from(there) - here as f32) * (1.0 / FAR_TILES)).clamp(-1.0, 1.0);
    let level = |value: Micro| decimal(value).clamp(-1.0, 1.0);
    let together = there.place.is_some() && there.place == view.place;
    [
        1.0,
        level(tie.trust),
        level(tie.familiarity),
        level(tie.rivalry),
        far(there.at.0, view.at.0),
        far(there.at.1, view.at.1),
        is(together),
        is(view.state.agents.option[tie.other] == OptionKind::Socialise),
    ]
}

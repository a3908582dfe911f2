//! Social features: the personality of a resident, its two best friends and its two strongest rivals. Rules: "Residents and
//! ties", "Observations".

use crate::fixed_point::Micro;
use crate::observations::features::{decimal, is};
use crate::observations::view::View;
use crate::options::OptionKind;
use crate::personality;
use crate::state::Tie;
use crate::ties;

/// Residents per feature.
const SHOWN: usize = 2;
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
    show(view, out, |tie| tie.trust);
}

pub(super) fn rivals(view: &View<'_>, out: &mut [f32]) {
    show(view, out, |tie| tie.rivalry);
}

/// Writes the two ties with the highest positive value. The lower slot comes first among equal ones.
fn show(view: &View<'_>, out: &mut [f32], most: impl Fn(&Tie) -> Micro) {
    if !ties::observed(view.rules) {
        return;
    }
    let mut best: [Option<&Tie>; SHOWN] = [None; SHOWN];
    for tie in view.state.agents.ties[view.agent].iter().filter(|tie| most(tie) > Micro::ZERO) {
        let before = |held: Option<&Tie>| held.is_none_or(|held| (most(tie), held.other) > (most(held), tie.other));
        if before(best[0]) {
            best = [Some(tie), best[0]];
        } else if before(best[1]) {
            best[1] = Some(tie);
        }
    }
    for (tie, out) in best.into_iter().flatten().zip(out.as_chunks_mut::<EACH>().0) {
        *out = of(view, tie);
    }
}

fn of(view: &View<'_>, tie: &Tie) -> [f32; EACH] {
    let tile = view.state.agents.tile[tie.other];
    let plan = &view.rules.plan;
    let (x, y) = plan.at(tile);
    let far = |there: u32, here: usize| ((there as f32 - here as f32) * (1.0 / FAR_TILES)).clamp(-1.0, 1.0);
    let level = |value: Micro| decimal(value).clamp(-1.0, 1.0);
    let place = plan.place_of[tile];
    let together = place.is_some() && place == plan.place_of[view.tile];
    [
        1.0,
        level(tie.trust),
        level(tie.familiarity),
        level(tie.rivalry),
        far(x, view.at.0),
        far(y, view.at.1),
        is(together),
        is(view.state.agents.option[tie.other] == OptionKind::Socialise),
    ]
}

//! The map rows: what lies, stands and walks on the tiles around a resident.
//!
//! Knows where a window is cut off by the edge of the town. Rule: "Observations".

use crate::ids::PlaceId;
use crate::observations::sights::Near;
use crate::observations::view::View;
use crate::observations::{REACH, SIDE, WINDOW};
use crate::plan::ObjectKind;

/// Copies the window around a resident out of a plane of tiles; 0 beyond the edges of the town.
fn window<T: Copy>(view: &View<'_>, plane: &[T], out: &mut [f32], value: impl Fn(T) -> f32) {
    let (width, height) = (view.rules.plan.width as usize, view.rules.plan.height as usize);
    let (x, y) = view.at;
    let inside = x >= REACH && y >= REACH && x + REACH < width && y + REACH < height;
    if inside {
        let first = (y - REACH) * width + x - REACH;
        let rows = plane[first..].chunks(width).zip(out.as_chunks_mut::<SIDE>().0);
        for (tiles, out) in rows {
            let (tiles, _) = tiles.as_chunks::<SIDE>();
            *out = tiles[0].map(&value);
        }
        return;
    }
    out.fill(0.0);
    let (left, right) = (x.saturating_sub(REACH), (x + REACH + 1).min(width));
    for row in y.saturating_sub(REACH)..(y + REACH + 1).min(height) {
        let start = (row + REACH - y) * SIDE + left + REACH - x;
        for (tile, out) in plane[row * width + left..row * width + right].iter().zip(&mut out[start..]) {
            *out = value(*tile);
        }
    }
}

/// Where one can walk.
pub(super) fn ground(view: &View<'_>, out: &mut [f32]) {
    window(view, view.rules.sights.ground.as_slice(), out, |ground| ground);
}

/// Others on a tile, four or more being 1.
pub(super) fn people(view: &View<'_>, out: &mut [f32]) {
    window(view, view.crowd.as_slice(), out, share);
    let here = view.crowd[view.tile];
    out[WINDOW / 2] = share(here - 1);
}

fn share(people: u16) -> f32 {
    (f32::from(people) * 0.25).min(1.0)
}

/// Others in the window, eight or more being 1.
pub(super) fn around(view: &View<'_>, out: &mut [f32]) {
    let (width, height) = (view.rules.plan.width as usize, view.rules.plan.height as usize);
    let (x, y) = view.at;
    let (left, right) = (x.saturating_sub(REACH), (x + REACH + 1).min(width));
    let rows = y.saturating_sub(REACH)..(y + REACH + 1).min(height);
    let crowd = view.crowd.as_slice();
    let people: u16 = rows.map(|row| crowd[row * width + left..row * width + right].iter().sum::<u16>()).sum();
    out[0] = (f32::from(people - 1) / 8.0).min(1.0);
}

/// Marks the objects near by that `mark` gives a value.
fn objects(view: &View<'_>, out: &mut [f32], mark: impl Fn(&Near) -> f32) {
    out.fill(0.0);
    for near in view.rules.sights.near(view.tile) {
        out[near.at as usize] = mark(near);
    }
}

fn is(yes: bool) -> f32 {
    f32::from(u8::from(yes))
}

/// Fridge, stove, till, shelf.
pub(super) fn food(view: &View<'_>, out: &mut [f32]) {
    use ObjectKind::{Fridge, Shelf, Stove, Till};
    objects(view, out, |near| is(matches!(near.kind, Fridge | Stove | Till | Shelf)));
}

/// Bed, shower.
pub(super) fn care(view: &View<'_>, out: &mut [f32]) {
    objects(view, out, |near| is(matches!(near.kind, ObjectKind::Bed | ObjectKind::Shower)));
}

/// Table, desk.
pub(super) fn company(view: &View<'_>, out: &mut [f32]) {
    objects(view, out, |near| is(matches!(near.kind, ObjectKind::Table | ObjectKind::Desk)));
}

/// Objects this resident may use: those in no home, and those in their own.
pub(super) fn open(view: &View<'_>, out: &mut [f32]) {
    let own = |home: PlaceId| home == view.home;
    objects(view, out, |near| is(near.home.is_none_or(own)));
}

/// How far an object is taken: its users over its capacity.
pub(super) fn taken(view: &View<'_>, out: &mut [f32]) {
    objects(view, out, |near| {
        let uses = view.state.objects[near.object].uses.len();
        if uses == 0 { 0.0 } else { uses as f32 / f32::from(near.kind.capacity()) }
    });
}

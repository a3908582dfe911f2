//! The map rows: what lies, stands and walks on the tiles around a resident.
//!
//! Knows where a window is cut off by the edge of the town. Rule: "Observations".

use crate::ids::PlaceId;
use crate::observations::sights::Near;
use crate::observations::view::View;
use crate::observations::{REACH, SIDE, WINDOW};
use crate::plan::ObjectKind;

/// Where in a plane of tiles the window around a resident begins; `None` where the edge of the town cuts it off.
fn inside(view: &View<'_>) -> Option<usize> {
    let (width, height) = (view.rules.plan.width as usize, view.rules.plan.height as usize);
    let (x, y) = view.at;
    let inside = x >= REACH && y >= REACH && x + REACH < width && y + REACH < height;
    inside.then(|| (y - REACH) * width + x - REACH)
}

/// The window's rows of tiles from there, each with its row of the map.
fn rows<'a, T>(
    view: &View<'_>,
    tiles: &'a [T],
    out: &'a mut [f32],
) -> impl Iterator<Item = (&'a [T; SIDE], &'a mut [f32; SIDE])> {
    let rows = tiles.chunks(view.rules.plan.width as usize).filter_map(|tiles| tiles.first_chunk());
    rows.zip(out.as_chunks_mut::<SIDE>().0)
}

/// The window at the edge of the town, tile by tile; what lies outside stays 0.
fn edge<T: Copy>(view: &View<'_>, plane: &[T], out: &mut [f32], value: impl Fn(T) -> f32) {
    let (width, height) = (view.rules.plan.width as usize, view.rules.plan.height as usize);
    let (x, y) = view.at;
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
    let plane = view.rules.sights.ground.as_slice();
    match inside(view) {
        Some(first) => rows(view, &plane[first..], out).for_each(|(tiles, out)| *out = *tiles),
        None => edge(view, plane, out, |ground| ground),
    }
}

/// Others on a tile, four or more being 1.
pub(super) fn people(view: &View<'_>, out: &mut [f32]) {
    let plane = view.crowd.as_slice();
    if let Some(first) = inside(view) {
        out.fill(0.0);
        // Most rows are empty, and telling so is cheap.
        let taken = |tiles: &[u16; SIDE]| tiles.iter().fold(0, |any, people| any | people) != 0;
        for (tiles, out) in rows(view, &plane[first..], out).filter(|(tiles, _)| taken(tiles)) {
            *out = tiles.map(share);
        }
    } else {
        edge(view, plane, out, share);
    }
    out[WINDOW / 2] = share(view.crowd[view.tile] - 1);
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

//! Map features: walkable tiles, residents and objects in the window around a resident. Rule: "Observations".

use crate::ids::Tile;
use crate::observations::view::View;
use crate::observations::{VIEW_RADIUS, VIEW_SIDE, VIEW_TILES};

/// The eight values of every byte, used to write a window of bits eight tiles at a time.
static EIGHT: [[f32; 8]; 256] = {
    let mut eight = [[0.0; 8]; 256];
    let mut place = 0;
    while place < 256 * 8 {
        if (place / 8) >> (place % 8) & 1 == 1 {
            eight[place / 8][place % 8] = 1.0;
        }
        place += 1;
    }
    eight
};

/// Walkable tiles.
pub(super) fn walkable(view: &View<'_>, out: &mut [f32]) {
    let window = view.walkable.to_le_bytes();
    let (eights, last) = out.as_chunks_mut::<8>();
    for (out, bits) in eights.iter_mut().zip(window) {
        *out = EIGHT[bits as usize];
    }
    last[0] = f32::from(window[VIEW_TILES / 8] & 1);
}

/// Other residents per tile; four or more are 1.
pub(super) fn residents(view: &View<'_>, out: &mut [f32]) {
    // Most windows hold only the resident itself.
    let mut window = view.occupancy.window(view.at) & !(1 << (VIEW_TILES / 2));
    while window != 0 {
        let at = window.trailing_zeros() as usize;
        window &= window - 1;
        out[at] = share(view.occupancy.on(tile(view, at)));
    }
    out[VIEW_TILES / 2] = share(view.beside);
}

/// The tile at a position of the window.
fn tile(view: &View<'_>, at: usize) -> Tile {
    let (row, column) = (at / VIEW_SIDE, at % VIEW_SIDE);
    let (x, y) = (view.at.0 + column - VIEW_RADIUS, view.at.1 + row - VIEW_RADIUS);
    Tile((y * view.rules.plan.width as usize + x) as u32)
}

fn share(people: u16) -> f32 {
    (f32::from(people) * 0.25).min(1.0)
}

/// Other residents in the window; eight or more are 1.
pub(super) fn nearby_residents(view: &View<'_>, out: &mut [f32]) {
    let mut window = view.occupancy.window(view.at);
    let mut people = 0;
    while window != 0 {
        people += view.occupancy.on(tile(view, window.trailing_zeros() as usize));
        window &= window - 1;
    }
    out[0] = (f32::from(people - 1) / 8.0).min(1.0);
}

/// Objects in the window: those the resident may use and, when the buffer has room for more features, their groups (food,
/// care, company) and their load (users over capacity). One pass writes all of them, because the number of objects differs
/// from tile to tile and mispredicted loop ends are slow.
pub(super) fn objects(view: &View<'_>, out: &mut [f32]) {
    let near = view.near;
    match out.as_chunks_mut::<VIEW_TILES>().0 {
        [open] => near.iter().for_each(|near| open[near.at as usize] = near.is_open(view.home)),
        [open, kinds @ .., taken] => {
            for near in near {
                let at = near.at as usize;
                open[at] = near.is_open(view.home);
                kinds[near.kind as usize][at] = 1.0;
                let users = view.queue_index.users(near.object);
                // Rarely true, and a division is slow.
                if users > 0 {
                    taken[at] = f32::from(users) / f32::from(near.capacity);
                }
            }
        }
        [] => {}
    }
}

/// The load of the objects in the window, over the old one, into the values that [`objects`] writes.
pub(super) fn taken(view: &View<'_>, out: &mut [f32]) {
    let [_, .., taken] = out.as_chunks_mut::<VIEW_TILES>().0 else { return };
    for near in view.near {
        let users = view.queue_index.users(near.object);
        taken[near.at as usize] = if users > 0 { f32::from(users) / f32::from(near.capacity) } else { 0.0 };
    }
}

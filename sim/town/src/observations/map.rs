//! The map rows: what lies, stands and walks on the tiles around a resident.
//!
//! Windows are cut off by the edge of the town where they are made: in `sights` and `crowd`. Rule: "Observations".

use crate::ids::Tile;
use crate::observations::view::View;
use crate::observations::{REACH, SIDE, WINDOW};

/// Four bits as four values: a window of bits is written out by them, four tiles at a time.
static FOUR: [[f32; 4]; 16] = {
    let mut four = [[0.0; 4]; 16];
    let mut bits = 0;
    while bits < 16 {
        let mut tile = 0;
        while tile < 4 {
            if bits >> tile & 1 == 1 {
                four[bits][tile] = 1.0;
            }
            tile += 1;
        }
        bits += 1;
    }
    four
};

/// Where one can walk.
pub(super) fn ground(view: &View<'_>, out: &mut [f32]) {
    let window = view.rules.sights.ground[view.tile];
    let (fours, last) = out.as_chunks_mut::<4>();
    // Two words are shifted faster than one of 128 bits.
    let (near, far) = fours.split_at_mut(16);
    for (out, bits) in [(near, window as u64), (far, (window >> 64) as u64)] {
        for (four, out) in out.iter_mut().enumerate() {
            *out = FOUR[(bits >> (4 * four) & 15) as usize];
        }
    }
    last[0] = (window >> (WINDOW - 1)) as f32;
}

/// Others on a tile, four or more being 1.
pub(super) fn people(view: &View<'_>, out: &mut [f32]) {
    let mut window = view.crowd.around(view.at);
    while window != 0 {
        let at = window.trailing_zeros() as usize;
        window &= window - 1;
        out[at] = share(view.crowd.on(tile(view, at)));
    }
    out[WINDOW / 2] = share(view.crowd.on(view.tile) - 1);
}

/// The tile at a place of the window.
fn tile(view: &View<'_>, at: usize) -> Tile {
    let (row, column) = (at / SIDE, at % SIDE);
    let (x, y) = (view.at.0 + column - REACH, view.at.1 + row - REACH);
    Tile((y * view.rules.plan.width as usize + x) as u32)
}

fn share(people: u16) -> f32 {
    (f32::from(people) * 0.25).min(1.0)
}

/// Others in the window, eight or more being 1.
pub(super) fn around(view: &View<'_>, out: &mut [f32]) {
    let mut window = view.crowd.around(view.at);
    let mut people = 0;
    while window != 0 {
        people += view.crowd.on(tile(view, window.trailing_zeros() as usize));
        window &= window - 1;
    }
    out[0] = (f32::from(people - 1) / 8.0).min(1.0);
}

/// The objects near by: those this resident may use, because they stand in no home or in their own; with room for more
/// rows, food, care and company by themselves, and how far each is taken: its users over its capacity. One pass for all,
/// because how many there are differs from tile to tile, and a loop that ends elsewhere each time is a slow one.
pub(super) fn objects(view: &View<'_>, out: &mut [f32]) {
    let near = view.rules.sights.near(view.tile);
    match out.as_chunks_mut::<WINDOW>().0 {
        [open] => near.iter().for_each(|near| open[near.at as usize] = near.is_open(view.home)),
        [open, kinds @ .., taken] => {
            for near in near {
                let at = near.at as usize;
                open[at] = near.is_open(view.home);
                kinds[near.kind as usize][at] = 1.0;
                taken[at] = view.state.objects[near.object].uses.len() as f32 * near.part;
            }
        }
        [] => {}
    }
}

//! What a policy sees of the town: three layouts made from one table of rows, written in place.
//!
//! Owns where each value stands and what it may be; `f32` begins here and nothing here is read back by the town. Must not
//! know who looks. Every variant takes its rows from [`features::FEATURES`], so what two variants both say they say alike. Rule:
//! "Observations".

mod features;
mod map_features;
mod social_features;
mod static_features;
mod tile_mask;
mod view;

use std::fmt::Write as _;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

pub use features::FEATURES;
pub(crate) use static_features::StaticFeatures;
pub use static_features::TARGETS;
pub(crate) use tile_mask::TileMask;
pub use view::View;

use crate::config::Observations;
use crate::ids::AgentId;
use crate::town::Town;
use view::Frame;

/// Tiles seen to each side of a resident.
pub const VIEW_RADIUS: usize = 5;
/// Tiles along an edge of the map a resident sees.
pub const VIEW_SIDE: usize = 2 * VIEW_RADIUS + 1;
/// Tiles of that map.
pub const VIEW_TILES: usize = VIEW_SIDE * VIEW_SIDE;

/// Residents whose views are made before the first of them is written out. What a view holds lies far apart in memory, and
/// is fetched at once for all of them instead of one after the other.
const VIEW_BATCH: usize = 8;

/// One row of the table: some values that belong together.
pub struct Row {
    /// Such as `needs`; unique.
    pub name: &'static str,
    /// Number of values.
    pub length: usize,
    /// Least and greatest a value can be.
    pub range: [f32; 2],
    /// Which variants show it, in the order of [`VARIANTS`].
    pub shown: [bool; 3],
    /// What the values say, in their order.
    pub meaning: &'static str,
    /// Writes those that are not 0; all are cleared before. `None`: the row before this one writes it too.
    pub write: Option<fn(&View<'_>, &mut [f32])>,
}

/// Rows that are written together, in one variant.
struct WriteSpan {
    write: fn(&View<'_>, &mut [f32]),
    length: usize,
}

/// Every variant with its name.
pub const VARIANTS: [(Observations, &str); 3] =
    [(Observations::Full, "full"), (Observations::Hybrid, "hybrid"), (Observations::Compact, "compact")];

/// A row and where it stands in a variant.
pub struct Place {
    /// What it says.
    pub row: &'static Row,
    /// Where its first value stands.
    pub offset: usize,
}

/// What one variant looks like: what docs, tests, inspector and checkpoints go by.
pub struct Layout {
    /// Such as `full`.
    pub name: &'static str,
    /// Rows in the order of their offsets; they leave no gap.
    pub places: Vec<Place>,
    /// Values a resident.
    pub width: usize,
    /// 32 hex digits over names, offsets, lengths and ranges; part of a checkpoint's identity.
    pub hash: String,
    /// Who writes which values, in their order.
    spans: Vec<WriteSpan>,
}

static LAYOUTS: LazyLock<[Layout; 3]> = LazyLock::new(|| std::array::from_fn(Layout::build));

/// The layout of a variant.
pub fn layout(variant: Observations) -> &'static Layout {
    &LAYOUTS[variant as usize]
}

/// The layout's part of a checkpoint's identity.
pub fn layout_hash(variant: Observations) -> &'static str {
    &layout(variant).hash
}

/// Writes what one resident sees in the variant the town is configured for. Asks for exactly the layout's width.
pub fn observe(town: &Town, agent: AgentId, out: &mut [f32]) {
    layout(town.rules().config.features.systems.observations).observe(town, agent, out);
}

/// Writes what everybody sees in the variant the town is configured for; see [`Layout::observe_all`].
pub fn observe_all(town: &Town, out: &mut [f32]) -> usize {
    layout(town.rules().config.features.systems.observations).observe_all(town, out)
}

impl Layout {
    fn build(variant: usize) -> Self {
        let name = VARIANTS[variant].1;
        let (mut places, mut spans, mut offset) = (Vec::new(), Vec::<WriteSpan>::new(), 0);
        let mut sealed = Sha256::new();
        for row in FEATURES.iter().filter(|row| row.shown[variant]) {
            let [least, most] = row.range;
            sealed.update(format!("{} {offset} {} {least} {most}\n", row.name, row.length));
            places.push(Place { row, offset });
            match (row.write, spans.last_mut()) {
                (Some(write), _) => spans.push(WriteSpan { write, length: row.length }),
                (None, Some(before)) => before.length += row.length,
                (None, None) => unreachable!("the first row is written by itself"),
            }
            offset += row.length;
        }
        let hash = crate::snapshot::hex(&sealed.finalize()[..16]);
        Self { name, places, width: offset, hash, spans }
    }

    /// The row of that name, as far as this variant shows it.
    pub fn place(&self, name: &str) -> Option<&Place> {
        self.places.iter().find(|place| place.row.name == name)
    }

    /// Writes what one resident sees. Every value is written; `out` holds exactly [`Layout::width`].
    pub fn observe(&self, town: &Town, agent: AgentId, out: &mut [f32]) {
        assert_eq!(out.len(), self.width, "an observation is as wide as its layout");
        self.write(&View::new(town, &Frame::new(town), agent), out);
    }

    /// Writes what everybody sees, one row a resident in the order of `agents.present`; what is left of `out` is cleared,
    /// so that nothing of those who have gone stays behind. Returns the number of rows.
    pub fn observe_all(&self, town: &Town, out: &mut [f32]) -> usize {
        let present = &town.state().agents.present;
        assert!(out.len() >= present.len() * self.width, "there is room for everybody");
        let frame = Frame::new(town);
        let (rows, rest) = out.split_at_mut(present.len() * self.width);
        for (present, rows) in present.chunks(VIEW_BATCH).zip(rows.chunks_mut(VIEW_BATCH * self.width)) {
            let views: [View<'_>; VIEW_BATCH] =
                std::array::from_fn(|at| View::new(town, &frame, present[at.min(present.len() - 1)]));
            for (view, out) in views.iter().zip(rows.chunks_exact_mut(self.width)) {
                self.write(view, out);
            }
        }
        rest.fill(0.0);
        present.len()
    }

    fn write(&self, view: &View<'_>, out: &mut [f32]) {
        // At once for all rows: most values are 0, and one long stretch is cleared faster than many short ones.
        out.fill(0.0);
        let mut rest = out;
        for span in &self.spans {
            let (values, after) = rest.split_at_mut(span.length);
            (span.write)(view, values);
            rest = after;
        }
    }
}

/// The page of documentation made from the table.
pub fn page() -> String {
    let mut page = String::from(
        "# Observations\n\nMade from the table in `sim/town/src/observations` by `UPDATE_DOCS=1 cargo test -p townlet-town`; a \
         test holds it to the code.\n\nWhat a policy sees of a resident, as `f32`. `features.systems.observations` chooses \
         one of three layouts. A row that stands in several layouts says the same in each. The hash covers names, offsets, \
         lengths and ranges; a checkpoint of another hash is refused.\n\nMaps are 11 × 11 tiles, row by row from the \
         north-west, with the resident in the middle; what lies outside the town is 0.\n",
    );
    for layout in LAYOUTS.iter() {
        let _ = write!(
            page,
            "\n## `{}`\n\n{} values, hash `{}`.\n\n| row | offset | length | range | meaning |\n|---|---|---|---|---|\n",
            layout.name, layout.width, layout.hash
        );
        for Place { row, offset } in &layout.places {
            let [least, most] = row.range;
            let _ =
                writeln!(page, "| `{}` | {offset} | {} | [{least}, {most}] | {} |", row.name, row.length, row.meaning);
        }
    }
    page
}

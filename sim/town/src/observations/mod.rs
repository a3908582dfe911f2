//! Observations: three layouts built from one table of features ([`FEATURES`]), written as `f32` into the caller's buffer. The
//! town never reads them back. Rule: "Observations".

mod buffer;
mod crowd_features;
mod features;
mod map_features;
mod social_features;
mod view;

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::LazyLock;

pub use buffer::{BufferPart, ObservationBuffer};
pub use features::FEATURES;
pub use view::View;

use crate::config::Observations;
use crate::hash;
use crate::ids::AgentId;
pub use crate::rules::TARGETS;
pub use crate::tile_mask::{VIEW_RADIUS, VIEW_SIDE, VIEW_TILES};
use crate::town::Town;
use view::Frame;

/// A feature: a group of values.
#[derive(Clone, Copy)]
pub struct Feature {
    /// Unique name, such as `needs`.
    pub name: &'static str,
    /// Number of values.
    pub length: usize,
    /// Smallest and largest value.
    pub range: [f32; 2],
    /// Whether each variant contains it, in the order of [`VARIANTS`].
    pub shown: [bool; 3],
    /// Meaning of the values, in their order.
    pub meaning: &'static str,
    /// Writes the values that are not 0, into a cleared buffer. `None` when the feature before writes this one too.
    pub write: Option<fn(&View<'_>, &mut [f32])>,
    /// Brings the values up to date in a row of the same resident on the same tile.
    pub refresh: Refresh,
}

/// How the values of a feature are brought up to date in a row that shows the same resident with the same tile, home and job.
#[derive(Clone, Copy)]
pub enum Refresh {
    /// They depend on nothing else and stay.
    Keep,
    /// They are cleared and written again.
    Write,
    /// They are written over the old ones by this function, which gets all values that the feature's writer writes.
    Over(fn(&View<'_>, &mut [f32])),
}

/// Values of a variant that one function writes.
struct WriteSpan {
    write: fn(&View<'_>, &mut [f32]),
    refresh: Refresh,
    length: usize,
}

/// A step of bringing a row up to date: clears these values, or writes them.
struct RefreshStep {
    values: Range<usize>,
    write: Option<fn(&View<'_>, &mut [f32])>,
}

/// The variants with their names.
pub const VARIANTS: [(Observations, &str); 3] =
    [(Observations::Full, "full"), (Observations::Hybrid, "hybrid"), (Observations::Compact, "compact")];

/// A feature in a layout.
pub struct PlacedFeature {
    /// The feature.
    pub feature: &'static Feature,
    /// Index of its first value.
    pub offset: usize,
}

/// The layout of a variant.
pub struct Layout {
    /// Name, such as `full`.
    pub name: &'static str,
    /// Features in the order of their offsets, without gaps.
    pub features: Vec<PlacedFeature>,
    /// Values per resident.
    pub width: usize,
    /// 32 hex digits over names, offsets, lengths and ranges. A checkpoint holds the hash of its layout.
    pub hash: String,
    /// Writers, in the order of the values.
    spans: Vec<WriteSpan>,
    /// What brings a row of the same resident on the same tile up to date.
    refresh: Vec<RefreshStep>,
}

static LAYOUTS: LazyLock<[Layout; 3]> = LazyLock::new(|| std::array::from_fn(Layout::build));

/// The layout of a variant.
pub fn layout(variant: Observations) -> &'static Layout {
    &LAYOUTS[variant as usize]
}

/// The hash of a variant's layout.
pub fn layout_hash(variant: Observations) -> &'static str {
    &layout(variant).hash
}

/// Writes the observation of a resident in the variant of the configuration. `out` has the layout's width.
pub fn observe(town: &Town, agent: AgentId, out: &mut [f32]) {
    layout(town.rules().config.features.systems.observations).observe(town, agent, out);
}

/// Writes the observations of all residents in the variant of the configuration; see [`Layout::observe_all`].
pub fn observe_all(town: &Town, out: &mut [f32]) -> usize {
    layout(town.rules().config.features.systems.observations).observe_all(town, out)
}

impl Layout {
    fn build(variant: usize) -> Self {
        let name = VARIANTS[variant].1;
        let (mut features, mut spans, mut offset) = (Vec::new(), Vec::<WriteSpan>::new(), 0);
        let mut lines = String::new();
        for row in FEATURES.iter().filter(|row| row.shown[variant]) {
            let [least, most] = row.range;
            let _ = writeln!(lines, "{} {offset} {} {least} {most}", row.name, row.length);
            features.push(PlacedFeature { feature: row, offset });
            match (row.write, spans.last_mut()) {
                (Some(write), _) => spans.push(WriteSpan { write, refresh: row.refresh, length: row.length }),
                (None, Some(before)) => before.length += row.length,
                (None, None) => unreachable!("the first feature has a writer"),
            }
            offset += row.length;
        }
        let refresh = refresh_steps(&spans);
        Self { name, features, width: offset, hash: hash::short_digest([lines]), spans, refresh }
    }

    /// The feature with a name, when the layout contains it.
    pub fn feature(&self, name: &str) -> Option<&PlacedFeature> {
        self.features.iter().find(|placed| placed.feature.name == name)
    }

    /// Writes the observation of a resident, every value of it. The length of `out` must be [`Layout::width`].
    pub fn observe(&self, town: &Town, agent: AgentId, out: &mut [f32]) {
        assert_eq!(out.len(), self.width, "the buffer has the width of the layout");
        self.write(&View::new(town, &Frame::new(town), agent), out);
    }

    /// Writes the observations of these residents, one after the other. `out` holds a row for each of them.
    pub fn observe_each(&self, town: &Town, agents: impl Iterator<Item = AgentId>, out: &mut [f32]) {
        let frame = Frame::new(town);
        for (agent, row) in agents.zip(out.chunks_exact_mut(self.width)) {
            self.write(&View::new(town, &frame, agent), row);
        }
    }

    /// Writes the observations of all residents, in the order of `agents.present`, and clears the rest of `out`. Returns the
    /// number of residents.
    pub fn observe_all(&self, town: &Town, out: &mut [f32]) -> usize {
        let present = &town.state().agents.present;
        assert!(out.len() >= present.len() * self.width, "the buffer has room for all residents");
        let (rows, rest) = out.split_at_mut(present.len() * self.width);
        self.observe_each(town, present.iter().copied(), rows);
        rest.fill(0.0);
        present.len()
    }

    fn write(&self, view: &View<'_>, out: &mut [f32]) {
        // Clears everything at once, which is faster than span by span. Most values stay 0.
        out.fill(0.0);
        let mut rest = out;
        for span in &self.spans {
            let (values, after) = rest.split_at_mut(span.length);
            (span.write)(view, values);
            rest = after;
        }
    }

    /// Brings a row up to date that shows the same resident with the same tile, home and job.
    fn refresh(&self, view: &View<'_>, out: &mut [f32]) {
        for step in &self.refresh {
            let values = &mut out[step.values.clone()];
            match step.write {
                Some(write) => write(view, values),
                None => values.fill(0.0),
            }
        }
    }
}

/// The steps that bring the values of these spans up to date. Adjacent values are cleared at once.
fn refresh_steps(spans: &[WriteSpan]) -> Vec<RefreshStep> {
    let mut steps: Vec<RefreshStep> = Vec::new();
    let (mut offset, mut cleared) = (0, 0);
    for span in spans {
        let values = offset..offset + span.length;
        offset = values.end;
        let (write, clears) = match span.refresh {
            Refresh::Keep => continue,
            Refresh::Write => (span.write, true),
            Refresh::Over(write) => (write, false),
        };
        if clears {
            let adjacent = |step: &&mut RefreshStep| step.write.is_none() && step.values.end == values.start;
            if let Some(step) = steps.get_mut(cleared).filter(adjacent) {
                step.values.end = values.end;
            } else {
                cleared = steps.len();
                steps.push(RefreshStep { values: values.clone(), write: None });
            }
        }
        steps.push(RefreshStep { values, write: Some(write) });
    }
    steps
}

/// The reference page, `docs/OBSERVATIONS.md`.
pub fn page() -> String {
    let mut page = String::from(
        "# Observations\n\nGenerated from the table in `sim/town/src/observations`. Run `UPDATE_DOCS=1 cargo test -p townlet-town` to update \
         it; a test compares them.\n\nThe observation of a resident, as `f32` values. `features.systems.observations` selects \
         one of three layouts. A feature has the same values in every layout that contains it. The hash covers names, \
         offsets, lengths and ranges; a checkpoint with another hash is refused.\n\nMaps are 11 × 11 tiles, row by row from \
         the north-west, with the resident in the middle; tiles outside the town are 0.\n",
    );
    for layout in LAYOUTS.iter() {
        let _ = write!(
            page,
            "\n## `{}`\n\n{} values, hash `{}`.\n\n| feature | offset | length | range | meaning |\n|---|---|---|---|---|\n",
            layout.name, layout.width, layout.hash
        );
        for PlacedFeature { feature: row, offset } in &layout.features {
            let [least, most] = row.range;
            let _ =
                writeln!(page, "| `{}` | {offset} | {} | [{least}, {most}] | {} |", row.name, row.length, row.meaning);
        }
    }
    page
}

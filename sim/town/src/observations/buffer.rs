//! Observations kept from tick to tick. A row of a resident who has not moved is brought up to date instead of written anew.
//! Rule: "Observations".

use std::fmt;
use std::sync::Arc;

use crate::ids::AgentId;
use crate::observations::Layout;
use crate::observations::view::{Frame, Standpoint, View};
use crate::rules::{Route, Rules};
use crate::town::Town;

/// Views created before the first of them is written. The data of a view is scattered in memory; a batch fetches it for
/// several residents at once.
const VIEW_BATCH: usize = 8;

/// The observations of all residents of a town, a row for each in the order of `agents.present`.
///
/// The values are those of [`Layout::observe_all`], whatever the buffer showed before: another tick, another town, or other
/// rules.
#[derive(Clone)]
pub struct ObservationBuffer {
    layout: &'static Layout,
    values: Vec<f32>,
    rows: Vec<Option<Row>>,
    /// The rules that the rows belong to.
    rules: Option<Arc<Rules>>,
    frame: Option<Frame>,
}

impl fmt::Debug for ObservationBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObservationBuffer").field("layout", &self.layout.name).finish_non_exhaustive()
    }
}

/// What a row shows, and the inputs of its view that are needed again.
#[derive(Clone, Copy)]
struct Row {
    standpoint: Standpoint,
    route_to_work: Route,
}

/// Consecutive rows of a buffer, which a thread brings up to date.
pub struct BufferPart<'a> {
    layout: &'static Layout,
    town: &'a Town,
    frame: &'a Frame,
    agents: &'a [AgentId],
    rows: &'a mut [Option<Row>],
    values: &'a mut [f32],
}

impl ObservationBuffer {
    /// A buffer without rows.
    pub const fn new(layout: &'static Layout) -> Self {
        Self { layout, values: Vec::new(), rows: Vec::new(), rules: None, frame: None }
    }

    /// The layout of the rows.
    pub const fn layout(&self) -> &'static Layout {
        self.layout
    }

    /// The rows of the last update, one after the other: residents × [`Layout::width`] values.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Brings every row up to date and returns them; see [`ObservationBuffer::values`].
    pub fn update(&mut self, town: &Town) -> &[f32] {
        self.parts(town, usize::MAX).for_each(BufferPart::update);
        &self.values
    }

    /// The rows in parts of `size` residents, which may be brought up to date on several threads.
    pub fn parts<'a>(&'a mut self, town: &'a Town, size: usize) -> impl Iterator<Item = BufferPart<'a>> {
        let agents = &town.state().agents.present;
        let layout = self.layout;
        if self.rules.as_ref().is_none_or(|rules| !Arc::ptr_eq(rules, town.rules())) {
            self.rows.clear();
            self.frame = None;
            self.rules = Some(Arc::clone(town.rules()));
        }
        if self.rows.len() != agents.len() {
            self.rows.resize(agents.len(), None);
            self.values.resize(agents.len() * layout.width, 0.0);
        }
        let frame = Frame::for_all(town, self.frame.take());
        let frame = &*self.frame.insert(frame);
        let size = size.clamp(1, agents.len().max(1));
        let values = self.values.chunks_mut(size * layout.width);
        let parts = agents.chunks(size).zip(self.rows.chunks_mut(size)).zip(values);
        parts.map(move |((agents, rows), values)| BufferPart { layout, town, frame, agents, rows, values })
    }
}

impl BufferPart<'_> {
    /// Brings the rows up to date.
    pub fn update(self) {
        let Self { layout, town, frame, .. } = self;
        let batches = self.agents.chunks(VIEW_BATCH).zip(self.rows.chunks_mut(VIEW_BATCH));
        for ((agents, rows), values) in batches.zip(self.values.chunks_mut(VIEW_BATCH * layout.width)) {
            let mut fresh = [false; VIEW_BATCH];
            let views: [View<'_>; VIEW_BATCH] = std::array::from_fn(|at| {
                let at = at.min(agents.len() - 1);
                let (agent, standpoint) = (agents[at], Standpoint::of(town.state(), agents[at]));
                if let Some(row) = rows[at].filter(|row| row.standpoint == standpoint) {
                    return View::again(town, frame, agent, row.route_to_work);
                }
                let view = View::new(town, frame, agent);
                rows[at] = Some(Row { standpoint, route_to_work: view.route_to_work });
                fresh[at] = true;
                view
            });
            for ((view, fresh), out) in views.iter().zip(fresh).zip(values.chunks_exact_mut(layout.width)) {
                if fresh { layout.write(view, out) } else { layout.refresh(view, out) }
            }
        }
    }
}

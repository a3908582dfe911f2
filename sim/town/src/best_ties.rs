//! The ties that residents observe, derived from `agents.ties`. The rules of ties keep them up to date, so that an observation
//! does not compare all ties.

use crate::fixed_point::Micro;
use crate::ids::{AgentId, Column};
use crate::memory::HeapBytes as _;
use crate::state::{Agents, Tie, Ties};

/// Friends, and rivals, that a resident observes.
pub(crate) const SHOWN: usize = 2;

/// The best friends and the strongest rivals of every resident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BestTies(Column<AgentId, Best>);

/// Places in [`Ties`], the best one first; [`NONE`] where there are fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Best {
    friends: [u8; SHOWN],
    rivals: [u8; SHOWN],
}

const NONE: u8 = u8::MAX;

impl Best {
    fn of(ties: &Ties) -> Self {
        Self { friends: highest(ties, |tie| tie.trust), rivals: highest(ties, |tie| tie.rivalry) }
    }
}

/// The places of the ties with the highest positive value. The lower slot comes first among equal ones.
fn highest(ties: &Ties, value: impl Fn(&Tie) -> Micro) -> [u8; SHOWN] {
    let mut best: [Option<(u8, &Tie)>; SHOWN] = [None; SHOWN];
    for (place, tie) in ties.places().filter(|(_, tie)| value(tie) > Micro::ZERO) {
        let before =
            |held: Option<(u8, &Tie)>| held.is_none_or(|(_, held)| (value(tie), held.other) > (value(held), tie.other));
        if before(best[0]) {
            best = [Some((place, tie)), best[0]];
        } else if before(best[1]) {
            best[1] = Some((place, tie));
        }
    }
    best.map(|held| held.map_or(NONE, |(place, _)| place))
}

impl BestTies {
    /// Those of all residents.
    pub(crate) fn new(agents: &Agents) -> Self {
        Self(agents.ties.iter().map(Best::of).collect::<Vec<_>>().into())
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }

    /// Looks at the ties of a resident again, because they changed.
    pub(crate) fn update(&mut self, agents: &Agents, agent: AgentId) {
        self.0[agent] = Best::of(&agents.ties[agent]);
    }

    /// The most trusted residents, the most trusted first.
    pub(crate) fn friends<'a>(&self, agents: &'a Agents, agent: AgentId) -> [Option<&'a Tie>; SHOWN] {
        self.0[agent].friends.map(|place| agents.ties[agent].at(place))
    }

    /// The strongest rivals, the strongest first.
    pub(crate) fn rivals<'a>(&self, agents: &'a Agents, agent: AgentId) -> [Option<&'a Tie>; SHOWN] {
        self.0[agent].rivals.map(|place| agents.ties[agent].at(place))
    }
}

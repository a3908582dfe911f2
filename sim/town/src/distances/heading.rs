//! Steps to a destination and the sides on which they become fewer, in one word, so that a step of a walk reads one value.

use std::cmp::Ordering;

use crate::plan::{MAX_STEPS, UNREACHABLE};

/// Steps to a destination, and the adjacent tiles that are one step nearer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heading(u16);

/// Bits of the sides, below those of the steps.
pub(super) const SIDE_BITS: u32 = 4;

impl Heading {
    /// No path.
    pub(crate) const NONE: Self = Self(u16::MAX << SIDE_BITS);

    /// From steps and a bit for each side: north, east, south, west.
    pub(super) const fn new(steps: u16, sides: u16) -> Self {
        debug_assert!(steps <= MAX_STEPS && sides < 1 << SIDE_BITS, "a plan with longer ways is refused");
        Self(steps << SIDE_BITS | sides)
    }

    /// Steps left; [`UNREACHABLE`] without a path.
    pub const fn steps(self) -> u16 {
        if self.0 == Self::NONE.0 { UNREACHABLE } else { self.0 >> SIDE_BITS }
    }

    /// The sides with an adjacent tile that is nearer, in the order of [`crate::plan::Plan::neighbours`].
    pub fn sides(self) -> impl Iterator<Item = usize> {
        (0..SIDE_BITS as usize).filter(move |side| self.0 >> side & 1 == 1)
    }

    /// The first of [`Heading::sides`] counted from 1; 0 when there is none.
    pub(crate) const fn first_side(self) -> u16 {
        let sides = self.0 & ((1 << SIDE_BITS) - 1);
        if sides == 0 { 0 } else { sides.trailing_zeros() as u16 + 1 }
    }

    /// Whether it is the destination itself.
    pub(super) const fn is_there(self) -> bool {
        self.0 >> SIDE_BITS == 0
    }

    /// The same way to a destination this many steps farther.
    pub(crate) fn plus(self, steps: u16) -> Self {
        let sum = u32::from(self.0) + (u32::from(steps) << SIDE_BITS);
        Self(sum.min(u32::from(Self::NONE.0)) as u16)
    }

    /// The way to the nearer of two destinations; with equal steps, the sides of both.
    pub(crate) fn or(self, other: Self) -> Self {
        match (self.0 >> SIDE_BITS).cmp(&(other.0 >> SIDE_BITS)) {
            Ordering::Less => self,
            Ordering::Equal => Self(self.0 | other.0),
            Ordering::Greater => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_of_two_destinations_gives_the_sides() {
        let (north, east) = (Heading::new(7, 0b0001), Heading::new(7, 0b0010));
        assert_eq!(north.or(east), Heading::new(7, 0b0011));
        assert_eq!(north.or(east.plus(1)), north);
        assert_eq!(Heading::NONE.or(east), east);
        assert_eq!((Heading::NONE.plus(9), Heading::NONE.steps()), (Heading::NONE, UNREACHABLE));
        assert_eq!(Heading::new(MAX_STEPS, 0b1111).plus(1), Heading::NONE);
        assert_eq!(Heading::new(3, 0b1100).sides().collect::<Vec<_>>(), [2, 3]);
        assert_eq!([Heading::new(3, 0b1100), Heading::new(0, 0)].map(Heading::first_side), [3, 0]);
    }
}

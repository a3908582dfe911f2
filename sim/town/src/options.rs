//! The nine options a policy chooses from, and masks over them. Rule: "Options".

use serde::{Deserialize, Serialize};

/// An option: a goal a resident pursues over several ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum OptionKind {
    /// Stay in place.
    #[default]
    Wait = 0,
    /// Eat a meal at home or at the café.
    Eat = 1,
    /// Turn groceries into meals for the fridge at home.
    Cook = 2,
    /// Take a shower.
    Wash = 3,
    /// Sleep in a bed at home.
    Sleep = 4,
    /// Go to the job and stay for the shift.
    Work = 5,
    /// Buy groceries.
    Shop = 6,
    /// Sit at a table.
    Socialise = 7,
    /// Walk home.
    GoHome = 8,
}

/// Every option with its name, in the order of the mask.
pub const OPTIONS: [(OptionKind, &str); 9] = [
    (OptionKind::Wait, "wait"),
    (OptionKind::Eat, "eat"),
    (OptionKind::Cook, "cook"),
    (OptionKind::Wash, "wash"),
    (OptionKind::Sleep, "sleep"),
    (OptionKind::Work, "work"),
    (OptionKind::Shop, "shop"),
    (OptionKind::Socialise, "socialise"),
    (OptionKind::GoHome, "go_home"),
];

impl OptionKind {
    /// Its index in [`OPTIONS`] and in every mask.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name, such as `go_home`.
    pub const fn name(self) -> &'static str {
        OPTIONS[self.index()].1
    }

    /// The option with a name.
    pub fn named(name: &str) -> Option<Self> {
        OPTIONS.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// The option at an index of the mask.
    pub fn at(index: u8) -> Option<Self> {
        OPTIONS.get(index as usize).map(|row| row.0)
    }
}

/// One bit per option, set when the option may be chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mask(pub u16);

impl Mask {
    /// Whether an option may be chosen.
    pub const fn allows(self, option: OptionKind) -> bool {
        self.0 >> option.index() & 1 == 1
    }
}

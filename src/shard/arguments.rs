//! The types of command arguments: how clients see each, and the typed value that a row gets.
//!
//! A word that a type does not know is refused by the wire's grammar, because both read the same [`ArgKind`].

use townlet_town::affordances::ITEMS;
use townlet_town::needs::NEEDS;
use townlet_town::options::{OPTIONS, OptionKind};
use townlet_town::state::ASPECTS;
use townlet_town::{Micro, ResidentId, names};
use townlet_wire::command_line::ArgValue;
use townlet_wire::{ArgKind, ErrorBody};

use super::command_table::{error, near_hint};
use super::engine::{SPEEDS, Speed};
use super::publish::Mode;

/// The type of an argument in a row of the command table.
pub(super) trait Argument: Sized {
    const REQUIRED: bool = true;
    /// Given as `--name value`.
    const FLAG: bool = false;

    fn kind() -> ArgKind;

    /// The typed value, or `E_NOT_FOUND`. `value` is `None` only where the argument may be left out.
    fn read(value: Option<ArgValue>) -> Result<Self, ErrorBody>;
}

fn text(value: Option<ArgValue>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn choice<'a>(words: impl IntoIterator<Item = &'a str>) -> ArgKind {
    ArgKind::Choice(words.into_iter().map(str::to_owned).collect())
}

fn chosen(value: Option<&ArgValue>) -> usize {
    let Some(ArgValue::Choice(index, _)) = value else { unreachable!("the grammar reads a choice as a choice") };
    *index
}

/// An argument that may be left out.
impl<T: Argument> Argument for Option<T> {
    const REQUIRED: bool = false;

    fn kind() -> ArgKind {
        T::kind()
    }

    fn read(value: Option<ArgValue>) -> Result<Self, ErrorBody> {
        value.map(|value| T::read(Some(value))).transpose()
    }
}

/// An argument that may be given as `--name value`.
pub(super) struct Flag<T>(pub Option<T>);

impl<T: Argument> Argument for Flag<T> {
    const REQUIRED: bool = false;
    const FLAG: bool = true;

    fn kind() -> ArgKind {
        T::kind()
    }

    fn read(value: Option<ArgValue>) -> Result<Self, ErrorBody> {
        Option::read(value).map(Self)
    }
}

/// `--reason <text>`, which goes to the audit log.
pub(super) type Reason = Flag<String>;

impl Argument for String {
    fn kind() -> ArgKind {
        ArgKind::Text
    }

    fn read(value: Option<ArgValue>) -> Result<Self, ErrorBody> {
        Ok(text(value))
    }
}

/// Names by kind: each is completed from other places.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident: $kind:ident;)+) => {$(
        $(#[$doc])*
        pub(super) struct $name(pub String);

        impl Argument for $name {
            fn kind() -> ArgKind {
                ArgKind::$kind
            }

            fn read(value: Option<ArgValue>) -> Result<Self, ErrorBody> {
                Ok(Self(text(value)))
            }
        }
    )+};
}

names! {
    /// The name of an object or a place of the map.
    Location: Place;
    /// The name of a command.
    CommandName: Command;
    /// Command lines, to the end of the line.
    CommandLines: Command;
    /// The file name of a snapshot of this run.
    SnapshotName: Snapshot;
    /// A checkpoint's id, `shipped` or `scripted`.
    PolicyName: Policy;
    /// The name of a release snapshot.
    ReleaseName: Release;
}

/// A resident, whether or not they live in the town now.
impl Argument for ResidentId {
    fn kind() -> ArgKind {
        ArgKind::Agent
    }

    fn read(value: Option<ArgValue>) -> Result<Self, ErrorBody> {
        let id = text(value);
        names::resident(&id).ok_or_else(|| {
            let ids: Vec<String> = names::ids().collect();
            let hint = near_hint(&id, ids.iter().map(String::as_str), "The Agents screen lists the residents.");
            error("E_NOT_FOUND", format!("there is no resident `{id}`."), hint)
        })
    }
}

/// A whole number from `MIN` to `MAX`.
pub(super) struct Integer<const MIN: i64, const MAX: i64>(pub i64);

impl<const MIN: i64, const MAX: i64> Argument for Integer<MIN, MAX> {
    fn kind() -> ArgKind {
        ArgKind::Integer { min: MIN, max: MAX }
    }

    fn read(value: Option<ArgValue>) -> Result<Self, ErrorBody> {
        let Some(ArgValue::Integer(number)) = value else { unreachable!("the grammar reads a number as a number") };
        Ok(Self(number))
    }
}

/// A decimal from `MIN` to `MAX` thousandths.
pub(super) struct Decimal<const MIN: i64, const MAX: i64>(pub Micro);

impl<const MIN: i64, const MAX: i64> Argument for Decimal<MIN, MAX> {
    fn kind() -> ArgKind {
        ArgKind::Decimal { min: MIN as f64 / 1e3, max: MAX as f64 / 1e3 }
    }

    fn read(value: Option<ArgValue>) -> Result<Self, ErrorBody> {
        let Some(ArgValue::Decimal(number)) = value else { unreachable!("the grammar reads a decimal as a decimal") };
        Micro::from_f64(number)
            .map(Self)
            .ok_or_else(|| error("E_INVALID_ARG", format!("{number} is out of range."), "Give a smaller number."))
    }
}

/// A row of the needs table.
pub(super) struct Need(pub usize);
/// A row of the price list.
pub(super) struct Item(pub usize);
/// A side of a tie.
pub(super) struct Aspect(pub usize);
/// A system of the town that can be switched.
pub(super) struct Feature(pub usize);
/// `on`, `off` or `limit`.
pub(super) struct NarrationSwitch(pub usize);

/// Types that are one of some words: the value is made of the place of the word.
macro_rules! choices {
    ($($kind:ty: $words:expr, $place:ident => $value:expr;)+) => {$(
        impl Argument for $kind {
            fn kind() -> ArgKind {
                choice($words)
            }

            fn read(value: Option<ArgValue>) -> Result<Self, ErrorBody> {
                let $place = chosen(value.as_ref());
                Ok($value)
            }
        }
    )+};
}

choices! {
    bool: ["on", "off"], place => place == 0;
    Need: NEEDS.iter().map(|row| row.name), place => Self(place);
    Item: ITEMS.iter().map(|row| row.1), place => Self(place);
    Aspect: ASPECTS, place => Self(place);
    Feature: ["queue_fairness"], place => Self(place);
    NarrationSwitch: ["on", "off", "limit"], place => Self(place);
    OptionKind: OPTIONS.iter().map(|row| row.1), place => OPTIONS[place].0;
    Speed: SPEEDS.iter().map(|row| row.1), place => SPEEDS[place].0;
    Mode: ["full", "aggregate", "auto"], place => [Self::Full, Self::Aggregate, Self::Auto][place];
}

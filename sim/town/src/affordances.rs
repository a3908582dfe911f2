//! What one can do with things: the affordance file, read strictly.
//!
//! Owns the file's shape and its checks. Must not know who uses what. Rule: "Affordances".

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::config::{ConfigErrors, parse_typed};
use crate::fixed_point::Micro;
use crate::needs::{NEED_COUNT, NEEDS};
use crate::options::OptionKind;
use crate::plan::ObjectKind;

/// What can be bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Item {
    /// A meal at the café.
    Meal = 0,
    /// Groceries for two meals.
    Groceries = 1,
}

/// Every item with its name, in the order of the price list.
pub const ITEMS: [(Item, &str); 2] = [(Item::Meal, "meal"), (Item::Groceries, "groceries")];

/// Who may use the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Only those who live there.
    Home,
    /// Everybody.
    Public,
}

/// What it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Price {
    /// Nothing.
    Free,
    /// Today's price of an item.
    Item(Item),
}

/// One thing one can do with one kind of object. All of it happens at the end, except `gradual` effects on needs, so
/// that a use cut short has paid and taken nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affordance {
    /// Such as `eat_at_home`.
    pub id: String,
    /// The option it serves.
    pub option: OptionKind,
    /// What it needs.
    pub object: ObjectKind,
    /// Who may.
    pub access: Access,
    /// In ticks, at least 1.
    pub duration: u32,
    /// Needs power.
    pub power: bool,
    /// Needs water.
    pub water: bool,
    /// Keeps the place's opening hours.
    pub opening_hours: bool,
    /// Paid at the end.
    pub price: Price,
    /// Taken out of the object at the end.
    pub takes_stock: u32,
    /// Taken from what the resident carries at the end.
    pub takes_groceries: u32,
    /// Given to the resident at the end.
    pub gives_groceries: u32,
    /// Costs energy and hygiene and fills the fridge at home, as the economy section says.
    pub cooking: bool,
    /// Counts as a meal eaten.
    pub meal: bool,
    /// Change of each need over the whole duration.
    pub effects: [Micro; NEED_COUNT],
    /// Effects come in equal parts every tick instead of at the end.
    pub gradual: bool,
}

impl Affordance {
    /// What the file says of it, a name and a value each, in the order of the file's form.
    pub(crate) fn facts(&self) -> Vec<(String, String)> {
        let price = match self.price {
            Price::Free => "free",
            Price::Item(item) => ITEMS[item as usize].1,
        };
        let rows: [(&str, String); 14] = [
            ("option", self.option.name().to_owned()),
            ("object", self.object.name().to_owned()),
            ("access", if self.access == Access::Home { "home" } else { "public" }.to_owned()),
            ("duration", self.duration.to_string()),
            ("requires.power", self.power.to_string()),
            ("requires.water", self.water.to_string()),
            ("requires.opening_hours", self.opening_hours.to_string()),
            ("requires.stock", self.takes_stock.to_string()),
            ("requires.groceries", self.takes_groceries.to_string()),
            ("price", price.to_owned()),
            ("gives_groceries", self.gives_groceries.to_string()),
            ("cooking", self.cooking.to_string()),
            ("meal", self.meal.to_string()),
            ("gradual", self.gradual.to_string()),
        ];
        let effects =
            NEEDS.iter().zip(self.effects).map(|(need, effect)| (format!("effects.{}", need.name), effect.to_string()));
        rows.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(effects).collect()
    }
}

/// Why an affordance file was refused.
#[derive(Debug, Error)]
pub enum AffordanceError {
    /// Its grammar, with the place.
    #[error(transparent)]
    Form(#[from] ConfigErrors),
    /// What it says.
    #[error("{file}: `{id}`: {what}")]
    Wrong {
        /// The file.
        file: String,
        /// The affordance.
        id: String,
        /// What is wrong and what would be right.
        what: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    affordances: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    option: OptionKind,
    object: ObjectKind,
    access: Access,
    duration: u32,
    #[serde(default)]
    requires: Requires,
    #[serde(default)]
    price: Option<Item>,
    #[serde(default)]
    gives_groceries: u32,
    #[serde(default)]
    cooking: bool,
    #[serde(default)]
    meal: bool,
    #[serde(default)]
    effects: std::collections::BTreeMap<String, f64>,
    #[serde(default)]
    gradual: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Requires {
    power: bool,
    water: bool,
    opening_hours: bool,
    stock: u32,
    groceries: u32,
}

/// Reads an affordance file.
///
/// # Errors
/// The first thing that is wrong, with its place where the file's grammar is at fault.
pub fn parse(file: &str, text: &str) -> Result<Vec<Affordance>, AffordanceError> {
    let rows: File = parse_typed(file, text)?;
    let mut affordances: Vec<Affordance> = Vec::new();
    for row in rows.affordances {
        let wrong = |what: String| AffordanceError::Wrong { file: file.to_owned(), id: row.id.clone(), what };
        if affordances.iter().any(|other| other.id == row.id) {
            return Err(wrong("is named twice; ids are unique.".into()));
        }
        if row.duration == 0 || row.duration > 10_000 {
            return Err(wrong("its duration must be from 1 to 10000 ticks.".into()));
        }
        if row.gradual && (row.price.is_some() || row.requires.stock + row.requires.groceries + row.gives_groceries > 0)
        {
            return Err(wrong("a gradual affordance cannot cost or give anything; it could be left half-paid.".into()));
        }
        let mut effects = [Micro::ZERO; NEED_COUNT];
        for (name, value) in &row.effects {
            let Some(need) = NEEDS.iter().position(|need| need.name == name) else {
                let names: Vec<&str> = NEEDS.iter().map(|need| need.name).collect();
                return Err(wrong(format!("`{name}` is not a need; there are {}.", names.join(", "))));
            };
            effects[need] = Micro::from_f64(*value)
                .filter(|value| value.0.abs() <= Micro::ONE.0)
                .ok_or_else(|| wrong(format!("its effect on {name} is {value}; it must be from -1 to 1.")))?;
        }
        affordances.push(Affordance {
            id: row.id,
            option: row.option,
            object: row.object,
            access: row.access,
            duration: row.duration,
            power: row.requires.power,
            water: row.requires.water,
            opening_hours: row.requires.opening_hours,
            price: row.price.map_or(Price::Free, Price::Item),
            takes_stock: row.requires.stock,
            takes_groceries: row.requires.groceries,
            gives_groceries: row.gives_groceries,
            cooking: row.cooking,
            meal: row.meal,
            effects,
            gradual: row.gradual,
        });
    }
    for option in [OptionKind::Eat, OptionKind::Wash, OptionKind::Sleep] {
        if !affordances.iter().any(|affordance| affordance.option == option) {
            let what = format!("none serves the option `{}`; residents would perish.", option.name());
            return Err(AffordanceError::Wrong { file: file.to_owned(), id: String::from("affordances"), what });
        }
    }
    Ok(affordances)
}

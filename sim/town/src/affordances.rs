//! Affordances: the ways to use objects, parsed from the affordance file. Rule: "Affordances".

use std::sync::LazyLock;

use crate::config::schema::{choice, decimal, free, section, text, ticks, whole};
use crate::config::{ConfigError, ConfigErrors, ConfigValue, Node, Shape, TextFormat, Value, ValueKind, parse_file};
use crate::fixed_point::Micro;
use crate::needs::{NEED_COUNT, NEEDS};
use crate::options::{OPTIONS, OptionKind};
use crate::plan::{OBJECT_KINDS, ObjectKind};

/// A good with a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Item {
    /// A meal at the café.
    Meal = 0,
    /// Groceries for two meals.
    Groceries = 1,
}

/// The items with their names, in the order of the price list.
pub const ITEMS: [(Item, &str); 2] = [(Item::Meal, "meal"), (Item::Groceries, "groceries")];

/// The price of a use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Price {
    /// No price.
    Free,
    /// Today's price of an item.
    Item(Item),
}

/// A way to use a kind of object. Everything happens at the end of the use, except `gradual` effects on needs. So a use that is
/// cut short has paid and taken nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affordance {
    /// Id, such as `eat_at_home`.
    pub id: String,
    /// The option it serves.
    pub option: OptionKind,
    /// The kind of object.
    pub object: ObjectKind,
    /// Which objects of the kind can be used.
    pub access: Access,
    /// Duration in ticks, at least 1.
    pub duration: u32,
    /// Whether it needs power.
    pub power: bool,
    /// Whether it needs water.
    pub water: bool,
    /// Whether it is limited to the opening hours of the place.
    pub opening_hours: bool,
    /// Price, paid at the end.
    pub price: Price,
    /// Stock taken from the object at the end.
    pub takes_stock: u32,
    /// Groceries taken from the resident at the end.
    pub takes_groceries: u32,
    /// Groceries given to the resident at the end.
    pub gives_groceries: u32,
    /// Whether it costs energy and hygiene and fills the fridge at home, as configured in `economy`.
    pub cooking: bool,
    /// Whether it counts as a meal eaten.
    pub meal: bool,
    /// Change of each need over the whole duration.
    pub effects: [Micro; NEED_COUNT],
    /// Whether the effects come in equal parts every tick instead of at the end.
    pub gradual: bool,
}

impl Affordance {
    /// Name and value of every setting, for the comparison of two files.
    pub(crate) fn facts(&self) -> Vec<(String, String)> {
        let price = match self.price {
            Price::Free => "free",
            Price::Item(item) => ITEMS[item as usize].1,
        };
        let rows: [(&str, String); 14] = [
            ("option", self.option.name().to_owned()),
            ("object", self.object.name().to_owned()),
            ("access", self.access.word().to_owned()),
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

choice! {
    /// Which objects can be used.
    Access {
        /// Those in the resident's home.
        Home = "home",
        /// Public ones.
        Public = "public",
    }
}

/// Makes the values of a table of names readable from a file.
macro_rules! named_values {
    ($type:ty, $table:ident) => {
        impl ConfigValue for $type {
            fn shape() -> Shape {
                static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| $table.iter().map(|row| row.1).collect());
                Shape::Leaf(ValueKind::Choice(&NAMES))
            }
            fn read(node: &Node) -> Option<Self> {
                let name = node.value.word()?;
                $table.iter().find(|row| row.1.eq_ignore_ascii_case(name)).map(|row| row.0)
            }
            fn write(&self) -> Value {
                let row = $table.iter().find(|row| row.0 == *self);
                Value::Text(row.map(|row| row.1.to_owned()).unwrap_or_default())
            }
        }
    };
}
named_values!(OptionKind, OPTIONS);
named_values!(ObjectKind, OBJECT_KINDS);
named_values!(Item, ITEMS);

section! {
    /// The affordance file.
    AffordanceFile {
        /// The affordances.
        affordances: Vec<AffordanceEntry> = free(),
    }

    /// An affordance.
    AffordanceEntry {
        /// Unique id.
        id: String = text(TextFormat::Name),
        /// The option it serves.
        option: OptionKind = free(),
        /// The kind of object.
        object: ObjectKind = free(),
        /// Which objects of the kind can be used.
        access: Access = free(),
        /// Duration.
        duration: u32 = ticks(1, 10_000),
        /// Requirements.
        requires: Option<Requirements> = free(),
        /// The item whose price is paid.
        price: Option<Item> = free(),
        /// Groceries given to the resident.
        gives_groceries: Option<u32> = whole(0, 100_000, "portions"),
        /// Whether it costs energy and hygiene and fills the fridge at home.
        cooking: Option<bool> = free(),
        /// Whether it counts as a meal.
        meal: Option<bool> = free(),
        /// Changes of the needs.
        effects: Option<Effects> = free(),
        /// Whether the effects come in equal parts every tick.
        gradual: Option<bool> = free(),
    }

    /// Requirements of an affordance.
    Requirements {
        /// Power.
        power: Option<bool> = free(),
        /// Water.
        water: Option<bool> = free(),
        /// Opening hours.
        opening_hours: Option<bool> = free(),
        /// Stock taken from the object.
        stock: Option<u32> = whole(0, 100_000, "portions"),
        /// Groceries taken from the resident.
        groceries: Option<u32> = whole(0, 100_000, "portions"),
    }

    /// Changes of the needs.
    Effects {
        /// Hunger.
        hunger: Option<Micro> = decimal(-1.0, 1.0, ""),
        /// Hygiene.
        hygiene: Option<Micro> = decimal(-1.0, 1.0, ""),
        /// Energy.
        energy: Option<Micro> = decimal(-1.0, 1.0, ""),
    }
}

impl From<AffordanceEntry> for Affordance {
    fn from(entry: AffordanceEntry) -> Self {
        let requires = entry.requires.as_ref();
        let on = |flag: fn(&Requirements) -> Option<bool>| requires.and_then(flag).unwrap_or_default();
        let amount = |count: fn(&Requirements) -> Option<u32>| requires.and_then(count).unwrap_or_default();
        let effects = entry.effects.map_or([None; NEED_COUNT], |it| [it.hunger, it.hygiene, it.energy]);
        Self {
            option: entry.option,
            object: entry.object,
            access: entry.access,
            duration: entry.duration,
            power: on(|it| it.power),
            water: on(|it| it.water),
            opening_hours: on(|it| it.opening_hours),
            price: entry.price.map_or(Price::Free, Price::Item),
            takes_stock: amount(|it| it.stock),
            takes_groceries: amount(|it| it.groceries),
            gives_groceries: entry.gives_groceries.unwrap_or_default(),
            cooking: entry.cooking.unwrap_or_default(),
            meal: entry.meal.unwrap_or_default(),
            effects: effects.map(Option::unwrap_or_default),
            gradual: entry.gradual.unwrap_or_default(),
            id: entry.id,
        }
    }
}

/// Parses an affordance file.
///
/// # Errors
/// All errors, with their positions.
pub fn parse(file: &str, text: &str) -> Result<Vec<Affordance>, ConfigErrors> {
    let (parsed, root) = parse_file::<AffordanceFile>(file, text)?;
    let affordances: Vec<Affordance> = parsed.affordances.into_iter().map(Affordance::from).collect();
    let mut errors = Vec::new();
    let mut refuse = |key: String, problem: String| {
        errors.extend(root.place_of(&key).map(|place| ConfigError::at(place, &key, format!("{key} {problem}"))));
    };
    for (index, it) in affordances.iter().enumerate() {
        if affordances[..index].iter().any(|other| other.id == it.id) {
            refuse(format!("affordances.{index}.id"), format!("is {}, which is taken; ids are unique", it.id));
        }
        if it.gradual && (it.price != Price::Free || it.takes_stock + it.takes_groceries + it.gives_groceries > 0) {
            refuse(
                format!("affordances.{index}.gradual"),
                "is set, so nothing can be taken or given: the use may be cut short".to_owned(),
            );
        }
    }
    for option in [OptionKind::Eat, OptionKind::Wash, OptionKind::Sleep] {
        if !affordances.iter().any(|it| it.option == option) {
            refuse(
                "affordances".to_owned(),
                format!("lacks one for the option {}, which residents need", option.name()),
            );
        }
    }
    if errors.is_empty() { Ok(affordances) } else { Err(ConfigErrors(errors)) }
}

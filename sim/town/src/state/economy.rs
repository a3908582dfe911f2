//! Prices, utilities and the money outside the residents' wallets.

use serde::{Deserialize, Serialize};

use crate::fixed_point::Micro;

/// Reason for a payment between a resident and the outside world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Account {
    /// Paid to residents.
    Wages = 0,
    /// Paid by residents.
    Rent = 1,
    /// Paid by residents.
    Meals = 2,
    /// Paid by residents.
    Groceries = 3,
    /// Paid to newcomers.
    Starter = 4,
    /// Money that leaves with a resident.
    Departure = 5,
    /// Changes by an operator, in either direction.
    Operator = 6,
}

/// Every account with its name, in the order of [`Economy::accounts`].
pub const ACCOUNTS: [(Account, &str); 7] = [
    (Account::Wages, "wages"),
    (Account::Rent, "rent"),
    (Account::Meals, "meals"),
    (Account::Groceries, "groceries"),
    (Account::Starter, "starter"),
    (Account::Departure, "departure"),
    (Account::Operator, "operator"),
];

/// Prices, utilities and the outside balance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Economy {
    /// Today's prices in meals, in the order of the item table: list prices times the active price spikes.
    pub prices: [Micro; 2],
    /// Whether power is on.
    pub power: bool,
    /// Whether water is on.
    pub water: bool,
    /// Balance of the outside world. Together with all wallets it sums to zero.
    pub outside: Micro,
    /// Net payments to residents by [`Account`].
    pub accounts: [Micro; 7],
    /// Prices without price spikes.
    pub list_prices: [Micro; 2],
}

//! Changes of the whole town: prices, utilities, and settings that may change while it runs.

use townlet_town::Command;
use townlet_town::perturbations::{BLACKOUT as POWER_CUT, OUTAGE as WATER_CUT};

use crate::arguments::{Decimal, Feature, Integer, Item, Reason};
use crate::command_table::row;

row! {
    PRICE = "price", Admin, "sets the price of an item, in meals";
    Town(item: Item, value: Decimal<0, 100_000>) => Command::SetPrice { item: item.0 as u8, value: value.0 }
}

row! {
    RELOAD_CONFIG = "reload_config", Admin, "reads the shard's files again and applies all changes or none";
    Reload(reason: Reason)
}

row! {
    BLACKOUT = "blackout", Admin, "switches the power off or on; without it stoves stop and exits are suspended";
    Town(switch: bool) => Command::Perturb { kind: POWER_CUT, on: switch }
}

row! {
    OUTAGE = "outage", Admin, "switches the water off or on; without it showers stop and exits are suspended";
    Town(switch: bool) => Command::Perturb { kind: WATER_CUT, on: switch }
}

row! {
    TOGGLE_MORTALITY = "toggle_mortality", Admin, "switches exits by starvation on or off";
    Town(switch: bool) => Command::Mortality(switch)
}

row! {
    SET_EXIT_CAP = "set_exit_cap", Admin, "employment exits a day";
    Town(exits: Integer<0, 1_000>) => Command::ExitCap(exits.0 as u32)
}

row! {
    SET_SPAWN_DELAY = "set_spawn_delay", Admin, "sets the minimum and maximum ticks between an exit and the arrival of a newcomer";
    Town(least: Integer<0, 100_000>, most: Integer<0, 100_000>) => Command::SpawnDelay(least.0 as u32, most.0 as u32)
}

row! {
    SET_FEATURE = "set_feature", Admin, "switches a system of the town on or off";
    Town(feature: Feature, switch: bool) => [Command::QueueFairness][feature.0](switch)
}

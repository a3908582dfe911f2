//! Changes of the whole town: prices, utilities, and settings that may change while it runs.

use townlet_town::Command;
use townlet_town::perturbations::{BLACKOUT as POWER_CUT, OUTAGE as WATER_CUT};

use crate::arguments::{Decimal, Feature, Integer, Item, Reason};
use crate::command_table::row;

row! {
    PRICE = "price", Admin, "sets what an item costs, in meals";
    Town(item: Item, value: Decimal<0, 100_000>) => Command::SetPrice { item: item.0 as u8, value: value.0 }
}

row! {
    RELOAD_CONFIG = "reload_config", Admin, "reads the shard's files again: all changes are taken, or none";
    Reload(reason: Reason)
}

row! {
    BLACKOUT = "blackout", Admin, "power off or on: stoves stop, exits are suppressed until it is back";
    Town(switch: bool) => Command::Perturb { kind: POWER_CUT, on: switch }
}

row! {
    OUTAGE = "outage", Admin, "water off or on: showers stop, exits are suppressed until it is back";
    Town(switch: bool) => Command::Perturb { kind: WATER_CUT, on: switch }
}

row! {
    TOGGLE_MORTALITY = "toggle_mortality", Admin, "whether residents collapse from hunger";
    Town(switch: bool) => Command::Mortality(switch)
}

row! {
    SET_EXIT_CAP = "set_exit_cap", Admin, "employment exits a day";
    Town(exits: Integer<0, 1_000>) => Command::ExitCap(exits.0 as u32)
}

row! {
    SET_SPAWN_DELAY = "set_spawn_delay", Admin, "ticks between an exit and the newcomer's arrival, least and most";
    Town(least: Integer<0, 100_000>, most: Integer<0, 100_000>) => Command::SpawnDelay(least.0 as u32, most.0 as u32)
}

row! {
    SET_FEATURE = "set_feature", Admin, "switches a system of the town";
    Town(feature: Feature, switch: bool) => [Command::QueueFairness][feature.0](switch)
}

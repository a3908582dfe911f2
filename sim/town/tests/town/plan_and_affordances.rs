//! The plan and the affordance file: strict parsing, errors with their position, and distance fields.

use townlet_town::affordances;
use townlet_town::ids::Tile;
use townlet_town::plan::{Plan, UNREACHABLE};

use crate::{AFFORDANCES, town};

const SMALL: &str = "// A very small town.
place home_1 home 1 1 3 3
place shop grocer 5 1 2 3
place bar cafe 8 1 2 3
place desk office 1 5 3 2
place green park 5 5 5 2
map
###########
#b..#.h#t.#
#f..+..+..#
#s.w#..#..#
#+##+##+###
#..d+.....#
#...#.T...#
###########
";
const SIZE: (u32, u32) = (11, 8);

fn refused(text: &str) -> (usize, usize, String) {
    let error = Plan::parse("small.txt", text, SIZE).expect_err("it is wrong");
    assert!(error.to_string().starts_with(&format!("small.txt:{}:{}: ", error.line, error.column)));
    (error.line, error.column, error.what)
}

#[test]
fn a_plan_is_parsed_as_drawn() {
    let plan = Plan::parse("small.txt", SMALL, SIZE).unwrap();
    assert_eq!((plan.width, plan.height, plan.places.len()), (11, 8, 5));
    let names: Vec<&str> = plan.objects.iter().map(|object| object.name.as_str()).collect();
    assert_eq!(names, ["bed_1", "shelf_1", "till_1", "fridge_1", "stove_1", "shower_1", "desk_1", "table_1"]);
    let shelf = plan.tile(6, 1).unwrap();
    assert_eq!((plan.at(shelf), plan.walkable[shelf]), ((6, 1), true));
    assert!(!plan.walkable[plan.tile(4, 1).unwrap()]);
    assert_eq!(plan.tile(11, 0), None);
}

#[test]
fn an_invalid_plan_is_refused_with_its_position() {
    let cases: [(&str, &str, usize, usize, &str); 11] = [
        ("map\n", "mop\n", 7, 1, "neither a place nor `map`"),
        ("place bar cafe 8 1 2 3", "place bar cafe 8 1 2", 4, 1, "neither a place nor `map`"),
        ("place bar cafe", "place bar pub", 4, 1, "`pub` is not a kind of place; there are home, grocer"),
        ("cafe 8 1", "cafe eight 1", 4, 1, "`eight` is not a whole number"),
        ("cafe 8 1 2 3", "cafe 8 1 4 3", 4, 7, "reaches outside the 11 × 8 map"),
        ("cafe 8 1 2 3", "cafe 8 1 2 5000", 4, 1, "`5000` is not a whole number up to 4,096"),
        ("place bar", "place shop", 4, 7, "`shop` is named twice"),
        ("place bar cafe", "place bar home", 8, 1, "no place of kind `cafe`"),
        ("#f..+..+..#\n", "", 14, 1, "the drawing has 7 rows; `world.grid_size` says 8"),
        ("#f..+..+..#", "#f..+..+...#", 10, 1, "this row has 12 tiles; `world.grid_size` says 11"),
        ("#f..+..+..#", "#f?.+..+..#", 10, 3, "`?` means nothing here: # wall"),
    ];
    for (old, new, line, column, what) in cases {
        assert!(SMALL.contains(old), "{old}");
        let text = SMALL.replacen(old, new, 1);
        let found = refused(&text);
        assert_eq!((found.0, found.1), (line, column), "{new}: {}", found.2);
        assert!(found.2.contains(what), "{new}: {}", found.2);
    }
}

#[test]
fn objects_outside_places_and_unreachable_tiles_are_refused() {
    let nowhere = SMALL.replacen("#+##+##+###", "#+##+##w###", 1);
    let (line, column, what) = refused(&nowhere);
    assert_eq!((line, column), (12, 8));
    assert!(what.contains("is outside every place"), "{what}");
    let walled =
        SMALL.replacen("#+##+##+###\n#..d+", "###########\n#..d#", 1).replacen("#f..+..+..#", "#f..+..#..#", 1);
    let (line, column, what) = refused(&walled);
    assert_eq!((line, column), (9, 9), "the first tile of the café");
    assert!(what.contains("cannot be reached"), "{what}");
    let solid = SMALL.replacen("place bar cafe 8 1 2 3", "place bar cafe 7 1 1 1", 1).replacen("#t.#", "#..#", 1);
    assert!(refused(&solid).2.contains("has no walkable tile"));
    assert_eq!((refused("").0, refused("").1), (1, 1));
    assert!(refused("place home_1 home 1 1 3 3\n").2.contains("no line `map`"));
    assert!(refused("map\n").2.contains("0 rows"));
}

#[test]
fn distance_fields_lead_around_walls() {
    let plan = Plan::parse("small.txt", SMALL, SIZE).unwrap();
    let bed = plan.tile(1, 1).unwrap();
    let steps = plan.distances(&[bed]);
    assert_eq!(steps[bed], 0);
    assert_eq!(steps[plan.tile(3, 2).unwrap()], 3);
    assert_eq!(steps[plan.tile(5, 1).unwrap()], 6, "through the door in the middle");
    assert_eq!(steps[plan.tile(4, 1).unwrap()], UNREACHABLE, "a wall");
    for tile in (0..plan.width * plan.height).map(Tile).filter(|tile| plan.walkable[*tile] && *tile != bed) {
        let mut near = plan.neighbours(tile).into_iter().flatten();
        assert!(near.any(|next| steps[next] == steps[tile] - 1), "{tile:?} leads nowhere");
    }
    let both = plan.distances(&[bed, plan.tile(9, 6).unwrap()]);
    assert!(plan.walkable.iter().zip(&both).zip(&steps).all(|((_, both), one)| both <= one), "the nearer of two");
}

fn affordance_error(old: &str, new: &str) -> String {
    assert!(AFFORDANCES.contains(old), "{old}");
    affordances::parse("few.yaml", &AFFORDANCES.replacen(old, new, 1)).expect_err("it is wrong").to_string()
}

#[test]
fn an_invalid_affordance_file_is_refused_with_position_and_reason() {
    let cases = [
        ("id: eat_at_cafe", "id: eat_at_home", "few.yaml:22:9: affordances.1.id is eat_at_home, which is taken"),
        ("duration: 24", "duration: 0", "few.yaml:26:15: affordances.1.duration is 0, out of range"),
        ("duration: 24", "duration: 10001", "allowed: a whole number from 1 to 10000 ticks"),
        ("gradual: true", "gradual: true\n    price: meal", "gradual is set, so nothing can be taken or given"),
        ("hunger: 0.55", "thirst: 0.55", "settings here: hunger, hygiene, energy"),
        ("hunger: 0.55", "hunger: 1.5", "allowed: a number from -1 to 1"),
        ("option: sleep", "option: wait", "affordances lacks one for the option sleep"),
        ("duration: 24", "durations: 12", "few.yaml:26:5: affordances.1.durations is not a setting"),
        (
            "object: fridge",
            "object: oven",
            "few.yaml:15:13: affordances.0.object is \"oven\", which is none of its words",
        ),
        (
            "object: fridge\n    access: home",
            "object: fridge\n    access: mine",
            "few.yaml:16:13: affordances.0.access",
        ),
    ];
    for (old, new, what) in cases {
        let error = affordance_error(old, new);
        assert!(error.contains(what), "{new}: {error}");
    }
    assert!(affordances::parse("few.yaml", "").is_err());
    assert_eq!(affordances::parse("affordances.yaml", AFFORDANCES).unwrap().len(), 8);
}

#[test]
fn residents_are_found_by_their_ids() {
    let town = town(&[]);
    assert_eq!(town.find("ada"), town.find("ADA"));
    assert!(town.find("ada").is_some());
    assert_eq!((town.find("ivo"), town.find("")), (None, None));
}

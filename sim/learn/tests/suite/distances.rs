//! The ways of drawn plans, compared for every tile and object with a search from the object.

use townlet_learn::drawn_towns::{draw, draw_city};
use townlet_town::ids::Tile;
use townlet_town::{Rules, Sources};

fn check(rules: &Rules, what: &str) {
    let plan = &rules.plan;
    for (object, it) in plan.objects() {
        let field = plan.distances(&[it.tile]);
        for tile in (0..plan.width * plan.height).map(Tile).filter(|tile| plan.walkable[*tile]) {
            let way = rules.way_to_object(object, tile);
            let neighbours = plan.neighbours(tile);
            let nearer = |side: &usize| neighbours[*side].is_some_and(|ahead| field[ahead] < field[tile]);
            let right = way.steps() == field[tile] && way.sides().eq((0..4).filter(nearer));
            assert!(right, "{what}: {} from {:?}", it.name, plan.at(tile));
        }
    }
}

#[test]
fn ways_are_those_of_a_search_in_drawn_plans() {
    let base = Sources::default_town(&[]).expect("valid settings");
    for number in 0..20 {
        check(&Rules::new(draw(&base, number)).expect("a drawn town"), &format!("town {number}"));
    }
}

#[test]
fn ways_are_those_of_a_search_in_a_city() {
    let city = draw_city(400, 5);
    let [width, height] = city.plan.size;
    let size = format!("[{width}, {height}]");
    let base = Sources::default_town(&[("world.grid_size", &size)]).expect("valid settings");
    let sources = Sources { plan: ("city.txt".into(), city.plan.text), ..base };
    check(&Rules::new(sources).expect("a city"), "city");
}

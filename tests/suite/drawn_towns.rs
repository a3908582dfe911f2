//! `townlet config plan`: what it prints and what it writes are the same town, and it runs. Bad input writes nothing.

use std::path::Path;

use crate::kit::{TestShard, default_sources, json, options, temp_home, text, townlet};
use townlet_learn::drawn_towns::draw_city;
use townlet_town::Sources;
use townlet_town::config::{Layers, load};
use townlet_wire::stream::{MAX_RESIDENTS, MAX_STATE};

/// The digest after a third of a day.
fn digest(home: &Path, config: &str) -> String {
    let report = json(home, &format!("--headless --config {config} --tick-limit 300 --json"));
    report["digest"].as_str().expect("a digest").to_owned()
}

#[test]
fn the_printed_and_the_written_configuration_are_the_same_town() {
    let home = temp_home();
    let drawn = townlet(home.path(), "config plan --residents 40 --seed 3");
    assert_eq!(drawn.status.code(), Some(0), "{}", text(&drawn.stderr));
    std::fs::write(home.path().join("printed.yaml"), &drawn.stdout).expect("a file");
    let written = townlet(home.path(), "config plan --residents 40 --seed 3 --out written.yaml");
    assert_eq!(text(&written.stdout), "written: written.txt, written.yaml\n", "{}", text(&written.stderr));
    assert_eq!(digest(home.path(), "printed.yaml"), digest(home.path(), "written.yaml"));
    let other = townlet(home.path(), "config plan --residents 40 --seed 4");
    std::fs::write(home.path().join("other.yaml"), &other.stdout).expect("a file");
    assert_ne!(digest(home.path(), "printed.yaml"), digest(home.path(), "other.yaml"), "another seed");
    // The plan that was written can be edited: it is read, not drawn again.
    std::fs::write(home.path().join("written.txt"), "no plan").expect("a file");
    let check = townlet(home.path(), "config check written.yaml");
    assert_eq!(check.status.code(), Some(2), "{}", text(&check.stdout));
}

#[test]
fn bad_input_is_refused_and_writes_nothing() {
    for (args, why) in [
        ("--residents 0", "0 is not in 1..=20000"),
        ("--residents 20001", "20001 is not in 1..=20000"),
        ("--residents many", "invalid value 'many'"),
        ("--residents 8 --seed -1", "unexpected argument '-1'"),
        ("--seed 1", "--residents <N>"),
        ("--residents 8 --out town.txt", "this name is used for the plan"),
        ("--residents 8 --out missing/town.yaml", "the folder does not exist"),
        ("--residents 8 --out taken.yaml", "already exists and is not overwritten"),
    ] {
        let home = temp_home();
        std::fs::write(home.path().join("taken.txt"), "mine").expect("a file");
        let refused = townlet(home.path(), &format!("config plan {args}"));
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{args}: {said}");
        assert!(said.contains(why), "{args}: {said}");
        let files: Vec<_> =
            std::fs::read_dir(home.path()).expect("a folder").map(|it| it.unwrap().file_name()).collect();
        assert_eq!(files, ["taken.txt"], "{args}");
        assert_eq!(std::fs::read(home.path().join("taken.txt")).expect("the file"), b"mine");
    }
}

#[test]
fn the_longest_state_that_a_client_reads_is_that_of_the_largest_town() {
    let schema = townlet_town::config::schema();
    let slots = &schema["properties"]["embedding_allocator"]["properties"]["max_slots"]["maximum"];
    assert_eq!(slots.as_u64(), Some(MAX_RESIDENTS as u64), "{slots}");
    let (residents, home) = (256, temp_home());
    let drawn = townlet(home.path(), &format!("config plan --residents {residents} --seed 1"));
    let layers = Layers { file: Some(("town.yaml".into(), text(&drawn.stdout))), ..Layers::default() };
    let config = load(&layers).expect("valid settings").config;
    let plan = (config.world.plan.clone(), draw_city(residents, 1).plan.text);
    let sources = Sources { config, plan, ..default_sources(&[]) };
    let started = townlet_shard::start(sources, 7, options(home.path(), true)).expect("the shard starts");
    let live = TestShard::from_handle(started);
    live.run(600);
    let length = live.view().to_json().len();
    let share = MAX_STATE / MAX_RESIDENTS;
    assert!(length < residents as usize * share, "{length} bytes, {} for each resident", length / residents as usize);
}

//! How fast a town goes: its tick, what is seen of it in each variant, and how both grow from 8 residents to 1,000.
//!
//! Read the figures as ratios of one run: clearing the observation buffer alone is the measure of the machine.

use std::fmt::Write as _;
use std::num::NonZero;
use std::sync::Arc;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use townlet_learn::{Replicas, Scripted};
use townlet_town::config::{Layers, Observations, load};
use townlet_town::observations::{VARIANTS, layout};
use townlet_town::{Rules, Sources, Town};

fn main() {
    divan::main();
}

/// Ticks a sample.
const TICKS: usize = 200;
/// Residents of the scaling rows.
const CROWDS: [usize; 4] = [8, 64, 250, 1_000];

fn rules(flags: &[(&str, String)], plan: String) -> Arc<Rules> {
    let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let config = load(&Layers { flags, ..Layers::default() }).expect("the settings hold").config;
    let affordances = include_str!("../../../configs/affordances.yaml");
    let sources = Sources {
        config,
        plan: ("bench.txt".into(), plan),
        affordances: ("affordances.yaml".into(), affordances.into()),
        perturbations: ("default.yaml".into(), include_str!("../../../configs/perturbations/default.yaml").into()),
    };
    Arc::new(Rules::new(sources).expect("the town can be made"))
}

fn default_town() -> Town {
    warm(rules(&[], include_str!("../../../configs/towns/default.txt").into()))
}

/// A day has gone by.
fn warm(rules: Arc<Rules>) -> Town {
    let mut town = Town::new(rules, 7);
    for _ in 0..1_000 {
        tick(&mut town);
    }
    town
}

fn tick(town: &mut Town) {
    town.step(&mut Scripted);
    town.clear_events();
}

/// Blocks of 4 × 4 houses of 12 × 11 tiles, each with what 88 people need: eleven homes of eight beds, a grocer, a café, an
/// office, a gym and a park.
fn synthetic(people: usize) -> Arc<Rules> {
    let blocks = people.div_ceil(88);
    let across = (blocks as f64).sqrt().ceil() as usize;
    let down = blocks.div_ceil(across);
    let (width, height) = (across * 48 + 2, down * 44 + 2);
    let mut map = vec![vec![':'; width]; height];
    for (y, row) in map.iter_mut().enumerate() {
        for (x, tile) in row.iter_mut().enumerate() {
            if x == 0 || y == 0 || x + 1 == width || y + 1 == height {
                *tile = '#';
            }
        }
    }
    let mut places = String::new();
    for house in 0..blocks * 16 {
        let (block, cell) = (house / 16, house % 16);
        let x = 1 + (block % across) * 48 + (cell % 4) * 12;
        let y = 1 + (block / across) * 44 + (cell / 4) * 11;
        let (kind, inside) = match cell {
            5 => ("grocer", ["h.h.h.h", ".......", "h.h.h.h", ".......", "t.t.t.t"]),
            6 => ("cafe", ["t.t.t.t", ".......", "T.T.T.T", ".......", "t.t.t.t"]),
            9 => ("office", ["d.d.d.d", ".......", "d.d.d.d", ".......", "d.d.d.d"]),
            10 => ("gym", ["w.w.w.w", ".......", ".......", ".......", "w.w.w.w"]),
            15 => ("park", ["T..T..T", ".......", "...T...", ".......", "T..T..T"]),
            _ => ("home", ["b.b.b.b", ".......", "f..T..s", ".......", "b.b.b.b"]),
        };
        let _ = writeln!(places, "place {kind}_{house} {kind} {} {} 9 8", x + 1, y + 1);
        for row in 0..8 {
            for column in 0..9 {
                let edge = row == 0 || row == 7 || column == 0 || column == 8;
                let tile = &mut map[y + 1 + row][x + 1 + column];
                *tile = if edge && kind != "park" { '#' } else { '.' };
            }
        }
        map[y + 8][x + 5] = '+';
        for (row, line) in inside.iter().enumerate() {
            for (column, mark) in line.chars().enumerate() {
                map[y + 2 + row][x + 2 + column] = mark;
            }
        }
        if kind == "home" {
            map[y + 7][x + 8] = 'w';
        }
    }
    let rows: Vec<String> = map.into_iter().map(|row| row.into_iter().collect()).collect();
    let flags = [
        ("world.population", people.to_string()),
        ("world.grid_size", format!("[{width}, {height}]")),
        ("embedding_allocator.max_slots", (people + 64).to_string()),
    ];
    rules(&flags, format!("{places}map\n{}\n", rows.join("\n")))
}

fn crowd(people: usize) -> Town {
    if people == 8 { default_town() } else { warm(synthetic(people)) }
}

/// The measure of the machine: the buffer of 8 residents cleared.
#[divan::bench(args = VARIANTS.map(|row| row.1))]
fn clear(bencher: Bencher<'_, '_>, name: &str) {
    let layout = layout(variant(name));
    let mut out = vec![1.0_f32; 8 * layout.width];
    bencher.counter(ItemsCount::new(8 * TICKS)).bench_local(|| {
        for _ in 0..TICKS {
            black_box(&mut out).fill(0.0);
        }
    });
}

fn variant(name: &str) -> Observations {
    VARIANTS.iter().find(|row| row.1 == name).expect("there is such a variant").0
}

/// What is seen by 8 residents.
#[divan::bench(args = VARIANTS.map(|row| row.1))]
fn observe(bencher: Bencher<'_, '_>, name: &str) {
    let layout = layout(variant(name));
    let town = default_town();
    let mut out = vec![1.0_f32; 8 * layout.width];
    bencher.counter(ItemsCount::new(8 * TICKS)).bench_local(|| {
        for _ in 0..TICKS {
            layout.observe_all(black_box(&town), black_box(&mut out));
        }
    });
}

/// Ticks alone.
#[divan::bench(args = CROWDS)]
fn step(bencher: Bencher<'_, '_>, people: usize) {
    let mut town = crowd(people);
    bencher.counter(ItemsCount::new(people * TICKS)).bench_local(|| {
        for _ in 0..TICKS {
            tick(&mut town);
        }
    });
}

/// Ticks, and `full` written for everybody after each.
#[divan::bench(args = CROWDS)]
fn step_and_observe(bencher: Bencher<'_, '_>, people: usize) {
    let mut town = crowd(people);
    let layout = layout(Observations::Full);
    let mut out = vec![1.0_f32; (people + 64) * layout.width];
    let used = people * layout.width;
    bencher.counter(ItemsCount::new(people * TICKS)).bench_local(|| {
        for _ in 0..TICKS {
            tick(&mut town);
            layout.observe_all(&town, black_box(&mut out[..used]));
        }
    });
}

/// Sixteen towns of 8, on one thread and on two.
#[divan::bench(args = [1, 2])]
fn replicas(bencher: Bencher<'_, '_>, threads: usize) {
    let rules = rules(&[], include_str!("../../../configs/towns/default.txt").into());
    let threads = NonZero::new(threads).expect("one or two");
    let mut replicas = Replicas::new(&rules, 7, 16, |_| Scripted);
    let layout = layout(Observations::Full);
    replicas.run(1_000, threads, Some(layout));
    bencher.counter(ItemsCount::new(16 * 8 * TICKS)).bench_local(|| replicas.run(TICKS as u64, threads, Some(layout)));
}

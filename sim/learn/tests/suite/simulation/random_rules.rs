//! Random valid configurations and perturbation files, written as YAML so that they pass the normal validation.
//!
//! `towns/stress.txt` is left out because a thousand residents take longer than all other towns.

use std::fmt::Write as _;
use std::sync::Arc;

use townlet_town::config::{Config, Layers, load};
use townlet_town::{Micro, Rules, Sources};

use super::prng::Prng;

const PLANS: [(&str, &str, &str); 3] = [
    ("towns/default.txt", "[48, 48]", include_str!("../../../../../configs/towns/default.txt")),
    ("towns/crowded.txt", "[48, 20]", include_str!("../../../../../configs/towns/crowded.txt")),
    ("towns/backlog.txt", "[136, 24]", include_str!("../../../../../configs/towns/backlog.txt")),
];
const AFFORDANCES: &str = include_str!("../../../../../configs/affordances.yaml");
/// Shortest shift; `employment.absent_cutoff` may not be longer.
const SHORTEST_SHIFT: u32 = 20;

/// Random rules, and the text of their configuration.
pub(crate) fn rules(prng: &mut Prng) -> (Arc<Rules>, String) {
    let (plan, size, map) = *prng.pick(&PLANS);
    let mut text = format!("config_id: drawn\nworld: {{ plan: {plan}, population: POPULATION, grid_size: {size} }}\n");
    let population = prng.within(1, 40);
    text = text.replace("POPULATION", &population.to_string());
    let day = *prng.pick(&[100, 240, 500, 1_000, 1_000, 1_700]);
    features(prng, &mut text, day);
    comings_and_goings(prng, &mut text, day, population);
    needs_and_rewards(prng, &mut text);
    economy(prng, &mut text, day);
    work(prng, &mut text, day);
    let perturbations = perturbations(prng);
    let sources = |config: &Config| Sources {
        config: config.clone(),
        plan: (plan.into(), map.into()),
        affordances: ("affordances.yaml".into(), AFFORDANCES.into()),
        perturbations: ("drawn.yaml".into(), perturbations.clone()),
    };
    // The bonus is bounded by the weight of a skipped meal, which the validation knows.
    let bonus = |bonus: &str| {
        let flags = vec![("rewards.punctuality_bonus".to_owned(), bonus.to_owned())];
        load(&Layers { file: Some(("drawn.yaml".into(), text.clone())), flags, ..Layers::default() })
    };
    let loaded = bonus("0.05").or_else(|_| bonus("0"));
    let loaded = loaded.unwrap_or_else(|errors| panic!("the configuration is invalid: {errors}\n{text}"));
    let rules =
        Rules::new(sources(&loaded.config)).unwrap_or_else(|error| panic!("the sources are invalid: {error}\n{text}"));
    let _ = write!(text, "# perturbations\n{perturbations}");
    (Arc::new(rules), text)
}

/// Other rules that the running town accepts: thresholds, perturbations, and longer affordances in another order.
pub(crate) fn reloaded(prng: &mut Prng, rules: &Rules) -> Arc<Rules> {
    let mut config = rules.config.clone();
    let unit = |prng: &mut Prng| Micro(i64::from(prng.below(1_000_000)));
    let clip = &mut config.rewards.clip;
    clip.clip_per_tick = Micro(i64::from(prng.within(10_000, 1_000_000)));
    clip.clip_per_episode = Micro::whole(i64::from(prng.within(1, 60)));
    clip.no_positive_within_death_ticks = prng.within(0, 200);
    config.needs.critical.hunger = unit(prng);
    config.behavior.energy_threshold = unit(prng);
    config.lifecycle.collapse_ticks = prng.within(1, 400);
    config.stability.starvation.min_duration_ticks = prng.within(1, 90);
    let mut sources = rules.sources.clone();
    let (head, rows) = sources.affordances.1.split_once("\n  - id:").expect("there are affordances");
    let mut rows: Vec<String> = rows.split("\n  - id:").map(|row| format!("\n  - id:{}", longer(prng, row))).collect();
    let turn = prng.below(rows.len() as u32) as usize;
    rows.rotate_left(turn);
    sources.affordances.1 = format!("{head}{}\n", rows.concat());
    sources.perturbations.1 = perturbations(prng);
    // If the thresholds are out of order, only the files change.
    if let Ok(config) = Config::from_canonical(&config.canonical()) {
        sources.config = config;
    }
    Arc::new(Rules::new(sources).expect("the sources are valid"))
}

/// Lengthens a duration. Shorter ones would break the bounds on waits.
fn longer(prng: &mut Prng, row: &str) -> String {
    let (before, after) = row.split_once("duration: ").expect("each affordance has a duration");
    let digits = after.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(after.len());
    let duration: u32 = after[..digits].parse().expect("a number");
    let more = if prng.once_in(4) { prng.within(1, 6) } else { 0 };
    format!("{before}duration: {}{}", duration + more, &after[digits..])
}

fn features(prng: &mut Prng, text: &mut String, day: u32) {
    let ties = prng.pick(&["OFF", "A", "B", "C1", "C2", "C3"]);
    let social = prng.pick(&["OFF", "C1", "C2", "C3"]);
    let view = prng.pick(&["full", "hybrid", "compact"]);
    let (lifecycle, fair, perturbations) = (prng.switch(9), prng.switch(7), prng.switch(8));
    let _ = writeln!(
        text,
        "time: {{ ticks_per_day: {day} }}\nfeatures:\n  stages: {{ relationships: \"{ties}\", social_rewards: \
         \"{social}\" }}\n  systems: {{ lifecycle: {lifecycle}, observations: {view}, queue_fairness: {fair}, \
         perturbations: {perturbations} }}"
    );
    let (commit, sits_out, ghost) = (prng.within(1, 40), prng.within(0, 200), prng.within(1, 12));
    let _ = writeln!(
        text,
        "policy_runtime: {{ option_commit_ticks: {commit} }}\nqueue_fairness: {{ cooldown_ticks: {sits_out}, \
         ghost_step_after: {ghost}, age_priority_weight: {} }}",
        prng.decimal(0, 1_000)
    );
    let _ = writeln!(
        text,
        "conflict: {{ rivalry: {{ increment_per_conflict: {}, decay_per_hour: {}, avoid_threshold: {}, \
         eviction_threshold: {}, max_edges: {} }} }}",
        prng.decimal(0, 1_000),
        prng.decimal(0, 200),
        prng.decimal(200, 1_000),
        prng.decimal(0, 150),
        prng.within(1, 6)
    );
    let _ = writeln!(text, "stability: {{ window_ticks: {} }}", prng.within(100, 2_000));
}

fn comings_and_goings(prng: &mut Prng, text: &mut String, day: u32, population: u32) {
    let most = prng.within(0, 6);
    // This many exits must fit into a day.
    let gap = prng.below(day / most.max(1));
    let (least, spread) = (prng.within(0, 30), prng.within(0, 60));
    let _ = writeln!(
        text,
        "lifecycle: {{ max_exits_per_day: {most}, exit_cooldown_ticks: {gap}, spawn_delay_ticks: [{least}, {}], \
         collapse_hunger: {}, collapse_ticks: {}, eviction_unpaid_days: {}, starter_wallet: {}, starter_groceries: {}, \
         outage_grace_ticks: {}, mortality: {} }}",
        least + spread,
        prng.decimal(0, 40),
        prng.within(1, 60),
        prng.within(1, 4),
        prng.decimal(0, 20_000),
        prng.within(0, 5),
        prng.within(0, 200),
        prng.switch(8)
    );
    let _ = writeln!(
        text,
        "embedding_allocator: {{ cooldown_ticks: {}, max_slots: {} }}",
        prng.within(0, 4_000),
        population + prng.below(24)
    );
    let cap = prng.within(0, most);
    let cutoff = prng.within(0, SHORTEST_SHIFT);
    let _ = writeln!(
        text,
        "employment: {{ enforce_job_loop: {}, grace_ticks: {}, absent_cutoff: {cutoff}, absence_slack: {}, \
         late_tick_penalty: {}, absence_penalty: {}, max_absent_shifts: {}, attendance_window: {}, daily_exit_cap: {cap}, \
         exit_queue_limit: {}, exit_review_window: {} }}",
        !prng.once_in(10),
        prng.within(0, cutoff),
        prng.within(0, cutoff),
        prng.decimal(0, 50),
        prng.decimal(0, 1_000),
        prng.within(1, 5),
        prng.within(1, 7),
        prng.within(0, 8),
        prng.within(0, 3_000)
    );
}

fn needs_and_rewards(prng: &mut Prng, text: &mut String) {
    let mut each = |least, most| {
        let [hunger, hygiene, energy] = std::array::from_fn(|_| prng.decimal(least, most));
        format!("{{ hunger: {hunger}, hygiene: {hygiene}, energy: {energy} }}")
    };
    // Usually survivable; sometimes residents wear out.
    let (start, critical, slow, fast) = (each(300, 1_000), each(50, 250), each(0, 2), each(0, 12));
    let decay = if prng.once_in(3) { fast } else { slow };
    let _ = writeln!(text, "needs: {{ start: {start}, critical: {critical}, decay_rates: {decay} }}");
    let potential = prng.switch(7);
    let _ = writeln!(text, "shaping: {{ use_potential: {potential} }}");
    let _ = writeln!(
        text,
        "rewards:\n  needs_weights: {{ hunger: {}, hygiene: {}, energy: {} }}\n  wage_rate: {}\n  homeostasis_scale: {}\n  \
         survival_tick: {}\n  faint_penalty: -{}\n  eviction_penalty: -{}\n  social: {{ C1_chat_base: {}, \
         C1_coeff_trust: {}, C1_coeff_fam: {}, C2_avoid_conflict: {} }}\n  clip: {{ clip_per_tick: {}, clip_per_episode: \
         {}, no_positive_within_death_ticks: {} }}",
        prng.decimal(500, 2_000),
        prng.decimal(200, 1_000),
        prng.decimal(400, 1_500),
        prng.decimal(0, 50),
        prng.decimal(0, 1_000),
        prng.decimal(0, 100),
        prng.decimal(0, 3_000),
        prng.decimal(0, 3_000),
        prng.decimal(0, 200),
        prng.decimal(0, 2_000),
        prng.decimal(0, 2_000),
        prng.decimal(0, 200),
        prng.decimal(10, 1_000),
        prng.decimal(1_001, 60_000),
        prng.within(0, 60)
    );
}

fn economy(prng: &mut Prng, text: &mut String, day: u32) {
    let mut store = || {
        let holds = prng.within(0, 90);
        [prng.within(0, holds), holds, prng.within(0, 90)]
    };
    let (cafe, grocer) = (store(), store());
    let mut hours = || {
        let opens = prng.below(day / 2);
        format!("[{opens}, {}]", prng.within(opens, day))
    };
    let (cafe_hours, grocer_hours) = (hours(), hours());
    let _ = writeln!(
        text,
        "economy: {{ rent_per_day: {}, meal_cost: {}, cook_energy_cost: {}, cook_hygiene_cost: {}, wage_income: {}, \
         ingredients_cost: {}, stove_stock_replenish: {}, fridge_capacity: {}, restock_tick: {}, cafe_stock: {}, \
         cafe_capacity: {}, cafe_restock: {}, grocer_stock: {}, grocer_capacity: {}, grocer_restock: {}, opening_hours: {{ \
         cafe: {cafe_hours}, grocer: {grocer_hours} }} }}",
        prng.decimal(0, 4_000),
        prng.decimal(0, 1_500),
        prng.decimal(0, 300),
        prng.decimal(0, 300),
        prng.decimal(0, 100),
        prng.decimal(0, 1_000),
        prng.within(1, 6),
        prng.within(1, 12),
        prng.below(day),
        cafe[0],
        cafe[1],
        cafe[2],
        grocer[0],
        grocer[1],
        grocer[2]
    );
}

fn work(prng: &mut Prng, text: &mut String, day: u32) {
    let _ = writeln!(
        text,
        "behavior: {{ hunger_threshold: {}, hygiene_threshold: {}, energy_threshold: {}, job_arrival_buffer: {} }}\njobs:",
        prng.decimal(0, 1_000),
        prng.decimal(0, 1_000),
        prng.decimal(0, 1_000),
        prng.within(0, 100)
    );
    for job in 0..prng.within(1, 5) {
        let start = prng.within(0, day - SHORTEST_SHIFT);
        let end = prng.within(start + SHORTEST_SHIFT, day);
        let site = prng.pick(&["grocer", "cafe", "office", "gym"]);
        let _ = writeln!(
            text,
            "  job_{job}: {{ site: {site}, start_tick: {start}, end_tick: {end}, wage_rate: {}, lateness_penalty: {}, \
             location: null }}",
            prng.decimal(0, 60),
            prng.decimal(0, 500)
        );
    }
}

fn perturbations(prng: &mut Prng) -> String {
    let mut text = format!(
        "max_concurrent_events: {}\nglobal_cooldown_ticks: {}\nper_agent_cooldown_ticks: {}\ngrace_window_ticks: \
         {}\nwindow_ticks: {}\nmax_events_per_window: {}\nevents:\n",
        prng.within(0, 4),
        prng.within(0, 200),
        prng.within(0, 1_000),
        prng.within(0, 300),
        prng.within(1, 2_000),
        prng.within(0, 20)
    );
    let mut event = |name: &str, kind: &str, more: &dyn Fn(&mut Prng) -> String| {
        let least = prng.within(1, 80);
        let _ = writeln!(
            text,
            "  {name}: {{ kind: {kind}, prob_per_day: {}, cooldown_ticks: {}, duration: [{least}, {}]{} }}",
            prng.decimal(0, 1_000),
            prng.within(0, 900),
            least + prng.below(120),
            more(prng)
        );
    };
    let factor = |prng: &mut Prng| {
        let least = prng.within(500, 3_000);
        let most = least + prng.below(3_000);
        let both =
            format!(", magnitude: [{}.{:03}, {}.{:03}]", least / 1_000, least % 1_000, most / 1_000, most % 1_000);
        let goods = prng.pick(&["", ", targets: [meal]", ", targets: [groceries]", ", targets: [meal, groceries]"]);
        format!("{both}{goods}")
    };
    event("dark", "blackout", &|_| String::new());
    event("dry", "outage", &|_| String::new());
    event("dear", "price_spike", &factor);
    event("dearer", "price_spike", &factor);
    event("meet", "arranged_meet", &|prng| {
        let whom = prng.pick(&["any", "any", "ada", "ben"]);
        format!(", target: {whom}, location: {}", prng.pick(&["park", "cafe"]))
    });
    text
}

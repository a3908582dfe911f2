//! The drawn town: a valid configuration and a perturbation file, out of the ranges of their settings.
//!
//! Written as the files a user would write, so that the settings pass the same check. `stress.txt` is left out: it is a
//! place for a thousand, and its ways alone take longer to work out than the rest of a run.

use std::fmt::Write as _;
use std::sync::Arc;

use townlet_town::config::{Config, Layers, load};
use townlet_town::{Micro, Rules, Sources};

use crate::prng::Prng;

const PLANS: [(&str, &str, &str); 3] = [
    ("towns/default.txt", "[48, 48]", include_str!("../../../../configs/towns/default.txt")),
    ("towns/crowded.txt", "[48, 20]", include_str!("../../../../configs/towns/crowded.txt")),
    ("towns/backlog.txt", "[136, 24]", include_str!("../../../../configs/towns/backlog.txt")),
];
const AFFORDANCES: &str = include_str!("../../../../configs/affordances.yaml");
/// Shortest shift; `employment.absent_cutoff` may be no longer.
const SHORTEST_SHIFT: u32 = 20;

/// The rules of the town a seed draws, and the text of its configuration.
pub(crate) fn rules(luck: &mut Prng) -> (Arc<Rules>, String) {
    let (plan, size, map) = *luck.pick(&PLANS);
    let mut text = format!("config_id: drawn\nworld: {{ plan: {plan}, population: POPULATION, grid_size: {size} }}\n");
    let population = luck.within(1, 40);
    text = text.replace("POPULATION", &population.to_string());
    let day = *luck.pick(&[100, 240, 500, 1_000, 1_000, 1_700]);
    features(luck, &mut text, day);
    comings_and_goings(luck, &mut text, day, population);
    needs_and_rewards(luck, &mut text);
    economy(luck, &mut text, day);
    work(luck, &mut text, day);
    let perturbations = perturbations(luck);
    let sources = |config: &Config| Sources {
        config: config.clone(),
        plan: (plan.into(), map.into()),
        affordances: ("affordances.yaml".into(), AFFORDANCES.into()),
        perturbations: ("drawn.yaml".into(), perturbations.clone()),
    };
    // A bonus is allowed as far as a skipped meal weighs more, which is for the town to say.
    let bonus = |bonus: &str| {
        let flags = vec![("rewards.punctuality_bonus".to_owned(), bonus.to_owned())];
        load(&Layers { file: Some(("drawn.yaml".into(), text.clone())), flags, ..Layers::default() })
    };
    let loaded = bonus("0.05").or_else(|_| bonus("0"));
    let loaded = loaded.unwrap_or_else(|errors| panic!("the drawn settings hold: {errors}\n{text}"));
    let rules = Rules::new(sources(&loaded.config)).unwrap_or_else(|error| panic!("a town of it: {error}\n{text}"));
    let _ = write!(text, "# perturbations\n{perturbations}");
    (Arc::new(rules), text)
}

/// Other rules that the running town takes: thresholds, events, and affordances that take longer and stand elsewhere.
pub(crate) fn reloaded(luck: &mut Prng, rules: &Rules) -> Arc<Rules> {
    let mut config = rules.config.clone();
    let unit = |luck: &mut Prng| Micro(i64::from(luck.below(1_000_000)));
    let clip = &mut config.rewards.clip;
    clip.clip_per_tick = Micro(i64::from(luck.within(10_000, 1_000_000)));
    clip.clip_per_episode = Micro::whole(i64::from(luck.within(1, 60)));
    clip.no_positive_within_death_ticks = luck.within(0, 200);
    config.needs.critical.hunger = unit(luck);
    config.behavior.energy_threshold = unit(luck);
    config.lifecycle.collapse_ticks = luck.within(1, 400);
    config.stability.starvation.min_duration_ticks = luck.within(1, 90);
    let mut sources = rules.sources.clone();
    let (head, rows) = sources.affordances.1.split_once("\n  - id:").expect("there are some");
    let mut rows: Vec<String> = rows.split("\n  - id:").map(|row| format!("\n  - id:{}", longer(luck, row))).collect();
    let turn = luck.below(rows.len() as u32) as usize;
    rows.rotate_left(turn);
    sources.affordances.1 = format!("{head}{}\n", rows.concat());
    sources.perturbations.1 = perturbations(luck);
    // Thresholds may be out of order; then the texts alone change.
    let tried = Rules::new(Sources { config, ..sources.clone() });
    Arc::new(tried.or_else(|_| Rules::new(sources)).expect("the texts hold"))
}

/// Never shorter: who has waited has waited by the shorter one.
fn longer(luck: &mut Prng, row: &str) -> String {
    let (before, after) = row.split_once("duration: ").expect("each has one");
    let digits = after.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(after.len());
    let duration: u32 = after[..digits].parse().expect("a number");
    let more = if luck.once_in(4) { luck.within(1, 6) } else { 0 };
    format!("{before}duration: {}{}", duration + more, &after[digits..])
}

fn features(luck: &mut Prng, text: &mut String, day: u32) {
    let ties = luck.pick(&["OFF", "A", "B", "C1", "C2", "C3"]);
    let social = luck.pick(&["OFF", "C1", "C2", "C3"]);
    let view = luck.pick(&["full", "hybrid", "compact"]);
    let (lifecycle, fair, shocks) = (luck.switch(9), luck.switch(7), luck.switch(8));
    let _ = writeln!(
        text,
        "time: {{ ticks_per_day: {day} }}\nfeatures:\n  stages: {{ relationships: \"{ties}\", social_rewards: \
         \"{social}\" }}\n  systems: {{ lifecycle: {lifecycle}, observations: {view}, queue_fairness: {fair}, \
         perturbations: {shocks} }}"
    );
    let (commit, sits_out, ghost) = (luck.within(1, 40), luck.within(0, 200), luck.within(1, 12));
    let _ = writeln!(
        text,
        "policy_runtime: {{ option_commit_ticks: {commit} }}\nqueue_fairness: {{ cooldown_ticks: {sits_out}, \
         ghost_step_after: {ghost}, age_priority_weight: {} }}",
        luck.decimal(0, 1_000)
    );
    let _ = writeln!(
        text,
        "conflict: {{ rivalry: {{ increment_per_conflict: {}, decay_per_hour: {}, avoid_threshold: {}, \
         eviction_threshold: {}, max_edges: {} }} }}",
        luck.decimal(0, 1_000),
        luck.decimal(0, 200),
        luck.decimal(200, 1_000),
        luck.decimal(0, 150),
        luck.within(1, 6)
    );
    let _ = writeln!(text, "stability: {{ window_ticks: {} }}", luck.within(100, 2_000));
}

fn comings_and_goings(luck: &mut Prng, text: &mut String, day: u32, population: u32) {
    let most = luck.within(0, 6);
    // So many exits must fit a day.
    let gap = luck.below(day / most.max(1));
    let (least, spread) = (luck.within(0, 30), luck.within(0, 60));
    let _ = writeln!(
        text,
        "lifecycle: {{ max_exits_per_day: {most}, exit_cooldown_ticks: {gap}, spawn_delay_ticks: [{least}, {}], \
         collapse_hunger: {}, collapse_ticks: {}, eviction_unpaid_days: {}, starter_wallet: {}, starter_groceries: {}, \
         outage_grace_ticks: {}, mortality: {} }}",
        least + spread,
        luck.decimal(0, 40),
        luck.within(1, 60),
        luck.within(1, 4),
        luck.decimal(0, 20_000),
        luck.within(0, 5),
        luck.within(0, 200),
        luck.switch(8)
    );
    let _ = writeln!(
        text,
        "embedding_allocator: {{ cooldown_ticks: {}, max_slots: {} }}",
        luck.within(0, 4_000),
        population + luck.below(24)
    );
    let cap = luck.within(0, most);
    let cutoff = luck.within(0, SHORTEST_SHIFT);
    let _ = writeln!(
        text,
        "employment: {{ enforce_job_loop: {}, grace_ticks: {}, absent_cutoff: {cutoff}, absence_slack: {}, \
         late_tick_penalty: {}, absence_penalty: {}, max_absent_shifts: {}, attendance_window: {}, daily_exit_cap: {cap}, \
         exit_queue_limit: {}, exit_review_window: {} }}",
        !luck.once_in(10),
        luck.within(0, cutoff),
        luck.within(0, cutoff),
        luck.decimal(0, 50),
        luck.decimal(0, 1_000),
        luck.within(1, 5),
        luck.within(1, 7),
        luck.within(0, 8),
        luck.within(0, 3_000)
    );
}

fn needs_and_rewards(luck: &mut Prng, text: &mut String) {
    let mut each = |least, most| {
        let [hunger, hygiene, energy] = std::array::from_fn(|_| luck.decimal(least, most));
        format!("{{ hunger: {hunger}, hygiene: {hygiene}, energy: {energy} }}")
    };
    // Mostly a life one can live; now and then one that wears everybody down.
    let (start, critical, slow, fast) = (each(300, 1_000), each(50, 250), each(0, 2), each(0, 12));
    let decay = if luck.once_in(3) { fast } else { slow };
    let _ = writeln!(text, "needs: {{ start: {start}, critical: {critical}, decay_rates: {decay} }}");
    let potential = luck.switch(7);
    let _ = writeln!(text, "shaping: {{ use_potential: {potential} }}");
    let _ = writeln!(
        text,
        "rewards:\n  needs_weights: {{ hunger: {}, hygiene: {}, energy: {} }}\n  wage_rate: {}\n  homeostasis_scale: {}\n  \
         survival_tick: {}\n  faint_penalty: -{}\n  eviction_penalty: -{}\n  social: {{ C1_chat_base: {}, \
         C1_coeff_trust: {}, C1_coeff_fam: {}, C2_avoid_conflict: {} }}\n  clip: {{ clip_per_tick: {}, clip_per_episode: \
         {}, no_positive_within_death_ticks: {} }}",
        luck.decimal(500, 2_000),
        luck.decimal(200, 1_000),
        luck.decimal(400, 1_500),
        luck.decimal(0, 50),
        luck.decimal(0, 1_000),
        luck.decimal(0, 100),
        luck.decimal(0, 3_000),
        luck.decimal(0, 3_000),
        luck.decimal(0, 200),
        luck.decimal(0, 2_000),
        luck.decimal(0, 2_000),
        luck.decimal(0, 200),
        luck.decimal(10, 1_000),
        luck.decimal(1_001, 60_000),
        luck.within(0, 60)
    );
}

fn economy(luck: &mut Prng, text: &mut String, day: u32) {
    let mut store = || {
        let holds = luck.within(0, 90);
        [luck.within(0, holds), holds, luck.within(0, 90)]
    };
    let (cafe, grocer) = (store(), store());
    let mut hours = || {
        let opens = luck.below(day / 2);
        format!("[{opens}, {}]", luck.within(opens, day))
    };
    let (cafe_hours, grocer_hours) = (hours(), hours());
    let _ = writeln!(
        text,
        "economy: {{ rent_per_day: {}, meal_cost: {}, cook_energy_cost: {}, cook_hygiene_cost: {}, wage_income: {}, \
         ingredients_cost: {}, stove_stock_replenish: {}, fridge_capacity: {}, restock_tick: {}, cafe_stock: {}, \
         cafe_capacity: {}, cafe_restock: {}, grocer_stock: {}, grocer_capacity: {}, grocer_restock: {}, opening_hours: {{ \
         cafe: {cafe_hours}, grocer: {grocer_hours} }} }}",
        luck.decimal(0, 4_000),
        luck.decimal(0, 1_500),
        luck.decimal(0, 300),
        luck.decimal(0, 300),
        luck.decimal(0, 100),
        luck.decimal(0, 1_000),
        luck.within(1, 6),
        luck.within(1, 12),
        luck.below(day),
        cafe[0],
        cafe[1],
        cafe[2],
        grocer[0],
        grocer[1],
        grocer[2]
    );
}

fn work(luck: &mut Prng, text: &mut String, day: u32) {
    let _ = writeln!(
        text,
        "behavior: {{ hunger_threshold: {}, hygiene_threshold: {}, energy_threshold: {}, job_arrival_buffer: {} }}\njobs:",
        luck.decimal(0, 1_000),
        luck.decimal(0, 1_000),
        luck.decimal(0, 1_000),
        luck.within(0, 100)
    );
    for job in 0..luck.within(1, 5) {
        let start = luck.within(0, day - SHORTEST_SHIFT);
        let end = luck.within(start + SHORTEST_SHIFT, day);
        let site = luck.pick(&["grocer", "cafe", "office", "gym"]);
        let _ = writeln!(
            text,
            "  job_{job}: {{ site: {site}, start_tick: {start}, end_tick: {end}, wage_rate: {}, lateness_penalty: {}, \
             location: null }}",
            luck.decimal(0, 60),
            luck.decimal(0, 500)
        );
    }
}

fn perturbations(luck: &mut Prng) -> String {
    let mut text = format!(
        "max_concurrent_events: {}\nglobal_cooldown_ticks: {}\nper_agent_cooldown_ticks: {}\ngrace_window_ticks: \
         {}\nwindow_ticks: {}\nmax_events_per_window: {}\nevents:\n",
        luck.within(0, 4),
        luck.within(0, 200),
        luck.within(0, 1_000),
        luck.within(0, 300),
        luck.within(1, 2_000),
        luck.within(0, 20)
    );
    let mut event = |name: &str, kind: &str, more: &dyn Fn(&mut Prng) -> String| {
        let least = luck.within(1, 80);
        let _ = writeln!(
            text,
            "  {name}: {{ kind: {kind}, prob_per_day: {}, cooldown_ticks: {}, duration: [{least}, {}]{} }}",
            luck.decimal(0, 1_000),
            luck.within(0, 900),
            least + luck.below(120),
            more(luck)
        );
    };
    let factor = |luck: &mut Prng| {
        let least = luck.within(500, 3_000);
        let most = least + luck.below(3_000);
        let both =
            format!(", magnitude: [{}.{:03}, {}.{:03}]", least / 1_000, least % 1_000, most / 1_000, most % 1_000);
        let goods = luck.pick(&["", ", targets: [meal]", ", targets: [groceries]", ", targets: [meal, groceries]"]);
        format!("{both}{goods}")
    };
    event("dark", "blackout", &|_| String::new());
    event("dry", "outage", &|_| String::new());
    event("dear", "price_spike", &factor);
    event("dearer", "price_spike", &factor);
    event("meet", "arranged_meet", &|luck| {
        let whom = luck.pick(&["any", "any", "ada", "ben"]);
        format!(", target: {whom}, location: {}", luck.pick(&["park", "cafe"]))
    });
    text
}

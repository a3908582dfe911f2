//! The settings of the town and the root of the configuration. Default values are in `configs/default.yaml`.

use std::collections::BTreeMap;

use super::schema::{AtStart, TextFormat, choice, decimal, free, section, text, ticks, unit, whole};
use super::shard_settings::{
    Affordances, ConsoleAuth, Journal, Keyframes, Kpis, Perturbations, Policy, PolicyRuntime, Ppo, Server, Snapshot,
    Stability, Telemetry, Training, WhatIf,
};
use crate::fixed_point::Micro;

section! {
    /// Everything a shard is started with.
    Config {
        /// Identity of the configuration. Snapshots, checkpoints and messages contain it; a mismatch is refused.
        config_id: String = text(TextFormat::Name),
        /// Seed of all random draws. The same seed, configuration and commands give the same town.
        seed: u64 = whole(0, 9_007_199_254_740_991, ""),
        /// Name shown to operators.
        shard: String = text(TextFormat::Label),
        /// Length of a day and of a tick.
        time: Time = free(),
        /// Switches for parts of the town.
        features: Features = free(),
        /// Plan and population.
        world: World = free(),
        /// Exits and arrivals.
        lifecycle: Lifecycle = free(),
        /// Needs. Levels are from 0 to 1; 1 is satisfied.
        needs: Needs = free(),
        /// Rewards of a resident.
        rewards: Rewards = free(),
        /// Reward shaping.
        shaping: Shaping = free(),
        /// Prices, stock and rent. The unit of money is a basic meal.
        economy: Economy = free(),
        /// Jobs by name. Jobs in a file replace all default jobs.
        jobs: BTreeMap<String, Job> = free(),
        /// Thresholds of the scripted policy.
        behavior: Behavior = free(),
        /// Attendance, lateness and the exit queue.
        employment: Employment = free(),
        /// Fairness in queues.
        queue_fairness: QueueFairness = free(),
        /// Rivalry between residents.
        conflict: Conflict = free(),
        /// Slots for residents.
        embedding_allocator: EmbeddingAllocator = free(),
        /// Execution of a policy's choices.
        policy_runtime: PolicyRuntime = free(),
        /// Affordances: the ways to use objects.
        affordances: Affordances = free(),
        /// Perturbations such as price spikes and blackouts.
        perturbations: Perturbations = free(),
        /// Stability windows, on which promotions depend.
        stability: Stability = free(),
        /// Telemetry.
        telemetry: Telemetry = free(),
        /// Targets of the KPIs.
        kpis: Kpis = free(),
        /// Learning by PPO.
        ppo: Ppo = free(),
        /// Objective, rollouts and length of a training.
        training: Training = free(),
        /// The running policy and the folders of checkpoints.
        policy: Policy = free(),
        /// Snapshots of the town.
        snapshot: Snapshot = free(),
        /// The journal of a run, a sequence of segments.
        journal: Journal = free(),
        /// Keyframes of a run: saved towns from which a past tick is rebuilt.
        keyframes: Keyframes = free(),
        /// What-if questions about the running town.
        whatif: WhatIf = free(),
        /// Tokens of the console.
        console_auth: ConsoleAuth = free(),
        /// The network service.
        server: Server = free(),
    }

    Time {
        /// Ticks per day.
        ticks_per_day: u32 = ticks(100, 100_000),
        /// Length of a tick at 1× speed.
        tick_ms: u32 = whole(1, 10_000, "ms"),
    }

    Features {
        /// Stages of the social features.
        stages: Stages = free(),
        /// Systems of the town.
        systems: Systems = free(),
        /// The console.
        console: Console = free(),
    }

    Stages {
        /// Ties: OFF none, A updated, B also observed, C1 to C3 as B.
        relationships: RelationshipStage = free(),
        /// Social rewards: C1 for good chats, C2 also for avoided conflicts, C3 also for the quality of the tie.
        social_rewards: SocialStage = free(),
    }

    Systems {
        /// Whether residents leave and arrive.
        lifecycle: bool = free(),
        /// Observation layout.
        observations: Observations = free(),
        /// Cooldowns and age priority in queues; off means first come, first served.
        queue_fairness: AtStart<bool> = free(),
        /// Whether perturbations start by themselves.
        perturbations: AtStart<bool> = free(),
    }

    Console {
        /// Initial role of a session; only viewer is accepted.
        mode: ConsoleMode = free(),
    }

    World {
        /// Plan of the town, relative to the folder of configurations; `drawn/N-S.txt` is drawn for N residents and seed S.
        plan: String = text(TextFormat::Path),
        /// Residents.
        population: u32 = whole(1, 20_000, "residents"),
        /// Width and height of the plan.
        grid_size: [u32; 2] = whole(8, 1_024, "tiles"),
    }

    Lifecycle {
        /// Most exits of all causes per day. An exit ordered by an operator ignores the limit and counts.
        max_exits_per_day: u32 = whole(0, 20_000, "exits"),
        /// Ticks between two exits.
        exit_cooldown_ticks: u32 = ticks(0, 100_000),
        /// Shortest and longest delay between an exit and the arrival of a newcomer.
        spawn_delay_ticks: AtStart<[u32; 2]> = ticks(0, 100_000).ordered(),
        /// Hunger level at or below which a resident is collapsing.
        collapse_hunger: Micro = unit().hot(),
        /// Ticks at that level until the collapse.
        collapse_ticks: u32 = ticks(1, 100_000).hot(),
        /// Days of unpaid rent until eviction.
        eviction_unpaid_days: u32 = whole(1, 365, "days"),
        /// Money of a newcomer.
        starter_wallet: Micro = decimal(0.0, 1_000.0, "meals"),
        /// Groceries of a newcomer.
        starter_groceries: u32 = whole(0, 100, "portions"),
        /// Ticks after an outage without involuntary exits.
        outage_grace_ticks: u32 = ticks(0, 100_000),
        /// Whether residents leave when they collapse.
        mortality: AtStart<bool> = free(),
    }

    Needs {
        /// Levels of a newcomer.
        start: ByNeed = unit(),
        /// Loss of each level per tick.
        decay_rates: ByNeed = decimal(0.0, 0.1, "per tick"),
        /// Levels below which a resident decides anew at once.
        critical: ByNeed = unit().hot(),
    }

    /// A value for each need.
    ByNeed {
        /// Hunger.
        hunger: Micro = free(),
        /// Hygiene.
        hygiene: Micro = free(),
        /// Energy.
        energy: Micro = free(),
    }

    Rewards {
        /// Weight of each need's deficit.
        needs_weights: NeedsWeights = free(),
        /// Reward for a shift begun on time.
        punctuality_bonus: Micro = decimal(0.0, 0.1, ""),
        /// Reward per tick worked. The money is set by `economy.wage_income` and `jobs.*.wage_rate`.
        wage_rate: Micro = decimal(0.0, 0.05, "per tick"),
        /// Scale of the cost of need deficits.
        homeostasis_scale: Micro = decimal(0.0, 1.0, ""),
        /// Reward per tick lived.
        survival_tick: Micro = decimal(0.0, 0.1, "per tick"),
        /// Reward of a collapse, outside the clip.
        faint_penalty: Micro = decimal(-100.0, 0.0, ""),
        /// Reward of an eviction, outside the clip.
        eviction_penalty: Micro = decimal(-100.0, 0.0, ""),
        /// Social rewards. The name contains the stage from which each applies.
        social: SocialRewards = free(),
        /// Limits of the reward.
        clip: Clip = free(),
    }

    NeedsWeights {
        /// Hunger.
        hunger: Micro = decimal(0.5, 2.0, ""),
        /// Hygiene.
        hygiene: Micro = decimal(0.2, 1.0, ""),
        /// Energy.
        energy: Micro = decimal(0.4, 1.5, ""),
    }

    SocialRewards {
        /// Reward for a good chat.
        c1_chat_base as "C1_chat_base": Micro = decimal(0.0, 0.2, ""),
        /// Factor of trust in it.
        c1_coeff_trust as "C1_coeff_trust": Micro = decimal(0.0, 2.0, ""),
        /// Factor of familiarity in it.
        c1_coeff_fam as "C1_coeff_fam": Micro = decimal(0.0, 2.0, ""),
        /// Reward for an avoided conflict.
        c2_avoid_conflict as "C2_avoid_conflict": Micro = decimal(0.0, 0.2, ""),
    }

    /// Limits of the reward. Every application of a limit counts as a reward clip event.
    Clip {
        /// Largest absolute reward per tick.
        clip_per_tick: Micro = decimal(0.01, 1.0, "").hot(),
        /// Largest absolute reward per episode.
        clip_per_episode: Micro = decimal(1.0, 200.0, "").hot(),
        /// Ticks before a collapse or exit without positive rewards.
        no_positive_within_death_ticks: u32 = ticks(0, 200).hot(),
    }

    Shaping {
        /// Potential-based shaping of the needs term. It does not change the optimal policy.
        use_potential: bool = free(),
    }

    Economy {
        /// Rent per day.
        rent_per_day: Micro = decimal(0.0, 1_000.0, "meals"),
        /// Price of a meal at the café.
        meal_cost: Micro = decimal(0.0, 100.0, "meals"),
        /// Energy cost of cooking.
        cook_energy_cost: Micro = unit(),
        /// Hygiene cost of cooking.
        cook_hygiene_cost: Micro = unit(),
        /// Wage per tick worked, for jobs without `wage_rate`.
        wage_income: Micro = decimal(0.0, 10.0, "meals per tick"),
        /// Price of the groceries for one meal.
        ingredients_cost: Micro = decimal(0.0, 100.0, "meals"),
        /// Meals per cooking.
        stove_stock_replenish: u32 = whole(1, 100, "meals"),
        /// Initial stock of a grocer's shelf.
        grocer_stock: u32 = whole(0, 100_000, "portions"),
        /// Initial stock of a till of the café.
        cafe_stock: u32 = whole(0, 100_000, "meals"),
        /// Capacity of a grocer's shelf.
        grocer_capacity: u32 = whole(0, 100_000, "portions"),
        /// Capacity of a till of the café.
        cafe_capacity: u32 = whole(0, 100_000, "meals"),
        /// Capacity of a fridge.
        fridge_capacity: u32 = whole(0, 1_000, "portions"),
        /// Daily delivery to a grocer's shelf, up to its capacity.
        grocer_restock: u32 = whole(0, 100_000, "portions a day"),
        /// Daily delivery to a till of the café, up to its capacity.
        cafe_restock: u32 = whole(0, 100_000, "meals a day"),
        /// Tick of the day of both deliveries.
        restock_tick: u32 = ticks(0, 99_999),
        /// Opening hours, from and to, in ticks of the day.
        opening_hours: OpeningHours = ticks(0, 100_000).ordered(),
    }

    OpeningHours {
        /// The café.
        cafe: [u32; 2] = free(),
        /// The grocer.
        grocer: [u32; 2] = free(),
    }

    /// A job. Residents are assigned to jobs in turn.
    Job {
        /// Kind of place of the job.
        site: Site = free(),
        /// Start of the shift, in ticks of the day.
        start_tick: u32 = ticks(0, 100_000),
        /// End of the shift, in ticks of the day.
        end_tick: u32 = ticks(1, 100_000),
        /// Wage per tick at work; `economy.wage_income` when left out.
        wage_rate: Micro = decimal(0.0, 10.0, "meals per tick"),
        /// Pay withheld from a shift begun late.
        lateness_penalty: Micro = decimal(0.0, 100.0, "meals"),
        /// Tile of the workplace; `null` for the whole site.
        location: Option<[u32; 2]> = whole(0, 1_023, "tiles"),
    }

    Behavior {
        /// Hunger level below which a resident looks for food.
        hunger_threshold: Micro = unit().hot(),
        /// Hygiene level below which a resident washes.
        hygiene_threshold: Micro = unit().hot(),
        /// Energy level below which a resident sleeps.
        energy_threshold: Micro = unit().hot(),
        /// Ticks before a shift at which a resident sets out.
        job_arrival_buffer: u32 = ticks(0, 1_000).hot(),
    }

    Employment {
        /// Whether shifts are tracked and absences have consequences.
        enforce_job_loop: bool = free(),
        /// Ticks after the start of a shift that still count as on time.
        grace_ticks: u32 = ticks(0, 1_000),
        /// Ticks after the start of a shift from which a resident counts as absent.
        absent_cutoff: u32 = ticks(0, 10_000),
        /// Ticks a resident may be away from work before it counts as absent.
        absence_slack: u32 = ticks(0, 10_000),
        /// Pay withheld for each tick late.
        late_tick_penalty: Micro = decimal(0.0, 10.0, "meals per tick"),
        /// Pay withheld for an absence.
        absence_penalty: Micro = decimal(0.0, 100.0, "meals"),
        /// Absences in seven days after which a resident is due to leave.
        max_absent_shifts: u32 = whole(1, 100, "shifts"),
        /// Number of last shifts in the attendance ratio.
        attendance_window: u32 = whole(1, 100, "shifts"),
        /// Most employment exits per day.
        daily_exit_cap: AtStart<u32> = whole(0, 20_000, "exits"),
        /// Queue length above which the alert `exit_queue_overflow` is raised. The queue itself has no limit.
        exit_queue_limit: u32 = whole(0, 20_000, "residents"),
        /// Ticks after which a queued exit happens without approval, as soon as the cap allows.
        exit_review_window: u32 = ticks(0, 1_000_000),
    }

    QueueFairness {
        /// Cooldown of a resident at an object it used or blocked.
        cooldown_ticks: u32 = ticks(0, 10_000),
        /// Blocked attempts after which a resident passes through another.
        ghost_step_after: u32 = whole(1, 1_000, "attempts"),
        /// Weight of each tick waited in the serving order.
        age_priority_weight: Micro = unit(),
    }

    Conflict {
        /// Growth, decay and limits of rivalry.
        rivalry: Rivalry = free(),
    }

    Rivalry {
        /// Increase per conflict.
        increment_per_conflict: Micro = unit(),
        /// Decrease per hour (a 24th of a day).
        decay_per_hour: Micro = unit(),
        /// Rivalry from which a resident avoids another.
        avoid_threshold: Micro = unit().hot(),
        /// Strength below which a tie is dropped.
        eviction_threshold: Micro = unit().hot(),
        /// Most ties per resident; a new one replaces the weakest.
        max_edges: u32 = whole(1, 6, "ties"),
    }

    EmbeddingAllocator {
        /// Ticks before a freed slot is reused.
        cooldown_ticks: u32 = ticks(0, 1_000_000),
        /// Share of slots reused too early above which a warning is raised.
        reuse_warning_threshold: Micro = unit().hot(),
        /// Number of slots; at least the population.
        max_slots: u32 = whole(1, 32_000, "slots"),
    }
}

choice! {
    /// Stage of the ties.
    RelationshipStage {
        /// No ties.
        Off = "OFF",
        /// Updated, shown to operators only.
        A = "A",
        /// Also observed by policies.
        B = "B",
        /// As B.
        C1 = "C1",
        /// As B.
        C2 = "C2",
        /// As B.
        C3 = "C3",
    }

    /// Stage of the social rewards.
    SocialStage {
        /// None.
        Off = "OFF",
        /// Good chats.
        C1 = "C1",
        /// Also avoided conflicts.
        C2 = "C2",
        /// Also the quality of the tie.
        C3 = "C3",
    }

    /// Observation layout.
    Observations {
        /// Full map and features.
        Full = "full",
        /// Smaller map and features.
        Hybrid = "hybrid",
        /// Features only.
        Compact = "compact",
    }

    /// Initial role of a console session.
    ConsoleMode {
        /// Reads only.
        Viewer = "viewer",
        /// Refused in a file; a session must escalate.
        Admin = "admin",
    }

    /// Kind of place of a job.
    Site {
        /// The grocer.
        Grocer = "grocer",
        /// The café.
        Cafe = "cafe",
        /// The office.
        Office = "office",
        /// The gym.
        Gym = "gym",
    }
}

//! The settings of the town itself: every key, its type, range, unit and meaning. This is the table.
//!
//! Key names follow the handbook's program and mean what they meant there. Values live in `configs/default.yaml`, not
//! here. Must not know how a setting is read, merged or shown.

use std::collections::BTreeMap;

use super::schema::{TextFormat, choice, decimal, free, section, text, ticks, unit, whole};
use super::shard_settings::{
    Affordances, ConsoleAuth, Kpis, Perturbations, Policy, PolicyRuntime, Ppo, Snapshot, Stability, Telemetry, Training,
};
use crate::fixed_point::Micro;

section! {
    /// Everything a shard is started with.
    Config {
        /// Identity of the configuration; stamped on every snapshot, checkpoint and message, mismatches are refused.
        config_id: String = text(TextFormat::Name),
        /// Seed of all chance; the same seed, config and commands give the same town.
        seed: u64 = whole(0, 9_007_199_254_740_991, ""),
        /// The name operators see.
        shard: String = text(TextFormat::Label),
        /// Length of a day and of a tick.
        time: Time = free(),
        /// What is switched on.
        features: Features = free(),
        /// The place and how many live there.
        world: World = free(),
        /// Coming and going.
        lifecycle: Lifecycle = free(),
        /// Needs: levels from 0 to 1, 1 is satisfied.
        needs: Needs = free(),
        /// What a resident is rewarded for.
        rewards: Rewards = free(),
        /// Reward shaping.
        shaping: Shaping = free(),
        /// Prices, stock, rent. Money counts meals: 1 is a basic meal.
        economy: Economy = free(),
        /// Jobs by name. Given in a file, they replace the default jobs as a whole.
        jobs: BTreeMap<String, Job> = free(),
        /// Thresholds of the scripted policy.
        behavior: Behavior = free(),
        /// Attendance, lateness and the exit queue.
        employment: Employment = free(),
        /// Fairness in queues.
        queue_fairness: QueueFairness = free(),
        /// Rivalry.
        conflict: Conflict = free(),
        /// Identities handed to residents.
        embedding_allocator: EmbeddingAllocator = free(),
        /// How a policy's choices are carried out.
        policy_runtime: PolicyRuntime = free(),
        /// What can be done with objects.
        affordances: Affordances = free(),
        /// Price spikes, blackouts and the like.
        perturbations: Perturbations = free(),
        /// The windows by which a policy is judged.
        stability: Stability = free(),
        /// What leaves the shard.
        telemetry: Telemetry = free(),
        /// Targets of the KPIs.
        kpis: Kpis = free(),
        /// Learning by PPO.
        ppo: Ppo = free(),
        /// How training collects and how long it learns.
        training: Training = free(),
        /// Which policy runs and where checkpoints go.
        policy: Policy = free(),
        /// Snapshots of the town.
        snapshot: Snapshot = free(),
        /// Tokens of the console.
        console_auth: ConsoleAuth = free(),
    }

    /// Length of a day and of a tick.
    Time {
        /// Ticks in a day.
        ticks_per_day: u32 = ticks(100, 100_000),
        /// Length of a tick at 1× speed.
        tick_ms: u32 = whole(1, 10_000, "ms"),
    }

    /// What is switched on.
    Features {
        /// How far the social side goes.
        stages: Stages = free(),
        /// Systems of the town.
        systems: Systems = free(),
        /// Extras of training.
        training: Extras = free(),
        /// The console.
        console: Console = free(),
    }

    /// How far the social side goes.
    Stages {
        /// Ties: OFF none, A kept, B also observed, C1 to C3 as B.
        relationships: RelationshipStage = free(),
        /// Social rewards: C1 finished chats, C2 adds avoided conflicts, C3 adds the quality of the tie.
        social_rewards: SocialStage = free(),
    }

    /// Systems of the town.
    Systems {
        /// Whether residents leave and arrive.
        lifecycle: bool = free(),
        /// Observation layout given to policies.
        observations: Observations = free(),
        /// Cooldown and age priority in queues; off is plain first come, first served.
        queue_fairness: bool = free(),
        /// Whether perturbations happen by themselves.
        perturbations: bool = free(),
    }

    /// Extras of training.
    Extras {
        /// Read and kept for files of before; no reward is made of it.
        curiosity: Curiosity = free(),
    }

    /// The console.
    Console {
        /// Role a session starts with; only viewer is accepted.
        mode: ConsoleMode = free(),
    }

    /// The place and how many live there.
    World {
        /// Text plan of the town, relative to the folder of configurations.
        plan: String = text(TextFormat::Path),
        /// Residents.
        population: u32 = whole(1, 2_000, "residents"),
        /// Width and height of the plan.
        grid_size: [u32; 2] = whole(8, 1_024, "tiles"),
    }

    /// Coming and going.
    Lifecycle {
        /// Exits of all causes in a day. One that an operator orders is never held back, and counts.
        max_exits_per_day: u32 = whole(0, 2_000, "exits"),
        /// Ticks between two exits.
        exit_cooldown_ticks: u32 = ticks(0, 100_000),
        /// Ticks until a newcomer takes the place of who left, least and most.
        spawn_delay_ticks: [u32; 2] = ticks(0, 100_000).ordered(),
        /// Hunger level at or below which a collapse counts down.
        collapse_hunger: Micro = unit().hot(),
        /// Ticks at that level until the collapse.
        collapse_ticks: u32 = ticks(1, 100_000).hot(),
        /// Days of unpaid rent until eviction.
        eviction_unpaid_days: u32 = whole(1, 365, "days"),
        /// Money a newcomer brings.
        starter_wallet: Micro = decimal(0.0, 1_000.0, "meals"),
        /// Groceries a newcomer brings.
        starter_groceries: u32 = whole(0, 100, "portions"),
        /// Ticks after a city-wide outage in which nobody has to leave.
        outage_grace_ticks: u32 = ticks(0, 100_000),
        /// Whether residents can collapse for good.
        mortality: bool = free(),
    }

    /// Needs: levels from 0 to 1, 1 is satisfied.
    Needs {
        /// Levels of a newcomer.
        start: ByNeed = unit(),
        /// What each level loses in a tick.
        decay_rates: ByNeed = decimal(0.0, 0.1, "per tick"),
        /// Levels under which a resident drops what it does.
        critical: ByNeed = unit().hot(),
    }

    /// A value for each need.
    ByNeed {
        /// For hunger.
        hunger: Micro = free(),
        /// For hygiene.
        hygiene: Micro = free(),
        /// For energy.
        energy: Micro = free(),
    }

    /// What a resident is rewarded for.
    Rewards {
        /// Weight of each need's deficit.
        needs_weights: NeedsWeights = free(),
        /// Reward for a shift begun on time.
        punctuality_bonus: Micro = decimal(0.0, 0.1, ""),
        /// Reward for a tick worked; money is `economy.wage_income` and `jobs.*.wage_rate`.
        wage_rate: Micro = decimal(0.0, 0.05, "per tick"),
        /// Scale of the cost of deficits.
        homeostasis_scale: Micro = decimal(0.0, 1.0, ""),
        /// Reward for a tick lived.
        survival_tick: Micro = decimal(0.0, 0.1, "per tick"),
        /// Reward of a collapse, outside the clip.
        faint_penalty: Micro = decimal(-100.0, 0.0, ""),
        /// Reward of an eviction, outside the clip.
        eviction_penalty: Micro = decimal(-100.0, 0.0, ""),
        /// Social rewards, given from the stage in their name on.
        social: SocialRewards = free(),
        /// Limits of the sum.
        clip: Clip = free(),
    }

    /// Weight of each need's deficit.
    NeedsWeights {
        /// Hunger.
        hunger: Micro = decimal(0.5, 2.0, ""),
        /// Hygiene.
        hygiene: Micro = decimal(0.2, 1.0, ""),
        /// Energy.
        energy: Micro = decimal(0.4, 1.5, ""),
    }

    /// Social rewards, given from the stage in their name on.
    SocialRewards {
        /// Reward for a finished chat.
        c1_chat_base as "C1_chat_base": Micro = decimal(0.0, 0.2, ""),
        /// How much trust adds to it.
        c1_coeff_trust as "C1_coeff_trust": Micro = decimal(0.0, 2.0, ""),
        /// How much familiarity adds to it.
        c1_coeff_fam as "C1_coeff_fam": Micro = decimal(0.0, 2.0, ""),
        /// Reward for a conflict avoided.
        c2_avoid_conflict as "C2_avoid_conflict": Micro = decimal(0.0, 0.2, ""),
    }

    /// Limits of the reward sum. Each time one bites is counted as a reward clip event.
    Clip {
        /// Largest size of the sum in a tick.
        clip_per_tick: Micro = decimal(0.01, 1.0, "").hot(),
        /// Largest size of the sum in an episode.
        clip_per_episode: Micro = decimal(1.0, 200.0, "").hot(),
        /// Ticks before a collapse or exit in which nothing positive is given.
        no_positive_within_death_ticks: u32 = ticks(0, 200).hot(),
    }

    /// Reward shaping.
    Shaping {
        /// Potential-based shaping of the needs term, which leaves the best policy as it is.
        use_potential: bool = free(),
    }

    /// Prices, stock, rent. Money counts meals: 1 is a basic meal.
    Economy {
        /// Rent, taken once a day.
        rent_per_day: Micro = decimal(0.0, 1_000.0, "meals"),
        /// Price of a meal at the café.
        meal_cost: Micro = decimal(0.0, 100.0, "meals"),
        /// Energy that cooking takes.
        cook_energy_cost: Micro = unit(),
        /// Hygiene that cooking takes.
        cook_hygiene_cost: Micro = unit(),
        /// Wage for a tick worked, where a job states none.
        wage_income: Micro = decimal(0.0, 10.0, "meals per tick"),
        /// Price of the groceries for one meal.
        ingredients_cost: Micro = decimal(0.0, 100.0, "meals"),
        /// Meals one cooking yields.
        stove_stock_replenish: u32 = whole(1, 100, "meals"),
        /// Groceries on the grocer's shelf at the start.
        grocer_stock: u32 = whole(0, 100_000, "portions"),
        /// Meals at the café at the start.
        cafe_stock: u32 = whole(0, 100_000, "meals"),
        /// Groceries the grocer's shelf holds.
        grocer_capacity: u32 = whole(0, 100_000, "portions"),
        /// Meals the café holds.
        cafe_capacity: u32 = whole(0, 100_000, "meals"),
        /// Groceries a fridge holds.
        fridge_capacity: u32 = whole(0, 1_000, "portions"),
        /// Groceries delivered to the grocer each day, as far as they fit.
        grocer_restock: u32 = whole(0, 100_000, "portions a day"),
        /// Meals delivered to the café each day, as far as they fit.
        cafe_restock: u32 = whole(0, 100_000, "meals a day"),
        /// Tick of the day at which both are delivered.
        restock_tick: u32 = ticks(0, 99_999),
        /// When places are open, from and to, in ticks of the day.
        opening_hours: OpeningHours = ticks(0, 100_000).ordered(),
    }

    /// When places are open, from and to, in ticks of the day.
    OpeningHours {
        /// The café.
        cafe: [u32; 2] = free(),
        /// The grocer.
        grocer: [u32; 2] = free(),
    }

    /// A job. Residents are assigned to jobs in turn.
    Job {
        /// Kind of place it is done at.
        site: Site = free(),
        /// Tick of the day at which the shift begins.
        start_tick: u32 = ticks(0, 100_000),
        /// Tick of the day at which the shift ends.
        end_tick: u32 = ticks(1, 100_000),
        /// Wage for a tick present at work; `economy.wage_income` when left out.
        wage_rate: Micro = decimal(0.0, 10.0, "meals per tick"),
        /// Pay withheld from a shift begun late.
        lateness_penalty: Micro = decimal(0.0, 100.0, "meals"),
        /// Tile to work at; `null` is the site's place on the plan.
        location: Option<[u32; 2]> = whole(0, 1_023, "tiles"),
    }

    /// Thresholds of the scripted policy.
    Behavior {
        /// Hunger level under which a resident looks for food.
        hunger_threshold: Micro = unit().hot(),
        /// Hygiene level under which a resident washes.
        hygiene_threshold: Micro = unit().hot(),
        /// Energy level under which a resident sleeps.
        energy_threshold: Micro = unit().hot(),
        /// Ticks before a shift at which a resident sets out.
        job_arrival_buffer: u32 = ticks(0, 1_000).hot(),
    }

    /// Attendance, lateness and the exit queue.
    Employment {
        /// Whether shifts are watched and absences have consequences.
        enforce_job_loop: bool = free(),
        /// Ticks after the start of a shift that still count as on time.
        grace_ticks: u32 = ticks(0, 1_000),
        /// Ticks after the start of a shift from which a resident counts as absent.
        absent_cutoff: u32 = ticks(0, 10_000),
        /// Ticks a resident may step away from work before it counts as absent.
        absence_slack: u32 = ticks(0, 10_000),
        /// Pay withheld for each tick late.
        late_tick_penalty: Micro = decimal(0.0, 10.0, "meals per tick"),
        /// Pay withheld for an absence.
        absence_penalty: Micro = decimal(0.0, 100.0, "meals"),
        /// Absences in seven days after which a resident is due to leave.
        max_absent_shifts: u32 = whole(1, 100, "shifts"),
        /// Shifts the attendance ratio looks back on.
        attendance_window: u32 = whole(1, 100, "shifts"),
        /// Employment exits in a day.
        daily_exit_cap: u32 = whole(0, 2_000, "exits"),
        /// Waiting exits above which the alert `exit_queue_overflow` is raised; nobody is turned away.
        exit_queue_limit: u32 = whole(0, 2_000, "residents"),
        /// Ticks after which a waiting exit goes ahead by itself, as soon as the cap allows.
        exit_review_window: u32 = ticks(0, 1_000_000),
    }

    /// Fairness in queues.
    QueueFairness {
        /// Ticks a resident sits out at an object it just used or blocked.
        cooldown_ticks: u32 = ticks(0, 10_000),
        /// Blocked attempts after which people pass each other for a tick.
        ghost_step_after: u32 = whole(1, 1_000, "attempts"),
        /// How much each tick waited counts in the serving order.
        age_priority_weight: Micro = unit(),
    }

    /// Rivalry.
    Conflict {
        /// How rivalry grows, fades and is limited.
        rivalry: Rivalry = free(),
    }

    /// How rivalry grows, fades and is limited.
    Rivalry {
        /// What a conflict adds.
        increment_per_conflict: Micro = unit(),
        /// What an hour (a 24th of a day) takes away.
        decay_per_hour: Micro = unit(),
        /// Rivalry from which two residents avoid each other.
        avoid_threshold: Micro = unit().hot(),
        /// Rivalry under which a tie is forgotten.
        eviction_threshold: Micro = unit().hot(),
        /// Ties a resident keeps; the weakest makes room.
        max_edges: u32 = whole(1, 6, "ties"),
    }

    /// Identities handed to residents.
    EmbeddingAllocator {
        /// Ticks before the identity of someone who left is handed out again.
        cooldown_ticks: u32 = ticks(0, 1_000_000),
        /// Share of identities reused too early above which a warning is given.
        reuse_warning_threshold: Micro = unit().hot(),
        /// Identities there are; at least as many as residents.
        max_slots: u32 = whole(1, 4_096, "slots"),
    }
}

choice! {
    /// How far ties go.
    RelationshipStage {
        /// No ties.
        Off = "OFF",
        /// Kept, shown to operators only.
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

    /// How far social rewards go.
    SocialStage {
        /// None.
        Off = "OFF",
        /// Finished chats.
        C1 = "C1",
        /// Adds avoided conflicts.
        C2 = "C2",
        /// Adds the quality of the tie.
        C3 = "C3",
    }

    /// Observation layout given to policies.
    Observations {
        /// Map, hints and features.
        Full = "full",
        /// A smaller map, directions and features.
        Hybrid = "hybrid",
        /// Features only.
        Compact = "compact",
    }

    /// A curiosity reward for the trainer.
    Curiosity {
        /// None.
        Off = "off",
        /// The first phase.
        PhaseA = "phase_A",
    }

    /// Role a console session starts with.
    ConsoleMode {
        /// Looks; changes nothing.
        Viewer = "viewer",
        /// Refused in a file: a session escalates.
        Admin = "admin",
    }

    /// Kind of place a job is done at.
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

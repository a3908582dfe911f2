//! The settings of the shard: policy, stability, telemetry, training and files. Higher layers use some of them; all are defined
//! here, so that a file is validated as a whole.

use std::collections::BTreeMap;

use super::schema::{TextFormat, choice, decimal, free, section, text, ticks, unit, whole};
use crate::fixed_point::Micro;

section! {
    PolicyRuntime {
        /// Ticks for which an option is kept.
        option_commit_ticks: u32 = ticks(1, 1_000).term("frame_skip"),
    }

    Affordances {
        /// File of affordances, relative to the folder of configurations.
        affordances_file: String = text(TextFormat::Path).hot(),
    }

    Perturbations {
        /// File of perturbations, relative to the folder of configurations.
        file: String = text(TextFormat::Path).hot(),
    }

    Stability {
        /// Length of a window.
        window_ticks: u32 = ticks(100, 1_000_000),
        /// Failed affordances in a window above which an alert is raised.
        affordance_fail_threshold: u32 = whole(0, 1_000_000, "failures").hot(),
        /// Lateness check.
        lateness: LatenessCheck = free(),
        /// Starvation check.
        starvation: StarvationCheck = free(),
        /// Reward variance check.
        reward_variance: RewardVarianceCheck = free(),
        /// Option switching check.
        option_thrash: OptionThrashCheck = free(),
        /// When a candidate may be promoted.
        promotion: Promotion = free(),
    }

    LatenessCheck {
        /// Ratio of lateness to its baseline above which a window is red.
        max_ratio_to_baseline: Micro = decimal(1.0, 100.0, "×").hot(),
        /// Lowest baseline, as a share of shifts.
        baseline_floor: Micro = unit().hot(),
    }

    StarvationCheck {
        /// Starvation events in a window above which it is red.
        max_incidents: u32 = whole(0, 10_000, "events").hot(),
        /// Hunger level at or below which a resident starves.
        hunger_threshold: Micro = unit().hot(),
        /// Ticks at that level that count as an event.
        min_duration_ticks: u32 = ticks(1, 100_000).hot(),
    }

    /// Reward variance check, over per-resident returns of a window.
    RewardVarianceCheck {
        /// Variance above which a window is red.
        max_variance: Micro = decimal(0.0, 1_000_000.0, "").hot(),
        /// Returns needed for a verdict.
        min_samples: u32 = whole(1, 1_000_000, "returns").hot(),
    }

    OptionThrashCheck {
        /// Share of voluntary option changes above which a window is red.
        max_switch_rate: Micro = unit().hot(),
        /// Decisions needed for a verdict.
        min_samples: u32 = whole(1, 1_000_000, "decisions").hot(),
    }

    Promotion {
        /// Green windows in a row.
        required_passes: u32 = whole(1, 100, "windows").hot(),
        /// Share of towns by which a candidate may not starve or lose residents in more towns than the release. A smaller one
        /// needs more towns.
        safety_margin: Micro = decimal(0.002, 0.5, "").hot(),
        /// Alerts that do not make a window red.
        allowed_alerts: Vec<String> = text(TextFormat::Name).hot(),
        /// When the release is rolled back automatically. It happens at most once.
        auto_rollback: AutoRollback = free().hot(),
    }

    Telemetry {
        /// Narration of events.
        narration: Narration = free(),
        /// Privacy of residents.
        privacy: Privacy = free(),
        /// Handling of slow subscribers.
        backpressure: Backpressure = free(),
    }

    Narration {
        /// Ticks between any two narrations.
        global_cooldown_ticks: u32 = ticks(0, 100_000).hot(),
        /// Ticks between two narrations of a category.
        category_cooldown_ticks: BTreeMap<String, u32> = ticks(0, 100_000).hot(),
        /// Ticks in which the same narration is not repeated.
        dedupe_window_ticks: u32 = ticks(0, 100_000).hot(),
        /// Window in which narrations are counted.
        global_window_ticks: u32 = ticks(1, 1_000_000).hot(),
        /// Narrations in that window.
        global_window_limit: u32 = whole(0, 10_000, "narrations").hot(),
    }

    Privacy {
        /// Whether names and ids are replaced by keyed hashes.
        enabled: bool = free().hot(),
    }

    Backpressure {
        /// Pending messages above which the publisher aggregates.
        backlog_threshold: u32 = whole(1, 1_000_000, "messages").hot(),
        /// Pending messages below which it stops aggregating.
        recover_below: u32 = whole(0, 1_000_000, "messages").hot(),
        /// Milliseconds between two aggregated messages.
        aggregate_every_ms: u32 = whole(10, 60_000, "ms").hot(),
        /// Buffered messages per subscriber.
        subscriber_buffer: u32 = whole(1, 100_000, "messages").hot(),
        /// Most messages per second, at any speed of the town.
        max_messages_per_second: u32 = whole(1, 1_000, "messages").hot(),
        /// Whether the raw stream is written to a file while aggregating.
        archive: bool = free().hot(),
    }

    Kpis {
        /// Share of residents whose every need stayed above 0.3 over the last day, at least.
        self_sufficiency: Micro = unit().hot(),
        /// Mean days in the current job, at least.
        tenure_days: Micro = decimal(0.0, 365.0, "days").hot(),
        /// Share of residents who trust somebody, at least.
        relationship_coverage: Micro = unit().hot(),
        /// Share of residents with a rival, at most.
        rivalry_coverage: Micro = unit().hot(),
        /// Share of shifts attended, at least.
        attendance: Micro = unit().hot(),
        /// Share of shifts begun late, at most.
        lateness: Micro = unit().hot(),
        /// Starvation events in the last seven days, at most.
        starvation_events: Micro = decimal(0.0, 10_000.0, "events a day").hot(),
        /// Share of voluntary option changes, at most.
        option_switch_rate: Micro = unit().hot(),
        /// Conflicts at queues in a day, at most.
        queue_conflicts_per_day: Micro = decimal(0.0, 1_000_000.0, "conflicts a day").hot(),
        /// Share of good chats, at least.
        chat_success: Micro = unit().hot(),
        /// Exits of all causes in a day, at most.
        exits_per_day: Micro = decimal(0.0, 2_000.0, "exits a day").hot(),
        /// Town score of the last whole day, at least.
        town_score: Micro = unit().hot(),
    }

    Ppo {
        /// Step size of Adam.
        learning_rate: Micro = decimal(0.000_001, 1.0, ""),
        /// Clip range of the probability ratio around 1.
        clip_param: Micro = decimal(0.0, 1.0, "").term("clip_coef"),
        /// Weight of the value loss.
        value_loss_coef: Micro = decimal(0.0, 10.0, "").term("vf_coef"),
        /// Weight of the entropy bonus.
        entropy_coef: Micro = decimal(0.0, 1.0, "").term("ent_coef"),
        /// Epochs per rollout.
        num_epochs: u32 = whole(1, 100, "epochs").term("update_epochs"),
        /// Samples in a gradient step.
        mini_batch_size: u32 = whole(1, 1_000_000, "samples").term("minibatch_size"),
        /// λ of generalised advantage estimation.
        gae_lambda: Micro = unit(),
        /// Discount of a tick.
        gamma: Micro = unit(),
        /// Gradient norm limit.
        max_grad_norm: Micro = decimal(0.0, 1_000.0, ""),
        /// Clip range of the value change per update; 0 means no limit.
        value_clip: Micro = decimal(0.0, 100.0, "").term("clip_vloss"),
        /// Whether advantages are normalised in each minibatch.
        advantage_normalization: bool = free().term("norm_adv"),
    }

    Training {
        /// What residents are rewarded for in a training: their share of the town score, or the reward items of `rewards`.
        objective: Objective = free(),
        /// Factor of the needs term in the objective `town_score`. With all factors 1 and `low_needs_weight` 0 it is the score.
        needs_weight: Micro = decimal(0.0, 100.0, ""),
        /// Factor of the attendance term.
        attendance_weight: Micro = decimal(0.0, 100.0, ""),
        /// Factor of a change of trust. Above 1 because trust counts on all later days too.
        trust_weight: Micro = decimal(0.0, 100.0, ""),
        /// Factor of the price of a starvation event.
        starvation_weight: Micro = decimal(0.0, 100.0, ""),
        /// Factor of the price of an involuntary exit.
        exit_weight: Micro = decimal(0.0, 100.0, ""),
        /// Price of a day with a need at or below 0.3, which the score does not see.
        low_needs_weight: Micro = decimal(0.0, 100.0, "score a day"),
        /// Whether all towns are the configured one, or a growing share of them is drawn: 4 to 32 residents, other plans,
        /// prices, needs and perturbations.
        towns: TrainingTowns = free(),
        /// Different drawn towns.
        drawn_towns: u32 = whole(1, 1_000_000, "towns"),
        /// Share of the towns that is drawn in the first episodes of a replica.
        drawn_share_start: u32 = whole(0, 100, "%"),
        /// Share that it grows to.
        drawn_share: u32 = whole(0, 100, "%"),
        /// Share of the drawn towns in which only the plan is drawn; exact when their number is a multiple of 300.
        drawn_plan_share: u32 = whole(0, 100, "%"),
        /// Towns stepped in parallel.
        replicas: u32 = whole(1, 4_096, "towns").term("num_envs"),
        /// Ticks per town between two updates.
        rollout_ticks: u32 = ticks(1, 100_000).term("num_steps"),
        /// Days after which a town is reset; episodes are truncated there.
        horizon_days: u32 = whole(1, 1_000, "days"),
        /// Units in each of the two hidden layers.
        hidden_units: u32 = whole(4, 1_024, "units"),
        /// Resident-ticks of the whole schedule; `--steps` overrides it.
        total_steps: u64 = whole(1, 1_000_000_000_000, "resident-ticks").term("total_timesteps"),
        /// Whether the step size decreases to zero over the schedule.
        anneal_learning_rate: bool = free().term("anneal_lr"),
        /// KL divergence at which an update stops early; 0 means no limit.
        target_kl: Micro = decimal(0.0, 10.0, ""),
        /// Updates between two checkpoints.
        checkpoint_updates: u32 = whole(1, 1_000_000, "updates"),
        /// Rollouts of the imitated policy used by `--warm-start`.
        warm_start_rollouts: u32 = whole(1, 10_000, "rollouts"),
        /// Evaluations of the policy in training on held-out towns.
        evaluation: TrainingEvaluation = free(),
    }

    /// Evaluations of the policy in training on held-out towns, by which the best checkpoint is chosen.
    TrainingEvaluation {
        /// Resident-ticks between two evaluations; 0 turns them off.
        every_steps: u64 = whole(0, 1_000_000_000_000, "resident-ticks"),
        /// Towns, the same in each evaluation.
        towns: u32 = whole(1, 1_000, "towns"),
        /// Days per town.
        days: u32 = whole(1, 100, "days"),
    }

    Policy {
        /// The release: `shipped`, `scripted` or the id of a checkpoint. A promotion replaces it.
        release: String = text(TextFormat::Name),
        /// Folder of released checkpoints.
        release_dir: String = text(TextFormat::Path),
        /// Folder of the trainer's checkpoints; another folder.
        shadow_dir: String = text(TextFormat::Path),
    }

    Snapshot {
        /// Folder of snapshots.
        root: String = text(TextFormat::Path),
        /// Automatic snapshots.
        autosave: Autosave = free(),
    }

    Autosave {
        /// Ticks between two automatic snapshots.
        cadence_ticks: u32 = ticks(1, 10_000_000),
        /// Least seconds between two automatic snapshots, at any speed.
        min_seconds: u32 = whole(0, 86_400, "s"),
        /// Automatic snapshots kept.
        retain: u32 = whole(1, 10_000, "snapshots"),
    }

    Journal {
        /// Bytes of entries after which a segment is complete. The town is saved at the start of each segment.
        segment_bytes: u64 = whole(4_096, 16_777_216, "bytes").hot(),
        /// Days after which a complete segment is removed.
        retain_days: u32 = whole(1, 36_500, "days").hot(),
        /// Largest size of a run's journal; the oldest segments are removed first. The newest two always stay.
        max_bytes: u64 = whole(65_536, 1_000_000_000_000_000, "bytes").hot(),
    }

    Keyframes {
        /// Least ticks between two keyframes; they are written at multiples of 100 ticks. 0 writes none.
        every_ticks: u32 = ticks(0, 10_000_000).hot(),
        /// The newest days of the town, in which all keyframes are kept.
        dense_days: u32 = whole(0, 36_500, "days").hot(),
        /// Ticks of which one keyframe is kept before those days.
        sparse_ticks: u32 = ticks(100, 1_000_000_000).hot(),
        /// Largest size of a run's keyframes. If they take more, half of them are removed, evenly. The newest always stays.
        max_bytes: u64 = whole(1_048_576, 1_000_000_000_000_000, "bytes").hot(),
    }

    /// What-if questions about the running town. A question takes days × samples × (alternatives + 1) of the town's days.
    WhatIf {
        /// Days of the town that a question of an admin takes at most.
        admin_days: u32 = whole(0, 100_000_000, "days").hot(),
        /// Days of the town that a question of a viewer takes at most; with 0 viewers may not ask.
        viewer_days: u32 = whole(0, 100_000_000, "days").hot(),
        /// Questions that wait while one is answered.
        waiting: u32 = whole(0, 100, "questions").hot(),
    }

    ConsoleAuth {
        /// Whether sessions need a token.
        enabled: bool = free(),
        /// Token store, relative to the shard's home.
        token_file: String = text(TextFormat::Path),
        /// What clients of the service may read without a token: `full`, `status` (health and readiness), `none` (that the
        /// process lives). `auto` is `full` on the addresses of this machine and `status` on others.
        anonymous: AnonymousReading = free(),
    }

    Server {
        /// What requests over the network may take from the town and from each other.
        limits: ServerLimits = free(),
    }

    ServerLimits {
        /// Open connections. A connection without a token is closed when a new one needs its place.
        connections: u32 = whole(16, 10_000, "connections"),
        /// Of these, connections that only clients with a token may use.
        reserved_connections: u32 = whole(1, 10_000, "connections"),
        /// Open connections without a token of one address.
        connections_per_address: u32 = whole(1, 10_000, "connections"),
        /// Requests without a token of one address.
        anonymous: RateLimit = free(),
        /// Requests without a token of all addresses together.
        anonymous_total: RateLimit = free(),
        /// Requests of one viewer token.
        viewer: RateLimit = free(),
        /// Requests of one admin token.
        admin: RateLimit = free(),
        /// Requests without a token of one address that the audit log keeps line by line in ten seconds. The others are counted
        /// in one line.
        audited_requests: u32 = whole(1, 1_000, "requests"),
        /// Free disk space below which commands without a token are refused, so that the audit log can keep those of admins.
        disk_reserve_bytes: u64 = whole(0, 1_000_000_000_000_000, "bytes"),
    }

    /// A token bucket: a steady rate, and a burst of two seconds of it.
    RateLimit {
        /// Requests a second.
        requests: u32 = whole(1, 1_000_000, "requests/s"),
        /// Bytes of requests and answers a second, streams aside.
        bytes: u64 = whole(65_536, 1_000_000_000_000, "bytes/s"),
    }
}

choice! {
    /// What residents are rewarded for in a training.
    Objective {
        /// Their share of the town score.
        TownScore = "town_score",
        /// The reward items of the town, without the clip of the episode.
        Configured = "configured",
    }

    /// The towns of a training.
    TrainingTowns {
        /// The configured one.
        Configured = "configured",
        /// Drawn at random.
        Drawn = "drawn",
    }

    /// What clients of the service may read without a token.
    AnonymousReading {
        /// Everything on the addresses of this machine, the status on others.
        Auto = "auto",
        /// Everything.
        Full = "full",
        /// Health and readiness.
        Status = "status",
        /// That the process lives.
        None = "none",
    }

    /// When the release is rolled back automatically.
    AutoRollback {
        /// Never.
        Off = "off",
        /// On a critical alert.
        Critical = "critical",
        /// On any alert.
        Any = "any",
    }
}

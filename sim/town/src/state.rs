//! Everything that is true of a town at a tick, and nothing else.
//!
//! Plain columns of exact numbers: what is here is saved, digested and compared; what can be derived is not here.

use serde::{Deserialize, Serialize};

use crate::employment::Employment;
use crate::fixed_point::Micro;
use crate::ids::{AffordanceId, AgentId, Column, JobId, ObjectId, PlaceId, ResidentId, Tile};
use crate::kpi::DailyCounters;
use crate::lifecycle::Lifecycle;
use crate::needs::NEED_COUNT;
use crate::options::OptionKind;
use crate::perturbations::Perturbations;
use crate::rewards::Rewards;
use crate::score::Score;
use crate::stability::Stability;
use crate::ties::Ties;

/// The whole state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Key of all luck.
    pub seed: u64,
    /// Ticks since the town began.
    pub tick: u64,
    /// Commands applied since the town began.
    pub commands: u64,
    /// Settings an operator may change while the town runs.
    pub live_settings: LiveSettings,
    /// Residents by slot.
    pub agents: Agents,
    /// Objects of the plan.
    pub objects: Column<ObjectId, ObjectState>,
    /// Prices, utilities, the outside world's purse.
    pub economy: Economy,
    /// The exit queue.
    pub employment: Employment,
    /// Comings and goings.
    pub lifecycle: Lifecycle,
    /// Shocks under way.
    pub perturbations: Perturbations,
    /// Counters by day, for the KPIs.
    pub days: DailyCounters,
    /// What the town score is made of.
    pub score: Score,
    /// Stability windows.
    pub stability: Stability,
    /// Rewards handed out.
    pub rewards: Rewards,
    /// Ghost steps since the town began.
    pub ghost_steps: u64,
    /// Blocked steps since the town began.
    pub blocked_steps: u64,
}

/// Settings an operator may change while the town runs; they start as the configuration says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveSettings {
    /// Cooldowns and age priority in queues.
    pub queue_fairness: bool,
    /// Whether residents collapse.
    pub mortality: bool,
    /// Employment exits a day.
    pub daily_exit_cap: u32,
    /// Ticks until a newcomer arrives, least and most.
    pub spawn_delay: (u32, u32),
    /// Whether shocks come by themselves.
    pub perturbations: bool,
}

/// What a resident is doing about its option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activity {
    /// Nothing that needs a thing: waiting, walking home, working.
    #[default]
    Idle,
    /// On the way to an object.
    Walking(ObjectId, AffordanceId),
    /// In its queue.
    Waiting(ObjectId, AffordanceId),
    /// Holds a reservation and steps up to it until the first tick; the second is when the wait for it began.
    Holding(ObjectId, AffordanceId, u64, u64),
    /// Uses it; done at this tick.
    Using(ObjectId, AffordanceId, u64),
}

impl Activity {
    /// The object it is about, and the use of it.
    pub const fn target(self) -> Option<(ObjectId, AffordanceId)> {
        match self {
            Self::Idle => None,
            Self::Walking(object, affordance)
            | Self::Waiting(object, affordance)
            | Self::Holding(object, affordance, ..)
            | Self::Using(object, affordance, ..) => Some((object, affordance)),
        }
    }
}

/// Where a resident is in the day's shift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShiftState {
    /// Before the arrival buffer.
    #[default]
    PreShift,
    /// Inside the arrival buffer, or started and not yet there.
    AwaitStart,
    /// There in time.
    OnTime,
    /// There, but late.
    Late,
    /// Not there, and it is too late.
    Absent,
    /// The shift has ended.
    PostShift,
}

impl ShiftState {
    /// As telemetry writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PreShift => "pre_shift",
            Self::AwaitStart => "await_start",
            Self::OnTime => "on_time",
            Self::Late => "late",
            Self::Absent => "absent",
            Self::PostShift => "post_shift",
        }
    }
}

/// The day's shift of one resident. Times in ticks of the day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shift {
    /// Where it stands.
    pub state: ShiftState,
    /// First tick at the site.
    pub arrived: Option<u32>,
    /// Ticks worked.
    pub worked: u32,
    /// Ticks away in a row since arriving.
    pub away: u32,
}

/// A shift that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastShift {
    /// `OnTime`, `Late` or `Absent`.
    pub outcome: ShiftState,
    /// Ticks worked.
    pub worked: u32,
    /// Ticks it had.
    pub scheduled: u32,
}

/// Past shifts kept a resident, newest first.
pub const PAST_SHIFTS: usize = 7;

/// Residents, one column an attribute, indexed by slot. Only slots in `present` mean anything; the rest hold defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agents {
    /// Slots in use, ascending.
    pub present: Vec<AgentId>,
    /// Who lives in the slot.
    pub resident: Column<AgentId, ResidentId>,
    /// Where they stand.
    pub tile: Column<AgentId, Tile>,
    /// Where they live.
    pub home: Column<AgentId, PlaceId>,
    /// Tick of arrival.
    pub arrived: Column<AgentId, u64>,
    /// Levels in [0, 1].
    pub needs: Column<AgentId, [Micro; NEED_COUNT]>,
    /// In meals.
    pub wallet: Column<AgentId, Micro>,
    /// Carried, each for one round of cooking.
    pub groceries: Column<AgentId, u32>,
    /// What they set out to do.
    pub option: Column<AgentId, OptionKind>,
    /// Since when.
    pub option_since: Column<AgentId, u64>,
    /// Until when they keep to it.
    pub commit_until: Column<AgentId, u64>,
    /// Whether the option has ended by itself.
    pub ended: Column<AgentId, bool>,
    /// Whether they must decide in the next tick.
    pub decide: Column<AgentId, bool>,
    /// What they do about it.
    pub activity: Column<AgentId, Activity>,
    /// Steps in a row that were blocked.
    pub blocked: Column<AgentId, u32>,
    /// Driven by an operator.
    pub possessed: Column<AgentId, bool>,
    /// Their job.
    pub job: Column<AgentId, Option<JobId>>,
    /// Since when.
    pub job_since: Column<AgentId, u64>,
    /// Today's shift.
    pub shift: Column<AgentId, Shift>,
    /// Past shifts, newest first.
    pub past: Column<AgentId, [Option<PastShift>; PAST_SHIFTS]>,
    /// Days with an absence, bit 0 today, seven days.
    pub absent_days: Column<AgentId, u8>,
    /// Ticks late today.
    pub late_ticks_today: Column<AgentId, u32>,
    /// Late shifts since arrival.
    pub lateness_counter: Column<AgentId, u32>,
    /// Paid since arrival.
    pub wages_earned: Column<AgentId, Micro>,
    /// Kept back since arrival.
    pub wages_withheld: Column<AgentId, Micro>,
    /// Still to be kept back from wages.
    pub penalty: Column<AgentId, Micro>,
    /// Since arrival.
    pub meals_cooked: Column<AgentId, u32>,
    /// Since arrival.
    pub meals_consumed: Column<AgentId, u32>,
    /// Rent not paid, in days.
    pub rent_owed: Column<AgentId, u32>,
    /// Last tick with a need at or under the level of self-sufficiency.
    pub low_tick: Column<AgentId, Option<u64>>,
    /// Ticks in a row of starving.
    pub starving_ticks: Column<AgentId, u32>,
    /// Ticks in a row under the level of collapse.
    pub collapse_ticks: Column<AgentId, u32>,
    /// Ticks in a row with hygiene or energy at nothing.
    pub neglect_ticks: Column<AgentId, u32>,
    /// Potential of the last reward, for shaping.
    pub potential: Column<AgentId, Micro>,
    /// Return since arrival, after clips.
    pub episode_return: Column<AgentId, Micro>,
    /// Return of the current sample of the stability window.
    pub window_return: Column<AgentId, Micro>,
    /// When they were last asked to an arranged meeting.
    pub invited: Column<AgentId, Option<u64>>,
    /// How they stand to others.
    pub ties: Column<AgentId, Ties>,
    /// Social reward of the tick, until it is handed out.
    pub social: Column<AgentId, Micro>,
    /// Whose shift they work today besides their own: the job.
    pub covering: Column<AgentId, Option<JobId>>,
}

impl Agents {
    /// `slots` empty slots.
    pub fn new(slots: usize) -> Self {
        Self {
            present: Vec::with_capacity(slots),
            resident: Column::filled(slots, ResidentId(0)),
            tile: Column::filled(slots, Tile(0)),
            home: Column::filled(slots, PlaceId(0)),
            arrived: Column::filled(slots, 0),
            needs: Column::filled(slots, [Micro::ZERO; NEED_COUNT]),
            wallet: Column::filled(slots, Micro::ZERO),
            groceries: Column::filled(slots, 0),
            option: Column::filled(slots, OptionKind::Wait),
            option_since: Column::filled(slots, 0),
            commit_until: Column::filled(slots, 0),
            ended: Column::filled(slots, false),
            decide: Column::filled(slots, false),
            activity: Column::filled(slots, Activity::Idle),
            blocked: Column::filled(slots, 0),
            possessed: Column::filled(slots, false),
            job: Column::filled(slots, None),
            job_since: Column::filled(slots, 0),
            shift: Column::filled(slots, Shift::default()),
            past: Column::filled(slots, [None; PAST_SHIFTS]),
            absent_days: Column::filled(slots, 0),
            late_ticks_today: Column::filled(slots, 0),
            lateness_counter: Column::filled(slots, 0),
            wages_earned: Column::filled(slots, Micro::ZERO),
            wages_withheld: Column::filled(slots, Micro::ZERO),
            penalty: Column::filled(slots, Micro::ZERO),
            meals_cooked: Column::filled(slots, 0),
            meals_consumed: Column::filled(slots, 0),
            rent_owed: Column::filled(slots, 0),
            low_tick: Column::filled(slots, None),
            starving_ticks: Column::filled(slots, 0),
            collapse_ticks: Column::filled(slots, 0),
            neglect_ticks: Column::filled(slots, 0),
            potential: Column::filled(slots, Micro::ZERO),
            episode_return: Column::filled(slots, Micro::ZERO),
            window_return: Column::filled(slots, Micro::ZERO),
            invited: Column::filled(slots, None),
            ties: Column::filled(slots, Ties::default()),
            social: Column::filled(slots, Micro::ZERO),
            covering: Column::filled(slots, None),
        }
    }

    /// Whether somebody lives in the slot.
    pub fn is_present(&self, agent: AgentId) -> bool {
        self.present.binary_search(&agent).is_ok()
    }

    /// Absent shifts in the last seven days.
    pub fn absent_shifts(&self, agent: AgentId) -> u32 {
        self.absent_days[agent].count_ones()
    }

    /// Ticks worked ÷ ticks scheduled over the last `window` shifts; `None` before the first.
    pub fn attendance(&self, agent: AgentId, window: u32) -> Option<Micro> {
        let shifts = || self.past[agent].iter().take(window as usize).flatten();
        let scheduled: i64 = shifts().map(|shift| i64::from(shift.scheduled)).sum();
        let worked: i64 = shifts().map(|shift| i64::from(shift.worked)).sum();
        (scheduled > 0).then(|| Micro::ratio(worked, scheduled))
    }
}

/// Somebody in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiter {
    /// Who.
    pub agent: AgentId,
    /// For what.
    pub affordance: AffordanceId,
    /// Tick the wait began; kept when a lapsed reservation sends them to the tail.
    pub since: u64,
}

/// Somebody who sits out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cooldown {
    /// Who.
    pub agent: AgentId,
    /// First tick they may be served again.
    pub until: u64,
}

/// An object's users, queue, cooldowns and stock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectState {
    /// Who holds or uses it; at most its capacity.
    pub uses: Vec<AgentId>,
    /// In order of joining.
    pub queue: Vec<Waiter>,
    /// Who sits out.
    pub cooldowns: Vec<Cooldown>,
    /// Meals or groceries in it.
    pub stock: u32,
    /// Ghost steps on the way to it, since the town began.
    pub ghost_steps: u32,
}

impl ObjectState {
    /// Whether nobody waits for it and nobody sits out at it.
    pub(crate) fn is_left(&self) -> bool {
        self.queue.is_empty() && self.cooldowns.is_empty()
    }

    /// First tick this resident may be served here again; 0 when it may now.
    pub fn cooldown_of(&self, agent: AgentId) -> u64 {
        self.cooldowns.iter().find(|cooldown| cooldown.agent == agent).map_or(0, |cooldown| cooldown.until)
    }
}

/// Prices, utilities and money outside the residents' wallets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Economy {
    /// What is asked today, in meals, in the order of the item table: list prices times the price spikes under way.
    pub prices: [Micro; 2],
    /// Power is on.
    pub power: bool,
    /// Water is on.
    pub water: bool,
    /// What the outside world holds; with all wallets it always sums to zero.
    pub outside: Micro,
    /// What went out to residents and came back from them, by account; see [`crate::economy::Account`].
    pub accounts: [Micro; 7],
    /// Prices without price spikes.
    pub list_prices: [Micro; 2],
}

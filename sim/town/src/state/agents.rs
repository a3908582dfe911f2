//! Residents: one column per attribute, indexed by slot. The columns are listed once, in the `columns!` call.

use serde::{Deserialize, Serialize};

use crate::fixed_point::Micro;
use crate::ids::{AffordanceId, AgentId, Column, JobId, ObjectId, PlaceId, ResidentId, Tile};
use crate::memory::HeapBytes as _;
use crate::needs::NEED_COUNT;
use crate::options::OptionKind;
use crate::state::{ResidentDay, Ties};

/// How far a resident has got with its option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activity {
    /// No object involved: waiting, walking home, working.
    #[default]
    Idle,
    /// Walking to an object.
    Walking(ObjectId, AffordanceId),
    /// In the object's queue.
    Waiting(ObjectId, AffordanceId),
    /// Has a reservation that lapses at the first tick; the second is the tick at which the wait began.
    Holding(ObjectId, AffordanceId, u64, u64),
    /// Uses the object until this tick.
    Using(ObjectId, AffordanceId, u64),
}

impl Activity {
    /// The object involved and how it is used.
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

/// Progress of the day's shift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShiftState {
    /// Before the arrival buffer.
    #[default]
    PreShift,
    /// Inside the arrival buffer, or after the start without having arrived.
    AwaitStart,
    /// Arrived in time.
    OnTime,
    /// Arrived late.
    Late,
    /// Did not arrive before the cutoff, or was away too long.
    Absent,
    /// After the end.
    PostShift,
}

impl ShiftState {
    /// The name in telemetry.
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

/// The day's shift of one resident. Times are ticks of the day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shift {
    /// Progress.
    pub state: ShiftState,
    /// First tick at the site.
    pub arrived: Option<u32>,
    /// Ticks worked.
    pub worked: u32,
    /// Consecutive ticks away since the arrival.
    pub away: u32,
}

/// A finished shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastShift {
    /// `OnTime`, `Late` or `Absent`.
    pub outcome: ShiftState,
    /// Ticks worked.
    pub worked: u32,
    /// Ticks scheduled.
    pub scheduled: u32,
}

/// Finished shifts kept for each resident.
pub const PAST_SHIFTS: usize = 7;

/// Defines [`Agents`] with a column per line, its constructor and the reset of a slot. A free slot holds default values, so
/// that equal towns have equal digests.
macro_rules! columns {
    ($( $(#[doc = $doc:literal])+ $column:ident: $type:ty, )+) => {
        /// Residents by slot. Only the slots in `present` are occupied; the others hold default values.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Agents {
            /// Occupied slots, ascending.
            pub present: Vec<AgentId>,
            $( $(#[doc = $doc])+ pub $column: Column<AgentId, $type>, )+
        }

        impl Agents {
            /// `slots` free slots.
            pub fn new(slots: usize) -> Self {
                Self {
                    present: Vec::with_capacity(slots),
                    $( $column: Column::filled(slots, Default::default()), )+
                }
            }

            /// The first column that has not `slots` rows, with the number it has.
            pub(crate) fn other_length(&self, slots: usize) -> Option<(&'static str, usize)> {
                let lengths = [$( (stringify!($column), self.$column.len()) ),+];
                lengths.into_iter().find(|(_, length)| *length != slots)
            }

            /// Bytes of all columns.
            pub(crate) fn heap_bytes(&self) -> usize {
                self.present.heap_bytes() + [$( self.$column.heap_bytes() ),+].iter().sum::<usize>()
            }

            /// Resets a slot to default values.
            pub(crate) fn clear(&mut self, agent: AgentId) {
                $( self.$column[agent] = Default::default(); )+
            }
        }
    };
}

columns! {
    /// Identity of the resident in the slot.
    resident: ResidentId,
    /// Position.
    tile: Tile,
    /// Home.
    home: PlaceId,
    /// Tick of arrival.
    arrived: u64,
    /// Need levels in [0, 1], in the order of the needs table.
    needs: [Micro; NEED_COUNT],
    /// Money, in meals.
    wallet: Micro,
    /// Groceries carried; each is enough for one cooking.
    groceries: u32,
    /// Current option.
    option: OptionKind,
    /// Tick at which the option began.
    option_since: u64,
    /// Tick until which the option is kept.
    commit_until: u64,
    /// Whether the option has ended by itself.
    ended: bool,
    /// Whether a decision is due in the next tick.
    decide: bool,
    /// Progress of the option.
    activity: Activity,
    /// Consecutive blocked steps.
    blocked: u32,
    /// Hunger level at which the resident joined the queue of the object it is at. Nobody is hungry after a meal, so the level
    /// after it says nothing.
    hunger_on_arrival: Micro,
    /// Whether an operator drives the resident.
    possessed: bool,
    /// Job.
    job: Option<JobId>,
    /// Tick at which the job began.
    job_since: u64,
    /// Today's shift.
    shift: Shift,
    /// Finished shifts, newest first.
    past: [Option<PastShift>; PAST_SHIFTS],
    /// Days with an absence as bits: bit 0 is today, seven days in total.
    absent_days: u8,
    /// Ticks late today.
    late_ticks_today: u32,
    /// Late shifts since arrival.
    lateness_counter: u32,
    /// Wages paid since arrival.
    wages_earned: Micro,
    /// Wages withheld since arrival.
    wages_withheld: Micro,
    /// Penalty still to be withheld from wages.
    penalty: Micro,
    /// Meals cooked since arrival.
    meals_cooked: u32,
    /// Meals eaten since arrival.
    meals_consumed: u32,
    /// Days of unpaid rent.
    rent_owed: u32,
    /// Last tick with a need at or below the level of self-sufficiency.
    low_tick: Option<u64>,
    /// Consecutive ticks of starvation.
    starving_ticks: u32,
    /// Consecutive ticks at or below the collapse level of hunger.
    collapse_ticks: u32,
    /// Consecutive ticks with hygiene or energy at zero.
    neglect_ticks: u32,
    /// Potential at the last reward, for shaping.
    potential: Micro,
    /// Return since arrival, after clipping.
    episode_return: Micro,
    /// Return in the current sample of the stability window.
    window_return: Micro,
    /// Tick of the last invitation to an arranged meeting.
    invited: Option<u64>,
    /// Relationships to other residents.
    ties: Ties,
    /// Social reward collected in this tick.
    social: Micro,
    /// Job of the absent resident whose shift this resident works today.
    covering: Option<JobId>,
    /// Contributions to the score of the day.
    score_day: ResidentDay,
}

impl Agents {
    /// Whether the slot is occupied.
    pub fn is_present(&self, agent: AgentId) -> bool {
        self.present.binary_search(&agent).is_ok()
    }

    /// The slot of a resident who lives in the town.
    pub fn slot_of(&self, resident: ResidentId) -> Option<AgentId> {
        self.present.iter().copied().find(|agent| self.resident[*agent] == resident)
    }

    /// Absent shifts in the last seven days.
    pub fn absent_shifts(&self, agent: AgentId) -> u32 {
        self.absent_days[agent].count_ones()
    }

    /// Ticks worked divided by ticks scheduled over the last `window` shifts; `None` before the first shift.
    pub fn attendance(&self, agent: AgentId, window: u32) -> Option<Micro> {
        let shifts = || self.past[agent].iter().take(window as usize).flatten();
        let scheduled: i64 = shifts().map(|shift| i64::from(shift.scheduled)).sum();
        let worked: i64 = shifts().map(|shift| i64::from(shift.worked)).sum();
        (scheduled > 0).then(|| Micro::ratio(worked, scheduled))
    }

    /// The job a resident goes to when it works: the one it covers, or its own until the shift is over.
    pub(crate) fn workplace(&self, agent: AgentId) -> Option<JobId> {
        let own = || self.job[agent].filter(|_| self.shift[agent].state != ShiftState::PostShift);
        self.covering[agent].or_else(own)
    }
}

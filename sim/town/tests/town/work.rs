//! Shifts: states, wages, lateness and absence, exact to the millionth.

use townlet_town::fixed_point::Micro;
use townlet_town::state::{PastShift, Shift, ShiftState};
use townlet_town::{Command, Event, EventKind, ResidentId, Town};

use crate::{SAFE, UNTIRING, edited, idle, job, place, site, slot, through, town};

/// Cleo is the grocer: 180 to 360, 0.02 a tick.
const CLEO: u32 = 2;

fn grocers() -> Town {
    town(&[SAFE, &[("world.population", "4")]].concat())
}

/// Puts Cleo at the grocer's or away from it before a tick is lived through.
fn stand(town: &mut Town, tick: u64, there: bool) -> Vec<Event> {
    let events = if tick > 0 { through(town, tick - 1, idle) } else { Vec::new() };
    let tile = if there { site(town, "grocer") } else { place(town, "park") };
    town.apply(&Command::Teleport { who: ResidentId(CLEO), tile }).unwrap();
    events
}

fn shift(town: &Town) -> Shift {
    town.state().agents.shift[slot(town, CLEO)]
}

fn past(town: &Town) -> Option<PastShift> {
    town.state().agents.past[slot(town, CLEO)][0]
}

/// Earned, kept back, still to be kept back.
fn money(town: &Town) -> (Micro, Micro, Micro) {
    let (agents, cleo) = (&town.state().agents, slot(town, CLEO));
    (agents.wages_earned[cleo], agents.wages_withheld[cleo], agents.penalty[cleo])
}

#[test]
fn on_time() {
    let mut town = grocers();
    stand(&mut town, 100, true);
    through(&mut town, 159, idle);
    assert_eq!(shift(&town).state, ShiftState::PreShift);
    through(&mut town, 160, idle);
    assert_eq!(shift(&town).state, ShiftState::AwaitStart, "the buffer is 20 ticks");
    through(&mut town, 179, idle);
    assert_eq!(money(&town).0, Micro::ZERO, "nobody is paid for coming early");
    let events = through(&mut town, 180, idle);
    let grocer = job(&town, "grocer");
    assert!(events.iter().any(|event| event.kind == EventKind::ShiftOnTime { who: ResidentId(CLEO), job: grocer }));
    assert_eq!(shift(&town), Shift { state: ShiftState::OnTime, arrived: Some(180), worked: 1, away: 0 });
    through(&mut town, 360, idle);
    assert_eq!(shift(&town).state, ShiftState::PostShift);
    assert_eq!(past(&town), Some(PastShift { outcome: ShiftState::OnTime, worked: 180, scheduled: 180 }));
    assert_eq!(money(&town), (Micro(3_600_000), Micro::ZERO, Micro::ZERO));
    assert_eq!(town.state().agents.wallet[slot(&town, CLEO)], Micro(5_600_000), "with the starter's two meals");
    assert_eq!(town.state().agents.attendance(slot(&town, CLEO), 3), Some(Micro::ONE));
}

#[test]
fn within_grace_is_on_time() {
    let mut town = grocers();
    stand(&mut town, 185, true);
    through(&mut town, 185, idle);
    assert_eq!(shift(&town).state, ShiftState::OnTime);
    let mut town = grocers();
    stand(&mut town, 186, true);
    through(&mut town, 186, idle);
    assert_eq!(shift(&town).state, ShiftState::Late);
}

#[test]
fn late_within_the_cutoff() {
    let mut town = grocers();
    stand(&mut town, 190, true);
    let events = through(&mut town, 360, idle);
    let late = EventKind::ShiftLate { who: ResidentId(CLEO), job: job(&town, "grocer"), ticks: 10 };
    assert!(events.iter().any(|event| event.kind == late));
    assert_eq!(past(&town), Some(PastShift { outcome: ShiftState::Late, worked: 170, scheduled: 180 }));
    // 170 × 0.02, less 0.4 once and 0.005 for each of ten ticks.
    assert_eq!(money(&town), (Micro(2_950_000), Micro(450_000), Micro::ZERO));
    let cleo = slot(&town, CLEO);
    assert_eq!(town.state().agents.late_ticks_today[cleo], 4, "ticks 186 to 189");
    assert_eq!(town.state().agents.lateness_counter[cleo], 1);
    assert_eq!(town.state().agents.attendance(cleo, 3), Some(Micro::ratio(170, 180)));
}

#[test]
fn absent_after_the_cutoff() {
    let mut town = grocers();
    through(&mut town, 209, idle);
    assert_eq!(shift(&town).state, ShiftState::AwaitStart);
    let events = through(&mut town, 210, idle);
    let absent = EventKind::ShiftAbsent { who: ResidentId(CLEO), job: job(&town, "grocer"), absent_7d: 1 };
    assert!(events.iter().any(|event| event.kind == absent));
    assert_eq!(shift(&town).state, ShiftState::Absent);
    stand(&mut town, 220, true);
    through(&mut town, 999, idle);
    assert_eq!(money(&town), (Micro::ZERO, Micro::ZERO, Micro(200_000)), "it is too late for today");
    assert_eq!(past(&town), Some(PastShift { outcome: ShiftState::Absent, worked: 0, scheduled: 180 }));
    // The next day pays the penalty off first.
    through(&mut town, 1_360, idle);
    assert_eq!(money(&town), (Micro(3_400_000), Micro(200_000), Micro::ZERO));
    assert_eq!(town.state().agents.attendance(slot(&town, CLEO), 3), Some(Micro(500_000)));
}

#[test]
fn stepping_away_is_allowed_for_a_while() {
    let mut town = grocers();
    stand(&mut town, 100, true);
    stand(&mut town, 250, false);
    stand(&mut town, 270, true);
    through(&mut town, 360, idle);
    assert_eq!(past(&town), Some(PastShift { outcome: ShiftState::OnTime, worked: 160, scheduled: 180 }));
    assert_eq!(money(&town), (Micro(3_200_000), Micro(400_000), Micro::ZERO), "twenty ticks are not paid");
}

#[test]
fn away_longer_than_the_slack_is_an_absence() {
    let mut town = grocers();
    stand(&mut town, 100, true);
    stand(&mut town, 250, false);
    through(&mut town, 269, idle);
    assert_eq!(shift(&town).state, ShiftState::OnTime);
    through(&mut town, 270, idle);
    assert_eq!(shift(&town).state, ShiftState::Absent);
    assert_eq!(past(&town), Some(PastShift { outcome: ShiftState::Absent, worked: 70, scheduled: 180 }));
    assert_eq!(money(&town), (Micro(1_400_000), Micro(420_000), Micro(200_000)));
    let today = town.state().days.days[0];
    assert_eq!((today.shifts, today.absences), (1, 1), "one shift, begun and missed");
}

#[test]
fn absences_are_forgotten_after_seven_days() {
    let mut town = town(&[SAFE, UNTIRING, &[("world.population", "4")]].concat());
    through(&mut town, 6_999, idle);
    assert_eq!(town.state().agents.absent_shifts(slot(&town, CLEO)), 7);
    let mut town = edited(&town, |state| {
        let cleo =
            *state.agents.present.iter().find(|agent| state.agents.resident[**agent] == ResidentId(CLEO)).unwrap();
        state.agents.job[cleo] = None;
    });
    for (day, absences) in [(7, 6), (8, 5), (12, 1), (13, 0)] {
        through(&mut town, day * 1_000, idle);
        assert_eq!(town.state().agents.absent_shifts(slot(&town, CLEO)), absences, "day {day}");
    }
}

#[test]
fn a_newcomer_in_the_middle_of_a_shift_has_the_day_off() {
    let mut town = grocers();
    through(&mut town, 199, idle);
    town.apply(&Command::Kill { who: ResidentId(CLEO) }).unwrap();
    town.apply(&Command::Spawn).unwrap();
    let newcomer = slot(&town, 4);
    assert_eq!(town.state().agents.job[newcomer], Some(job(&town, "grocer")));
    assert_eq!(town.state().agents.shift[newcomer].state, ShiftState::PostShift);
    through(&mut town, 999, idle);
    assert_eq!(town.state().agents.absent_shifts(newcomer), 0);
    through(&mut town, 1_210, idle);
    assert_eq!(town.state().agents.absent_shifts(newcomer), 1, "the next day is a working day");
}

#[test]
fn a_shift_until_midnight_ends_there() {
    let flags =
        [SAFE, &[("world.population", "4"), ("jobs.grocer.start_tick", "820"), ("jobs.grocer.end_tick", "1000")]];
    let mut town = town(&flags.concat());
    stand(&mut town, 700, true);
    through(&mut town, 1_000, idle);
    assert_eq!(past(&town), Some(PastShift { outcome: ShiftState::OnTime, worked: 180, scheduled: 180 }));
    assert_eq!(shift(&town).state, ShiftState::PreShift);
    assert_eq!(money(&town).0, Micro(3_600_000));
}

#[test]
fn without_the_job_loop_there_are_no_absences() {
    let mut town = town(&[SAFE, &[("employment.enforce_job_loop", "false")]].concat());
    through(&mut town, 2_000, idle);
    assert_eq!(town.state().days.days.iter().map(|day| day.shifts).sum::<u32>(), 0);
}

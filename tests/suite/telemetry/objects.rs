//! What telemetry says of objects that cannot be used.

use townlet_wire::telemetry::Queue;

use crate::kit::{TestShard, temp_home};

#[test]
fn a_shop_outside_its_hours_is_closed_and_one_without_power_is_off() {
    let home = temp_home();
    let live = TestShard::new(home.path());
    let count = |is: fn(&Queue) -> bool| live.view().conflict.queues.iter().filter(|queue| is(queue)).count();
    // The town begins at midnight.
    assert!(count(|queue| queue.closed && !queue.working) > 0, "shops are closed");
    assert_eq!(count(Queue::is_off), 0, "and nothing is off");
    live.expect_ok("blackout on");
    assert!(count(Queue::is_off) > 0);
}

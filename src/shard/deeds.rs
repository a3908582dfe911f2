//! What the shard does to itself when a command asks: pace, a snapshot, a session's role.
//!
//! Whether it may be asked was decided at the desk (`dispatch`).

use super::engine::Engine;
use super::table::Deed;
use crate::wire::Role;

impl Engine {
    /// Does what a row made for the shard itself, and says so.
    pub(super) fn do_deed(&mut self, session: u64, deed: Deed) -> String {
        self.dirty = true;
        match deed {
            Deed::Speed(speed) => {
                (self.speed, self.paused) = (speed, false);
                self.next_tick_now();
                self.refresh();
                format!("the town runs at {}.", self.around.speed)
            }
            Deed::Pause => {
                self.paused = true;
                format!("paused at tick {}.", self.town.tick())
            }
            Deed::Resume => {
                self.paused = false;
                self.next_tick_now();
                self.refresh();
                format!("the town runs at {}.", self.around.speed)
            }
            Deed::Step(ticks) => {
                self.paused = true;
                self.steps_left = ticks;
                self.next_tick_now();
                format!("{ticks} tick{} from {}.", if ticks == 1 { "" } else { "s" }, self.town.tick())
            }
            Deed::SaveSnapshot => {
                self.save();
                format!("snapshot {} is being written.", super::disk::snapshot_name(self.town.tick()))
            }
            Deed::Role(role) => self.become_role(session, role),
        }
    }

    fn become_role(&mut self, session: u64, role: Role) -> String {
        self.desk.change_role(session, role);
        format!("you are {} now.", role.word())
    }
}

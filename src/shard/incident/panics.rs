//! Panics: every one of a thread of ours is written on its shard's board, with a backtrace, before it is forgotten.
//!
//! Owns the hook, one for the process; what is done about a panic stands in `watchdog` and `shard`. The hook there was is
//! called first. Rule: "Incidents".

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};

use super::diagnostics::Diagnostics;

thread_local! {
    /// The shard that this thread belongs to.
    static OURS: RefCell<Option<Weak<Diagnostics>>> = const { RefCell::new(None) };
}

/// Boards of the shards of this process. A static, because a panic hook has nothing else to go by.
static BOARDS: Mutex<Vec<Weak<Diagnostics>>> = Mutex::new(Vec::new());
static HOOK: Once = Once::new();

/// Lines of a backtrace that are kept.
const FRAMES: usize = 200;

/// From now on panics are written on this board: of its own threads, and of any thread while it is the only one.
pub(super) fn watch(diagnostics: &Arc<Diagnostics>) {
    let mut boards = BOARDS.lock().unwrap_or_else(PoisonError::into_inner);
    boards.retain(|diagnostics| diagnostics.strong_count() > 0);
    boards.push(Arc::downgrade(diagnostics));
    drop(boards);
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            before(info);
            heard(info);
        }));
    });
}

/// This thread belongs to the shard of this board.
pub(crate) fn register_thread(diagnostics: &Arc<Diagnostics>) {
    OURS.with_borrow_mut(|ours| *ours = Some(Arc::downgrade(diagnostics)));
}

/// This thread's panics are nobody's: it is at work on a bundle, and another one would be of no more use.
pub(super) fn ignore_thread_panics() {
    OURS.with_borrow_mut(|ours| *ours = Some(Weak::new()));
}

fn heard(info: &PanicHookInfo<'_>) {
    let Some(diagnostics) = diagnostics() else { return };
    let thread = std::thread::current();
    let backtrace = Backtrace::force_capture().to_string();
    let backtrace = backtrace.lines().take(FRAMES).collect::<Vec<_>>().join("\n");
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let message = said(info.payload()).to_owned();
    diagnostics.panicked(diagnostics.fault(thread.name().unwrap_or("unnamed"), message, location, backtrace));
}

/// Of this thread's shard; of the only one there is, for a thread that belongs to none.
fn diagnostics() -> Option<Arc<Diagnostics>> {
    if let Some(ours) = OURS.with_borrow(Clone::clone) {
        return ours.upgrade();
    }
    let boards = BOARDS.try_lock().ok()?;
    let mut living = boards.iter().filter_map(Weak::upgrade);
    let only = living.next()?;
    living.next().is_none().then_some(only)
}

/// What a panic said.
pub(crate) fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it gave no reason")
}

//! The priority of threads that work beside the town.

/// Adds to the niceness of this thread, so that the town's threads go first. Elsewhere than on Linux niceness belongs to the
/// whole program, and nothing is done.
pub(crate) fn lower_priority(niceness: i32) {
    #[cfg(target_os = "linux")]
    // Failure is harmless.
    let _ = rustix::process::nice(niceness);
    #[cfg(not(target_os = "linux"))]
    let _ = niceness;
}

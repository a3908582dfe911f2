//! The release: its promotion state, the candidate, and changes of the release.

use serde_json::json;

use crate::arguments::{Flag, PolicyName, Reason, ReleaseName};
use crate::command_table::{Reply, row};
use crate::operation::ShardView;
use crate::promotion::{Event, safety_in_words};

row! {
    STATUS = "promotion_status", Viewer,
    "the release, the candidate with its evidence and the safety gate, and the release snapshots";
    Read() => status
}

row! {
    CANDIDATE = "promotion_candidate", Admin,
    "evaluates a checkpoint against the release, in place of the current candidate";
    Release(checkpoint: PolicyName) => Event::Nominated(checkpoint.0)
}

row! {
    PROMOTE = "promote_policy", Destructive,
    "makes the candidate the release, once its windows and paired runs suffice; both policies are saved first";
    Release(checkpoint: PolicyName, reason: Reason)
        => Event::Promote(checkpoint.0, reason.0.unwrap_or_default())
}

row! {
    ROLLBACK = "rollback_policy", Destructive,
    "restores the previous release, or the one of a release snapshot, from the next tick on";
    Release(to: Flag<ReleaseName>, reason: Reason)
        => Event::Rollback(to.0.map(|to| to.0), reason.0.unwrap_or_default())
}

row! {
    SWAP = "policy_swap", Destructive,
    "makes any compatible policy the release without evidence; it starts as a canary like a promoted one";
    Release(checkpoint: PolicyName, reason: Reason)
        => Event::Swap(checkpoint.0, reason.0.unwrap_or_default())
}

row! {
    HOLD = "promotion_hold", Admin,
    "pauses evaluations, promotions and automatic rollbacks (on), or resumes them (off)";
    Release(switch: bool, reason: Reason) => Event::Hold(switch, reason.0.unwrap_or_default())
}

fn status(view: &ShardView<'_>) -> Reply {
    let releases = view.releases;
    let promotion = releases.wire();
    let state = promotion.state.replace('_', " ");
    Ok(json!({
        "summary": format!("{} drives the town; {state}: {}", promotion.release, promotion.detail),
        "safety": promotion.evidence.iter().flat_map(|it| &it.safety).map(safety_in_words).collect::<Vec<_>>(),
        "promotion": promotion,
        "snapshots": releases.saved,
    }))
}

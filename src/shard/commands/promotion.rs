//! Which policy is the release: the state of its promotion, the candidate, and changes of the release.

use serde_json::json;

use crate::arguments::{Flag, PolicyName, Reason, ReleaseName};
use crate::command_table::{Reply, row};
use crate::operation::ShardView;
use crate::promotion::ReleaseRequest;

row! {
    STATUS = "promotion_status", Viewer,
    "the release, who is judged and what speaks for or against it, and the release snapshots";
    Read() => status
}

row! {
    CANDIDATE = "promotion_candidate", Admin,
    "evaluates a checkpoint against the release, in place of the current candidate";
    Release(checkpoint: PolicyName) => ReleaseRequest::Nominate(checkpoint.0)
}

row! {
    PROMOTE = "promote_policy", Destructive,
    "makes the candidate the release, once its windows and its pairs speak for it; both policies are saved first";
    Release(checkpoint: PolicyName) => ReleaseRequest::Promote(checkpoint.0)
}

row! {
    ROLLBACK = "rollback_policy", Destructive,
    "back to the release before, or to the one of a release snapshot, from the next tick on";
    Release(to: Flag<ReleaseName>, reason: Reason)
        => ReleaseRequest::Rollback(to.0.map(|to| to.0), reason.0.unwrap_or_default())
}

row! {
    SWAP = "policy_swap", Destructive,
    "makes any policy that fits the release, whatever speaks against it; it goes on canary like a promoted one";
    Release(checkpoint: PolicyName, reason: Reason)
        => ReleaseRequest::Swap(checkpoint.0, reason.0.unwrap_or_default())
}

row! {
    HOLD = "promotion_hold", Admin,
    "nobody is judged or promoted and nothing is rolled back by itself (on), or everything goes on (off)";
    Release(switch: bool, reason: Reason) => ReleaseRequest::Hold(switch, reason.0.unwrap_or_default())
}

fn status(view: &ShardView<'_>) -> Reply {
    let releases = view.releases;
    let promotion = releases.wire();
    let state = promotion.state.replace('_', " ");
    Ok(json!({
        "summary": format!("{} drives the town; {state}: {}", promotion.release, promotion.detail),
        "promotion": promotion,
        "snapshots": releases.saved(),
    }))
}

//! The release: its promotion state, the candidate, and changes of the release.

use serde_json::json;

use crate::arguments::{Flag, PolicyName, Reason, ReleaseName};
use crate::command_table::{Reply, error, row};
use crate::operation::ShardView;
use crate::promotion::{Event, Restored, safety_in_words};

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
    "restores the previous release (with `--restores`, only this one) or that of a release snapshot, from the next tick on";
    Release(to: Flag<ReleaseName>, restores: Flag<PolicyName>, reason: Reason) => {
        let to = match (to.0, restores.0) {
            (Some(_), Some(_)) => {
                let hint = "`--restores` says which release is the previous one; a snapshot holds only one release.";
                return Err(error("E_INVALID_ARG", "`--to` and `--restores` exclude each other.", hint));
            }
            (Some(snapshot), None) => Restored::Snapshot(snapshot.0),
            (None, Some(policy)) => Restored::Expected(policy.0),
            (None, None) => Restored::Previous,
        };
        Event::Rollback(to, reason.0.unwrap_or_default())
    }
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
        "summary": format!(
            "{} drives the town; {state}: {}{}",
            promotion.release,
            promotion.detail,
            view.driver.range_warning(view.town)
        ),
        "outside_range": view.driver.range().reason_outside(view.town.rules(), view.town.state()),
        "safety": promotion.evidence.iter().flat_map(|it| &it.safety).map(safety_in_words).collect::<Vec<_>>(),
        "promotion": promotion,
        "snapshots": releases.saved,
    }))
}

//! Which policy is the release: how its promotion stands, who is judged, and handing the town to another policy.

use serde_json::json;

use crate::command_table::{Arg, Args, Kind, Look, REASON, Reply, Row, Run, ShardAction, arg};
use crate::promotion::Order;
use townlet_wire::{ErrorBody, Role};

/// `--to <snapshot>`.
const TO: Arg = Arg { name: "to", kind: Kind::Release, required: false, flag: true };

pub(crate) static STATUS: Row = Row {
    name: "promotion_status",
    args: &[],
    role: Role::Viewer,
    destructive: false,
    help: "the release, who is judged and what speaks for or against it, and the release snapshots",
    run: Run::Read(status),
};

pub(crate) static CANDIDATE: Row = Row {
    name: "promotion_candidate",
    args: &[arg("checkpoint", Kind::Policy)],
    role: Role::Admin,
    destructive: false,
    help: "has a checkpoint judged against the release, in place of whoever is judged now",
    run: Run::Shard(|look, args| order(look, Order::Nominate(policy(look, args)?))),
};

pub(crate) static PROMOTE: Row = Row {
    name: "promote_policy",
    args: &[arg("checkpoint", Kind::Policy)],
    role: Role::Admin,
    destructive: true,
    help: "makes the candidate the release, once its windows and its pairs speak for it; both policies are saved first",
    run: Run::Shard(|look, args| order(look, Order::Promote(policy(look, args)?))),
};

pub(crate) static ROLLBACK: Row = Row {
    name: "rollback_policy",
    args: &[TO, REASON],
    role: Role::Admin,
    destructive: true,
    help: "back to the release before, or to the one of a release snapshot, from the next tick on",
    run: Run::Shard(|look, args| {
        let name = args.get("to").map(str::to_owned);
        let releases = look.releases()?;
        let to = name.map(|name| releases.named(&name).map(|it| (name.clone(), it.driver.id().to_owned())));
        order(look, Order::Rollback(to.transpose()?, args.text("reason").into()))
    }),
};

pub(crate) static SWAP: Row = Row {
    name: "policy_swap",
    args: &[arg("checkpoint", Kind::Policy), REASON],
    role: Role::Admin,
    destructive: true,
    help: "makes any policy that fits the release, whatever speaks against it; it goes on canary like a promoted one",
    run: Run::Shard(|look, args| order(look, Order::Swap(policy(look, args)?, args.text("reason").into()))),
};

pub(crate) static HOLD: Row = Row {
    name: "promotion_hold",
    args: &[arg("switch", Kind::Choice(&["on", "off"])), REASON],
    role: Role::Admin,
    destructive: false,
    help: "nobody is judged or promoted and nothing is rolled back by itself (on), or everything goes on (off)",
    run: Run::Shard(|look, args| order(look, Order::Hold(args.text("switch") == "on", args.text("reason").into()))),
};

/// The id of the policy that a line names.
fn policy(look: &Look<'_>, args: &Args) -> Result<String, ErrorBody> {
    look.releases()?.named(args.text("checkpoint")).map(|loaded| loaded.driver.id().to_owned())
}

fn order(look: &Look<'_>, order: Order) -> Result<ShardAction, ErrorBody> {
    look.releases()?.allows(&order)?;
    Ok(ShardAction::Release(order))
}

fn status(look: &Look<'_>, _: &Args) -> Reply {
    let releases = look.releases()?;
    let promotion = releases.wire();
    let state = promotion.state.replace('_', " ");
    Ok(json!({
        "summary": format!("{} drives the town; {state}: {}", promotion.release, promotion.detail),
        "promotion": promotion,
        "snapshots": releases.saved(),
    }))
}

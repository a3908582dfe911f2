//! The training beside the town: how it fares, and whether it goes on.

use serde_json::json;

use crate::command_table::{Args, Look, Reply, Row, Run, ShardAction, error};
use townlet_wire::{ErrorBody, Role};

pub(crate) static STATUS: Row = Row {
    name: "training status",
    args: &[],
    role: Role::Viewer,
    destructive: false,
    help: "the training beside the town: state, newest update and checkpoint",
    run: Run::Read(status),
};

pub(crate) static PAUSE: Row = Row {
    name: "training pause",
    args: &[],
    role: Role::Admin,
    destructive: false,
    help: "the training beside the town waits until resumed; the town goes on",
    run: Run::Shard(|look, _| check_training_active(look).map(|()| ShardAction::Train(false))),
};

pub(crate) static RESUME: Row = Row {
    name: "training resume",
    args: &[],
    role: Role::Admin,
    destructive: false,
    help: "the training beside the town goes on",
    run: Run::Shard(|look, _| check_training_active(look).map(|()| ShardAction::Train(true))),
};

const START_HINT: &str = "Start the shard with `--train`, such as `townlet run --train`.";

fn status(look: &Look<'_>, _: &Args) -> Reply {
    let learning = &look.status.learning;
    let detail = if learning.detail.is_empty() { String::new() } else { format!(" {}", learning.detail) };
    let summary = match (learning.state.as_str(), learning.history.last()) {
        ("off", _) => format!("no training runs beside this town. {START_HINT}"),
        (state, None) => format!("{state}; no update yet.{detail}"),
        (state, Some(row)) => {
            let score = row.town_score.map_or_else(String::new, |score| format!(", town score {score:.3}"));
            let checkpoint = learning.checkpoint.as_ref().map_or_else(|| "none yet".into(), |id| format!("`{id}`"));
            format!(
                "{state}; update {}, {} of {} resident-ticks{score}; checkpoint {checkpoint}.{detail}",
                row.update, row.steps, learning.total_steps
            )
        }
    };
    let row = learning.history.last();
    Ok(json!({
        "summary": summary, "state": learning.state, "run": learning.run, "detail": learning.detail,
        "total_steps": learning.total_steps, "checkpoint": learning.checkpoint, "row": row,
    }))
}

/// That there is a training which can be told something.
fn check_training_active(look: &Look<'_>) -> Result<(), ErrorBody> {
    let learning = &look.status.learning;
    match learning.state.as_str() {
        "off" => Err(error("E_CONFLICT", "no training runs beside this town.", START_HINT)),
        state @ ("finished" | "diverged") => {
            let hint = "Start the shard with `--train` and other settings of `training` or `ppo` for another one.";
            Err(error("E_CONFLICT", format!("the training has ended: it is {state}."), hint))
        }
        _ => Ok(()),
    }
}

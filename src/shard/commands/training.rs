//! The training beside the town: its state, and whether it goes on.

use serde_json::json;
use townlet_wire::ErrorBody;
use townlet_wire::telemetry::Learning;

use crate::command_table::{Reply, error, row};
use crate::operation::{ShardAction, ShardView};

row! {
    STATUS = "training status", Viewer, "shows the shadow training: state, newest update and checkpoint";
    Read() => status
}

row! {
    PAUSE = "training pause", Admin, "pauses the shadow training; the town continues";
    Shard() => ShardAction::Train(false)
}

row! { RESUME = "training resume", Admin, "resumes the shadow training"; Shard() => ShardAction::Train(true) }

const START_HINT: &str = "Start the shard with `--train`, such as `townlet run --train`.";

fn status(view: &ShardView<'_>) -> Reply {
    let learning = &view.status.learning;
    let detail = if learning.detail.is_empty() { String::new() } else { format!(" {}", learning.detail) };
    let summary = match (learning.state.as_str(), learning.history.last()) {
        ("off", _) => format!("this shard runs no shadow training. {START_HINT}"),
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

/// Whether there is a training that can pause or go on.
/// `E_CONFLICT` when no training runs or it has ended.
pub(crate) fn check_training_active(learning: &Learning) -> Result<(), ErrorBody> {
    match learning.state.as_str() {
        "off" => Err(error("E_CONFLICT", "this shard runs no shadow training.", START_HINT)),
        state @ ("finished" | "diverged") => {
            let hint = "For another training, start the shard with `--train` and other `training` or `ppo` settings.";
            Err(error("E_CONFLICT", format!("the training has ended: it is {state}."), hint))
        }
        _ => Ok(()),
    }
}

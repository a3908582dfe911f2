//! Questions about the running town: asking, progress and answers, cancelling.

use std::num::NonZero;

use serde_json::json;
use townlet_wire::ErrorBody;
use townlet_wire::whatif::{BETWEEN_ALTERNATIVES, DEFAULT_DAYS, DEFAULT_SAMPLES, WhatIfProgress, WhatIfState};

use crate::arguments::{CommandLines, Flag, Integer};
use crate::command_table::{Reply, error, part, row};
use crate::operation::ShardView;
use crate::whatif::Asked;
use crate::whatif::operations::WhatIfOperation;

row! {
    ASK = "whatif", Viewer,
    "what would come of alternatives, such as `approve finn | set employment.daily_exit_cap=1`, beside doing nothing";
    WhatIf(alternatives: CommandLines, samples: Flag<Integer<2, 10_000>>, days: Flag<Integer<1, 100>>) => {
        let asked = Asked {
            alternatives: alternatives.0.split(BETWEEN_ALTERNATIVES).map(|text| text.trim().to_owned()).collect(),
            samples: or_default(samples.0, DEFAULT_SAMPLES),
            days: or_default(days.0, DEFAULT_DAYS),
        };
        WhatIfOperation::Ask(asked, None)
    }
}

row! {
    STATUS = "whatif_status", Viewer, "shows the questions that are answered or wait, or one with its answer";
    Read(id: Option<String>) => move |view| status(view, id.as_deref())
}

row! {
    CANCEL = "whatif_cancel", Viewer, "cancels a question, by default the newest of yours; viewers only their own";
    WhatIf(id: Option<String>) => WhatIfOperation::Cancel(id)
}

fn or_default<const MIN: i64, const MAX: i64>(given: Option<Integer<MIN, MAX>>, default: u32) -> NonZero<u32> {
    let number = given.and_then(|number| u32::try_from(number.0).ok()).unwrap_or(default);
    NonZero::new(number).unwrap_or(NonZero::<u32>::MIN)
}

fn status(view: &ShardView<'_>, id: Option<&str>) -> Reply {
    let all = view.questions.progress();
    if let Some(id) = id {
        let one = all.iter().find(|it| it.answer.id == id).ok_or_else(|| unknown(id))?;
        return Ok(json!({ "summary": format!("{id}: {}.", in_words(one)), "question": part(&**one)? }));
    }
    let summary = match all.last() {
        None => "nothing was asked yet; `whatif` asks.".to_owned(),
        Some(newest) => format!("{}: {}.", newest.answer.id, in_words(newest)),
    };
    let row = |it: &WhatIfProgress| {
        let alternatives: Vec<&str> = it.answer.alternatives.iter().map(|one| one.alternative.as_str()).collect();
        json!({
            "id": it.answer.id, "issuer": it.issuer, "state": it.state, "ahead": it.ahead,
            "samples_done": it.samples_done, "samples": it.answer.samples, "alternatives": alternatives,
        })
    };
    Ok(json!({ "summary": summary, "questions": all.iter().map(|it| row(it)).collect::<Vec<_>>() }))
}

/// The refusal of a question that there is not.
pub(crate) fn unknown(id: &str) -> ErrorBody {
    error(
        "E_NOT_FOUND",
        format!("there is no question `{id}`."),
        "`whatif_status` lists them; old ones are in ops/whatif.",
    )
}

/// How far a question is.
pub(crate) fn in_words(progress: &WhatIfProgress) -> String {
    let WhatIfProgress { state, ahead, samples_done, page, answer, .. } = progress;
    let samples = format!("{samples_done} of {} samples", answer.samples);
    match state {
        WhatIfState::Waiting => format!("it waits, {ahead} before it"),
        WhatIfState::Running => format!("{samples} have ended"),
        WhatIfState::Done => format!("answered over {samples}, {page}"),
        WhatIfState::Cancelled => format!("cancelled after {samples}"),
        WhatIfState::Failed => format!("failed: {page}"),
    }
}

//! `{"source": "cauce.sweep"}` of EventBridge Scheduler, or of the rule that hears alarms; the answer is the
//! report, for whoever calls by hand.

use cauce_driver::Budget;
use cauce_lambda::{Failure, Function};
use serde_json::Value as Json;

pub(crate) async fn handle(function: &Function, event: Json) -> Result<Json, Failure> {
    check(&event)?;
    let report =
        function.driver().sweep_on(&Budget::default(), async |seconds| function.rest(seconds).await).await?;
    for line in &report.lines {
        tracing::warn!("{line}");
    }
    tracing::info!(
        due = report.due,
        runs = report.runs,
        started = report.started,
        closed = report.closed,
        settled = report.settled,
        gates = report.gates,
        stopped = report.stopped,
        freed = report.freed,
        troubles = report.troubles,
        complete = report.complete,
        "swept"
    );
    serde_json::to_value(report).map_err(|error| Failure::unavailable(error.to_string()))
}

fn check(event: &Json) -> Result<(), Failure> {
    match event["source"].as_str() {
        Some("cauce.sweep") => Ok(()),
        _ => Err(Failure::poison("not a request to sweep: its source is not cauce.sweep")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_request_to_sweep_sweeps() {
        for (name, event) in cauce_testkit::fixtures(concat!(env!("CARGO_MANIFEST_DIR"), "/events")) {
            assert_eq!(check(&event).is_err(), name.starts_with("bad-"), "{name}");
        }
    }
}

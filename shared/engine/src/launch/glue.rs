//! `glue:startJobRun.sync`. Glue has no token for new runs: only what was certainly refused is
//! repeated by the state.
//! <https://docs.aws.amazon.com/step-functions/latest/dg/connect-glue.html>

use super::{Subject, picked};
use crate::context::Unrendered;
use cauce_model::Json;
use cauce_model::services::GluePlan;
use serde_json::Map;

pub(super) fn request(plan: &GluePlan, subject: &Subject<'_>) -> Result<Map<String, Json>, Unrendered> {
    let renderer = subject.renderer;
    let mut arguments = Map::new();
    for (name, value) in &plan.arguments {
        let name = if name.starts_with("--") { name.clone() } else { format!("--{name}") };
        arguments.insert(name, renderer.variable(value)?.into());
    }
    let mut request = Map::new();
    request.insert("JobName".into(), renderer.text(&plan.job)?.into());
    if !arguments.is_empty() {
        request.insert("Arguments".into(), Json::Object(arguments));
    }
    if let Some(worker_type) = subject.optional(plan.worker_type.as_ref())? {
        request.insert("WorkerType".into(), worker_type);
    }
    if let Some(workers) = plan.workers {
        request.insert("NumberOfWorkers".into(), workers.into());
    }
    request.insert("Timeout".into(), subject.timeout_minutes().into());
    Ok(request)
}

pub(super) fn output(result: &Json) -> Map<String, Json> {
    picked(
        result,
        &[
            ("/Id", "job_run_id"),
            // What StartJobRun itself answers.
            ("/JobRunId", "job_run_id"),
            ("/ExecutionTime", "execution_seconds"),
        ],
    )
}

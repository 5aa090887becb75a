//! `batch:submitJob.sync`. Batch has no token: only what was certainly refused is repeated by the
//! state. The program runs under the task contract, as far as its job's role lets it write its output.
//! <https://docs.aws.amazon.com/step-functions/latest/dg/connect-batch.html>

use super::{Subject, container, picked, place};
use crate::context::Unrendered;
use cauce_model::Json;
use cauce_model::services::BatchPlan;
use serde_json::{Map, json};

/// Largest SubmitJob request, in bytes.
/// <https://docs.aws.amazon.com/batch/latest/userguide/service_limits.html>
const SUBMIT_JOB_MAX: usize = 30 * 1024;

pub(super) fn request(plan: &BatchPlan, subject: &Subject<'_>) -> Result<Map<String, Json>, Unrendered> {
    let Subject { run, task, attempt, renderer } = subject;
    let output_uri = place(renderer.settings, "outputs", &run.key(), &task.name, attempt);
    let mut environment = container::identity(run, &task.name, attempt, &output_uri);
    environment.push(("CAUCE_PARAMS".into(), run.params.to_string()));
    for (name, value) in &plan.env {
        environment.push((name.clone(), renderer.variable(value)?));
    }
    let mut overrides = Map::new();
    if !plan.command.is_empty() {
        overrides.insert("Command".into(), renderer.argv(&plan.command)?.into());
    }
    overrides.insert("Environment".into(), container::pairs(environment));
    let mut parameters = Map::new();
    for (name, value) in &plan.parameters {
        parameters.insert(name.clone(), renderer.variable(value)?.into());
    }
    let mut request = Map::new();
    request.insert("JobName".into(), subject.name().into());
    request.insert("JobDefinition".into(), renderer.text(&plan.job_definition)?.into());
    request.insert("JobQueue".into(), renderer.text(&plan.queue)?.into());
    if !parameters.is_empty() {
        request.insert("Parameters".into(), Json::Object(parameters));
    }
    request.insert("ContainerOverrides".into(), Json::Object(overrides));
    // Attempts are ours, each with its own record; the definition's own retries would hide in one.
    request.insert("RetryStrategy".into(), json!({"Attempts": 1}));
    request.insert("Tags".into(), json!({"cauce:run_key": run.key(), "cauce:task": task.name}));
    let size = Json::Object(request.clone()).to_string().len();
    if size > SUBMIT_JOB_MAX {
        return Err(Unrendered(format!(
            "the request of task '{}' has {size} bytes; AWS Batch takes {SUBMIT_JOB_MAX}: pass large values \
             through an object that the job reads",
            task.name
        )));
    }
    Ok(request)
}

pub(super) fn output(result: &Json) -> Map<String, Json> {
    picked(result, &[("/JobId", "job_id"), ("/Container/LogStreamName", "log_stream")])
}

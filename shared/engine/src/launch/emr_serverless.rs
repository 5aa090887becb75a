//! `emr-serverless:startJobRun.sync`. The client token makes the service know a repeat; that the
//! integration passes it on was not verified on AWS.
//! <https://docs.aws.amazon.com/emr-serverless/latest/APIReference/API_StartJobRun.html>

use super::{Subject, picked};
use crate::context::Unrendered;
use cauce_model::Json;
use cauce_model::services::EmrServerlessPlan;
use serde_json::Map;

pub(super) fn request(
    plan: &EmrServerlessPlan,
    subject: &Subject<'_>,
) -> Result<Map<String, Json>, Unrendered> {
    let renderer = subject.renderer;
    let mut driver = renderer.tree(&plan.job_driver)?;
    // Arguments are an argv: lists are spliced in, and all are texts.
    if let Some(Json::Array(written)) = plan.job_driver.pointer("/SparkSubmit/EntryPointArguments")
        && let Some(arguments) = driver.pointer_mut("/SparkSubmit/EntryPointArguments")
    {
        *arguments = renderer.argv(written)?.into();
    }
    let mut request = Map::new();
    request.insert("ApplicationId".into(), renderer.text(&plan.application)?.into());
    request.insert("ExecutionRoleArn".into(), renderer.text(&plan.role)?.into());
    request.insert("JobDriver".into(), driver);
    if let Some(configuration) = &plan.configuration {
        request.insert("ConfigurationOverrides".into(), renderer.tree(configuration)?);
    }
    request.insert("ExecutionTimeoutMinutes".into(), subject.timeout_minutes().into());
    request.insert("Name".into(), subject.name().into());
    let token = subject.token(&request);
    request.insert("ClientToken".into(), token.into());
    Ok(request)
}

pub(super) fn output(result: &Json) -> Map<String, Json> {
    picked(
        result,
        &[
            ("/JobRun/JobRunId", "job_run_id"),
            ("/JobRunId", "job_run_id"),
            ("/JobRun/ApplicationId", "application"),
            ("/ApplicationId", "application"),
        ],
    )
}

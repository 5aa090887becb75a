//! `lambda:invoke`. Lambda has no token for calls: a repeat would invoke again, so the state repeats
//! only what was certainly not invoked, and everything else is an attempt of its own.
//! <https://docs.aws.amazon.com/step-functions/latest/dg/connect-lambda.html>

use super::{Subject, fields};
use crate::context::Unrendered;
use cauce_model::Json;
use cauce_model::services::LambdaPlan;
use serde_json::{Map, json};

pub(super) fn request(plan: &LambdaPlan, subject: &Subject<'_>) -> Result<Map<String, Json>, Unrendered> {
    let payload = plan.payload.as_ref().map(|payload| subject.renderer.tree(payload)).transpose()?;
    let mut request = Map::new();
    request.insert("FunctionName".into(), subject.renderer.text(&plan.function)?.into());
    request.insert("Payload".into(), payload.unwrap_or_else(|| json!({})));
    if let Some(qualifier) = subject.optional(plan.qualifier.as_ref())? {
        request.insert("Qualifier".into(), qualifier);
    }
    Ok(request)
}

/// The function's answer: its fields, or it under `payload` when it is no object.
pub(super) fn output(result: &Json) -> Map<String, Json> {
    fields(&result["Payload"], "payload")
}

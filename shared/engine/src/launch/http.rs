//! `http:invoke`. A web service is told of repeats by the header `Idempotency-Key`, which stays the
//! same for all calls of one attempt.
//! <https://docs.aws.amazon.com/step-functions/latest/dg/call-https-apis.html>

use super::{Subject, fields};
use crate::classify::{Failure, shown};
use crate::context::Unrendered;
use cauce_model::services::HttpPlan;
use cauce_model::{FailureClass, Json, names};
use serde_json::{Map, json};

/// The header that tells a repeat.
/// <https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/>
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

pub(super) fn request(plan: &HttpPlan, subject: &Subject<'_>) -> Result<Map<String, Json>, Unrendered> {
    let renderer = subject.renderer;
    let url = renderer.text(&plan.url)?;
    let plain_allowed = renderer.settings.one_machine && url.starts_with("http://");
    if !url.starts_with("https://") && !plain_allowed {
        return Err(Unrendered(format!("'{url}' is not called: AWS takes URLs that begin with https://")));
    }
    let mut request = Map::new();
    request.insert("ApiEndpoint".into(), url.into());
    request.insert("Method".into(), plan.method.as_str().into());
    let mut headers = Map::new();
    for (name, value) in &plan.headers {
        headers.insert(name.clone(), renderer.variable(value)?.into());
    }
    if !plan.query.is_empty() {
        let mut query = Map::new();
        for (name, value) in &plan.query {
            let value = match renderer.tree(value)? {
                Json::Array(items) => items
                    .iter()
                    .map(|item| renderer.variable(item).map(Json::from))
                    .collect::<Result<_, _>>()?,
                _ => renderer.variable(value)?.into(),
            };
            query.insert(name.clone(), value);
        }
        request.insert("QueryParameters".into(), Json::Object(query));
    }
    if let Some(body) = &plan.body {
        request.insert("RequestBody".into(), renderer.tree(body)?);
    }
    match subject.optional(plan.connection.as_ref())? {
        Some(connection) => {
            request.insert("Authentication".into(), json!({"ConnectionArn": connection}));
        }
        None if renderer.settings.one_machine => {}
        None => {
            return Err(Unrendered(
                "AWS calls a web service only with an EventBridge connection: give the task \
                 `http: {connection: \"${{ env.<name> }}\"}`, the connection's ARN"
                    .to_owned(),
            ));
        }
    }
    if !headers.keys().any(|name| name.eq_ignore_ascii_case(IDEMPOTENCY_KEY)) {
        let mut identity = request.clone();
        identity.insert("Headers".into(), Json::Object(headers.clone()));
        headers.insert(IDEMPOTENCY_KEY.into(), subject.token(&identity).into());
    }
    request.insert("Headers".into(), Json::Object(headers));
    Ok(request)
}

/// The answer's body: its fields, or it under `body` when it is no object. Step Functions fails the
/// state for statuses of 400 and above; the others are held against what the task expects here.
pub(super) fn output(plan: &HttpPlan, result: &Json) -> Result<Map<String, Json>, Failure> {
    let body = &result["ResponseBody"];
    let status = result["StatusCode"].as_u64().and_then(|status| u16::try_from(status).ok());
    match status {
        Some(status) if plan.expects(status) => Ok(fields(body, "body")),
        Some(status) => {
            Err(Failure::new(FailureClass::Exit, shown(&format!("status {status} is not expected: {body}"))))
        }
        None => Err(Failure::new(FailureClass::Unknown, "the answer has no status")),
    }
}

/// The result that a failed call stands for when the task expects its status. The cause is the body
/// of the answer; that it is whole was not verified on AWS.
pub(super) fn expected(plan: &HttpPlan, error: &str, cause: &str) -> Option<Json> {
    let status: u16 = error.strip_prefix(names::HTTP_STATUS)?.parse().ok()?;
    if !plan.expects(status) {
        return None;
    }
    let body = serde_json::from_str(cause).unwrap_or_else(|_| Json::from(cause));
    Some(json!({"StatusCode": status, "ResponseBody": body}))
}

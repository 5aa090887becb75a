//! `athena:startQueryExecution.sync`. The client request token makes Athena know a repeat.
//! <https://docs.aws.amazon.com/athena/latest/APIReference/API_StartQueryExecution.html>

use super::{Subject, picked};
use crate::context::Unrendered;
use cauce_model::Json;
use cauce_model::services::AthenaPlan;
use serde_json::Map;

/// Longest query, in bytes.
/// <https://docs.aws.amazon.com/athena/latest/APIReference/API_StartQueryExecution.html>
const QUERY_MAX: usize = 262_144;

/// Longest value of an execution parameter, in characters.
/// <https://docs.aws.amazon.com/athena/latest/APIReference/API_StartQueryExecution.html>
const PARAMETER_MAX: usize = 1024;

pub(super) fn request(plan: &AthenaPlan, subject: &Subject<'_>) -> Result<Map<String, Json>, Unrendered> {
    if plan.query.len() > QUERY_MAX {
        let size = plan.query.len();
        return Err(Unrendered(format!("the query has {size} bytes; Athena takes {QUERY_MAX}")));
    }
    let mut request = Map::new();
    request.insert("QueryString".into(), plan.query.as_str().into());
    if !plan.params.is_empty() {
        let mut literals = Vec::with_capacity(plan.params.len());
        for (param, number) in plan.params.iter().zip(1..) {
            let literal = literal(&subject.renderer.tree(param)?).ok_or_else(|| {
                Unrendered(format!("parameter {number} of the query is a list or an object"))
            })?;
            let size = literal.chars().count();
            if size > PARAMETER_MAX {
                return Err(Unrendered(format!(
                    "parameter {number} of the query has {size} characters; Athena takes {PARAMETER_MAX}"
                )));
            }
            literals.push(literal);
        }
        request.insert("ExecutionParameters".into(), literals.into());
    }
    if let Some(workgroup) = subject.optional(plan.workgroup.as_ref())? {
        request.insert("WorkGroup".into(), workgroup);
    }
    let mut context = Map::new();
    for (name, text) in [("Database", &plan.database), ("Catalog", &plan.catalog)] {
        context.extend(subject.optional(text.as_ref())?.map(|value| (name.to_owned(), value)));
    }
    if !context.is_empty() {
        request.insert("QueryExecutionContext".into(), Json::Object(context));
    }
    if let Some(output) = subject.optional(plan.output.as_ref())? {
        let location = Map::from_iter([("OutputLocation".to_owned(), output)]);
        request.insert("ResultConfiguration".into(), Json::Object(location));
    }
    let token = subject.token(&request);
    request.insert("ClientRequestToken".into(), token.into());
    Ok(request)
}

/// A value as Athena reads an execution parameter: as a literal of SQL. A text is quoted here, so
/// that none can be anything but a value.
/// <https://docs.aws.amazon.com/athena/latest/ug/querying-with-prepared-statements-querying-using-execution-parameters.html>
fn literal(value: &Json) -> Option<String> {
    Some(match value {
        Json::Null => "NULL".to_owned(),
        Json::Bool(flag) => flag.to_string(),
        Json::Number(number) => number.to_string(),
        Json::String(text) => format!("'{}'", text.replace('\'', "''")),
        Json::Array(_) | Json::Object(_) => return None,
    })
}

pub(super) fn output(result: &Json) -> Map<String, Json> {
    picked(
        result,
        &[
            ("/QueryExecution/QueryExecutionId", "query_execution_id"),
            ("/QueryExecution/ResultConfiguration/OutputLocation", "output"),
            ("/QueryExecution/Statistics/DataScannedInBytes", "scanned_bytes"),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_is_never_more_than_a_value() {
        assert_eq!(literal(&json!("x' OR 1=1 --")).unwrap(), "'x'' OR 1=1 --'");
        assert_eq!(literal(&json!(1.5)).unwrap(), "1.5");
        assert_eq!(literal(&json!(true)).unwrap(), "true");
        assert_eq!(literal(&json!(null)).unwrap(), "NULL");
        assert_eq!(literal(&json!([1])), None);
    }
}

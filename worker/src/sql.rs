//! The kind `sql`: one query over named inputs.

use datafusion::arrow::json::WriterBuilder;
use datafusion::arrow::json::writer::LineDelimited;
use datafusion::execution::context::SQLOptions;
use datafusion::scalar::ScalarValue;
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::{Input, Located, MemoryMib, Output};
use crate::failure::{Failure, Result};
use crate::files;
use crate::rows::inputs::register;
use crate::rows::rejects::Rejects;
use crate::task::Task;
use crate::write::{self, Staged};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    inputs: IndexMap<String, Located<Input>>,
    query: Option<String>,
    file: Option<String>,
    #[serde(default)]
    params: IndexMap<String, Value>,
    output: Option<Located<Output>>,
    rejects: Option<String>,
    max_rejects: Option<u64>,
    #[serde(default)]
    memory_mib: MemoryMib,
}

/// Runs an `sql` task and returns what it answers.
pub async fn run(task: &Task) -> Result<Value> {
    let config: Config = task.config()?;
    if let Some(output) = &config.output {
        output.check()?;
    }
    let session = task.session(config.memory_mib)?;
    let query = match (config.query, config.file) {
        (Some(query), None) => query,
        (None, Some(file)) => {
            let location = session.storage.locate(&file)?;
            let bytes = files::read_small(&session.storage, &location).await?;
            let bytes = bytes
                .ok_or_else(|| Failure::Config(format!("`file` names {location}, which is not there")))?;
            String::from_utf8(bytes).map_err(|_| Failure::Config(format!("{location} is not UTF-8")))?
        }
        _ => return Err(Failure::Config("say either `query` or `file`".to_owned())),
    };
    let rejects = Rejects::new(&session.storage, config.rejects.as_deref(), config.max_rejects)?;
    for (name, input) in &config.inputs {
        register(&session, name, input, &rejects).await?;
    }
    let read_only =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    let fail = |error| Failure::query("cannot plan the query", error);
    let frame = session
        .context
        .sql_with_options(&query, read_only)
        .await
        .and_then(|frame| frame.with_param_values(bind(&config.params)?))
        .map_err(fail)?;
    let mut answer = match &config.output {
        Some(output) => json!(write::write(&session, frame, output).await?),
        None => {
            let staged = write::stage(&session, frame, "result", &[]).await?;
            json!({"rows": 1, "row": only_row(&staged)?})
        }
    };
    answer["rejected"] = rejects.deliver(&session.storage).await?.into();
    Ok(answer)
}

/// Parameters as typed values, to be bound: none of them becomes text of the query.
pub fn bind(
    params: &IndexMap<String, Value>,
) -> std::result::Result<Vec<(String, ScalarValue)>, datafusion::error::DataFusionError> {
    let one = |(name, value): (&String, &Value)| {
        let bound = match value {
            Value::String(text) => ScalarValue::Utf8(Some(text.clone())),
            Value::Bool(value) => ScalarValue::Boolean(Some(*value)),
            Value::Number(number) => match number.as_i64() {
                Some(whole) => ScalarValue::Int64(Some(whole)),
                None => ScalarValue::Float64(number.as_f64()),
            },
            Value::Null => ScalarValue::Null,
            Value::Array(_) | Value::Object(_) => {
                return Err(datafusion::error::DataFusionError::Plan(format!(
                    "parameter `{name}` is not a scalar"
                )));
            }
        };
        Ok((name.clone(), bound))
    };
    params.iter().map(one).collect()
}

/// The one row of a query whose answer is the task's return.
fn only_row(staged: &Staged) -> Result<Value> {
    if staged.rows != 1 {
        return Err(Failure::Data(format!(
            "without `output` the query must give one row; it gave {}",
            staged.rows
        )));
    }
    let fail =
        |error: Box<dyn std::error::Error + Send + Sync>| Failure::system("cannot read the row", error);
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    for batch in staged.batches()? {
        writer.write(&batch.map_err(|error| fail(error.into()))?).map_err(|error| fail(error.into()))?;
    }
    writer.finish().map_err(|error| fail(error.into()))?;
    serde_json::from_slice(&writer.into_inner()).map_err(|error| fail(error.into()))
}

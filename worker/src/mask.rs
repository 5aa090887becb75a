//! The kind `mask`, and the masking functions, which SQL may use too.
//!
//! A masked value never holds enough of the original to find it again; text that does not look as its rule expects is
//! redacted whole rather than passed.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use datafusion::arrow::array::{ArrayRef, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::cast::as_string_array;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarUDF, Volatility, cast, create_udf, ident};
use hmac::{Hmac, KeyInit, Mac};
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::config::{Input, Located, MemoryMib, Output};
use crate::failure::{Failure, Result};
use crate::rows::inputs::{register, scan};
use crate::rows::rejects::Rejects;
use crate::task::Task;
use crate::write;

/// What redaction leaves.
const REDACTED: &str = "[redacted]";

/// Fewer digits than any card number has.
const CARD_DIGITS: usize = 12;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    source: Located<Input>,
    columns: IndexMap<String, Mask>,
    #[serde(default)]
    drop: Vec<String>,
    output: Located<Output>,
    rejects: Option<String>,
    max_rejects: Option<u64>,
    #[serde(default)]
    memory_mib: MemoryMib,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Rule {
    Email,
    Card,
    Hash,
    Redact,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "Value")]
struct Mask {
    rule: Rule,
    key_env: Option<String>,
    rename: Option<String>,
}

impl TryFrom<Value> for Mask {
    type Error = String;

    fn try_from(value: Value) -> std::result::Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Whole {
            rule: Rule,
            key_env: Option<String>,
            #[serde(rename = "as")]
            rename: Option<String>,
        }
        let whole = if value.is_string() { json!({ "rule": value }) } else { value };
        let Whole { rule, key_env, rename } =
            serde_json::from_value(whole).map_err(|error| error.to_string())?;
        match (rule, &key_env) {
            (Rule::Hash, None) => {
                Err("rule `hash` needs `key_env`, the environment variable of its key".to_owned())
            }
            (Rule::Hash, Some(_)) | (_, None) => Ok(Self { rule, key_env, rename }),
            (_, Some(_)) => Err("`key_env` is for the rule `hash`".to_owned()),
        }
    }
}

/// Runs a `mask` task and returns what it answers.
pub async fn run(task: &Task) -> Result<Value> {
    let config: Config = task.config()?;
    config.output.check()?;
    let session = task.session(config.memory_mib)?;
    let rejects = Rejects::new(&session.storage, config.rejects.as_deref(), config.max_rejects)?;
    register(&session, "source", &config.source, &rejects).await?;
    let fail = |error| Failure::query("cannot mask the columns", error);
    let table = session.context.table("source").await.map_err(fail)?;

    let known: Vec<String> = table.schema().fields().iter().map(|field| field.name().clone()).collect();
    for named in config.columns.keys().chain(&config.drop) {
        if !known.contains(named) {
            return Err(Failure::Config(format!(
                "no column `{named}` to mask; there are {}",
                known.join(", ")
            )));
        }
    }
    let mut columns: Vec<Expr> = Vec::new();
    let mut masked: Vec<&str> = Vec::new();
    for name in known.iter().filter(|name| !config.drop.contains(name)) {
        let Some(mask) = config.columns.get(name) else {
            columns.push(ident(name));
            continue;
        };
        let function = match (mask.rule, &mask.key_env) {
            (Rule::Hash, Some(variable)) => hash_function(task.secret(variable)?),
            (rule, _) => plain_function(rule),
        };
        let target = mask.rename.as_ref().unwrap_or(name);
        columns.push(function.call(vec![cast(ident(name), DataType::Utf8)]).alias(target));
        masked.push(target);
    }
    let frame = table.select(columns).map_err(fail)?;
    let staged = write::stage(&session, frame, "result", &config.output.partition_by).await?;
    let values = count_values(&session, &staged.name, &masked).await?;
    let written = write::deliver(&session, &staged, &config.output).await?;
    let rejected = rejects.deliver(&session.storage).await?;
    let mut answer = json!(written);
    answer["rejected"] = rejected.into();
    answer["masked"] = values.into();
    Ok(answer)
}

/// How many values of the masked columns are not null.
async fn count_values(session: &crate::session::Session, name: &str, columns: &[&str]) -> Result<i64> {
    let fail = |error| Failure::query("cannot count the masked values", error);
    let url = session.scratch_url(name)?;
    let counts = columns.iter().map(|column| count(ident(*column)).alias(*column)).collect();
    let found = scan(session, vec![url.to_string()])
        .await
        .and_then(|frame| frame.aggregate(vec![], counts))
        .map_err(fail)?
        .collect()
        .await
        .map_err(fail)?;
    let sums = found.iter().flat_map(|batch| batch.columns()).map(|column| {
        datafusion::common::cast::as_int64_array(column).map(|values| values.iter().flatten().sum::<i64>())
    });
    sums.sum::<std::result::Result<i64, _>>().map_err(fail)
}

/// The functions SQL has: `mask_email`, `mask_card`, `mask_redact`.
pub fn functions() -> Vec<ScalarUDF> {
    [Rule::Email, Rule::Card, Rule::Redact].into_iter().map(plain_function).collect()
}

fn plain_function(rule: Rule) -> ScalarUDF {
    match rule {
        Rule::Email => function("mask_email", mask_email),
        Rule::Card => function("mask_card", mask_card),
        Rule::Redact | Rule::Hash => function("mask_redact", |_| REDACTED.to_owned()),
    }
}

fn hash_function(key: Vec<u8>) -> ScalarUDF {
    function("mask_hash", move |text| {
        // HMAC takes a key of any length, so this branch is the only one; a key cannot be refused.
        Hmac::<Sha256>::new_from_slice(&key).map_or_else(
            |_| REDACTED.to_owned(),
            |mut mac| {
                mac.update(text.as_bytes());
                HEXLOWER.encode(&mac.finalize().into_bytes())
            },
        )
    })
}

fn function(name: &str, mask: impl Fn(&str) -> String + Send + Sync + 'static) -> ScalarUDF {
    let body = move |arguments: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let texts = as_string_array(&arrays[0])?;
        let masked: StringArray = texts.iter().map(|text| text.map(&mask)).collect();
        Ok(ColumnarValue::Array(Arc::new(masked) as ArrayRef))
    };
    create_udf(name, vec![DataType::Utf8], DataType::Utf8, Volatility::Immutable, Arc::new(body))
}

fn mask_email(text: &str) -> String {
    let Some((user, domain)) = text.split_once('@') else {
        return REDACTED.to_owned();
    };
    if user.is_empty() || domain.is_empty() || domain.contains('@') {
        return REDACTED.to_owned();
    }
    // One character fewer than there are, so that even the shortest name is not shown whole.
    let shown = user.chars().count().saturating_sub(1).min(2);
    format!("{}****@{domain}", user.chars().take(shown).collect::<String>())
}

fn mask_card(text: &str) -> String {
    let digits: Vec<char> = text.chars().filter(char::is_ascii_digit).collect();
    match digits.len() {
        count if count >= CARD_DIGITS => {
            format!("****-{}", digits[count - 4..].iter().collect::<String>())
        }
        _ => REDACTED.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Array;

    use super::*;

    #[test]
    fn emails_keep_two_characters_at_most_and_never_all() {
        for (text, masked) in [
            ("ana.perez@example.com", "an****@example.com"),
            ("abc@x.org", "ab****@x.org"),
            ("ab@x.org", "a****@x.org"),
            ("a@x.org", "****@x.org"),
            ("ñandú@x.org", "ña****@x.org"),
            ("nobody", REDACTED),
            ("@x.org", REDACTED),
            ("a@b@c", REDACTED),
        ] {
            assert_eq!(mask_email(text), masked, "{text}");
        }
    }

    #[test]
    fn cards_keep_four_digits_of_twelve_or_more() {
        assert_eq!(mask_card("4111-1111 1111 1234"), "****-1234");
        assert_eq!(mask_card("411111111111"), "****-1111");
        assert_eq!(mask_card("1234"), REDACTED);
    }

    #[test]
    fn hashes_are_hmac_sha256() {
        // RFC 4231, test case 2.
        let function = hash_function(b"Jefe".to_vec());
        let column = ColumnarValue::Array(Arc::new(StringArray::from(vec![
            Some("what do ya want for nothing?"),
            None,
        ])));
        let arguments = datafusion::logical_expr::ScalarFunctionArgs {
            args: vec![column],
            arg_fields: vec![Arc::new(datafusion::arrow::datatypes::Field::new("a", DataType::Utf8, true))],
            number_rows: 2,
            return_field: Arc::new(datafusion::arrow::datatypes::Field::new("r", DataType::Utf8, true)),
            config_options: Arc::default(),
        };
        let masked = function.invoke_with_args(arguments).unwrap().into_array(2).unwrap();
        let masked = as_string_array(&masked).unwrap();
        assert_eq!(masked.value(0), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert!(masked.is_null(1));
    }

    #[test]
    fn a_key_belongs_to_hash_and_hash_to_a_key() {
        for wrong in [json!("hash"), json!({"rule": "email", "key_env": "K"}), json!({"rule": "shuffle"})] {
            assert!(serde_json::from_value::<Mask>(wrong.clone()).is_err(), "{wrong}");
        }
        assert!(serde_json::from_value::<Mask>(json!({"rule": "hash", "key_env": "K", "as": "h"})).is_ok());
    }
}

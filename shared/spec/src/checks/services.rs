//! What the types of the service kinds cannot say.

use cauce_template::Template;
use indexmap::IndexMap;

use crate::checks::DraftTask;
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::file::kind::Kind;
use crate::file::services::{Athena, Batch, EmrServerless, Glue, Http, Method};
use crate::shape::Reader;

/// Headers that AWS keeps for itself.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/call-https-apis.html>
const RESERVED_HEADERS: [&str; 7] =
    ["authorization", "connection", "content-length", "host", "max-forwards", "transfer-encoding", "upgrade"];

pub(crate) fn check(task: &DraftTask<'_>, reader: &mut Reader) {
    match &task.task.kind {
        Kind::Glue(glue) => self::glue(task, glue, reader),
        Kind::EmrServerless(job) => emr_serverless(task, job, reader),
        Kind::Batch(batch) => self::batch(task, batch, reader),
        Kind::Athena(athena) => self::athena(task, athena, reader),
        Kind::Http(http) => self::http(task, http, reader),
        _ => {}
    }
}

fn report(reader: &mut Reader, code: Code, (span, route): (Span, String), message: String, help: &str) {
    reader.report(Diagnostic::error(code, span, message).help(help).at(route));
}

fn glue(task: &DraftTask<'_>, glue: &Glue, reader: &mut Reader) {
    let (has, lacks) = match (&glue.worker_type, glue.workers) {
        (Some(_), None) => ("worker_type", "workers"),
        (None, Some(_)) => ("workers", "worker_type"),
        _ => return,
    };
    let help = format!("add `{lacks}`, or leave both to the job");
    report(
        reader,
        Code::MissingKey,
        task.key(&["glue", has]),
        format!("`{has}` is nothing without `{lacks}`"),
        &help,
    );
}

fn emr_serverless(task: &DraftTask<'_>, job: &EmrServerless, reader: &mut Reader) {
    let given: Vec<&str> = [
        ("spark", job.spark.is_some()),
        ("hive", job.hive.is_some()),
        ("job_driver", job.job_driver.is_some()),
    ]
    .into_iter()
    .filter_map(|(key, given)| given.then_some(key))
    .collect();
    match given[..] {
        [_] => {}
        [] => report(
            reader,
            Code::MissingKey,
            task.key(&["emr_serverless"]),
            "the job runs nothing".to_owned(),
            "add `spark: {entry_point: \"s3://...\"}`, `hive: {query: \"s3://...\"}` or `job_driver`",
        ),
        [_, second, ..] => report(
            reader,
            Code::Conflict,
            task.key(&["emr_serverless", second]),
            format!("the job runs `{}` already", given[0]),
            "keep one of spark, hive and job_driver",
        ),
    }
}

fn batch(task: &DraftTask<'_>, batch: &Batch, reader: &mut Reader) {
    super::values::variables(&["batch", "env"], &batch.env, task, reader);
}

fn athena(task: &DraftTask<'_>, athena: &Athena, reader: &mut Reader) {
    if athena.query.contains("{{") || athena.query.contains("{%") {
        report(
            reader,
            Code::Conflict,
            task.place(&["athena", "query"]),
            "`query` is no template: values are never written into SQL".to_owned(),
            "bind the value: write `?` in the query and `params: [\"{{ ... }}\"]`",
        );
        return;
    }
    let marks = question_marks(&athena.query);
    if marks != athena.params.len() {
        report(
            reader,
            Code::Conflict,
            task.place(&["athena", "params"]),
            format!("the query has {marks} question marks and {} parameters", athena.params.len()),
            "every `?` outside quotes and comments takes one of `params`, in their order",
        );
    }
}

/// The question marks of a query outside quotes and comments.
fn question_marks(query: &str) -> usize {
    let mut marks = 0;
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        let skip_past = |end: &str| after.find(end).map_or("", |at| &after[at + end.len()..]);
        rest = match first {
            // A doubled quote ends one text and begins the next: the same for counting.
            '\'' => skip_past("'"),
            '"' => skip_past("\""),
            '-' if after.starts_with('-') => skip_past("\n"),
            '/' if after.starts_with('*') => skip_past("*/"),
            '?' => {
                marks += 1;
                after
            }
            _ => after,
        };
    }
    marks
}

fn http(task: &DraftTask<'_>, http: &Http, reader: &mut Reader) {
    for (at, status) in http.expect.iter().enumerate().filter(|(_, status)| !(200..600).contains(*status)) {
        report(
            reader,
            Code::OutOfRange,
            task.item(&["http", "expect"], at),
            format!("{status} is no status of a final answer"),
            "statuses are 200 to 599",
        );
    }
    if http.body.is_some() && matches!(http.method, Method::Get | Method::Head) {
        report(
            reader,
            Code::Conflict,
            task.key(&["http", "body"]),
            "a request that only reads has no body".to_owned(),
            "add `method: POST`, or move the values to `query`",
        );
    }
    headers(task, &http.headers, reader);
}

fn headers(task: &DraftTask<'_>, headers: &IndexMap<String, Template>, reader: &mut Reader) {
    for name in headers.keys() {
        let lower = name.to_ascii_lowercase();
        let is_token = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        let help = if !is_token {
            "names of headers are letters, digits and dashes"
        } else if lower == "authorization" {
            "credentials are no part of a pipeline file: put them into the connection"
        } else if RESERVED_HEADERS.contains(&lower.as_str())
            || ["x-amz", "x-forwarded", "x-amzn"].iter().any(|reserved| lower.starts_with(reserved))
        {
            "AWS sets it itself"
        } else {
            continue;
        };
        report(
            reader,
            Code::BadName,
            task.key(&["http", "headers", name]),
            format!("the header `{name}` cannot be set"),
            help,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn question_marks_in_texts_and_comments_bind_nothing() {
        assert_eq!(question_marks("SELECT ? FROM t WHERE a = ?"), 2);
        assert_eq!(question_marks("SELECT '?' || 'it''s ?', \"?\" -- ?\n, ? /* ? */"), 1);
        assert_eq!(question_marks("SELECT 'open ?"), 0);
        assert_eq!(question_marks("SELECT 1 -- ?"), 0);
        assert_eq!(question_marks("SELECT a - ? / ?"), 2);
    }
}

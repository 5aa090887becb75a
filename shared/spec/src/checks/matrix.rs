//! A matrix and the schedule that chooses among its items.

use crate::checks::Draft;
use crate::checks::names::RUN_NAMES;
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::expand::Texts;
use crate::file::fragment::Source;
use crate::items::{self, Choice, Items};
use crate::shape::Reader;

/// Words that templates know already, besides those of every run.
const OTHER_NAMES: [&str; 8] =
    ["params", "outputs", "item", "index", "env", "matrix", "pipeline", "generation"];

/// Reads the text of a file that the pipeline names, or says why it cannot be had.
pub(crate) type Files<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Checks the matrix, and reads its list where files can be read.
pub(crate) fn check(
    draft: &Draft<'_>,
    files: Option<Files<'_>>,
    texts: &mut Texts,
    reader: &mut Reader,
) -> Option<Items> {
    let chosen = draft.pipeline.schedule.iter().find(|one| one.select.is_some() || !one.cases.is_empty());
    let entry = draft.root.get("schedule");
    let place = |keys: &[&str]| -> (Span, String) {
        match entry {
            Some(entry) => super::place(entry, "schedule", keys),
            None => (Span::default(), "schedule".to_owned()),
        }
    };
    let report = |reader: &mut Reader, (span, route): (Span, String), message: &str, help: &str| {
        reader.report(Diagnostic::error(Code::MatrixCase, span, message.to_owned()).help(help).at(route));
    };
    if let Some(schedule) = chosen {
        if draft.pipeline.schedule.len() > 1 {
            report(
                reader,
                place(&[]),
                "a schedule with cases is the only one",
                "put what the others say into its cases",
            );
        }
        if draft.pipeline.matrix.is_none() {
            report(
                reader,
                place(&["select"]),
                "there is no matrix whose items could choose",
                "add `matrix: {as: ..., from: ..., key: ...}`, or write one schedule",
            );
        } else if schedule.select.is_none() {
            report(reader, place(&["cases"]), "no column chooses among the cases", "add `select: <column>`");
        } else if schedule.cases.is_empty() {
            report(
                reader,
                place(&["select"]),
                "a column chooses, and there are no cases",
                "add `cases: {high: {rate: 5m}, low: \"@daily\"}`",
            );
        }
        if let Some((name, _)) =
            schedule.cases.iter().find(|(_, case)| case.select.is_some() || !case.cases.is_empty())
        {
            report(
                reader,
                place(&["cases", name.as_str()]),
                "a case cannot have cases",
                "let one column choose",
            );
        }
    }
    let (matrix, entry) = (draft.pipeline.matrix.as_ref()?, draft.root.get("matrix")?);
    let word = matrix.name.as_str();
    if RUN_NAMES.contains(&word) || OTHER_NAMES.contains(&word) || word == "with" {
        let (span, route) = super::place(entry, "matrix", &["as"]);
        reader.report(
            Diagnostic::error(Code::BadName, span, format!("templates know `{word}` as something else"))
                .help("call the item what it is: `as: symbol`")
                .at(route),
        );
    }
    let (span, route) = super::place(entry, "matrix", &["from"]);
    let name = matrix.from.clone();
    let known = [".csv", ".yaml", ".yml", ".json"];
    if !known.iter().any(|ending| name.to_ascii_lowercase().ends_with(ending)) {
        reader.report(
            Diagnostic::error(Code::MatrixList, span, format!("`{name}` is no list that can be read"))
                .help("a list is CSV with a header, or YAML or JSON with a list of mappings")
                .at(route),
        );
        return None;
    }
    let text = match files?(&name) {
        Ok(text) => text,
        Err(problem) => {
            reader.report(
                Diagnostic::error(Code::MatrixList, span, format!("`{name}` cannot be read: {problem}"))
                    .help("name it by its path from the folder of cauce.yaml")
                    .at(route),
            );
            return None;
        }
    };
    let choice = chosen.and_then(|schedule| {
        let select = schedule.select.as_ref()?;
        Some(Choice { select, cases: schedule.cases.keys().map(|name| name.as_str()).collect() })
    });
    items::read(matrix, choice.as_ref(), Source { name, text }, span, texts, reader)
}

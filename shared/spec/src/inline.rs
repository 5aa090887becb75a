//! Files that a pipeline names become part of it, so that its version holds all that it does and
//! whoever runs it needs no folder of the project.

use cauce_template::{MAX_TEMPLATE_BYTES, Template, TemplateValue};

use crate::file::calendar::holidays;
use crate::file::data::Sql;
use crate::file::kind::{Data, Kind};
use crate::file::pipeline::Pipeline;
use crate::file::project::Project;

/// A file that cannot become part of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlineError {
    /// The task that names it.
    pub task: String,
    /// The file, as it is written there.
    pub file: String,
    /// What is wrong.
    pub problem: String,
}

impl std::fmt::Display for InlineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "tasks.{}.sql.file: {}: {}", self.task, self.file, self.problem)
    }
}

impl std::error::Error for InlineError {}

impl Pipeline {
    /// Puts the text of every `sql.file` in its place, as `query`. `read` gives the text of a file of
    /// the project by its path, or says why it cannot. A URI is left to the worker.
    ///
    /// # Errors
    /// The first file that cannot be read, or holds what a query may not hold.
    pub fn inline_files(
        &mut self,
        mut read: impl FnMut(&str) -> Result<String, String>,
    ) -> Result<(), InlineError> {
        for (name, task) in &mut self.tasks {
            let Kind::Sql(data) = &mut task.kind else { continue };
            let Some(file) = data.settings.file.clone().filter(|file| !file.contains("://")) else {
                continue;
            };
            let failed = |problem| InlineError { task: name.to_string(), file: file.clone(), problem };
            let text = read(&file).and_then(plain).map_err(failed)?;
            put(data, text);
        }
        Ok(())
    }
}

/// A file of holidays that cannot become part of its calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolidaysError {
    /// The calendar that names it.
    pub calendar: String,
    /// The file, as it is written there.
    pub file: String,
    /// What is wrong.
    pub problem: String,
}

impl std::fmt::Display for HolidaysError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "calendars.{}.holidays: {}: {}", self.calendar, self.file, self.problem)
    }
}

impl std::error::Error for HolidaysError {}

impl Project {
    /// Puts the dates of every file of holidays among those on which its calendar is closed, so that a
    /// pipeline version holds them. `read` gives the text of a file of the project by its path, or says
    /// why it cannot.
    ///
    /// # Errors
    /// The first file that cannot be read, or holds no dates.
    pub fn inline_holidays(
        &mut self,
        mut read: impl FnMut(&str) -> Result<String, String>,
    ) -> Result<(), HolidaysError> {
        for (name, calendar) in &mut self.calendars {
            let Some(file) = calendar.holidays.take() else { continue };
            let days = read(&file).and_then(|text| holidays(&text));
            let days = days.map_err(|problem| HolidaysError { calendar: name.to_string(), file, problem })?;
            // A date that the file says is open stays open: it knows better than a public list.
            calendar.without.extend(days);
            calendar.without.sort_unstable();
            calendar.without.dedup();
        }
        Ok(())
    }
}

/// A query that is no template: it would be read as one when the task starts.
fn plain(text: String) -> Result<String, String> {
    if let Some(opening) = ["{{", "{%", "{#"].into_iter().find(|opening| text.contains(opening)) {
        return Err(format!(
            "`{opening}` begins a template, and a query is none: bind values, by `$name` in the query and \
             `params: {{name: \"{{{{ ... }}}}\"}}`"
        ));
    }
    if text.len() > MAX_TEMPLATE_BYTES {
        return Err(format!("{} bytes are more than {MAX_TEMPLATE_BYTES}", text.len()));
    }
    Ok(text)
}

fn put(data: &mut Data<Sql>, text: String) {
    data.settings.file = None;
    if let TemplateValue::Object(fields) = &mut data.config {
        for (key, value) in fields {
            if key == "file" {
                *value = TemplateValue::Text(Template::constant(&text));
                "query".clone_into(key);
            }
        }
    }
    data.settings.query = Some(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Project, check};
    use serde_json::json;

    fn pipeline() -> Pipeline {
        let text = b"pipeline: p\ntasks:\n  a: {sql: {file: models/a.sql, output: out.csv}}\n  b: {sql: {file: \"s3://b/c.sql\"}}\n";
        check(text, &Project::none()).0.unwrap()
    }

    fn config(pipeline: &Pipeline, task: &str) -> serde_json::Value {
        match &pipeline.tasks[task].kind {
            Kind::Sql(data) => data.config.to_json(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_text_stands_where_the_file_stood() {
        let mut pipeline = pipeline();
        let read = |file: &str| Ok(format!("SELECT 1 -- {file}"));
        pipeline.inline_files(read).unwrap();
        let inlined = json!({"query": "SELECT 1 -- models/a.sql", "output": "out.csv"});
        assert_eq!(config(&pipeline, "a"), inlined);
        assert_eq!(config(&pipeline, "b"), json!({"file": "s3://b/c.sql"}));
    }

    #[test]
    fn holidays_of_a_file_are_dates_of_the_calendar() {
        let text = b"calendars: {shop: {holidays: closed.txt, without: [2026-12-24]}}";
        let project = || crate::check_project(text).0.unwrap();
        let mut read = project();
        read.inline_holidays(|file| Ok(format!("2026-12-25 {file}\n2026-12-24\n"))).unwrap();
        let closed: Vec<String> = read.calendars["shop"].without.iter().map(ToString::to_string).collect();
        assert_eq!(closed, ["2026-12-24", "2026-12-25"]);
        assert_eq!(read.calendars["shop"].holidays, None);
        let error = project().inline_holidays(|_| Ok("soon".to_owned())).unwrap_err();
        assert!(error.to_string().starts_with("calendars.shop.holidays: closed.txt: line 1"), "{error}");
    }

    #[test]
    fn what_cannot_be_read_or_is_a_template_is_told() {
        let error = pipeline().inline_files(|_| Err("there is no such file".to_owned())).unwrap_err();
        assert_eq!(error.to_string(), "tasks.a.sql.file: models/a.sql: there is no such file");
        let error = pipeline().inline_files(|_| Ok("SELECT '{{ ds }}'".to_owned())).unwrap_err();
        assert!(error.problem.contains("`{{` begins a template"), "{error}");
        let long = "x".repeat(MAX_TEMPLATE_BYTES + 1);
        assert!(pipeline().inline_files(|_| Ok(long.clone())).is_err());
    }
}

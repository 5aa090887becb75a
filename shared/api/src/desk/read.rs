//! What only looks.

use super::{Caller, Desk, document, no_pipeline, no_run, pipeline_of, query, run_of};
use crate::http::{Answer, Request};
use crate::place::{LogRequest, Place};
use crate::problem::{Failed, Problem};
use cauce_driver::look::{self, RunTasks, summary};
use cauce_model::record::{PipelineRecord, RUNS_LIST, Record, RunRecord, pipeline_item};
use cauce_model::time::MICROS;
use cauce_model::{Instant, Json, RunRef, RunStatus};
use cauce_ports::Table;
use serde_json::json;

/// Runs in one answer, unless told.
const RUNS_DEFAULT: usize = 50;

/// Most runs in one answer.
const RUNS_MAX: usize = 500;

/// Most runs that one request looks at: an answer may hold fewer than there are, and says where to go on.
const LOOKED_AT_MAX: usize = 2000;

/// How far back a list begins that is not told where.
const SINCE_DEFAULT_SECONDS: i64 = 7 * 86_400;

/// For how long it counts that the store answered.
const READY_FOR_MICROS: i64 = MICROS;

impl<P: Place> Desk<P> {
    pub(super) async fn is_ready(&self) -> Result<Answer, Failed> {
        let now = self.now();
        let known = *self.memory.ready.borrow();
        let answers = match known {
            // Anybody may ask, as often as they like: the store is asked once a second.
            Some((at, answers)) if now.micros_since(at).abs() < READY_FOR_MICROS => answers,
            _ => {
                let answers = self.place.table().get(&pipeline_item("ready")).await.is_ok();
                *self.memory.ready.borrow_mut() = Some((now, answers));
                answers
            }
        };
        if answers {
            Ok(document(200, &json!({"status": "ready"})))
        } else {
            Err(Failed::Trouble("not ready".to_owned()))
        }
    }

    pub(super) async fn pipeline(&self, name: &str) -> Result<PipelineRecord, Failed> {
        Ok(look::pipeline(self.place.table(), name).await?.ok_or_else(no_pipeline)?)
    }

    async fn pipeline_document(&self, record: &PipelineRecord) -> Result<Json, Failed> {
        let prepared = self.place.plan(&record.pipeline, &record.version).await?;
        let plan = &prepared.plan;
        let paused = record.paused || plan.paused;
        let canary = record.canary.as_ref();
        Ok(json!({
            "pipeline": record.pipeline,
            "version": record.version,
            "canary": canary.map(|canary| json!({"version": canary.of.version, "percent": canary.percent})),
            "paused": paused,
            "paused_because": record.paused_because,
            "next_tick": look::next_tick(plan, self.now()).filter(|_| !paused).map(|(at, _)| at),
            "tasks": plan.tasks.len(),
            "params": plan.params,
        }))
    }

    pub(super) async fn list_pipelines(&self, request: &Request, caller: &Caller) -> Result<Answer, Failed> {
        query(request, &[])?;
        let mut listed = Vec::new();
        for record in look::pipelines(self.place.table()).await? {
            if caller.sees(&record.pipeline) {
                listed.push(self.pipeline_document(&record).await?);
            }
        }
        Ok(document(200, &json!({"schema": 1, "pipelines": listed})))
    }

    pub(super) async fn show_pipeline(&self, request: &Request) -> Result<Answer, Failed> {
        query(request, &[])?;
        let record = self.pipeline(pipeline_of(request)?).await?;
        Ok(document(200, &self.pipeline_document(&record).await?))
    }

    pub(super) async fn list_runs(&self, request: &Request, caller: &Caller) -> Result<Answer, Failed> {
        let given = query(request, &["pipeline", "status", "since", "limit", "cursor"])?;
        let status = given.get("status").map(|word| status(word)).transpose()?;
        let limit = match given.get("limit") {
            None => RUNS_DEFAULT,
            Some(text) => {
                text.parse().ok().filter(|limit| (1..=RUNS_MAX).contains(limit)).ok_or_else(|| {
                    Problem::malformed(
                        "'limit' is no number that can be given",
                        format!("give 1 to {RUNS_MAX}"),
                    )
                })?
            }
        };
        let since = match given.get("since") {
            None => self.now().plus_micros(-SINCE_DEFAULT_SECONDS * MICROS),
            Some(text) => Instant::parse(text).map_err(|_| {
                Problem::malformed("'since' is no moment", "write it as 1997-01-05T02:00:00Z")
            })?,
        };
        let mut from = match given.get("cursor") {
            None => look::position(since),
            Some(cursor) => after(cursor)?,
        };
        let wanted = |run: &RunRecord| {
            caller.sees(&run.run.pipeline)
                && given.get("pipeline").is_none_or(|name| *name == run.run.pipeline)
                && status.is_none_or(|status| status == run.status)
        };
        // Without a filter no more are read than are wanted.
        let filtered = caller.pipelines.is_some() || given.contains_key("pipeline") || status.is_some();
        let page_of = if filtered { RUNS_MAX } else { limit } as u32;
        let (mut runs, mut looked_at, mut next) = (Vec::new(), 0, None);
        'pages: loop {
            let page = self.place.table().list(RUNS_LIST, &from, None, page_of).await?;
            let more = page.next.is_some();
            for item in &page.items {
                let run = RunRecord::from_item(item)?;
                let position = position(&run);
                looked_at += 1;
                if wanted(&run) {
                    runs.push(summary(&run));
                }
                from = behind(&position);
                if runs.len() == limit || looked_at == LOOKED_AT_MAX {
                    next = Some(position);
                    break 'pages;
                }
            }
            if !more {
                break;
            }
        }
        Ok(document(200, &json!({"schema": 1, "runs": runs, "next": next})))
    }

    /// A run with its tasks.
    pub(super) async fn view(&self, run: &RunRef) -> Result<RunTasks, Failed> {
        let record = look::run(self.place.table(), run).await?.ok_or_else(no_run)?;
        let prepared = self.place.plan(&run.pipeline, &record.version).await?;
        Ok(look::tasks(self.place.table(), record, prepared).await?)
    }

    pub(super) async fn show_run(&self, request: &Request) -> Result<Answer, Failed> {
        query(request, &[])?;
        let view = self.view(&run_of(request)?).await?;
        let place = |log: &str| self.place.log_place(log);
        Ok(document(200, &view.document(self.place.objects(), false, place).await?))
    }

    pub(super) async fn read_log(&self, request: &Request) -> Result<Answer, Failed> {
        let given = query(request, &["attempt", "item", "after"])?;
        let number = |name: &str| -> Result<Option<u32>, Problem> {
            let parsed = given.get(name).map(|text| text.parse().map_err(|_| name));
            parsed.transpose().map_err(|name: &str| {
                Problem::malformed(
                    format!("'{name}' is no whole number"),
                    "attempts count from 1, items from 0",
                )
            })
        };
        let (attempt, item) = (number("attempt")?, number("item")?);
        let view = self.view(&run_of(request)?).await?;
        let task = request.part("task");
        let Some((_, plan)) = view.prepared.find(task) else { return Err(no_task().into()) };
        let record = match (item, &plan.map) {
            (Some(index), Some(_)) => {
                let items = view.items.get(task).map(Vec::as_slice).unwrap_or_default();
                items.iter().find(|record| record.index == Some(index))
            }
            (None, None) => view.tasks.get(task),
            (Some(_), None) => {
                return Err(
                    Problem::wrong("the task is not mapped, so it has no items", "leave 'item' out").into()
                );
            }
            (None, Some(_)) => {
                let help = "name one with 'item', from 0";
                return Err(Problem::wrong("the task is mapped: each of its items has a log", help).into());
            }
        };
        let attempts = record.map(|record| record.attempts.as_slice()).unwrap_or_default();
        let chosen = match attempt {
            None => attempts.last(),
            Some(number) => attempts.iter().find(|attempt| attempt.number == number),
        };
        let no_log = || {
            let help = "the document of the run tells its attempts, and which of them has a log";
            Problem::missing("there is no such log, or none yet", help)
        };
        let (Some(record), Some(attempt)) = (record, chosen) else { return Err(no_log().into()) };
        let wanted = LogRequest { view: &view, record, attempt, after: given.get("after").copied() };
        let part = self.place.log(wanted).await?.ok_or_else(no_log)?;
        Ok(document(200, &json!({"text": part.text, "next": part.next, "more": part.more})))
    }
}

pub(super) fn no_task() -> Problem {
    Problem::missing("the run's version has no such task", "the document of the run lists its tasks")
}

fn status(word: &str) -> Result<RunStatus, Problem> {
    let all = [
        RunStatus::Queued,
        RunStatus::Running,
        RunStatus::Success,
        RunStatus::Failed,
        RunStatus::Skipped,
        RunStatus::Cancelled,
    ];
    all.into_iter().find(|status| status.as_str() == word).ok_or_else(|| {
        let words: Vec<&str> = all.iter().map(|status| status.as_str()).collect();
        Problem::malformed("'status' is no status of a run", format!("one of {}", words.join(", ")))
    })
}

/// Where a run stands in the list of runs. It is a cursor too: it names nothing that its reader has not seen.
fn position(run: &RunRecord) -> String {
    format!("{}#{}", look::position(run.created_at), run.key())
}

/// The first position behind another.
fn behind(position: &str) -> String {
    format!("{position}!")
}

fn after(cursor: &str) -> Result<String, Problem> {
    let parts = cursor.split_once('#');
    let is_one = parts.is_some_and(|(at, key)| {
        at.len() == 20
            && at.bytes().all(|b| b.is_ascii_digit())
            && key.len() == 20
            && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    });
    if !is_one {
        return Err(Problem::malformed(
            "'cursor' is not one of ours",
            "give back the 'next' of the answer before",
        ));
    }
    Ok(behind(cursor))
}

//! What changes something: each is a command, which writes its own audit entry with the key's name.

use super::read::no_task;
use super::{Caller, Desk, body, document, no_run, pipeline_of, query, run_of};
use crate::http::{Answer, Request};
use crate::place::Place;
use crate::problem::{Failed, Problem};
use crate::shapes::{AnswerTask, COMMENT_BYTES_MAX, CancelRun, MarkAs, MarkTask, RerunRun, StartRun};
use cauce_driver::ask::{self, How, Version, WhichError, which, which_of_case};
use cauce_driver::look::{self, summary};
use cauce_engine::command::{Again, Approve, Existing, Pause};
use cauce_engine::trigger::NewRun;
use cauce_engine::{Command, Prepared, Reply};
use cauce_model::ids::sha256_hex;
use cauce_model::item::{Body, Expect};
use cauce_model::matrix::ItemRecord;
use cauce_model::record::{PipelineRecord, RunRecord, TriggerRecord};
use cauce_model::{Instant, Item, Json, Key, Plan, RunRef, TriggerKind, Write, names};
use cauce_ports::{Table, TableError};
use serde_json::{Map, json};
use std::convert::Infallible;

/// For how long an idempotency key is remembered.
const KEY_KEPT_SECONDS: u64 = 7 * 86_400;

/// Longest idempotency key, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// What a request's idempotency key stands for.
struct Kept {
    /// The digest of the request.
    request: String,
    /// The run that it asked for.
    run: NewRun,
}

impl Kept {
    fn body(&self) -> Body {
        let mut fields = Body::new();
        fields.insert("request".into(), self.request.as_str().into());
        fields.insert("run_id".into(), self.run.run_id.as_str().into());
        fields.insert("logical_date".into(), json!(self.run.logical_date));
        fields.insert("data_interval".into(), json!(self.run.data_interval));
        fields.insert("timezone".into(), self.run.timezone.as_str().into());
        fields.insert("scheduled_at".into(), json!(self.run.scheduled_at));
        fields
    }

    fn of(item: &Item) -> Option<Self> {
        let text = |field: &str| item.body.get(field).and_then(Json::as_str).map(str::to_owned);
        let value = |field: &str| item.body.get(field).cloned().unwrap_or_default();
        Some(Self {
            request: text("request")?,
            run: NewRun {
                run_id: text("run_id")?,
                logical_date: serde_json::from_value(value("logical_date")).ok()?,
                data_interval: serde_json::from_value(value("data_interval")).ok()?,
                timezone: text("timezone")?,
                scheduled_at: serde_json::from_value(value("scheduled_at")).ok()?,
            },
        })
    }
}

impl<P: Place> Desk<P> {
    pub(super) async fn pause(
        &self,
        request: &Request,
        caller: &Caller,
        paused: bool,
    ) -> Result<Answer, Failed> {
        query(request, &[])?;
        let pipeline = pipeline_of(request)?.to_owned();
        self.pipeline(&pipeline).await?;
        let pause = Pause { pipeline, paused, by: Some(caller.by()), unknown: None };
        let told = self.command(Command::Pause(Box::new(pause))).await?;
        Ok(document(200, &told))
    }

    pub(super) async fn start_run(&self, request: &Request, caller: &Caller) -> Result<Answer, Failed> {
        query(request, &[])?;
        let wanted: StartRun = body(request)?;
        let record = self.pipeline(pipeline_of(request)?).await?;
        let prepared = self.place.plan(&record.pipeline, &record.version).await?;
        let params = params(&prepared, &wanted.params)?;
        let now = self.now();
        let id = || Ok::<_, Infallible>(format!("manual-{}", self.place.unique(now).to_ascii_lowercase()));
        let item = self.item(&prepared.plan, wanted.item.as_deref()).await?;
        let date = wanted.logical_date.as_deref();
        let dated = match &item {
            None => which(&prepared.plan, date, now, id),
            Some(item) => which_of_case(&prepared.plan, item.case.as_deref(), date, now, id),
        };
        let new = match dated {
            Ok(Ok(new)) => match &item {
                Some(item) => NewRun { run_id: format!("{}-{}", item.key, new.run_id), ..new },
                None => new,
            },
            Ok(Err(WhichError::Wrong(problem))) => {
                return Err(Problem::wrong(problem, "name a date such as 1997-01-05, or a moment").into());
            }
            Ok(Err(WhichError::NoneComplete)) => {
                let detail = "no data interval of the schedule is complete yet";
                return Err(Problem::wrong(detail, "name one with 'logical_date'").into());
            }
            Err(never) => match never {},
        };
        let key = idempotency_key(request)?;
        let digest = sha256_hex(json!([record.pipeline, given(request)]).to_string());
        let (new, mark, repeated) = match key {
            None => (new, None, false),
            Some(key) => {
                let mark = sha256_hex(json!([caller.name, record.pipeline, key]).to_string());
                let (kept, repeated) =
                    self.keep(&mark, Kept { request: digest.clone(), run: new }, now).await?;
                if kept.request != digest {
                    let detail = "the idempotency key was given to another request";
                    return Err(Problem::wrong(detail, "take a new key for a new request").into());
                }
                (kept.run, Some(mark), repeated)
            }
        };
        let name = RunRef { pipeline: record.pipeline.clone(), run_id: new.run_id.clone() };
        let known = look::run(self.place.table(), &name).await?;
        if let Some(run) = &known
            && repeated
            && mark.is_some()
            && run.trigger.detail.get("idempotency") == mark.as_ref().map(|mark| json!(mark)).as_ref()
        {
            let mut answer = started(run, 200);
            answer.headers.push(("idempotency-replayed", "true".to_owned()));
            return Ok(answer);
        }
        let existing = match &known {
            None => Existing::Refuse,
            Some(run) if wanted.again && run.status.is_terminal() => Existing::Next(Again::All),
            Some(run) => return Err(exists(run).into()),
        };
        let mut detail = Map::new();
        if let Some(mark) = mark {
            detail.insert("idempotency".into(), mark.into());
        }
        let detail = if detail.is_empty() { Json::Null } else { Json::Object(detail) };
        let version = Version::deployed(&record, &name.run_id);
        let prepared = self.place.plan(&record.pipeline, version.name).await?;
        if wanted.only.as_ref().is_some_and(|task| prepared.find(task).is_none()) {
            return Err(no_such_task(&prepared).into());
        }
        let item = item.zip(prepared.plan.matrix.as_ref()).map(|(item, matrix)| item.of_run(matrix));
        let asked = ask::Request {
            new,
            params: Some(params),
            trigger: TriggerRecord { kind: TriggerKind::Manual, by: Some(caller.by()), detail, item },
            existing,
            only: wanted.only,
        };
        self.command(asked.command(&record.pipeline, &version)).await?;
        let run = look::run(self.place.table(), &name).await?.ok_or_else(no_run)?;
        Ok(started(&run, 201))
    }

    /// The item of the matrix that a run is for; a run of a matrix always is for one.
    async fn item(&self, plan: &Plan, key: Option<&str>) -> Result<Option<ItemRecord>, Failed> {
        let pipeline = &plan.pipeline;
        match (&plan.matrix, key) {
            (None, None) => Ok(None),
            (None, Some(_)) => {
                let detail = format!("{pipeline} has no matrix, so there are no items");
                Err(Problem::wrong(detail, "leave 'item' out").into())
            }
            (Some(_), None) => {
                let detail = format!("the runs of {pipeline} are each for an item of its matrix");
                Err(Problem::wrong(detail, "name one with 'item'").into())
            }
            (Some(_), Some(key)) => {
                let found = look::matrix_item(self.place.table(), plan, key).await?;
                let unknown = || {
                    let detail = format!("the list of {pipeline} has no item '{key}'");
                    Problem::wrong(detail, "add it to the file of the matrix; then 'cauce sync'")
                };
                Ok(Some(found.ok_or_else(unknown)?))
            }
        }
    }

    /// What a key stands for: this request, unless it was given before.
    async fn keep(&self, mark: &str, kept: Kept, now: Instant) -> Result<(Kept, bool), Failed> {
        let key = Key::new("idem#api", mark);
        let mut body = kept.body();
        // Two equal requests of one instant are two: equal writes would count as one write repeated.
        body.insert("told_as".into(), self.place.unique(now).into());
        let mut item = Item::new(key.clone(), body);
        item.expires_at = Some(now.plus_seconds(KEY_KEPT_SECONDS));
        match self.write(&[Write::Put { item, expect: Expect::Absent }]).await {
            Ok(()) => return Ok((kept, false)),
            Err(TableError::Condition { .. } | TableError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
        let known = self.place.table().get(&key).await?;
        let known = known.as_ref().and_then(Kept::of);
        Ok((known.ok_or_else(|| Failed::Trouble("an idempotency key is gone".to_owned()))?, true))
    }

    pub(super) async fn cancel_run(&self, request: &Request, caller: &Caller) -> Result<Answer, Failed> {
        query(request, &[])?;
        let wanted: CancelRun = body(request)?;
        let reason = wanted.reason.unwrap_or_else(|| format!("cancelled by {}", caller.by()));
        short(&reason)?;
        let run = self.run(request).await?;
        if run.status.is_terminal() {
            return Err(ended(&run).into());
        }
        let command = Command::Cancel { run_key: run.key(), generation: None, reason, by: Some(caller.by()) };
        let told = self.command(command).await?;
        Ok(document(202, &told))
    }

    pub(super) async fn rerun_run(&self, request: &Request, caller: &Caller) -> Result<Answer, Failed> {
        query(request, &[])?;
        let wanted: RerunRun = body(request)?;
        let again = match (wanted.task, wanted.only) {
            (Some(_), Some(_)) => {
                return Err(Problem::wrong("'task' and 'only' exclude each other", "give one of them").into());
            }
            (None, _) if wanted.downstream => {
                return Err(Problem::wrong("'downstream' is of a 'task'", "name the task as well").into());
            }
            (None, _) if wanted.items.is_some() => {
                return Err(Problem::wrong("'items' are of a 'task'", "name the task as well").into());
            }
            _ if wanted.items.as_ref().is_some_and(Vec::is_empty) => {
                return Err(Problem::wrong("'items' names none", "leave it out for all of them").into());
            }
            (Some(task), None) => {
                let items = wanted.items.unwrap_or_default();
                Again::Task { task, items, downstream: wanted.downstream }
            }
            (None, Some(task)) => Again::Only { task },
            (None, None) => Again::Failed,
        };
        let run = self.run(request).await?;
        if !run.status.is_terminal() {
            let detail = format!("the run is {}", run.status);
            return Err(Problem::conflict(detail, "wait until it has ended, or cancel it").into());
        }
        let newest: Option<PipelineRecord> = match wanted.latest_version {
            true => Some(self.pipeline(&run.run.pipeline).await?),
            false => None,
        };
        let version = match &newest {
            Some(record) => Version::deployed(record, &run.run.run_id),
            None => Version::only(&run.version),
        };
        let prepared = self.place.plan(&run.run.pipeline, version.name).await?;
        if let Again::Task { task, .. } | Again::Only { task } = &again
            && prepared.find(task).is_none()
        {
            return Err(no_such_task(&prepared).into());
        }
        let how = How { force: wanted.force, latest: wanted.latest_version, start: true };
        self.command(ask::next(&run, &version, Existing::Next(again), how, caller.by())).await?;
        Ok(started(&self.run(request).await?, 202))
    }

    pub(super) async fn mark_task(&self, request: &Request, caller: &Caller) -> Result<Answer, Failed> {
        query(request, &[])?;
        let wanted: MarkTask = body(request)?;
        let (run, task) = self.task(request).await?;
        if !run.status.is_terminal() {
            let detail = format!("the run is {}: its tasks say themselves how they end", run.status);
            return Err(Problem::conflict(detail, "cancel it first").into());
        }
        let success = matches!(wanted.status, MarkAs::Success);
        let told = self.command(Command::Mark { run_key: run.key(), task, success, by: caller.by() }).await?;
        Ok(document(200, &told))
    }

    pub(super) async fn answer_task(
        &self,
        request: &Request,
        caller: &Caller,
        approved: bool,
    ) -> Result<Answer, Failed> {
        query(request, &[])?;
        let wanted: AnswerTask = body(request)?;
        short(&wanted.comment)?;
        let (run, task) = self.task(request).await?;
        let (run_key, by, comment) = (run.key(), caller.by(), wanted.comment);
        let told = self.command(Command::Approve(Approve { run_key, task, approved, by, comment })).await?;
        Ok(document(200, &told))
    }

    async fn run(&self, request: &Request) -> Result<RunRecord, Failed> {
        Ok(look::run(self.place.table(), &run_of(request)?).await?.ok_or_else(no_run)?)
    }

    async fn task(&self, request: &Request) -> Result<(RunRecord, String), Failed> {
        let run = self.run(request).await?;
        let prepared = self.place.plan(&run.run.pipeline, &run.version).await?;
        let task = request.part("task");
        if prepared.find(task).is_none() {
            return Err(no_task().into());
        }
        Ok((run, task.to_owned()))
    }

    /// Carries out a command; a refusal is the caller's.
    pub(super) async fn command(&self, command: Command) -> Result<Json, Failed> {
        match self.place.execute(command).await? {
            Reply::Ok(told) => Ok(told),
            Reply::None => Ok(json!({})),
            Reply::Failure { error, cause } if error == names::UNAVAILABLE => Err(Failed::Trouble(cause)),
            Reply::Failure { cause, .. } => {
                Err(Problem::conflict(cause, "look at the run again: it may have changed meanwhile").into())
            }
        }
    }
}

/// What was asked for, whatever its spaces: the same request has the same digest.
fn given(request: &Request) -> Json {
    serde_json::from_slice(&request.body).unwrap_or(Json::Null)
}

fn idempotency_key(request: &Request) -> Result<Option<&str>, Problem> {
    let Some(value) = request.headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| !text.is_empty() && text.len() <= KEY_BYTES_MAX);
    let text = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
    text.map(Some).ok_or_else(|| {
        let help = format!("give 1 to {KEY_BYTES_MAX} visible characters, such as a UUID");
        Problem::malformed("the idempotency key cannot be used", help)
    })
}

fn params(prepared: &Prepared, given: &Map<String, Json>) -> Result<Json, Problem> {
    let declared = prepared.plan.params.iter().map(|(name, spec)| (name.as_str(), spec));
    cauce_model::params::validate(declared, given).map(Json::Object).map_err(|problems| {
        let errors = problems.iter().map(ToString::to_string).collect();
        let help = "GET /v1/pipelines/{pipeline} tells the parameters that it declares";
        Problem::wrong("the parameters are not those of the pipeline", help).errors(errors)
    })
}

fn short(text: &str) -> Result<(), Problem> {
    if text.len() <= COMMENT_BYTES_MAX {
        return Ok(());
    }
    let detail = format!("the text has more than {COMMENT_BYTES_MAX} bytes");
    Err(Problem::wrong(detail, "say it shorter, or name a place where it is written"))
}

fn no_such_task(prepared: &Prepared) -> Problem {
    let names: Vec<&str> = prepared.plan.tasks.iter().map(|task| task.name.as_str()).collect();
    Problem::wrong("the pipeline's version has no such task", format!("its tasks are {}", names.join(", ")))
}

fn exists(run: &RunRecord) -> Problem {
    let help = match run.status.is_terminal() {
        true => {
            "rerun it, or send 'again': true to run all its tasks again; 'logical_date' names another run"
        }
        false => "wait until it has ended, or cancel it; 'logical_date' names another run",
    };
    Problem::conflict(format!("{} exists and is {}", run.run, run.status), help)
}

fn ended(run: &RunRecord) -> Problem {
    Problem::conflict(format!("{} has ended: {}", run.run, run.status), "there is nothing left to end")
}

/// A run that was started, and where it is.
fn started(run: &RunRecord, status: u16) -> Answer {
    let mut answer = document(status, &summary(run));
    let location = format!("/v1/pipelines/{}/runs/{}", run.run.pipeline, run.run.run_id);
    answer.headers.push(("location", location));
    answer
}

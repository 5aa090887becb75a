//! A deployed environment as the place that the API is served in.

use cauce_api::{Access, LogPart, LogRequest, Place, Trouble};
use cauce_engine::{Command, Prepared, Reply};
use cauce_lambda::Function;
use cauce_lambda::aws::logs::LogsError;
use cauce_lambda::aws::{Adapters, Secrets};
use cauce_model::Instant;
use cauce_model::plan::TaskKind;
use cauce_ports::{Clock, Ids, Objects, Services};
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// The document with the keys.
const ACCESS: &str = "api.json";

/// Most bytes of it.
const ACCESS_BYTES_MAX: u64 = 1024 * 1024;

/// For how long keys and secrets are kept: what was taken away opens nothing after this time.
const KEPT_SECONDS: u64 = 60;

/// Lines of a log in one answer.
const LOG_LINES_MAX: u32 = 1000;

/// What is kept of the outside for a while.
#[derive(Default)]
pub(crate) struct Caches {
    secrets: OnceCell<Secrets>,
    access: RefCell<Option<(Instant, Rc<Access>)>>,
    values: RefCell<BTreeMap<String, (Instant, Option<String>)>>,
}

/// A deployed environment.
pub(crate) struct Deployed<'a> {
    function: &'a Function,
    caches: &'a Caches,
}

impl<'a> Deployed<'a> {
    pub(crate) const fn new(function: &'a Function, caches: &'a Caches) -> Self {
        Self { function, caches }
    }

    fn adapters(&self) -> &Adapters {
        self.function.adapters()
    }
}

impl Place for Deployed<'_> {
    type Table = <Adapters as Services>::Table;
    type Objects = <Adapters as Services>::Objects;
    type Clock = <Adapters as Services>::Clock;

    fn table(&self) -> &Self::Table {
        self.adapters().table()
    }

    fn objects(&self) -> &Self::Objects {
        self.adapters().objects()
    }

    fn clock(&self) -> &Self::Clock {
        self.adapters().clock()
    }

    fn unique(&self, now: Instant) -> String {
        self.adapters().ids().ulid(now)
    }

    async fn execute(&self, command: Command) -> Result<Reply, Trouble> {
        self.function.execute(&command).await.map_err(|failure| Trouble(failure.to_string()))
    }

    async fn plan(&self, pipeline: &str, version: &str) -> Result<Arc<Prepared>, Trouble> {
        self.function.driver().plan(pipeline, version).await.map_err(|error| Trouble::of(&error))
    }

    async fn access(&self) -> Result<Rc<Access>, Trouble> {
        let now = self.clock().now();
        if let Some((until, access)) = &*self.caches.access.borrow()
            && now < *until
        {
            return Ok(Rc::clone(access));
        }
        let uri = self.adapters().environment().document(ACCESS);
        let bytes = self.objects().get(&uri, ACCESS_BYTES_MAX).await.map_err(|error| Trouble::of(&error))?;
        let access = match bytes {
            None => Access::default(),
            Some(bytes) => {
                serde_json::from_slice(&bytes).map_err(|error| Trouble(format!("{uri}: {error}")))?
            }
        };
        let access = Rc::new(access);
        *self.caches.access.borrow_mut() = Some((now.plus_seconds(KEPT_SECONDS), Rc::clone(&access)));
        Ok(access)
    }

    async fn secret(&self, reference: &str) -> Result<Option<String>, Trouble> {
        let now = self.clock().now();
        if let Some((until, value)) = self.caches.values.borrow().get(reference)
            && now < *until
        {
            return Ok(value.clone());
        }
        let secrets = self.caches.secrets.get_or_init(|| self.adapters().secrets());
        let value = secrets.text(reference).await.map_err(|error| Trouble::of(&error))?;
        let kept = (now.plus_seconds(KEPT_SECONDS), value.clone());
        self.caches.values.borrow_mut().insert(reference.to_owned(), kept);
        Ok(value)
    }

    async fn log(&self, request: LogRequest<'_>) -> Result<Option<LogPart>, Trouble> {
        let run = &request.view.run.run;
        let plan = request.view.prepared.find(&request.record.task).map(|(_, plan)| &plan.kind);
        // The stream of an attempt under way is known to nobody but ECS.
        let (Some(TaskKind::Container(_)), Some(stream)) = (plan, &request.attempt.log) else {
            return Ok(None);
        };
        let group = format!("/cauce/{}/{}", self.function.prefix(), run.pipeline);
        match self.adapters().logs().read(&group, stream, request.after, LOG_LINES_MAX).await {
            Ok(page) => {
                let text = page.events.iter().map(|event| format!("{}\n", event.text)).collect();
                Ok(Some(LogPart { text, next: page.next, more: !page.at_end }))
            }
            Err(LogsError::NoLog { .. }) => Ok(None),
            Err(error) => Err(Trouble::of(&error)),
        }
    }

    fn warn(&self, message: &str) {
        tracing::warn!("{message}");
    }
}

//! A place without AWS and without files, with two pipelines and five keys.

use axum::body::{Body, to_bytes};
use axum::http::{Request, Response};
use cauce_api::{Access, AccessKey, Desk, LogPart, LogRequest, Place, Scope, Trouble};
use cauce_driver::{Driver, plan_uri};
use cauce_engine::matrix::Listed;
use cauce_engine::{Command, Prepared, Reply, Settings};
use cauce_local::memory::MemoryTable;
use cauce_model::audit::audit_partition;
use cauce_model::event::{LedgerRecord, ledger_partition};
use cauce_model::matrix::MatrixPlan;
use cauce_model::record::{PipelineRecord, Record, RunRecord, run_item};
use cauce_model::{AuditRecord, Expect, Instant, Json, RunRef, Write};
use cauce_ports::{Objects, Services, Table};
use cauce_spec::Project;
use cauce_testkit::stage::Stage;
use serde_json::json;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

const SALES: &str = r#"
pipeline: sales
params:
  region: {type: string, enum: [LATAM, NA], default: NA}
  rows: {type: integer, minimum: 1, maximum: 1000, default: 10}
triggers:
  - webhook: {key: "secret:hooks/sales", previous_key: "secret:hooks/sales_old", params: {region: "{{ body.region }}", rows: "{{ body.rows | default(10) }}"}}
  - webhook: {path: push, key: "secret:hooks/sales", style: github, logical_date: "{{ body.date }}"}
  - webhook: {path: slack, key: "secret:hooks/sales", style: slack, params: {region: "{{ body.text }}"}}
  - webhook: {path: meta, key: "secret:hooks/sales", style: meta, verify_token: "secret:hooks/meta"}
  - webhook: {path: unready, key: "secret:hooks/none"}
tasks:
  load: {pass: {}}
  check: {needs: [load], pass: {}}
"#;

const NIGHTLY: &str = r#"
pipeline: nightly
schedule: {cron: "0 2 * * *", timezone: UTC}
tasks:
  load: {pass: {}}
"#;

const SYMBOLS: &str = r#"
pipeline: symbols
matrix: {as: symbol, from: symbols.csv, key: ticker}
schedule: {select: risk, timezone: UTC, cases: {high: "0 * * * *", low: "0 2 * * *"}}
tasks:
  check: {pass: {output: {ticker: "{{ symbol.ticker }}"}}}
"#;

/// The moment at which every test begins.
pub(crate) const NOW: &str = "2024-05-06T07:08:09Z";

const DOCUMENTS: &str = "mem://documents";

/// The token of a key.
pub(crate) fn token(name: &str) -> String {
    format!("{name}-token-of-a-fair-length")
}

/// What signs webhooks.
pub(crate) const HOOK_KEY: &str = "a key that signs calls";

/// The one before it.
pub(crate) const HOOK_KEY_OLD: &str = "the key before it";

/// What Meta shows.
pub(crate) const META_TOKEN: &str = "a token that was agreed on";

pub(crate) struct Here {
    driver: Driver<Stage<MemoryTable>>,
    access: Rc<Access>,
    secrets: RefCell<BTreeMap<String, String>>,
    made: Cell<u32>,
    pub(crate) warned: RefCell<Vec<String>>,
}

impl Place for &Here {
    type Table = MemoryTable;
    type Objects = Stage<MemoryTable>;
    type Clock = Stage<MemoryTable>;

    fn table(&self) -> &MemoryTable {
        self.driver.services().table()
    }
    fn objects(&self) -> &Stage<MemoryTable> {
        self.driver.services()
    }
    fn clock(&self) -> &Stage<MemoryTable> {
        self.driver.services()
    }
    fn unique(&self, _: Instant) -> String {
        self.made.set(self.made.get() + 1);
        format!("{:026}", self.made.get())
    }
    async fn execute(&self, command: Command) -> Result<Reply, Trouble> {
        self.driver.execute(&command).await.map_err(|error| Trouble::of(&error))
    }
    async fn plan(&self, pipeline: &str, version: &str) -> Result<Arc<Prepared>, Trouble> {
        self.driver.plan(pipeline, version).await.map_err(|error| Trouble::of(&error))
    }
    async fn access(&self) -> Result<Rc<Access>, Trouble> {
        Ok(Rc::clone(&self.access))
    }
    async fn secret(&self, reference: &str) -> Result<Option<String>, Trouble> {
        Ok(self.secrets.borrow().get(reference).cloned())
    }
    async fn log(&self, request: LogRequest<'_>) -> Result<Option<LogPart>, Trouble> {
        let text = format!("attempt {} of {}\n", request.attempt.number, request.record.task);
        Ok(Some(LogPart { text, next: "1".to_owned(), more: false }))
    }
    fn warn(&self, message: &str) {
        self.warned.borrow_mut().push(message.to_owned());
    }
}

/// Runs a future of ports in memory, which are ready at once.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

impl Here {
    pub(crate) fn new() -> Self {
        let stage = Stage::new(MemoryTable::new(), Instant::parse(NOW).unwrap());
        let settings = Settings { documents: DOCUMENTS.to_owned(), ..Settings::default() };
        let key = |name: &str, scopes: &[Scope], pipelines: Option<&[&str]>| {
            let key = AccessKey {
                secret: format!("secret:api/{name}"),
                previous: (name == "ops").then(|| "secret:api/ops_old".to_owned()),
                scopes: scopes.to_vec(),
                pipelines: pipelines.map(|names| names.iter().map(|&name| name.to_owned()).collect()),
            };
            (name.to_owned(), key)
        };
        let keys = BTreeMap::from([
            key("ops", &Scope::ALL, None),
            key("reader", &[Scope::RunsRead, Scope::PipelinesRead], None),
            key("sales", &Scope::ALL, Some(&["sales"])),
            key("short", &Scope::ALL, None),
            key("gone", &Scope::ALL, None),
        ]);
        let mut secrets: BTreeMap<String, String> = ["ops", "reader", "sales", "ops_old"]
            .iter()
            .map(|name| (format!("secret:api/{name}"), token(name)))
            .collect();
        secrets.insert("secret:api/short".into(), "guess-me".into());
        secrets.insert("secret:hooks/sales".into(), HOOK_KEY.into());
        secrets.insert("secret:hooks/sales_old".into(), HOOK_KEY_OLD.into());
        secrets.insert("secret:hooks/meta".into(), META_TOKEN.into());
        let here = Self {
            driver: Driver::new(stage, settings),
            access: Rc::new(Access { keys }),
            secrets: RefCell::new(secrets),
            made: Cell::new(0),
            warned: RefCell::default(),
        };
        for yaml in [SALES, NIGHTLY] {
            here.deploy(yaml);
        }
        here
    }

    /// Deploys a pipeline with two items: one whose runs are of days, one whose are of hours.
    pub(crate) fn deploy_symbols(&self) {
        self.deploy(SYMBOLS);
        let item = |key: &str, case: &str| Listed {
            key: key.to_owned(),
            case: Some(case.to_owned()),
            fields: json!({"ticker": key, "risk": case}).as_object().cloned().unwrap(),
        };
        let matrix = MatrixPlan {
            name: "symbol".into(),
            key: "ticker".into(),
            select: Some("risk".into()),
            ..MatrixPlan::default()
        };
        let list = [item("AAPL", "high"), item("T", "low")];
        wait(self.driver.sync("symbols", &matrix, &list, Some("ana"), false)).unwrap();
    }

    fn deploy(&self, yaml: &str) {
        let project = Project::none();
        let (pipeline, diagnostics) = cauce_spec::check(yaml.as_bytes(), &project);
        let pipeline = pipeline.unwrap_or_else(|| panic!("{diagnostics:?}"));
        let compiled = cauce_compiler::compile(&pipeline, &project).unwrap();
        let (name, version) = (compiled.plan.pipeline.clone(), compiled.version().to_owned());
        let record = PipelineRecord::new(name.clone(), version.clone(), name.clone());
        let plan = serde_json::to_vec(&compiled.plan).unwrap();
        wait(async {
            self.objects().put(&plan_uri(DOCUMENTS, &name, &version), &plan).await.unwrap();
            self.put(vec![Write::Put { item: record.row(), expect: Expect::Any }]).await;
        });
    }

    fn objects(&self) -> &Stage<MemoryTable> {
        self.driver.services()
    }

    pub(crate) async fn put(&self, writes: Vec<Write>) {
        let token = cauce_model::ids::sha256_hex(serde_json::to_vec(&writes).unwrap());
        self.driver.services().table().write(&writes, &token[..36]).await.unwrap();
    }

    pub(crate) fn now(&self) -> Instant {
        self.driver.services().now()
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.driver.services().pass(seconds);
    }

    pub(crate) fn rotate(&self, reference: &str, value: &str) {
        self.secrets.borrow_mut().insert(reference.to_owned(), value.to_owned());
    }

    pub(crate) fn execute(&self, command: &Command) -> Reply {
        wait(self.driver.execute(command)).unwrap()
    }

    pub(crate) fn runs(&self) -> Vec<RunRecord> {
        let mut runs = Vec::new();
        wait(cauce_driver::look::runs(self.driver.services().table(), None, |run| runs.push(run))).unwrap();
        runs
    }

    /// Sets how a run stands, as its execution would have.
    pub(crate) fn change(&self, name: &str, change: impl FnOnce(&mut RunRecord)) {
        let (pipeline, run_id) = name.split_once('/').unwrap();
        let key = run_item(&RunRef { pipeline: pipeline.into(), run_id: run_id.into() }.key());
        wait(async {
            let item = self.driver.services().table().get(&key).await.unwrap().unwrap();
            let mut run = RunRecord::from_item(&item).unwrap();
            change(&mut run);
            let mut changed = item.clone();
            changed.body = run.to_body();
            self.put(vec![Write::Put { item: changed, expect: Expect::Version(item.version) }]).await;
        });
    }

    pub(crate) fn audit(&self) -> Vec<AuditRecord> {
        let day = &NOW[..10];
        let items =
            wait(cauce_driver::look::range(self.driver.services().table(), &audit_partition(day), ""));
        items.unwrap().iter().map(|item| AuditRecord::from_item(item).unwrap()).collect()
    }

    pub(crate) fn ledger(&self) -> Vec<LedgerRecord> {
        let day = &NOW[..10];
        let items =
            wait(cauce_driver::look::range(self.driver.services().table(), &ledger_partition(day), ""));
        let mut entries: Vec<LedgerRecord> =
            items.unwrap().iter().map(|item| LedgerRecord::from_item(item).unwrap()).collect();
        entries.sort_by_key(|entry| (entry.decided_at, entry.identity.clone()));
        entries
    }

    /// Everything that the store holds, as one text: what must not be in it is looked for here.
    pub(crate) fn everything(&self) -> String {
        let items = self.driver.services().table().items();
        serde_json::to_string(&items.iter().map(|item| (&item.key, &item.body)).collect::<Vec<_>>()).unwrap()
    }
}

/// What came of a request.
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) text: String,
}

impl Told {
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Holds a problem to its shape.
    pub(crate) fn problem(&self, status: u16) -> Json {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        for field in ["type", "title", "detail", "help"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
        problem
    }
}

/// A router and its desk.
pub(crate) struct Api<'a>(Desk<&'a Here>);

impl<'a> Api<'a> {
    pub(crate) fn new(here: &'a Here) -> Self {
        Self(Desk::new(here, Rc::default()))
    }

    pub(crate) fn send(&self, request: Request<Body>) -> Told {
        wait(async {
            let response: Response<Body> = self.0.respond(request).await;
            let (head, body) = response.into_parts();
            let bytes = to_bytes(body, 10_000_000).await.unwrap();
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            Told { status: head.status.as_u16(), headers: head.headers, text }
        })
    }

    pub(crate) fn get(&self, path: &str) -> Told {
        self.send(as_key("ops", Request::get(path)).body(Body::empty()).unwrap())
    }

    pub(crate) fn post(&self, path: &str, body: &Json) -> Told {
        self.post_as("ops", path, body)
    }

    pub(crate) fn post_as(&self, key: &str, path: &str, body: &Json) -> Told {
        let request = as_key(key, Request::post(path)).header("content-type", "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap())
    }

    /// Starts a run; its name.
    pub(crate) fn start(&self, pipeline: &str) -> String {
        let told = self.post(&format!("/v1/pipelines/{pipeline}/runs"), &json!({}));
        assert_eq!(told.status, 201, "{}", told.text);
        format!("{pipeline}/{}", told.json()["run_id"].as_str().unwrap())
    }
}

pub(crate) fn as_key(key: &str, request: axum::http::request::Builder) -> axum::http::request::Builder {
    request.header("authorization", format!("Bearer {}", token(key)))
}

/// The address of a run.
pub(crate) fn address(name: &str) -> String {
    let (pipeline, run_id) = name.split_once('/').unwrap();
    format!("/v1/pipelines/{pipeline}/runs/{run_id}")
}

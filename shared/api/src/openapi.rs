//! The OpenAPI document, made of the routes and of the types that requests are read with. It is committed as
//! docs/reference/openapi.json, from where the program takes it; `make bless` writes it anew.

use crate::routes::{Operation, ROUTES, Verb};
use crate::shapes::{AnswerTask, CancelRun, MarkTask, RerunRun, StartRun};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value as Json, json};

/// What a request's body is made of, where it has one.
fn body(operation: Operation, schemas: &mut SchemaGenerator) -> Option<Json> {
    fn of<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Json {
        schemas.subschema_for::<T>().to_value()
    }
    Some(match operation {
        Operation::StartRun => of::<StartRun>(schemas),
        Operation::CancelRun => of::<CancelRun>(schemas),
        Operation::RerunRun => of::<RerunRun>(schemas),
        Operation::MarkTask => of::<MarkTask>(schemas),
        Operation::ApproveTask | Operation::RejectTask => of::<AnswerTask>(schemas),
        Operation::Hook | Operation::NamedHook => json!({}),
        _ => return None,
    })
}

fn refer(name: &str) -> Json {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// What a request is answered with when all is well: status, media type, schema.
fn good(operation: Operation) -> Vec<(&'static str, &'static str, Json)> {
    let json_of = |status, name: &str| vec![(status, "application/json", refer(name))];
    match operation {
        Operation::Alive | Operation::Ready => json_of("200", "Status"),
        Operation::Description => vec![("200", "application/json", json!({"type": "object"}))],
        Operation::Metrics => vec![("200", "text/plain", json!({"type": "string"}))],
        Operation::ListPipelines => json_of("200", "Pipelines"),
        Operation::ShowPipeline => json_of("200", "Pipeline"),
        Operation::Pause | Operation::Unpause => json_of("200", "Paused"),
        Operation::StartRun => [json_of("200", "RunSummary"), json_of("201", "RunSummary")].concat(),
        Operation::ListRuns => json_of("200", "Runs"),
        Operation::ShowRun => json_of("200", "Run"),
        Operation::CancelRun => json_of("202", "Status"),
        Operation::RerunRun => json_of("202", "RunSummary"),
        Operation::MarkTask => json_of("200", "Status"),
        Operation::ApproveTask | Operation::RejectTask => json_of("200", "Answer"),
        Operation::ReadLog => json_of("200", "Log"),
        Operation::Hook | Operation::NamedHook => {
            let mut both = [json_of("200", "Became"), json_of("202", "Became")].concat();
            both.insert(1, ("200", "text/plain", json!({"type": "string"})));
            both
        }
        Operation::ConfirmHook | Operation::ConfirmNamedHook => {
            vec![("200", "text/plain", json!({"type": "string"}))]
        }
    }
}

/// Statuses of problems.
fn bad(operation: Operation) -> Vec<(&'static str, &'static str)> {
    let route = operation.route();
    let mut all = Vec::new();
    let named = route.path.contains('{');
    match operation {
        Operation::Alive | Operation::Description => return all,
        Operation::Ready => return vec![("503", "the store does not answer")],
        _ => {}
    }
    all.push(("400", "the request cannot be read"));
    if route.scope.is_some() {
        all.push(("401", "no key, or none of ours"));
        all.push(("403", "not what the key is for"));
    }
    if named {
        all.push(("404", "there is no such thing"));
    }
    let posts = route.verb == Verb::Post;
    match operation {
        Operation::Hook | Operation::NamedHook => all.push(("401", "not signed, or not as of now")),
        Operation::ConfirmHook | Operation::ConfirmNamedHook => {
            all.push(("403", "not the token agreed on"));
            all.push(("405", "the webhook confirms no address"));
        }
        Operation::ReadLog => all.push(("422", "what is asked for cannot be")),
        _ if posts => all.push(("409", "it stands in the way of something else")),
        _ => {}
    }
    if posts {
        all.push(("413", "too much in one request"));
        all.push(("415", "a body of another kind"));
        all.push(("422", "what is asked for cannot be"));
    }
    all.push(("503", "something behind the API does not answer"));
    all
}

fn parameters(operation: Operation) -> Vec<Json> {
    let path = operation.route().path;
    let mut all: Vec<Json> = ["pipeline", "run_id", "task", "hook"]
        .into_iter()
        .filter(|name| path.contains(&format!("{{{name}}}")))
        .map(|name| {
            let schema = match name {
                "run_id" => json!({"type": "string", "minLength": 1}),
                _ => json!({"type": "string", "pattern": "^[a-z][a-z0-9_]{0,62}$"}),
            };
            json!({"name": name, "in": "path", "required": true, "schema": schema})
        })
        .collect();
    let query = |name: &str, schema: Json, text: &str| json!({"name": name, "in": "query", "required": false, "description": text, "schema": schema});
    let statuses =
        json!({"type": "string", "enum": ["queued", "running", "success", "failed", "skipped", "cancelled"]});
    match operation {
        Operation::ListRuns => all.extend([
            query("pipeline", json!({"type": "string"}), "of this pipeline"),
            query("status", statuses, "that are this"),
            query(
                "since",
                json!({"type": "string", "format": "date-time"}),
                "made from this moment on; else within seven days",
            ),
            query(
                "limit",
                json!({"type": "integer", "minimum": 1, "maximum": 500, "default": 50}),
                "at most so many",
            ),
            query(
                "cursor",
                json!({"type": "string", "pattern": "^[0-9]{20}#[a-z2-7]{20}$"}),
                "the 'next' of the answer before; stands over 'since'",
            ),
        ]),
        Operation::ReadLog => all.extend([
            query(
                "attempt",
                json!({"type": "integer", "minimum": 1, "maximum": 1_000_000}),
                "the newest, unless told",
            ),
            query(
                "item",
                json!({"type": "integer", "minimum": 0, "maximum": 1_000_000}),
                "the item of a mapped task",
            ),
            query("after", json!({"type": "string"}), "the 'next' of the answer before"),
        ]),
        Operation::StartRun => all.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "the same key is the same run, for seven days",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        })),
        _ => {}
    }
    all
}

fn answers(operation: Operation) -> Json {
    let mut answers = Map::new();
    for (status, media, schema) in good(operation) {
        let entry = answers
            .entry(status)
            .or_insert_with(|| json!({"description": operation.route().summary, "content": {}}));
        entry["content"][media] = json!({"schema": schema});
    }
    for (status, text) in bad(operation) {
        answers.insert(
            status.to_owned(),
            json!({"description": text, "content": {"application/problem+json": {"schema": refer("Problem")}}}),
        );
    }
    Json::Object(answers)
}

fn schemas(schemas: &mut SchemaGenerator) -> Json {
    let moment = json!({"type": "string", "format": "date-time"});
    let perhaps = |schema: &Json| json!({"anyOf": [schema, {"type": "null"}]});
    let text = json!({"type": "string"});
    let object =
        |fields: Json, needed: &[&str]| json!({"type": "object", "properties": fields, "required": needed});
    let summary = json!({
        "run_id": text, "pipeline": text, "version": text, "generation": {"type": "integer"}, "status": text,
        "trigger": text, "logical_date": moment, "created_at": moment, "started_at": perhaps(&moment),
        "ended_at": perhaps(&moment), "message": perhaps(&text),
    });
    let mut run = summary.clone();
    for (name, schema) in [
        ("schema", json!({"const": 1})),
        ("interrupted", json!({"type": "boolean"})),
        ("triggered_by", perhaps(&text)),
        ("params", json!({"type": "object"})),
        ("data_interval_start", moment.clone()),
        ("data_interval_end", moment.clone()),
        ("history", json!({"type": "array", "items": {"type": "object"}})),
        (
            "tasks",
            json!({"type": "object", "additionalProperties": {"type": "object", "required": ["status", "attempts"]}}),
        ),
    ] {
        run[name] = schema;
    }
    let pipeline = json!({
        "pipeline": text, "version": text, "paused": {"type": "boolean"}, "paused_because": perhaps(&text),
        "next_tick": perhaps(&moment), "tasks": {"type": "integer"}, "params": {"type": "object"},
        "canary": perhaps(&object(json!({"version": text, "percent": {"type": "integer"}}), &["version", "percent"])),
    });
    let listed = |name: &str, of: &str| {
        object(
            json!({"schema": {"const": 1}, name: {"type": "array", "items": refer(of)}, "next": perhaps(&text)}),
            &["schema", name],
        )
    };
    let mut made = json!({
        "Status": object(json!({"status": text}), &["status"]),
        "Pipeline": object(pipeline, &["pipeline", "version", "paused", "tasks", "params"]),
        "Pipelines": listed("pipelines", "Pipeline"),
        "Paused": object(json!({"pipeline": text, "paused": {"type": "boolean"}}), &["pipeline", "paused"]),
        "RunSummary": object(summary, &["run_id", "pipeline", "version", "generation", "status"]),
        "Runs": listed("runs", "RunSummary"),
        "Run": object(run, &["schema", "run_id", "pipeline", "version", "generation", "status", "tasks"]),
        "Answer": object(json!({"decision": text, "by": text, "at": moment}), &["decision", "by", "at"]),
        "Log": object(json!({"text": text, "next": text, "more": {"type": "boolean"}}), &["text", "next", "more"]),
        "Became": object(json!({"became": text, "run": perhaps(&text), "reason": perhaps(&text)}), &["became"]),
        "Problem": object(
            json!({"type": text, "title": text, "status": {"type": "integer"}, "detail": text, "help": text,
                   "errors": {"type": "array", "items": text}}),
            &["type", "title", "status", "detail", "help"],
        ),
    });
    for (name, schema) in schemas.take_definitions(true) {
        made[name] = schema;
    }
    made
}

fn document() -> Json {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for route in ROUTES {
        let operation = route.operation;
        let mut described = json!({
            "operationId": operation.name(),
            "summary": route.summary,
            "parameters": parameters(operation),
            "responses": answers(operation),
        });
        described["security"] = match route.scope {
            Some(scope) => json!([{"key": [scope.as_str()]}]),
            None => json!([]),
        };
        if let Some(schema) = body(operation, &mut generator) {
            let needed = matches!(operation, Operation::MarkTask) || operation.is_hook();
            let mut content = json!({"application/json": {"schema": schema}});
            if operation == Operation::NamedHook || operation == Operation::Hook {
                content["application/x-www-form-urlencoded"] = json!({"schema": {"type": "object"}});
            }
            described["requestBody"] = json!({"required": needed, "content": content});
        }
        let verb = if route.verb == Verb::Get { "get" } else { "post" };
        let entry = paths.entry(route.path).or_insert_with(|| json!({}));
        entry[verb] = described;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "cauce",
            "version": "1",
            "description": "Runs, pipelines, approvals, metrics and webhooks of one environment.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas(&mut generator),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer",
                "description": "the secret of a key under 'api' in cauce.yaml"}},
        },
    })
}

#[test]
fn the_committed_document_is_the_one_that_the_code_makes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/openapi.json");
    let made = format!("{}\n", serde_json::to_string_pretty(&document()).unwrap());
    #[expect(clippy::disallowed_methods, reason = "how every generated file is written anew")]
    if std::env::var_os("CAUCE_BLESS").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(committed == made, "docs/reference/openapi.json is stale: run 'make bless'");
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let text = document.to_string();
    for part in text.split("\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
    }
}

//! Pipelines and runs: what is shown, what is changed, and what is wrong with a request.

use crate::served::{Api, Here, address, as_key, wait};
use axum::body::Body;
use axum::http::Request;
use cauce_model::record::{PipelineRecord, Record as _, TaskRecord, task_item};
use cauce_model::{Expect, Item, Json, RunStatus, Write};
use serde_json::json;

#[test]
fn pipelines_are_listed_with_their_parameters_and_next_tick() {
    let here = Here::new();
    let api = Api::new(&here);
    let listed = api.get("/v1/pipelines").json();
    let [nightly, sales] = listed["pipelines"].as_array().unwrap().as_slice() else { panic!("{listed}") };
    assert_eq!((&nightly["pipeline"], &sales["pipeline"]), (&json!("nightly"), &json!("sales")));
    assert_eq!(
        (&nightly["next_tick"], &sales["next_tick"]),
        (&json!("2024-05-07T02:00:00.000000Z"), &Json::Null)
    );
    assert_eq!(sales["params"]["rows"]["maximum"], 1000);
    let paused = api.post("/v1/pipelines/nightly/pause", &json!({}));
    assert_eq!(paused.json(), json!({"pipeline": "nightly", "paused": true}));
    let shown = api.get("/v1/pipelines/nightly").json();
    assert_eq!((&shown["paused"], &shown["next_tick"]), (&json!(true), &Json::Null));
    api.post("/v1/pipelines/nightly/unpause", &json!({}));
    assert_eq!(api.get("/v1/pipelines/nightly").json()["paused"], false);
    let record = PipelineRecord {
        paused: true,
        paused_because: Some("3 runs failed in a row".to_owned()),
        ..PipelineRecord::new("nightly".into(), nightly["version"].as_str().unwrap().into(), "nightly".into())
    };
    wait(here.put(vec![Write::Put { item: record.row(), expect: Expect::Any }]));
    let shown = api.get("/v1/pipelines/nightly").json();
    assert_eq!(
        (&shown["paused"], &shown["paused_because"]),
        (&json!(true), &json!("3 runs failed in a row"))
    );
    api.get("/v1/pipelines/none").problem(404);
    api.get("/v1/pipelines/No-Name").problem(404);
}

#[test]
fn a_run_is_started_with_its_parameters_and_shown_whole() {
    let here = Here::new();
    let api = Api::new(&here);
    let told = api.post("/v1/pipelines/sales/runs", &json!({"params": {"region": "LATAM"}}));
    assert_eq!(told.status, 201, "{}", told.text);
    let shown = api.get(told.header("location"));
    let shown = shown.json();
    assert_eq!(shown["params"], json!({"region": "LATAM", "rows": 10}));
    assert_eq!((&shown["trigger"], &shown["triggered_by"]), (&json!("manual"), &json!("api:ops")));
    assert_eq!(shown["tasks"]["check"]["waiting_for"], json!(["load"]));
    // The newest complete interval of the schedule, or the one that is named.
    assert_eq!(api.start("nightly"), "nightly/2024-05-05");
    let told = api.post("/v1/pipelines/nightly/runs", &json!({"logical_date": "2024-05-01"}));
    assert_eq!(told.json()["run_id"], "2024-05-01");
    api.post("/v1/pipelines/nightly/runs", &json!({"logical_date": "2024-05-01"})).problem(409);
}

#[test]
fn the_log_of_an_attempt_is_that_of_its_number() {
    let here = Here::new();
    let api = Api::new(&here);
    let run = api.start("sales");
    let run = run.strip_prefix("sales/").unwrap();
    let key = here.runs()[0].key();
    let attempt = |number: u32| {
        let (started_at, log) = (here.now(), format!("{number}.log"));
        json!({"number": number, "generation": 1, "started_at": started_at, "log": log})
    };
    let mut load = TaskRecord::new("load".to_owned(), None, 1);
    load.attempts = [1, 2].map(|number| serde_json::from_value(attempt(number)).unwrap()).into();
    let item = Item::new(task_item(&key, "load", None), load.to_body());
    wait(here.put(vec![Write::Put { item, expect: Expect::Any }]));
    let log = |query: &str| api.get(&format!("/v1/pipelines/sales/runs/{run}/tasks/load/log{query}"));
    assert_eq!(log("?attempt=1").json()["text"], "attempt 1 of load\n");
    assert_eq!(log("?attempt=2").json()["text"], "attempt 2 of load\n");
    assert_eq!(log("").json()["text"], "attempt 2 of load\n");
    log("?attempt=3").problem(404);
    log("?attempt=x").problem(400);
}

#[test]
fn a_run_of_a_matrix_is_an_items_and_dated_by_its_case() {
    let here = Here::new();
    here.deploy_symbols();
    let api = Api::new(&here);
    let path = "/v1/pipelines/symbols/runs";
    let started = |body: &Json| api.post(path, body).json()["run_id"].clone();
    assert_eq!(started(&json!({"item": "AAPL"})), "AAPL-2024-05-06T0600Z");
    assert_eq!(started(&json!({"item": "T"})), "T-2024-05-05");
    assert_eq!(started(&json!({"item": "T", "logical_date": "2024-05-01"})), "T-2024-05-01");
    let item = here.runs().into_iter().find_map(|run| run.trigger.item).unwrap();
    assert_eq!((item.name.as_str(), &item.fields["ticker"]), ("symbol", &json!(item.key)));
    // The same under a key that was given before, and no other item under it.
    let keyed = |item: &str| {
        let body = Body::from(json!({"item": item, "logical_date": "2024-05-02"}).to_string());
        let request = as_key("ops", Request::post(path)).header("content-type", "application/json");
        api.send(request.header("idempotency-key", "order-4711").body(body).unwrap())
    };
    assert_eq!((keyed("T").status, keyed("T").status), (201, 200));
    keyed("AAPL").problem(422);
    let count = here.runs().len();
    for (wrong, why) in [
        (json!({}), "each for an item"),
        (json!({"item": "MSFT"}), "has no item 'MSFT'"),
        (json!({"item": ""}), "has no item ''"),
    ] {
        let told = api.post(path, &wrong).problem(422);
        assert!(told["detail"].as_str().unwrap().contains(why), "{told}");
    }
    api.post("/v1/pipelines/nightly/runs", &json!({"item": "T"})).problem(422);
    assert_eq!(here.runs().len(), count);
}

#[test]
fn the_same_key_is_the_same_run_and_no_other_request() {
    let here = Here::new();
    let api = Api::new(&here);
    let send = |who: &str, pipeline: &str, key: &str, body: &Json| {
        let request = as_key(who, Request::post(format!("/v1/pipelines/{pipeline}/runs")));
        let request = request.header("content-type", "application/json").header("idempotency-key", key);
        api.send(request.body(Body::from(body.to_string())).unwrap())
    };
    let body = json!({"params": {"rows": 7}});
    let first = send("ops", "sales", "k1", &body);
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, ""));
    here.pass(3600);
    let again = send("ops", "sales", "k1", &body);
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, "true"));
    assert_eq!(first.json()["run_id"], again.json()["run_id"]);
    send("ops", "sales", "k1", &json!({"params": {"rows": 8}})).problem(422);
    // Keys are their holder's own.
    assert_eq!(send("sales", "sales", "k1", &body).status, 201);
    assert_eq!(here.runs().len(), 2);
    // Also where the date would be another one by now.
    let first = send("ops", "nightly", "k2", &json!({}));
    here.pass(86_400);
    let again = send("ops", "nightly", "k2", &json!({}));
    assert_eq!((first.status, again.status), (201, 200));
    assert_eq!(first.json()["run_id"], again.json()["run_id"]);
    // A run that somebody else made is not this request's.
    send("ops", "nightly", "k3", &json!({"logical_date": "2024-05-05"})).problem(409);
    send("ops", "nightly", "k3", &json!({"logical_date": "2024-05-05"})).problem(409);
    for bad in ["", " ", "a b", &"x".repeat(256)] {
        send("ops", "sales", bad, &body).problem(400);
    }
}

#[test]
fn runs_are_listed_in_pages_and_by_what_they_are() {
    let here = Here::new();
    let api = Api::new(&here);
    let names: Vec<String> = (0..7)
        .map(|_| {
            here.pass(1);
            api.start("sales")
        })
        .collect();
    here.change(&names[3], |run| run.status = RunStatus::Failed);
    let (mut listed, mut path) = (Vec::new(), "/v1/runs?limit=3".to_owned());
    loop {
        let page = api.get(&path).json();
        let runs = page["runs"].as_array().unwrap();
        assert!(runs.len() <= 3);
        listed.extend(runs.iter().map(|run| format!("sales/{}", run["run_id"].as_str().unwrap())));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/runs?limit=3&cursor={}", next.replace('#', "%23"));
    }
    assert_eq!(listed, names);
    let of = |query: &str| api.get(&format!("/v1/runs?{query}")).json()["runs"].as_array().unwrap().len();
    assert_eq!((of("status=failed"), of("status=queued"), of("pipeline=nightly")), (1, 6, 0));
    assert_eq!(of("since=2024-05-06T07:08:14Z"), 3);
    here.pass(8 * 86_400);
    assert_eq!((of(""), of("since=2024-05-01T00:00:00Z")), (0, 7));
    for bad in [
        "limit=0",
        "limit=501",
        "limit=x",
        "status=green",
        "since=today",
        "cursor=x",
        "page=2",
        "limit=1&limit=2",
        "cursor=00001714979289000000%23AAAAAAAAAAAAAAAAAAAA",
    ] {
        api.get(&format!("/v1/runs?{bad}")).problem(400);
    }
}

#[test]
fn runs_end_and_go_on_as_they_are_told() {
    let here = Here::new();
    let api = Api::new(&here);
    let run = api.start("sales");
    let at = address(&run);
    api.post(&format!("{at}/rerun"), &json!({})).problem(409);
    api.post(&format!("{at}/tasks/load/mark"), &json!({"status": "success"})).problem(409);
    assert_eq!(api.post(&format!("{at}/cancel"), &json!({"reason": "enough"})).status, 202);
    assert_eq!(api.get(&at).json()["message"], "enough");
    api.post(&format!("{at}/cancel"), &json!({})).problem(409);
    let marked = api.post(&format!("{at}/tasks/load/mark"), &json!({"status": "success"}));
    assert_eq!((marked.status, marked.json()), (200, json!({"status": "success"})));
    let again = api.post(&format!("{at}/rerun"), &json!({"task": "check", "downstream": true}));
    assert_eq!((again.status, &again.json()["generation"]), (202, &json!(2)));
    here.change(&run, |run| run.status = RunStatus::Failed);
    let again = api.post(&format!("{at}/rerun"), &json!({"latest_version": true}));
    assert_eq!(again.json()["generation"], 3);
    here.change(&run, |run| run.status = RunStatus::Failed);
    for (bad, status) in [
        (json!({"task": "none"}), 422),
        (json!({"task": "load", "only": "load"}), 422),
        (json!({"downstream": true}), 422),
        (json!({"items": [0]}), 422),
        (json!({"task": "load", "items": []}), 422),
        (json!({"task": "load", "items": [-1]}), 422),
        (json!({"task": "load", "items": [0]}), 409),
        (json!({"tasks": []}), 422),
    ] {
        api.post(&format!("{at}/rerun"), &bad).problem(status);
    }
    api.post(&format!("{at}/tasks/none/mark"), &json!({"status": "success"})).problem(404);
    api.post(&format!("{at}/tasks/load/mark"), &json!({"status": "green"})).problem(422);
    // No approval waits there.
    api.post(&format!("{at}/tasks/load/approve"), &json!({})).problem(409);
    api.post(&format!("{at}/tasks/load/reject"), &json!({"comment": "x".repeat(2049)})).problem(422);
    api.get(&format!("{at}/tasks/load/log")).problem(404);
    api.get(&format!("{at}/tasks/load/log?item=1")).problem(422);
    api.get(&format!("{at}/tasks/load/log?attempt=x")).problem(400);
    api.get(&format!("{at}/tasks/none/log")).problem(404);
    api.get("/v1/pipelines/sales/runs/none").problem(404);
    let actions: Vec<String> =
        here.audit().into_iter().filter(|e| e.action != "refuse").map(|e| e.action).collect();
    assert_eq!(actions.len(), 5, "{actions:?}");
}

#[test]
fn what_is_wrong_with_a_request_is_said_by_its_status_and_starts_nothing() {
    let here = Here::new();
    let api = Api::new(&here);
    let path = "/v1/pipelines/sales/runs";
    let send = |media: &str, body: Vec<u8>| {
        let request = as_key("ops", Request::post(path)).header("content-type", media);
        api.send(request.body(Body::from(body)).unwrap())
    };
    send("application/json", b"{".to_vec()).problem(400);
    send("application/json", vec![0xff, 0xfe]).problem(400);
    send("text/plain", b"{}".to_vec()).problem(415);
    send("application/json; charset=utf-8", b"[]".to_vec()).problem(422);
    send("application/json", vec![b' '; 64 * 1024 + 1]).problem(413);
    let endless = futures_util::stream::repeat_with(|| {
        Ok::<_, std::io::Error>(bytes::Bytes::from_static(&[b' '; 1024]))
    });
    let request = as_key("ops", Request::post(path)).header("content-type", "application/json");
    api.send(request.body(Body::from_stream(endless)).unwrap()).problem(413);
    let told =
        api.post(path, &json!({"params": {"rows": 0, "region": "MARS", "colour": "red"}})).problem(422);
    assert_eq!(told["errors"].as_array().unwrap().len(), 3, "{told}");
    api.post(path, &json!({"only": "none"})).problem(422);
    api.post(path, &json!({"logical_date": "tomorrow"})).problem(422);
    api.post(&format!("{path}?dry=1"), &json!({})).problem(400);
    api.post("/v1/pipelines/none/runs", &json!({})).problem(404);
    let told = api.send(as_key("ops", Request::delete(path)).body(Body::empty()).unwrap());
    told.problem(405);
    assert_eq!(told.header("allow"), "POST");
    api.get("/v2").problem(404);
    assert!(here.runs().is_empty());
}

#[test]
fn metrics_tell_runs_timers_pools_and_requests() {
    let here = Here::new();
    let api = Api::new(&here);
    let run = api.start("sales");
    here.change(&run, |run| run.status = RunStatus::Success);
    api.start("sales");
    let told = api.get("/metrics");
    assert_eq!(told.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        "cauce_runs_day{pipeline=\"sales\",status=\"success\"} 1",
        "cauce_runs_day{pipeline=\"sales\",status=\"queued\"} 1",
        "cauce_pipeline_paused{pipeline=\"nightly\"} 0",
        "cauce_late_seconds 0",
        "cauce_api_requests_total{operation=\"start_run\",status=\"2xx\"} 2",
    ] {
        assert!(told.text.lines().any(|told| told == line), "{line}\n{}", told.text);
    }
    let mut kinds = 0;
    for line in told.text.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').unwrap();
        value.parse::<u64>().unwrap();
        kinds += 1;
    }
    assert!(kinds > 8);
}

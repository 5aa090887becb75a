//! Who may do what, and what is kept of those who may not.

use crate::served::{Api, Here, NOW, address, as_key, token};
use axum::body::Body;
use axum::http::{Request, request::Builder};
use cauce_api::{Operation, ROUTES};
use cauce_model::Instant;
use serde_json::json;

fn get(builder: impl FnOnce(Builder) -> Builder) -> Request<Body> {
    builder(Request::get("/v1/runs")).body(Body::empty()).unwrap()
}

#[test]
fn whoever_has_no_key_sees_only_that_it_lives() {
    let here = Here::new();
    let api = Api::new(&here);
    for path in ["/healthz", "/readyz", "/openapi.json"] {
        assert_eq!(api.send(Request::get(path).body(Body::empty()).unwrap()).status, 200, "{path}");
    }
    let told = api.send(get(|request| request));
    told.problem(401);
    assert_eq!(told.header("www-authenticate"), "Bearer realm=\"cauce\"");
    for wrong in ["Basic b3BzOm9wcw==", "Bearer", "Bearer ", &token("ops")] {
        api.send(get(|request| request.header("authorization", wrong))).problem(401);
    }
    for unknown in [
        "x",
        "guess-me",
        "",
        "secret:api/ops",
        &token("gone"),
        &token("ops")[1..],
        &format!("{}x", token("ops")),
    ] {
        let told = api.send(get(|request| request.header("authorization", format!("Bearer {unknown}"))));
        told.problem(401);
    }
    let told = api.send(get(|request| request.header("authorization", "Bearer not-one-of-the-keys-here")));
    assert_eq!(told.header("www-authenticate"), "Bearer realm=\"cauce\", error=\"invalid_token\"");
    assert!(here.runs().is_empty());
}

#[test]
fn a_key_opens_what_its_scopes_name_and_nothing_else() {
    let here = Here::new();
    let api = Api::new(&here);
    let run = api.start("sales");
    for route in ROUTES.iter().filter(|route| route.scope.is_some()) {
        let path = route
            .path
            .replace("{pipeline}/runs/{run_id}", "{pipeline}/runs/none")
            .replace("{pipeline}", "sales")
            .replace("{task}", "load");
        let request = if matches!(route.verb, cauce_api::Verb::Get) {
            Request::get(&path)
        } else {
            Request::post(&path)
        };
        let told = api.send(as_key("reader", request).body(Body::empty()).unwrap());
        let read =
            [Operation::ListPipelines, Operation::ShowPipeline, Operation::ListRuns, Operation::ShowRun];
        if read.contains(&route.operation) {
            assert_ne!(told.status, 403, "{path}: {}", told.text);
        } else {
            told.problem(403);
            let scope = format!("scope=\"{}\"", route.scope.unwrap().as_str());
            assert!(told.header("www-authenticate").ends_with(&scope), "{path}");
        }
    }
    assert_eq!(
        api.send(as_key("reader", Request::get(address(&run))).body(Body::empty()).unwrap()).status,
        200
    );
}

#[test]
fn a_key_of_one_pipeline_sees_no_other() {
    let here = Here::new();
    let api = Api::new(&here);
    let (sales, nightly) = (api.start("sales"), api.start("nightly"));
    let get = |path: &str| api.send(as_key("sales", Request::get(path)).body(Body::empty()).unwrap());
    assert_eq!(get(&address(&sales)).status, 200);
    get(&address(&nightly)).problem(403);
    get("/v1/pipelines/nightly").problem(403);
    get("/v1/pipelines/unknown").problem(403);
    get("/metrics").problem(403);
    api.post_as("sales", "/v1/pipelines/nightly/runs", &json!({})).problem(403);
    let listed = get("/v1/pipelines").json();
    assert_eq!(listed["pipelines"].as_array().unwrap().len(), 1);
    let listed = get("/v1/runs").json();
    let names: Vec<&str> =
        listed["runs"].as_array().unwrap().iter().map(|run| run["pipeline"].as_str().unwrap()).collect();
    assert_eq!(names, ["sales"]);
    // Not by asking for it either.
    assert_eq!(get("/v1/runs?pipeline=nightly").json()["runs"], json!([]));
}

#[test]
fn two_secrets_of_a_key_are_as_good_and_one_that_is_taken_away_is_none() {
    let here = Here::new();
    let api = Api::new(&here);
    let with = |token: &str| {
        api.send(get(|request| request.header("authorization", format!("Bearer {token}")))).status
    };
    assert_eq!((with(&token("ops")), with(&token("ops_old"))), (200, 200));
    here.rotate("secret:api/ops_old", "the-next-token-of-the-key");
    assert_eq!((with(&token("ops")), with(&token("ops_old"))), (200, 401));
    assert_eq!(with("the-next-token-of-the-key"), 200);
}

#[test]
fn a_flood_of_refusals_leaves_a_line_a_minute_and_nothing_that_its_sender_chose() {
    let here = Here::new();
    let api = Api::new(&here);
    let before = here.audit().len();
    for n in 0..500 {
        let path = format!("/v1/pipelines/evil_{n}");
        let request =
            Request::get(path).header("authorization", format!("Bearer evil-token-number-{n}-of-many"));
        api.send(request.body(Body::empty()).unwrap()).problem(401);
        api.send(Request::post(format!("/hooks/evil_{n}")).body(Body::from("evil")).unwrap()).problem(404);
    }
    // A second process writes the same lines.
    let other = Api::new(&here);
    other.send(Request::get("/v1/pipelines/evil").body(Body::empty()).unwrap()).problem(401);
    let told: Vec<_> = here.audit().into_iter().skip(before).collect();
    let what: Vec<(&str, Option<&str>, String)> = told
        .iter()
        .map(|entry| (entry.action.as_str(), entry.by.as_deref(), entry.detail.to_string()))
        .collect();
    let line = |detail: &str| ("refuse", None, detail.to_owned());
    let mut wanted = vec![
        line(r#"{"operation":"show_pipeline","status":401}"#),
        line(r#"{"operation":"hook","status":404}"#),
    ];
    let mut what = what;
    what.sort();
    wanted.sort();
    assert_eq!(what, wanted);
    assert!(told.iter().all(|entry| entry.at == Instant::parse("2024-05-06T07:08:00Z").unwrap()), "{NOW}");
    assert!(!here.everything().contains("evil"));
    here.pass(60);
    api.send(Request::get("/v1/pipelines/evil").body(Body::empty()).unwrap()).problem(401);
    assert_eq!(here.audit().len(), before + 3);
}

#[test]
fn no_token_and_no_key_is_ever_stored_or_warned_of() {
    let here = Here::new();
    let api = Api::new(&here);
    let run = api.start("sales");
    api.post(&format!("{}/cancel", address(&run)), &json!({"reason": "enough"}));
    api.post_as("reader", "/v1/pipelines/sales/runs", &json!({})).problem(403);
    let kept = here.everything() + &here.warned.borrow().join(" ");
    for secret in ["ops", "reader", "ops_old"].map(token) {
        assert!(!kept.contains(&secret), "{secret}");
    }
    let by: Vec<Option<String>> = here.audit().into_iter().map(|entry| entry.by).collect();
    let name = |name: &str| Some(name.to_owned());
    assert_eq!(by.iter().filter(|by| **by == name("api:ops")).count(), 2, "{by:?}");
    assert!(by.contains(&name("api:reader")), "{by:?}");
}

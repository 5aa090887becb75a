//! Webhooks through the router: a genuine call is one run, and nothing else is any.

use crate::served::{Api, HOOK_KEY, HOOK_KEY_OLD, Here, META_TOKEN, Told};
use axum::body::Body;
use axum::http::Request;
use cauce_engine::Command;
use cauce_engine::command::Pause;
use cauce_model::Json;
use cauce_model::event::Became;
use cauce_model::time::MICROS;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;

fn sign(key: &str, base: &str) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(base.as_bytes());
    data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes())
}

/// A call of the generic webhook, signed so many seconds from now.
fn generic(here: &Here, api: &Api<'_>, key: &str, away: i64, body: &str) -> Told {
    let at = here.now().micros() / MICROS + away;
    let signature = format!("v1={}", sign(key, &format!("{at}.{body}")));
    let request = Request::post("/hooks/sales").header("content-type", "application/json");
    let request = request.header("cauce-timestamp", at.to_string()).header("cauce-signature", signature);
    api.send(request.body(Body::from(body.to_owned())).unwrap())
}

fn github(api: &Api<'_>, event: &str, delivery: &str, body: &str) -> Told {
    let request = Request::post("/hooks/sales/push").header("content-type", "application/json");
    let request = request.header("x-hub-signature-256", format!("sha256={}", sign(HOOK_KEY, body)));
    let request = request.header("x-github-delivery", delivery).header("x-github-event", event);
    api.send(request.body(Body::from(body.to_owned())).unwrap())
}

fn became(told: &Told) -> Json {
    told.json()["became"].clone()
}

#[test]
fn a_genuine_call_is_one_run_with_the_parameters_of_its_body_and_nothing_else_of_it() {
    let here = Here::new();
    let api = Api::new(&here);
    let body = r#"{"region": "LATAM", "card": "4111-1111"}"#;
    let told = generic(&here, &api, HOOK_KEY, 0, body);
    assert_eq!((told.status, became(&told)), (202, json!("run")), "{}", told.text);
    for _ in 0..3 {
        let again = generic(&here, &api, HOOK_KEY, 0, body);
        assert_eq!((again.status, became(&again)), (200, json!("duplicate")));
        assert_eq!(again.json()["run"], told.json()["run"]);
    }
    let [run] = here.runs().try_into().unwrap();
    assert_eq!(run.params, json!({"region": "LATAM", "rows": 10}));
    assert_eq!(run.trigger.by.as_deref(), Some("hooks/sales"));
    assert_eq!(run.trigger.detail["digest"], cauce_model::ids::sha256_hex(body));
    let became: Vec<Became> = here.ledger().iter().map(|entry| entry.became).collect();
    assert_eq!(became.len(), 2, "a repeat is told of once: {became:?}");
    let kept = here.everything();
    assert!(!kept.contains("4111-1111") && !kept.contains(HOOK_KEY));
}

#[test]
fn either_key_signs_while_one_takes_the_place_of_the_other() {
    let here = Here::new();
    let api = Api::new(&here);
    assert_eq!(generic(&here, &api, HOOK_KEY_OLD, 0, r#"{"region": "NA"}"#).status, 202);
    // The same call by the other key is the same call.
    assert_eq!(became(&generic(&here, &api, HOOK_KEY, 0, r#"{"region": "NA"}"#)), "duplicate");
    here.rotate("secret:hooks/sales_old", "");
    generic(&here, &api, HOOK_KEY_OLD, 1, r#"{"region": "NA"}"#).problem(401);
}

#[test]
fn what_is_wrong_with_a_call_is_said_by_its_status_told_in_the_ledger_and_starts_nothing() {
    let here = Here::new();
    let api = Api::new(&here);
    let good = r#"{"region": "NA"}"#;
    generic(&here, &api, "wrong", 0, good).problem(401);
    generic(&here, &api, HOOK_KEY, -301, good).problem(401);
    generic(&here, &api, HOOK_KEY, 301, good).problem(401);
    generic(&here, &api, HOOK_KEY, 0, "{").problem(400);
    generic(&here, &api, HOOK_KEY, 0, r#"{"rows": 1}"#).problem(422);
    generic(&here, &api, HOOK_KEY, 0, r#"{"region": "MARS"}"#).problem(422);
    generic(&here, &api, HOOK_KEY, 0, &format!("\"{}\"", "x".repeat(1024 * 1024))).problem(413);
    let plain = |path: &str| Request::post(path).body(Body::from("{}")).unwrap();
    api.send(plain("/hooks/sales")).problem(415);
    for unknown in
        ["/hooks/none", "/hooks/sales/none", "/hooks/nightly", "/hooks/No-Name", "/hooks/sales/push/more"]
    {
        api.send(plain(unknown)).problem(404);
    }
    let wrong = Request::put("/hooks/sales").body(Body::empty()).unwrap();
    api.send(wrong).problem(405);
    assert!(here.runs().is_empty());
    let ledger = here.ledger();
    let reasons: Vec<&str> = ledger.iter().map(|entry| entry.reason.as_deref().unwrap()).collect();
    assert!(ledger.iter().all(|entry| entry.became == Became::Rejected && entry.kind == "webhook"));
    for word in [
        "signature is not",
        "more than five minutes",
        "not JSON",
        "`body.region` has no value",
        "MARS",
        "not said to be JSON",
    ] {
        assert_eq!(reasons.iter().filter(|reason| reason.contains(word)).count(), 1, "{word}: {reasons:?}");
    }
    assert_eq!(reasons.len(), 6);
    // The operator's mistake is not the caller's.
    let at = here.now().micros() / MICROS;
    let request = Request::post("/hooks/sales/unready").header("content-type", "application/json");
    let request = request.header("cauce-timestamp", at.to_string()).header("cauce-signature", "v1=00");
    api.send(request.body(Body::from("{}")).unwrap()).problem(503);
    assert!(here.warned.borrow().iter().any(|line| line.contains("secret:hooks/none")));
}

#[test]
fn a_flood_of_calls_that_nobody_signed_is_an_entry_a_minute() {
    let here = Here::new();
    for _ in 0..3 {
        // As many processes as Lambda starts.
        let api = Api::new(&here);
        for n in 0..200 {
            generic(&here, &api, "wrong", 0, &n.to_string()).problem(401);
        }
    }
    assert_eq!(here.ledger().len(), 1);
    let before = here.everything().len();
    let api = Api::new(&here);
    generic(&here, &api, "wrong", 0, "{}").problem(401);
    assert_eq!(here.everything().len(), before);
}

#[test]
fn a_call_that_was_refused_or_came_in_a_pause_may_come_again() {
    let here = Here::new();
    let api = Api::new(&here);
    let paused = |paused| {
        let (pipeline, by) = ("sales".to_owned(), None);
        here.execute(&Command::Pause(Box::new(Pause { pipeline, paused, by, unknown: None })));
    };
    paused(true);
    let delivery = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
    let body = r#"{"date": "2024-05-05"}"#;
    let told = github(&api, "push", delivery, body);
    assert_eq!((told.status, became(&told)), (200, json!("paused")));
    paused(false);
    // Days later the sender is asked to deliver it again.
    here.pass(2 * 86_400);
    let told = github(&api, "push", delivery, body);
    assert_eq!((told.status, became(&told)), (202, json!("run")), "{}", told.text);
    here.pass(2 * 86_400);
    assert_eq!(became(&github(&api, "push", delivery, body)), "duplicate");
    // Another delivery for the same date brings nothing new.
    assert_eq!(became(&github(&api, "push", "another", body)), "duplicate");
    let [run] = here.runs().try_into().unwrap();
    assert_eq!(run.run.to_string(), "sales/2024-05-05");
}

#[test]
fn senders_try_an_address_without_starting_anything() {
    let here = Here::new();
    let api = Api::new(&here);
    assert_eq!(became(&github(&api, "ping", "d1", r#"{"zen": "Keep it logically awesome."}"#)), "heard");
    let at = (here.now().micros() / MICROS).to_string();
    let slack = |media: &str, body: &str| {
        let request = Request::post("/hooks/sales/slack").header("content-type", media);
        let signature = format!("v0={}", sign(HOOK_KEY, &format!("v0:{at}:{body}")));
        let request = request.header("x-slack-request-timestamp", &at).header("x-slack-signature", signature);
        api.send(request.body(Body::from(body.to_owned())).unwrap())
    };
    let told = slack("application/json", r#"{"type": "url_verification", "challenge": "3eZbrw1aB"}"#);
    assert_eq!(
        (told.status, told.text.as_str(), told.header("content-type")),
        (200, "3eZbrw1aB", "text/plain; charset=utf-8")
    );
    assert!(here.runs().is_empty());
    // A command is a form.
    assert_eq!(slack("application/x-www-form-urlencoded", "command=%2Fsales&text=LATAM").status, 202);
    let [run] = here.runs().try_into().unwrap();
    assert_eq!(run.params["region"], "LATAM");
    let confirm = |token: &str| {
        let query = format!(
            "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={}",
            token.replace(' ', "%20")
        );
        api.send(Request::get(format!("/hooks/sales/meta?{query}")).body(Body::empty()).unwrap())
    };
    let told = confirm(META_TOKEN);
    assert_eq!((told.status, told.text.as_str()), (200, "1158201444"));
    confirm("another").problem(403);
    confirm("").problem(403);
    let told = api.send(Request::get("/hooks/sales?hub.mode=subscribe").body(Body::empty()).unwrap());
    told.problem(405);
}

#[test]
fn meta_repeats_are_told_by_their_body() {
    let here = Here::new();
    let api = Api::new(&here);
    let send = |body: &str| {
        let request = Request::post("/hooks/sales/meta").header("content-type", "application/json");
        let request = request.header("x-hub-signature-256", format!("sha256={}", sign(HOOK_KEY, body)));
        let told = api.send(request.body(Body::from(body.to_owned())).unwrap()).json();
        // A repeat is known by itself, not by the run that it would have made.
        assert_eq!(told["reason"], Json::Null, "{told}");
        told["became"].clone()
    };
    assert_eq!(
        (send(r#"{"entry": 1}"#), send(r#"{"entry": 1}"#), send(r#"{"entry": 2}"#)),
        (json!("run"), json!("duplicate"), json!("run"))
    );
    here.pass(3 * 86_400);
    assert_eq!(send(r#"{"entry": 1}"#), "duplicate");
    assert_eq!(here.runs().len(), 2);
}

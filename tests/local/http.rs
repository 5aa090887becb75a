//! `cauce up --listen`: the HTTP interface of one machine, met with a client and with a signed call.

use crate::harness::{Project, Started};
use hmac::{Hmac, KeyInit, Mac};
use rustix::process::Signal;
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};

const PIPELINE: &str = r#"
pipeline: p
params: {who: {type: string, default: nobody}}
triggers:
  - webhook: {key: "secret:hooks/p", params: {who: "{{ body.who }}"}}
tasks:
  greet: {container: {image: host, command: [echo, "hello {{ params.who }}"]}}
"#;

const PROJECT: &str = r#"
images: {host: {local: []}}
api: {keys: {ops: {secret: "secret:api/ops", scopes: ["runs:read", "runs:write", "logs:read"]}}}
"#;

const TOKEN: &str = "a-token-for-this-machine";

const KEY: &str = "what signs calls here";

/// A service that listens, and its address.
fn listening(project: &Project) -> (Started, String) {
    let mut service = project.start(&["up", "--listen", "127.0.0.1:0"]);
    let heard = service.hears("listening on http://");
    let address = heard.last().unwrap().rsplit_once("http://").unwrap().1.to_owned();
    service.hears("ready: 1 pipelines");
    (service, format!("http://{address}"))
}

fn send(request: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, Json) {
    let mut answer = request.unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Json::String(text)))
}

#[test]
fn runs_are_started_shown_and_read_over_http_and_by_signed_calls() {
    let project = Project::of(PIPELINE);
    project.write("cauce.yaml", PROJECT);
    project.write(".cauce/secrets.env", format!("api/ops={TOKEN}\nhooks/p={KEY}\n"));
    let (mut service, at) = listening(&project);
    let client: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let get = |path: &str| {
        send(client.get(format!("{at}{path}")).header("authorization", format!("Bearer {TOKEN}")).call())
    };
    assert_eq!(send(client.get(format!("{at}/healthz")).call()).0, 200);
    assert_eq!(send(client.get(format!("{at}/v1/runs")).call()).0, 401);

    let start =
        client.post(format!("{at}/v1/pipelines/p/runs")).header("authorization", format!("Bearer {TOKEN}"));
    let start = start.header("content-type", "application/json").header("idempotency-key", "k1");
    let (status, run) = send(start.send(json!({"params": {"who": "ana"}}).to_string()));
    assert_eq!(status, 201, "{run}");
    let id = run["run_id"].as_str().unwrap();
    service.hears(&format!("p/{id} success"));
    let (_, shown) = get(&format!("/v1/pipelines/p/runs/{id}"));
    // The same as the command line shows.
    assert_eq!(shown, project.show("p"));
    let (_, log) = get(&format!("/v1/pipelines/p/runs/{id}/tasks/greet/log"));
    assert_eq!((&log["text"], &log["more"]), (&json!("hello ana\n"), &json!(false)));
    let next = log["next"].as_str().unwrap();
    assert_eq!(get(&format!("/v1/pipelines/p/runs/{id}/tasks/greet/log?after={next}")).1["text"], "");

    let call = |key: &str| {
        let body = json!({"who": "eva", "card": "4111-1111"}).to_string();
        let now = jiff::Timestamp::now().as_second().to_string();
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
        mac.update(format!("{now}.{body}").as_bytes());
        let signature = data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes());
        let request = client.post(format!("{at}/hooks/p")).header("content-type", "application/json");
        send(
            request
                .header("cauce-timestamp", now)
                .header("cauce-signature", format!("v1={signature}"))
                .send(body),
        )
    };
    assert_eq!(call("another key").0, 401);
    let (status, told) = call(KEY);
    assert_eq!((status, &told["became"]), (202, &json!("run")), "{told}");
    service.hears(&format!("{} success", told["run"].as_str().unwrap()));
    let ledger = project.cauce(&["triggers", "--json"]).exits(0);
    ledger.shows("not one of this body").shows(told["run"].as_str().unwrap());
    service.signal(Signal::TERM);
    service.answer().exits(0);
    // Neither secrets nor bodies are kept anywhere.
    for path in files(&project.path(".cauce")) {
        let kept = std::fs::read(&path).unwrap();
        for secret in [TOKEN, KEY, "4111-1111"] {
            let found = kept.windows(secret.len()).any(|bytes| bytes == secret.as_bytes());
            assert!(!found || path.ends_with("secrets.env"), "{secret} in {}", path.display());
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

//! The HTTP interface as it is deployed: API Gateway, the function, and what they start.

use crate::Scenario;
use crate::cloud::Cloud;
use crate::deployed::Deployed;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value as Json, json};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("the API starts, shows, approves and cancels runs", runs),
    ("a signed call is one run, and another is none", hooks),
];

/// The token of the key `ops`.
const TOKEN: &str = "a-token-for-the-emulated-cloud";

/// What signs calls.
const KEY: &str = "what signs calls of the emulated cloud";

/// The keys that the project declares.
pub(crate) const KEYS: &str = "api:\n  keys:\n    ops: {secret: \"secret:api/ops\", scopes: \
    [\"runs:read\", \"runs:write\", \"approvals:write\", \"pipelines:read\", \"metrics:read\", \"logs:read\"]}\n";

/// Makes the secrets that keys and webhooks name.
pub(crate) fn secrets(cloud: &Cloud) {
    for (name, key, value) in [("api", "ops", TOKEN), ("hooks", "hooked", KEY)] {
        let text = json!({key: value}).to_string();
        cloud.aws(&["secretsmanager", "create-secret", "--name", name, "--secret-string", &text]);
    }
}

/// The ARNs of those secrets, as Terraform is told them.
pub(crate) fn secret_arns() -> Json {
    let arn = |name: &str| format!("arn:aws:secretsmanager:us-east-1:000000000000:secret:{name}-??????");
    json!([arn("api"), arn("hooks")])
}

/// A request of the deployed API; status and document.
fn send(deployed: &Deployed, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> (u16, Json) {
    let state = deployed.cloud().state(deployed.terraform());
    let found =
        state["resources"].as_array().unwrap().iter().find(|one| one["type"] == "aws_apigatewayv2_api");
    let id = found.unwrap()["instances"][0]["attributes"]["id"].as_str().unwrap();
    let url = format!("{}/_aws/execute-api/{id}/$default{path}", deployed.api().endpoint());
    deployed.api().request(&url, headers, body)
}

fn as_ops(deployed: &Deployed, path: &str, body: Option<&Json>) -> (u16, Json) {
    let bearer = format!("Bearer {TOKEN}");
    let text = body.map(ToString::to_string);
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    send(deployed, path, &headers, text.as_deref())
}

fn runs(deployed: &Deployed) {
    let before = deployed.executions("hooked").len();
    assert_eq!(send(deployed, "/healthz", &[], None).0, 200);
    assert_eq!(send(deployed, "/readyz", &[], None).0, 200);
    let path = "/v1/pipelines/hooked/runs";
    assert_eq!(send(deployed, path, &[("content-type", "application/json")], Some("{}")).0, 401);
    assert_eq!(as_ops(deployed, path, Some(&json!({"params": {"region": "MARS"}}))).0, 422);
    assert_eq!(deployed.executions("hooked").len(), before);
    let (status, run) = as_ops(deployed, path, Some(&json!({"params": {"region": "LATAM"}})));
    assert_eq!(status, 201, "{run}");
    let id = run["run_id"].as_str().unwrap();
    let ended = deployed.run_ended(&format!("hooked/{id}"));
    assert_eq!(
        (&ended["status"], &ended["tasks"]["work"]["output"]["region"]),
        (&json!("success"), &json!("LATAM"))
    );
    // The same document as `cauce show --json` gives.
    let (_, shown) = as_ops(deployed, &format!("{path}/{id}"), None);
    assert_eq!(shown, ended);
    let (_, listed) = as_ops(deployed, "/v1/runs?pipeline=hooked&limit=500", None);
    let listed = listed["runs"].as_array().unwrap();
    assert!(listed.iter().any(|run| run["run_id"] == id), "{listed:?}");

    let (_, run) = as_ops(deployed, "/v1/pipelines/talking/runs", Some(&json!({})));
    let id = run["run_id"].as_str().unwrap();
    deployed.run_ended(&format!("talking/{id}"));
    let (status, log) =
        as_ops(deployed, &format!("/v1/pipelines/talking/runs/{id}/tasks/says/log?attempt=1"), None);
    assert_eq!(status, 200, "{log}");
    assert!(log["text"].as_str().unwrap().contains(&format!("attempt 1 of {id}")), "{log}");

    let (_, run) = as_ops(deployed, "/v1/pipelines/asking/runs", Some(&json!({})));
    let asking = format!("/v1/pipelines/asking/runs/{}", run["run_id"].as_str().unwrap());
    crate::api::until(deployed.api(), "a question", || {
        let (_, shown) = as_ops(deployed, &asking, None);
        shown["tasks"]["ask"]["approval"]["asked_at"].as_str().map(drop)
    });
    let (status, answer) =
        as_ops(deployed, &format!("{asking}/tasks/ask/approve"), Some(&json!({"comment": "go"})));
    assert_eq!((status, &answer["by"]), (200, &json!("api:ops")), "{answer}");
    let ended = deployed.run_ended(&format!("asking/{}", run["run_id"].as_str().unwrap()));
    assert_eq!(ended["tasks"]["ship"]["output"], json!({"by": "api:ops", "comment": "go"}));

    let (_, run) = as_ops(deployed, "/v1/pipelines/asking/runs", Some(&json!({})));
    let name = run["run_id"].as_str().unwrap();
    let (status, _) = as_ops(deployed, &format!("/v1/pipelines/asking/runs/{name}/cancel"), Some(&json!({})));
    assert_eq!(status, 202);
    assert_eq!(deployed.run_ended(&format!("asking/{name}"))["status"], "cancelled");
}

fn hooks(deployed: &Deployed) {
    let before = deployed.executions("hooked").len();
    let body = json!({"region": "LATAM", "visit": deployed.fresh("a")}).to_string();
    let call = |key: &str| {
        let at = jiff::Timestamp::now().as_second().to_string();
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
        mac.update(format!("{at}.{body}").as_bytes());
        let signature = format!("v1={}", data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes()));
        let headers =
            [("content-type", "application/json"), ("cauce-timestamp", &at), ("cauce-signature", &signature)];
        send(deployed, "/hooks/hooked", &headers, Some(&body))
    };
    assert_eq!(call("another key").0, 401);
    assert_eq!(deployed.executions("hooked").len(), before);
    let (status, told) = call(KEY);
    assert_eq!((status, &told["became"]), (202, &json!("run")), "{told}");
    let run = deployed.run_ended(told["run"].as_str().unwrap());
    assert_eq!(
        (&run["status"], &run["trigger"], &run["params"]["region"]),
        (&json!("success"), &json!("webhook"), &json!("LATAM"))
    );
    assert_eq!(deployed.executions("hooked").len(), before + 1);
}

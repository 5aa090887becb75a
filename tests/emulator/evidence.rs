//! Permissions by evidence: every call that was made is allowed by the policies of the role that made
//! it, and every statement of those policies was used by some call.
//!
//! What the emulated cloud cannot exercise is listed in `unexercised.json`, each with the page of AWS's
//! documentation that says why it is needed; an entry that has become superfluous fails as well, unless it
//! is `sometimes` used, depending on which of two events is heard of first.

use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};

/// One statement of a role's policies.
#[derive(Debug)]
struct Statement {
    /// Its Sid; its actions where it has none.
    sid: String,
    actions: Vec<String>,
    resources: Vec<String>,
}

/// What was found wrong; nothing when all is well.
pub(crate) fn problems(state: &Json, calls: &[Json], unexercised: &Json) -> Vec<String> {
    let roles = policies(state);
    let mut used: BTreeSet<(String, String)> = BTreeSet::new();
    let mut problems = BTreeSet::new();
    let mut seen = 0;
    for call in calls {
        let (Some(principal), Some(action)) = (call["principal"].as_str(), call["action"].as_str()) else {
            problems.insert(format!("a recorded call without principal or action: {call}"));
            continue;
        };
        let Some(statements) = roles.get(principal.rsplit('/').next().unwrap_or(principal)) else {
            continue;
        };
        seen += 1;
        let resource = call["resource"].as_str().unwrap_or("*");
        let mut allowed = false;
        for statement in statements.iter().filter(|statement| statement.allows(action, resource)) {
            used.insert((role_of(principal), statement.sid.clone()));
            allowed = true;
        }
        if !allowed {
            problems.insert(format!("{} may not {action} on {resource}, and did", role_of(principal)));
        }
    }
    if seen == 0 {
        problems.insert("no call of any role of ours was recorded".to_owned());
    }
    let entries = || unexercised.as_array().into_iter().flatten();
    let named = |entry: &'_ Json| {
        let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        (text("role"), text("sid"))
    };
    let listed: Vec<(String, String)> = entries().map(named).collect();
    let mut needed: BTreeSet<(String, String)> =
        entries().filter(|entry| entry["sometimes"] == true).map(named).collect();
    for (role, statements) in &roles {
        for statement in statements {
            if used.contains(&(role.clone(), statement.sid.clone())) {
                continue;
            }
            let entry = listed.iter().find(|(pattern, sid)| matches(pattern, role) && *sid == statement.sid);
            match entry {
                Some(entry) => {
                    needed.insert(entry.clone());
                }
                None => {
                    let actions = statement.actions.join(", ");
                    problems
                        .insert(format!("nothing used {role}'s statement '{}' ({actions})", statement.sid));
                }
            }
        }
    }
    for entry in listed.iter().filter(|entry| !needed.contains(*entry)) {
        problems
            .insert(format!("unexercised.json lists {} '{}', which was used or is gone", entry.0, entry.1));
    }
    problems.into_iter().collect()
}

fn role_of(principal: &str) -> String {
    principal.rsplit('/').next().unwrap_or(principal).to_owned()
}

/// Statements by role, as Terraform's state has them.
fn policies(state: &Json) -> BTreeMap<String, Vec<Statement>> {
    let mut roles: BTreeMap<String, Vec<Statement>> = BTreeMap::new();
    for resource in state["resources"].as_array().into_iter().flatten() {
        if resource["mode"] != "managed" || resource["type"] != "aws_iam_role_policy" {
            continue;
        }
        for instance in resource["instances"].as_array().into_iter().flatten() {
            let attributes = &instance["attributes"];
            let role = attributes["role"].as_str().unwrap_or_default().to_owned();
            let policy: Json =
                serde_json::from_str(attributes["policy"].as_str().unwrap_or("{}")).unwrap_or_default();
            let statements = roles.entry(role).or_default();
            for statement in policy["Statement"].as_array().into_iter().flatten() {
                assert_eq!(statement["Effect"], "Allow", "{statement}");
                let mut actions = texts(&statement["Action"]);
                actions.sort();
                let sid = statement["Sid"].as_str().filter(|sid| !sid.is_empty());
                statements.push(Statement {
                    sid: sid.map_or_else(|| actions.join(" "), str::to_owned),
                    actions,
                    resources: texts(&statement["Resource"]),
                });
            }
        }
    }
    roles
}

/// IAM writes one text where there is one, a list where there are several.
fn texts(value: &Json) -> Vec<String> {
    match value {
        Json::String(text) => vec![text.clone()],
        Json::Array(list) => list.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

impl Statement {
    fn allows(&self, action: &str, resource: &str) -> bool {
        // A token does not say which machine gave it, so the journal cannot either; AWS asks for the
        // machine. https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsstepfunctions.html
        let of_token = action.starts_with("states:SendTask") && resource == "*";
        let action = action.to_lowercase();
        self.actions.iter().any(|pattern| matches(&pattern.to_lowercase(), &action))
            && (of_token || self.resources.iter().any(|pattern| matches(pattern, resource)))
    }
}

/// IAM's wildcards: `*` for any characters, `?` for one.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html>
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // reach[i]: the pattern so far can end before text[i].
    let mut reach = vec![false; text.len() + 1];
    reach[0] = true;
    for symbol in pattern {
        if symbol == '*' {
            let first = reach.iter().position(|reached| *reached).unwrap_or(reach.len());
            for reached in reach.iter_mut().skip(first) {
                *reached = true;
            }
        } else {
            for at in (0..text.len()).rev() {
                reach[at + 1] = reach[at] && (symbol == '?' || symbol == text[at]);
            }
            reach[0] = false;
        }
    }
    reach[text.len()]
}

/// Holds the check itself to account: it must see what it is for.
pub(crate) fn can_fail() {
    let policy = r#"{"Statement":[
        {"Sid":"Store","Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Put*"],"Resource":"arn:t/store"},
        {"Sid":"Spare","Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}"#;
    let state = serde_json::json!({"resources": [{"mode": "managed", "type": "aws_iam_role_policy",
        "instances": [{"attributes": {"role": "begin", "policy": policy}}]}]});
    let call = |action: &str, resource: &str| serde_json::json!({"principal": "begin", "action": action, "resource": resource});
    let spare = serde_json::json!([{"role": "beg*", "sid": "Spare"}]);
    let good = [call("dynamodb:PutItem", "arn:t/store")];
    assert_eq!(problems(&state, &good, &spare), Vec::<String>::new());
    assert_eq!(problems(&state, &good, &Json::Null).len(), 1, "an unused statement goes unseen");
    let outside = [call("dynamodb:GetItem", "arn:t/other"), good[0].clone()];
    assert_eq!(problems(&state, &outside, &spare).len(), 1, "a call outside goes unseen");
    let superfluous = [good[0].clone(), call("s3:GetObject", "arn:b/k")];
    assert_eq!(problems(&state, &superfluous, &spare).len(), 1, "a superfluous entry goes unseen");
    assert!(matches("a*c?", "abbcd") && !matches("a*c?", "abbc") && matches("*", ""));
}

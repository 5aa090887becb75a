//! `states:startExecution.sync:2`, and without `.sync:2` for a task that does not wait. The name of
//! the execution makes the service know a repeat.
//! <https://docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html>

use super::{Subject, fields, picked};
use crate::context::Unrendered;
use cauce_model::Json;
use cauce_model::services::StateMachinePlan;
use serde_json::{Map, json};

pub(super) fn request(
    plan: &StateMachinePlan,
    subject: &Subject<'_>,
) -> Result<Map<String, Json>, Unrendered> {
    let renderer = subject.renderer;
    let machine = renderer.text(&plan.machine)?;
    let input = plan.input.as_ref().map(|input| renderer.tree(input)).transpose()?;
    let mut request = Map::new();
    // In a simulation nothing is called, and there is no account.
    let one_machine = renderer.settings.one_machine;
    let arn = if one_machine { machine } else { arn(&machine, &renderer.settings.cluster)? };
    request.insert("StateMachineArn".into(), arn.into());
    request.insert("Name".into(), subject.name().into());
    request.insert("Input".into(), input.unwrap_or_else(|| json!({})));
    Ok(request)
}

/// The ARN of a machine; a bare name is one in the account and region of our cluster.
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsstepfunctions.html>
fn arn(machine: &str, cluster: &str) -> Result<String, Unrendered> {
    if machine.starts_with("arn:") {
        return Ok(machine.to_owned());
    }
    let parts: Vec<&str> = cluster.split(':').collect();
    match parts[..] {
        ["arn", partition, "ecs", region, account, _] => {
            Ok(format!("arn:{partition}:states:{region}:{account}:stateMachine:{machine}"))
        }
        _ => Err(Unrendered(format!(
            "'{machine}' is the name of a state machine, and account and region are not known here: give its ARN"
        ))),
    }
}

/// The execution's own output when the task waited for it, else which execution it is.
pub(super) fn output(plan: &StateMachinePlan, result: &Json) -> Map<String, Json> {
    if plan.wait {
        fields(&result["Output"], "output")
    } else {
        picked(result, &[("/ExecutionArn", "execution")])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_machine_of_this_account() {
        let cluster = "arn:aws:ecs:eu-west-1:123456789012:cluster/cauce-dev";
        let full = "arn:aws:states:eu-west-1:123456789012:stateMachine:legacy";
        assert_eq!(arn("legacy", cluster).unwrap(), full);
        assert_eq!(arn(full, "local").unwrap(), full);
        assert!(arn("legacy", "local").is_err());
    }
}

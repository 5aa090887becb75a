//! Programs under way: found by their tags, stopped, and what is told when that does not work.

use crate::server::{Kind, start};
use aws_sdk_ecs::types::{AwsVpcConfiguration, NetworkConfiguration, NetworkMode};
use aws_sdk_ecs::types::{ContainerDefinition, ContainerOverride, LaunchType, Tag, TaskOverride};
use cauce_aws::compute::Fargate;
use cauce_model::RunKey;
use cauce_ports::{Compute, ComputeError, RunningTask};

#[tokio::test]
async fn tasks_of_a_run_are_found_and_stopped() {
    let Some(server) = start(Kind::Ministack) else { return };
    let client = aws_sdk_ecs::Client::new(&server.sdk().await);
    client.create_cluster().cluster_name("ours").send().await.unwrap();
    let container = ContainerDefinition::builder().name("task").image("sleeper").essential(true).build();
    let definition = client.register_task_definition().family("sleeper").container_definitions(container);
    let definition = definition.network_mode(NetworkMode::Awsvpc).cpu("256").memory("512");
    definition.requires_compatibilities(aws_sdk_ecs::types::Compatibility::Fargate).send().await.unwrap();
    let run = async |tags: &[(&str, &str)]| {
        let word = ContainerOverride::builder().name("task").command("600").build();
        let network = AwsVpcConfiguration::builder().subnets("subnet-1").build().unwrap();
        let call =
            client.run_task().cluster("ours").task_definition("sleeper").launch_type(LaunchType::Fargate);
        let call =
            call.network_configuration(NetworkConfiguration::builder().awsvpc_configuration(network).build());
        let tags = tags.iter().map(|(key, value)| Tag::builder().key(*key).value(*value).build());
        let call = call
            .set_tags(Some(tags.collect()))
            .overrides(TaskOverride::builder().container_overrides(word).build());
        let started = call.send().await.unwrap();
        started.tasks()[0].task_arn().unwrap().to_owned()
    };
    let ours =
        [("cauce:run_key", "k1"), ("cauce:task", "load"), ("cauce:attempt", "2"), ("cauce:index", "7")];
    let id = run(&ours).await;
    run(&[("cauce:run_key", "k2"), ("cauce:task", "load"), ("cauce:attempt", "1")]).await;
    run(&[]).await;

    let fargate = Fargate::new(&server.connection().await, "ours");
    let run_key = RunKey::from_text("k1");
    let wanted = RunningTask {
        id: id.clone(),
        run_key: run_key.clone(),
        task: "load".into(),
        index: Some(7),
        attempt: 2,
    };
    assert_eq!(fargate.find(&run_key).await, Ok(vec![wanted]));

    server.fail("StopTask", 3, "ThrottlingException", 400);
    assert_eq!(fargate.stop(&id, "cancelled").await, Err(ComputeError::Throttled));
    server.fail("StopTask", 1, "AccessDeniedException", 400);
    let denied = fargate.stop(&id, "cancelled").await;
    assert!(
        matches!(&denied, Err(ComputeError::Unknown(text)) if text.contains("AccessDenied")),
        "{denied:?}"
    );
    server.fail("ListTasks", 3, "ThrottlingException", 400);
    assert_eq!(fargate.find(&run_key).await, Err(ComputeError::Throttled));
    server.fail("DescribeTasks", 3, "ServerException", 500);
    assert!(matches!(fargate.find(&run_key).await, Err(ComputeError::Unknown(_))));

    // Longer than the service takes, and not of one byte a letter.
    fargate.stop(&id, &"añ".repeat(1_000)).await.unwrap();
    server.get(&format!("/_cauce/wait?task={id}"));
    assert_eq!(fargate.find(&run_key).await, Ok(Vec::new()));
    let described = client.describe_tasks().cluster("ours").tasks(&id).send().await.unwrap();
    let reason = described.tasks()[0].stopped_reason().unwrap();
    assert_eq!(reason.chars().count(), 1_024, "{reason}");
    assert_eq!(fargate.stop(&id, "again").await, Ok(()));
    let forgotten = id.replace(&id[id.len() - 32..], &"0".repeat(32));
    assert_eq!(fargate.stop(&forgotten, "never was").await, Ok(()));
    // Ministack makes clusters up where AWS says that there is none.
    server.fail("ListTasks", 1, "ClusterNotFoundException", 400);
    assert!(matches!(fargate.find(&run_key).await, Err(ComputeError::Unknown(_))));
}

//! What the command line looks at: logs, limits, and what is deployed.

use crate::post::listen;
use crate::server::{Kind, start};
use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use aws_sdk_ecs::types::ContainerDefinition;
use cauce_aws::inspect::Inspect;
use cauce_aws::logs::{Logs, LogsError};
use cauce_aws::quotas::Quotas;
use cauce_aws::{Connect, Connection};

#[tokio::test]
async fn a_log_is_read_from_its_beginning_to_its_end() {
    let Some(server) = start(Kind::Ministack) else { return };
    let client = aws_sdk_cloudwatchlogs::Client::new(&server.sdk().await);
    client.create_log_group().log_group_name("/cauce/sales").send().await.unwrap();
    client.create_log_stream().log_group_name("/cauce/sales").log_stream_name("s").send().await.unwrap();
    // Not older than the service takes.
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    let events = ["one", "two", "three"].into_iter().zip(now..);
    let events =
        events.map(|(text, at)| InputLogEvent::builder().timestamp(at).message(text).build().unwrap());
    let put = client.put_log_events().log_group_name("/cauce/sales").log_stream_name("s");
    put.set_log_events(Some(events.collect())).send().await.unwrap();

    let logs = Logs::new(&server.connection().await);
    let mut read = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = logs.read("/cauce/sales", "s", after.as_deref(), 2).await.unwrap();
        read.extend(page.events.into_iter().map(|event| (event.text, event.at.micros() / 1_000 - now)));
        if page.at_end {
            break;
        }
        after = Some(page.next);
    }
    assert_eq!(read, [("one".to_owned(), 0), ("two".to_owned(), 1), ("three".to_owned(), 2)]);

    let none = logs.read("/cauce/sales", "none", None, 10).await;
    assert_eq!(none.map(drop), Err(LogsError::NoLog { group: "/cauce/sales".into(), stream: "none".into() }));
    server.fail("GetLogEvents", 3, "ThrottlingException", 400);
    assert_eq!(logs.read("/cauce/sales", "s", None, 10).await.map(drop), Err(LogsError::Throttled));
    server.fail("GetLogEvents", 1, "AccessDeniedException", 400);
    let denied = logs.read("/cauce/sales", "s", None, 10).await.map(drop);
    assert!(matches!(&denied, Err(LogsError::Failed(text)) if text.contains("AccessDenied")), "{denied:?}");
}

#[tokio::test]
async fn what_is_deployed_is_described_and_what_is_not_is_not_there() {
    let Some(server) = start(Kind::Ministack) else { return };
    let config = server.sdk().await;
    let inspect = Inspect::new(&server.connection().await);

    server.table("store").await;
    let table = inspect.table("store").await.unwrap().unwrap();
    assert_eq!((table.status.as_str(), &table.keys), ("ACTIVE", &("pk".to_owned(), "sk".to_owned())));
    assert_eq!(table.indexes, [("list".to_owned(), "lk".to_owned(), "lp".to_owned())]);
    assert_eq!((table.is_protected, table.ttl), (false, None));
    assert_eq!(inspect.table("none").await, Ok(None));

    let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
    aws_sdk_s3::Client::from_conf(s3).create_bucket().bucket("docs").send().await.unwrap();
    assert_eq!((inspect.bucket("docs").await, inspect.bucket("none").await), (Ok(true), Ok(false)));

    let machines = aws_sdk_sfn::Client::new(&config);
    let made = machines.create_state_machine().name("m").role_arn("arn:aws:iam::000000000000:role/none");
    let made =
        made.definition(r#"{"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true}}}"#).send().await;
    let arn = made.unwrap().state_machine_arn;
    assert_eq!(inspect.machine(&arn).await.unwrap().unwrap().status, "ACTIVE");
    assert_eq!(inspect.machine(&format!("{arn}-none")).await, Ok(None));

    let clusters = aws_sdk_ecs::Client::new(&config);
    clusters.create_cluster().cluster_name("ours").capacity_providers("FARGATE").send().await.unwrap();
    let cluster = inspect.cluster("ours").await.unwrap().unwrap();
    assert_eq!((cluster.status.as_str(), cluster.running), ("ACTIVE", 0));
    assert_eq!(cluster.capacity_providers, ["FARGATE"]);
    assert_eq!(inspect.cluster("none").await, Ok(None));
    let container = ContainerDefinition::builder().name("task").image("worker:1").build();
    let definition = clusters.register_task_definition().family("worker").container_definitions(container);
    definition.execution_role_arn("arn:aws:iam::000000000000:role/e").send().await.unwrap();
    let definition = inspect.task_definition("worker").await.unwrap().unwrap();
    let roles = (definition.execution_role.is_some(), definition.task_role.is_some());
    assert_eq!((definition.status.as_str(), roles), ("ACTIVE", (true, false)));
    assert_eq!(definition.images, ["worker:1"]);
    assert_eq!(inspect.task_definition("none").await, Ok(None));

    let queues = aws_sdk_sqs::Client::new(&config);
    let url = queues.create_queue().queue_name("dead").send().await.unwrap().queue_url.unwrap();
    queues.send_message().queue_url(&url).message_body("x").send().await.unwrap();
    assert_eq!(inspect.queue(&url).await, Ok(Some(1)));
    assert_eq!(inspect.queue(&format!("{url}-none")).await, Ok(None));

    let groups = aws_sdk_cloudwatchlogs::Client::new(&config);
    for name in ["/cauce/dev/a", "/cauce/dev/b", "/other"] {
        groups.create_log_group().log_group_name(name).send().await.unwrap();
    }
    let found = inspect.log_groups("/cauce/dev").await.unwrap();
    assert_eq!(found, ["/cauce/dev/a", "/cauce/dev/b"]);

    server.fail("DescribeTable", 1, "AccessDeniedException", 400);
    let denied = inspect.table("store").await.unwrap_err();
    assert!(denied.to_string().contains("no permission to look"), "{denied}");
    server.fail("DescribeStateMachine", 3, "ThrottlingException", 400);
    let late = inspect.machine(&arn).await.unwrap_err();
    assert!(late.to_string().contains("Throttling"), "{late}");
}

#[tokio::test]
async fn a_limit_is_the_accounts_own_or_the_default() {
    let quota = |value: f64| {
        format!(r#"{{"Quota": {{"QuotaName": "vCPUs", "Value": {value}, "Adjustable": true}}}}"#)
    };
    let refusal = |code: &str| format!(r#"{{"__type": "{code}", "Message": "no"}}"#);
    let (endpoint, came) = listen(vec![
        (200, quota(64.0)),
        (400, refusal("NoSuchResourceException")),
        (200, quota(6.0)),
        (400, refusal("AccessDeniedException")),
        (400, refusal("NoSuchResourceException")),
        (400, refusal("NoSuchResourceException")),
        (400, refusal("TooManyRequestsException")),
        (400, refusal("TooManyRequestsException")),
        (400, refusal("TooManyRequestsException")),
        (200, "{}".to_owned()),
    ]);
    let connect = Connect {
        region: Some("us-east-1".to_owned()),
        profile: None,
        endpoint: Some(endpoint),
        keys: Some(("test".to_owned(), "test".to_owned())),
    };
    let quotas = Quotas::new(&Connection::open(connect).await.unwrap());
    let own = quotas.get("fargate", "L-3032A538").await.unwrap();
    assert_eq!((own.name.as_str(), own.value, own.adjustable), ("vCPUs", 64.0, true));
    assert_eq!(quotas.get("fargate", "L-3032A538").await.unwrap().value, 6.0);
    for reason in
        ["AccessDeniedException", "NoSuchResourceException", "TooManyRequestsException", "without a limit"]
    {
        let failed = quotas.get("fargate", "L-3032A538").await.unwrap_err();
        assert!(
            failed.to_string().contains("fargate/L-3032A538") && failed.reason.contains(reason),
            "{failed}"
        );
    }
    let asked: Vec<String> = came.try_iter().map(|came| came.head).collect();
    assert_eq!(asked.len(), 10);
    assert!(
        asked[1].contains("GetServiceQuota") && asked[2].contains("GetAWSDefaultServiceQuota"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_limit_on_moto() {
    let Some(server) = start(Kind::Moto) else { return };
    let quotas = Quotas::new(&server.connection().await);
    let found = quotas.get("vpc", "L-7E9ECCDB").await.unwrap();
    assert_eq!((found.name.is_empty(), found.value > 0.0), (false, true), "{found:?}");
}

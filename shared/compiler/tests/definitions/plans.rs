//! Plans to compile, without reading a pipeline file.

use cauce_model::TriggerRule;
use cauce_model::plan::{
    BranchChoice, ContainerPlan, MapPlan, PLAN_SCHEMA, Plan, RetryPlan, SchedulePlan, TaskKind, TaskPlan,
    Tick, WaitForPlan,
};
use serde_json::json;

/// A plan of these tasks, in topological order.
pub(crate) fn plan(name: &str, tasks: Vec<TaskPlan>) -> Plan {
    Plan {
        schema: PLAN_SCHEMA,
        pipeline: name.to_owned(),
        timezone: "UTC".to_owned(),
        max_active_runs: 1,
        tasks,
        ..Plan::default()
    }
}

/// A task that does nothing.
pub(crate) fn pass(name: &str, needs: &[u32]) -> TaskPlan {
    TaskPlan {
        name: name.to_owned(),
        kind: TaskKind::Pass { output: None },
        needs: needs.to_vec(),
        rule: TriggerRule::AllSuccess,
        gate: None,
        opens: Vec::new(),
        condition: None,
        outputs: Vec::new(),
        map: None,
        timeout_seconds: 3600,
        start_timeout_seconds: 600,
        stop_timeout_seconds: 30,
        retry: RetryPlan::default(),
        pools: Default::default(),
        lock: None,
        breaker: None,
        rate_limit: None,
        idempotency: None,
        priority: 0,
        allow_failure: false,
        fallback_for: None,
        teardown_of: Vec::new(),
        reads: Vec::new(),
        writes: Vec::new(),
        returns: Default::default(),
        notify: Default::default(),
    }
}

/// A task that runs a container.
pub(crate) fn container(name: &str, needs: &[u32]) -> TaskPlan {
    let container = ContainerPlan {
        image: "ingesta".to_owned(),
        command: vec![json!("python"), json!("/app/ingesta.py")],
        task_definition: "ingesta".to_owned(),
        cpu: 256,
        memory: 512,
        ..ContainerPlan::default()
    };
    TaskPlan { kind: TaskKind::Container(container), ..pass(name, needs) }
}

/// The same task, run once per item.
pub(crate) fn mapped(task: TaskPlan, max_items: u32, max_concurrency: u32) -> TaskPlan {
    let map = MapPlan {
        over: json!("{{ outputs.extract.chunks }}"),
        max_items,
        max_concurrency,
        tolerated_failures: 0,
        distributed: false,
    };
    TaskPlan { map: Some(map), ..task }
}

/// A pipeline with every kind of state: inline, container, waiting, mapped both ways.
pub(crate) fn mixed() -> Plan {
    let wait = TaskPlan {
        kind: TaskKind::WaitFor(WaitForPlan {
            files: vec!["s3://landing/{{ ds }}.csv".to_owned()],
            poll_seconds: 60,
            min_bytes: 1,
        }),
        ..pass("arrive", &[])
    };
    let choice = |condition: Option<&str>, to, skips| BranchChoice {
        condition: condition.map(ToOwned::to_owned),
        to: vec![to],
        skips: vec![skips],
    };
    let decide = TaskPlan {
        kind: TaskKind::Branch {
            choices: vec![choice(Some("{{ outputs.extract.chunks }}"), 3, 4), choice(None, 4, 3)],
        },
        ..pass("decide", &[1])
    };
    let finish = TaskPlan { rule: TriggerRule::NoneFailedMinOneSuccess, ..pass("finish", &[3, 4]) };
    let alarm = TaskPlan { rule: TriggerRule::OneFailed, ..pass("alarm", &[1, 3]) };
    let mut plan = plan(
        "ventas",
        vec![
            wait,
            container("extract", &[0]),
            decide,
            mapped(container("curated", &[2]), 200, 16),
            mapped(container("history", &[2]), 5_000, 100),
            finish,
            alarm,
        ],
    );
    plan.schedules = vec![SchedulePlan {
        case: None,
        every: Tick::Cron("0 2 * * *".to_owned()),
        timezone: "UTC".to_owned(),
        data_interval: true,
        start: None,
        end: None,
        catchup: Default::default(),
        dst_gap: Default::default(),
        calendar: None,
        jitter_seconds: None,
        off_peak: None,
    }];
    plan
}

/// Mapped tasks that begin-task performs itself, inside the machine and as executions of their own.
pub(crate) fn mapped_inline_kinds() -> Plan {
    plan("inline", vec![mapped(pass("few", &[]), 10, 5), mapped(pass("many", &[0]), 5_000, 5)])
}

/// Two sources that two joins share: no nest of sequence and `Par` is exact.
pub(crate) fn crossed() -> Plan {
    plan(
        "crossed",
        vec![container("a", &[]), container("b", &[]), container("left", &[0]), container("both", &[0, 1])],
    )
}

/// A chain with a side task at each link: one more `Par` inside the last at every link.
pub(crate) fn comb(links: u32) -> Plan {
    let mut tasks = vec![container("link0", &[])];
    for link in 1..links {
        let above = if link == 1 { 0 } else { 2 * link - 3 };
        tasks.push(container(&format!("link{link}"), &[above]));
        tasks.push(container(&format!("side{link}"), &[above]));
    }
    plan("comb", tasks)
}

/// A lattice: every task needs the one above and the one to the left.
pub(crate) fn lattice(rows: u32, columns: u32) -> Plan {
    let mut tasks = Vec::new();
    for row in 0..rows {
        for column in 0..columns {
            let above = row.checked_sub(1).map(|row| row * columns + column);
            let left = column.checked_sub(1).map(|column| row * columns + column);
            let needs: Vec<u32> = above.into_iter().chain(left).collect();
            tasks.push(container(&format!("t{row}_{column}"), &needs));
        }
    }
    plan("lattice", tasks)
}

/// A graph that looks random and is the same every time: up to three upstreams among the last twelve.
pub(crate) fn random(seed: u64, size: u32) -> Plan {
    let mut state = seed;
    let mut below = |bound: u32| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32 % bound
    };
    let mut tasks = Vec::new();
    for at in 0..size {
        let mut needs: Vec<u32> = Vec::new();
        for _ in 0..below(4) {
            if at > 0 {
                needs.push(at - 1 - below(at.min(12)));
            }
        }
        needs.sort_unstable();
        needs.dedup();
        tasks.push(container(&format!("t{at}"), &needs));
    }
    plan("random", tasks)
}

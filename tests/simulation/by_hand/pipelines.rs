//! Of pipelines that change or go, and what is due of them.

use super::{HAND, item, key, put, story, take_away, tell, to_second};
use crate::rivals::{compiled, deployed};
use crate::world::{by_hand, deployment, epoch, read};
use cauce_engine::Command;
use cauce_engine::command::{Again, Existing, Open, Reconcile, Trigger};
use cauce_model::deployment::version_item;
use cauce_model::event::{SetRecord, clock_item, set_item};
use cauce_model::record::{PipelineRecord, Record, active_item, pipeline_item, run_item};
use cauce_model::{RunKey, RunStatus};
use serde_json::json;
use std::collections::BTreeMap;

/// Which deployment a run is pinned to is a matter of the version that was asked for.
#[test]
fn a_run_is_pinned_to_the_deployment_of_its_version() {
    let yaml = |number: u32| HAND.replace("good?", &format!("good {number}?"));
    let machine = |number: u32| format!("hand:{}", &compiled(&yaml(number)).version()[..12]);
    story(&yaml(1), async |host| {
        let request = |number: u32, run_id: &str| Trigger {
            existing: Existing::Next(Again::All),
            ..by_hand(&compiled(&yaml(number)), run_id)
        };
        let run = async |run_id: &str| read(host, &RunKey::new("hand", run_id)).await.run;
        let ask = async |trigger: Trigger| tell(host, Command::Trigger(Box::new(trigger))).await;
        ask(request(1, "r1")).await;
        let run_key = RunKey::new("hand", "r1");
        tell(host, Command::Cancel { run_key, generation: None, reason: "enough".to_owned(), by: None })
            .await;
        deployed(host, &yaml(2)).await;
        // A further generation on the newer version, and a run of the older one.
        ask(request(2, "r1")).await;
        ask(request(1, "r2")).await;
        assert_eq!((run("r1").await.machine, run("r2").await.machine), (machine(2), machine(1)));
        crate::deployments::staged(host, &compiled(&yaml(3))).await;
        tell(host, crate::rivals::deploys(&yaml(3), "drop", Some(50))).await;
        for (number, run_id) in [(2, "r3"), (3, "r4")] {
            ask(Trigger { canary: true, ..request(number, run_id) }).await;
            assert_eq!(run(run_id).await.machine, machine(number));
        }
    });
}

const CLOCKED: &str = "
pipeline: clocked
schedule: '0 * * * *'
tasks:
  load: {container: {image: loader, command: [run]}}
";

/// An execution that somebody started from the console under a name, and whose run waits its turn: asked again, it is
/// the same run. A name that only resembles a date's is no date's.
#[test]
fn an_execution_of_the_console_is_the_run_of_its_name() {
    let single = CLOCKED.replace("0 * * * *", "0 2 * * *").replace("tasks:", "max_active_runs: 1\ntasks:");
    story(&single, async |host| {
        let open = |name: &str, token: &str| {
            Command::Open(Open {
                pipeline: "clocked".to_owned(),
                version: compiled(&single).version().to_owned(),
                execution: name.to_owned(),
                input: json!({}),
                token: token.to_owned(),
            })
        };
        let run = async |name: &str| read(host, &RunKey::new("clocked", name)).await.run;
        tell(host, open("first", "1")).await;
        for token in ["2", "3"] {
            tell(host, open("19970105", token)).await;
            let waiting = run("19970105").await;
            assert_eq!((waiting.status, waiting.token.as_deref()), (RunStatus::Queued, Some(token)));
            assert_eq!(waiting.logical_date, epoch(), "its day's run is called 1997-01-05");
        }
    });
}

/// A machine that also has a service's deployments runs what a file says beside them.
#[test]
fn a_file_that_is_run_beside_a_deployment_leaves_it_and_is_kept_with_it() {
    story(HAND, async |host| {
        let other = compiled(&HAND.replace("good?", "better?"));
        // What was deployed for all is read from its document, as a machine that has it not loaded does.
        let documents = deployment(&compiled(HAND));
        host.load(&documents).await.unwrap();
        host.deploy(&deployment(&other)).await.unwrap();
        let record = PipelineRecord::from_item(&item(host, &pipeline_item("hand")).await.unwrap()).unwrap();
        assert_eq!(record.version, compiled(HAND).version());
        assert!(item(host, &version_item("hand", other.version())).await.is_some());
    });
}

fn reconcile() -> Command {
    Command::Reconcile(Reconcile {
        run_key: key(),
        after: String::new(),
        look: 10,
        programs: Some(Vec::new()),
    })
}

#[test]
fn a_run_leaves_the_list_of_the_sweep_as_it_was_when_it_was_looked_at() {
    story(HAND, async |host| {
        to_second(host).await;
        let active = active_item(&key());
        assert!(item(host, &active).await.is_some());
        // Something has become of it since.
        tell(host, Command::Retire { run_key: key(), version: 1 }).await;
        assert!(item(host, &active).await.is_some());
        // Of one that is gone nothing is left.
        take_away(host, run_item(&key())).await;
        tell(host, reconcile()).await;
        assert!(item(host, &active).await.is_none());
    });
}

/// What files were to wait for is no longer asked of them: nothing is due any more.
#[test]
fn a_set_of_files_that_wait_for_nothing_any_more_is_not_due() {
    let plain = "
pipeline: clocked
triggers:
  - file: {bucket: \"${{ env.lake }}\", keys: [\"in/*.csv\"]}
tasks:
  load: {container: {image: loader, command: [run]}}
";
    story(plain, async |host| {
        let set =
            SetRecord { settles_at: Some(epoch()), ..SetRecord::new("clocked", "s", 0, BTreeMap::new()) };
        put(host, set.row(Some(epoch()))).await;
        tell(host, Command::Set { pipeline: "clocked".to_owned(), set: "s".to_owned() }).await;
        assert!(item(host, &set_item("clocked", "s")).await.unwrap().index.is_none());
    });
}

/// Timers that come after their pipeline was taken away, or has become another one.
#[test]
fn what_is_due_of_a_pipeline_that_is_gone_goes_too() {
    story(CLOCKED, async |host| {
        let (clock, set) = (clock_item("clocked"), set_item("clocked", "s"));
        let record = SetRecord::new("clocked", "s", 9, BTreeMap::new());
        let mut waiting = record.row(Some(epoch()));
        put(host, waiting.clone()).await;
        let due = || Command::Set { pipeline: "clocked".to_owned(), set: "s".to_owned() };
        tell(host, due()).await;
        waiting = item(host, &set).await.unwrap();
        assert!(waiting.index.is_none(), "no trigger waits for it");
        assert!(item(host, &clock).await.is_some());
        take_away(host, pipeline_item("clocked")).await;
        tell(host, Command::Ticks { pipeline: "clocked".to_owned() }).await;
        tell(host, due()).await;
        assert_eq!((item(host, &clock).await, item(host, &set).await), (None, None));
    });
}

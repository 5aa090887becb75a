//! Files of items: a file starts a run of the item that its key names, of no other, and of none that the list
//! does not have.

use crate::deployments::new_host;
use crate::events::{arrives, deployed, finish, ledger, object};
use crate::matrix::listed;
use crate::sets::{at, now_is, runs, sets};
use crate::world::{Sim, compiled, read};
use cauce_compiler::Compiled;
use cauce_driver::Synced;
use cauce_model::event::{Became, LedgerRecord};
use cauce_model::record::{OutputRecord, RunRecord};
use cauce_model::{Json, RunStatus};
use serde_json::json;

/// Prices come by themselves, days with their date, ticks by the hundred.
const PRICES: &str = r#"
pipeline: sales
matrix: {as: symbol, from: symbols.csv, key: ticker}
schedule: {select: risk, cases: {high: {cron: "0 2 * * *"}, low: {cron: "0 4 * * 1"}}}
triggers:
  - file: {bucket: "${{ env.lake }}", keys: ["prices/{ticker}.csv"], item: "{ticker}"}
  - file: {bucket: "${{ env.lake }}", keys: ["days/{ticker}/{date:date}.csv"], item: "{ticker}", logical_date: "{date}"}
  - file: {bucket: "${{ env.lake }}", keys: ["ticks/{ticker}/*.csv"], item: "{ticker}", settle: 1m}
max_active_runs: 100
tasks:
  check: {pass: {output: {ticker: "{{ symbol.ticker }}", risk: "{{ symbol.risk }}", file: "{{ trigger.events[0].key }}"}}}
"#;

/// The list: the first is of one case, the others of the other.
const LIST: [(&str, &str); 2] = [("AAPL", "high"), ("BRK.B", "low")];

/// Plays what happens to a list of two items.
fn play(story: impl AsyncFn(&Sim, &Compiled)) {
    let host = new_host();
    let compiled = compiled(PRICES);
    let clock = host.world().clock.clone();
    clock
        .block_on(async {
            deployed(&host, &compiled).await;
            listing(&host, &compiled, &LIST).await;
            story(&host, &compiled).await;
        })
        .unwrap();
}

async fn listing(host: &Sim, compiled: &Compiled, list: &[(&str, &'static str)]) {
    let list = list.iter().map(|(key, case)| ((*key).to_owned(), *case)).collect();
    let matrix = compiled.plan.matrix.as_ref().unwrap();
    let synced = host.driver().sync("sales", matrix, &listed(&list), None, false).await.unwrap();
    assert!(matches!(synced, Synced::Done(_)), "{synced:?}");
}

/// Each run by its item: what its task returned.
async fn outputs(host: &Sim) -> Vec<(String, Json)> {
    let mut found = Vec::new();
    for run in runs(host).await {
        assert_eq!(run.status, RunStatus::Success, "{}", run.run);
        let item = run.trigger.item.clone().unwrap().key;
        assert!(run.run.run_id.starts_with(&format!("{item}-")), "{}", run.run);
        let ended = read(host, &run.run.key()).await;
        let Some(OutputRecord::Inline(output)) = ended.tasks["check"].output.clone() else {
            panic!("{ended:?}")
        };
        found.push((item, output));
    }
    found.sort_by(|a, b| a.1["file"].as_str().cmp(&b.1["file"].as_str()));
    found
}

async fn entry(host: &Sim, key: &str) -> LedgerRecord {
    let entries = ledger(host, "1997-01-06").await;
    entries.into_iter().find(|entry| entry.event["key"] == key).unwrap()
}

#[test]
fn two_files_of_two_items_are_a_run_of_each() {
    play(async |host, _| {
        for key in ["prices/AAPL.csv", "prices/BRK.B.csv"] {
            assert_eq!(now_is(host, key, "1").await, Became::Run);
            host.execute(&arrives(&object(key, "1"))).await.unwrap();
        }
        finish(host).await;
        let wanted = LIST.map(|(ticker, risk)| {
            (
                ticker.to_owned(),
                json!({"ticker": ticker, "risk": risk, "file": format!("prices/{ticker}.csv")}),
            )
        });
        assert_eq!(outputs(host).await, wanted);
        // Newer content of one of them is one run more, of that one.
        assert_eq!(now_is(host, "prices/AAPL.csv", "2").await, Became::Run);
        finish(host).await;
        let items: Vec<String> = outputs(host).await.into_iter().map(|(item, _)| item).collect();
        assert_eq!(items, ["AAPL", "AAPL", "BRK.B"]);
    });
}

#[test]
fn a_file_of_no_item_is_rejected_with_its_reason() {
    play(async |host, compiled| {
        let long = "A".repeat(41);
        let shapes = ["A B", "-A", "A..B", "ñ", long.as_str()];
        for (ticker, reason) in std::iter::once(("MSFT", "the list of sales has no item 'MSFT'".to_owned()))
            .chain(shapes.map(|shape| (shape, format!("'{shape}' cannot be the key of an item"))))
            // Keys are told apart by their case.
            .chain([("aapl", "the list of sales has no item 'aapl'".to_owned())])
        {
            for key in [format!("prices/{ticker}.csv"), format!("days/{ticker}/1997-01-05.csv")] {
                assert_eq!(now_is(host, &key, "1").await, Became::Rejected, "{key}");
                assert_eq!(entry(host, &key).await.reason.as_deref(), Some(reason.as_str()), "{key}");
            }
        }
        finish(host).await;
        assert_eq!(runs(host).await, []);
        // One of them joins the list: what comes from then on is its.
        listing(host, compiled, &[LIST[0], LIST[1], ("MSFT", "low")]).await;
        assert_eq!(now_is(host, "prices/MSFT.csv", "2").await, Became::Run);
        // And leaves it.
        listing(host, compiled, &LIST).await;
        assert_eq!(now_is(host, "prices/MSFT.csv", "3").await, Became::Rejected);
        finish(host).await;
        let items: Vec<String> = outputs(host).await.into_iter().map(|(item, _)| item).collect();
        assert_eq!(items, ["MSFT"]);
    });
}

#[test]
fn a_dated_file_is_the_run_of_its_item_and_day() {
    play(async |host, _| {
        for key in ["days/AAPL/1997-01-05.csv", "days/BRK.B/1996-12-30.csv", "days/AAPL/1997-01-04.csv"] {
            assert_eq!(now_is(host, key, "1").await, Became::Run, "{key}");
        }
        // The schedule of an item's case says which days there are.
        let sunday = "days/BRK.B/1997-01-05.csv";
        assert_eq!(now_is(host, sunday, "1").await, Became::Rejected);
        let reason = entry(host, sunday).await.reason.unwrap();
        assert!(reason.contains("no data interval"), "{reason}");
        finish(host).await;
        assert_eq!(now_is(host, "days/AAPL/1997-01-05.csv", "2").await, Became::Run);
        finish(host).await;
        let mut ids: Vec<(String, u32)> =
            runs(host).await.into_iter().map(|run| (run.run.run_id, run.generation)).collect();
        ids.sort();
        let wanted = [("AAPL-1997-01-04", 1), ("AAPL-1997-01-05", 2), ("BRK.B-1996-12-30", 1)];
        assert_eq!(ids, wanted.map(|(id, generation)| (id.to_owned(), generation)));
    });
}

#[test]
fn files_that_are_collected_are_collected_by_item() {
    play(async |host, _| {
        for number in 0..30 {
            for ticker in ["AAPL", "BRK.B", "MSFT"] {
                assert_eq!(now_is(host, &format!("ticks/{ticker}/{number}.csv"), "1").await, Became::Waiting);
            }
        }
        at(host, 60).await;
        let told = |run: &RunRecord| {
            let listed = run.trigger.detail["events"].as_array().unwrap();
            let key = run.trigger.item.as_ref().unwrap().key.clone();
            let of_it =
                listed.iter().all(|event| event["key"].as_str().unwrap().contains(&format!("/{key}/")));
            (key, listed.len(), of_it)
        };
        let mut all: Vec<_> = runs(host).await.iter().map(told).collect();
        all.sort();
        assert_eq!(all, [("AAPL".to_owned(), 30, true), ("BRK.B".to_owned(), 30, true)]);
        // Whose item nobody knows is said when the time is over, of all of them at once.
        let refused: Vec<LedgerRecord> =
            sets(host).await.into_iter().filter(|entry| entry.became != Became::Run).collect();
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert_eq!(refused[0].became, Became::Rejected);
        assert_eq!(refused[0].reason.as_deref(), Some("the list of sales has no item 'MSFT'"));
    });
}

//! Of breakers, limits and pools that the project file has.

use super::{HAND, item, put, story, tell};
use crate::controls::project;
use crate::rivals::Held;
use cauce_engine::breaker::Verdict;
use cauce_engine::{Command, Reply};
use cauce_model::control::{BreakerRecord, OpenRecord, ProbeRecord, breaker_item, rate_item};
use cauce_model::record::Record;
use cauce_model::{Item, Key};
use cauce_ports::Clock as _;

async fn controls(host: &Held) {
    tell(host, Command::Define(Box::new(project().controls()))).await;
    tell(host, Command::Resize { pools: [("wide".to_owned(), 50)].into() }).await;
}

async fn breaker(host: &Held) -> BreakerRecord {
    BreakerRecord::from_item(&item(host, &breaker_item("erp")).await.unwrap()).unwrap()
}

#[test]
fn while_a_breaker_is_tried_out_others_have_no_say() {
    story(HAND, async |host| {
        controls(host).await;
        let now = host.world().clock.now();
        let mut record = breaker(host).await;
        let probe = Some(ProbeRecord { holder: "probe".to_owned(), since: now });
        record.open = Some(OpenRecord { at: now, until: Some(now), by: None, reason: None, probe });
        put(host, Item::new(breaker_item("erp"), record.to_body())).await;
        let report = |holder: &str, verdict: Verdict| Command::Report {
            breaker: "erp".to_owned(),
            holder: holder.to_owned(),
            verdict,
            at: now,
            reason: String::new(),
        };
        for verdict in [Verdict::Good, Verdict::Bad, Verdict::Neither] {
            tell(host, report("another", verdict)).await;
            assert_eq!(breaker(host).await, record, "{verdict:?}");
        }
        tell(host, report("probe", Verdict::Good)).await;
        assert_eq!(breaker(host).await.open, None);
    });
}

/// Who cannot wait as long as it takes takes nothing, and is in nobody's way.
#[test]
fn a_limit_gives_a_turn_or_nothing() {
    story(HAND, async |host| {
        controls(host).await;
        // Ten in sixty seconds: a turn every six.
        let take = async |within: Option<u64>| {
            let limit = "sec".to_owned();
            match tell(host, Command::Take { limit, tokens: 1, within_seconds: within }).await {
                Reply::Ok(told) => (told["taken"].as_bool().unwrap(), told["wait_micros"].as_i64().unwrap()),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(take(Some(0)).await, (true, 0));
        assert_eq!(take(Some(5)).await, (false, 6_000_000));
        assert_eq!(take(Some(6)).await, (true, 6_000_000));
        assert_eq!(take(Some(11)).await, (false, 12_000_000));
        assert_eq!(take(None).await, (true, 12_000_000));
        let taken = item(host, &rate_item("sec")).await.unwrap().body["taken"].clone();
        assert_eq!(taken, 3);
        let clock = host.world().clock.clone();
        clock.until(clock.now().plus_seconds(60)).await;
        assert_eq!(take(Some(0)).await, (true, 0));
    });
}

#[test]
fn what_is_as_it_should_be_is_not_written_again() {
    story(HAND, async |host| {
        controls(host).await;
        for key in [breaker_item("erp"), rate_item("sec"), Key::new("pool#wide", "P")] {
            let before = item(host, &key).await.unwrap().version;
            controls(host).await;
            assert_eq!(item(host, &key).await.unwrap().version, before, "{key:?}");
        }
    });
}

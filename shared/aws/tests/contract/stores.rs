//! The store and the objects, on both servers.

use crate::server::{Kind, Server, start};
use cauce_aws::objects::S3Objects;
use cauce_model::item::{Expect, Item, Key, Write};
use cauce_ports::{ObjectError, Objects, Table, TableError};
use cauce_testkit::pools::{
    heard_contract, joined_contract, left_contract, overtaken_contract, pool_contract,
};
use cauce_testkit::table::table_contract_without;
use futures_util::future::join_all;

async fn table_keeps_the_contract(server: &Server, left_out: &[(&str, &str)]) {
    let table = server.table("contract").await;
    table_contract_without(|| table.clone(), left_out).await;
}

fn put(sort: &str, expect: Expect) -> Write {
    Write::Put { item: Item::new(Key::new("repeats", sort), Default::default()), expect }
}

/// What the suite does not ask: tokens of several writes, unconditional ones among them.
async fn repeats_are_applied_once(server: &Server) {
    let table = server.table("repeats").await;
    let writes = [put("a", Expect::Absent), put("b", Expect::Any)];
    for _ in 0..3 {
        table.write(&writes, "two").await.unwrap();
    }
    let other = table.write(&[put("b", Expect::Any)], "two").await;
    assert!(matches!(other, Err(TableError::Refused(_))), "{other:?}");
    for sort in ["a", "b"] {
        assert_eq!(table.get(&Key::new("repeats", sort)).await.unwrap().unwrap().version, 1);
    }
    // A repeat of a single put after others have changed the item tells that it is another's now.
    table.write(&[put("c", Expect::Absent)], "c-1").await.unwrap();
    table.write(&[put("c", Expect::Any)], "c-2").await.unwrap();
    let late = table.write(&[put("c", Expect::Absent)], "c-1").await;
    assert_eq!(late, Err(TableError::Condition { failed: vec![0] }));
}

async fn objects_keep_the_contract(server: &Server) {
    let config = aws_sdk_s3::config::Builder::from(&server.sdk().await).force_path_style(true).build();
    aws_sdk_s3::Client::from_conf(config).create_bucket().bucket("docs").send().await.unwrap();
    let objects = S3Objects::new(&server.connection().await);
    let uri = "s3://docs/f/a b+c/ñ.csv";
    assert_eq!(objects.get(uri, 10).await, Ok(None));
    objects.put(uri, b"old").await.unwrap();
    objects.put(uri, b"new!").await.unwrap();
    assert_eq!(objects.get(uri, 4).await, Ok(Some(b"new!".to_vec())));
    assert!(matches!(objects.get(uri, 3).await, Err(ObjectError::TooLarge { bytes: 4, .. })));
    for key in ["b/x", "a", "b.c", "b/a/y"] {
        objects.put(&format!("s3://docs/l/{key}"), b"12").await.unwrap();
    }
    let listed = objects.list("s3://docs/l/", 3).await.unwrap();
    let uris: Vec<&str> = listed.iter().map(|info| info.uri.as_str()).collect();
    assert_eq!(uris, ["s3://docs/l/a", "s3://docs/l/b.c", "s3://docs/l/b/a/y"]);
    assert!(listed.iter().all(|info| info.bytes == 2));
    assert!(!objects.get("s3://nobody/x", 1).await.unwrap_err().retryable());
}

/// More objects than one answer of a listing holds, and what is told when S3 will not or cannot.
async fn objects_say_what_time_mends(server: &Server) {
    let objects = S3Objects::new(&server.connection().await);
    let keys: Vec<String> = (0..1_005).map(|number| format!("s3://docs/many/{number:04}")).collect();
    for some in keys.chunks(100) {
        join_all(some.iter().map(|uri| objects.put(uri, b"")))
            .await
            .into_iter()
            .collect::<Result<(), _>>()
            .unwrap();
    }
    let listed = objects.list("s3://docs/many/", 1_003).await.unwrap();
    let uris: Vec<&String> = listed.iter().map(|info| &info.uri).collect();
    assert_eq!(uris, keys[..1_003].iter().collect::<Vec<_>>());
    assert_eq!(objects.list("s3://docs/none/", 10).await, Ok(Vec::new()));

    let uri = "s3://docs/many/0000";
    for (code, status, times, wanted) in [
        ("SlowDown", 503, 3, ObjectError::Throttled),
        ("AccessDenied", 403, 1, ObjectError::Denied(uri.to_owned())),
    ] {
        server.fail("GetObject", times, code, status);
        assert_eq!(objects.get(uri, 10).await, Err(wanted.clone()));
        server.fail("PutObject", times, code, status);
        assert_eq!(objects.put(uri, b"").await, Err(wanted));
    }
    server.fail("GetObject", 3, "InternalError", 500);
    assert!(objects.get(uri, 10).await.unwrap_err().retryable());
    server.fail("PutObject", 2, "SlowDown", 503);
    assert_eq!(objects.put(uri, b"").await, Ok(()), "the client tries again by itself");
}

#[tokio::test]
async fn stores_on_ministack() {
    let Some(server) = start(Kind::Ministack) else { return };
    objects_keep_the_contract(&server).await;
    objects_say_what_time_mends(&server).await;
    repeats_are_applied_once(&server).await;
    table_keeps_the_contract(&server, MINISTACK).await;
}

/// Not on moto: it updates items without a lock (see [`MOTO`]), which is what slots are taken by.
#[tokio::test]
async fn pools_are_held_on_ministack() {
    let Some(server) = start(Kind::Ministack) else { return };
    let table = server.table("pools").await;
    pool_contract(table.clone(), 7, 16).await;
    overtaken_contract(table.clone(), 8).await;
    left_contract(table.clone(), 9).await;
    joined_contract(table.clone(), 10).await;
    heard_contract(table, 11).await;
}

#[tokio::test]
async fn stores_on_moto() {
    let Some(server) = start(Kind::Moto) else { return };
    objects_keep_the_contract(&server).await;
    repeats_are_applied_once(&server).await;
    table_keeps_the_contract(&server, MOTO).await;
}

/// Checks that ministack 1.5.33 cannot pass, with what it does wrong.
const MINISTACK: &[(&str, &str)] = &[];

/// Checks that moto cannot pass, with what it does wrong.
const MOTO: &[(&str, &str)] = &[
    ("items_have_a_greatest_size", "moto 5.2.5 refuses items above 405,000 bytes; DynamoDB takes 409,600"),
    ("concurrent_updates_all_count", "moto 5.2.5 updates items without a lock and loses additions"),
    ("one_of_many_concurrent_puts_wins", "moto 5.2.5 checks and puts without a lock"),
];

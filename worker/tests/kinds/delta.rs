//! Delta tables from outside: what replaces what, and what a second run changes.

use serde_json::{Value, json};

use crate::lake::Lake;

fn table() -> Value {
    json!({"uri": "t", "format": "delta"})
}

/// Writes `rows` (day, region, amount) with an output mapping.
fn write(lake: &Lake, rows: &str, output: Value) -> crate::lake::Ran {
    lake.write("in.csv", format!("day,region,amount\n{rows}"));
    let columns = json!({"day": "date", "region": "string", "amount": "decimal(9,2)"});
    let mut target = json!({"uri": "t", "format": "delta", "partition_by": ["region"]});
    target.as_object_mut().unwrap().extend(output.as_object().unwrap().clone());
    lake.run(
        "sql",
        json!({"inputs": {"i": {"uri": "in.csv", "columns": columns}}, "query": "SELECT * FROM i", "output": target}),
    )
}

fn rows(lake: &Lake) -> Vec<String> {
    lake.query(table(), "SELECT day, region, amount FROM t ORDER BY day, region, amount")
}

fn day(day: &str) -> Value {
    json!({"mode": "overwrite_partitions", "replace": {"day": day}})
}

#[test]
fn a_day_is_replaced_as_often_as_it_is_run_and_no_other_day_is_touched() {
    let lake = Lake::new();
    for (date, rows) in [
        ("1997-01-01", "1997-01-01,EU,1.00\n1997-01-01,NA,2.00\n"),
        ("1997-01-02", "1997-01-02,EU,3.00\n"),
        ("1997-01-02", "1997-01-02,EU,3.00\n"),
        ("1997-01-01", "1997-01-01,EU,9.00\n1997-01-01,,5.00\n"),
    ] {
        let ran = write(&lake, rows, day(date));
        assert_eq!(ran.code, 0, "{}", ran.log);
    }
    assert_eq!(rows(&lake), ["1997-01-01,EU,9.00", "1997-01-01,,5.00", "1997-01-02,EU,3.00"]);
    // Four commits, and the last says so.
    let answer = write(&lake, "1997-01-02,EU,3.00\n", day("1997-01-02")).answer;
    assert_eq!((&answer["version"], &answer["rows"], &answer["files"]), (&json!(4), &json!(1), &json!(1)));
    assert!(answer["bytes"].as_u64().unwrap() > 0);
    // An earlier version stays readable.
    assert_eq!(
        lake.query(json!({"uri": "t", "format": "delta", "version": 0}), "SELECT count(*) FROM t"),
        ["2"]
    );
    // A day without rows is replaced by nothing.
    assert_eq!(write(&lake, "", day("1997-01-01")).code, 0);
    assert_eq!(rows(&lake), ["1997-01-02,EU,3.00"]);
}

#[test]
fn rows_outside_the_replaced_ones_are_refused() {
    let lake = Lake::new();
    let ran = write(&lake, "1997-01-01,EU,1.00\n1997-01-02,EU,1.00\n", day("1997-01-01"));
    assert_eq!(ran.code, 1, "{}", ran.log);
    assert!(ran.log.contains("1 rows of the result are outside"), "{}", ran.log);
    assert!(!lake.path("t").exists());
}

#[test]
fn the_partitions_of_the_result_are_replaced_where_none_are_named() {
    let lake = Lake::new();
    let replace = || json!({"mode": "overwrite_partitions"});
    assert_eq!(write(&lake, "1997-01-01,EU,1.00\n1997-01-01,NA,2.00\n1997-01-01,,3.00\n", replace()).code, 0);
    assert_eq!(write(&lake, "1997-01-02,EU,4.00\n1997-01-02,,5.00\n", replace()).code, 0);
    assert_eq!(rows(&lake), ["1997-01-01,NA,2.00", "1997-01-02,EU,4.00", "1997-01-02,,5.00"]);
    assert_eq!(write(&lake, "", replace()).code, 0);
    assert_eq!(rows(&lake).len(), 3);
}

#[test]
fn append_adds_and_overwrite_takes_all() {
    let lake = Lake::new();
    for _ in 0..2 {
        assert_eq!(write(&lake, "1997-01-01,EU,1.00\n", json!({"mode": "append"})).code, 0);
    }
    assert_eq!(rows(&lake).len(), 2);
    let ran = write(&lake, "1997-01-03,EU,7.00\n", json!({"mode": "overwrite"}));
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert_eq!(rows(&lake), ["1997-01-03,EU,7.00"]);
    // Overwriting is also how the columns of a table change.
    lake.done("sql", json!({"query": "SELECT 1 AS other", "output": table()}));
    assert_eq!(lake.query(table(), "SELECT * FROM t"), ["1"]);
}

#[test]
fn tasks_that_write_different_days_at_once_all_arrive() {
    let lake = Lake::new();
    assert_eq!(write(&lake, "1997-01-01,EU,1.00\n", day("1997-01-01")).code, 0);
    std::thread::scope(|scope| {
        for number in 2..6 {
            let lake = &lake;
            scope.spawn(move || {
                let query = format!("SELECT CAST('1997-01-0{number}' AS DATE) AS day, 'EU' AS region, CAST(1 AS DECIMAL(9,2)) AS amount");
                let output = json!({"uri": "t", "format": "delta", "partition_by": ["region"],
                                    "mode": "overwrite_partitions", "replace": {"day": format!("1997-01-0{number}")}});
                let status = std::process::Command::new(env!("CARGO_BIN_EXE_cauce-worker"))
                    .arg("sql")
                    .current_dir(lake.path(""))
                    .env("CAUCE_CONFIG", json!({"query": query, "output": output}).to_string())
                    .output()
                    .unwrap();
                assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
            });
        }
    });
    assert_eq!(lake.query(table(), "SELECT count(*), count(DISTINCT day) FROM t"), ["5,5"]);
}

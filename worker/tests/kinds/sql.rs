//! Queries: bound parameters, exact money, refused statements.

use serde_json::{Value, json};

use crate::lake::Lake;

fn sales() -> Value {
    json!({"uri": "s.csv", "columns": {"who": "string", "amount": "decimal(12,2)"}})
}

#[test]
fn a_parameter_is_a_value_and_never_text_of_the_query() {
    let lake = Lake::new();
    lake.write("s.csv", "who,amount\nana,1.00\nbob,2.00\n");
    let select = |who: &str| {
        lake.done(
            "sql",
            json!({"inputs": {"s": sales()}, "query": "SELECT count(*) AS n FROM s WHERE who = $who",
                   "params": {"who": who}}),
        )["row"]["n"]
            .clone()
    };
    assert_eq!(select("ana"), 1);
    assert_eq!(select("x' OR '1'='1"), 0);
    assert_eq!(select("'; DROP TABLE s; --"), 0);
    let typed = lake.done(
        "sql",
        json!({"query": "SELECT $a + 1 AS a, $b AS b, $c AS c, CAST($d AS DATE) AS d, $e AS e",
               "params": {"a": 41, "b": 1.5, "c": true, "d": "1997-01-05", "e": null}}),
    );
    assert_eq!(typed["row"], json!({"a": 42, "b": 1.5, "c": true, "d": "1997-01-05", "e": null}));
}

#[test]
fn money_sums_to_the_cent() {
    let lake = Lake::new();
    // A tenth has no exact binary fraction: ten thousand of them as floats are off in the last digits.
    let rows: String =
        (0..10_000).map(|n| format!("c{n},{}\n", if n % 2 == 0 { "0.10" } else { "33.33" })).collect();
    lake.write("s.csv", format!("who,amount\n{rows}"));
    lake.done(
        "sql",
        json!({"inputs": {"s": sales()}, "query": "SELECT sum(amount) AS total, round(sum(amount) / count(*), 2) AS mean FROM s",
               "output": "sum.csv"}),
    );
    let text = lake.read("sum.csv");
    let (total, mean) = text.lines().nth(1).unwrap().split_once(',').unwrap();
    // 5,000 * 0.10 + 5,000 * 33.33, and a ten-thousandth of it, rounded half away from zero.
    assert_eq!(total, "167150.00");
    assert!(mean.starts_with("16.72"), "{mean}");
    // The same through Delta and back.
    lake.done("sql", json!({"inputs": {"s": sales()}, "query": "SELECT * FROM s", "output": {"uri": "t", "format": "delta"}}));
    assert_eq!(
        lake.query(json!({"uri": "t", "format": "delta"}), "SELECT sum(amount) FROM t"),
        ["167150.00"]
    );
}

#[test]
fn only_one_select_is_run() {
    let lake = Lake::new();
    lake.write("s.csv", "who,amount\n");
    for query in [
        "CREATE TABLE x AS SELECT 1",
        "DROP TABLE s",
        "INSERT INTO s VALUES ('x', 1)",
        "COPY s TO 'out.csv'",
        "SET datafusion.execution.batch_size = 1",
        "SELECT 1; SELECT 2",
        "SELECT",
        "SELECT nobody FROM s",
        "SELECT * FROM elsewhere",
        "SELECT $unbound AS x",
        "SELECT who, who FROM s",
        "SELECT 1 AS a, 2 AS a",
    ] {
        let ran = lake.run("sql", json!({"inputs": {"s": sales()}, "query": query, "output": "o.csv"}));
        assert_eq!(ran.code, 2, "{query}: {}", ran.log);
        assert!(!lake.path("o.csv").exists());
    }
}

#[test]
fn a_configuration_error_and_missing_data_have_their_own_exit_codes() {
    let lake = Lake::new();
    lake.write("bad.csv", "who,amount\nana,lots\n");
    for (config, code, message) in [
        (json!({"query": "SELECT 1 AS a", "qeury": "x"}), 2, "unknown field `qeury`"),
        (json!({}), 2, "either `query` or `file`"),
        (json!({"file": "gone.sql"}), 2, "gone.sql, which is not there"),
        (json!({"inputs": {"s": "gone.csv"}, "query": "SELECT 1 AS a"}), 1, "nothing to read at"),
        (
            json!({"inputs": {"s": {"uri": "gone", "format": "delta"}}, "query": "SELECT 1 AS a"}),
            1,
            "nothing to read at",
        ),
        (json!({"inputs": {"s": "ftp://x/y.csv"}, "query": "SELECT 1 AS a"}), 2, "is not a location"),
        (
            json!({"inputs": {"s": {"uri": "bad.csv", "columns": {"amount": "decimal(5,2)"}}}, "query": "SELECT 1 AS a"}),
            1,
            "line 2: amount: `lots` is not a decimal(5,2)",
        ),
        (json!({"query": "SELECT CAST('x' AS INT) AS a"}), 1, "Cast error"),
        (json!({"query": "SELECT 1 AS a UNION ALL SELECT 2"}), 1, "must give one row; it gave 2"),
    ] {
        let ran = lake.run("sql", config.clone());
        assert_eq!(ran.code, code, "{config}: {}", ran.log);
        assert!(ran.log.contains(message), "{config}: {}", ran.log);
        assert_eq!(ran.answer, Value::Null);
    }
}

#[test]
fn rejected_rows_are_counted_once_however_often_the_query_reads_them() {
    let lake = Lake::new();
    lake.write("s.csv", "who,amount\nana,1.00\nbob,x\ncid,2.00,extra\n");
    let config = |max: Value| {
        json!({"inputs": {"s": sales()}, "rejects": "r.json", "max_rejects": max, "output": "o.csv",
               "query": "SELECT a.who FROM s a JOIN s b ON a.who = b.who WHERE EXISTS (SELECT 1 FROM s)"})
    };
    let answer = lake.done("sql", config(json!(2)));
    assert_eq!((&answer["rows"], &answer["rejected"]), (&json!(1), &json!(2)));
    assert_eq!(lake.lines("r.json").len(), 2);
    let ran = lake.run("sql", config(json!(1)));
    assert_eq!(ran.code, 1, "{}", ran.log);
    assert!(ran.log.contains("2 rows were rejected, more than max_rejects: 1"), "{}", ran.log);
}

#[test]
fn every_format_gives_the_same_rows_back() {
    let lake = Lake::new();
    lake.write("s.csv", "a,b,c,d,e,f\nx,1,1.25,true,1997-01-05,1997-01-05T10:00:00.5Z\n,,,,,\n\"q,\"\"\",-2,0.10,false,1970-01-01,1969-12-31T23:59:59Z\n");
    let columns = json!({"a": "string", "b": "integer", "c": "decimal(9,2)", "d": "boolean", "e": "date", "f": "timestamp"});
    let query = "SELECT * FROM t ORDER BY b";
    let expected = lake.query(json!({"uri": "s.csv", "columns": columns}), query);
    assert_eq!(expected.len(), 3);
    for uri in ["o.csv", "o.json", "o.parquet", "folder/"] {
        lake.done("sql", json!({"inputs": {"t": {"uri": "s.csv", "columns": columns}}, "query": "SELECT * FROM t", "output": uri}));
        let format = if uri == "folder/" { "parquet" } else { &uri[2..] };
        let back = lake.query(json!({"uri": uri, "format": format, "columns": columns}), query);
        assert_eq!(back, expected, "{uri}");
    }
    lake.done(
        "sql",
        json!({"inputs": {"t": {"uri": "s.csv", "columns": columns}}, "query": "SELECT * FROM t", "output": {"uri": "d", "format": "delta"}}),
    );
    assert_eq!(lake.query(json!({"uri": "d", "format": "delta"}), query), expected);
}

#[test]
fn an_optional_input_that_is_not_there_is_an_empty_table() {
    let lake = Lake::new();
    let answer = lake.done(
        "sql",
        json!({"inputs": {"s": {"uri": "gone/*.csv", "optional": true, "columns": {"a": "integer"}},
                          "d": {"uri": "gone", "format": "delta", "optional": true, "columns": {"b": "decimal(9,2)"}}},
               "query": "SELECT count(*) + (SELECT count(b) FROM d) AS n FROM s WHERE a > 1"}),
    );
    assert_eq!(answer["row"]["n"], 0);
}

#[test]
fn the_masking_functions_are_there_in_sql() {
    let lake = Lake::new();
    let answer = lake.done(
        "sql",
        json!({"query": "SELECT mask_email('ana@x.org') AS e, mask_card('4111111111111234') AS c, mask_redact('z') AS r"}),
    );
    assert_eq!(answer["row"], json!({"e": "an****@x.org", "c": "****-1234", "r": "[redacted]"}));
}

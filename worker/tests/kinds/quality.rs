//! Every check, held against rows that violate it and rows that do not.

use serde_json::{Value, json};

use crate::lake::Lake;

const ROWS: &str = "\
id,customer,day,amount,region,email
a,1,1997-01-05,10.00,EU,a@x.org
b,2,1997-01-05,0.00,NA,b@x.org
b,,1997-01-05,5.50,EU,none
c,9,1997-01-04,-1.00,MARS,
d,3,1997-01-05,100.00,,d@x.org
";

fn source() -> Value {
    json!({"uri": "v.csv", "columns": {
        "id": "string", "customer": "integer", "day": "date", "amount": "decimal(12,2)", "region": "string",
        "email": "string",
    }})
}

fn lake() -> Lake {
    let lake = Lake::new();
    lake.write("v.csv", ROWS);
    lake.write("customers.csv", "id\n1\n2\n3\n");
    lake
}

/// Runs one check and returns its finding.
fn one(check: Value) -> Value {
    let lake = lake();
    let config = json!({
        "source": source(), "checks": [check], "on_fail": "record",
        "references": {"customers": {"uri": "customers.csv", "columns": {"id": "integer"}}},
    });
    lake.done("quality", config)["checks"][0].take()
}

#[test]
fn each_row_check_counts_the_rows_that_violate_it() {
    for (check, violations) in [
        (json!({"not_null": "customer"}), 1),
        (json!({"not_null": ["customer", "region"]}), 2),
        (json!({"not_null": ["id"]}), 0),
        (json!({"unique": ["id"]}), 2),
        (json!({"unique": ["id", "customer"]}), 0),
        (json!({"between": {"column": "amount", "min": 0}}), 1),
        (json!({"between": {"column": "amount", "min": 0, "exclusive": true}}), 2),
        (json!({"between": {"column": "amount", "min": 0, "max": 99.99}}), 2),
        (json!({"between": {"column": "day", "min": "1997-01-05", "max": "1997-01-05"}}), 1),
        (json!({"in_set": {"column": "region", "values": ["EU", "NA"]}}), 1),
        (json!({"in_set": {"column": "customer", "values": [1, 2, 3, 9]}}), 0),
        (json!({"regex": {"column": "email", "pattern": "^[^@]+@[^@]+$"}}), 1),
        (json!({"referential": {"column": "customer", "to": "customers", "key": "id"}}), 1),
        (json!({"expression": "amount >= 0 AND customer IS NOT NULL"}), 2),
        (json!({"expression": {"sql": "day = CAST($ds AS DATE)", "params": {"ds": "1997-01-05"}}}), 1),
        // A null is not true.
        (json!({"expression": "region = 'EU' OR region = 'NA'"}), 2),
    ] {
        let finding = one(check.clone());
        assert_eq!(finding["violations"], violations, "{check}");
        assert_eq!(finding["passed"], violations == 0, "{check}");
        assert_eq!(finding["score"], json!(1.0 - f64::from(violations) / 5.0), "{check}");
    }
}

#[test]
fn each_table_check_says_what_it_saw() {
    for (check, passed, score) in [
        (json!({"row_count": {"min": 5, "max": 5}}), true, 1.0),
        (json!({"row_count": {"min": 6}}), false, 0.0),
        (json!({"row_count": {"max": 4}}), false, 0.0),
        (json!({"null_rate": {"column": "region", "max": 0.2}}), true, 0.8),
        (json!({"null_rate": {"column": "region", "max": 0.19}}), false, 0.8),
        (json!({"freshness": {"column": "day", "max_age": "24h"}}), true, 1.0),
        (json!({"freshness": {"column": "day", "max_age": "23h"}}), false, 0.0),
        (json!({"freshness": {"column": "day", "max_age": "30d", "at": "1997-01-05"}}), false, 0.0),
        (json!({"freshness": {"column": "day", "max_age": "1d", "at": "1997-01-06"}}), true, 1.0),
        (json!({"schema": {"columns": {"id": "string", "amount": "decimal(12,2)"}}}), true, 1.0),
        (json!({"schema": {"columns": {"id": "string"}, "strict": true}}), false, 0.0),
        (json!({"schema": {"columns": {"id": "integer", "gone": "date"}}}), false, 0.0),
    ] {
        let finding = one(check.clone());
        assert_eq!(
            (&finding["passed"], &finding["score"]),
            (&json!(passed), &json!(score)),
            "{check}: {finding}"
        );
    }
}

#[test]
fn the_suite_scores_by_weight_and_passes_by_severity() {
    let lake = lake();
    let suite = |severity: &str, min_score: f64| {
        lake.done(
            "quality",
            json!({"source": source(), "on_fail": "record", "min_score": min_score, "checks": [
                {"row_count": {"min": 1}, "weight": 3},
                {"not_null": "customer", "severity": severity, "name": "who"},
            ]}),
        )
    };
    let strict = suite("error", 0.0);
    assert_eq!((&strict["passed"], &strict["failed"]), (&json!(false), &json!(["who"])));
    // (3 * 1 + 1 * 0.8) / 4
    assert_eq!(strict["score"], 0.95);
    assert_eq!(suite("warning", 0.0)["passed"], true);
    assert_eq!(suite("warning", 0.96)["passed"], false);
}

#[test]
fn a_tolerance_lets_a_share_of_rows_pass() {
    assert_eq!(one(json!({"not_null": "customer", "tolerance": 0.2}))["passed"], true);
    assert_eq!(one(json!({"not_null": "customer", "tolerance": 0.19}))["passed"], false);
}

#[test]
fn bad_rows_are_written_down_once_with_all_their_reasons() {
    let lake = lake();
    lake.write("v.csv", format!("{ROWS}e,4,1997-01-05,N/A,EU,e@x.org\n"));
    let ran = lake.run(
        "quality",
        json!({"source": source(), "rejects": "rejects.json", "report": "report.json", "checks": [
            {"between": {"column": "amount", "min": 0}},
            {"in_set": {"column": "region", "values": ["EU", "NA"]}},
            {"regex": {"column": "email", "pattern": "@"}, "severity": "warning"},
        ]}),
    );
    assert_eq!(ran.code, 1, "{}", ran.log);
    assert!(
        ran.log.contains("quality checks failed: readable, between(amount), in_set(region)"),
        "{}",
        ran.log
    );
    let rejects = lake.lines("rejects.json");
    assert_eq!(rejects.len(), 2);
    assert_eq!(rejects[0]["line"], 7);
    assert_eq!(rejects[0]["reason"], "amount: `N/A` is not a decimal(12,2)");
    assert_eq!(rejects[1]["reason"], "between(amount); in_set(region)");
    assert_eq!(rejects[1]["record"]["id"], "c");
    // The answer and the report are there although the task failed.
    let report: Value = serde_json::from_str(&lake.read("report.json")).unwrap();
    assert_eq!(report["run_id"], "1997-01-05");
    for figures in [&ran.answer, &report] {
        assert_eq!(figures["passed"], false);
        assert_eq!(
            (&figures["rows"], &figures["rejected"], &figures["unreadable"]),
            (&json!(5), &json!(2), &json!(1))
        );
        assert_eq!(figures["checks"].as_array().unwrap().len(), 4);
    }
    assert!(!ran.log.contains("a@x.org"), "the log holds no cell of data");
}

#[test]
fn an_unreadable_row_fails_the_task_where_nobody_collects_it() {
    let lake = lake();
    lake.write("v.csv", "id,customer\na,x\n");
    let config = json!({"source": {"uri": "v.csv", "columns": {"customer": "integer"}}, "on_fail": "record",
                        "checks": [{"row_count": {"min": 0}}]});
    let ran = lake.run("quality", config.clone());
    assert_eq!(ran.code, 1);
    assert!(ran.log.contains("line 2: customer: `x` is not an integer"), "{}", ran.log);
    let mut allowed = config;
    allowed["rejects"] = "r.json".into();
    assert_eq!(lake.done("quality", allowed.clone())["passed"], false);
    allowed["max_rejects"] = 1.into();
    assert_eq!(lake.done("quality", allowed)["passed"], true);
}

#[test]
fn a_wrong_suite_is_refused_before_anything_is_read() {
    let lake = lake();
    for (checks, message) in [
        (json!([]), "`checks` is empty"),
        (json!([{"not_nul": "id"}]), "`not_nul` is not a check"),
        (json!([{"not_null": "id", "unique": "id"}]), "exactly one"),
        (json!([{"not_null": "id"}, {"not_null": "id"}]), "two checks are named `not_null(id)`"),
        (json!([{"between": {"column": "amount"}}]), "say `min`, `max` or both"),
        (json!([{"between": {"column": "amount", "min": "ten"}}]), "`ten` is not a"),
        (json!([{"regex": {"column": "id", "pattern": "("}}]), "regex"),
        (json!([{"not_null": "nowhere"}]), "nowhere"),
        (json!([{"referential": {"column": "id", "to": "nobody"}}]), "`references` has no `nobody`"),
        (json!([{"expression": "amount >"}]), "expression"),
        (json!([{"row_count": {"min": 1}, "tolerance": 0.5}]), "`tolerance` is for checks of rows"),
        (json!([{"freshness": {"column": "day", "max_age": "1 day"}}]), "is not a duration"),
    ] {
        let ran = lake.run("quality", json!({"source": source(), "checks": checks}));
        assert_eq!(ran.code, 2, "{checks}: {}", ran.log);
        assert!(ran.log.contains(message), "{checks}: {}", ran.log);
    }
}

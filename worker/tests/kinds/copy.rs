//! Copies: whole, checked, and changing nothing the second time.

use serde_json::json;

use crate::lake::{Lake, tree};

#[test]
fn files_arrive_under_their_names_and_a_second_run_changes_nothing() {
    let lake = Lake::new();
    lake.write("in/a.csv", "1\n");
    lake.write("in/b c.csv", [0xff, 0, 10]);
    lake.write("in/deep/d.txt", "no");
    let config = json!({"from": ["in/a.csv", "in/b*.csv"], "to": "raw/"});
    let first = lake.done("copy", config.clone());
    assert_eq!((&first["files"], &first["copied"], &first["bytes"]), (&json!(2), &json!(2), &json!(5)));
    assert_eq!(tree(&lake.path("raw")), ["a.csv", "b c.csv"]);
    assert_eq!(std::fs::read(lake.path("raw/b c.csv")).unwrap(), [0xff, 0, 10]);
    // printf '1\n' | sha256sum
    let known = "4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865";
    assert_eq!(first["checksums"]["a.csv"], known);
    let second = lake.done("copy", config.clone());
    assert_eq!((&second["copied"], &second["unchanged"]), (&json!(0), &json!(2)));
    // Same size, other bytes: the checksum notices.
    lake.write("raw/a.csv", "2\n");
    assert_eq!(lake.done("copy", config)["copied"], 1);
    assert_eq!(lake.read("raw/a.csv"), "1\n");
}

#[test]
fn one_file_may_get_another_name() {
    let lake = Lake::new();
    lake.write("a.csv", "1\n");
    lake.done("copy", json!({"from": "a.csv", "to": "out/renamed.csv"}));
    assert_eq!(lake.read("out/renamed.csv"), "1\n");
}

#[test]
fn too_few_files_and_equal_names_fail_the_data() {
    let lake = Lake::new();
    lake.write("a/x.csv", "1\n");
    lake.write("b/x.csv", "2\n");
    for (config, message) in [
        (json!({"from": "none/*.csv", "to": "raw/"}), "nothing to copy at"),
        (json!({"from": ["a/x.csv", "b/y.csv"], "to": "raw/"}), "nothing to copy at"),
        (json!({"from": "a/*.csv", "to": "raw/", "min_files": 2}), "1 files to copy, fewer than 2"),
        (json!({"from": ["a/*.csv", "b/*.csv"], "to": "raw/"}), "have the same name"),
    ] {
        let ran = lake.run("copy", config);
        assert_eq!(ran.code, 1, "{}", ran.log);
        assert!(ran.log.contains(message), "{}", ran.log);
        assert!(!lake.path("raw").exists());
    }
    assert_eq!(lake.done("copy", json!({"from": "none/*.csv", "to": "raw/", "min_files": 0}))["files"], 0);
}

#[test]
fn a_conversion_reads_rows_and_rejects_those_it_cannot() {
    let lake = Lake::new();
    lake.write("c.txt", " id  amount\n 1  2.50\n 2  x\n 3  4.00\n");
    let answer = lake.done(
        "copy",
        json!({"from": {"uri": "c.txt", "format": "csv", "delimiter": "whitespace",
                        "columns": {"id": "integer", "amount": "decimal(8,2)"}},
               "to": {"uri": "c.parquet"}, "rejects": "r.json"}),
    );
    assert_eq!((&answer["rows"], &answer["rejected"]), (&json!(2), &json!(1)));
    assert_eq!(lake.query(json!("c.parquet"), "SELECT sum(amount) FROM t"), ["6.50"]);
    let refused = lake.run("copy", json!({"from": "c.txt", "to": "d.txt", "rejects": "r.json"}));
    assert_eq!(refused.code, 2, "{}", refused.log);
}

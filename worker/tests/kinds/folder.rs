//! Folders of Parquet files from outside: modes, partitions, and what other tools would see.

use serde_json::{Value, json};

use crate::lake::{Lake, Ran, tree};

fn write(lake: &Lake, rows: &str, output: Value, run_id: &str) -> Ran {
    lake.write("in.csv", format!("day,region,amount\n{rows}"));
    let mut target = json!({"uri": "t/", "partition_by": ["day", "region"]});
    target.as_object_mut().unwrap().extend(output.as_object().unwrap().clone());
    let columns = json!({"day": "date", "region": "string", "amount": "decimal(9,2)"});
    lake.run_with(
        "sql",
        json!({"inputs": {"i": {"uri": "in.csv", "columns": columns}}, "query": "SELECT * FROM i", "output": target}),
        &[("CAUCE_RUN_ID", run_id)],
    )
}

fn rows(lake: &Lake) -> Vec<String> {
    lake.query(
        json!({"uri": "t/", "format": "parquet"}),
        "SELECT day, region, amount FROM t ORDER BY 1, 2, 3",
    )
}

#[test]
fn partitions_are_folders_and_come_back_as_columns() {
    let lake = Lake::new();
    let ran = write(
        &lake,
        "1997-01-02,a/b %,1.00\n1997-01-01,,2.00\n1997-01-01,ñ,3.00\n1997-01-01,ñ,4.00\n",
        json!({}),
        "r",
    );
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert_eq!((&ran.answer["rows"], &ran.answer["files"]), (&json!(4), &json!(3)));
    let folders: Vec<String> =
        tree(&lake.path("t")).iter().map(|file| file.rsplit_once('/').unwrap().0.to_owned()).collect();
    assert_eq!(
        folders,
        [
            "day=1997-01-01/region=__HIVE_DEFAULT_PARTITION__",
            "day=1997-01-01/region=ñ",
            "day=1997-01-02/region=a%2Fb%20%25"
        ]
    );
    assert_eq!(
        rows(&lake),
        ["1997-01-01,ñ,3.00", "1997-01-01,ñ,4.00", "1997-01-01,,2.00", "1997-01-02,a/b %,1.00"]
    );
}

#[test]
fn modes_replace_what_they_say_and_leave_no_litter() {
    let lake = Lake::new();
    let partitions = || json!({"mode": "overwrite_partitions"});
    let one_day = || json!({"mode": "overwrite_partitions", "replace": {"day": "1997-01-01"}});
    assert_eq!(
        write(&lake, "1997-01-01,EU,1.00\n1997-01-01,NA,2.00\n1997-01-02,EU,3.00\n", json!({}), "r1").code,
        0
    );
    assert_eq!(write(&lake, "1997-01-01,EU,9.00\n", partitions(), "r2").code, 0);
    assert_eq!(rows(&lake), ["1997-01-01,EU,9.00", "1997-01-01,NA,2.00", "1997-01-02,EU,3.00"]);
    assert_eq!(write(&lake, "1997-01-01,EU,8.00\n", one_day(), "r3").code, 0);
    assert_eq!(rows(&lake), ["1997-01-01,EU,8.00", "1997-01-02,EU,3.00"]);
    let outside = write(&lake, "1997-01-02,EU,8.00\n", one_day(), "r4");
    assert_eq!(outside.code, 1, "{}", outside.log);
    assert_eq!(rows(&lake).len(), 2);
    assert!(tree(&lake.path("t")).iter().all(|file| !file.contains('_')), "{:?}", tree(&lake.path("t")));
}

#[test]
fn a_retried_append_replaces_its_own_files_and_another_runs_adds() {
    let lake = Lake::new();
    let append = || json!({"mode": "append"});
    for run in ["r1", "r1", "r2"] {
        assert_eq!(write(&lake, "1997-01-01,EU,1.00\n", append(), run).code, 0);
    }
    assert_eq!(rows(&lake).len(), 2);
}

#[test]
fn csv_and_json_folders_are_overwritten_too() {
    let lake = Lake::new();
    for format in ["csv", "json"] {
        for value in [1, 2] {
            lake.done(
                "sql",
                json!({"query": format!("SELECT {value} AS a"), "output": {"uri": "f/", "format": format}}),
            );
        }
        let input = json!({"uri": "f/", "format": format, "columns": {"a": "integer"}});
        assert_eq!(lake.query(input, "SELECT a FROM t"), ["2"]);
    }
}

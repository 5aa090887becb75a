//! Ten times the rows in about the same memory.

use std::io::Write;

use serde_json::json;

use crate::lake::Lake;

/// Peak resident memory, in KiB, of a task that reads, types, queries and partitions `rows` rows.
fn peak_kib(rows: u32, query: &str, partition_by: &[&str]) -> u64 {
    let lake = Lake::new();
    let mut file = std::io::BufWriter::new(std::fs::File::create(lake.path("big.csv")).unwrap());
    writeln!(file, "id,key,text,amount").unwrap();
    for row in 0..rows {
        // A fixed mixing of the row's number: every order of it is as good as random, and the same every time.
        let key = row.wrapping_mul(2_654_435_761) % 1_000_003;
        writeln!(
            file,
            "{row},{key},a text that is long enough to weigh something {key},{}.{:02}",
            key % 1000,
            key % 100
        )
        .unwrap();
    }
    file.flush().unwrap();
    let ran = lake.run(
        "sql",
        json!({
            "inputs": {"b": {"uri": "big.csv", "columns": {
                "id": "integer", "key": "integer", "text": "string", "amount": "decimal(12,2)"}}},
            "query": query,
            "output": {"uri": "out/", "partition_by": partition_by},
            "memory_mib": 32,
        }),
    );
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert!(ran.answer["rows"].as_u64().unwrap() > u64::from(rows) * 9 / 10);
    let done: serde_json::Value = serde_json::from_str(ran.log.lines().last().unwrap()).unwrap();
    done["peak_memory_kib"].as_u64().unwrap()
}

#[test]
fn memory_stays_flat_as_rows_grow_tenfold() {
    if !cfg!(target_os = "linux") {
        eprintln!("skipped: needs Linux, whose /proc tells the peak memory");
        return;
    }
    let streamed = |rows| peak_kib(rows, "SELECT * FROM b WHERE key > 10", &[]);
    let sorted = |rows| peak_kib(rows, "SELECT *, id % 3 AS part FROM b ORDER BY key, id", &["part"]);
    for (how, peak, may_grow_mib) in [
        // The file grows by 27 MB, its rows in memory by more; what may grow are buffers that the small file does not fill.
        ("streamed", &streamed as &dyn Fn(u32) -> u64, 20),
        // A sort fills its 32 MiB only with the large file, and merges what it spilled.
        ("sorted", &sorted, 56),
    ] {
        let (small, large) = (peak(40_000), peak(400_000));
        eprintln!("peak memory, {how}: {small} KiB for 40,000 rows, {large} KiB for 400,000");
        assert!(large < small + may_grow_mib * 1024, "{how}: {small} KiB grew to {large} KiB");
    }
}

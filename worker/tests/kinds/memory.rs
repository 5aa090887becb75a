//! Ten times the rows in about the same memory.

use std::io::Write;

use serde_json::json;

use crate::lake::Lake;

/// Peak resident memory, in KiB, of a task that checks, sorts and partitions `rows` rows.
fn peak_kib(rows: u32) -> u64 {
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
            "query": "SELECT id, key, text, amount, id % 3 AS part FROM b ORDER BY key, id",
            "output": {"uri": "sorted/", "partition_by": ["part"]},
            "memory_mib": 32,
        }),
    );
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert_eq!(ran.answer["rows"], rows);
    let done: serde_json::Value = serde_json::from_str(ran.log.lines().last().unwrap()).unwrap();
    done["peak_memory_kib"].as_u64().unwrap()
}

#[test]
fn memory_stays_flat_as_rows_grow_tenfold() {
    if !cfg!(target_os = "linux") {
        eprintln!("skipped: needs Linux, whose /proc tells the peak memory");
        return;
    }
    let (small, large) = (peak_kib(60_000), peak_kib(600_000));
    eprintln!("peak memory: {small} KiB for 60,000 rows, {large} KiB for 600,000");
    // The file grows by 45 MB; memory may grow by what buffers and allocator slack need to fill up.
    assert!(large < small + 48 * 1024, "{small} KiB grew to {large} KiB");
}

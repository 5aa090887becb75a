//! Why a data task failed, in the words that it left in its log: its exit code alone says little.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use cauce_model::Json;

/// So much of a log's end is looked at, in bytes. The last word is its last line but a few.
const TAIL_BYTES: u64 = 16 * 1024;

/// So much of a message is shown, in characters; the log has it whole.
const SHOWN_MAX: usize = 300;

/// The first line of what the worker said last, if that is why it failed. The log is without secrets.
pub(crate) fn of_log(path: &Path) -> Option<String> {
    // A log that is gone or cannot be read says nothing; `cauce logs` says that.
    let tail = tail(path).ok()?;
    let last = String::from_utf8_lossy(&tail);
    let event: Json = last.lines().rev().find_map(|line| serde_json::from_str(line).ok())?;
    let message = event["message"].as_str().filter(|_| event["event"] == "failed")?;
    let line = message.lines().next().filter(|line| !line.is_empty())?;
    Some(match line.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    })
}

fn tail(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail)?;
    Ok(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_is_the_first_line_of_the_last_event_where_that_is_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let said = |log: &str| {
            std::fs::write(&path, log).unwrap();
            of_log(&path)
        };
        let failed =
            |message: &str| format!("{}\n", serde_json::json!({"event": "failed", "message": message}));
        assert_eq!(said(&format!("read\n{}", failed("no table\nat line 3"))).unwrap(), "no table");
        let long = said(&format!("{}\n{}", "x".repeat(40_000), failed(&"\u{e9}".repeat(400))));
        assert_eq!(long.unwrap(), format!("{}...", "\u{e9}".repeat(300)));
        for log in
            ["", "text\n", "{\"event\":\"done\"}\n", &format!("{}{{\"event\":\"done\"}}\n", failed("x"))]
        {
            assert_eq!(said(log), None, "{log}");
        }
        assert_eq!(of_log(&folder.path().join("none")), None);
    }
}

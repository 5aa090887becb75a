//! The log of one attempt: what its program printed, without secrets, of bounded size.
//!
//! The file keeps the first bytes and the last ones, each up to half of the bound. Past the first
//! half the file's second half is written round and round; [`Log::finish`] puts it in order. The
//! line between them tells how much was left out. A log never fails its task: when the disk refuses
//! it, what is printed is dropped, and the task's report says so.

use super::redact::Redactor;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Width of the number in the line between the halves: it is filled in at the end, in place.
const DIGITS: usize = 20;

fn between(left_out: u64) -> String {
    format!("\n[cauce: {left_out:>DIGITS$} bytes of this log were left out here]\n")
}

/// A log that is being written.
pub(super) struct Log {
    /// Absent once the disk refused it.
    file: Option<File>,
    problem: Option<String>,
    redactor: Redactor,
    ready: Vec<u8>,
    half: u64,
    /// Bytes given to the log so far, after redaction.
    written: u64,
}

impl Log {
    /// Begins a log of at most `bytes_max` bytes (and the line between its halves).
    pub(super) fn create(path: &Path, bytes_max: u64, redactor: Redactor) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Self::over(file, bytes_max, redactor))
    }

    fn over(file: File, bytes_max: u64, redactor: Redactor) -> Self {
        Self {
            file: Some(file),
            problem: None,
            redactor,
            ready: Vec::new(),
            half: (bytes_max / 2).max(1),
            written: 0,
        }
    }

    /// Takes in what the program printed.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        let mut ready = std::mem::take(&mut self.ready);
        self.redactor.push(chunk, &mut ready);
        self.write(&ready);
        ready.clear();
        self.ready = ready;
    }

    /// Writes the rest and puts the file in order. Returns what went wrong with it, if anything.
    pub(super) fn finish(&mut self) -> Option<String> {
        let mut ready = std::mem::take(&mut self.ready);
        self.redactor.finish(&mut ready);
        self.write(&ready);
        if let Some(file) = &mut self.file
            && let Err(error) = settle(file, self.half, self.written)
        {
            self.give_up(&error);
        }
        self.problem.take()
    }

    fn write(&mut self, bytes: &[u8]) {
        let Some(file) = &mut self.file else {
            return;
        };
        match place(file, self.half, self.written, bytes) {
            Ok(()) => self.written += bytes.len() as u64,
            Err(error) => self.give_up(&error),
        }
    }

    fn give_up(&mut self, error: &io::Error) {
        self.file = None;
        self.problem = Some(format!("the log is incomplete: {error}"));
    }
}

/// Where the second half begins.
fn tail_start(half: u64) -> u64 {
    half + between(0).len() as u64
}

/// Writes bytes that come after `written` others to their places.
fn place(file: &mut File, half: u64, written: u64, mut bytes: &[u8]) -> io::Result<()> {
    let mut at = written;
    while !bytes.is_empty() {
        let (offset, room) = if at < half {
            (at, half - at)
        } else {
            if at == half {
                file.seek(SeekFrom::Start(half))?;
                file.write_all(between(0).as_bytes())?;
            }
            let round = (at - half) % half;
            (tail_start(half) + round, half - round)
        };
        let length = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        let (now, later) = bytes.split_at(length);
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(now)?;
        bytes = later;
        at += length as u64;
    }
    Ok(())
}

/// Puts the second half in order, and its number into the line before it.
fn settle(file: &mut File, half: u64, written: u64) -> io::Result<()> {
    let Some(tail) = written.checked_sub(half).filter(|tail| *tail > 0) else {
        return Ok(());
    };
    if tail <= half {
        // Nothing was left out: the line goes, and the second half moves up.
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(tail_start(half)))?;
        file.read_to_end(&mut bytes)?;
        file.seek(SeekFrom::Start(half))?;
        file.write_all(&bytes)?;
        return file.set_len(written);
    }
    let mut ring = Vec::new();
    file.seek(SeekFrom::Start(tail_start(half)))?;
    file.read_to_end(&mut ring)?;
    ring.rotate_left(usize::try_from(tail % half).unwrap_or(0));
    file.seek(SeekFrom::Start(half))?;
    file.write_all(between(tail - half).as_bytes())?;
    file.write_all(&ring)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(bytes_max: u64, chunks: &[&[u8]]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.log");
        let mut log = Log::create(&path, bytes_max, Redactor::new([])).unwrap();
        for chunk in chunks {
            log.push(chunk);
        }
        assert_eq!(log.finish(), None);
        std::fs::read(path).unwrap()
    }

    #[test]
    fn a_log_up_to_the_bound_is_kept_as_it_is() {
        let bytes: Vec<u8> = (0..20).collect();
        for length in 0..=20 {
            for chunk in [1, 3, 7, 20] {
                let chunks: Vec<&[u8]> = bytes[..length].chunks(chunk).collect();
                assert_eq!(logged(20, &chunks), bytes[..length], "{length} by {chunk}");
            }
        }
    }

    #[test]
    fn a_longer_log_keeps_both_ends_and_says_what_is_missing() {
        let bytes: Vec<u8> = (0..200).collect();
        for length in (21..=60).chain([61, 70, 199, 200]) {
            for chunk in [1, 7, 64, 200] {
                let chunks: Vec<&[u8]> = bytes[..length].chunks(chunk).collect();
                let mut expected = bytes[..10].to_vec();
                expected.extend_from_slice(between(length as u64 - 20).as_bytes());
                expected.extend_from_slice(&bytes[length - 10..length]);
                assert_eq!(logged(20, &chunks), expected, "{length} by {chunk}");
            }
        }
    }

    #[test]
    fn a_full_disk_is_told_and_stops_nothing() {
        let Ok(full) = File::options().read(true).write(true).open("/dev/full") else {
            println!("skipped: needs /dev/full");
            return;
        };
        let mut log = Log::over(full, 1_000, Redactor::new([]));
        log.push(b"lost");
        log.push(b"lost as well");
        let problem = log.finish().unwrap();
        assert!(problem.starts_with("the log is incomplete: "), "{problem}");
    }
}

//! Takes secret values out of a stream of bytes, wherever the stream is cut into chunks.

/// What stands where a secret stood.
pub(super) const MASK: &[u8] = b"***";

/// Lines of a secret of several lines are secrets themselves from this length on: programs print
/// them one by one. Shorter ones (`}`, `--`) would mask half of every log.
const LINE_MIN: usize = 8;

/// A stream of bytes in which secrets become [`MASK`].
pub(super) struct Redactor {
    /// Longest first, so that a secret that begins with another is masked whole.
    secrets: Vec<Vec<u8>>,
    /// Which bytes a secret begins with: the others are passed on without a closer look.
    begins: [bool; 256],
    /// The end of what was taken in, as long as it may be the beginning of a secret.
    held: Vec<u8>,
}

impl Redactor {
    pub(super) fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut secrets: Vec<Vec<u8>> = Vec::new();
        for value in values {
            secrets.push(value.as_bytes().to_vec());
            secrets.extend(
                value.lines().filter(|line| line.len() >= LINE_MIN).map(|line| line.as_bytes().to_vec()),
            );
        }
        secrets.retain(|secret| !secret.is_empty());
        secrets.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        secrets.dedup();
        let mut begins = [false; 256];
        for secret in &secrets {
            begins[usize::from(secret[0])] = true;
        }
        Self { secrets, begins, held: Vec::new() }
    }

    /// Takes bytes in and gives on what is certainly no secret.
    pub(super) fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        if self.secrets.is_empty() {
            out.extend_from_slice(chunk);
            return;
        }
        let mut bytes = std::mem::take(&mut self.held);
        bytes.extend_from_slice(chunk);
        let kept = self.scan(&bytes, out, false);
        self.held = bytes.split_off(kept);
    }

    /// Gives on the rest: no more bytes will follow.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        let bytes = std::mem::take(&mut self.held);
        self.scan(&bytes, out, true);
    }

    /// Gives on the bytes up to a place from which on they may be a secret's beginning, and returns
    /// that place.
    fn scan(&self, bytes: &[u8], out: &mut Vec<u8>, last: bool) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let plain = bytes[at..]
                .iter()
                .position(|byte| self.begins[usize::from(*byte)])
                .unwrap_or(bytes.len() - at);
            out.extend_from_slice(&bytes[at..at + plain]);
            at += plain;
            let rest = &bytes[at..];
            if rest.is_empty() {
                break;
            }
            // Longest first: a longer secret that may still be coming outweighs a shorter one that
            // is there already.
            let mut found = None;
            for secret in &self.secrets {
                if rest.starts_with(secret) {
                    found = Some(secret.len());
                    break;
                }
                if !last && secret.starts_with(rest) {
                    return at;
                }
            }
            match found {
                Some(length) => {
                    out.extend_from_slice(MASK);
                    at += length;
                }
                None => {
                    out.push(rest[0]);
                    at += 1;
                }
            }
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(secrets: &[&str], chunks: &[&[u8]]) -> Vec<u8> {
        let mut redactor = Redactor::new(secrets.iter().copied());
        let mut out = Vec::new();
        for chunk in chunks {
            redactor.push(chunk, &mut out);
        }
        redactor.finish(&mut out);
        out
    }

    #[test]
    fn a_secret_is_masked_wherever_the_stream_is_cut() {
        let text = b"user=a password=hunter2, hunter2hunter2, hunterhunter2 hunter";
        let expected = b"user=a password=***, ******, hunter*** hunter".to_vec();
        for cut in 0..=text.len() {
            let (a, b) = text.split_at(cut);
            assert_eq!(redacted(&["hunter2"], &[a, b]), expected, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(redacted(&["hunter2"], &bytes), expected);
    }

    #[test]
    fn of_two_secrets_the_longer_one_is_masked() {
        for cut in 0..=9 {
            let (a, b) = b"abc abcde".split_at(cut);
            assert_eq!(redacted(&["abc", "abcde"], &[a, b]), b"*** ***", "{cut}");
        }
    }

    #[test]
    fn the_lines_of_a_key_are_secrets_too() {
        let key = "-----BEGIN-----\nc2VjcmV0IGxpbmU=\nx\n-----END-----";
        let out = redacted(&[key], &[b"line c2VjcmV0IGxpbmU= and x"]);
        assert_eq!(out, b"line *** and x");
        assert_eq!(redacted(&[key], &[key.as_bytes()]), b"***");
    }

    #[test]
    fn without_secrets_and_with_binary_bytes_nothing_changes() {
        let bytes: Vec<u8> = (0..=255).cycle().take(5_000).collect();
        assert_eq!(redacted(&[], &[&bytes]), bytes);
        assert_eq!(redacted(&["", "absent"], &[&bytes[..77], &bytes[77..]]), bytes);
    }
}

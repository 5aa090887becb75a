//! Sets of tasks as words of bits: a square matrix for the order, single rows for scratch sets.

/// Bits in a word.
const WORD: usize = 64;

/// How many words hold `len` bits.
pub(crate) fn words_for(len: usize) -> usize {
    len.div_ceil(WORD)
}

/// The word that holds a bit.
pub(crate) fn word_of(bit: u32) -> usize {
    bit as usize / WORD
}

/// Whether a row holds a bit.
pub(crate) fn has(row: &[u64], bit: u32) -> bool {
    row[word_of(bit)] >> (bit as usize % WORD) & 1 == 1
}

/// Adds a bit to a row.
pub(crate) fn insert(row: &mut [u64], bit: u32) {
    row[word_of(bit)] |= 1 << (bit as usize % WORD);
}

/// Keeps in `row` only what `other` holds too.
pub(crate) fn intersect(row: &mut [u64], other: &[u64]) {
    for (a, b) in row.iter_mut().zip(other) {
        *a &= b;
    }
}

/// How many bits two rows share.
pub(crate) fn count_common(a: &[u64], b: &[u64]) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a & b).count_ones()).sum()
}

/// The bits of a row, highest first.
pub(crate) fn descending(row: &[u64]) -> impl Iterator<Item = u32> + '_ {
    row.iter().enumerate().rev().flat_map(|(index, &word)| {
        let mut left = word;
        std::iter::from_fn(move || {
            let top = WORD.checked_sub(1 + left.leading_zeros() as usize)?;
            left &= !(1 << top);
            Some((index * WORD + top) as u32)
        })
    })
}

/// `n` rows of `n` bits.
#[derive(Clone, Debug)]
pub(crate) struct Matrix {
    words: usize,
    rows: Vec<u64>,
}

impl Matrix {
    pub(crate) fn new(len: usize) -> Self {
        let words = words_for(len);
        Self { words, rows: vec![0; words * len] }
    }

    pub(crate) fn row(&self, index: u32) -> &[u64] {
        let start = index as usize * self.words;
        &self.rows[start..start + self.words]
    }

    pub(crate) fn has(&self, row: u32, bit: u32) -> bool {
        has(self.row(row), bit)
    }

    pub(crate) fn set(&mut self, row: u32, words: &[u64]) {
        let start = row as usize * self.words;
        self.rows[start..start + self.words].copy_from_slice(words);
    }

    pub(crate) fn insert(&mut self, row: u32, bit: u32) {
        let start = row as usize * self.words;
        insert(&mut self.rows[start..start + self.words], bit);
    }

    /// Adds to `into` everything that `from` holds.
    pub(crate) fn unite(&mut self, into: u32, from: u32) {
        let (low, high) = (into.min(from) as usize, into.max(from) as usize);
        if low == high {
            return;
        }
        let words = self.words;
        let (head, tail) = self.rows.split_at_mut(high * words);
        let (low, high) = (&mut head[low * words..][..words], &mut tail[..words]);
        let (target, source) = if into > from { (high, &*low) } else { (low, &*high) };
        for (a, b) in target.iter_mut().zip(source) {
            *a |= b;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_unite_upwards_and_downwards() {
        let mut matrix = Matrix::new(130);
        matrix.insert(0, 129);
        matrix.insert(129, 64);
        matrix.unite(0, 129);
        matrix.unite(1, 0);
        assert_eq!(descending(matrix.row(1)).collect::<Vec<_>>(), [129, 64]);
        matrix.unite(128, 1);
        assert_eq!(descending(matrix.row(128)).collect::<Vec<_>>(), [129, 64]);
        assert!(matrix.row(2).iter().all(|word| *word == 0));
    }

    #[test]
    fn subsets_and_counts_look_at_every_word() {
        let mut a = vec![0; words_for(130)];
        let mut b = a.clone();
        for bit in [0, 63, 64, 129] {
            insert(&mut a, bit);
            insert(&mut b, bit);
        }
        insert(&mut b, 100);
        assert_eq!(count_common(&a, &b), 4);
        intersect(&mut b, &a);
        assert_eq!(a, b);
    }
}

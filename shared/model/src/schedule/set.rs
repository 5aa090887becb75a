//! A set of the small numbers that a cron field can hold, as bits of one word.

/// Numbers from 0 to 63.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Set(u64);

impl Set {
    /// No number.
    pub(super) const EMPTY: Self = Self(0);

    /// Every `step`-th number from `low` to `high`, both at most 63; empty when `high` is below.
    pub(super) fn every(low: u8, high: u8, step: u32) -> Self {
        Self((low..=high).step_by(step as usize).fold(0, |bits, number| bits | 1 << number))
    }

    /// All numbers from `low` to `high`, both at most 62; empty when `high` is below.
    pub(super) const fn range(low: u8, high: u8) -> Self {
        if high < low {
            return Self::EMPTY;
        }
        Self(((1 << (high - low + 1)) - 1) << low)
    }

    pub(super) const fn contains(self, number: u8) -> bool {
        number < 64 && self.0 >> number & 1 == 1
    }

    #[must_use]
    pub(super) const fn with(self, number: u8) -> Self {
        Self(self.0 | 1 << number)
    }

    #[must_use]
    pub(super) const fn without(self, number: u8) -> Self {
        Self(self.0 & !(1 << number))
    }

    #[must_use]
    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    #[must_use]
    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Every number moved up; those that pass 63 are lost.
    #[must_use]
    pub(super) const fn raised(self, by: u8) -> Self {
        Self(self.0 << by)
    }

    pub(super) const fn len(self) -> u32 {
        self.0.count_ones()
    }

    pub(super) const fn first(self) -> Option<u8> {
        if self.0 == 0 { None } else { Some(self.0.trailing_zeros() as u8) }
    }

    pub(super) const fn last(self) -> Option<u8> {
        if self.0 == 0 { None } else { Some(63 - self.0.leading_zeros() as u8) }
    }

    /// The smallest number that is not below `number`.
    pub(super) const fn at_or_after(self, number: u8) -> Option<u8> {
        if number > 63 {
            return None;
        }
        Self(self.0 & (u64::MAX << number)).first()
    }

    /// The largest number that is not above `number`.
    pub(super) const fn at_or_before(self, number: u8) -> Option<u8> {
        if number >= 63 {
            return self.last();
        }
        Self(self.0 & ((1 << (number + 1)) - 1)).last()
    }

    /// The numbers, smallest first.
    pub(super) fn iter(self) -> impl Iterator<Item = u8> {
        (0..64).filter(move |number| self.contains(*number))
    }
}

impl std::fmt::Debug for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

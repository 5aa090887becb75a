//! Whole-system tests: each area is one integration-test binary.

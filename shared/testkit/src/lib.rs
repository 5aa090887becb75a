//! Contract suites and fault-injecting ports for tests.

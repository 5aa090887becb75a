//! The ports on one machine: SQLite, folders, processes, containers.

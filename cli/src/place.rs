//! The ports of either place under one type: this machine, or a deployed environment. What a command
//! does with them does not depend on where they are.

use std::rc::Rc;

use cauce_local::objects::FolderObjects;
use cauce_local::sqlite::SqliteTable;
use cauce_model::item::{Change, When};
use cauce_model::{Item, Key, Write};
use cauce_ports::{Cursor, ObjectError, ObjectInfo, Objects, Page, Services, Table, TableError};

use crate::there::There;

/// A store's table, wherever it is.
pub(crate) enum AnyTable {
    /// In the state folder.
    Here(SqliteTable),
    /// In DynamoDB.
    There(Rc<There>),
}

/// A store's documents, wherever they are.
pub(crate) enum AnyObjects {
    /// In the state folder.
    Here(FolderObjects),
    /// In S3.
    There(Rc<There>),
}

impl Table for AnyTable {
    async fn get(&self, key: &Key) -> Result<Option<Item>, TableError> {
        match self {
            Self::Here(table) => table.get(key).await,
            Self::There(there) => there.adapters().table().get(key).await,
        }
    }

    async fn batch_get(&self, keys: &[Key]) -> Result<Vec<Item>, TableError> {
        match self {
            Self::Here(table) => table.batch_get(keys).await,
            Self::There(there) => there.adapters().table().batch_get(keys).await,
        }
    }

    async fn query(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page, TableError> {
        match self {
            Self::Here(table) => table.query(partition, prefix, after, limit).await,
            Self::There(there) => there.adapters().table().query(partition, prefix, after, limit).await,
        }
    }

    async fn list(
        &self,
        list: &str,
        from: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page, TableError> {
        match self {
            Self::Here(table) => table.list(list, from, after, limit).await,
            Self::There(there) => there.adapters().table().list(list, from, after, limit).await,
        }
    }

    async fn write(&self, writes: &[Write], token: &str) -> Result<(), TableError> {
        match self {
            Self::Here(table) => table.write(writes, token).await,
            Self::There(there) => there.adapters().table().write(writes, token).await,
        }
    }

    async fn update(&self, key: &Key, change: &Change, when: &When) -> Result<Item, TableError> {
        match self {
            Self::Here(table) => table.update(key, change, when).await,
            Self::There(there) => there.adapters().table().update(key, change, when).await,
        }
    }
}

impl Objects for AnyObjects {
    async fn get(&self, uri: &str, limit: u64) -> Result<Option<Vec<u8>>, ObjectError> {
        match self {
            Self::Here(objects) => objects.get(uri, limit).await,
            Self::There(there) => there.adapters().objects().get(uri, limit).await,
        }
    }

    async fn put(&self, uri: &str, bytes: &[u8]) -> Result<(), ObjectError> {
        match self {
            Self::Here(objects) => objects.put(uri, bytes).await,
            Self::There(there) => there.adapters().objects().put(uri, bytes).await,
        }
    }

    async fn list(&self, prefix: &str, limit: u32) -> Result<Vec<ObjectInfo>, ObjectError> {
        match self {
            Self::Here(objects) => objects.list(prefix, limit).await,
            Self::There(there) => there.adapters().objects().list(prefix, limit).await,
        }
    }
}

//! A table that lives and dies with its process: for `simulate`, dry runs and tests.

use crate::rows::{ListPlace, Rows, Transaction, page, update};
use cauce_model::Instant;
use cauce_model::item::{Change, Item, Key, When, Write};
use cauce_ports::{Cursor, Page, Table, TableError};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::ops::Bound;
use std::rc::Rc;

/// A table in memory. Clones share the same items. It does the same for the same calls, always:
/// it has no clock, so it remembers tokens for as long as it lives, and forgets no expired item.
#[derive(Clone, Default)]
pub struct MemoryTable {
    state: Rc<RefCell<State>>,
}

#[derive(Default)]
struct State {
    items: BTreeMap<Key, Item>,
    /// List, position, key.
    index: BTreeSet<(String, String, Key)>,
    tokens: BTreeMap<String, i64>,
}

impl MemoryTable {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Removes what has expired by then, as DynamoDB does some time later. Returns how many items there were.
    pub fn forget_expired(&self, now: Instant) -> usize {
        let mut state = self.state.borrow_mut();
        let over = state.items.values().filter(|item| item.expires_at.is_some_and(|at| at <= now));
        let over: Vec<Key> = over.map(|item| item.key.clone()).collect();
        for key in &over {
            let Ok(()) = Rows::remove(&mut *state, key);
        }
        over.len()
    }

    /// Every item, in order of key: for tests that compare whole tables.
    pub fn items(&self) -> Vec<Item> {
        self.state.borrow().items.values().cloned().collect()
    }
}

impl Rows for State {
    type Error = Infallible;

    fn version(&mut self, key: &Key) -> Result<Option<u64>, Infallible> {
        Ok(self.items.get(key).map(|item| item.version))
    }

    fn read(&mut self, key: &Key) -> Result<Option<Item>, Infallible> {
        Ok(self.items.get(key).cloned())
    }

    fn store(&mut self, item: &Item) -> Result<(), Infallible> {
        self.remove(&item.key)?;
        if let Some(entry) = &item.index {
            self.index.insert((entry.list.clone(), entry.position.clone(), item.key.clone()));
        }
        self.items.insert(item.key.clone(), item.clone());
        Ok(())
    }

    fn remove(&mut self, key: &Key) -> Result<(), Infallible> {
        if let Some(Item { index: Some(entry), .. }) = self.items.remove(key) {
            self.index.remove(&(entry.list, entry.position, key.clone()));
        }
        Ok(())
    }

    fn token(&mut self, token: &str) -> Result<Option<i64>, Infallible> {
        Ok(self.tokens.get(token).copied())
    }

    fn remember(&mut self, token: &str, digest: i64) -> Result<(), Infallible> {
        self.tokens.insert(token.to_owned(), digest);
        Ok(())
    }
}

impl Table for MemoryTable {
    async fn get(&self, key: &Key) -> Result<Option<Item>, TableError> {
        Ok(self.state.borrow().items.get(key).cloned())
    }

    async fn batch_get(&self, keys: &[Key]) -> Result<Vec<Item>, TableError> {
        let state = self.state.borrow();
        Ok(keys.iter().filter_map(|key| state.items.get(key).cloned()).collect())
    }

    async fn query(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page, TableError> {
        let state = self.state.borrow();
        let from = match after {
            Some(Cursor(sort)) => Bound::Excluded(Key::new(partition, sort)),
            None => Bound::Included(Key::new(partition, prefix)),
        };
        let found = state
            .items
            .range((from, Bound::Unbounded))
            .take_while(|(key, _)| key.partition == partition && key.sort.starts_with(prefix))
            .map(|(_, item)| item.clone());
        Ok(page(found, limit, |item| Cursor(item.key.sort.clone())))
    }

    async fn list(
        &self,
        list: &str,
        from: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page, TableError> {
        let state = self.state.borrow();
        let from = match after {
            Some(cursor) => {
                let (position, key) = ListPlace::read(&cursor)?.into_parts();
                Bound::Excluded((list.to_owned(), position, key))
            }
            None => Bound::Included((list.to_owned(), from.to_owned(), Key::new("", ""))),
        };
        let found = state
            .index
            .range((from, Bound::Unbounded))
            .take_while(|(of, _, _)| of == list)
            .filter_map(|(_, _, key)| state.items.get(key).cloned());
        Ok(page(found, limit, |item| ListPlace::of(item).cursor()))
    }

    async fn write(&self, writes: &[Write], token: &str) -> Result<(), TableError> {
        let transaction = Transaction::new(writes, token)?;
        let Ok(outcome) = transaction.apply(&mut *self.state.borrow_mut());
        outcome
    }

    async fn update(&self, key: &Key, change: &Change, when: &When) -> Result<Item, TableError> {
        let Ok(outcome) = update(&mut *self.state.borrow_mut(), key, change, when);
        outcome
    }
}

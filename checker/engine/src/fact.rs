//! Facts: relations kept from events, read as of any time that can still be judged.
use alloc::{boxed::Box, vec::Vec};
use event::{Timestamp, Value};
use hashbrown::HashMap;

use crate::{expr::AsOf, key::PartialKey, verdict::EventRef};

/// All facts of a program, by their number.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Facts {
    tables: Vec<Table>,
}

#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Table {
    rows: HashMap<Box<[u8]>, Vec<Entry>, foldhash::fast::FixedState>,
    /// Unsets with a shorter key, in order of time.
    wide: Vec<(EventRef, PartialKey)>,
}

/// One change of one row; entries are ordered by time, an unset before a set of the same time.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Entry {
    at: EventRef,
    value: Option<Value>,
}

impl Facts {
    pub(crate) fn with_tables(count: usize) -> Self {
        Facts { tables: (0..count).map(|_| Table::default()).collect() }
    }

    /// Moves the tables to other numbers: `from[new]` is the old number, or none for a new fact.
    pub(crate) fn renumbered(mut self, from: &[Option<usize>]) -> Self {
        let tables = from
            .iter()
            .map(|old| old.and_then(|old| self.tables.get_mut(old)).map(core::mem::take).unwrap_or_default())
            .collect();
        Facts { tables }
    }

    /// Records a value from `at` on. Returns whether this is news.
    pub(crate) fn set(&mut self, fact: u32, key: &[u8], at: EventRef, value: Value) -> bool {
        self.insert(fact, key, Entry { at, value: Some(value) })
    }

    /// Records that the row does not hold from `at` on.
    pub(crate) fn unset(&mut self, fact: u32, key: &[u8], at: EventRef) -> bool {
        self.insert(fact, key, Entry { at, value: None })
    }

    /// Records that no row that agrees with `key` holds from `at` on.
    pub(crate) fn unset_wide(&mut self, fact: u32, key: PartialKey, at: EventRef) {
        if let Some(table) = self.tables.get_mut(fact as usize) {
            let place = table.wide.partition_point(|(known, _)| known < &at);
            table.wide.insert(place, (at, key));
        }
    }

    fn insert(&mut self, fact: u32, key: &[u8], entry: Entry) -> bool {
        let Some(table) = self.tables.get_mut(fact as usize) else { return false };
        let order = |entry: &Entry| (entry.at.ts, entry.value.is_some(), entry.at);
        let entries = match table.rows.get_mut(key) {
            Some(entries) => entries,
            None => table.rows.entry(key.into()).or_default(),
        };
        let place = entries.partition_point(|known| order(known) < order(&entry));
        if entries.get(place).is_some_and(|known| known.at == entry.at && known.value == entry.value) {
            return false;
        }
        entries.insert(place, entry);
        true
    }

    /// The value that holds at `ts` ([`AsOf::Before`]: that held just before it).
    pub(crate) fn get(&self, fact: u32, key: &[u8], ts: Timestamp, as_of: AsOf) -> Option<&Value> {
        let table = self.tables.get(fact as usize)?;
        let known = |at: Timestamp| match as_of {
            AsOf::At => at <= ts,
            AsOf::Before => at < ts,
        };
        let entries = table.rows.get(key)?;
        let entry = &entries[entries.partition_point(|entry| known(entry.at.ts)).checked_sub(1)?];
        let ended = table.wide.iter().any(|(at, partial)| at.ts > entry.at.ts && known(at.ts) && partial.agrees(key));
        if ended { None } else { entry.value.as_ref() }
    }

    /// Forgets changes that nothing before `floor` can ask for: of each row the last one before it stays, for as long as
    /// it is no older than `oldest`.
    pub(crate) fn prune(&mut self, floor: Timestamp, oldest: Timestamp) {
        for table in &mut self.tables {
            table.rows.retain(|_, entries| {
                let keep_from = entries.partition_point(|entry| entry.at.ts < floor).saturating_sub(1);
                entries.drain(..keep_from);
                let only = entries.len() == 1 && entries[0].at.ts < floor;
                !(only && (entries[0].value.is_none() || entries[0].at.ts < oldest))
            });
            table.wide.retain(|(at, _)| at.ts >= oldest);
        }
    }
}

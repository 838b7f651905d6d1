//! Facts: relations kept from events, read as of any time that can still be judged.
//!
//! A row is what one full key (the network, the key's parts, a relation's further columns) held over time: changes in
//! order of event time, so that a late change finds its place and what was read from it is judged again. Nothing here
//! knows expressions' texts, and nothing is computed before it is asked.
use alloc::{borrow::Cow, boxed::Box, collections::BTreeMap, vec, vec::Vec};
use core::{cmp::Ordering, ops::Bound, time::Duration};
use event::{Int, Timestamp, Value};

use crate::{
    breaker::{BreakerState, Breakers},
    clock::Clocks,
    expr::{AsOf, Env, Undefined, Val},
    key::{self, PartialKey},
    pack::{Fact, Keep, Pack, RoleIdx},
    source::{Sources, Timing},
    verdict::EventRef,
};

/// How many rows one question may return; a longer answer is none.
const ROWS_MAX: usize = 65_536;

/// All facts of a program, by their number.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Facts {
    tables: Vec<Table>,
}

#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Table {
    /// By full key, so that the rows that agree on its first parts stand side by side.
    rows: BTreeMap<Box<[u8]>, Vec<Entry>>,
    /// Unsets with a shorter key, in order of time.
    wide: Vec<(EventRef, PartialKey)>,
    /// The time of the newest change of any row.
    newest: Timestamp,
    /// The newest change of all rows that were forgotten as there were too many, while they would still be known else.
    lost: Timestamp,
}

/// One change of one row; entries are ordered by time, an unset before a set of the same time.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Entry {
    at: EventRef,
    value: Option<Value>,
    /// From then on it does not hold.
    until: Option<Timestamp>,
    /// What the row holds from here on, where that is not the value itself: the maximum so far, the count.
    kept: Option<Value>,
    /// Since when the row has held this without a break.
    since: Timestamp,
    /// What it held before may have been forgotten, and with it since when it has held this, or a part of the sum.
    partial: bool,
}

impl Entry {
    fn held(&self) -> Option<&Value> {
        self.kept.as_ref().or(self.value.as_ref())
    }
}

/// When a fact is asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    /// At an instant, what happens in it included.
    At(Timestamp),
    /// Just before it.
    Before(Timestamp),
    /// Since when it has held what it holds at this instant.
    Since(Timestamp),
    /// At any time from the one to the other, both included.
    During(Timestamp, Timestamp),
    /// All the time from the one to the other, both included.
    Throughout(Timestamp, Timestamp),
}

/// What was asked for was among the rows that were forgotten as there were too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forgotten;

/// How long a fact's history is needed, and how much of it there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Horizon {
    /// How far before the floor questions reach.
    pub(crate) look_back: Duration,
    /// How long after its last change a row is forgotten.
    pub(crate) forget_after: Duration,
    /// How many rows are kept.
    pub(crate) max_rows: usize,
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

    /// Takes over what another table knows of a fact.
    pub(crate) fn take_over(&mut self, from: &mut Self, fact: usize) {
        if let (Some(own), Some(theirs)) = (self.tables.get_mut(fact), from.tables.get_mut(fact)) {
            *own = core::mem::take(theirs);
        }
    }

    /// Records a value from `at` on, until its expiry. Returns whether this is news.
    pub(crate) fn set(
        &mut self,
        fact: u32,
        keep: Keep,
        key: &[u8],
        at: EventRef,
        value: Value,
        until: Option<Timestamp>,
    ) -> bool {
        self.insert(fact, keep, key, Entry { at, value: Some(value), until, kept: None, since: at.ts, partial: false })
    }

    /// Records that the row does not hold from `at` on.
    pub(crate) fn unset(&mut self, fact: u32, keep: Keep, key: &[u8], at: EventRef) -> bool {
        self.insert(fact, keep, key, Entry { at, value: None, until: None, kept: None, since: at.ts, partial: false })
    }

    /// Records that no row that agrees with `key` holds from `at` on.
    pub(crate) fn unset_wide(&mut self, fact: u32, keep: Keep, key: PartialKey, at: EventRef) {
        let Some(table) = self.tables.get_mut(fact as usize) else { return };
        let place = table.wide.partition_point(|(known, _)| known < &at);
        let overtaken = at.ts <= table.newest;
        table.wide.insert(place, (at, key));
        if overtaken {
            let Table { rows, wide, lost, .. } = table;
            let (at, key) = &wide[place];
            for (row, entries) in rows.iter_mut().filter(|(row, _)| key.agrees(row)) {
                let from = entries.partition_point(|entry| entry.at.ts < at.ts);
                settle(wide, *lost, row, entries, from, keep);
            }
        }
    }

    fn insert(&mut self, fact: u32, keep: Keep, key: &[u8], entry: Entry) -> bool {
        let Some(table) = self.tables.get_mut(fact as usize) else { return false };
        let order = |entry: &Entry| (entry.at.ts, entry.value.is_some(), entry.at);
        let entries = match table.rows.get_mut(key) {
            Some(entries) => entries,
            None => table.rows.entry(key.into()).or_default(),
        };
        table.newest = table.newest.max(entry.at.ts);
        let place = entries.partition_point(|known| order(known) < order(&entry));
        if entries.get(place).is_some_and(|known| known.at == entry.at && known.value == entry.value) {
            return false;
        }
        entries.insert(place, entry);
        settle(&table.wide, table.lost, key, entries, place, keep);
        true
    }

    /// Adds the times in [from, to) at which some row of the fact changes.
    pub(crate) fn changes(&self, fact: u32, from: Timestamp, to: Timestamp, times: &mut Vec<Timestamp>) {
        let Some(table) = self.tables.get(fact as usize) else { return };
        let within = |ts: &Timestamp| (from..to).contains(ts);
        let ends = table.rows.values().flatten().flat_map(|entry| [Some(entry.at.ts), entry.until]).flatten();
        times.extend(ends.chain(table.wide.iter().map(|(at, _)| at.ts)).filter(within));
    }

    /// What a fact says of the rows that agree with an encoded key of which `given` parts are bound.
    ///
    /// All parts of a value's key: the value. All columns of a relation: whether it holds. Fewer: the list of what
    /// remains of the rows, a plain value where one column remains, else a map by column names.
    ///
    /// # Errors
    /// When that may have been forgotten, as there were too many rows.
    pub(crate) fn ask<'a>(
        &'a self,
        number: u32,
        fact: &'a Fact,
        key: &[u8],
        given: usize,
        moment: Moment,
    ) -> Result<Option<Val<'a>>, Forgotten> {
        let Some(table) = self.tables.get(number as usize) else { return Ok(None) };
        if given < fact.columns().count() {
            if table.lost > Timestamp::ZERO {
                return Err(Forgotten);
            }
            return Ok(table.remaining(fact, key, given, moment).map(|rows| Val::List(Cow::Owned(rows))));
        }
        let row = table.rows.get(key).map(Vec::as_slice).unwrap_or_default();
        if table.has_lost(fact, key, row, moment) { Err(Forgotten) } else { Ok(table.say(fact, key, row, moment)) }
    }

    /// Forgets changes that nothing before `floor` can ask for: of each row the last one before it stays, until the row
    /// is forgotten. Returns how many rows each fact lost because there were too many.
    pub(crate) fn prune(&mut self, floor: Timestamp, horizons: &[Horizon]) -> Vec<u64> {
        let mut lost = vec![0; self.tables.len()];
        for ((table, horizon), lost) in self.tables.iter_mut().zip(horizons).zip(&mut lost) {
            let needed = floor.minus(horizon.look_back);
            let oldest = floor.minus(horizon.forget_after.max(horizon.look_back));
            let Table { rows, wide, .. } = table;
            rows.retain(|key, entries| {
                let keep_from = entries.partition_point(|entry| entry.at.ts < needed).saturating_sub(1);
                entries.drain(..keep_from);
                let [only] = entries.as_slice() else { return true };
                let over = only.value.is_none()
                    || only.at.ts < oldest
                    || only.until.is_some_and(|until| until < needed)
                    || ended(wide, key, only.at.ts, needed, false);
                only.at.ts >= needed || !over
            });
            wide.retain(|(at, _)| at.ts >= oldest);
            if table.lost < oldest {
                table.lost = Timestamp::ZERO;
            }
            if rows.len() > horizon.max_rows {
                let mut ages: Vec<Timestamp> = rows.values().filter_map(|row| Some(row.last()?.at.ts)).collect();
                let excess = rows.len() - horizon.max_rows;
                let (_, &mut youngest_lost, _) = ages.select_nth_unstable(excess - 1);
                let before = rows.len();
                rows.retain(|_, row| row.last().is_some_and(|entry| entry.at.ts > youngest_lost));
                *lost = (before - rows.len()) as u64;
                table.lost = table.lost.max(youngest_lost);
            }
        }
        lost
    }
}

/// Works out from place `from` on what a row's entries hold, and since when.
fn settle(
    wide: &[(EventRef, PartialKey)],
    lost: Timestamp,
    key: &[u8],
    entries: &mut [Entry],
    from: usize,
    keep: Keep,
) {
    for place in from..entries.len() {
        let (done, rest) = entries.split_at_mut(place);
        let now = &mut rest[0];
        let at = now.at.ts;
        let before = done
            .last()
            .filter(|before| before.value.is_some() && before.until.is_none_or(|until| until >= at))
            .filter(|before| !ended(wide, key, before.at.ts, at, false));
        // What ends at this very instant joins it, but does not hold in it any more.
        let summed = before.filter(|before| before.until.is_none_or(|until| until > at)).and_then(Entry::held);
        now.kept = match (&now.value, keep) {
            (None, _) | (_, Keep::Last) => None,
            (Some(_), Keep::Count) => {
                let so_far = summed.map_or(Int::from(0), |count| match count {
                    Value::Int(count) => count.clone(),
                    _ => Int::from(0),
                });
                Some(Value::Int(so_far.add(&Int::from(1))))
            }
            (Some(value), Keep::Max | Keep::Min) => summed
                .filter(|so_far| {
                    let order = Val::from(*so_far).compare(&Val::from(value));
                    order == Some(if keep == Keep::Max { Ordering::Greater } else { Ordering::Less })
                })
                .cloned(),
        };
        let same = before.filter(|before| now.value.is_some() && before.held() == now.held());
        now.since = same.map_or(at, |before| before.since);
        now.partial = match before.filter(|_| same.is_some() || keep != Keep::Last) {
            Some(before) => before.partial,
            None => done.is_empty() && lost > Timestamp::ZERO && !ended(wide, key, lost, at, false),
        };
    }
}

/// Whether an unset with a shorter key ends, after `after` and up to `to`, what the row holds.
fn ended(wide: &[(EventRef, PartialKey)], key: &[u8], after: Timestamp, to: Timestamp, strictly: bool) -> bool {
    let from = wide.partition_point(|(at, _)| at.ts <= after);
    wide[from..]
        .iter()
        .take_while(|(at, _)| if strictly { at.ts < to } else { at.ts <= to })
        .any(|(_, partial)| partial.agrees(key))
}

impl Table {
    /// Whether what it says of a row may have been forgotten.
    fn has_lost(&self, fact: &Fact, key: &[u8], row: &[Entry], moment: Moment) -> bool {
        let (from, to) = match moment {
            Moment::At(ts) | Moment::Since(ts) => (ts, ts),
            Moment::Before(ts) => (ts.minus(Duration::from_nanos(1)), ts.minus(Duration::from_nanos(1))),
            Moment::During(from, to) | Moment::Throughout(from, to) => (from, to),
        };
        let held = || self.spans(key, row, from, to);
        if row.first().is_none_or(|first| first.at.ts > from) {
            let proved = matches!(moment, Moment::During(..)) && !fact.row.is_empty() && held().next().is_some();
            return self.lost > Timestamp::ZERO && !ended(&self.wide, key, self.lost, from, false) && !proved;
        }
        // What a row holds is known; since when, and what it sums up, may not be.
        let sums = fact.keep != Keep::Last;
        match moment {
            Moment::During(..) => sums && held().any(|entry| entry.partial),
            Moment::Since(_) => self.holding(key, row, to, false).is_some_and(|entry| entry.partial),
            _ => sums && self.holding(key, row, to, false).is_some_and(|entry| entry.partial),
        }
    }

    /// What the fact says of a row.
    fn say<'a>(&'a self, fact: &'a Fact, key: &[u8], row: &'a [Entry], moment: Moment) -> Option<Val<'a>> {
        if let Moment::Since(ts) = moment {
            return self.holding(key, row, ts, false).map(|entry| Val::Timestamp(entry.since));
        }
        if !fact.row.is_empty() {
            return Some(Val::Bool(self.holds(key, row, moment)));
        }
        let default = || fact.default.as_ref().map(Val::from);
        match moment {
            Moment::At(ts) | Moment::Since(ts) => {
                self.holding(key, row, ts, false).and_then(Entry::held).map(Val::from).or_else(default)
            }
            Moment::Before(ts) => {
                self.holding(key, row, ts, true).and_then(Entry::held).map(Val::from).or_else(default)
            }
            Moment::During(from, to) => {
                let mut values: Vec<Value> = Vec::new();
                for value in self.spans(key, row, from, to).filter_map(Entry::held) {
                    if !values.contains(value) {
                        values.push(value.clone());
                    }
                }
                if values.is_empty() {
                    values.extend(fact.default.clone());
                }
                Some(Val::List(Cow::Owned(values)))
            }
            Moment::Throughout(from, to) => {
                if self.spans(key, row, from, to).next().is_none() {
                    return default();
                }
                // What changed meanwhile, or held only a part of the time, is no value: it equals none.
                let entry = self.holding(key, row, to, false).filter(|entry| entry.since <= from);
                Some(entry.and_then(Entry::held).map_or(Val::Null, Val::from))
            }
        }
    }

    /// The entry that holds at `ts`, or just before it.
    fn holding<'t>(&self, key: &[u8], row: &'t [Entry], ts: Timestamp, before: bool) -> Option<&'t Entry> {
        let known = |at: Timestamp| if before { at < ts } else { at <= ts };
        let entry = &row[row.partition_point(|entry| known(entry.at.ts)).checked_sub(1)?];
        let expired = entry.until.is_some_and(|until| if before { until < ts } else { until <= ts });
        (entry.value.is_some() && !expired && !ended(&self.wide, key, entry.at.ts, ts, before)).then_some(entry)
    }

    /// The entries that hold at some time from `from` to `to`, in order of time.
    fn spans<'t>(
        &'t self,
        key: &'t [u8],
        row: &'t [Entry],
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = &'t Entry> {
        row.iter().enumerate().take_while(move |(_, entry)| entry.at.ts <= to).filter_map(move |(place, entry)| {
            let next = row.get(place + 1).map(|next| next.at.ts);
            let end = [next, entry.until].into_iter().flatten().min().unwrap_or(Timestamp::MAX);
            let lasts = end > from && end > entry.at.ts;
            let held = entry.value.is_some() && lasts && !ended(&self.wide, key, entry.at.ts, from, false);
            held.then_some(entry)
        })
    }

    /// Whether a relation's row holds.
    fn holds(&self, key: &[u8], row: &[Entry], moment: Moment) -> bool {
        match moment {
            Moment::At(ts) | Moment::Since(ts) => self.holding(key, row, ts, false).is_some(),
            Moment::Before(ts) => self.holding(key, row, ts, true).is_some(),
            Moment::During(from, to) => self.spans(key, row, from, to).next().is_some(),
            Moment::Throughout(from, to) => self.holding(key, row, to, false).is_some_and(|entry| entry.since <= from),
        }
    }

    /// What remains of the rows that begin with `prefix`; none when there are too many.
    fn remaining(&self, fact: &Fact, prefix: &[u8], given: usize, moment: Moment) -> Option<Vec<Value>> {
        let names: Vec<&str> = fact.columns().skip(given).collect();
        let mut found = Vec::new();
        let rows = self.rows.range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded));
        for (key, row) in rows.take_while(|(key, _)| key.starts_with(prefix)) {
            if !self.holds(key, row, moment) {
                continue;
            }
            if found.len() == ROWS_MAX {
                return None;
            }
            let mut columns = key::parts(&key[prefix.len()..]).map(|part| key::decode(part).unwrap_or_default());
            if let ([_], false) = (names.as_slice(), fact.row.is_empty()) {
                found.extend(columns.next());
                continue;
            }
            let mut map: Vec<(Box<str>, Value)> = names.iter().map(|name| Box::from(*name)).zip(columns).collect();
            if fact.row.is_empty() {
                let value = match moment {
                    Moment::At(ts) | Moment::Since(ts) | Moment::Throughout(_, ts) | Moment::During(_, ts) => {
                        self.holding(key, row, ts, false)
                    }
                    Moment::Before(ts) => self.holding(key, row, ts, true),
                };
                map.extend(value.and_then(Entry::held).map(|value| ("value".into(), value.clone())));
            }
            found.push(Value::Map(map));
        }
        Some(found)
    }
}

/// Reads what a pack knows beside events (facts, clocks, breakers, who is live), as of one time.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'f> {
    pub(crate) facts: &'f Facts,
    pub(crate) pack: &'f Pack,
    /// Number of the pack's first fact.
    pub(crate) base: u32,
    pub(crate) clocks: &'f Clocks,
    /// Number of the pack's first clock.
    pub(crate) clock_base: u32,
    pub(crate) breakers: &'f Breakers,
    pub(crate) sources: &'f Sources,
    pub(crate) timing: &'f Timing,
    /// The network, as a key begins with it.
    pub(crate) network: &'f [u8],
    pub(crate) ts: Timestamp,
}

impl<'f> Reader<'f> {
    /// The nodes whose component of that name was heard lately, in order of name.
    pub(crate) fn live(&self, component: &str) -> Option<Val<'f>> {
        let network = key::text(self.network)?;
        let nodes = self.sources.live(network, component, self.ts, self.timing.idle_after);
        Some(Val::List(Cow::Owned(nodes.into_iter().map(Value::from).collect())))
    }

    /// Where a clock stands.
    pub(crate) fn clock(&self, clock: u16, key: &[Val<'_>]) -> Option<Val<'f>> {
        let value = self.clocks.at(self.clock_base + u32::from(clock), &self.key(key), self.ts)?;
        Some(Val::Int(value.clone()))
    }

    /// What a breaker of the pack was when the instant began; one that nothing ever moved is closed.
    pub(crate) fn breaker(&self, breaker: u16, scope: &[Val<'_>]) -> Option<Val<'f>> {
        let id = &self.pack.breakers.get(breaker as usize)?.id;
        let scopes = self.breakers.scopes(&self.pack.name, id);
        let recorded = scopes.and_then(|scopes| scopes.get(&*self.key(scope)));
        let state = recorded.map_or(BreakerState::Closed, |recorded| recorded.before(self.ts));
        Some(Val::String(state.as_str().into()))
    }

    /// A key as rows, dials and breakers have it.
    pub(crate) fn key(&self, parts: &[Val<'_>]) -> Vec<u8> {
        let mut encoded = Vec::with_capacity(64);
        encoded.extend_from_slice(self.network);
        parts.iter().for_each(|part| key::push(&mut encoded, part));
        encoded
    }

    /// Answers an expression's question; `args` are the key's parts, and for questions about a span its two ends.
    ///
    /// # Errors
    /// As [`Env::fact`].
    pub(crate) fn read(&self, fact: u16, args: &[Val<'_>], as_of: AsOf) -> Result<Val<'f>, Undefined> {
        let nothing = Undefined::NotAFact { fact };
        let declared = self.pack.facts.get(fact as usize).ok_or(nothing)?;
        let (key, moment) = match (as_of, args) {
            (AsOf::At, key) => (key, Moment::At(self.ts)),
            (AsOf::Before, key) => (key, Moment::Before(self.ts)),
            (AsOf::Since, key) => (key, Moment::Since(self.ts)),
            (AsOf::During, [key @ .., Val::Timestamp(from), Val::Timestamp(to)]) => (key, Moment::During(*from, *to)),
            (AsOf::Throughout, [key @ .., Val::Timestamp(from), Val::Timestamp(to)]) => {
                (key, Moment::Throughout(*from, *to))
            }
            (AsOf::During | AsOf::Throughout, _) => return Err(nothing),
        };
        if let Some(is) = &declared.is {
            let env = Computed { reader: *self, as_of };
            let mut locals: Vec<Val<'_>> = key.to_vec();
            locals.push(Val::Timestamp(self.ts));
            return match (is.eval_with(&env, locals), &declared.default) {
                (Ok(computed), _) => Ok(computed.into_owned()),
                (Err(Undefined::Forgotten), _) => Err(Undefined::Forgotten),
                (Err(_), default) => default.as_ref().map(Val::from).ok_or(nothing),
            };
        }
        let said = self.facts.ask(self.base + u32::from(fact), declared, &self.key(key), key.len(), moment);
        said.map_err(|Forgotten| Undefined::Forgotten)?.ok_or(nothing)
    }
}

/// What a computed fact's expression sees: its key (as locals) and other facts.
struct Computed<'f> {
    reader: Reader<'f>,
    as_of: AsOf,
}

impl Env for Computed<'_> {
    fn slot(&self, _slot: u16) -> Option<Val<'_>> {
        None
    }

    fn role(&self, _role: RoleIdx, _slot: u16) -> Option<Val<'_>> {
        None
    }

    fn fact(&self, fact: u16, key: &[Val<'_>], as_of: AsOf) -> Result<Val<'_>, Undefined> {
        // What is asked just before an instant rests on what held just before it.
        let as_of = if as_of == AsOf::At && self.as_of == AsOf::Before { AsOf::Before } else { as_of };
        self.reader.read(fact, key, as_of)
    }

    fn clock(&self, clock: u16, key: &[Val<'_>]) -> Option<Val<'_>> {
        self.reader.clock(clock, key)
    }

    fn live(&self, component: &str) -> Option<Val<'_>> {
        self.reader.live(component)
    }
}

#[cfg(test)]
mod tests;

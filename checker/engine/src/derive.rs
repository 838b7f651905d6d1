//! Derived events: named, typed events made out of others, most often out of plain log records of software that cannot be
//! changed. A derived event happens at the time and the source of its origin, and is judged like any other.
use alloc::vec::Vec;
use event::{Event, Identity, Value, ValueRef};

use crate::{
    arrival::{Arrival, Landed, Landing, Landings},
    engine::Engine,
    pack::Derive,
    program::{Program, Traits},
    route::Target,
    row::Row,
    source::SourceState,
};

/// How often an event may be derived from a derived one, over all packs. Inside a pack there are no circles.
const DEPTH_MAX: usize = 8;

/// Tells an event derived from `origin` from all others: the same however often and wherever it is derived.
fn identity(origin: Identity, pack: &str, name: &str, element: u32) -> Identity {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend_from_slice(&origin.0.to_le_bytes());
    bytes.extend_from_slice(&element.to_le_bytes());
    for part in [pack, name] {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    Identity(xxhash_rust::xxh3::xxh3_128(&bytes))
}

impl Engine {
    /// Takes the event that a landing derives.
    pub(crate) fn derived(
        &mut self,
        pack: u16,
        derive: u16,
        landing: &Landing,
        keys: &[u8],
        row: &Row<'_>,
        depth: usize,
    ) {
        let Landed::Keyed { key, slots } = &landing.what else { return };
        if depth >= DEPTH_MAX {
            return;
        }
        let (content, declared) = self.program.derive(pack, derive);
        let (name, attrs, first_per) = (declared.name.clone(), declared.attrs.clone(), declared.first_per);
        let identity = identity(row.identity, &content.name, &name, landing.at.element);
        let event = self.event(&name);
        if event == 0 {
            return;
        }
        let columns: Vec<Option<ValueRef<'_>>> = self
            .columns(event)
            .iter()
            .map(|column| {
                let place = attrs.iter().position(|attr| *attr == column.name).filter(|_| !column.of_resource)?;
                slots.get(place)?.as_ref().map(Value::as_ref)
            })
            .collect();
        let made = Row { event, name: &name, identity, columns: &columns, ..*row };
        match first_per {
            Some(decided_by) => self.first(decided_by, pack, key.of(keys), landing.at, &made),
            None => self.arrive(&made, depth + 1),
        }
    }
}

impl Program {
    /// The declaration of a derived event, with its pack.
    pub(crate) fn derive(&self, pack: u16, derive: u16) -> (&crate::pack::Pack, &Derive) {
        let pack = &self.packs()[pack as usize];
        (pack, &pack.derives[derive as usize])
    }

    /// The events that are derived from one, and from those.
    #[must_use]
    pub fn derived(&self, origin: &Event) -> Vec<Event> {
        let traits: Vec<Traits> = Vec::new();
        let mut all = Vec::new();
        let mut from = alloc::vec![origin.clone()];
        for _ in 0..DEPTH_MAX {
            let next: Vec<Event> = from.iter().flat_map(|origin| self.derived_once(&traits, origin)).collect();
            if next.is_empty() {
                break;
            }
            all.extend(next.iter().cloned());
            from = next;
        }
        all
    }

    fn derived_once(&self, traits: &[Traits], origin: &Event) -> Vec<Event> {
        let wanted = self.wanted(&origin.name);
        let columns: Vec<Option<ValueRef<'_>>> = wanted
            .columns
            .iter()
            .map(|column| {
                let from = if column.of_resource { &origin.resource } else { &origin.attrs };
                from.iter().rev().find(|(name, _)| *name == column.name).map(|(_, value)| value.as_ref())
            })
            .collect();
        let component = self.component(&origin.source.component);
        let source = SourceState::named(&origin.source.network, &origin.source.node, component);
        let row = Row {
            event: 0,
            name: &origin.name,
            source: 0,
            ts: origin.ts,
            sent: origin.ts,
            arrived: origin.arrived,
            identity: origin.identity,
            position: origin.position,
            severity: origin.severity,
            body: origin.body.as_ref(),
            trace_id: &origin.trace_id,
            process: None,
            columns: &columns,
        };
        let arrival = Arrival { program: self, traits, row: &row, source: &source, known: None };
        let mut landings = Landings::default();
        for route in wanted.routes.iter().filter(|route| matches!(route.target, Target::Derive { .. })) {
            arrival.route(route, &mut landings);
        }
        let made = landings.list.into_iter().filter_map(|landing| {
            let Target::Derive { pack, derive } = landing.target else { return None };
            let Landed::Keyed { slots, .. } = landing.what else { return None };
            let (content, declared) = self.derive(pack, derive);
            let attrs = declared
                .attrs
                .iter()
                .cloned()
                .zip(slots.iter().cloned())
                .filter_map(|(name, value)| Some((name, value?)));
            Some(Event {
                name: declared.name.clone(),
                identity: identity(origin.identity, &content.name, &declared.name, landing.at.element),
                attrs: attrs.collect(),
                ..origin.clone()
            })
        });
        made.collect()
    }
}

//! The replayed state against the tables.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::things::{self, Object};
use super::{Fields, Replay, Row, Thing, decision_fields};

/// A comparison in the making: what is in the tables is shown to it, thing by thing.
pub struct Comparison {
    objects: BTreeMap<Thing, Object>,
    lost: HashMap<String, Row>,
    report: StateReport,
    /// The thing of the first difference.
    first: Option<Thing>,
    /// Tokens that end by then, in Unix milliseconds, are left out.
    pub tokens_until: i64,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateReport {
    /// How many things were compared.
    pub compared: u64,
    /// How many differences there are.
    pub differences: u64,
    /// The first of them, in words.
    pub first: Option<String>,
    /// How many things could not be compared, as payloads are not there any more.
    pub unknown: u64,
    /// The first row that lost its payload.
    pub first_lost: Option<u64>,
}

impl fmt::Display for StateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} things in the tables were compared with the rows", self.compared)?;
        match &self.first {
            None => write!(f, ", no difference")?,
            Some(first) if self.differences > 1 => write!(f, ": {first}; and {} more differences", self.differences - 1)?,
            Some(first) => write!(f, ": {first}")?,
        }
        if self.unknown > 0 {
            let row = self.first_lost.map_or_else(String::new, |row| format!(" (the first is row {row})"));
            write!(f, "; of {} things nothing is known for sure, as rows about them have no payload any more{row}", self.unknown)?;
        }
        Ok(())
    }
}

impl Replay {
    /// All rows were fed.
    pub fn compare(mut self) -> Comparison {
        for ((model, target), (held, row)) in std::mem::take(&mut self.targets) {
            self.objects.entry(Thing::Target { model, target }).or_default().set(held.fields(), row);
        }
        for ((request, person), (decisions, row)) in std::mem::take(&mut self.decisions) {
            self.objects.entry(Thing::Decisions { request, person }).or_default().set(decision_fields(&decisions), row);
        }
        let mut report = StateReport { first_lost: self.lost.values().copied().flatten().min(), ..StateReport::default() };
        if let Some((row, error)) = &self.misread {
            report.differences = 1;
            report.first = Some(format!("what {} says of the state is not understood: {error}", row_in_words(*row)));
        }
        Comparison { objects: self.objects, lost: self.lost, report, first: None, tokens_until: self.tokens_until }
    }
}

impl Comparison {
    /// A thing that is in the tables.
    pub fn seen(&mut self, thing: &Thing, fields: &Fields) {
        let Some(object) = self.objects.get_mut(thing) else {
            if self.counts(thing, fields) {
                let named = self.named(thing, Some(fields));
                self.differs(thing, format!("{named}: it is in the tables{}, and by the rows there is none", summary(fields)));
            }
            return;
        };
        object.seen = true;
        if !self.counts(thing, fields) {
            return;
        }
        let Some(object) = self.objects.get(thing) else { return };
        let told = object.told.iter().map(|(field, (value, row))| (*field, Some((value.as_str(), *row))));
        let untold = fields.keys().filter(|field| !object.told.contains_key(*field)).map(|field| (*field, None));
        let mut found = Vec::new();
        for (field, told) in told.chain(untold) {
            let (stored, told, row) = (fields.get(field), told.map(|(value, _)| value), told.and_then(|(_, row)| row));
            if stored.map(String::as_str) != told {
                let word = |value: Option<&str>| value.map_or_else(|| "missing".to_owned(), |value| self.value(thing, field, value));
                let (stored, told) = (word(stored.map(String::as_str)), word(told));
                let since = if object.built_in { "as it is built in".to_owned() } else { format!("last set by {}", row_in_words(row)) };
                found.push(format!("{}: the {field} is {stored}, the rows say {told} ({since})", self.named(thing, Some(fields))));
            }
        }
        for difference in found {
            self.differs(thing, difference);
        }
    }

    /// All tables were shown.
    pub fn finish(mut self) -> StateReport {
        let missing: Vec<Thing> = self.objects.iter().filter(|(_, object)| !object.seen).map(|(thing, _)| thing.clone()).collect();
        for thing in missing {
            let Some(object) = self.objects.get(&thing) else { continue };
            let fields: Fields = object.told.iter().map(|(field, (value, _))| (*field, value.clone())).collect();
            if self.counts(&thing, &fields)
                && let Some(object) = self.objects.get(&thing)
            {
                let since =
                    if object.built_in { "as it is built in".to_owned() } else { format!("last changed by {}", row_in_words(object.row)) };
                let named = self.named(&thing, None);
                self.differs(
                    &thing,
                    format!("{named}: it is not in the tables, and the rows say that it is{} ({since})", summary(&fields)),
                );
            }
        }
        self.report
    }

    /// Counts a thing as compared, or as one of which too little is known.
    fn counts(&mut self, thing: &Thing, fields: &Fields) -> bool {
        // A grant may have come or gone with the user or group that it is of.
        let principal = fields.get(things::PRINCIPAL).and_then(|principal| principal.split_once(' ')).map(|(_, id)| id);
        let lost = thing.ids().into_iter().chain(principal).any(|id| self.lost.contains_key(id));
        if lost {
            self.report.unknown += 1;
        } else {
            self.report.compared += 1;
        }
        !lost
    }

    fn differs(&mut self, thing: &Thing, what: String) {
        self.report.differences += 1;
        let misread = self.first.is_none() && self.report.first.is_some();
        if !misread && self.first.as_ref().is_none_or(|first| thing < first) {
            self.first = Some(thing.clone());
            self.report.first = Some(what);
        }
    }

    fn told(&self, thing: &Thing, field: &str) -> Option<&str> {
        self.objects.get(thing).and_then(|object| object.value(field))
    }

    /// A thing by the names that the rows give it, or those of the tables.
    fn named(&self, thing: &Thing, stored: Option<&Fields>) -> String {
        let name = |field: &str| self.told(thing, field).or_else(|| stored.and_then(|stored| stored.get(field)).map(String::as_str));
        let of_name = |kind: &str, id: &str| match name(things::NAME) {
            Some(name) => format!("{kind} {name:?}"),
            None => format!("{kind} of the id {id}"),
        };
        match thing {
            Thing::Gate { id, version } => format!("gate {id:?} version {version}"),
            Thing::Model { id } => of_name("model", id),
            Thing::Version { model, id } => match name(things::NUMBER) {
                Some(number) => format!("{} version {number}", self.model(model)),
                None => format!("{}, version of the id {id}", self.model(model)),
            },
            Thing::Alias { model, alias } => format!("{} alias {alias:?}", self.model(model)),
            Thing::Target { model, target } => format!("{}, who holds {target}", self.model(model)),
            Thing::Request { id } => match (name(things::MODEL), name(things::VERSION), name(things::TARGET)) {
                (Some(model), Some(version), Some(target)) => {
                    format!("request {id} ({} {} to {target})", self.model(model), self.version(model, version))
                }
                _ => format!("request {id}"),
            },
            Thing::Requester { request, person } => {
                format!("{}, asked for by the person {person}", self.named(&Thing::Request { id: request.clone() }, None))
            }
            Thing::Decisions { request, person } => {
                format!("{}, decided on by the person {person}", self.named(&Thing::Request { id: request.clone() }, None))
            }
            Thing::User { id } => of_name("user", id),
            Thing::Group { id } => of_name("group", id),
            Thing::Member { group, user } => {
                let group = self.named(&Thing::Group { id: group.clone() }, None);
                format!("{group}, member {}", self.named(&Thing::User { id: user.clone() }, None))
            }
            Thing::Persona { name } => format!("persona {name:?}"),
            Thing::Grant { id } => match name(things::PRINCIPAL).map(|principal| self.value(thing, things::PRINCIPAL, principal)) {
                Some(principal) => format!("grant {id} to {principal}"),
                None => format!("grant {id}"),
            },
            Thing::Revocation { token } => format!("revocation of the token {token}"),
        }
    }

    fn model(&self, id: &str) -> String {
        self.named(&Thing::Model { id: id.to_owned() }, None)
    }

    fn version(&self, model: &str, id: &str) -> String {
        let thing = Thing::Version { model: model.to_owned(), id: id.to_owned() };
        self.told(&thing, things::NUMBER).map_or_else(|| format!("version of the id {id}"), |number| format!("version {number}"))
    }

    /// A value in words: ids become names.
    fn value(&self, thing: &Thing, field: &str, value: &str) -> String {
        match (thing, field) {
            (Thing::Alias { model, .. } | Thing::Target { model, .. }, things::VERSION) => self.version(model, value),
            (Thing::Grant { .. }, things::PRINCIPAL) => match value.split_once(' ') {
                Some(("USER", id)) => self.named(&Thing::User { id: id.to_owned() }, None),
                Some(("GROUP", id)) => self.named(&Thing::Group { id: id.to_owned() }, None),
                _ => value.to_owned(),
            },
            (_, things::NAME) => format!("{value:?}"),
            _ if value.is_empty() => "empty".to_owned(),
            _ => value.escape_debug().to_string(),
        }
    }
}

fn row_in_words(row: Row) -> String {
    row.map_or_else(|| "a row that waits for its position".to_owned(), |row| format!("row {row}"))
}

/// A thing that one side does not know, in brackets.
fn summary(fields: &Fields) -> String {
    let shown: Vec<String> =
        fields.iter().filter(|(_, value)| !value.is_empty()).map(|(field, value)| format!("{field} {}", value.escape_debug())).collect();
    if shown.is_empty() { String::new() } else { format!(" ({})", shown.join(", ")) }
}

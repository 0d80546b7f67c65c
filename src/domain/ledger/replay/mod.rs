//! The state that the rows of a ledger add up to: they are folded one after the other, and what the tables hold is
//! compared with the result. It grows with what there is, not with the number of rows.

mod compare;
mod held;
mod things;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use serde::de::DeserializeOwned;

use super::{
    DecisionNow, Entry, Grants, GrantsNow, GroupNow, Holders, ModelNow, Outcome, PersonaNow, RequestNow, Revoked, TokenNow, UserNow,
    VersionNow, read_now,
};
use crate::domain::gate::Gate;
use crate::domain::manifest::UNVERIFIED;
use crate::domain::text::{canonical_name, canonical_principal};

pub use compare::{Comparison, StateReport};
pub use held::Held;
pub use things::{
    Fields, Thing, alias_fields, credential_fields, decision_fields, gate_fields, grant_fields, group_fields, model_fields, persona_fields,
    request_fields, requester_fields, user_fields, version_fields,
};
use things::{Object, fields};

/// The row that said something: its position; none for one that waits for its position.
type Row = Option<u64>;

/// A decision, and whether it is void.
pub type Decided = (DecisionNow, bool);

/// The state so far.
#[derive(Default)]
pub struct Replay {
    objects: BTreeMap<Thing, Object>,
    /// Who holds, and held, the targets of models.
    targets: BTreeMap<(String, String), (Held, Row)>,
    /// The decisions of a person on a request, with whether they are void.
    decisions: BTreeMap<(String, String), (Vec<Decided>, Row)>,
    /// Objects of which nothing is known for sure, as a row about them has lost its payload; with that row.
    lost: HashMap<String, Row>,
    /// The first row whose `now` this program does not understand.
    misread: Option<(Row, String)>,
    /// Tokens that end by then, in Unix milliseconds, are left out.
    tokens_until: i64,
}

impl Replay {
    /// Before the first row: nothing but the gates that every server begins with. Tokens that end until `tokens_until`, in
    /// Unix milliseconds, are not compared.
    pub fn new(gates: &[Gate], tokens_until: i64) -> Self {
        let mut replay = Self { tokens_until, ..Self::default() };
        for gate in gates {
            let thing = Thing::Gate { id: gate.gate_id.clone(), version: gate.version.into() };
            replay.objects.insert(thing, Object::begun_with(gate_fields(gate, true)));
        }
        replay
    }

    /// The next row, and its position.
    pub fn row(&mut self, position: Row, entry: &Entry) {
        if entry.outcome != Outcome::Ok {
            return;
        }
        let step = Step { replay: self, position, entry };
        let understood = match entry.object_kind.as_str() {
            "registered_model" => step.of(Step::model),
            "model_version" => step.of(Step::version),
            "transition_request" => step.of(Step::request),
            "user" => step.of(Step::user),
            "group" => step.of(Step::group),
            "persona" => step.of(Step::persona),
            "token" => step.of(|step, now: TokenNow| step.revoked(now.revoked)),
            // An experiment that is removed for good takes the grants on it along.
            "grant" | "experiment" => step.of(|step, now: GrantsNow| step.grants(now.grants)),
            _ => Ok(()),
        };
        if let Err(error) = understood {
            self.misread.get_or_insert((position, error.to_string()));
        }
    }
}

/// One row on its way into the state.
struct Step<'a> {
    replay: &'a mut Replay,
    position: Row,
    entry: &'a Entry,
}

impl Step<'_> {
    fn of<T: DeserializeOwned>(mut self, change: impl FnOnce(&mut Self, T)) -> Result<(), serde_json::Error> {
        match &self.entry.payload {
            Some(payload) => {
                if let Some(now) = read_now(payload)? {
                    change(&mut self, now);
                }
            }
            None => {
                // A version's row may move the targets of its model.
                let of_version = Some(&self.entry.scope_id).filter(|_| self.entry.object_kind == "model_version");
                for id in [Some(&self.entry.object_id), of_version].into_iter().flatten() {
                    self.replay.lost.entry(id.clone()).or_insert(self.position);
                }
            }
        }
        Ok(())
    }

    fn id(&self) -> String {
        self.entry.object_id.clone()
    }

    fn set(&mut self, thing: Thing, fields: Fields) {
        self.replay.objects.entry(thing).or_default().set(fields, self.position);
    }

    fn model(&mut self, now: ModelNow) {
        let thing = Thing::Model { id: self.id() };
        if let Some(name) = &now.name {
            self.set(thing.clone(), model_fields(name, &canonical_name(name), false));
        }
        self.hold(self.entry.object_id.clone(), now.holders);
        if now.deleted {
            self.set(thing, fields([things::life(true)]));
            let first = Thing::Version { model: self.id(), id: String::new() };
            let of_model = |thing: &Thing| matches!(thing, Thing::Version { model, .. } if *model == self.entry.object_id);
            for (_, version) in self.replay.objects.range_mut(first..).take_while(|(thing, _)| of_model(thing)) {
                if !version.is(&things::life(true)) {
                    version.set(fields([things::life(true)]), self.position);
                }
            }
        }
    }

    fn version(&mut self, now: VersionNow) {
        let thing = Thing::Version { model: self.entry.scope_id.clone(), id: self.id() };
        if let (Some(number), Some(digest), Some(stage)) = (now.number, &now.source_digest, &now.stage) {
            self.set(thing.clone(), version_fields(number, (digest, digest), stage, (false, false)));
        } else if let Some(stage) = &now.stage {
            self.set(thing.clone(), fields([(things::STAGE, stage.clone())]));
        }
        if now.deleted {
            self.set(thing.clone(), fields([things::life(true)]));
        }
        if now.purged {
            self.set(thing, fields([(things::FILES, UNVERIFIED.to_owned()), things::purged(true)]));
        }
        self.hold(self.entry.scope_id.clone(), now.holders);
    }

    /// Targets of a model go to other versions.
    fn hold(&mut self, model: String, holders: Holders) {
        for (target, version) in holders {
            if let Some(alias) = target.strip_prefix('@') {
                let thing = Thing::Alias { model: model.clone(), alias: alias.to_owned() };
                match &version {
                    Some(version) => self.set(thing, fields([(things::VERSION, version.clone())])),
                    None => self.take(&thing),
                }
            }
            let (held, row) = self.replay.targets.entry((model.clone(), target)).or_default();
            held.change(version, self.entry.time);
            *row = self.position;
        }
    }

    fn request(&mut self, now: RequestNow) {
        let thing = Thing::Request { id: self.id() };
        if let Some(filed) = now.filed {
            self.set(thing.clone(), things::filed_fields(&filed, &self.entry.scope_id));
        }
        if let Some(digest) = now.evidence_digest {
            let all = self.replay.decisions.range_mut((self.id(), String::new())..);
            for (_, (decisions, row)) in all.take_while(|((request, _), _)| *request == self.entry.object_id) {
                for (_, void) in decisions.iter_mut().filter(|(decision, void)| !void && decision.evidence_digest != digest) {
                    *void = true;
                    *row = self.position;
                }
            }
            self.set(thing.clone(), fields([(things::EVIDENCE, digest)]));
        }
        if let Some(requester) = now.requester {
            let thing = Thing::Requester { request: self.id(), person: requester.person_id };
            self.set(thing, fields([things::asks(!requester.withdrawn)]));
        }
        if let Some(decision) = now.decision {
            let (decisions, row) = self.replay.decisions.entry((self.id(), decision.person_id.clone())).or_default();
            decisions.iter_mut().for_each(|(_, void)| *void = true);
            decisions.push((decision, false));
            *row = self.position;
        }
        if let Some(state) = now.state {
            self.set(thing, fields([(things::STATE, state)]));
        }
    }

    fn user(&mut self, now: UserNow) {
        let thing = Thing::User { id: self.id() };
        if let Some(credentials) = &now.credentials {
            self.set(thing.clone(), credential_fields(credentials));
        }
        self.revoked(now.revoked);
        if let (Some(name), Some(kind), Some(person), Some(active)) = (&now.name, &now.kind, &now.person_id, now.active) {
            self.set(thing, user_fields(name, &canonical_principal(name), kind, person, active));
        } else if let Some(active) = now.active {
            self.set(thing, fields([things::active(active)]));
        }
        self.grants(now.grants);
    }

    /// Tokens whose time is over are forgotten by the tables, and end all the same.
    fn revoked(&mut self, revoked: Revoked) {
        for (token, expires) in revoked {
            if expires > self.replay.tokens_until {
                self.set(Thing::Revocation { token }, Fields::new());
            }
        }
    }

    fn group(&mut self, now: GroupNow) {
        let thing = Thing::Group { id: self.id() };
        if let Some(name) = &now.name {
            self.set(thing.clone(), group_fields(name, &canonical_principal(name)));
        }
        for (user, member) in now.members {
            let thing = Thing::Member { group: self.id(), user };
            if member {
                self.set(thing, Fields::new());
            } else {
                self.take(&thing);
            }
        }
        self.grants(now.grants);
        if now.deleted {
            self.take(&thing);
            let first = Thing::Member { group: self.id(), user: String::new() };
            let of_group = |thing: &Thing| matches!(thing, Thing::Member { group, .. } if *group == self.entry.object_id);
            let members: Vec<Thing> = self.replay.objects.range(first..).map(|(thing, _)| thing.clone()).take_while(of_group).collect();
            members.iter().for_each(|member| self.take(member));
        }
    }

    fn persona(&mut self, now: PersonaNow) {
        let thing = Thing::Persona { name: self.id() };
        if let Some(permissions) = &now.permissions {
            self.set(thing.clone(), persona_fields(permissions));
        }
        if now.deleted {
            self.take(&thing);
        }
    }

    fn grants(&mut self, grants: Grants) {
        for (id, grant) in grants {
            let thing = Thing::Grant { id };
            match grant {
                Some(grant) => self.set(thing, grant_fields(&grant)),
                None => self.take(&thing),
            }
        }
    }

    fn take(&mut self, thing: &Thing) {
        self.replay.objects.remove(thing);
    }
}

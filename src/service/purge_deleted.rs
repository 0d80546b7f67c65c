//! Removing for good all that was deleted a while ago, thing by thing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::artifacts::to_the_end;
use super::purge::{Gone, Thing, bound_by, bound_to_model, default_stays, swept, whole_experiment, write};
use super::{Error, Result};
use crate::access::Call;
use crate::clock;
use crate::contract::{Permission, v1};
use crate::domain::access::{ObjectClass, Snapshot};
use crate::domain::field::Check;
use crate::domain::{ids, limits, text};
use crate::store::purge::{self as rows, Deleted, Kind, Source};
use crate::store::{Kept, Recorded, objects};

/// Things that one call removes.
const MOST: usize = 1_000;
/// After this long a call that may go on answers what it has done.
const TIME: Duration = Duration::from_secs(30);
/// Things that are looked up at a time.
const PAGE: u64 = 200;

/// See the proto.
pub async fn purge_deleted(call: &Call, request: v1::PurgeDeletedRequest) -> Result<Kept<v1::PurgeDeletedResponse>> {
    let mut check = Check::new();
    let age = request.older_than_ms;
    check.require(age.is_some(), "older_than_ms", "is required; 0 stands for everything that is deleted");
    check.require(age.is_none_or(|age| age >= 0), "older_than_ms", "must not be negative");
    check.take(text::count("experiment_ids", request.experiment_ids.len(), limits::PURGE_EXPERIMENTS));
    let mut experiments = Vec::new();
    for (index, id) in request.experiment_ids.iter().enumerate().take(limits::PURGE_EXPERIMENTS) {
        experiments.extend(check.take(ids::experiment_id(&format!("experiment_ids[{index}]"), id)));
    }
    check.finish()?;
    let until = clock::now_ms().saturating_sub(age.unwrap_or_default());
    let call = call.clone();
    to_the_end(async move {
        let snapshot = call.access().snapshot().await?;
        if call.visibility(&snapshot, Permission::ExperimentsPurge, ObjectClass::Experiment).is_nothing() {
            return Err(Error::denied(Permission::ExperimentsPurge, "any experiment", ""));
        }
        let mut round = Round {
            call: &call,
            dry: request.dry_run,
            begun: Instant::now(),
            gone: Gone::default(),
            kept: 0,
            reason: String::new(),
            more: false,
            snapshot,
            allowed: HashMap::new(),
            whole: HashSet::new(),
        };
        // Whole experiments first: what is in one that goes is bound to nothing else by then.
        for kind in [Kind::Experiments, Kind::LoggedModels, Kind::Runs] {
            round.all(kind, until, &experiments).await?;
        }
        let Round { gone, kept, reason, more, .. } = round;
        swept(&call).await;
        call.access().refresh().await?;
        let answer = v1::PurgeDeletedResponse { purged: Some(gone.purged), kept, kept_reason: reason, more };
        // Each thing that went has its row already.
        let store = call.store();
        store.write(answer, |_, answer| Box::pin(async move { Ok::<_, Error>(Recorded::nothing(answer.clone())) })).await
    })
    .await
}

/// One call that removes what was deleted a while ago.
struct Round<'a> {
    call: &'a Call,
    dry: bool,
    begun: Instant,
    gone: Gone,
    kept: i64,
    reason: String,
    more: bool,
    snapshot: Arc<Snapshot>,
    /// What the caller may purge, by experiment.
    allowed: HashMap<i64, bool>,
    /// Experiments that a dry run found to go with all that is in them.
    whole: HashSet<i64>,
}

impl Round<'_> {
    /// Removes all of a kind, as far as one call goes.
    async fn all(&mut self, kind: Kind, until: i64, experiments: &[i64]) -> Result<()> {
        let mut after = i64::MIN;
        loop {
            let page = rows::deleted_until(self.call.store().reader(), kind, (until, after), experiments, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            for thing in &page {
                let purged = &self.gone.purged;
                let gone = usize::try_from(purged.runs + purged.logged_models + purged.experiments).unwrap_or(MOST);
                if gone >= MOST || self.begun.elapsed() >= TIME {
                    self.more = true;
                    return Ok(());
                }
                if !self.may(thing.experiment).await? || kind != Kind::Experiments && self.whole.contains(&thing.experiment) {
                    continue;
                }
                match self.thing(kind, thing).await {
                    Ok(purged) => self.gone.add(&purged),
                    Err(error @ Error::Precondition { .. }) => {
                        self.kept += 1;
                        if self.reason.is_empty() {
                            self.reason = error.to_string();
                        }
                    }
                    // Somebody else was faster, or it went with another.
                    Err(Error::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Whether the caller may purge what is in an experiment.
    async fn may(&mut self, experiment: i64) -> Result<bool> {
        if let Some(known) = self.allowed.get(&experiment) {
            return Ok(*known);
        }
        let object = objects::experiment(self.call.store().reader(), experiment).await?;
        let may = object.is_some_and(|object| self.call.decide(&self.snapshot, Permission::ExperimentsPurge, &object).allowed);
        self.allowed.insert(experiment, may);
        Ok(may)
    }

    async fn thing(&mut self, kind: Kind, thing: &Deleted) -> Result<v1::Purged> {
        if self.dry {
            return self.would_go(kind, thing).await;
        }
        Ok(match kind {
            Kind::LoggedModels => write(self.call, Thing::LoggedModel(thing.public_id.clone())).await?.into_value(),
            Kind::Runs => write(self.call, Thing::Run(thing.public_id.clone())).await?.into_value(),
            Kind::Experiments => whole_experiment(self.call, thing.id).await?.into_value(),
        })
    }

    /// What a call that is no dry run would remove with a thing, or the error that it would meet.
    async fn would_go(&mut self, kind: Kind, thing: &Deleted) -> Result<v1::Purged> {
        let on = self.call.store().reader();
        let (source, what) = match kind {
            Kind::LoggedModels => (Source::LoggedModel(thing.id), "the logged model"),
            Kind::Runs => (Source::Run(thing.id), "the run"),
            Kind::Experiments if thing.id == ids::DEFAULT_EXPERIMENT => return Err(default_stays()),
            Kind::Experiments => (Source::Experiment(thing.id), "what is in the experiment"),
        };
        let what = format!("{what} {}", thing.public_id);
        if let Some(bound) = rows::bound(on, source).await? {
            return Err(bound_by(&what, &bound));
        }
        let mut purged = v1::Purged::default();
        match kind {
            Kind::LoggedModels => purged.logged_models = 1,
            Kind::Runs => {
                if let Some((made, _)) = rows::models_of_run(on, thing.id).await?.into_iter().find(|(_, active)| *active) {
                    return Err(bound_to_model(&what, &made.public_id));
                }
                purged.runs = 1;
            }
            Kind::Experiments => {
                self.whole.insert(thing.id);
                purged.experiments = 1;
                (purged.runs, purged.logged_models) = rows::counts_of_experiment(on, thing.id).await?;
            }
        }
        Ok(purged)
    }
}

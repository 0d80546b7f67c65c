//! A stream that logs to one run. What has arrived when a write ends is stored together by the next one,
//! so a fast client costs few commits, and a slow one waits for nobody.

use futures::{FutureExt, StreamExt, stream};
use prost::Message;
use tokio_util::sync::CancellationToken;

use super::batch::{self, Batch};
use super::{Error, RequestStream, ResponseStream, Result};
use crate::access::{Call, Refused};
use crate::contract::v1;
use crate::domain::access::Object;
use crate::domain::field::{Check, FieldError};
use crate::domain::ids;
use crate::store::objects;

/// Messages that one acknowledgement stands for.
const MESSAGES: usize = 256;
/// Metric points, params and tags that one acknowledgement stands for; one message may pass it.
const ITEMS: usize = 10_000;

/// See the proto.
pub async fn log_stream(
    call: &Call,
    first: v1::LogStreamRequest,
    rest: RequestStream<v1::LogStreamRequest>,
) -> Result<ResponseStream<v1::LogStreamResponse>> {
    ids::run_id("run_id", &first.run_id)?;
    let log = Log {
        call: call.clone(),
        run_id: first.run_id.clone(),
        sequence: 0,
        epoch: None,
        stop: call.store().ledger_feed().ended(),
        rest: stream::once(async { Ok(first) }).chain(rest).boxed(),
        end: None,
    };
    Ok(stream::try_unfold(log, Log::answer).boxed())
}

/// A log stream under way.
struct Log {
    call: Call,
    run_id: String,
    /// The last valid message's number.
    sequence: i64,
    /// The epoch of access at which the caller was last found to be allowed.
    epoch: Option<i64>,
    /// The server stops.
    stop: CancellationToken,
    rest: RequestStream<v1::LogStreamRequest>,
    /// How the stream ends, once that is known.
    end: Option<Result<()>>,
}

/// A message that is in order.
#[derive(Debug, Clone)]
struct Numbered {
    sequence: i64,
    batch: Batch,
}

impl Log {
    /// Stores what has arrived and acknowledges it. Before an error everything that came ahead of it is
    /// stored and acknowledged.
    async fn answer(mut self) -> Result<Option<(v1::LogStreamResponse, Self)>> {
        let group = if self.end.is_none() { self.arrived().await } else { Vec::new() };
        let mut acknowledged = None;
        if !group.is_empty() {
            self.still_allowed().await?;
            self.call.within_quotas().await?;
            acknowledged = self.store(group).await;
        }
        match (acknowledged, self.end.take()) {
            (Some(acknowledged_sequence), end) => {
                self.end = end;
                Ok(Some((v1::LogStreamResponse { acknowledged_sequence }, self)))
            }
            (None, Some(Err(error))) => Err(error),
            (None, _) => Ok(None),
        }
    }

    /// Waits for a message and takes those that are there behind it.
    async fn arrived(&mut self) -> Vec<Numbered> {
        let mut group = Vec::new();
        let mut items = 0;
        let mut next = tokio::select! {
            biased;
            () = self.stop.cancelled() => {
                Some(Err(Error::Unavailable("the server stops; send again what was not acknowledged".to_owned())))
            }
            next = self.rest.next() => next,
        };
        while self.end.is_none() {
            match next.map(|message| message.and_then(|message| self.numbered(message))) {
                None => self.end = Some(Ok(())),
                Some(Err(error)) => self.end = Some(Err(error)),
                Some(Ok(message)) => {
                    items += message.batch.metrics.len() + message.batch.params.len() + message.batch.tags.len();
                    group.push(message);
                }
            }
            if group.len() >= MESSAGES || items >= ITEMS || self.end.is_some() {
                break;
            }
            next = match self.rest.next().now_or_never() {
                Some(next) => next,
                None => break,
            };
        }
        group
    }

    fn numbered(&mut self, message: v1::LogStreamRequest) -> Result<Numbered> {
        self.call.charge(message.encoded_len());
        let sequence = message.sequence;
        let mut check = Check::new();
        let path = format!("message[{sequence}].");
        if sequence <= self.sequence {
            let why = format!("is {sequence}; must be greater than {}, the number of the message before", self.sequence);
            check.fail(FieldError::new(format!("{path}sequence"), why));
        }
        if !message.run_id.is_empty() && message.run_id != self.run_id {
            check.fail(FieldError::new(format!("{path}run_id"), format!("differs from {}, the run of this stream", self.run_id)));
        }
        let batch = Batch { metrics: message.metrics, params: message.params, tags: message.tags };
        batch.check(&mut check, &path);
        check.finish()?;
        self.sequence = sequence;
        Ok(Numbered { sequence, batch })
    }

    /// Stores messages, together if that goes, else one by one up to the one that cannot be stored.
    /// Returns the number of the last that is.
    async fn store(&mut self, mut group: Vec<Numbered>) -> Option<i64> {
        let last = group.last().map(|message| message.sequence);
        if group.len() > 1
            && let Some(batch) = merged(&group)
            && batch::store(&self.call, &self.run_id, batch).await.is_ok()
        {
            return last;
        }
        let mut stored = None;
        for message in group.drain(..) {
            if let Err(error) = batch::store(&self.call, &self.run_id, message.batch).await {
                self.end = Some(Err(of_message(message.sequence, error)));
                break;
            }
            stored = Some(message.sequence);
        }
        stored
    }

    /// Asks again whether the caller may log, whenever anything about access has changed or the token's time is
    /// over: a stream may be open for days.
    async fn still_allowed(&mut self) -> Result<()> {
        let snapshot = self.call.still_known().await?;
        if self.epoch == Some(snapshot.epoch) {
            return Ok(());
        }
        let object = objects::run(self.call.store().reader(), &self.run_id).await?.unwrap_or(Object::SERVER);
        for clause in self.call.operation().rule.clauses {
            if !self.call.decide(&snapshot, clause.permission, &object).allowed {
                let on = self.call.subject().to_owned();
                return Err(Refused::Denied { permission: clause.permission, on, hint: String::new() }.into());
            }
        }
        self.epoch = Some(snapshot.epoch);
        Ok(())
    }
}

/// Messages as one batch; none when two of them give a param different values, which one transaction
/// could not tell apart.
fn merged(group: &[Numbered]) -> Option<Batch> {
    let mut merged = Batch::default();
    let mut values = std::collections::HashMap::new();
    for message in group {
        merged.metrics.extend_from_slice(&message.batch.metrics);
        merged.tags.extend_from_slice(&message.batch.tags);
        for param in &message.batch.params {
            match values.insert(&param.key, &param.value) {
                None => merged.params.push(param.clone()),
                Some(earlier) if *earlier == param.value => {}
                Some(_) => return None,
            }
        }
    }
    Some(merged)
}

/// Says in an error which message it is about.
fn of_message(sequence: i64, error: Error) -> Error {
    match error {
        Error::Invalid(invalid) => {
            let mut check = Check::new();
            for violation in invalid.violations() {
                check.fail(FieldError::new(format!("message[{sequence}].{}", violation.field), violation.message.clone()));
            }
            check.finish().map_or_else(Error::from, |()| Error::Invalid(invalid))
        }
        Error::Precondition { reason, message } => {
            Error::Precondition { reason, message: format!("message[{sequence}] was not stored: {message}") }
        }
        Error::Unavailable(message) => Error::Unavailable(format!("message[{sequence}] was not stored: {message}")),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(sequence: i64, params: &[(&str, &str)]) -> Numbered {
        let params = params.iter().map(|(key, value)| v1::Param { key: (*key).to_owned(), value: (*value).to_owned() });
        Numbered { sequence, batch: Batch { params: params.collect(), ..Batch::default() } }
    }

    #[test]
    fn messages_merge_unless_a_param_would_change() {
        let merged_params = |group: &[Numbered]| merged(group).map(|batch| batch.params.len());
        assert_eq!(merged_params(&[message(1, &[("a", "1")]), message(2, &[("a", "1"), ("b", "2")])]), Some(2));
        assert_eq!(merged_params(&[message(1, &[("a", "1")]), message(2, &[("a", "2")])]), None);
    }

    #[test]
    fn an_error_names_its_message() {
        let error = of_message(7, Error::invalid("params[0].value", "is another"));
        assert_eq!(error.to_string(), "message[7].params[0].value: is another");
        let error = of_message(7, Error::precondition("RUN_DELETED", "the run is deleted"));
        assert_eq!(error.to_string(), "message[7] was not stored: the run is deleted");
    }
}

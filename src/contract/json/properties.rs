//! Whatever spelling a client chooses, the message is the same; whatever bytes come, there is an answer.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{read, read_query, write};
use crate::contract::v1;

fn metric() -> impl Strategy<Value = v1::Metric> {
    (any::<String>(), any::<Option<f64>>(), any::<Option<i64>>(), any::<i64>()).prop_map(|(key, value, timestamp, step)| v1::Metric {
        key,
        value,
        timestamp,
        step,
        ..v1::Metric::default()
    })
}

fn batch() -> impl Strategy<Value = v1::LogBatchRequest> {
    let pair = || (any::<String>(), any::<String>());
    (any::<String>(), vec(metric(), 0..4), vec(pair(), 0..3), vec(pair(), 0..3)).prop_map(|(run_id, metrics, params, tags)| {
        v1::LogBatchRequest {
            run_id,
            metrics,
            params: params.into_iter().map(|(key, value)| v1::Param { key, value }).collect(),
            tags: tags.into_iter().map(|(key, value)| v1::Tag { key, value }).collect(),
        }
    })
}

/// How a client may spell one and the same message.
#[derive(Debug, Clone, Copy)]
struct Manner {
    camel: bool,
    integers_as_text: bool,
    nulls: bool,
    unknown: bool,
}

fn manner() -> impl Strategy<Value = Manner> {
    any::<[bool; 4]>().prop_map(|[camel, integers_as_text, nulls, unknown]| Manner { camel, integers_as_text, nulls, unknown })
}

impl Manner {
    fn integer(self, number: i64) -> Value {
        if self.integers_as_text { json!(number.to_string()) } else { json!(number) }
    }

    fn spell(self, batch: &v1::LogBatchRequest) -> Value {
        let mut object = Map::new();
        object.insert(if self.camel { "runId" } else { "run_id" }.to_owned(), json!(batch.run_id));
        let metrics = batch.metrics.iter().map(|metric| {
            let mut object = Map::from_iter([("key".to_owned(), json!(metric.key)), ("step".to_owned(), self.integer(metric.step))]);
            match metric.value {
                Some(value) if value.is_finite() => drop(object.insert("value".to_owned(), json!(value))),
                Some(value) if value.is_nan() => drop(object.insert("value".to_owned(), json!("NaN"))),
                Some(value) => drop(object.insert("value".to_owned(), json!(if value > 0.0 { "Infinity" } else { "-Infinity" }))),
                None if self.nulls => drop(object.insert("value".to_owned(), Value::Null)),
                None => {}
            }
            if let Some(timestamp) = metric.timestamp {
                object.insert("timestamp".to_owned(), self.integer(timestamp));
            }
            Value::Object(object)
        });
        object.insert("metrics".to_owned(), metrics.collect());
        let pairs = |list: Vec<(&String, &String)>| list.into_iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
        object.insert("params".to_owned(), pairs(batch.params.iter().map(|param| (&param.key, &param.value)).collect()));
        object.insert("tags".to_owned(), pairs(batch.tags.iter().map(|tag| (&tag.key, &tag.value)).collect()));
        if self.unknown {
            object.insert("someday".to_owned(), json!([{"a": [null, 1.5, "x"]}]));
        }
        Value::Object(object)
    }
}

proptest! {
    #[test]
    fn every_spelling_reads_as_the_same_message(batch in batch(), manner in manner()) {
        let text = manner.spell(&batch).to_string();
        let found: v1::LogBatchRequest = read(text.as_bytes()).map_err(|error| TestCaseError::fail(error.to_string()))?;
        // NaN is not equal to itself; the bits are.
        let bits = |batch: &v1::LogBatchRequest| -> Vec<Option<u64>> {
            batch.metrics.iter().map(|metric| metric.value.map(|value| if value.is_nan() { u64::MAX } else { value.to_bits() })).collect()
        };
        prop_assert_eq!(bits(&found), bits(&batch));
        let without = |mut batch: v1::LogBatchRequest| {
            batch.metrics.iter_mut().for_each(|metric| metric.value = None);
            batch
        };
        prop_assert_eq!(without(found), without(batch));
    }

    #[test]
    fn what_is_written_reads_the_same(metric in metric()) {
        let text = write(&metric).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let found: v1::Metric = read(&text).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(write(&found).ok(), Some(text));
    }

    #[test]
    fn no_bytes_make_it_panic_and_only_json_is_read(text in "[\\[\\]{}\":,a-z0-9\\\\ .eE+-]{0,60}", at in 0usize..80, byte in any::<u8>()) {
        let mut damaged = br#"{"run_id":"r","metrics":[{"key":"a","value":1.5,"timestamp":1,"step":-2}],"params":[]}"#.to_vec();
        if let Some(place) = damaged.get_mut(at) {
            *place = byte;
        }
        for bytes in [text.as_bytes(), &damaged] {
            let is_json = serde_json::from_slice::<Value>(bytes).is_ok();
            prop_assert!(is_json || read::<v1::LogBatchRequest>(bytes).is_err());
        }
    }

    #[test]
    fn query_strings_never_panic(text in ".{0,60}", filter in any::<String>()) {
        let _ = read_query::<v1::SearchExperimentsRequest>(&text);
        let encoded = percent_encoding::utf8_percent_encode(&filter, percent_encoding::NON_ALPHANUMERIC).to_string();
        let found: v1::SearchExperimentsRequest =
            read_query(&format!("filter={encoded}&max_results=7")).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!((found.filter, found.max_results), (filter, Some(7)));
    }
}

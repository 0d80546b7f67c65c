use super::*;
use crate::contract::v1;

fn refused<M: DeserializeOwned + fmt::Debug>(text: &str) -> String {
    read::<M>(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn a_batch_is_read_and_numbers_may_be_texts() {
    let text = r#"{"run_id":"r","metrics":[{"key":"a","value":1,"timestamp":"5","step":-3},{"key":"b","value":"NaN","timestamp":2.0}],
        "params":[{"key":"p","value":""}],"unknown":[[{}]],"tags":null}"#;
    let batch: v1::LogBatchRequest = read(text.as_bytes()).unwrap();
    assert_eq!((batch.metrics[0].value, batch.metrics[0].timestamp, batch.metrics[0].step), (Some(1.0), Some(5), -3));
    assert!(batch.metrics[1].value.unwrap().is_nan());
    assert_eq!((batch.metrics[1].timestamp, batch.params.len(), batch.tags.len()), (Some(2), 1, 0));
}

#[test]
fn errors_name_the_field() {
    type Batch = v1::LogBatchRequest;
    assert_eq!(refused::<Batch>(r#"{"metrics":[{"key":"a"},{"key":5}]}"#), "metrics[1].key: invalid type: integer `5`, expected a string");
    assert_eq!(refused::<Batch>(r#"{"metrics":[{"step":1.5}]}"#), "metrics[0].step: 1.5 is no integer that can be read exactly");
    assert_eq!(refused::<Batch>(r#"{"metrics":[{"step":9223372036854775808}]}"#), "metrics[0].step: 9223372036854775808 is out of range");
    assert_eq!(
        refused::<Batch>(r#"{"metrics":[{"value":"abc"}]}"#),
        "metrics[0].value: invalid value: string \"abc\", expected a number, or \"NaN\", \"Infinity\" or \"-Infinity\""
    );
    assert_eq!(refused::<v1::UpdateRunRequest>(r#"{"status":"DONE"}"#), "status: \"DONE\" is no known value");
    assert_eq!(refused::<v1::UpdateRunRequest>(r#"{"status":99}"#), "status: 99 is no known value");
    assert_eq!(refused::<Batch>("[]"), "body: invalid type: sequence, expected an object");
}

#[test]
fn a_field_is_given_once_in_whatever_spelling() {
    for twice in [r#"{"run_id":"a","run_id":"b"}"#, r#"{"run_id":"a","runId":"a"}"#, r#"{"run_id":"a","run\u005fid":"b"}"#] {
        assert!(refused::<v1::GetRunRequest>(twice).ends_with("`run_id` is given twice"), "{twice}");
    }
    assert_eq!(read::<v1::GetRunRequest>(br#"{"runId":"a"}"#).unwrap().run_id, "a");
}

#[test]
fn what_is_no_json_is_refused() {
    for text in ["", "{", "{}{}", "{\"value\":NaN}", "{\"value\":1e400}", "{'a':1}", r#"{"key":"\ud800"}"#, "{\"key\":\"\u{1}\"}"] {
        let error = refused::<v1::LogMetricRequest>(text);
        assert!(error.starts_with("body: is no valid JSON") || error.contains("out of range"), "{text:.20}: {error}");
    }
    assert!(read::<v1::GetRunRequest>(b"{\"run_id\":\"\xff\"}").is_err());
}

#[test]
fn what_nobody_reads_nests_no_deeper_than_the_rest() {
    for (open, close) in [("[", "]"), ("{\"y\":", "}")] {
        let nested = |depth: usize| format!("{{\"run_id\":\"r\",\"x\":{}1{}}}", open.repeat(depth), close.repeat(depth));
        assert_eq!(read::<v1::GetRunRequest>(nested(DEPTH).as_bytes()).unwrap().run_id, "r");
        assert_eq!(refused::<v1::GetRunRequest>(&nested(DEPTH + 1)).rsplit_once(": ").unwrap().1, "nests deeper than 100 levels");
        for long in [nested(100_000), format!("{{\"x\":{}", open.repeat(100_000))] {
            assert!(refused::<v1::GetRunRequest>(&long).ends_with("nests deeper than 100 levels"));
        }
    }
}

#[test]
fn answers_are_spelled_as_mlflow_spells_them() {
    let info = v1::RunInfo {
        run_id: "r".to_owned(),
        status: v1::RunStatus::Finished.into(),
        start_time: 1 << 60,
        lifecycle_stage: v1::LifecycleStage::Active.into(),
        ..v1::RunInfo::default()
    };
    let metric = |value| v1::Metric { key: "m".to_owned(), value: Some(value), timestamp: Some(0), ..v1::Metric::default() };
    let data = v1::RunData { metrics: [1.0, f64::NAN, f64::NEG_INFINITY].map(metric).into(), ..v1::RunData::default() };
    let run = v1::Run { info: Some(info), data: Some(data), ..v1::Run::default() };
    let text = String::from_utf8(write(&run).unwrap()).unwrap();
    assert_eq!(
        text,
        r#"{"info":{"run_id":"r","user_id":"","status":"FINISHED","start_time":1152921504606846976,"lifecycle_stage":"active"},"data":{"metrics":[{"key":"m","value":1.0,"timestamp":0,"step":0},{"key":"m","value":"NaN","timestamp":0,"step":0},{"key":"m","value":"-Infinity","timestamp":0,"step":0}]}}"#
    );
}

#[test]
fn query_strings_are_read_by_type() {
    let query = "max_results=5&filter=name+%3D+%27a%26b%27&order_by=name&order_by=x%20DESC&view_type=ALL&other=1&other=2";
    let request: v1::SearchExperimentsRequest = read_query(query).unwrap();
    assert_eq!((request.max_results, request.filter.as_str(), request.view_type), (Some(5), "name = 'a&b'", 3));
    assert_eq!(request.order_by, ["name", "x DESC"]);
    let error = |query| read_query::<v1::SearchExperimentsRequest>(query).unwrap_err().to_string();
    assert_eq!(error("filter=a&filter=b"), "filter: is given more than once");
    assert_eq!(error("max_results=5.5"), "max_results: invalid value: string \"5.5\", expected an integer");
    assert!(error("filter=%ff").contains("UTF-8"));
}

#[test]
fn one_of_several_fields_is_one() {
    let grant: v1::CreateGrantRequest = read(br#"{"principal":{"user_name":"ann"},"persona":"viewer","effect":"DENY"}"#).unwrap();
    let user = v1::principal::Principal::UserName("ann".to_owned());
    assert_eq!(grant.principal, Some(v1::Principal { principal: Some(user) }));
    assert_eq!(
        String::from_utf8(write(&v1::Grant { principal: grant.principal, ..v1::Grant::default() }).unwrap()).unwrap(),
        r#"{"principal":{"user_name":"ann"},"creation_timestamp":0}"#
    );
    let error = refused::<v1::CreateGrantRequest>(r#"{"principal":{"user_name":"ann","group_name":"g"}}"#);
    assert!(error.contains("only one of the fields of `principal`"), "{error}");
}

#[test]
fn where_it_is_asked_for_an_unknown_field_is_named_with_the_nearest_known_one() {
    let refused = |text: &str| with(Unknown::Refused, || read::<v1::CreateGrantRequest>(text.as_bytes())).unwrap_err().to_string();
    assert_eq!(refused(r#"{"persona":"viewer","efect":"DENY"}"#), "efect: there is no field `efect`; did you mean `effect`?");
    assert_eq!(refused(r#"{"target":["Staging"]}"#), "target: there is no field `target`; did you mean `targets`?");
    let nested = refused(r#"{"scope":{"registered_models":"credit-*"}}"#);
    assert_eq!(nested, "scope.registered_models: there is no field `registered_models`; did you mean `registered_model`?");
    let twice = refused(r#"{"scope":{"registered_model":"a","registered_model":"b"}}"#);
    assert!(twice.contains("`registered_model` is given twice"), "{twice}");
    assert!(refused(r#"{"xyz":1}"#).contains("there are `principal`"));
    let query = with(Unknown::Refused, || read_query::<v1::ListGrantsRequest>("user_nam=ann")).unwrap_err().to_string();
    assert_eq!(query, "user_nam: there is no field `user_nam`; did you mean `user_name`?");
    // The next reader is as lenient as before.
    assert!(read::<v1::CreateGrantRequest>(br#"{"efect":1}"#).is_ok());
}

//! What MLflow keeps and this server does not: how that is told to whoever asks for it, so that the answer does not read
//! like a wrong address.

/// The first part of a path after `/mlflow/`, what lies there on MLflow's server, and what helps.
const NOT_KEPT: &[(&[&str], &str, &str)] = &[
    (&["traces", "unified-traces", "get-online-trace-details"], "traces", NO_TRACES),
    (&["datasets"], "evaluation data sets (`mlflow.genai.datasets`)", "the data sets that runs used are kept: `mlflow.log_input`"),
    (&["scorers"], "scorers (`mlflow.genai.scorers`)", "keep them in your code; what they find can be logged as metrics"),
    (&["review-queues", "label-schemas", "issues"], "reviews of traces (`mlflow.genai`)", ""),
    (&["prompt-optimization"], "jobs that optimize prompts (`mlflow.genai`)", ""),
    (&["gateway"], "AI gateway", ""),
    (&["webhooks"], "webhooks", "changes are told by `stagegate.v1.LedgerService/WatchLedger`"),
    (&["workspaces"], "workspaces other than the default one", ""),
    (&["users"], "MLflow's own users and permissions", "users and grants are made with `stagegate user` and `stagegate.v1.AccessService`"),
];

/// Both were tried with mlflow 3.17; `MLFLOW_TRACING_ENABLED=false` stops nothing.
const NO_TRACES: &str = "`mlflow.tracing.disable()` or MLFLOW_TRACE_SAMPLING_RATIO=0 stops the client from sending them";

/// What is told about a path that is nowhere.
pub fn told(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let first = match parts[..] {
        ["api" | "ajax-api", _, "mlflow", first, ..] | ["api" | "ajax-api", _, "preview", "mlflow", first, ..] => first,
        // OpenTelemetry's path for spans, which MLflow's server has, too.
        ["v1", "traces"] => "traces",
        _ => "",
    };
    match NOT_KEPT.iter().find(|(firsts, ..)| firsts.contains(&first)) {
        None => "there is no such path".to_owned(),
        Some((_, what, "")) => format!("Stagegate has no {what}"),
        Some((_, what, help)) => format!("Stagegate has no {what}; {help}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_is_named() {
        for path in ["/api/3.0/mlflow/traces", "/ajax-api/2.0/mlflow/traces/tr-1/tags", "/api/2.0/preview/mlflow/traces", "/v1/traces"] {
            assert_eq!(told(path), format!("Stagegate has no traces; {NO_TRACES}"), "{path}");
        }
        assert_eq!(told("/api/3.0/mlflow/gateway/endpoints/list"), "Stagegate has no AI gateway");
        for path in ["/", "", "/api/2.0/mlflow", "/api/2.0/mlflow/run/create", "/mlflow/traces", "/v1/traces/x", "/api/2.0/x/traces"] {
            assert_eq!(told(path), "there is no such path", "{path}");
        }
    }
}

//! Every limit of the contract. Lengths of texts are counted in characters (Unicode scalar values), as
//! MLflow's Python counts, unless a constant's name says bytes.

/// A gRPC message, or the body of a REST request, of a caller who is signed in. Every batch fits whose values are within
/// MLflow's own limits, in whatever script: `mlflow` writes six bytes of JSON for each character that is not ASCII, twelve
/// for one outside the basic plane, which makes up to 18.4 MB.
pub const MESSAGE_BYTES: usize = 32 * 1024 * 1024;
/// The same of an operation that needs no credentials: a name and a password.
pub const PUBLIC_MESSAGE_BYTES: usize = 64 * 1024;
/// An experiment's name: MLflow's.
pub const EXPERIMENT_NAME: usize = 500;
/// A registered model's name: MLflow's column.
pub const MODEL_NAME: usize = 256;
/// Experiments to which one call of PurgeDeleted is limited.
pub const PURGE_EXPERIMENTS: usize = 1_000;
/// A key of a metric, param or tag: MLflow's.
pub const KEY: usize = 250;
/// A param's value, of a run or logged model: what MLflow's column holds on MySQL. MLflow cuts those of runs silently after
/// 6,000; here nothing is ever cut, and longer ones are refused.
pub const PARAM_VALUE: usize = 65_535;
/// A run tag's value: MLflow cuts it silently after 8,000; here nothing is ever cut, and longer ones are refused.
pub const RUN_TAG_VALUE: usize = 65_535;
/// An experiment tag's value: MLflow's.
pub const EXPERIMENT_TAG_VALUE: usize = 20_000;
/// A tag's value in the registry: MLflow's.
pub const REGISTRY_TAG_VALUE: usize = 100_000;
/// A description in the registry: MLflow's column.
pub const DESCRIPTION: usize = 5_000;
/// A run's name: MLflow's column.
pub const RUN_NAME: usize = 250;
/// The user that a client names for its run: MLflow's column.
pub const RUN_USER: usize = 256;
/// An alias: MLflow's.
pub const ALIAS: usize = 255;
/// A comment, and a reason: what a 16-bit length holds, more than any review needs.
pub const COMMENT: usize = 65_535;
/// A version's source, and its run link: MLflow's limit for artifact locations.
pub const URI: usize = 2_048;
/// Metrics in one batch: MLflow's.
pub const BATCH_METRICS: usize = 1_000;
/// Params in one batch: MLflow's.
pub const BATCH_PARAMS: usize = 100;
/// Tags in one batch: MLflow's.
pub const BATCH_TAGS: usize = 100;
/// Metrics, params and tags in one batch together: MLflow's.
pub const BATCH_ENTRIES: usize = 1_000;
/// Tags of an object at its creation; MLflow has no limit.
pub const CREATION_TAGS: usize = 1_000;
/// The bytes that the runs of one page logged; it ends early beyond them. A run has any number of params, tags and data
/// sets, and one large data set may be an input of every run.
pub const PAGE_RUN_BYTES: i64 = 16 * 1024 * 1024;
/// What the gathering of evidence holds in memory at a time: entries as they are read, and its record.
pub const EVIDENCE_MEMORY_BYTES: usize = 6 * 1024 * 1024;
/// Data sets in one call.
pub const DATASETS: usize = 1_000;
/// A data set's name: MLflow's.
pub const DATASET_NAME: usize = 500;
/// A data set's digest: MLflow's.
pub const DATASET_DIGEST: usize = 36;
/// A data set's source and source type: MLflow's.
pub const DATASET_SOURCE: usize = 65_535;
/// A data set's schema: MLflow's.
pub const DATASET_SCHEMA: usize = 1_048_575;
/// A data set's profile: MLflow's.
pub const DATASET_PROFILE: usize = 16_777_215;
/// An input tag's key: MLflow's.
pub const INPUT_TAG_KEY: usize = 255;
/// An input tag's value: MLflow's.
pub const INPUT_TAG_VALUE: usize = 500;
/// A logged model's name, and its type: MLflow's columns.
pub const LOGGED_MODEL_NAME: usize = 500;
/// Points of each metric that a logged model is shown with, the latest ones. MLflow shows all.
pub const MODEL_POINTS: i64 = 1_000;
/// Logged models that one call links to a run.
pub const MODEL_LINKS: usize = 1_000;
/// Data sets that a search for logged models is limited to.
pub const SEARCH_DATASETS: usize = 100;
/// Experiments in one search for data sets: MLflow's.
pub const DATASET_EXPERIMENTS: usize = 20;
/// Data sets in the answer to such a search: MLflow's.
pub const DATASET_SUMMARIES: i64 = 1_000;
/// Runs in one call for the histories of several: MLflow's.
pub const HISTORY_RUNS: usize = 100;
/// Points of each run in an evenly sampled history, and when none is asked for: MLflow's.
pub const HISTORY_SAMPLE: i64 = 2_500;
/// Experiments in one search: as many as a page of them, which is what clients search that mean all.
pub const SEARCH_EXPERIMENTS: usize = 50_000;
/// Runs and experiments in one page: MLflow's.
pub const PAGE_RUNS: i64 = 50_000;
/// Runs and experiments in one page when none is asked for: MLflow's.
pub const PAGE_RUNS_DEFAULT: i64 = 1_000;
/// Logged models in one page; MLflow has no limit.
pub const PAGE_LOGGED_MODELS: i64 = 50_000;
/// Logged models in one page when none is asked for: MLflow's.
pub const PAGE_LOGGED_MODELS_DEFAULT: i64 = 50;
/// Registered models in one page: MLflow's.
pub const PAGE_MODELS: i64 = 1_000;
/// Registered models in one page when none is asked for: MLflow's.
pub const PAGE_MODELS_DEFAULT: i64 = 100;
/// Versions in one page: MLflow's.
pub const PAGE_VERSIONS: i64 = 200_000;
/// Versions in one page when none is asked for: what MLflow's client asks for.
pub const PAGE_VERSIONS_DEFAULT: i64 = 10_000;
/// Points of a history in one page, and when none is asked for: what MLflow's client asks for.
pub const PAGE_HISTORY: i64 = 25_000;
/// Objects in one page of every other list.
pub const PAGE: i64 = 1_000;
/// Objects in one page of every other list when none is asked for.
pub const PAGE_DEFAULT: i64 = 100;
/// A user's, group's or persona's name.
pub const PRINCIPAL_NAME: usize = 128;
/// A display name, or the description of a token.
pub const DISPLAY_NAME: usize = 250;
/// The shortest password: NIST 800-63B-4 for passwords that stand alone.
pub const PASSWORD_MIN: usize = 15;
/// The longest password; bounds the work of hashing.
pub const PASSWORD_MAX: usize = 1_024;
/// A token lives this long when nothing else is asked for: 90 days in milliseconds.
pub const TOKEN_TTL_DEFAULT_MS: i64 = 90 * DAY_MS;
/// No token lives longer: 365 days in milliseconds.
pub const TOKEN_TTL_MAX_MS: i64 = 365 * DAY_MS;
/// A token from a sign-in lives one hour, in milliseconds.
pub const SESSION_TTL_MS: i64 = 3_600_000;
/// So many requests are told of that a list of what one may approve left out.
pub const LEFT_OUT_TOLD: usize = 100;
/// So many differences between an evidence record and its sources are told.
pub const DIFFERENCES_TOLD: usize = 500;
/// For so long after a password was proven, in milliseconds, tokens are made that outlive the session.
pub const FRESH_SIGN_IN_MS: i64 = 15 * 60_000;
/// So many tokens a token stands on, made one with the other.
pub const TOKEN_ANCESTORS: usize = 8;
/// Permissions in one persona or token, and targets in one grant.
pub const GRANT_ITEMS: usize = 100;
/// A pattern of names.
pub const PATTERN: usize = 256;
/// An idempotency key.
pub const IDEMPOTENCY_KEY: usize = 128;
/// An idempotency key is remembered this long: 24 hours in milliseconds.
pub const IDEMPOTENCY_TTL_MS: i64 = DAY_MS;
/// An artifact's path.
pub const ARTIFACT_PATH_BYTES: usize = 1_024;
/// Segments of an artifact's path.
pub const ARTIFACT_PATH_SEGMENTS: usize = 64;
/// Entries of a folder in an answer that has no pages.
pub const ARTIFACT_LISTING: u64 = 100_000;
/// A file that a browser uploads, in bytes: MLflow's.
pub const BROWSER_UPLOAD_BYTES: u64 = 10 * 1024 * 1024;
/// Parts of one upload: S3's.
pub const UPLOAD_PARTS: i64 = 10_000;
/// An upload in parts must be completed within this time: 24 hours in milliseconds.
pub const UPLOAD_TTL_MS: i64 = DAY_MS;
/// Bytes in one message of an artifact stream.
pub const ARTIFACT_CHUNK_BYTES: usize = 2 * 1024 * 1024;

/// 24 hours in milliseconds.
const DAY_MS: i64 = 24 * 3_600_000;

//! Who may call what: every operation of the descriptor, as every persona, on an own, a foreign and an
//! absent object. The outcome is a committed text, so that a change of access is read in the diff.
//! `UPDATE_SNAPSHOTS=1` writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage, Value};
use sea_orm::ConnectionTrait;
use stagegate::contract::{Clause, DESCRIPTOR_SET, OPERATIONS, ObjectKind, Operation, v1};
use tonic::{Code, Status};

use crate::house::{Client, Db, Server};

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/snapshots/access_matrix.txt");
const PERSONAS: [&str; 8] = ["viewer", "data_scientist", "ml_engineer", "manager", "auditor", "trainer", "deployer", "admin"];

/// One object of each kind, all of one owner.
#[derive(Clone, Default)]
pub struct World {
    pub experiment_id: String,
    pub experiment: String,
    pub run_id: String,
    pub model_id: String,
    pub model: String,
    pub request_id: String,
    pub comment_id: String,
    pub user: String,
    pub token_id: String,
}

impl World {
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    pub fn model_id(&self) -> &str {
        &self.model_id
    }

    /// Names of the same kinds and lengths, of which nothing is there.
    pub fn absent(&self, word: &str) -> Self {
        Self {
            experiment_id: "9".repeat(self.experiment_id.len()),
            experiment: format!("e-{word}"),
            run_id: "f".repeat(32),
            model_id: format!("m-{}", "f".repeat(32)),
            model: format!("m-{word}"),
            request_id: "f".repeat(32),
            comment_id: "f".repeat(32),
            user: "z".repeat(self.user.len()),
            token_id: "f".repeat(self.token_id.len()),
        }
    }
}

/// Someone who calls, with what is theirs and what is not.
struct Caller {
    word: &'static str,
    client: Client,
    own: World,
    foreign: World,
    absent: World,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_call_what() {
    let server = Server::on(Db::Sqlite).await.expect("SQLite is always there");
    let callers = callers(&server).await;
    let mut matrix = String::new();
    let mut walked = 0;
    for operation in in_harmless_order() {
        walked += 1;
        let mut lines = String::new();
        for caller in &callers {
            let cells = cells(caller, operation).await;
            let [own, foreign, absent] = &cells;
            let text =
                if own == foreign && foreign == absent { own.clone() } else { format!("own {own}; foreign {foreign}; absent {absent}") };
            writeln!(lines, "  {:<15} {text}", caller.word).expect("a String takes it");
        }
        writeln!(matrix, "{}\n{lines}", operation.full_name).expect("a String takes it");
    }
    assert_eq!(walked, OPERATIONS.len());
    let sorted = sorted(&matrix);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(SNAPSHOT, &sorted).expect("the snapshot can be written");
    }
    let kept = std::fs::read_to_string(SNAPSHOT).expect("the snapshot is committed; UPDATE_SNAPSHOTS=1 writes it");
    assert_eq!(kept.lines().filter(|line| line.contains('/') && !line.starts_with(' ')).count(), OPERATIONS.len());
    if kept != sorted {
        let changed: Vec<String> = sorted
            .lines()
            .zip(kept.lines())
            .filter(|(now, then)| now != then)
            .take(40)
            .map(|(now, then)| format!("-{then}\n+{now}"))
            .collect();
        panic!("access has changed; if it should have, run with UPDATE_SNAPSHOTS=1 and read the diff:\n{}", changed.join("\n"));
    }
}

/// In the order of the descriptor, whatever the order of the walk.
fn sorted(matrix: &str) -> String {
    let mut blocks: Vec<&str> = matrix.split("\n\n").map(str::trim_end).filter(|block| !block.is_empty()).collect();
    blocks.sort_unstable();
    blocks.join("\n\n") + "\n"
}

/// What takes objects away comes last, the smaller ones first; before it what makes a foreign request one's own,
/// or an absent name an object, after what asks whose it is.
fn in_harmless_order() -> Vec<&'static Operation> {
    let weight = |name: &str| match name {
        "JoinTransitionRequest" | "CreateExperiment" | "CreateRegisteredModel" => 1,
        "DeleteRun" | "DeleteLoggedModel" | "DeleteModelVersion" => 3,
        "DeleteExperiment" | "DeleteRegisteredModel" => 4,
        "RevokeToken" => 5,
        "SignOut" => 6,
        _ if name.starts_with("Delete") => 2,
        _ => 0,
    };
    let mut operations: Vec<&Operation> = OPERATIONS.to_vec();
    operations.sort_by_key(|operation| weight(operation.name));
    operations
}

/// Own, foreign and absent. A refusal must not tell the last two apart.
async fn cells(caller: &Caller, operation: &Operation) -> [String; 3] {
    let mut refusals = Vec::new();
    let mut words = Vec::new();
    for world in [&caller.own, &caller.foreign, &caller.absent] {
        let outcome = call(&caller.client, operation, world).await;
        words.push(word(operation, &outcome));
        refusals.push(outcome.err().map(|status| without_names(&status, world)));
    }
    if words[1] == words[2] && words[1] != "allowed" {
        assert_eq!(refusals[1], refusals[2], "{} as {}: the refusal tells whether the object exists", operation.full_name, caller.word);
    }
    words.try_into().expect("three outcomes")
}

fn word(operation: &Operation, outcome: &Result<(), Status>) -> String {
    let Err(status) = outcome else { return "allowed".to_owned() };
    match status.code() {
        Code::Unauthenticated if operation.rule.public => "allowed".to_owned(),
        Code::Unauthenticated => "unauthenticated".to_owned(),
        Code::PermissionDenied => {
            // A refusal that no permission lifts, such as four eyes, names none.
            let Some(missing) = status.message().split('`').nth(1) else { return format!("refused: {}", status.message()) };
            format!("needs {missing}")
        }
        Code::Internal | Code::Unknown | Code::Unavailable | Code::Unimplemented => panic!("{}: {status:?}", operation.full_name),
        _ => "allowed".to_owned(),
    }
}

/// A refusal as bytes, without what must differ: the names that were asked for, and the request's id.
pub fn without_names(status: &Status, world: &World) -> String {
    let text = format!("{:?} {} {}", status.code(), status.message(), String::from_utf8_lossy(status.details()));
    let id = status.metadata().get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    text_without_names(text, world, id)
}

/// The same of a text.
pub fn text_without_names(mut text: String, world: &World, id: &str) -> String {
    // Names of equal kind are equally long, so that lengths in the details are the same.
    for name in [
        &world.experiment,
        &world.run_id,
        &world.model_id,
        &world.model,
        &world.request_id,
        &world.comment_id,
        &world.user,
        &world.token_id,
        &world.experiment_id,
        id,
    ] {
        if !name.is_empty() {
            text = text.replace(&format!("\"{name}\""), "\"…\"").replace(&format!("\\\"{name}\\\""), "\"…\"");
        }
    }
    text
}

pub async fn call(client: &Client, operation: &Operation, world: &World) -> Result<(), Status> {
    answers(client, operation, world, &[]).await.map(drop)
}

/// What an operation answers, as bytes. Of `also` those fields are set that its message has.
pub async fn answers(client: &Client, operation: &Operation, world: &World, also: &[(&str, Value)]) -> Result<Vec<Vec<u8>>, Status> {
    let message = smallest(operation, world, also);
    let mut answers = client.open(operation.path, message).await?.into_inner();
    let mut taken = Vec::new();
    // Watching never ends by itself; that it began is the answer.
    let patience = if operation.server_streaming { Duration::from_millis(100) } else { Duration::from_secs(30) };
    loop {
        match tokio::time::timeout(patience, answers.message()).await {
            Ok(Ok(Some(answer))) => taken.push(answer.to_vec()),
            Ok(Ok(None)) => return Ok(taken),
            Ok(Err(status)) => return Err(status),
            Err(_) if operation.server_streaming => return Ok(taken),
            Err(_) => panic!("{} does not answer", operation.full_name),
        }
    }
}

/// The smallest message of an operation: nothing but the fields that its rule reads.
pub fn smallest(operation: &Operation, world: &World, also: &[(&str, Value)]) -> Vec<u8> {
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).expect("the descriptor set is one");
    let mut message = DynamicMessage::new(pool.get_message_by_name(operation.input).expect("declared"));
    for (field, value) in also {
        if let Some(field) = message.descriptor().get_field_by_name(field).filter(|field| value.is_valid_for_field(field)) {
            message.set_field(&field, value.clone());
        }
    }
    for (field, text) in fields(operation, world) {
        set(&mut message, field, text);
    }
    message.encode_to_vec()
}

/// The fields that an operation's rule reads, with what they say.
pub fn fields(operation: &Operation, world: &World) -> Vec<(&'static str, String)> {
    let mut given = Vec::new();
    for clause in operation.rule.clauses {
        for (index, field) in clause.fields.iter().enumerate() {
            // The older name of a field is enough once.
            let alternative = index > 0 && clause.kind != ObjectKind::ModelVersion;
            if let Some(text) = value(clause, index, field, world).filter(|_| !alternative) {
                given.push((*field, text));
            }
        }
        if !clause.stage_field.is_empty() {
            given.push((clause.stage_field, "Production".to_owned()));
        } else if !clause.alias_field.is_empty() {
            given.push((clause.alias_field, "champion".to_owned()));
        }
    }
    given
}

fn value(clause: &Clause, index: usize, field: &str, world: &World) -> Option<String> {
    // A new name that cannot be: the check is passed, and nothing is renamed.
    if field == "new_name" {
        return (clause.kind == ObjectKind::RegisteredModel).then(|| "not/possible".to_owned());
    }
    Some(match clause.kind {
        ObjectKind::Experiment => world.experiment_id.clone(),
        ObjectKind::ExperimentName => world.experiment.clone(),
        ObjectKind::Run => world.run_id.clone(),
        ObjectKind::LoggedModel => world.model_id.clone(),
        // Of the owners that a path can have, one: `artifact_doors.rs` knocks with the others.
        ObjectKind::RunOfPath => format!("{}/{}/artifacts/file", world.experiment_id, world.run_id),
        ObjectKind::LoggedModelOfPath | ObjectKind::VersionOfPath => return None,
        ObjectKind::RegisteredModel => world.model.clone(),
        ObjectKind::ModelVersion if index == 0 => world.model.clone(),
        ObjectKind::ModelVersion => "1".to_owned(),
        ObjectKind::TransitionRequest => world.request_id.clone(),
        ObjectKind::Comment => world.comment_id.clone(),
        ObjectKind::User => world.user.clone(),
        ObjectKind::Token => world.token_id.clone(),
        ObjectKind::Server | ObjectKind::Unspecified => return None,
    })
}

fn set(message: &mut DynamicMessage, path: &str, text: String) {
    match path.split_once('.') {
        None => message.set_field_by_name(path, Value::String(text)),
        Some((outer, rest)) => {
            let field = message.descriptor().get_field_by_name(outer).expect("a field of the rule");
            let inner = message.get_field_mut(&field).as_message_mut().expect("a message");
            set(inner, rest, text);
        }
    }
}

/// Everyone who calls. What is a caller's own was made by the admin and given to it beside the server,
/// so that personas who can make nothing own something as well.
async fn callers(server: &Server) -> Vec<Caller> {
    let admin = server.admin().await;
    let mut callers = Vec::new();
    let stranger = server.as_("viewer").await.user_name;
    let foreign_user = (stranger, admin.user_name.clone());
    for word in PERSONAS.into_iter().chain(["stranger", "scoped"]) {
        let persona = if PERSONAS.contains(&word) { word } else { "" };
        let client = server.as_(persona).await;
        let own = world(&admin, &format!("{word}-owned"), &client.user_name).await;
        let foreign = world(&admin, &format!("{word}-other"), &foreign_user.0).await;
        give(server, &own, &client.user_name).await;
        if word == "scoped" {
            grant(&admin, &client.user_name, v1::scope::Scope::ExperimentId(own.experiment_id.clone())).await;
            grant(&admin, &client.user_name, v1::scope::Scope::RegisteredModel(own.model.clone())).await;
        }
        callers.push(Caller { word, client, absent: foreign.absent(&format!("other-{word}")), own, foreign });
    }
    let last = callers.last().expect("callers");
    let nobody = Caller {
        word: "nobody",
        client: server.nobody(),
        own: last.own.clone(),
        foreign: last.foreign.clone(),
        absent: last.absent.clone(),
    };
    callers.insert(0, nobody);
    // What was resolved before it changed hands is forgotten with the next epoch, which every grant raises.
    server.sql().await.execute_unprepared("UPDATE access_epoch SET epoch = epoch + 1").await.expect("SQL beside the server");
    tokio::time::sleep(Duration::from_secs(1)).await;
    callers
}

/// On its own experiment and model only, where it may do what an engineer may.
async fn grant(admin: &Client, user: &str, scope: v1::scope::Scope) {
    let request = v1::CreateGrantRequest {
        principal: Some(v1::Principal { principal: Some(v1::principal::Principal::UserName(user.to_owned())) }),
        persona: "ml_engineer".to_owned(),
        scope: Some(v1::Scope { scope: Some(scope) }),
        effect: v1::GrantEffect::Allow.into(),
        ..Default::default()
    };
    let _: v1::CreateGrantResponse = admin.call("CreateGrant", request).await.expect("a grant");
}

pub async fn world(admin: &Client, word: &str, user: &str) -> World {
    let (experiment, model) = (format!("e-{word}"), format!("m-{word}"));
    let request = v1::CreateExperimentRequest { name: experiment.clone(), ..Default::default() };
    let answer: v1::CreateExperimentResponse = admin.call("CreateExperiment", request).await.expect("an experiment");
    let experiment_id = answer.experiment_id;
    let request = v1::CreateRunRequest { experiment_id: experiment_id.clone(), ..Default::default() };
    let answer: v1::CreateRunResponse = admin.call("CreateRun", request).await.expect("a run");
    let run_id = answer.run.and_then(|run| run.info).expect("a run").run_id;
    let request = v1::CreateLoggedModelRequest { experiment_id: experiment_id.clone(), ..Default::default() };
    let answer: v1::CreateLoggedModelResponse = admin.call("CreateLoggedModel", request).await.expect("a logged model");
    let model_id = answer.model.and_then(|model| model.info).expect("a logged model").model_id;
    let request = v1::CreateRegisteredModelRequest { name: model.clone(), ..Default::default() };
    let _: v1::CreateRegisteredModelResponse = admin.call("CreateRegisteredModel", request).await.expect("a model");
    let request = v1::CreateModelVersionRequest {
        name: model.clone(),
        source: format!("s3://bucket/{model}"),
        run_id: run_id.clone(),
        ..Default::default()
    };
    let _: v1::CreateModelVersionResponse = admin.call("CreateModelVersion", request).await.expect("a version");
    let request =
        v1::CreateCommentRequest { name: model.clone(), version: "1".to_owned(), text: "a remark".to_owned(), ..Default::default() };
    let answer: v1::CreateCommentResponse = admin.call("CreateComment", request).await.expect("a comment");
    let comment_id = answer.comment.expect("a comment").comment_id;
    let request = v1::CreateTransitionRequestRequest {
        name: model.clone(),
        version: "1".to_owned(),
        stage: "Production".to_owned(),
        ..Default::default()
    };
    let answer: v1::CreateTransitionRequestResponse = admin.call("CreateTransitionRequest", request).await.expect("a request");
    let request_id = answer.request.expect("a request").request_id;
    let request = v1::CreateTokenRequest { user_name: user.to_owned(), ..Default::default() };
    let answer: v1::CreateTokenResponse = admin.call("CreateToken", request).await.expect("a token");
    let token_id = answer.token.expect("a token").token_id;
    World { experiment_id, experiment, run_id, model_id, model, request_id, comment_id, user: user.to_owned(), token_id }
}

/// Makes a user the owner of a world.
async fn give(server: &Server, world: &World, user: &str) {
    let sql = server.sql().await;
    // Who made a model or a version does not change, which a rule of the database sees to.
    for (rule, table) in [("registered_models_identity", "registered_models"), ("model_versions_identity", "model_versions")] {
        let on = if server.db == Db::Postgres { format!(" ON {table}") } else { String::new() };
        sql.execute_unprepared(&format!("DROP TRIGGER IF EXISTS {rule}{on}")).await.expect("a rule less");
    }
    let uid = format!("(SELECT uid FROM users WHERE name = '{user}')");
    let model = format!("(SELECT uid FROM registered_models WHERE name = '{}')", world.model);
    let mut changes = BTreeMap::new();
    changes.insert("experiments", format!("UPDATE experiments SET created_by = {uid} WHERE id = {}", world.experiment_id));
    changes.insert("runs", format!("UPDATE runs SET created_by = {uid} WHERE run_id = '{}'", world.run_id));
    changes.insert("logged models", format!("UPDATE logged_models SET created_by = {uid} WHERE model_id = '{}'", world.model_id));
    changes.insert("models", format!("UPDATE registered_models SET created_by = {uid} WHERE name = '{}'", world.model));
    changes.insert("versions", format!("UPDATE model_versions SET created_by = {uid} WHERE model_uid = {model}"));
    changes.insert("comments", format!("UPDATE comments SET user_uid = {uid} WHERE uid = '{}'", world.comment_id));
    for (what, change) in changes {
        let changed = sql.execute_unprepared(&change).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(changed.rows_affected(), 1, "{what}");
    }
}

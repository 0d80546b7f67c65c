//! What the ledger keeps of every operation of the descriptor, on both faces: one that records is called with success
//! and its row found; every other one is called and leaves none. An operation that records and has no call here fails.

use http::{Method, StatusCode, header};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, ReflectMessage, Value as Field};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use serde_json::{Value, json};
use stagegate::contract::{DESCRIPTOR_SET, OPERATIONS, Operation, Record, v1};

use crate::access_matrix::{World, fields, smallest, world};
use crate::house::{Client, PASSWORD, Server};

on_both_engines!(what_a_rule_says_is_recorded_is_recorded_and_nothing_else);

/// What an operation is called on: anew for each call that records.
#[derive(Clone)]
struct Scene {
    /// Made the world: files its request, writes its comment.
    maker: Client,
    /// Another admin, who calls.
    caller: Client,
    /// A third admin: no maker of the caller's token, nor the reverse, so that one may approve what the other asks for.
    other: Client,
    world: World,
    /// A name that nothing has.
    fresh: String,
}

async fn what_a_rule_says_is_recorded_is_recorded_and_nothing_else(server: Server) {
    // Logins and tokens that nobody nameable made: no rule on makers is in the way.
    let [caller, other] = ["caller", "other"].map(|name| server.made_by_hand(name, "admin"));
    // Signed in a moment ago, and so may make tokens that live long.
    let maker = server.admin().await;
    let sql = server.sql().await;
    let user = server.as_("viewer").await.user_name;
    let nothing = Scene { world: world(&maker, "nothing", &user).await, maker, caller, other, fresh: String::new() };
    let mut wrong = Vec::new();
    for (number, operation) in OPERATIONS.iter().enumerate() {
        for face in ["grpc", "rest"] {
            if face == "rest" && operation.http.is_empty() {
                continue;
            }
            let (scene, call) = match operation.rule.record {
                Record::Unspecified | Record::Nothing => (nothing.clone(), None),
                Record::Change | Record::Decision => {
                    let scene = nothing.anew(&server, operation, &format!("{face}-{number}")).await;
                    let call = scene.prepare(operation).await;
                    (scene, Some(call))
                }
            };
            let before = rows(&sql, operation).await;
            let outcome =
                if face == "grpc" { scene.grpc(operation, call.as_ref()).await } else { scene.rest(operation, call.as_ref()).await };
            let written = rows(&sql, operation).await - before;
            // What follows from a change has rows of its own under the same operation.
            if (written > 0) != call.is_some() || (call.is_some() && outcome.is_err()) {
                let request = call.unwrap_or_default();
                wrong.push(format!("{} over {face} with {request}: {written} rows; {outcome:?}", operation.full_name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Rows of an operation that was done.
async fn rows(sql: &DatabaseConnection, operation: &Operation) -> i64 {
    let query = format!("SELECT COUNT(*) AS n FROM ledger_entries WHERE action = '{}' AND outcome = 'OK'", operation.full_name);
    let statement = sea_orm::Statement::from_string(sql.get_database_backend(), query);
    let row = sql.query_one_raw(statement).await.expect("the ledger is a table").expect("a count");
    row.try_get("", "n").expect("a number")
}

impl Scene {
    /// The same people with a world that nothing was done to yet.
    async fn anew(&self, server: &Server, operation: &Operation, fresh: &str) -> Self {
        let caller = match operation.name {
            // The session is gone after it.
            "SignOut" => server.admin().await,
            _ => self.caller.clone(),
        };
        let user = format!("user-{fresh}");
        self.done("CreateUser", &json!({"user_name": user})).await;
        Self { world: world(&self.maker, fresh, &user).await, caller, fresh: fresh.to_owned(), ..self.clone() }
    }

    /// Puts in place what a call needs, and gives its request.
    async fn prepare(&self, operation: &Operation) -> Value {
        let (w, fresh) = (&self.world, &self.fresh);
        let of_version = || json!({"name": w.model, "version": "1"});
        let with = |mut base: Value, more: Value| {
            for (key, value) in more.as_object().expect("an object") {
                base[key] = value.clone();
            }
            base
        };
        match operation.name {
            "SignIn" => json!({"user_name": "admin", "password": PASSWORD}),
            "SignOut" | "RotateSigningKey" => json!({}),
            "CreateUser" | "CreateServiceAccount" => json!({"user_name": fresh}),
            "UpdateUser" => json!({"user_name": w.user, "display_name": "Somebody Else"}),
            // The server's admin made the login.
            "VouchForUser" => json!({"user_name": w.user}),
            "SetPassword" => json!({"user_name": w.user, "new_password": "a long and new password"}),
            "CreateToken" => json!({"user_name": w.user}),
            "RevokeToken" => json!({"token_id": w.token_id}),
            "CreateGroup" => json!({"group_name": fresh}),
            "DeleteGroup" => self.after("CreateGroup", json!({"group_name": fresh})).await,
            "AddGroupMember" => with(self.after("CreateGroup", json!({"group_name": fresh})).await, json!({"user_name": w.user})),
            "RemoveGroupMember" => {
                self.done("CreateGroup", &json!({"group_name": fresh})).await;
                self.after("AddGroupMember", json!({"group_name": fresh, "user_name": w.user})).await
            }
            "CreatePersona" => json!({"name": fresh, "permissions": ["models.read"]}),
            "DeletePersona" => {
                self.done("CreatePersona", &json!({"name": fresh, "permissions": ["models.read"]})).await;
                json!({"name": fresh})
            }
            "CreateGrant" => self.grant(),
            "DeleteGrant" => {
                let answer = self.maker.bytes(path("CreateGrant"), encoded("stagegate.v1.CreateGrantRequest", &self.grant())).await;
                let answer = v1::CreateGrantResponse::decode(answer.expect("a grant").into_inner()).expect("an answer");
                json!({"grant_id": answer.grant.expect("a grant").grant_id})
            }
            "CreateRegisteredModel" => json!({"name": fresh}),
            "UpdateRegisteredModel" => json!({"name": w.model, "description": "other words"}),
            // The world's model has an open request and keeps its name.
            "RenameRegisteredModel" => {
                with(self.after("CreateRegisteredModel", json!({"name": fresh})).await, json!({"new_name": format!("{fresh}-too")}))
            }
            "DeleteRegisteredModel" => self.after("CreateRegisteredModel", json!({"name": fresh})).await,
            "SetRegisteredModelTag" => json!({"name": w.model, "key": "k", "value": "v"}),
            "DeleteRegisteredModelTag" => {
                self.done("SetRegisteredModelTag", &json!({"name": w.model, "key": "k", "value": "v"})).await;
                json!({"name": w.model, "key": "k"})
            }
            "SetRegisteredModelAlias" => with(of_version(), json!({"alias": "blue"})),
            "DeleteRegisteredModelAlias" => {
                self.done("SetRegisteredModelAlias", &with(of_version(), json!({"alias": "blue"}))).await;
                json!({"name": w.model, "alias": "blue"})
            }
            "CreateModelVersion" => json!({"name": w.model, "source": "s3://bucket/second"}),
            "UpdateModelVersion" => with(of_version(), json!({"description": "other words"})),
            "DeleteModelVersion" => {
                self.done("CreateRegisteredModel", &json!({"name": fresh})).await;
                self.done("CreateModelVersion", &json!({"name": fresh, "source": "s3://bucket/other"})).await;
                json!({"name": fresh, "version": "1"})
            }
            "SetModelVersionTag" => with(of_version(), json!({"key": "k", "value": "v"})),
            "DeleteModelVersionTag" => {
                self.done("SetModelVersionTag", &with(of_version(), json!({"key": "k", "value": "v"}))).await;
                with(of_version(), json!({"key": "k"}))
            }
            "TransitionModelVersionStage" | "CreateTransitionRequest" => with(of_version(), json!({"stage": "Staging"})),
            "JoinTransitionRequest" | "WithdrawTransitionRequest" => json!({"request_id": w.request_id}),
            "RejectTransitionRequest" => json!({"request_id": self.filed().await.request_id, "comment": "not yet"}),
            "ApproveTransitionRequest" => {
                let request = self.filed().await;
                json!({"request_id": request.request_id, "evidence_digest": request.evidence_digest})
            }
            "CreateComment" => with(of_version(), json!({"text": "a word"})),
            "UpdateComment" => json!({"comment_id": w.comment_id, "text": "another word"}),
            "DeleteComment" => json!({"comment_id": w.comment_id}),
            "CreateExperiment" => json!({"name": fresh}),
            "UpdateExperiment" => json!({"experiment_id": w.experiment_id, "new_name": fresh}),
            "DeleteExperiment" => json!({"experiment_id": self.experiment().await}),
            "RestoreExperiment" => self.after("DeleteExperiment", json!({"experiment_id": self.experiment().await})).await,
            "SetExperimentTag" => json!({"experiment_id": w.experiment_id, "key": "k", "value": "v"}),
            "DeleteExperimentTag" => {
                self.done("SetExperimentTag", &json!({"experiment_id": w.experiment_id, "key": "k", "value": "v"})).await;
                json!({"experiment_id": w.experiment_id, "key": "k"})
            }
            "CreateRun" | "CreateLoggedModel" => json!({"experiment_id": w.experiment_id}),
            "UpdateRun" => json!({"run_id": w.run_id, "status": "FINISHED"}),
            "DeleteRun" => json!({"run_id": self.run().await}),
            "RestoreRun" => self.after("DeleteRun", json!({"run_id": self.run().await})).await,
            "FinalizeLoggedModel" => json!({"model_id": w.model_id, "status": "LOGGED_MODEL_READY"}),
            "DeleteLoggedModel" => json!({"model_id": w.model_id}),
            "UploadArtifact" => json!({"header": {"run_id": w.run_id, "path": "file"}, "chunk": "bytes"}),
            "WriteArtifact" => json!({"path": self.file(), "chunk": "bytes"}),
            "UploadRunArtifact" => json!({"run_uuid": w.run_id, "path": "file", "chunk": "bytes"}),
            "DeleteArtifact" => {
                self.done("WriteArtifact", &json!({"path": self.file(), "chunk": "bytes"})).await;
                json!({"run_id": w.run_id, "path": "file"})
            }
            "DeleteArtifactByPath" => {
                self.done("WriteArtifact", &json!({"path": self.file(), "chunk": "bytes"})).await;
                json!({"path": self.file()})
            }
            "PurgeRun" => self.after("DeleteRun", json!({"run_id": self.run().await})).await,
            "PurgeLoggedModel" => self.after("DeleteLoggedModel", json!({"model_id": w.model_id})).await,
            "PurgeExperiment" => self.after("DeleteExperiment", json!({"experiment_id": self.experiment().await})).await,
            "PurgeDeleted" => {
                self.after("DeleteExperiment", json!({"experiment_id": self.experiment().await})).await;
                json!({"older_than_ms": 0})
            }
            "PurgeModelVersion" | "PurgeRegisteredModel" => {
                self.done("CreateRegisteredModel", &json!({"name": fresh})).await;
                self.done("CreateModelVersion", &json!({"name": fresh, "source": "s3://bucket/other"})).await;
                self.done("DeleteModelVersion", &json!({"name": fresh, "version": "1"})).await;
                if operation.name == "PurgeModelVersion" {
                    return json!({"name": fresh, "version": "1"});
                }
                self.after("DeleteRegisteredModel", json!({"name": fresh})).await
            }
            "CompleteMultipartUpload" => self.upload_in_parts().await,
            other => panic!("{other} records, and nothing here says how it is called: add it to `prepare`"),
        }
    }

    fn grant(&self) -> Value {
        json!({"principal": {"user_name": self.world.user}, "persona": "viewer", "scope": {"registered_model": self.world.model}, "effect": "ALLOW"})
    }

    fn file(&self) -> String {
        format!("{}/{}/artifacts/file", self.world.experiment_id, self.world.run_id)
    }

    /// A request of the third admin.
    async fn filed(&self) -> v1::TransitionRequest {
        self.done("WithdrawTransitionRequest", &json!({"request_id": self.world.request_id})).await;
        let request = v1::CreateTransitionRequestRequest {
            name: self.world.model.clone(),
            version: "1".to_owned(),
            stage: "Production".to_owned(),
            ..Default::default()
        };
        let filed: v1::CreateTransitionRequestResponse = self.other.call("CreateTransitionRequest", request).await.expect("a request");
        filed.request.expect("a request")
    }

    /// Calls an operation first; the request of the one that is meant is the same.
    async fn after(&self, name: &str, request: Value) -> Value {
        self.done(name, &request).await;
        request
    }

    async fn done(&self, name: &str, request: &Value) {
        let operation = operation(name);
        let answer = self.maker.open(operation.path, encoded(operation.input, request)).await;
        let mut answers = answer.unwrap_or_else(|status| panic!("{name}: {status}")).into_inner();
        while answers.message().await.unwrap_or_else(|status| panic!("{name}: {status}")).is_some() {}
    }

    async fn experiment(&self) -> String {
        let request = v1::CreateExperimentRequest { name: format!("{}-alone", self.fresh), ..Default::default() };
        let answer: v1::CreateExperimentResponse = self.maker.call("CreateExperiment", request).await.expect("an experiment");
        answer.experiment_id
    }

    async fn run(&self) -> String {
        let request = v1::CreateRunRequest { experiment_id: self.world.experiment_id.clone(), ..Default::default() };
        let answer: v1::CreateRunResponse = self.maker.call("CreateRun", request).await.expect("a run");
        answer.run.and_then(|run| run.info).expect("a run").run_id
    }

    async fn upload_in_parts(&self) -> Value {
        let (http, folder) = (self.maker.http(), format!("{}/{}/artifacts", self.world.experiment_id, self.world.run_id));
        let create = format!("/api/2.0/mlflow-artifacts/mpu/create/{folder}");
        let created = http.json(Method::POST, &create, &json!({"path": "big", "num_parts": 1}).to_string()).await.json();
        let credential = &created["credentials"][0];
        let url: http::Uri = credential["url"].as_str().expect("a URL").parse().expect("a URL");
        let (name, token) = credential["headers"].as_object().and_then(|headers| headers.iter().next()).expect("a header");
        let name = header::HeaderName::try_from(name.as_str()).expect("a header's name");
        let sent = http.send(Method::PUT, url.path(), &[(name, token.as_str().expect("a token"))], b"bytes").await;
        let etag = sent.headers["etag"].to_str().expect("plain");
        json!({"folder": folder, "path": "big", "upload_id": created["upload_id"], "parts": [{"part_number": 1, "etag": etag}]})
    }

    /// Whose an object is withdraws and edits, and only a token that nobody else made makes tokens; all else is done by
    /// the other admin.
    fn by(&self, operation: &Operation) -> &Client {
        match operation.name {
            "CreateToken" | "WithdrawTransitionRequest" | "UpdateComment" | "DeleteComment" => &self.maker,
            _ => &self.caller,
        }
    }

    async fn grpc(&self, operation: &Operation, call: Option<&Value>) -> Result<(), String> {
        let message = match call {
            Some(call) => encoded(operation.input, call),
            None => smallest(operation, &self.world, &[]),
        };
        let mut answers = self.by(operation).open(operation.path, message).await.map_err(|status| status.to_string())?.into_inner();
        // A stream that stays open has begun; that it goes on is not asked.
        while let Ok(answer) = tokio::time::timeout(std::time::Duration::from_millis(200), answers.message()).await {
            if answer.map_err(|status| status.to_string())?.is_none() {
                return Ok(());
            }
        }
        if operation.server_streaming { Ok(()) } else { answers.message().await.map(|_| ()).map_err(|status| status.to_string()) }
    }

    async fn rest(&self, operation: &Operation, call: Option<&Value>) -> Result<(), String> {
        let (verb, path) = operation.http[0];
        let smallest = nested(fields(operation, &self.world));
        let mut fields = call.unwrap_or(&smallest).as_object().expect("an object").clone();
        let mut path = path.replace("=**}", "}");
        while let Some((start, rest)) = path.clone().split_once('{') {
            let (name, end) = rest.split_once('}').expect("a variable ends");
            let value = fields.remove(name).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_else(|| "0".to_owned());
            path = format!("{start}{value}{end}");
        }
        let http = self.by(operation).http();
        let method = Method::try_from(verb).expect("a verb");
        let answer = match fields.remove("chunk") {
            Some(chunk) => {
                let path = with_query(&path, &fields);
                http.send(method, &path, &[], chunk.as_str().expect("a text").as_bytes()).await
            }
            None if method == Method::GET => http.json(method, &with_query(&path, &fields), "").await,
            None => http.json(method, &path, &Value::Object(fields).to_string()).await,
        };
        if answer.status == StatusCode::OK { Ok(()) } else { Err(format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body))) }
    }
}

/// A path with texts in its query.
fn with_query(path: &str, fields: &serde_json::Map<String, Value>) -> String {
    let pairs: Vec<String> = fields.iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

/// The fields of a rule as a body of JSON.
fn nested(fields: Vec<(&str, String)>) -> Value {
    let mut body = json!({});
    for (path, text) in fields {
        let mut at = &mut body;
        for name in path.split('.') {
            at = &mut at[name];
        }
        *at = text.into();
    }
    body
}

/// An operation that a scene is prepared with.
fn operation(name: &str) -> &'static Operation {
    // Where MLflow's meaning differs, ours is declared later.
    OPERATIONS.iter().rev().find(|operation| operation.name == name).unwrap_or_else(|| panic!("there is no operation {name}"))
}

fn path(name: &str) -> &'static str {
    operation(name).path
}

/// A message in bytes, from JSON with the fields' own names.
fn encoded(message: &str, json: &Value) -> Vec<u8> {
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).expect("the descriptor set is one");
    let mut encoded = DynamicMessage::new(pool.get_message_by_name(message).expect("declared"));
    fill(&mut encoded, json);
    encoded.encode_to_vec()
}

fn fill(message: &mut DynamicMessage, json: &Value) {
    for (name, value) in json.as_object().expect("an object") {
        let field = message.descriptor().get_field_by_name(name).unwrap_or_else(|| panic!("there is no field {name}"));
        let value = match value.as_array().filter(|_| field.is_list()) {
            Some(items) => Field::List(items.iter().map(|item| single(&field.kind(), item)).collect()),
            None => single(&field.kind(), value),
        };
        message.set_field(&field, value);
    }
}

fn single(kind: &Kind, json: &Value) -> Field {
    let text = json.as_str().unwrap_or_default();
    match kind {
        Kind::Message(inner) => {
            let mut message = DynamicMessage::new(inner.clone());
            fill(&mut message, json);
            Field::Message(message)
        }
        Kind::Bytes => Field::Bytes(text.to_owned().into_bytes().into()),
        Kind::Int64 => Field::I64(json.as_i64().expect("a number")),
        Kind::Enum(numbers) => {
            // The names in JSON are MLflow's, with other words before the last.
            let last = |name: &str| name.rsplit('_').next().map(str::to_owned);
            let named = numbers.values().find(|value| last(value.name()) == last(text));
            Field::EnumNumber(named.unwrap_or_else(|| panic!("there is no {text}")).number())
        }
        _ => Field::String(text.to_owned()),
    }
}

//! Writes the table of operations and, for each service, the tonic implementation that checks and calls.
//! What stands in the descriptor is the only list of operations; a method without a usable rule, or
//! whose rule names a field that its request does not have, stops the build here.

use std::error::Error;
use std::fmt::Write;

use heck::{ToSnakeCase, ToUpperCamelCase};
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, MethodDescriptor, ServiceDescriptor};

use crate::descriptor::{boolean, messages, rust_type, text, texts};
use crate::rest;

/// What a value that must be given reads as when it is missing.
const UNSPECIFIED: &str = "Unspecified";

/// Why the build stops.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The code for all services whose methods carry rules.
pub fn generate(pool: &DescriptorPool) -> Result<String> {
    let mut code = String::new();
    let mut table = String::new();
    let mut registrations = String::new();
    let mut routes = String::new();
    for service in pool.services().filter(|s| s.package_name().starts_with("stagegate.")) {
        generate_service(pool, &service, &mut code, &mut table, &mut routes)?;
        let (module, server) = server_path(&service);
        writeln!(
            registrations,
            "routes = routes.add_service({module}::{server}::new(surface.clone())\
             .max_decoding_message_size(crate::domain::limits::MESSAGE_BYTES));"
        )?;
    }
    writeln!(
        code,
        "/// Every operation of the server, from the descriptor.\n\
         pub static OPERATIONS: &[&Operation] = &[{table}];\n\
         /// Adds every service to the routes of the gRPC face.\n\
         pub fn add_services(mut routes: tonic::service::Routes, surface: crate::wire::surface::Surface) \
         -> tonic::service::Routes {{ {registrations} routes }}\n\
         /// The REST routes of every operation that has some.\n\
         pub fn rest_routes() -> Vec<crate::wire::rest::Route> {{ vec![{routes}] }}"
    )?;
    Ok(code)
}

fn generate_service(
    pool: &DescriptorPool,
    service: &ServiceDescriptor,
    code: &mut String,
    table: &mut String,
    routes: &mut String,
) -> Result<()> {
    let (module, _) = server_path(service);
    let mut methods = String::new();
    for method in service.methods() {
        let constant = format!("{}_{}", service.name(), method.name()).to_snake_case().to_uppercase();
        let rule = rule_of(pool, &method)?;
        writeln!(code, "{}", operation(&method, &constant, &rule)?)?;
        writeln!(code, "{}", subject_impl(&method, &rule)?)?;
        writeln!(methods, "{}", method_impl(&method, &constant, &rule))?;
        write!(table, "&{constant},")?;
        routes.push_str(&rest::route(&method, &constant, proof(&rule))?);
    }
    writeln!(
        code,
        "#[tonic::async_trait]\nimpl {module}::{name} for crate::wire::surface::Surface {{\n{methods}}}",
        name = service.name()
    )?;
    Ok(())
}

/// The module and the server type that tonic generates for a service.
fn server_path(service: &ServiceDescriptor) -> (String, String) {
    let package = service.package_name().replace('.', "::");
    (format!("proto::{package}::{}_server", service.name().to_snake_case()), format!("{}Server", service.name()))
}

struct Rule {
    public: bool,
    signed_in: bool,
    password_due: bool,
    beyond_quota: bool,
    record: String,
    clauses: Vec<Clause>,
}

struct Clause {
    permission: String,
    kind: String,
    fields: Vec<String>,
    stage_field: String,
    alias_field: String,
    optional: bool,
    filtered: bool,
}

fn rule_of(pool: &DescriptorPool, method: &MethodDescriptor) -> Result<Rule> {
    let name = method.full_name();
    let extension =
        pool.get_extension_by_name("stagegate.options.v1.rule").ok_or("the extension stagegate.options.v1.rule is not declared")?;
    let options = method.options();
    if !options.has_extension(&extension) {
        return Err(format!("{name} has no access rule").into());
    }
    let value = options.get_extension(&extension);
    let message = value.as_message().ok_or("a rule is a message")?;
    let rule = Rule {
        public: boolean(message, "public"),
        signed_in: boolean(message, "signed_in"),
        password_due: boolean(message, "password_due"),
        beyond_quota: boolean(message, "beyond_quota"),
        record: variant(pool, message, "record", "Record"),
        clauses: messages(message, "clauses").iter().map(|message| clause(pool, message)).collect(),
    };
    let ways = [rule.public, rule.signed_in, !rule.clauses.is_empty()];
    if ways.iter().filter(|given| **given).count() != 1 {
        return Err(format!("{name}: give exactly one of public, signed_in and clauses").into());
    }
    if rule.record == UNSPECIFIED {
        return Err(format!("{name}: say what the ledger records").into());
    }
    for clause in &rule.clauses {
        let server = clause.kind == "Server";
        if clause.permission == UNSPECIFIED || clause.kind == UNSPECIFIED {
            return Err(format!("{name}: a clause lacks its permission or kind").into());
        }
        if clause.fields.is_empty() != (server || clause.filtered) {
            return Err(format!("{name}: a clause must name the fields of its object").into());
        }
    }
    Ok(rule)
}

fn clause(pool: &DescriptorPool, message: &DynamicMessage) -> Clause {
    Clause {
        permission: variant(pool, message, "permission", "Permission"),
        kind: variant(pool, message, "kind", "ObjectKind"),
        fields: texts(message, "fields"),
        stage_field: text(message, "stage_field"),
        alias_field: text(message, "alias_field"),
        optional: boolean(message, "optional"),
        filtered: boolean(message, "filtered"),
    }
}

fn operation(method: &MethodDescriptor, constant: &str, rule: &Rule) -> Result<String> {
    let mut clauses = String::new();
    for clause in &rule.clauses {
        write!(
            clauses,
            "Clause {{ permission: Permission::{}, kind: ObjectKind::{}, \
             fields: &{:?}, stage_field: {:?}, alias_field: {:?}, optional: {}, filtered: {} }},",
            clause.permission, clause.kind, clause.fields, clause.stage_field, clause.alias_field, clause.optional, clause.filtered
        )?;
    }
    let service = method.parent_service();
    let http = http_bindings(method);
    Ok(format!(
        "/// `{full}`.\npub static {constant}: Operation = Operation {{ service: {service:?}, name: {name:?}, \
         path: {path:?}, full_name: {full:?}, input: {input:?}, client_streaming: {cs}, server_streaming: {ss}, \
         http: &{http:?}, rule: Rule {{ public: {public}, signed_in: {signed_in}, password_due: {password_due}, beyond_quota: {beyond_quota}, \
         record: Record::{record}, clauses: &[{clauses}] }} }};",
        full = format!("{}/{}", service.full_name(), method.name()),
        service = service.full_name(),
        name = method.name(),
        path = format!("/{}/{}", service.full_name(), method.name()),
        input = method.input().full_name(),
        cs = method.is_client_streaming(),
        ss = method.is_server_streaming(),
        public = rule.public,
        signed_in = rule.signed_in,
        password_due = rule.password_due,
        beyond_quota = rule.beyond_quota,
        record = rule.record,
    ))
}

/// The REST routes of a method, as (verb, path).
pub fn http_bindings(method: &MethodDescriptor) -> Vec<(String, String)> {
    let options = method.options();
    let Some((_, value)) = options.extensions().find(|(extension, _)| extension.full_name() == "google.api.http") else {
        return Vec::new();
    };
    let mut routes = Vec::new();
    if let Some(rule) = value.as_message() {
        collect_bindings(rule, &mut routes);
    }
    routes
}

fn collect_bindings(rule: &DynamicMessage, routes: &mut Vec<(String, String)>) {
    for verb in ["get", "put", "post", "delete", "patch"] {
        if rule.has_field_by_name(verb) {
            routes.push((verb.to_uppercase(), text(rule, verb)));
        }
    }
    for further in messages(rule, "additional_bindings") {
        collect_bindings(&further, routes);
    }
}

/// How the check reads the fields that the rule names from the typed request.
fn subject_impl(method: &MethodDescriptor, rule: &Rule) -> Result<String> {
    let input = method.input();
    let mut paths: Vec<&String> = Vec::new();
    for clause in &rule.clauses {
        let extra = [&clause.stage_field, &clause.alias_field];
        for path in clause.fields.iter().chain(extra.into_iter().filter(|path| !path.is_empty())) {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    let mut arms = String::new();
    for path in paths {
        let accessor = accessor(&input, path).map_err(|reason| format!("{}: field `{path}`: {reason}", method.full_name()))?;
        write!(arms, "{path:?} => {accessor},")?;
    }
    let path = if arms.is_empty() { "_" } else { "path" };
    Ok(format!(
        "impl Subject for {ty} {{ fn subject(&self, {path}: &str) -> Option<&str> {{ {body} }} }}",
        ty = rust_type(&input),
        body = if arms.is_empty() { "None".to_owned() } else { format!("match path {{ {arms} _ => None }}") },
    ))
}

/// An expression of type `Option<&str>`: the field's text, or none when it is not set.
fn accessor(message: &MessageDescriptor, path: &str) -> Result<String> {
    let mut expression = "Some(self)".to_owned();
    let mut current = message.clone();
    let mut steps = path.split('.').peekable();
    while let Some(step) = steps.next() {
        let field = current.get_field_by_name(step).ok_or("there is no such field")?;
        if field.is_list() || field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic()) {
            return Err("lists and oneofs cannot name an object".into());
        }
        let name = step.to_snake_case();
        match field.kind() {
            Kind::Message(next) if steps.peek().is_some() => {
                write!(expression, ".and_then(|message| message.{name}.as_ref())")?;
                current = next;
            }
            Kind::String if steps.peek().is_none() => {
                let read = if field.containing_oneof().is_some() {
                    format!(".and_then(|message| message.{name}.as_deref())")
                } else {
                    format!(".map(|message| message.{name}.as_str())")
                };
                write!(expression, "{read}.filter(|text| !text.is_empty())")?;
            }
            _ => return Err("only strings can name an object".into()),
        }
    }
    Ok(expression)
}

fn method_impl(method: &MethodDescriptor, constant: &str, rule: &Rule) -> String {
    let function = method.name().to_snake_case();
    let input = rust_type(&method.input());
    let output = rust_type(&method.output());
    let request = if method.is_client_streaming() { format!("tonic::Streaming<{input}>") } else { input };
    let admit = match (method.is_client_streaming(), method.is_server_streaming()) {
        (false, false) => "unary",
        (true, false) => "client_stream",
        (false, true) => "server_stream",
        (true, true) => "both_streams",
    };
    let (stream_type, answer) = if method.is_server_streaming() {
        let name = format!("{}Stream", method.name());
        (format!("type {name} = crate::wire::grpc::ResponseStream<{output}>;\n"), format!("Self::{name}"))
    } else {
        (String::new(), output)
    };
    let meaning = service_function(method);
    let proven = proof(rule);
    let call = if method.is_client_streaming() {
        format!("|call, first, rest| Box::pin(async move {{ {meaning}(&call, first, rest).await{proven} }})")
    } else {
        format!("|call, message| Box::pin(async move {{ {meaning}(&call, message).await{proven} }})")
    };
    format!(
        "{stream_type}async fn {function}(&self, request: tonic::Request<{request}>) \
         -> std::result::Result<tonic::Response<{answer}>, tonic::Status> {{ \
         self.{admit}(&{constant}, request, {call}).await }}"
    )
}

/// What stands after the call of a service function. That of a recording operation must give a `Kept`, which only a
/// write makes that left a row or changed nothing; without one this does not compile.
fn proof(rule: &Rule) -> &'static str {
    match rule.record.as_str() {
        "Nothing" => "",
        _ => ".map(crate::store::Kept::into_value)",
    }
}

/// The service function of a method: those of MLflow's own meanings stand in a module of their own.
pub fn service_function(method: &MethodDescriptor) -> String {
    let service = method.parent_service();
    let module = match service.package_name() {
        "stagegate.mlflow.v1" => "mlflow::",
        _ => "",
    };
    format!("crate::service::{module}{}", method.name().to_snake_case())
}

/// The Rust name of an enum field's value, as prost spells it.
fn variant(pool: &DescriptorPool, message: &DynamicMessage, field: &str, name: &str) -> String {
    let number = message.get_field_by_name(field).and_then(|value| value.as_enum_number());
    pool.get_enum_by_name(&format!("stagegate.options.v1.{name}"))
        .and_then(|kind| kind.get_value(number.unwrap_or_default()))
        .map(|value| value.name().to_upper_camel_case())
        .map(|camel| camel.trim_start_matches(name).to_owned())
        .unwrap_or_else(|| UNSPECIFIED.to_owned())
}

//! Writes the table of REST routes: each names its operation, its bindings, and the function that reads the
//! request message, has it checked, calls the service function and writes the answer.

use std::fmt::Write;

use prost_reflect::{Kind, MethodDescriptor};

use crate::descriptor::{member, rust_type};
use crate::operations::{Result, http_bindings, service_function};

/// What a stream of bytes is over HTTP: the answer's body.
const FILE: &str = "stagegate.v1.DownloadArtifactResponse";

/// The entry of one method; empty when it has no route. `proof` stands after the call of the service function. A client's stream is the request's body.
pub fn route(method: &MethodDescriptor, constant: &str, proof: &str) -> Result<String> {
    let bindings = http_bindings(method);
    if bindings.is_empty() {
        return Ok(String::new());
    }
    let mut variables: Vec<&str> = Vec::new();
    for (_, path) in &bindings {
        variables.extend(path.split('{').skip(1).filter_map(|part| part.split(['}', '=']).next()));
    }
    variables.sort_unstable();
    variables.dedup();
    let mut arms = String::new();
    for variable in variables {
        let field = method.input().get_field_by_name(variable);
        if field.is_none_or(|field| field.kind() != Kind::String || field.is_list()) {
            return Err(format!("{}: the path variable `{variable}` is no text field of the request", method.full_name()).into());
        }
        write!(arms, "{variable:?} => crate::wire::rest::bind(&mut message.{}, variable, value),", member(variable))?;
    }
    let (message, value) = if arms.is_empty() { ("_message", "_value") } else { ("message", "value") };
    let function = service_function(method);
    let (face, call) = match (method.is_client_streaming(), method.is_server_streaming()) {
        (false, false) => ("rest", format!("|call, message| Box::pin(async move {{ {function}(&call, message).await{proof} }})")),
        (true, false) => ("upload", format!("|call, first, rest| Box::pin(async move {{ {function}(&call, first, rest).await{proof} }})")),
        (false, true) if method.output().full_name() == FILE => {
            ("download", format!("|call, message| Box::pin(async move {{ {function}(&call, message).await{proof} }})"))
        }
        _ => return Err(format!("{}: such a stream has no form over HTTP", method.full_name()).into()),
    };
    Ok(format!(
        "crate::wire::rest::Route {{ operation: &{constant}, handle: |surface, incoming| Box::pin(surface.{face}(\
         &{constant}, incoming, |{message}: &mut {input}, variable: &str, {value}: &str| match variable {{ {arms} _ => Ok(()) }}, \
         {call})) }},",
        input = rust_type(&method.input()),
    ))
}

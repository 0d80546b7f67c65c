//! Writes the table of REST routes: each names its operation, its bindings, and the function that reads the
//! request message, has it checked, calls the service function and writes the answer.

use std::fmt::Write;

use prost_reflect::{Kind, MethodDescriptor};

use crate::descriptor::{member, rust_type};
use crate::operations::{Result, http_bindings, service_function};

/// The entry of one unary method; empty when it has no route.
pub fn route(method: &MethodDescriptor, constant: &str) -> Result<String> {
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
    Ok(format!(
        "crate::wire::rest::Route {{ operation: &{constant}, handle: |surface, incoming| Box::pin(surface.rest(\
         &{constant}, incoming, |{message}: &mut {input}, variable: &str, {value}: &str| match variable {{ {arms} _ => Ok(()) }}, \
         |call, message| Box::pin(async move {{ {function}(&call, message).await }}))) }},",
        input = rust_type(&method.input()),
        function = service_function(method),
    ))
}

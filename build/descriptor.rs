//! What the generators ask of the descriptor: Rust's names of things, and the values of options.

use heck::ToSnakeCase;
use prost_reflect::{DynamicMessage, EnumDescriptor, FieldDescriptor, MessageDescriptor, OneofDescriptor, Value};

/// The path of a message's Rust type, as seen from where the contract is included.
pub fn rust_type(message: &MessageDescriptor) -> String {
    format!("proto::{}::{}", message.package_name().replace('.', "::"), message.name())
}

/// The path of an enum's Rust type.
pub fn enum_type(kind: &EnumDescriptor) -> String {
    format!("proto::{}::{}", kind.package_name().replace('.', "::"), kind.name())
}

/// The path of the Rust enum of a oneof.
pub fn oneof_type(oneof: &OneofDescriptor) -> String {
    use heck::ToUpperCamelCase;
    let message = oneof.parent_message();
    let package = message.package_name().replace('.', "::");
    format!("proto::{package}::{}::{}", message.name().to_snake_case(), oneof.name().to_upper_camel_case())
}

/// The name of a field's Rust member.
pub fn member(name: &str) -> String {
    let name = name.to_snake_case();
    if ["type", "ref", "match", "use", "mod", "move", "in", "for"].contains(&name.as_str()) { format!("r#{name}") } else { name }
}

/// The oneof that a field is a part of; proto3's `optional` is none.
pub fn oneof_of(field: &FieldDescriptor) -> Option<OneofDescriptor> {
    field.containing_oneof().filter(|oneof| !oneof.is_synthetic())
}

/// Whether a field is declared `optional`.
pub fn is_optional(field: &FieldDescriptor) -> bool {
    field.containing_oneof().is_some_and(|oneof| oneof.is_synthetic())
}

/// The boolean field of an option.
pub fn boolean(message: &DynamicMessage, field: &str) -> bool {
    message.get_field_by_name(field).and_then(|value| value.as_bool()).unwrap_or_default()
}

/// The text field of an option.
pub fn text(message: &DynamicMessage, field: &str) -> String {
    message.get_field_by_name(field).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The texts of an option's list.
pub fn texts(message: &DynamicMessage, field: &str) -> Vec<String> {
    list(message, field).iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()
}

/// The messages of an option's list.
pub fn messages(message: &DynamicMessage, field: &str) -> Vec<DynamicMessage> {
    list(message, field).iter().filter_map(|value| value.as_message().cloned()).collect()
}

fn list(message: &DynamicMessage, field: &str) -> Vec<Value> {
    message.get_field_by_name(field).and_then(|value| value.as_list().map(<[Value]>::to_vec)).unwrap_or_default()
}

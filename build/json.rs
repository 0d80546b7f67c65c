//! Writes how messages are read from JSON and written to it: typed code for each message that an operation
//! with a REST route takes or gives, over the few rules of `src/contract/json`. Generated and not derived,
//! because what serde derives knows neither oneofs nor that two spellings of a field are one field.

use std::collections::BTreeMap;
use std::fmt::Write;

use prost_reflect::{Cardinality, DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

use crate::descriptor::{enum_type, is_optional, member, oneof_of, oneof_type, rust_type};
use crate::operations::{Result, http_bindings};

/// The code for all messages and enums that come over REST.
pub fn generate(pool: &DescriptorPool) -> Result<String> {
    let mut found = Found::default();
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        if http_bindings(&method).is_empty() {
            continue;
        }
        found.add(&method.input(), true);
        if !method.is_client_streaming() && !method.is_server_streaming() {
            found.add(&method.output(), false);
        }
    }
    let mut code = String::new();
    for (message, read, written) in found.messages.values() {
        if *read {
            code.push_str(&reader(message)?);
        }
        if *written {
            code.push_str(&writer(pool, message)?);
        }
    }
    for kind in found.enums.values() {
        code.push_str(&names(pool, kind)?);
    }
    Ok(code)
}

#[derive(Default)]
struct Found {
    /// By full name: the message, whether it is read, whether it is written.
    messages: BTreeMap<String, (MessageDescriptor, bool, bool)>,
    enums: BTreeMap<String, EnumDescriptor>,
}

impl Found {
    fn add(&mut self, message: &MessageDescriptor, read: bool) {
        let entry = self.messages.entry(message.full_name().to_owned()).or_insert_with(|| (message.clone(), false, false));
        let known = if read { &mut entry.1 } else { &mut entry.2 };
        if std::mem::replace(known, true) {
            return;
        }
        for field in message.fields() {
            match field.kind() {
                // An entry of a map is no message of its own.
                Kind::Message(_) if field.is_map() => {}
                Kind::Message(next) => self.add(&next, read),
                Kind::Enum(kind) => {
                    self.enums.insert(kind.full_name().to_owned(), kind);
                }
                _ => {}
            }
        }
    }
}

fn reader(message: &MessageDescriptor) -> Result<String> {
    let (mut keys, mut arms) = (String::new(), String::new());
    // Bytes come as a body of their own.
    let fields: Vec<_> = message.fields().filter(|field| field.kind() != Kind::Bytes).collect();
    for (index, field) in fields.iter().enumerate() {
        let (name, camel) = (field.name(), field.json_name());
        let spelled = if name == camel { format!("{name:?}") } else { format!("{name:?} | {camel:?}") };
        write!(keys, "{spelled} => Some({index}),")?;
        write!(arms, "{index} => {},", read(field)?)?;
    }
    let ty = rust_type(message);
    let names: Vec<_> = fields.iter().map(|field| field.name().to_owned()).collect();
    let (map, value) = if arms.is_empty() { ("_map", "") } else { ("map", "let message = self;") };
    Ok(format!(
        "impl json::Read for {ty} {{\n\
         const FIELDS: &'static [&'static str] = &{names:?};\n\
         fn index(key: &str) -> Option<usize> {{ match key {{ {keys} _ => None }} }}\n\
         fn read<'de, A: serde::de::MapAccess<'de>>(&mut self, index: usize, {map}: &mut A) -> std::result::Result<(), A::Error> \
         {{ {value} match index {{ {arms} _ => {{}} }} Ok(()) }} }}\n\
         impl<'de> serde::Deserialize<'de> for {ty} {{ fn deserialize<D: serde::Deserializer<'de>>(from: D) \
         -> std::result::Result<Self, D::Error> {{ json::message(from) }} }}\n"
    ))
}

/// The statement that reads one field's value; null stands for a field that is not given.
fn read(field: &FieldDescriptor) -> Result<String> {
    let name = member(field.name());
    let wrapper = wrapper(field)?;
    if field.cardinality() == Cardinality::Repeated {
        let value = if wrapper.plain { "items" } else { "items.into_iter().map(|item| item.0).collect()" };
        return Ok(format!("if let Some(items) = map.next_value::<Option<Vec<{ty}>>>()? {{ message.{name} = {value}; }}", ty = wrapper.ty));
    }
    let value = if wrapper.plain { "value" } else { "value.0" };
    let assign = match (oneof_of(field), &field.kind()) {
        (Some(oneof), _) => {
            use heck::ToUpperCamelCase;
            let (ty, variant, group) = (oneof_type(&oneof), field.name().to_upper_camel_case(), member(oneof.name()));
            format!(
                "if message.{group}.is_some() {{ return Err(serde::de::Error::custom(json::OneOf({:?}))); }} \
                 message.{group} = Some({ty}::{variant}({value}));",
                oneof.name()
            )
        }
        (None, Kind::Message(_)) => format!("message.{name} = Some({value});"),
        (None, _) if is_optional(field) => format!("message.{name} = Some({value});"),
        (None, _) => format!("message.{name} = {value};"),
    };
    Ok(format!("if let Some(value) = map.next_value::<Option<{ty}>>()? {{ {assign} }}", ty = wrapper.ty))
}

struct Wrapper {
    /// What reads or writes one value.
    ty: String,
    /// Whether that is the value itself.
    plain: bool,
}

fn wrapper(field: &FieldDescriptor) -> Result<Wrapper> {
    let plain = |ty: &str| Wrapper { ty: ty.to_owned(), plain: true };
    let wrapped = |ty: String| Wrapper { ty, plain: false };
    if field.is_map() {
        return Err(format!("{}: maps have no JSON form here but to be written, of texts", field.full_name()).into());
    }
    Ok(match field.kind() {
        Kind::String => plain("String"),
        Kind::Bool => plain("bool"),
        Kind::Message(message) => plain(&rust_type(&message)),
        Kind::Double => wrapped("json::Double".to_owned()),
        Kind::Int32 => wrapped("json::Integer<i32>".to_owned()),
        Kind::Int64 => wrapped("json::Integer<i64>".to_owned()),
        Kind::Uint32 => wrapped("json::Integer<u32>".to_owned()),
        Kind::Uint64 => wrapped("json::Integer<u64>".to_owned()),
        Kind::Enum(kind) => wrapped(format!("json::Enumerated<{}>", enum_type(&kind))),
        other => return Err(format!("{}: {other:?} has no JSON form here", field.full_name()).into()),
    })
}

fn writer(pool: &DescriptorPool, message: &MessageDescriptor) -> Result<String> {
    let always = pool.get_extension_by_name("stagegate.options.v1.json_always").ok_or("json_always is not declared")?;
    let mut lines = String::new();
    for field in message.fields() {
        let options = field.options();
        let always = options.has_extension(&always) && options.get_extension(&always).as_bool().unwrap_or_default();
        writeln!(lines, "{}", written(&field, always)?)?;
    }
    let ty = rust_type(message);
    Ok(format!(
        "impl serde::Serialize for {ty} {{ fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {{\n\
         use serde::ser::SerializeMap;\n{mutable} = to.serialize_map(None)?;\n{lines}map.end() }} }}\n",
        mutable = if lines.is_empty() { "let map" } else { "let mut map" },
    ))
}

fn is_map_of_texts(field: &FieldDescriptor) -> bool {
    let Kind::Message(entry) = field.kind() else { return false };
    field.is_map() && entry.fields().all(|field| field.kind() == Kind::String)
}

/// The statement that writes one field. Texts and lists that are empty are left out, and enums that are
/// unspecified; numbers and booleans never.
fn written(field: &FieldDescriptor, always: bool) -> Result<String> {
    let (key, name) = (field.name(), member(field.name()));
    if is_map_of_texts(field) {
        return Ok(format!("map.serialize_entry({key:?}, &self.{name})?;"));
    }
    let wrapper = wrapper(field)?;
    let constructor = wrapper.ty.replace('<', "::<");
    // How the value behind a reference is written.
    let value = |reference: &str| match field.kind() {
        Kind::Double | Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 => format!("&{constructor}(*{reference})"),
        Kind::Enum(kind) => format!("&json::Enumerated::<{}>::new(*{reference})", enum_type(&kind)),
        _ => reference.to_owned(),
    };
    if field.cardinality() == Cardinality::Repeated {
        return Ok(if wrapper.plain {
            format!("if !self.{name}.is_empty() {{ map.serialize_entry({key:?}, &self.{name})?; }}")
        } else {
            format!(
                "if !self.{name}.is_empty() {{ let items: Vec<_> = self.{name}.iter().map(|item| {}).collect(); map.serialize_entry({key:?}, &items)?; }}",
                value("item").trim_start_matches('&')
            )
        });
    }
    if let Some(oneof) = oneof_of(field) {
        use heck::ToUpperCamelCase;
        let (ty, variant, group) = (oneof_type(&oneof), field.name().to_upper_camel_case(), member(oneof.name()));
        return Ok(format!("if let Some({ty}::{variant}(value)) = &self.{group} {{ map.serialize_entry({key:?}, {})?; }}", value("value")));
    }
    if matches!(field.kind(), Kind::Message(_)) || is_optional(field) {
        return Ok(format!("if let Some(value) = &self.{name} {{ map.serialize_entry({key:?}, {})?; }}", value("value")));
    }
    let condition = match field.kind() {
        Kind::String if !always => format!("if !self.{name}.is_empty() "),
        Kind::Enum(_) => format!("if self.{name} != 0 "),
        _ => String::new(),
    };
    Ok(format!("{condition}{{ map.serialize_entry({key:?}, {})?; }}", value(&format!("&self.{name}"))))
}

/// The JSON names of an enum's values. A value is read by that name, by its protobuf name and by its number.
fn names(pool: &DescriptorPool, kind: &EnumDescriptor) -> Result<String> {
    use heck::{ToShoutySnakeCase, ToUpperCamelCase};
    let json = pool.get_extension_by_name("stagegate.options.v1.json").ok_or("json is not declared")?;
    let prefix = format!("{}_", kind.name().to_shouty_snake_case());
    let (mut to, mut from) = (String::new(), String::new());
    for value in kind.values() {
        let options = value.options();
        let short = value.name().strip_prefix(&prefix).unwrap_or(value.name());
        let given = options.has_extension(&json).then(|| options.get_extension(&json).as_str().map(str::to_owned)).flatten();
        let spelled = given.unwrap_or_else(|| short.to_owned());
        let variant = short.to_upper_camel_case();
        write!(to, "Self::{variant} => {spelled:?},")?;
        let full = value.name();
        if spelled == full {
            write!(from, "{spelled:?} => Self::{variant},")?;
        } else {
            write!(from, "{spelled:?} | {full:?} => Self::{variant},")?;
        }
    }
    Ok(format!(
        "impl json::Names for {ty} {{ fn name(self) -> &'static str {{ match self {{ {to} }} }} \
         fn of_name(name: &str) -> Option<Self> {{ Some(match name {{ {from} _ => return None }}) }} }}\n",
        ty = enum_type(kind)
    ))
}

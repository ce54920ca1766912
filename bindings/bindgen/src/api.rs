//! The API as text: what a reviewer sees of a change to it.

use anyhow::Result;
use camino::Utf8Path;
use uniffi_bindgen::{BindgenLoader, BindgenPaths, GlobalConfig};
use uniffi_meta::{
    DefaultValueMetadata, EnumShape, FieldMetadata, FnParamMetadata, LiteralMetadata, Metadata,
    Type,
};

/// Everything that a library exports: items are sorted; fields and cases stand as they are declared, since their order
/// is part of the API too.
pub(crate) fn text(library: &Utf8Path) -> Result<String> {
    let loader = BindgenLoader::new(BindgenPaths::default(), GlobalConfig::default());
    let mut items: Vec<Vec<String>> = loader
        .load_metadata(library)?
        .into_values()
        .flat_map(|group| group.items)
        .map(|item| item_lines(&item))
        .collect();
    items.sort();
    let mut lines = items.concat();
    lines.push(String::new());
    Ok(lines.join("\n"))
}

fn item_lines(item: &Metadata) -> Vec<String> {
    match item {
        Metadata::Func(function) => vec![call(
            &format!("function {}", function.name),
            function.is_async,
            &function.inputs,
            function.return_type.as_ref(),
            function.throws.as_ref(),
        )],
        Metadata::Object(object) => vec![if object.imp.has_callback_interface() {
            format!("trait {}", object.name)
        } else {
            format!("object {}", object.name)
        }],
        Metadata::Constructor(constructor) => vec![call(
            &format!(
                "object {}: constructor {}",
                constructor.self_name, constructor.name
            ),
            constructor.is_async,
            &constructor.inputs,
            None,
            constructor.throws.as_ref(),
        )],
        Metadata::Method(method) => vec![call(
            &format!("object {}: method {}", method.self_name, method.name),
            method.is_async,
            &method.inputs,
            method.return_type.as_ref(),
            method.throws.as_ref(),
        )],
        Metadata::TraitMethod(method) => vec![call(
            &format!("trait {}: method {}", method.trait_name, method.name),
            method.is_async,
            &method.inputs,
            method.return_type.as_ref(),
            method.throws.as_ref(),
        )],
        Metadata::Record(record) => lines_of(&format!("record {}", record.name), &record.fields),
        Metadata::Enum(described) => {
            let word = match described.shape {
                EnumShape::Enum => "enum",
                EnumShape::Error { .. } => "error",
            };
            let mut lines = vec![format!("{word} {}", described.name)];
            for variant in &described.variants {
                let fields: Vec<String> = variant.fields.iter().map(field).collect();
                let fields = if fields.is_empty() {
                    String::new()
                } else {
                    format!("({})", fields.join(", "))
                };
                lines.push(format!(
                    "{word} {}: case {}{fields}",
                    described.name, variant.name
                ));
            }
            lines
        }
        Metadata::CustomType(custom) => {
            vec![format!("type {} = {}", custom.name, ty(&custom.builtin))]
        }
        Metadata::CallbackInterface(interface) => vec![format!("trait {}", interface.name)],
        Metadata::UniffiTrait(implemented) => vec![format!(
            "object {}: {}",
            implemented.self_name(),
            implemented.name()
        )],
        // How the rest is put together, not what it is.
        Metadata::Namespace(_) | Metadata::UdlFile(_) | Metadata::ObjectTraitImpl(_) => Vec::new(),
    }
}

fn lines_of(owner: &str, fields: &[FieldMetadata]) -> Vec<String> {
    std::iter::once(owner.to_owned())
        .chain(
            fields
                .iter()
                .map(|described| format!("{owner}: field {}", field(described))),
        )
        .collect()
}

fn call(
    name: &str,
    is_async: bool,
    inputs: &[FnParamMetadata],
    returns: Option<&Type>,
    throws: Option<&Type>,
) -> String {
    let inputs: Vec<String> = inputs
        .iter()
        .map(|input| {
            format!(
                "{}: {}{}",
                input.name,
                ty(&input.ty),
                default(input.default.as_ref())
            )
        })
        .collect();
    let mut line = format!("{name}({})", inputs.join(", "));
    if let Some(returns) = returns {
        line += &format!(" -> {}", ty(returns));
    }
    if is_async {
        line += " async";
    }
    if let Some(throws) = throws {
        line += &format!(" throws {}", ty(throws));
    }
    line
}

fn field(field: &FieldMetadata) -> String {
    format!(
        "{}: {}{}",
        field.name,
        ty(&field.ty),
        default(field.default.as_ref())
    )
}

fn default(value: Option<&DefaultValueMetadata>) -> String {
    match value {
        None => String::new(),
        Some(DefaultValueMetadata::Literal(LiteralMetadata::None)) => " = none".to_owned(),
        Some(DefaultValueMetadata::Literal(LiteralMetadata::Boolean(value))) => {
            format!(" = {value}")
        }
        Some(value) => format!(" = {value:?}"),
    }
}

fn ty(described: &Type) -> String {
    match described {
        Type::Optional { inner_type } => format!("{}?", ty(inner_type)),
        Type::Sequence { inner_type } => format!("[{}]", ty(inner_type)),
        Type::Set { inner_type } => format!("set of {}", ty(inner_type)),
        Type::Box { inner_type } => ty(inner_type),
        Type::Map {
            key_type,
            value_type,
        } => format!("[{}: {}]", ty(key_type), ty(value_type)),
        Type::Object { name, .. }
        | Type::Record { name, .. }
        | Type::Enum { name, .. }
        | Type::CallbackInterface { name, .. }
        | Type::Custom { name, .. } => name.clone(),
        simple => format!("{simple:?}"),
    }
}

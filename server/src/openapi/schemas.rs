//! Named schemas: collected from all descriptions, written once.

use serde_json::{Map, Value};

use crate::routes::schema::NAME;

/// The named schemas of a document.
#[derive(Debug, Default)]
pub(super) struct Schemas(Map<String, Value>);

impl Schemas {
    /// The schema with references in place of the named schemas in it, which are collected.
    ///
    /// # Panics
    /// When another schema has the name of one of them.
    pub(super) fn refer(&mut self, schema: &Value) -> Value {
        match schema {
            Value::Array(items) => items.iter().map(|item| self.refer(item)).collect(),
            Value::Object(members) => {
                let name = members.get(NAME).and_then(Value::as_str);
                let others = members.iter().filter(|(member, _)| *member != NAME);
                let schema = others.map(|(member, value)| (member.clone(), self.refer(value))).collect();
                match name {
                    Some(name) => self.collect(name, schema),
                    None => schema,
                }
            }
            simple => simple.clone(),
        }
    }

    fn collect(&mut self, name: &str, schema: Value) -> Value {
        let known = self.0.entry(name).or_insert_with(|| schema.clone());
        assert!(*known == schema, "two schemas have the name {name}");
        serde_json::json!({"$ref": format!("#/components/schemas/{name}")})
    }

    /// The value of `components.schemas`.
    pub(super) fn into_components(self) -> Value {
        Value::Object(self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::routes::schema::named;

    #[test]
    fn a_named_schema_is_collected_once_and_referred_to() {
        let mut schemas = Schemas::default();
        let inner = named("Inner", json!({"type": "string"}));
        let outer = named("Outer", json!({"type": "array", "items": inner}));
        let referred = schemas.refer(&json!({"anyOf": [outer, inner]}));
        let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
        assert_eq!(referred, json!({"anyOf": [reference("Outer"), reference("Inner")]}));
        assert_eq!(
            schemas.into_components(),
            json!({"Inner": {"type": "string"}, "Outer": {"type": "array", "items": reference("Inner")}})
        );
    }

    #[test]
    #[should_panic(expected = "two schemas have the name Inner")]
    fn a_name_has_one_schema() {
        let mut schemas = Schemas::default();
        schemas.refer(&named("Inner", json!({"type": "string"})));
        schemas.refer(&named("Inner", json!({"type": "number"})));
    }
}

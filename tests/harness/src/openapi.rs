//! Compares responses with the OpenAPI document of the server that has sent them.
//!
//! [`World::send`](crate::World::send) does this with every response, so that all tests keep the document true. Schemas are
//! checked by the few keywords that the document uses; another one is a panic, so that none is ignored.

use realtime_server::openapi;
use realtime_server::routes::RouteTable;
use serde_json::{Map, Value};

use crate::http::Response;

/// The document of a server, and the routes by which operations are found.
pub(crate) struct Api {
    document: Value,
    routes: std::sync::Arc<RouteTable>,
}

impl Api {
    pub(crate) fn of(routes: std::sync::Arc<RouteTable>) -> Api {
        Api { document: openapi::document(&routes), routes }
    }

    /// Checks a response to a request for a route that is described. What no route answers is not in the document.
    pub(crate) fn check(&self, (method, target): (&str, &str), response: &Response) -> Result<(), String> {
        let Some(operation) = self.operation(method, target) else { return Ok(()) };
        let Some(documented) = operation["responses"].get(response.status.to_string()) else {
            return Err(format!(
                "{method} {target}: {} is not documented: {}",
                response.status,
                response.text()
            ));
        };
        self.check_headers(&documented["headers"], response)
            .and_then(|()| self.check_body(&documented["content"], response))
            .map_err(|error| format!("{method} {target}: {}: {error}", response.status))
    }

    fn operation(&self, method: &str, target: &str) -> Option<&Value> {
        let target: ::http::Uri = target.parse().ok()?;
        let method: ::http::Method = method.parse().ok()?;
        let (route, _) = self.routes.find(&method, target.path())?;
        let is_described = !route.description().answers().is_empty();
        let path = route.paths().next().filter(|_| is_described)?;
        self.document["paths"][path].get(method.as_str().to_ascii_lowercase())
    }

    fn check_headers(&self, documented: &Value, response: &Response) -> Result<(), String> {
        for (name, header) in documented.as_object().into_iter().flatten() {
            if self.resolve(header)["required"] == true && response.header(name).is_none() {
                return Err(format!("the header {name} is missing"));
            }
        }
        Ok(())
    }

    fn check_body(&self, documented: &Value, response: &Response) -> Result<(), String> {
        if response.body.is_empty() {
            return Ok(());
        }
        let content_type = response.header("content-type").unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default();
        let Some(content) = documented.get(media_type) else {
            return Err(format!("a body of the type {content_type:?} is not documented"));
        };
        let value = match media_type {
            "application/json" => response.json(),
            _ => Value::String(response.text()),
        };
        self.check_value(&content["schema"], &value)
    }

    fn resolve<'a>(&'a self, part: &'a Value) -> &'a Value {
        match part["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
            Some(pointer) => self.document.pointer(pointer).expect("a reference leads somewhere"),
            None => part,
        }
    }

    fn check_value(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let schema = self.resolve(schema).as_object().expect("a schema is an object");
        for (keyword, expected) in schema {
            if !self.holds((keyword, expected), schema, value)? {
                return Err(format!("{keyword} {expected} does not hold for {value}"));
            }
        }
        Ok(())
    }

    fn holds(
        &self,
        (keyword, expected): (&str, &Value),
        schema: &Map<String, Value>,
        value: &Value,
    ) -> Result<bool, String> {
        let at_least =
            |found: Option<f64>| found.is_none_or(|found| found >= expected.as_f64().unwrap_or_default());
        let at_most =
            |found: Option<f64>| found.is_none_or(|found| found <= expected.as_f64().unwrap_or_default());
        let characters = || value.as_str().map(|text| text.chars().count() as f64);
        let items = || value.as_array().map(|items| items.len() as f64);
        Ok(match keyword {
            "type" => is_of_type(value, expected.as_str().expect("one type")),
            "const" => value == expected,
            "enum" => expected.as_array().expect("a list").contains(value),
            "minimum" => at_least(value.as_f64()),
            "maximum" => at_most(value.as_f64()),
            "minLength" => at_least(characters()),
            "maxLength" => at_most(characters()),
            "minItems" => at_least(items()),
            "maxItems" => at_most(items()),
            "required" => {
                let names = expected.as_array().expect("a list").iter().filter_map(Value::as_str);
                names.into_iter().all(|name| !value.is_object() || value.get(name).is_some())
            }
            "items" => {
                value
                    .as_array()
                    .into_iter()
                    .flatten()
                    .try_for_each(|item| self.check_value(expected, item))?;
                true
            }
            "anyOf" => {
                let schemas = expected.as_array().expect("a list");
                schemas.iter().any(|schema| self.check_value(schema, value).is_ok())
            }
            "properties" => {
                for (name, schema) in expected.as_object().expect("an object") {
                    value.get(name).map_or(Ok(()), |member| self.check_value(schema, member))?;
                }
                true
            }
            "additionalProperties" => self.check_others(schema, expected, value)?,
            // Checked with another validator (tests/clients/python/test_openapi.py).
            "pattern" | "format" | "description" => true,
            other => panic!("the keyword {other} of a schema is not known here"),
        })
    }

    /// Checks the members of `value` that `properties` does not list.
    fn check_others(
        &self,
        schema: &Map<String, Value>,
        expected: &Value,
        value: &Value,
    ) -> Result<bool, String> {
        let listed = schema.get("properties");
        let is_listed = |name: &str| listed.is_some_and(|listed| listed.get(name).is_some());
        for (_, member) in value.as_object().into_iter().flatten().filter(|(name, _)| !is_listed(name)) {
            match expected {
                Value::Bool(is_allowed) if !is_allowed => return Ok(false),
                Value::Bool(_) => {}
                schema => self.check_value(schema, member)?,
            }
        }
        Ok(true)
    }
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type {other}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use realtime_server::routes::{Access, Description, Operation, PAGE, Route, RouteHandler, schema};
    use serde_json::json;

    use super::*;

    /// A server with one route, which answers a list of names.
    fn api() -> Api {
        let names = json!({"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 2});
        let body = schema::named("Names", schema::object(json!({"names": names})));
        let handler = RouteHandler::immediate(&Arc::new(()), |(), _| panic!("it is not called"));
        let operation = Operation { id: "list", summary: "Lists names." };
        let route = Route::new(PAGE, &["/names/{of}"], Access::Public, operation, handler);
        let described = route.describe(Description::new("names").json(::http::StatusCode::OK, "All.", body));
        Api::of(Arc::new(RouteTable::new([vec![described]])))
    }

    fn response(status: u16, content_type: &str, body: &str) -> Response {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Response { status, headers, body: body.into() }
    }

    #[test]
    fn what_is_documented_passes_and_all_else_is_found() {
        let api = api();
        let check = |status, kind: &str, body: &str| {
            api.check(("GET", "/realtime/v1/names/a?b"), &response(status, kind, body))
                .err()
                .unwrap_or_default()
        };
        let json = "application/json; charset=utf-8";
        assert_eq!(check(200, json, r#"{"names":["a","b"]}"#), "");
        for (status, kind, body, expected) in [
            (418, json, "{}", "418 is not documented"),
            (200, "text/plain", "a", "\"text/plain\" is not documented"),
            (503, json, "\"a\"", "the header retry-after is missing"),
            (200, json, "{}", "required"),
            (200, json, "[]", "type"),
            (200, json, r#"{"names":["a"],"more":1}"#, "additionalProperties"),
            (200, json, r#"{"names":["a",1]}"#, "type"),
            (200, json, r#"{"names":[""]}"#, "minLength"),
            (200, json, r#"{"names":["a","b","c"]}"#, "maxItems"),
        ] {
            let error = check(status, kind, body);
            assert!(error.contains(expected), "{body}: {error}");
        }
    }

    #[test]
    fn what_no_route_answers_is_not_checked() {
        for request in [("GET", "/other"), ("POST", "/names/a")] {
            assert_eq!(api().check(request, &response(404, "text/plain", "")), Ok(()));
        }
    }
}

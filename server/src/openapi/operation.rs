//! One operation of the document: a method at a path.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::schemas::Schemas;
use super::{general, security};
use crate::routes::{Answer, MediaType, Route};

/// Which operation of a route it is.
pub(super) struct OperationKey<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    /// Whether it is the one that has the id of its route.
    pub(super) is_first: bool,
}

/// The operation object.
pub(super) fn operation(route: &Route, key: &OperationKey<'_>, schemas: &mut Schemas) -> Value {
    let description = route.description();
    let is_preflight = *key.method == Method::OPTIONS;
    let mut operation = json!({
        "operationId": id(route, key),
        "summary": if is_preflight { "Allows browsers at other origins." } else { route.operation().summary },
        "tags": [description.tag()],
        "security": if is_preflight { json!([]) } else { security::requirement(route.access()) },
        "parameters": parameters(route, is_preflight),
        "responses": responses(&answers(route, key), key.method, schemas),
    });
    let takes_body = !is_preflight && general::has_body(key.method) && !description.bodies().is_empty();
    if let Some(limit) = route.max_body().filter(|_| takes_body) {
        operation["requestBody"] = json!({
            "required": !description.is_body_optional(),
            "description": format!("At most `{}` bytes.", limit.key),
            "content": contents(description.bodies().iter(), schemas),
        });
    }
    operation
}

/// The id of the route, with what distinguishes this operation of it from the first one.
fn id(route: &Route, key: &OperationKey<'_>) -> String {
    let id = route.operation().id;
    if key.is_first {
        return id.into();
    }
    let capitalised = |word: &str| {
        let (first, rest) = word.split_at(1);
        [&first.to_ascii_uppercase(), rest].concat()
    };
    let method = capitalised(&key.method.as_str().to_ascii_lowercase());
    if route.paths().next() == Some(key.path) {
        return format!("{id}{method}");
    }
    let words = key.path.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    format!("{id}{method}At{}", words.map(capitalised).collect::<String>())
}

/// The parameters; a preflight request has those of the path only.
fn parameters(route: &Route, is_preflight: bool) -> Vec<Value> {
    let parameters = route.description().parameters().iter();
    parameters.filter(|parameter| !is_preflight || parameter["in"] == "path").cloned().collect()
}

fn answers(route: &Route, key: &OperationKey<'_>) -> Vec<Answer> {
    if *key.method == Method::OPTIONS {
        return general::preflight(route, key.path);
    }
    let mut answers = route.description().answers().to_vec();
    answers.extend(general::answers(route, key.path));
    answers
}

/// The responses by status. Those of one status are one response, with the bodies of all of them.
fn responses(answers: &[Answer], method: &Method, schemas: &mut Schemas) -> Value {
    let mut by_status: BTreeMap<u16, Vec<&Answer>> = BTreeMap::new();
    for answer in answers {
        by_status.entry(answer.status.as_u16()).or_default().push(answer);
    }
    let responses = by_status
        .into_iter()
        .map(|(status, answers)| (status.to_string(), response(&answers, method, schemas)));
    Value::Object(responses.collect())
}

fn response(answers: &[&Answer], method: &Method, schemas: &mut Schemas) -> Value {
    let texts: Vec<_> = answers.iter().map(|answer| answer.text).collect();
    let mut response = json!({"description": texts.join(" Or: "), "headers": headers(answers)});
    let bodies = answers.iter().filter_map(|answer| answer.content.as_ref());
    if general::has_body(method) && bodies.clone().next().is_some() {
        response["content"] = contents(bodies, schemas);
    }
    response
}

/// The headers of responses with one status. One that only some of them have is optional.
fn headers(answers: &[&Answer]) -> Value {
    let mut headers = Map::new();
    for (name, header) in answers.iter().flat_map(|answer| &answer.headers) {
        headers.insert((*name).to_owned(), header.clone());
    }
    headers.insert("x-request-id".into(), json!({"$ref": "#/components/headers/RequestId"}));
    if answers.iter().any(|answer| is_retried(answer.status)) {
        headers.insert("retry-after".into(), json!({"$ref": "#/components/headers/RetryAfter"}));
    }
    Value::Object(headers)
}

/// Whether responses with this status say when to try again (`server/src/response.rs`).
fn is_retried(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}

/// Bodies by type. Several of one type have one of several schemas.
fn contents<'a>(bodies: impl Iterator<Item = &'a MediaType>, schemas: &mut Schemas) -> Value {
    let mut by_type: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for body in bodies {
        let (schema, known) = (schemas.refer(&body.schema), by_type.entry(body.media_type).or_default());
        if !known.contains(&schema) {
            known.push(schema);
        }
    }
    let contents = by_type.into_iter().map(|(media_type, mut schemas)| {
        let schema = if schemas.len() == 1 { schemas.remove(0) } else { json!({"anyOf": schemas}) };
        (media_type.to_owned(), json!({"schema": schema}))
    });
    Value::Object(contents.collect())
}

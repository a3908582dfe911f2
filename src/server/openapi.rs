//! The `OpenAPI` document of the service: paths from the endpoint table, schemas as published in `docs/schema`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::auth::MAX_SCHEMA_LENGTH;
use super::history::MAX_MARKS;
use super::http_status;
use super::read_handlers::MAX_AUDIT_RECORDS;
use super::routes::{COMMON_ERROR_CODES, ENDPOINTS, Endpoint, JSON, answers_commands};
use super::stream_view::{ID_LENGTH, MAX_RATE};
use townlet_audit::Cursor;
use townlet_shard::history::MarkCursor;
use townlet_shard::specs;
use townlet_wire::SCHEMA_VERSION;
use townlet_wire::history::MarkKind;
use townlet_wire::service::{AUDIT, CHECKPOINT, HISTORY, PAST, STREAM, VIEW, WHAT_IF};

pub(super) fn document() -> Value {
    let mut schemas = schemas();
    // The name alone of a command that has a required argument is refused.
    let needs_more = specs().into_iter().filter(|spec| spec.args.iter().any(|arg| arg.required));
    let names: Vec<String> = needs_more.map(|spec| spec.name).collect();
    schemas["Request"]["properties"]["command"]["not"] = json!({ "enum": names });
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for endpoint in ENDPOINTS {
        let method = if endpoint.post { "post" } else { "get" };
        paths.entry(endpoint.path).or_default().insert(method.into(), operation(endpoint));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Townlet shard",
            "description": "A running town: telemetry, console and audit log.",
            "version": SCHEMA_VERSION,
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let (media_types, schema) = endpoint.response;
    let version = header(
        "Townlet-Schema",
        "The client's schema version. An older client may only send read-only commands.",
        &json!({ "type": "string", "maxLength": MAX_SCHEMA_LENGTH }),
    );
    // An older one never asks a question, whatever the body.
    let asks = endpoint.path == WHAT_IF && endpoint.post;
    let mut parameters: Vec<Value> = Some(version).filter(|_| !asks).into_iter().collect();
    if endpoint.path == STREAM {
        parameters.push(header("Last-Event-ID", "The id of the last event received.", &json!({ "type": "string" })));
        let (least, most) = (ID_LENGTH.start(), ID_LENGTH.end());
        let id = json!({ "type": "string", "minLength": least, "maxLength": most, "pattern": "^[A-Za-z0-9-]+$" });
        let rate = json!({ "type": "integer", "minimum": 1, "maximum": MAX_RATE });
        parameters.extend([
            query("view", "An id for this stream, by which `/v1/telemetry/view` says what it looks at.", &id),
            query("rate", "The most messages a second.", &rate),
        ]);
    }
    if endpoint.path == AUDIT {
        let text = || json!({ "type": "string" });
        let time = || json!({ "type": "string", "format": "date-time" });
        let place = json!({ "type": "string", "pattern": Cursor::PATTERN });
        let limit = json!({ "type": "integer", "minimum": 1, "maximum": MAX_AUDIT_RECORDS, "default": 100 });
        parameters.extend([
            query("limit", "The number of records.", &limit),
            query("before", "Only records before this place: `before` of an earlier answer.", &place),
            query("run", "Only records of this run.", &text()),
            query("since", "Only records from this time on.", &time()),
            query("until", "Only records before this time.", &time()),
            query("issuer", "Only records of this issuer.", &text()),
            query("command", "Only commands whose name contains this.", &text()),
            query("status", "Only records with this outcome.", &reference("Status")),
        ]);
    }
    if endpoint.path == CHECKPOINT {
        let line = json!({ "type": "integer", "minimum": 1, "maximum": i64::MAX });
        let run = json!({ "type": "string", "maxLength": 128 });
        parameters
            .extend([query("at", "The number of the line.", &line), query("run", "A run of the shard's home.", &run)]);
    }
    let tick = || json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX });
    if endpoint.path == HISTORY {
        let kinds = MarkKind::ALL.map(MarkKind::word).join("|");
        let kinds = json!({ "type": "string", "pattern": format!("^({kinds})(,({kinds}))*$") });
        let limit = json!({ "type": "integer", "minimum": 1, "maximum": MAX_MARKS, "default": 100 });
        let place = json!({ "type": "string", "pattern": MarkCursor::PATTERN });
        parameters.extend([
            query("from", "Only marks from this tick on.", &tick()),
            query("to", "Only marks up to this tick.", &tick()),
            query("kinds", "Only marks of these kinds, separated by commas.", &kinds),
            query("limit", "The number of marks.", &limit),
            query("before", "Only marks before this place: `before` of an earlier answer.", &place),
        ]);
    }
    if endpoint.path == PAST {
        parameters.push(
            json!({ "name": "tick", "in": "path", "description": "The tick.", "required": true, "schema": tick() }),
        );
    }
    if endpoint.path == WHAT_IF && !endpoint.post {
        parameters.push(query(
            "id",
            "The question to show, with its answer.",
            &json!({ "type": "string", "pattern": "[!-~]" }),
        ));
    }
    let mut responses = BTreeMap::from([("200".to_owned(), content(endpoint.help, media_types, schema))]);
    let mut codes: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for code in COMMON_ERROR_CODES.iter().chain(endpoint.error_codes) {
        codes.entry(http_status::of(code).as_str().to_owned()).or_default().push(code);
    }
    let refusal = if answers_commands(endpoint.path) { "Answer" } else { "Refusal" };
    responses.extend(codes.into_iter().map(|(status, codes)| {
        let mut response = content(&codes.join(", "), &[JSON], Some(refusal));
        if matches!(status.as_str(), "429" | "503") {
            response["headers"] = json!({ "Retry-After": {
                "description": "Seconds until the request may be sent again.",
                "required": true,
                "schema": { "type": "integer", "minimum": 1 },
            } });
        }
        (status, response)
    }));
    let mut operation = json!({
        "summary": endpoint.help,
        "operationId": operation_id(endpoint),
        "parameters": parameters,
        "responses": responses,
        "security": [{}, { "token": [] }],
    });
    if endpoint.post {
        let body = match endpoint.path {
            VIEW => "ViewRequest",
            WHAT_IF => "WhatIfRequest",
            _ => "Request",
        };
        operation["requestBody"] = json!({ "required": true, "content": { JSON: { "schema": reference(body) } } });
    }
    operation
}

fn operation_id(endpoint: &Endpoint) -> String {
    let name =
        endpoint.path.trim_start_matches("/v1/").trim_matches('/').replace(['/', '.'], "_").replace(['{', '}'], "");
    match (name.as_str(), endpoint.path, endpoint.post) {
        ("", ..) => "index".to_owned(),
        (_, WHAT_IF, false) => format!("{name}_status"),
        _ => name,
    }
}

/// A response in any of some media types.
fn content(description: &str, media_types: &[&str], schema: Option<&str>) -> Value {
    let body = schema.map_or_else(|| json!({}), |name| json!({ "schema": reference(name) }));
    let content: Map<_, _> = media_types.iter().map(|media_type| ((*media_type).to_owned(), body.clone())).collect();
    json!({ "description": description, "content": content })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn query(name: &str, help: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": "query", "description": help, "required": false, "schema": schema })
}

fn header(name: &str, help: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": "header", "description": help, "required": false, "schema": schema })
}

/// The schemas of the wire types, as published. A test compares them with the types.
fn schemas() -> Value {
    serde_json::from_str(include_str!("../../docs/schema/components-0.2.0.json")).expect("a test reads the file")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use schemars::generate::SchemaSettings;
    use townlet_wire::history::HistoryPage;
    use townlet_wire::service::{Refusal, ServiceInfo, ViewRequest};
    use townlet_wire::whatif::{WhatIfProgress, WhatIfRequest};
    use townlet_wire::{Answer, Envelope, Request, Snapshot};

    use super::*;

    /// The wire types and every type that they contain.
    fn schemas_of_types() -> Map<String, Value> {
        let mut settings = SchemaSettings::draft2020_12();
        settings.definitions_path = "/components/schemas".into();
        let mut generator = settings.into_generator();
        generator.subschema_for::<Request>();
        generator.subschema_for::<Answer>();
        generator.subschema_for::<ServiceInfo>();
        generator.subschema_for::<Refusal>();
        generator.subschema_for::<ViewRequest>();
        generator.subschema_for::<WhatIfRequest>();
        generator.subschema_for::<WhatIfProgress>();
        generator.subschema_for::<Snapshot>();
        generator.subschema_for::<HistoryPage>();
        generator.subschema_for::<Envelope>();
        generator.take_definitions(true)
    }

    #[test]
    fn published_component_schemas_match_the_types() {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/schema/components-{SCHEMA_VERSION}.json"));
        let text = format!("{}\n", serde_json::to_string_pretty(&schemas_of_types()).unwrap());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == text,
            "{}: the types make another; UPDATE_DOCS=1 cargo test -p townlet-server",
            path.display()
        );
    }

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_endpoint_is_described_and_every_reference_resolves() {
        let document = document();
        for endpoint in ENDPOINTS {
            let method = if endpoint.post { "post" } else { "get" };
            let operation = &document["paths"][endpoint.path][method];
            assert_eq!(operation["summary"], endpoint.help);
            for code in COMMON_ERROR_CODES.iter().chain(endpoint.error_codes) {
                let description = &operation["responses"][http_status::of(code).as_str()]["description"];
                assert!(description.as_str().unwrap().split(", ").any(|it| it == *code), "{}: {code}", endpoint.path);
            }
        }
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > ENDPOINTS.len());
        for reference in found {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
    }
}

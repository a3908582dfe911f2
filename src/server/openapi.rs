//! The `OpenAPI` document of the service, generated from the endpoint table and the wire types.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::http_status;
use super::routes::{ENDPOINTS, Endpoint, JSON};
use townlet_wire::service::{Refusal, STREAM, ServiceInfo};
use townlet_wire::{Answer, Envelope, Request, SCHEMA_VERSION, Snapshot};

pub(super) fn document() -> Value {
    let path = |endpoint: &Endpoint| {
        let method = if endpoint.post { "post" } else { "get" };
        (endpoint.path, json!({ method: operation(endpoint) }))
    };
    let paths: BTreeMap<&str, Value> = ENDPOINTS.iter().map(path).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Townlet shard",
            "description": "A running town: telemetry, console and audit log.",
            "version": SCHEMA_VERSION,
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let (media_type, schema) = endpoint.response;
    let mut parameters = vec![header(
        "Townlet-Schema",
        "The client's schema version. An older client may only send read-only commands.",
    )];
    if endpoint.path == STREAM {
        parameters.push(header("Last-Event-ID", "The id of the last event received."));
    }
    let mut responses = BTreeMap::from([("200".to_owned(), content(endpoint.help, media_type, schema))]);
    let mut codes: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for code in endpoint.error_codes {
        codes.entry(http_status::of(code).as_str().to_owned()).or_default().push(code);
    }
    let refusal = if endpoint.post { "Answer" } else { "Refusal" };
    responses
        .extend(codes.into_iter().map(|(status, codes)| (status, content(&codes.join(", "), JSON, Some(refusal)))));
    let mut operation = json!({
        "summary": endpoint.help,
        "operationId": endpoint.path.trim_start_matches("/v1/").trim_matches('/').replace(['/', '.'], "_"),
        "parameters": parameters,
        "responses": responses,
        "security": [{}, { "token": [] }],
    });
    if endpoint.post {
        operation["requestBody"] = json!({ "required": true, "content": { JSON: { "schema": reference("Request") } } });
    }
    operation
}

/// A response or request body of one media type.
fn content(description: &str, media_type: &str, schema: Option<&str>) -> Value {
    let body = schema.map_or_else(|| json!({}), |name| json!({ "schema": reference(name) }));
    json!({ "description": description, "content": { media_type: body } })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn header(name: &str, help: &str) -> Value {
    json!({ "name": name, "in": "header", "description": help, "required": false, "schema": { "type": "string" } })
}

/// The wire types and every type that they contain.
fn schemas() -> Map<String, Value> {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    let mut generator = settings.into_generator();
    generator.subschema_for::<Request>();
    generator.subschema_for::<Answer>();
    generator.subschema_for::<ServiceInfo>();
    generator.subschema_for::<Refusal>();
    generator.subschema_for::<Snapshot>();
    generator.subschema_for::<Envelope>();
    generator.take_definitions(true)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            for code in endpoint.error_codes {
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

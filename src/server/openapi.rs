//! The service as an `OpenAPI` document, made from the table of endpoints and from the types of the wire.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::openapi::path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathsBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, HttpMethod, InfoBuilder, OpenApiBuilder, PathItem, Ref, Required,
    ResponseBuilder,
};

use super::http_status;
use super::routes::{ENDPOINTS, Endpoint};
use townlet_wire::service::{Refusal, STREAM, ServiceInfo};
use townlet_wire::{Answer, Envelope, Request, SCHEMA_VERSION, Snapshot};

/// The document.
pub(super) fn document() -> Value {
    let mut paths = PathsBuilder::new();
    for endpoint in ENDPOINTS {
        let method = if endpoint.post { HttpMethod::Post } else { HttpMethod::Get };
        paths = paths.path(endpoint.path, PathItem::new(method, operation(endpoint)));
    }
    let info = InfoBuilder::new().title("Townlet shard").version(SCHEMA_VERSION);
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let document = OpenApiBuilder::new()
        .info(info.description(Some("One running town: telemetry, console and audit log.")).build())
        .paths(paths.build())
        .components(Some(ComponentsBuilder::new().security_scheme("token", bearer).build()))
        .build();
    let mut document = serde_json::to_value(document).unwrap_or_default();
    document["components"]["schemas"] = schemas();
    document
}

fn operation(endpoint: &Endpoint) -> utoipa::openapi::path::Operation {
    let (kind, schema) = endpoint.response;
    let content = match schema {
        Some(name) => ContentBuilder::new().schema(Some(Ref::from_schema_name(name))),
        None => ContentBuilder::new(),
    };
    let good = ResponseBuilder::new().description(endpoint.help).content(kind, content.build()).build();
    let mut operation = OperationBuilder::new()
        .operation_id(Some(operation_id(endpoint.path)))
        .summary(Some(endpoint.help))
        .securities(Some([SecurityRequirement::default(), SecurityRequirement::new("token", [""; 0])]))
        .parameter(header("Townlet-Schema", "The schema the client speaks; an older one may only look."))
        .response("200", good);
    if endpoint.path == STREAM {
        operation = operation.parameter(header("Last-Event-ID", "The id of the last event that arrived."));
    }
    if endpoint.post {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Request"))).build();
        let body = RequestBodyBuilder::new().required(Some(Required::True)).content("application/json", content);
        operation = operation.request_body(Some(body.build()));
    }
    let mut refusals: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for code in endpoint.error_codes {
        refusals.entry(http_status::of(code).as_str().to_owned()).or_default().push(code);
    }
    for (status, codes) in refusals {
        let schema = Ref::from_schema_name(if endpoint.post { "Answer" } else { "Refusal" });
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let response = ResponseBuilder::new().description(codes.join(", ")).content("application/json", content);
        operation = operation.response(status, response.build());
    }
    operation.build()
}

fn header(name: &str, help: &str) -> Parameter {
    let text = ObjectBuilder::new().schema_type(Type::String).build();
    let header = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header).required(Required::False);
    header.description(Some(help)).schema(Some(text)).build()
}

fn operation_id(path: &str) -> String {
    path.trim_start_matches("/v1/").trim_matches('/').replace(['/', '.'], "_")
}

/// The types of the wire, each with what it is made of beside it.
fn schemas() -> Value {
    let mut generator = schemars::generate::SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .into_generator();
    for name in [
        generator.subschema_for::<Request>(),
        generator.subschema_for::<Answer>(),
        generator.subschema_for::<ServiceInfo>(),
        generator.subschema_for::<Refusal>(),
        generator.subschema_for::<Snapshot>(),
        generator.subschema_for::<Envelope>(),
    ] {
        debug_assert!(name.as_value().get("$ref").is_some(), "{name:?}");
    }
    json!(generator.take_definitions(true))
}

//! The HTTP status of each error code.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::auth::Rejection;
use townlet_wire::Answer;
use townlet_wire::service::Refusal;

pub(super) fn of(code: &str) -> StatusCode {
    match code {
        "E_CMD_ID_REQUIRED" | "E_INVALID_ARG" => StatusCode::BAD_REQUEST,
        "E_UNAUTHORIZED" => StatusCode::UNAUTHORIZED,
        "E_FORBIDDEN" => StatusCode::FORBIDDEN,
        "E_NOT_FOUND" | "E_UNKNOWN_COMMAND" => StatusCode::NOT_FOUND,
        "E_METHOD" => StatusCode::METHOD_NOT_ALLOWED,
        "E_TIMEOUT" => StatusCode::REQUEST_TIMEOUT,
        "E_CONFLICT" | "E_CMD_ID_EXPIRED" | "E_EXPIRED" | "E_IN_FLIGHT" | "E_OTHER_RUN" => StatusCode::CONFLICT,
        "E_TOO_LARGE" => StatusCode::PAYLOAD_TOO_LARGE,
        "E_MEDIA_TYPE" => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "E_CMD_ID_REUSED" => StatusCode::UNPROCESSABLE_ENTITY,
        "E_SCHEMA_OLD" => StatusCode::UPGRADE_REQUIRED,
        "E_RATE_LIMITED" | "E_TOO_MANY" => StatusCode::TOO_MANY_REQUESTS,
        "E_HEADERS_TOO_LARGE" => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "E_AUDIT_UNAVAILABLE" | "E_STOPPING" | "E_HUNG" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// An answer as a response with the status of its error.
pub(super) fn response(answer: &Answer) -> Response {
    let status = answer.error.as_ref().map_or(StatusCode::OK, |error| of(&error.code));
    let mut response = (status, Json(answer)).into_response();
    if answer.error.as_ref().is_some_and(|error| matches!(error.code.as_str(), "E_IN_FLIGHT" | "E_RATE_LIMITED")) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(1_u64));
    }
    response
}

/// A rejected command as an answer, with the headers of the rejection.
pub(super) fn rejected_command(answer: &Answer, wait: Option<u64>) -> Response {
    with_headers(response(answer), wait)
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let status = of(&self.error.code);
        with_headers((status, Json(Refusal { error: self.error })).into_response(), self.wait)
    }
}

/// Adds when to retry, and which authentication a 401 asks for.
fn with_headers(mut response: Response, wait: Option<u64>) -> Response {
    if let Some(seconds) = wait {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
